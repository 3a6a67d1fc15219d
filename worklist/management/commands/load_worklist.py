"""``manage.py load_worklist FILES``: DICOM worklist files, loaded as if a scheduler had sent them."""

from pathlib import Path

from django.core.management.base import CommandError, CommandParser
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from ris.accounts.commands import FacilityCommand
from ris.core.errors import DomainError
from worklist.services import load_worklist_item
from worklist.services.item_reading import item_of_dataset


class Command(FacilityCommand):
    help = "Create patient, order and step of each file; UIDs and numbers are kept. May be repeated."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="DICOM worklist file, or a folder of them.")

    def run(self, **options):
        loaded, refused = [], []
        for path in _files(options["files"]):
            try:
                step = load_worklist_item(item_of_dataset(dcmread(path, force=True)), actor=self.actor)
            except (InvalidDicomError, OSError, EOFError) as problem:
                refused.append({"file": path.name, "reason": type(problem).__name__})
                continue
            except DomainError as refusal:
                refused.append({"file": path.name, "reason": refusal.detail, "errors": refusal.errors})
                continue
            loaded.append(
                {
                    "file": path.name,
                    "step": step.uuid,
                    "scheduled_procedure_step_id": step.scheduled_procedure_step_id,
                    "accession_number": step.accession_number,
                    "study_instance_uid": step.procedure.study_instance_uid,
                }
            )
        return {"loaded": loaded, "refused": refused}


def _files(names: list[str]) -> list[Path]:
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if not path.exists():
            raise CommandError(f"There is no {name}.")
        found += sorted(child for child in path.iterdir() if child.is_file()) if path.is_dir() else [path]
    return found
