"""Who hears what: reviewers and arbiters of their cases, the author alone of a discrepancy, the lead of the answer."""

from django.urls import reverse

from peerreview import clock
from peerreview.events import (
    CasePassedOn,
    CaseToArbitrate,
    DiscrepancyAnswered,
    DiscrepancyConfirmed,
    FeedbackGiven,
    LearningCaseDeclined,
    LearningCaseSubmitted,
    RoundClosed,
    RoundLaunched,
)
from peerreview.models import CaseStatus, Discrepancy, LearningCase, ReviewCase, ReviewRound
from peerreview.services.telling import tell_arbiters
from ris.accounts.models import User
from ris.accounts.selectors import users_with_role
from ris.core.permissions import QA_LEAD
from ris.events.bus import subscribe
from ris.notifications.models import Channel
from ris.notifications.services import notify, notify_all

__all__ = ["clock"]


@subscribe(RoundLaunched, name="peerreview.tell_reviewers")
def tell_reviewers(event: RoundLaunched) -> None:
    """Once each, however many cases."""
    review_round = ReviewRound.objects.get(uuid=event.subject)
    waiting = review_round.cases.filter(status=CaseStatus.ASSIGNED).order_by().values("reviewer")
    notify_all(
        User.objects.filter(pk__in=waiting, is_active=True),
        template="peerreview.round_launched",
        subject=str(review_round.uuid),
        url=reverse("review_list"),
        context={"due_on": str(review_round.due_on or "")},
        dedupe_key=f"review-round:{review_round.uuid}",
    )


@subscribe(CasePassedOn, name="peerreview.tell_next_reviewer")
def tell_next_reviewer(event: CasePassedOn) -> None:
    case = ReviewCase.objects.select_related("reviewer").get(uuid=event.subject)
    if case.status == CaseStatus.ASSIGNED:
        notify(
            user=case.reviewer,
            channel=Channel.IN_APP,
            template="peerreview.case_passed_on",
            subject=str(case.uuid),
            url=reverse("review_case", kwargs={"uuid": case.uuid}),
            dedupe_key=f"passed-on:{case.uuid}:{event.version}",
        )


@subscribe(CaseToArbitrate, name="peerreview.tell_arbiters")
def tell_those_who_may_arbitrate(event: CaseToArbitrate) -> None:
    case = ReviewCase.objects.select_related("round", "report", "report_version").get(uuid=event.subject)
    tell_arbiters(case)


@subscribe(RoundClosed, name="peerreview.tell_lead_of_end")
def tell_lead_of_end(event: RoundClosed) -> None:
    """Of a round that the clock closed; whoever closes one by hand knows."""
    if not event.by_itself:
        return
    review_round = ReviewRound.objects.get(uuid=event.subject)
    notify_all(
        users_with_role(QA_LEAD),
        template="peerreview.round_closed",
        subject=str(review_round.uuid),
        url=reverse("review_round", kwargs={"uuid": review_round.uuid}),
        context={"not_reviewed": event.not_reviewed},
        dedupe_key=f"round-closed:{review_round.uuid}",
    )


@subscribe(DiscrepancyConfirmed, name="peerreview.tell_author")
def tell_author(event: DiscrepancyConfirmed) -> None:
    case = ReviewCase.objects.select_related("report_version__signed_by", "discrepancy").get(uuid=event.subject)
    notify(
        user=case.report_version.signed_by,
        channel=Channel.IN_APP,
        template="peerreview.discrepancy",
        subject=str(case.discrepancy.uuid),
        url=reverse("review_discrepancy", kwargs={"uuid": case.discrepancy.uuid}),
        dedupe_key=f"discrepancy:{case.uuid}",
    )


@subscribe(DiscrepancyAnswered, name="peerreview.tell_lead")
def tell_lead(event: DiscrepancyAnswered) -> None:
    discrepancy = Discrepancy.objects.select_related("case__report_version").get(uuid=event.subject)
    notify_all(
        users_with_role(QA_LEAD).exclude(pk=discrepancy.case.report_version.signed_by_id),
        template="peerreview.discrepancy_answered",
        subject=str(discrepancy.uuid),
        url=reverse("review_discrepancy", kwargs={"uuid": discrepancy.uuid}),
        dedupe_key=f"discrepancy-answered:{discrepancy.uuid}:{event.version}",
    )


@subscribe(LearningCaseSubmitted, name="peerreview.tell_coordinators")
def tell_coordinators(event: LearningCaseSubmitted) -> None:
    """That something waits; neither who submitted it (were it one of them, leaving them out would say so) nor whose."""
    case = LearningCase.objects.get(uuid=event.subject)
    notify_all(
        users_with_role(QA_LEAD).exclude(pk=case.author_id),
        template="peerreview.learning_submitted",
        subject=str(case.uuid),
        url=reverse("learning_case", kwargs={"uuid": case.uuid}),
        dedupe_key=f"learning-submitted:{case.uuid}",
    )


@subscribe(LearningCaseDeclined, name="peerreview.tell_submitter")
def tell_submitter(event: LearningCaseDeclined) -> None:
    case = LearningCase.objects.select_related("submitted_by").get(uuid=event.subject)
    notify(
        user=case.submitted_by,
        channel=Channel.IN_APP,
        template="peerreview.learning_declined",
        subject=str(case.uuid),
        url=reverse("learning"),
        dedupe_key=f"learning-declined:{case.uuid}",
    )


@subscribe(FeedbackGiven, name="peerreview.tell_author_of_feedback")
def tell_author_of_feedback(event: FeedbackGiven) -> None:
    case = LearningCase.objects.select_related("author").get(uuid=event.subject)
    notify(
        user=case.author,
        channel=Channel.IN_APP,
        template="peerreview.feedback",
        subject=str(case.uuid),
        url=reverse("learning_feedback", kwargs={"uuid": case.uuid}),
        dedupe_key=f"learning-feedback:{case.uuid}",
    )
