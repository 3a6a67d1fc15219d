"""Where versionId comes from, and what an earlier version said.

A resource is often made from several rows: an exam and its order, a patient and their identifiers. Each of these
``Part``s counts its own changes, and versionId joins the counts (``5``, ``5.2``): the state after the fifth change of
the first and the second change of the other. So an id says which history rows to read, and nothing is stored twice.
Words that only accompany a reference (display, identifier) tell the present, in earlier versions as well.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson
from django.db import models
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

#: What follows a change so closely belongs to it: a patient and the identifiers that they were registered with.
TOGETHER = timedelta(seconds=1)


@dataclass(frozen=True)
class Moment:
    """One version: its id, when it began, the row as it was, and whether it was the first."""

    version_id: str
    at: datetime
    row: Any
    is_first: bool


class Versions(Protocol):
    keeps_history: bool

    def annotated(self, rows: QuerySet) -> QuerySet: ...

    def version_id(self, row: Any) -> str: ...

    def moments(self, rows: Sequence[Any]) -> dict[Any, list[Moment]]: ...


class Unversioned:
    """No earlier version is kept, and no versionId is told; the ETag is a digest of what is answered."""

    keeps_history = False

    def annotated(self, rows: QuerySet) -> QuerySet:
        return rows

    def version_id(self, row: Any) -> str:
        return ""

    def moments(self, rows: Sequence[Any]) -> dict[Any, list[Moment]]:
        return {}


class Immutable(Unversioned):
    """Written once: version 1 is all there will be."""

    keeps_history = True

    def __init__(self, recorded: str) -> None:
        self.recorded = recorded

    def version_id(self, row: Any) -> str:
        return "1"

    def moments(self, rows: Sequence[Any]) -> dict[Any, list[Moment]]:
        return {row.pk: [Moment("1", getattr(row, self.recorded), row, True)] for row in rows}


@dataclass(frozen=True)
class Parent:
    """The row that a foreign key leads to, as the order of an exam."""

    name: str


@dataclass(frozen=True)
class Children:
    """Rows whose foreign key ``by`` leads here, as the identifiers of a patient."""

    name: str
    model: type[models.Model]
    by: str


class RowVersions:
    """Versions from the history tables of the row (a ``Recorded`` model) and of its parts."""

    keeps_history = True

    def __init__(self, model: type[models.Model], *parts: Parent | Children) -> None:
        self.model, self.parts = model, parts

    def annotated(self, rows: QuerySet) -> QuerySet:
        for part in self.parts:
            if isinstance(part, Children):
                history = part.model.history.model.objects.filter(**{part.by: OuterRef("pk")})
                counted = history.order_by().values(part.by).annotate(changes=Count("*")).values("changes")
                rows = rows.annotate(
                    **{f"changes_of_{part.name}": Coalesce(Subquery(counted, output_field=IntegerField()), 0)}
                )
        return rows

    def version_id(self, row: Any) -> str:
        counts = [row.version]
        for part in self.parts:
            if isinstance(part, Parent):
                counts.append(getattr(row, part.name).version)
            else:
                counts.append(getattr(row, f"changes_of_{part.name}"))
        return ".".join(map(str, counts))

    def moments(self, rows: Sequence[Any]) -> dict[Any, list[Moment]]:
        """Of each row (by key), oldest first; one query per part, however many rows."""
        histories = [self._own(rows), *(self._of(part, rows) for part in self.parts)]
        return {row.pk: self._replay(row, [history[row.pk] for history in histories]) for row in rows}

    def _own(self, rows: Sequence[Any]) -> dict[Any, list[Any]]:
        found = self.model.history.filter(id__in=[row.pk for row in rows])
        return _by(found, "id")

    def _of(self, part: Parent | Children, rows: Sequence[Any]) -> dict[Any, list[Any]]:
        if isinstance(part, Children):
            found = part.model.history.filter(**{f"{part.by}__in": [row.pk for row in rows]})
            return _by(found, f"{part.by}_id")
        related = self.model._meta.get_field(part.name).related_model
        keys = {row.pk: getattr(row, f"{part.name}_id") for row in rows}
        by_parent = _by(related.history.filter(id__in=set(keys.values())), "id")
        return defaultdict(list, {pk: by_parent[key] for pk, key in keys.items()})

    def _replay(self, row: Any, histories: list[list[Any]]) -> list[Moment]:
        events = sorted(
            ((change.history_date, place, change) for place, history in enumerate(histories) for change in history),
            key=lambda event: (event[0], event[1], event[2].history_id),
        )
        own: Any = None
        states: list[Any] = [None] + [
            {} if isinstance(part, Children) else getattr(row, part.name) for part in self.parts
        ]
        counts = [0] * len(histories)
        moments: list[Moment] = []
        last: datetime | None = None
        for at, place, change in events:
            if place == 0:
                own, counts[0] = change, change.version
            elif isinstance(self.parts[place - 1], Children):
                states[place] = {**states[place], change.id: change}
                counts[place] += 1
            else:
                states[place], counts[place] = change, change.version
            if own is None:
                continue
            joins = place > 0 and bool(moments) and last is not None and at - last < TOGETHER
            if joins:
                moments.pop()
            version_id = ".".join(map(str, counts))
            moments.append(Moment(version_id, at, self._row(row, own, list(states)), not moments))
            last = at
        return self._with_present(row, moments)

    def _with_present(self, row: Any, moments: list[Moment]) -> list[Moment]:
        """The present stands last, under the id it is read by, even where a bulk load left no history."""
        current = self.version_id(row)
        parents = [getattr(row, part.name).updated_at for part in self.parts if isinstance(part, Parent)]
        at = max([row.updated_at, *parents])
        if moments and moments[-1].version_id == current:
            moments[-1] = Moment(current, at, row, moments[-1].is_first)
            return moments
        return [*moments, Moment(current, at, row, not moments)]

    def _row(self, live: Any, own: Any, states: list[Any]) -> Any:
        made = _revived(self.model, own, live)
        for part, state in zip(self.parts, states[1:], strict=True):
            if isinstance(part, Parent):
                parent = getattr(live, part.name)
                setattr(made, part.name, state if state is parent else _revived(type(parent), state, parent))
            else:
                children = [_revived(part.model, change, None) for _key, change in sorted(state.items())]
                made._prefetched_objects_cache[part.name] = children
        return made


def _by(rows: QuerySet, key: str) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for row in rows.order_by("history_id"):
        found[getattr(row, key)].append(row)
    return found


def _revived(model: type[models.Model], change: Any, live: Any) -> Any:
    """The row as a history row tells it. What hangs on it, and what history leaves out, is the present's."""
    made = model()
    for column in model._meta.concrete_fields:
        if hasattr(change, column.attname):
            setattr(made, column.attname, getattr(change, column.attname))
        elif live is not None and column.attname in live.__dict__:
            made.__dict__[column.attname] = live.__dict__[column.attname]
    made._state.adding = False
    made._prefetched_objects_cache = {}
    if live is not None:
        for name, related in live._state.fields_cache.items():
            column = model._meta.get_field(name)
            if not getattr(column, "attname", None) or related is None:
                continue
            if related.pk == getattr(made, column.attname):
                setattr(made, name, related)
        made._prefetched_objects_cache = dict(getattr(live, "_prefetched_objects_cache", {}))
    return made


def digest_of(resource: Any) -> str:
    content = orjson.dumps(resource, default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[:20]
