"""``manage.py make_downtime_pack --facility SCHEMA [--zip FILE]``: the night's pack and read-only copy, now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from orders.services.downtime_files import make_downtime_night, write_private, zip_of
from ris.accounts.commands import FacilityCommand


class Command(FacilityCommand):
    help = "Make the downtime pack and the read-only copy now, as the scheduler does every night."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--zip", default="", metavar="FILE", help="Write the night into this file as well.")

    def run(self, *, zip: str = "", **options: Any) -> dict[str, Any]:
        night = make_downtime_night(actor=self.actor)
        if zip:
            try:
                write_private(Path(zip), zip_of(night.folder))
            except OSError as error:
                raise CommandError(f"{zip}: {error}") from None
        return {
            "folder": str(night.folder),
            "made_at": night.made_at.isoformat(),
            "pages": len(night.pages),
            "papers": night.papers,
            "packs": night.packs,
        }
