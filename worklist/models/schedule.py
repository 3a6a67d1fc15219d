"""When and where: one reservation table for appointments, soft holds and blocked time, and the steps they hold."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import RequestedProcedure
from ris.core.lifecycle import Lifecycle
from worklist.models.rooms import Room, Station
from worklist.models.waiting import AppointmentSeries
from worklist.querysets import ReservationQuerySet, StepQuerySet


class ReservationKind(models.TextChoices):
    APPOINTMENT = "appointment", _("Appointment")
    HOLD = "hold", _("Hold")
    OFFER = "offer", _("Offered to who waits")
    BLOCK = "block", _("Blocked")


class ReservationStatus(models.TextChoices):
    """FHIR appointmentstatus, as far as we use it"""

    BOOKED = "booked", _("Booked")
    ARRIVED = "arrived", _("Arrived")
    FULFILLED = "fulfilled", _("Fulfilled")
    CANCELLED = "cancelled", _("Cancelled")
    NO_SHOW = "noshow", _("No show")


LIVE = (ReservationStatus.BOOKED, ReservationStatus.ARRIVED, ReservationStatus.FULFILLED)


class Period(Func):
    """``tstzrange(starts_at, ends_at, '[)')``"""

    function = "TSTZRANGE"
    output_field = DateTimeRangeField()


class Reservation(Lifecycle):
    """A room, for a time. The database refuses two live ones that overlap, unless somebody overbooked knowingly."""

    transitions = {
        ReservationStatus.BOOKED: {
            ReservationStatus.ARRIVED,
            ReservationStatus.FULFILLED,
            ReservationStatus.CANCELLED,
            ReservationStatus.NO_SHOW,
        },
        ReservationStatus.ARRIVED: {
            ReservationStatus.BOOKED,
            ReservationStatus.FULFILLED,
            ReservationStatus.CANCELLED,
        },
        ReservationStatus.FULFILLED: {ReservationStatus.ARRIVED, ReservationStatus.CANCELLED},
        ReservationStatus.NO_SHOW: {ReservationStatus.BOOKED},
    }

    kind = models.CharField(max_length=12, choices=ReservationKind.choices, default=ReservationKind.APPOINTMENT)
    status = models.CharField(
        _("status"), max_length=10, choices=ReservationStatus.choices, default=ReservationStatus.BOOKED, editable=False
    )
    room = models.ForeignKey(Room, on_delete=models.PROTECT, related_name="reservations", verbose_name=_("room"))
    station = models.ForeignKey(
        Station, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("station")
    )
    procedure = models.ForeignKey(
        RequestedProcedure, null=True, blank=True, on_delete=models.PROTECT, related_name="appointments"
    )
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    technologist = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    is_overbooked = models.BooleanField(_("overbooked"), default=False)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    held_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="held_slots"
    )
    hold_expires_at = models.DateTimeField(null=True, blank=True)
    series = models.ForeignKey(
        AppointmentSeries,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="appointments",
        editable=False,
        verbose_name=_("series"),
    )

    history = HistoricalRecords()
    objects = ReservationQuerySet.as_manager()

    class Meta:
        verbose_name = _("appointment")
        ordering = ["starts_at", "pk"]
        constraints = [
            ExclusionConstraint(
                name="no_overlap_in_a_room",
                expressions=[
                    (Period("starts_at", "ends_at", RangeBoundary()), RangeOperators.OVERLAPS),
                    ("room", RangeOperators.EQUAL),
                ],
                condition=Q(status__in=["booked", "arrived", "fulfilled"], is_overbooked=False),
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="reservation_ends_after_it_starts"),
            models.CheckConstraint(
                condition=~Q(kind="appointment") | Q(procedure__isnull=False), name="appointment_has_a_procedure"
            ),
            models.CheckConstraint(
                condition=~Q(kind="hold") | Q(held_by__isnull=False, hold_expires_at__isnull=False),
                name="hold_has_holder_and_end",
            ),
            models.CheckConstraint(
                condition=~Q(kind="offer") | Q(procedure__isnull=False, hold_expires_at__isnull=False),
                name="offer_has_procedure_and_end",
            ),
            models.CheckConstraint(condition=Q(is_overbooked=False) | ~Q(reason=""), name="overbooking_has_a_reason"),
            models.UniqueConstraint(
                fields=["procedure"],
                condition=Q(kind="appointment", status__in=["booked", "arrived"]),
                name="one_open_appointment_per_procedure",
            ),
        ]
        indexes = [models.Index(fields=["room", "starts_at"], name="reservation_room_day")]

    def __str__(self) -> str:
        return f"{self.room} {self.starts_at:%Y-%m-%d %H:%M}"

    @property
    def duration_minutes(self) -> int:
        return int((self.ends_at - self.starts_at).total_seconds() // 60)

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number if self.procedure else ""

    @property
    def audit_patient(self):
        return self.procedure.order.patient.uuid if self.procedure else None


class SPSStatus(models.TextChoices):
    """DICOM (0040,0020); the last three are ours and never leave the house: such steps are not on the worklist."""

    SCHEDULED = "SCHEDULED", _("Scheduled")
    ARRIVED = "ARRIVED", _("Arrived")
    READY = "READY", _("Ready")
    STARTED = "STARTED", _("Started")
    DEPARTED = "DEPARTED", _("Departed")
    COMPLETED = "COMPLETED", _("Completed")
    DISCONTINUED = "DISCONTINUED", _("Discontinued")
    CANCELED = "CANCELED", _("Cancelled")


#: What a scanner may be offered.
OFFERED = (SPSStatus.SCHEDULED, SPSStatus.ARRIVED, SPSStatus.READY)
#: Neither ended nor called off.
OPEN_STEPS = (*OFFERED, SPSStatus.STARTED, SPSStatus.DEPARTED)


class ScheduledProcedureStep(Lifecycle):
    """What a scanner finds on its worklist (PS3.4 Annex K). One item is rendered in the transaction that changes it."""

    transitions = {
        SPSStatus.SCHEDULED: {
            SPSStatus.ARRIVED,
            SPSStatus.READY,
            SPSStatus.STARTED,
            SPSStatus.CANCELED,
            SPSStatus.DISCONTINUED,
        },
        SPSStatus.ARRIVED: {
            SPSStatus.SCHEDULED,
            SPSStatus.READY,
            SPSStatus.STARTED,
            SPSStatus.CANCELED,
            SPSStatus.DISCONTINUED,
        },
        SPSStatus.READY: {SPSStatus.ARRIVED, SPSStatus.STARTED, SPSStatus.CANCELED, SPSStatus.DISCONTINUED},
        SPSStatus.STARTED: {SPSStatus.COMPLETED, SPSStatus.DISCONTINUED, SPSStatus.SCHEDULED, SPSStatus.DEPARTED},
        SPSStatus.DEPARTED: {SPSStatus.COMPLETED, SPSStatus.DISCONTINUED},
        SPSStatus.COMPLETED: {SPSStatus.STARTED},
        SPSStatus.DISCONTINUED: {SPSStatus.SCHEDULED},
    }

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="steps")
    scheduled_procedure_step_id = models.CharField(max_length=16, unique=True, editable=False)
    status = models.CharField(
        _("status"), max_length=16, choices=SPSStatus.choices, default=SPSStatus.SCHEDULED, editable=False
    )
    appointment = models.ForeignKey(
        Reservation,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="steps",
        verbose_name=_("appointment"),
    )
    station = models.ForeignKey(
        Station, null=True, blank=True, on_delete=models.PROTECT, related_name="steps", verbose_name=_("station")
    )
    modality = models.CharField(_("modality"), max_length=4)
    starts_at = models.DateTimeField(_("scheduled for"), null=True, blank=True)
    description = models.CharField(_("description"), max_length=64)
    performing_physician = models.ForeignKey(
        "accounts.Practitioner", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    protocol_code = models.CharField(max_length=16, blank=True)
    protocol_scheme = models.CharField(max_length=16, blank=True)
    protocol_meaning = models.CharField(max_length=64, blank=True)
    pre_medication = models.CharField(max_length=64, blank=True)
    is_blocked = models.BooleanField(_("blocked by safety screening"), default=False, editable=False)

    # The rendered worklist item and the keys it is found by; see worklist/services/rendering.py
    item = models.BinaryField(null=True, editable=False, help_text="Full identifier, implicit VR little endian, UTF-8.")
    item_version = models.PositiveIntegerField(default=0, editable=False)
    item_patient_version = models.PositiveIntegerField(default=0, editable=False)
    item_procedure_version = models.PositiveIntegerField(default=0, editable=False)
    key_station_ae = models.CharField(max_length=16, blank=True, editable=False)
    key_date = models.DateField(null=True, editable=False)
    key_time = models.TimeField(null=True, editable=False)
    key_patient = models.UUIDField(null=True, editable=False, help_text="Empty: rendered before there was one.")
    key_patient_id = models.CharField(max_length=64, blank=True, editable=False)
    key_patient_name = models.CharField(max_length=200, blank=True, editable=False, help_text="Upper case PN.")
    key_accession_number = models.CharField(max_length=16, blank=True, editable=False)
    key_study_instance_uid = models.CharField(max_length=64, blank=True, editable=False)
    key_requested_procedure_id = models.CharField(max_length=16, blank=True, editable=False)
    key_performing_physician = models.CharField(max_length=200, blank=True, editable=False, help_text="Upper case PN.")
    is_on_worklist = models.BooleanField(default=False, editable=False)

    history = HistoricalRecords(
        excluded_fields=[
            "item",
            "item_version",
            "item_patient_version",
            "item_procedure_version",
            "key_station_ae",
            "key_date",
            "key_time",
            "key_patient",
            "key_patient_id",
            "key_patient_name",
            "key_accession_number",
            "key_study_instance_uid",
            "key_requested_procedure_id",
            "key_performing_physician",
        ]
    )
    objects = StepQuerySet.as_manager()

    class Meta:
        verbose_name = _("scheduled step")
        ordering = ["starts_at", "pk"]
        indexes = [
            models.Index(
                fields=["key_station_ae", "key_date", "modality"],
                condition=Q(is_on_worklist=True),
                name="mwl_station_date",
            ),
            models.Index(fields=["modality", "key_date"], condition=Q(is_on_worklist=True), name="mwl_modality_date"),
            models.Index(fields=["key_date"], condition=Q(is_on_worklist=True), name="mwl_date"),
            models.Index(fields=["key_patient_id"], condition=Q(is_on_worklist=True), name="mwl_patient_id"),
            models.Index(fields=["key_accession_number"], condition=Q(is_on_worklist=True), name="mwl_accession"),
            models.Index(fields=["key_study_instance_uid"], condition=Q(is_on_worklist=True), name="mwl_study"),
            models.Index(
                fields=["key_patient_name"],
                condition=Q(is_on_worklist=True),
                name="mwl_patient_name",
                opclasses=["varchar_pattern_ops"],
            ),
        ]

    def __str__(self) -> str:
        return self.scheduled_procedure_step_id

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number

    @property
    def audit_patient(self):
        return self.procedure.order.patient.uuid
