"""Cases that are nearly due: their reviewers are reminded once."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from peerreview.models import CaseStatus, ReviewCase, RoundStatus
from ris.core.actor import SYSTEM
from ris.events.dispatcher import register_work
from ris.notifications.models import Channel
from ris.notifications.services import notify

#: So long before the due date
REMIND = timedelta(days=3)


def _late() -> Q:
    return Q(
        status=CaseStatus.ASSIGNED,
        reminded_at__isnull=True,
        round__status=RoundStatus.RUNNING,
        round__due_on__lte=timezone.localdate() + REMIND,
    )


def claim_due(limit: int = 50) -> list[int]:
    """Cases whose reviewer was not reminded yet."""
    return list(ReviewCase.objects.filter(_late()).order_by("pk").values_list("pk", flat=True)[:limit])


@transaction.atomic
def remind(pk: int) -> bool:
    """One message to the reviewer, however many dispatchers look."""
    case = ReviewCase.objects.select_for_update(of=("self",), skip_locked=True).filter(_late(), pk=pk).first()
    if case is None or case.round is None:
        return False
    case.reminded_at = timezone.now()
    case.save_as(SYSTEM, "Reminded")
    tell_due(case, f"review-due:{case.uuid}:{case.reviewer_id}:{case.round.due_on}")
    return True


def tell_due(case: ReviewCase, dedupe_key: str) -> None:
    notify(
        user=case.reviewer,
        channel=Channel.IN_APP,
        template="peerreview.case_due",
        subject=str(case.uuid),
        url=reverse("review_case", kwargs={"uuid": case.uuid}),
        dedupe_key=dedupe_key,
    )


register_work("peerreview.case_due", claim=claim_due, run=remind)
