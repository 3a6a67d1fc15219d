"""Invoices by payer, credit notes, payments and refunds. Numbers have no gaps: they are taken in the transaction that
uses them, from a counter of the facility and the year, which stays locked until the commit.

Locks: order, charges, invoices (by key), the counter last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from orders import money, validation
from orders import permissions as perms
from orders.events import InvoiceIssued, PaymentRecorded
from orders.models import (
    BillingCode,
    Charge,
    ChargeStatus,
    CodeSystem,
    Coverage,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    Order,
    PayerKind,
    Payment,
    PaymentAllocation,
    PaymentKind,
    PaymentMethod,
    PreAuthorisation,
)
from orders.models.invoices import content_hash
from orders.services.charges import invoiced, invoiced_by_charge
from orders.validation import Errors
from ris.accounts.selectors import facility_settings
from ris.accounts.sequences import next_value
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, Conflict, InvalidData
from ris.events.bus import publish
from ris.tenants.context import require_facility

PREFIXES: dict[str, str] = {InvoiceKind.INVOICE: "INV", InvoiceKind.CREDIT_NOTE: "CN"}
#: What the catalogue calls CPT (HL7 table 0396).
CPT_SCHEMES = ("C4", "CPT")
NEEDS_REFERENCE = (PaymentMethod.MOBILE, PaymentMethod.CARD, PaymentMethod.REMITTANCE)


@dataclass
class Part:
    """What one payer is to be asked for; without ``coverage`` it is the patient."""

    currency: str
    coverage: Coverage | None = None
    authorisations: list[PreAuthorisation] = field(default_factory=list)
    lines: list[tuple[Charge, Decimal]] = field(default_factory=list)

    @property
    def total(self) -> Decimal:
        return sum((amount for _charge, amount in self.lines), money.ZERO)

    @property
    def payer(self) -> str:
        return self.coverage.scheme.name if self.coverage else _("Patient")


# --- who is asked for what


def split_by_payer(charges: Iterable[Charge], coverages: Iterable[Coverage]) -> list[Part]:
    """What is open of each charge, split by the coverages that held on its day, in their order; the rest is the
    patient's. An authorised amount is the most that its payer is asked for by one procedure."""
    charges, coverages = list(charges), list(coverages)
    asked = invoiced_by_charge(charges)
    approved = _authorisations(charges, coverages)
    room = {key: row.amount for key, row in approved.items()}
    parts: dict[tuple[str, int], Part] = {}
    for charge in charges:
        own = [row for row in coverages if charge.performed_on is None or row.holds_on(charge.performed_on)]
        shares = [money.Share(row.share, room.get((charge.procedure_id, row.pk))) for row in own]
        amounts = money.split(charge.amount - asked.get(charge.pk, money.ZERO), shares, charge.currency)
        for coverage, amount in zip([*own, None], amounts, strict=True):
            key = (charge.procedure_id, coverage.pk) if coverage else None
            if key and room.get(key) is not None:
                room[key] -= amount
            if amount == 0 and (coverage is not None or own):
                continue
            part = parts.setdefault((charge.currency, coverage.pk if coverage else 0), Part(charge.currency, coverage))
            part.lines.append((charge, amount))
            if key in approved and approved[key] not in part.authorisations:
                part.authorisations.append(approved[key])
    ranks = {row.pk: place for place, row in enumerate(coverages)}
    return sorted(parts.values(), key=lambda part: ranks.get(part.coverage.pk if part.coverage else 0, len(ranks)))


def _authorisations(charges: list[Charge], coverages: list[Coverage]) -> dict[tuple[int, int], PreAuthorisation]:
    rows = PreAuthorisation.objects.live().filter(
        procedure__in={charge.procedure_id for charge in charges}, coverage__in=coverages
    )
    days = {charge.procedure_id: charge.performed_on or timezone.localdate() for charge in charges}
    return {(row.procedure_id, row.coverage_id): row for row in rows if row.holds_on(days[row.procedure_id])}


# --- issuing


@service(perms.ISSUE_INVOICE, action=Action.CREATE)
def issue_invoices(
    order: Order, *, coverages: Iterable[Coverage] | None = None, language: str = "", actor: Actor
) -> list[Invoice]:
    """One invoice per payer for all confirmed charges of an order. ``coverages``: who is asked, when not everybody
    who covers the patient; none of them means that the patient pays all."""
    order = Order.locked(order.pk)
    charges = list(
        Charge.objects.select_for_update(of=("self",))
        .filter(procedure__order=order, status=ChargeStatus.BILLABLE)
        .select_related("procedure__catalogue")
        .order_by("pk")
    )
    if not charges:
        raise Conflict(
            _("There is nothing to invoice."),
            asked=_("To invoice an order."),
            found=_("It has no confirmed charge that is open."),
            todo=_("Confirm its charges first, or price the exam."),
        )
    own = Coverage.objects.filter(patient=order.patient_id, withdrawn_at__isnull=True).select_related("scheme")
    if coverages is not None:
        own = own.filter(pk__in=[row.pk for row in coverages])
    chosen = list(own.order_by("rank", "pk"))
    language = _language(language, order.patient.language)
    invoices = [_issue(order, part, language, actor) for part in split_by_payer(charges, chosen)]
    for charge in charges:
        charge.move_to(ChargeStatus.BILLED)
        charge.save_as(actor, _("Invoiced"))
    for invoice in invoices:
        if invoice.scheme is not None and invoice.scheme.kind == PayerKind.WAIVER and invoice.total:
            _write_off(invoice, actor)
    return invoices


def _language(asked: str, spoken: str) -> str:
    known = [code for code, _name in settings.LANGUAGES]
    return next((code for code in (asked, spoken, (get_language() or "")[:2]) if code in known), known[0])


def _number(kind: str) -> dict[str, Any]:
    """The next number of this kind and year."""
    year = timezone.localdate().year
    sequence = next_value(f"{kind}:{year}")
    prefix = PREFIXES.get(kind, "RCT")
    return {"number": f"{prefix}-{year}-{sequence:06}", "year": year, "sequence": sequence}


def _issue(order: Order, part: Part, language: str, actor: Actor) -> Invoice:
    scheme = part.coverage.scheme if part.coverage else None
    today = timezone.localdate()
    invoice = Invoice(
        order=order,
        scheme=scheme,
        coverage=part.coverage,
        currency=part.currency,
        total=part.total,
        status=InvoiceStatus.ISSUED if part.total else InvoiceStatus.BALANCED,
        language=language,
        issued_by=actor.user,
        due_on=today + timedelta(days=scheme.terms_days) if scheme else today,
    )
    lines = [_line(charge, amount, part) for charge, amount in part.lines]
    return _store(invoice, {"payer": _payer(part), "lines": lines}, part.lines, actor)


def _store(invoice: Invoice, content: dict[str, Any], lines: list[tuple[Charge, Decimal]], actor: Actor) -> Invoice:
    """Give it its number and write it down, once and for all."""
    for name, value in _number(invoice.kind).items():
        setattr(invoice, name, value)
    invoice.issued_at = timezone.now()
    invoice.content = {
        **heading(invoice.order),
        "number": invoice.number,
        "kind": str(invoice.kind),
        "issued_at": invoice.issued_at.isoformat(),
        "issued_by": _person(actor),
        "due_on": invoice.due_on.isoformat(),
        "currency": invoice.currency,
        "total": str(invoice.total),
        "reason": invoice.reason,
        "corrects": invoice.corrects.number if invoice.corrects else "",
        **content,
    }
    invoice.content_hash = content_hash(invoice.content)
    invoice.save()
    for position, (charge, amount) in enumerate(lines, 1):
        InvoiceLine.objects.create(invoice=invoice, charge=charge, position=position, amount=amount)
    publish(
        InvoiceIssued(
            str(invoice.uuid),
            version=invoice.version,
            number=invoice.number,
            kind=str(invoice.kind),
            order=str(invoice.order.uuid),
        ),
        actor=actor,
    )
    return invoice


def heading(order: Order) -> dict[str, Any]:
    """Who asks and for whom, as it is now."""
    patient, identifier = order.patient, order.patient.primary_identifier
    return {
        "facility": {"name": require_facility().name, "letterhead": facility_settings().letterhead},
        "patient": {
            "name": patient.display_name,
            "birth_date": patient.birth_date.isoformat() if patient.birth_date else "",
            "sex": patient.sex,
            "identifier": identifier.value if identifier else "",
            "issuer": identifier.issuer if identifier else "",
        },
        "order": {
            "number": order.filler_order_number,
            "requester": order.requester.display_name if order.requester else "",
        },
    }


def _person(actor: Actor) -> str:
    return actor.user.display_name if actor.user else ""


def _payer(part: Part) -> dict[str, str] | None:
    if part.coverage is None:
        return None
    numbers = [row.number for row in part.authorisations]
    return {
        "name": part.coverage.scheme.name,
        "kind": str(part.coverage.scheme.kind),
        "address": part.coverage.scheme.address,
        "member_number": part.coverage.member_number,
        "holder_name": part.coverage.holder_name,
        "authorisations": ", ".join(numbers),
    }


def _line(charge: Charge, amount: Decimal, part: Part) -> dict[str, str]:
    codes = BillingCode.objects.live().filter(procedure=charge.procedure_id).order_by("position", "pk")
    found: dict[str, list[str]] = {}
    for row in codes:
        found.setdefault(row.system, []).append(row.code)
    catalogue = charge.procedure.catalogue
    if CodeSystem.CPT not in found and catalogue is not None:
        found[CodeSystem.CPT] = [row.value for row in catalogue.codes.all() if row.scheme in CPT_SCHEMES]
    return {
        "accession_number": charge.procedure.accession_number,
        "code": charge.code,
        "label": charge.label,
        "kind": str(charge.kind),
        "cpt": ", ".join(found.get(CodeSystem.CPT, [])) if charge.kind == "exam" else "",
        "icd10": ", ".join(found.get(CodeSystem.ICD10, [])),
        "performed_on": charge.performed_on.isoformat() if charge.performed_on else "",
        "quantity": str(charge.quantity),
        "unit": charge.unit,
        "unit_price": str(charge.unit_price),
        "gross": str(charge.amount),
        "share": str(part.coverage.share) if part.coverage else "",
        "amount": str(amount),
    }


# --- correcting


@service(perms.CREDIT_INVOICE, action=Action.CREATE)
def credit_invoice(invoice: Invoice, *, reason: str, is_rebilled: bool = False, actor: Actor) -> Invoice:
    """Take an invoice back by a credit note over all of it. ``is_rebilled``: its charges are open again, to be
    invoiced anew; else they are void, as far as no other invoice asks for them."""
    errors = Errors()
    reason = validation.short_string(reason, "reason", errors, length=200, required=True)
    errors.raise_if_any(_("This needs a reason."))
    order = Order.locked(invoice.order_id)
    invoice = Invoice.locked(invoice.pk)
    if invoice.kind != InvoiceKind.INVOICE or invoice.status == InvoiceStatus.CANCELLED:
        raise Conflict(
            _("This cannot be credited."),
            asked=_("To credit an invoice."),
            found=_("It is a credit note.") if invoice.corrects_id else _("It has been credited already."),
            todo=_("Issue a new invoice where something is still owed."),
        )
    lines = [(row.charge, row.amount) for row in invoice.lines.select_related("charge__procedure").order_by("position")]
    note = Invoice(
        kind=InvoiceKind.CREDIT_NOTE,
        order=order,
        scheme=invoice.scheme,
        coverage=invoice.coverage,
        currency=invoice.currency,
        total=invoice.total,
        status=InvoiceStatus.BALANCED,
        corrects=invoice,
        reason=reason,
        language=invoice.language,
        issued_by=actor.user,
        due_on=timezone.localdate(),
    )
    content = {"payer": invoice.content["payer"], "lines": invoice.content["lines"]}
    note = _store(note, content, lines, actor)
    invoice.credited = invoice.total
    invoice.move_to(InvoiceStatus.CANCELLED)
    invoice.save()
    for charge, _amount in lines:
        _reopen(Charge.locked(charge.pk), reason, is_rebilled, actor)
    return note


def _reopen(charge: Charge, reason: str, is_rebilled: bool, actor: Actor) -> None:
    if charge.status != ChargeStatus.BILLED:
        return
    if is_rebilled:
        charge.move_to(ChargeStatus.BILLABLE)
        charge.save_as(actor, reason)
    elif invoiced(charge) == 0:
        charge.move_to(ChargeStatus.ABORTED)
        charge.reason = reason
        charge.save_as(actor, reason)


# --- money that comes and goes


@service(perms.TAKE_PAYMENT, action=Action.CREATE)
def record_payment(
    *,
    allocations: Iterable[tuple[Invoice, Any]],
    method: str,
    reference: str = "",
    tendered: Any = None,
    reason: str = "",
    actor: Actor,
) -> Payment:
    """Money for one invoice, or a payer's remittance for many. Never more than is due: change is given back.
    To waive needs the right to credit as well."""
    if method == PaymentMethod.WAIVER:
        actor.require(perms.CREDIT_INVOICE)
    errors = Errors()
    method = validation.choice(method, PaymentMethod, "method", errors)
    reference = validation.short_string(
        reference, "reference", errors, length=64, required=method in NEEDS_REFERENCE
    ).upper()
    reason = validation.short_string(reason, "reason", errors, length=200, required=method == PaymentMethod.WAIVER)
    asked = {invoice.pk: amount for invoice, amount in allocations}
    invoices = _locked(asked)
    amounts = {row.pk: _due_part(row, asked[row.pk], errors) for row in invoices}
    currencies = {row.currency for row in invoices}
    if len(currencies) > 1 or not invoices:
        errors.add("allocations", _("Choose invoices of one currency."))
    total = sum(amounts.values(), money.ZERO)
    given = _given(tendered, total, errors) if method == PaymentMethod.CASH else None
    errors.raise_if_any(_("This payment cannot be taken."))
    if method == PaymentMethod.MOBILE and _is_known(reference):
        words = _("A payment with this reference has been taken already.")
        raise AlreadyExists(words, todo=_("Look the receipt up before taking it again."), errors={"reference": [words]})
    payment = Payment(
        method=method, amount=total, currency=currencies.pop(), tendered=given, reference=reference, reason=reason
    )
    return _receive(payment, [(row, amounts[row.pk]) for row in invoices], actor)


def _is_known(reference: str) -> bool:
    return Payment.objects.filter(method=PaymentMethod.MOBILE, kind=PaymentKind.PAYMENT, reference=reference).exists()


def _locked(keys: Iterable[int]) -> list[Invoice]:
    rows = Invoice.objects.select_for_update(of=("self",)).filter(pk__in=list(keys)).order_by("pk")
    return list(rows.select_related("order__patient", "scheme"))


def _due_part(invoice: Invoice, value: Any, errors: Errors) -> Decimal:
    amount = money.parsed(value)
    if amount is None:
        errors.add("amount", _("This is not a number."))
        return money.ZERO
    if amount <= 0:
        errors.add("amount", _("Give an amount above zero."))
        return money.ZERO
    if not money.is_exact(amount, invoice.currency):
        errors.add("amount", _("%(currency)s has no coins for that.") % {"currency": invoice.currency})
        return money.ZERO
    if amount > invoice.due:
        due = money.spoken(max(invoice.due, money.ZERO), invoice.currency)
        errors.add("amount", _("%(number)s: only %(due)s is due.") % {"number": invoice.number, "due": due})
    return amount.quantize(money.ZERO)


def _given(value: Any, total: Decimal, errors: Errors) -> Decimal | None:
    if value in (None, ""):
        return None
    given = money.parsed(value)
    if given is None or given < total:
        errors.add("tendered", _("Less was given than is to be taken."))
        return None
    return given.quantize(money.ZERO)


def _receive(payment: Payment, parts: list[tuple[Invoice, Decimal]], actor: Actor) -> Payment:
    """Number it, write down what the receipt says, and let the invoices follow."""
    sign = -1 if payment.kind == PaymentKind.REFUND else 1
    for invoice, amount in parts:
        invoice.paid += sign * amount
        if invoice.status != InvoiceStatus.CANCELLED:
            target = InvoiceStatus.BALANCED if invoice.due == 0 else InvoiceStatus.ISSUED
            if invoice.status != target:
                invoice.move_to(target)
        invoice.save()
    for name, value in _number("receipt").items():
        setattr(payment, name, value)
    first = parts[0][0]
    payment.received_at = timezone.now()
    payment.received_by = actor.user
    payment.language = first.language
    payment.content = {
        "facility": heading(first.order)["facility"],
        "number": payment.number,
        "kind": str(payment.kind),
        "method": str(payment.method),
        "reference": payment.reference,
        "amount": str(payment.amount),
        "tendered": str(payment.tendered) if payment.tendered is not None else "",
        "currency": payment.currency,
        "received_at": payment.received_at.isoformat(),
        "received_by": _person(actor),
        "reason": payment.reason,
        "invoices": [_paid_line(invoice, amount) for invoice, amount in parts],
    }
    payment.content_hash = content_hash(payment.content)
    payment.save()
    for invoice, amount in parts:
        PaymentAllocation.objects.create(payment=payment, invoice=invoice, amount=amount)
    publish(
        PaymentRecorded(
            str(payment.uuid),
            number=payment.number,
            kind=str(payment.kind),
            invoices=[str(invoice.uuid) for invoice, _amount in parts],
        ),
        actor=actor,
    )
    return payment


def _paid_line(invoice: Invoice, amount: Decimal) -> dict[str, str]:
    patient, payer = invoice.content["patient"], invoice.content["payer"]
    return {
        "number": invoice.number,
        "patient": patient["name"],
        "identifier": patient["identifier"],
        "payer": payer["name"] if payer else "",
        "total": str(invoice.total),
        "amount": str(amount),
        "due": str(invoice.due),
    }


def _write_off(invoice: Invoice, actor: Actor) -> None:
    """What a waiver takes over is nobody's debt."""
    payment = Payment(
        method=PaymentMethod.WAIVER, amount=invoice.total, currency=invoice.currency, reason=invoice.scheme.name
    )
    _receive(payment, [(invoice, invoice.total)], actor)


@service(perms.CREDIT_INVOICE, action=Action.CREATE)
def refund_payment(
    invoice: Invoice, *, amount: Any, method: str, reason: str, reference: str = "", actor: Actor
) -> Payment:
    """Give money back: at most what was paid, with a receipt of its own."""
    errors = Errors()
    method = validation.choice(method, PaymentMethod, "method", errors)
    reason = validation.short_string(reason, "reason", errors, length=200, required=True)
    reference = validation.short_string(
        reference, "reference", errors, length=64, required=method in NEEDS_REFERENCE
    ).upper()
    back = money.parsed(amount)
    invoice = _locked([invoice.pk])[0]
    if back is None or back <= 0 or not money.is_exact(back, invoice.currency):
        errors.add("amount", _("Give an amount above zero."))
    errors.raise_if_any(_("This money cannot be given back."))
    if back is None or back > invoice.paid:
        paid = money.spoken(invoice.paid, invoice.currency)
        words = _("Only %(paid)s was paid.") % {"paid": paid}
        raise InvalidData(words, errors={"amount": [words]})
    payment = Payment(
        kind=PaymentKind.REFUND,
        method=method,
        amount=back.quantize(money.ZERO),
        currency=invoice.currency,
        reference=reference,
        reason=reason,
    )
    return _receive(payment, [(invoice, payment.amount)], actor)
