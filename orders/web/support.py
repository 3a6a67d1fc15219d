"""What several pages share: the patient who is asked for, pages by cursor, the steps of an exam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders import selectors
from orders.models import Patient, RequestedProcedure
from ris.audit.models import Action
from ris.audit.service import refused
from ris.core.errors import NotKnown, NotPermitted
from ris.core.text import clock, day
from ris.events.models import IdempotencyRecord

PER_PAGE = 50
STEPS = (
    (gettext_lazy("Ordered"), "created_at"),
    (gettext_lazy("Arrived"), "arrived_at"),
    (gettext_lazy("Started"), "started_at"),
    (gettext_lazy("Performed"), "performed_at"),
    (gettext_lazy("Images in"), "images_complete_at"),
    (gettext_lazy("Signed"), "verified_at"),
    (gettext_lazy("Acknowledged"), "distributed_at"),
)


class Restricted(Exception):
    """The patient is there, and only a grant or an emergency opens the record."""

    def __init__(self, patient: Patient) -> None:
        super().__init__("restricted")
        self.patient = patient


def patient_or_404(request: HttpRequest, uuid: UUID) -> Patient:
    """Raises Restricted when break-glass would open it, NotKnown otherwise."""
    actor = request.actor
    patient = selectors.all_patients(actor=actor).filter(uuid=uuid).first()
    if patient is not None:
        return patient
    hidden = selectors.is_restricted_for(uuid, actor=actor)
    if hidden is not None and actor.may("accounts.break_glass"):
        raise Restricted(hidden)
    raise NotKnown(_("There is no such patient."), todo=_("Search for the patient by name or number."))


def restricted_page(request: HttpRequest, patient: Patient) -> HttpResponse:
    """Says that the record is restricted and offers the emergency access; names nobody."""
    refusal = NotPermitted("restricted")
    refused(request.actor, "orders.view_patient", Action.READ, refusal, entity=patient)
    return render(request, "orders/restricted.html", {"patient_uuid": patient.uuid, "nav": "patients"}, status=403)


@dataclass(frozen=True)
class CursorPage:
    """One page of a list by keys: no count, no offset, so that it costs the same wherever it stands."""

    rows: list[Any]
    next: str = ""
    previous: str = ""


def cursor_page(queryset: QuerySet, cursor: str, *, per_page: int = PER_PAGE) -> CursorPage:
    """``cursor``: ``<key`` for what is older than the key, ``>key`` for what is newer; newest first."""
    direction, key = cursor[:1], cursor[1:]
    is_back = direction == "n" and key.isdecimal()
    if is_back:
        rows = list(queryset.filter(pk__gt=int(key)).order_by("pk")[: per_page + 1])
        more_newer = len(rows) > per_page
        rows = list(reversed(rows[:per_page]))
        more_older = True
    else:
        if direction == "o" and key.isdecimal():
            queryset = queryset.filter(pk__lt=int(key))
        rows = list(queryset.order_by("-pk")[: per_page + 1])
        more_older = len(rows) > per_page
        rows = rows[:per_page]
        more_newer = direction == "o" and key.isdecimal()
    return CursorPage(
        rows,
        next=f"o{rows[-1].pk}" if rows and more_older else "",
        previous=f"n{rows[0].pk}" if rows and more_newer else "",
    )


def once(request: HttpRequest, route: str, work: Callable[[], str]) -> HttpResponse:
    """Go to the address that ``work`` answers. A form that is sent twice (its hidden ``once``) does its work once."""
    key = request.POST.get("once", "")[:64]
    if not key:
        return HttpResponseRedirect(work())
    principal = str(request.user.uuid)
    with transaction.atomic():
        record, is_new = IdempotencyRecord.objects.get_or_create(
            principal=principal, route=f"page:{route}"[:300], key=key, defaults={"body_hash": ""}
        )
        if is_new:
            record.status, record.body = 302, {"location": work()}
            record.save()
        return HttpResponseRedirect(record.body["location"])


def answered(request: HttpRequest, route: str) -> HttpResponse | None:
    """Where a form that was sent before has led, if it has."""
    record = IdempotencyRecord.objects.filter(
        principal=str(request.user.uuid),
        route=f"page:{route}"[:300],
        key=request.POST.get("once", "")[:64],
    ).first()
    return HttpResponseRedirect(record.body["location"]) if record is not None and record.body else None


def steps_of(procedure: RequestedProcedure) -> list[tuple[Any, datetime | None, str]]:
    """The stations of an exam, when each was reached, and that in short: the time of today, else the day."""
    today = timezone.localdate()
    steps = []
    for words, name in STEPS:
        at = getattr(procedure, name)
        is_today = at is not None and timezone.localtime(at).date() == today
        steps.append((words, at, clock(at) if is_today else day(at) if at else ""))
    return steps
