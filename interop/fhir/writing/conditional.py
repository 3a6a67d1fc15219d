"""The ways to write, for every type alike: create, update, patch, and each of them under a condition (R4 3.1.0.5-8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.utils.translation import gettext as _

from interop.fhir.server.call import Answer, Call, Resource
from interop.fhir.server.engine import check_if_match, found, written
from interop.fhir.server.errors import Refused
from interop.fhir.server.registry import type_of
from interop.fhir.server.represent import whole
from interop.fhir.smart.guard import require_write
from interop.fhir.writing.checks import check
from interop.fhir.writing.patching import patched
from interop.fhir.writing.references import matches


@dataclass(frozen=True)
class Made:
    """What a create came to: ``is_new`` is false where the same had been sent before."""

    row: Any
    is_new: bool = True


Create = Callable[[Call, Resource], Made]
Change = Callable[[Call, Any, Resource], Any]


@dataclass(frozen=True)
class Writer:
    """How one type is written. ``create(call, resource)``; ``change(call, row, resource)`` brings a row to what the
    resource says and answers it. ``rights``: interaction -> the right it needs, told in the CapabilityStatement.
    """

    name: str
    create: Create | None = None
    change: Change | None = None
    rights: Mapping[str, str] | None = None

    def handlers(self) -> dict[str, Callable[..., Answer]]:
        made: dict[str, Callable[..., Answer]] = {}
        if self.create is not None:
            made |= {"create": self.created, "conditional-create": self.created}
        if self.change is not None:
            made |= {"update": self.updated, "patch": self.patched}
        if self.create is not None and self.change is not None:
            made["conditional-update"] = self.put_where
        return made

    # --- the interactions

    def created(self, call: Call, resource: Resource) -> Answer:
        assert self.create is not None
        check(resource, call.version)
        condition = call.header("If-None-Exist")
        if condition:
            there = self._matching(_query(condition), call)
            if there is not None:
                return self._written(there, call, 200)
        made = self.create(call, resource)
        return self._written(made.row, call, 201 if made.is_new else 200)

    def updated(self, call: Call, row: Any, resource: Resource) -> Answer:
        assert self.change is not None
        check(resource, call.version)
        self._check_version(call, row)
        return self._written(self.change(call, row, resource), call, 200)

    def patched(self, call: Call, row: Any, patch: Any) -> Answer:
        assert self.change is not None
        self._check_version(call, row)
        kind = type_of(self.name)
        assert kind is not None
        source, live = found(kind, str(row.uuid), call)
        resource = patched(whole(kind, source, live, call.version) or {}, patch)
        check(resource, call.version)
        return self._written(self.change(call, row, resource), call, 200)

    def put_where(self, call: Call, resource: Resource) -> Answer:
        """``PUT Type?query``: the only one that fits is changed; where none does, it is created."""
        check(resource, call.version)
        if not call.params:
            raise Refused(400, "An update names its resource by id, or by a search.", issue="required")
        there = self._matching(list(call.params), call)
        if there is None:
            if resource.get("id"):
                raise Refused(405, "Ids are given here: leave the id out, or update what is there.")
            require_write(call, self.name, "create")
            assert self.create is not None
            made = self.create(call, resource)
            return self._written(made.row, call, 201 if made.is_new else 200)
        if resource.get("id") not in (None, str(there.uuid)):
            raise Refused(400, "The id is not that of what the search finds.", expression=f"{self.name}.id")
        self._check_version(call, there)
        assert self.change is not None
        return self._written(self.change(call, there, resource), call, 200)

    # --- what they share

    def _matching(self, params: list[tuple[str, str]], call: Call) -> Any:
        """None, or the only row; several are refused (412)."""
        rows = matches(self.name, params, call)
        if len(rows) > 1:
            raise Refused(412, _("The condition is met by several: it has to name one."), issue="multiple-matches")
        return rows[0] if rows else None

    def _check_version(self, call: Call, row: Any) -> None:
        kind = type_of(self.name)
        assert kind is not None
        if settings.RIS_FHIR_REQUIRE_IF_MATCH and not call.header("If-Match"):
            raise Refused(428, _("Say with If-Match which version you change."), issue="required")
        check_if_match(kind, row, call)

    def _written(self, row: Any, call: Call, status: int) -> Answer:
        kind = type_of(self.name)
        assert kind is not None
        return written(kind, row.uuid, call, status=status)


def _query(text: str) -> list[tuple[str, str]]:
    found_ = parse_qsl(text.partition("?")[2] or text, keep_blank_values=True)
    if not found_:
        raise Refused(400, "If-None-Exist is a search: name=value.", issue="value")
    return found_
