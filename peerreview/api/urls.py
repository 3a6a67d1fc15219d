from rest_framework.routers import BaseRouter

from peerreview.api.learning import ConferenceViewSet, LearningCaseViewSet, LearningFeedbackViewSet
from peerreview.api.views import DiscrepancyViewSet, ReviewCaseViewSet, ReviewRoundViewSet


def register(router: BaseRouter) -> None:
    router.register("review-rounds", ReviewRoundViewSet, basename="review-rounds")
    router.register("review-cases", ReviewCaseViewSet, basename="review-cases")
    router.register("review-discrepancies", DiscrepancyViewSet, basename="review-discrepancies")
    router.register("learning-cases", LearningCaseViewSet, basename="learning-cases")
    router.register("learning-feedback", LearningFeedbackViewSet, basename="learning-feedback")
    router.register("conferences", ConferenceViewSet, basename="conferences")
