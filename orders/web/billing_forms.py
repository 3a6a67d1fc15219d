"""What is typed on the pages of billing. Whether it may be stored is the services' word, field by field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders import selectors_billing as selectors
from orders.models import ChargeKind, Coverage, Invoice, Order, PayerKind, PaymentMethod, PriceItem, RequestedProcedure

TAKEN = [(value, label) for value, label in PaymentMethod.choices if value != PaymentMethod.REMITTANCE]


def _money(label: Any, **attrs: Any) -> forms.CharField:
    """Typed as text: a float never sees it. The service reads it."""
    required = attrs.pop("required", True)
    help_text = attrs.pop("help_text", "")
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", **attrs})
    return forms.CharField(label=label, max_length=16, required=required, widget=widget, help_text=help_text)


def _day(label: Any, help_text: Any = "") -> forms.DateField:
    return forms.DateField(
        label=label,
        required=False,
        help_text=help_text,
        widget=forms.DateInput(attrs={"autocomplete": "off"}),
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=150)


class ChargeForm(forms.Form):
    """A charge by hand: from what the lists have besides other exams."""

    code = forms.ChoiceField(label=_("What"))
    quantity = _money(_("Quantity"), value="1")
    reason = forms.CharField(label=_("Why by hand?"), max_length=150, required=False)

    def __init__(self, *args: Any, procedure: RequestedProcedure, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = PriceItem.objects.on(timezone.localdate()).filter(
            ~Q(kind=ChargeKind.EXAM) | Q(catalogue=procedure.catalogue_id)
        )
        known = {row.code: row.label for row in rows.order_by("label", "pk")}
        self.fields["code"].choices = [(code, f"{label} · {code}") for code, label in known.items()]


class CodesForm(forms.Form):
    """One code a line, the meaning after it."""

    icd10 = forms.CharField(
        label=_("Diagnoses (ICD-10)"),
        required=False,
        help_text=_("One a line, the main one first: I26.9 Pulmonary embolism"),
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
    )
    cpt = forms.CharField(
        label=_("Services (CPT)"),
        required=False,
        help_text=_("Empty: the code of the catalogue."),
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
    )


class AuthorisationForm(forms.Form):
    coverage = forms.ModelChoiceField(
        label=_("Payer"), queryset=Coverage.objects.none(), to_field_name="uuid", empty_label=None
    )
    number = forms.CharField(
        label=_("Number"), max_length=40, required=False, help_text=_("Empty: it has been asked for.")
    )
    amount = _money(_("Up to"), required=False, help_text=_("Empty: all of it."))
    expires_on = _day(_("Valid until"))

    def __init__(self, *args: Any, order: Order, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Coverage.objects.filter(patient=order.patient_id, withdrawn_at__isnull=True)
        self.fields["coverage"].queryset = rows.select_related("scheme")
        self.fields["coverage"].label_from_instance = lambda row: str(row.scheme)


class IssueForm(forms.Form):
    coverages = forms.ModelMultipleChoiceField(
        label=_("Ask these payers; the rest is the patient's"),
        queryset=Coverage.objects.none(),
        to_field_name="uuid",
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    language = forms.ChoiceField(label=_("Language of the paper"), choices=settings.LANGUAGES)

    def __init__(self, *args: Any, order: Order, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Coverage.objects.filter(patient=order.patient_id, withdrawn_at__isnull=True)
        self.fields["coverages"].queryset = rows.select_related("scheme")
        self.fields["coverages"].label_from_instance = _covering


def _covering(row: Coverage) -> str:
    return f"{row.scheme.name} · {row.share.normalize():f} %"


class CoverageForm(forms.Form):
    scheme = forms.ModelChoiceField(
        label=_("Payer"), queryset=selectors.schemes(), to_field_name="uuid", empty_label=_("Choose")
    )
    member_number = forms.CharField(
        label=_("Member number"), max_length=64, required=False, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    holder_name = forms.CharField(
        label=_("Principal member"), max_length=100, required=False, help_text=_("When it is somebody else.")
    )
    share = _money(_("Share (%)"), required=False, help_text=_("Empty: the scheme's own."))
    valid_from = _day(_("Valid from"))
    valid_to = _day(_("Valid until"), _("The last day."))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scheme"].queryset = selectors.schemes().exclude(kind=PayerKind.CASH)


class PaymentForm(forms.Form):
    method = forms.ChoiceField(label=_("Method"), choices=TAKEN, initial=PaymentMethod.CASH, widget=forms.RadioSelect)
    amount = _money(_("Amount"))
    tendered = _money(_("Given"), required=False, help_text=_("Cash: the change is worked out."))
    reference = forms.CharField(
        label=_("Reference"),
        max_length=64,
        required=False,
        help_text=_("Of the mobile money or the card."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono"}),
    )
    reason = forms.CharField(label=_("Note"), max_length=200, required=False)

    def __init__(self, *args: Any, invoice: Invoice, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["amount"].initial = f"{invoice.due:f}"
        if invoice.scheme_id is not None:
            self.fields["method"].choices = [(PaymentMethod.REMITTANCE, PaymentMethod.REMITTANCE.label), *TAKEN]
            self.fields["method"].initial = PaymentMethod.REMITTANCE


class CreditForm(forms.Form):
    reason = forms.CharField(label=_("Why is it taken back?"), max_length=200)
    is_rebilled = forms.BooleanField(label=_("Its charges are to be invoiced anew"), required=False, initial=True)


class RefundForm(forms.Form):
    amount = _money(_("Amount"))
    method = forms.ChoiceField(label=_("Method"), choices=[row for row in TAKEN if row[0] != PaymentMethod.WAIVER])
    reference = forms.CharField(label=_("Reference"), max_length=64, required=False)
    reason = forms.CharField(label=_("Why is it given back?"), max_length=200)


class RemittanceForm(forms.Form):
    reference = forms.CharField(
        label=_("Reference of the remittance"), max_length=64, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    reason = forms.CharField(label=_("Note"), max_length=200, required=False)
