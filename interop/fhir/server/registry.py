"""The resource types this server speaks. A module of ``resources`` makes one and registers it; what it does not
name here, the server does not claim and does not do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from django.db import models
from django.db.models import QuerySet

from interop.fhir.server.call import Answer, Call, Resource, Version
from interop.fhir.server.params import Date, Param, Reference, To, Token, as_uuid
from interop.fhir.server.versions import Unversioned, Versions
from ris.core.actor import Actor

MODULES = (
    "patients", "people", "places", "orders", "schedule", "imaging", "reports", "observations", "documents", "binaries",
    "audit", "written", "outside", "subscriptions",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A table that a resource type is made from.

    ``visible(actor)``: the rows an actor may see, the layer that pages and REST ask. ``loaded(rows)``: with all that
    ``to_fhir`` needs, in a fixed number of queries. ``to_fhir(row, version)``: the resource without id and meta; None
    for a row that says nothing. ``updated``: the path of meta.lastUpdated.
    """

    model: type[models.Model]
    visible: Callable[[Actor], QuerySet]
    loaded: Callable[[QuerySet], QuerySet]
    to_fhir: Callable[[Any, Version], Resource | None]
    params: tuple[Param, ...] = ()
    versions: Versions = field(default_factory=Unversioned)
    updated: str = "updated_at"
    #: what conditions and orders may name besides columns
    extra: Callable[[QuerySet], QuerySet] | None = None

    def __post_init__(self) -> None:
        common: list[Param] = [
            Token("_id", values=_by_id, sort="uuid", doc="The logical id."),
        ]
        if self.updated:
            common.append(Date("_lastUpdated", at=self.updated, sort=self.updated, doc="When it last changed."))
        object.__setattr__(self, "params", (*common, *self.params))

    @property
    def by_name(self) -> dict[str, Param]:
        return {param.name: param for param in self.params}

    def rows(self, actor: Actor) -> QuerySet:
        """Visible rows, each once."""
        rows = self.visible(actor).order_by()
        if rows.query.distinct:
            rows = self.model._base_manager.filter(pk__in=rows.values("pk"))
        return self.extra(rows) if self.extra else rows

    def get(self, actor: Actor, key: str) -> Any:
        """The row of this id, loaded, or None."""
        uuid = as_uuid(key)
        if uuid is None:
            return None
        return self.versions.annotated(self.loaded(self.rows(actor).filter(uuid=uuid))).first()


def _by_id(value: str) -> models.Q:
    uuid = as_uuid(value)
    return models.Q(uuid=uuid) if uuid else models.Q(pk__in=[])


Handler = Callable[..., Answer]


@dataclass(frozen=True)
class Derived:
    """Resources of a type that are worked out, not kept: when a search means them, that search, one by its id."""

    are_asked_for: Callable[[Call], bool]
    listed: Callable[[Call], Answer]
    read: Callable[[Call, str], Answer | None]


@dataclass
class ResourceType:
    """``permission``: any of these rights opens it. ``handlers``: what changes it, by interaction —
    ``create(call, resource)``, ``update(call, row, resource)``, ``patch(call, row, patch)``, ``delete(call, row)`` —
    each answering with what it made. ``operations``: ``$name`` on one row or on the type.
    """

    name: str
    permission: tuple[str, ...]
    sources: tuple[Source, ...]
    doc: str = ""
    handlers: dict[str, Handler] = field(default_factory=dict)
    operations: dict[str, Callable[[Call, Any], Answer]] = field(default_factory=dict)
    #: ``$name`` on the type itself
    type_operations: dict[str, Callable[[Call], Answer]] = field(default_factory=dict)
    derived: Derived | None = None
    #: False: read by its id only
    is_searched: bool = True
    #: the releases that have this type
    releases: tuple[str, ...] = ("r4", "r5")
    #: what is told only when ``_elements`` names it, by its path: ``load(rows)`` brings it along
    on_request: dict[str, Callable[[Sequence[Any]], None]] = field(default_factory=dict)
    #: rights that a change needs, for the CapabilityStatement's documentation
    write_permissions: dict[str, str] = field(default_factory=dict)

    @property
    def params(self) -> dict[str, Param]:
        return {param.name: param for source in self.sources for param in source.params}

    @property
    def references(self) -> dict[str, Reference]:
        return {name: param for name, param in self.params.items() if isinstance(param, Reference)}

    @property
    def is_versioned(self) -> bool:
        return all(source.versions.keeps_history for source in self.sources)

    def find(self, actor: Actor, key: str) -> tuple[Source, Any] | None:
        for source in self.sources:
            row = source.get(actor, key)
            if row is not None:
                return source, row
        return None

    def source_of(self, model: type[models.Model]) -> Source | None:
        return next((source for source in self.sources if source.model is model), None)


@dataclass(frozen=True)
class Virtual:
    """A type that no table stands behind: it is read and listed, and answers by itself."""

    name: str
    answer: Callable[[Call], Answer]
    releases: tuple[str, ...]
    doc: str


_types: dict[str, ResourceType] = {}
virtual_types: dict[str, Virtual] = {}
_loaded: set[bool] = set()
#: ``(method, path)`` of the base itself, as ``("POST", "")`` for a bundle: brought by other modules
system_handlers: dict[tuple[str, str], Callable[[Call], Answer]] = {}


def register(made: ResourceType) -> ResourceType:
    if made.name in _types:
        raise ValueError(f"{made.name} is registered twice")
    _types[made.name] = made
    return made


def load() -> None:
    if _loaded:
        return
    for name in MODULES:
        import_module(f"interop.fhir.server.resources.{name}")
    import_module("interop.fhir.writing.registering").give(_types)
    _loaded.add(True)


def types() -> Mapping[str, ResourceType]:
    load()
    return dict(sorted(_types.items()))


def type_of(name: str) -> ResourceType | None:
    load()
    return _types.get(name)


def includes_to(name: str) -> Iterator[tuple[ResourceType, Reference, To]]:
    """Every reference parameter of any type that may lead to this one: its ``_revinclude``s."""
    for other in types().values():
        for param in other.references.values():
            for way in param.to:
                if way.type == name:
                    yield other, param, way
