"""Identity over REST: the unidentified, links, what came after a merge, the syntax of identifiers."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders import permissions as perms
from orders import selectors, services
from orders.api import serializers as shapes
from orders.api.support import of_this_facility
from orders.models import IdentifierIssuer, Patient, PatientLink, PatientMerge, Sex
from orders.side_by_side import compare
from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin
from ris.audit.service import record_read

MOVABLE = ("order", "document", "alert", "visit", "identifier")


class EmergencySerializer(serializers.Serializer):
    sex = serializers.ChoiceField(choices=Sex.choices, default=Sex.UNKNOWN)
    estimated_age = serializers.IntegerField(min_value=0, max_value=130, required=False, allow_null=True, default=None)


class IdentifySerializer(shapes.PatientChangeSerializer):
    """Who it is. What is not said is not known: no name of the alias stays."""

    reason = serializers.CharField(max_length=150, help_text="How it was found out.")

    class Meta(shapes.PatientChangeSerializer.Meta):
        fields = tuple(
            name for name in shapes.PatientChangeSerializer.Meta.fields if name not in ("identity_is_unverified",)
        )
        extra_kwargs = {"family_name": {"required": True}}


class OtherSerializer(serializers.Serializer):
    other = serializers.UUIDField(help_text="The other record.")


class LinkRequestSerializer(OtherSerializer):
    reason = serializers.CharField(max_length=200)


@extend_schema_serializer(component_name="PatientLink")
class LinkSerializer(serializers.ModelSerializer):
    id = shapes.uuid_of("uuid")
    patients = serializers.SerializerMethodField(help_text="The two records; both stay in use.")

    class Meta:
        model = PatientLink
        fields = ("id", "patients", "reason", "source", "linked_at", "ended_at")
        read_only_fields = fields

    def get_patients(self, link: PatientLink) -> list[str]:
        return [str(link.first.uuid), str(link.second.uuid)]


@extend_schema_serializer(component_name="IdentityReason")
class ReasonSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class ComparedSerializer(serializers.Serializer):
    what = serializers.CharField(source="label")
    survivor = serializers.CharField(source="left")
    loser = serializers.CharField(source="right")
    is_same = serializers.BooleanField()


class PreviewSerializer(serializers.Serializer):
    """What a merge would bring together, nothing is changed."""

    rows = ComparedSerializer(many=True)


class LaterRowSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=MOVABLE)
    id = serializers.UUIDField()
    text = serializers.CharField()


class LaterSerializer(serializers.Serializer):
    results = LaterRowSerializer(many=True)


class GiveSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=MOVABLE)
    id = serializers.UUIDField()
    reason = serializers.CharField(max_length=200)


class IssuerSerializer(serializers.ModelSerializer):
    id = shapes.uuid_of("uuid")

    class Meta:
        model = IdentifierIssuer
        fields = ("id", "issuer", "type", "name", "syntax", "check_digit", "example", "is_active")
        read_only_fields = fields


class IdentityActions:
    """Of ``PatientViewSet``: the unidentified, previews of merges, links."""

    identity_codes = {
        "emergency": perms.REGISTER_PATIENT,
        "identify": perms.UPDATE_PATIENT,
        "merge_preview": perms.MERGE_PATIENTS,
        "link": perms.MERGE_PATIENTS,
    }
    identity_shapes = {
        "emergency": EmergencySerializer,
        "identify": IdentifySerializer,
        "merge_preview": OtherSerializer,
        "link": LinkRequestSerializer,
    }

    @extend_schema(
        request=EmergencySerializer,
        responses={201: shapes.PatientSerializer},
        filters=False,
        examples=[OpenApiExample("Nothing is known", value={}, request_only=True)],
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def emergency(self: Any, request: Request) -> Response:
        """Register somebody unidentified: an alias and a temporary number are given; nothing needs to be sent."""
        patient = services.register_emergency(**self.validated(), actor=self.actor)
        return Response(shapes.PatientSerializer(patient).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=IdentifySerializer, responses=shapes.PatientSerializer)
    @action(detail=True, methods=["post"])
    def identify(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Give an unidentified patient the name; somebody registered before is merged instead."""
        patient = services.identify_patient(self.get_object(), **self.validated(), actor=self.actor)
        return Response(shapes.PatientSerializer(patient).data)

    @extend_schema(request=OtherSerializer, responses=PreviewSerializer)
    @action(detail=True, methods=["post"], url_path="merge-preview")
    def merge_preview(self: Any, request: Request, uuid: str | None = None) -> Response:
        """This record and the other one side by side, before they are merged."""
        patient = self.get_object()
        other = self.other_patient(self.validated()["other"])
        record_read(self.actor, perms.MERGE_PATIENTS, patients=[patient.uuid, other.uuid])
        return Response(PreviewSerializer({"rows": compare(patient, other)}).data)

    @extend_schema(request=LinkRequestSerializer, responses=LinkSerializer)
    @action(detail=True, methods=["post"])
    def link(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Say that another record is the same person and stays in use; repeating it changes nothing."""
        patient = self.get_object()
        data = self.validated()
        other = self.other_patient(data["other"])
        link = services.link_patients(patient=patient, other=other, reason=data["reason"], actor=self.actor)
        return Response(LinkSerializer(link).data)

    def other_patient(self: Any, uuid: Any) -> Patient:
        return of_this_facility(selectors.all_patients(actor=self.actor), "other", uuid=uuid)


class AfterMergeActions:
    """Of ``MergeViewSet``: what came after, and whose it is."""

    after_codes = {"later": perms.MERGE_PATIENTS, "give": perms.MERGE_PATIENTS}
    after_shapes = {"give": GiveSerializer}

    @extend_schema(responses=LaterSerializer, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def later(self: Any, request: Request, uuid: str | None = None) -> Response:
        """What the surviving record was given while the merge held; an undoing leaves it there."""
        merge: PatientMerge = self.get_object()
        found = selectors.rows_after_merge(merge)
        rows = [{"kind": kind, "id": row.uuid, "text": str(row)} for kind in MOVABLE for row in found[f"{kind}s"]]
        record_read(self.actor, perms.MERGE_PATIENTS, entity=merge, detail={"rows": len(rows)})
        return Response(LaterSerializer({"results": rows}).data)

    @extend_schema(request=GiveSerializer, responses=shapes.MergeSerializer)
    @action(detail=True, methods=["post"])
    def give(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Give one of those rows to the record that stands alone again."""
        merge: PatientMerge = self.get_object()
        data = self.validated()
        services.give_after_unmerge(merge, kind=data["kind"], row=data["id"], reason=data["reason"], actor=self.actor)
        return self.answer(merge)


class LinkViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Two records of one person that both stay in use."""

    queryset = PatientLink.objects.none()
    serializer_class = LinkSerializer
    serializer_classes = {"undo": ReasonSerializer}
    permission_codes = {
        "list": perms.MERGE_PATIENTS,
        "retrieve": perms.MERGE_PATIENTS,
        "undo": perms.MERGE_PATIENTS,
    }

    def get_queryset(self) -> QuerySet[PatientLink]:
        return selectors.links(actor=self.actor)

    @extend_schema(request=ReasonSerializer, responses=LinkSerializer)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, uuid: str | None = None) -> Response:
        """They are two people after all."""
        return self.answer(services.unlink_patients(self.get_object(), **self.validated(), actor=self.actor))


class IssuerViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """What identifiers of an issuer look like; kept in the administration."""

    queryset = IdentifierIssuer.objects.none()
    serializer_class = IssuerSerializer
    permission_codes = {"list": perms.VIEW_PATIENT, "retrieve": perms.VIEW_PATIENT}

    def get_queryset(self) -> QuerySet[IdentifierIssuer]:
        return IdentifierIssuer.objects.all()
