"""REST: sources, their runs and rows. Credentials go in and never come out."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.models import RowState, Source, SourceRow, SourceRun
from interop.sources import selectors, services
from interop.sources.importing import import_sources
from interop.sources.plugin import plugins
from interop.sources.secrets import secrets_of
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin

RUN_COUNTS = ("read", "created", "updated", "cancelled", "rejected", "kept")


class RuleSerializer(serializers.Serializer):
    """One rule of the mapping; the keys are told in docs/sources.md."""

    target = serializers.CharField(max_length=40)
    source = serializers.CharField(max_length=300, required=False)
    template = serializers.CharField(max_length=300, required=False)
    pattern = serializers.CharField(max_length=300, required=False)
    group = serializers.IntegerField(min_value=0, max_value=99, required=False)
    keeps_unmatched = serializers.BooleanField(required=False)
    values = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)
    default = serializers.CharField(max_length=300, required=False)
    format = serializers.CharField(max_length=300, required=False)
    note = serializers.CharField(max_length=300, required=False)


class SourceSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    state = serializers.SerializerMethodField(help_text="In words, as the page shows it.")
    credentials = serializers.SerializerMethodField(help_text="Which of them are kept.")
    config = serializers.DictField(read_only=True)
    mapping = RuleSerializer(many=True, read_only=True)

    class Meta:
        model = Source
        fields = (
            "id", "name", "kind", "is_active", "state", "config", "credentials", "mapping", "interval_seconds",
            "opens_at", "closes_at", "time_zone", "time_limit_seconds", "alert_after", "reserves_room", "synced_until",
            "next_run_at", "running_since", "last_run_at", "last_success_at", "failures", "last_error",
        )  # fmt: skip
        read_only_fields = fields

    def get_state(self, row: Source) -> str:
        return selectors.look_of(row)[2]

    def get_credentials(self, row: Source) -> list[str]:
        return sorted(secrets_of(row))


class SourceWriteSerializer(serializers.Serializer):
    name = serializers.SlugField(max_length=48)
    kind = serializers.ChoiceField(choices=[])
    is_active = serializers.BooleanField(required=False)
    config = serializers.DictField(required=False, help_text="The plug-in's settings by their names.")
    secrets = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=300), required=False, write_only=True,
        help_text="Kept encrypted. What is left out or empty stays as it is.",
    )  # fmt: skip
    mapping = RuleSerializer(many=True, required=False)
    interval_seconds = serializers.IntegerField(min_value=15, max_value=86400, required=False)
    opens_at = serializers.TimeField(required=False)
    closes_at = serializers.TimeField(required=False)
    time_zone = serializers.CharField(max_length=64, required=False, allow_blank=True)
    time_limit_seconds = serializers.IntegerField(min_value=5, max_value=3600, required=False)
    alert_after = serializers.IntegerField(min_value=1, max_value=1000, required=False)
    reserves_room = serializers.BooleanField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(code, str(plugin.label)) for code, plugin in sorted(plugins().items())]


class SourceChangeSerializer(SourceWriteSerializer):
    """The kind of a source stays what it is."""

    kind = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        serializers.Serializer.__init__(self, *args, **kwargs)


class SourceRunSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    source = serializers.UUIDField(source="source.uuid", read_only=True)

    class Meta:
        model = SourceRun
        fields = (
            "id", "source", "trigger", "asked_by", "state", "started_at", "finished_at", "read_from", "read_until",
            "repeats", *RUN_COUNTS, "error", "error_code",
        )  # fmt: skip
        read_only_fields = fields


class SourceRowSerializer(serializers.ModelSerializer):
    """Without what tells of the patient: that is read as the patient, the order or the step."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    number = serializers.SerializerMethodField(help_text="The number there, masked.")
    reasons = serializers.DictField(child=serializers.CharField(), read_only=True)
    procedure = serializers.UUIDField(source="procedure.uuid", read_only=True, allow_null=True)
    accession_number = serializers.CharField(read_only=True)

    class Meta:
        model = SourceRow
        fields = (
            "id", "number", "state", "reasons", "procedure", "accession_number", "starts_at", "first_seen_at",
            "changed_at", "tries", "retry_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_number(self, row: SourceRow) -> str:
        return selectors.masked_id(row.external_id)


class SyncSerializer(serializers.Serializer):
    accepts_gone = serializers.BooleanField(
        default=False, help_text="Entries that vanished all at once may be cancelled."
    )
    since = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="Read again all that has changed since then."
    )
    everything = serializers.BooleanField(default=False, help_text="Read again everything there is.")


class PreviewSerializer(serializers.Serializer):
    everything = serializers.BooleanField(default=False, help_text="As if nothing had been read yet.")
    rows = serializers.IntegerField(min_value=1, max_value=services.PREVIEW_ROWS, default=services.PREVIEW_ROWS)


class ChangeLineSerializer(serializers.Serializer):
    field = serializers.CharField()
    before = serializers.CharField(allow_blank=True)
    after = serializers.CharField(allow_blank=True)


class OutcomeSerializer(serializers.Serializer):
    number = serializers.CharField()
    what = serializers.ChoiceField(choices=["created", "updated", "cancelled", "rejected", "kept"])
    accession_number = serializers.CharField(allow_blank=True)
    changes = ChangeLineSerializer(many=True)
    reasons = serializers.DictField(child=serializers.CharField())


class SourcePreviewAnswerSerializer(serializers.Serializer):
    read = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    is_cut = serializers.BooleanField(help_text="There is more than was looked at.")
    rows = OutcomeSerializer(many=True)


class TestAnswerSerializer(serializers.Serializer):
    fields_there = serializers.ListField(child=serializers.CharField())


class ImportSerializer(serializers.Serializer):
    document = serializers.DictField(help_text="An export of ours, or a configuration of Pylantir.")
    replaces = serializers.BooleanField(default=False, help_text="Change sources that have the same name.")


class ImportedSerializer(serializers.Serializer):
    source = SourceSerializer()
    is_new = serializers.BooleanField()
    notes = serializers.ListField(child=serializers.CharField())


class SourceViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Systems that are asked for worklist entries: REDCap, Calpendo, and what plug-ins bring."""

    queryset = Source.objects.none()
    serializer_class = SourceSerializer
    serializer_classes = {
        "create": SourceWriteSerializer,
        "partial_update": SourceChangeSerializer,
        "sync": SyncSerializer,
        "preview": PreviewSerializer,
        "import_document": ImportSerializer,
    }
    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "create": perms.MANAGE_INTERFACES,
        "partial_update": perms.MANAGE_INTERFACES,
        "sync": perms.REPLAY_MESSAGE,
        "preview": perms.REPLAY_MESSAGE,
        "test": perms.MANAGE_INTERFACES,
        "export": perms.MANAGE_INTERFACES,
        "import_document": perms.MANAGE_INTERFACES,
        "runs": perms.VIEW_INTERFACES,
        "rows": perms.VIEW_INTERFACES,
    }

    def get_queryset(self) -> QuerySet[Source]:
        return selectors.sources(actor=self.actor).defer(None)

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return queryset

    @extend_schema(request=SourceWriteSerializer, responses={201: SourceSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Keep a new source. Without its credentials it is kept switched off."""
        return super().create(request, *args, **kwargs)

    def service_create(self, data: dict[str, Any]) -> Source:
        return services.save_source(**data, actor=self.actor)

    @extend_schema(request=SourceChangeSerializer, responses=SourceSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what is given."""
        return super().partial_update(request, *args, **kwargs)

    def service_change(self, row: Source, data: dict[str, Any]) -> Source:
        return services.save_source(row, **data, actor=self.actor)

    @extend_schema(request=SyncSerializer, responses={202: SourceSerializer})
    @action(detail=True, methods=["post"])
    def sync(self, request: Request, uuid: str | None = None) -> Response:
        """Let it run at once; the run shows among ``runs``. 409 while it is being read already."""
        row, data = self.get_object(), self.validated()
        if data["everything"] or data["since"] is not None:
            row = services.read_again(row, since=data["since"], actor=self.actor)
        else:
            row = services.sync_now(row, accepts_gone=data["accepts_gone"], actor=self.actor)
        return self.answer(row, status.HTTP_202_ACCEPTED)

    @extend_schema(request=PreviewSerializer, responses=SourcePreviewAnswerSerializer)
    @action(detail=True, methods=["post"])
    def preview(self, request: Request, uuid: str | None = None) -> Response:
        """What a run would change now; nothing is kept. Patient data only for who may open messages."""
        row, data = self.get_object(), self.validated()
        seen = services.preview(row, everything=data["everything"], rows=data["rows"], actor=self.actor)
        opened = self.actor.may(perms.VIEW_MESSAGE)
        answer = {
            "read": seen.read,
            "unchanged": seen.unchanged,
            "is_cut": seen.is_cut,
            "rows": [
                {
                    "number": one.external_id if opened else selectors.masked_id(one.external_id),
                    "what": one.what,
                    "accession_number": one.accession_number,
                    "changes": [
                        {
                            "field": change.name,
                            "before": selectors.plain(change.name, change.before, opened=opened),
                            "after": selectors.plain(change.name, change.after, opened=opened),
                        }
                        for change in one.changes
                    ],
                    "reasons": dict(one.reasons),
                }
                for one in seen.outcomes
            ],
        }
        return Response(answer)

    @extend_schema(request=None, responses=TestAnswerSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, uuid: str | None = None) -> Response:
        """Ask it for something small: the names of its fields. 502 with what it said when it cannot be read."""
        return Response({"fields_there": services.test_source(self.get_object(), actor=self.actor)})

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True, methods=["get"])
    def export(self, request: Request, uuid: str | None = None) -> Response:
        """All that makes it but its credentials, as ``import`` takes it."""
        return Response(services.export_source(self.get_object(), actor=self.actor))

    @extend_schema(request=ImportSerializer, responses={201: ImportedSerializer(many=True)})
    @action(detail=False, methods=["post"], url_path="import", pagination_class=None)
    def import_document(self, request: Request) -> Response:
        """Sources out of a document: an export of ours, or Pylantir's ``data_sources`` or ``redcap2wl``."""
        data = self.validated()
        done = import_sources(data["document"], replaces=data["replaces"], actor=self.actor)
        return Response(ImportedSerializer(done, many=True).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=SourceRunSerializer(many=True))
    @action(detail=True, methods=["get"], serializer_class=SourceRunSerializer)
    def runs(self, request: Request, uuid: str | None = None) -> Response:
        """The newest first; runs in which nothing was new are one row with ``repeats``."""
        page = self.paginate_queryset(selectors.runs(actor=self.actor, source=self.get_object()))
        return self.get_paginated_response(SourceRunSerializer(page, many=True).data)

    @extend_schema(
        parameters=[OpenApiParameter("state", str, enum=RowState.values)], responses=SourceRowSerializer(many=True)
    )
    @action(detail=True, methods=["get"], serializer_class=SourceRowSerializer)
    def rows(self, request: Request, uuid: str | None = None) -> Response:
        """What became of each row there; ``state=rejected`` with the reasons."""
        state = request.query_params.get("state", "")
        if state and state not in RowState.values:
            raise ValidationError({"state": [f"One of: {', '.join(RowState.values)}."]})
        page = self.paginate_queryset(selectors.rows(actor=self.actor, source=self.get_object(), state=state))
        self.audit_read(page)
        return self.get_paginated_response(SourceRowSerializer(page, many=True).data)


class SourceRowViewSet(RetrieveMixin, FacilityViewSet):
    """One row of a source."""

    queryset = SourceRow.objects.none()
    serializer_class = SourceRowSerializer
    permission_codes = {"retrieve": perms.VIEW_INTERFACES, "again": perms.REPLAY_MESSAGE}

    def get_queryset(self) -> QuerySet[SourceRow]:
        return selectors.rows(actor=self.actor)

    @extend_schema(request=None, responses={202: SourceRowSerializer})
    @action(detail=True, methods=["post"])
    def again(self, request: Request, uuid: str | None = None) -> Response:
        """Read a rejected row anew with the next run, which comes at once."""
        row = services.try_row_again(self.get_object(), actor=self.actor)
        return self.answer(row, status.HTTP_202_ACCEPTED)
