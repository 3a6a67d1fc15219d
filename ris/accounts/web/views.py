"""Signing in and out, the idle lock, proving oneself again."""

from __future__ import annotations

import json
import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from ris.accounts.actors import actor_of, stranger
from ris.accounts.models import OidcProvider, TotpDevice
from ris.accounts.selectors import facility_settings
from ris.accounts.services import sign_in as signing
from ris.accounts.services.totp import has_totp
from ris.accounts.web import page
from ris.accounts.web.forms import ProofForm, SignInForm
from ris.audit.models import Action
from ris.audit.service import flush_refusals, refused
from ris.core.errors import NotPermitted
from ris.core.web import views as core_views


def safe_next(request: HttpRequest) -> str:
    """Where to go afterwards: a page of ours, else the start."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if ours else settings.LOGIN_REDIRECT_URL


@never_cache
@sensitive_post_parameters("password", "otp_token")
def sign_in(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        if request.user.is_authenticated and not request.session.get("locked"):
            return HttpResponseRedirect(safe_next(request))
        return _sign_in_page(request)
    form = SignInForm(request.POST)
    form.is_valid()
    data = {name: form.cleaned_data.get(name, "") for name in form.fields}
    try:
        user = signing.verify(request, **data)
    except signing.SignInRefused as refusal:
        return _sign_in_page(request, data["username"], refusal)
    signing.sign_in(request, user, method="password+totp" if data["otp_token"] else "password")
    response = HttpResponseRedirect(safe_next(request))
    if user.language:
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            user.language,
            max_age=31536000,
            secure=settings.LANGUAGE_COOKIE_SECURE,
            samesite="Lax",
        )
    return response


def _sign_in_page(
    request: HttpRequest, username: str = "", refusal: signing.SignInRefused | None = None
) -> HttpResponse:
    asks_code = refusal is not None and "otp_token" in refusal.errors
    providers = [
        {"label": provider.label, "url": reverse("oidc_start", args=[provider.uuid])}
        for provider in OidcProvider.objects.filter(is_active=True)
    ]
    numbers = facility_settings()
    context: dict[str, Any] = {
        "username": username,
        "next": safe_next(request),
        "refusal": refusal,
        "otp_required": asks_code,
        "otp_possible": TotpDevice.objects.filter(confirmed_at__isnull=False).exists(),
        "oidc_enabled": bool(providers),
        "oidc_providers": providers,
        "error": _("The hospital account did not let you in.") if request.GET.get("refused") == "oidc" else "",
        "lockout_failures": numbers.lockout_failures,
        "lockout_minutes": numbers.lockout_minutes,
    }
    status = 200 if refusal is None else refusal.http_status
    response = render(request, "accounts/sign_in.html", context, status=status)
    if isinstance(refusal, signing.LockedOut):
        response["Retry-After"] = str(refusal.minutes * 60)
    return response


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    signing.sign_out(request)
    return HttpResponseRedirect(settings.LOGIN_URL)


@require_POST
@page()
def lock(request: HttpRequest) -> HttpResponse:
    signing.lock_session(request)
    return JsonResponse({"locked": True})


@never_cache
@sensitive_post_parameters("password", "otp_token")
@require_POST
@page()
def unlock(request: HttpRequest) -> HttpResponse:
    """In place: JSON for the overlay, back to the page for the form of accounts/locked.html."""
    data = _proof(request)
    try:
        signing.unlock_session(request, **data)
    except signing.SignInRefused as refusal:
        if _wants_json(request):
            return _refusal_json(refusal)
        context = {"next": safe_next(request), "refusal": refusal, "otp_required": has_totp(request.user)}
        return render(request, "accounts/lock.html", context, status=refusal.http_status)
    if _wants_json(request):
        return JsonResponse({"locked": False})
    return HttpResponseRedirect(safe_next(request))


@never_cache
@sensitive_post_parameters("password", "otp_token")
@require_POST
@page()
def reauthenticate(request: HttpRequest) -> HttpResponse:
    """Before something is signed: prove again who sits here; JSON."""
    data = _proof(request)
    moment = signing.require_recent_authentication(request, **data)
    return JsonResponse({"authenticated_at": moment.isoformat()})


@page()
def session_state(request: HttpRequest) -> HttpResponse:
    """What a script asks: whether the session is open, and when it locks."""
    seen = request.session.get("seen_at", time.time())
    left = max(0, int(seen + getattr(request, "idle_minutes", 0) * 60 - time.time()))
    return JsonResponse({"locked": bool(request.session.get("locked")), "seconds_left": left})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A write that cannot be told from a forged one; recorded like every refusal."""
    who = actor_of(request) if request.user.is_authenticated else stranger(request)
    refused(who, f"csrf:{request.path}"[:100], Action.EXECUTE, NotPermitted(reason))
    flush_refusals()
    return core_views.csrf_failure(request, reason)


def _proof(request: HttpRequest) -> dict[str, str]:
    source: Any = request.POST
    if request.content_type == "application/json":
        try:
            source = json.loads(request.body or b"{}")
        except ValueError:
            source = {}
        source = source if isinstance(source, dict) else {}
    form = ProofForm({name: source.get(name, "") for name in ProofForm.base_fields})
    form.is_valid()
    return {name: form.cleaned_data.get(name, "") for name in ProofForm.base_fields}


def _wants_json(request: HttpRequest) -> bool:
    accepts = request.headers.get("Accept", "")
    return (
        request.content_type == "application/json"
        or "application/json" in accepts
        or request.headers.get("X-Requested-With") in ("fetch", "XMLHttpRequest")
    )


def _refusal_json(refusal: signing.SignInRefused) -> HttpResponse:
    body = {
        "type": f"urn:picha:problem:{refusal.code}",
        "status": refusal.http_status,
        "detail": refusal.detail,
        "errors": refusal.errors,
        "otp_required": "otp_token" in refusal.errors,
    }
    return JsonResponse(body, status=refusal.http_status, content_type="application/problem+json")
