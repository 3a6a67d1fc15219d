"""The bill of one order: charges, who pays, what payers have said, codes, and the invoices made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from orders import permissions as perms
from orders import selectors, services
from orders import selectors_billing as money_selectors
from orders.models import (
    Charge,
    ChargeStatus,
    CodeSystem,
    Coverage,
    Order,
    Patient,
    PreAuthorisation,
    RequestedProcedure,
)
from orders.models.orders import OPEN_BEFORE_EXAM
from orders.web import billing_forms as shapes
from orders.web.forms import add_refusal
from orders.web.patients import patient_page
from orders.web.support import once
from ris.accounts.selectors import facility_settings
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core.errors import DomainError, InvalidData, NotKnown
from ris.core.ids import uuid7

Bound = dict[Any, forms.Form]


def _order(request: HttpRequest, uuid: UUID) -> Order:
    row = selectors.orders(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such order."), todo=_("Look it up on the billing page."))
    return row


def _procedure(request: HttpRequest, uuid: UUID) -> RequestedProcedure:
    row = selectors.procedures(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such exam."))
    return row


@require_GET
@never_cache
@page(perms.VIEW_CHARGE)
def bill(request: HttpRequest, uuid: UUID) -> HttpResponse:
    order = _order(request, uuid)
    record_read(request.actor, perms.VIEW_CHARGE, entity=order)
    return _bill_page(request, order)


def _bill_page(
    request: HttpRequest,
    order: Order,
    *,
    bound: Bound | None = None,
    chosen: Iterable[Coverage] | None = None,
    status: int = 200,
) -> HttpResponse:
    """``bound``: refused forms by name, those of an exam by ``(name, exam's key)``. ``chosen``: who is to be asked,
    when not everybody who covers the patient."""
    actor = request.actor
    bound = bound or {}
    found = money_selectors.bill_of(order)
    running = [row for row in found.coverages if any(row.holds_on(charge.performed_on) for charge in _dated(found))]
    asked = running if chosen is None else [row for row in found.coverages if row in chosen]
    to_invoice = found.in_state(ChargeStatus.BILLABLE)
    forms_of = [_exam(row, found, bound) for row in found.procedures]
    context = {
        "nav": "billing",
        "order": order,
        "patient": order.patient,
        "bill": found,
        "exams": forms_of,
        "drafts": found.in_state(ChargeStatus.PLANNED),
        "parts": services.split_by_payer(to_invoice, asked) if to_invoice else [],
        "issue_form": bound.get("issue") or _issue_form(order, running),
        "once": uuid7(),
        "currency": facility_settings().currency,
        "may_charge": actor.may(perms.MANAGE_CHARGE),
        "may_code": actor.may(perms.CODE_PROCEDURE),
        "may_cover": actor.may(perms.MANAGE_COVERAGE),
        "may_issue": actor.may(perms.ISSUE_INVOICE) and bool(to_invoice),
        "may_see_invoices": actor.may(perms.VIEW_INVOICE),
    }
    return render(request, "orders/billing_order.html", context, status=status)


def _dated(found: money_selectors.Bill) -> list[Charge]:
    return [charge for charge in found.charges if charge.performed_on is not None]


def _issue_form(order: Order, running: list[Coverage]) -> shapes.IssueForm:
    language = order.patient.language
    known = dict(shapes.IssueForm.base_fields["language"].choices)
    initial = {
        "coverages": [row.uuid for row in running],
        "language": language if language in known else (get_language() or "en")[:2],
    }
    return shapes.IssueForm(order=order, initial=initial)


def _exam(row: RequestedProcedure, found: money_selectors.Bill, bound: Bound) -> dict[str, Any]:
    """One exam of the bill with its forms."""
    codes = found.codes.get(row.pk, [])
    lines = {system: "\n".join(str(code) for code in codes if code.system == system) for system in CodeSystem.values}
    return {
        "row": row,
        "charges": sorted(row.charges.all(), key=lambda charge: (charge.status == ChargeStatus.ABORTED, charge.pk)),
        "codes": codes,
        "catalogue_cpt": [] if lines[CodeSystem.CPT] else _catalogue_cpt(row),
        "authorisations": [entry for entry in found.authorisations if entry.procedure_id == row.pk],
        "warnings": [entry for entry in found.warnings if entry.procedure.pk == row.pk],
        "is_begun": row.status not in OPEN_BEFORE_EXAM,
        "charge_form": bound.get(("charge", row.pk)) or shapes.ChargeForm(procedure=row, auto_id=_ids("charge", row)),
        "codes_form": bound.get(("codes", row.pk))
        or shapes.CodesForm(
            initial={"icd10": lines[CodeSystem.ICD10], "cpt": lines[CodeSystem.CPT]}, auto_id=_ids("codes", row)
        ),
        "authorisation_form": bound.get(("authorise", row.pk))
        or shapes.AuthorisationForm(order=found.order, auto_id=_ids("authorise", row)),
        "open": [name for name, pk in (key for key in bound if isinstance(key, tuple)) if pk == row.pk],
    }


def _ids(name: str, row: RequestedProcedure) -> str:
    """Ids of one page that has the same form for several exams."""
    return f"id_{name}_{row.pk}_%s"


def _catalogue_cpt(row: RequestedProcedure) -> list[str]:
    if row.catalogue is None:
        return []
    return [code.value for code in row.catalogue.codes.all() if code.scheme in ("C4", "CPT")]


def _done(request: HttpRequest, order: Order, words: str) -> HttpResponse:
    messages.success(request, words)
    return HttpResponseRedirect(reverse("bill", args=[order.uuid]))


def _come_back(
    request: HttpRequest, order: Order, name: Any, form: forms.Form, refusal: DomainError | None = None
) -> HttpResponse:
    """The page again, with what was typed and what was refused."""
    status = 422
    if refusal is not None:
        flush_refusals()
        add_refusal(form, refusal)
        status = refusal.http_status
    return _bill_page(request, _order(request, order.uuid), bound={name: form}, status=status)


# --- charges


@require_POST
@page(perms.MANAGE_CHARGE)
def charges_confirm(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """All drafts of an order, in one go."""
    order = _order(request, uuid)
    rows = Charge.objects.filter(procedure__order=order, status=ChargeStatus.PLANNED).order_by("pk")
    done = [services.confirm_charge(row, actor=request.actor) for row in rows]
    words = ngettext("%(n)d charge confirmed.", "%(n)d charges confirmed.", len(done)) % {"n": len(done)}
    return _done(request, order, words)


@require_POST
@page(perms.MANAGE_CHARGE)
def charges_draft(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Draft what the exam lacks: its price came later."""
    procedure = _procedure(request, uuid)
    if procedure.status in OPEN_BEFORE_EXAM:
        raise InvalidData(_("Nothing has been performed yet."), todo=_("Charges follow the exam."))
    drafted = services.draft_charges(procedure, actor=request.actor)
    if not drafted:
        words = _("No price list has this exam on its day. Ask for a price.")
        messages.warning(request, words)
        return HttpResponseRedirect(reverse("bill", args=[procedure.order.uuid]))
    return _done(request, procedure.order, _("Drafted."))


@require_POST
@page(perms.MANAGE_CHARGE)
def charges_reprice(request: HttpRequest, uuid: UUID) -> HttpResponse:
    order = _order(request, uuid)
    changed = services.reprice_charges(order, actor=request.actor)
    words = ngettext("%(n)d price changed.", "%(n)d prices changed.", len(changed)) % {"n": len(changed)}
    return _done(request, order, words)


@require_POST
@page(perms.MANAGE_CHARGE)
def charge_void(request: HttpRequest, uuid: UUID) -> HttpResponse:
    charge = Charge.objects.visible_to(request.actor).filter(uuid=uuid).first()
    if charge is None:
        raise NotKnown(_("There is no such charge."))
    services.void_charge(charge, reason=request.POST.get("reason", ""), actor=request.actor)
    return _done(request, charge.procedure.order, _("Void."))


def _typed(
    request: HttpRequest,
    procedure: RequestedProcedure,
    name: str,
    form: forms.Form,
    work: Callable[[dict[str, Any]], Any],
    words: str,
) -> HttpResponse:
    """A form of one exam: checked, handed to its service, back to the bill."""
    if not form.is_valid():
        return _come_back(request, procedure.order, (name, procedure.pk), form)
    try:
        work(form.cleaned_data)
    except DomainError as refusal:
        return _come_back(request, procedure.order, (name, procedure.pk), form, refusal)
    return _done(request, procedure.order, words)


@require_POST
@page(perms.MANAGE_CHARGE)
def charge_add(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure, actor = _procedure(request, uuid), request.actor
    form = shapes.ChargeForm(request.POST, procedure=procedure, auto_id=_ids("charge", procedure))
    return _typed(
        request,
        procedure,
        "charge",
        form,
        lambda data: services.add_charge(procedure, **data, actor=actor),
        _("Added."),
    )


# --- codes and authorisations


def _lines(words: str) -> list[dict[str, str]]:
    """ "I26.9 Pulmonary embolism" per line."""
    parts = (line.strip().partition(" ") for line in words.splitlines() if line.strip())
    return [{"code": code, "text": text.strip()} for code, _space, text in parts]


@require_POST
@page(perms.CODE_PROCEDURE)
def codes_set(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure, actor = _procedure(request, uuid), request.actor
    form = shapes.CodesForm(request.POST, auto_id=_ids("codes", procedure))

    def work(data: dict[str, Any]) -> None:
        for system, name in ((CodeSystem.ICD10, "icd10"), (CodeSystem.CPT, "cpt")):
            try:
                services.set_codes(procedure, system=system, codes=_lines(data[name]), actor=actor)
            except InvalidData as refusal:
                raise InvalidData(
                    refusal.detail, errors={name: refusal.errors.get("codes", [refusal.detail])}
                ) from None

    return _typed(request, procedure, "codes", form, work, _("The codes are kept."))


@require_POST
@page(perms.MANAGE_COVERAGE)
def authorise(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure, actor = _procedure(request, uuid), request.actor
    form = shapes.AuthorisationForm(request.POST, order=procedure.order, auto_id=_ids("authorise", procedure))
    return _typed(
        request,
        procedure,
        "authorise",
        form,
        lambda data: services.record_authorisation(procedure, **data, actor=actor),
        _("The authorisation is recorded."),
    )


@require_POST
@page(perms.MANAGE_COVERAGE)
def authorisation_close(request: HttpRequest, uuid: UUID, verb: str) -> HttpResponse:
    """``refuse`` or ``withdraw``."""
    row = PreAuthorisation.objects.visible_to(request.actor).filter(uuid=uuid).first()
    work = {"refuse": services.refuse_authorisation, "withdraw": services.withdraw_authorisation}.get(verb)
    if row is None or work is None:
        raise NotKnown(_("There is no such authorisation."))
    work(row, reason=request.POST.get("reason", ""), actor=request.actor)
    return _done(request, row.procedure.order, _("Recorded."))


# --- invoicing


@require_POST
@page(perms.ISSUE_INVOICE)
def bill_issue(request: HttpRequest, uuid: UUID) -> HttpResponse:
    order = _order(request, uuid)
    form = shapes.IssueForm(request.POST, order=order)
    if not form.is_valid():
        return _come_back(request, order, "issue", form)
    if "preview" in request.POST:
        return _bill_page(request, order, bound={"issue": form}, chosen=list(form.cleaned_data["coverages"]))

    def issue() -> str:
        invoices = services.issue_invoices(
            order,
            coverages=list(form.cleaned_data["coverages"]),
            language=form.cleaned_data["language"],
            actor=request.actor,
        )
        numbers = ", ".join(row.number for row in invoices)
        messages.success(request, _("Issued: %(numbers)s.") % {"numbers": numbers or "–"})
        if len(invoices) == 1:
            return reverse("invoice_detail", args=[invoices[0].uuid])
        return reverse("bill", args=[order.uuid])

    try:
        return once(request, request.path, issue)
    except DomainError as refusal:
        return _come_back(request, order, "issue", form, refusal)


# --- coverage of a patient


@never_cache
@patient_page(perms.MANAGE_COVERAGE)
def coverage(request: HttpRequest, patient: Patient) -> HttpResponse:
    """Who covers a patient; a new coverage is recorded here."""
    form = shapes.CoverageForm(request.POST or None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                services.add_coverage(patient, **form.cleaned_data, actor=request.actor)
                messages.success(request, _("The coverage is recorded."))
                return HttpResponseRedirect(reverse("coverage", args=[patient.uuid]))
            except DomainError as refusal:
                flush_refusals()
                add_refusal(form, refusal)
                status = refusal.http_status
    record_read(request.actor, perms.MANAGE_COVERAGE, entity=patient)
    context = {
        "nav": "patients",
        "patient": patient,
        "coverages": money_selectors.coverages_of(patient),
        "form": form,
    }
    return render(request, "orders/billing_coverage.html", context, status=status)


@require_POST
@page(perms.MANAGE_COVERAGE)
def coverage_close(request: HttpRequest, uuid: UUID, verb: str) -> HttpResponse:
    """``end`` it today, or ``withdraw`` what was recorded by mistake."""
    row = money_selectors.coverages(actor=request.actor).filter(uuid=uuid).first()
    work = {"end": services.end_coverage, "withdraw": services.withdraw_coverage}.get(verb)
    if row is None or work is None:
        raise NotKnown(_("There is no such coverage."))
    work(row, reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("Recorded."))
    return HttpResponseRedirect(reverse("coverage", args=[row.patient.uuid]))
