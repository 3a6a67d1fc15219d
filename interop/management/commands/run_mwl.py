"""``manage.py run_mwl``: the DICOM listener, for every facility on one port."""

from __future__ import annotations

import errno
import os
import signal
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from interop.dicom.server import Server, ServerSettings
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

    def handle(self, *args: Any, **options: Any) -> None:
        tls_port = options["tls_port"]
        if tls_port is not None and not settings.RIS_TLS_CERTIFICATE:
            raise CommandError("--tls-port needs RIS_TLS_CERTIFICATE and RIS_TLS_KEY.")
        if tls_port is None and settings.RIS_TLS_CERTIFICATE:
            tls_port = settings.RIS_DICOM_TLS_PORT
        server = Server(
            ServerSettings.from_settings(
                host=options["host"], port=options["port"], tls_port=tls_port, reuse_port=options["reuse_port"]
            )
        )
        # Blocked before a thread is there, then waited for: the kernel may hand a signal to any thread that takes it,
        # and a main thread that waits for a lock would never see it.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            server.start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CommandError(f"Cannot listen on {options['host']}: {error.strerror}.") from None
            raise CommandError(
                f"Port {options['port']} is in use. RIS_DICOM_PORT (TLS: RIS_DICOM_TLS_PORT) moves it."
            ) from None
        log.info("listening", host=options["host"], port=server.port, tls_port=tls_port)
        self.stdout.write(f"DICOM on {options['host']}:{server.port}" + (f", TLS on {tls_port}" if tls_port else ""))
        self._sweep()
        signal.sigwait(STOPS)
        server.stop()
        self.stdout.flush()
        os._exit(0)  # a pool's or a library's thread that is still busy must not keep a stopped process alive

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
