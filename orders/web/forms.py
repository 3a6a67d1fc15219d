"""What is typed on the pages of patients and orders. Whether it may be stored is the services' word, field by field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from orders.models import DocumentKind, IdentifierType, PatientAlert, PatientClass, Priority, Sex
from ris.accounts.models import Practitioner, Site
from ris.core.concepts import DISCONTINUATION_REASONS
from ris.core.errors import DomainError

LANGUAGES = [("", _("Not asked")), ("en", _("English")), ("sw", _("Swahili")), ("so", _("Somali")), ("fr", _("French"))]
TRANSPORT = [("", _("On foot")), ("wheelchair", _("Wheelchair")), ("bed", _("Bed")), ("portable", _("Exam at the bed"))]
ISOLATION = [
    ("", _("None")),
    ("contact", _("Contact")),
    ("droplet", _("Droplet")),
    ("airborne", _("Airborne")),
    ("protective", _("Protective")),
]
IDENTITY_PAPERS = [
    (IdentifierType.NATIONAL, _("National identifier")),
    (IdentifierType.PASSPORT, _("Passport")),
    (IdentifierType.INSURANCE, _("Insurance number")),
    (IdentifierType.MEDICAL_RECORD, _("Medical record number")),
    (IdentifierType.EXTERNAL, _("Number of another house")),
]
REASONS = [(code, _(entry.meaning)) for code, entry in DISCONTINUATION_REASONS.items()]


def add_refusal(form: forms.Form, refusal: DomainError) -> None:
    """The service's messages at the fields that they speak of; the others above the form."""
    if not refusal.errors:
        form.add_error(None, refusal.detail)
    for name, messages in refusal.errors.items():
        for message in messages if isinstance(messages, (list, tuple)) else [messages]:
            form.add_error(name if name in form.fields else None, str(message))


class PatientForm(forms.Form):
    family_name = forms.CharField(label=_("Family name"), max_length=64)
    given_name = forms.CharField(label=_("Given name"), max_length=64, required=False)
    middle_name = forms.CharField(label=_("Middle name"), max_length=64, required=False)
    birth_date = forms.DateField(
        label=_("Date of birth"),
        required=False,
        help_text=_("19 Nov 1990 or 19/11/1990"),
        widget=forms.DateInput(attrs={"autocomplete": "off", "inputmode": "text"}),
    )
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
        for name in ("family_name", "given_name", "middle_name", "phone", "email", "address"):
            self.fields[name].widget.attrs["autocomplete"] = "off"


class RegisterForm(PatientForm):
    paper = forms.ChoiceField(label=_("Identity document"), choices=IDENTITY_PAPERS, required=False)
    paper_number = forms.CharField(
        label=_("Number"), max_length=64, required=False, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    paper_issuer = forms.CharField(label=_("Issued by"), max_length=64, required=False)

    def service_fields(self) -> dict[str, Any]:
        """What ``register_patient`` takes."""
        data = dict(self.cleaned_data)
        paper, number, issuer = data.pop("paper"), data.pop("paper_number"), data.pop("paper_issuer")
        if number:
            data["identifiers"] = [{"value": number, "issuer": issuer or default_issuer(paper), "type": paper}]
        return data


def default_issuer(paper: str) -> str:
    """Who issues such a paper when nobody says; the facility itself for its own numbers."""
    return {
        IdentifierType.NATIONAL: "NATIONAL",
        IdentifierType.PASSPORT: "PASSPORT",
        IdentifierType.INSURANCE: "INSURER",
        IdentifierType.EXTERNAL: "EXTERNAL",
    }.get(IdentifierType(paper or "MR"), "")


class CorrectForm(PatientForm):
    reason = forms.CharField(label=_("Why is it corrected?"), max_length=150)


class IdentifierForm(forms.Form):
    type = forms.ChoiceField(label=_("Kind"), choices=IdentifierType.choices)
    value = forms.CharField(label=_("Number"), max_length=64)
    issuer = forms.CharField(label=_("Issued by"), max_length=64, required=False)


class AlertForm(forms.Form):
    kind = forms.ChoiceField(label=_("Kind"), choices=PatientAlert.Kind.choices)
    text = forms.CharField(label=_("What must be known"), max_length=200)


class DocumentForm(forms.Form):
    kind = forms.ChoiceField(label=_("Kind"), choices=DocumentKind.choices)
    title = forms.CharField(label=_("Title"), max_length=120)
    file = forms.FileField(label=_("File"), help_text=_("PDF, PNG, JPEG or TIFF, at most 20 MB"))


class MergeForm(forms.Form):
    loser = forms.UUIDField(widget=forms.HiddenInput)
    reason = forms.CharField(label=_("Why are they the same person?"), max_length=200)


class OrderForm(forms.Form):
    indication = forms.CharField(
        label=_("Clinical question"), widget=forms.Textarea(attrs={"rows": 3}), max_length=10240, required=True
    )
    clinical_information = forms.CharField(
        label=_("Clinical information"), widget=forms.Textarea(attrs={"rows": 2}), max_length=10240, required=False
    )
    priority = forms.ChoiceField(
        label=_("Priority"), choices=Priority.choices, initial=Priority.ROUTINE, widget=forms.RadioSelect
    )
    requester = forms.ModelChoiceField(
        label=_("Asked by"), queryset=Practitioner.objects.none(), required=False, to_field_name="uuid"
    )
    copies_to = forms.ModelMultipleChoiceField(
        label=_("Copy of the result to"), queryset=Practitioner.objects.none(), required=False, to_field_name="uuid"
    )
    patient_class = forms.ChoiceField(
        label=_("Patient class"),
        choices=PatientClass.choices,
        initial=PatientClass.OUTPATIENT,
        widget=forms.RadioSelect,
    )
    transport = forms.ChoiceField(label=_("Comes by"), choices=TRANSPORT, required=False)
    isolation = forms.ChoiceField(label=_("Isolation"), choices=ISOLATION, required=False)
    location = forms.CharField(label=_("Ward or place"), max_length=64, required=False)
    site = forms.ModelChoiceField(
        label=_("Site"), queryset=Site.objects.none(), required=False, to_field_name="code", empty_label=_("Any")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = Practitioner.objects.filter(is_active=True)
        for name in ("requester", "copies_to"):
            self.fields[name].queryset = people  # type: ignore[attr-defined]
        self.fields["copies_to"].widget.attrs["size"] = "3"
        sites = Site.objects.filter(is_active=True)
        self.fields["site"].queryset = sites  # type: ignore[attr-defined]


class CodedReasonForm(forms.Form):
    reason_code = forms.ChoiceField(label=_("Reason"), choices=REASONS)
    reason_text = forms.CharField(label=_("In words"), max_length=200, required=False)


class HoldForm(forms.Form):
    reason_text = forms.CharField(label=_("Why, or what is asked"), max_length=200)


class AcceptForm(forms.Form):
    comments = forms.CharField(
        label=_("To the technologist"), required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2})
    )


class ProtocolForm(forms.Form):
    protocol = forms.CharField(label=_("Protocol"), max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))
    contrast = forms.CharField(label=_("Contrast"), max_length=64, required=False)
    comments = forms.CharField(
        label=_("To the technologist"), required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2})
    )


class ReleaseForm(forms.Form):
    reason_text = forms.CharField(label=_("What was the answer?"), max_length=150, required=False)


class MapForm(forms.Form):
    code = forms.CharField(label=_("Code of the exam that is meant"), max_length=16)
    laterality = forms.ChoiceField(
        label=_("Side"),
        choices=[("", _("None")), ("L", _("Left")), ("R", _("Right")), ("B", _("Both sides"))],
        required=False,
    )
