"""``manage.py import_dicom DIR``: objects from files and folders, as if a scanner had sent them."""

from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from interop.dicom.importing import files_below, import_file
from ris.accounts.commands import FacilityCommand
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.actor import Actor
from worklist.models import ImagingStudy
from worklist.permissions import STORE_STUDY


class Command(FacilityCommand):
    help = "Store and index DICOM files. Repeating it stores nothing twice."

    def add_options(self, parser):
        parser.add_argument("paths", nargs="+", type=Path, metavar="DIR", help="Folders or files.")

    def run(self, **options: Any) -> Any:
        missing = [str(path) for path in options["paths"] if not path.exists()]
        if missing:
            raise CommandError(f"There is no {', '.join(missing)}.")
        actor = Actor("storage", ae_title="IMPORT")
        try:
            rows = [import_file(path, actor=actor) for path in files_below(options["paths"])]
        except OSError as full:
            raise CommandError(f"The store is full or read-only: {full.strerror}.") from None
        studies = Counter(row.study_instance_uid for row in rows if row.result == "stored")
        for study in ImagingStudy.objects.filter(study_instance_uid__in=studies):
            detail = {"instances": studies[study.study_instance_uid], "door": "import"}
            record(actor, STORE_STUDY, Action.CREATE, entity=study, detail=detail)
        counts = Counter(row.result for row in rows)
        return {
            **{result: counts[result] for result in ("stored", "known", "refused")},
            "studies": sorted({row.study_instance_uid for row in rows if row.study_instance_uid}),
            "files": [row.as_dict() for row in rows],
        }
