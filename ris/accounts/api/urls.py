from django.urls import path
from rest_framework.routers import BaseRouter

from ris.accounts.api import views
from ris.accounts.api.audit import AuditEventViewSet
from ris.accounts.api.facility import BreakGlassViewSet, OutboxViewSet, SettingsView

NAMED = (
    ("token", views.TokenView),
    ("revoke", views.RevokeView),
    ("sign-out", views.SignOutView),
    ("me", views.MeView),
)
#: With and without a slash at the end; the document shows the one without.
urlpatterns = [
    path("facility-settings/", SettingsView.as_view(), name="facility-settings"),
    *(path(f"auth/{name}", view.as_view(), name=f"auth-{name}") for name, view in NAMED),
    *(path(f"auth/{name}/", view.as_view(schema=None), name=f"auth-{name}") for name, view in NAMED),
]


def register(router: BaseRouter) -> None:
    router.register("users", views.UserViewSet, basename="user")
    router.register("roles", views.RoleViewSet, basename="role")
    router.register("sites", views.SiteViewSet, basename="site")
    router.register("api-keys", views.ApiKeyViewSet, basename="api-key")
    router.register("audit-events", AuditEventViewSet, basename="audit-event")
    router.register("break-glass", BreakGlassViewSet, basename="break-glass")
    router.register("outbox-deliveries", OutboxViewSet, basename="outbox-delivery")
