"""What is typed on the schedule, the console and the exceptions. Whether it may be so is the services' word."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ris.core.errors import DomainError


def add_refusal(form: forms.Form, refusal: DomainError) -> None:
    """The service's messages at the fields they speak of; what has no field stays with the alert."""
    for name, messages in refusal.errors.items():
        if name in form.fields:
            for message in messages if isinstance(messages, (list, tuple)) else [messages]:
                form.add_error(name, str(message))


class DayInput(forms.DateInput):
    input_type = "date"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="%Y-%m-%d", **kwargs)


class TimeInput(forms.TimeInput):
    input_type = "time"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="%H:%M", attrs={"step": 300}, **kwargs)


class BookingForm(forms.Form):
    station = forms.ChoiceField(label=_("Where"))
    day = forms.DateField(label=_("Day"), widget=DayInput)
    at = forms.TimeField(label=_("Time"), widget=TimeInput)
    duration_minutes = forms.IntegerField(label=_("Minutes"), min_value=1, max_value=720, required=False)
    overbook = forms.BooleanField(label=_("Overbook"), required=False)
    reason = forms.CharField(label=_("Reason"), max_length=200, required=False)

    def __init__(self, *args: Any, stations: Any = (), may_overbook: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stations = {str(row.uuid): row for row in stations}
        self.fields["station"].choices = [
            (key, f"{row.room.name} · {row.ae_title}") for key, row in self.stations.items()
        ]
        if not may_overbook:
            del self.fields["overbook"]

    @property
    def starts_at(self) -> datetime:
        return moment(self.cleaned_data["day"], self.cleaned_data["at"])

    def service_fields(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {
            "station": self.stations[data["station"]],
            "starts_at": self.starts_at,
            "duration_minutes": data["duration_minutes"],
            "overbook": data.get("overbook", False),
            "reason": data["reason"],
        }


def moment(day: date, at: time) -> datetime:
    return timezone.make_aware(datetime.combine(day, at))


class BlockForm(forms.Form):
    room = forms.ChoiceField(label=_("Room"))
    day = forms.DateField(label=_("Day"), widget=DayInput)
    begins = forms.TimeField(label=_("From"), widget=TimeInput)
    ends = forms.TimeField(label=_("Until"), widget=TimeInput)
    reason = forms.CharField(label=_("Reason"), max_length=200)

    def __init__(self, *args: Any, rooms: Any = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rooms = {row.code: row for row in rooms}
        self.fields["room"].choices = [(row.code, row.name) for row in rooms]


class ReasonForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200)


class LinkForm(forms.Form):
    procedure = forms.UUIDField(widget=forms.HiddenInput)
    reason = forms.CharField(label=_("How do you know?"), max_length=200)


class ResolveForm(forms.Form):
    resolution = forms.CharField(label=_("What was found out"), max_length=200)
