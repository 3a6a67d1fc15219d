"""What would CT1 see now?"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone
from pydicom.multival import MultiValue

from ris.audit.service import record_read
from ris.core.actor import Actor
from worklist import permissions as perms
from worklist.data import MwlPeer, MwlQuery
from worklist.models import ScheduledProcedureStep
from worklist.selectors.mwl import Peer, read_item, worklist_items


@dataclass(frozen=True)
class PreviewLine:
    """One item of the worklist as the scanner gets it."""

    step: ScheduledProcedureStep
    keys: dict[str, str]


def preview(
    *, ae_title: str, day: str | None = None, modality: str = "", peer: Peer | None = None, actor: Actor
) -> list[PreviewLine]:
    """The items that a station gets for a day (DA, a range, or "" for all; today without); recorded as a read."""
    actor.require(perms.VIEW_STEP)
    asks = peer or MwlPeer(ae_title)
    today = f"{timezone.localdate():%Y%m%d}" if day is None else day
    query = MwlQuery(station_ae_title=ae_title, start_date=today, modality=modality)
    found = list(worklist_items(query, peer=asks))
    steps = {
        step.pk: step
        for step in ScheduledProcedureStep.objects.visible_to(actor)
        .filter(pk__in=[pk for pk, _item in found])
        .for_display()
    }
    lines = [PreviewLine(steps[pk], _keys(item)) for pk, item in found if pk in steps]
    record_read(
        actor,
        perms.VIEW_STEP,
        patients=sorted({line.step.audit_patient for line in lines}),
        detail={"page": "preview", "ae_title": ae_title, "rows": len(lines)},
    )
    return lines


def _keys(item: bytes) -> dict[str, str]:
    dataset = read_item(item)
    step = dataset.ScheduledProcedureStepSequence[0]
    keys = {keyword: str(dataset.get(keyword, "")) for keyword in ITEM_KEYS}
    return keys | {keyword: _joined(step.get(keyword, "")) for keyword in STEP_KEYS}


def _joined(value: object) -> str:
    return "\\".join(str(part) for part in value) if isinstance(value, (list, MultiValue)) else str(value)


ITEM_KEYS = (
    "AccessionNumber",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedurePriority",
    "StudyInstanceUID",
)
STEP_KEYS = (
    "Modality",
    "ScheduledProcedureStepDescription",
    "ScheduledProcedureStepID",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "ScheduledProcedureStepStatus",
    "ScheduledStationAETitle",
)
