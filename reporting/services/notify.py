"""Whom to tell, and telling them through ris.notifications. Why, and who comes next, is decided here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orders.models import RequestedProcedure
from reporting.models import CriticalResult, Report
from ris.accounts.models import User
from ris.accounts.selectors import users_with_role
from ris.core.permissions import QA_LEAD, RADIOLOGIST
from ris.notifications.models import Channel
from ris.notifications.services import notify_all, on_duty

#: The chain behind the requester: duties of the rota, one level each; the last goes on until somebody answers.
CHAIN = ("ward", "department-head", "radiologist-on-call")
URGENT_CHANNELS = (Channel.IN_APP, Channel.EMAIL, Channel.SMS)


def tell(
    users: Iterable[User],
    template: str,
    *,
    url: str,
    subject: str,
    context: dict[str, Any],
    once: str = "",
    urgent: bool = False,
) -> int:
    """Notify each of them; ``once`` keeps a repeat from telling them again. Answers how many messages there are."""
    channels = URGENT_CHANNELS if urgent else (Channel.IN_APP,)
    rows = notify_all(
        users, channels=channels, dedupe_key=once, template=template, url=url, subject=subject, context=context
    )
    return len(rows)


def contacts_at(critical: CriticalResult, level: int) -> list[User]:
    """The people of a level of the chain: requester; ward; head of department; radiologist on call.

    A level that is not staffed passes to the next; behind the last stand all radiologists, so it is never silent.
    """
    if level == 0:
        requester = critical.procedure.order.requester
        people = [requester.user] if requester and requester.user and requester.user.is_active else []
        return people or contacts_at(critical, 1)
    for duty in CHAIN[level - 1 :] or CHAIN[-1:]:
        people = list(on_duty(duty))
        if people:
            return _with_raiser(people, critical)
    everybody = users_with_role(RADIOLOGIST) if level <= len(CHAIN) else users_with_role(RADIOLOGIST, QA_LEAD)
    return _with_raiser(list(everybody.order_by("pk")), critical)


def _with_raiser(people: list[User], critical: CriticalResult) -> list[User]:
    """Whoever raised it hears that nobody has answered."""
    raiser = critical.raised_by
    if raiser is not None and raiser.is_active and raiser not in people:
        people.append(raiser)
    return people


def tell_images_moved(procedure: RequestedProcedure, *, once: str) -> int:
    """The images that a report was written on belong to another exam: everybody who wrote it is told."""
    count = 0
    for report in Report.objects.filter(procedures=procedure).exclude(status="cancelled").order_by("pk"):
        writers = (report.author_id, report.edited_by_id, report.preliminary_by_id, report.signed_by_id)
        keys = {key for key in writers if key is not None}
        count += tell(
            User.objects.filter(pk__in=keys, is_active=True).order_by("pk"),
            "reporting.images_moved",
            url=f"/reports/{report.uuid}/",
            subject=str(report.uuid),
            context={"accession_number": procedure.accession_number},
            once=once,
            urgent=True,
        )
    return count
