"""Who signs proves who they are, when their last proof is too long ago."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from ris.accounts.selectors import facility_settings
from ris.accounts.services.sign_in import authenticated_at, require_recent_authentication
from ris.accounts.services.totp import has_totp


def wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def needs_password(request: HttpRequest) -> bool:
    """Whether a signature now would ask who is there."""
    last = authenticated_at(request)
    minutes = facility_settings().reauthenticate_minutes
    return last is None or last <= timezone.now() - timedelta(minutes=minutes)


def proof(request: HttpRequest) -> None:
    """Raises ReauthenticationRequired unless the person has proved who they are, before or with this request."""
    require_recent_authentication(
        request, password=request.POST.get("password", ""), otp_token=request.POST.get("otp_token", "")
    )


def proof_context(request: HttpRequest) -> dict[str, Any]:
    """What ``reporting/_proof.html`` needs."""
    return {"needs_password": needs_password(request), "has_totp": has_totp(request.user)}
