"""Telling people through ris.notifications. Why is decided here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orders.models import RequestedProcedure
from reporting.models import Report
from ris.accounts.models import User
from ris.notifications.models import Channel
from ris.notifications.services import notify_all

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
