"""What REST resources of patients, orders, catalogue and charges look like. ``id`` is always the UUID."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orders.dates import Unreadable, read_here
from orders.models import (
    CatalogueProcedure,
    Charge,
    ContrastDecision,
    Document,
    DocumentKind,
    IdentifierType,
    IdentifierUse,
    Laterality,
    Order,
    Patient,
    PatientAlert,
    PatientClass,
    PatientIdentifier,
    PatientMerge,
    Priority,
    RequestedProcedure,
    Sex,
)
from ris.accounts.models import Practitioner
from ris.core.concepts import DISCONTINUATION_REASONS

LIFE_CYCLES = (
    "requested",
    "scheduled",
    "in_progress",
    "completed",
    "reported",
    "verified",
    "distributed",
    "cancelled",
)


def uuid_of(source: str, **kwargs: Any) -> serializers.UUIDField:
    return serializers.UUIDField(source=source, read_only=True, **kwargs)


class IdentifierSerializer(serializers.ModelSerializer):
    class Meta:
        model = PatientIdentifier
        fields = ("value", "issuer", "type", "use")


class IdentifierInputSerializer(serializers.Serializer):
    value = serializers.CharField(max_length=64)
    issuer = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    type = serializers.ChoiceField(choices=IdentifierType.choices, default=IdentifierType.MEDICAL_RECORD)
    use = serializers.ChoiceField(choices=IdentifierUse.choices, default=IdentifierUse.USUAL)


class AlertSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")

    class Meta:
        model = PatientAlert
        fields = ("id", "kind", "text", "is_active", "noted_at")
        read_only_fields = ("is_active", "noted_at")


DEMOGRAPHICS = (
    "family_name",
    "given_name",
    "middle_name",
    "prefix",
    "suffix",
    "ideographic_name",
    "phonetic_name",
    "birth_date",
    "birth_date_is_estimated",
    "sex",
    "phone",
    "email",
    "address",
    "language",
    "next_of_kin",
    "weight_kg",
    "height_m",
    "is_restricted",
    "identity_is_unverified",
)


class PatientSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    identifiers = IdentifierSerializer(many=True, read_only=True)
    alerts = AlertSerializer(source="alert_rows", many=True, read_only=True)
    age = serializers.IntegerField(read_only=True, allow_null=True, help_text="Whole years today.")
    merged_into = uuid_of("merged_into.uuid", allow_null=True, default=None)

    class Meta:
        model = Patient
        fields = (
            "id",
            *DEMOGRAPHICS,
            "is_deceased",
            "age",
            "identifiers",
            "alerts",
            "merged_into",
            "version",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields


@extend_schema_field(OpenApiTypes.DATE)
class BirthDateField(serializers.DateField):
    """ISO 8601; also as it is typed in this facility (19/11/1990), a year alone, or an age ("about 40")."""

    def to_internal_value(self, value: Any) -> date:
        if isinstance(value, date):
            return super().to_internal_value(value)
        try:
            day, self.parent.has_estimated_birth_date = read_here(str(value))
        except Unreadable as refusal:
            raise serializers.ValidationError(str(refusal)) from None
        return day


class WithBirthDate(serializers.Serializer):
    """A year or an age is an estimate, whether the sender says so or not."""

    has_estimated_birth_date = False

    birth_date = BirthDateField(
        required=False,
        allow_null=True,
        help_text="ISO 8601, or as it is typed in the facility; a year or an age counts as estimated.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.has_estimated_birth_date:
            attrs["birth_date_is_estimated"] = True
        return super().validate(attrs)


class PatientCreateSerializer(WithBirthDate, serializers.ModelSerializer):
    """Texts are checked by the service, which says for each field what is wrong with it."""

    sex = serializers.ChoiceField(choices=Sex.choices, default=Sex.UNKNOWN)
    identifiers = IdentifierInputSerializer(many=True, required=False)

    class Meta:
        model = Patient
        fields = (*DEMOGRAPHICS, "identifiers")


class PatientChangeSerializer(WithBirthDate, serializers.ModelSerializer):
    reason = serializers.CharField(max_length=150, required=False, allow_blank=True, default="")
    identifiers = IdentifierInputSerializer(many=True, required=False, help_text="Added to those that are known.")

    class Meta:
        model = Patient
        fields = (*DEMOGRAPHICS, "is_deceased", "identifiers", "reason")
        extra_kwargs = {"family_name": {"required": False}}


class PatientQuerySerializer(serializers.Serializer):
    family_name = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    given_name = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    birth_date = serializers.DateField(required=False, allow_null=True, default=None)
    phone = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")
    identifiers = IdentifierInputSerializer(many=True, required=False)
    sex = serializers.CharField(max_length=1, required=False, allow_blank=True, help_text="Taken and not used.")


class PatientSearchSerializer(serializers.Serializer):
    query = serializers.CharField(
        max_length=200, required=False, allow_blank=True, default="", help_text="Name parts, phone or an identifier."
    )
    family_name = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    given_name = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    birth_date = serializers.DateField(required=False, allow_null=True, default=None)
    identifier = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    issuer = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")


class CandidateSerializer(serializers.Serializer):
    patient = PatientSerializer(read_only=True)
    score = serializers.FloatField(read_only=True, help_text="0 to 1.")
    reasons = serializers.ListField(child=serializers.CharField(), read_only=True)
    matches = serializers.DictField(
        child=serializers.CharField(), read_only=True, help_text="Field: same, similar, swapped or different."
    )


class CandidatesSerializer(serializers.Serializer):
    results = CandidateSerializer(many=True)


class PatientsFoundSerializer(serializers.Serializer):
    results = PatientSerializer(many=True)


class MergeRequestSerializer(serializers.Serializer):
    loser = serializers.UUIDField(help_text="The record that is merged into this one.")
    reason = serializers.CharField(max_length=200)


class MergeSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    survivor = uuid_of("survivor.uuid")
    loser = uuid_of("loser.uuid")
    moved = serializers.SerializerMethodField(help_text="How many rows of each table moved.")

    class Meta:
        model = PatientMerge
        fields = ("id", "survivor", "loser", "moved", "reason", "source", "merged_at", "undone_at")
        read_only_fields = fields

    def get_moved(self, merge: PatientMerge) -> dict[str, int]:
        return {table: len(keys) for table, keys in merge.moved.items()}


class UndoSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=150, required=False, allow_blank=True, default="")


class PlainReasonSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=150)


class OptionalReasonSerializer(serializers.Serializer):
    reason_text = serializers.CharField(max_length=150, required=False, allow_blank=True, default="")


class AlertInputSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=PatientAlert.Kind.choices)
    text = serializers.CharField(max_length=200)


# --- orders


class ProcedureSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    order = uuid_of("order.uuid")
    patient = uuid_of("order.patient.uuid")
    priority = serializers.CharField(source="order.priority", read_only=True)
    life_cycle = serializers.ChoiceField(choices=LIFE_CYCLES, read_only=True)
    held_by = uuid_of("held_by.uuid", allow_null=True, default=None)
    replaced_by = uuid_of("replaced_by.uuid", allow_null=True, default=None)

    class Meta:
        model = RequestedProcedure
        fields = (
            "id",
            "order",
            "patient",
            "accession_number",
            "study_instance_uid",
            "requested_procedure_id",
            "status",
            "life_cycle",
            "status_changed_at",
            "priority",
            "code",
            "code_scheme",
            "description",
            "modality",
            "body_region",
            "laterality",
            "is_unmapped",
            "protocol",
            "contrast",
            "contrast_decision",
            "comments_to_technologist",
            "protocolled_at",
            "due_by",
            "held_by",
            "held_until",
            "reason_code",
            "reason_text",
            "replaced_by",
            "arrived_at",
            "started_at",
            "performed_at",
            "images_complete_at",
            "completed_by_technologist_at",
            "verified_at",
            "distributed_at",
            "version",
            "created_at",
        )
        read_only_fields = fields

    #: What is told as it is stored.
    _stored = tuple(
        name
        for name in Meta.fields
        if name not in {"id", "order", "patient", "priority", "life_cycle", "held_by", "replaced_by", "due_by"}
        and not name.endswith(("_at", "_until"))
    )
    _moments = tuple(name for name in Meta.fields if name.endswith(("_at", "_until")))

    def to_representation(self, instance: RequestedProcedure) -> dict[str, Any]:
        """The same as field by field, in a fifth of the time: lists of procedures are what integrators ask most."""
        order, stored = instance.order, instance.__dict__
        zone = timezone.get_current_timezone()
        told: dict[str, Any] = {name: stored[name] for name in self._stored}
        for name in self._moments:
            value = stored[name]
            told[name] = None if value is None else value.astimezone(zone).isoformat().replace("+00:00", "Z")
        due_by = instance.due_by
        told["id"], told["order"], told["patient"] = str(instance.uuid), str(order.uuid), str(order.patient.uuid)
        told["priority"], told["life_cycle"] = order.priority, instance.life_cycle
        told["due_by"] = due_by.isoformat() if due_by is not None else None
        told["held_by"] = str(instance.held_by.uuid) if instance.held_by_id else None
        told["replaced_by"] = str(instance.replaced_by.uuid) if instance.replaced_by_id else None
        return told


class OrderSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    patient = uuid_of("patient.uuid")
    requester = uuid_of("requester.uuid", allow_null=True, default=None)
    requester_name = serializers.CharField(source="requester.display_name", read_only=True, default="")
    site = serializers.CharField(source="site.code", read_only=True, default="")
    copies_to = serializers.SlugRelatedField(slug_field="uuid", many=True, read_only=True)
    procedures = ProcedureSerializer(many=True, read_only=True)

    class Meta:
        model = Order
        fields = (
            "id",
            "patient",
            "status",
            "priority",
            "patient_class",
            "indication",
            "clinical_information",
            "requester",
            "requester_name",
            "copies_to",
            "site",
            "transport",
            "isolation",
            "location",
            "placer_order_number",
            "placer_issuer",
            "filler_order_number",
            "ordered_at",
            "source",
            "procedures",
            "version",
            "created_at",
        )
        read_only_fields = fields


class ProcedureRequestSerializer(serializers.Serializer):
    code = serializers.CharField(max_length=16, help_text="Of the catalogue, or of ``scheme``.")
    scheme = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    laterality = serializers.ChoiceField(
        choices=Laterality.choices, required=False, allow_blank=True, default="", help_text="L, R, B; or empty."
    )
    accession_number = serializers.CharField(
        max_length=64, required=False, allow_blank=True, default="", help_text="Kept when valid and free."
    )
    study_instance_uid = serializers.CharField(
        max_length=128, required=False, allow_blank=True, default="", help_text="Kept when valid and free."
    )
    requested_procedure_id = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    protocol = serializers.CharField(max_length=10240, required=False, allow_blank=True, default="")
    contrast = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    due_by = serializers.DateField(required=False, allow_null=True, default=None)


class OrderFieldsSerializer(serializers.Serializer):
    priority = serializers.ChoiceField(choices=Priority.choices, default=Priority.ROUTINE)
    patient_class = serializers.ChoiceField(choices=PatientClass.choices, default=PatientClass.OUTPATIENT)
    indication = serializers.CharField(max_length=10240, required=False, allow_blank=True, default="")
    clinical_information = serializers.CharField(max_length=10240, required=False, allow_blank=True, default="")
    requester = serializers.UUIDField(required=False, allow_null=True, help_text="A practitioner.")
    copies_to = serializers.ListField(child=serializers.UUIDField(), required=False, help_text="Practitioners.")
    site = serializers.CharField(max_length=16, required=False, allow_blank=True, help_text="The site's code.")
    transport = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    isolation = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    location = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")


class OrderCreateSerializer(OrderFieldsSerializer):
    patient = serializers.UUIDField()
    procedures = ProcedureRequestSerializer(many=True)
    placer_order_number = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    placer_issuer = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    ordered_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class OrderChangeSerializer(OrderFieldsSerializer):
    reason = serializers.CharField(max_length=150, required=False, allow_blank=True, default="")


class CodedReasonSerializer(serializers.Serializer):
    reason_code = serializers.ChoiceField(
        choices=[(code, entry.meaning) for code, entry in DISCONTINUATION_REASONS.items()],
        help_text="DICOM CID 9300/9301.",
    )
    reason_text = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class AskSerializer(serializers.Serializer):
    reason_text = serializers.CharField(max_length=200, help_text="The question.")
    until = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="In two days.")


class HoldSerializer(serializers.Serializer):
    reason_text = serializers.CharField(max_length=200)
    until = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="In two days.")
    owner = serializers.UUIDField(
        required=False, allow_null=True, default=None, help_text="The user who looks after it; else the caller."
    )


class AcceptSerializer(serializers.Serializer):
    comments = serializers.CharField(max_length=10240, required=False, allow_blank=True, default="")


class ProtocolSerializer(serializers.Serializer):
    protocol = serializers.CharField(max_length=10240, required=False, allow_blank=True, default="")
    contrast_decision = serializers.ChoiceField(
        choices=ContrastDecision.choices, required=False, allow_blank=True, default=""
    )
    contrast = serializers.CharField(
        max_length=64, required=False, allow_blank=True, default="", help_text="Agent and amount."
    )
    comments = serializers.CharField(max_length=10240, required=False, allow_blank=True, default="")


class ProcedureChangeSerializer(serializers.Serializer):
    code = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    scheme = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    laterality = serializers.ChoiceField(choices=Laterality.choices, required=False, allow_blank=True)
    reason = serializers.CharField(max_length=150, required=False, allow_blank=True, default="")


class ReplaceSerializer(CodedReasonSerializer):
    by = ProcedureRequestSerializer()


class TimelineEntrySerializer(serializers.Serializer):
    at = serializers.DateTimeField()
    who = serializers.CharField()
    door = serializers.CharField(help_text="web, admin, api, hl7, mpps ...")
    what = serializers.CharField()
    kind = serializers.CharField()
    status = serializers.CharField(help_text="Reached by this step; empty when it reached none.")
    life_cycle = serializers.CharField()
    detail = serializers.CharField()


class TimelineSerializer(serializers.Serializer):
    results = TimelineEntrySerializer(many=True)


# --- catalogue, charges, documents, practitioners


class CatalogueSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    codes = serializers.SerializerMethodField(help_text="Scheme: code.")
    preparations = serializers.SerializerMethodField(help_text="Language: text.")
    charge_codes = serializers.SerializerMethodField(help_text="Of the price list.")

    class Meta:
        model = CatalogueProcedure
        fields = (
            "id",
            "code",
            "name",
            "name_sw",
            "modality",
            "body_region",
            "has_laterality",
            "uses_contrast",
            "duration_minutes",
            "default_protocol",
            "needs_vetting",
            "needs_protocol",
            "needs_completion_before_reading",
            "needs_consent",
            "rvu",
            "is_active",
            "codes",
            "preparations",
            "charge_codes",
        )
        read_only_fields = fields

    def get_codes(self, row: CatalogueProcedure) -> dict[str, str]:
        return {entry.scheme: entry.value for entry in row.codes.all()}

    def get_preparations(self, row: CatalogueProcedure) -> dict[str, str]:
        return {entry.language: entry.text for entry in row.preparations.all()}

    def get_charge_codes(self, row: CatalogueProcedure) -> list[str]:
        return sorted(price.code for price in row.prices.all())


class CatalogueTableSerializer(serializers.Serializer):
    csv = serializers.CharField(help_text="The table, with its line of column names.", trim_whitespace=False)


class ImportResultSerializer(serializers.Serializer):
    created = serializers.IntegerField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()


class ChargeSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    procedure = uuid_of("procedure.uuid")
    accession_number = serializers.CharField(source="procedure.accession_number", read_only=True)

    class Meta:
        model = Charge
        fields = (
            "id",
            "procedure",
            "accession_number",
            "code",
            "label",
            "kind",
            "quantity",
            "unit",
            "unit_price",
            "amount",
            "currency",
            "performed_on",
            "status",
            "reason",
            "status_changed_at",
            "version",
            "created_at",
        )
        read_only_fields = fields


class DocumentSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    patient = uuid_of("patient.uuid")
    order = uuid_of("order.uuid", allow_null=True, default=None)

    class Meta:
        model = Document
        fields = ("id", "patient", "order", "kind", "title", "content_type", "size", "sha256", "added_at")
        read_only_fields = fields


class DocumentInputSerializer(serializers.Serializer):
    patient = serializers.UUIDField()
    order = serializers.UUIDField(required=False, allow_null=True, default=None)
    kind = serializers.ChoiceField(choices=DocumentKind.choices)
    title = serializers.CharField(max_length=120)
    file = serializers.FileField(help_text="PDF, PNG, JPEG or TIFF, at most 20 MB.")


class PractitionerSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    username = serializers.SerializerMethodField(help_text="Of whoever can sign in.")

    class Meta:
        model = Practitioner
        fields = (
            "id",
            "family_name",
            "given_name",
            "prefix",
            "suffix",
            "display_name",
            "identifier",
            "issuer",
            "specialty",
            "organisation",
            "username",
            "is_active",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.CharField())
    def get_username(self, row: Practitioner) -> str:
        return row.user.get_username() if row.user else ""
