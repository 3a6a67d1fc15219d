"""OpenID Connect: each facility's own identity providers (OIDC Core 1.0, authorization code flow with PKCE).

mozilla-django-oidc walks the flow; what it reads from Django's settings comes here from the provider's row, and what
it fetches goes through the facility's allow-list. ID tokens: RS256, PS256 or ES256 by a key of the provider's set,
with issuer, audience, expiry and nonce checked. ``auth_time`` counts as the moment the person proved who they are.
"""

from __future__ import annotations

import contextvars
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import jwt
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import SuspiciousOperation
from django.db import transaction
from django.http import HttpRequest
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from ris.accounts.models import OidcProvider, Role, User
from ris.accounts.outbound import check_host, fetch_json
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.actor import Actor
from ris.core.errors import NotPermitted

ALGORITHMS = ("RS256", "PS256", "ES256")
KEEP_CONFIGURATION = 3600  # seconds
CLOCK_SKEW = 30  # seconds
OIDC = Actor("oidc")

_provider: contextvars.ContextVar[OidcProvider | None] = contextvars.ContextVar("oidc_provider", default=None)


class OidcRefused(NotPermitted):
    """The provider's word was not accepted; the reason goes to the audit, not to the browser."""

    code = "oidc_refused"


@contextmanager
def using(provider: OidcProvider) -> Iterator[None]:
    token = _provider.set(provider)
    try:
        yield
    finally:
        _provider.reset(token)


def configuration(provider: OidcProvider) -> dict[str, Any]:
    """The provider's discovery document (OIDC Discovery 1.0, 4), remembered for an hour."""
    key = f"oidc:{provider.uuid}:{provider.version}"
    known = cache.get(key)
    if known is not None:
        return known
    found = fetch_json("GET", provider.issuer.rstrip("/") + "/.well-known/openid-configuration")
    if found.get("issuer", "").rstrip("/") != provider.issuer.rstrip("/"):
        raise OidcRefused("The discovery document names another issuer.")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        check_host(_host_of(str(found.get(name, ""))))
    cache.set(key, found, KEEP_CONFIGURATION)
    return found


def _host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def provider_setting(attr: str, *args: Any) -> Any:
    """What mozilla-django-oidc asks its settings for, answered by the provider at hand."""
    provider = _provider.get()
    if provider is None:
        return getattr(settings, attr, *(args or (None,)))
    simple: dict[str, Any] = {
        "OIDC_RP_CLIENT_ID": provider.client_id,
        "OIDC_RP_CLIENT_SECRET": provider.client_secret,
        "OIDC_RP_SCOPES": provider.scopes,
        "OIDC_RP_SIGN_ALGO": "RS256",
        "OIDC_USE_PKCE": True,
        "OIDC_USE_NONCE": True,
        "OIDC_AUTHENTICATION_CALLBACK_URL": "oidc_callback",
        "LOGIN_REDIRECT_URL_FAILURE": f"{settings.LOGIN_URL}?refused=oidc",
        "LOGIN_REDIRECT_URL": settings.LOGIN_REDIRECT_URL,
    }
    if attr in simple:
        return simple[attr]
    endpoints = {
        "OIDC_OP_AUTHORIZATION_ENDPOINT": "authorization_endpoint",
        "OIDC_OP_TOKEN_ENDPOINT": "token_endpoint",
        "OIDC_OP_USER_ENDPOINT": "userinfo_endpoint",
        "OIDC_OP_JWKS_ENDPOINT": "jwks_uri",
    }
    if attr in endpoints:
        return configuration(provider).get(endpoints[attr])
    return getattr(settings, attr, *(args or (None,)))


class FacilityOidcBackend(OIDCAuthenticationBackend):
    """Checks what the provider says, and finds or makes the person it speaks of."""

    def __init__(self) -> None:
        self.UserModel = User
        provider = _provider.get()
        if provider is not None:
            super().__init__()

    @staticmethod
    def get_settings(attr: str, *args: Any) -> Any:
        return provider_setting(attr, *args)

    def authenticate(
        self, request: HttpRequest | None, nonce: str | None = None, code_verifier: str | None = None
    ) -> User | None:
        if _provider.get() is None or request is None:
            return None
        return super().authenticate(request, nonce=nonce, code_verifier=code_verifier)

    def get_user(self, user_id: int) -> User | None:
        user = User.objects.prefetch_related("roles").filter(pk=user_id).first()
        return user if user is not None and user.is_active and not user.is_service else None

    def get_token(self, payload: dict[str, Any]) -> dict[str, Any]:
        return fetch_json("POST", self.OIDC_OP_TOKEN_ENDPOINT, data=payload)

    def verify_token(self, token: str, **kwargs: Any) -> dict[str, Any]:
        provider = self._provider()
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise SuspiciousOperation("the ID token's algorithm is not accepted")
            payload = jwt.decode(
                token,
                self._key(header).key,
                algorithms=[header["alg"]],
                audience=provider.client_id,
                issuer=configuration(provider)["issuer"],
                leeway=CLOCK_SKEW,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as exc:
            raise SuspiciousOperation(f"the ID token is not valid: {type(exc).__name__}") from None
        nonce = kwargs.get("nonce") or ""
        if not nonce or not hmac.compare_digest(str(payload.get("nonce", "")), nonce):
            raise SuspiciousOperation("the ID token's nonce is not ours")
        return payload

    def _key(self, header: dict[str, Any]) -> jwt.PyJWK:
        keys = fetch_json("GET", self.OIDC_OP_JWKS_ENDPOINT).get("keys", [])
        for key in keys:
            usable = key.get("use", "sig") == "sig" and key.get("alg", header["alg"]) == header["alg"]
            if usable and key.get("kid") == header.get("kid") and key.get("kty") in ("RSA", "EC"):
                return jwt.PyJWK(key, algorithm=header["alg"])
        raise SuspiciousOperation("the ID token is signed by a key the provider does not publish")

    def get_userinfo(self, access_token: str, id_token: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The ID token's claims, completed by the userinfo endpoint; it must speak of the same subject."""
        if not self.OIDC_OP_USER_ENDPOINT:
            return payload
        headers = {"Authorization": f"Bearer {access_token}"}
        found = fetch_json("GET", self.OIDC_OP_USER_ENDPOINT, headers=headers)
        if found.get("sub") != payload["sub"]:
            raise SuspiciousOperation("userinfo speaks of another subject")
        return {**found, **payload}

    def get_or_create_user(self, access_token: str, id_token: str, payload: dict[str, Any]) -> User | None:
        provider = self._provider()
        claims = self.get_userinfo(access_token, id_token, payload)
        user = person_of(provider, claims)
        user.oidc_auth_time = payload.get("auth_time")
        return user

    @staticmethod
    def _provider() -> OidcProvider:
        provider = _provider.get()
        if provider is None:
            raise OidcRefused("no identity provider is at hand")
        return provider


@transaction.atomic
def person_of(provider: OidcProvider, claims: dict[str, Any]) -> User:
    """The user of these claims, with the roles that the provider's mapping gives. Raises OidcRefused.

    Known by subject. A user who was prepared for this sign-in (same name, no password, no subject yet) is taken over;
    one with a password never is: a provider that lets people choose names must not hand out accounts.
    """
    subject = f"{provider.uuid}:{claims['sub']}"[:255]
    roles = roles_of(provider, claims)
    if not roles:
        raise OidcRefused("no role is mapped to what the provider says")
    user = User.objects.select_for_update(of=("self",)).filter(oidc_subject=subject).first()
    username = str(claims.get(provider.username_claim) or "").strip()[:150]
    if user is None:
        user = _prepared_or_new(provider, username)
        user.oidc_subject = subject
    is_new = user.pk is None
    if is_new:
        user.set_unusable_password()
    if not user.is_active:
        raise OidcRefused("the user is deactivated")
    user.email = str(claims.get("email") or user.email)[:254]
    user.family_name = str(claims.get("family_name") or user.family_name)[:64]
    user.given_name = str(claims.get("given_name") or user.given_name)[:64]
    user._change_reason = f"Signed in through {provider.label}"[:100]
    user.save()
    if set(user.roles.all()) != set(roles):
        user.roles.set(roles)
    if is_new:
        record(OIDC, "accounts.create_user", Action.CREATE, entity=user, detail={"provider": str(provider.uuid)})
    return User.objects.prefetch_related("roles").get(pk=user.pk)


def _prepared_or_new(provider: OidcProvider, username: str) -> User:
    if not username:
        raise OidcRefused("the provider gives no user name")
    user = User.objects.select_for_update(of=("self",)).filter(username__iexact=username).first()
    if user is not None:
        if user.has_usable_password() or user.oidc_subject or user.is_service:
            raise OidcRefused("a user of that name exists already and was not prepared for this provider")
        return user
    if not provider.creates_users:
        raise OidcRefused("nobody of that name is prepared here, and the provider may not create users")
    return User(username=username)


def roles_of(provider: OidcProvider, claims: dict[str, Any]) -> list[Role]:
    """The roles mapped from the roles claim; a dot in the claim's name goes one level down."""
    value: Any = claims
    for part in provider.roles_claim.split("."):
        value = value.get(part, ()) if isinstance(value, dict) else ()
    given = {value} if isinstance(value, str) else {str(item) for item in value or ()}
    mappings = provider.role_mappings.select_related("role").filter(claim_value__in=given)
    return sorted({mapping.role for mapping in mappings}, key=lambda role: role.name)
