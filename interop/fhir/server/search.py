"""Search: parameters into conditions, sources merged in one order, pages by position, includes both ways."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from interop.fhir.server.call import Answer, Call, Resource
from interop.fhir.server.errors import Refused, issue, outcome
from interop.fhir.server.params import Asked, Param, Reference, To, invalid, split_values, whole_number
from interop.fhir.server.registry import ResourceType, Source, type_of
from interop.fhir.server.represent import Part, whole
from interop.fhir.server.rights import note_read, require
from ris.accounts.encryption import decrypt, encrypt
from ris.core.errors import InvalidData

PAGE, LARGEST_PAGE, COUNTED_UP_TO = 50, 500, 10_000
#: Of what is included in one page
MOST_INCLUDED = 2000
MOST_PARAMS, LONGEST_CHAIN = 60, 3
#: So many pages one can go back
LONGEST_TRAIL = 20
LINKS_WORK_FOR = 24 * 3600
CONTROL = {
    "_count", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total", "_format", "_pretty", "_page",
    "_contained", "_containedType",
}  # fmt: skip
ITERATE = ("_include:iterate", "_revinclude:iterate", "_include:recurse", "_revinclude:recurse")


@dataclass
class Position:
    """Where a page begins: after the row with these sort values, of this source, with this key."""

    values: list[Any]
    source: int
    pk: int


@dataclass
class Search:
    """A search as it is understood."""

    kind: ResourceType
    filters: list[tuple[str, str]]
    controls: list[tuple[str, str]]
    ignored: list[str] = field(default_factory=list)
    is_private: bool = False
    #: after what the pages before this one began, oldest first; None is the first page
    trail: list[Position | None] = field(default_factory=list)

    def control(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.controls if key == name), default)

    def all(self, name: str) -> list[str]:
        """Each value once, in their order. Raises Refused (400) for more than anybody means."""
        found = list(dict.fromkeys(part for key, value in self.controls if key == name for part in value.split(",")))
        if len(found) > MOST_PARAMS:
            raise Refused(400, f"{name}: too many values.", issue="too-costly")
        return found


# --- from parameters to conditions


def understood(kind: ResourceType, call: Call) -> Search:
    """Raises Refused (400) for a parameter that is not known, unless ``Prefer: handling=lenient``."""
    search = Search(kind, [], [])
    if len(call.params) > MOST_PARAMS:
        raise Refused(400, "Too many parameters.", issue="too-costly")
    for key, value in call.params:
        if key in ITERATE:
            raise Refused(400, f"{key} is not supported: ask for what is included step by step.", issue="not-supported")
        if key in CONTROL:
            search.controls.append((key, value))
            continue
        param = kind.params.get(key.partition(":")[0].partition(".")[0])
        if param is None:
            if call.preference("handling") != "lenient":
                known = ", ".join(sorted(kind.params))
                words = f"{kind.name} is not searched by {key.partition('=')[0][:60]}. It is by {known}."
                raise Refused(400, words, issue="not-supported")
            search.ignored.append(key)
            continue
        if value == "":
            continue  # an empty parameter is no parameter (3.1.1.3)
        search.filters.append((key, value))
        search.is_private |= param.is_private or "." in key or ":identifier" in key
    return search


def condition_of(kind: ResourceType, source: Source, key: str, value: str, call: Call, depth: int = 0) -> Q | None:
    """None when this source has no such parameter: none of its rows fits."""
    head, _dot, rest = key.partition(".")
    name, _colon, modifier = head.partition(":")
    param = source.by_name.get(name)
    if param is None:
        return None
    asked = Asked(call.actor, source.model, call.base)
    if rest or (modifier == "identifier" and isinstance(param, Reference)):
        return _chained(param, modifier, rest or "identifier", value, asked, call, depth)
    values = split_values(value, key)
    if modifier == "missing" and "missing" in param.known_modifiers:
        return param.missing(values)
    is_type = isinstance(param, Reference) and modifier in {way.type for way in param.to}
    if modifier and (modifier == "missing" or modifier not in param.modifiers) and not is_type:
        raise Refused(400, f"{name} knows no modifier :{modifier[:40]}.", issue="not-supported")
    return param.condition(values, modifier, asked)


def _chained(param: Param, modifier: str, rest: str, value: str, asked: Asked, call: Call, depth: int) -> Q:
    """``patient.identifier=…``: rows that refer to a row that fits, of those the caller may see."""
    if not isinstance(param, Reference):
        raise invalid(param.name, "only references are chained.")
    if depth >= LONGEST_CHAIN:
        raise Refused(400, "The chain is too long.", issue="too-costly")
    found, is_known = Q(pk__in=[]), False
    for way in param.ways("" if modifier in ("", "identifier") else modifier):
        target = type_of(way.type)
        if target is None or rest.partition(".")[0].partition(":")[0] not in target.params:
            continue
        is_known = True
        require(call, target)
        for source in sources_of(way, target, asked.model):
            inner = condition_of(target, source, rest, value, call, depth + 1)
            if inner is not None:
                found |= param.through(way, source.rows(call.actor).filter(inner), asked)
    if not is_known:
        raise invalid(param.name, f"what it refers to is not searched by {rest[:60]}.")
    return found


def sources_of(way: To, target: ResourceType, model: type) -> list[Source]:
    """The sources that a way may lead to: by its foreign key one, by a UUID any."""
    if way.by_uuid:
        return list(target.sources)
    current: Any = model
    for step in way.path.split("__"):
        if step == "pk":
            break
        current = current._meta.get_field(step).related_model
    found = target.source_of(current)
    return [found] if found else []


def filtered(search: Search, call: Call) -> list[QuerySet | None]:
    """Of each source the rows that fit; None where none can."""
    found: list[QuerySet | None] = []
    for source in search.kind.sources:
        rows: QuerySet | None = source.rows(call.actor)
        for key, value in search.filters:
            condition = condition_of(search.kind, source, key, value, call)
            rows = None if condition is None or rows is None else rows.filter(condition)
        found.append(rows)
    return found


# --- order and pages


def sorting(search: Search, source: Source) -> list[tuple[str, bool]] | None:
    """Paths to sort by and whether they fall; None when this source has no such parameter."""
    made = []
    for name in search.all("_sort"):
        if not name:
            continue
        falls, name = name.startswith("-"), name.removeprefix("-")
        known = search.kind.params.get(name)
        if known is None or not any(param.sort for s in search.kind.sources if (param := s.by_name.get(name))):
            can = ", ".join(sorted(n for n, p in search.kind.params.items() if p.sort))
            raise Refused(
                400, f"{search.kind.name} is not sorted by {name[:40]}. It is by {can}.", issue="not-supported"
            )
        param = source.by_name.get(name)
        if param is None or not param.sort:
            return None
        made.append((param.sort, falls))
    return made


def page_of(
    search: Search, sets: Sequence[QuerySet | None], size: int, after: Position | None
) -> tuple[list[Position], bool]:
    """The positions of one page in order, and whether more follow. One query per source."""
    found: list[tuple[Any, Position]] = []
    for place, (source, rows) in enumerate(zip(search.kind.sources, sets, strict=True)):
        keys = sorting(search, source)
        if rows is None or keys is None:
            continue
        if after is not None:
            rows = rows.filter(_following(keys, after, place))
        order = [F(path).desc(nulls_last=True) if falls else F(path).asc(nulls_last=True) for path, falls in keys]
        for pk, *values in rows.order_by(*order, "-pk").values_list("pk", *(path for path, _falls in keys))[: size + 1]:
            position = Position(values, place, pk)
            found.append((_rank(keys, position), position))
    found.sort(key=lambda pair: pair[0])
    return [position for _rank_, position in found[:size]], len(found) > size


def _following(keys: list[tuple[str, bool]], after: Position, place: int) -> Q:
    """What stands behind a position: by the first key that differs, then by source, then by falling key."""
    tie = Q(pk__lt=after.pk) if place == after.source else Q() if place > after.source else Q(pk__in=[])
    found = tie
    for (path, falls), value in reversed(list(zip(keys, after.values, strict=True))):
        if value is None:
            found = Q(**{f"{path}__isnull": True}) & found
            continue
        further = Q(**{f"{path}__{'lt' if falls else 'gt'}": value}) | Q(**{f"{path}__isnull": True})
        found = further | (Q(**{path: value}) & found)
    return found


class _Falling:
    """Reversed order of any value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Falling) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Falling) and other.value == self.value


def _rank(keys: list[tuple[str, bool]], position: Position) -> tuple[Any, ...]:
    ranks: list[Any] = []
    for (_path, falls), value in zip(keys, position.values, strict=True):
        ranks.append((value is None, _Falling(value) if falls and value is not None else value or ""))
    return (*ranks, position.source, -position.pk)


def loaded_page(kind: ResourceType, positions: Sequence[Position]) -> list[tuple[Source, Any]]:
    """The rows of a page, with all that their resources need."""
    found: dict[tuple[int, int], tuple[Source, Any]] = {}
    for place, source in enumerate(kind.sources):
        keys = [position.pk for position in positions if position.source == place]
        if keys:
            rows = source.versions.annotated(source.loaded(source.model._base_manager.filter(pk__in=keys)))
            found.update({(place, row.pk): (source, row) for row in rows})
    return [found[p.source, p.pk] for p in positions if (p.source, p.pk) in found]


# --- the answer


def searched(kind: ResourceType, call: Call) -> Answer:
    token = call.param("_page")
    search, after = _of_token(kind, call, token) if token else (understood(kind, call), None)
    asking = Call(call.version, call.actor, "GET", call.path, call.base, search.controls, call.headers)
    part = Part(asking)
    size = _size(search)
    sets = filtered(search, call)
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset"}
    if after is None and search.control("_total") not in ("", "none", "estimate", "accurate"):
        raise Refused(400, "_total is none, estimate or accurate.", issue="value")
    if (total := _total(search, sets, after, part)) is not None:
        bundle["total"] = total
    links = [{"relation": "self", "url": _self(search, call, after)}]
    if part.summary == "count" or size == 0:
        return Answer({**bundle, "link": links})
    positions, has_more = page_of(search, sets, size, after)
    pairs = loaded_page(kind, positions)
    part.load(kind, [row for _source, row in pairs])
    if after is not None:
        links.append({"relation": "first", "url": _self(search, call, None)})
    if search.trail:
        links.append({"relation": "previous", "url": _link(search, call, search.trail[-1], search.trail[:-1])})
    if has_more:
        links.append({"relation": "next", "url": _link(search, call, positions[-1], [*search.trail, after])})
    made = [(source, row, whole(kind, source, row, call.version)) for source, row in pairs]
    entries = [_entry(call, resource, "match") for _s, _row, resource in made if resource is not None]
    rows = [row for _s, row, resource in made if resource is not None]
    note_read(call, kind, rows, len(entries))
    entries += included(search, call, pairs)
    for entry in entries:
        entry["resource"] = part.of(entry["resource"], call.version)
    if search.ignored:
        told = [issue("not-supported", f"Ignored: {name[:60]}.", severity="warning") for name in search.ignored]
        entries.append({"resource": outcome(*told), "search": {"mode": "outcome"}})
    bundle["link"] = links
    if entries:
        bundle["entry"] = entries
    return Answer(bundle)


def _entry(call: Call, resource: Resource, mode: str) -> Resource:
    url = call.url(resource["resourceType"], resource["id"])
    return {"fullUrl": url, "resource": resource, "search": {"mode": mode}}


def _size(search: Search) -> int:
    return min(whole_number(search.control("_count", str(PAGE)), "_count"), LARGEST_PAGE)


def _total(search: Search, sets: Iterable[QuerySet | None], after: Position | None, part: Part) -> int | None:
    """Counted on the first page; beyond ten thousand only when it is asked for."""
    wanted = search.control("_total")
    is_count = part.summary == "count" or search.control("_count") == "0"
    if (wanted == "none" or after is not None) and not is_count:
        return None
    if wanted == "accurate" or is_count:
        return sum(rows.count() for rows in sets if rows is not None)
    total = sum(rows[: COUNTED_UP_TO + 1].count() for rows in sets if rows is not None)
    return total if total <= COUNTED_UP_TO else None


# --- included


def included(search: Search, call: Call, pairs: Sequence[tuple[Source, Any]]) -> list[Resource]:
    """What ``_include`` and ``_revinclude`` ask for beside this page, each resource once."""
    seen = {str(row.uuid) for _source, row in pairs}
    found: list[Resource] = []
    for text in search.all("_include"):
        for kind, source, rows in _included_by(text, search.kind, call, pairs):
            found += _included(kind, source, rows, call, seen)
    for text in search.all("_revinclude"):
        for kind, source, rows in _revincluded_by(text, search.kind, call, pairs):
            found += _included(kind, source, rows, call, seen)
    return found


def _included(kind: ResourceType, source: Source, rows: QuerySet, call: Call, seen: set[str]) -> list[Resource]:
    loaded = list(source.versions.annotated(source.loaded(rows))[: MOST_INCLUDED + 1])
    if len(loaded) > MOST_INCLUDED:
        raise Refused(400, "Too much would be included: ask for smaller pages.", issue="too-costly")
    made, shown = [], []
    for row in loaded:
        if str(row.uuid) in seen:
            continue
        resource = whole(kind, source, row, call.version)
        if resource is not None:
            seen.add(str(row.uuid))
            shown.append(row)
            made.append(_entry(call, resource, "include"))
    if shown:
        note_read(call, kind, shown, len(shown))
    return made


def _asked_include(text: str, name: str) -> tuple[ResourceType, list[Reference], str]:
    type_name, _colon, rest = text.partition(":")
    param_name, _colon, target = rest.partition(":")
    kind = type_of(type_name)
    if kind is None or not param_name:
        raise Refused(400, f"{name}={text[:80]} is not Type:parameter.", issue="value")
    if param_name == "*":
        return kind, list(kind.references.values()), target
    param = kind.references.get(param_name)
    if param is None:
        can = ", ".join(sorted(kind.references)) or "nothing"
        raise Refused(400, f"{type_name}:{param_name[:40]} is not included. It is by {can}.", issue="not-supported")
    return kind, [param], target


def _included_by(text: str, kind: ResourceType, call: Call, pairs: Sequence[tuple[Source, Any]]) -> Any:
    from_type, params, only = _asked_include(text, "_include")
    if from_type is not kind:
        raise Refused(400, f"_include={text[:80]} does not begin at {kind.name}.", issue="value")
    for name in dict.fromkeys(param.name for param in params):
        for source in kind.sources:
            param = source.by_name.get(name)
            keys = [row.pk for owner, row in pairs if owner is source]
            if not isinstance(param, Reference) or not keys:
                continue
            for way in param.to:
                target = type_of(way.type)
                if target is None or only not in ("", way.type):
                    continue
                require(call, target)
                wanted = source.model._base_manager.filter(pk__in=keys).order_by().values(way.path)
                for other in sources_of(way, target, source.model):
                    field_ = "uuid__in" if way.by_uuid else "pk__in"
                    yield target, other, other.rows(call.actor).filter(**{field_: wanted})


def _revincluded_by(text: str, kind: ResourceType, call: Call, pairs: Sequence[tuple[Source, Any]]) -> Any:
    from_type, params, _only = _asked_include(text, "_revinclude")
    require(call, from_type)
    is_known = False
    for name in dict.fromkeys(param.name for param in params):
        for source in from_type.sources:
            param = source.by_name.get(name)
            for way in param.to if isinstance(param, Reference) else ():
                if way.type != kind.name:
                    continue
                is_known = True
                targets = sources_of(way, kind, source.model)
                rows = [row for owner, row in pairs if owner in targets]
                if not rows:
                    continue
                asked = Asked(call.actor, source.model, call.base)
                keys = [row.uuid for row in rows] if way.by_uuid else [row.pk for row in rows]
                condition = Reference.leading_to(way, Q(**{f"{way.path}__in": keys}), asked)
                yield from_type, source, source.rows(call.actor).filter(condition)
    if not is_known:
        raise Refused(400, f"_revinclude={text[:80]} never refers to {kind.name}.", issue="value")


# --- links


def _self(search: Search, call: Call, after: Position | None) -> str:
    if search.is_private or after is not None:
        return _link(search, call, after, search.trail if after is not None else [])
    query = urlencode([*search.filters, *(pair for pair in search.controls if pair[0] != "_page")])
    return call.url(search.kind.name) + (f"?{query}" if query else "")


def _link(search: Search, call: Call, after: Position | None, trail: Sequence[Position | None]) -> str:
    """Opaque: the whole search, encrypted; it says nothing of a patient and works for a day, for its caller."""
    user = str(call.actor.user.uuid) if call.actor.user else ""
    content = {
        "t": search.kind.name,
        "u": user,
        "f": search.filters,
        "c": [pair for pair in search.controls if pair[0] not in ("_format", "_pretty", "_page")],
        "i": search.ignored,
        "p": search.is_private,
        "e": int(time.time()) + LINKS_WORK_FOR,
    }
    if after is not None:
        content["a"] = _put(after)
        content["b"] = [_put(one) for one in trail[-LONGEST_TRAIL:]]
    token = encrypt(json.dumps(content, separators=(",", ":"))).rstrip("=")
    return call.url(search.kind.name) + f"?_page={token}"


def _of_token(kind: ResourceType, call: Call, token: str) -> tuple[Search, Position | None]:
    if any(key not in ("_page", "_format", "_pretty") for key, _value in call.params):
        raise Refused(400, "A link to a page stands alone.", issue="value")
    try:
        content = json.loads(decrypt(token + "=" * (-len(token) % 4)))
    except (InvalidData, ValueError, UnicodeError):
        raise _gone() from None
    user = str(call.actor.user.uuid) if call.actor.user else ""
    if content["t"] != kind.name or content["u"] != user or content["e"] < time.time():
        raise _gone()
    search = Search(
        kind, [(k, v) for k, v in content["f"]], [(k, v) for k, v in content["c"]], content["i"], content["p"]
    )
    if "a" not in content:
        return search, None
    search.trail = [_taken(one) for one in content.get("b", [])]
    return search, _taken(content["a"])


def _gone() -> Refused:
    return Refused(410, _("This link to a page works no more: search again."), issue="expired")


def _put(position: Position | None) -> Any:
    return position and [[_packed(value) for value in position.values], position.source, position.pk]


def _taken(content: Any) -> Position | None:
    if content is None:
        return None
    values, place, pk = content
    return Position([_unpacked(value) for value in values], place, pk)


def _packed(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return ["d" if isinstance(value, datetime) else "D", value.isoformat()]
    if isinstance(value, UUID):
        return ["u", str(value)]
    return value


def _unpacked(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    kind, text = value
    return parse_datetime(text) if kind == "d" else parse_date(text) if kind == "D" else UUID(text)
