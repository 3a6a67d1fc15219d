"""Who pays: payer schemes, a patient's coverage, authorisations of procedures; and the codes that payers ask for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models.orders import RequestedProcedure
from orders.models.patients import Patient
from orders.querysets import BillingCodeQuerySet, CoverageQuerySet, PreAuthorisationQuerySet
from ris.core.lifecycle import Lifecycle, Recorded
from ris.core.text import masked


class PayerKind(models.TextChoices):
    CASH = "cash", _("Cash")
    INSURANCE = "insurance", _("Insurance")
    EMPLOYER = "employer", _("Employer")
    WAIVER = "waiver", _("Waiver")


class PayerScheme(Recorded):
    """Somebody who pays, and by which rules. What a waiver takes over is written off when it is invoiced."""

    code = models.CharField(_("code"), max_length=16, unique=True)
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=10, choices=PayerKind.choices)
    default_share = models.DecimalField(
        _("share in percent"), max_digits=5, decimal_places=2, default=Decimal(100), help_text=_("Of new coverages.")
    )
    needs_preauthorisation = models.BooleanField(_("asks for an authorisation before the exam"), default=False)
    terms_days = models.PositiveSmallIntegerField(_("pays within (days)"), default=30)
    address = models.TextField(_("address on the invoice"), blank=True)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("payer scheme")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(default_share__gt=0, default_share__lte=100), name="scheme_share_is_a_percentage"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Coverage(Recorded):
    """A patient is covered by a scheme: ``share`` percent of the whole are its part, the lowest ``rank`` pays first."""

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="coverages", verbose_name=_("patient"))
    scheme = models.ForeignKey(
        PayerScheme, on_delete=models.PROTECT, related_name="coverages", verbose_name=_("payer scheme")
    )
    member_number = models.CharField(_("member number"), max_length=64, blank=True)
    holder_name = models.CharField(
        _("principal member"), max_length=100, blank=True, help_text=_("When it is somebody else.")
    )
    share = models.DecimalField(_("share in percent"), max_digits=5, decimal_places=2, default=Decimal(100))
    rank = models.PositiveSmallIntegerField(_("order"), default=1, help_text=_("1 pays first."))
    valid_from = models.DateField(_("valid from"), null=True, blank=True)
    valid_to = models.DateField(_("valid to"), null=True, blank=True, help_text=_("The last day."))
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = CoverageQuerySet.as_manager()

    class Meta:
        verbose_name = _("coverage")
        ordering = ["rank", "pk"]
        constraints = [
            models.CheckConstraint(condition=Q(share__gt=0, share__lte=100), name="coverage_share_is_a_percentage"),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True) | Q(valid_to__isnull=True) | Q(valid_to__gte=F("valid_from")),
                name="coverage_ends_after_it_starts",
            ),
            models.CheckConstraint(condition=Q(rank__gte=1), name="coverage_rank_starts_at_one"),
        ]

    def __str__(self) -> str:
        return f"{self.scheme} {masked(self.member_number)}".strip()

    def holds_on(self, day: Any) -> bool:
        return (
            self.withdrawn_at is None
            and (self.valid_from is None or self.valid_from <= day)
            and (self.valid_to is None or self.valid_to >= day)
        )

    @property
    def audit_patient(self):
        return self.patient.uuid


class AuthorisationStatus(models.TextChoices):
    REQUESTED = "requested", _("Requested")
    APPROVED = "approved", _("Approved")
    REFUSED = "refused", _("Refused")
    WITHDRAWN = "withdrawn", _("Withdrawn")


A = AuthorisationStatus


class PreAuthorisation(Lifecycle):
    """What a payer has said to one procedure before it: a number, up to which amount, until when."""

    transitions = {
        A.REQUESTED: {A.APPROVED, A.REFUSED, A.WITHDRAWN},
        A.APPROVED: {A.REFUSED, A.WITHDRAWN},
        A.REFUSED: {A.REQUESTED, A.APPROVED, A.WITHDRAWN},
    }

    procedure = models.ForeignKey(
        RequestedProcedure, on_delete=models.PROTECT, related_name="authorisations", verbose_name=_("exam")
    )
    coverage = models.ForeignKey(
        Coverage, on_delete=models.PROTECT, related_name="authorisations", verbose_name=_("coverage")
    )
    number = models.CharField(_("authorisation number"), max_length=40, blank=True)
    amount = models.DecimalField(
        _("up to the amount"), max_digits=12, decimal_places=2, null=True, blank=True, help_text=_("Empty: all of it.")
    )
    expires_on = models.DateField(_("valid until"), null=True, blank=True, help_text=_("The last day."))
    status = models.CharField(_("status"), max_length=10, choices=A.choices, default=A.REQUESTED, editable=False)
    reason = models.CharField(_("reason"), max_length=200, blank=True)

    history = HistoricalRecords()
    objects = PreAuthorisationQuerySet.as_manager()

    class Meta:
        verbose_name = _("pre-authorisation")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["procedure", "coverage"],
                condition=~Q(status="withdrawn"),
                name="one_live_authorisation_per_coverage",
            ),
            models.CheckConstraint(
                condition=~Q(status="approved") | ~Q(number=""), name="approved_authorisation_has_a_number"
            ),
            models.CheckConstraint(
                condition=Q(amount__isnull=True) | Q(amount__gt=0), name="authorised_amount_is_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.number or str(self.get_status_display())

    def holds_on(self, day: Any) -> bool:
        return self.status == A.APPROVED and (self.expires_on is None or self.expires_on >= day)

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number

    @property
    def audit_patient(self):
        return self.procedure.audit_patient


class CodeSystem(models.TextChoices):
    ICD10 = "ICD-10", _("Diagnosis (ICD-10)")
    CPT = "CPT", _("Service (CPT)")


class BillingCode(Recorded):
    """A code on a procedure, for the payer: why it was done (ICD-10), what was done (CPT). The first one leads."""

    procedure = models.ForeignKey(
        RequestedProcedure, on_delete=models.PROTECT, related_name="billing_codes", verbose_name=_("exam")
    )
    system = models.CharField(_("code system"), max_length=8, choices=CodeSystem.choices)
    code = models.CharField(_("code"), max_length=16)
    text = models.CharField(_("meaning"), max_length=200, blank=True)
    position = models.PositiveSmallIntegerField(_("order"), default=1)
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = BillingCodeQuerySet.as_manager()

    class Meta:
        verbose_name = _("billing code")
        ordering = ["system", "position", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["procedure", "system", "code"],
                condition=Q(withdrawn_at__isnull=True),
                name="billing_code_once_per_procedure",
            )
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip()

    @property
    def audit_patient(self):
        return self.procedure.audit_patient
