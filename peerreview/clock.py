"""What waits too long: whoever has a case is reminded, and a round that is over closes by itself."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from peerreview.models import CaseStatus, ReviewCase, ReviewRound, RoundStatus
from peerreview.services.rounds import close_round
from peerreview.services.telling import tell_arbiters, tell_due
from ris.core.actor import SYSTEM
from ris.events.dispatcher import register_work

#: So long before the due date
REMIND = timedelta(days=3)
#: So long after the due date what is not reviewed is given up
GRACE = timedelta(days=7)


def _late() -> Q:
    """Nearly due and nobody was reminded yet; or past it, and nobody since."""
    today = timezone.localdate()
    nearly = Q(reminded_at__isnull=True, round__due_on__lte=today + REMIND)
    past = Q(round__due_on__lt=today, reminded_at__date__lte=F("round__due_on"))
    return Q(
        nearly | past,
        status__in=(CaseStatus.ASSIGNED, CaseStatus.ARBITRATION),
        round__status=RoundStatus.RUNNING,
    )


def claim_due(limit: int = 50) -> list[int]:
    """Cases of which reviewer or arbiters are to be reminded."""
    return list(ReviewCase.objects.filter(_late()).order_by("pk").values_list("pk", flat=True)[:limit])


@transaction.atomic
def remind(pk: int) -> bool:
    """One message to the reviewer or to each arbiter, however many dispatchers look."""
    case = ReviewCase.objects.select_for_update(of=("self",), skip_locked=True).filter(_late(), pk=pk).first()
    if case is None or case.round is None:
        return False
    case.reminded_at = timezone.now()
    case.save_as(SYSTEM, "Reminded")
    if case.status == CaseStatus.ARBITRATION:
        tell_arbiters(case)
    else:
        tell_due(case, f"review-due:{case.uuid}:{case.reviewer_id}:{case.version}")
    return True


def _over() -> Q:
    """Past its due date and all decided; or only scores are missing, and have been for long."""
    today = timezone.localdate()
    cases = ReviewCase.objects.filter(round=OuterRef("pk"))
    return (
        Q(status=RoundStatus.RUNNING, due_on__lt=today)
        & ~Exists(cases.filter(status=CaseStatus.ARBITRATION))
        & (Q(due_on__lt=today - GRACE) | ~Exists(cases.filter(status=CaseStatus.ASSIGNED)))
    )


def claim_over(limit: int = 20) -> list[int]:
    """Rounds that end now."""
    return list(ReviewRound.objects.filter(_over()).order_by("pk").values_list("pk", flat=True)[:limit])


@transaction.atomic
def close_over(pk: int) -> bool:
    """What nobody reviewed is listed as such. A case before an arbiter keeps its round open."""
    row = ReviewRound.objects.select_for_update(of=("self",), skip_locked=True).filter(_over(), pk=pk).first()
    if row is None:
        return False
    close_round(row, without_waiting=True, actor=SYSTEM)
    return True


register_work("peerreview.case_due", claim=claim_due, run=remind)
register_work("peerreview.round_over", claim=claim_over, run=close_over)
