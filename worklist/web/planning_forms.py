"""What is typed when a time is looked for, a series booked, an exam put on the waiting list."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders.models import CatalogueProcedure, Modality, RequestedProcedure, Sex
from worklist.models import Room, Skill
from worklist.services.search import SlotSearch
from worklist.services.slots import LOOK_AHEAD_DAYS
from worklist.web.forms import DayInput, TimeInput, moment

WEEKDAYS = [(str(number), words) for number, words in WEEKDAYS_ABBR.items()]
WITH_CONTRAST = "+"


class SearchForm(forms.Form):
    """The wishes; with a requested exam nothing needs to be typed."""

    what = forms.ChoiceField(label=gettext_lazy("Exam"), required=False)
    first_day = forms.DateField(label=gettext_lazy("From"), widget=DayInput, required=False)
    last_day = forms.DateField(label=gettext_lazy("Until"), widget=DayInput, required=False)
    time_from = forms.TimeField(label=gettext_lazy("Not before"), widget=TimeInput, required=False)
    time_until = forms.TimeField(label=gettext_lazy("Done by"), widget=TimeInput, required=False)
    weekdays = forms.TypedMultipleChoiceField(
        label=gettext_lazy("Weekdays"),
        choices=WEEKDAYS,
        coerce=int,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None ticked: any day."),
    )
    room = forms.ChoiceField(label=gettext_lazy("Room"), required=False)
    technologist_sex = forms.ChoiceField(
        label=gettext_lazy("Technologist"),
        choices=[
            ("", gettext_lazy("No matter who")),
            (Sex.FEMALE, gettext_lazy("A woman")),
            (Sex.MALE, gettext_lazy("A man")),
        ],
        required=False,
    )
    skill = forms.ChoiceField(label=gettext_lazy("Skill"), required=False)
    minutes = forms.IntegerField(label=gettext_lazy("Minutes"), min_value=1, max_value=720, required=False)

    def __init__(
        self, data: Any = None, *, procedure: RequestedProcedure | None, rooms: Iterable[Room], **kwargs: Any
    ) -> None:
        super().__init__(data, **kwargs)
        self.procedure = procedure
        self.rooms = {row.code: row for row in rooms}
        self.skills = {row.code: row for row in Skill.objects.all()}
        self.fields["room"].choices = [("", _("Any")), *((row.code, row.name) for row in self.rooms.values())]
        self.fields["skill"].choices = [("", _("Any")), *((row.code, row.name) for row in self.skills.values())]
        if not self.skills:
            del self.fields["skill"]
        if procedure is not None:
            del self.fields["what"]
        else:
            self.fields["what"].choices = exam_choices(self.rooms.values())

    def search(self) -> SlotSearch:
        """The service's wish."""
        data = self.cleaned_data
        what = data.get("what", "")
        first, last = data.get("first_day"), data.get("last_day")
        skill = self.skills.get(data.get("skill", ""))
        kind, plus, _rest = what.partition(WITH_CONTRAST)
        is_modality = kind in Modality.values
        return SlotSearch(
            procedure=self.procedure,
            catalogue=CatalogueProcedure.objects.filter(code=what, is_active=True).first() if not is_modality else None,
            modality=kind if is_modality else "",
            with_contrast=True if is_modality and plus else None,
            after=moment(first, time.min) if first else None,
            before=moment(last + timedelta(days=1), time.min) if last else None,
            time_from=data.get("time_from"),
            time_until=data.get("time_until"),
            weekdays=frozenset(data.get("weekdays") or ()),
            room=self.rooms.get(data.get("room", "")),
            technologist_sex=data.get("technologist_sex", ""),
            skills=frozenset({skill.pk}) if skill is not None else frozenset(),
            duration_minutes=data.get("minutes"),
        )

    def wishes(self) -> dict[str, Any]:
        """The same as an entry of the waiting list keeps it."""
        data = self.cleaned_data
        return {
            "earliest": data.get("first_day"),
            "latest": data.get("last_day"),
            "time_from": data.get("time_from"),
            "time_until": data.get("time_until"),
            "weekdays": data.get("weekdays") or [],
            "room": self.rooms.get(data.get("room", "")),
            "technologist_sex": data.get("technologist_sex", ""),
        }


def first_wishes() -> dict[str, Any]:
    today = timezone.localdate()
    return {"first_day": today.isoformat(), "last_day": (today + timedelta(days=LOOK_AHEAD_DAYS)).isoformat()}


def exam_choices(rooms: Iterable[Room]) -> list[Any]:
    """Kinds of exam that the rooms do, then every exam of the catalogue of these kinds."""
    here = sorted({station.modality for room in rooms for station in room.stations.all() if station.is_active})
    names = dict(Modality.choices)
    kinds: list[tuple[str, str]] = []
    exams: dict[str, list[tuple[str, str]]] = {}
    has_contrast: set[str] = set()
    rows = CatalogueProcedure.objects.filter(is_active=True, modality__in=here).order_by("modality", "name")
    for code, name, modality, uses_contrast in rows.values_list("code", "name", "modality", "uses_contrast"):
        exams.setdefault(modality, []).append((code, name))
        if uses_contrast:
            has_contrast.add(modality)
    for modality in here:
        kinds.append((modality, _("Any %(kind)s") % {"kind": names[modality]}))
        if modality in has_contrast:
            words = _("%(kind)s with contrast") % {"kind": names[modality]}
            kinds.append((f"{modality}{WITH_CONTRAST}", words))
    return [("", _("Choose")), (_("Any of a kind"), kinds), *((str(names[key]), rows) for key, rows in exams.items())]


class TakeForm(forms.Form):
    """One found time, as its button sends it."""

    room = forms.SlugField()
    starts_at = forms.CharField(max_length=40)
    minutes = forms.IntegerField(min_value=1, max_value=720)

    def clean_starts_at(self) -> datetime:
        try:
            starts_at = datetime.fromisoformat(self.cleaned_data["starts_at"])
        except ValueError:
            raise forms.ValidationError(_("Choose a time.")) from None
        if timezone.is_naive(starts_at):
            raise forms.ValidationError(_("Choose a time."))
        return starts_at


class RepeatForm(forms.Form):
    times = forms.IntegerField(label=gettext_lazy("How often"), min_value=2, max_value=52, initial=4)
    every_days = forms.IntegerField(label=gettext_lazy("Every (days)"), min_value=1, max_value=366, initial=7)
    skip_taken = forms.BooleanField(label=gettext_lazy("Leave out times that are taken"), required=False)


class ChainForm(forms.Form):
    gap = forms.IntegerField(label=gettext_lazy("Gap (minutes)"), min_value=0, max_value=1440, initial=10)
    wait = forms.IntegerField(label=gettext_lazy("At most (minutes)"), min_value=0, max_value=1440, initial=90)
    any_order = forms.BooleanField(label=gettext_lazy("In any order"), required=False)
