"""The rota: who is on duty now, the week, its gaps; shifts, substitutes and duties changed in place."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from ris.accounts.models import User
from ris.accounts.web import ActorRequest, page
from ris.core.clock import database_now
from ris.core.errors import InvalidData, NotKnown
from ris.notifications import permissions as perms
from ris.notifications import rota
from ris.notifications.models import Duty, RotaShift

DAYS = 7


class ShiftForm(forms.Form):
    duty = forms.SlugField(label=gettext_lazy("Duty"), max_length=50)
    user = forms.UUIDField(label=gettext_lazy("Who"))
    starts_at = forms.DateTimeField(label=gettext_lazy("From"))
    ends_at = forms.DateTimeField(label=gettext_lazy("Until"))
    repeat_weeks = forms.IntegerField(
        label=gettext_lazy("Again in the following weeks"), min_value=0, max_value=rota.MOST_REPEATS, required=False
    )
    note = forms.CharField(label=gettext_lazy("Note"), max_length=120, required=False)


def _week_of(request: ActorRequest) -> date:
    """The Monday of the week that is asked for; this week without a readable date."""
    try:
        asked = date.fromisoformat(request.GET.get("week", ""))
    except ValueError:
        asked = timezone.localdate()
    return asked - timedelta(days=asked.weekday())


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))


def _rows(duties: list[Duty], shifts: list[RotaShift], gaps: list[rota.Gap], monday: date) -> list[dict[str, Any]]:
    days = [monday + timedelta(days=number) for number in range(DAYS)]
    rows = []
    for duty in duties:
        cells = []
        for day in days:
            begin, end = _midnight(day), _midnight(day + timedelta(days=1))
            cells.append(
                {
                    "day": day,
                    "shifts": [
                        row for row in shifts if row.duty == duty.code and row.starts_at < end and row.ends_at > begin
                    ],
                    "gaps": [gap for gap in gaps if gap.duty == duty and gap.starts_at < end and gap.ends_at > begin],
                }
            )
        rows.append({"duty": duty, "cells": cells})
    return rows


@require_GET
@page(perms.VIEW_ROTA)
def rota_page(request: ActorRequest) -> HttpResponse:
    monday = _week_of(request)
    begin, end = _midnight(monday), _midnight(monday + timedelta(days=DAYS))
    now = database_now()
    on_duty = rota.on_duty_now(now)
    duties = [entry.duty for entry in on_duty]
    shifts = rota.shifts_between(begin, end)
    gaps = rota.gaps_between(max(begin, now), end, duties=duties, shifts=shifts) if end > now else []
    may_change = request.actor.may(perms.CHANGE_ROTA)
    context = {
        "nav": "rota",
        "now_on_duty": on_duty,
        "rows": _rows(duties, shifts, gaps, monday),
        "days": [monday + timedelta(days=number) for number in range(DAYS)],
        "today": timezone.localdate(),
        "monday": monday,
        "before": monday - timedelta(days=DAYS),
        "after": monday + timedelta(days=DAYS),
        "gaps": gaps,
        "may_change": may_change,
        "people": list(rota.people_to_choose(actor=request.actor)) if may_change else [],
        "duties": duties,
    }
    return render(request, "notifications/rota.html", context)


def _back(request: ActorRequest, said: str) -> HttpResponse:
    messages.success(request, said)
    week = request.POST.get("week", "")
    try:
        query = f"?week={date.fromisoformat(week).isoformat()}"
    except ValueError:
        query = ""
    return HttpResponseRedirect(reverse("rota") + query)


def _shift(uuid: UUID) -> RotaShift:
    shift = RotaShift.objects.filter(uuid=uuid).first()
    if shift is None:
        raise NotKnown(_("There is no such shift in this facility."))
    return shift


def _person(uuid: UUID | str | None) -> User:
    person = User.objects.filter(uuid=uuid, is_active=True, is_service=False).first() if uuid else None
    if person is None:
        raise InvalidData(_("This person is not known."), errors={"user": _("Choose somebody.")})
    return person


@require_POST
@page(perms.CHANGE_ROTA)
def rota_add(request: ActorRequest) -> HttpResponse:
    form = ShiftForm(request.POST)
    if not form.is_valid():
        raise InvalidData(_("This shift cannot be kept."), errors={k: v[0] for k, v in form.errors.items()})
    said = dict(form.cleaned_data)
    said["user"] = _person(said["user"])
    said["repeat_weeks"] = said["repeat_weeks"] or 0
    rota.add_shift(**said, actor=request.actor)
    return _back(request, _("The shift is on the rota."))


@require_POST
@page(perms.CHANGE_ROTA)
def rota_substitute(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Somebody stands in; nobody chosen means that its holder is back."""
    form = forms.UUIDField(required=False)
    try:
        wanted = form.clean(request.POST.get("substitute", ""))
    except forms.ValidationError:
        raise InvalidData(_("This person is not known."), errors={"substitute": _("Choose somebody.")}) from None
    substitute = _person(wanted) if wanted else None
    rota.substitute_shift(_shift(uuid), substitute=substitute, actor=request.actor)
    return _back(request, _("The rota says who is really there."))


@require_POST
@page(perms.CHANGE_ROTA)
def rota_cancel(request: ActorRequest, uuid: UUID) -> HttpResponse:
    rota.cancel_shift(_shift(uuid), actor=request.actor)
    return _back(request, _("The shift is off the rota."))
