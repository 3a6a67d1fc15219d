"""``manage.py emulate_modality``: play a scanner from its worklist to the end of an exam, with invented images."""

from typing import Any

from django.core.management.base import CommandError

from interop.dicom.calling import ScannerCommand
from interop.dicom.emulator import ModalityEmulator
from interop.dicom.scenarios import SCENARIOS, NotEnough, play


class Command(ScannerCommand):
    help = (
        "Worklist query, MPPS, images and (CT, DX, MG) a dose report, for the first exam on the list or the one named."
    )

    def add_more(self, parser):
        parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="", help="What happens. Default: normal.")
        parser.add_argument("--accession-number", default="")
        parser.add_argument("--images", type=int, default=12)
        parser.add_argument("--size", type=int, default=512, help="Rows and columns of the images.")
        parser.add_argument("--discontinue", default="", metavar="CODE", help="End with this reason, e.g. 110513.")
        parser.add_argument("--unscheduled", action="store_true", help="The same as --scenario unscheduled.")
        parser.add_argument("--wrong-patient", action="store_true", help="The same as --scenario wrong-patient.")

    def play(self, scanner: ModalityEmulator, **options: Any) -> Any:
        scanner.size = options["size"]
        scenario = scenario_of(options)
        items = []
        if scenario != "unscheduled":
            items = scanner.query_worklist(accession_number=options["accession_number"])
            if not items:
                raise CommandError(f"The worklist of {scanner.ae_title} is empty.")
        try:
            said = play(scenario, scanner, items, images=options["images"], reason=options["discontinue"])
        except NotEnough as missing:
            raise CommandError(str(missing)) from None
        item = scanner.items[0]
        return {
            "scenario": scenario,
            "accession_number": str(item.get("AccessionNumber", "")),
            "study_instance_uid": str(item.StudyInstanceUID),
            "images": options["images"],
            "answers": said,
        }


def scenario_of(options: dict[str, Any]) -> str:
    if options["scenario"]:
        return options["scenario"]
    if options["unscheduled"]:
        return "unscheduled"
    if options["wrong_patient"]:
        return "wrong-patient"
    return "discontinue" if options["discontinue"] else "normal"
