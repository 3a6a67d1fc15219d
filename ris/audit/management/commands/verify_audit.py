"""``manage.py verify_audit``: is the audit trail whole? Exit code 1 when it is not."""

import json
import sys
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from ris.audit.models import Action
from ris.audit.sealing import seal_facility
from ris.audit.service import record
from ris.audit.verification import verify_facility
from ris.core.actor import Actor
from ris.core.errors import DomainError
from ris.tenants.context import use_facility


class Command(BaseCommand):
    help = "Compute every seal again, follow the chain, compare the exported heads; answers JSON, exits 1 when broken."

    def add_arguments(self, parser):
        parser.add_argument("--facility", required=True, metavar="SCHEMA")
        parser.add_argument("--heads", type=Path, help="A copy of the exported heads, from another machine.")
        parser.add_argument("--seal", action="store_true", help="Seal what is finished first.")

    def handle(self, *args, **options):
        heads = None
        if options["heads"]:
            try:
                heads = [json.loads(line) for line in options["heads"].read_text().splitlines() if line.strip()]
            except (OSError, ValueError) as exc:
                raise CommandError(f"The heads cannot be read: {exc}") from None
        try:
            with use_facility(options["facility"]):
                if options["seal"]:
                    seal_facility()
                verdict = verify_facility(heads)
                detail = {"intact": verdict.intact, "problems": len(verdict.problems)}
                record(Actor("command"), "audit.verify_seals", Action.EXECUTE, detail=detail)
        except DomainError as refusal:
            raise CommandError(refusal.detail) from None
        self.stdout.write(json.dumps({"facility": options["facility"], **verdict.as_dict()}))
        if not verdict.intact:
            sys.exit(1)
