"""Elements of a resource that was sent, and what is wrong about them: all of it at once, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from interop.fhir.server.call import Resource
from interop.fhir.server.errors import Refused, issue

#: Of identifiers (http://terminology.hl7.org/CodeSystem/v2-0203)
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"


class Problems:
    """What is wrong with a resource; raised together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: list[Resource] = []

    def add(self, where: str, words: str, code: str = "value") -> None:
        self.found.append(issue(code, words, expression=f"{self.name}.{where}" if where else self.name))

    def raise_if_any(self) -> None:
        if self.found:
            raise Refused(422, self.found[0]["details"]["text"], issues=self.found)


def refuse(name: str, where: str, words: str, code: str = "value") -> Refused:
    problems = Problems(name)
    problems.add(where, words, code)
    return Refused(422, words, issues=problems.found)


def first(rows: Any) -> Any:
    """The first of a list, or an empty object."""
    return rows[0] if isinstance(rows, list) and rows else {}


def text(value: Any, limit: int = 2000) -> str:
    return re.sub(r"[ \t]+", " ", str(value or "")).strip()[:limit]


def line(value: Any, limit: int = 64) -> str:
    """As one line of DICOM: no control characters, no backslash."""
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", str(value or "")).replace("\\", "/")
    return re.sub(r"\s+", " ", plain).strip()[:limit].strip()


def codings(concept: Any) -> list[Resource]:
    """Of a CodeableConcept, or (R5) of a CodeableReference's concept."""
    if not isinstance(concept, dict):
        return []
    inner = concept.get("concept") if isinstance(concept.get("concept"), dict) else concept
    return [row for row in inner.get("coding", []) if isinstance(row, dict)]


def words_of(concept: Any) -> str:
    """What a concept says: its text, else what its codes are called."""
    if not isinstance(concept, dict):
        return ""
    inner = concept.get("concept") if isinstance(concept.get("concept"), dict) else concept
    told = inner.get("text") or next((row.get("display") for row in codings(inner) if row.get("display")), "")
    return text(told)


def code_of(concept: Any, *systems: str) -> str:
    """The code that the concept has in any of these systems."""
    return next((row.get("code", "") for row in codings(concept) if row.get("system", "") in systems), "")


def has_type(identifier: Resource, *codes: str) -> bool:
    return any(row.get("code") in codes for row in codings(identifier.get("type")))


def moment(value: Any) -> datetime | None:
    """An instant or a dateTime; without a zone it is the facility's, without a time midnight."""
    if not value:
        return None
    found = parse_datetime(str(value))
    if found is None:
        day = parse_date(str(value))
        if day is None:
            return None
        found = datetime(day.year, day.month, day.day)
    return timezone.make_aware(found) if timezone.is_naive(found) else found


def day(value: Any) -> date | None:
    return parse_date(str(value)) if value and len(str(value)) == 10 else None


def notes_of(rows: Iterable[Any]) -> str:
    return "\n".join(filter(None, (text(row.get("text")) for row in rows or () if isinstance(row, dict))))
