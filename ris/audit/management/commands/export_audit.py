"""``manage.py export_audit``: FHIR R4 AuditEvent, newline-delimited JSON."""

import json
import sys
from datetime import datetime
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from ris.audit.export import ndjson
from ris.audit.models import Action, AuditEvent
from ris.audit.service import record
from ris.core.actor import Actor
from ris.core.errors import DomainError
from ris.tenants.context import use_facility


class Command(BaseCommand):
    help = "Export the audit trail as FHIR R4 AuditEvent, one JSON object per line, oldest first."

    def add_arguments(self, parser):
        parser.add_argument("--facility", required=True, metavar="SCHEMA")
        parser.add_argument("--since", default="", help="Date or time; only rows from then on.")
        parser.add_argument("--until", default="", help="Date or time; only rows before it.")
        parser.add_argument("--output", type=Path, help="A file; without one the lines go to standard output.")

    def handle(self, *args, **options):
        try:
            with use_facility(options["facility"]):
                events = AuditEvent.objects.all()
                if options["since"]:
                    events = events.filter(recorded_at__gte=_moment(options["since"]))
                if options["until"]:
                    events = events.filter(recorded_at__lt=_moment(options["until"]))
                count = self._write(events, options["output"])
                record(Actor("command"), "audit.export_events", Action.READ, detail={"rows": count})
        except DomainError as refusal:
            raise CommandError(refusal.detail) from None
        answer = json.dumps({"facility": options["facility"], "rows": count})
        (self.stdout if options["output"] else self.stderr).write(answer)

    def _write(self, events, path):
        out = path.open("w") if path else self.stdout
        count = 0
        try:
            for line in ndjson(events):
                out.write(line)
                count += 1
        except BrokenPipeError:
            sys.stderr.close()
        finally:
            if path:
                out.close()
        return count


def _moment(text):
    try:
        found = parse_datetime(text) if "T" in text else None
        day = parse_date(text) if found is None else None
    except ValueError:
        found = day = None
    if day is not None:
        found = datetime(day.year, day.month, day.day)
    if found is None:
        raise CommandError(f"{text} is neither a date nor a time.")
    return found if timezone.is_aware(found) else timezone.make_aware(found)
