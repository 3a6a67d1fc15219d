"""``manage.py emulate_modality``: play a scanner from its worklist to the end of an exam, with invented images."""

from typing import Any

from django.core.management.base import CommandError

from interop.dicom.calling import ScannerCommand
from interop.dicom.emulator import ModalityEmulator


class Command(ScannerCommand):
    help = "Worklist query, MPPS, images and (CT) a dose report, for the first exam on the list or the one named."

    def add_more(self, parser):
        parser.add_argument("--accession-number", default="")
        parser.add_argument("--images", type=int, default=12)
        parser.add_argument("--size", type=int, default=512, help="Rows and columns of the images.")
        parser.add_argument(
            "--discontinue", default="", metavar="CODE", help="Do not complete; the reason, e.g. 110513."
        )
        parser.add_argument("--unscheduled", action="store_true", help="A patient typed by hand, nothing ordered.")
        parser.add_argument(
            "--wrong-patient", action="store_true", help="Also send an image that names another patient."
        )

    def play(self, scanner: ModalityEmulator, **options: Any) -> Any:
        scanner.size = options["size"]
        said: dict[str, Any] = {}
        if options["unscheduled"]:
            said["N-CREATE"] = f"{scanner.start_unscheduled(patient_name='Doe^Jhon', patient_id='UNSCHEDULED'):04X}"
        else:
            items = scanner.query_worklist(accession_number=options["accession_number"])
            if not items:
                raise CommandError(f"The worklist of {scanner.ae_title} is empty.")
            said["N-CREATE"] = f"{scanner.start(items[0]):04X}"
        item = scanner.items[0]
        said["C-STORE"] = sorted({f"{status:04X}" for status in scanner.store_images(options["images"])})
        if scanner.modality == "CT":
            said["C-STORE of the dose report"] = f"{scanner.store_dose_report():04X}"
        code = options["discontinue"]
        said["N-SET"] = f"{(scanner.discontinue(code, code) if code else scanner.complete()):04X}"
        if options["wrong_patient"]:
            said["C-STORE of another patient"] = f"{scanner.store_wrong_patient(item):04X}"
        return {
            "accession_number": str(item.get("AccessionNumber", "")),
            "study_instance_uid": str(item.StudyInstanceUID),
            "images": options["images"],
            "answers": said,
        }
