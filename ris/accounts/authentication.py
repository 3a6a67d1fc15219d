"""How a REST, FHIR or DICOMweb request says who it is: bearer token, API key, or the browser's session.

A wrong, expired, revoked or another facility's credential is 401 with WWW-Authenticate, and recorded.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from ris.accounts import tokens
from ris.accounts.models import AccessToken, ApiKey, User
from ris.tenants.middleware import address_of
from ris.tenants.routing import address_is_in

REALM = "picha"
#: Where a token with scopes of SMART is good for something.
FHIR_DOORS = ("/fhir/", "/dicomweb/")
USE_NOTED_EVERY = timedelta(minutes=1)


def _credential(request: Request, scheme: str) -> str | None:
    """What follows the scheme in the Authorization header, or None when the header is another's."""
    given, _space, value = authentication.get_authorization_header(request).decode("latin-1").partition(" ")
    if given.lower() != scheme.lower():
        return None
    value = value.strip()
    if not value or " " in value or len(value) > 200:
        raise exceptions.AuthenticationFailed(_("The Authorization header is not well formed."))
    return value


class BearerTokenAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer <token>``, from POST /api/v1/auth/token (RFC 6750)."""

    def authenticate(self, request: Request) -> tuple[User, AccessToken] | None:
        value = _credential(request, "Bearer")
        if value is None:
            return None
        token = AccessToken.objects.usable().select_related("user").filter(digest=tokens.digest(value)).first()
        if token is None:
            raise exceptions.AuthenticationFailed(_("The token is unknown, expired or revoked."))
        if tokens.is_for_fhir(token.scopes) and not request.path.startswith(FHIR_DOORS):
            raise exceptions.AuthenticationFailed(_("This token opens FHIR and DICOMweb only."))
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return f'Bearer realm="{REALM}"'


class ApiKeyAuthentication(authentication.BaseAuthentication):
    """``Authorization: Api-Key <key>``: scopes, an end, and the addresses it may come from."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        value = _credential(request, "Api-Key")
        if value is None:
            return None
        key = ApiKey.objects.usable().select_related("user").filter(digest=tokens.digest(value)).first()
        if key is None:
            raise exceptions.AuthenticationFailed(_("The API key is unknown, expired or revoked."))
        if key.allowed_addresses and not address_is_in(address_of(request), key.allowed_addresses):
            raise exceptions.AuthenticationFailed(_("The API key may not be used from this address."))
        self._note_use(key)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return f'Api-Key realm="{REALM}"'

    @staticmethod
    def _note_use(key: ApiKey) -> None:
        now = timezone.now()
        if key.last_used_at is None or key.last_used_at < now - USE_NOTED_EVERY:
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's session, with CSRF on every write; a locked session is nobody's."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        if getattr(request._request, "session_is_locked", False):
            raise exceptions.AuthenticationFailed(_("The session is locked."), code="session_locked")
        return super().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return f'Session realm="{REALM}"'
