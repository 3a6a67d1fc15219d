"""The public keys of a client: pasted, or fetched from its registered address and kept for a while.

RS384 with at least 2048 bits, or ES384 with P-384 (SMART App Launch 2.2, "asymmetric client authentication").
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.models import SmartClient
from ris.accounts.outbound import OutsideFailed, client
from ris.core.errors import DomainError, InvalidData

ALGORITHMS = ("RS384", "ES384")
KEY_TYPES = {"RS384": "RSA", "ES384": "EC"}
PRIVATE_PARTS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
SMALLEST_RSA = 2048
MOST_KEYS, LONGEST_SET = 20, 64 * 1024
KEPT_FOR, ASKED_AGAIN_AFTER = timedelta(minutes=15), timedelta(seconds=60)


def clean_jwks(given: Any) -> dict[str, Any]:
    """A key set as it may be kept. Raises InvalidData: not a set, private parts, too weak, of another kind."""
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.strip() else {}
        except ValueError:
            raise _wrong(_("This is not JSON.")) from None
    if not given:
        return {}
    if isinstance(given, dict) and "kty" in given:
        given = {"keys": [given]}
    rows = given.get("keys") if isinstance(given, dict) else None
    if not isinstance(rows, list) or not rows or len(rows) > MOST_KEYS or not all(isinstance(r, dict) for r in rows):
        raise _wrong(_("A key set looks like {“keys”: […]}, with 1 to 20 keys."))
    if any(PRIVATE_PARTS & row.keys() for row in rows):
        raise _wrong(_("A private or secret key does not belong here: give the public part only."))
    usable = [row for row in rows if _is_usable(row)]
    if not usable:
        raise _wrong(_("No key of it can be used: RSA of 2048 bits or more for RS384, P-384 for ES384."))
    return {"keys": usable}


def _wrong(words: str) -> InvalidData:
    return InvalidData(_("The keys cannot be kept."), errors={"jwks": [words]})


def _is_usable(row: dict[str, Any]) -> bool:
    return any(_key_of(row, algorithm) is not None for algorithm in ALGORITHMS)


def _key_of(row: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """The key for this algorithm, if it is one and may verify."""
    if (
        row.get("kty") != KEY_TYPES[algorithm]
        or row.get("alg", algorithm) != algorithm
        or row.get("use", "sig") != "sig"
    ):
        return None
    if "key_ops" in row and "verify" not in row["key_ops"]:
        return None
    try:
        key = jwt.PyJWK.from_dict({**row, "alg": algorithm})
    except jwt.PyJWTError:
        return None
    public = key.key
    if isinstance(public, rsa.RSAPublicKey):
        return key if public.key_size >= SMALLEST_RSA else None
    return key if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP384R1) else None


def candidates(registered: SmartClient, *, algorithm: str, kid: str) -> list[jwt.PyJWK]:
    """The keys that may have signed. An unknown ``kid`` is a reason to fetch the set again, though not all the time."""
    if registered.jwks:
        return _chosen(registered.jwks, algorithm, kid)
    if not registered.jwks_url:
        return []
    known, age = registered.fetched_keys, _age(registered)
    found = _chosen(known, algorithm, kid)
    if (not found and age >= ASKED_AGAIN_AFTER) or age >= KEPT_FOR:
        found = _chosen(refresh(registered), algorithm, kid)
    return found


def _chosen(key_set: dict[str, Any], algorithm: str, kid: str) -> list[jwt.PyJWK]:
    rows = [row for row in key_set.get("keys", []) if not kid or row.get("kid") == kid]
    return [key for key in (_key_of(row, algorithm) for row in rows) if key is not None]


def _age(registered: SmartClient) -> timedelta:
    return timezone.now() - registered.fetched_at if registered.fetched_at else timedelta.max


def refresh(registered: SmartClient) -> dict[str, Any]:
    """Fetch the set; what does not come leaves the one that is known. Not to be called inside a transaction."""
    try:
        found = clean_jwks(_fetch(registered.jwks_url))
    except (DomainError, httpx.HTTPError):
        found = registered.fetched_keys
    registered.fetched_keys, registered.fetched_at = found, timezone.now()
    SmartClient.objects.filter(pk=registered.pk).update(
        fetched_keys=registered.fetched_keys, fetched_at=registered.fetched_at
    )
    return found


def _fetch(url: str) -> str:
    with client() as session, session.stream("GET", url, headers={"Accept": "application/json"}) as answer:
        if answer.status_code != httpx.codes.OK:
            raise OutsideFailed(_("The other side answered %(status)d.") % {"status": answer.status_code})
        body = b""
        for part in answer.iter_bytes():
            body += part
            if len(body) > LONGEST_SET:
                raise OutsideFailed(_("The other side did not answer as agreed."))
    return body.decode("utf-8", errors="replace")
