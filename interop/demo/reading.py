"""What the reading list of the demo is ordered by: report times, groups, shifts, lists that people keep."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.utils import timezone

from reporting import services
from reporting.models import ReadingGroup, ReadingItem, SlaTarget
from reporting.selectors.reading_filters import ReadingFilter
from reporting.services.reading_groups import set_group
from ris.accounts.models import User
from ris.core.actor import SYSTEM, Actor
from ris.notifications.models import Duty
from ris.notifications.rota import add_shift

DAYS = 14
#: priority, patient class, modality, minutes
TIMES = (("stat", "E", "", 20), ("routine", "I", "", 480), ("routine", "", "MG", 4320))
GROUPS = (
    {"code": "children", "name": "Children", "position": 10, "children_only": True},
    {"code": "neuro", "name": "Neuro", "position": 20, "modalities": ["CT", "MR"], "body_regions": ["head", "spine"]},
    {"code": "chest", "name": "Chest", "position": 30, "modalities": ["CT", "DX"], "body_regions": ["chest"]},
)


def seed_reading(people: Mapping[str, User]) -> None:
    """Once; who has groups already is left as they are."""
    if ReadingGroup.objects.exists():
        return
    house, reader = SYSTEM, Actor("command", people["radiologist"])
    known = set(SlaTarget.objects.values_list("priority", "patient_class", "modality"))
    for priority, patient_class, modality, minutes in TIMES:
        if (priority, patient_class, modality) not in known:
            services.set_sla_target(
                priority=priority, patient_class=patient_class, modality=modality, minutes=minutes, actor=house
            )
    readers = [people["radiologist"], people["mutua"]]
    for values in GROUPS:
        set_group(None, {**values, "members": readers}, actor=house)
    if not Duty.objects.filter(code="reading").exists():
        Duty(code="reading", name="Reading", position=9, must_be_staffed=False).save_as(house, "Seeded")
    start = timezone.localtime().replace(hour=8, minute=0, second=0, microsecond=0)
    for day in range(DAYS):
        begin = start + timedelta(days=day)
        for place, user in enumerate(readers):
            shift = begin + timedelta(hours=12 * place)
            add_shift(duty="reading", user=user, starts_at=shift, ends_at=shift + timedelta(hours=12), actor=reader)
    kept = services.save_list(name="CT + MR", filters=ReadingFilter(modality=("CT", "MR")), actor=reader)
    services.save_list(name="Neuro, inpatients", filters=ReadingFilter(group=("neuro",), patient_class=("I",)),
                       actor=reader)  # fmt: skip
    services.share_list(kept, is_shared=True, actor=reader)
    for item in ReadingItem.objects.filter(procedure__status="ready_to_read").order_by("due_at")[:2]:
        services.claim_exam(item.procedure, actor=reader)
