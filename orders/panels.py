"""Menu entries of patients and orders, and what the clerk's and the referrer's home page shows of them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders import permissions as perms
from orders import selectors
from orders.models import ProcedureStatus, RequestedProcedure
from orders.querysets import is_bound_to_own_orders
from ris.accounts.actors import actor_of
from ris.core.panels import NavItem, Panel, register_nav, register_panel
from ris.core.permissions import CLERK, READERS, REFERRER

S = ProcedureStatus
ROWS = 8


def _is_at_work(request: HttpRequest, *roles: str) -> bool:
    return bool(request.user.has_role(*roles))


def waiting_requests(request: HttpRequest) -> int | None:
    """Requests that this person can move on: to schedule for the desk, to vet for readers."""
    counts = selectors.counts_by_status(actor=actor_of(request))
    if _is_at_work(request, *READERS):
        return counts.get(S.VETTING, 0) or None
    return sum(counts.values()) or None


def desk_actions(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _is_at_work(request, CLERK):
        return None
    return {"may_register": request.user.may(perms.REGISTER_PATIENT)}


def desk_stats(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _is_at_work(request, CLERK, *READERS):
        return None
    actor = actor_of(request)
    counts = selectors.counts_by_status(actor=actor)
    held = RequestedProcedure.objects.visible_to(actor).filter(status__in=(S.ON_HOLD, S.INFO_REQUESTED))
    late = held.filter(held_until__lt=timezone.now()).count()
    return {
        "to_schedule": counts.get(S.ACCEPTED, 0),
        "vetting": counts.get(S.VETTING, 0),
        "held": counts.get(S.ON_HOLD, 0) + counts.get(S.INFO_REQUESTED, 0),
        "late": late,
        "unmapped": counts.get(S.REQUESTED, 0),
        "is_desk": _is_at_work(request, CLERK),
    }


def needs_you(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """Holds whose time is over, and codes that nobody has mapped."""
    if not _is_at_work(request, CLERK, *READERS):
        return None
    rows = selectors.procedures(actor=actor_of(request)).filter(status__in=(S.ON_HOLD, S.INFO_REQUESTED, S.REQUESTED))
    return {"rows": list(rows.order_by("held_until", "pk")[:ROWS])}


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
)
register_panel(
    Panel("home.actions", desk_actions, "orders/_home_actions.html", permission=perms.VIEW_PATIENT, order=10),
    Panel("home.stats", desk_stats, "orders/_home_stats.html", permission=perms.VIEW_ORDER, order=50),
    Panel("home.side", needs_you, "orders/_home_needs_you.html", permission=perms.VIEW_ORDER, order=50),
    Panel("home.main", own_orders, "orders/_home_own_orders.html", permission=perms.VIEW_ORDER, order=50),
)
