"""``manage.py check_data FOLDER``: feed a folder of HL7 messages and print what became of each; read its dose objects
and print every value and every warning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dose.checking import Checked, check_doses, dose_files_of, lines_of
from interop.hl7.checking import Fate, check_folder, files_of
from ris.tenants.context import use_facility


class Command(BaseCommand):
    help = (
        "Feed a folder of HL7 v2 messages to a facility and print what became of each; read its dose objects and print "
        "every value. Nothing stays without --keep, and of dose objects never."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--facility", required=True, help="Its schema.")
        parser.add_argument("--keep", action="store_true", help="Let stay what the messages did.")
        parser.add_argument(
            "--expected", type=Path, help="JSON, {file: {value: what it is}}: what the dose objects are known to hold."
        )
        parser.add_argument("--quiet", action="store_true", help="Only the counts and what is wrong.")

    def handle(self, *args: Any, folder: Path, facility: str, keep: bool, quiet: bool, **options: Any) -> None:
        doses = folder.exists() and bool(dose_files_of(folder))
        if doses:
            known = json.loads(options["expected"].read_text()) if options.get("expected") else {}
            self.tell_doses(check_doses(folder, known), quiet)
        if not folder.exists() or not (doses or files_of(folder)):
            raise CommandError(f"There is no HL7 message and no DICOM object in {folder}.")
        if not files_of(folder):
            return
        with use_facility(facility):
            found = check_folder(folder, keep=keep, tell=None if quiet else self.tell_fate)
        counts = {f"{kind} {code}": count for (kind, code), count in sorted(found.counts.items())}
        self.stdout.write(
            json.dumps(
                {
                    "messages": len(found.fates),
                    "answers": counts,
                    "patients named": found.people,
                    "patients made": found.patients,
                    "patients missing": len(found.missing),
                    "patients under another name": len(found.wrong),
                    "kept": keep,
                }
            )
        )
        if not found.is_right:
            raise CommandError("Not every message is where it belongs.")

    def tell_fate(self, fate: Fate) -> None:
        line = (fate.file, str(fate.number), fate.message_type, fate.control_id, fate.code, fate.words)
        self.stdout.write("\t".join(line))

    def tell_doses(self, found: list[Checked], quiet: bool) -> None:
        for checked in found:
            for line in lines_of(checked) if not quiet else checked.wrong:
                self.stdout.write(line)
        events = sum(len(checked.parsed.events) for checked in found)
        warnings = sum(len(checked.parsed.warnings) for checked in found)
        wrong = sum(len(checked.wrong) for checked in found)
        counts = {"dose objects": len(found), "events": events, "warnings": warnings, "wrong": wrong}
        self.stdout.write(json.dumps(counts))
        if wrong:
            raise CommandError("A dose object does not hold what it is known to hold.")
