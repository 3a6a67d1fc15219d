"""/exceptions/<uuid>/order/: what was done without an order is ordered, for somebody known or new, and linked."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Case, IntegerField, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from orders import permissions as order_perms
from orders import selectors as orders
from orders.models import Laterality, Patient, Sex
from orders.services import find_duplicates
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core.errors import DomainError
from worklist import permissions as perms
from worklist import services
from worklist.services.exception_orders import may_be_ordered
from worklist.services.images import parse_date
from worklist.services.reconciliation_scoring import Said, plain_name
from worklist.web.day import is_uuid
from worklist.web.exceptions import exception_of
from worklist.web.forms import DayInput, add_refusal

NEW = "new"
LISTED = 8
PATIENT_FIELDS = ("family_name", "given_name", "birth_date", "sex")


class OrderForm(forms.Form):
    """An exam for somebody who is known (``patient``), or who is registered with it (``new``)."""

    patient = forms.ChoiceField(label=gettext_lazy("Patient"), widget=forms.RadioSelect)
    family_name = forms.CharField(label=gettext_lazy("Family name"), max_length=64, required=False)
    given_name = forms.CharField(label=gettext_lazy("Given name"), max_length=64, required=False)
    birth_date = forms.DateField(label=gettext_lazy("Date of birth"), widget=DayInput, required=False)
    sex = forms.ChoiceField(label=gettext_lazy("Sex"), choices=Sex.choices, required=False)
    code = forms.ChoiceField(label=gettext_lazy("Exam"))
    laterality = forms.ChoiceField(label=gettext_lazy("Side"), choices=Laterality.choices, required=False)
    indication = forms.CharField(label=gettext_lazy("Indication"), max_length=1000, required=False)
    reason = forms.CharField(label=gettext_lazy("How do you know?"), max_length=200)

    def __init__(self, *args: Any, patients: list[Patient], exams: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patients = {str(row.uuid): row for row in patients}
        self.fields["patient"].choices = [*((key, str(row)) for key, row in self.patients.items()), (NEW, _("New"))]
        self.fields["code"].choices = [("", "–"), *exams]

    def service_fields(self) -> dict[str, Any]:
        data = self.cleaned_data
        made = {name: data[name] for name in ("code", "laterality", "indication", "reason")}
        if data["patient"] == NEW:
            return {**made, "new_patient": {name: data[name] for name in PATIENT_FIELDS}}
        return {**made, "patient": self.patients[data["patient"]]}


@never_cache
@page(perms.RESOLVE_EXCEPTION)
def exception_order(request: HttpRequest, uuid: UUID) -> HttpResponse:
    request.actor.require(order_perms.CREATE_ORDER)
    item = exception_of(request, uuid)
    if not may_be_ordered(item):
        return HttpResponseRedirect(reverse("exception_detail", args=[item.uuid]))
    said = Said.of(item.study or item.performed_step)
    words = request.POST.get("words", "").strip()[:64]
    patients = _patients(request, said, words)
    exams = _exams(said.modality)
    refusal, status = None, 200
    if request.method == "POST" and "find" not in request.POST:
        form, status = OrderForm(request.POST, patients=patients, exams=exams), 422
        if form.is_valid():
            try:
                order = services.order_from_exception(item, **form.service_fields(), actor=request.actor)
            except DomainError as found:
                flush_refusals()
                refusal, status = found, 422 if found.http_status == 400 else found.http_status
                add_refusal(form, found)
            else:
                messages.success(request, _("Ordered and linked."))
                return HttpResponseRedirect(reverse("order_detail", args=[order.uuid]))
    else:
        form = OrderForm(initial=_as_sent(said, patients), patients=patients, exams=exams)
    record_read(request.actor, perms.RESOLVE_EXCEPTION, entity=item, patients=sorted(row.uuid for row in patients))
    context = {
        "nav": "exceptions",
        "item": item,
        "said": said,
        "sent_name": plain_name(said.sent.name),
        "patients": patients,
        "chosen": form["patient"].value(),
        "may_register": request.actor.may(order_perms.REGISTER_PATIENT),
        "form": form,
        "refusal": refusal,
        "words": words,
    }
    return render(request, "worklist/exception_order.html", context, status=status)


def _patients(request: HttpRequest, said: Said, words: str) -> list[Patient]:
    """Who it could be; who was searched for; and who was chosen before, so that a choice survives a mistake."""
    found: list[Patient] = []
    if words:
        found = list(orders.search_patients(words, actor=request.actor)[:LISTED])
    else:
        family, _caret, given = said.sent.name.partition("=")[0].partition("^")
        candidates = find_duplicates(
            actor=request.actor,
            family_name=family,
            given_name=given.replace("^", " "),
            birth_date=parse_date(said.sent.birth_date),
            identifiers=[said.sent.patient_id] if said.sent.patient_id else [],
        )
        found = [row.patient for row in candidates[:LISTED]]
    chosen = request.POST.get("patient", "")
    if chosen not in ("", NEW, *(str(row.uuid) for row in found)):
        found += orders.patients(actor=request.actor).filter(uuid=chosen) if is_uuid(chosen) else []
    return found


def _exams(modality: str) -> list[tuple[str, str]]:
    """The catalogue, exams of this kind of machine first."""
    fits = Case(When(modality=modality, then=Value(0)), default=Value(1), output_field=IntegerField())
    rows = orders.catalogue().prefetch_related(None).order_by(fits, "name")
    return [(row.code, f"{row.name} · {row.code}") for row in rows]


def _as_sent(said: Said, patients: list[Patient]) -> dict[str, Any]:
    family, _caret, given = said.sent.name.partition("=")[0].partition("^")
    return {
        "patient": str(patients[0].uuid) if patients else NEW,
        "family_name": family.strip(),
        "given_name": " ".join(given.replace("^", " ").split()),
        "birth_date": parse_date(said.sent.birth_date),
        "sex": said.sent.sex if said.sent.sex in Sex.values else Sex.UNKNOWN,
    }
