"""What a running round and its cases can be asked by REST besides scoring; and the import of old scores."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from peerreview import permissions as perms
from peerreview import services
from peerreview.api.serializers import CaseSerializer, RoundSerializer
from peerreview.services.importing import MOST_ROWS


class DueSerializer(serializers.Serializer):
    due_on = serializers.DateField(allow_null=True)


class SwapSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class PlaceSerializer(serializers.Serializer):
    up = serializers.BooleanField(required=False, allow_null=True, default=None, help_text="Swap with its neighbour.")
    discussed = serializers.BooleanField(required=False, allow_null=True, default=None)


class ScoreImportSerializer(serializers.Serializer):
    table = serializers.CharField(
        max_length=2_000_000,
        trim_whitespace=False,
        help_text="CSV: accession_number, reviewer (user name), score, comment, scored_on. 4 counts as 3.",
    )
    name = serializers.CharField(max_length=100, help_text="Of the round that holds them.")
    without_letter = serializers.ChoiceField(
        choices=["a", "b"], required=False, allow_blank=True, default="", help_text="What a bare 2, 3 or 4 counts as."
    )
    preview = serializers.BooleanField(required=False, default=False, help_text="Say what would happen; keep nothing.")


class ImportedRowSerializer(serializers.Serializer):
    line = serializers.IntegerField()
    score = serializers.CharField(help_text="As it is kept; empty where it cannot be read.")
    problems = serializers.ListField(child=serializers.CharField())


class ImportAnswerSerializer(serializers.Serializer):
    round = serializers.UUIDField(allow_null=True, help_text="None after a preview.")
    imported = serializers.IntegerField()
    left_out = serializers.IntegerField()
    rows = ImportedRowSerializer(many=True, help_text=f"At most {MOST_ROWS}.")


class RoundTending:
    """Mixed into the rounds: due date, reminders, import."""

    tending_serializers = {"due": DueSerializer, "import_scores": ScoreImportSerializer}
    tending_codes = {"due": perms.MANAGE_ROUND, "remind": perms.MANAGE_ROUND, "import_scores": perms.MANAGE_ROUND}

    @extend_schema(request=DueSerializer, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def due(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Another due date; reviewers are reminded anew before it."""
        return self._again(services.change_due(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=None, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def remind(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Remind everybody whose cases wait: one message for each of them and day."""
        return self._again(services.remind_reviewers(self.get_object(), actor=self.actor))

    @extend_schema(request=ScoreImportSerializer, responses=ImportAnswerSerializer)
    @action(detail=False, methods=["post"], url_path="import", pagination_class=None)
    def import_scores(self: Any, request: Request) -> Response:
        """Scores of another system, as a closed round; lines with a problem are left out."""
        data = self.validated()
        asked = {"without_letter": data["without_letter"], "actor": self.actor}
        rows = services.read_scores(data["table"], **asked)
        kept = None if data["preview"] else services.import_scores(data["table"], name=data["name"], **asked)
        good = sum(row.is_good for row in rows)
        told = {"round": kept and kept.uuid, "imported": good, "left_out": len(rows) - good, "rows": rows}
        return Response(ImportAnswerSerializer(told).data)


class CaseTending:
    """Mixed into the cases: swap, and the order of a conference round."""

    tending_serializers = {"swap": SwapSerializer, "place": PlaceSerializer}
    tending_codes = {"swap": perms.VIEW_ROUND, "place": perms.VIEW_ROUND}

    @extend_schema(request=SwapSerializer, responses=CaseSerializer)
    @action(detail=True, methods=["post"])
    def swap(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Not my field: another report of the round takes its place."""
        return self._shown(services.swap_case(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=PlaceSerializer, responses=CaseSerializer)
    @action(detail=True, methods=["post"])
    def place(self: Any, request: Request, uuid: str | None = None) -> Response:
        """In a conference round: moved up or down, noted as discussed."""
        case, data = self.get_object(), self.validated()
        if data["up"] is not None:
            case = services.move_case(case, up=data["up"], actor=self.actor)
        if data["discussed"] is not None:
            case = services.tick_case(case, discussed=data["discussed"], actor=self.actor)
        return self._shown(case)
