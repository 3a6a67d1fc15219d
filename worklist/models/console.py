"""What the technologist writes down of an exam: products, exposures, reactions, counts, and the completion itself."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import Laterality, RequestedProcedure
from ris.core.lifecycle import Recorded
from worklist.models.performed import ConsumableKind, ConsumableUse, Route
from worklist.models.rooms import Station


class Product(Recorded):
    """A contrast medium, medicine or other thing that lies in the room, as its pack names it."""

    code = models.CharField(_("code"), max_length=32, unique=True, help_text=_("As the price list names it."))
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=12, choices=ConsumableKind.choices, default=ConsumableKind.CONTRAST)
    gtin = models.CharField(
        _("GTIN"), max_length=14, blank=True, help_text=_("The number under the bars of the pack: 8 to 14 digits.")
    )
    unit = models.CharField(_("unit"), max_length=16, default="mL")
    usual_quantity = models.DecimalField(_("usual amount"), max_digits=8, decimal_places=2, null=True, blank=True)
    route = models.CharField(_("route"), max_length=16, choices=Route.choices, blank=True)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("product")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["gtin"], condition=~Q(gtin=""), name="product_of_a_gtin_once")]

    def __str__(self) -> str:
        return self.name


class OfExam(Recorded):
    """A row that hangs on one exam. What was written by mistake is crossed out and stays."""

    recorded_at = models.DateTimeField(_("recorded at"), default=timezone.now)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    withdrawn_at = models.DateTimeField(_("crossed out at"), null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number

    @property
    def audit_patient(self):
        return self.procedure.audit_patient


class Exposure(OfExam):
    """What the console of the machine showed, where the machine tells nobody: PS3.3 C.4.16, by hand."""

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="exposures")
    station = models.ForeignKey(Station, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    view = models.CharField(_("view"), max_length=64, blank=True)
    laterality = models.CharField(_("side"), max_length=1, choices=Laterality.choices, blank=True)
    count = models.PositiveSmallIntegerField(_("exposures"), default=1)
    kvp = models.DecimalField(_("kVp"), max_digits=5, decimal_places=1, null=True, blank=True)
    mas = models.DecimalField(_("mAs"), max_digits=8, decimal_places=2, null=True, blank=True)
    dap = models.DecimalField(
        _("DAP"), max_digits=10, decimal_places=3, null=True, blank=True, help_text=_("dose area product, Gy·cm²")
    )
    fluoroscopy_seconds = models.PositiveIntegerField(_("fluoroscopy (seconds)"), null=True, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("exposure")
        ordering = ["pk"]
        constraints = [models.CheckConstraint(condition=Q(count__gt=0), name="exposure_has_a_count")]

    def __str__(self) -> str:
        return f"{self.view or self._meta.verbose_name} x {self.count}"


class AdverseKind(models.TextChoices):
    """What went wrong with the patient; the first two as the ACR Manual on Contrast Media divides them."""

    ALLERGIC = "allergic", _("Allergic-like reaction")
    PHYSIOLOGIC = "physiologic", _("Physiologic reaction")
    EXTRAVASATION = "extravasation", _("Leak into tissue")
    VASOVAGAL = "vasovagal", _("Fainting")
    FALL = "fall", _("Fall or injury")
    OTHER = "other", _("Other")


class Severity(models.TextChoices):
    MILD = "mild", _("Mild")
    MODERATE = "moderate", _("Moderate")
    SEVERE = "severe", _("Severe")


class AdverseOutcome(models.TextChoices):
    OBSERVED = "observed", _("Watched, well again")
    TREATED = "treated", _("Treated here, well again")
    TRANSFERRED = "transferred", _("Handed over to another ward")
    ADMITTED = "admitted", _("Admitted")
    DIED = "died", _("Died")
    OPEN = "open", _("Not known yet")


class AdverseEvent(OfExam):
    """A reaction or injury during or after an exam."""

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="adverse_events")
    consumable = models.ForeignKey(
        ConsumableUse, null=True, blank=True, on_delete=models.PROTECT, related_name="adverse_events"
    )
    kind = models.CharField(_("what happened"), max_length=16, choices=AdverseKind.choices)
    severity = models.CharField(_("severity"), max_length=10, choices=Severity.choices)
    outcome = models.CharField(
        _("outcome"), max_length=12, choices=AdverseOutcome.choices, default=AdverseOutcome.OBSERVED
    )
    happened_at = models.DateTimeField(_("happened at"), default=timezone.now)
    description = models.CharField(_("what was seen"), max_length=400)
    treatment = models.CharField(_("what was done"), max_length=400, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("adverse event")
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(description=""), name="adverse_event_says_what_was_seen"),
            models.CheckConstraint(
                condition=Q(severity="mild") | ~Q(treatment=""), name="worse_than_mild_says_what_was_done"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.get_severity_display()})"


class ImageCount(OfExam):
    """How many images the technologist made, where nobody else says so; the newest counts."""

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="image_counts")
    count = models.PositiveIntegerField(_("images"))

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("image count")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return str(self.count)


class ExamCompletion(OfExam):
    """That a technologist completed the exam, what was missing then, and why it was completed all the same."""

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="completions")
    missing = models.JSONField(_("missing"), default=list, help_text="Keys of codes.MISSING.")
    explanation = models.CharField(_("explanation"), max_length=200, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("completion")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.recorded_at:%Y-%m-%d %H:%M}"
