"""Search parameters as data: a name, a type, where it looks; each turns values into a condition (FHIR R4 3.1.1.4)."""

from __future__ import annotations

import calendar
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar
from urllib.parse import quote, unquote
from uuid import UUID

from django.db import models
from django.db.models import CharField, Q, QuerySet, TextField, Transform
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from interop.fhir.server.errors import Refused
from orders.duplicates import LETTERS
from ris.core.actor import Actor

LONGEST, MOST_VALUES = 500, 200
ISSUER = "urn:picha:issuer:"
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
NOTHING = Q(pk__in=[])


@CharField.register_lookup
@TextField.register_lookup
class Plain(Transform):
    """``family_name__plain__istartswith``: without accents."""

    function, lookup_name = "f_unaccent", "plain"


def plain(text: str) -> str:
    """Without accents, as ``f_unaccent`` makes the stored text."""
    decomposed = unicodedata.normalize("NFKD", text.translate(LETTERS))
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


def system_of(issuer: str) -> str:
    """Our issuers are names; FHIR wants an address."""
    if re.match(r"[a-z][a-z0-9+.-]*:", issuer):
        return issuer
    return ISSUER + quote(issuer, safe="")


def issuer_of(system: str) -> str:
    return unquote(system[len(ISSUER) :]) if system.startswith(ISSUER) else system


@dataclass(frozen=True)
class Asked:
    """What a condition may need to know beside its values."""

    actor: Actor
    model: type[models.Model]
    base: str


def invalid(name: str, words: str) -> Refused:
    return Refused(400, f"{name}: {words}", issue="value", expression=f"http.{name}")


@dataclass(frozen=True)
class Param(ABC):
    """``sort``: the path that ``_sort`` orders by. ``is_private``: its value never stands in a link."""

    name: str
    kind: ClassVar[str] = "special"
    modifiers: ClassVar[tuple[str, ...]] = ("missing",)
    doc: str = field(default="", kw_only=True)
    sort: str = field(default="", kw_only=True)
    is_private: bool = field(default=False, kw_only=True)

    @abstractmethod
    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q: ...

    def paths(self) -> tuple[str, ...]:
        return ()

    @property
    def known_modifiers(self) -> tuple[str, ...]:
        """What has no column of its own is never missing."""
        has_columns = bool(self.paths()) and all(self.paths())
        return tuple(name for name in self.modifiers if name != "missing" or has_columns)

    def missing(self, values: Sequence[str]) -> Q:
        if list(values) not in (["true"], ["false"]):
            raise invalid(self.name, ":missing takes true or false.")
        absent = Q()
        for path in self.paths():
            empty = Q(**{f"{path}__isnull": True})
            absent &= empty | Q(**{f"{path}__exact": ""}) if self.may_be_empty else empty
        return absent if values[0] == "true" else ~absent

    @property
    def may_be_empty(self) -> bool:
        """Whether the empty text stands for nothing there."""
        return self._is_text

    _is_text: ClassVar[bool] = False


@dataclass(frozen=True)
class Token(Param):
    """``[system|]code``. ``codes`` maps the standard's codes to the values that are stored; ``system`` is theirs."""

    at: str | tuple[str, ...] = ""
    system: str = ""
    codes: Mapping[str, Sequence[Any]] | None = None
    values: Callable[[str], Q] | None = None
    many: bool = False
    kind: ClassVar[str] = "token"
    modifiers: ClassVar[tuple[str, ...]] = ("missing", "not")
    _is_text: ClassVar[bool] = True

    def paths(self) -> tuple[str, ...]:
        return (self.at,) if isinstance(self.at, str) else self.at

    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q:
        found = Q()
        for value in values:
            found |= self._one(value)
        if not values:
            found = NOTHING
        if self.many:
            found = Q(pk__in=asked.model._base_manager.filter(found).order_by().values("pk"))
        return ~found if modifier == "not" else found

    def _one(self, value: str) -> Q:
        system, bar, code = value.rpartition("|")
        if bar and system and self.system and system != self.system:
            return NOTHING
        if bar and not system and self.system:
            return NOTHING
        if bar and not code:
            return self._any()
        if self.values is not None:
            return self.values(code)
        if self.codes is not None:
            stored = self.codes.get(code)
            return Q(**{f"{self.paths()[0]}__in": list(stored)}) if stored else NOTHING
        found = Q()
        for path in self.paths():
            found |= Q(**{path: code})
        return found

    @property
    def may_be_empty(self) -> bool:
        return self.codes is None and super().may_be_empty

    def _any(self) -> Q:
        return ~self.missing(["true"]) if self.values is None else Q()


@dataclass(frozen=True)
class TextToken(Token):
    """A token whose case does not matter, as accession numbers at a desk."""

    def _one(self, value: str) -> Q:
        _system, bar, code = value.rpartition("|")
        if bar and not code:
            return self._any()
        found = Q()
        for path in self.paths():
            found |= Q(**{f"{path}__iexact": code})
        return found


@dataclass(frozen=True)
class Flag(Token):
    """true or false. ``is_true`` is the condition."""

    is_true: Q = field(default_factory=Q)
    modifiers: ClassVar[tuple[str, ...]] = ("not",)

    def _one(self, value: str) -> Q:
        if value not in ("true", "false"):
            raise invalid(self.name, "true or false.")
        return self.is_true if value == "true" else ~self.is_true


@dataclass(frozen=True)
class Identifier(Param):
    """``[system|]value`` of (value, issuer) in a table of their own, or on the row itself (``of`` empty)."""

    of: str = ""
    value: str = "value"
    issuer: str = "issuer"
    #: system -> path, for numbers that are columns of the row (accession number, placer order number ...)
    columns: Mapping[str, str] = field(default_factory=dict)
    kind: ClassVar[str] = "token"
    modifiers: ClassVar[tuple[str, ...]] = ("missing", "not")
    _is_text: ClassVar[bool] = True

    @property
    def may_be_empty(self) -> bool:
        return not any(path.endswith("uuid") for path in self.paths())

    def paths(self) -> tuple[str, ...]:
        return tuple(self.columns.values()) or (f"{self.of}__{self.value}" if self.of else self.value,)

    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q:
        found = NOTHING
        for value in values:
            system, bar, code = value.rpartition("|")
            found |= self._column(system, bar, code) if self.columns else self._row(system, bar, code)
        if self.of:
            found = Q(pk__in=asked.model._base_manager.filter(found).order_by().values("pk"))
        return ~found if modifier == "not" else found

    def _row(self, system: str, bar: str, code: str) -> Q:
        prefix = f"{self.of}__" if self.of else ""
        found = Q()
        if code:
            found &= Q(**{f"{prefix}{self.value}__iexact": code})
        if bar:
            found &= Q(**{f"{prefix}{self.issuer}": issuer_of(system)})
        return found if found else NOTHING

    def _column(self, system: str, bar: str, code: str) -> Q:
        found = NOTHING
        for known, path in self.columns.items():
            if system and known and system != known:
                continue
            if bar and not system and known:
                continue
            clean = code.removeprefix("urn:oid:").removeprefix("urn:uuid:")
            is_uuid = path.endswith("uuid")
            if is_uuid and not as_uuid(clean):
                continue
            found |= Q(**{path: clean}) if code else ~Q(**{path: ""})
        return found


@dataclass(frozen=True)
class String(Param):
    """Begins with, whatever case and accents; ``:exact`` and ``:contains``."""

    at: tuple[str, ...] = ()
    kind: ClassVar[str] = "string"
    modifiers: ClassVar[tuple[str, ...]] = ("missing", "exact", "contains")
    _is_text: ClassVar[bool] = True

    def paths(self) -> tuple[str, ...]:
        return self.at

    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q:
        found = NOTHING
        for value in values:
            if not value:
                raise invalid(self.name, "an empty value matches nothing and everything.")
            for path in self.at:
                if modifier == "exact":
                    found |= Q(**{path: value})
                else:
                    how = "icontains" if modifier == "contains" else "istartswith"
                    found |= Q(**{f"{path}__plain__{how}": plain(value)})
        return found


@dataclass(frozen=True)
class Uri(Param):
    at: str = ""
    kind: ClassVar[str] = "uri"
    modifiers: ClassVar[tuple[str, ...]] = ("missing",)
    _is_text: ClassVar[bool] = True

    def paths(self) -> tuple[str, ...]:
        return (self.at,)

    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q:
        return Q(**{f"{self.at}__in": list(values)})


@dataclass(frozen=True)
class Length(Param):
    """A number that shapes what is derived; it chooses among no rows."""

    kind: ClassVar[str] = "number"
    modifiers: ClassVar[tuple[str, ...]] = ()

    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q:
        raise invalid(self.name, "it goes with status=free.")


# --- dates


@dataclass(frozen=True)
class Date(Param):
    """A date, an instant, or a period (``until`` is its end): prefixes eq ne gt lt ge le sa eb ap (3.1.1.4.5)."""

    at: str = ""
    until: str = ""
    is_day: bool = False
    kind: ClassVar[str] = "date"

    def paths(self) -> tuple[str, ...]:
        return (self.at,)

    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q:
        found = NOTHING
        for value in values:
            found |= self._one(value)
        return found

    def _one(self, value: str) -> Q:
        prefix, text = (value[:2], value[2:]) if value[:2] in PREFIXES else ("eq", value)
        low, high = span_of(text, self.name)
        if prefix == "ap":
            gap = abs(timezone.now() - low) * 0.1
            try:
                low, high, prefix = low - gap, high + gap, "eq"
            except OverflowError:
                raise invalid(self.name, "about when that was reaches out of the calendar.") from None
        start, end = self.at, self.until or self.at
        if self.is_day:
            first, after = _day(low), _day(high)
            if after == first:
                after = first + timedelta(days=1)
            low, high = first, after
        if prefix == "eq":
            return Q(**{f"{start}__gte": low, f"{end}__lt": high})
        if prefix == "ne":
            return Q(**{f"{start}__isnull": False}) & ~Q(**{f"{start}__gte": low, f"{end}__lt": high})
        if prefix == "ge":
            return Q(**{f"{end}__gte": low})
        if prefix == "le":
            return Q(**{f"{start}__lt": high})
        if prefix == "gt":
            return Q(**{f"{end}__gte": high})
        if prefix == "lt":
            return Q(**{f"{start}__lt": low})
        if prefix == "sa":
            return Q(**{f"{start}__gte": high})
        return Q(**{f"{end}__lt": low})  # eb


def _day(moment: datetime) -> date:
    return timezone.localtime(moment).date()


def span_of(text: str, name: str) -> tuple[datetime, datetime]:
    """What a date of any precision covers, the end exclusive; without a zone it is the facility's."""
    text = text.strip().replace(" ", "+")
    try:
        if match := re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", text):
            year, month, day = int(match[1]), int(match[2] or 0), int(match[3] or 0)
            if day:
                first = date(year, month, day)
                after = first + timedelta(days=1)
            elif month:
                first = date(year, month, 1)
                after = first + timedelta(days=calendar.monthrange(year, month)[1])
            else:
                first, after = date(year, 1, 1), date(year + 1, 1, 1)
            return _midnight(first), _midnight(after)
        match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(\.\d+)?(Z|[+-]\d\d:\d\d)?", text)
        if match is None:
            raise ValueError
        moment = parse_datetime(f"{match[1]}{match[2] or ':00'}{match[3] or ''}{match[4] or ''}")
        if moment is None:
            raise ValueError
        if timezone.is_naive(moment):
            moment = timezone.make_aware(moment)
        width = timedelta(milliseconds=1) if match[3] else timedelta(seconds=1) if match[2] else timedelta(minutes=1)
        return moment, moment + width
    except (ValueError, OverflowError):
        raise invalid(name, "a date like 2026-03-01, 2026-03 or 2026-03-01T08:30:00+03:00.") from None


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


# --- references


@dataclass(frozen=True)
class To:
    """A type that a reference may lead to, and the way there. ``by_uuid``: the column holds the UUID, not a key."""

    type: str
    path: str
    by_uuid: bool = False
    many: bool = False

    @property
    def column(self) -> str:
        """Where the UUID of what is referred to stands."""
        if self.by_uuid:
            return self.path
        return "uuid" if self.path == "pk" else f"{self.path}__uuid"


@dataclass(frozen=True)
class Reference(Param):
    to: tuple[To, ...] = ()
    kind: ClassVar[str] = "reference"
    modifiers: ClassVar[tuple[str, ...]] = ("missing", "identifier", "[type]")

    def paths(self) -> tuple[str, ...]:
        return tuple(one.path for one in self.to)

    def ways(self, type_name: str = "") -> list[To]:
        found = [one for one in self.to if type_name in ("", one.type)]
        if not found:
            raise invalid(self.name, f"it never refers to {type_name}.")
        return found

    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q:
        found = NOTHING
        for value in values:
            type_name, key = self._target(value, asked.base)
            if key is None:
                continue
            wanted = modifier or type_name
            for way in self.to:
                if wanted in ("", way.type):
                    found |= self.leading_to(way, Q(**{way.column: key}), asked)
        return found

    def through(self, way: To, rows: QuerySet, asked: Asked) -> Q:
        """To any of these rows."""
        if way.by_uuid:
            return self.leading_to(way, Q(**{f"{way.path}__in": rows.values("uuid")}), asked)
        return self.leading_to(way, Q(**{f"{way.path}__in": rows.values("pk")}), asked)

    @staticmethod
    def leading_to(way: To, condition: Q, asked: Asked) -> Q:
        if not way.many:
            return condition
        return Q(pk__in=asked.model._base_manager.filter(condition).order_by().values("pk"))

    def _target(self, value: str, base: str) -> tuple[str, UUID | None]:
        """``uuid``, ``Type/uuid`` or our own address of it."""
        path = value.removeprefix(f"{base}/").split("/_history/")[0]
        if "://" in path:
            return "", None
        type_name, _slash, key = path.rpartition("/")
        if type_name and type_name not in {one.type for one in self.to}:
            raise invalid(self.name, f"it never refers to {type_name}.")
        return type_name, as_uuid(key)


@dataclass(frozen=True)
class PartReference(Reference):
    """Of a type with several sources: what only another source refers to is not found here, and no mistake."""

    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q:
        known = {one.type for one in self.to}
        types = {value: value.removeprefix(f"{asked.base}/").rpartition("/")[0].rpartition("/")[2] for value in values}
        mine = [value for value in values if not types[value] or types[value] in known]
        if modifier and modifier not in (*known, "identifier", "missing"):
            return NOTHING
        return super().condition(mine, modifier, asked) if mine else NOTHING


def whole_number(text: str, name: str) -> int:
    """Raises Refused (400) for what is no number, or none of this world."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise invalid(name, "a whole number.")
    return int(text)


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


def split_values(value: str, name: str) -> list[str]:
    """The alternatives of a value: commas part them, a backslash keeps (3.1.1.4.17)."""
    if "\x00" in value or len(value) > LONGEST * 20:
        raise invalid(name, "it holds what cannot be searched for, or too much.")
    found = [re.sub(r"\\([,$|\\])", r"\1", part) for part in re.split(r"(?<!\\),", value)]
    if len(found) > MOST_VALUES or any(len(part) > LONGEST for part in found):
        raise invalid(name, "too many values, or too long ones.")
    return found
