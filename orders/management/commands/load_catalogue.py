"""``manage.py load_catalogue --facility SCHEMA [FILE]``: the exam catalogue from a CSV table, or the starter one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from orders.services.catalogue import import_catalogue, load_starter_catalogue
from ris.accounts.commands import FacilityCommand


class Command(FacilityCommand):
    help = "Load the exam catalogue. Without a file: the starter catalogue. May be repeated."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default="", help="A CSV table as export_catalogue writes it.")

    def run(self, *, file: str = "", **options: Any) -> dict[str, int]:
        if not file:
            result = load_starter_catalogue(actor=self.actor)
        else:
            try:
                with Path(file).open(newline="", encoding="utf-8-sig") as source:
                    result = import_catalogue(source, actor=self.actor)
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"{file}: {error}") from None
        return {"created": result.created, "changed": result.changed, "unchanged": result.unchanged}
