"""What was asked for. An order holds procedures; its status is derived from theirs."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from simple_history.models import HistoricalRecords

from orders.models.catalogue import CatalogueProcedure, Laterality, Modality
from orders.models.patients import Patient, Visit
from orders.querysets import OrderQuerySet, ProcedureQuerySet
from ris.core.ids import new_uid
from ris.core.lifecycle import Lifecycle, Recorded


class Priority(models.TextChoices):
    """FHIR request-priority; HL7 TQ1-9 S, A, -, R; DICOM (0040,1003) STAT, HIGH, MEDIUM, ROUTINE"""

    STAT = "stat", _("STAT")
    ASAP = "asap", _("ASAP")
    URGENT = "urgent", _("Urgent")
    ROUTINE = "routine", _("Routine")


class PatientClass(models.TextChoices):
    """HL7 table 0004"""

    OUTPATIENT = "O", _("Outpatient")
    INPATIENT = "I", _("Inpatient")
    EMERGENCY = "E", _("Emergency")


class ProcedureStatus(models.TextChoices):
    """What people see; ``LIFE_CYCLE`` says what integrators of the eight classic states see."""

    REQUESTED = "requested", _("Requested")
    VETTING = "vetting", _("Vetting")
    INFO_REQUESTED = "info_requested", _("Information requested")
    ON_HOLD = "on_hold", _("On hold")
    ACCEPTED = "accepted", _("Accepted")
    SCHEDULED = "scheduled", _("Scheduled")
    ARRIVED = "arrived", _("Arrived")
    IN_PROGRESS = "in_progress", _("In progress")
    PERFORMED = "performed", _("Performed")
    READY_TO_READ = "ready_to_read", _("Ready to read")
    READING = "reading", _("Reading")
    PRELIMINARY = "preliminary", _("Preliminary")
    FINAL = "final", _("Final")
    AMENDED = "amended", _("Amended")
    DISTRIBUTED = "distributed", _("Distributed")
    REJECTED = "rejected", _("Rejected")
    CANCELLED = "cancelled", _("Cancelled")
    NO_SHOW = "no_show", _("No show")
    DISCONTINUED = "discontinued", _("Discontinued")
    REPLACED = "replaced", _("Replaced")


class ContrastDecision(models.TextChoices):
    """What the protocol says of contrast; which agent and how much stands in ``contrast``."""

    OPEN = "", _("Not decided")
    WITHOUT = "without", _("Without contrast")
    WITH = "with", _("With contrast")


#: As it reads after the exam: "X-ray wrist, left".
SIDES = {
    Laterality.LEFT: pgettext_lazy("side", "left"),
    Laterality.RIGHT: pgettext_lazy("side", "right"),
    Laterality.BOTH: pgettext_lazy("side", "both sides"),
}

S = ProcedureStatus
OPEN_BEFORE_EXAM = frozenset({S.REQUESTED, S.VETTING, S.INFO_REQUESTED, S.ON_HOLD, S.ACCEPTED, S.SCHEDULED, S.ARRIVED})
CLOSED_WITHOUT_EXAM = frozenset({S.REJECTED, S.CANCELLED, S.NO_SHOW, S.REPLACED})
_STOPPED = frozenset({S.CANCELLED, S.REPLACED, S.NO_SHOW})

LIFE_CYCLE: dict[str, str] = {
    **dict.fromkeys((S.REQUESTED, S.VETTING, S.INFO_REQUESTED, S.ON_HOLD, S.ACCEPTED), "requested"),
    **dict.fromkeys((S.SCHEDULED, S.ARRIVED), "scheduled"),
    S.IN_PROGRESS: "in_progress",
    **dict.fromkeys((S.PERFORMED, S.READY_TO_READ, S.READING), "completed"),
    S.PRELIMINARY: "reported",
    **dict.fromkeys((S.FINAL, S.AMENDED), "verified"),
    S.DISTRIBUTED: "distributed",
    **dict.fromkeys((S.REJECTED, S.CANCELLED, S.NO_SHOW, S.DISCONTINUED, S.REPLACED), "cancelled"),
}


class Order(Recorded):
    """One request by one requester for one patient."""

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="orders", verbose_name=_("patient"))
    visit = models.ForeignKey(Visit, null=True, blank=True, on_delete=models.PROTECT, related_name="orders")
    site = models.ForeignKey(
        "accounts.Site", null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("site")
    )
    requester = models.ForeignKey(
        "accounts.Practitioner",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="requested_orders",
        verbose_name=_("requested by"),
    )
    copies_to = models.ManyToManyField(
        "accounts.Practitioner", blank=True, related_name="copied_orders", verbose_name=_("copies to")
    )
    placer_order_number = models.CharField(_("placer order number"), max_length=64, blank=True)
    placer_issuer = models.CharField(_("placer"), max_length=64, blank=True)
    filler_order_number = models.CharField(_("filler order number"), max_length=64, blank=True)
    priority = models.CharField(_("priority"), max_length=8, choices=Priority.choices, default=Priority.ROUTINE)
    patient_class = models.CharField(
        _("patient class"), max_length=1, choices=PatientClass.choices, default=PatientClass.OUTPATIENT
    )
    indication = models.TextField(_("clinical question"), blank=True)
    clinical_information = models.TextField(_("clinical information"), blank=True)
    transport = models.CharField(_("transport"), max_length=64, blank=True)
    isolation = models.CharField(_("isolation"), max_length=64, blank=True)
    location = models.CharField(_("location"), max_length=64, blank=True)
    ordered_at = models.DateTimeField(_("ordered at"), default=timezone.now)
    source = models.CharField(max_length=20, default="web", editable=False)
    status = models.CharField(
        max_length=16, choices=ProcedureStatus.choices, default=ProcedureStatus.REQUESTED, editable=False
    )

    history = HistoricalRecords(m2m_fields=[copies_to])
    objects = OrderQuerySet.as_manager()

    class Meta:
        verbose_name = _("order")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["placer_order_number", "placer_issuer"],
                condition=~Q(placer_order_number=""),
                name="placer_order_number_once",
            ),
        ]
        indexes = [
            models.Index(fields=["patient", "-ordered_at"], name="order_of_patient"),
            models.Index(fields=["status", "-id"], name="order_status"),
        ]

    def __str__(self) -> str:
        return self.filler_order_number or f"order {self.pk}"

    @property
    def audit_patient(self):
        return self.patient.uuid


class RequestedProcedure(Lifecycle):
    """One exam of an order. Accession number and Study Instance UID are assigned at creation and never changed."""

    transitions = {
        S.REQUESTED: {S.VETTING, S.ACCEPTED, S.INFO_REQUESTED, S.ON_HOLD, S.REJECTED, *_STOPPED},
        S.VETTING: {S.ACCEPTED, S.INFO_REQUESTED, S.ON_HOLD, S.REJECTED, *_STOPPED},
        S.INFO_REQUESTED: {S.VETTING, S.ACCEPTED, S.ON_HOLD, S.REJECTED, *_STOPPED},
        S.ON_HOLD: {S.VETTING, S.ACCEPTED, S.INFO_REQUESTED, S.REJECTED, *_STOPPED},
        S.ACCEPTED: {
            S.SCHEDULED,
            S.ARRIVED,
            S.IN_PROGRESS,
            S.INFO_REQUESTED,
            S.ON_HOLD,
            S.VETTING,
            S.REJECTED,
            *_STOPPED,
        },
        S.SCHEDULED: {S.ACCEPTED, S.ARRIVED, S.IN_PROGRESS, S.ON_HOLD, S.VETTING, *_STOPPED},
        S.ARRIVED: {S.SCHEDULED, S.IN_PROGRESS, S.ACCEPTED, *_STOPPED},
        S.IN_PROGRESS: {S.PERFORMED, S.DISCONTINUED, S.SCHEDULED, S.READY_TO_READ},
        S.PERFORMED: {S.READY_TO_READ, S.IN_PROGRESS, S.DISCONTINUED, S.READING},
        S.READY_TO_READ: {S.READING, S.IN_PROGRESS, S.PERFORMED, S.PRELIMINARY, S.FINAL},
        S.READING: {S.READY_TO_READ, S.PRELIMINARY, S.FINAL, S.PERFORMED, S.IN_PROGRESS},
        S.PRELIMINARY: {S.PRELIMINARY, S.FINAL, S.READY_TO_READ},
        S.FINAL: {S.AMENDED, S.DISTRIBUTED, S.READY_TO_READ},
        S.AMENDED: {S.AMENDED, S.DISTRIBUTED, S.READY_TO_READ},
        S.DISTRIBUTED: {S.AMENDED, S.READY_TO_READ},
        S.NO_SHOW: {S.ACCEPTED, S.CANCELLED},
        S.REJECTED: {S.VETTING},
        S.CANCELLED: {S.VETTING},
        S.DISCONTINUED: {S.READY_TO_READ, S.ACCEPTED},
    }

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="procedures")
    catalogue = models.ForeignKey(
        CatalogueProcedure,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="requested",
        verbose_name=_("exam"),
    )
    accession_number = models.CharField(_("accession number"), max_length=16, editable=False)
    study_instance_uid = models.CharField(max_length=64, default=new_uid, unique=True, editable=False)
    requested_procedure_id = models.CharField(max_length=16, editable=False)
    status = models.CharField(
        _("status"), max_length=16, choices=ProcedureStatus.choices, default=ProcedureStatus.REQUESTED, editable=False
    )
    code = models.CharField(_("code"), max_length=16, help_text=_("As ordered; the catalogue's, or a sender's own."))
    code_scheme = models.CharField(max_length=16, default="99PICHA")
    description = models.CharField(_("exam"), max_length=64)
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices, blank=True)
    body_region = models.CharField(max_length=40, blank=True)
    laterality = models.CharField(_("side"), max_length=1, choices=Laterality.choices, blank=True, default="")
    is_unmapped = models.BooleanField(_("code unknown to the catalogue"), default=False)
    protocol = models.TextField(_("protocol"), blank=True)
    contrast = models.CharField(_("contrast"), max_length=64, blank=True)
    contrast_decision = models.CharField(
        _("contrast decision"), max_length=8, choices=ContrastDecision.choices, blank=True, default=""
    )
    comments_to_technologist = models.TextField(_("comments to the technologist"), blank=True)
    protocolled_at = models.DateTimeField(null=True, blank=True, editable=False)
    protocolled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    due_by = models.DateField(_("due by"), null=True, blank=True)
    held_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    held_until = models.DateTimeField(null=True, blank=True, editable=False)
    reason_code = models.CharField(_("reason"), max_length=16, blank=True, editable=False)
    reason_text = models.CharField(max_length=200, blank=True, editable=False)
    replaced_by = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="replaces")
    arrived_at = models.DateTimeField(null=True, blank=True, editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    performed_at = models.DateTimeField(null=True, blank=True, editable=False)
    images_complete_at = models.DateTimeField(null=True, blank=True, editable=False)
    completed_by_technologist_at = models.DateTimeField(null=True, blank=True, editable=False)
    verified_at = models.DateTimeField(null=True, blank=True, editable=False)
    distributed_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = ProcedureQuerySet.as_manager()

    class Meta:
        verbose_name = _("requested procedure")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["accession_number", "requested_procedure_id"], name="requested_procedure_id_once"
            ),
            models.CheckConstraint(
                condition=Q(accession_number__regex=r"^[^\\\\]{1,16}$"), name="accession_number_fits_sh"
            ),
        ]
        indexes = [
            models.Index(fields=["accession_number"], name="procedure_accession"),
            models.Index(fields=["status", "-id"], name="procedure_status"),
            models.Index(fields=["order"], name="procedure_order"),
        ]

    def __str__(self) -> str:
        return f"{self.description} · {self.accession_number}"

    @property
    def patient(self) -> Patient:
        return self.order.patient

    picker_prefetch = ("order__patient__identifiers",)

    @property
    def picker_text(self) -> str:
        """The exam and whose it is, by two identifiers."""
        return f"{self.description_with_side} · {self.accession_number} · {self.patient.picker_text}"

    @property
    def life_cycle(self) -> str:
        return LIFE_CYCLE[self.status]

    @property
    def description_with_side(self) -> str:
        return f"{self.description}, {SIDES[Laterality(self.laterality)]}" if self.laterality else self.description

    @property
    def audit_patient(self):
        return self.order.patient.uuid


class AccessionNumber(models.Model):
    """Numbers given out. An order of several procedures may share one; two orders never do."""

    value = models.CharField(max_length=16, primary_key=True)
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.PROTECT, related_name="accession_numbers")
    reserved_for = models.CharField(max_length=40, blank=True, help_text="A downtime form, or nothing.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("accession number")

    def __str__(self) -> str:
        return self.value
