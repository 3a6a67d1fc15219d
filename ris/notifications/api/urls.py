from django.urls import path
from rest_framework.routers import BaseRouter

from ris.notifications.api.rota import DutyViewSet, OnDutyView, ShiftViewSet

urlpatterns = [path("on-duty/", OnDutyView.as_view(), name="on-duty")]


def register(router: BaseRouter) -> None:
    router.register("duties", DutyViewSet, basename="duty")
    router.register("shifts", ShiftViewSet, basename="shift")
