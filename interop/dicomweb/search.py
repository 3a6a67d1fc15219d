"""QIDO-RS: what the index knows, at three levels, in one query of its own; patients as C-FIND tells them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time
from typing import Any
from uuid import UUID

from django.db.models import Q
from pydicom.datadict import dictionary_VR

from interop.dicom.index_search import Row, instances, series, studies
from interop.dicom.query_keys import Identifier, Level
from interop.dicomweb.matching import TOLD, Query
from interop.dicomweb.model import Model, name_of
from interop.dicomweb.resources import Addresses, Target, visible_study
from ris.core.actor import Actor
from worklist.models import ImagingStudy

UTF8 = {"vr": "CS", "Value": ["ISO_IR 192"]}
ONLINE = {"vr": "CS", "Value": ["ONLINE"]}
CLASSES_IN_STUDY = 0x00080062
#: Named by every result, whichever levels it shows.
UNIQUE = frozenset({0x0020000D, 0x0020000E, 0x00080018})
#: level -> (its search, the way from its rows to the study)
SEARCHES: dict[Level, tuple[Callable[..., Any], str]] = {
    Level.STUDY: (studies, "pk"),
    Level.SERIES: (series, "study"),
    Level.IMAGE: (instances, "series__study"),
}


@dataclass
class Found:
    """One page of results, and whose they are."""

    results: list[Model]
    patients: list[UUID]
    has_more: bool


def search(level: Level, target: Target, query: Query, *, actor: Actor, addresses: Addresses) -> Found:
    """Raises NotKnown when the address names a study that is not there, InvalidData for a date that is none."""
    target.refuse_what_is_no_uid()
    if target.study:
        visible_study(target.study, actor=actor)
    ask, way = SEARCHES[level]
    within = Q(**{f"{way}__in": ImagingStudy.objects.visible_to(actor).order_by().values("pk")})
    if target.study:
        within &= Q(**{f"{way}__study_instance_uid".replace("pk__", ""): target.study})
    if target.series:
        within &= Q(series__series_instance_uid=target.series)
    requested = (CLASSES_IN_STUDY,) if query.includes(CLASSES_IN_STUDY) else ()
    window = slice(query.offset, query.offset + query.limit + 1)
    rows: list[Row] = list(ask(Identifier(level, query.values, requested), within=within, window=window))
    has_more = len(rows) > query.limit
    rows = rows[: query.limit]
    shown = _levels_shown(level, target)
    results = [_result(row, level, shown, query, addresses) for row in rows]
    return Found(results, sorted({UUID(row["patient"]) for row in rows if row["patient"]}), has_more)


def _levels_shown(level: Level, target: Target) -> set[Level]:
    """The level itself, and those above it that the address does not name (PS3.18 10.6.3.3)."""
    shown = {level}
    if level == Level.STUDY or not target.study:
        shown |= {Level.PATIENT, Level.STUDY}
    if level == Level.IMAGE and not target.series:
        shown.add(Level.SERIES)
    return shown


def _result(row: Row, level: Level, shown: set[Level], query: Query, addresses: Addresses) -> Model:
    made: Model = {"00080005": UTF8, "00080056": ONLINE}
    for tag, (of_level, name) in TOLD.items():
        if name in row and (of_level in shown or tag in UNIQUE or query.includes(tag)):
            made[f"{tag:08X}"] = _element(dictionary_VR(tag), row[name])
    if row.get("frames") == 1:
        made.pop("00280008", None)
    made["00081190"] = {"vr": "UR", "Value": [_address(row, level, addresses)]}
    return dict(sorted(made.items()))


def _element(vr: str, value: Any) -> Model:
    if value is None or value == "" or value == []:
        return {"vr": vr}
    if vr == "PN":
        name = name_of(value)
        return {"vr": vr, "Value": [name]} if name else {"vr": vr}
    if isinstance(value, date):
        value = value.isoformat().replace("-", "")
    elif isinstance(value, time):
        value = f"{value:%H%M%S}" + (f".{value:%f}" if value.microsecond else "")
    return {"vr": vr, "Value": list(value) if isinstance(value, list | tuple) else [value]}


def _address(row: Row, level: Level, addresses: Addresses) -> str:
    found = f"{addresses.base}/studies/{row['study_instance_uid']}"
    if level >= Level.SERIES:
        found += f"/series/{row['series_instance_uid']}"
    return found if level < Level.IMAGE else f"{found}/instances/{row['sop_instance_uid']}"
