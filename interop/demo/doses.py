"""What the physicist of the demonstration has set: when a CT is looked at, and a level of the house to compare with."""

from __future__ import annotations

from collections.abc import Mapping

from dose.models import ReferenceLevel, StandardExam, TriggerLevel
from dose.services import add_level
from ris.accounts.models import User
from ris.core.actor import Actor


def seed_doses(people: Mapping[str, User]) -> None:
    """Before the exams: the largest patients' CTs ask the technologist why."""
    physicist = Actor("web", user=people["physicist"])
    if not TriggerLevel.objects.filter(modality="CT", quantity="dlp").exists():
        TriggerLevel.objects.create(modality="CT", quantity="dlp", limit=330, unit="mGy.cm")
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
