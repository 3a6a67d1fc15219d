"""Where exams happen: rooms, their stations, what each can do and when it is open."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import CatalogueProcedure, Modality
from ris.core.lifecycle import PublicModel, Recorded

ae_title_validator = RegexValidator(
    r"^(?! )[\x20-\x5B\x5D-\x7E]{1,16}(?<! )$", _("An AE title is 1 to 16 printable characters without backslash.")
)


class Room(Recorded):
    code = models.SlugField(_("code"), max_length=16, unique=True)
    name = models.CharField(_("name"), max_length=64)
    site = models.ForeignKey(
        "accounts.Site", null=True, blank=True, on_delete=models.PROTECT, related_name="rooms", verbose_name=_("site")
    )
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("room")
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


class Station(Recorded):
    """A scanner: what calls us under this AE title."""

    room = models.ForeignKey(Room, on_delete=models.PROTECT, related_name="stations", verbose_name=_("room"))
    name = models.CharField(_("station name"), max_length=16)
    ae_title = models.CharField(_("AE title"), max_length=16, unique=True, validators=[ae_title_validator])
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices)
    manufacturer = models.CharField(_("manufacturer"), max_length=64, blank=True)
    model_name = models.CharField(_("model"), max_length=64, blank=True)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("station")
        ordering = ["ae_title"]
        constraints = [models.CheckConstraint(condition=~Q(ae_title=""), name="station_has_an_ae_title")]

    def __str__(self) -> str:
        return self.ae_title


class RoomCapability(PublicModel):
    """A catalogue procedure that a room can do. A room without rows can do what its stations' modalities can."""

    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="capabilities")
    catalogue = models.ForeignKey(CatalogueProcedure, on_delete=models.CASCADE, related_name="rooms")
    duration_minutes = models.PositiveSmallIntegerField(_("duration here (minutes)"), null=True, blank=True)

    class Meta:
        verbose_name = _("capability")
        verbose_name_plural = _("capabilities")
        constraints = [models.UniqueConstraint(fields=["room", "catalogue"], name="capability_once_per_room")]

    def __str__(self) -> str:
        return f"{self.room}: {self.catalogue}"


class OpeningHours(PublicModel):
    """A room's usual week. Without any row it is always open."""

    rows_may_be_deleted = True

    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="opening_hours")
    weekday = models.PositiveSmallIntegerField(_("weekday"), help_text=_("0 is Monday."))
    opens_at = models.TimeField(_("opens"))
    closes_at = models.TimeField(_("closes"))

    class Meta:
        verbose_name = _("opening hours")
        verbose_name_plural = _("opening hours")
        ordering = ["room", "weekday", "opens_at"]
        constraints = [
            models.CheckConstraint(condition=Q(closes_at__gt=F("opens_at")), name="room_closes_after_it_opens"),
            models.CheckConstraint(condition=Q(weekday__lte=6), name="weekday_is_one_of_seven"),
        ]

    def __str__(self) -> str:
        return f"{self.room} {self.weekday} {self.opens_at:%H:%M}-{self.closes_at:%H:%M}"
