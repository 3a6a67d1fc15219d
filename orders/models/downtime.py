"""Paper for the hours without us: packs of forms whose numbers are reserved, and the periods in which they were used.

A form has its accession number and its Study Instance UID before anybody is named on it, so that what is written at
the scanner in those hours finds its exam afterwards.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models.orders import RequestedProcedure
from orders.querysets import DowntimeFormQuerySet, DowntimePackQuerySet, DowntimePeriodQuerySet
from ris.core.ids import new_uid
from ris.core.lifecycle import Lifecycle, Recorded

LANGUAGES = [("en", _("English")), ("sw", _("Swahili"))]


class DowntimePlan(Recorded):
    """One row: how the facility prepares for the hours without us, and when the next night's pack is due."""

    forms_per_pack = models.PositiveSmallIntegerField(_("forms in a pack"), default=50)
    language = models.CharField(_("language of the paper"), max_length=2, choices=LANGUAGES, default="en")
    contacts = models.TextField(
        _("telephone numbers"), blank=True, help_text=_("One per line: who, and the number. Printed on the cover.")
    )
    instructions = models.TextField(
        _("the house's own instructions"), blank=True, help_text=_("One per line, after the general ones.")
    )
    is_nightly = models.BooleanField(_("make a pack every night"), default=True)
    night_hour = models.PositiveSmallIntegerField(_("hour of the night"), default=1)
    nights_kept = models.PositiveSmallIntegerField(_("nights kept"), default=7)
    days_ahead = models.PositiveSmallIntegerField(_("days of the schedule in it"), default=3)
    report_days = models.PositiveSmallIntegerField(_("days of final reports in it"), default=7)
    next_night_at = models.DateTimeField(null=True, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    last_night_at = models.DateTimeField(_("last made"), null=True, blank=True, editable=False)
    last_night_folder = models.CharField(max_length=40, blank=True, editable=False)

    history = HistoricalRecords(
        excluded_fields=["next_night_at", "claimed_until", "last_night_at", "last_night_folder"]
    )

    class Meta:
        verbose_name = _("downtime plan")
        constraints = [
            models.CheckConstraint(condition=Q(pk=1), name="one_row_of_downtime_plan"),
            models.CheckConstraint(
                condition=Q(forms_per_pack__gte=1, forms_per_pack__lte=200), name="pack_has_1_to_200_forms"
            ),
            models.CheckConstraint(condition=Q(night_hour__lte=23), name="night_hour_is_an_hour"),
            models.CheckConstraint(condition=Q(nights_kept__gte=1), name="one_night_is_kept"),
        ]

    def __str__(self) -> str:
        return str(_("Downtime plan"))


class PeriodStatus(models.TextChoices):
    DECLARED = "declared", _("Downtime")
    ENDED = "ended", _("To be entered")
    CLOSED = "closed", _("Closed")


class DowntimePeriod(Lifecycle):
    """From when to when it was down, who said so and why; closed when nothing of it is open any more."""

    transitions = {
        PeriodStatus.DECLARED: {PeriodStatus.ENDED},
        PeriodStatus.ENDED: {PeriodStatus.DECLARED, PeriodStatus.CLOSED},
    }

    status = models.CharField(
        _("status"), max_length=10, choices=PeriodStatus.choices, default=PeriodStatus.DECLARED, editable=False
    )
    site = models.ForeignKey(
        "accounts.Site", null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("site")
    )
    reason = models.CharField(_("reason"), max_length=200)
    started_at = models.DateTimeField(_("down since"))
    ended_at = models.DateTimeField(_("back since"), null=True, blank=True, editable=False)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True, editable=False)
    declared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    blank_count = models.PositiveIntegerField(_("forms that stayed blank"), default=0, editable=False)

    history = HistoricalRecords()
    objects = DowntimePeriodQuerySet.as_manager()

    class Meta:
        verbose_name = _("downtime")
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="downtime_has_a_reason"),
            models.CheckConstraint(
                condition=Q(status="declared") | Q(ended_at__isnull=False), name="ended_downtime_has_an_end"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")), name="downtime_ends_after_start"
            ),
            models.CheckConstraint(
                condition=~Q(status="closed") | Q(closed_at__isnull=False), name="closed_downtime_has_a_time"
            ),
            models.UniqueConstraint(
                fields=["site"],
                condition=Q(status="declared"),
                nulls_distinct=False,
                name="one_declared_downtime_per_site",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} {self.reason}"


class DowntimePack(Recorded):
    """So many forms, made together for a site or a room."""

    number = models.PositiveIntegerField(_("pack"), unique=True, editable=False)
    site = models.ForeignKey(
        "accounts.Site", null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("site")
    )
    room = models.CharField(_("room"), max_length=64, blank=True)
    language = models.CharField(_("language"), max_length=2, choices=LANGUAGES, default="en")
    is_nightly = models.BooleanField(
        _("of the night"), default=False, help_text=_("Kept as a file for the night that goes wrong, not on paper.")
    )
    form_count = models.PositiveSmallIntegerField(_("forms"))
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    print_count = models.PositiveSmallIntegerField(_("printed"), default=0, editable=False)
    printed_at = models.DateTimeField(_("last printed"), null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = DowntimePackQuerySet.as_manager()

    class Meta:
        verbose_name = _("pack of downtime forms")
        verbose_name_plural = _("packs of downtime forms")
        ordering = ["-pk"]
        constraints = [models.CheckConstraint(condition=Q(form_count__gt=0), name="pack_has_forms")]

    def __str__(self) -> str:
        return self.code

    @property
    def code(self) -> str:
        return f"P{self.number:04}"

    @property
    def place(self) -> str:
        return " · ".join(filter(None, (self.site.name if self.site else "", self.room)))


class FormStatus(models.TextChoices):
    """Printed lies in the drawer; issued is out in a downtime and must come back."""

    PRINTED = "printed", _("In the drawer")
    ISSUED = "issued", _("Given out")
    ENTERED = "entered", _("Entered")
    VOID = "void", _("Void")


class PaperOutcome(models.TextChoices):
    """How far the exam had come when the paper was put down."""

    ARRIVED = "arrived", _("Waits")
    STARTED = "started", _("Runs")
    PERFORMED = "performed", _("Performed")
    DISCONTINUED = "discontinued", _("Stopped")


class DowntimeForm(Lifecycle):
    """One sheet. What was written on it by hand is kept here as it was entered, beside the exam made from it."""

    transitions = {
        FormStatus.PRINTED: {FormStatus.ISSUED, FormStatus.ENTERED, FormStatus.VOID},
        FormStatus.ISSUED: {FormStatus.PRINTED, FormStatus.ENTERED, FormStatus.VOID},
        FormStatus.VOID: {FormStatus.PRINTED, FormStatus.ISSUED},
    }

    pack = models.ForeignKey(DowntimePack, on_delete=models.PROTECT, related_name="forms", verbose_name=_("pack"))
    number = models.PositiveSmallIntegerField(_("form"))
    accession_number = models.CharField(_("accession number"), max_length=16, unique=True, editable=False)
    study_instance_uid = models.CharField(max_length=64, unique=True, default=new_uid, editable=False)
    status = models.CharField(
        _("status"), max_length=10, choices=FormStatus.choices, default=FormStatus.PRINTED, editable=False
    )
    period = models.ForeignKey(
        DowntimePeriod,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="forms",
        verbose_name=_("downtime"),
        editable=False,
    )
    procedure = models.OneToOneField(
        RequestedProcedure,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="downtime_form",
        verbose_name=_("exam"),
        editable=False,
    )
    void_reason = models.CharField(_("why it is void"), max_length=200, blank=True, editable=False)
    outcome = models.CharField(
        _("how far it came"), max_length=12, choices=PaperOutcome.choices, blank=True, editable=False
    )
    arrived_at = models.DateTimeField(_("arrived"), null=True, blank=True, editable=False)
    started_at = models.DateTimeField(_("started"), null=True, blank=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True, editable=False)
    station_ae_title = models.CharField(_("station"), max_length=16, blank=True, editable=False)
    technologist = models.CharField(_("technologist"), max_length=100, blank=True, editable=False)
    consumables = models.JSONField(
        _("used"), default=list, editable=False, help_text="[{label, quantity, unit, lot}] as written."
    )
    stop_code = models.CharField(_("why it was stopped"), max_length=16, blank=True, editable=False)
    note = models.TextField(_("note"), blank=True, editable=False)
    entered_at = models.DateTimeField(_("entered"), null=True, blank=True, editable=False)
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    entered_through = models.CharField(max_length=20, blank=True, editable=False, help_text="The door.")
    corrected_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    corrected_through = models.CharField(max_length=20, blank=True, editable=False, help_text="The door.")
    entry_hash = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Of what was typed: the same again changes nothing."
    )

    history = HistoricalRecords()
    objects = DowntimeFormQuerySet.as_manager()

    class Meta:
        verbose_name = _("downtime form")
        ordering = ["pack", "number"]
        constraints = [
            models.UniqueConstraint(fields=["pack", "number"], name="form_number_once_per_pack"),
            models.CheckConstraint(condition=~Q(status="void") | ~Q(void_reason=""), name="void_form_says_why"),
            models.CheckConstraint(
                condition=~Q(status="entered")
                | Q(procedure__isnull=False, entered_at__isnull=False, arrived_at__isnull=False),
                name="entered_form_has_its_exam",
            ),
            models.CheckConstraint(
                condition=~Q(status="issued") | Q(period__isnull=False), name="issued_form_has_its_downtime"
            ),
        ]
        indexes = [models.Index(fields=["period", "status"], name="downtime_form_period")]

    def __str__(self) -> str:
        return f"{self.pack.code}-{self.number:02}"

    @property
    def label(self) -> str:
        """``P0007-12``, as it is printed in the corner of the sheet."""
        return str(self)

    @property
    def is_open(self) -> bool:
        return self.status in (FormStatus.PRINTED, FormStatus.ISSUED)

    @property
    def audit_patient(self):
        return self.procedure.audit_patient if self.procedure else None
