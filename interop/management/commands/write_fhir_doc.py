"""``manage.py write_fhir_doc``: the tables of docs/fhir.md, from the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from interop.fhir.server.document import inserted


class Command(BaseCommand):
    help = "Write the tables of docs/fhir.md; --check only says whether they are up to date."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.BASE_DIR) / "docs" / "fhir.md"
        text = path.read_text()
        made = inserted(text)
        if options["check"]:
            if made != text:
                self.stderr.write("docs/fhir.md is not what the code does: run manage.py write_fhir_doc.")
                raise SystemExit(1)
            return
        path.write_text(made)
        self.stdout.write(str(path))
