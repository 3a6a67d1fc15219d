"""My account: language, password, second factor, keys and tokens; and the door for emergencies."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from ris.accounts import grants
from ris.accounts.models import AccessToken, ApiKey, BreakGlass, TotpDevice
from ris.accounts.services import emergency, keys, totp, users
from ris.accounts.services import sign_in as signing
from ris.accounts.web import page
from ris.accounts.web.forms import BreakGlassForm, OtpForm, PasswordForm, ProfileForm
from ris.accounts.web.views import safe_next
from ris.core.errors import DomainError, NotKnown


@page()
@never_cache
def profile(request: HttpRequest) -> HttpResponse:
    """What one may change of oneself."""
    user = request.user
    form = ProfileForm(request.POST or None, initial={"language": user.language, "email": user.email})
    if request.method == "POST" and form.is_valid():
        users.change_own_profile(user, **form.cleaned_data, actor=request.actor)
        messages.success(request, _("Saved."))
        response = HttpResponseRedirect(reverse("profile"))
        if form.cleaned_data["language"]:
            response.set_cookie(
                settings.LANGUAGE_COOKIE_NAME,
                form.cleaned_data["language"],
                max_age=31536000,
                secure=settings.LANGUAGE_COOKIE_SECURE,
                samesite="Lax",
            )
        return response
    return render(request, "accounts/profile.html", _profile_context(request, form=form))


def _profile_context(request: HttpRequest, **more: Any) -> dict[str, Any]:
    user = request.user
    return {
        "form": ProfileForm(initial={"language": user.language, "email": user.email}),
        "password_form": PasswordForm(),
        "has_password": user.has_usable_password(),
        "totp": TotpDevice.objects.filter(user=user, confirmed_at__isnull=False).first(),
        "recovery_left": user.recovery_codes.filter(used_at__isnull=True).count(),
        "api_keys": ApiKey.objects.usable().filter(user=user),
        "tokens": AccessToken.objects.usable().filter(user=user),
        "break_glasses": grants.running_break_glasses(actor=request.actor),
        "roles": sorted(str(role) for role in user.roles.all()),
        "sites": list(user.sites.all()),
        **more,
    }


@require_POST
@sensitive_post_parameters()
@page()
def password(request: HttpRequest) -> HttpResponse:
    form = PasswordForm(request.POST)
    status = 422
    if form.is_valid():
        try:
            user = users.change_own_password(
                request.user,
                old_password=form.cleaned_data["old_password"],
                new_password=form.cleaned_data["new_password"],
                actor=request.actor,
            )
        except DomainError as refusal:
            status = refusal.http_status
            for field, message in refusal.errors.items():
                form.add_error(field if field in form.fields else None, message)
        else:
            update_session_auth_hash(request, user)
            messages.success(request, _("The password is changed. Other sessions of yours have ended."))
            return HttpResponseRedirect(reverse("profile"))
    context = _profile_context(request, password_form=form)
    return render(request, "accounts/profile.html", context, status=status)


@never_cache
@page()
def enrol_totp(request: HttpRequest) -> HttpResponse:
    """Scan, type the code, keep the recovery codes."""
    user = request.user
    if totp.has_totp(user):
        return HttpResponseRedirect(reverse("profile"))
    device = totp.begin_totp(user, actor=request.actor)
    form = OtpForm(request.POST or None)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            codes = totp.confirm_totp(user, form.cleaned_data["otp_token"], actor=request.actor)
        except DomainError as refusal:
            status = refusal.http_status
            form.add_error("otp_token", refusal.errors.get("otp_token", refusal.detail))
        else:
            return render(request, "accounts/totp_codes.html", {"codes": codes})
    context = {"form": form, "secret": device.secret, "uri": totp.provisioning_uri(device)}
    return render(request, "accounts/totp.html", context, status=status)


@never_cache
@page()
def totp_picture(request: HttpRequest) -> HttpResponse:
    """The secret as a QR code, while the authenticator is being set up and no longer."""
    device = TotpDevice.objects.filter(user=request.user, confirmed_at__isnull=True).first()
    if device is None:
        raise NotKnown(_("No authenticator is being set up."))
    return HttpResponse(totp.qr_png(device), content_type="image/png")


@require_POST
@sensitive_post_parameters()
@page()
def remove_totp(request: HttpRequest) -> HttpResponse:
    """The password again: an open screen must not be enough to take the second factor away."""
    signing.require_recent_authentication(
        request, password=request.POST.get("password", ""), otp_token=request.POST.get("otp_token", ""), within=0
    )
    totp.remove_own_totp(request.user, actor=request.actor)
    messages.success(request, _("The authenticator is removed."))
    return HttpResponseRedirect(reverse("profile"))


@require_POST
@page()
def revoke_credential(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A key or a token of one's own."""
    mine = {"user": request.user, "uuid": uuid, "revoked_at__isnull": True}
    credential = ApiKey.objects.filter(**mine).first() or AccessToken.objects.filter(**mine).first()
    if credential is None:
        raise NotKnown(_("There is no such key."))
    keys.revoke_own(credential, actor=request.actor)
    messages.success(request, _("It is dead from now on."))
    return HttpResponseRedirect(reverse("profile"))


@page("accounts.break_glass")
def break_glass(request: HttpRequest) -> HttpResponse:
    """Take access in an emergency: a reason, an hour, and people who are told."""
    form = BreakGlassForm(
        request.POST or None,
        initial={"patient": request.GET.get("patient", ""), "next": request.GET.get("next", "")},
    )
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            emergency.break_glass(
                patient=form.cleaned_data["patient"], reason=form.cleaned_data["reason"], actor=request.actor
            )
            messages.warning(request, _("Access is open for an hour. What you open is recorded."))
            return HttpResponseRedirect(safe_next(request))
    running = grants.running_break_glasses(actor=request.actor)
    return render(request, "accounts/break_glass.html", {"form": form, "running": running}, status=status)


@require_POST
@page("accounts.break_glass")
def end_break_glass(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = BreakGlass.objects.filter(uuid=uuid, user=request.user).first()
    if row is None:
        raise NotKnown(_("There is no such access."))
    emergency.end_break_glass(row, actor=request.actor)
    messages.success(request, _("The access is given back."))
    return HttpResponseRedirect(reverse("profile"))
