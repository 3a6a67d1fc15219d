"""Messages, destinations and receivers as REST shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from interop.hl7.charsets import CODECS
from interop.hl7.outbound.envelope import VERSIONS
from interop.models import AcknowledgementMode, Hl7Destination, InboundMessage, OutboundMessage
from interop.models.messages import TestMessage


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
    messages = serializers.ListField(child=serializers.CharField(), read_only=True)
    field_map = serializers.ListField(child=serializers.DictField(), read_only=True)
    filters = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), read_only=True)
    order_states = serializers.DictField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Hl7Destination
        fields = (
            "id", "name", "host", "port", "uses_tls", "messages", "receiving_application", "receiving_facility",
            "hl7_version", "character_set", "includes_pdf", "one_message_per_exam", "acknowledgement_mode",
            "ack_timeout_seconds", "keeps_connection", "field_map", "filters", "order_states", "holds_behind_parked",
            "alert_after_minutes", "test_message", "is_paused", "paused_at", "paused_by", "paused_reason",
            "rests_until", "is_active", "version",
        )  # fmt: skip
        read_only_fields = fields


class DestinationInputSerializer(serializers.Serializer):
    """What is left out stays as it is, or gets its default in a new one."""

    name = serializers.SlugField(max_length=64, help_text="Stays once it is made.")
    host = serializers.CharField(max_length=255, help_text="On the facility's list of hosts.")
    port = serializers.IntegerField(min_value=1, max_value=65535)
    uses_tls = serializers.BooleanField(required=False)
    messages = serializers.ListField(
        child=serializers.CharField(max_length=16), allow_empty=False, help_text="ORU, SIU^S12, *"
    )
    receiving_application = serializers.CharField(max_length=64, required=False, allow_blank=True, help_text="MSH-5")
    receiving_facility = serializers.CharField(max_length=64, required=False, allow_blank=True, help_text="MSH-6")
    hl7_version = serializers.ChoiceField(choices=VERSIONS, required=False)
    character_set = serializers.ChoiceField(choices=sorted(CODECS), required=False, help_text="MSH-18")
    includes_pdf = serializers.BooleanField(required=False, help_text="Reports carry the PDF (OBX, ED).")
    one_message_per_exam = serializers.BooleanField(required=False)
    acknowledgement_mode = serializers.ChoiceField(choices=AcknowledgementMode.values, required=False)
    ack_timeout_seconds = serializers.IntegerField(min_value=1, max_value=300, required=False)
    keeps_connection = serializers.BooleanField(required=False)
    field_map = serializers.ListField(
        child=serializers.DictField(), required=False, help_text='{"field": "PID-3.4", "from": "KLM", "to": "KILIMA"}'
    )
    filters = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(max_length=64)), required=False,
        help_text='{"modality": ["CT", "MR"]}',
    )  # fmt: skip
    order_states = serializers.DictField(
        child=serializers.CharField(max_length=5, allow_blank=True), required=False, help_text='{"performed": "XO^CM"}'
    )
    holds_behind_parked = serializers.BooleanField(required=False)
    alert_after_minutes = serializers.IntegerField(min_value=0, max_value=10080, required=False, help_text="0: nobody")
    test_message = serializers.ChoiceField(
        choices=[value for value in TestMessage.values if value], required=False, allow_blank=True,
        help_text="What the test sends; empty: only the connection is tried.",
    )  # fmt: skip
    is_active = serializers.BooleanField(required=False)


class ReachedSerializer(serializers.Serializer):
    is_reached = serializers.BooleanField()
    words = serializers.CharField()


class ReplayRangeSerializer(serializers.Serializer):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    message_types = serializers.ListField(child=serializers.CharField(max_length=20), required=False, default=list)
    statuses = serializers.ListField(
        child=serializers.ChoiceField(choices=["acknowledged", "parked"]), required=False,
        default=["acknowledged", "parked"],
    )  # fmt: skip
    expected = serializers.IntegerField(min_value=0, required=False, help_text="The number that was counted.")
    reason = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")


class ReplayedSerializer(serializers.Serializer):
    count = serializers.IntegerField()
    queued = serializers.IntegerField()


class ReceiverSerializer(serializers.Serializer):
    port = serializers.IntegerField(read_only=True, allow_null=True)
    receiving_application = serializers.CharField(read_only=True)
    receiving_facility = serializers.CharField(read_only=True)
    allowed_addresses = serializers.ListField(child=serializers.CharField(), read_only=True)
    require_tls = serializers.BooleanField(read_only=True)
    is_active = serializers.BooleanField(read_only=True)
