from django.urls import path
from rest_framework.routers import BaseRouter

from dose.api.dashboards import DoseChartView
from dose.api.exports import DoseOriginalView, DoseRegistryView
from dose.api.naming import ExamRuleViewSet, NotPatientRuleViewSet, StandardExamViewSet
from dose.api.rejects import DoseRejectsView
from dose.api.views import DoseInvestigationViewSet, DoseReportViewSet, DoseTriggerViewSet
from dose.api.watching import DoseAlertRuleViewSet, LevelAlertViewSet, ReferenceLevelViewSet, SkinFollowUpViewSet


def register(router: BaseRouter) -> None:
    router.register("dose-reports", DoseReportViewSet, basename="dose-report")
    router.register("dose-triggers", DoseTriggerViewSet, basename="dose-trigger")
    router.register("dose-investigations", DoseInvestigationViewSet, basename="dose-investigation")
    router.register("reference-levels", ReferenceLevelViewSet, basename="reference-level")
    router.register("level-alerts", LevelAlertViewSet, basename="level-alert")
    router.register("standard-exams", StandardExamViewSet, basename="standard-exam")
    router.register("exam-rules", ExamRuleViewSet, basename="exam-rule")
    router.register("not-patient-rules", NotPatientRuleViewSet, basename="not-patient-rule")
    router.register("dose-alert-rules", DoseAlertRuleViewSet, basename="dose-alert-rule")
    router.register("skin-follow-ups", SkinFollowUpViewSet, basename="skin-follow-up")


urlpatterns = [
    path("dose-charts/<slug:kind>/", DoseChartView.as_view(), name="dose-chart"),
    path("dose-rejects/", DoseRejectsView.as_view(), name="dose-rejects"),
    path("dose-registry/<slug:kind>/", DoseRegistryView.as_view(), name="dose-registry"),
    path("dose-reports/<uuid:uuid>/original/", DoseOriginalView.as_view(), name="dose-report-original"),
]
