from django.urls import path
from rest_framework.routers import BaseRouter

from reporting.api.analytics import AnalyticsView
from reporting.api.critical_setup import CategoryViewSet, WallDisplayViewSet
from reporting.api.delivery import DeliveryRuleViewSet
from reporting.api.editor import MacroViewSet, ReportTemplateViewSet
from reporting.api.followups import FollowUpViewSet
from reporting.api.launches import ViewerLaunchViewSet
from reporting.api.printing import PrintQueueViewSet
from reporting.api.reading import ReadingGroupViewSet, ReadingListViewSet, SavedListViewSet, SlaTargetViewSet
from reporting.api.search import SavedSearchViewSet
from reporting.api.sharing import ShareLinkViewSet
from reporting.api.signing import ScaleViewSet, SigningCheckViewSet, SigningViewSet
from reporting.api.teaching import TeachingCaseViewSet
from reporting.api.viewer import ViewerLinkViewSet
from reporting.api.views import (
    CriticalResultViewSet,
    DeliveryViewSet,
    ReportViewSet,
)

urlpatterns = [path("analytics/", AnalyticsView.as_view(), name="analytics")]


def register(router: BaseRouter) -> None:
    router.register("reports", SigningViewSet, basename="report-signing")  # its fixed names go before any number
    router.register("reports", ReportViewSet, basename="report")
    router.register("assessment-scales", ScaleViewSet, basename="assessment-scale")
    router.register("signing-checks", SigningCheckViewSet, basename="signing-check")
    router.register("report-templates", ReportTemplateViewSet, basename="report-template")
    router.register("report-macros", MacroViewSet, basename="report-macro")
    router.register("critical-results", CriticalResultViewSet, basename="critical-result")
    router.register("critical-categories", CategoryViewSet, basename="critical-category")
    router.register("wall-displays", WallDisplayViewSet, basename="wall-display")
    router.register("report-searches", SavedSearchViewSet, basename="report-search")
    router.register("follow-ups", FollowUpViewSet, basename="follow-up")
    router.register("teaching-cases", TeachingCaseViewSet, basename="teaching-case")
    router.register("share-links", ShareLinkViewSet, basename="share-link")
    router.register("delivery-rules", DeliveryRuleViewSet, basename="delivery-rule")
    router.register("deliveries", DeliveryViewSet, basename="delivery")
    router.register("viewer-launches", ViewerLaunchViewSet, basename="viewer-launch")
    router.register("viewer-links", ViewerLinkViewSet, basename="viewer-link")
    router.register("reading-list", ReadingListViewSet, basename="reading-list")
    router.register("reading-lists", SavedListViewSet, basename="reading-lists")
    router.register("report-times", SlaTargetViewSet, basename="report-time")
    router.register("reading-groups", ReadingGroupViewSet, basename="reading-group")
    router.register("print-queue", PrintQueueViewSet, basename="print-queue")
