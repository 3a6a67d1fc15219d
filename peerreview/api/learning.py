"""Peer learning by REST: submissions, the coordinator's cases, feedback to its author, conferences."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from peerreview import learning as selectors
from peerreview import permissions as perms
from peerreview import services
from peerreview.models import Conference, ConferenceEntry, LearningCase, LearningKind
from reporting.models import Report
from reporting.selectors.reports import reports
from ris.accounts.actors import actor_of
from ris.accounts.api.base import CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import NotKnown


class LearningCaseSerializer(serializers.ModelSerializer):
    """Who submitted it is told to nobody. Report, text and feedback are the coordinator's."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    report = serializers.UUIDField(source="report.uuid", read_only=True)
    submitted_on = serializers.DateTimeField(source="created_at", read_only=True)

    class Meta:
        model = LearningCase
        fields = [
            "id",
            "kind",
            "status",
            "title",
            "submitted_on",
            "declined_reason",
            "report",
            "note",
            "modality",
            "age_band",
            "sex",
            "question",
            "text",
            "discussion",
            "points",
            "read_at",
            "feedback",
            "feedback_at",
            "acknowledged_at",
        ]
        read_only_fields = fields

    def to_representation(self, instance: LearningCase) -> dict[str, Any]:
        shown = super().to_representation(instance)
        request = self.context.get("request")
        actor = actor_of(request) if request is not None else None
        is_own = actor is not None and actor.user is not None and actor.user.pk == instance.author_id
        if actor is None or is_own or not actor.may(perms.COORDINATE_LEARNING):
            return {name: value for name, value in shown.items() if name in FOR_SUBMITTERS}
        return shown


#: What whoever submitted a case reads of it
FOR_SUBMITTERS = ("id", "kind", "status", "title", "submitted_on", "declined_reason")


class SubmitSerializer(serializers.Serializer):
    report = serializers.SlugRelatedField(slug_field="uuid", queryset=Report.objects.all())
    kind = serializers.ChoiceField(choices=LearningKind.choices)
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=1000)


class PrepareSerializer(serializers.Serializer):
    title = serializers.CharField(required=False, max_length=120)
    kind = serializers.ChoiceField(choices=LearningKind.choices, required=False)
    question = serializers.CharField(required=False, allow_blank=True, max_length=20000)
    text = serializers.CharField(required=False, allow_blank=True, max_length=20000)
    discussion = serializers.CharField(required=False, allow_blank=True, max_length=20000)
    points = serializers.CharField(
        required=False, allow_blank=True, max_length=20000, help_text="Learning points, one on each line."
    )
    is_read = serializers.BooleanField(
        required=False, default=False, help_text="The caller has read all of it and nobody is named in it."
    )


class LearningReasonSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=300)


class LearningTextSerializer(serializers.Serializer):
    text = serializers.CharField(max_length=20000)


class StatisticsRowSerializer(serializers.Serializer):
    kind = serializers.CharField()
    numbers = serializers.ListField(child=serializers.IntegerField())
    total = serializers.IntegerField()


class StatisticsSerializer(serializers.Serializer):
    """The department's cases by kind and month; ``own``: feedback about the caller's own reports. Nobody is named."""

    months = serializers.ListField(child=serializers.DateField(), help_text="Their first days, oldest first.")
    rows = StatisticsRowSerializer(many=True)
    own = StatisticsRowSerializer(many=True)


class LearningCaseViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Cases to learn from: one's own submissions; for the coordinator all but those of their own reports."""

    queryset = LearningCase.objects.none()
    serializer_class = LearningCaseSerializer
    serializer_classes = {
        "create": SubmitSerializer,
        "prepare": PrepareSerializer,
        "decline": LearningReasonSerializer,
        "feedback": LearningTextSerializer,
    }
    permission_codes = {
        "list": perms.VIEW_LEARNING,
        "retrieve": perms.VIEW_LEARNING,
        "create": perms.SUBMIT_LEARNING,
        "prepare": perms.COORDINATE_LEARNING,
        "images": perms.COORDINATE_LEARNING,
        "decline": perms.COORDINATE_LEARNING,
        "feedback": perms.COORDINATE_LEARNING,
        "statistics": perms.VIEW_LEARNING,
    }

    def get_queryset(self):
        if self.action in ("prepare", "images", "decline", "feedback"):
            rows = selectors.to_prepare(actor=self.actor)
        else:
            rows = selectors.learning_cases(actor=self.actor)
        return rows.select_related("report")

    def _shown(self, case: LearningCase, code: int = status.HTTP_200_OK) -> Response:
        return Response(LearningCaseSerializer(case, context=self.get_serializer_context()).data, status=code)

    @extend_schema(request=SubmitSerializer, responses={201: LearningCaseSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Submit a signed report to learn from. Nobody is told who did."""
        data = self.validated()
        report = reports(actor=self.actor).filter(pk=data.pop("report").pk).first()
        if report is None:
            raise NotKnown(_("There is no such report."))
        return self._shown(services.submit_learning(report, **data, actor=self.actor), status.HTTP_201_CREATED)

    @extend_schema(request=PrepareSerializer, responses=LearningCaseSerializer)
    @action(detail=True, methods=["post"])
    def prepare(self, request: Request, uuid: str | None = None) -> Response:
        """Other words; with ``is_read`` the case is ready, unless something in it still tells whose it is."""
        return self._shown(services.prepare_learning(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=None, responses=LearningCaseSerializer)
    @action(detail=True, methods=["post"])
    def images(self, request: Request, uuid: str | None = None) -> Response:
        """Have the exam's images copied without names, as for a teaching case."""
        return self._shown(services.take_images(self.get_object(), actor=self.actor))

    @extend_schema(request=LearningReasonSerializer, responses=LearningCaseSerializer)
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, uuid: str | None = None) -> Response:
        """Not for a conference; whoever submitted it reads why."""
        return self._shown(services.decline_learning(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=LearningTextSerializer, responses=LearningCaseSerializer)
    @action(detail=True, methods=["post"])
    def feedback(self, request: Request, uuid: str | None = None) -> Response:
        """To the author alone, once."""
        return self._shown(services.give_feedback(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=None, responses=StatisticsSerializer)
    @action(detail=False, methods=["get"], pagination_class=None)
    def statistics(self, request: Request) -> Response:
        """Numbers by kind and month."""
        whole = selectors.statistics(actor=self.actor)
        own = selectors.statistics(actor=self.actor, own=True)
        names = ("kind", "numbers", "total")
        told = {
            "months": whole.months,
            "rows": [dict(zip(names, row, strict=True)) for row in whole.rows],
            "own": [dict(zip(names, row, strict=True)) for row in own.rows],
        }
        return Response(StatisticsSerializer(told).data)


class FeedbackSerializer(serializers.ModelSerializer):
    """For the author: what can be learned; never from whom it came."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    report = serializers.UUIDField(source="report.uuid", read_only=True)

    class Meta:
        model = LearningCase
        fields = ["id", "report", "title", "kind", "feedback", "feedback_at", "points", "acknowledged_at"]
        read_only_fields = fields


class LearningFeedbackViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Feedback about the caller's own reports."""

    queryset = LearningCase.objects.none()
    serializer_class = FeedbackSerializer
    permission_codes = {
        "list": perms.VIEW_LEARNING,
        "retrieve": perms.VIEW_LEARNING,
        "acknowledge": perms.VIEW_LEARNING,
    }

    def get_queryset(self):
        return selectors.feedback(actor=self.actor)

    @extend_schema(request=None, responses=FeedbackSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, uuid: str | None = None) -> Response:
        """The author has read it."""
        case = services.acknowledge_feedback(self.get_object(), actor=self.actor)
        return Response(FeedbackSerializer(case, context=self.get_serializer_context()).data)


class ConferenceEntrySerializer(serializers.ModelSerializer):
    """A case as everybody in the room sees it."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    title = serializers.CharField(source="case.title", read_only=True)
    kind = serializers.ChoiceField(source="case.kind", choices=LearningKind.choices, read_only=True)
    question = serializers.CharField(source="case.question", read_only=True)
    text = serializers.CharField(source="case.text", read_only=True)
    discussion = serializers.CharField(source="case.discussion", read_only=True)
    points = serializers.ListField(source="case.learning_points", child=serializers.CharField(), read_only=True)

    class Meta:
        model = ConferenceEntry
        fields = ["id", "position", "shown_at", "title", "kind", "question", "text", "discussion", "points"]
        read_only_fields = fields


class ConferenceSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    case_count = serializers.IntegerField(read_only=True, default=0)
    shown_count = serializers.IntegerField(read_only=True, default=0)

    class Meta:
        model = Conference
        fields = ["id", "title", "held_on", "place", "status", "case_count", "shown_count"]
        read_only_fields = ["status"]


class AddCaseSerializer(serializers.Serializer):
    case = serializers.SlugRelatedField(slug_field="uuid", queryset=LearningCase.objects.all())


class ConferenceActSerializer(serializers.Serializer):
    entry = serializers.SlugRelatedField(slug_field="uuid", queryset=ConferenceEntry.objects.all())


class ConferenceMoveSerializer(ConferenceActSerializer):
    up = serializers.BooleanField(help_text="Before the case above it; otherwise behind the one below.")


class TickSerializer(ConferenceActSerializer):
    shown = serializers.BooleanField()


class ConferenceViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Conferences that show learning cases."""

    queryset = Conference.objects.none()
    serializer_class = ConferenceSerializer
    serializer_classes = {
        "add": AddCaseSerializer,
        "move": ConferenceMoveSerializer,
        "tick": TickSerializer,
        "remove": ConferenceActSerializer,
    }
    permission_codes = {
        "list": perms.VIEW_LEARNING,
        "retrieve": perms.VIEW_LEARNING,
        "cases": perms.VIEW_LEARNING,
        "create": perms.COORDINATE_LEARNING,
        "partial_update": perms.COORDINATE_LEARNING,
        "add": perms.COORDINATE_LEARNING,
        "move": perms.COORDINATE_LEARNING,
        "tick": perms.COORDINATE_LEARNING,
        "remove": perms.COORDINATE_LEARNING,
        "hold": perms.COORDINATE_LEARNING,
        "cancel": perms.COORDINATE_LEARNING,
    }

    def get_queryset(self):
        return selectors.conferences(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> Conference:
        return services.plan_conference(**data, actor=self.actor)

    def _again(self, conference: Conference) -> Response:
        return self.answer(self.get_queryset().get(pk=conference.pk))

    def _cases(self, conference: Conference) -> Response:
        rows = selectors.entries(conference)
        return Response(ConferenceEntrySerializer(rows, many=True, context=self.get_serializer_context()).data)

    def _entry(self, conference: Conference) -> tuple[ConferenceEntry, dict[str, Any]]:
        data = self.validated()
        entry = data.pop("entry")
        if entry.conference_id != conference.pk:
            raise NotKnown(_("The conference does not list this case."))
        return entry, data

    @extend_schema(request=ConferenceSerializer, responses=ConferenceSerializer)
    def partial_update(self, request: Request, uuid: str | None = None) -> Response:
        """Another title, day or place, as long as it was not held."""
        conference = self.get_object()
        serializer = ConferenceSerializer(conference, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        return self._again(
            services.change_conference(conference, **serializer.validated_data, actor=self.actor),
        )

    @extend_schema(responses=ConferenceEntrySerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def cases(self, request: Request, uuid: str | None = None) -> Response:
        """What it lists, in order, de-identified."""
        return self._cases(self.get_object())

    @extend_schema(request=AddCaseSerializer, responses=ConferenceEntrySerializer(many=True))
    @action(detail=True, methods=["post"])
    def add(self, request: Request, uuid: str | None = None) -> Response:
        """Put a case that is ready at the end of the list."""
        conference, wanted = self.get_object(), self.validated()["case"]
        case = selectors.to_prepare(actor=self.actor).filter(pk=wanted.pk).first()
        if case is None:
            raise NotKnown(_("There is no such case."))
        services.add_to_conference(conference, case=case, actor=self.actor)
        return self._cases(conference)

    @extend_schema(request=ConferenceMoveSerializer, responses=ConferenceEntrySerializer(many=True))
    @action(detail=True, methods=["post"])
    def move(self, request: Request, uuid: str | None = None) -> Response:
        """Swap a case with its neighbour."""
        conference = self.get_object()
        entry, data = self._entry(conference)
        services.move_entry(entry, **data, actor=self.actor)
        return self._cases(conference)

    @extend_schema(request=TickSerializer, responses=ConferenceEntrySerializer(many=True))
    @action(detail=True, methods=["post"])
    def tick(self, request: Request, uuid: str | None = None) -> Response:
        """Note that a case was shown, or was not."""
        conference = self.get_object()
        entry, data = self._entry(conference)
        services.tick_entry(entry, **data, actor=self.actor)
        return self._cases(conference)

    @extend_schema(request=ConferenceActSerializer, responses=ConferenceEntrySerializer(many=True))
    @action(detail=True, methods=["post"])
    def remove(self, request: Request, uuid: str | None = None) -> Response:
        """Take a case off the list; it stays ready for another conference."""
        conference = self.get_object()
        entry, _data = self._entry(conference)
        services.remove_entry(entry, actor=self.actor)
        return self._cases(conference)

    @extend_schema(request=None, responses=ConferenceSerializer)
    @action(detail=True, methods=["post"])
    def hold(self, request: Request, uuid: str | None = None) -> Response:
        """It took place."""
        return self._again(services.hold_conference(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=ConferenceSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uuid: str | None = None) -> Response:
        """It is called off."""
        return self._again(services.cancel_conference(self.get_object(), actor=self.actor))
