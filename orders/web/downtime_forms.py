"""What is typed on the downtime pages: a pack, a downtime, a sheet. What may be stored is the services' word."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.downtime_parts import department
from orders.models import DowntimeForm, DowntimePack, DowntimePlan, Priority, Sex
from orders.models.downtime import LANGUAGES
from orders.services import PaperEntry, Used
from orders.web.forms import REASONS
from ris.accounts.models import Practitioner, Site

FIELD_OF = {
    "arrived_at": "arrived",
    "started_at": "started",
    "ended_at": "ended",
    "station_ae_title": "station",
    "consumables": "used_quantity",
}


class MomentField(forms.DateTimeField):
    """Day and time by the browser's own picker."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        super().__init__(widget=widget, input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M"], **kwargs)


class ClockField(forms.TimeField):
    """14:05, 1405 or 14.05, as it is read from the sheet."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TimeInput(attrs={"inputmode": "numeric", "autocomplete": "off", "placeholder": "00:00"})
        super().__init__(widget=widget, input_formats=["%H:%M", "%H.%M", "%H%M", "%H:%M:%S"], **kwargs)


class PackForm(forms.Form):
    count = forms.IntegerField(label=_("Forms"), min_value=1, max_value=200)
    site = forms.ModelChoiceField(
        label=_("Site"), queryset=Site.objects.none(), required=False, to_field_name="code", empty_label=_("Any")
    )
    room = forms.ChoiceField(label=_("Room"), required=False)
    language = forms.ChoiceField(label=_("Language of the paper"), choices=LANGUAGES)

    def __init__(self, *args: Any, plan: DowntimePlan, sites: Any, **kwargs: Any) -> None:
        super().__init__(*args, initial={"count": plan.forms_per_pack, "language": plan.language}, **kwargs)
        self.fields["site"].queryset = sites
        rooms = department().room_names(None)
        self.fields["room"].choices = [("", _("All rooms")), *((name, name) for name in rooms)]


class DeclareForm(forms.Form):
    reason = forms.CharField(label=_("What is down, and why?"), max_length=200)
    started_at = MomentField(label=_("Since"), required=False, help_text=_("Empty: since now."))
    site = forms.ModelChoiceField(
        label=_("Site"), queryset=Site.objects.none(), required=False, to_field_name="code", empty_label=_("All")
    )
    packs = forms.ModelMultipleChoiceField(
        label=_("Packs that were taken out"),
        queryset=DowntimePack.objects.none(),
        required=False,
        to_field_name="uuid",
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, packs: Any, sites: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["packs"].queryset = packs
        self.fields["packs"].label_from_instance = pack_words
        self.fields["site"].queryset = sites


def pack_words(pack: DowntimePack) -> str:
    return " · ".join(filter(None, (pack.code, pack.place, str(_("of the night")) if pack.is_nightly else "")))


class EndForm(forms.Form):
    ended_at = MomentField(label=_("It works again since"), required=False, help_text=_("Empty: since now."))


class RangeForm(forms.Form):
    first = forms.IntegerField(label=_("From form"), min_value=1)
    last = forms.IntegerField(label=_("To form"), min_value=1)
    reason = forms.CharField(label=_("Why void?"), max_length=200, required=False)


class PlanForm(forms.ModelForm):
    class Meta:
        model = DowntimePlan
        fields = (
            "forms_per_pack",
            "language",
            "contacts",
            "instructions",
            "is_nightly",
            "night_hour",
            "nights_kept",
            "days_ahead",
            "report_days",
        )
        widgets = {"contacts": forms.Textarea(attrs={"rows": 4}), "instructions": forms.Textarea(attrs={"rows": 4})}


class NewPersonForm(forms.Form):
    """Who is not found: as much as stands on the sheet."""

    family_name = forms.CharField(label=_("Family name"), max_length=64)
    given_name = forms.CharField(label=_("Given name"), max_length=64, required=False)
    birth_date = forms.DateField(label=_("Date of birth"), required=False, help_text=_("19 Nov 1990 or 19/11/1990"))
    sex = forms.ChoiceField(label=_("Sex"), choices=Sex.choices, initial=Sex.UNKNOWN, widget=forms.RadioSelect)
    phone = forms.CharField(label=_("Phone"), max_length=40, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["autocomplete"] = "off"


class UnknownPersonForm(forms.Form):
    sex = forms.ChoiceField(label=_("Sex"), choices=Sex.choices, initial=Sex.UNKNOWN, widget=forms.RadioSelect)
    estimated_age = forms.IntegerField(label=_("About how old"), required=False, min_value=0, max_value=130)


class SheetForm(forms.Form):
    """The rest of the sheet."""

    laterality = forms.ChoiceField(
        label=_("Side"),
        choices=[("", _("None")), ("L", _("Left")), ("R", _("Right")), ("B", _("Both"))],
        required=False,
        widget=forms.RadioSelect,
    )
    indication = forms.CharField(
        label=_("Clinical question"), max_length=10240, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    priority = forms.ChoiceField(
        label=_("Priority"), choices=Priority.choices, initial=Priority.ROUTINE, widget=forms.RadioSelect
    )
    requester = forms.ModelChoiceField(
        label=_("Asked by"), queryset=Practitioner.objects.none(), required=False, to_field_name="uuid"
    )
    day = forms.DateField(
        label=_("Date"),
        widget=forms.DateInput(attrs={"autocomplete": "off", "inputmode": "text"}, format="%d/%m/%Y"),
    )
    arrived = ClockField(label=_("Arrived"))
    started = ClockField(label=_("Started"), required=False, help_text=_("Empty: still waits."))
    ended = ClockField(label=_("Ended"), required=False, help_text=_("Empty: still runs."))
    station = forms.ChoiceField(label=_("Station"), required=False)
    technologist = forms.CharField(label=_("Technologist"), max_length=100, required=False)
    used_label = forms.CharField(label=_("Contrast or other thing used"), max_length=100, required=False)
    used_quantity = forms.CharField(label=_("Amount"), max_length=12, required=False)
    used_unit = forms.CharField(label=_("Unit"), max_length=16, required=False, initial="mL")
    used_lot = forms.CharField(label=_("Lot"), max_length=40, required=False)
    note = forms.CharField(
        label=_("Note to the radiologist"), max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    stop_code = forms.ChoiceField(
        label=_("Stopped, why"), choices=[("", _("It was not stopped")), *REASONS], required=False
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["requester"].queryset = Practitioner.objects.filter(is_active=True)
        self.fields["station"].choices = [("", _("Not said")), *department().stations()]

    def entry(self, code: str) -> PaperEntry:
        """The cleaned sheet; a time that is earlier than the one before it was after midnight."""
        data = self.cleaned_data
        moments: dict[str, datetime | None] = {}
        latest: datetime | None = None
        for name in ("arrived", "started", "ended"):
            moments[name] = _at(data["day"], data[name], latest) if data[name] is not None else None
            latest = moments[name] or latest
        arrived = moments["arrived"]
        assert arrived is not None
        used = ()
        if data["used_label"] or data["used_quantity"]:
            used = (Used(data["used_label"], data["used_quantity"], data["used_unit"], data["used_lot"]),)
        return PaperEntry(
            arrived_at=arrived,
            started_at=moments["started"],
            ended_at=moments["ended"],
            code=code,
            laterality=data["laterality"],
            indication=data["indication"],
            priority=data["priority"],
            requester=data["requester"],
            technologist=data["technologist"],
            station_ae_title=data["station"],
            consumables=used,
            note=data["note"],
            stop_code=data["stop_code"],
        )


class TimesForm(forms.Form):
    """The times of an entered sheet, to be corrected; those that it has."""

    arrived_at = MomentField(label=_("Arrived"))
    started_at = MomentField(label=_("Started"), required=False)
    ended_at = MomentField(label=_("Ended"), required=False)
    reason = forms.CharField(label=_("Why is it corrected?"), max_length=100)

    def __init__(self, *args: Any, sheet: DowntimeForm, **kwargs: Any) -> None:
        names = ("arrived_at", "started_at", "ended_at")
        super().__init__(*args, initial={name: getattr(sheet, name) for name in names}, **kwargs)
        for name in names:
            if getattr(sheet, name) is None:
                del self.fields[name]


def _at(day: Any, clock: time, after: datetime | None) -> datetime:
    moment = timezone.make_aware(datetime.combine(day, clock))
    return moment + timedelta(days=1) if after is not None and moment < after else moment
