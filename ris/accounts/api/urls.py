from django.urls import re_path
from rest_framework.routers import BaseRouter

from ris.accounts.api import views
from ris.accounts.api.audit import AuditEventViewSet

urlpatterns = [
    re_path(r"^auth/token/?$", views.TokenView.as_view(), name="auth-token"),
    re_path(r"^auth/revoke/?$", views.RevokeView.as_view(), name="auth-revoke"),
    re_path(r"^auth/sign-out/?$", views.SignOutView.as_view(), name="auth-sign-out"),
    re_path(r"^auth/me/?$", views.MeView.as_view(), name="auth-me"),
]


def register(router: BaseRouter) -> None:
    router.register("users", views.UserViewSet, basename="user")
    router.register("roles", views.RoleViewSet, basename="role")
    router.register("sites", views.SiteViewSet, basename="site")
    router.register("api-keys", views.ApiKeyViewSet, basename="api-key")
    router.register("audit-events", AuditEventViewSet, basename="audit-event")
