"""How many wrong passwords, and for how long they cost: the facility's numbers, for django-axes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest
from django.utils import timezone

from ris.accounts.selectors import facility_settings
from ris.tenants.middleware import address_of

NO_LIMIT = 1_000_000


def failure_limit(request: HttpRequest | None, credentials: dict[str, Any] | None = None) -> int:
    return facility_settings().lockout_failures or NO_LIMIT


def cool_off(request: HttpRequest | None = None) -> timedelta:
    return timedelta(minutes=facility_settings().lockout_minutes)


def minutes_left(request: HttpRequest, username: str) -> int:
    """Whole minutes, at least one, until this name may try again from this address."""
    last = (
        AccessAttempt.objects.filter(username=username, ip_address=address_of(request))
        .order_by("-attempt_time")
        .values_list("attempt_time", flat=True)
        .first()
    )
    seconds = ((last or timezone.now()) + cool_off() - timezone.now()).total_seconds()
    return max(1, -int(-seconds // 60))


def count_failure(request: HttpRequest, username: str) -> bool:
    """A wrong second factor counts like a wrong password; True when that was one too many."""
    user_login_failed.send(sender=__name__, credentials={"username": username}, request=request)
    return is_locked_out(request)


def locked_names() -> int:
    """How many user names rest now, from whatever address."""
    limit = failure_limit(None)
    found = AccessAttempt.objects.filter(failures_since_start__gte=limit, attempt_time__gt=timezone.now() - cool_off())
    return found.values("username").distinct().count()


def is_locked_out(request: HttpRequest) -> bool:
    return bool(getattr(request, "axes_locked_out", False))


def forgive(request: HttpRequest, username: str) -> None:
    """The right password and factor: earlier failures from this address are forgotten."""
    AxesProxyHandler.reset_attempts(ip_address=address_of(request), username=username)


def forgive_everywhere(username: str) -> int:
    """From every address; answers how many records of failures there were."""
    return AxesProxyHandler.reset_attempts(username=username.lower())


def is_resting(request: HttpRequest, username: str) -> bool:
    return not AxesProxyHandler.is_allowed(request, {"username": username})


def count_failure_later(request: HttpRequest, username: str) -> None:
    """Count it when the response is made: the request's own transaction may be rolled back."""
    request.failures_to_count = [*getattr(request, "failures_to_count", ()), username]


def count_failures_now(request: HttpRequest) -> None:
    for username in getattr(request, "failures_to_count", ()):
        user_login_failed.send(sender=__name__, credentials={"username": username}, request=request)
