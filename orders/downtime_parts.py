"""What those who stand above add to a downtime: lists per room, images that wait, pages of the read-only export.

Orders knows no rooms and no images. Whoever does registers one ``Department``; whoever has something that people must
be able to read while we are down registers its pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from orders.models import DowntimeForm, DowntimePeriod
from ris.accounts.models import Site
from ris.core.actor import Actor


@dataclass(frozen=True)
class ListRow:
    """One line of a room's list, ready for paper."""

    starts_at: datetime
    ends_at: datetime
    name: str
    about: str
    exam: str
    accession_number: str
    status: str
    note: str = ""
    patient: Any = None


@dataclass(frozen=True)
class RoomList:
    """A room's day."""

    code: str
    name: str
    day: date
    rows: list[ListRow] = field(default_factory=list)


@dataclass(frozen=True)
class Waiting:
    """Something that came from a scanner and waits for its paper."""

    what: str
    at: datetime
    accession_number: str
    name: str
    detail: str
    url: str
    form: str = ""
    patient_id: str = ""


@dataclass(frozen=True)
class ExportPage:
    """One file of the export: ``name`` without ending, a template that stands on ``orders/downtime/export.html``."""

    name: str
    title: str
    template: str
    context: dict[str, Any]
    summary: str = ""
    is_listed: bool = True


class Department(Protocol):
    def stations(self) -> list[tuple[str, str]]:
        """(AE title, words) of the stations that an exam can have been done on."""

    def room_names(self, site: Site | None) -> list[str]: ...

    def room_lists(self, days: list[date], *, site: Site | None, actor: Actor) -> list[RoomList]: ...

    def waiting_in(self, period: DowntimePeriod) -> list[Waiting]:
        """What came in that time, or under a number of its forms, and belongs to nobody yet."""

    def waiting_for(self, form: DowntimeForm) -> list[Waiting]: ...


class _NoDepartment:
    def stations(self) -> list[tuple[str, str]]:
        return []

    def room_names(self, site: Site | None) -> list[str]:
        return []

    def room_lists(self, days: list[date], *, site: Site | None, actor: Actor) -> list[RoomList]:
        return []

    def waiting_in(self, period: DowntimePeriod) -> list[Waiting]:
        return []

    def waiting_for(self, form: DowntimeForm) -> list[Waiting]:
        return []


ExportPages = Callable[[], Iterable[ExportPage]]
_department: Department = _NoDepartment()
_exports: dict[str, tuple[int, ExportPages]] = {}


def register_department(department: Department) -> None:
    global _department
    _department = department


def department() -> Department:
    return _department


def register_export(key: str, pages: ExportPages, *, order: int = 100) -> None:
    _exports[key] = (order, pages)


def export_pages() -> list[ExportPage]:
    found: list[ExportPage] = []
    for _order, pages in sorted(_exports.values(), key=lambda entry: entry[0]):
        found.extend(pages())
    return found
