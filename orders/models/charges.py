"""What is billed: drafted from what was performed, never from what was ordered."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models.catalogue import CatalogueProcedure
from orders.models.orders import RequestedProcedure
from orders.querysets import ChargeQuerySet
from ris.core.lifecycle import Lifecycle, Recorded


class PriceItem(Recorded):
    """A chargeable thing and its price."""

    code = models.CharField(_("code"), max_length=16, unique=True)
    label = models.CharField(_("label"), max_length=100)
    catalogue = models.ForeignKey(
        CatalogueProcedure, null=True, blank=True, on_delete=models.PROTECT, related_name="prices"
    )
    amount = models.DecimalField(_("amount"), max_digits=12, decimal_places=2)
    currency = models.CharField(_("currency"), max_length=3, default="KES")
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("price")
        ordering = ["code"]
        constraints = [models.CheckConstraint(condition=Q(amount__gte=0), name="price_is_not_negative")]

    def __str__(self) -> str:
        return self.label


class ChargeStatus(models.TextChoices):
    """FHIR chargeitem-status"""

    PLANNED = "planned", _("Draft")
    BILLABLE = "billable", _("To be billed")
    BILLED = "billed", _("Billed")
    ABORTED = "aborted", _("Void")


class Charge(Lifecycle):
    transitions = {
        ChargeStatus.PLANNED: {ChargeStatus.BILLABLE, ChargeStatus.ABORTED},
        ChargeStatus.BILLABLE: {ChargeStatus.BILLED, ChargeStatus.ABORTED},
        ChargeStatus.BILLED: {ChargeStatus.ABORTED},
    }

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="charges")
    price_item = models.ForeignKey(PriceItem, null=True, blank=True, on_delete=models.PROTECT, related_name="charges")
    code = models.CharField(_("code"), max_length=16)
    label = models.CharField(_("label"), max_length=100)
    quantity = models.PositiveSmallIntegerField(_("quantity"), default=1)
    amount = models.DecimalField(_("amount"), max_digits=12, decimal_places=2)
    currency = models.CharField(_("currency"), max_length=3)
    status = models.CharField(
        _("status"), max_length=10, choices=ChargeStatus.choices, default=ChargeStatus.PLANNED, editable=False
    )

    history = HistoricalRecords()
    objects = ChargeQuerySet.as_manager()

    class Meta:
        verbose_name = _("charge")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["procedure", "code"], condition=~Q(status="aborted"), name="one_live_charge_per_code"
            ),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="charge_has_a_quantity"),
        ]

    def __str__(self) -> str:
        return f"{self.label} {self.amount} {self.currency}"

    @property
    def audit_patient(self):
        return self.procedure.order.patient.uuid
