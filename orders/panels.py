"""Menu entries of patients and orders, and what the clerk's and the referrer's home page shows of them."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders import panels_billing, queues, selectors
from orders import permissions as perms
from orders.models import ProcedureStatus
from orders.querysets import is_bound_to_own_orders
from orders.services.lifecycle import HELD
from ris.accounts.actors import actor_of
from ris.core.ids import uuid7
from ris.core.panels import NavItem, Panel, register_nav, register_panel
from ris.core.permissions import CLERK, READERS, REFERRER

#: Its panels register themselves.
__all__ = ["panels_billing"]

S = ProcedureStatus
ROWS = 8


def _is_at_work(request: HttpRequest, *roles: str) -> bool:
    return bool(request.user.has_role(*roles))


def waiting_requests(request: HttpRequest) -> int | None:
    """Requests that the desk can move on; what readers decide about is counted beside the vetting queue."""
    if _is_at_work(request, *READERS):
        return None
    return sum(selectors.counts_by_status(actor=actor_of(request)).values()) or None


def to_vet(request: HttpRequest) -> int | None:
    """What waits for a decision, for readers; holds past their time for the others."""
    counts = queues.vetting_counts(actor=actor_of(request))
    return counts["waiting" if _is_at_work(request, *READERS) else "overdue"] or None


def to_protocol(request: HttpRequest) -> int | None:
    return queues.protocol_count(actor=actor_of(request)) or None


def desk_actions(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _is_at_work(request, CLERK):
        return None
    return {"may_register": request.user.may(perms.REGISTER_PATIENT), "once_unknown": uuid7()}


def desk_stats(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _is_at_work(request, CLERK, *READERS):
        return None
    actor = actor_of(request)
    counts = selectors.counts_by_status(actor=actor)
    late = queues.of_view(queues.vetting_queue(actor=actor), "overdue").count()
    is_reader = _is_at_work(request, *READERS)
    return {
        "to_schedule": counts.get(S.ACCEPTED, 0),
        "vetting": counts.get(S.VETTING, 0) + counts.get(S.REQUESTED, 0),
        "held": counts.get(S.ON_HOLD, 0) + counts.get(S.INFO_REQUESTED, 0),
        "late": late,
        "unmapped": counts.get(S.REQUESTED, 0),
        "to_protocol": queues.protocol_count(actor=actor) if is_reader else 0,
        "is_reader": is_reader,
        "is_desk": _is_at_work(request, CLERK),
    }


def needs_you(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """What this person looks after, holds of anybody whose time is over, and codes that nobody has mapped."""
    if not _is_at_work(request, CLERK, *READERS):
        return None
    own = Q(status__in=HELD, held_by=request.user)
    late = Q(status__in=HELD, held_until__lt=timezone.now())
    rows = selectors.procedures(actor=actor_of(request)).filter(own | late | Q(status=S.REQUESTED))
    found = list(rows.select_related("held_by").order_by("held_until", "pk")[:ROWS])
    for row in found:
        row.left = queues.time_left(row)
    return {"rows": found}


def questions(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """What the department asks about this physician's requests."""
    if not _is_at_work(request, REFERRER):
        return None
    rows = list(queues.questions_to(request.user, actor=actor_of(request))[:ROWS])
    return {"rows": rows} if rows else None


def own_orders(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _is_at_work(request, REFERRER) or not is_bound_to_own_orders(request.user):
        return None
    return {"rows": list(selectors.procedures(actor=actor_of(request)).order_by("-pk")[: ROWS * 2])}


register_nav(
    NavItem(
        "patients",
        _("Patients"),
        "patient_list",
        "users",
        section="work",
        permission=perms.VIEW_PATIENT,
        mobile=True,
        order=10,
    ),
    NavItem(
        "orders",
        _("Orders"),
        "order_list",
        "clipboard-list",
        section="work",
        permission=perms.VIEW_ORDER,
        count=waiting_requests,
        mobile=True,
        order=20,
    ),
    NavItem(
        "vetting",
        _("Vetting"),
        "vetting",
        "clipboard-search",
        section="work",
        permission=(perms.VET_PROCEDURE, perms.HOLD_PROCEDURE),
        count=to_vet,
        order=22,
    ),
    NavItem(
        "protocols",
        _("Protocols"),
        "protocols",
        "clipboard-check",
        section="work",
        permission=perms.VET_PROCEDURE,
        count=to_protocol,
        order=24,
    ),
    NavItem(
        "catalogue",
        _("Catalogue"),
        "catalogue_list",
        "list-details",
        section="system",
        permission=perms.MANAGE_CATALOGUE,
        order=60,
    ),
)
register_panel(
    Panel("home.actions", desk_actions, "orders/_home_actions.html", permission=perms.VIEW_PATIENT, order=10),
    Panel("home.stats", desk_stats, "orders/_home_stats.html", permission=perms.VIEW_ORDER, order=50),
    Panel("home.alerts", questions, "orders/_home_questions.html", permission=perms.ANSWER_INQUIRY, order=30),
    Panel("home.side", needs_you, "orders/_home_needs_you.html", permission=perms.VIEW_ORDER, order=50),
    Panel("home.main", own_orders, "orders/_home_own_orders.html", permission=perms.VIEW_ORDER, order=50),
)
