"""``manage.py run_mllp``: HL7 v2 over MLLP, clear and TLS. Any number may run behind one balancer."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from interop.hl7.listener import Limits, Listener
from interop.hl7.tls import server_context

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop


class Command(BaseCommand):
    help = "Receive HL7 v2 messages over MLLP."
    requires_system_checks = ()  # they would load every page of the house before the first connection

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.RIS_BIND)
        parser.add_argument("--port", type=int, action="append", help="May be given several times.")
        parser.add_argument("--tls-port", type=int, default=None, help="Needs RIS_TLS_CERTIFICATE and RIS_TLS_KEY.")
        parser.add_argument("--max-bytes", type=int, default=Limits.message, help="The longest message that is taken.")
        parser.add_argument("--workers", type=int, default=Limits.workers, help="Threads that speak to the database.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve(options))
        except OSError as refusal:
            raise CommandError(
                f"Cannot listen: {refusal}. RIS_MLLP_PORT, RIS_MLLP_TLS_PORT and RIS_BIND say where."
            ) from None

    async def _serve(self, options: dict[str, Any]) -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        listener = Listener(limits=Limits(message=options["max_bytes"], workers=options["workers"]))
        try:
            for port in options["port"] or [settings.RIS_MLLP_PORT]:
                await listener.listen(options["host"], port)
            tls = server_context()
            tls_port = options["tls_port"] or settings.RIS_MLLP_TLS_PORT
            if tls is not None:
                await listener.listen(options["host"], tls_port, tls=tls)
            elif options["tls_port"] is not None:
                self.stderr.write("No TLS port: RIS_TLS_CERTIFICATE is not set.")
            await stopping.wait()
        finally:
            await listener.close()
