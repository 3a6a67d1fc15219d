"""``manage.py test_mpps``: begin and end a performed step as a scanner does, with the wrong repeats between."""

from typing import Any

from django.core.management.base import CommandError

from interop.dicom.calling import ScannerCommand
from interop.dicom.emulator import ModalityEmulator


class Command(ScannerCommand):
    help = (
        "N-CREATE and N-SET. Without an accession number the patient is a typed one, and the step waits for a person."
    )

    def add_more(self, parser):
        parser.add_argument("--accession-number", default="", help="The exam to perform: it really starts and ends.")
        parser.add_argument(
            "--discontinue", default="", metavar="CODE", help="End with this reason, for example 110513."
        )

    def play(self, scanner: ModalityEmulator, **options: Any) -> Any:
        said: dict[str, str] = {}
        if options["accession_number"]:
            items = scanner.query_worklist(accession_number=options["accession_number"])
            if not items:
                raise CommandError(f"{scanner.ae_title} does not see that exam on its worklist.")
            said["N-CREATE"] = f"{scanner.start(items[0]):04X}"
        else:
            said["N-CREATE"] = f"{scanner.start_unscheduled(patient_name='Test^Mpps', patient_id='TEST-MPPS'):04X}"
        said["N-CREATE again"] = f"{scanner.repeat_start():04X}"
        said["N-SET of an unknown step"] = f"{scanner.set_unknown():04X}"
        code = options["discontinue"]
        said["N-SET"] = f"{(scanner.discontinue(code, code) if code else scanner.complete()):04X}"
        said["N-SET again"] = f"{scanner.complete():04X}"
        expected = ["0000", "0111", "0112", "0000", "0110"]
        return {"step": scanner.step_uid, "answers": said, "as_expected": list(said.values()) == expected}
