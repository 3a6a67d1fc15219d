"""/schedule/plan/: a week of who works where, and what is closed or kept for emergencies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from ris.accounts.models import Site, User
from ris.accounts.selectors import users_with_role
from ris.accounts.web import page
from ris.core.errors import DomainError, NotKnown
from ris.core.permissions import TECHNOLOGIST
from worklist import permissions as perms
from worklist import selectors, services
from worklist.models import ClosureKind, KeptFor, Room
from worklist.selectors import planning
from worklist.web.forms import DayInput, TimeInput, add_refusal, moment

DAYS_SHOWN = 7
#: Where the services' words are shown when the form asks for it in parts
FIELDS = {"ends_at": "ends", "starts_at": "begins", "site": "place"}


class ShiftForm(forms.Form):
    technologist = forms.ChoiceField(label=gettext_lazy("Who"))
    room = forms.ChoiceField(label=gettext_lazy("Room"))
    day = forms.DateField(label=gettext_lazy("Day"), widget=DayInput)
    begins = forms.TimeField(label=gettext_lazy("From"), widget=TimeInput)
    ends = forms.TimeField(
        label=gettext_lazy("Until"), widget=TimeInput, help_text=gettext_lazy("Earlier than the start: the next day.")
    )
    note = forms.CharField(label=gettext_lazy("Note"), max_length=200, required=False)

    def __init__(self, data: Any = None, *, rooms: list[Room], people: list[User], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.rooms = {row.code: row for row in rooms}
        self.people = {str(row.uuid): row for row in people}
        choose = ("", _("Choose"))
        self.fields["technologist"].choices = [
            choose,
            *((key, row.display_name) for key, row in self.people.items()),
        ]
        self.fields["room"].choices = [choose, *((row.code, row.name) for row in rooms)]

    def service_fields(self) -> dict[str, Any]:
        data = self.cleaned_data
        begins, ends = span(data["day"], data["begins"], data["ends"])
        return {
            "technologist": self.people[data["technologist"]],
            "room": self.rooms[data["room"]],
            "starts_at": begins,
            "ends_at": ends,
            "note": data["note"],
        }


class ClosureForm(forms.Form):
    place = forms.ChoiceField(label=gettext_lazy("What is closed"))
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), choices=ClosureKind.choices)
    first_day = forms.DateField(label=gettext_lazy("From"), widget=DayInput)
    begins = forms.TimeField(label=gettext_lazy("Time"), widget=TimeInput, initial=time(0, 0))
    last_day = forms.DateField(label=gettext_lazy("Until"), widget=DayInput)
    ends = forms.TimeField(
        label=gettext_lazy("Time"), widget=TimeInput, required=False, help_text=gettext_lazy("Empty: all day.")
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=200)

    def __init__(self, data: Any = None, *, rooms: list[Room], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.places: dict[str, dict[str, Any]] = {"house": {}}
        choices = [("", _("Choose")), ("house", _("Whole house"))]
        for site in Site.objects.all():
            self.places[f"site:{site.code}"] = {"site": site}
            choices.append((f"site:{site.code}", _("Site %(name)s") % {"name": site.name}))
        for room in rooms:
            self.places[f"room:{room.code}"] = {"room": room}
            choices.append((f"room:{room.code}", room.name))
        self.fields["place"].choices = choices

    def service_fields(self) -> dict[str, Any]:
        data = self.cleaned_data
        if data["ends"] is None:
            ends = moment(data["last_day"] + timedelta(days=1), time(0, 0))
        else:
            ends = moment(data["last_day"], data["ends"])
        return {
            **self.places[data["place"]],
            "kind": data["kind"],
            "starts_at": moment(data["first_day"], data["begins"]),
            "ends_at": ends,
            "reason": data["reason"],
        }


class ReservedForm(forms.Form):
    room = forms.ChoiceField(label=gettext_lazy("Room"))
    weekday = forms.TypedChoiceField(
        label=gettext_lazy("Weekday"), choices=[(number, words) for number, words in WEEKDAYS.items()], coerce=int
    )
    begins = forms.TimeField(label=gettext_lazy("From"), widget=TimeInput)
    ends = forms.TimeField(label=gettext_lazy("Until"), widget=TimeInput)
    kept_for = forms.ChoiceField(label=gettext_lazy("Kept for"), choices=KeptFor.choices)
    opens_minutes_before = forms.IntegerField(
        label=gettext_lazy("Opens to all (minutes before)"), min_value=0, max_value=10080, initial=60
    )
    purpose = forms.CharField(label=gettext_lazy("Purpose"), max_length=64, required=False)

    def __init__(self, data: Any = None, *, rooms: list[Room], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.rooms = {row.code: row for row in rooms}
        self.fields["room"].choices = [("", _("Choose")), *((row.code, row.name) for row in rooms)]

    def service_fields(self) -> dict[str, Any]:
        data = dict(self.cleaned_data)
        return {"room": self.rooms[data.pop("room")], **data}


def span(day: date, begins: time, ends: time) -> tuple[datetime, datetime]:
    """A time that may go over midnight."""
    last = day if ends > begins else day + timedelta(days=1)
    return moment(day, begins), moment(last, ends)


def monday_of(request: HttpRequest) -> date:
    try:
        day = date.fromisoformat(request.GET.get("week", ""))
    except ValueError:
        day = timezone.localdate()
    if not date(1900, 1, 8) <= day <= date(9998, 12, 1):
        day = timezone.localdate()
    return day - timedelta(days=day.weekday())


@never_cache
@page(perms.VIEW_ROOM)
def plan(request: HttpRequest) -> HttpResponse:
    """The week; a form that was refused comes back with what was typed."""
    forms_of = _Forms(request)
    refusal, status = None, 200
    if request.method == "POST":
        kind = request.POST.get("form", "")
        if kind not in forms_of.services:
            raise NotKnown(_("There is no such form."))
        form, service, words = forms_of.sent(kind)
        status = 422
        if form.is_valid():
            try:
                made = service(**form.service_fields(), actor=request.actor)
            except DomainError as caught:
                caught.errors = {FIELDS.get(name, name): words for name, words in caught.errors.items()}
                add_refusal(form, caught)
                refusal, status = (None if form.errors else caught), caught.http_status
            else:
                messages.success(request, words)
                for warning in getattr(made, "warnings", ()):
                    messages.warning(request, warning)
                if affected := getattr(made, "affected", 0):
                    messages.warning(
                        request, _("Appointments in that time, which somebody must move: %(n)s") % {"n": affected}
                    )
                return HttpResponseRedirect(_back(request))
    return render(
        request, "worklist/plan.html", {**_week(request), **forms_of.shown, "refusal": refusal}, status=status
    )


class _Forms:
    """The three forms of the page; of them at most one was sent."""

    services: dict[str, tuple[Callable[..., Any], Any]] = {
        "shift": (services.plan_shift, gettext_lazy("The shift is planned.")),
        "closure": (services.close_time, gettext_lazy("Closed. Nothing can be booked into it.")),
        "reserved": (services.reserve_time, gettext_lazy("The time is kept.")),
    }

    def __init__(self, request: HttpRequest) -> None:
        actor = request.actor
        self.request = request
        self.rooms = list(selectors.rooms(actor=actor).filter(is_active=True))
        self.people = list(users_with_role(TECHNOLOGIST).order_by("family_name", "given_name", "pk"))
        day = monday_of(request)
        self.shown: dict[str, Any] = {"rooms": self.rooms}
        if actor.may(perms.PLAN_STAFF):
            self.shown["shift_form"] = self._shift(None, day)
        if actor.may(perms.CLOSE_ROOM):
            self.shown["closure_form"] = ClosureForm(None, rooms=self.rooms, auto_id="closure_%s")
            self.shown["reserved_form"] = ReservedForm(None, rooms=self.rooms, auto_id="reserved_%s")

    def _shift(self, data: Any, day: date) -> ShiftForm:
        initial = {"day": max(day, timezone.localdate())}
        return ShiftForm(data, rooms=self.rooms, people=self.people, initial=initial, auto_id="shift_%s")

    def sent(self, kind: str) -> tuple[Any, Callable[..., Any], str]:
        data = self.request.POST
        form: Any
        if kind == "shift":
            form = self._shift(data, monday_of(self.request))
        elif kind == "closure":
            form = ClosureForm(data, rooms=self.rooms, auto_id="closure_%s")
        else:
            form = ReservedForm(data, rooms=self.rooms, auto_id="reserved_%s")
        self.shown[f"{kind}_form"] = form
        service, words = self.services[kind]
        return form, service, str(words)


def _week(request: HttpRequest) -> dict[str, Any]:
    """Rooms down, days across; a shift stands on the day on which it begins."""
    actor = request.actor
    monday = monday_of(request)
    days = [monday + timedelta(days=number) for number in range(DAYS_SHOWN)]
    begins, ends = moment(monday, time(0, 0)), moment(monday + timedelta(days=DAYS_SHOWN), time(0, 0))
    cells: dict[tuple[int, date], list[Any]] = {}
    for row in planning.shifts(actor=actor).filter(withdrawn_at=None, starts_at__gte=begins, starts_at__lt=ends):
        cells.setdefault((row.room_id, timezone.localtime(row.starts_at).date()), []).append(row)
    rooms = list(selectors.rooms(actor=actor).filter(is_active=True))
    closed = planning.closures(actor=actor).filter(withdrawn_at=None, ends_at__gt=begins)
    kept = planning.reserved_times(actor=actor).filter(withdrawn_at=None)
    return {
        "nav": "plan",
        "days": days,
        "week": [(room, [(day, cells.get((room.pk, day), [])) for day in days]) for room in rooms],
        "monday": monday,
        "before": monday - timedelta(days=DAYS_SHOWN),
        "after": monday + timedelta(days=DAYS_SHOWN),
        "today": timezone.localdate(),
        "closures": list(closed.order_by("starts_at", "pk")),
        "reserved": [(row, WEEKDAYS[row.weekday]) for row in kept.order_by("room__name", "weekday", "begins")],
        "may_plan": actor.may(perms.PLAN_STAFF),
        "may_close": actor.may(perms.CLOSE_ROOM),
        "may_see_schedule": actor.may(perms.VIEW_SCHEDULE),
    }


def _back(request: HttpRequest) -> str:
    return f"{reverse('plan')}?week={monday_of(request):%Y-%m-%d}"


#: What may be taken back: word of the address -> (selector, service, what is said after it)
WITHDRAWN: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any]] = {
    "shift": (planning.shifts, services.withdraw_shift, gettext_lazy("The shift is withdrawn.")),
    "closure": (planning.closures, services.withdraw_closure, gettext_lazy("It is open again.")),
    "reserved": (planning.reserved_times, services.withdraw_reserved_time, gettext_lazy("The time is open to all.")),
}


@require_POST
@page(perms.VIEW_ROOM)
def plan_withdraw(request: HttpRequest, what: str, uuid: UUID) -> HttpResponse:
    if what not in WITHDRAWN:
        raise NotKnown(_("There is no such action."))
    rows, service, words = WITHDRAWN[what]
    row = rows(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such entry."))
    service(row, actor=request.actor)
    messages.success(request, str(words))
    return HttpResponseRedirect(_back(request))
