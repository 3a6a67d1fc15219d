from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from peerreview import permissions as perms
from peerreview.models import CaseStatus, ReviewCase, RoundStatus
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


def running_rounds(_thing: Any = None, *, request: HttpRequest) -> dict[str, Any]:
    """For the quality lead: how far each round is, and what waits for an arbiter."""
    from peerreview import selectors

    actor = actor_of(request)
    rows = selectors.rounds(actor=actor).exclude(status=RoundStatus.CLOSED)[:ROUNDS_SHOWN]
    return {"rounds": rows, "arbitration": selectors.to_arbitrate(actor=actor).count()}


ROUNDS_SHOWN = 6
register_panel(Panel("home.main", running_rounds, "peerreview/_home_rounds.html", perms.MANAGE_ROUND, order=50))
