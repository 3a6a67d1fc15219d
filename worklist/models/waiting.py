"""Who waits for a time, what has been offered to them, and appointments that belong together."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import Priority, RequestedProcedure, Sex
from ris.core.lifecycle import Lifecycle, Recorded
from worklist.models.rooms import Room
from worklist.querysets import OfferQuerySet, WaitingQuerySet


class SeriesKind(models.TextChoices):
    WEEKLY = "weekly", _("Recurring")
    CHAIN = "chain", _("One after the other")


class AppointmentSeries(Recorded):
    """Appointments of one patient that were booked together."""

    kind = models.CharField(_("kind"), max_length=8, choices=SeriesKind.choices)
    every_days = models.PositiveSmallIntegerField(_("every (days)"), null=True, blank=True)
    gap_minutes = models.PositiveSmallIntegerField(_("gap (minutes)"), null=True, blank=True)
    wanted = models.PositiveSmallIntegerField(_("appointments asked for"))

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("series of appointments")
        verbose_name_plural = _("series of appointments")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} x {self.wanted}"


class WaitingStatus(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    OFFERED = "offered", _("Offered a time")
    BOOKED = "booked", _("Booked")
    WITHDRAWN = "withdrawn", _("Withdrawn")


OPEN_WAITING = (WaitingStatus.WAITING, WaitingStatus.OFFERED)
#: How far in front: who is more urgent is offered first, then who waits longer.
RANKS = {Priority.STAT: 0, Priority.ASAP: 1, Priority.URGENT: 1, Priority.ROUTINE: 2}


class WaitingEntry(Lifecycle):
    """An exam that waits for a time that gets free. One that has an appointment waits for an earlier one."""

    transitions = {
        WaitingStatus.WAITING: {WaitingStatus.OFFERED, WaitingStatus.BOOKED, WaitingStatus.WITHDRAWN},
        WaitingStatus.OFFERED: {WaitingStatus.WAITING, WaitingStatus.BOOKED, WaitingStatus.WITHDRAWN},
    }

    procedure = models.ForeignKey(
        RequestedProcedure, on_delete=models.PROTECT, related_name="waiting_entries", verbose_name=_("exam")
    )
    status = models.CharField(
        _("status"), max_length=10, choices=WaitingStatus.choices, default=WaitingStatus.WAITING, editable=False
    )
    priority = models.CharField(_("priority"), max_length=8, choices=Priority.choices, default=Priority.ROUTINE)
    rank = models.PositiveSmallIntegerField(default=2, editable=False)
    earliest = models.DateField(_("not before"), null=True, blank=True)
    latest = models.DateField(_("not after"), null=True, blank=True)
    time_from = models.TimeField(_("from (time of day)"), null=True, blank=True)
    time_until = models.TimeField(_("until (time of day)"), null=True, blank=True)
    weekdays = ArrayField(
        models.PositiveSmallIntegerField(), default=list, blank=True, verbose_name=_("weekdays"), size=7
    )
    room = models.ForeignKey(
        Room, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("only in this room")
    )
    technologist_sex = models.CharField(
        _("technologist"), max_length=1, choices=Sex.choices, blank=True, help_text=_("Empty: no matter who.")
    )
    keeps_appointment = models.BooleanField(_("has a time and wants an earlier one"), default=False, editable=False)
    note = models.CharField(_("how to reach them"), max_length=200, blank=True)

    history = HistoricalRecords()
    objects = WaitingQuerySet.as_manager()

    class Meta:
        verbose_name = _("waiting list entry")
        verbose_name_plural = _("waiting list")
        ordering = ["rank", "created_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["procedure"],
                condition=Q(status__in=["waiting", "offered"]),
                name="one_open_waiting_entry_per_exam",
            ),
            models.CheckConstraint(
                condition=Q(earliest__isnull=True) | Q(latest__isnull=True) | Q(latest__gte=F("earliest")),
                name="waiting_dates_in_order",
            ),
        ]
        indexes = [
            models.Index(
                fields=["rank", "created_at"], condition=Q(status__in=["waiting", "offered"]), name="waiting_in_order"
            )
        ]

    def __str__(self) -> str:
        return self.procedure.accession_number

    @property
    def weekday_words(self) -> list[str]:
        """Mon, Wed; nothing when any day will do."""
        return [str(WEEKDAYS_ABBR[day]) for day in self.weekdays] if len(self.weekdays) < 7 else []

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number

    @property
    def audit_patient(self):
        return self.procedure.order.patient.uuid


class OfferStatus(models.TextChoices):
    OPEN = "open", _("Offered")
    ACCEPTED = "accepted", _("Accepted")
    DECLINED = "declined", _("Declined")
    EXPIRED = "expired", _("No answer in time")
    WITHDRAWN = "withdrawn", _("Withdrawn")


class SlotOffer(Lifecycle):
    """A time that got free, kept for who is next on the waiting list until they answer."""

    transitions = {
        OfferStatus.OPEN: {OfferStatus.ACCEPTED, OfferStatus.DECLINED, OfferStatus.EXPIRED, OfferStatus.WITHDRAWN}
    }

    entry = models.ForeignKey(
        WaitingEntry, on_delete=models.PROTECT, related_name="offers", verbose_name=_("waiting list entry")
    )
    room = models.ForeignKey(Room, on_delete=models.PROTECT, related_name="+", verbose_name=_("room"))
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    status = models.CharField(
        _("status"), max_length=10, choices=OfferStatus.choices, default=OfferStatus.OPEN, editable=False
    )
    expires_at = models.DateTimeField(_("answer until"))
    hold = models.ForeignKey("worklist.Reservation", on_delete=models.PROTECT, related_name="+", editable=False)
    reason = models.CharField(_("reason"), max_length=200, blank=True)

    history = HistoricalRecords()
    objects = OfferQuerySet.as_manager()

    class Meta:
        verbose_name = _("offered time")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["entry"], condition=Q(status="open"), name="one_open_offer_per_entry"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="offer_ends_after_it_starts"),
        ]
        indexes = [models.Index(fields=["expires_at"], condition=Q(status="open"), name="offer_due")]

    def __str__(self) -> str:
        return f"{self.room} {self.starts_at:%Y-%m-%d %H:%M}"

    @property
    def accession_number(self) -> str:
        return self.entry.procedure.accession_number

    @property
    def audit_patient(self):
        return self.entry.procedure.order.patient.uuid
