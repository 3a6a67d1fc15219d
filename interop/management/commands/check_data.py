"""``manage.py check_data FOLDER``: feed a folder of HL7 messages and print what became of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from interop.hl7.checking import check_folder, files_of
from ris.tenants.context import use_facility


class Command(BaseCommand):
    help = "Feed a folder of HL7 v2 messages to a facility and print what became of each; nothing stays without --keep."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--facility", required=True, help="Its schema.")
        parser.add_argument("--keep", action="store_true", help="Let stay what the messages did.")
        parser.add_argument("--quiet", action="store_true", help="Only the counts and what is wrong.")

    def handle(self, *args: Any, folder: Path, facility: str, keep: bool, quiet: bool, **options: Any) -> None:
        if not folder.exists() or not files_of(folder):
            raise CommandError(f"There is no HL7 message in {folder}.")
        with use_facility(facility):
            found = check_folder(folder, keep=keep)
        if not quiet:
            for fate in found.fates:
                line = (fate.file, str(fate.number), fate.message_type, fate.control_id, fate.code, fate.words)
                self.stdout.write("\t".join(line))
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
