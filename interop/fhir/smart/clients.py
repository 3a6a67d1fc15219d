"""SMART clients: registered, changed, switched off; all their tokens die with them."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from typing import Any

import httpx
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.fhir.smart import scopes as smart
from interop.fhir.smart.keys import clean_jwks
from interop.models import SmartClient, SmartGrant
from orders.validation import Errors
from ris.accounts.models import AccessToken, User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData

FIELDS = ("name", "user", "scopes", "jwks", "jwks_url", "allowed_addresses", "token_minutes", "is_active")


def smart_clients(*, actor: Actor) -> QuerySet[SmartClient]:
    found = SmartClient.objects.select_related("user").order_by("name", "pk")
    return found if actor.may(perms.VIEW_INTERFACES) else found.none()


@service(perms.MANAGE_CLIENTS, action=Action.CREATE)
def register_client(
    *,
    name: str,
    user: User,
    scopes: Iterable[str],
    jwks: Any = None,
    jwks_url: str = "",
    allowed_addresses: Iterable[str] = (),
    token_minutes: int = 5,
    is_active: bool = True,
    actor: Actor,
) -> SmartClient:
    """A program with public keys of its own, pasted or at one address. Its client id is made here."""
    values = {field: value for field, value in locals().items() if field in FIELDS}
    row = SmartClient(client_id=f"picha-{secrets.token_hex(12)}")
    _apply(row, values)
    row.save_as(actor, _("SMART client registered"))
    return row


@service(perms.MANAGE_CLIENTS)
def change_client(client: SmartClient, *, actor: Actor, **fields: Any) -> SmartClient:
    """Keys, scopes and the rest; what shrinks its reach kills the tokens that it holds."""
    client = SmartClient.locked(client.pk)
    before = (client.user_id, client.scopes, client.is_active, client.jwks, client.jwks_url)
    _apply(client, fields)
    if (client.jwks_url, client.jwks) != (before[4], before[3]):
        client.fetched_keys, client.fetched_at = {}, None
    client.save_as(actor, _("SMART client changed"))
    if (client.user_id, client.scopes, client.is_active, client.jwks, client.jwks_url) != before:
        kill_tokens(client)
    return client


def kill_tokens(client: SmartClient) -> int:
    """Every token of a client is worth nothing from now on."""
    held = AccessToken.objects.filter(smart_grant__client=client, revoked_at__isnull=True)
    return held.update(revoked_at=timezone.now())


def _apply(row: SmartClient, values: dict[str, Any]) -> None:
    errors = Errors()
    for field in values.keys() - set(FIELDS):
        errors.add(field, _("This cannot be set."))
    if "name" in values:
        row.name = str(values["name"]).strip()[:100]
    if "user" in values:
        row.user = values["user"]
    if "scopes" in values:
        row.scopes = sorted({str(text).strip() for text in values["scopes"] if str(text).strip()})
    if "jwks" in values:
        row.jwks = _keys(values["jwks"], errors)
    if "jwks_url" in values:
        row.jwks_url = str(values["jwks_url"] or "").strip()
    if "allowed_addresses" in values:
        row.allowed_addresses = [str(text).strip() for text in values["allowed_addresses"] if str(text).strip()]
    if "token_minutes" in values:
        row.token_minutes = int(values["token_minutes"])
    if "is_active" in values:
        row.is_active = bool(values["is_active"])
    _check(row, errors)
    errors.raise_if_any(_("The client cannot be kept."))


def _keys(given: Any, errors: Errors) -> dict[str, Any]:
    try:
        return clean_jwks(given)
    except InvalidData as refusal:
        for message in refusal.errors["jwks"]:
            errors.add("jwks", message)
        return {}


def _check(row: SmartClient, errors: Errors) -> None:
    if not row.name:
        errors.add("name", _("Needed."))
    if row.user_id is None or not row.user.is_active:
        errors.add("user", _("Choose an active user that the program acts as."))
    unknown = [text for text in row.scopes if smart.read(text) is None]
    for text in unknown:
        errors.add("scopes", _("%(scope)s is no scope that is known here.") % {"scope": text[:60]})
    if not row.scopes:
        errors.add("scopes", _("Needed."))
    if not row.jwks and not row.jwks_url and not errors.found.get("jwks"):
        errors.add("jwks", _("Give the public keys, or the address where they are."))
    if row.jwks_url and not _is_address(row.jwks_url):
        errors.add("jwks_url", _("An address that begins with https://."))
    if not 1 <= row.token_minutes <= 60:
        errors.add("token_minutes", _("Between 1 and 60."))
    for address in row.allowed_addresses:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            errors.add("allowed_addresses", _("%(value)s is no address or network.") % {"value": address[:60]})


def _is_address(text: str) -> bool:
    """TLS, but for this very machine."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    if not url.host or url.userinfo or url.fragment:
        return False
    return url.scheme == "https" or (url.scheme == "http" and url.host in ("localhost", "127.0.0.1"))


def latest_grants(client: SmartClient, *, actor: Actor, limit: int = 20) -> list[SmartGrant]:
    if not actor.may(perms.VIEW_INTERFACES):
        return []
    return list(client.grants.select_related("token").order_by("-pk")[:limit])
