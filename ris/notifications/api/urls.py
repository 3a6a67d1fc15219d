from django.urls import path
from rest_framework.routers import BaseRouter

from ris.notifications.api.rota import DutyViewSet, OnDutyView, RotaShiftViewSet

urlpatterns = [path("on-duty/", OnDutyView.as_view(), name="on-duty")]


def register(router: BaseRouter) -> None:
    router.register("duties", DutyViewSet, basename="duty")
    router.register("rota-shifts", RotaShiftViewSet, basename="rota-shift")
