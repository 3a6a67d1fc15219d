"""Dose as REST shows it: SI inside, the field's own units named in the help texts."""

from __future__ import annotations

from rest_framework import serializers

from dose.models import DoseInvestigation, DoseReport, DoseTrigger, IrradiationEvent, ReferenceLevel
from dose.ssde import METHOD


class IrradiationEventSerializer(serializers.ModelSerializer):
    ssde_computed = serializers.FloatField(
        read_only=True,
        allow_null=True,
        help_text=f"mGy; only where the device names the patient's size and sends no ssde. {METHOD}.",
    )

    class Meta:
        model = IrradiationEvent
        fields = (
            "irradiation_event_uid", "position", "started_at", "event_type", "protocol", "target_region", "ctdi_vol",
            "ctdi_phantom", "dlp", "scanning_length", "pitch", "kvp", "tube_current", "exposure_time", "exposure",
            "dap", "dose_rp", "agd", "exposure_index", "target_exposure_index", "deviation_index", "ssde",
            "ssde_computed", "water_equivalent_diameter", "primary_angle", "secondary_angle", "source_to_detector",
            "compression_thickness", "compression_force", "activity", "half_life", "radionuclide", "laterality", "view",
            "plane", "filters", "is_repeated", "repeat_reason", "is_rejected", "more",
        )  # fmt: skip
        read_only_fields = fields


class DoseReportListSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    procedure = serializers.SlugRelatedField(slug_field="uuid", read_only=True, allow_null=True)
    station = serializers.SlugRelatedField(slug_field="ae_title", read_only=True, allow_null=True)
    standard_exam = serializers.SlugRelatedField(slug_field="code", read_only=True, allow_null=True)
    replaced_by = serializers.SlugRelatedField(slug_field="uuid", read_only=True, allow_null=True)

    class Meta:
        model = DoseReport
        fields = (
            "id", "sop_instance_uid", "study_instance_uid", "accession_number", "procedure", "modality", "source",
            "performed_at", "station", "station_name", "manufacturer", "model_name", "patient_age_years",
            "patient_weight_kg", "patient_sex", "ctdi_vol_max", "dlp_total", "dap_total", "dose_rp_total", "agd_total",
            "dap_fluoro", "dap_acquisition", "dose_rp_fluoro", "dose_rp_acquisition", "agd_left", "agd_right",
            "fluoro_time", "acquisition_time", "frame_count", "administered_activity", "effective_dose",
            "patient_height_m", "procedure_name", "event_count", "is_of_a_patient", "warnings", "received_at",
            "standard_exam", "protocol", "study_description", "series_description", "body_part", "age_band",
            "weight_band", "is_pregnant", "replaced_by", "entry_reason",
        )  # fmt: skip
        read_only_fields = fields


class DoseReportSerializer(DoseReportListSerializer):
    events = IrradiationEventSerializer(many=True, read_only=True)

    class Meta(DoseReportListSerializer.Meta):
        fields = (*DoseReportListSerializer.Meta.fields, "events")
        read_only_fields = fields


class LinkSerializer(serializers.Serializer):
    procedure = serializers.UUIDField(help_text="The exam's id.")
    reason = serializers.CharField(max_length=150, required=False, allow_blank=True, default="")


class UnlinkSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=150)


class DoseTriggerSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    report = serializers.SlugRelatedField(slug_field="uuid", read_only=True)

    class Meta:
        model = DoseTrigger
        fields = (
            "id", "report", "kind", "quantity", "value", "limit", "unit", "weeks", "status", "explanation",
            "created_at",
        )  # fmt: skip
        read_only_fields = fields


class ExplainSerializer(serializers.Serializer):
    explanation = serializers.CharField(max_length=300)


class DoseInvestigationSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    level = serializers.SlugRelatedField(slug_field="uuid", read_only=True)
    exam = serializers.SlugRelatedField(source="catalogue", slug_field="code", read_only=True, allow_null=True)
    standard_exam = serializers.SlugRelatedField(slug_field="code", read_only=True, allow_null=True)

    class Meta:
        model = DoseInvestigation
        fields = (
            "id", "level", "exam", "standard_exam", "room", "quantity", "unit", "limit", "median", "exam_count",
            "status", "cause", "action", "acted_at", "measure_again_on", "new_median", "new_exam_count", "created_at",
        )  # fmt: skip
        read_only_fields = fields


class OpenInvestigationSerializer(serializers.Serializer):
    level = serializers.UUIDField(help_text="The reference level's id.")
    exam = serializers.CharField(
        max_length=64, help_text='Code of the catalogue\'s exam; "std:" and the code of a standard exam.'
    )
    room = serializers.CharField(max_length=100)


class ActionSerializer(serializers.Serializer):
    cause = serializers.CharField(max_length=300)
    action = serializers.CharField(max_length=300)
    measure_again_on = serializers.DateField(required=False, allow_null=True, default=None)


class ReferenceLevelSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    standard_exam = serializers.SlugRelatedField(slug_field="code", read_only=True, allow_null=True)
    replaces = serializers.SlugRelatedField(slug_field="uuid", read_only=True, allow_null=True)

    class Meta:
        model = ReferenceLevel
        fields = (
            "id", "authority", "year", "exam", "modality", "quantity", "value", "unit", "indication", "scope", "band",
            "age_from", "age_below", "weight_from", "weight_below", "source", "certainty", "standard_exam",
            "is_watched", "is_active", "edition", "replaces",
        )  # fmt: skip
        read_only_fields = fields


class CorrectDoseSerializer(serializers.Serializer):
    """In the units of the clinic; only those of the exam's modality are read."""

    ctdi_vol = serializers.FloatField(required=False, allow_null=True, help_text="mGy")
    dlp = serializers.FloatField(required=False, allow_null=True, help_text="mGy.cm")
    dap = serializers.FloatField(required=False, allow_null=True, help_text="Gy.cm2")
    dose_rp = serializers.FloatField(required=False, allow_null=True, help_text="mGy")
    agd = serializers.FloatField(required=False, allow_null=True, help_text="mGy")
    fluoro_time = serializers.FloatField(required=False, allow_null=True, help_text="s")
    activity = serializers.FloatField(required=False, allow_null=True, help_text="MBq")
    weight_kg = serializers.FloatField(required=False, allow_null=True)
    reason = serializers.CharField(max_length=200)
    is_confirmed = serializers.BooleanField(default=False, help_text="An unusually high value was looked at again.")


class EnterDoseSerializer(CorrectDoseSerializer):
    procedure = serializers.UUIDField(help_text="The exam's id.")
