"""Coming in and going out: password and second factor, sessions, bearer tokens, and proving it again before signing.

Every success, failure, lock-out and sign-out is recorded. Nothing here runs inside a caller's transaction when it
refuses: a failure that is rolled back would not count.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ris.accounts import lockout, tokens
from ris.accounts.actors import actor_of, door_of, stranger
from ris.accounts.models import AccessToken, ApiKey, User
from ris.accounts.selectors import facility_settings
from ris.accounts.services.totp import has_totp, verify_totp
from ris.audit.models import Action, Outcome
from ris.audit.service import record, refused
from ris.core.actor import Actor
from ris.core.errors import NotPermitted, ReauthenticationRequired
from ris.tenants.middleware import address_of

TOKEN_LIFE = timedelta(hours=1)
SIGN_IN, SIGN_OUT, REAUTHENTICATE = "accounts.sign_in", "accounts.sign_out", "accounts.reauthenticate"


class SignInRefused(NotPermitted):
    """Name, password or code is wrong; which of them is not said."""

    code = "sign_in_refused"
    http_status = 401


class OtpRequired(SignInRefused):
    """The password is right; the second factor is still to come."""

    code = "otp_required"


class LockedOut(SignInRefused):
    """Too many failures from here; ``minutes`` until the next try."""

    code = "locked_out"
    http_status = 429

    def __init__(self, minutes: int) -> None:
        self.minutes = minutes
        super().__init__(
            ngettext(
                "Too many wrong attempts. Try again in %(minutes)d minute.",
                "Too many wrong attempts. Try again in %(minutes)d minutes.",
                minutes,
            )
            % {"minutes": minutes},
            todo=_("Wait, or ask your administrator to let you try again."),
        )


@dataclass(frozen=True)
class IssuedToken:
    secret: str
    row: AccessToken
    expires_in: int


def verify(request: HttpRequest, *, username: str, password: str, otp_token: str = "") -> User:
    """The person of these credentials. Raises SignInRefused, OtpRequired or LockedOut; each is recorded."""
    name = _user_name(username)
    user = authenticate(request, username=name, password=password)
    if not isinstance(user, User):
        if lockout.is_locked_out(request):
            _failed(request, name, "locked_out")
            raise LockedOut(lockout.minutes_left(request, name))
        _failed(request, name, "wrong_password")
        raise SignInRefused(_("The user name or the password is not right."))
    if has_totp(user):
        if not otp_token:
            raise OtpRequired(_("Type the code that your authenticator shows."), errors={"otp_token": _("Needed.")})
        verify_second_factor(request, user, otp_token)
    lockout.forgive(request, name)
    return user


def _user_name(typed: str) -> str:
    """The name to try: an e-mail address that is one person's stands for their name."""
    name = typed.replace("\0", "").strip().lower()[:150]
    if "@" in name and not User.objects.filter(username__iexact=name).exists():
        names = list(User.objects.filter(email__iexact=name, is_active=True).values_list("username", flat=True)[:2])
        if len(names) == 1:
            return names[0].lower()
    return name


def verify_second_factor(request: HttpRequest, user: User, otp_token: str) -> None:
    """The code after a right password. Raises SignInRefused or LockedOut; each is recorded."""
    name = user.username.lower()
    if lockout.is_resting(request, name):
        _failed(request, name, "locked_out")
        raise LockedOut(lockout.minutes_left(request, name))
    if verify_totp(user, otp_token):
        return
    if lockout.count_failure(request, name):
        _failed(request, name, "locked_out")
        raise LockedOut(lockout.minutes_left(request, name))
    _failed(request, name, "wrong_code")
    raise SignInRefused(_("That code is not right."), errors={"otp_token": _("Not right, or used already.")})


def _failed(request: HttpRequest, name: str, reason: str) -> None:
    """The name is kept only when it is somebody's: what is typed into it by mistake is a password."""
    user = User.objects.filter(username__iexact=name).first()
    record(stranger(request), SIGN_IN, Action.EXECUTE, entity=user, reason=reason, outcome=Outcome.FAILED)


def sign_in(request: HttpRequest, user: User, *, method: str, authenticated_at: float | None = None) -> Actor:
    """Open the browser's session (a new key; whatever was in the old one of another person is gone)."""
    backend = "ris.accounts.oidc.FacilityOidcBackend" if method == "oidc" else "ris.accounts.backends.PasswordBackend"
    login(request, user, backend=backend)
    request.session["authenticated_at"] = authenticated_at or time.time()
    request.session["auth_method"] = method
    request.session["seen_at"] = time.time()
    request.session["locked"] = False
    actor = actor_of(request)
    record(actor, SIGN_IN, Action.EXECUTE, entity=user, detail={"method": method})
    return actor


def sign_out(request: HttpRequest) -> None:
    """Close the session and kill every bearer token of its person, at once."""
    if request.user.is_authenticated:
        actor = actor_of(request)
        killed = kill_tokens(actor.user)
        record(actor, SIGN_OUT, Action.EXECUTE, entity=actor.user, detail={"tokens": killed})
    logout(request)


def kill_tokens(user: User | None) -> int:
    return AccessToken.objects.filter(user=user, revoked_at__isnull=True).update(revoked_at=timezone.now())


def issue_token(request: HttpRequest, user: User, *, method: str = "password") -> IssuedToken:
    """A bearer token of one hour, shown once."""
    secret = tokens.new_token()
    row = AccessToken.objects.create(user=user, digest=tokens.digest(secret), expires_at=timezone.now() + TOKEN_LIFE)
    actor = Actor(door_of(request), user, address=address_of(request)[:64])
    record(actor, "accounts.issue_token", Action.EXECUTE, entity=user, detail={"method": method})
    return IssuedToken(secret, row, int(TOKEN_LIFE.total_seconds()))


def revoke_token(token: AccessToken, *, actor: Actor) -> AccessToken:
    """One token, by its holder."""
    token.revoked_at = timezone.now()
    token.save(update_fields=["revoked_at"])
    record(actor, "accounts.revoke_token", Action.DELETE, entity=token)
    return token


def lock_session(request: HttpRequest) -> None:
    request.session["locked"] = True
    record(actor_of(request), "accounts.lock_session", Action.EXECUTE, entity=request.user)


def unlock_session(request: HttpRequest, *, password: str, otp_token: str = "") -> None:
    """The same person is back: in place, in the same session. Raises SignInRefused, OtpRequired, LockedOut."""
    verify(request, username=request.user.get_username(), password=password, otp_token=otp_token)
    request.session["locked"] = False
    request.session["seen_at"] = request.session["authenticated_at"] = time.time()
    record(actor_of(request), "accounts.unlock_session", Action.EXECUTE, entity=request.user)


def authenticated_at(request: Any) -> datetime | None:
    """When the caller last proved who they are; an API key proves nobody."""
    credential = getattr(request, "auth", None)
    if isinstance(credential, AccessToken):
        return credential.authenticated_at
    if isinstance(credential, ApiKey):
        return None
    stamp = request.session.get("authenticated_at")
    return datetime.fromtimestamp(stamp, UTC) if stamp else None


def require_recent_authentication(
    request: Any, *, password: str = "", otp_token: str = "", within: int | None = None
) -> datetime:
    """When the person behind the request proved who they are; not longer ago than ``within`` minutes.

    ``within`` is the facility's ``reauthenticate_minutes`` by default. A password or an authenticator's code given
    with the request proves it anew; a fresh OIDC sign-in (its ``auth_time``) has done so in the session. To be called
    by the edge (page or REST view, Django's or DRF's request) before it calls the service.
    Raises ReauthenticationRequired or LockedOut.
    """
    minutes = facility_settings().reauthenticate_minutes if within is None else within
    last = authenticated_at(request)
    if password or otp_token:
        _prove_again(request, password, otp_token)
        return _note_proof(request)
    if last is not None and last > timezone.now() - timedelta(minutes=minutes):
        return last
    raise ReauthenticationRequired(
        _("Sign with your password: your last sign-in is too long ago."),
        asked=_("Something that only you may do."),
        found=_("You signed in more than %(minutes)d minutes ago.") % {"minutes": minutes},
        todo=_("Give your password, or the code of your authenticator."),
        errors={"password": _("Needed.")},
    )


def _prove_again(request: Any, password: str, otp_token: str) -> None:
    """The password or the code of the person who is signed in already. A failure counts once the response is made."""
    http_request: HttpRequest = getattr(request, "_request", request)
    user: User = request.user
    name = user.username.lower()
    if lockout.is_resting(http_request, name):
        raise LockedOut(lockout.minutes_left(http_request, name))
    proven = user.check_password(password) if password else verify_totp(user, otp_token)
    if proven:
        return
    lockout.count_failure_later(http_request, name)
    field = "password" if password else "otp_token"
    refusal = ReauthenticationRequired(
        _("The password or the code is not right."),
        todo=_("Type it again."),
        errors={field: _("Not right.")},
    )
    refused(actor_of(request), REAUTHENTICATE, Action.EXECUTE, refusal, entity=user)
    raise refusal


def _note_proof(request: Any) -> datetime:
    now = timezone.now()
    credential = getattr(request, "auth", None)
    if isinstance(credential, AccessToken):
        AccessToken.objects.filter(pk=credential.pk).update(authenticated_at=now)
    elif credential is None:
        request.session["authenticated_at"] = now.timestamp()
    record(actor_of(request), REAUTHENTICATE, Action.EXECUTE, entity=request.user)
    return now
