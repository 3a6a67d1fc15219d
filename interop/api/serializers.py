"""Messages, destinations and receivers as REST shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from interop.models import Hl7Destination, InboundMessage, OutboundMessage


class MessageSerializer(serializers.Serializer):
    """One message of either direction. ``raw`` is shown in the answer of one message, to who may open it."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    direction = serializers.SerializerMethodField()
    protocol = serializers.CharField(read_only=True)
    message_type = serializers.CharField(read_only=True)
    control_id = serializers.CharField(read_only=True)
    partner = serializers.SerializerMethodField(help_text="The destination's name, or MSH-3|MSH-4 of the sender.")
    status = serializers.CharField(read_only=True)
    acknowledgement_code = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    attempts = serializers.SerializerMethodField()
    patient = serializers.UUIDField(read_only=True, allow_null=True)
    accession_number = serializers.CharField(read_only=True)
    created_at = serializers.SerializerMethodField()
    finished_at = serializers.SerializerMethodField()
    raw = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ChoiceField(choices=["in", "out"]))
    def get_direction(self, row: InboundMessage | OutboundMessage) -> str:
        return "out" if isinstance(row, OutboundMessage) else "in"

    def get_partner(self, row: InboundMessage | OutboundMessage) -> str:
        if isinstance(row, OutboundMessage):
            return row.destination.name
        return f"{row.sending_application}|{row.sending_facility}"

    def get_acknowledgement_code(self, row: InboundMessage | OutboundMessage) -> str:
        if isinstance(row, OutboundMessage):
            return "AA" if row.acknowledged_at else row.last_error[:2] if row.last_error[:2] in ("AE", "AR") else ""
        return row.acknowledgement_code

    def get_error(self, row: InboundMessage | OutboundMessage) -> str:
        return row.last_error if isinstance(row, OutboundMessage) else row.error

    def get_attempts(self, row: InboundMessage | OutboundMessage) -> int:
        return row.attempts if isinstance(row, OutboundMessage) else 1

    @extend_schema_field(serializers.DateTimeField())
    def get_created_at(self, row: InboundMessage | OutboundMessage) -> Any:
        moment = row.created_at if isinstance(row, OutboundMessage) else row.received_at
        return serializers.DateTimeField().to_representation(moment)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_finished_at(self, row: InboundMessage | OutboundMessage) -> Any:
        moment = row.acknowledged_at if isinstance(row, OutboundMessage) else row.processed_at
        return serializers.DateTimeField().to_representation(moment) if moment else None

    def get_raw(self, row: InboundMessage | OutboundMessage) -> str | None:
        """Decoded for reading; segments end with a carriage return, as on the wire."""
        return self.context.get("raw")


class ParkSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")


class DestinationSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)

    class Meta:
        model = Hl7Destination
        fields = (
            "id", "name", "host", "port", "uses_tls", "messages", "receiving_application", "receiving_facility",
            "hl7_version", "character_set", "includes_pdf", "ack_timeout_seconds", "is_paused", "is_active",
        )  # fmt: skip
        read_only_fields = fields


class ReceiverSerializer(serializers.Serializer):
    port = serializers.IntegerField(read_only=True, allow_null=True)
    receiving_application = serializers.CharField(read_only=True)
    receiving_facility = serializers.CharField(read_only=True)
    allowed_addresses = serializers.ListField(child=serializers.CharField(), read_only=True)
    require_tls = serializers.BooleanField(read_only=True)
    is_active = serializers.BooleanField(read_only=True)
