"""What belongs to one patient's record over REST: alerts that end, identifiers, visits, and who may see it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders import permissions as perms
from orders import services
from orders.api import serializers as shapes
from orders.api.support import of_this_facility
from orders.models import PatientAlert, PatientIdentifier, PatientUserObjectPermission, Visit
from orders.services.patients import record_visit, retire_identifier
from ris.accounts.models import User


class EndAlertSerializer(serializers.Serializer):
    alert = serializers.UUIDField()
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class RetireIdentifierSerializer(serializers.Serializer):
    value = serializers.CharField(max_length=64)
    issuer = serializers.CharField(max_length=64)


class RestrictSerializer(serializers.Serializer):
    is_restricted = serializers.BooleanField()
    reason = serializers.CharField(max_length=200)


class PersonSerializer(serializers.Serializer):
    user = serializers.UUIDField(help_text="The person's id.")


class GrantSerializer(serializers.Serializer):
    user = serializers.UUIDField(source="user.uuid")
    name = serializers.CharField(source="user.display_name")


class AccessSerializer(serializers.Serializer):
    is_restricted = serializers.BooleanField()
    people = GrantSerializer(many=True)


class PatientVisitSerializer(serializers.ModelSerializer):
    id = shapes.uuid_of("uuid")

    class Meta:
        model = Visit
        fields = ("id", "visit_number", "issuer", "patient_class", "location", "admitted_at", "discharged_at")
        read_only_fields = fields


class VisitInputSerializer(serializers.Serializer):
    visit_number = serializers.CharField(max_length=64)
    issuer = serializers.CharField(max_length=64, required=False, allow_blank=True)
    patient_class = serializers.ChoiceField(choices=["E", "I", "O"], required=False)
    location = serializers.CharField(max_length=100, required=False, allow_blank=True)
    admitted_at = serializers.DateTimeField(required=False, allow_null=True)
    discharged_at = serializers.DateTimeField(required=False, allow_null=True)


class PatientVisitsSerializer(serializers.Serializer):
    results = PatientVisitSerializer(many=True)


class RecordActions:
    """Mixed into the resource ``patients``."""

    record_codes = {
        "end_alert": perms.UPDATE_PATIENT,
        "retire_identifier": perms.UPDATE_PATIENT,
        "visits": perms.VIEW_PATIENT,
        "record_visit": perms.UPDATE_PATIENT,
        "access": perms.RESTRICT_PATIENT,
        "restrict": perms.RESTRICT_PATIENT,
        "give_access": perms.RESTRICT_PATIENT,
        "take_access": perms.RESTRICT_PATIENT,
    }
    record_shapes = {
        "end_alert": EndAlertSerializer,
        "retire_identifier": RetireIdentifierSerializer,
        "record_visit": VisitInputSerializer,
        "restrict": RestrictSerializer,
        "give_access": PersonSerializer,
        "take_access": PersonSerializer,
    }

    @extend_schema(request=EndAlertSerializer, responses=shapes.AlertSerializer)
    @action(detail=True, methods=["post"], url_path="end-alert")
    def end_alert(self: Any, request: Request, uuid: str | None = None) -> Response:
        """What the alert warned of is over; the alert stays in the history."""
        patient, data = self.get_object(), self.validated()
        alert = of_this_facility(PatientAlert.objects.filter(patient=patient), "alert", uuid=data["alert"])
        ended = services.end_alert(alert, reason=data["reason"], actor=self.actor)
        return Response(shapes.AlertSerializer(ended).data)

    @extend_schema(request=RetireIdentifierSerializer, responses=shapes.PatientSerializer)
    @action(detail=True, methods=["post"], url_path="retire-identifier")
    def retire_identifier(self: Any, request: Request, uuid: str | None = None) -> Response:
        """The number is found by no more; it stays known as an old one."""
        patient, data = self.get_object(), self.validated()
        identifier = of_this_facility(PatientIdentifier.objects.filter(patient=patient), "identifier", **data)
        retire_identifier(identifier, actor=self.actor)
        return self.answer(self.get_queryset().get(pk=patient.pk))

    @extend_schema(responses=PatientVisitsSerializer)
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def visits(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Stays and calls of the patient, newest first."""
        patient = self.get_object()
        self.audit_read(patient, page="visits")
        return Response(PatientVisitsSerializer({"results": patient.visits.order_by("-pk")[:200]}).data)

    @extend_schema(request=VisitInputSerializer, responses={201: PatientVisitSerializer})
    @action(detail=True, methods=["post"], url_path="record-visit")
    def record_visit(self: Any, request: Request, uuid: str | None = None) -> Response:
        """A stay or a call; the same number of the same issuer is the same visit."""
        visit = record_visit(self.get_object(), **self.validated(), actor=self.actor)
        return Response(PatientVisitSerializer(visit).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=AccessSerializer)
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def access(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Whether the record is restricted, and to whom it is open then."""
        patient = self.get_object()
        self.audit_read(patient, page="access")
        return self._access(patient)

    @extend_schema(request=RestrictSerializer, responses=AccessSerializer)
    @action(detail=True, methods=["post"])
    def restrict(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Close the record to all but named people, or open it again."""
        return self._access(services.set_restricted(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=PersonSerializer, responses=AccessSerializer)
    @action(detail=True, methods=["post"], url_path="give-access")
    def give_access(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Let one person see a restricted record."""
        patient = self.get_object()
        return self._access(services.grant_access(patient, user=self._person(), actor=self.actor))

    @extend_schema(request=PersonSerializer, responses=AccessSerializer)
    @action(detail=True, methods=["post"], url_path="take-access")
    def take_access(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Take that away again."""
        patient = self.get_object()
        return self._access(services.withdraw_access(patient, user=self._person(), actor=self.actor))

    def _person(self: Any) -> User:
        people = User.objects.filter(is_active=True, is_service=False)
        return of_this_facility(people, "user", uuid=self.validated()["user"])

    def _access(self: Any, patient: Any) -> Response:
        grants = PatientUserObjectPermission.objects.filter(content_object=patient).select_related("user")
        told = {"is_restricted": patient.is_restricted, "people": grants.order_by("pk")}
        return Response(AccessSerializer(told).data)
