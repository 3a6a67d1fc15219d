"""What is typed on the pages of patients and orders. Whether it may be stored is the services' word, field by field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from orders.models import ContrastDecision, DocumentKind, PatientClass, Priority
from ris.accounts.models import Practitioner, Site
from ris.accounts.selectors import users_with_role
from ris.core.concepts import DISCONTINUATION_REASONS
from ris.core.errors import DomainError
from ris.core.permissions import CLERK, READERS

TRANSPORT = [("", _("On foot")), ("wheelchair", _("Wheelchair")), ("bed", _("Bed")), ("portable", _("Exam at the bed"))]
ISOLATION = [
    ("", _("None")),
    ("contact", _("Contact")),
    ("droplet", _("Droplet")),
    ("airborne", _("Airborne")),
    ("protective", _("Protective")),
]
REASONS = [(code, _(entry.meaning)) for code, entry in DISCONTINUATION_REASONS.items()]


def add_refusal(form: forms.Form, refusal: DomainError) -> None:
    """The service's messages at the fields that they speak of; the others above the form."""
    if not refusal.errors:
        form.add_error(None, refusal.detail)
    for name, messages in refusal.errors.items():
        for message in messages if isinstance(messages, (list, tuple)) else [messages]:
            form.add_error(name if name in form.fields else None, str(message))


class DocumentForm(forms.Form):
    kind = forms.ChoiceField(label=_("Kind"), choices=DocumentKind.choices)
    title = forms.CharField(label=_("Title"), max_length=120)
    file = forms.FileField(label=_("File"), help_text=_("PDF, PNG, JPEG or TIFF, at most 20 MB"))


class AttachmentForm(forms.Form):
    """A paper that comes with a new order; its kind is its title unless one is typed."""

    paper_kind = forms.ChoiceField(label=_("Kind of paper"), choices=DocumentKind.choices, required=False)
    paper_title = forms.CharField(label=_("Title"), max_length=120, required=False)
    paper_file = forms.FileField(label=_("File"), required=False, help_text=_("PDF, PNG, JPEG or TIFF, at most 20 MB"))


class WithdrawForm(forms.Form):
    reason = forms.CharField(label=_("Why is it withdrawn?"), max_length=150)


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
    due_by = forms.DateField(
        label=_("Wanted by"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = Practitioner.objects.filter(is_active=True)
        for name in ("requester", "copies_to"):
            self.fields[name].queryset = people
        self.fields["copies_to"].widget.attrs["size"] = "3"
        sites = Site.objects.filter(is_active=True)
        self.fields["site"].queryset = sites


class OrderChangeForm(OrderForm):
    reason = forms.CharField(label=_("Why is it changed?"), max_length=150)
    due_by = None  # it belongs to each exam


class CodedReasonForm(forms.Form):
    reason_code = forms.ChoiceField(label=_("Reason"), choices=REASONS)
    reason_text = forms.CharField(label=_("In words"), max_length=200, required=False)


class LocalMoment(forms.DateTimeInput):
    """A browser's own field for day and time, in the facility's time zone."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class OwnerField(forms.ModelChoiceField):
    """Somebody who may hold requests; nobody chosen means whoever holds it."""

    def __init__(self, **kwargs: Any) -> None:
        people = users_with_role(CLERK, *READERS).filter(is_active=True).order_by("family_name", "given_name", "pk")
        super().__init__(people, to_field_name="uuid", required=False, empty_label=_("Me"), **kwargs)

    def label_from_instance(self, user: Any) -> str:
        return user.display_name


class HoldForm(forms.Form):
    reason_text = forms.CharField(label=_("Why"), max_length=200)
    until = forms.DateTimeField(label=_("Until"), required=False, widget=LocalMoment)
    owner = OwnerField(label=_("Who looks after it"))


class AskForm(forms.Form):
    reason_text = forms.CharField(label=_("What do you ask?"), max_length=200, widget=forms.Textarea(attrs={"rows": 2}))
    until = forms.DateTimeField(label=_("Answer wanted by"), required=False, widget=LocalMoment)


class AnswerForm(forms.Form):
    answer = forms.CharField(label=_("Answer"), max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))


class ReturnForm(forms.Form):
    reason_text = forms.CharField(label=_("Why is it looked at again?"), max_length=150)


class ReopenForm(forms.Form):
    reason_text = forms.CharField(label=_("Why is it done after all?"), max_length=150)


class AcceptForm(forms.Form):
    comments = forms.CharField(
        label=_("To the technologist"), required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2})
    )


class ProtocolForm(forms.Form):
    protocol = forms.CharField(
        label=_("Protocol"), max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    contrast_decision = forms.ChoiceField(
        label=_("Contrast"), choices=ContrastDecision.choices[1:], required=False, widget=forms.RadioSelect
    )
    contrast = forms.CharField(label=_("Agent and amount"), max_length=64, required=False)
    comments = forms.CharField(
        label=_("To the technologist"), required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2})
    )


class ReleaseForm(forms.Form):
    reason_text = forms.CharField(label=_("What was the answer?"), max_length=150, required=False)


SIDE_CHOICES = [("", _("None")), ("L", _("Left")), ("R", _("Right")), ("B", _("Both sides"))]


class MapForm(forms.Form):
    code = forms.CharField(label=_("Code of the exam that is meant"), max_length=16)
    laterality = forms.ChoiceField(label=_("Side"), choices=SIDE_CHOICES, required=False)


class ChangeExamForm(MapForm):
    reason = forms.CharField(label=_("Why"), max_length=150)


class ReplaceForm(CodedReasonForm):
    code = forms.CharField(label=_("Code of the exam in its place"), max_length=16)
    laterality = forms.ChoiceField(label=_("Side"), choices=SIDE_CHOICES, required=False)


class CatalogueTableForm(forms.Form):
    file = forms.FileField(label=_("Table"), help_text=_("CSV in UTF-8, with a line of column names"))
