"""``manage.py export_catalogue --facility SCHEMA``: the exam catalogue as the CSV table that load_catalogue takes."""

from __future__ import annotations

from typing import Any

from orders.services.catalogue import export_catalogue
from ris.accounts.commands import FacilityCommand


class Command(FacilityCommand):
    help = "Write the exam catalogue as JSON with one key, csv."

    def run(self, **options: Any) -> dict[str, str]:
        return {"csv": export_catalogue(actor=self.actor)}
