from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from peerreview import permissions as perms
from peerreview import selectors, services
from peerreview.api.serializers import CaseSerializer, RoundSerializer, ScoreSerializer
from peerreview.models import ReviewCase, ReviewRound
from ris.accounts.api.base import CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin


class ReviewRoundViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Rounds of peer review."""

    queryset = ReviewRound.objects.none()
    serializer_class = RoundSerializer
    permission_codes = {
        "list": perms.VIEW_ROUND,
        "retrieve": perms.VIEW_ROUND,
        "create": perms.MANAGE_ROUND,
        "launch": perms.MANAGE_ROUND,
        "close": perms.MANAGE_ROUND,
    }

    def get_queryset(self):
        return selectors.rounds(actor=self.actor).prefetch_related("reviewers")

    def service_create(self, data: dict[str, Any]) -> ReviewRound:
        return services.create_round(**data, actor=self.actor)

    def _again(self, review_round: ReviewRound) -> Response:
        return self.answer(self.get_queryset().get(pk=review_round.pk))

    @extend_schema(request=None, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def launch(self, request: Request, uuid: str | None = None) -> Response:
        """Draw the sample and give the cases out."""
        return self._again(services.launch_round(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, uuid: str | None = None) -> Response:
        """Close a round whose cases are all decided."""
        return self._again(services.close_round(self.get_object(), actor=self.actor))


class ReviewCaseViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Cases: a reviewer's own, blinded; all for the lead."""

    queryset = ReviewCase.objects.none()
    serializer_class = CaseSerializer
    serializer_classes = {"score": ScoreSerializer, "arbitrate": ScoreSerializer}
    permission_codes = {
        "list": perms.VIEW_ROUND,
        "retrieve": perms.VIEW_ROUND,
        "score": perms.SCORE_CASE,
        "arbitrate": perms.ARBITRATE_CASE,
    }

    def get_queryset(self):
        if self.action == "arbitrate":
            return selectors.to_arbitrate(actor=self.actor)
        return selectors.cases(actor=self.actor)

    @extend_schema(request=ScoreSerializer, responses=CaseSerializer)
    @action(detail=True, methods=["post"])
    def score(self, request: Request, uuid: str | None = None) -> Response:
        """Give the reviewer's score."""
        return self.answer(services.score_case(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=ScoreSerializer, responses=CaseSerializer)
    @action(detail=True, methods=["post"])
    def arbitrate(self, request: Request, uuid: str | None = None) -> Response:
        """Decide a discrepancy."""
        return self.answer(services.arbitrate_case(self.get_object(), **self.validated(), actor=self.actor))
