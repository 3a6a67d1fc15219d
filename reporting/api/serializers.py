"""What REST resources of reports, critical results and deliveries look like. ``id`` is always the UUID."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orders.models import RequestedProcedure
from reporting.models import (
    SECTIONS,
    ContactAttempt,
    CriticalCategory,
    CriticalResult,
    DeliveryAttempt,
    EscalationStep,
    Report,
    ReportDelivery,
    ReportVersion,
)
from reporting.parts import part_key
from reporting.permissions import WRITE_REPORT
from reporting.selectors.reading import minutes_left
from reporting.services.critical import CHANNELS, OUTCOMES
from reporting.services.critical_report import acknowledger, sentence_of


class SectionsField(serializers.DictField):
    """``{section: text}``.

    Sections: clinical_information, technique, comparison, findings, impression, recommendation. Of several exams also
    ``findings:<id of the procedure>``, which ``findings`` is made of.
    """

    child = serializers.CharField(allow_blank=True, trim_whitespace=False)

    def to_representation(self, value: Any) -> dict[str, str]:
        return {key: value.get(key, "") for key in SECTIONS if key in value}


class VersionSerializer(serializers.ModelSerializer):
    """One signed version; it never changes."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    sections = SectionsField(read_only=True)
    signed_by = serializers.CharField(source="signer_name", read_only=True)
    recalled_at = serializers.SerializerMethodField(help_text="When the signer took it back before delivery.")
    co_signed_by = serializers.SerializerMethodField()

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_recalled_at(self, version: ReportVersion) -> str | None:
        return version.recall.recalled_at.isoformat() if version.is_recalled else None

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_co_signed_by(self, version: ReportVersion) -> list[str]:
        return [row.signer_name for row in version.co_signatures.all()]

    class Meta:
        model = ReportVersion
        fields = (
            "id", "number", "kind", "status", "sections", "assessments", "addendum", "reason", "signed_by", "signed_at",
            "content_hash", "recalled_at", "co_signed_by",
        )  # fmt: skip
        read_only_fields = fields


class ExamSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)

    class Meta:
        model = RequestedProcedure
        fields = (
            "id", "accession_number", "study_instance_uid", "code", "description", "laterality", "modality", "status",
            "life_cycle",
        )  # fmt: skip
        read_only_fields = fields

    life_cycle = serializers.CharField(read_only=True)


class ReportSerializer(serializers.ModelSerializer):
    """A report over one or several procedures. Who sees only what was signed gets the newest signed text."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    patient = serializers.SerializerMethodField()
    procedures = serializers.SerializerMethodField()
    exams = ExamSerializer(source="procedures", many=True, read_only=True)
    sections = serializers.SerializerMethodField()
    findings = serializers.SerializerMethodField()
    versions = serializers.SerializerMethodField()
    author = serializers.SerializerMethodField()
    preliminary_by = serializers.SerializerMethodField()
    signed_by = serializers.SerializerMethodField()

    class Meta:
        model = Report
        fields = (
            "id", "patient", "procedures", "exams", "status", "sections", "findings", "revision", "language", "author",
            "preliminary_by", "preliminary_at", "signed_by", "signed_at", "held_until", "created_at", "updated_at",
            "versions",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.UUIDField())
    def get_patient(self, report: Report) -> str:
        return str(report.patient.uuid)

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_procedures(self, report: Report) -> list[str]:
        return [str(row.uuid) for row in sorted(report.procedures.all(), key=lambda row: row.pk)]

    def _text(self, report: Report) -> dict[str, str]:
        """What this caller may read: the draft, or what stands signed."""
        user = getattr(self.context.get("request"), "user", None)
        if user is not None and user.is_authenticated and not user.may(WRITE_REPORT):
            versions = report.standing_versions
            return versions[-1].sections if versions else {}
        return report.sections

    @extend_schema_field(SectionsField())
    def get_sections(self, report: Report) -> dict[str, str]:
        text = self._text(report)
        return {key: text[key] for key in SECTIONS if key in text}

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_findings(self, report: Report) -> dict[str, str]:
        """{id of the procedure: its findings}"""
        text = self._text(report)
        rows = sorted(report.procedures.all(), key=lambda row: row.pk)
        if len(rows) == 1:
            return {str(rows[0].uuid): text.get("findings", "")}
        return {str(row.uuid): text.get(part_key(row), "") for row in rows}

    @extend_schema_field(VersionSerializer(many=True))
    def get_versions(self, report: Report) -> Any:
        """Recalled ones are for those who write reports."""
        user = getattr(self.context.get("request"), "user", None)
        writes = user is not None and user.is_authenticated and user.may(WRITE_REPORT)
        return VersionSerializer(report.versions.all() if writes else report.standing_versions, many=True).data

    def _name(self, user: Any) -> str | None:
        return user.display_name if user is not None else None

    def get_author(self, report: Report) -> str | None:
        return self._name(report.author)

    def get_preliminary_by(self, report: Report) -> str | None:
        return self._name(report.preliminary_by)

    def get_signed_by(self, report: Report) -> str | None:
        return self._name(report.signed_by)


class ReportOpenSerializer(serializers.Serializer):
    procedures = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=20)
    sections = SectionsField(required=False)


class ReportChangeSerializer(serializers.Serializer):
    """``revision``: the one that was read; an older one is refused (409). If-Match does the same (412)."""

    sections = SectionsField()
    revision = serializers.IntegerField(required=False, min_value=0)


class SignSerializer(serializers.Serializer):
    """``password`` or ``otp_token`` when the last sign-in is too long ago (403, reauthentication_required)."""

    sections = SectionsField(required=False)
    revision = serializers.IntegerField(required=False, min_value=0)
    viewer_study = serializers.CharField(
        required=False, allow_blank=True, max_length=64, help_text="Study Instance UID that the signer's viewer shows."
    )
    at_once = serializers.BooleanField(required=False, help_text="Do not hold it for recall.")
    password = serializers.CharField(required=False, write_only=True, trim_whitespace=False)
    otp_token = serializers.CharField(required=False, write_only=True)


class PreliminarySerializer(serializers.Serializer):
    sections = SectionsField(required=False)
    revision = serializers.IntegerField(required=False, min_value=0)
    viewer_study = serializers.CharField(
        required=False, allow_blank=True, max_length=64, help_text="Study Instance UID that the signer's viewer shows."
    )


class ProofSerializer(serializers.Serializer):
    password = serializers.CharField(required=False, allow_blank=True, write_only=True, trim_whitespace=False)
    otp_token = serializers.CharField(required=False, allow_blank=True, write_only=True)


class AddendumSerializer(ProofSerializer):
    text = serializers.CharField(max_length=50_000)


class CorrectionSerializer(ProofSerializer):
    sections = SectionsField()
    reason = serializers.CharField(max_length=400)


class ReasonSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class RetractionSerializer(ProofSerializer):
    reason = serializers.CharField(max_length=400)


class NothingSerializer(serializers.Serializer):
    """No body."""


class CheckSerializer(serializers.Serializer):
    """One thing that was looked at before signing; ``level`` is block or warn, ``target`` the section."""

    code = serializers.CharField()
    level = serializers.ChoiceField(choices=("block", "warn"))
    title = serializers.CharField()
    detail = serializers.CharField()
    target = serializers.CharField()


class AttemptSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    by = serializers.SerializerMethodField()

    class Meta:
        model = ContactAttempt
        fields = (
            "id", "channel", "person", "duty", "outcome", "read_back", "acknowledges", "note", "level", "round", "at",
            "by",
        )  # fmt: skip
        read_only_fields = fields

    def get_by(self, attempt: ContactAttempt) -> str | None:
        return attempt.by.display_name if attempt.by else None


class EscalationStepSerializer(serializers.ModelSerializer):
    """A level that was alarmed: once per round."""

    class Meta:
        model = EscalationStep
        fields = ("round", "level", "contact", "cause", "people", "messages", "problem", "due_at", "at")
        read_only_fields = fields


class CriticalResultSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    procedure = serializers.UUIDField(source="procedure.uuid", read_only=True)
    report = serializers.UUIDField(source="report.uuid", read_only=True, allow_null=True, default=None)
    accession_number = serializers.CharField(read_only=True)
    alert_category = serializers.CharField(
        source="alert_category.code", read_only=True, allow_null=True, default=None, help_text="The site's category."
    )
    category_name = serializers.CharField(read_only=True)
    reference = serializers.CharField(read_only=True, help_text="What messages outside the house call it.")
    raised_by = serializers.SerializerMethodField()
    acknowledged_by = serializers.SerializerMethodField()
    sentence = serializers.SerializerMethodField(help_text="What the report says of it; empty while nobody knows.")
    attempts = AttemptSerializer(many=True, read_only=True)
    steps = EscalationStepSerializer(many=True, read_only=True)

    class Meta:
        model = CriticalResult
        fields = (
            "id", "procedure", "report", "accession_number", "category", "alert_category", "category_name",
            "reference", "finding", "status", "found_at", "due_at", "raised_by", "communicated_at", "round",
            "escalation_level", "next_escalation_at", "unreached_since", "retell_since", "retell_version",
            "acknowledged_by", "acknowledged_via", "acknowledged_at", "withdrawn_reason", "sentence", "attempts",
            "steps",
        )  # fmt: skip
        read_only_fields = fields

    def get_raised_by(self, critical: CriticalResult) -> str | None:
        return critical.raised_by.display_name if critical.raised_by else None

    def get_acknowledged_by(self, critical: CriticalResult) -> str | None:
        return acknowledger(critical) or None

    def get_sentence(self, critical: CriticalResult) -> str:
        return sentence_of(critical)


class CriticalResultInputSerializer(serializers.Serializer):
    procedure = serializers.UUIDField()
    category = serializers.ChoiceField(choices=CriticalCategory.choices, required=False, help_text="ACR 1 to 3.")
    alert_category = serializers.SlugField(
        max_length=20, required=False, help_text="The site's own category, by its code; instead of `category`."
    )
    finding = serializers.CharField(max_length=300)
    report = serializers.UUIDField(required=False, allow_null=True)
    found_at = serializers.DateTimeField(required=False)
    due_at = serializers.DateTimeField(required=False, help_text="Another deadline than the category's.")


class ContactSerializer(serializers.Serializer):
    channel = serializers.ChoiceField(choices=CHANNELS)
    person = serializers.CharField(max_length=120)
    outcome = serializers.ChoiceField(choices=OUTCOMES)
    read_back = serializers.BooleanField(default=False)
    acknowledges = serializers.BooleanField(
        default=False, help_text="The person reached says that they act on it, and has read it back."
    )
    duty = serializers.CharField(max_length=80, required=False, allow_blank=True, default="")
    note = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class EscalateSerializer(serializers.Serializer):
    level = serializers.IntegerField(
        min_value=1, max_value=1000, required=False, help_text="The level meant; nothing happens when it was alarmed."
    )


class ComplianceSerializer(serializers.Serializer):
    label = serializers.CharField()
    findings = serializers.IntegerField()
    in_time = serializers.IntegerField()
    late = serializers.IntegerField()
    percent_in_time = serializers.IntegerField(source="share", allow_null=True)
    median_minutes = serializers.FloatField(allow_null=True)
    median_minutes_category_1 = serializers.FloatField(source="median_first", allow_null=True)
    median_minutes_to_acknowledgement = serializers.FloatField(source="median_acknowledged", allow_null=True)
    percent_read_back = serializers.IntegerField(source="read_back", allow_null=True)


class DelegateSerializer(serializers.Serializer):
    to = serializers.UUIDField(help_text="A practitioner who signs in.")
    note = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)


class DeliveryAttemptSerializer(serializers.ModelSerializer):
    """What happened, and by whom or which process."""

    by = serializers.SerializerMethodField()

    class Meta:
        model = DeliveryAttempt
        fields = ("at", "outcome", "error", "by", "door")
        read_only_fields = fields

    def get_by(self, row: DeliveryAttempt) -> str | None:
        return row.by.display_name if row.by else None


class DeliverySerializer(serializers.ModelSerializer):
    """A line of the ledger: one version on its way to one recipient."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    report = serializers.UUIDField(source="report.uuid", read_only=True)
    report_version = serializers.UUIDField(source="report_version.uuid", read_only=True)
    version_number = serializers.IntegerField(source="report_version.number", read_only=True)
    accession_number = serializers.CharField(read_only=True)
    recipient = serializers.UUIDField(source="recipient.uuid", read_only=True, allow_null=True, default=None)
    recipient_name = serializers.CharField(source="recipient.display_name", read_only=True, default="")
    delegated_to = serializers.UUIDField(source="delegated_to.uuid", read_only=True, allow_null=True, default=None)
    acknowledged_by = serializers.SerializerMethodField()
    tries = DeliveryAttemptSerializer(many=True, read_only=True)

    class Meta:
        model = ReportDelivery
        fields = (
            "id", "report", "report_version", "version_number", "accession_number", "channel", "destination",
            "recipient", "recipient_name", "delegated_to", "is_mandatory", "status", "attempts", "last_error",
            "sent_at", "opened_at", "acknowledged_at", "acknowledged_by", "tries",
        )  # fmt: skip
        read_only_fields = fields

    def get_acknowledged_by(self, delivery: ReportDelivery) -> str | None:
        return delivery.acknowledged_by.display_name if delivery.acknowledged_by else None


class ReadingRowSerializer(serializers.ModelSerializer):
    """An exam that waits to be read. ``due_at`` is when its priority wants the report."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    patient = serializers.UUIDField(source="order.patient.uuid", read_only=True)
    priority = serializers.CharField(source="order.priority", read_only=True)
    site = serializers.CharField(source="order.site.code", read_only=True, default=None, allow_null=True)
    station = serializers.CharField(source="station_name", read_only=True, allow_null=True)
    due_at = serializers.DateTimeField(read_only=True)
    minutes_left = serializers.SerializerMethodField()
    image_count = serializers.IntegerField(read_only=True)
    prior_count = serializers.IntegerField(read_only=True)
    has_critical = serializers.BooleanField(read_only=True)
    report = serializers.SerializerMethodField()
    read_by = serializers.SerializerMethodField()

    class Meta:
        model = RequestedProcedure
        fields = (
            "id", "accession_number", "study_instance_uid", "patient", "description", "laterality", "modality",
            "body_region", "priority", "site", "station", "status", "images_complete_at", "due_at", "minutes_left",
            "image_count", "prior_count", "has_critical", "report", "read_by",
        )  # fmt: skip
        read_only_fields = fields

    def get_minutes_left(self, row: Any) -> int:
        return minutes_left(row)[0]

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_report(self, row: Any) -> str | None:
        return str(row.live_reports[0].uuid) if row.live_reports else None

    def get_read_by(self, row: Any) -> str | None:
        lock = getattr(row, "reading_lock", None)
        return lock.user.display_name if lock is not None and lock.is_live else None


class TurnaroundStepSerializer(serializers.Serializer):
    """Minutes between two times of an exam, over those verified in the asked days."""

    step = serializers.CharField()
    count = serializers.IntegerField()
    median_minutes = serializers.FloatField(allow_null=True)
    p90_minutes = serializers.FloatField(allow_null=True)
    goal_minutes = serializers.IntegerField(allow_null=True)
    percent_within_goal = serializers.IntegerField(allow_null=True)


class VolumeSerializer(serializers.Serializer):
    modality = serializers.CharField()
    by_day = serializers.DictField(child=serializers.IntegerField())


class BacklogSerializer(serializers.Serializer):
    status = serializers.CharField()
    count = serializers.IntegerField()
    oldest = serializers.DateTimeField()


class AnalyticsSerializer(serializers.Serializer):
    days = serializers.IntegerField()
    turnaround = TurnaroundStepSerializer(many=True)
    volumes = VolumeSerializer(many=True)
    backlog = BacklogSerializer(many=True)
