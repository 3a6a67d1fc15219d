"""What was stored: the index of studies, series and instances, and what waits for a person."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import RequestedProcedure
from ris.core.lifecycle import Recorded
from worklist.models.performed import PerformedProcedureStep
from worklist.models.rooms import Station
from worklist.querysets import ExceptionQuerySet, InstanceQuerySet, StudyQuerySet


class ImagingStudy(Recorded):
    """A study as acquired. Linked to procedures when the match is clear; a link is undone, never the study."""

    study_instance_uid = models.CharField(max_length=64, unique=True)
    procedures = models.ManyToManyField(RequestedProcedure, blank=True, related_name="studies")
    accession_number = models.CharField(max_length=16, blank=True, help_text=_("As the objects say."))
    patient_id = models.CharField(max_length=64, blank=True, help_text=_("As the objects say."))
    issuer_of_patient_id = models.CharField(max_length=64, blank=True)
    patient_name = models.CharField(max_length=200, blank=True, help_text=_("As the objects say."))
    patient_birth_date = models.CharField(max_length=8, blank=True)
    patient_sex = models.CharField(max_length=1, blank=True)
    study_id = models.CharField(max_length=16, blank=True)
    description = models.CharField(max_length=64, blank=True)
    referring_physician = models.CharField(max_length=200, blank=True)
    study_date = models.DateField(null=True, blank=True)
    study_time = models.TimeField(null=True, blank=True)
    modalities = models.CharField(max_length=100, blank=True, help_text="Backslash separated, as in (0008,0061).")
    series_count = models.PositiveIntegerField(default=0)
    instance_count = models.PositiveIntegerField(default=0)
    first_received_at = models.DateTimeField(default=timezone.now)
    last_received_at = models.DateTimeField(default=timezone.now)
    completed_at = models.DateTimeField(null=True, blank=True)
    expected_instance_count = models.PositiveIntegerField(
        null=True, blank=True, editable=False, help_text="What the ended performed steps name; empty: none has told."
    )
    settle_after = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When to look next whether all images are here."
    )
    merged_into = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="merged",
        editable=False,
        help_text="A person put its series into that study; what still comes under its UID goes there too.",
    )

    history = HistoricalRecords(
        m2m_fields=[procedures],
        excluded_fields=[
            "series_count",
            "instance_count",
            "last_received_at",
            "expected_instance_count",
            "settle_after",
        ],
    )
    objects = StudyQuerySet.as_manager()

    class Meta:
        verbose_name = _("imaging study")
        verbose_name_plural = _("imaging studies")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["accession_number"], name="study_accession"),
            models.Index(fields=["patient_id"], name="study_patient_id"),
            models.Index(fields=["settle_after"], condition=Q(settle_after__isnull=False), name="study_to_settle"),
        ]

    def __str__(self) -> str:
        return self.study_instance_uid

    @property
    def audit_patient(self):
        if self.pk is None:
            return None
        rows = self.procedures.all()
        if "procedures" not in getattr(self, "_prefetched_objects_cache", {}):
            rows = rows.select_related("order__patient")
        procedure = next(iter(rows), None)
        return procedure.audit_patient if procedure else None


class ImagingSeries(models.Model):
    study = models.ForeignKey(ImagingStudy, on_delete=models.PROTECT, related_name="series")
    series_instance_uid = models.CharField(max_length=64, unique=True)
    modality = models.CharField(max_length=16, blank=True)
    number = models.IntegerField(null=True, blank=True)
    description = models.CharField(max_length=64, blank=True)
    body_part = models.CharField(max_length=16, blank=True)
    laterality = models.CharField(max_length=1, blank=True)
    station_name = models.CharField(max_length=16, blank=True)
    manufacturer = models.CharField(max_length=64, blank=True)
    instance_count = models.PositiveIntegerField(default=0)
    acquired_study_instance_uid = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text="The Study Instance UID that its objects carry, when a person moved it to another study.",
    )

    class Meta:
        verbose_name = _("series")
        verbose_name_plural = _("series")
        ordering = ["number", "pk"]
        indexes = [
            models.Index(
                fields=["acquired_study_instance_uid"],
                condition=~Q(acquired_study_instance_uid=""),
                name="series_moved",
            )
        ]

    def __str__(self) -> str:
        return self.series_instance_uid


class ImagingInstance(models.Model):
    """One stored object. The row commits after the file is safe and before 0x0000 is answered."""

    series = models.ForeignKey(ImagingSeries, on_delete=models.PROTECT, related_name="instances")
    sop_instance_uid = models.CharField(max_length=64, unique=True)
    sop_class_uid = models.CharField(max_length=64)
    transfer_syntax_uid = models.CharField(max_length=64)
    number = models.IntegerField(null=True, blank=True)
    rows = models.PositiveIntegerField(null=True, blank=True)
    columns = models.PositiveIntegerField(null=True, blank=True)
    frames = models.PositiveIntegerField(default=1)
    path = models.CharField(max_length=255, help_text="Below the facility's instance store.")
    size = models.BigIntegerField()
    fingerprint = models.CharField(
        max_length=32,
        blank=True,
        help_text="128 bits over the data set without group 2; empty: taken before there were any.",
    )
    received_from = models.CharField(max_length=16, blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    is_rejected = models.BooleanField(default=False)

    objects = InstanceQuerySet.as_manager()

    class Meta:
        verbose_name = _("instance")
        ordering = ["number", "pk"]
        indexes = [models.Index(fields=["series", "number"], name="instance_order")]

    def __str__(self) -> str:
        return self.sop_instance_uid


class ExceptionKind(models.TextChoices):
    UNSCHEDULED_STEP = "unscheduled_step", _("Performed without a schedule")
    UNMATCHED_STUDY = "unmatched_study", _("Images without an order")
    PATIENT_DIFFERS = "patient_differs", _("Another patient in the images")
    STEP_PATIENT_DIFFERS = "step_patient_differs", _("Another patient in the performed step")
    WRONG_ENTRY = "wrong_entry", _("Wrong worklist entry")
    DUPLICATE_INSTANCE = "duplicate_instance", _("Known instance with other content")
    BLOCKED_STARTED = "blocked_started", _("Blocked exam was started")
    DISCONTINUED = "discontinued", _("Exam discontinued")
    COUNT_DIFFERS = "count_differs", _("Images missing")
    READ_ON_OTHERS = "read_on_others", _("Read on another exam's images")
    LATE_REQUEST = "late_request", _("Cancellation or change came too late")


class ExceptionItem(Recorded):
    """What a person must look at; never settled by itself once it is here."""

    kind = models.CharField(max_length=24, choices=ExceptionKind.choices)
    study = models.ForeignKey(ImagingStudy, null=True, blank=True, on_delete=models.PROTECT, related_name="exceptions")
    performed_step = models.ForeignKey(
        PerformedProcedureStep, null=True, blank=True, on_delete=models.PROTECT, related_name="exceptions"
    )
    procedure = models.ForeignKey(
        RequestedProcedure, null=True, blank=True, on_delete=models.PROTECT, related_name="exceptions"
    )
    station = models.ForeignKey(Station, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    detail = models.JSONField(default=dict, blank=True, help_text="Codes, counts and UIDs; what differs.")
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    resolution = models.CharField(max_length=200, blank=True)

    history = HistoricalRecords()
    objects = ExceptionQuerySet.as_manager()

    class Meta:
        verbose_name = _("exception")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(resolved_at__isnull=True) | ~Q(resolution=""), name="resolved_exception_says_how"
            ),
            models.UniqueConstraint(
                fields=["kind", "study"],
                condition=Q(
                    resolved_at__isnull=True, study__isnull=False, kind__in=["unmatched_study", "patient_differs"]
                ),
                name="one_open_exception_per_study",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"

    @property
    def audit_patient(self):
        return self.procedure.audit_patient if self.procedure else None
