"""When nobody is booked: closed rooms, and time that is kept for emergencies."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.core.lifecycle import Recorded
from worklist.models.rooms import Room
from worklist.querysets import ClosureQuerySet, ReservedTimeQuerySet


class ClosureKind(models.TextChoices):
    HOLIDAY = "holiday", _("Holiday")
    MAINTENANCE = "maintenance", _("Maintenance")
    FAULT = "fault", _("Out of order")
    OTHER = "other", _("Other")


class Closure(Recorded):
    """A room, a site or the whole house closed for a time. Appointments in it stay and must be moved by a person."""

    room = models.ForeignKey(
        Room, null=True, blank=True, on_delete=models.PROTECT, related_name="closures", verbose_name=_("room")
    )
    site = models.ForeignKey(
        "accounts.Site", null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("site")
    )
    kind = models.CharField(_("kind"), max_length=12, choices=ClosureKind.choices, default=ClosureKind.OTHER)
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    reason = models.CharField(_("reason"), max_length=200)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = ClosureQuerySet.as_manager()

    class Meta:
        verbose_name = _("closure")
        ordering = ["starts_at", "pk"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="closure_ends_after_it_starts"),
            models.CheckConstraint(condition=~Q(reason=""), name="closure_has_a_reason"),
            models.CheckConstraint(
                condition=Q(room__isnull=True) | Q(site__isnull=True), name="closure_of_a_room_or_a_site"
            ),
        ]
        indexes = [models.Index(fields=["starts_at", "ends_at"], name="closure_times")]

    def __str__(self) -> str:
        return f"{self.place} {self.starts_at:%Y-%m-%d %H:%M}"

    @property
    def place(self) -> str:
        return str(self.room or self.site or _("Whole house"))

    def covers(self, room: Room) -> bool:
        if self.room_id is not None:
            return self.room_id == room.pk
        return self.site_id is None or self.site_id == room.site_id


class KeptFor(models.TextChoices):
    STAT = "stat", _("STAT only")
    URGENT = "urgent", _("STAT and urgent")


#: Order priorities that may use reserved time
ADMITS = {KeptFor.STAT: ("stat",), KeptFor.URGENT: ("stat", "urgent", "asap")}


class ReservedTime(Recorded):
    """Time of a weekday that a room keeps for emergencies; what is left of it opens to all shortly before."""

    room = models.ForeignKey(Room, on_delete=models.PROTECT, related_name="reserved_times", verbose_name=_("room"))
    weekday = models.PositiveSmallIntegerField(_("weekday"), help_text=_("0 is Monday."))
    begins = models.TimeField(_("from"))
    ends = models.TimeField(_("until"))
    kept_for = models.CharField(_("kept for"), max_length=8, choices=KeptFor.choices, default=KeptFor.URGENT)
    purpose = models.CharField(_("purpose"), max_length=64, blank=True)
    opens_minutes_before = models.PositiveSmallIntegerField(
        _("opens to all (minutes before)"), default=60, help_text=_("0: it never opens to others.")
    )
    valid_from = models.DateField(_("valid from"), null=True, blank=True)
    valid_until = models.DateField(_("valid until"), null=True, blank=True)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = ReservedTimeQuerySet.as_manager()

    class Meta:
        verbose_name = _("reserved time")
        ordering = ["room", "weekday", "begins"]
        constraints = [
            models.CheckConstraint(condition=Q(ends__gt=F("begins")), name="reserved_time_ends_after_it_begins"),
            models.CheckConstraint(condition=Q(weekday__lte=6), name="reserved_weekday_is_one_of_seven"),
        ]

    def __str__(self) -> str:
        return f"{self.room} {self.weekday} {self.begins:%H:%M}-{self.ends:%H:%M}"

    def admits(self, priority: str) -> bool:
        return priority in ADMITS[KeptFor(self.kept_for)]
