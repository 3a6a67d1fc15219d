"""/billing/: what is to be confirmed, invoiced and paid; one invoice with its payments; remittances of payers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from orders import money, services
from orders import permissions as perms
from orders import selectors_billing as selectors
from orders.invoice_pdf import render_invoice_pdf, render_receipt_pdf
from orders.models import (
    ChargeStatus,
    Coverage,
    Invoice,
    InvoiceKind,
    InvoiceStatus,
    Modality,
    Payment,
    PaymentMethod,
)
from orders.web import billing_forms as shapes
from orders.web.forms import add_refusal
from orders.web.support import answered, cursor_page, once
from ris.accounts.web import page
from ris.audit.models import Action
from ris.audit.service import flush_refusals, record, record_read
from ris.core.errors import DomainError, NotKnown
from ris.core.ids import uuid7

SELF = "self"
REMITTED_AT_ONCE = 100


@dataclass(frozen=True)
class View:
    """A saved list: ``shape`` says which table it is."""

    key: str
    words: Any
    icon: str
    shape: str
    count: str = ""


VIEWS = (
    View("invoice", gettext_lazy("To invoice"), "file-invoice", "orders", "invoice"),
    View("confirm", gettext_lazy("To confirm"), "list-check", "orders", "confirm"),
    View("unpriced", gettext_lazy("Without a price"), "help-circle", "orders"),
    View("due", gettext_lazy("Outstanding"), "hourglass", "invoices", "due"),
    View("back", gettext_lazy("To give back"), "receipt-refund", "invoices", "back"),
    View("invoices", gettext_lazy("All invoices"), "file-text", "invoices"),
    View("payments", gettext_lazy("Payments"), "cash", "payments"),
)
PERIODS = (("1", gettext_lazy("Today")), ("7", gettext_lazy("7 days")), ("30", gettext_lazy("30 days")))


@require_GET
@never_cache
@page(perms.VIEW_INVOICE)
def billing(request: HttpRequest) -> HttpResponse:
    """One of the lists; every filter stands in the address, none of them names a patient."""
    actor = request.actor
    view = next((row for row in VIEWS if row.key == request.GET.get("view")), VIEWS[0])
    rows = {"orders": _orders, "invoices": _invoices, "payments": _payments}[view.shape](request, view)
    shown = cursor_page(rows, request.GET.get("cursor", ""))
    patients = {getattr(row, "audit_patient", None) for row in shown.rows} - {None}
    record_read(actor, perms.VIEW_INVOICE, patients=sorted(patients), detail={"rows": len(shown.rows)})
    counts = selectors.counts(actor=actor)
    payers = [(SELF, _("Patients themselves")), *((row.code, row.name) for row in selectors.schemes())]
    context = {
        "nav": "billing",
        "view": view,
        "views": [(row, counts.get(row.count)) for row in VIEWS],
        "late": counts["late"],
        "page": shown,
        "rows": [_order_row(row, view) for row in shown.rows] if view.shape == "orders" else shown.rows,
        "figures": selectors.figures(actor=actor),
        "payers": payers,
        "modalities": Modality.choices,
        "methods": PaymentMethod.choices,
        "statuses": InvoiceStatus.choices,
        "periods": PERIODS,
        "may_revenue": actor.may(perms.VIEW_REVENUE),
        "may_pay": actor.may(perms.TAKE_PAYMENT),
    }
    return render(request, "orders/billing.html", context)


def _since(request: HttpRequest) -> datetime | None:
    """The beginning of the chosen period."""
    days = request.GET.get("days", "")
    if days not in dict(PERIODS):
        return None
    first = timezone.localdate() - timedelta(days=int(days) - 1)
    return timezone.make_aware(datetime.combine(first, time()))


def _orders(request: HttpRequest, view: View) -> QuerySet[Any]:
    actor = request.actor
    if view.key == "unpriced":
        rows = selectors.orders_without_charges(actor=actor)
    else:
        status = ChargeStatus.PLANNED if view.key == "confirm" else ChargeStatus.BILLABLE
        rows = selectors.orders_with_charges(actor=actor, status=status)
    if chosen := [value for value in request.GET.getlist("modality") if value in Modality.values]:
        rows = rows.filter(procedures__modality__in=chosen).distinct()
    if payer := request.GET.get("payer", ""):
        running = Coverage.objects.on(timezone.localdate()).filter(patient=OuterRef("patient"))
        rows = rows.filter(~Exists(running) if payer == SELF else Exists(running.filter(scheme__code=payer)))
    if since := _since(request):
        rows = rows.filter(procedures__performed_at__gte=since).distinct()
    return rows


def _order_row(order: Any, view: View) -> dict[str, Any]:
    """An order with what is open on it: exams, sum, who covers."""
    wanted = {"confirm": ChargeStatus.PLANNED, "invoice": ChargeStatus.BILLABLE}.get(view.key)
    charges = [
        charge for row in order.procedures.all() for charge in row.open_charges if wanted in (None, charge.status)
    ]
    sums: dict[str, Decimal] = {}
    for charge in charges:
        sums[charge.currency] = sums.get(charge.currency, money.ZERO) + charge.amount
    performed = [row.performed_at for row in order.procedures.all() if row.performed_at]
    return {
        "order": order,
        "exams": list(order.procedures.all()),
        "charges": charges,
        "sums": sums,
        "coverages": order.patient.running_coverages,
        "performed_at": max(performed, default=None),
    }


def _invoices(request: HttpRequest, view: View) -> QuerySet[Invoice]:
    rows = selectors.invoices(actor=request.actor)
    if view.key == "due":
        rows = rows.filter(selectors.to_be_paid())
    elif view.key == "back":
        rows = rows.filter(selectors.to_be_given_back())
    if request.GET.get("late") == "1":
        rows = rows.filter(selectors.to_be_paid(), due_on__lt=timezone.localdate())
    if payer := request.GET.get("payer", ""):
        rows = rows.filter(scheme__isnull=True) if payer == SELF else rows.filter(scheme__code=payer)
    if chosen := [value for value in request.GET.getlist("status") if value in InvoiceStatus.values]:
        rows = rows.filter(status__in=chosen)
    if since := _since(request):
        rows = rows.filter(issued_at__gte=since)
    return rows


def _payments(request: HttpRequest, view: View) -> QuerySet[Payment]:
    rows = selectors.payments(actor=request.actor)
    if chosen := [value for value in request.GET.getlist("method") if value in PaymentMethod.values]:
        rows = rows.filter(method__in=chosen)
    if payer := request.GET.get("payer", ""):
        of_self = Q(allocations__invoice__scheme__isnull=True)
        rows = rows.filter(of_self if payer == SELF else Q(allocations__invoice__scheme__code=payer)).distinct()
    if since := _since(request):
        rows = rows.filter(received_at__gte=since)
    return rows


# --- one invoice


def _invoice(request: HttpRequest, uuid: UUID) -> Invoice:
    row = selectors.invoices(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such invoice."), todo=_("Look it up on the billing page."))
    return row


@require_GET
@never_cache
@page(perms.VIEW_INVOICE)
def invoice_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    invoice = _invoice(request, uuid)
    record_read(request.actor, perms.VIEW_INVOICE, entity=invoice)
    return _invoice_page(request, invoice)


def _invoice_page(
    request: HttpRequest, invoice: Invoice, *, bound: dict[str, forms.Form] | None = None, status: int = 200
) -> HttpResponse:
    actor = request.actor
    is_invoice = invoice.kind == InvoiceKind.INVOICE
    allocations = invoice.allocations.select_related("payment__received_by").order_by("pk")
    context = {
        "nav": "billing",
        "invoice": invoice,
        "patient": invoice.order.patient,
        "content": invoice.content,
        "allocations": list(allocations),
        "siblings": list(invoice.order.invoices.exclude(pk=invoice.pk).select_related("scheme").order_by("pk")),
        "languages": [code for code, _name in settings.LANGUAGES if code != invoice.language],
        "once": uuid7(),
        "may_pay": is_invoice and invoice.due > 0 and actor.may(perms.TAKE_PAYMENT),
        "may_credit": is_invoice and invoice.status != InvoiceStatus.CANCELLED and actor.may(perms.CREDIT_INVOICE),
        "may_refund": is_invoice and invoice.paid > 0 and actor.may(perms.CREDIT_INVOICE),
        "payment_form": shapes.PaymentForm(invoice=invoice),
        "credit_form": shapes.CreditForm(prefix="credit"),
        "refund_form": shapes.RefundForm(prefix="refund", initial={"amount": f"{invoice.paid:f}"}),
        **(bound or {}),
    }
    return render(request, "orders/invoice.html", context, status=status)


def _refused(request: HttpRequest, invoice: Invoice, name: str, form: forms.Form, found: DomainError) -> HttpResponse:
    """The page again, with what was typed and what was refused."""
    flush_refusals()
    add_refusal(form, found)
    return _invoice_page(request, _invoice(request, invoice.uuid), bound={name: form}, status=found.http_status)


@require_POST
@page(perms.TAKE_PAYMENT)
def invoice_pay(request: HttpRequest, uuid: UUID) -> HttpResponse:
    invoice = _invoice(request, uuid)
    if done := answered(request, request.path):
        return done
    form = shapes.PaymentForm(request.POST, invoice=invoice)
    if not form.is_valid():
        return _invoice_page(request, invoice, bound={"payment_form": form}, status=422)
    data = dict(form.cleaned_data)

    def take() -> str:
        payment = services.record_payment(
            allocations=[(invoice, data.pop("amount"))],
            **data,
            actor=request.actor,
        )
        said = _("Receipt %(number)s.") % {"number": payment.number}
        if payment.change:
            said += " " + _("Change: %(change)s.") % {"change": money.spoken(payment.change, payment.currency)}
        messages.success(request, said)
        return reverse("invoice_detail", args=[invoice.uuid])

    try:
        return once(request, request.path, take)
    except DomainError as found:
        return _refused(request, invoice, "payment_form", form, found)


@require_POST
@page(perms.CREDIT_INVOICE)
def invoice_credit(request: HttpRequest, uuid: UUID) -> HttpResponse:
    invoice = _invoice(request, uuid)
    form = shapes.CreditForm(request.POST, prefix="credit")
    if not form.is_valid():
        return _invoice_page(request, invoice, bound={"credit_form": form}, status=422)
    try:
        note = services.credit_invoice(invoice, **form.cleaned_data, actor=request.actor)
    except DomainError as found:
        return _refused(request, invoice, "credit_form", form, found)
    messages.success(request, _("Credit note %(number)s.") % {"number": note.number})
    return HttpResponseRedirect(reverse("invoice_detail", args=[note.uuid]))


@require_POST
@page(perms.CREDIT_INVOICE)
def invoice_refund(request: HttpRequest, uuid: UUID) -> HttpResponse:
    invoice = _invoice(request, uuid)
    form = shapes.RefundForm(request.POST, prefix="refund")
    if not form.is_valid():
        return _invoice_page(request, invoice, bound={"refund_form": form}, status=422)
    try:
        payment = services.refund_payment(invoice, **form.cleaned_data, actor=request.actor)
    except DomainError as found:
        return _refused(request, invoice, "refund_form", form, found)
    messages.success(request, _("Given back: receipt %(number)s.") % {"number": payment.number})
    return HttpResponseRedirect(reverse("invoice_detail", args=[invoice.uuid]))


# --- papers


def _paper(request: HttpRequest, content: bytes, row: Invoice | Payment) -> HttpResponse:
    record(request.actor, perms.VIEW_INVOICE, Action.READ, entity=row, detail={"paper": row.number})
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{row.number}.pdf"'
    response["Cache-Control"] = "no-store"
    return response


def _paper_language(request: HttpRequest) -> str:
    asked = request.GET.get("language", "")
    return asked if asked in dict(settings.LANGUAGES) else ""


@require_GET
@page(perms.VIEW_INVOICE)
def invoice_paper(request: HttpRequest, uuid: UUID) -> HttpResponse:
    invoice = _invoice(request, uuid)
    return _paper(request, render_invoice_pdf(invoice, language=_paper_language(request)), invoice)


@require_GET
@page(perms.VIEW_INVOICE)
def receipt_paper(request: HttpRequest, uuid: UUID) -> HttpResponse:
    payment = selectors.payments(actor=request.actor).filter(uuid=uuid).first()
    if payment is None:
        raise NotKnown(_("There is no such receipt."))
    return _paper(request, render_receipt_pdf(payment, language=_paper_language(request)), payment)


# --- a payer's remittance for many invoices


@never_cache
@page(perms.TAKE_PAYMENT)
def remittance(request: HttpRequest) -> HttpResponse:
    """What one payer owes, oldest first; the amounts that it has paid are typed beside."""
    actor = request.actor
    payers = list(selectors.schemes())
    payer = next((row for row in payers if row.code == request.GET.get("payer")), None)
    rows: list[Invoice] = []
    if payer is not None:
        owed = selectors.invoices(actor=actor).filter(selectors.to_be_paid(), scheme=payer)
        rows = list(owed.order_by("due_on", "pk")[:REMITTED_AT_ONCE])
    form = shapes.RemittanceForm(request.POST or None)
    typed = {row.uuid: request.POST.get(f"amount-{row.uuid}", "").strip() for row in rows}
    status = 200
    if request.method == "POST" and payer is not None:
        if form.is_valid():
            chosen = [(row, typed[row.uuid]) for row in rows if typed[row.uuid]]

            def take() -> str:
                payment = services.record_payment(
                    allocations=chosen, method=PaymentMethod.REMITTANCE, **form.cleaned_data, actor=actor
                )
                messages.success(request, _("Receipt %(number)s.") % {"number": payment.number})
                return f"{reverse('billing')}?view=payments"

            try:
                return once(request, request.path, take)
            except DomainError as found:
                flush_refusals()
                add_refusal(form, found)
                status = found.http_status
        else:
            status = 422
    record_read(actor, perms.VIEW_INVOICE, patients=sorted({row.audit_patient for row in rows}))
    context = {
        "nav": "billing",
        "payers": payers,
        "payer": payer,
        "once": uuid7(),
        "rows": [(row, typed[row.uuid]) for row in rows],
        "form": form,
    }
    return render(request, "orders/billing_remittance.html", context, status=status)
