"""What is asked about senders, their codes, and what waits for a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, QuerySet

from interop import permissions as perms
from interop.models import CodeAlias, Hl7Sender, InboundMessage, UnmappedCode
from orders.models import CatalogueProcedure
from orders.models.orders import OPEN_BEFORE_EXAM
from ris.core.actor import Actor


def _may_look(actor: Actor) -> bool:
    return actor.may(perms.VIEW_INTERFACES) or actor.may(perms.MAP_CODES)


def senders(*, actor: Actor) -> QuerySet[Hl7Sender]:
    found = Hl7Sender.objects.select_related("answers_to")
    return found.order_by("application", "facility_name") if _may_look(actor) else found.none()


def unmapped(*, actor: Actor) -> QuerySet[UnmappedCode]:
    found = UnmappedCode.objects.filter(procedure__is_unmapped=True, procedure__status__in=OPEN_BEFORE_EXAM)
    return found if _may_look(actor) else found.none()


@dataclass(frozen=True)
class WaitingCode:
    """One code of one sender, and how many exams wait for its meaning."""

    application: str
    facility: str
    scheme: str
    code: str
    meaning: str
    count: int
    oldest: datetime
    modality: str


def waiting(*, actor: Actor) -> list[WaitingCode]:
    """Oldest first; one query."""
    rows = (
        unmapped(actor=actor)
        .order_by()
        .values("sending_application", "sending_facility", "scheme", "code")
        .annotate(count=Count("pk"), oldest=Min("since"), text=Max("meaning"), modality=Max("procedure__modality"))
        .order_by("oldest")
    )
    return [
        WaitingCode(
            row["sending_application"], row["sending_facility"], row["scheme"], row["code"], row["text"],
            row["count"], row["oldest"], row["modality"],
        )
        for row in rows[:500]
    ]  # fmt: skip


def aliases(*, actor: Actor) -> QuerySet[CodeAlias]:
    found = CodeAlias.objects.filter(is_active=True).select_related("sender", "procedure")
    found = found.order_by("sender__application", "sender__facility_name", "code")
    return found if _may_look(actor) else found.none()


def exams() -> QuerySet[CatalogueProcedure]:
    """What a code can be mapped to."""
    return CatalogueProcedure.objects.filter(is_active=True).order_by("modality", "name")


def senders_heard(*, actor: Actor) -> list[dict[str, Any]]:
    """Who has sent anything, for whom an agreement can be made."""
    if not _may_look(actor):
        return []
    rows = InboundMessage.objects.filter(protocol="hl7").exclude(sending_application="").order_by()
    found = rows.values("sending_application", "sending_facility").annotate(count=Count("pk"), last=Max("received_at"))
    return list(found.order_by("sending_application", "sending_facility")[:100])
