"""``manage.py document_hl7``: docs/hl7.md with the code's own tables; ``--check`` only looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from interop.hl7.documentation import renewed


class Command(BaseCommand):
    help = "Renew the generated tables of docs/hl7.md."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        page = Path(settings.BASE_DIR) / "docs" / "hl7.md"
        text = page.read_text()
        if check and renewed(text) != text:
            raise CommandError("docs/hl7.md is not what the code does: make docs")
        if not check:
            page.write_text(renewed(text))
