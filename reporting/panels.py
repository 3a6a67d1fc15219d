"""What this app puts into the menu, onto the bell's side and onto others' pages."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from orders.timeline import SLOT
from reporting import permissions as perms
from reporting import selectors
from reporting.models import CriticalResult
from reporting.selectors.critical import board_counts
from reporting.selectors.reading import ReadingFilter, built_in_lists, minutes_left
from ris.accounts.actors import actor_of
from ris.core.actor import SYSTEM
from ris.core.panels import NavItem, Panel, register_nav, register_panel
from ris.core.permissions import RADIOLOGIST, READERS, REFERRER, RESIDENT


def _unread(request: HttpRequest) -> int | None:
    every = [entry for entry in built_in_lists(actor_of(request)) if entry.key == "all"]
    return selectors.list_counts(every, actor=actor_of(request))[0][1] or None


def _open_critical(request: HttpRequest) -> int | None:
    return CriticalResult.objects.visible_to(actor_of(request)).filter(status="open").count() or None


def _unread_results(request: HttpRequest) -> int | None:
    if not request.user.has_role(REFERRER):  # type: ignore[union-attr]
        return None
    return selectors.inbox_counts(actor=actor_of(request))["unread"] or None


register_nav(
    NavItem(
        "reading", _("Reading"), "reading_list", "eye", "work", perms.VIEW_READING_LIST, _unread, mobile=True, order=50
    ),
    NavItem(
        "critical",
        _("Critical"),
        "critical_board",
        "alert-octagon",
        "work",
        perms.VIEW_CRITICAL,
        _open_critical,
        hot=True,
        order=60,
    ),
    NavItem(
        "results",
        _("Results"),
        "result_inbox",
        "mail",
        "work",
        perms.VIEW_RESULT,
        _unread_results,
        mobile=True,
        order=70,
    ),
    NavItem("analytics", _("Analytics"), "analytics", "chart-bar", "quality", perms.VIEW_ANALYTICS, order=30),
)


def _timeline(procedure: Any, *, request: HttpRequest | None = None) -> dict[str, Any]:
    actor = SYSTEM if request is None or not request.user.is_authenticated else actor_of(request)
    return {"entries": selectors.history_entries(procedure, actor=actor)}


def _home_of_reader(_obj: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    if not request.user.has_role(*READERS):  # type: ignore[union-attr]
        return None
    actor = actor_of(request)
    entries = selectors.list_counts(built_in_lists(actor), actor=actor)
    first = list(selectors.reading_list(actor=actor, filters=ReadingFilter())[:8])
    for row in first:
        row.minutes_left, row.minutes_total = minutes_left(row)
    mine = selectors.critical_board(actor=actor, box="mine")[:5]
    return {"entries": entries, "first": first, "mine": mine}


def _home_of_referrer(_obj: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    if not request.user.has_role(REFERRER):  # type: ignore[union-attr]
        return None
    actor = actor_of(request)
    return {
        "counts": selectors.inbox_counts(actor=actor),
        "lines": list(selectors.inbox(actor=actor)[:8]),
        "critical": board_counts(actor=actor)["open"],
    }


register_panel(Panel(SLOT, _timeline, "reporting/_nothing.html", perms.VIEW_REPORT, key="reporting"))
for _role in (RADIOLOGIST, RESIDENT):
    register_panel(
        Panel(
            f"home.{_role}",
            _home_of_reader,
            "reporting/_home_reader.html",
            perms.VIEW_READING_LIST,
            order=10,
            key="reading",
        )
    )
register_panel(
    Panel(
        f"home.{REFERRER}",
        _home_of_referrer,
        "reporting/_home_referrer.html",
        perms.VIEW_RESULT,
        order=10,
        key="results",
    )
)
