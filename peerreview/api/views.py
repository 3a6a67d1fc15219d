from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from peerreview import permissions as perms
from peerreview import scorecards, selectors, services
from peerreview.api import serializers as shapes
from peerreview.api.tending import CaseTending, RoundTending
from peerreview.models import Discrepancy, ReviewCase, ReviewRound
from reporting.selectors.reports import reports
from ris.accounts.api.base import CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.services.sign_in import require_recent_authentication
from ris.core.errors import NotKnown


class ReviewRoundViewSet(RoundTending, ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Rounds of peer review."""

    queryset = ReviewRound.objects.none()
    serializer_class = shapes.RoundSerializer
    serializer_classes = {
        **RoundTending.tending_serializers,
        "launch": shapes.LaunchSerializer,
        "close": shapes.RoundCloseSerializer,
    }
    permission_codes = {
        **RoundTending.tending_codes,
        "list": perms.VIEW_ROUND,
        "retrieve": perms.VIEW_ROUND,
        "create": perms.MANAGE_ROUND,
        "preview": perms.MANAGE_ROUND,
        "launch": perms.MANAGE_ROUND,
        "close": perms.MANAGE_ROUND,
        "results": perms.MANAGE_ROUND,
        "scorecard": perms.VIEW_SCORECARD,
    }

    def get_queryset(self):
        return (
            selectors.rounds(actor=self.actor)
            .select_related("site")
            .prefetch_related("reviewers", "readers", "targets")
        )

    def service_create(self, data: dict[str, Any]) -> ReviewRound:
        return services.create_round(**data, actor=self.actor)

    def _again(self, review_round: ReviewRound) -> Response:
        return self.answer(self.get_queryset().get(pk=review_round.pk))

    @extend_schema(
        parameters=[OpenApiParameter("reader", UUID, description="A reader, for who manages rounds; oneself without.")],
        responses=shapes.ScorecardSerializer,
    )
    @action(detail=False, methods=["get"], pagination_class=None)
    def scorecard(self, request: Request) -> Response:
        """The numbers of one reader: one's own, or anybody's for who manages rounds."""
        people = {str(person.uuid): person for person in scorecards.readers(actor=self.actor)}
        wanted = request.query_params.get("reader") or str(getattr(self.actor.user, "uuid", ""))
        reader = self.actor.user if wanted == str(getattr(self.actor.user, "uuid", "")) else people.get(wanted)
        if reader is None:
            raise NotKnown(_("There is no such reader, or their numbers are not yours to see."))
        card = scorecards.scorecard(reader, actor=self.actor)
        self.audit_read(reader)
        return Response(shapes.ScorecardSerializer(card).data)

    @extend_schema(request=None, responses=shapes.RoundPreviewSerializer)
    @action(detail=True, methods=["get"])
    def preview(self, request: Request, uuid: str | None = None) -> Response:
        """What a launch would draw now, in numbers."""
        return Response(shapes.RoundPreviewSerializer(services.preview(self.get_object())).data)

    @extend_schema(request=shapes.LaunchSerializer, responses=shapes.RoundSerializer)
    @action(detail=True, methods=["post"])
    def launch(self, request: Request, uuid: str | None = None) -> Response:
        """Draw the sample and give the cases out."""
        return self._again(services.launch_round(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.RoundCloseSerializer, responses=shapes.RoundSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, uuid: str | None = None) -> Response:
        """Close a round whose cases are all decided; past its due date also without those that nobody scored."""
        return self._again(services.close_round(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=None, responses=shapes.ResultsSerializer)
    @action(detail=True, methods=["get"])
    def results(self, request: Request, uuid: str | None = None) -> Response:
        """Agreement with its interval, as a whole and by modality; how far the cases came."""
        review_round = self.get_object()
        told = {
            "agreement": selectors.agreement(review_round),
            "groups": selectors.agreement_by_modality(review_round),
            "funnel": selectors.funnel(review_round),
            "not_reviewed": review_round.not_reviewed_count,
        }
        return Response(shapes.ResultsSerializer(told).data)


class ReviewCaseViewSet(CaseTending, ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Cases: a reviewer's own and what waits for a third reader, blinded; all for the lead.

    POST reviews a report that no round asked for.
    """

    queryset = ReviewCase.objects.none()
    list_actions = ("list", "to_arbitrate")
    serializer_class = shapes.CaseSerializer
    serializer_classes = {
        "list": shapes.CaseRowSerializer,
        "to_arbitrate": shapes.CaseRowSerializer,
        "create": shapes.AdHocSerializer,
        "impression": shapes.ImpressionSerializer,
        "score": shapes.ScoreSerializer,
        "arbitrate": shapes.ArbitrationSerializer,
        "reassign": shapes.ReassignSerializer,
        **CaseTending.tending_serializers,
    }
    permission_codes = {
        **CaseTending.tending_codes,
        "list": perms.VIEW_ROUND,
        "retrieve": perms.VIEW_ROUND,
        "create": perms.SCORE_CASE,
        "impression": perms.SCORE_CASE,
        "score": perms.SCORE_CASE,
        "arbitrate": perms.ARBITRATE_CASE,
        "to_arbitrate": perms.ARBITRATE_CASE,
        "reassign": perms.MANAGE_ROUND,
    }

    def get_queryset(self):
        if self.action in ("arbitrate", "to_arbitrate"):
            return selectors.to_arbitrate(actor=self.actor)
        if self.action == "retrieve":
            return selectors.readable_cases(actor=self.actor)
        return selectors.cases(actor=self.actor)

    @extend_schema(request=None, responses=shapes.CaseRowSerializer(many=True))
    @action(detail=False, methods=["get"], url_path="to-arbitrate")
    def to_arbitrate(self, request: Request) -> Response:
        """Cases of others' reports that wait for a third reader; whoever is first decides."""
        return self.list(request)

    @extend_schema(request=shapes.AdHocSerializer, responses={201: shapes.CaseSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Review a report that no round asked for."""
        data = self.validated()
        report = reports(actor=self.actor).filter(pk=data.pop("report").pk).first()
        if report is None:
            raise NotKnown(_("There is no such report."))
        return self._shown(services.review_ad_hoc(report, **data, actor=self.actor), status.HTTP_201_CREATED)

    def _shown(self, case: ReviewCase, code: int = status.HTTP_200_OK) -> Response:
        return Response(shapes.CaseSerializer(case, context=self.get_serializer_context()).data, status=code)

    @extend_schema(request=shapes.ImpressionSerializer, responses=shapes.CaseSerializer)
    @action(detail=True, methods=["post"])
    def impression(self, request: Request, uuid: str | None = None) -> Response:
        """Double-blind: write down one's own impression; then the report is shown."""
        return self._shown(services.give_impression(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.ScoreSerializer, responses=shapes.CaseSerializer)
    @action(detail=True, methods=["post"])
    def score(self, request: Request, uuid: str | None = None) -> Response:
        """Give the reviewer's score, or a grade of the site's scale."""
        return self._shown(services.score_case(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.ArbitrationSerializer, responses=shapes.CaseSerializer)
    @action(detail=True, methods=["post"])
    def arbitrate(self, request: Request, uuid: str | None = None) -> Response:
        """Decide; what is upheld at 2b, 3a or 3b becomes a discrepancy, told to the author alone."""
        return self._shown(services.arbitrate_case(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.ReassignSerializer, responses=shapes.CaseSerializer)
    @action(detail=True, methods=["post"])
    def reassign(self, request: Request, uuid: str | None = None) -> Response:
        """Give a waiting case to another reviewer, with the reason."""
        return self._shown(services.reassign_case(self.get_object(), **self.validated(), actor=self.actor))


class DiscrepancyViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Upheld discrepancies: an author's own, all for the lead. Reviewer and arbiter are never named."""

    queryset = Discrepancy.objects.none()
    serializer_class = shapes.DiscrepancySerializer
    serializer_classes = {
        "addendum": shapes.AddendSerializer,
        "decline": shapes.DeclineSerializer,
        "resolve": shapes.ResolveSerializer,
    }
    permission_codes = {
        "list": perms.VIEW_ROUND,
        "retrieve": perms.VIEW_ROUND,
        "addendum": perms.ANSWER_DISCREPANCY,
        "decline": perms.ANSWER_DISCREPANCY,
        "resolve": perms.MANAGE_ROUND,
    }

    def get_queryset(self):
        return selectors.discrepancies(actor=self.actor)

    def _shown(self, row: Discrepancy) -> Response:
        return Response(shapes.DiscrepancySerializer(row, context=self.get_serializer_context()).data)

    @extend_schema(request=shapes.AddendSerializer, responses=shapes.DiscrepancySerializer)
    @action(detail=True, methods=["post"])
    def addendum(self, request: Request, uuid: str | None = None) -> Response:
        """The author adds to the report. Asks for recent authentication, as signing does."""
        discrepancy, data = self.get_object(), self.validated()
        require_recent_authentication(request, password=data["password"], otp_token=data["otp_token"])
        return self._shown(services.addend_discrepancy(discrepancy, text=data["text"], actor=self.actor))

    @extend_schema(request=shapes.DeclineSerializer, responses=shapes.DiscrepancySerializer)
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, uuid: str | None = None) -> Response:
        """The author lets the report stand and says why."""
        discrepancy = self.get_object()
        return self._shown(services.decline_discrepancy(discrepancy, **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.ResolveSerializer, responses=shapes.DiscrepancySerializer)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, uuid: str | None = None) -> Response:
        """How it ended, and its clinical impact."""
        return self._shown(services.resolve_discrepancy(self.get_object(), **self.validated(), actor=self.actor))
