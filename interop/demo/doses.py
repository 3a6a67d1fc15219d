"""What the physicist of the demonstration has set: when a CT is looked at, and a level of the house to compare with."""

from __future__ import annotations

from collections.abc import Mapping

from dose.models import ReferenceLevel, RejectTarget, StandardExam, TriggerLevel
from dose.rejects import set_reject_target
from dose.services import add_level
from orders.models import RequestedProcedure
from ris.accounts.models import User
from ris.core.actor import Actor
from worklist.services import record_reject


def seed_doses(people: Mapping[str, User]) -> None:
    """Before the exams: the largest patients' CTs ask the technologist why."""
    physicist = Actor("web", user=people["physicist"])
    if not TriggerLevel.objects.filter(modality="CT", quantity="dlp").exists():
        TriggerLevel.objects.create(modality="CT", quantity="dlp", limit=330, unit="mGy.cm")
    if not RejectTarget.objects.exists():
        for tab, low, high in (("DX", 3, 10), ("MG", 1, 5)):
            set_reject_target(tab, low=low, high=high, actor=physicist)
    if not ReferenceLevel.objects.filter(authority="County").exists():
        add_level(
            authority="County",
            year=2026,
            exam="Chest",
            modality="CT",
            quantity="dlp",
            value=420,
            unit="mGy.cm",
            source="Survey of five hospitals of the county, made up for the demonstration.",
            certainty="Made up.",
            standard_exam=StandardExam.objects.get(code="ct-chest"),
            actor=physicist,
        )


#: (view, reason of CID 7011): most are positioning
THROWN_AWAY = (("PA", "111209"), ("LAT", "111209"), ("PA", "111210"), ("LAT", "111209"), ("PA", "111212"))


def throw_an_image_away(procedure: RequestedProcedure, number: int, *, actor: Actor) -> None:
    """Of every third exam with an X-ray tube and a detector, one exposure was made again."""
    if procedure.modality in ("DX", "MG") and number % 3 == 0:
        view, reason = THROWN_AWAY[number // 3 % len(THROWN_AWAY)]
        record_reject(procedure, reason_code=reason, view=view, actor=actor)
