"""``manage.py preview_mwl``: what would CT1 see now, and why not that exam?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from interop.dicom.preview import Told, ask, caller_for, newcomer, peer_called, question, why_not
from ris.accounts.commands import FacilityCommand

#: As a scanner's console lists them
SHOWN = (
    "AccessionNumber",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "Modality",
    "RequestedProcedureDescription",
    "RequestedProcedureID",
    "RequestedProcedurePriority",
    "ScheduledProcedureStepDescription",
    "ScheduledProcedureStepID",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "ScheduledProcedureStepStatus",
    "ScheduledStationAETitle",
    "StudyInstanceUID",
)


class Command(FacilityCommand):
    help = "The worklist as the listener answers it to a peer, and why an exam is not in it. Calls nobody."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--peer", default="", help="The AE title that asks. Default: the station.")
        parser.add_argument("--station", "--ae-title", default="", help="The station asked for. Default: any.")
        parser.add_argument("--date", default=None, help="YYYYMMDD, a range, or 'all'. Default: today.")
        parser.add_argument("--modality", default="", help="Only this modality.")
        parser.add_argument("--accession-number", default="", help="Only this exam.")
        parser.add_argument("--why-not", default="", metavar="ACCESSION", help="Say why this exam is not answered.")

    def run(self, **options: Any) -> Any:
        title = options["peer"] or options["station"]
        row = peer_called(title)
        caller = caller_for(row or newcomer(title), title)
        keys = question(
            station=options["station"],
            modality=options["modality"],
            date="" if options["date"] == "all" else options["date"],
            accession_number=options["accession_number"],
        )
        answer = ask(keys, caller=caller, actor=self.actor)
        told = {
            "ae_title": title,
            "peer": row.ae_title if row else None,
            "status": answer.status_text,
            "count": len(answer.items),
            "items": [shown(item) for item in answer.items],
        }
        if options["why_not"]:
            reasons = why_not(options["why_not"], keys, caller=caller, actor=self.actor)
            told["why_not"] = [
                {"step": reason.step and reason.step.scheduled_procedure_step_id, "reasons": reason.words}
                for reason in reasons
            ]
        return told


def shown(item: Told) -> dict[str, str]:
    return {keyword: item.keys.get(keyword, "") for keyword in SHOWN}
