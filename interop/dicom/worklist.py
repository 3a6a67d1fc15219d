"""Modality Worklist SCP (PS3.4 Annex K): the identifier becomes a query, its keys select what each item tells."""

from __future__ import annotations

import re
import time
import zoneinfo
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

from pydicom.datadict import keyword_for_tag

from interop.dicom.charsets import TEXT_VRS, UTF8, Spelling, decode, encode_text, terms_of
from interop.dicom.dimse import Question, Request, Status, c_find
from interop.dicom.elements import (
    IMPLICIT,
    Element,
    Encoding,
    Malformed,
    encode,
    encode_items,
    vr_of,
    walk,
)
from interop.dicom.statements import Statement
from interop.dicom.worklist_query import statement_of
from ris.audit.service import record_read
from ris.audit.statements import audit_parameters, reader_of
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.tenants.context import use_facility
from worklist.data import MwlQuery
from worklist.models import ScheduledProcedureStep
from worklist.permissions import VIEW_STEP
from worklist.selectors import worklist_items

MODALITY_WORKLIST = "1.2.840.10008.5.1.4.31"
CHARACTER_SET, STEP_SEQUENCE = 0x00080005, 0x00400100
MAX_IDENTIFIER = 256 * 1024
#: Of a peer, and of those who ask for the same keys.
PLANS_KEPT, ITEMS_KEPT, IDENTIFIER_KEPT = 200, 3000, 8 * 1024
UNKNOWN = object()

#: Keys that the query knows by name; all others of the table go into ``others``.
NAMED = {
    0x00100010: "patient_name",
    0x00100020: "patient_id",
    0x00080050: "accession_number",
    0x00401001: "requested_procedure_id",
}
NAMED_OF_STEP = {
    0x00400001: "station_ae_title",
    0x00400002: "start_date",
    0x00400003: "start_time",
    0x00080060: "modality",
    0x00400006: "performing_physician",
    0x00400009: "scheduled_procedure_step_id",
}
STUDY_INSTANCE_UID = 0x0020000D
DATE = re.compile(r"\d{8}|\d{4}\.\d{2}\.\d{2}")
TIME = re.compile(r"\d{2}(:?\d{2}(:?\d{2}(\.\d{1,6})?)?)?")

PLAIN = Spelling()

#: Requested keys: (tag, None) or (tag, keys of the item; empty means all of them).
Shape = tuple[tuple[int, Any], ...]


def ask(request: Request, actor: Actor) -> Question | None:
    """``on_find`` as one statement; None for keys that only the rendered items can be asked for.

    It is worked out once for a peer, an identifier and a day, and kept as long as the peer's row is the same.
    """
    caller = request.caller
    key = (request.data, request.encoding, _today(caller.facility.time_zone, int(time.time()) // 60))
    plan = caller.plans.get(key, UNKNOWN)
    if plan is UNKNOWN:
        plan = _plan(request, actor)
        if len(caller.plans) >= PLANS_KEPT:
            caller.plans.clear()
        if len(request.data) <= IDENTIFIER_KEPT:
            caller.plans[key] = plan
    if plan is None:
        return None
    statement, reader, rendering = plan
    parameters = (*statement.parameters, *audit_parameters(reader))
    return Question(statement.sql, parameters, rendering.answers)


@lru_cache(256)
def _today(time_zone: str, _minute: int) -> date:
    return datetime.now(zoneinfo.ZoneInfo(time_zone)).date()


def _plan(request: Request, actor: Actor) -> tuple[Statement, tuple[bytes | None, ...], Rendering] | None:
    if len(request.data) > MAX_IDENTIFIER:
        raise Malformed("The identifier is too long.")
    query, shape = parse_identifier(request.data, request.encoding)
    if query.others:
        return None
    with use_facility(request.caller.facility):
        try:
            statement = statement_of(query, request.caller)
        except TypeError:
            return None
    if " LIKE " in statement.sql:
        return None  # which index serves a pattern is known from the pattern only: it is planned each time
    rendering = rendering_of(shape, request.encoding, request.caller.peer.spelling)
    return statement, reader_of(actor, VIEW_STEP, "worklist"), rendering


class Rendering:
    """What items tell those who ask for the same keys in the same way: worked out once for each item."""

    def __init__(self, shape: Shape, encoding: Encoding, spelling: Spelling) -> None:
        self._how = (shape, encoding, spelling)
        self._known: dict[bytes, tuple[int, bytes]] = {}

    def answers(self, items: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        known = self._known
        for item in items:
            answer = known.get(item)
            if answer is None:
                if len(known) >= ITEMS_KEPT:
                    known.clear()
                answer = known[item] = _select(item, *self._how)
            yield answer


@lru_cache(16)
def rendering_of(shape: Shape, encoding: Encoding, spelling: Spelling) -> Rendering:
    return Rendering(shape, encoding, spelling)


@c_find(MODALITY_WORKLIST, allowed_by="may_query_worklist", door="mwl", asks=ask)
def on_find(request: Request, actor: Actor) -> Iterator[tuple[int, bytes]]:
    if len(request.data) > MAX_IDENTIFIER:
        raise Malformed("The identifier is too long.")
    query, shape = parse_identifier(request.data, request.encoding)
    spelling = request.caller.peer.spelling
    found = list(worklist_items(query, peer=request.caller))
    patients = (
        ScheduledProcedureStep.objects.filter(pk__in=[pk for pk, _item in found])
        .values_list("procedure__order__patient__uuid", flat=True)
        .distinct()
    )
    record_read(actor, VIEW_STEP, patients=patients, detail={"page": "worklist", "rows": len(found)})
    return (select(item, shape, request.encoding, spelling) for _pk, item in found)


@lru_cache(512)
def parse_identifier(data: bytes, encoding: Encoding) -> tuple[MwlQuery, Shape]:
    """The matching keys and the requested keys of a C-FIND identifier.

    Raises Malformed for broken bytes, InvalidData for a key whose value cannot be one.
    """
    elements = walk(data, encoding)
    terms: tuple[str, ...] = ("",)
    for element in elements:
        if element.tag == CHARACTER_SET:
            terms = terms_of(data[element.start : element.end].decode("ascii", "replace"))
    keys: dict[str, Any] = {}
    others: dict[str, str] = {}
    for element in elements:
        if element.tag == STEP_SEQUENCE:
            if len(element.items or ()) > 1:
                raise InvalidData("(0040,0100) has more than one item.")
            for inner in element.items[0] if element.items else ():
                _note_key(data, inner, terms, NAMED_OF_STEP, keys, others, "ScheduledProcedureStepSequence.")
        elif element.tag == STUDY_INSTANCE_UID:
            text = _text(data, element, terms)
            keys["study_instance_uid"] = tuple(uid.strip() for uid in text.split("\\") if uid.strip())
        elif element.tag != CHARACTER_SET:
            _note_key(data, element, terms, NAMED, keys, others, "")
    _check_range("(0040,0002)", keys.get("start_date", ""), DATE)
    _check_range("(0040,0003)", keys.get("start_time", ""), TIME)
    return MwlQuery(**keys, others=others), _shape_of(elements)


def _note_key(
    data: bytes,
    element: Element,
    terms: tuple[str, ...],
    named: dict[int, str],
    keys: dict[str, Any],
    others: dict[str, str],
    prefix: str,
) -> None:
    if element.items is not None:
        for item in element.items[:1]:
            for inner in item:
                _note_key(data, inner, terms, {}, keys, others, f"{prefix}{keyword_for_tag(element.tag)}.")
        return
    text = _text(data, element, terms)
    if not text or text.strip("*") == "" or element.tag & 0xFFFF == 0 or element.tag >> 16 & 1:
        return
    if element.tag in named:
        keys[named[element.tag]] = text
    elif keyword := keyword_for_tag(element.tag):
        others[prefix + keyword] = text


def _text(data: bytes, element: Element, terms: tuple[str, ...]) -> str:
    raw = data[element.start : element.end]
    return decode(raw, terms) if vr_of(element.tag) in TEXT_VRS else raw.decode("latin-1").strip("\0 ")


def _check_range(name: str, text: str, single: re.Pattern[str]) -> None:
    if not text:
        return
    first, dash, last = text.partition("-")
    parts = [part.strip() for part in (first, last) if part.strip()]
    if not parts or (dash == "" and len(parts) != 1) or not all(single.fullmatch(part) for part in parts):
        raise InvalidData(f"{name} is neither a value nor a range.", errors={name: "neither a value nor a range"})


def _shape_of(elements: Any) -> Shape:
    shape = []
    for element in elements:
        if element.tag & 0xFFFF == 0:
            continue
        if vr_of(element.tag) == b"SQ" or element.items is not None:
            shape.append((element.tag, _shape_of(element.items[0]) if element.items else ()))
        else:
            shape.append((element.tag, None))
    return tuple(shape)


@lru_cache(4096)
def select(item: bytes, shape: Shape, encoding: Encoding, spelling: Spelling = PLAIN) -> tuple[int, bytes]:
    """(status, identifier): the requested keys of a rendered item. 0xFF01 when one of them is not supported."""
    return _select(item, shape, encoding, spelling)


def _select(item: bytes, shape: Shape, encoding: Encoding, spelling: Spelling) -> tuple[int, bytes]:
    character_set = spelling.character_set
    selection = _Selection(item, encoding, spelling)
    body = selection.keys(walk(item, IMPLICIT), shape)
    if character_set and (selection.has_other_letters or character_set == UTF8):
        body = encode(CHARACTER_SET, character_set.encode("ascii", "replace"), encoding) + body
    return Status.PENDING if selection.is_complete else Status.PENDING_WARNING, body


class _Selection:
    def __init__(self, item: bytes, encoding: Encoding, spelling: Spelling) -> None:
        self.item, self.encoding, self.spelling = item, encoding, spelling
        self.character_set = spelling.character_set or "ISO_IR 6"
        self.is_complete, self.has_other_letters = True, False

    def keys(self, elements: Any, shape: Shape) -> bytes:
        known = {element.tag: element for element in elements}
        parts = []
        for tag, inner in sorted(shape, key=itemgetter(0)):
            if tag == CHARACTER_SET:
                continue
            element = known.get(tag)
            if element is None:
                self.is_complete = False
            elif element.items is None:
                parts.append(encode(tag, self.value(element), self.encoding))
            else:
                contents = [self.keys(item, inner or all_keys(item)) for item in element.items]
                parts.append(encode_items(tag, contents, self.encoding))
        return b"".join(parts)

    def value(self, element: Element) -> bytes:
        raw = self.item[element.start : element.end]
        if element.vr == b"PN" and self.spelling.changes_names:
            raw = self.spelling.name(raw.decode("utf-8", "replace")).encode()
        if element.vr not in TEXT_VRS or raw.isascii():
            return raw
        self.has_other_letters = True
        if self.character_set == UTF8:
            return raw
        return encode_text(raw.decode("utf-8", "replace").rstrip(" "), self.character_set, element.vr)


def all_keys(elements: Any) -> Shape:
    """A sequence asked for as a whole (PS3.4 C.2.2.2.6)."""
    return tuple((element.tag, None if element.items is None else ()) for element in elements)
