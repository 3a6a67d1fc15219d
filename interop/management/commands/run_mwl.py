"""``manage.py run_mwl``: the DICOM listener, for every facility on one port."""

from __future__ import annotations

import errno
import os
import signal
import socket
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from interop.dicom.server import Server, ServerSettings, listeners, tls_context
from interop.dicom.sharing import Sharing
from interop.dicom.store import sweep_incoming
from ris.tenants.context import active_schemas, use_facility
from worklist.services import fill_in_patients, recount_open_studies

log = structlog.get_logger("interop.dicom")
STOPS = {signal.SIGTERM, signal.SIGINT}


class Command(BaseCommand):
    help = "Serve scanners and archives: Verification, Worklist, MPPS, Storage, Commitment, Query/Retrieve."
    requires_system_checks = ()  # they would load every page of the house before the first connection

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.RIS_BIND)
        parser.add_argument("--port", type=int, default=settings.RIS_DICOM_PORT)
        parser.add_argument(
            "--tls-port", type=int, default=None, help="Also over TLS; by itself when RIS_TLS_CERTIFICATE is set."
        )
        parser.add_argument("--reuse-port", action="store_true", help="Several processes share the port.")
        parser.add_argument("--processes", type=int, default=1, help="So many serve; one more accepts for them.")

    def handle(self, *args: Any, **options: Any) -> None:
        tls_port = options["tls_port"]
        if tls_port is not None and not settings.RIS_TLS_CERTIFICATE:
            raise CommandError("--tls-port needs RIS_TLS_CERTIFICATE and RIS_TLS_KEY.")
        if tls_port is None and settings.RIS_TLS_CERTIFICATE:
            tls_port = settings.RIS_DICOM_TLS_PORT
        chosen = ServerSettings.from_settings(
            host=options["host"], port=options["port"], tls_port=tls_port, reuse_port=options["reuse_port"]
        )
        try:
            if options["processes"] > 1:
                self._share(chosen, options["processes"])
            else:
                self._serve(chosen)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CommandError(f"Cannot listen on {options['host']}: {error.strerror}.") from None
            raise CommandError(
                f"Port {options['port']} is in use. RIS_DICOM_PORT (TLS: RIS_DICOM_TLS_PORT) moves it."
            ) from None

    def _share(self, chosen: ServerSettings, number: int) -> None:
        if chosen.tls_port is not None:
            tls_context()  # what is wrong with a certificate is said now, and not by each process again and again
        listening = listeners(chosen)
        self._tell(listening[0].getsockname()[1], chosen)
        connection.close()
        Sharing(listening, number, lambda line: self._serve(chosen, line)).run()

    def _serve(self, chosen: ServerSettings, line: socket.socket | None = None) -> None:
        server = Server(chosen, line)
        # Blocked before a thread is there, then waited for: the kernel may hand a signal to any thread that takes it,
        # and a main thread that waits for a lock would never see it.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        server.start()
        if line is None:
            self._tell(server.port, chosen)
        self._sweep()
        signal.sigwait(STOPS)
        server.stop()
        self.stdout.flush()
        os._exit(0)  # a pool's or a library's thread that is still busy must not keep a stopped process alive

    def _tell(self, port: int, chosen: ServerSettings) -> None:
        tls = f", TLS on {chosen.tls_port}" if chosen.tls_port else ""
        log.info("listening", host=chosen.host, port=port, tls_port=chosen.tls_port)
        self.stdout.write(f"DICOM on {chosen.host}:{port}{tls}")
        self.stdout.flush()

    def _sweep(self) -> None:
        """What a killed process has left half written or not counted; without the database, the next start does it."""
        try:
            for schema in active_schemas():
                with use_facility(schema):
                    swept = sweep_incoming()
                    recount_open_studies()
                    fill_in_patients()
                if swept:
                    log.info("incoming_swept", facility=schema, files=swept)
        except DatabaseError as error:
            log.warning("incoming_not_swept", error=type(error).__name__)
        finally:
            connection.close()
