"""``manage.py listen_hl7``: a receiver that stands in for the hospital's system; what comes becomes JSON lines."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from interop.hl7.receiver import ANSWERS, Receiver


class Command(BaseCommand):
    help = "Receive HL7 messages like a hospital's system would, for tests and demonstrations."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=0, help="0: the system chooses; the first line says which.")
        parser.add_argument(
            "--output", type=Path, help="File that the JSON lines are appended to; else standard output."
        )
        parser.add_argument(
            "--answer", action="append", default=[], choices=ANSWERS, help="For one message each, in order; then AA."
        )
        parser.add_argument("--always", default="AA", choices=ANSWERS, help="The answer after those.")
        parser.add_argument("--delay", type=float, default=0.0, help="Seconds before each answer.")
        parser.add_argument("--count", type=int, default=0, help="Stop after so many messages.")

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_signal: stopping.set())
        output = options["output"].open("a", encoding="utf-8") if options["output"] else sys.stdout
        try:
            receiver = Receiver(
                host=options["host"],
                port=options["port"],
                answers=options["answer"],
                otherwise=options["always"],
                delay=options["delay"],
                writes_to=output,
            )
        except OSError as refusal:
            raise CommandError(f"Cannot listen on port {options['port']}: {refusal}") from None
        with receiver:
            self.stderr.write(f"listening on {options['host']}:{receiver.port}")
            while not stopping.wait(0.1):
                if options["count"] and len(receiver.received) >= options["count"]:
                    break
