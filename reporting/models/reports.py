"""What was read. A report is written in place; each signature freezes a version that never changes again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.models import RequestedProcedure
from reporting.models.exams_history import ExamsHistory
from reporting.querysets import ReportQuerySet, ReportVersionQuerySet
from ris.core.lifecycle import Lifecycle, PublicModel

#: Sections in the order they are read, with their LOINC codes
SECTIONS: dict[str, tuple[str, str]] = {
    "clinical_information": ("18785-6", _("Clinical information")),
    "technique": ("55111-9", _("Technique")),
    "comparison": ("18834-2", _("Comparison")),
    "findings": ("59776-5", _("Findings")),
    "impression": ("19005-8", _("Impression")),
    "recommendation": ("18783-0", _("Recommendation")),
}


class ReportStatus(models.TextChoices):
    """FHIR DiagnosticReport.status; a draft is registered, or partial once it holds text"""

    REGISTERED = "registered", _("Registered")
    PARTIAL = "partial", _("Draft")
    PRELIMINARY = "preliminary", _("Preliminary")
    FINAL = "final", _("Final")
    APPENDED = "appended", _("Final with addendum")
    CORRECTED = "corrected", _("Corrected")
    CANCELLED = "cancelled", _("Cancelled")
    ENTERED_IN_ERROR = "entered-in-error", _("Entered in error")


R = ReportStatus
SIGNED = (R.FINAL, R.APPENDED, R.CORRECTED)
DRAFTS = (R.REGISTERED, R.PARTIAL)


class Report(Lifecycle):
    """One report over one or several procedures (the IHE group case)."""

    transitions = {
        R.REGISTERED: {R.REGISTERED, R.PARTIAL, R.PRELIMINARY, R.FINAL, R.CANCELLED},
        R.PARTIAL: {R.PARTIAL, R.PRELIMINARY, R.FINAL, R.CANCELLED},
        R.PRELIMINARY: {R.PRELIMINARY, R.FINAL, R.ENTERED_IN_ERROR},
        #: back to partial or preliminary by a recall only, before anything was delivered
        R.FINAL: {R.APPENDED, R.CORRECTED, R.ENTERED_IN_ERROR, R.PARTIAL, R.PRELIMINARY},
        R.APPENDED: {R.APPENDED, R.CORRECTED, R.ENTERED_IN_ERROR},
        R.CORRECTED: {R.APPENDED, R.CORRECTED, R.ENTERED_IN_ERROR},
    }

    procedures = models.ManyToManyField(RequestedProcedure, related_name="reports", verbose_name=_("exams"))
    status = models.CharField(
        _("status"), max_length=16, choices=ReportStatus.choices, default=ReportStatus.REGISTERED, editable=False
    )
    sections = models.JSONField(default=dict, help_text="{section key: text}, keys of SECTIONS.")
    revision = models.PositiveIntegerField(default=0, editable=False, help_text="Counts saves of the text.")
    language = models.CharField(max_length=8, default="en")
    template = models.ForeignKey(
        "reporting.ReportTemplate", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="authored_reports"
    )
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    edited_at = models.DateTimeField(null=True, blank=True, editable=False)
    opened_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When it was last opened to write."
    )
    identity_seen = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Hash of the patient's identity at that moment."
    )
    preliminary_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="preliminary_reports"
    )
    preliminary_at = models.DateTimeField(null=True, blank=True, editable=False)
    signed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="signed_reports"
    )
    signed_at = models.DateTimeField(null=True, blank=True, editable=False)
    held_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Until then the signer may recall; delivery starts after."
    )
    held_claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    not_critical = models.JSONField(
        default=list, blank=True, editable=False, help_text="Critical words that the reader has answered with no."
    )
    changes_seen_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When who signed preliminary looked at what was changed."
    )

    history = ExamsHistory(m2m_fields=[procedures], excluded_fields=["held_claimed_until"])
    objects = ReportQuerySet.as_manager()

    class Meta:
        verbose_name = _("report")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(signed_by__isnull=False, signed_at__isnull=False)
                | ~Q(status__in=["final", "appended", "corrected"]),
                name="signed_report_has_signer_and_time",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="report_status"),
            models.Index(fields=["held_until"], condition=Q(held_until__isnull=False), name="report_held"),
        ]

    def __str__(self) -> str:
        return f"report {self.pk} ({self.status})"

    @property
    def is_signed(self) -> bool:
        return self.status in SIGNED

    @property
    def is_draft(self) -> bool:
        return self.status in DRAFTS

    @property
    def is_held(self) -> bool:
        """Signed, and not on its way yet: the recall window is open."""
        return self.held_until is not None

    @property
    def standing_versions(self) -> list[ReportVersion]:
        """What was signed and not recalled, oldest first."""
        return [row for row in self.versions.all() if not row.is_recalled]

    @property
    def first_procedure(self) -> RequestedProcedure:
        return min(self.procedures.all(), key=lambda procedure: procedure.pk)

    @property
    def patient(self):
        return self.first_procedure.order.patient

    @property
    def accession_number(self) -> str:
        return self._of_first("accession_number", lambda exam: exam.accession_number) or ""

    @property
    def audit_patient(self):
        return self._of_first("order__patient__uuid", lambda exam: exam.order.patient.uuid)

    def _of_first(self, path: str, read: Callable[[RequestedProcedure], Any]) -> Any:
        """Of the first exam: every audit row asks, in one statement where the exams are not there already."""
        if not self.pk:
            return None
        if "procedures" in getattr(self, "_prefetched_objects_cache", {}):
            return read(self.first_procedure) if self.procedures.all() else None
        return self.procedures.order_by("pk").values_list(path, flat=True).first()


class VersionKind(models.TextChoices):
    PRELIMINARY = "preliminary", _("Preliminary")
    FINAL = "final", _("Final")
    ADDENDUM = "addendum", _("Addendum")
    CORRECTION = "correction", _("Correction")
    RETRACTION = "retraction", _("Entered in error")


class ReportVersion(PublicModel):
    """What was signed, word for word. Never updated: a database trigger refuses it."""

    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=12, choices=VersionKind.choices)
    status = models.CharField(max_length=16, choices=ReportStatus.choices)
    sections = models.JSONField()
    assessments = models.JSONField(default=list, blank=True, help_text="Scales as they were at this signature.")
    recalls = models.PositiveSmallIntegerField(default=0, help_text="How often the report was recalled before.")
    addendum = models.TextField(blank=True)
    reason = models.CharField(max_length=500, blank=True)
    identity = models.JSONField(help_text="Patient, identifiers, exams and requester as they were at this signature.")
    signed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="report_versions")
    signer_name = models.CharField(max_length=200)
    signed_at = models.DateTimeField(default=timezone.now)
    content_hash = models.CharField(max_length=64)

    rows_are_append_only = True
    objects = ReportVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("signed version")
        ordering = ["report", "number"]
        constraints = [
            models.UniqueConstraint(fields=["report", "number"], name="version_number_once_per_report"),
            models.UniqueConstraint(
                fields=["report", "recalls"], condition=Q(kind="final"), name="one_final_version_per_report"
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=["correction", "retraction"]) | ~Q(reason=""), name="correction_has_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.report} version {self.number}"

    def compute_hash(self) -> str:
        """SHA-256 over what was signed, by whom and when."""
        content = {
            "report": str(self.report.uuid),
            "number": self.number,
            "kind": str(self.kind),
            "sections": self.sections,
            "addendum": self.addendum,
            "reason": self.reason,
            "identity": self.identity,
            "signed_by": str(self.signed_by.uuid),
            "signed_at": self.signed_at.isoformat(),
        }
        if self.assessments:
            content["assessments"] = self.assessments
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    @property
    def is_intact(self) -> bool:
        """Whether the words are still those that were signed."""
        return self.content_hash == self.compute_hash()

    @property
    def is_recalled(self) -> bool:
        return hasattr(self, "recall")

    @property
    def accession_number(self) -> str:
        return self.report.accession_number

    @property
    def audit_patient(self):
        return self.report.audit_patient
