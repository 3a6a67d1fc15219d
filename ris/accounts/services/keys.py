"""API keys, and the encryption of what is stored under ``RIS_ENCRYPTION_KEYS``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from psycopg import sql

from ris.accounts import tokens
from ris.accounts.encryption import EncryptedTextField, rotate
from ris.accounts.models import AccessToken, ApiKey, User
from ris.accounts.services.sign_in import revoke_token
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.core.permissions import named_scopes, permissions


@service("accounts.create_api_key", action=Action.CREATE)
def create_api_key(
    user: User,
    *,
    label: str,
    scopes: Iterable[str],
    actor: Actor,
    expires_at: datetime | None = None,
    allowed_addresses: Iterable[str] = (),
    requests_per_minute: int | None = None,
) -> ApiKey:
    """A key for a program. The answer's ``secret`` attribute holds it this once; the row holds a hash.

    ``scopes``: permission codes or patterns (``orders.*``); ``*`` is everything that the user holds. None is refused.
    """
    scope_list, addresses = sorted(set(scopes)), list(allowed_addresses)
    _check_scopes(scope_list)
    _check_addresses(addresses)
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidData(_("The key would be dead already."), errors={"expires_at": _("Lies in the past.")})
    secret, prefix = tokens.new_key()
    key = ApiKey(
        user=user,
        label=label,
        prefix=prefix,
        digest=tokens.digest(secret),
        scopes=scope_list,
        allowed_addresses=addresses,
        expires_at=expires_at,
        requests_per_minute=requests_per_minute,
    )
    key._history_user = actor.user
    key.save()
    key.secret = secret
    return key


def _check_scopes(scopes: list[str]) -> None:
    known = {*permissions(), *named_scopes()}
    unknown = [scope for scope in scopes if not any(fnmatchcase(code, scope) for code in known)]
    if not scopes or unknown:
        raise InvalidData(
            _("A key needs scopes that exist."), errors={"scopes": [f"{scope}?" for scope in unknown] or [_("Needed.")]}
        )


def _check_addresses(addresses: list[str]) -> None:
    for address in addresses:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            message = _("%(value)s is no address or network.") % {"value": address}
            raise InvalidData(message, errors={"allowed_addresses": [message]}) from None


@service("accounts.revoke_api_key", action=Action.DELETE)
def revoke_api_key(key: ApiKey, *, actor: Actor) -> ApiKey:
    return _revoke(key, actor)


@transaction.atomic
def revoke_own(credential: ApiKey | AccessToken, *, actor: Actor) -> ApiKey | AccessToken:
    """A person ends a key or a token of their own."""
    if actor.user is None or credential.user_id != actor.user.pk:
        raise InvalidData(_("That is not yours."))
    if isinstance(credential, AccessToken):
        return revoke_token(credential, actor=actor)
    key = _revoke(credential, actor)
    record(actor, "accounts.revoke_api_key", Action.DELETE, entity=key)
    return key


@service("accounts.revoke_api_key", action=Action.DELETE)
def revoke_access_token(token: AccessToken, *, actor: Actor) -> AccessToken:
    token.revoked_at = timezone.now()
    token.save(update_fields=["revoked_at"])
    return token


def _revoke(key: ApiKey, actor: Actor) -> ApiKey:
    key = ApiKey.objects.select_for_update(of=("self",)).get(pk=key.pk)
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key._history_user = actor.user
        key.save(update_fields=["revoked_at"])
    return key


@service("accounts.change_settings")
def rotate_keys(*, actor: Actor) -> dict[str, int]:
    """Encrypt every stored credential again under the newest key; answers how many, by table and column."""
    return {
        f"{model._meta.label_lower}.{field.name}": _rotate_column(model, field)
        for model in apps.get_models()
        for field in model._meta.local_fields
        if isinstance(field, EncryptedTextField) and model._meta.managed and not hasattr(model, "history_type")
    }


def _rotate_column(model: type[models.Model], field: models.Field) -> int:
    """Row by row on the stored text itself, past the field that would decrypt it."""
    names: dict[str, Any] = {
        "table": sql.Identifier(model._meta.db_table),
        "column": sql.Identifier(field.column),
        "key": sql.Identifier(model._meta.pk.column),
    }
    select = sql.SQL("select {key}, {column} from {table} where {column} <> '' for update").format(**names)
    update = sql.SQL("update {table} set {column} = %s where {key} = %s").format(**names)
    with connection.cursor() as cursor:
        cursor.execute(select)
        rows = [(rotate(stored), key) for key, stored in cursor.fetchall()]
        if rows:
            cursor.executemany(update, rows)
    return len(rows)


def encryption_keys_known() -> int:
    return len(settings.RIS_ENCRYPTION_KEYS)
