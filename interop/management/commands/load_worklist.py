"""``manage.py load_worklist FILES``: DICOM worklist files become patients, orders and scheduled steps."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from interop.dicom.elements import Malformed
from interop.dicom.importing import files_below
from interop.dicom.worklist_files import item_from_dataset, read_worklist_file
from ris.accounts.commands import FacilityCommand
from ris.core.errors import DomainError
from worklist.services import load_worklist_item


class Command(FacilityCommand):
    help = "Load DICOM worklist files. UIDs and numbers are kept; repeating it moves what has moved, nothing else."

    def add_options(self, parser):
        parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="Worklist files, or folders of them.")

    def run(self, **options: Any) -> Any:
        missing = [str(path) for path in options["paths"] if not path.exists()]
        if missing:
            raise CommandError(f"There is no {', '.join(missing)}.")
        rows = [self._load(path) for path in files_below(options["paths"])]
        return {"loaded": sum(row["result"] == "loaded" for row in rows), "files": rows}

    def _load(self, path: Path) -> dict[str, Any]:
        try:
            step = load_worklist_item(item=item_from_dataset(read_worklist_file(path)), actor=self.actor)
        except Malformed as wrong:
            return {"file": str(path), "result": "refused", "reason": str(wrong)}
        except DomainError as refusal:
            return {"file": str(path), "result": "refused", "reason": refusal.detail, "errors": refusal.errors}
        return {
            "file": str(path),
            "result": "loaded",
            "step": step.scheduled_procedure_step_id,
            "accession_number": step.procedure.accession_number,
            "study_instance_uid": step.procedure.study_instance_uid,
        }
