"""REST: DICOM peers, the AE titles that may call us or be called, and what each may do."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.dicom.peers import FIELDS, RIGHTS, echo_peer, save_peer
from interop.models import DicomPeer
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import AlreadyExists


class PeerSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)

    class Meta:
        model = DicomPeer
        fields = ("id", "ae_title", *sorted(FIELDS), "version")
        read_only_fields = fields


class PeerInputSerializer(serializers.ModelSerializer):
    may = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(RIGHTS)),
        required=False,
        help_text="All that it may, in one: in place of the single fields may_…",
    )

    class Meta:
        model = DicomPeer
        fields = ("ae_title", "may", *sorted(FIELDS))


class PeerChangeSerializer(PeerInputSerializer):
    class Meta(PeerInputSerializer.Meta):
        fields = ("may", *sorted(FIELDS))


class EchoSerializer(serializers.Serializer):
    detail = serializers.CharField(help_text="What came of it, in words.")


class PeerFilter(filters.FilterSet):
    ae_title = filters.CharFilter(max_length=16)
    is_active = filters.BooleanFilter()

    class Meta:
        model = DicomPeer
        fields: list[str] = []


class PeerViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Who we speak DICOM with. One that is not to call any more is switched off, never deleted."""

    queryset = DicomPeer.objects.none()
    serializer_class = PeerSerializer
    serializer_classes = {"create": PeerInputSerializer, "partial_update": PeerChangeSerializer}
    filterset_class = PeerFilter
    ordering_fields = ("id", "ae_title")
    requires_if_match = ("partial_update",)
    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "create": perms.MANAGE_INTERFACES,
        "partial_update": perms.MANAGE_INTERFACES,
        "echo": perms.MANAGE_INTERFACES,
    }

    def get_queryset(self) -> QuerySet[DicomPeer]:
        return DicomPeer.objects.order_by("-pk")

    def service_create(self, data: dict[str, Any]) -> DicomPeer:
        if DicomPeer.objects.filter(ae_title=data["ae_title"]).exists():
            raise AlreadyExists("A peer has this AE title.", errors={"ae_title": ["Taken."]})
        return save_peer(**data, actor=self.actor)

    def service_change(self, peer: DicomPeer, data: dict[str, Any]) -> DicomPeer:
        return save_peer(ae_title=peer.ae_title, **data, actor=self.actor)

    @extend_schema(request=PeerInputSerializer, responses={201: PeerSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Let an AE title in, from its addresses and with its rights."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=PeerChangeSerializer(partial=True), responses=PeerSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """What is not named stays."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=None, responses=EchoSerializer)
    @action(detail=True, methods=["post"])
    def echo(self, request: Request, uuid: str | None = None) -> Response:
        """Call it with a C-ECHO and say what came of it."""
        return Response({"detail": echo_peer(self.get_object(), actor=self.actor)})
