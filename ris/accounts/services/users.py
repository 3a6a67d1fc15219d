"""Users come, change, and are deactivated; they are never deleted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from ris.accounts import lockout
from ris.accounts.models import Role, Site, User
from ris.accounts.services.sign_in import kill_tokens
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, Conflict, InvalidData, NotKnown
from ris.core.lifecycle import signed
from ris.core.permissions import IT_ADMIN

CHANGEABLE = ("email", "family_name", "given_name", "prefix", "language")


@service("accounts.create_user", action=Action.CREATE)
def create_user(
    *,
    username: str,
    actor: Actor,
    password: str | None = None,
    roles: Iterable[str] = (),
    sites: Iterable[str] = (),
    is_service: bool = False,
    **fields: Any,
) -> User:
    """A user with roles and sites (by name and code); without a password nobody signs in by one.

    ``fields``: email, family_name, given_name, prefix, language.
    """
    username = username.strip()
    if User.objects.filter(username__iexact=username).exists():
        raise AlreadyExists(_("There is a user of that name."), errors={"username": _("Taken.")})
    known_fields = {name: fields[name] for name in CHANGEABLE if name in fields}
    user = User(username=username, is_service=is_service, **known_fields)
    chosen_roles, chosen_sites = roles_by_name(roles), sites_by_code(sites)
    if password is None or is_service:
        user.set_unusable_password()
    else:
        _set_checked_password(user, password)
    _clean(user)
    _save(user, actor, "Created")
    user.roles.set(chosen_roles)
    user.sites.set(chosen_sites)
    return _fresh(user)


@service("accounts.change_user")
def change_user(user: User, *, actor: Actor, sites: Iterable[str] | None = None, **fields: Any) -> User:
    """Change who they are; roles, password and activity have services of their own."""
    user = _locked(user)
    for name in CHANGEABLE:
        if name in fields:
            setattr(user, name, fields[name])
    _clean(user)
    _save(user, actor, "Changed")
    if sites is not None:
        user.sites.set(sites_by_code(sites))
    return _fresh(user)


@service("accounts.set_roles")
def set_roles(user: User, *, roles: Iterable[str], actor: Actor) -> User:
    """Give exactly these roles. Nobody changes their own, and the last administrator stays one."""
    user = _locked(user)
    if actor.user is not None and actor.user.pk == user.pk:
        raise Conflict(
            _("Nobody gives roles to themselves."),
            found=_("These are your own roles."),
            todo=_("Ask another administrator."),
        )
    chosen = roles_by_name(roles)
    if IT_ADMIN not in {role.name for role in chosen}:
        _keep_an_administrator(user)
    user._history_user = actor.user
    user._change_reason = signed("Roles set", actor)
    user.roles.set(chosen)
    user.save()
    return _fresh(user)


@service("accounts.deactivate_user")
def deactivate_user(user: User, *, actor: Actor) -> User:
    """Nobody signs in as them any more; sessions, tokens and keys are dead at once."""
    user = _locked(user)
    if actor.user is not None and actor.user.pk == user.pk:
        raise Conflict(_("Nobody deactivates themselves."), todo=_("Ask another administrator."))
    _keep_an_administrator(user)
    user.is_active = False
    _save(user, actor, "Deactivated")
    kill_tokens(user)
    user.api_keys.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())
    return _fresh(user)


@service("accounts.deactivate_user")
def reactivate_user(user: User, *, actor: Actor) -> User:
    user = _locked(user)
    user.is_active = True
    _save(user, actor, "Reactivated")
    return _fresh(user)


@service("accounts.set_password")
def set_password(user: User, *, password: str, actor: Actor) -> User:
    """An administrator's new password for somebody; their sessions and tokens end."""
    user = _locked(user)
    if user.is_service:
        raise Conflict(_("A program signs in by API key only."))
    _set_checked_password(user, password)
    _save(user, actor, "Password set")
    kill_tokens(user)
    lockout.forgive_everywhere(user.username)
    return _fresh(user)


@service("accounts.lift_lockout")
def lift_lockout(user: User, *, actor: Actor) -> User:
    """Let somebody try again at once, with the password they have."""
    lockout.forgive_everywhere(user.username)
    return user


@transaction.atomic
def change_own_password(user: User, *, old_password: str, new_password: str, actor: Actor) -> User:
    """Other sessions end (their hash no longer matches), tokens too."""
    user = _locked(user)
    if not user.check_password(old_password):
        raise InvalidData(_("The old password is not right."), errors={"old_password": _("Not right.")})
    _set_checked_password(user, new_password, field="new_password")
    _save(user, actor, "Own password changed")
    kill_tokens(user)
    record(actor, "accounts.change_own_password", Action.UPDATE, entity=user)
    return user


@transaction.atomic
def change_own_profile(user: User, *, language: str, email: str, actor: Actor) -> User:
    user = _locked(user)
    user.language, user.email = language, email
    _clean(user)
    _save(user, actor, "Own profile changed")
    record(actor, "accounts.change_own_profile", Action.UPDATE, entity=user)
    return user


def roles_by_name(names: Iterable[str]) -> list[Role]:
    wanted = {str(name) for name in names}
    found = list(Role.objects.filter(name__in=wanted))
    if missing := sorted(wanted - {role.name for role in found}):
        raise InvalidData(_("There is no such role."), errors={"roles": [f"{name}?" for name in missing]})
    return found


def sites_by_code(codes: Iterable[str]) -> list[Site]:
    wanted = {str(code) for code in codes}
    found = list(Site.objects.filter(code__in=wanted))
    if missing := sorted(wanted - {site.code for site in found}):
        raise InvalidData(_("There is no such site."), errors={"sites": [f"{code}?" for code in missing]})
    return found


def _keep_an_administrator(user: User) -> None:
    others = User.objects.filter(roles__name=IT_ADMIN, is_active=True).exclude(pk=user.pk)
    if user.has_role(IT_ADMIN) and user.is_active and not others.exists():
        raise Conflict(
            _("A facility keeps at least one administrator."),
            found=_("This is the last one."),
            todo=_("Make somebody else an administrator first."),
        )


def _set_checked_password(user: User, password: str, *, field: str = "password") -> None:
    try:
        validate_password(password, user)
    except ValidationError as exc:
        raise InvalidData(_("That password is too weak."), errors={field: exc.messages}) from None
    user.set_password(password)


def _clean(user: User) -> None:
    try:
        user.full_clean(exclude=["password"], validate_unique=False, validate_constraints=False)
    except ValidationError as exc:
        raise InvalidData(_("Some values cannot be."), errors=exc.message_dict) from None


def _locked(user: User) -> User:
    try:
        return User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    except User.DoesNotExist:
        raise NotKnown(_("There is no such user.")) from None


def _fresh(user: User) -> User:
    """Without what was remembered of the roles before."""
    return User.objects.prefetch_related("roles", "sites").get(pk=user.pk)


def _save(user: User, actor: Actor, reason: str) -> None:
    user._history_user = actor.user
    user._change_reason = signed(reason, actor)
    user.save()
