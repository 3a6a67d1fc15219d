"""``manage.py add_station``: a scanner and its room."""

from django.core.management.base import CommandParser

from ris.accounts.commands import FacilityCommand
from worklist.services import ensure_station


class Command(FacilityCommand):
    help = "Set up a station, or bring it up to date. What it may do on the network is add_peer's."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--ae-title", required=True, help="The title that the scanner calls under.")
        parser.add_argument("--modality", required=True, help="CT, MR, DX, US, MG ...")
        parser.add_argument("--room", default="", help="Code of the room; made when there is none. Default: the title.")
        parser.add_argument("--room-name", default="")
        parser.add_argument("--name", default="", help="Station name (0008,1010). Default: the title.")
        parser.add_argument("--manufacturer", default="")
        parser.add_argument("--model", default="")

    def run(self, **options):
        station, is_new = ensure_station(
            ae_title=options["ae_title"],
            modality=options["modality"].upper(),
            room=options["room"],
            room_name=options["room_name"],
            name=options["name"],
            manufacturer=options["manufacturer"],
            model_name=options["model"],
            actor=self.actor,
        )
        return {
            "uuid": station.uuid,
            "ae_title": station.ae_title,
            "modality": station.modality,
            "room": station.room.code,
            "name": station.name,
            "created": is_new,
        }
