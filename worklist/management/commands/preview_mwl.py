"""``manage.py preview_mwl``: what would CT1 see now?"""

from django.core.management.base import CommandParser

from ris.accounts.commands import FacilityCommand
from worklist.selectors import preview


class Command(FacilityCommand):
    help = "The worklist items that a station gets, as they leave the house."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--ae-title", required=True, help="The station that asks.")
        parser.add_argument("--date", default=None, help="YYYYMMDD, a range, or 'all'. Default: today.")
        parser.add_argument("--modality", default="", help="Only this modality.")

    def run(self, **options):
        day = "" if options["date"] == "all" else options["date"]
        lines = preview(ae_title=options["ae_title"], day=day, modality=options["modality"], actor=self.actor)
        return {"ae_title": options["ae_title"], "count": len(lines), "items": [line.keys for line in lines]}
