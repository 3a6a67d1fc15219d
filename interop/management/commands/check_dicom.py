"""``manage.py check_dicom``: is the imaging network ready? Ends with status 1 when something is broken."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from interop.dicom.readiness import BROKEN, check_readiness
from ris.accounts.commands import FacilityCommand


class Command(FacilityCommand):
    help = "Echo peers, look at ports, certificate, AE titles, refused calls, worklists, storage and clock."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--strict", action="store_true", help="End with status 1 when something is broken.")

    def run(self, **options: Any) -> Any:
        found = check_readiness(actor=self.actor)
        is_ready = all(row.level != BROKEN for row in found)
        self.is_failed = options["strict"] and not is_ready
        return {"is_ready": is_ready, "findings": [vars(row) for row in found]}

    def handle(self, *args: Any, **options: Any) -> str:
        answer = super().handle(*args, **options)
        if self.is_failed:
            self.stdout.write(answer)
            sys.exit(1)
        return answer
