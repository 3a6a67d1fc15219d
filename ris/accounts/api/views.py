"""Tokens, and the resources ``users``, ``roles``, ``sites`` and ``api-keys``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import permissions, status
from rest_framework.decorators import action
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from ris.accounts import selectors
from ris.accounts.api import serializers
from ris.accounts.api.base import (
    ChangeMixin,
    CreateMixin,
    FacilityAPIView,
    FacilityViewMixin,
    FacilityViewSet,
    ListMixin,
    RetrieveMixin,
)
from ris.accounts.authentication import REALM
from ris.accounts.models import AccessToken, ApiKey, Role, Site, User
from ris.accounts.services import keys, totp, users
from ris.accounts.services import sign_in as signing
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.api import CursorPagination
from ris.core.api_parsers import JSONParser


class TokenView(FacilityViewMixin):
    """A bearer token of one hour for a name and a password (and a code, for who uses an authenticator).

    Not idempotent by key: a failure inside a transaction that is undone would not count towards the lock-out.
    """

    authentication_classes = ()
    permission_classes = (permissions.AllowAny,)
    parser_classes = (JSONParser, FormParser)

    @extend_schema(
        operation_id="auth_token_create",
        request=serializers.TokenRequestSerializer,
        responses={200: serializers.TokenSerializer},
        auth=[],
        tags=["auth"],
    )
    def post(self, request: Request) -> Response:
        serializer = serializers.TokenRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        user = signing.verify(
            request._request, username=data["username"], password=data["password"], otp_token=data["otp"]
        )
        token = signing.issue_token(request._request, user)
        answer = {"access_token": token.secret, "token_type": "Bearer", "expires_in": token.expires_in}
        return Response(answer, headers={"Cache-Control": "no-store"})

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if isinstance(exc, signing.LockedOut):
            response["Retry-After"] = str(exc.minutes * 60)
        elif response.status_code == status.HTTP_401_UNAUTHORIZED:
            response["WWW-Authenticate"] = f'Bearer realm="{REALM}"'
        return response


class SelfView(FacilityAPIView):
    """For everybody who has shown a credential."""

    permission_classes = (permissions.IsAuthenticated,)


class RevokeView(SelfView):
    """The token or the key that this request carries is dead from now on."""

    @extend_schema(operation_id="auth_revoke", request=None, responses={204: None}, tags=["auth"])
    def post(self, request: Request) -> Response:
        if isinstance(request.auth, (AccessToken, ApiKey)):
            keys.revoke_own(request.auth, actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SignOutView(SelfView):
    """Every bearer token of this person is dead from now on."""

    @extend_schema(operation_id="auth_sign_out", request=None, responses={204: None}, tags=["auth"])
    def post(self, request: Request) -> Response:
        killed = signing.kill_tokens(self.actor.user)
        record(self.actor, signing.SIGN_OUT, Action.EXECUTE, entity=self.actor.user, detail={"tokens": killed})
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(SelfView):
    """Who this credential stands for, and what they may."""

    @extend_schema(operation_id="auth_me", responses={200: serializers.MeSerializer}, tags=["auth"])
    def get(self, request: Request) -> Response:
        return Response(serializers.MeSerializer(request.user).data)


class ByName(CursorPagination):
    ordering = ("id",)


class UserViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """People and programs of the facility; for administrators."""

    queryset = User.objects.none()
    serializer_class = serializers.UserSerializer
    serializer_classes = {
        "create": serializers.UserCreateSerializer,
        "partial_update": serializers.UserChangeSerializer,
        "set_roles": serializers.RoleNamesSerializer,
        "set_password": serializers.PasswordSerializer,
    }
    http_method_names = ("get", "post", "patch", "head", "options")
    pagination_class = ByName
    filterset_fields = ("is_active", "is_service", "roles__name")
    permission_codes = {
        "list": "accounts.view_user",
        "retrieve": "accounts.view_user",
        "create": "accounts.create_user",
        "partial_update": "accounts.change_user",
        "set_roles": "accounts.set_roles",
        "set_password": "accounts.set_password",
        "deactivate": "accounts.deactivate_user",
        "reactivate": "accounts.deactivate_user",
        "lift_lockout": "accounts.lift_lockout",
        "reset_totp": "accounts.reset_totp",
    }

    def get_queryset(self) -> QuerySet[User]:
        return selectors.all_users()

    def service_create(self, data: dict[str, Any]) -> User:
        return users.create_user(**data, actor=self.actor)

    def service_change(self, user: User, data: dict[str, Any]) -> User:
        return users.change_user(user, **data, actor=self.actor)

    @extend_schema(responses=serializers.UserSerializer)
    @action(detail=True, methods=["post"], url_path="set-roles")
    def set_roles(self, request: Request, uuid: str | None = None) -> Response:
        """Exactly these roles."""
        user = self.get_object()
        return self.answer(users.set_roles(user, **self.validated(), actor=self.actor))

    @extend_schema(responses=serializers.UserSerializer)
    @action(detail=True, methods=["post"], url_path="set-password")
    def set_password(self, request: Request, uuid: str | None = None) -> Response:
        """A new password; sessions and tokens end."""
        user = self.get_object()
        return self.answer(users.set_password(user, **self.validated(), actor=self.actor))

    @extend_schema(request=None, responses=serializers.UserSerializer)
    @action(detail=True, methods=["post"])
    def deactivate(self, request: Request, uuid: str | None = None) -> Response:
        """Nobody comes in as them any more."""
        return self.answer(users.deactivate_user(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=serializers.UserSerializer)
    @action(detail=True, methods=["post"])
    def reactivate(self, request: Request, uuid: str | None = None) -> Response:
        """Back again, with the roles they had; their keys stay dead."""
        return self.answer(users.reactivate_user(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=serializers.UserSerializer)
    @action(detail=True, methods=["post"], url_path="lift-lockout")
    def lift_lockout(self, request: Request, uuid: str | None = None) -> Response:
        """Let them try again at once, with the password they have."""
        return self.answer(users.lift_lockout(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=serializers.UserSerializer)
    @action(detail=True, methods=["post"], url_path="reset-totp")
    def reset_totp(self, request: Request, uuid: str | None = None) -> Response:
        """Remove their second factor; they sign in with the password alone until they enrol anew."""
        return self.answer(totp.reset_totp(self.get_object(), actor=self.actor))


class RoleViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Roles and the rights in them."""

    queryset = Role.objects.none()
    serializer_class = serializers.RoleSerializer
    pagination_class = ByName
    permission_codes = {"list": "accounts.view_user", "retrieve": "accounts.view_user"}

    def get_queryset(self) -> QuerySet[Role]:
        return selectors.all_roles()


class SiteViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """The places of the facility."""

    queryset = Site.objects.none()
    serializer_class = serializers.SiteSerializer
    pagination_class = ByName
    permission_codes = {"list": "accounts.view_site", "retrieve": "accounts.view_site"}

    def get_queryset(self) -> QuerySet[Site]:
        return selectors.visible_sites(actor=self.actor)


class ApiKeyViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Keys of programs; the secret is shown once, at creation."""

    queryset = ApiKey.objects.none()
    serializer_class = serializers.ApiKeySerializer
    serializer_classes = {"create": serializers.ApiKeyCreateSerializer}
    permission_codes = {
        "list": "accounts.view_api_key",
        "retrieve": "accounts.view_api_key",
        "create": "accounts.create_api_key",
        "revoke": "accounts.revoke_api_key",
    }

    def get_queryset(self) -> QuerySet[ApiKey]:
        return ApiKey.objects.select_related("user")

    def service_create(self, data: dict[str, Any]) -> ApiKey:
        return keys.create_api_key(data.pop("username"), **data, actor=self.actor)

    @extend_schema(request=None, responses=serializers.ApiKeySerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, uuid: str | None = None) -> Response:
        """Dead from now on."""
        return self.answer(keys.revoke_api_key(self.get_object(), actor=self.actor))
