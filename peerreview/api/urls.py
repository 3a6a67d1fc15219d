from rest_framework.routers import BaseRouter

from peerreview.api.views import DiscrepancyViewSet, ReviewCaseViewSet, ReviewRoundViewSet


def register(router: BaseRouter) -> None:
    router.register("review-rounds", ReviewRoundViewSet, basename="review-rounds")
    router.register("review-cases", ReviewCaseViewSet, basename="review-cases")
    router.register("review-discrepancies", DiscrepancyViewSet, basename="review-discrepancies")
