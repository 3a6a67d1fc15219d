"""Messages about cases: to a reviewer whose case waits, to those who may arbitrate. No score, name or exam in them."""

from __future__ import annotations

from django.db.models import prefetch_related_objects
from django.urls import reverse
from django.utils import timezone

from peerreview import permissions as perms
from peerreview.models import CaseStatus, ReviewCase
from peerreview.services.sampling import is_eligible, reports_seen_by
from ris.accounts.models import User
from ris.notifications.models import Channel
from ris.notifications.services import notify, notify_all

#: What ``is_eligible`` asks of a case, at once for however many people
SIGNATURES = "report_version__report__versions__co_signatures"


def tell_due(case: ReviewCase, dedupe_key: str) -> None:
    notify(
        user=case.reviewer,
        channel=Channel.IN_APP,
        template="peerreview.case_due",
        subject=str(case.uuid),
        url=reverse("review_case", kwargs={"uuid": case.uuid}),
        dedupe_key=dedupe_key,
    )


def arbiters_of(case: ReviewCase) -> list[User]:
    """Who may decide: neither reviewer nor author, and the exam is theirs to see."""
    prefetch_related_objects([case], SIGNATURES)
    people = User.objects.filter(is_active=True, is_service=False).exclude(pk=case.reviewer_id)
    able = [
        person
        for person in people.prefetch_related("roles").order_by("pk")
        if person.may(perms.ARBITRATE_CASE) and is_eligible(person, case.report_version)
    ]
    seen = reports_seen_by(able, [case.report_version])
    return [person for person in able if case.report_id in seen[person.pk]]


def tell_arbiters(case: ReviewCase) -> None:
    """That something waits for a third reader: once for each of them, round and day, however many cases."""
    if case.status != CaseStatus.ARBITRATION:
        return
    of = case.round.uuid if case.round is not None else "no-round"
    notify_all(
        arbiters_of(case),
        template="peerreview.to_arbitrate",
        subject=str(case.uuid),
        url=reverse("review_list"),
        dedupe_key=f"to-arbitrate:{of}:{timezone.localdate()}",
    )
