"""What is billed: drafted from what was performed, never from what was ordered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models.catalogue import CatalogueProcedure
from orders.models.orders import RequestedProcedure
from orders.querysets import ChargeQuerySet, PriceQuerySet
from ris.accounts.selectors import facility_settings
from ris.core.lifecycle import Lifecycle, Recorded


class ChargeKind(models.TextChoices):
    EXAM = "exam", _("Exam")
    CONSUMABLE = "consumable", _("Consumable")
    OTHER = "other", _("Other")


class Days(Func):
    """daterange(from, to, '[]'): an end that is not known is none."""

    function = "DATERANGE"
    output_field = DateRangeField()


class PriceItem(Recorded):
    """A chargeable thing and its price in a list: that of one payer scheme, or the general one. A new price is a new
    row; the old one ends the day before."""

    code = models.CharField(_("code"), max_length=16)
    label = models.CharField(_("label"), max_length=100)
    kind = models.CharField(_("kind"), max_length=10, choices=ChargeKind.choices, default=ChargeKind.EXAM)
    catalogue = models.ForeignKey(
        CatalogueProcedure,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="prices",
        verbose_name=_("exam"),
    )
    consumable_code = models.CharField(
        _("code of the consumable"), max_length=32, blank=True, help_text=_("As technologists record it.")
    )
    unit = models.CharField(
        _("unit"), max_length=16, blank=True, help_text=_("The price is per this unit; empty: per use.")
    )
    scheme = models.ForeignKey(
        "orders.PayerScheme",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="prices",
        verbose_name=_("payer scheme"),
        help_text=_("Empty: the general price, for cash and for whoever has none of their own."),
    )
    amount = models.DecimalField(_("amount"), max_digits=12, decimal_places=2)
    currency = models.CharField(
        _("currency"), max_length=3, blank=True, default="", help_text=_("Empty: the facility's.")
    )
    valid_from = models.DateField(_("valid from"), null=True, blank=True)
    valid_to = models.DateField(_("valid to"), null=True, blank=True, help_text=_("The last day."))
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()
    objects = PriceQuerySet.as_manager()

    class Meta:
        verbose_name = _("price")
        ordering = ["code", "scheme_id", "-valid_from"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0), name="price_is_not_negative"),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True) | Q(valid_to__isnull=True) | Q(valid_to__gte=F("valid_from")),
                name="price_ends_after_it_starts",
            ),
            ExclusionConstraint(
                name="one_price_at_a_time",
                expressions=[
                    (F("code"), RangeOperators.EQUAL),
                    (Coalesce(F("scheme"), Value(0)), RangeOperators.EQUAL),
                    (
                        Days("valid_from", "valid_to", RangeBoundary(inclusive_lower=True, inclusive_upper=True)),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(is_active=True),
                violation_error_message=_("Another price of this code and payer holds on some of these days."),
            ),
        ]

    def __str__(self) -> str:
        return self.label

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.currency = self.currency or facility_settings().currency
        super().save(*args, **kwargs)


class ChargeStatus(models.TextChoices):
    """FHIR chargeitem-status"""

    PLANNED = "planned", _("Draft")
    BILLABLE = "billable", _("To be billed")
    BILLED = "billed", _("Billed")
    ABORTED = "aborted", _("Void")


class Charge(Lifecycle):
    """One thing that was done or used, with its price on that day."""

    transitions = {
        ChargeStatus.PLANNED: {ChargeStatus.BILLABLE, ChargeStatus.ABORTED},
        ChargeStatus.BILLABLE: {ChargeStatus.BILLED, ChargeStatus.ABORTED},
        ChargeStatus.BILLED: {ChargeStatus.BILLABLE, ChargeStatus.ABORTED},
    }

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="charges")
    price_item = models.ForeignKey(PriceItem, null=True, blank=True, on_delete=models.PROTECT, related_name="charges")
    kind = models.CharField(_("kind"), max_length=10, choices=ChargeKind.choices, default=ChargeKind.EXAM)
    source = models.CharField(
        max_length=36, blank=True, default="", editable=False, help_text="UUID of the use that it was drafted from."
    )
    code = models.CharField(_("code"), max_length=16)
    label = models.CharField(_("label"), max_length=100)
    quantity = models.DecimalField(_("quantity"), max_digits=9, decimal_places=2, default=Decimal(1))
    unit = models.CharField(_("unit"), max_length=16, blank=True, default="")
    unit_price = models.DecimalField(_("price of one"), max_digits=12, decimal_places=2, default=Decimal(0))
    amount = models.DecimalField(_("amount"), max_digits=12, decimal_places=2)
    currency = models.CharField(_("currency"), max_length=3)
    performed_on = models.DateField(_("performed on"), null=True, blank=True, editable=False)
    status = models.CharField(
        _("status"), max_length=10, choices=ChargeStatus.choices, default=ChargeStatus.PLANNED, editable=False
    )
    reason = models.CharField(_("reason"), max_length=200, blank=True, editable=False, help_text=_("Why it is void."))

    history = HistoricalRecords()
    objects = ChargeQuerySet.as_manager()

    class Meta:
        verbose_name = _("charge")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["procedure", "code", "source"], condition=~Q(status="aborted"), name="one_live_charge_per_code"
            ),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="charge_has_a_quantity"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="charge_is_not_negative"),
        ]
        indexes = [models.Index(fields=["status", "-id"], name="charge_status")]

    def __str__(self) -> str:
        return f"{self.label} {self.amount} {self.currency}"

    @property
    def is_open(self) -> bool:
        """Neither invoiced nor void."""
        return self.status in (ChargeStatus.PLANNED, ChargeStatus.BILLABLE)

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number

    @property
    def audit_patient(self):
        return self.procedure.order.patient.uuid
