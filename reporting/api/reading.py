"""``/api/v1/reading-list/`` and what orders it: saved lists, report times, groups, readers."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders.models import CatalogueProcedure, Modality, PatientClass, Priority, RequestedProcedure
from reporting import permissions as perms
from reporting import selectors, services
from reporting.api import serializers as shapes
from reporting.models import Assigns, ReadingGroup, ReadingReturn, ReturnReason, SavedList, SlaTarget
from reporting.selectors.reading_filters import ReadingFilter
from reporting.services.reading_groups import set_group
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import Site, User
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.api import CursorPagination
from ris.core.errors import InvalidData, NotKnown


class DueFirst(CursorPagination):
    ordering = ("due_at", "id")


LIST_PARAMETERS = [
    OpenApiParameter(name, str, many=True, description=words)
    for name, words in (
        ("modality", "CT, MR, ..."),
        ("priority", "stat, asap, urgent, routine"),
        ("status", "ready_to_read, reading, preliminary"),
        ("site", "Code of the site."),
        ("group", "Code of the reading group."),
        ("region", "Body region as the catalogue names it."),
        ("patient_class", "O, I, E"),
    )
] + [
    OpenApiParameter("reader", str, enum=["me", "free", "draft"], description="In whose hands it is."),
    OpenApiParameter("assigned", str, enum=["me", "group", "nobody", "suits"], description="For whom it is."),
    OpenApiParameter("age", str, enum=["child", "adult"], description="Below 16, or not."),
    OpenApiParameter("due", str, enum=["over", "soon"], description="Over time, or due within an hour."),
]


class FilterSerializer(serializers.Serializer):
    """The filters of the list; what is not named narrows nothing."""

    modality = serializers.ListField(child=serializers.ChoiceField(choices=Modality.choices), required=False)
    priority = serializers.ListField(child=serializers.ChoiceField(choices=Priority.choices), required=False)
    patient_class = serializers.ListField(child=serializers.ChoiceField(choices=PatientClass.choices), required=False)
    status = serializers.ListField(child=serializers.CharField(max_length=16), required=False)
    site = serializers.ListField(child=serializers.CharField(max_length=40), required=False)
    region = serializers.ListField(child=serializers.CharField(max_length=40), required=False)
    group = serializers.ListField(child=serializers.CharField(max_length=40), required=False)
    reader = serializers.ChoiceField(choices=["me", "free", "draft"], required=False)
    assigned = serializers.ChoiceField(choices=["me", "group", "nobody", "suits"], required=False)
    age = serializers.ChoiceField(choices=["child", "adult"], required=False)
    due = serializers.ChoiceField(choices=["over", "soon"], required=False)
    sort = serializers.CharField(max_length=16, required=False)


class NextSerializer(serializers.Serializer):
    filters = FilterSerializer(required=False)


class WhomSerializer(serializers.Serializer):
    """A reader, or a group, or neither: then nobody."""

    user = serializers.UUIDField(required=False, allow_null=True)
    group = serializers.SlugField(required=False, allow_blank=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        return whom(data)


def whom(data: dict[str, Any]) -> dict[str, Any]:
    """``user`` and ``group`` as rows, under the names that the services take."""
    user, group = data.pop("user", None), data.pop("group", "")
    data["to"] = User.objects.filter(uuid=user, is_active=True).first() if user else None
    data["group"] = ReadingGroup.objects.filter(code=group, is_active=True).first() if group else None
    if (user and data["to"] is None) or (group and data["group"] is None):
        raise InvalidData("There is no such reader or group.", errors={"user" if user else "group": ["Not known."]})
    return data


class SendBackSerializer(serializers.Serializer):
    reason = serializers.ChoiceField(choices=ReturnReason.choices)
    text = serializers.CharField(max_length=400)


class ReturnSerializer(serializers.ModelSerializer):
    """An exam that a reader sent back. ``closed_at``: when it came back to the list."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    procedure = serializers.UUIDField(source="procedure.uuid", read_only=True)
    sent_by = serializers.UUIDField(source="sent_by.uuid", read_only=True)

    class Meta:
        model = ReadingReturn
        fields = ("id", "procedure", "accession_number", "reason", "text", "sent_by", "sent_at", "closed_at")
        read_only_fields = fields


class WhySerializer(serializers.Serializer):
    accession_number = serializers.CharField(max_length=16)
    filters = FilterSerializer(required=False)


class ReasonSerializer(serializers.Serializer):
    """``code`` for programs, ``words`` for people."""

    code = serializers.CharField()
    words = serializers.CharField()
    is_listed = serializers.BooleanField()
    hidden_by = serializers.ListField(child=serializers.CharField())
    procedure = serializers.UUIDField(source="procedure.uuid", default=None, allow_null=True)


class ReadingBatchSerializer(WhomSerializer):
    procedures = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=100)
    verb = serializers.ChoiceField(choices=["assign", "claim", "release", "priority"])
    priority = serializers.ChoiceField(choices=Priority.choices, required=False, default="")


class ReadingOutcomeSerializer(serializers.Serializer):
    procedure = serializers.UUIDField(source="procedure.uuid")
    accession_number = serializers.CharField(source="procedure.accession_number")
    is_done = serializers.BooleanField()
    refusal = serializers.CharField()


class ReadingRowSerializer(shapes.ReadingRowSerializer):
    """With the group it falls to, and for whom it is."""

    group = serializers.SerializerMethodField()
    assigned_to = serializers.SerializerMethodField()

    class Meta(shapes.ReadingRowSerializer.Meta):
        fields = (*shapes.ReadingRowSerializer.Meta.fields, "group", "assigned_to")
        read_only_fields = fields

    @extend_schema_field(serializers.SlugField(allow_null=True))
    def get_group(self, row: Any) -> str | None:
        place = getattr(row, "reading_item", None)
        return place.group.code if place is not None and place.group is not None else None

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_assigned_to(self, row: Any) -> str | None:
        place = getattr(row, "reading_item", None)
        return str(place.assigned_to.uuid) if place is not None and place.assigned_to is not None else None


class ReadingListViewSet(ListMixin, FacilityViewSet):
    """What waits to be read, due first. An action is named by the exam's (the procedure's) UUID."""

    queryset = RequestedProcedure.objects.none()
    serializer_class = ReadingRowSerializer
    serializer_classes = {
        "claim": shapes.NothingSerializer,
        "release": shapes.NothingSerializer,
        "ask": shapes.NothingSerializer,
        "assign": WhomSerializer,
        "send_back": SendBackSerializer,
        "next": NextSerializer,
        "why": WhySerializer,
        "batch": ReadingBatchSerializer,
    }
    pagination_class = DueFirst
    filter_backends: list[Any] = []
    permission_codes = {
        "list": perms.VIEW_READING_LIST,
        "claim": perms.CLAIM_PROCEDURE,
        "release": perms.CLAIM_PROCEDURE,
        "ask": perms.CLAIM_PROCEDURE,
        "assign": perms.ASSIGN_READING,
        "send_back": perms.SEND_BACK,
        "next": perms.CLAIM_PROCEDURE,
        "why": perms.VIEW_READING_LIST,
        "batch": perms.CLAIM_PROCEDURE,
    }

    def get_queryset(self) -> Any:
        query = self.request.query_params if self.request else {}
        return selectors.reading_list(actor=self.actor, filters=ReadingFilter.from_query(query))

    def _exam(self, uuid: str | None) -> RequestedProcedure:
        rows = RequestedProcedure.objects.visible_to(self.actor).select_related("order__patient")
        found = rows.filter(uuid=uuid).first()
        if found is None:
            raise NotKnown("There is no such object in this facility.")
        return found

    def _shown(self, procedure: RequestedProcedure) -> Response:
        row = selectors.reading_list(actor=self.actor).filter(pk=procedure.pk).get()
        return Response(ReadingRowSerializer(row).data)

    @extend_schema(
        parameters=[
            *LIST_PARAMETERS,
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="304 when nothing changed."),
        ]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """With an ETag; asked again with If-None-Match it answers 304 until something changes."""
        filters = ReadingFilter.from_query(request.query_params)
        cursor = request.query_params.get("cursor", "")[:80]
        etag = f'"{selectors.fingerprint(actor=self.actor, filters=filters)}-{cursor}"'
        if request.headers.get("If-None-Match") == etag:
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
        response = super().list(request, *args, **kwargs)
        response["ETag"] = etag
        return response

    @extend_schema(request=shapes.NothingSerializer, responses=ReadingRowSerializer)
    @action(detail=True, methods=["post"])
    def claim(self, request: Request, uuid: str | None = None) -> Response:
        """Mine to read: on my list, and nobody else's next."""
        return self._shown(services.claim_exam(self._exam(uuid), actor=self.actor))

    @extend_schema(request=shapes.NothingSerializer, responses=ReadingRowSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, uuid: str | None = None) -> Response:
        """Back to the list; a draft stays."""
        return self._shown(services.release_exam(self._exam(uuid), actor=self.actor))

    @extend_schema(request=shapes.NothingSerializer, responses=ReadingRowSerializer)
    @action(detail=True, methods=["post"])
    def ask(self, request: Request, uuid: str | None = None) -> Response:
        """Tell whoever has it open that somebody waits."""
        return self._shown(services.ask_to_release(self._exam(uuid), actor=self.actor))

    @extend_schema(request=WhomSerializer, responses=ReadingRowSerializer)
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, uuid: str | None = None) -> Response:
        """To a reader or a group; neither takes it back."""
        exam = self._exam(uuid)
        return self._shown(services.assign_exam(exam, **self.validated(), actor=self.actor))

    @extend_schema(request=SendBackSerializer, responses=ReturnSerializer)
    @action(detail=True, methods=["post"], url_path="send-back")
    def send_back(self, request: Request, uuid: str | None = None) -> Response:
        """To the technologist: it returns when it is completed anew."""
        exam = self._exam(uuid)
        return Response(ReturnSerializer(services.send_back(exam, **self.validated(), actor=self.actor)).data)

    @extend_schema(request=NextSerializer, responses=shapes.ReportSerializer)
    @action(detail=False, methods=["post"])
    def next(self, request: Request) -> Response:
        """Open the most urgent exam that suits the caller and claim it; two who ask at once get different ones."""
        filters = ReadingFilter.from_query(self.validated().get("filters") or {})
        report = services.open_next(filters=filters, actor=self.actor)
        shown = selectors.reports(actor=self.actor).get(pk=report.pk)
        return Response(shapes.ReportSerializer(shown, context=self.get_serializer_context()).data)

    @extend_schema(request=WhySerializer, responses=ReasonSerializer)
    @action(detail=False, methods=["post"])
    def why(self, request: Request) -> Response:
        """Why is an exam not on the list? The exact reason, in words."""
        data = self.validated()
        filters = ReadingFilter.from_query(data.get("filters") or {})
        reason = selectors.why_not_here(data["accession_number"], actor=self.actor, filters=filters)
        record(
            self.actor,
            "reporting.why_not_here",
            Action.READ,
            entity=reason.procedure,
            detail={"reason": reason.code},
        )
        return Response(ReasonSerializer(reason).data)

    @extend_schema(request=ReadingBatchSerializer, responses=ReadingOutcomeSerializer(many=True))
    @action(detail=False, methods=["post"], pagination_class=None)
    def batch(self, request: Request) -> Response:
        """The same over several exams; the answer says of each what became of it."""
        data = self.validated()
        wanted = data.pop("procedures")
        rows = RequestedProcedure.objects.visible_to(self.actor).filter(uuid__in=wanted)
        found = {row.uuid: row for row in rows.select_related("order__patient")}
        if any(uuid not in found for uuid in wanted):
            raise InvalidData("A procedure is not known.", errors={"procedures": ["There is no such procedure here."]})
        outcomes = services.batch([found[uuid] for uuid in dict.fromkeys(wanted)], **data, actor=self.actor)
        return Response(ReadingOutcomeSerializer(outcomes, many=True).data)


# --- saved lists


class SavedListSerializer(serializers.ModelSerializer):
    """A filter under a name. ``is_own``: the caller may change it."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    filters = FilterSerializer(source="query")
    is_own = serializers.SerializerMethodField()
    count = serializers.SerializerMethodField()

    class Meta:
        model = SavedList
        fields = ("id", "name", "filters", "position", "is_shared", "role", "is_own", "count")
        read_only_fields = ("position", "is_shared", "role")

    def get_is_own(self, row: SavedList) -> bool:
        return row.owner_id is not None and row.owner_id == getattr(self.context["request"].user, "pk", None)

    @extend_schema_field(serializers.IntegerField(allow_null=True, help_text="Exams on it now; in lists only."))
    def get_count(self, row: SavedList) -> int | None:
        return getattr(row, "exams", None)


class ShareListSerializer(serializers.Serializer):
    is_shared = serializers.BooleanField()
    role = serializers.ChoiceField(choices=["", "radiologist", "resident"], required=False, default="")


class MoveListSerializer(serializers.Serializer):
    up = serializers.BooleanField()


class SavedListViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Lists of the reading page: one's own, those of one's roles, the shared ones; with how much they hold."""

    queryset = SavedList.objects.none()
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    serializer_class = SavedListSerializer
    serializer_classes = {"share": ShareListSerializer, "move": MoveListSerializer}
    permission_codes = {
        "list": perms.VIEW_READING_LIST,
        "retrieve": perms.VIEW_READING_LIST,
        "create": perms.VIEW_READING_LIST,
        "partial_update": perms.VIEW_READING_LIST,
        "destroy": perms.VIEW_READING_LIST,
        "move": perms.VIEW_READING_LIST,
        "share": perms.SHARE_LIST,
    }

    def get_queryset(self) -> QuerySet[SavedList]:
        return SavedList.objects.visible_to(self.actor)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.get_queryset())
        entries = {
            entry.saved.pk: number
            for entry, number in selectors.list_counts(selectors.saved_lists(actor=self.actor), actor=self.actor)
            if entry.saved is not None
        }
        for row in page:
            row.exams = entries.get(row.pk)
        self.audit_read(page)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def service_create(self, data: dict[str, Any]) -> SavedList:
        filters = ReadingFilter.from_query(data["query"])
        return services.save_list(name=data["name"], filters=filters, actor=self.actor)

    def service_change(self, row: SavedList, data: dict[str, Any]) -> SavedList:
        filters = ReadingFilter.from_query(data["query"]) if "query" in data else None
        return services.change_list(row, name=data.get("name"), filters=filters, actor=self.actor)

    @extend_schema(responses={204: OpenApiResponse(OpenApiTypes.NONE, description="Removed.")})
    def destroy(self, request: Request, uuid: str | None = None) -> Response:
        services.remove_list(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=ShareListSerializer, responses=SavedListSerializer)
    @action(detail=True, methods=["post"])
    def share(self, request: Request, uuid: str | None = None) -> Response:
        """With everybody who reads, with a role, or with nobody."""
        return self.answer(services.share_list(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=MoveListSerializer, responses=SavedListSerializer)
    @action(detail=True, methods=["post"])
    def move(self, request: Request, uuid: str | None = None) -> Response:
        """One place up or down."""
        return self.answer(services.move_list(self.get_object(), **self.validated(), actor=self.actor))


# --- what the administrator decides


class SlaTargetSerializer(serializers.ModelSerializer):
    """Minutes from complete images to the report; what is empty fits all, the most exact one counts."""

    id = serializers.UUIDField(source="uuid", read_only=True)

    class Meta:
        model = SlaTarget
        fields = ("id", "priority", "patient_class", "modality", "minutes", "is_active")
        validators: list[Any] = []
        extra_kwargs = {name: {"required": False} for name in ("priority", "patient_class", "modality", "is_active")}


class SlaTargetViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    queryset = SlaTarget.objects.none()
    http_method_names = ["get", "post", "patch", "head", "options"]
    serializer_class = SlaTargetSerializer
    permission_codes = dict.fromkeys(("list", "retrieve", "create", "partial_update"), perms.MANAGE_READING)

    def get_queryset(self) -> QuerySet[SlaTarget]:
        return SlaTarget.objects.all()

    def service_create(self, data: dict[str, Any]) -> SlaTarget:
        return services.set_sla_target(**data, actor=self.actor)

    def service_change(self, row: SlaTarget, data: dict[str, Any]) -> SlaTarget:
        names = ("priority", "patient_class", "modality", "minutes", "is_active")
        return services.set_sla_target(
            row, **{name: data.get(name, getattr(row, name)) for name in names}, actor=self.actor
        )


class ReadingGroupSerializer(serializers.ModelSerializer):
    """A subspecialty or team. An exam that ``catalogue`` names falls to it; else one that fits all filled rules."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    site = serializers.SlugRelatedField(slug_field="code", queryset=Site.objects.all(), required=False, allow_null=True)
    catalogue = serializers.SlugRelatedField(
        slug_field="code", queryset=CatalogueProcedure.objects.all(), many=True, required=False
    )
    members = serializers.SlugRelatedField(
        slug_field="uuid", queryset=User.objects.filter(is_service=False), many=True, required=False
    )
    assigns = serializers.ChoiceField(choices=Assigns.choices, required=False)

    class Meta:
        model = ReadingGroup
        fields = (
            "id", "code", "name", "position", "site", "modalities", "body_regions", "priorities", "patient_classes",
            "children_only", "catalogue", "members", "assigns", "is_active",
        )  # fmt: skip


class ReadingGroupViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    queryset = ReadingGroup.objects.none()
    http_method_names = ["get", "post", "patch", "head", "options"]
    serializer_class = ReadingGroupSerializer
    permission_codes = dict.fromkeys(("list", "retrieve", "create", "partial_update"), perms.MANAGE_READING)

    def get_queryset(self) -> QuerySet[ReadingGroup]:
        return ReadingGroup.objects.select_related("site").prefetch_related("catalogue", "members")

    def service_create(self, data: dict[str, Any]) -> ReadingGroup:
        return set_group(None, data, actor=self.actor)

    def service_change(self, row: ReadingGroup, data: dict[str, Any]) -> ReadingGroup:
        return set_group(row, data, actor=self.actor)
