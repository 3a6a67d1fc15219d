"""Radiation dose as reported by the devices. SI units inside, clinical units outside."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from simple_history.models import HistoricalRecords

from dose import ssde
from dose.models.mapping import StandardExam
from dose.querysets import DoseReportQuerySet
from orders.models import CatalogueProcedure, RequestedProcedure
from ris.core.lifecycle import Lifecycle, PublicModel, Recorded
from worklist.models import ImagingStudy, Station


class DoseReport(Recorded):
    """One dose report (RDSR, TID 10001 or 10011, or a fallback) of one study."""

    sop_instance_uid = models.CharField(max_length=64, unique=True)
    study = models.ForeignKey(
        ImagingStudy, null=True, blank=True, on_delete=models.PROTECT, related_name="dose_reports"
    )
    procedure = models.ForeignKey(
        RequestedProcedure, null=True, blank=True, on_delete=models.PROTECT, related_name="dose_reports"
    )
    study_instance_uid = models.CharField(max_length=64)
    accession_number = models.CharField(max_length=16, blank=True)
    station = models.ForeignKey(Station, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    station_name = models.CharField(max_length=64, blank=True)
    manufacturer = models.CharField(max_length=64, blank=True)
    model_name = models.CharField(max_length=64, blank=True)
    modality = models.CharField(max_length=4, blank=True)
    source = models.CharField(max_length=16, default="rdsr")
    performed_at = models.DateTimeField(null=True, blank=True)
    patient_age_years = models.FloatField(null=True, blank=True)
    patient_weight_kg = models.FloatField(null=True, blank=True)
    patient_sex = models.CharField(max_length=1, blank=True)
    ctdi_vol_max = models.FloatField(_("CTDIvol, highest"), null=True, blank=True, help_text="mGy")
    dlp_total = models.FloatField(_("DLP, total"), null=True, blank=True, help_text="mGy.cm")
    dap_total = models.FloatField(_("DAP, total"), null=True, blank=True, help_text="Gy.m2")
    dose_rp_total = models.FloatField(_("dose at the reference point, total"), null=True, blank=True, help_text="Gy")
    agd_total = models.FloatField(_("average glandular dose, total"), null=True, blank=True, help_text="Gy")
    fluoro_time = models.FloatField(_("fluoroscopy time"), null=True, blank=True, help_text="s")
    administered_activity = models.FloatField(_("administered activity"), null=True, blank=True, help_text="Bq")
    dap_fluoro = models.FloatField(null=True, blank=True, help_text="Gy.m2")
    dap_acquisition = models.FloatField(null=True, blank=True, help_text="Gy.m2")
    dose_rp_fluoro = models.FloatField(null=True, blank=True, help_text="Gy")
    dose_rp_acquisition = models.FloatField(null=True, blank=True, help_text="Gy")
    agd_left = models.FloatField(null=True, blank=True, help_text="Gy")
    agd_right = models.FloatField(null=True, blank=True, help_text="Gy")
    acquisition_time = models.FloatField(null=True, blank=True, help_text="s")
    frame_count = models.PositiveIntegerField(null=True, blank=True)
    effective_dose = models.FloatField(null=True, blank=True, help_text="Sv, as the device estimates it.")
    patient_height_m = models.FloatField(null=True, blank=True)
    procedure_name = models.CharField(_("procedure as reported"), max_length=128, blank=True)
    event_count = models.PositiveIntegerField(default=0)
    is_of_a_patient = models.BooleanField(_("of a patient"), default=True)
    warnings = models.JSONField(default=list)
    received_at = models.DateTimeField(default=timezone.now)
    patient_id = models.CharField(max_length=64, blank=True, help_text=_("As the object says."))
    patient_name = models.CharField(max_length=200, blank=True, help_text=_("As the object says."))
    protocol = models.CharField(_("protocol"), max_length=128, blank=True)
    study_description = models.CharField(_("study description"), max_length=128, blank=True)
    series_description = models.CharField(_("series description"), max_length=128, blank=True)
    body_part = models.CharField(_("body part"), max_length=64, blank=True)
    standard_exam = models.ForeignKey(
        StandardExam,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="reports",
        verbose_name=_("standard exam"),
    )
    age_band = models.CharField(_("age band"), max_length=16, blank=True)
    weight_band = models.CharField(_("weight band"), max_length=16, blank=True)
    is_to_classify = models.BooleanField(default=False, editable=False, help_text="Rules have changed since.")
    is_pregnant = models.BooleanField(_("patient may be pregnant"), default=False)
    replaced_by = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="replaces",
        verbose_name=_("replaced by"),
        help_text="A better source told the same dose later; this one counts nowhere.",
    )
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    entry_reason = models.CharField(_("why by hand"), max_length=200, blank=True)

    history = HistoricalRecords()
    objects = DoseReportQuerySet.as_manager()

    class Meta:
        verbose_name = _("dose report")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["study_instance_uid"], name="dose_study"),
            models.Index(fields=["modality", "performed_at"], name="dose_modality_time"),
            models.Index(fields=["standard_exam", "performed_at"], name="dose_exam_time"),
            models.Index(fields=["id"], condition=Q(is_to_classify=True), name="dose_to_classify"),
        ]

    def __str__(self) -> str:
        return f"{self.modality} {self.sop_instance_uid}"

    @property
    def audit_patient(self):
        return self.procedure.audit_patient if self.procedure else None


class IrradiationEvent(models.Model):
    """One exposure; its Irradiation Event UID is the key that a resent report does not double."""

    report = models.ForeignKey(DoseReport, on_delete=models.PROTECT, related_name="events")
    irradiation_event_uid = models.CharField(max_length=64)
    position = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    event_type = models.CharField(max_length=64, blank=True)
    protocol = models.CharField(max_length=128, blank=True)
    target_region = models.CharField(max_length=64, blank=True)
    ctdi_vol = models.FloatField(null=True, blank=True, help_text="mGy")
    ctdi_phantom = models.CharField(max_length=64, blank=True)
    dlp = models.FloatField(null=True, blank=True, help_text="mGy.cm")
    scanning_length = models.FloatField(null=True, blank=True, help_text="mm")
    pitch = models.FloatField(null=True, blank=True)
    kvp = models.FloatField(null=True, blank=True, help_text="kV")
    tube_current = models.FloatField(null=True, blank=True, help_text="mA")
    exposure_time = models.FloatField(null=True, blank=True, help_text="ms")
    exposure = models.FloatField(null=True, blank=True, help_text="uA.s")
    dap = models.FloatField(null=True, blank=True, help_text="Gy.m2")
    dose_rp = models.FloatField(null=True, blank=True, help_text="Gy")
    agd = models.FloatField(null=True, blank=True, help_text="Gy")
    exposure_index = models.FloatField(null=True, blank=True)
    target_exposure_index = models.FloatField(null=True, blank=True)
    deviation_index = models.FloatField(null=True, blank=True)
    ssde = models.FloatField(null=True, blank=True, help_text="mGy")
    water_equivalent_diameter = models.FloatField(null=True, blank=True, help_text="mm")
    primary_angle = models.FloatField(null=True, blank=True, help_text="deg")
    secondary_angle = models.FloatField(null=True, blank=True, help_text="deg")
    source_to_detector = models.FloatField(null=True, blank=True, help_text="mm")
    compression_thickness = models.FloatField(null=True, blank=True, help_text="mm")
    compression_force = models.FloatField(null=True, blank=True, help_text="N")
    activity = models.FloatField(null=True, blank=True, help_text="Bq")
    half_life = models.FloatField(null=True, blank=True, help_text="s")
    radionuclide = models.CharField(max_length=64, blank=True)
    laterality = models.CharField(max_length=32, blank=True)
    view = models.CharField(max_length=64, blank=True)
    plane = models.CharField(max_length=32, blank=True)
    filters = models.JSONField(default=list, blank=True)
    is_repeated = models.BooleanField(default=False)
    repeat_reason = models.CharField(max_length=64, blank=True)
    is_rejected = models.BooleanField(default=False)
    more = models.JSONField(default=dict, help_text="{name or code: [value, unit]} of what has no column.")
    is_replaced = models.BooleanField(default=False, help_text="Its report was replaced by a better source.")

    class Meta:
        verbose_name = _("irradiation event")
        ordering = ["report", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["irradiation_event_uid"], condition=Q(is_replaced=False), name="irradiation_event_once"
            )
        ]

    def __str__(self) -> str:
        return self.irradiation_event_uid

    @property
    def ssde_computed(self) -> float | None:
        """mGy; where the device names the patient's size and sends no estimate of its own."""
        found = ssde.estimate_of(self)
        return None if found is None else round(found.value, 3)


class LevelScope(models.TextChoices):
    NATIONAL = "national", _("National or regional")
    LOCAL = "local", _("Local, computed here")


class ReferenceLevel(Recorded):
    """A diagnostic reference level, with its source. Compared with medians of many, never with one exam."""

    authority = models.CharField(_("authority"), max_length=100)
    year = models.PositiveSmallIntegerField(_("year"))
    exam = models.CharField(_("exam"), max_length=64)
    modality = models.CharField(_("modality"), max_length=4)
    quantity = models.CharField(_("quantity"), max_length=16)
    value = models.FloatField(_("value"))
    unit = models.CharField(_("unit"), max_length=16)
    indication = models.CharField(_("indication"), max_length=100, blank=True)
    scope = models.CharField(_("kind"), max_length=8, choices=LevelScope.choices, default=LevelScope.NATIONAL)
    band = models.CharField(_("age or weight band"), max_length=40, default="adult")
    age_from = models.FloatField(_("age from"), null=True, blank=True, help_text=_("Years."))
    age_below = models.FloatField(_("age below"), null=True, blank=True, help_text=_("Years."))
    weight_from = models.FloatField(_("weight from"), null=True, blank=True, help_text="kg")
    weight_below = models.FloatField(_("weight below"), null=True, blank=True, help_text="kg")
    source = models.CharField(_("source"), max_length=300)
    certainty = models.CharField(_("certainty"), max_length=100, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    standard_exam = models.ForeignKey(
        StandardExam,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="levels",
        verbose_name=_("standard exam"),
        help_text=_("Which medians it is compared with; empty: none yet."),
    )
    is_watched = models.BooleanField(
        _("alerts"), default=True, help_text=_("A median above it alerts; otherwise it is only there to compare with.")
    )
    edition = models.PositiveIntegerField(_("edition"), default=1, editable=False)
    replaces = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="replaced_by",
        editable=False,
        verbose_name=_("replaces"),
    )

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("reference level")
        ordering = ["modality", "exam", "-year"]
        constraints = [
            models.UniqueConstraint(
                fields=["authority", "year", "exam", "quantity", "band", "indication"],
                condition=Q(is_active=True),
                name="reference_level_in_force_once",
            ),
            models.CheckConstraint(condition=Q(value__gt=0), name="reference_level_is_positive"),
            models.CheckConstraint(condition=~Q(source=""), name="reference_level_has_a_source"),
        ]

    def __str__(self) -> str:
        return f"{self.authority} {self.year}: {self.exam} {self.quantity}"


class DoseInvestigationStatus(models.TextChoices):
    OPEN = "open", pgettext_lazy("state", "Open")
    ACTED = "acted", _("Action taken")
    CLOSED = "closed", pgettext_lazy("state", "Closed")


class DoseInvestigation(Lifecycle):
    """The median of one exam in one room lay above a reference level: why, what was done, what was measured after."""

    transitions = {
        DoseInvestigationStatus.OPEN: {DoseInvestigationStatus.ACTED},
        DoseInvestigationStatus.ACTED: {DoseInvestigationStatus.OPEN, DoseInvestigationStatus.CLOSED},
    }

    level = models.ForeignKey(ReferenceLevel, on_delete=models.PROTECT, related_name="investigations")
    catalogue = models.ForeignKey(CatalogueProcedure, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    standard_exam = models.ForeignKey(
        StandardExam, null=True, blank=True, on_delete=models.PROTECT, related_name="investigations"
    )
    room = models.CharField(_("room"), max_length=100)
    quantity = models.CharField(max_length=16)
    unit = models.CharField(max_length=16)
    limit = models.FloatField(_("reference level"))
    median = models.FloatField(_("median"))
    exam_count = models.PositiveIntegerField(_("exams"))
    status = models.CharField(
        max_length=10, choices=DoseInvestigationStatus.choices, default=DoseInvestigationStatus.OPEN, editable=False
    )
    cause = models.CharField(_("cause"), max_length=300, blank=True)
    action = models.CharField(_("action"), max_length=300, blank=True)
    acted_at = models.DateTimeField(_("action taken at"), null=True, blank=True)
    measure_again_on = models.DateField(_("measure again on"), null=True, blank=True)
    new_median = models.FloatField(_("median after the action"), null=True, blank=True)
    new_exam_count = models.PositiveIntegerField(_("exams after the action"), null=True, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("dose investigation")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["catalogue", "room", "quantity"],
                condition=~Q(status="closed"),
                name="one_investigation_of_a_room_and_exam",
            ),
            models.UniqueConstraint(
                fields=["standard_exam", "room", "quantity", "level"],
                condition=~Q(status="closed"),
                name="one_investigation_of_a_room_and_standard_exam",
            ),
            models.CheckConstraint(
                condition=Q(catalogue__isnull=False) | Q(standard_exam__isnull=False),
                name="investigation_is_of_an_exam",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.room} {self.quantity} {self.median:g} {self.unit}"

    @property
    def exam_name(self) -> str:
        exam = self.standard_exam or self.catalogue
        return exam.name if exam is not None else ""


class TriggerKind(models.TextChoices):
    REASON = "reason", _("The technologist says why")
    SKIN = "skin", _("The skin is looked at")
    PREGNANCY = "pregnancy", _("The patient may be pregnant")


class DoseTriggerStatus(models.TextChoices):
    OPEN = "open", pgettext_lazy("state", "Open")
    EXPLAINED = "explained", _("Explained")


class DoseTrigger(Lifecycle):
    """One exam above the facility's trigger level: the technologist says why. Not a judgement by reference level."""

    transitions = {DoseTriggerStatus.OPEN: {DoseTriggerStatus.EXPLAINED}}

    report = models.ForeignKey(DoseReport, on_delete=models.PROTECT, related_name="triggers")
    quantity = models.CharField(max_length=16)
    value = models.FloatField()
    limit = models.FloatField()
    unit = models.CharField(max_length=16)
    status = models.CharField(
        max_length=10, choices=DoseTriggerStatus.choices, default=DoseTriggerStatus.OPEN, editable=False
    )
    explanation = models.CharField(_("explanation"), max_length=300, blank=True)
    kind = models.CharField(_("kind"), max_length=10, choices=TriggerKind.choices, default=TriggerKind.REASON)
    weeks = models.PositiveSmallIntegerField(_("sum over weeks"), default=0)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("dose trigger")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["report", "quantity", "kind"], name="trigger_of_a_kind_once_per_report")
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.value:g} {self.unit}"

    @property
    def audit_patient(self):
        return self.report.audit_patient


class TriggerLevel(PublicModel):
    """Above which single value a technologist is asked for the reason."""

    modality = models.CharField(_("modality"), max_length=4)
    quantity = models.CharField(_("quantity"), max_length=16)
    limit = models.FloatField(_("limit"))
    unit = models.CharField(_("unit"), max_length=16)
    is_active = models.BooleanField(_("active"), default=True)
    kind = models.CharField(
        _("what follows"),
        max_length=10,
        choices=[row for row in TriggerKind.choices if row[0] != "pregnancy"],
        default=TriggerKind.REASON,
    )
    weeks = models.PositiveSmallIntegerField(
        _("sum over weeks"),
        default=0,
        help_text=_("0: one exam alone; else with the patient's exams of so many weeks before."),
    )

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("trigger level")
        constraints = [
            models.UniqueConstraint(
                fields=["modality", "quantity", "kind", "weeks"], name="trigger_level_of_a_kind_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.modality} {self.quantity} {self.limit:g} {self.unit}"
