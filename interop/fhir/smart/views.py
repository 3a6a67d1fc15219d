"""SMART's addresses: the configuration document, and tokens given, looked at and ended. Errors are those of OAuth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, re_path, reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from interop.fhir.smart import scopes as smart
from interop.fhir.smart import tokens
from interop.fhir.smart.keys import ALGORITHMS
from interop.fhir.smart.tokens import OAuthError
from interop.models import SmartClient
from ris.accounts import limits
from ris.accounts.actors import stranger
from ris.audit.service import flush_refusals
from ris.tenants.middleware import address_of

TRIES, FAILURES = 120, 20  # per minute and address, in all processes together
NOT_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}
Answer = Callable[[HttpRequest], dict[str, Any]]


@require_GET
def configuration(request: HttpRequest, release: str) -> HttpResponse:
    """SMART App Launch 2.2, section "Conformance"."""

    def address(name: str) -> str:
        return request.build_absolute_uri(reverse(name))

    return JsonResponse(
        {
            "token_endpoint": address("smart_token"),
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "grant_types_supported": ["client_credentials"],
            "scopes_supported": smart.supported(),
            "introspection_endpoint": address("smart_introspect"),
            "revocation_endpoint": address("smart_revoke"),
            "code_challenge_methods_supported": ["S256"],
            "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        },
        headers={"Cache-Control": "public, max-age=300"},
    )


def _oauth(view: Answer) -> Callable[[HttpRequest], HttpResponse]:
    """A form in, JSON out; too many tries of one address are turned away before any key is touched."""

    @csrf_exempt
    @require_POST
    def wrapper(request: HttpRequest) -> HttpResponse:
        address = address_of(request)
        tried, failed = f"smart:tries:{address}", f"smart:failures:{address}"
        if limits.in_this_window(tried) > TRIES or limits.in_this_window(failed, 0) >= FAILURES:
            body = {"error": "temporarily_unavailable", "error_description": "Too many requests: wait a minute."}
            return JsonResponse(body, status=429, headers={**NOT_KEPT, "Retry-After": str(limits.resets_in())})
        try:
            return JsonResponse(view(request), headers=NOT_KEPT)
        except OAuthError as refusal:
            limits.in_this_window(failed)
            tokens.note_failure(stranger(request, refusal.client_id), refusal)
            body = {"error": refusal.error, "error_description": refusal.description}
            return JsonResponse(body, status=refusal.status, headers=NOT_KEPT)
        finally:
            flush_refusals()

    return wrapper


def _client(request: HttpRequest) -> SmartClient:
    """Whoever has signed an assertion for the address of tokens (RFC 7523 3), whichever of the three it is sent to."""
    audience = request.build_absolute_uri(reverse("smart_token"))
    return tokens.authenticate(request.POST, audience=audience, address=address_of(request))


@_oauth
def token(request: HttpRequest) -> dict[str, Any]:
    if request.POST.get("grant_type") != "client_credentials":
        raise OAuthError("unsupported_grant_type", "grant_type is client_credentials.")
    issued = tokens.issue(_client(request), asked=request.POST.get("scope", ""), address=address_of(request))
    return {
        "access_token": issued.secret,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scope,
    }


@_oauth
def introspect(request: HttpRequest) -> dict[str, Any]:
    return tokens.introspect(request.POST.get("token", ""), client=_client(request))


@_oauth
def revoke(request: HttpRequest) -> dict[str, Any]:
    tokens.revoke(request.POST.get("token", ""), client=_client(request), address=address_of(request))
    return {}


urlpatterns = [
    re_path(r"^fhir/(?P<release>r4|r5)/\.well-known/smart-configuration$", configuration, name="smart_configuration"),
    path("fhir/auth/token", token, name="smart_token"),
    path("fhir/auth/introspect", introspect, name="smart_introspect"),
    path("fhir/auth/revoke", revoke, name="smart_revoke"),
]
