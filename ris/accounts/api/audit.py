"""The resource ``audit-events``."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin
from ris.audit.models import Action, AuditEvent, Outcome
from ris.audit.selectors import events_for, search_events


class AuditEventSerializer(serializers.ModelSerializer):
    class Meta:
        model = AuditEvent
        fields = (
            "uuid",
            "recorded_at",
            "event_type",
            "action",
            "outcome",
            "source",
            "user",
            "user_name",
            "ae_title",
            "address",
            "patient",
            "patients",
            "entity_type",
            "entity",
            "accession_number",
            "reason",
            "detail",
            "correlation_id",
        )
        read_only_fields = fields


class AuditFilterSerializer(serializers.Serializer):
    event_type = serializers.CharField(required=False, max_length=100, help_text="A beginning: orders. or orders.view")
    patient = serializers.UUIDField(required=False)
    entity = serializers.UUIDField(required=False)
    action = serializers.ChoiceField(Action.choices, required=False)
    outcome = serializers.ChoiceField(Outcome.choices, required=False)
    source = serializers.CharField(required=False, max_length=20)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)


class AuditSearchSerializer(AuditFilterSerializer):
    user_name = serializers.CharField(required=False, max_length=150)
    accession_number = serializers.CharField(required=False, max_length=16)
    correlation_id = serializers.CharField(required=False, max_length=64)


class AuditEventViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """The audit trail, newest first. Identifiers are searched for by POST to ``search/``."""

    queryset = AuditEvent.objects.none()
    serializer_class = AuditEventSerializer
    serializer_classes = {"search": AuditSearchSerializer}
    permission_codes = {
        "list": "audit.view_event",
        "retrieve": "audit.view_event",
        "search": "audit.view_event",
    }
    filter_backends = ()

    def get_queryset(self) -> QuerySet[AuditEvent]:
        if self.action != "list":
            return events_for(self.actor)
        filters = AuditFilterSerializer(data={key: value for key, value in self.request.query_params.items() if value})
        filters.is_valid(raise_exception=True)
        return search_events(filters.validated_data, actor=self.actor)

    @extend_schema(parameters=[AuditFilterSerializer])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(request=AuditSearchSerializer, responses=AuditEventSerializer(many=True))
    @action(detail=False, methods=["post"])
    def search(self, request: Request) -> Response:
        """The same with identifiers in the body."""
        page = self.paginate_queryset(search_events(self.validated(), actor=self.actor))
        self.audit_read(page)
        return self.get_paginated_response(AuditEventSerializer(page, many=True).data)
