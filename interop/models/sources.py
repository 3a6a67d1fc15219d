"""Systems that we ask for worklist entries (REDCap, Calpendo, ...): how, when, and what became of every row."""

from __future__ import annotations

from datetime import time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import RequestedProcedure
from ris.accounts.encryption import EncryptedTextField
from ris.core.lifecycle import PublicModel, Recorded
from ris.tenants.models import validate_time_zone

if TYPE_CHECKING:
    from uuid import UUID


class Source(Recorded):
    """One system that is asked again and again. What changes with every run is written past the history."""

    name = models.SlugField(_("name"), max_length=48, unique=True)
    kind = models.CharField(_("kind"), max_length=32)
    config = models.JSONField(_("connection"), default=dict, blank=True)
    secrets = EncryptedTextField(_("credentials"), blank=True, default="")
    mapping = models.JSONField(_("mapping"), default=list, blank=True)
    interval_seconds = models.PositiveIntegerField(
        _("asks every (seconds)"), default=300, validators=[MinValueValidator(15), MaxValueValidator(86400)]
    )
    opens_at = models.TimeField(_("from"), default=time(0, 0))
    closes_at = models.TimeField(
        _("until"), default=time(0, 0), help_text=_("Earlier than the beginning: the next morning. The same: all day.")
    )
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, validators=[validate_time_zone],
        help_text=_("Of the times there. Empty: the facility's."),
    )  # fmt: skip
    time_limit_seconds = models.PositiveSmallIntegerField(
        _("a run takes at most (seconds)"), default=300, validators=[MinValueValidator(5), MaxValueValidator(3600)]
    )
    alert_after = models.PositiveSmallIntegerField(
        _("alert after failures"), default=3, validators=[MinValueValidator(1), MaxValueValidator(1000)]
    )
    reserves_room = models.BooleanField(
        _("reserves the room"), default=False, help_text=_("Its entries become appointments, not only worklist items.")
    )
    is_active = models.BooleanField(_("active"), default=True)

    synced_until = models.DateTimeField(_("read up to"), null=True, blank=True, editable=False)
    next_run_at = models.DateTimeField(_("next run"), default=timezone.now, editable=False)
    asked_by = models.CharField(max_length=150, blank=True, editable=False)
    accepts_gone = models.BooleanField(
        default=False, editable=False, help_text=_("A person has seen how many entries would be cancelled.")
    )
    running_since = models.DateTimeField(null=True, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    last_run_at = models.DateTimeField(_("last run"), null=True, blank=True, editable=False)
    last_success_at = models.DateTimeField(_("last success"), null=True, blank=True, editable=False)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    alerted_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(_("last error"), max_length=500, blank=True, editable=False)

    history = HistoricalRecords(
        excluded_fields=[
            "secrets", "synced_until", "next_run_at", "asked_by", "accepts_gone", "running_since", "claimed_until",
            "last_run_at", "last_success_at", "failures", "failing_since", "alerted_at", "last_error",
        ]
    )  # fmt: skip

    class Meta:
        verbose_name = _("source")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(interval_seconds__gte=15, time_limit_seconds__gte=5), name="source_times_are_sensible"
            ),
        ]
        indexes = [models.Index(fields=["next_run_at"], condition=Q(is_active=True), name="source_due")]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        """Of the times that the source writes without a zone, and of its hours."""
        zone = ZoneInfo(self.time_zone) if self.time_zone else timezone.get_current_timezone()
        return zone if isinstance(zone, ZoneInfo) else ZoneInfo("UTC")

    @property
    def interval(self) -> timedelta:
        return timedelta(seconds=self.interval_seconds)


class RunTrigger(models.TextChoices):
    SCHEDULE = "schedule", _("By its schedule")
    PERSON = "person", _("By a person")


class RunState(models.TextChoices):
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    INTERRUPTED = "interrupted", _("Interrupted")


class SourceRun(PublicModel):
    """One run, or several in a row in which nothing was new."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="runs", verbose_name=_("source"))
    trigger = models.CharField(_("started"), max_length=10, choices=RunTrigger.choices, default=RunTrigger.SCHEDULE)
    asked_by = models.CharField(_("asked by"), max_length=150, blank=True)
    state = models.CharField(_("state"), max_length=12, choices=RunState.choices)
    started_at = models.DateTimeField(_("began"), default=timezone.now)
    finished_at = models.DateTimeField(_("ended"), null=True, blank=True)
    read_from = models.DateTimeField(_("changes from"), null=True, blank=True)
    read_until = models.DateTimeField(_("changes until"), null=True, blank=True)
    repeats = models.PositiveIntegerField(_("runs"), default=1)
    read = models.PositiveIntegerField(_("rows read"), default=0)
    created = models.PositiveIntegerField(_("new"), default=0)
    updated = models.PositiveIntegerField(_("changed"), default=0)
    cancelled = models.PositiveIntegerField(_("cancelled"), default=0)
    rejected = models.PositiveIntegerField(_("rejected"), default=0)
    kept = models.PositiveIntegerField(_("left alone"), default=0)
    error = models.CharField(_("error"), max_length=500, blank=True)
    error_code = models.CharField(max_length=40, blank=True)

    class Meta:
        verbose_name = _("run of a source")
        verbose_name_plural = _("runs of sources")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["source", "-id"], name="source_run_newest")]

    def __str__(self) -> str:
        return f"{self.source_id} #{self.pk}"


class RowState(models.TextChoices):
    APPLIED = "applied", _("On the worklist")
    REJECTED = "rejected", _("Rejected")
    CANCELLED = "cancelled", _("Cancelled")
    KEPT = "kept", _("Left alone")


class SourceRow(PublicModel):
    """One entry over there, as it was when we last saw it change, and what it is here."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="rows", verbose_name=_("source"))
    external_id = models.CharField(_("number there"), max_length=200)
    content_hash = models.CharField(max_length=64)
    raw_hash = models.CharField(
        max_length=64, blank=True, default="", help_text=_("Of the row as it came, and of the mapping that read it.")
    )
    state = models.CharField(_("state"), max_length=10, choices=RowState.choices)
    values = models.JSONField(default=dict, help_text=_("As mapped. Patient data."))
    reasons = models.JSONField(_("reasons"), default=dict, help_text=_("Field: why. No patient data."))
    procedure = models.ForeignKey(
        RequestedProcedure, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("exam")
    )
    starts_at = models.DateTimeField(_("planned for"), null=True, blank=True)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    changed_at = models.DateTimeField(_("changed"), default=timezone.now)
    tries = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(_("tried again"), null=True, blank=True)

    class Meta:
        verbose_name = _("row of a source")
        verbose_name_plural = _("rows of sources")
        ordering = ["-changed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["source", "external_id"], name="source_row_once"),
            models.CheckConstraint(
                condition=~Q(state="applied") | Q(procedure__isnull=False), name="applied_row_has_its_exam"
            ),
        ]
        indexes = [
            models.Index(fields=["source", "state", "-changed_at"], name="source_row_state"),
            models.Index(fields=["source", "starts_at"], condition=Q(state="applied"), name="source_row_window"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} row {self.pk}"

    @property
    def audit_patient(self) -> UUID | None:
        return self.procedure.audit_patient if self.procedure is not None else None

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number if self.procedure is not None else ""
