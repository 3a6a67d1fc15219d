"""Tokens for programs that prove themselves with a signed assertion (RFC 7523, SMART Backend Services).

An assertion is for this very address, lives at most five minutes, and counts once. Tokens are short-lived, opaque and
kept as a hash; they open the FHIR interface and DICOMweb, nothing else.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from django.db import IntegrityError, transaction
from django.utils import timezone

from interop.fhir.smart import scopes as smart
from interop.fhir.smart.keys import ALGORITHMS, candidates
from interop.models import SmartAssertion, SmartClient, SmartGrant
from ris.accounts import tokens
from ris.accounts.models import AccessToken
from ris.audit.models import Action, Outcome
from ris.audit.service import record
from ris.core.actor import Actor
from ris.tenants.routing import address_is_in

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_ASSERTION, LONGEST_LIFE, LEEWAY = 8192, 300, 10  # characters, seconds, seconds
ISSUE = "interop.issue_smart_token"


class OAuthError(Exception):
    """An answer of RFC 6749 5.2. ``why`` is for the audit trail: the caller is told no more than needed."""

    def __init__(self, error: str, description: str = "", *, status: int = 400, why: str = "") -> None:
        super().__init__(error)
        self.error, self.description, self.status, self.why = error, description, status, why or description
        self.client_id = ""


@dataclass(frozen=True)
class Issued:
    secret: str
    expires_in: int
    scope: str


def not_proven(why: str) -> OAuthError:
    return OAuthError("invalid_client", "The client could not be authenticated.", status=401, why=why)


def authenticate(given: Mapping[str, Any], *, audience: str, address: str) -> SmartClient:
    """The client that signed the assertion. Raises OAuthError. Fetches keys: not inside a transaction."""
    assertion = str(given.get("client_assertion", ""))
    if given.get("client_assertion_type") != ASSERTION_TYPE or not assertion:
        words = f"client_assertion_type is {ASSERTION_TYPE}, with a client_assertion."
        raise OAuthError("invalid_client", words, status=401)
    if len(assertion) > LONGEST_ASSERTION:
        raise not_proven("too long")
    try:
        header = jwt.get_unverified_header(assertion)
        said = jwt.decode(assertion, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError):
        raise not_proven("not a JWT") from None
    client_id = said.get("iss")
    if not isinstance(client_id, str) or client_id != said.get("sub"):
        raise not_proven("iss and sub are not one client")
    if not (client_id.isascii() and client_id.isprintable()):
        raise not_proven("unknown client")
    client = SmartClient.objects.select_related("user").filter(client_id=client_id, is_active=True).first()
    try:
        if client is None:
            raise not_proven("unknown client")
        if client.allowed_addresses and not address_is_in(address, client.allowed_addresses):
            raise not_proven("address")
        if not client.user.is_active:
            raise not_proven("user")
        _use_once(client, _verified(assertion, header, client, audience))
    except OAuthError as refusal:
        refusal.client_id = client_id[:64]
        raise
    return client


def _verified(assertion: str, header: Mapping[str, Any], client: SmartClient, audience: str) -> dict[str, Any]:
    algorithm, kid = header.get("alg"), header.get("kid", "")
    if algorithm not in ALGORITHMS or not isinstance(kid, str):
        raise not_proven("algorithm")
    if "jku" in header and header["jku"] != client.jwks_url:
        raise not_proven("jku is not the registered address")
    for key in candidates(client, algorithm=algorithm, kid=kid):
        try:
            claims = jwt.decode(
                assertion,
                key=key,
                algorithms=[algorithm],
                audience=audience,
                issuer=client.client_id,
                leeway=LEEWAY,
                options={"require": ["iss", "sub", "aud", "exp", "jti"]},
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.PyJWTError as exc:
            raise not_proven(type(exc).__name__) from None
        if int(claims["exp"]) > time.time() + LONGEST_LIFE + LEEWAY:
            raise not_proven("lives longer than five minutes")
        if not isinstance(claims["jti"], str) or not claims["jti"]:
            raise not_proven("jti")
        return claims
    raise not_proven("no registered key has signed it")


def _use_once(client: SmartClient, claims: dict[str, Any]) -> None:
    now = timezone.now()
    SmartAssertion.objects.filter(expires_at__lt=now).delete()
    dead_at = datetime.fromtimestamp(int(claims["exp"]) + LEEWAY, UTC)
    try:
        with transaction.atomic():
            digest = hashlib.sha256(claims["jti"].encode()).hexdigest()
            SmartAssertion.objects.create(client=client, digest=digest, expires_at=dead_at)
    except IntegrityError:
        raise not_proven("jti was used before") from None


@transaction.atomic
def issue(client: SmartClient, *, asked: str, address: str) -> Issued:
    """A token for what of the asked scopes the client is registered for; without any, for all that it is."""
    wanted = asked.split() or client.scopes
    given = smart.granted(wanted, client.scopes)
    if not given:
        raise OAuthError("invalid_scope", "None of these scopes is registered for this client.")
    life = timedelta(minutes=client.token_minutes)
    secret, now = tokens.new_token(), timezone.now()
    token = AccessToken.objects.create(
        user=client.user,
        digest=tokens.digest(secret),
        scopes=[*smart.rights_of(given), *given],
        expires_at=now + life,
        authenticated_at=now,
    )
    grant = SmartGrant.objects.create(client=client, token=token, scope=" ".join(given), address=address[:64])
    SmartClient.objects.filter(pk=client.pk).update(last_used_at=now)
    actor = Actor("fhir", client.user, ae_title=client.name[:16], address=address[:64])
    detail = {"client": client.client_id, "scope": grant.scope}
    record(actor, ISSUE, Action.EXECUTE, entity=client, detail=detail)
    return Issued(secret, int(life.total_seconds()), grant.scope)


def note_failure(stranger: Actor, refusal: OAuthError) -> None:
    detail = {"client": refusal.client_id} if refusal.client_id else {}
    record(stranger, ISSUE, Action.EXECUTE, reason=refusal.why, detail=detail, outcome=Outcome.FAILED)


def grant_of(secret: str) -> SmartGrant | None:
    if not secret or len(secret) > 200:
        return None
    found = SmartGrant.objects.select_related("token__user", "client")
    return found.filter(token__digest=tokens.digest(secret)).first()


def introspect(secret: str, *, client: SmartClient) -> dict[str, Any]:
    """RFC 7662: what a token of this client's own is worth; of any other token nothing is said."""
    grant = grant_of(secret)
    if grant is None or grant.client_id != client.pk:
        return {"active": False}
    token = grant.token
    if token.revoked_at is not None or token.expires_at <= timezone.now() or not token.user.is_active:
        return {"active": False}
    return {
        "active": True,
        "scope": grant.scope,
        "client_id": client.client_id,
        "sub": client.client_id,
        "token_type": "Bearer",
        "iat": int(token.created_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
    }


@transaction.atomic
def revoke(secret: str, *, client: SmartClient, address: str) -> None:
    """RFC 7009: a token of the client's own is dead; what is not there is dead already."""
    grant = grant_of(secret)
    if grant is None or grant.client_id != client.pk or grant.token.revoked_at is not None:
        return
    grant.token.revoked_at = timezone.now()
    grant.token.save(update_fields=["revoked_at"])
    actor = Actor("fhir", client.user, ae_title=client.name[:16], address=address[:64])
    record(actor, "accounts.revoke_token", Action.DELETE, entity=grant.token, detail={"client": client.client_id})
