"""REST: what is agreed with HL7 senders, what their codes mean, and the codes that wait for a meaning."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.hl7 import agreements, maps, selectors, selectors_in
from interop.models import (
    CodeAlias,
    Hl7Destination,
    Hl7Sender,
    RetiredIdentifier,
    ReversedMerge,
    TakenResults,
    UnknownSurvivor,
    UnmappedCode,
)
from orders.models import CatalogueProcedure, Laterality
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import InvalidData

POLICIES = ("unknown_survivor", "reversed_merge", "retired_identifier", "taken_results", "may_overbook")


class TableField(serializers.DictField):
    """Names are checked as their values are: neither may hold what the database cannot keep."""

    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        found = super().to_internal_value(data)
        name = serializers.CharField(max_length=199)
        return {name.run_validation(key): value for key, value in found.items()}


def _actions(**kwargs: Any) -> TableField:
    words = '{"XO|CM": "note"}: ORC-1|ORC-5, and one of ' + ", ".join(maps.ACTION_WORDS)
    return TableField(child=serializers.CharField(max_length=20), help_text=words, **kwargs)


def _sources(**kwargs: Any) -> TableField:
    places = serializers.ListField(child=serializers.CharField(max_length=40), max_length=20)
    words = '{"accession_number": ["IPC-1", "OBR-18"]}; fields: ' + ", ".join(maps.FIELDS)
    return TableField(child=places, help_text=words, **kwargs)


def _values(**kwargs: Any) -> TableField:
    rows = TableField(child=serializers.CharField(max_length=64))
    words = '{"sex": {"W": "F"}}; tables: ' + ", ".join(maps.VALUES)
    return TableField(child=rows, help_text=words, **kwargs)


class SenderSerializer(serializers.ModelSerializer):
    """The tables hold what differs from the house's own, which docs/hl7.md lists."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    order_actions = _actions(read_only=True)
    field_sources = _sources(read_only=True)
    value_maps = _values(read_only=True)
    answers_to = serializers.UUIDField(
        source="answers_to.uuid", read_only=True, allow_null=True, default=None,
        help_text="The HL7 destination that application acknowledgements go to.",
    )  # fmt: skip

    class Meta:
        model = Hl7Sender
        fields = (
            "id", "application", "facility_name", "issuer", "order_actions", "field_sources", "value_maps", *POLICIES,
            "answers_to", "version",
        )  # fmt: skip
        read_only_fields = fields


class SenderInputSerializer(serializers.Serializer):
    """Empty names mean everybody who has no agreement of its own. What is left out stays, or gets its default."""

    application = serializers.CharField(max_length=180, required=False, allow_blank=True, help_text="MSH-3")
    facility_name = serializers.CharField(max_length=180, required=False, allow_blank=True, help_text="MSH-4")
    issuer = serializers.CharField(max_length=64, required=False, allow_blank=True, help_text="Where CX.4 is empty.")
    order_actions = _actions(required=False)
    field_sources = _sources(required=False)
    value_maps = _values(required=False)
    unknown_survivor = serializers.ChoiceField(choices=UnknownSurvivor.choices, required=False)
    reversed_merge = serializers.ChoiceField(choices=ReversedMerge.choices, required=False)
    retired_identifier = serializers.ChoiceField(choices=RetiredIdentifier.choices, required=False)
    taken_results = serializers.ChoiceField(choices=TakenResults.choices, required=False)
    may_overbook = serializers.BooleanField(required=False)
    answers_to = serializers.UUIDField(required=False, allow_null=True, help_text="A destination; null: the line.")


class SenderViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """How the messages of one MSH-3 and MSH-4 are understood."""

    queryset = Hl7Sender.objects.none()
    serializer_class = SenderSerializer
    serializer_classes = {"create": SenderInputSerializer, "partial_update": SenderInputSerializer}
    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "create": perms.MANAGE_INTERFACES,
        "partial_update": perms.MANAGE_INTERFACES,
    }

    def get_queryset(self) -> QuerySet[Hl7Sender]:
        return selectors_in.senders(actor=self.actor)

    def _with_destination(self, data: dict[str, Any]) -> dict[str, Any]:
        if data.get("answers_to") is None:
            return data
        found = selectors.destinations(actor=self.actor).filter(uuid=data["answers_to"], fhir_server__isnull=True)
        destination: Hl7Destination | None = found.first()
        if destination is None:
            words = _("There is no such destination.")
            raise InvalidData(_("The agreement was not saved."), errors={"answers_to": [words]})
        return {**data, "answers_to": destination}

    def service_create(self, data: dict[str, Any]) -> Hl7Sender:
        return agreements.save_sender(**self._with_destination(data), actor=self.actor)

    def service_change(self, sender: Hl7Sender, data: dict[str, Any]) -> Hl7Sender:
        return agreements.save_sender(sender, **self._with_destination(data), actor=self.actor)

    @extend_schema(request=SenderInputSerializer, responses={201: SenderSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Agree something with a sender. 409 where there is an agreement: change that one."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=SenderInputSerializer(partial=True), responses=SenderSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what is given; a table is given whole."""
        return super().partial_update(request, *args, **kwargs)


class AliasSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    application = serializers.CharField(source="sender.application", read_only=True)
    facility = serializers.CharField(source="sender.facility_name", read_only=True)
    exam = serializers.CharField(source="procedure.code", read_only=True, help_text="Its code in the catalogue.")

    class Meta:
        model = CodeAlias
        fields = ("id", "application", "facility", "scheme", "code", "exam", "laterality", "is_active", "created_at")
        read_only_fields = fields


class AliasInputSerializer(serializers.Serializer):
    application = serializers.CharField(max_length=180, allow_blank=True, help_text="MSH-3")
    facility = serializers.CharField(max_length=180, required=False, allow_blank=True, help_text="MSH-4")
    scheme = serializers.CharField(max_length=64, required=False, allow_blank=True, help_text="OBR-4.3")
    code = serializers.CharField(max_length=199, help_text="OBR-4.1")
    exam = serializers.CharField(max_length=64, help_text="A code of the catalogue.")
    laterality = serializers.ChoiceField(choices=Laterality.choices, required=False, allow_blank=True)


class MappedSerializer(serializers.Serializer):
    alias = AliasSerializer()
    went_on = serializers.IntegerField(help_text="Exams that had waited for this and go on.")
    still_waiting = serializers.IntegerField(help_text="Exams whose side a person must say first.")


class AliasFilter(filters.FilterSet):
    application = filters.CharFilter(field_name="sender__application", max_length=180)
    code = filters.CharFilter(max_length=199)

    class Meta:
        model = CodeAlias
        fields: list[str] = []


class AliasViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """What senders' own codes mean in the catalogue: said once, remembered."""

    queryset = CodeAlias.objects.none()
    serializer_class = AliasSerializer
    serializer_classes = {"create": AliasInputSerializer}
    filterset_class = AliasFilter
    permission_codes = dict.fromkeys(("list", "retrieve", "create", "forget"), perms.MAP_CODES)

    def get_queryset(self) -> QuerySet[CodeAlias]:
        return selectors_in.aliases(actor=self.actor)

    @extend_schema(request=AliasInputSerializer, responses={201: MappedSerializer})
    def create(self, request: Request) -> Response:
        """Say what a code means. The exams that waited for it go on."""
        data = self.validated()
        exam: CatalogueProcedure | None = selectors_in.exams().filter(code=data["exam"]).first()
        if exam is None:
            words = _("The catalogue does not know this code.")
            raise InvalidData(_("The code was not mapped."), errors={"exam": [words]}, todo=_("Name an exam in use."))
        alias, went_on, still = agreements.map_code(**{**data, "exam": exam}, actor=self.actor)
        done = MappedSerializer({"alias": alias, "went_on": went_on, "still_waiting": still}).data
        return Response(done, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=AliasSerializer)
    @action(detail=True, methods=["post"])
    def forget(self, request: Request, uuid: str | None = None) -> Response:
        """The next order with this code waits again; what was mapped before stays."""
        return self.answer(agreements.forget_code(self.get_object(), actor=self.actor))


class UnmappedCodeSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    application = serializers.CharField(source="sending_application", read_only=True)
    facility = serializers.CharField(source="sending_facility", read_only=True)
    procedure = serializers.UUIDField(source="procedure.uuid", read_only=True)
    accession_number = serializers.CharField(source="procedure.accession_number", read_only=True)
    message = serializers.UUIDField(source="message.uuid", read_only=True)

    class Meta:
        model = UnmappedCode
        fields = (
            "id", "application", "facility", "scheme", "code", "meaning", "procedure", "accession_number", "message",
            "since",
        )  # fmt: skip
        read_only_fields = fields


class UnmappedCodeFilter(filters.FilterSet):
    application = filters.CharFilter(field_name="sending_application", max_length=180)
    code = filters.CharFilter(max_length=199)

    class Meta:
        model = UnmappedCode
        fields: list[str] = []


class UnmappedCodeViewSet(ListMixin, FacilityViewSet):
    """Exams that wait for the meaning of the code under which they were ordered; map it at ``hl7-code-aliases``."""

    queryset = UnmappedCode.objects.none()
    serializer_class = UnmappedCodeSerializer
    filterset_class = UnmappedCodeFilter
    permission_codes = {"list": perms.MAP_CODES}

    def get_queryset(self) -> QuerySet[UnmappedCode]:
        return selectors_in.unmapped(actor=self.actor).select_related("message", "procedure__order__patient")
