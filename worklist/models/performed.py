"""What was really done: the modality's performed procedure step (PS3.4 Annex F) and what was used for it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import RequestedProcedure
from ris.core.actor import Actor
from ris.core.ids import new_uid
from ris.core.lifecycle import Lifecycle, PublicModel, signed
from worklist.models.rooms import Station
from worklist.models.schedule import ScheduledProcedureStep
from worklist.querysets import PerformedStepQuerySet


class PPSStatus(models.TextChoices):
    """DICOM (0040,0252) Performed Procedure Step Status"""

    IN_PROGRESS = "IN PROGRESS", _("In progress")
    COMPLETED = "COMPLETED", _("Completed")
    DISCONTINUED = "DISCONTINUED", _("Discontinued")


class PerformedProcedureStep(Lifecycle):
    transitions = {
        PPSStatus.IN_PROGRESS: {PPSStatus.IN_PROGRESS, PPSStatus.COMPLETED, PPSStatus.DISCONTINUED},
    }

    sop_instance_uid = models.CharField(max_length=64, unique=True, default=new_uid, editable=False)
    performed_procedure_step_id = models.CharField(max_length=16, blank=True)
    status = models.CharField(
        _("status"), max_length=16, choices=PPSStatus.choices, default=PPSStatus.IN_PROGRESS, editable=False
    )
    scheduled_steps = models.ManyToManyField(ScheduledProcedureStep, blank=True, related_name="performed_steps")
    station = models.ForeignKey(
        Station, null=True, blank=True, on_delete=models.PROTECT, related_name="performed_steps"
    )
    station_ae_title = models.CharField(max_length=16, blank=True)
    modality = models.CharField(max_length=16, blank=True)
    study_instance_uid = models.CharField(max_length=64, blank=True)
    accession_number = models.CharField(max_length=16, blank=True)
    patient_id = models.CharField(max_length=64, blank=True, help_text=_("As the modality sent it."))
    patient_name = models.CharField(max_length=200, blank=True, help_text=_("As the modality sent it."))
    patient_birth_date = models.CharField(max_length=8, blank=True)
    patient_sex = models.CharField(max_length=1, blank=True)
    description = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    discontinuation_code = models.CharField(max_length=16, blank=True)
    discontinuation_meaning = models.CharField(max_length=64, blank=True)
    performed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="performed_steps"
    )
    is_manual = models.BooleanField(default=False, help_text=_("Started on the console: the station sends no MPPS."))
    attributes = models.JSONField(default=dict, help_text="The data set, DICOM JSON model, as last set.")
    series = models.JSONField(default=list, help_text="[{uid, description, protocol, instances: [...]}]")

    history = HistoricalRecords(m2m_fields=[scheduled_steps], excluded_fields=["attributes"])
    _historian = (history,)
    objects = PerformedStepQuerySet.as_manager()

    class Meta:
        verbose_name = _("performed step")
        ordering = ["-started_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="IN PROGRESS") | Q(ended_at__isnull=False), name="ended_step_has_an_end"
            ),
        ]
        indexes = [models.Index(fields=["study_instance_uid"], name="pps_study")]

    def __str__(self) -> str:
        return f"{self.performed_procedure_step_id or self.sop_instance_uid} ({self.status})"

    def write_history(self, kind: str, actor: Actor, reason: str) -> None:
        """One history row for a row and its links that were written together; ``kind``: + or ~."""
        self._history_user = actor.user
        self._change_reason = signed(reason, actor)
        self._historian[0].create_historical_record(self, kind)

    @property
    def is_final(self) -> bool:
        return self.status != PPSStatus.IN_PROGRESS

    @property
    def instance_uids(self) -> set[str]:
        return {uid for row in self.series for uid in row.get("instances", ())}

    @property
    def instance_count(self) -> int:
        return len(self.instance_uids)

    @property
    def audit_patient(self):
        if self.pk is None:
            return None
        rows = self.scheduled_steps.all()
        if "scheduled_steps" not in getattr(self, "_prefetched_objects_cache", {}):
            rows = rows.select_related("procedure__order__patient")
        step = next(iter(rows), None)
        return step.audit_patient if step else None


class ConsumableKind(models.TextChoices):
    CONTRAST = "contrast", _("Contrast medium")
    MEDICINE = "medicine", _("Medicine")
    TRACER = "tracer", _("Radiopharmaceutical")
    DEVICE = "device", _("Device or supply")


class Route(models.TextChoices):
    """CID 11, Route of Administration (SNOMED CT)"""

    INTRAVENOUS = "47625008", _("Into a vein")
    INTRA_ARTERIAL = "58100008", _("Into an artery")
    ORAL = "26643006", _("By mouth")
    RECTAL = "37161004", _("By rectum")
    INTRAMUSCULAR = "78421000", _("Into a muscle")
    SUBCUTANEOUS = "34206005", _("Under the skin")
    INTRATHECAL = "72607000", _("Into the spinal canal")
    INTRA_ARTICULAR = "12130007", _("Into a joint")
    NASAL = "46713006", _("By the nose")
    VAGINAL = "16857009", _("By the vagina")
    INTRAVESICAL = "372471009", _("Into the bladder")


class ConsumableUse(PublicModel):
    """Contrast and other things used, with lot, as the technologist recorded them."""

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="consumables")
    label = models.CharField(_("what"), max_length=100)
    code = models.CharField(_("code"), max_length=32, blank=True)
    quantity = models.DecimalField(_("quantity"), max_digits=8, decimal_places=2)
    unit = models.CharField(_("unit"), max_length=16, default="mL")
    kind = models.CharField(_("kind"), max_length=12, choices=ConsumableKind.choices, default=ConsumableKind.CONTRAST)
    product = models.ForeignKey(
        "worklist.Product",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="uses",
        verbose_name=_("product"),
    )
    lot = models.CharField(_("lot"), max_length=40, blank=True)
    expires_on = models.DateField(_("expires"), null=True, blank=True)
    route = models.CharField(_("route"), max_length=16, choices=Route.choices, blank=True)
    rate = models.DecimalField(_("rate (mL/s)"), max_digits=4, decimal_places=1, null=True, blank=True)
    given_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("given by"),
    )
    has_extravasated = models.BooleanField(_("extravasation"), default=False)
    used_at = models.DateTimeField(default=timezone.now)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    corrects = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="corrected_by", verbose_name=_("corrects")
    )

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("consumable used")
        verbose_name_plural = _("consumables used")
        constraints = [models.CheckConstraint(condition=Q(quantity__gt=0), name="consumable_has_a_quantity")]

    def __str__(self) -> str:
        return f"{self.label} {self.quantity} {self.unit}"

    @property
    def was_expired(self) -> bool:
        """True when the pack was over its date on the day it was used."""
        return self.expires_on is not None and self.expires_on < timezone.localtime(self.used_at).date()

    @property
    def audit_patient(self):
        return self.procedure.audit_patient


class RejectedExposure(PublicModel):
    """An exposure thrown away, and why (CID 7011)."""

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="rejects")
    station = models.ForeignKey(Station, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    view = models.CharField(_("view"), max_length=64, blank=True)
    reason_code = models.CharField(_("reason"), max_length=16)
    note = models.CharField(_("note"), max_length=200, blank=True)
    count = models.PositiveSmallIntegerField(_("count"), default=1)
    is_repeated = models.BooleanField(_("made again"), default=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("made by"),
    )
    recorded_at = models.DateTimeField(default=timezone.now)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("rejected exposure")

    def __str__(self) -> str:
        return f"{self.reason_code} x {self.count}"

    @property
    def audit_patient(self):
        return self.procedure.audit_patient


class TimeOut(PublicModel):
    """The last look before the exam: two identifiers, exam and side, safety, the right entry. One row per look."""

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="time_outs")
    identifiers = models.JSONField(
        _("identified by"), default=list, help_text="At least two keys of codes.IDENTIFIED_BY."
    )
    checks = models.JSONField(_("checked"), default=list, help_text="Keys of codes.TIME_OUT_CHECKS.")
    is_wristband_verified = models.BooleanField(
        _("wristband verified"), default=False, help_text=_("It was scanned, and it is this patient's.")
    )
    patient = models.UUIDField(_("patient"), null=True, editable=False, help_text=_("Whom it was about, then."))
    exam_code = models.CharField(_("exam"), max_length=16, blank=True, editable=False)
    laterality = models.CharField(_("side"), max_length=1, blank=True, editable=False)
    done_at = models.DateTimeField(default=timezone.now)
    done_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("time-out")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"time-out {self.done_at:%Y-%m-%d %H:%M}"

    @property
    def still_holds(self) -> bool:
        """False once the exam is another one, on another side or of another patient than was looked at."""
        procedure = self.procedure
        if self.patient is None:
            return True
        seen = (self.patient, self.exam_code, self.laterality)
        return seen == (procedure.order.patient.uuid, procedure.code[:16], procedure.laterality)

    @property
    def audit_patient(self):
        return self.procedure.audit_patient


class DeviationReason(models.TextChoices):
    """Why an exam was not done as it was protocolled."""

    PATIENT = "patient", _("The patient's condition")
    COOPERATION = "cooperation", _("The patient could not cooperate")
    CONTRAST = "contrast", _("Contrast not possible")
    EQUIPMENT = "equipment", _("Equipment")
    RADIOLOGIST = "radiologist", _("The radiologist said so")
    FINDING = "finding", _("What the images showed")
    PROTOCOL = "protocol", _("The protocol did not fit")
    OTHER = "other", _("Other")


class TechnologistNote(PublicModel):
    """What the technologist tells the radiologist; the newest one counts, earlier ones stay."""

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="technologist_notes")
    is_as_protocolled = models.BooleanField(_("done as protocolled"), default=True)
    protocol_used = models.CharField(_("protocol used"), max_length=64, blank=True)
    deviation_reason = models.CharField(
        _("reason of the change"), max_length=16, choices=DeviationReason.choices, blank=True
    )
    deviation = models.CharField(_("what was changed, and why"), max_length=200, blank=True)
    chips = models.JSONField(_("in short"), default=list, help_text="Keys of codes.NOTE_CHIPS.")
    text = models.TextField(_("note to the radiologist"), blank=True)
    written_at = models.DateTimeField(default=timezone.now)
    written_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("technologist's note")
        verbose_name_plural = _("technologists' notes")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(is_as_protocolled=True) | ~Q(deviation=""), name="changed_protocol_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"note {self.written_at:%Y-%m-%d %H:%M}"

    @property
    def audit_patient(self):
        return self.procedure.audit_patient
