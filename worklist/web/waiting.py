"""/schedule/waiting/: who waits for a time that gets free, and what is offered to whom now."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders.models import Modality
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core.errors import DomainError, NotKnown
from worklist import permissions as perms
from worklist import services
from worklist.models import SlotOffer, WaitingEntry
from worklist.selectors import planning
from worklist.web.day import schedule_url
from worklist.web.search import tell_booked

SHOWN = 200


@never_cache
@page(perms.VIEW_SCHEDULE)
def waiting_list(request: HttpRequest) -> HttpResponse:
    return _waiting_page(request)


def _waiting_page(request: HttpRequest, *, refusal: DomainError | None = None, status: int = 200) -> HttpResponse:
    """In the order in which they are asked; what is offered now stands above."""
    actor = request.actor
    open_rows = planning.waiting_list(actor=actor).filter(status__in=("waiting", "offered"))
    modality = request.GET.get("modality", "")
    if modality in Modality.values:
        open_rows = open_rows.filter(procedure__modality=modality)
    rows: list[WaitingEntry] = list(open_rows[:SHOWN])
    patients = sorted({row.audit_patient for row in rows})
    record_read(actor, perms.VIEW_SCHEDULE, patients=patients, detail={"page": "waiting list", "rows": len(rows)})
    context = {
        "nav": "waiting_list",
        "rows": [row for row in rows if not row.open_offers],
        "offered": [row for row in rows if row.open_offers],
        "modalities": [(value, value) for value in Modality.values],
        "today": timezone.localdate(),
        "may_book": actor.may(perms.BOOK_APPOINTMENT),
        "refusal": refusal,
        "is_cut": len(rows) == SHOWN,
    }
    return render(request, "worklist/waiting.html", context, status=status)


def _offer(request: HttpRequest, uuid: UUID) -> SlotOffer:
    row = planning.offers(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such offer."), todo=_("Look at the waiting list."))
    return row


def _back() -> HttpResponse:
    return HttpResponseRedirect(reverse("waiting_list"))


def _answered(request: HttpRequest, service: Any, row: Any, **fields: Any) -> Any:
    """What the service answers, or the page with its refusal."""
    try:
        return service(row, **fields, actor=request.actor)
    except DomainError as refusal:
        flush_refusals()
        return _waiting_page(request, refusal=refusal, status=refusal.http_status)


@require_POST
@page(perms.BOOK_APPOINTMENT)
def offer_accept(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """They come: booked, and shown on the schedule."""
    answer = _answered(request, services.accept_offer, _offer(request, uuid))
    if isinstance(answer, HttpResponse):
        return answer
    tell_booked(request, answer)
    return HttpResponseRedirect(schedule_url(timezone.localtime(answer.starts_at).date()))


@require_POST
@page(perms.BOOK_APPOINTMENT)
def offer_decline(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """They cannot come: the next is asked."""
    answer = _answered(request, services.decline_offer, _offer(request, uuid), reason=request.POST.get("reason", ""))
    if isinstance(answer, HttpResponse):
        return answer
    messages.success(request, _("Noted. The time is offered to who is next."))
    return _back()


@require_POST
@page(perms.BOOK_APPOINTMENT)
def waiting_withdraw(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Waits no more."""
    row = planning.waiting_list(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such entry."), todo=_("Look at the waiting list."))
    answer = _answered(request, services.withdraw_waiting_entry, row, reason=request.POST.get("reason", ""))
    if isinstance(answer, HttpResponse):
        return answer
    messages.success(request, _("Taken from the waiting list."))
    return _back()
