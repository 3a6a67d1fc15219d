"""What is typed on the console. Whether it may be so is the services' word."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from orders.models import Laterality
from ris.accounts.selectors import users_with_role
from ris.core.permissions import RADIOLOGIST, TECHNOLOGIST
from worklist.codes import IDENTIFIED_BY, NOTE_CHIPS, REJECT_REASONS, TIME_OUT_CHECKS, WORDS_OF_DISCONTINUATION
from worklist.models import (
    AdverseEvent,
    AdverseKind,
    AdverseOutcome,
    ConsumableKind,
    ConsumableUse,
    DeviationReason,
    Exposure,
    Product,
    Question,
    Questionnaire,
    Route,
    Severity,
)
from worklist.web.forms import DayInput

CHOOSE = ("", _("Choose"))


def decimal_input() -> forms.TextInput:
    return forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})


class TimeOutForm(forms.Form):
    identifiers = forms.MultipleChoiceField(choices=list(IDENTIFIED_BY.items()), required=False)
    checks = forms.MultipleChoiceField(choices=list(TIME_OUT_CHECKS.items()), required=False)
    wristband = forms.CharField(max_length=128, required=False)

    @property
    def methods(self) -> list[tuple[str, Any, bool]]:
        ticked = self.data.getlist("identifiers") if self.is_bound else []
        return [(key, words, key in ticked) for key, words in IDENTIFIED_BY.items()]

    @property
    def ticked_checks(self) -> list[str]:
        return self.data.getlist("checks") if self.is_bound else []


class ScreeningForm(forms.Form):
    """One field per question of a questionnaire; the service reads the answers."""

    def __init__(self, questionnaire: Questionnaire, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.questionnaire = questionnaire
        self.questions = list(questionnaire.questions.all())
        for question in self.questions:
            self.fields[question.key] = _field_of(question)


def _field_of(question: Question) -> forms.Field:
    words = question.text_sw if get_language() == "sw" and question.text_sw else question.text
    if question.kind == Question.Kind.YES_NO:
        choices = [("yes", _("Yes")), ("no", _("No")), ("unknown", _("Not known"))]
        return forms.ChoiceField(label=words, choices=choices, widget=forms.RadioSelect, required=False)
    label = f"{words} ({question.unit})" if question.unit else words
    widget: forms.Widget = forms.TextInput(attrs={"autocomplete": "off"})
    if question.kind == Question.Kind.DATE:
        widget = forms.TextInput(attrs={"type": "date"})
    elif question.kind == Question.Kind.NUMBER:
        widget = decimal_input()
    return forms.CharField(label=label, max_length=200, required=False, widget=widget)


class ProductField(forms.ModelChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(queryset=Product.objects.none(), to_field_name="uuid", required=False, **kwargs)


class PersonField(forms.ModelChoiceField):
    """Somebody who works in the rooms; empty means whoever types it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(queryset=None, to_field_name="uuid", required=False, empty_label=_("I"), **kwargs)

    def label_from_instance(self, person: Any) -> str:
        return str(person.display_name)


class ConsumableForm(forms.Form):
    product = ProductField(label=_("Product"), empty_label=_("Another one"))
    label = forms.CharField(label=_("What"), max_length=100, required=False)
    kind = forms.ChoiceField(
        label=_("Kind"), choices=ConsumableKind.choices, initial=ConsumableKind.CONTRAST, required=False
    )
    quantity = forms.CharField(label=_("Amount"), max_length=12, required=False, widget=decimal_input())
    unit = forms.CharField(label=_("Unit"), max_length=16, required=False)
    rate = forms.CharField(label=_("mL/s"), max_length=6, required=False, widget=decimal_input())
    lot = forms.CharField(label=_("Lot"), max_length=40, required=False)
    expires_on = forms.DateField(label=_("Expires"), required=False, widget=DayInput)
    route = forms.ChoiceField(label=_("Route"), choices=[CHOOSE, *Route.choices], required=False)
    given_by = PersonField(label=_("Given by"))
    has_extravasated = forms.BooleanField(label=_("Leaked into tissue"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        products = Product.objects.filter(is_active=True)
        self.fields["product"].queryset = products
        people = users_with_role(TECHNOLOGIST, RADIOLOGIST).order_by("family_name", "given_name")
        self.fields["given_by"].queryset = people
        if not products.exists():
            del self.fields["product"]

    @staticmethod
    def values_of(use: ConsumableUse) -> dict[str, Any]:
        values: dict[str, Any] = {
            name: getattr(use, name)
            for name in ("label", "kind", "unit", "rate", "lot", "expires_on", "route", "has_extravasated")
        }
        values["quantity"] = f"{use.quantity.normalize():f}"
        values["product"] = use.product.uuid if use.product else ""
        values["given_by"] = use.given_by.uuid if use.given_by else ""
        return values


class ExposureForm(forms.Form):
    view = forms.CharField(label=_("View"), max_length=64, required=False)
    laterality = forms.ChoiceField(label=_("Side"), choices=Laterality.choices, required=False)
    count = forms.IntegerField(label=_("How many"), min_value=1, max_value=999, initial=1)
    kvp = forms.CharField(label=_("kVp"), max_length=8, required=False, widget=decimal_input())
    mas = forms.CharField(label=_("mAs"), max_length=10, required=False, widget=decimal_input())
    dap = forms.CharField(label=_("DAP (Gy·cm²)"), max_length=12, required=False, widget=decimal_input())
    fluoroscopy_seconds = forms.IntegerField(label=_("Fluoroscopy (s)"), min_value=1, required=False)

    @staticmethod
    def values_of(row: Exposure) -> dict[str, Any]:
        return {name: getattr(row, name) for name in ExposureForm.base_fields}


class RejectForm(forms.Form):
    reason_code = forms.ChoiceField(label=_("Why"), choices=list(REJECT_REASONS.items()), initial="111209")
    view = forms.CharField(label=_("View"), max_length=64, required=False)
    count = forms.IntegerField(label=_("How many"), min_value=1, max_value=999, initial=1)
    is_repeated = forms.BooleanField(label=_("Made again"), required=False, initial=True)
    note = forms.CharField(label=_("In words"), max_length=200, required=False)


class AdverseForm(forms.Form):
    kind = forms.ChoiceField(label=_("What happened"), choices=[CHOOSE, *AdverseKind.choices])
    severity = forms.ChoiceField(label=_("Severity"), choices=Severity.choices, widget=forms.RadioSelect)
    description = forms.CharField(label=_("What was seen"), max_length=400)
    treatment = forms.CharField(label=_("What was done"), max_length=400, required=False)
    outcome = forms.ChoiceField(label=_("Outcome"), choices=AdverseOutcome.choices, initial=AdverseOutcome.OBSERVED)
    keep_as_allergy = forms.BooleanField(label=_("Warn of it from now on, as an allergy"), required=False)

    @staticmethod
    def values_of(row: AdverseEvent) -> dict[str, Any]:
        return {name: getattr(row, name) for name in ("kind", "severity", "description", "treatment", "outcome")}


class CountForm(forms.Form):
    count = forms.IntegerField(label=_("Images you made"), min_value=0, max_value=100_000)


class NoteForm(forms.Form):
    is_as_protocolled = forms.TypedChoiceField(
        label=_("Protocol"),
        choices=[("1", _("As written")), ("0", _("Changed, why"))],
        coerce=lambda value: value == "1",
        initial="1",
        widget=forms.RadioSelect,
    )
    protocol_used = forms.CharField(label=_("Protocol used"), max_length=64, required=False)
    deviation_reason = forms.ChoiceField(label=_("Why"), choices=[CHOOSE, *DeviationReason.choices], required=False)
    deviation = forms.CharField(label=_("What was changed, and why"), max_length=200, required=False)
    chips = forms.MultipleChoiceField(
        label=_("In short"), choices=list(NOTE_CHIPS.items()), widget=forms.CheckboxSelectMultiple, required=False
    )
    text = forms.CharField(
        label=_("Note to the radiologist"),
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2, "data-key": "alt+n", "aria-keyshortcuts": "alt+n"}),
        required=False,
    )


class StopForm(forms.Form):
    code = forms.ChoiceField(label=_("Why is it stopped?"), choices=[CHOOSE, *WORDS_OF_DISCONTINUATION.items()])
    text = forms.CharField(label=_("In words"), max_length=64, required=False)


class CompleteForm(forms.Form):
    explanation = forms.CharField(label=_("Why is it missing?"), max_length=200, required=False)
