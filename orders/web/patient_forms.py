"""What is typed about a patient. Whether it may be stored is the services' word, field by field."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from orders.dates import Unreadable, expected_here, read_here, typed_form
from orders.models import IdentifierIssuer, IdentifierType, Patient, PatientAlert, Sex

LANGUAGES = [("", _("Not asked")), ("en", _("English")), ("sw", _("Swahili")), ("so", _("Somali")), ("fr", _("French"))]
IDENTITY_PAPERS = [
    (IdentifierType.NATIONAL, _("National identifier")),
    (IdentifierType.PASSPORT, _("Passport")),
    (IdentifierType.INSURANCE, _("Insurance number")),
    (IdentifierType.MEDICAL_RECORD, _("Medical record number")),
    (IdentifierType.EXTERNAL, _("Number of another house")),
]
#: What a paper's issuer is called when nobody says; the facility itself for its own numbers.
DEFAULT_ISSUERS = {"NI": "NATIONAL", "PPN": "PASSPORT", "NIIP": "INSURER", "PE": "EXTERNAL"}


class BirthDateField(forms.CharField):
    """A date as this facility writes it. ``is_estimated`` after cleaning: a year, a month or an age was typed."""

    is_estimated = False

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", lazy(expected_here, str)())
        kwargs.setdefault("widget", forms.TextInput(attrs={"autocomplete": "off", "inputmode": "text"}))
        super().__init__(label=_("Date of birth"), required=False, max_length=40, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return typed_form(value) if isinstance(value, date) else value

    def clean(self, value: Any) -> date | None:
        words = super().clean(value)
        self.is_estimated = False
        if not words:
            return None
        try:
            day, self.is_estimated = read_here(words)
        except Unreadable as refusal:
            raise ValidationError(str(refusal)) from None
        return day

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class WithBirthDate(forms.Form):
    """A year or an age is an estimate, whether "About" was chosen or not."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.fields["birth_date"].is_estimated and "birth_date" in cleaned:
            cleaned["birth_date_is_estimated"] = True
        return cleaned


class PatientForm(WithBirthDate):
    family_name = forms.CharField(label=_("Family name"), max_length=64)
    given_name = forms.CharField(label=_("Given name"), max_length=64, required=False)
    middle_name = forms.CharField(label=_("Middle name"), max_length=64, required=False)
    birth_date = BirthDateField()
    birth_date_is_estimated = forms.TypedChoiceField(
        label=_("Precision"),
        choices=[("", _("Exact")), ("1", _("About"))],
        coerce=bool,
        empty_value=False,
        required=False,
        widget=forms.Select,
    )
    sex = forms.ChoiceField(
        label=_("Sex"),
        choices=[
            (Sex.FEMALE, _("Female")),
            (Sex.MALE, _("Male")),
            (Sex.OTHER, _("Other")),
            (Sex.UNKNOWN, _("Unknown")),
        ],
        initial=Sex.UNKNOWN,
        widget=forms.RadioSelect,
    )
    phone = forms.CharField(
        label=_("Phone"), max_length=40, required=False, widget=forms.TextInput(attrs={"type": "tel"})
    )
    email = forms.CharField(label=_("E-mail"), max_length=254, required=False)
    language = forms.ChoiceField(label=_("Language"), choices=LANGUAGES, required=False)
    next_of_kin = forms.CharField(label=_("Next of kin"), max_length=200, required=False)
    address = forms.CharField(label=_("Address"), required=False, widget=forms.Textarea(attrs={"rows": 2}))
    prefix = forms.CharField(label=_("Title"), max_length=32, required=False)
    suffix = forms.CharField(label=_("Suffix"), max_length=32, required=False)
    ideographic_name = forms.CharField(label=_("Name, ideographic"), max_length=64, required=False)
    phonetic_name = forms.CharField(label=_("Name, phonetic"), max_length=64, required=False)
    weight_kg = forms.DecimalField(label=_("Weight (kg)"), required=False)
    height_m = forms.DecimalField(label=_("Height (m)"), required=False)
    identity_is_unverified = forms.BooleanField(label=_("Identity is not confirmed"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("family_name", "given_name", "middle_name", "phone", "email", "address", "next_of_kin"):
            self.fields[name].widget.attrs["autocomplete"] = "off"
        spoken = self.initial.get("language") or ""
        if spoken and spoken not in dict(LANGUAGES):  # a code that another system sent
            self.fields["language"].choices = [*LANGUAGES, (spoken, spoken)]


class WithPaper(forms.Form):
    """An identity document: of the issuers that the facility has written down, or of any other."""

    paper = forms.ChoiceField(label=_("Identity document"), required=False)
    paper_number = forms.CharField(
        label=_("Number"), max_length=64, required=False, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    paper_issuer = forms.CharField(
        label=_("Issued by"), max_length=64, required=False, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._issuers = {f"i{row.pk}": row for row in IdentifierIssuer.objects.filter(is_active=True)}
        known = [(key, f"{row} · {row.example}" if row.example else str(row)) for key, row in self._issuers.items()]
        self.fields["paper"].choices = [*known, *IDENTITY_PAPERS]

    def identifiers(self) -> list[dict[str, str]]:
        data = self.cleaned_data
        if not data.get("paper_number"):
            return []
        known = self._issuers.get(data["paper"])
        kind = known.type if known else data["paper"] or IdentifierType.MEDICAL_RECORD
        issuer = known.issuer if known else data["paper_issuer"] or DEFAULT_ISSUERS.get(kind, "")
        return [{"value": data["paper_number"], "issuer": issuer, "type": kind}]


class RegisterForm(WithPaper, PatientForm):
    allergies = forms.CharField(
        label=_("Allergies"), max_length=600, required=False, help_text=_("Several: separate them with commas.")
    )
    alert_kind = forms.ChoiceField(
        label=_("Other alert"),
        choices=[("", _("None")), *(row for row in PatientAlert.Kind.choices if row[0] != "allergy")],
        required=False,
    )
    alert_text = forms.CharField(label=_("What must be known"), max_length=200, required=False)

    def service_fields(self) -> dict[str, Any]:
        """What ``register_patient`` takes."""
        data = dict(self.cleaned_data)
        for name in ("paper", "paper_number", "paper_issuer", "allergies", "alert_kind", "alert_text"):
            data.pop(name, None)
        return data | {"identifiers": self.identifiers()}

    def alerts(self) -> list[tuple[str, str]]:
        """(kind, text) of what is to be seen before anything is done."""
        data = self.cleaned_data
        told = [("allergy", text.strip()) for text in data.get("allergies", "").replace(";", ",").split(",")]
        told.append((data.get("alert_kind") or "other", data.get("alert_text", "").strip()))
        return [(kind, text) for kind, text in told if text]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("alert_kind") and not cleaned.get("alert_text"):
            self.add_error("alert_text", _("Say what must be known."))
        return cleaned


class CorrectForm(PatientForm):
    reason = forms.CharField(label=_("Why is it corrected?"), max_length=150)

    def __init__(self, *args: Any, patient: Patient, **kwargs: Any) -> None:
        initial = {name: getattr(patient, name) for name in PatientForm.base_fields}
        initial["birth_date_is_estimated"] = "1" if patient.birth_date_is_estimated else ""
        super().__init__(*args, initial=initial, **kwargs)

    def clean(self) -> dict[str, Any]:
        """A year that was only shown again stays the date that it was."""
        cleaned = super().clean()
        if "birth_date" in cleaned and "birth_date" not in self.changed_data:
            cleaned["birth_date"] = self.initial["birth_date"]
        return cleaned


class IdentifyForm(WithPaper, PatientForm):
    identity_is_unverified = None  # that is what ends here
    reason = forms.CharField(label=_("How was it found out?"), max_length=150)

    def service_fields(self) -> dict[str, Any]:
        """What ``identify_patient`` takes."""
        data = dict(self.cleaned_data)
        for name in ("paper", "paper_number", "paper_issuer"):
            data.pop(name, None)
        return data | {"identifiers": self.identifiers()}


class IdentifierForm(forms.Form):
    type = forms.ChoiceField(label=_("Kind"), choices=IdentifierType.choices)
    value = forms.CharField(label=_("Number"), max_length=64)
    issuer = forms.CharField(label=_("Issued by"), max_length=64, required=False)


class AlertForm(forms.Form):
    kind = forms.ChoiceField(label=_("Kind"), choices=PatientAlert.Kind.choices)
    text = forms.CharField(label=_("What must be known"), max_length=200)


class MergeForm(forms.Form):
    loser = forms.UUIDField(widget=forms.HiddenInput)
    reason = forms.CharField(label=_("Why are they the same person?"), max_length=200)


class UndoForm(forms.Form):
    reason = forms.CharField(label=_("Why are they two people?"), max_length=150)


class GiveForm(forms.Form):
    """Rows that came while a merge held, as ``kind:uuid``."""

    rows = forms.MultipleChoiceField(label=_("What belongs to the other record"), widget=forms.CheckboxSelectMultiple)
    reason = forms.CharField(label=_("Why is it the other person's?"), max_length=200)
