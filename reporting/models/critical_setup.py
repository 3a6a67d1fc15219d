"""What a site decides about critical results: its categories, their findings, their chains of contact."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from reporting.models.critical import CriticalCategory
from ris.core.lifecycle import PublicModel, Recorded
from ris.core.vocabulary import Look
from ris.notifications.models import Channel

#: The physician who asked for the exam; every other contact of a chain is a duty of the rota.
REQUESTER = "requester"
TONES = [
    ("red", _("red")),
    ("orange", _("orange")),
    ("amber", _("amber")),
    ("violet", _("violet")),
    ("blue", _("blue")),
    ("teal", _("teal")),
    ("slate", _("grey")),
]
ICONS = [
    ("alert-octagon", _("octagon")),
    ("alert-triangle", _("triangle")),
    ("alert-circle", _("circle")),
    ("alert-hexagon", _("hexagon")),
    ("flag", _("flag")),
    ("bell", _("bell")),
]


def all_channels() -> list[str]:
    return list(Channel.values)


class AlertCategory(Recorded):
    """A category of critical results with its own deadline and look. Three stand for the ACR's at the start."""

    code = models.SlugField(_("code"), max_length=20, unique=True)
    name = models.CharField(_("name"), max_length=60)
    severity = models.PositiveSmallIntegerField(
        _("stands for"), choices=CriticalCategory.choices, help_text=_("The ACR's category that it counts as.")
    )
    minutes = models.PositiveIntegerField(
        _("minutes until told"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Empty: as the facility's settings say for the ACR's category."),
    )
    needs_read_back = models.BooleanField(_("told only with read-back"), default=True)
    tone = models.CharField(_("colour"), max_length=8, choices=TONES, default="amber")
    icon = models.CharField(_("icon"), max_length=20, choices=ICONS, default="alert-circle")
    is_solid = models.BooleanField(_("solid colour"), default=False)
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    is_active = models.BooleanField(_("in use"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("category of critical results")
        verbose_name_plural = _("categories of critical results")
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def look(self) -> Look:
        edge = "crit" if self.is_solid else "o" if self.severity == CriticalCategory.DAYS else ""
        return Look(self.tone, edge, self.icon, self.name)


class EscalationRule(PublicModel):
    """One level of a category's chain: whom, by which channels, how long after the level before."""

    category = models.ForeignKey(AlertCategory, on_delete=models.PROTECT, related_name="chain")
    level = models.PositiveSmallIntegerField(_("level"), validators=[MaxValueValidator(20)])
    contact = models.SlugField(
        _("contact"), max_length=50, help_text=_("“requester”, or the code of a duty in the rota.")
    )
    wait_minutes = models.PositiveIntegerField(
        _("minutes after the level before"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Empty: level 1 at the deadline, later ones as the facility's settings say."),
    )
    channels = ArrayField(
        models.CharField(max_length=8, choices=Channel.choices), default=all_channels, verbose_name=_("channels")
    )
    is_active = models.BooleanField(_("in use"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("level of escalation")
        verbose_name_plural = _("levels of escalation")
        ordering = ["category", "level"]
        constraints = [models.UniqueConstraint(fields=["category", "level"], name="one_rule_per_level")]

    def __str__(self) -> str:
        return f"{self.category} {self.level}: {self.contact}"


class FindingChoice(PublicModel):
    """A finding that is often raised; the list is the site's, in writing, as accreditation asks."""

    category = models.ForeignKey(AlertCategory, on_delete=models.PROTECT, related_name="findings")
    text = models.CharField(_("finding"), max_length=200)
    modality = models.CharField(_("modality"), max_length=16, blank=True, help_text=_("Empty: offered for all."))
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    is_active = models.BooleanField(_("in use"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("finding to choose from")
        verbose_name_plural = _("findings to choose from")
        ordering = ["category", "position", "text"]
        constraints = [models.UniqueConstraint(fields=["category", "text"], name="one_finding_per_category")]

    def __str__(self) -> str:
        return self.text
