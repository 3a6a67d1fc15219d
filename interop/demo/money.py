"""Invented payers, their prices, who they cover, and what has been invoiced and paid in the demo."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from django.utils import timezone

from interop.demo import clock
from interop.demo.house import SEEDER
from orders import services as orders
from orders.models import (
    ChargeStatus,
    Invoice,
    InvoiceStatus,
    Order,
    PayerScheme,
    PriceItem,
    RequestedProcedure,
)
from ris.core.actor import Actor
from worklist import services as worklist

if TYPE_CHECKING:
    from interop.demo.seed import Stage

#: code, name, kind, share, asks before the exam
SCHEMES = (
    ("NHC", "National Health Cover", "insurance", 80, True),
    ("MWANGAZA", "Mwangaza Insurance", "insurance", 100, True),
    ("HARBOUR", "Harbour Works Ltd", "employer", 100, False),
    ("WELFARE", "Hospital welfare fund", "waiver", 50, False),
)
#: What technologists record with contrast and for copies
SUPPLIES = (
    ("CM-IOD", "Iodinated contrast", "consumable", "mL", "22.50"),
    ("CM-GAD", "Gadolinium contrast", "consumable", "mL", "180.00"),
    ("CANNULA", "Cannula 20G", "consumable", "", "150.00"),
    ("COPY-CD", "Images on CD", "other", "", "300.00"),
)
#: Codes of the diagnosis, by the exam's
DIAGNOSES = {
    "CTPA": ("I26.9", "Pulmonary embolism"),
    "CTCAPC": ("C18.9", "Colon carcinoma"),
    "CTKUB": ("N20.1", "Calculus of ureter"),
    "MRBRAIN": ("R51", "Headache"),
    "XRCHEST": ("J18.9", "Pneumonia"),
}


def seed_payers() -> dict[str, PayerScheme]:
    """Schemes, what they pay less than others, and what else is charged; once."""
    if PayerScheme.objects.exists():
        return {row.code: row for row in PayerScheme.objects.all()}
    found = {
        code: orders.save_scheme(
            code=code, name=name, kind=kind, default_share=share, needs_preauthorisation=asks, actor=SEEDER
        )
        for code, name, kind, share, asks in SCHEMES
    }
    for price in PriceItem.objects.filter(catalogue__modality__in=("CT", "MR"), scheme=None).select_related(
        "catalogue"
    ):
        orders.set_price(
            code=price.code,
            label=price.label,
            amount=(price.amount * Decimal("0.85")).quantize(Decimal("1")),
            catalogue=price.catalogue,
            scheme=found["NHC"],
            actor=SEEDER,
        )
    for code, label, kind, unit, amount in SUPPLIES:
        orders.set_price(code=code, label=label, kind=kind, unit=unit, amount=amount, actor=SEEDER)
    return found


def seed_coverage(stage: Stage) -> None:
    """Every third patient is in the national cover, some have more."""
    schemes, clerk = seed_payers(), stage.actor("clerk")
    for number, patient in enumerate(stage.patients):
        if number % 3 == 0:
            orders.add_coverage(patient, scheme=schemes["NHC"], member_number=f"NHC{410200 + number * 37}", actor=clerk)
        if number % 12 == 0:
            orders.add_coverage(patient, scheme=schemes["HARBOUR"], share=20, member_number=f"H-{number}", actor=clerk)
        if number % 7 == 2:
            orders.add_coverage(
                patient, scheme=schemes["MWANGAZA"], member_number=f"MW-{88100 + number}", share=90, actor=clerk
            )
        if number % 17 == 5:
            orders.add_coverage(patient, scheme=schemes["WELFARE"], actor=clerk)


def use_contrast(procedure: RequestedProcedure, *, actor: Actor) -> None:
    """What a technologist writes down with contrast; it is charged with the exam."""
    if procedure.catalogue is None or not procedure.catalogue.uses_contrast:
        return
    medium = "Gadolinium contrast" if procedure.modality == "MR" else "Iodinated contrast"
    quantity = "7.5" if procedure.modality == "MR" else "80"
    worklist.record_consumable(procedure, label=medium, quantity=quantity, lot="A2207", route="IV", actor=actor)


def seed_invoices(stage: Stage) -> None:
    """What was done until yesterday is invoiced, most of it paid; today's waits at the desk."""
    billable = Order.objects.filter(procedures__charges__status=ChargeStatus.BILLABLE).distinct()
    performed = [
        (max(row.performed_at for row in order.procedures.all() if row.performed_at), order)
        for order in billable.prefetch_related("procedures")
        if any(row.performed_at for row in order.procedures.all())
    ]
    until = timezone.now() - timedelta(hours=20)
    for number, (moment, order) in enumerate(sorted(performed, key=lambda pair: pair[0])):
        _authorise(order, number, stage)
        if moment < until:
            with clock.at(moment + timedelta(minutes=35)):
                _invoice(order, number, stage)
    _settle(stage)


def _authorise(order: Order, number: int, stage: Stage) -> None:
    clerk = stage.actor("clerk")
    for procedure in order.procedures.all():
        entry = DIAGNOSES.get(procedure.code)
        if entry:
            codes = [{"code": entry[0], "text": entry[1]}]
            orders.set_codes(procedure, system="ICD-10", codes=codes, actor=clerk)
        for coverage in order.patient.coverages.filter(scheme__needs_preauthorisation=True):
            if number % 4:
                orders.record_authorisation(
                    procedure, coverage=coverage, number=f"PA-{70310 + number * 3}", actor=clerk
                )


def _invoice(order: Order, number: int, stage: Stage) -> None:
    """The patient pays at the desk, mostly; the payers later."""
    clerk = stage.actor("clerk")
    for invoice in orders.issue_invoices(order, actor=clerk):
        if invoice.scheme_id is not None or not invoice.due or number % 5 == 4:
            continue
        method = ("mobile", "cash", "card")[number % 3]
        amount = invoice.due if number % 6 else (invoice.due / 2).quantize(Decimal("1"))
        orders.record_payment(
            allocations=[(invoice, amount)],
            method=method,
            reference="" if method == "cash" else f"QK{7100 + number * 13}XR",
            tendered=(amount // 1000 + 1) * 1000 if method == "cash" else None,
            actor=clerk,
        )


def _settle(stage: Stage) -> None:
    """One remittance of the national cover, and one invoice taken back."""
    clerk = stage.actor("clerk")
    owed = Invoice.objects.filter(scheme__code="NHC", status=InvoiceStatus.ISSUED).order_by("pk")[:4]
    if owed:
        orders.record_payment(
            allocations=[(row, row.due) for row in owed], method="remittance", reference="NHC-2201", actor=clerk
        )
    wrong = Invoice.objects.filter(scheme__code="MWANGAZA", status=InvoiceStatus.ISSUED).order_by("pk").first()
    if wrong is not None:
        orders.credit_invoice(wrong, reason="The cover had ended", is_rebilled=True, actor=stage.actor("qa"))
