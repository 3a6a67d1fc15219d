"""What is asked about money: what is open, what is due, who pays, what a payer should have said before the exam."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Sum
from django.utils import timezone

from orders import money
from orders.models import (
    AuthorisationStatus,
    BillingCode,
    Charge,
    ChargeStatus,
    Coverage,
    Invoice,
    InvoiceKind,
    InvoiceStatus,
    Order,
    Patient,
    PatientClass,
    PayerKind,
    PayerScheme,
    Payment,
    PaymentKind,
    PaymentMethod,
    PreAuthorisation,
    PriceItem,
    Priority,
    ProcedureStatus,
    RequestedProcedure,
)
from orders.services.charges import OPEN, day_of
from ris.accounts.selectors import facility_settings
from ris.core.actor import Actor

S = ProcedureStatus
UNPRICED_WITHIN = timedelta(days=120)
DONE = (S.PERFORMED, S.READY_TO_READ, S.READING, S.PRELIMINARY, S.FINAL, S.AMENDED, S.DISTRIBUTED)


# --- lists


def orders_with_charges(*, actor: Actor, status: str) -> QuerySet[Order]:
    """Orders with a charge in that state, each with its open charges (``open_charges``) and who covers the patient."""
    wanted = Charge.objects.filter(procedure__order=OuterRef("pk"), status=status)
    return _with_money(Order.objects.visible_to(actor).filter(Exists(wanted)))


def orders_without_charges(*, actor: Actor) -> QuerySet[Order]:
    """Performed in the last months, and nobody has priced it."""
    since = timezone.now() - UNPRICED_WITHIN
    live = Charge.objects.filter(procedure=OuterRef("pk")).exclude(status=ChargeStatus.ABORTED)
    bare = RequestedProcedure.objects.filter(
        ~Exists(live), order=OuterRef("pk"), status__in=DONE, created_at__gte=since
    )
    voided = Charge.objects.filter(procedure__order=OuterRef("pk"), status=ChargeStatus.ABORTED)
    return _with_money(Order.objects.visible_to(actor).filter(Exists(bare), ~Exists(voided), created_at__gte=since))


def _with_money(rows: QuerySet[Order]) -> QuerySet[Order]:
    charges = Charge.objects.filter(status__in=OPEN).order_by("pk")
    coverages = Coverage.objects.on(timezone.localdate()).select_related("scheme").order_by("rank", "pk")
    return rows.select_related("patient").prefetch_related(
        "patient__identifiers",
        Prefetch("patient__coverages", queryset=coverages, to_attr="running_coverages"),
        "procedures",
        Prefetch("procedures__charges", queryset=charges, to_attr="open_charges"),
    )


def invoices(*, actor: Actor) -> QuerySet[Invoice]:
    return Invoice.objects.visible_to(actor).for_display()


def to_be_paid() -> Q:
    return Q(kind=InvoiceKind.INVOICE, status=InvoiceStatus.ISSUED)


def to_be_given_back() -> Q:
    """Paid, and credited after that."""
    return Q(kind=InvoiceKind.INVOICE, status=InvoiceStatus.CANCELLED, paid__gt=0)


def payments(*, actor: Actor) -> QuerySet[Payment]:
    return (
        Payment.objects.visible_to(actor)
        .select_related("received_by")
        .prefetch_related("allocations__invoice__order__patient__identifiers")
    )


def counts(*, actor: Actor) -> dict[str, int]:
    """How much waits in the lists of the billing page; two queries over what is open."""
    charges = dict(
        Charge.objects.visible_to(actor)
        .filter(status__in=OPEN)
        .order_by()
        .values_list("status")
        .annotate(n=Count("procedure__order", distinct=True))
    )
    waiting = Invoice.objects.visible_to(actor).filter(to_be_paid() | to_be_given_back())
    sums = waiting.aggregate(
        due=Count("pk", filter=to_be_paid()),
        late=Count("pk", filter=to_be_paid() & Q(due_on__lt=timezone.localdate())),
        back=Count("pk", filter=to_be_given_back()),
    )
    return {
        "confirm": charges.get(ChargeStatus.PLANNED, 0),
        "invoice": charges.get(ChargeStatus.BILLABLE, 0),
        **sums,
    }


@dataclass(frozen=True)
class Figures:
    """Of today, and what is owed, in the facility's currency."""

    currency: str
    invoiced: Decimal
    received: Decimal
    owed: Decimal
    overdue: Decimal


def figures(*, actor: Actor) -> Figures:
    currency, today = facility_settings().currency, timezone.localdate()
    midnight = timezone.make_aware(datetime.combine(today, time()))
    own = Invoice.objects.visible_to(actor).filter(currency=currency)
    owed = F("total") - F("credited") - F("paid")
    sums = own.filter(to_be_paid() | Q(issued_at__gte=midnight)).aggregate(
        invoiced=Sum("total", filter=Q(kind=InvoiceKind.INVOICE, issued_at__gte=midnight)),
        owed=Sum(owed, filter=to_be_paid()),
        overdue=Sum(owed, filter=to_be_paid() & Q(due_on__lt=today)),
    )
    received = (
        Payment.objects.visible_to(actor)
        .filter(currency=currency, kind=PaymentKind.PAYMENT, received_at__gte=midnight)
        .exclude(method=PaymentMethod.WAIVER)
    )
    return Figures(
        currency=currency,
        invoiced=sums["invoiced"] or money.ZERO,
        received=received.aggregate(sum=Sum("amount"))["sum"] or money.ZERO,
        owed=sums["owed"] or money.ZERO,
        overdue=sums["overdue"] or money.ZERO,
    )


# --- who pays


def schemes(*, active_only: bool = True) -> QuerySet[PayerScheme]:
    rows = PayerScheme.objects.all()
    return rows.filter(is_active=True) if active_only else rows


def prices() -> QuerySet[PriceItem]:
    return PriceItem.objects.select_related("scheme", "catalogue")


def coverages(*, actor: Actor) -> QuerySet[Coverage]:
    return Coverage.objects.visible_to(actor).select_related("scheme", "patient")


def coverages_of(patient: Patient) -> list[Coverage]:
    """All but the withdrawn ones, those that hold today first."""
    rows = list(patient.coverages.filter(withdrawn_at__isnull=True).select_related("scheme", "patient"))
    today = timezone.localdate()
    return sorted(rows, key=lambda row: (not row.holds_on(today), row.rank, row.pk))


def authorisations(*, actor: Actor) -> QuerySet[PreAuthorisation]:
    return PreAuthorisation.objects.visible_to(actor).select_related(
        "procedure__order__patient", "coverage__scheme", "coverage__patient"
    )


def billing_codes(*, actor: Actor) -> QuerySet[BillingCode]:
    return BillingCode.objects.visible_to(actor).live().select_related("procedure__order__patient")


# --- what a payer should have said


@dataclass(frozen=True)
class AuthorisationWarning:
    """A payer asks for an authorisation: it is missing, waits, was refused or ends too early. Never a hindrance."""

    procedure: RequestedProcedure
    coverage: Coverage
    problem: str
    authorisation: PreAuthorisation | None
    is_emergency: bool


def authorisation_warnings(
    procedures: Iterable[RequestedProcedure], *, on: date | None = None
) -> list[AuthorisationWarning]:
    """What to settle with the payers before these exams; ``on``: the day they are planned for, else when they were
    done, else today. Two queries for any number of exams of one patient."""
    rows = list(procedures)
    if not rows:
        return []
    patients = {row.order.patient_id for row in rows}
    asking = Coverage.objects.filter(
        patient__in=patients, withdrawn_at__isnull=True, scheme__needs_preauthorisation=True
    ).exclude(scheme__kind=PayerKind.CASH)
    covered = list(asking.select_related("scheme").order_by("rank", "pk"))
    if not covered:
        return []
    known = {
        (row.procedure_id, row.coverage_id): row
        for row in PreAuthorisation.objects.live().filter(procedure__in=rows, coverage__in=covered)
    }
    found = []
    for row in rows:
        day = on or day_of(row)
        for coverage in covered:
            if coverage.patient_id == row.order.patient_id and coverage.holds_on(day):
                entry = known.get((row.pk, coverage.pk))
                problem = _problem(entry, day)
                if problem:
                    found.append(AuthorisationWarning(row, coverage, problem, entry, _is_emergency(row)))
    return found


def _problem(entry: PreAuthorisation | None, day: date) -> str:
    if entry is None:
        return "missing"
    if entry.status == AuthorisationStatus.APPROVED:
        return "" if entry.holds_on(day) else "expired"
    return str(entry.status)


def _is_emergency(procedure: RequestedProcedure) -> bool:
    order = procedure.order
    return order.priority == Priority.STAT or order.patient_class == PatientClass.EMERGENCY


# --- the bill of one order


@dataclass(frozen=True)
class Bill:
    """An order's money on one page."""

    order: Order
    procedures: list[RequestedProcedure]
    coverages: list[Coverage]
    authorisations: list[PreAuthorisation]
    warnings: list[AuthorisationWarning]
    invoices: list[Invoice]
    codes: dict[int, list[BillingCode]]

    @property
    def charges(self) -> list[Charge]:
        return [charge for row in self.procedures for charge in row.charges.all()]

    def in_state(self, status: str) -> list[Charge]:
        return [charge for charge in self.charges if charge.status == status]


def bill_of(order: Order) -> Bill:
    """For an order that the caller may see already."""
    procedures = list(order.procedures.select_related("catalogue").prefetch_related("charges", "catalogue__codes"))
    codes: dict[int, list[BillingCode]] = {}
    for row in procedures:
        row.order = order
    for code in BillingCode.objects.live().filter(procedure__in=procedures):
        codes.setdefault(code.procedure_id, []).append(code)
    for row in procedures:
        for charge in row.charges.all():
            charge.procedure = row
    return Bill(
        order=order,
        procedures=procedures,
        coverages=coverages_of(order.patient),
        authorisations=list(
            PreAuthorisation.objects.live()
            .filter(procedure__in=procedures)
            .select_related("coverage__scheme", "procedure")
        ),
        warnings=authorisation_warnings(procedures),
        invoices=list(order.invoices.select_related("scheme", "corrects").order_by("pk")),
        codes=codes,
    )


def balance_of(patient: Patient, *, actor: Actor) -> dict[str, Any]:
    """What the patient and the payers still owe for this patient's exams, by currency."""
    rows = Invoice.objects.visible_to(actor).filter(to_be_paid(), order__patient=patient)
    owed = F("total") - F("credited") - F("paid")
    sums = (
        rows.order_by("currency")
        .values("currency")
        .annotate(own=Sum(owed, filter=Q(scheme__isnull=True)), others=Sum(owed, filter=Q(scheme__isnull=False)))
    )
    return {row["currency"]: row for row in sums}
