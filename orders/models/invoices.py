"""Invoices, credit notes and payments. What was issued never changes: each facility has a trigger for that."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.models.billing import Coverage, PayerScheme
from orders.models.charges import Charge
from orders.models.orders import Order
from orders.querysets import InvoiceQuerySet, PaymentQuerySet
from ris.core.lifecycle import Lifecycle, PublicModel


def content_hash(content: dict[str, Any]) -> str:
    """SHA-256 over what the paper says."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class InvoiceKind(models.TextChoices):
    INVOICE = "invoice", _("Invoice")
    CREDIT_NOTE = "credit_note", _("Credit note")


class InvoiceStatus(models.TextChoices):
    """FHIR invoice-status; there are no drafts."""

    ISSUED = "issued", _("Issued")
    BALANCED = "balanced", _("Paid")
    CANCELLED = "cancelled", _("Credited")


class Invoice(Lifecycle):
    """What one payer owes for one order. Only ``status``, ``paid`` and ``credited`` move; a credit note corrects."""

    transitions = {
        InvoiceStatus.ISSUED: {InvoiceStatus.BALANCED, InvoiceStatus.CANCELLED},
        InvoiceStatus.BALANCED: {InvoiceStatus.ISSUED, InvoiceStatus.CANCELLED},
    }

    number = models.CharField(_("number"), max_length=20, unique=True, editable=False)
    kind = models.CharField(_("kind"), max_length=12, choices=InvoiceKind.choices, default=InvoiceKind.INVOICE)
    year = models.PositiveSmallIntegerField(editable=False)
    sequence = models.PositiveIntegerField(editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="invoices", verbose_name=_("order"))
    scheme = models.ForeignKey(
        PayerScheme,
        null=True,
        on_delete=models.PROTECT,
        related_name="invoices",
        verbose_name=_("payer scheme"),
        help_text=_("Empty: the patient pays."),
    )
    coverage = models.ForeignKey(Coverage, null=True, on_delete=models.PROTECT, related_name="invoices")
    currency = models.CharField(_("currency"), max_length=3)
    total = models.DecimalField(_("total"), max_digits=12, decimal_places=2)
    paid = models.DecimalField(_("paid"), max_digits=12, decimal_places=2, default=Decimal(0), editable=False)
    credited = models.DecimalField(_("credited"), max_digits=12, decimal_places=2, default=Decimal(0), editable=False)
    status = models.CharField(
        _("status"), max_length=10, choices=InvoiceStatus.choices, default=InvoiceStatus.ISSUED, editable=False
    )
    corrects = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="credit_notes")
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    language = models.CharField(_("language"), max_length=8, default="en")
    issued_at = models.DateTimeField(_("issued at"), default=timezone.now)
    issued_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    due_on = models.DateField(_("due on"))
    content = models.JSONField(help_text="Facility, patient, payer and lines as they were; what the paper says.")
    content_hash = models.CharField(max_length=64)

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        verbose_name = _("invoice")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "year", "sequence"], name="invoice_sequence_once_a_year"),
            models.CheckConstraint(
                condition=Q(total__gte=0, paid__gte=0, credited__gte=0, credited__lte=F("total")),
                name="invoice_amounts_are_possible",
            ),
            models.CheckConstraint(condition=Q(paid__lte=F("total")), name="invoice_is_not_overpaid"),
            models.CheckConstraint(
                condition=Q(kind="invoice", corrects__isnull=True)
                | (Q(kind="credit_note", corrects__isnull=False) & ~Q(reason="")),
                name="credit_note_corrects_with_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="invoice_status"),
            models.Index(fields=["issued_at"], name="invoice_issued"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def due(self) -> Decimal:
        """Still to be paid; below zero: to be given back."""
        return self.total - self.credited - self.paid if self.kind == InvoiceKind.INVOICE else Decimal(0)

    @property
    def is_overdue(self) -> bool:
        return self.due > 0 and self.due_on < timezone.localdate()

    @property
    def audit_patient(self):
        return self.order.patient.uuid


class InvoiceLine(PublicModel):
    """The part of one charge that one invoice asks for, or one credit note gives back."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    charge = models.ForeignKey(Charge, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveSmallIntegerField()
    amount = models.DecimalField(max_digits=12, decimal_places=2)

    rows_are_append_only = True

    class Meta:
        verbose_name = _("invoice line")
        ordering = ["invoice", "position"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="invoice_position_once"),
            models.UniqueConstraint(fields=["invoice", "charge"], name="charge_once_per_invoice"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="invoice_line_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.invoice} {self.position}"


class PaymentKind(models.TextChoices):
    PAYMENT = "payment", _("Payment")
    REFUND = "refund", _("Refund")


class PaymentMethod(models.TextChoices):
    CASH = "cash", _("Cash")
    MOBILE = "mobile", _("Mobile money")
    CARD = "card", _("Card")
    REMITTANCE = "remittance", _("Payer's remittance")
    WAIVER = "waiver", _("Waiver")


class Payment(PublicModel):
    """Money that came, or went back; with a receipt of its own number. Never changed: a refund corrects it."""

    number = models.CharField(_("receipt number"), max_length=20, unique=True, editable=False)
    kind = models.CharField(_("kind"), max_length=8, choices=PaymentKind.choices, default=PaymentKind.PAYMENT)
    year = models.PositiveSmallIntegerField(editable=False)
    sequence = models.PositiveIntegerField(editable=False)
    method = models.CharField(_("method"), max_length=10, choices=PaymentMethod.choices)
    amount = models.DecimalField(_("amount"), max_digits=12, decimal_places=2)
    currency = models.CharField(_("currency"), max_length=3)
    tendered = models.DecimalField(_("given"), max_digits=12, decimal_places=2, null=True, blank=True)
    reference = models.CharField(_("reference"), max_length=64, blank=True)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    received_at = models.DateTimeField(_("received at"), default=timezone.now)
    received_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    language = models.CharField(_("language"), max_length=8, default="en")
    content = models.JSONField(help_text="Facility, payer and invoices as they were; what the receipt says.")
    content_hash = models.CharField(max_length=64)

    rows_are_append_only = True
    objects = PaymentQuerySet.as_manager()

    class Meta:
        verbose_name = _("payment")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["year", "sequence"], name="receipt_sequence_once_a_year"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_is_positive"),
            models.CheckConstraint(
                condition=Q(tendered__isnull=True) | Q(tendered__gte=F("amount")), name="given_covers_the_payment"
            ),
            models.CheckConstraint(condition=~Q(kind="refund") | ~Q(reason=""), name="refund_has_a_reason"),
            models.UniqueConstraint(
                fields=["reference"],
                condition=Q(method="mobile", kind="payment"),
                name="mobile_money_reference_once",
            ),
        ]
        indexes = [models.Index(fields=["received_at"], name="payment_received")]

    def __str__(self) -> str:
        return self.number

    @property
    def change(self) -> Decimal:
        return (self.tendered or self.amount) - self.amount

    @property
    def audit_patient(self):
        patients = {row.invoice.audit_patient for row in self.allocations.all()}
        return patients.pop() if len(patients) == 1 else None


class PaymentAllocation(PublicModel):
    """How much of a payment belongs to which invoice."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="allocations")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="allocations")
    amount = models.DecimalField(max_digits=12, decimal_places=2)

    rows_are_append_only = True

    class Meta:
        verbose_name = _("allocation of a payment")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["payment", "invoice"], name="invoice_once_per_payment"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="allocation_is_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.payment} {self.invoice}"
