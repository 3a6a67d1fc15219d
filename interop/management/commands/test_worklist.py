"""``manage.py test_worklist``: what a scanner gets, and which Type 1 keys it would miss. For whoever installs one."""

from typing import Any

from interop.dicom.calling import ScannerCommand
from interop.dicom.emulator import ModalityEmulator, worklist_keys
from interop.dicom.values import text_of

TYPE_1 = ("PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureID")
TYPE_1_OF_STEP = (
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "Modality",
    "ScheduledProcedureStepID",
)


class Command(ScannerCommand):
    help = "Query the worklist as this scanner does; answers what came back, without patients' names."

    def add_more(self, parser):
        parser.add_argument("--date", default="", help="YYYYMMDD, or a range; default: any.")
        parser.add_argument("--any-station", action="store_true", help="Do not ask for this station only.")

    def play(self, scanner: ModalityEmulator, **options: Any) -> Any:
        station = "" if options["any_station"] else scanner.ae_title
        status, items = scanner.find(worklist_keys(station, options["modality"], options["date"]))
        return {"status": f"{status:04X}", "count": len(items), "items": [told(item) for item in items]}


def told(item: Any) -> dict[str, Any]:
    """One item: its numbers, and what it should have and has not."""
    step = item.ScheduledProcedureStepSequence[0]
    missing = [keyword for keyword in TYPE_1 if not text_of(item, keyword)]
    missing += [keyword for keyword in TYPE_1_OF_STEP if not text_of(step, keyword)]
    if not (text_of(item, "RequestedProcedureDescription") or item.get("RequestedProcedureCodeSequence")):
        missing.append("RequestedProcedureDescription")
    begins = [text_of(step, f"ScheduledProcedureStepStart{part}") for part in ("Date", "Time")]
    return {
        "accession_number": text_of(item, "AccessionNumber"),
        "study_instance_uid": text_of(item, "StudyInstanceUID"),
        "station": text_of(step, "ScheduledStationAETitle"),
        "modality": text_of(step, "Modality"),
        "starts": " ".join(begins),
        "description": text_of(step, "ScheduledProcedureStepDescription"),
        "missing": missing,
    }
