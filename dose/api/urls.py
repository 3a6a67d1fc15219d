from django.urls import path
from rest_framework.routers import BaseRouter

from dose.api.dashboards import DoseChartView
from dose.api.views import DoseInvestigationViewSet, DoseReportViewSet, DoseTriggerViewSet, ReferenceLevelViewSet


def register(router: BaseRouter) -> None:
    router.register("dose-reports", DoseReportViewSet, basename="dose-report")
    router.register("dose-triggers", DoseTriggerViewSet, basename="dose-trigger")
    router.register("dose-investigations", DoseInvestigationViewSet, basename="dose-investigation")
    router.register("reference-levels", ReferenceLevelViewSet, basename="reference-level")


urlpatterns = [path("dose-charts/<slug:kind>/", DoseChartView.as_view(), name="dose-chart")]
