"""/orders/vetting/ and /orders/protocols/: what waits for a decision between the request and the exam.

A list and, beside it, the request that is looked at. Every filter and the request itself stand in the address; an
action goes on to the next request of the same list.
"""

from __future__ import annotations

import re
from typing import Any

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import permissions as perms
from orders import queues, selectors, services
from orders.models import Modality, Priority, RequestedProcedure
from orders.web.actions import Doable, local
from orders.web.forms import ProtocolForm
from ris.accounts.selectors import visible_sites
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core.errors import InvalidData, NotKnown

PER_PAGE = 50
UUID_SHAPE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
VIEWS = (
    ("waiting", gettext_lazy("To decide")),
    ("asked", gettext_lazy("Asked")),
    ("held", gettext_lazy("On hold")),
    ("overdue", gettext_lazy("Overdue")),
    ("all", gettext_lazy("All")),
)
#: What is decided in the vetting queue, in this order; the rest is done on the order's own page.
DECISIONS = ("accept", "map", "answer", "release", "ask", "hold", "reject")


def _narrowed(rows: QuerySet[RequestedProcedure], request: HttpRequest) -> QuerySet[RequestedProcedure]:
    if modalities := [value for value in request.GET.getlist("modality") if value in Modality.values]:
        rows = rows.filter(modality__in=modalities)
    if priorities := [value for value in request.GET.getlist("priority") if value in Priority.values]:
        rows = rows.filter(order__priority__in=priorities)
    if site := request.GET.get("site"):
        rows = rows.filter(order__site__code=site)
    if request.GET.get("mine"):
        rows = rows.filter(held_by=request.user)
    return rows


def _shown(rows: QuerySet[RequestedProcedure], request: HttpRequest) -> tuple[Page, RequestedProcedure | None]:
    """The page of the list, and the row of it that the address names."""
    shown = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    wanted = request.GET.get("exam", "")
    chosen = next((row for row in shown.object_list if str(row.uuid) == wanted), None)
    return shown, chosen


def _next_address(request: HttpRequest, shown: Page, chosen: RequestedProcedure | None) -> str:
    """The same list, at the row after the chosen one."""
    query = request.GET.copy()
    query.pop("exam", None)
    rows = list(shown.object_list)
    if chosen is not None and len(rows) > 1:
        at = rows.index(chosen)
        query["exam"] = str(rows[at + 1 if at + 1 < len(rows) else at - 1].uuid)
    return f"{request.path}?{query.urlencode()}" if query else request.path


def _filters(request: HttpRequest) -> dict[str, Any]:
    return {
        "modalities": Modality.choices,
        "priorities": Priority.choices,
        "sites": [(site.code, site.name) for site in visible_sites(actor=request.actor)],
    }


def _about(request: HttpRequest, row: RequestedProcedure) -> dict[str, Any]:
    """What a decision needs to know: the question, similar exams, papers, what was asked before."""
    actor = request.actor
    similar: list[RequestedProcedure] = []
    if row.catalogue is not None:
        found = selectors.similar_exams(row.order.patient, row.catalogue, actor=actor)
        similar = list(found.exclude(pk=row.pk)[:3])
        if not similar:
            last = queues.last_similar_exam(row.order.patient, row.catalogue, actor=actor)
            similar = [last] if last is not None and last.pk != row.pk else []
    papers = selectors.documents(actor=actor).filter(order=row.order_id) if actor.may(perms.VIEW_DOCUMENT) else []
    return {
        "row": row,
        "order": row.order,
        "patient": row.order.patient,
        "similar": similar,
        "papers": list(papers),
        "inquiries": list(row.inquiries.select_related("asked_by", "answered_by")),
    }


def _record(request: HttpRequest, code: str, shown: Page) -> None:
    rows = list(shown.object_list)
    patients = sorted({row.audit_patient for row in rows})
    record_read(request.actor, code, patients=patients, detail={"rows": len(rows)})


@never_cache
@page((perms.VET_PROCEDURE, perms.HOLD_PROCEDURE))
def vetting(request: HttpRequest) -> HttpResponse:
    actor = request.actor
    view = next((key for key, __ in VIEWS if key == request.GET.get("view")), "waiting")
    rows = queues.of_view(_narrowed(queues.vetting_queue(actor=actor), request), view)
    shown, chosen = _shown(rows, request)
    _record(request, perms.VET_PROCEDURE, shown)
    counts = queues.vetting_counts(actor=actor)
    for row in shown.object_list:
        row.left = queues.time_left(row)
        row.is_ready = row.status in queues.INTAKE and not row.is_unmapped
    context = {
        "nav": "vetting",
        "view": view,
        "views": [(key, words, counts[key]) for key, words in VIEWS],
        "page": shown,
        "chosen": chosen,
        "about": _about(request, chosen) if chosen is not None else None,
        "verbs": Doable(actor).of(chosen, only=DECISIONS) if chosen is not None else [],
        "next": _next_address(request, shown, chosen),
        "may_vet": actor.may(perms.VET_PROCEDURE),
        **_filters(request),
    }
    return render(request, "orders/vetting.html", context)


@require_POST
@never_cache
@page(perms.VET_PROCEDURE)
def accept_several(request: HttpRequest) -> HttpResponse:
    """Accept what is ticked; what cannot be accepted stays, and its number and reason are said."""
    actor = request.actor
    wanted = request.POST.getlist("procedure")[:PER_PAGE]
    if not wanted:
        raise InvalidData(_("Nothing is ticked."), todo=_("Tick the requests that are accepted together."))
    rows = list(selectors.procedures(actor=actor).filter(uuid__in=_uuids(wanted)).order_by("pk"))
    if not rows:
        raise NotKnown(_("There is no such exam."))
    result = services.accept_procedures(rows, actor=actor)
    flush_refusals()
    count = len(result.accepted)
    if count:
        words = ngettext("%(count)d request is accepted.", "%(count)d requests are accepted.", count)
        messages.success(request, words % {"count": count})
    for row, refusal in result.refused:
        messages.warning(request, f"{row.accession_number}: {refusal.detail} {refusal.todo}")
    return HttpResponseRedirect(local(request.POST.get("next", ""), reverse("vetting")))


def _uuids(values: list[str]) -> list[str]:
    """Those that are one; what else a form was made to send names no request."""
    return [value for value in values if UUID_SHAPE.fullmatch(value)]


@never_cache
@page(perms.VET_PROCEDURE)
def protocols(request: HttpRequest) -> HttpResponse:
    """How each accepted exam is to be done: as last time, as usual here, or in one's own words."""
    actor = request.actor
    shown, chosen = _shown(_narrowed(queues.protocol_queue(actor=actor), request), request)
    _record(request, perms.VET_PROCEDURE, shown)
    context: dict[str, Any] = {
        "nav": "protocols",
        "page": shown,
        "chosen": chosen,
        "next": _next_address(request, shown, chosen),
        **_filters(request),
    }
    if chosen is not None:
        last = queues.last_protocol(chosen, actor=actor)
        picks = queues.protocol_picks(chosen)
        context |= {
            "about": _about(request, chosen),
            "last": last,
            "picks": picks,
            "form": ProtocolForm(initial=_start(request, chosen, last, picks)),
        }
    return render(request, "orders/protocols.html", context)


def _start(
    request: HttpRequest, row: RequestedProcedure, last: RequestedProcedure | None, picks: list[dict[str, Any]]
) -> dict[str, Any]:
    """What stands in the form: the exam's own words, or those of the pick that the address names."""
    own = {
        "protocol": row.protocol,
        "contrast_decision": row.contrast_decision,
        "contrast": row.contrast,
        "comments": row.comments_to_technologist,
    }
    pick = request.GET.get("pick", "")
    if pick == "last" and last is not None:
        names = ("protocol", "contrast_decision", "contrast")
        return own | {name: getattr(last, name) for name in names} | {"comments": last.comments_to_technologist}
    if pick.isdecimal() and len(pick) < 4 and int(pick) < len(picks):
        return own | {name: picks[int(pick)][name] for name in ("protocol", "contrast_decision", "contrast")}
    return own
