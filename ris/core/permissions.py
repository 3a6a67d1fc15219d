"""The registry of permissions: each is declared once, beside the service it guards.

A code is ``app.verb_noun`` and names the service, the audit event and the right alike. ``roles`` are the built-in
roles that hold it; docs/permissions.md is made from here.
"""

from __future__ import annotations

from dataclasses import dataclass

RADIOLOGIST = "radiologist"
RESIDENT = "resident"
TECHNOLOGIST = "technologist"
REFERRER = "referring_physician"
CLERK = "clerk"
QA_LEAD = "qa_lead"
PHYSICIST = "medical_physicist"
IT_ADMIN = "it_admin"

ROLES = (RADIOLOGIST, RESIDENT, TECHNOLOGIST, REFERRER, CLERK, QA_LEAD, PHYSICIST, IT_ADMIN)
READERS = (RADIOLOGIST, RESIDENT)
CLINICAL = (RADIOLOGIST, RESIDENT, TECHNOLOGIST, CLERK)
DEPARTMENT = (*CLINICAL, QA_LEAD, PHYSICIST)


@dataclass(frozen=True)
class Permission:
    code: str
    label: str
    roles: tuple[str, ...]
    clinical: bool = True


_registry: dict[str, Permission] = {}


def declare(code: str, label: str, *roles: str, clinical: bool = True) -> str:
    """Make a right known. ``clinical`` rights are never it_admin's except by break-glass."""
    known = _registry.get(code)
    permission = Permission(code, label, roles, clinical)
    if known is not None and known != permission:
        raise ValueError(f"permission {code} is declared twice and differently")
    if clinical and IT_ADMIN in roles:
        raise ValueError(f"{code}: it_admin holds no clinical right")
    _registry[code] = permission
    return code


#: Names that stand for several rights at once in the scopes of a credential.
_scopes: dict[str, tuple[str, ...]] = {}


def declare_scope(name: str, *codes: str) -> None:
    """A name that a key may carry instead of codes; it never reaches further than its user."""
    _scopes[name] = codes


def named_scopes() -> dict[str, tuple[str, ...]]:
    return dict(sorted(_scopes.items()))


def permissions() -> dict[str, Permission]:
    return dict(sorted(_registry.items()))


def codes_of_role(role: str) -> frozenset[str]:
    return frozenset(code for code, permission in _registry.items() if role in permission.roles)


def clinical_codes() -> frozenset[str]:
    """What an it_admin never holds, whatever other role they are given."""
    return frozenset(code for code, permission in _registry.items() if permission.clinical)
