"""SMART scopes, of version 2 (``system/Patient.rs``) and 1 (``system/Patient.read``), and the rights they stand for.

A scope is checked twice: its letters against the resource and the interaction, and the rights it stands for against
what the services ask. Neither reaches further than the user that the program acts as.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from dose import permissions as dose
from interop import permissions as own
from orders import permissions as orders
from reporting import permissions as reporting
from ris.accounts import permissions as accounts
from ris.audit import permissions as audit
from worklist import permissions as worklist

LETTERS = "cruds"
#: The names of version 1, in the letters of version 2.
NAMES = {"read": "rs", "write": "cud", "*": "cruds"}
#: interaction of FHIR -> letter
INTERACTIONS = {
    "create": "c",
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "update": "u",
    "patch": "u",
    "delete": "d",
    "search-type": "s",
    "history-type": "s",
    "history-system": "s",
    "search-system": "s",
}
SHAPE = re.compile(r"(system|user)/(\*|[A-Z][A-Za-z]{1,40})\.(\*|read|write|[cruds]{1,5})")

READ = "rs"
#: resource type -> letters -> the rights that go with them
RIGHTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Patient": {
        READ: (orders.VIEW_PATIENT,),
        "c": (orders.VIEW_PATIENT, orders.REGISTER_PATIENT),
        "u": (orders.VIEW_PATIENT, orders.UPDATE_PATIENT),
    },
    "Practitioner": {READ: (accounts.VIEW_PRACTITIONER,), "cu": (accounts.CHANGE_PRACTITIONER,)},
    "PractitionerRole": {READ: (accounts.VIEW_PRACTITIONER,)},
    "Organization": {READ: (accounts.VIEW_SITE, accounts.VIEW_PRACTITIONER)},
    "Location": {READ: (accounts.VIEW_SITE, worklist.VIEW_ROOM)},
    "Device": {READ: (worklist.VIEW_ROOM,)},
    "HealthcareService": {READ: (orders.VIEW_CATALOGUE,)},
    "ServiceRequest": {
        READ: (orders.VIEW_ORDER,),
        "c": (orders.VIEW_ORDER, orders.CREATE_ORDER, orders.VIEW_PATIENT),
        "u": (orders.VIEW_ORDER, orders.CHANGE_ORDER, orders.CANCEL_ORDER, orders.HOLD_PROCEDURE),
    },
    "Appointment": {
        READ: (worklist.VIEW_SCHEDULE,),
        "cu": (worklist.VIEW_SCHEDULE, worklist.BOOK_APPOINTMENT, worklist.ARRIVE_PATIENT, orders.VIEW_ORDER),
    },
    "Slot": {READ: (worklist.VIEW_SCHEDULE, worklist.VIEW_ROOM)},
    "Schedule": {READ: (worklist.VIEW_SCHEDULE, worklist.VIEW_ROOM)},
    "ImagingStudy": {READ: (worklist.VIEW_STUDY,)},
    "DiagnosticReport": {
        READ: (reporting.VIEW_REPORT,),
        "cu": (
            reporting.VIEW_REPORT,
            reporting.RECORD_OUTSIDE_REPORT,
            orders.ADD_DOCUMENT,
            orders.VIEW_PATIENT,
        ),
    },
    "Observation": {READ: (reporting.VIEW_REPORT, dose.VIEW_DOSE)},
    "Binary": {READ: (reporting.VIEW_REPORT, orders.VIEW_DOCUMENT)},
    "Task": {
        READ: (worklist.VIEW_STEP, orders.VIEW_ORDER),
        "u": (worklist.VIEW_STEP, orders.VIEW_ORDER, worklist.ARRIVE_PATIENT, worklist.PERFORM_STEP),
    },
    "DocumentReference": {
        READ: (reporting.VIEW_REPORT, orders.VIEW_DOCUMENT),
        "cu": (orders.VIEW_DOCUMENT, orders.ADD_DOCUMENT, orders.VIEW_PATIENT),
    },
    "Endpoint": {READ: (worklist.VIEW_STUDY, own.VIEW_INTERFACES)},
    "AuditEvent": {READ: (audit.VIEW_EVENT,)},
    "Provenance": {READ: (audit.VIEW_EVENT, orders.VIEW_ORDER, reporting.VIEW_REPORT)},
    "Subscription": {READ: (own.SUBSCRIBE,), "cud": (own.SUBSCRIBE,)},
    "SubscriptionTopic": {READ: (own.SUBSCRIBE,)},
    "SubscriptionStatus": {READ: (own.SUBSCRIBE,)},
}


@dataclass(frozen=True)
class Scope:
    context: str
    resource: str
    letters: str

    def __str__(self) -> str:
        return f"{self.context}/{self.resource}.{self.letters}"

    def covers(self, other: Scope) -> bool:
        """Whether nothing of ``other`` goes beyond this one. The context says who is meant, not how far it reaches."""
        return self.resource in ("*", other.resource) and set(other.letters) <= set(self.letters)


@cache
def read(text: str) -> Scope | None:
    """A scope, its letters in their order; None for what is no scope of SMART or of a resource that we do not have."""
    found = SHAPE.fullmatch(text)
    if found is None:
        return None
    context, resource, letters = found.groups()
    if resource != "*" and resource not in RIGHTS:
        return None
    letters = NAMES.get(letters, letters)
    if list(letters) != sorted(set(letters), key=LETTERS.index):
        return None
    return Scope(context, resource, letters)


def all_of(texts: Iterable[str]) -> list[Scope]:
    return [scope for scope in (read(text) for text in texts) if scope is not None]


def granted(asked: Iterable[str], registered: Iterable[str]) -> list[str]:
    """What of the asked scopes a client may have: all that is registered covers, a wider one cut down to that."""
    limits = all_of(registered)
    given: list[str] = []
    for scope in all_of(asked):
        for limit in limits:
            narrow = _both(scope, limit)
            if narrow is not None and str(narrow) not in given:
                given.append(str(narrow))
    return [text for text in given if not any(_within(text, other) for other in given)]


def _both(asked: Scope, limit: Scope) -> Scope | None:
    if "*" not in (asked.resource, limit.resource) and asked.resource != limit.resource:
        return None
    letters = "".join(letter for letter in LETTERS if letter in asked.letters and letter in limit.letters)
    resource = limit.resource if asked.resource == "*" else asked.resource
    return Scope(asked.context, resource, letters) if letters else None


def _within(text: str, other: str) -> bool:
    narrow, wide = read(text), read(other)
    return text != other and narrow is not None and wide is not None and wide.covers(narrow)


def rights_of(texts: Iterable[str]) -> list[str]:
    """The rights that these scopes stand for."""
    found: set[str] = set()
    for scope in all_of(texts):
        resources = RIGHTS if scope.resource == "*" else (scope.resource,)
        for resource in resources:
            for letters, codes in RIGHTS[resource].items():
                if set(letters) & set(scope.letters):
                    found.update(codes)
    return sorted(found)


def limits(scopes: Iterable[str] | None) -> list[Scope] | None:
    """What a credential's scopes say about FHIR; None when they are rights of the house only (an API key)."""
    found = all_of(scopes or ())
    return found or None


def allows(scopes: Iterable[str] | None, resource: str, interaction: str) -> bool:
    """Whether a credential's scopes reach this interaction. The rights of its user are another question."""
    found = limits(scopes)
    if found is None:
        return True
    letter = INTERACTIONS.get(interaction, "")
    return any(scope.resource in ("*", resource) and letter in scope.letters for scope in found)


def supported() -> list[str]:
    """For the configuration document."""
    letters = {resource: "".join(sorted(set("".join(rows)), key=LETTERS.index)) for resource, rows in RIGHTS.items()}
    return ["system/*.rs", "system/*.cruds", *(f"system/{resource}.{how}" for resource, how in letters.items())]
