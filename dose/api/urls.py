from rest_framework.routers import BaseRouter

from dose.api.views import DoseInvestigationViewSet, DoseReportViewSet, DoseTriggerViewSet, ReferenceLevelViewSet


def register(router: BaseRouter) -> None:
    router.register("dose-reports", DoseReportViewSet, basename="dose-report")
    router.register("dose-triggers", DoseTriggerViewSet, basename="dose-trigger")
    router.register("dose-investigations", DoseInvestigationViewSet, basename="dose-investigation")
    router.register("reference-levels", ReferenceLevelViewSet, basename="reference-level")
