"""``/api/v1/reconciliations/``: evidence moved, split, merged; who decided it, why; undo. And candidates in words."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.api.schedule import procedure_named
from worklist.api.serializers import uuid_of
from worklist.models import ExceptionItem, ImagingStudy, Reconciliation
from worklist.services.reconciliation_scoring import Said, candidates, search


class FactSerializer(serializers.Serializer):
    """One thing that scanner and order both say something about."""

    key = serializers.CharField()
    verdict = serializers.ChoiceField(choices=("same", "near", "differs", "unknown"))
    words = serializers.CharField()
    sent = serializers.CharField()
    ordered = serializers.CharField()
    points = serializers.FloatField()


class ReconciliationCandidateSerializer(serializers.Serializer):
    """An exam that images or a performed step may belong to."""

    procedure = serializers.UUIDField(source="procedure.uuid")
    accession_number = serializers.CharField(source="procedure.accession_number")
    score = serializers.FloatField(help_text="0 to 1.")
    is_certain = serializers.BooleanField(help_text="One clear match: it links itself.")
    is_another_patient = serializers.BooleanField()
    facts = FactSerializer(many=True)


class CandidateSearchSerializer(serializers.Serializer):
    words = serializers.CharField(max_length=64, help_text="A name, an identifier or an accession number.")


class ReconciliationSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    study = uuid_of("study.uuid", allow_null=True)
    performed_step = uuid_of("performed_step.uuid", allow_null=True)
    source = uuid_of("source.uuid", allow_null=True)
    target = uuid_of("target.uuid", allow_null=True)
    done_by = uuid_of("done_by.uuid", allow_null=True)
    undone_by = uuid_of("undone_by.uuid", allow_null=True)
    is_automatic = serializers.BooleanField(read_only=True)

    class Meta:
        model = Reconciliation
        fields = (
            "id",
            "kind",
            "study",
            "performed_step",
            "source",
            "target",
            "reason",
            "score",
            "is_automatic",
            "done_at",
            "done_by",
            "undone_at",
            "undone_by",
            "undo_reason",
        )
        read_only_fields = fields


class MoveSerializer(serializers.Serializer):
    source = serializers.UUIDField(help_text="The exam whose worklist entry was chosen.")
    target = serializers.UUIDField(help_text="The exam that was really done.")
    reason = serializers.CharField(max_length=200)


class SplitSerializer(serializers.Serializer):
    study = serializers.UUIDField()
    series = serializers.ListField(child=serializers.CharField(max_length=64), help_text="Series Instance UIDs.")
    target = serializers.UUIDField(required=False, help_text="Whose they are; without it they wait for a person.")
    reason = serializers.CharField(max_length=200)


class MergeSerializer(serializers.Serializer):
    study = serializers.UUIDField()
    into = serializers.UUIDField(help_text="The study that stays.")
    reason = serializers.CharField(max_length=200)


class ReconciliationUndoSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class ReconciliationViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """What people (or a clear match) decided about evidence. Each act can be undone."""

    queryset = Reconciliation.objects.none()
    serializer_class = ReconciliationSerializer
    serializer_classes = {
        "move": MoveSerializer,
        "split": SplitSerializer,
        "merge": MergeSerializer,
        "undo": ReconciliationUndoSerializer,
    }
    permission_codes = dict.fromkeys(("list", "retrieve", "move", "split", "merge", "undo"), perms.RESOLVE_EXCEPTION)

    def get_queryset(self) -> QuerySet[Reconciliation]:
        return selectors.reconciliations(actor=self.actor)

    @extend_schema(request=MoveSerializer, responses=ReconciliationSerializer)
    @action(detail=False, methods=["post"])
    def move(self, request: Request) -> Response:
        """The wrong worklist entry was chosen: all evidence of one exam goes to another; the first waits again."""
        data = self.validated()
        source, target = (procedure_named(data[name], self) for name in ("source", "target"))
        return self.answer(services.move_evidence(source, target=target, reason=data["reason"], actor=self.actor), 201)

    @extend_schema(request=SplitSerializer, responses=ReconciliationSerializer)
    @action(detail=False, methods=["post"])
    def split(self, request: Request) -> Response:
        """Some series become a study of their own."""
        data = self.validated()
        target = procedure_named(data["target"], self) if data.get("target") else None
        study = self._study(data["study"])
        act = services.split_study(study, series=data["series"], target=target, reason=data["reason"], actor=self.actor)
        return self.answer(act, 201)

    @extend_schema(request=MergeSerializer, responses=ReconciliationSerializer)
    @action(detail=False, methods=["post"])
    def merge(self, request: Request) -> Response:
        """Two studies of one exam become one."""
        data = self.validated()
        study, into = self._study(data["study"]), self._study(data["into"])
        return self.answer(services.merge_studies(study, into=into, reason=data["reason"], actor=self.actor), 201)

    @extend_schema(request=ReconciliationUndoSerializer, responses=ReconciliationSerializer)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, uuid: str | None = None) -> Response:
        """Put back what it has moved."""
        return self.answer(
            services.undo_reconciliation(self.get_object(), reason=self.validated()["reason"], actor=self.actor)
        )

    def _study(self, uuid: Any) -> ImagingStudy:
        study = selectors.studies(actor=self.actor).filter(uuid=uuid).first()
        if study is None:
            raise NotKnown("There is no such study in this facility.")
        return study


class CandidatesMixin:
    """``candidates`` and ``search`` of an exception: a mixin, so that its viewset stays where it is."""

    @extend_schema(responses=ReconciliationCandidateSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def candidates(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Exams that it may belong to, best first, fact by fact."""
        said = _said(self.get_object())
        return self._answer_candidates(candidates(said, actor=self.actor) if said else [])

    @extend_schema(
        request=CandidateSearchSerializer, responses=ReconciliationCandidateSerializer(many=True), filters=False
    )
    @action(detail=True, methods=["post"], filterset_class=None, pagination_class=None)
    def search(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Other exams by what a person types; by POST, so that no name is in an address."""
        said, words = _said(self.get_object()), self.validated()["words"]
        return self._answer_candidates(search(said, words, actor=self.actor) if said else [])

    def _answer_candidates(self: Any, found: list[Any]) -> Response:
        self.audit_read([row.procedure for row in found], candidates=len(found))
        return Response(ReconciliationCandidateSerializer(found, many=True).data)


def _said(item: ExceptionItem) -> Said | None:
    thing = item.study or item.performed_step
    return Said.of(thing) if thing is not None else None
