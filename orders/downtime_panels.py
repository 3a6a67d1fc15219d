"""The downtime in the menu, as a bar above every page while one runs, and at the exams that were made of a sheet."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders import permissions as perms
from orders.downtime_lists import running_downtime
from orders.models import DowntimeForm, RequestedProcedure
from orders.timeline import SLOT, TimelineEntry
from ris.accounts.actors import actor_of
from ris.core.panels import NavItem, Panel, register_nav, register_panel
from ris.core.text import stamp

CODES = (perms.PRINT_DOWNTIME, perms.ENTER_DOWNTIME, perms.DECLARE_DOWNTIME)


def bar(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    actor = actor_of(request)
    period = running_downtime(actor=actor)
    return {"period": period, "may_look": actor.may(perms.VIEW_DOWNTIME)} if period is not None else None


def form_of(procedure: RequestedProcedure) -> DowntimeForm | None:
    try:
        return procedure.downtime_form
    except ObjectDoesNotExist:
        return None


def exam_note(procedure: RequestedProcedure, *, request: HttpRequest) -> dict[str, Any] | None:
    """That its times come from paper: turnaround is to be read with that in mind."""
    form = form_of(procedure)
    return {"form": form} if form is not None else None


def timeline(procedure: RequestedProcedure, *, request: HttpRequest | None = None) -> dict[str, Any]:
    """When the paper says it was, beside when it was typed."""
    form = form_of(procedure)
    if form is None or form.entered_at is None:
        return {"entries": []}
    who = form.technologist
    entries = [
        TimelineEntry(at, who, "paper", words, "exam", "", _("Downtime form %(label)s") % {"label": form.label})
        for at, words in (
            (form.arrived_at, _("Arrived, as written")),
            (form.started_at, _("Started, as written")),
            (form.ended_at, _("Ended, as written")),
        )
        if at is not None
    ]
    typist = form.entered_by.display_name if form.entered_by else ""
    words = _("Entered from downtime form %(label)s") % {"label": form.label}
    detail = stamp(timezone.localtime(form.entered_at))
    entries.append(TimelineEntry(form.entered_at, typist, form.entered_through, words, "change", "", detail))
    return {"entries": entries}


register_nav(
    NavItem("downtime", gettext_lazy("Downtime"), "downtime", "plug-connected-x", "work", permission=CODES, order=95)
)
register_panel(
    Panel("shell.banner", bar, "orders/_downtime_bar.html"),
    Panel("order.exam", exam_note, "orders/_downtime_exam.html", permission=perms.VIEW_ORDER, order=90),
    Panel(SLOT, timeline, "orders/_downtime_exam.html", None, key="orders.downtime"),
)
