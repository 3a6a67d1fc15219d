"""Who works where and when, and what they can do."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import CatalogueProcedure, Sex
from ris.core.lifecycle import PublicModel, Recorded
from worklist.models.rooms import Room, Station
from worklist.querysets import ShiftQuerySet


class Skill(Recorded):
    """What somebody must have learned to do certain exams: cardiac CT, mammography, injecting contrast."""

    code = models.SlugField(_("code"), max_length=24, unique=True)
    name = models.CharField(_("name"), max_length=64)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("skill")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class SkillRequirement(PublicModel):
    """An exam that only somebody with a certain skill does."""

    rows_may_be_deleted = True

    catalogue = models.ForeignKey(
        CatalogueProcedure, on_delete=models.CASCADE, related_name="skill_requirements", verbose_name=_("exam")
    )
    skill = models.ForeignKey(Skill, on_delete=models.PROTECT, related_name="requirements", verbose_name=_("skill"))

    class Meta:
        verbose_name = _("needed skill")
        verbose_name_plural = _("needed skills")
        constraints = [models.UniqueConstraint(fields=["catalogue", "skill"], name="skill_once_per_exam")]

    def __str__(self) -> str:
        return f"{self.catalogue}: {self.skill}"


class StaffProfile(Recorded):
    """What the planning knows of a person: skills, and the sex that some patients ask for."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="staff_profile", verbose_name=_("person")
    )
    sex = models.CharField(_("sex"), max_length=1, choices=Sex.choices, default=Sex.UNKNOWN)
    skills = models.ManyToManyField(Skill, blank=True, related_name="people", verbose_name=_("skills"))

    history = HistoricalRecords(m2m_fields=[skills])

    class Meta:
        verbose_name = _("technologist")
        ordering = ["user__family_name", "user__given_name", "pk"]

    def __str__(self) -> str:
        return self.user.display_name


class Shift(Recorded):
    """Somebody in a room, at one station of it or at all, for a time. A withdrawn one stays to be read."""

    technologist = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="room_shifts", verbose_name=_("technologist")
    )
    room = models.ForeignKey(Room, on_delete=models.PROTECT, related_name="shifts", verbose_name=_("room"))
    station = models.ForeignKey(
        Station, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("station")
    )
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    note = models.CharField(_("note"), max_length=200, blank=True)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = ShiftQuerySet.as_manager()

    class Meta:
        verbose_name = _("shift")
        ordering = ["starts_at", "pk"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="shift_ends_after_it_starts"),
        ]
        indexes = [models.Index(fields=["room", "starts_at"], name="shift_room_day")]

    def __str__(self) -> str:
        return f"{self.technologist} {self.room} {self.starts_at:%Y-%m-%d %H:%M}"
