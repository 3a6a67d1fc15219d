"""What intake and the catalogue's table look like in REST: questions, batches, protocol picks, previews."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orders.api.serializers import ProcedureSerializer, uuid_of
from orders.models import Inquiry


class AnswerSerializer(serializers.Serializer):
    answer = serializers.CharField(max_length=10240)


class ReasonTextSerializer(serializers.Serializer):
    reason_text = serializers.CharField(max_length=150)


class InquirySerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    asked_by = uuid_of("asked_by.uuid", allow_null=True, default=None)
    answered_by = uuid_of("answered_by.uuid", allow_null=True, default=None)

    class Meta:
        model = Inquiry
        fields = ("id", "question", "asked_by", "created_at", "answer", "answered_by", "closed_at")
        read_only_fields = fields


class InquiriesSerializer(serializers.Serializer):
    results = InquirySerializer(many=True)


class AcceptManySerializer(serializers.Serializer):
    procedures = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=100)


class RefusedSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    code = serializers.CharField()
    detail = serializers.CharField()
    found = serializers.CharField()
    todo = serializers.CharField()


class BatchResultSerializer(serializers.Serializer):
    accepted = ProcedureSerializer(many=True)
    refused = RefusedSerializer(many=True)


class ProtocolPickSerializer(serializers.Serializer):
    protocol = serializers.CharField()
    contrast_decision = serializers.CharField()
    contrast = serializers.CharField()
    times = serializers.IntegerField(help_text="How often it was chosen of late; 0 is the catalogue's own.")


class ProtocolPicksSerializer(serializers.Serializer):
    last = ProcedureSerializer(allow_null=True, help_text="The same patient's last exam of this kind.")
    picks = ProtocolPickSerializer(many=True)


class CatalogueLineSerializer(serializers.Serializer):
    number = serializers.IntegerField(help_text="Of the line; the column names stand in line 1.")
    code = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=["new", "changed", "unchanged", "wrong"])
    changes = serializers.SerializerMethodField(help_text="Column: before and after.")
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))

    @extend_schema_field(serializers.DictField(child=serializers.ListField(child=serializers.CharField())))
    def get_changes(self, line: Any) -> dict[str, list[str]]:
        return {column: [before, after] for column, before, after in line.changes}


class CataloguePreviewSerializer(serializers.Serializer):
    results = CatalogueLineSerializer(many=True)
