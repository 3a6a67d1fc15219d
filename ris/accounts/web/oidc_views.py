"""To the facility's identity provider and back."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from mozilla_django_oidc.views import OIDCAuthenticationRequestView

from ris.accounts import oidc
from ris.accounts.actors import stranger
from ris.accounts.models import OidcProvider, User
from ris.accounts.services import sign_in as signing
from ris.audit.models import Action, Outcome
from ris.audit.service import record
from ris.core.errors import DomainError, NotKnown

log = structlog.get_logger(__name__)
REFUSED = f"{settings.LOGIN_URL}?refused=oidc"


class StartView(OIDCAuthenticationRequestView):
    """Sends the browser to the provider; ``?again=1`` asks for the password there whatever session it has."""

    get_settings = staticmethod(oidc.provider_setting)

    def get_extra_params(self, request: HttpRequest) -> dict[str, Any]:
        if request.GET.get("again"):
            return {"prompt": "login", "max_age": 0}
        return {"max_age": settings.SESSION_COOKIE_AGE}


def start(request: HttpRequest, uuid: UUID) -> HttpResponse:
    provider = OidcProvider.objects.filter(uuid=uuid, is_active=True).first()
    if provider is None:
        raise NotKnown("There is no such identity provider.")
    with oidc.using(provider):
        states = set(request.session.get("oidc_states", {}))
        response = StartView.as_view()(request)
        for state in set(request.session["oidc_states"]) - states:
            request.session["oidc_states"][state]["provider"] = str(provider.uuid)
        request.session.modified = True
        return response


def callback(request: HttpRequest) -> HttpResponse:
    """The browser is back with a code, or with an error; every failure ends at /sign-in/ and in the audit."""
    pending = request.session.get("oidc_states", {}).pop(request.GET.get("state", ""), None)
    request.session.modified = True
    if pending is None or "code" not in request.GET:
        return _refuse(request, "no_code" if pending else "unknown_state")
    provider = OidcProvider.objects.filter(uuid=pending["provider"], is_active=True).first()
    if provider is None:
        return _refuse(request, "unknown_provider")
    try:
        with oidc.using(provider):
            user = oidc.FacilityOidcBackend().authenticate(
                request, nonce=pending["nonce"], code_verifier=pending["code_verifier"]
            )
    except (SuspiciousOperation, DomainError) as exc:
        log.warning("oidc_refused", error=type(exc).__name__, why=str(exc)[:200])
        return _refuse(request, str(exc))
    if user is None:
        return _refuse(request, "no_user")
    return _let_in(request, user)


def _let_in(request: HttpRequest, user: User) -> HttpResponse:
    """``auth_time`` is when they proved themselves; without one, signing will ask for another proof."""
    moment = float(min(getattr(user, "oidc_auth_time", None) or 1, time.time()))
    target = request.session.pop("oidc_login_next", None) or settings.LOGIN_REDIRECT_URL
    if request.user.is_authenticated and request.user.pk == user.pk:
        request.session.update({"authenticated_at": moment, "locked": False, "seen_at": time.time()})
        record(stranger(request), signing.REAUTHENTICATE, Action.EXECUTE, entity=user, detail={"method": "oidc"})
    else:
        signing.sign_in(request, user, method="oidc", authenticated_at=moment)
    return HttpResponseRedirect(target)


def _refuse(request: HttpRequest, reason: str) -> HttpResponse:
    record(stranger(request), signing.SIGN_IN, Action.EXECUTE, reason=f"oidc: {reason}", outcome=Outcome.FAILED)
    return HttpResponseRedirect(REFUSED)
