from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

import peerreview.trail  # noqa: F401  what the audit trail keeps from some
from peerreview import permissions as perms
from peerreview.models import CaseStatus, LearningCase, LearningKind, ReviewCase, RoundStatus, Score
from ris.accounts.actors import actor_of
from ris.core.panels import NavItem, Panel, register_nav, register_panel


def waiting_cases(request) -> int:
    return ReviewCase.objects.filter(reviewer=request.user, status=CaseStatus.ASSIGNED).count()


register_nav(
    NavItem(
        "peer_review",
        _("Peer review"),
        "review_list",
        "list-check",
        section="quality",
        permission=perms.VIEW_ROUND,
        count=waiting_cases,
        order=20,
    )
)


def unread_feedback(request) -> int:
    return LearningCase.objects.filter(
        author=request.user, feedback_at__isnull=False, acknowledged_at__isnull=True
    ).count()


register_nav(
    NavItem(
        "peer_learning",
        _("Peer learning"),
        "learning",
        "users-group",
        section="quality",
        permission=perms.VIEW_LEARNING,
        count=unread_feedback,
        order=25,
    )
)


def running_rounds(_thing: Any = None, *, request: HttpRequest) -> dict[str, Any]:
    """For the quality lead: how far each round is, and what waits for an arbiter."""
    from peerreview import selectors

    actor = actor_of(request)
    rows = selectors.rounds(actor=actor).exclude(status=RoundStatus.CLOSED)[:ROUNDS_SHOWN]
    return {"rounds": rows, "arbitration": selectors.to_arbitrate(actor=actor).count()}


ROUNDS_SHOWN = 6
register_panel(Panel("home.main", running_rounds, "peerreview/_home_rounds.html", perms.MANAGE_ROUND, order=50))


def score_prior(version: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """Beside a prior in the editor: not for one's own report, and once. One query however many priors."""
    report, user = version.report, request.user
    if not report.is_signed or user.pk in (version.signed_by_id, report.author_id, report.preliminary_by_id):
        return None
    if "reviewed_ad_hoc" not in request.__dict__:
        own = ReviewCase.objects.filter(reviewer=user, round__isnull=True)
        request.__dict__["reviewed_ad_hoc"] = set(own.values_list("report", flat=True))
    if report.pk in request.__dict__["reviewed_ad_hoc"]:
        return None
    return {"report": report, "scores": Score.choices, "next": request.get_full_path()}


register_panel(Panel("report.prior", score_prior, "peerreview/_score_prior.html", perms.SCORE_CASE))


def submit_to_learn(report: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """Beside a signed report: worth learning from, in two clicks. Costs no query."""
    if not report.is_signed:
        return None
    return {"report": report, "kinds": LearningKind.choices, "next": request.get_full_path()}


register_panel(
    Panel("report.teaching", submit_to_learn, "peerreview/_submit_learning.html", perms.SUBMIT_LEARNING, order=110)
)
