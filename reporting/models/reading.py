"""What orders the reading list: when a report is due, whose exams are whose, and what went back to the room."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import CatalogueProcedure, Modality, PatientClass, Priority, RequestedProcedure
from reporting.querysets import ReadingItemQuerySet, ReadingReturnQuerySet
from ris.accounts.models import Site
from ris.core.lifecycle import Recorded


class SlaTarget(Recorded):
    """Minutes from complete images to the report. What is left open fits all; of several the most exact one counts."""

    priority = models.CharField(_("priority"), max_length=8, choices=Priority.choices, blank=True, default="")
    patient_class = models.CharField(
        _("patient class"), max_length=1, choices=PatientClass.choices, blank=True, default=""
    )
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices, blank=True, default="")
    minutes = models.PositiveIntegerField(_("minutes"))
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("report time")
        verbose_name_plural = _("report times")
        ordering = ["priority", "patient_class", "modality"]
        constraints = [
            models.UniqueConstraint(
                fields=["priority", "patient_class", "modality"],
                condition=Q(is_active=True),
                name="one_report_time_per_kind",
            ),
            models.CheckConstraint(condition=Q(minutes__gt=0), name="report_time_is_positive"),
        ]

    def __str__(self) -> str:
        parts = [self.get_priority_display(), self.get_patient_class_display(), self.get_modality_display()]
        kind = " · ".join(str(part) for part in parts if part) or str(_("everything"))
        return f"{kind}: {self.minutes} min"


class Assigns(models.TextChoices):
    NOBODY = "", _("Nobody: whoever of the group comes first")
    LEAST_LOAD = "least_load", _("Whoever is on shift and has the least to read")


def _codes(label: object, length: int, **kwargs: object) -> ArrayField:
    return ArrayField(models.CharField(max_length=length, **kwargs), default=list, blank=True, verbose_name=label)


class ReadingGroup(Recorded):
    """A subspecialty or a team: which exams fall to it, and who reads them. The first that fits gets the exam.

    An exam fits when every rule that is filled in fits; a group without rules gets exams by hand only.
    """

    code = models.SlugField(_("code"), max_length=24, unique=True)
    name = models.CharField(_("name"), max_length=60)
    position = models.PositiveSmallIntegerField(_("place in line"), default=100)
    site = models.ForeignKey(
        Site, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("site")
    )
    modalities = _codes(_("modalities"), 4, choices=Modality.choices)
    body_regions = _codes(_("body regions"), 40)
    priorities = _codes(_("priorities"), 8, choices=Priority.choices)
    patient_classes = _codes(_("patient classes"), 1, choices=PatientClass.choices)
    children_only = models.BooleanField(_("children only"), default=False)
    catalogue = models.ManyToManyField(
        CatalogueProcedure, blank=True, related_name="reading_groups", verbose_name=_("exams, whatever the rules say")
    )
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="reading_groups", verbose_name=_("readers")
    )
    assigns = models.CharField(_("gives each exam to"), max_length=12, choices=Assigns.choices, blank=True, default="")
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords(m2m_fields=[catalogue, members])

    class Meta:
        verbose_name = _("reading group")
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name

    @property
    def has_rules(self) -> bool:
        lists = (self.modalities, self.body_regions, self.priorities, self.patient_classes)
        return any(lists) or self.children_only or self.site_id is not None


class ReaderProfile(Recorded):
    """What assignment knows of a reader, and how they like their list."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reader_profile", verbose_name=_("reader")
    )
    most_at_once = models.PositiveSmallIntegerField(
        _("exams waiting for them at most"), null=True, blank=True, help_text=_("Empty: no limit.")
    )
    hidden_columns = _codes(_("columns not shown"), 16)
    column_order = _codes(_("order of the columns"), 16)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("reader")
        verbose_name_plural = _("readers")
        ordering = ["user__family_name", "user__given_name", "pk"]

    def __str__(self) -> str:
        return self.user.display_name


class ReadingItem(Recorded):
    """An exam's place on the reading list, made when its images are complete: when it is due, and for whom it is."""

    procedure = models.OneToOneField(
        RequestedProcedure, on_delete=models.PROTECT, related_name="reading_item", verbose_name=_("exam")
    )
    counted_from = models.DateTimeField(_("counted from"))
    minutes = models.PositiveIntegerField(_("minutes allowed"))
    due_at = models.DateTimeField(_("due at"))
    breached_at = models.DateTimeField(_("over time since"), null=True, blank=True)
    group = models.ForeignKey(
        ReadingGroup, null=True, blank=True, on_delete=models.PROTECT, related_name="items", verbose_name=_("group")
    )
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="reading_items",
        verbose_name=_("assigned to"),
    )
    assigned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    assigned_at = models.DateTimeField(_("assigned at"), null=True, blank=True)
    assigned_until = models.DateTimeField(
        _("assigned until"), null=True, blank=True, help_text=_("By rule: the end of the reader's shift.")
    )
    is_by_hand = models.BooleanField(_("by hand"), default=False, help_text=_("No rule changes it any more."))
    wakes_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["wakes_at"])
    objects = ReadingItemQuerySet.as_manager()

    class Meta:
        verbose_name = _("place on the reading list")
        verbose_name_plural = _("places on the reading list")
        ordering = ["due_at", "pk"]
        indexes = [
            models.Index(fields=["wakes_at"], condition=Q(wakes_at__isnull=False), name="reading_item_wakes"),
            models.Index(fields=["assigned_to"], condition=Q(assigned_to__isnull=False), name="reading_item_assigned"),
        ]

    def __str__(self) -> str:
        return f"{self.procedure_id} due {self.due_at:%Y-%m-%d %H:%M}"

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number

    @property
    def audit_patient(self):
        return self.procedure.audit_patient


class ReturnReason(models.TextChoices):
    MISSING = "missing", _("Images or a view are missing")
    QUALITY = "quality", _("Not good enough to read")
    SIDE = "side", _("Side or label looks wrong")
    PATIENT = "patient", _("May be another patient's images")
    PAPERS = "papers", _("Something is not written down")
    OTHER = "other", _("Other")


class ReadingReturn(Recorded):
    """An exam that a reader sent back to the technologist; closed when it comes back to the list."""

    procedure = models.ForeignKey(
        RequestedProcedure, on_delete=models.PROTECT, related_name="reading_returns", verbose_name=_("exam")
    )
    reason = models.CharField(_("reason"), max_length=8, choices=ReturnReason.choices)
    text = models.CharField(_("what is to be done"), max_length=400)
    sent_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    sent_at = models.DateTimeField(_("sent back at"), default=timezone.now)
    closed_at = models.DateTimeField(_("came back at"), null=True, blank=True)

    history = HistoricalRecords()
    objects = ReadingReturnQuerySet.as_manager()

    class Meta:
        verbose_name = _("exam sent back")
        verbose_name_plural = _("exams sent back")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["procedure"], condition=Q(closed_at__isnull=True), name="one_open_return_per_exam"
            ),
            models.CheckConstraint(condition=~Q(text=""), name="return_says_what_is_to_be_done"),
        ]

    def __str__(self) -> str:
        return f"{self.get_reason_display()}: {self.text}"

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number

    @property
    def audit_patient(self):
        return self.procedure.audit_patient
