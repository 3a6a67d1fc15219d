"""Segments read into the house's own terms (PID, MRG, PV1, ORC, OBR, TQ1, ZDS, IPC), by the sender's tables
(interop.hl7.maps). Pure; a field that cannot be is refused with its place."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from interop.hl7.maps import HOUSE, Maps
from interop.hl7.messages import DATA_TYPE, REQUIRED_MISSING, TOO_LONG, Hl7Error, Message, Segment

TIMESTAMP = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:\.\d{1,4})?([+-]\d{4})?")
DAY_LENGTH = len("20260102")
EARLIEST_BIRTH = dt.date(1850, 1, 1)


@dataclass(frozen=True)
class Identifier:
    value: str
    issuer: str = ""
    type: str = "MR"

    @property
    def key(self) -> tuple[str, str | None]:
        return self.value, self.issuer or None


@dataclass(frozen=True)
class PatientData:
    """PID. ``fields`` holds what the sender valued, by our names; an HL7 null is an empty value."""

    identifiers: tuple[Identifier, ...]
    fields: dict[str, Any] = field(default_factory=dict)
    segment: Segment | None = None


@dataclass(frozen=True)
class VisitData:
    patient_class: str = "O"
    location: str = ""
    visit_number: str = ""


@dataclass(frozen=True)
class StepData:
    """When and where an exam is planned, as far as the sender says: one IPC, else TQ1 and OBR."""

    step_id: str = ""
    starts_at: dt.datetime | None = None
    station: str = ""
    modality: str = ""


@dataclass(frozen=True)
class ProcedureData:
    """One OBR with what belongs to it."""

    codes: tuple[tuple[str, str, str], ...]  # (code, meaning, scheme), first choice first
    laterality: str = ""
    accession_number: str = ""
    study_instance_uid: str = ""
    requested_procedure_id: str = ""
    modality: str = ""
    indication: str = ""
    clinical_information: str = ""
    transport: str = ""
    isolation: str = ""
    steps: tuple[StepData, ...] = ()
    segment: Segment | None = None


@dataclass(frozen=True)
class PersonData:
    identifier: str = ""
    issuer: str = ""
    family_name: str = ""
    given_name: str = ""
    prefix: str = ""


@dataclass(frozen=True)
class OrderData:
    """ORC with its OBR."""

    control: str
    status: str
    placer_number: str
    placer_issuer: str
    filler_number: str
    priority: str
    ordered_at: dt.datetime | None
    requester: PersonData | None
    procedures: tuple[ProcedureData, ...]
    segment: Segment
    reason: str = ""


# --- values


def limited(segment: Segment, number: int, component: int, value: str, length: int) -> str:
    if len(value) > length:
        where = segment.location(number, component)
        raise Hl7Error(TOO_LONG, where, f"{segment.name}-{number} is longer than {length} characters.")
    return value


def timestamp(segment: Segment, number: int, component: int = 1, *, zone: dt.tzinfo) -> dt.datetime | None:
    """A TS or DTM of at least a day; local time of the facility where no offset is given."""
    text = segment.text(number, component)
    if not text:
        return None
    found = TIMESTAMP.fullmatch(text)
    try:
        if found is None or found[3] is None:
            raise ValueError
        parts = [int(part) for part in found.groups()[:6] if part is not None]
        if found[7]:
            sign = -1 if found[7][0] == "-" else 1
            offset = dt.timedelta(hours=int(found[7][1:3]), minutes=int(found[7][3:]))
            return dt.datetime(*parts, tzinfo=dt.timezone(sign * offset))
        return dt.datetime(*parts, tzinfo=zone)
    except ValueError:
        where = segment.location(number, component)
        raise Hl7Error(DATA_TYPE, where, f"{segment.name}-{number} is not a time.") from None


def birth_date(segment: Segment, number: int = 7) -> tuple[dt.date | None, bool]:
    """The day, and whether only year or month are known."""
    text = segment.text(number)
    if not text:
        return None, False
    found = TIMESTAMP.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        day = dt.date(int(found[1]), int(found[2] or 1), int(found[3] or 1))
        if not EARLIEST_BIRTH <= day <= dt.date.today() + dt.timedelta(days=1):
            raise ValueError
    except ValueError:
        raise Hl7Error(DATA_TYPE, segment.location(number), "The date of birth is not a possible date.") from None
    return day, found[3] is None


def identifiers(segment: Segment, number: int, *, default_issuer: str, maps: Maps = HOUSE) -> tuple[Identifier, ...]:
    """CX repetitions: value, assigning authority (namespace, else its universal id), type."""
    found: list[Identifier] = []
    for repetition in range(1, segment.repetitions(number) + 1):
        value = segment.text(number, 1, 1, repetition)
        if not value:
            continue
        issuer = segment.text(number, 4, 1, repetition) or segment.text(number, 4, 2, repetition) or default_issuer
        kind = segment.text(number, 5, 1, repetition).upper()
        identifier = Identifier(
            limited(segment, number, 1, value, 64),
            limited(segment, number, 4, issuer, 64),
            maps.meaning("identifier_type", kind) or ("PI" if kind else "MR"),
        )
        if identifier not in found:
            found.append(identifier)
    return tuple(found)


# --- PID


def patient(pid: Segment, *, default_issuer: str, maps: Maps = HOUSE) -> PatientData:
    """PID-3, else PID-2 and PID-4 of older senders. Raises Hl7Error without any identifier."""
    known: tuple[Identifier, ...] = ()
    for number in (3, 2, 4):
        known = known or identifiers(pid, number, default_issuer=default_issuer, maps=maps)
    if not known:
        raise Hl7Error(REQUIRED_MISSING, pid.location(3), "PID-3 holds no patient identifier.")
    fields: dict[str, Any] = _name(pid)
    if pid.raw(7):
        day, is_estimated = birth_date(pid)
        fields |= {"birth_date": day, "birth_date_is_estimated": is_estimated}
    if pid.raw(8):
        fields["sex"] = maps.read("sex", [pid]) or "U"
    if pid.raw(11):
        fields["address"] = _address(pid)
    if pid.raw(13):
        fields |= _contacts(pid)
    if pid.raw(15):
        fields["language"] = maps.read("language", [pid])[:8]
    return PatientData(known, fields, pid)


def _name(pid: Segment) -> dict[str, Any]:
    """XPN: the first alphabetic repetition; ideographic (I) and phonetic (P) groups beside it."""
    fields: dict[str, Any] = {}
    alphabetic = 0
    for repetition in range(1, pid.repetitions(5) + 1):
        form = pid.text(5, 8, 1, repetition).upper()
        if form in ("I", "P"):
            parts = [pid.text(5, component, 1, repetition) for component in (1, 2, 3)]
            key = "ideographic_name" if form == "I" else "phonetic_name"
            fields[key] = limited(pid, 5, 1, "^".join(parts).rstrip("^"), 64)
        elif not alphabetic and pid.text(5, 7, 1, repetition).upper() not in ("M", "N"):
            alphabetic = repetition
    if alphabetic and pid.text(5, 1, 1, alphabetic):
        places = (
            ("family_name", 1, 64),
            ("given_name", 2, 64),
            ("middle_name", 3, 64),
            ("suffix", 4, 32),
            ("prefix", 5, 32),
        )
        for key, component, length in places:
            fields[key] = limited(pid, 5, component, pid.text(5, component, 1, alphabetic), length)
    return fields


def _address(pid: Segment) -> str:
    """XAD: street, other designation, city, province, postal code, country, as lines."""
    lines = [pid.text(11, 1), pid.text(11, 2)]
    lines.append(" ".join(part for part in (pid.text(11, 5), pid.text(11, 3)) if part))
    lines += [pid.text(11, 4), pid.text(11, 6)]
    return "\n".join(line for line in lines if line)[:1000]


def _contacts(pid: Segment) -> dict[str, str]:
    """XTN: the first telephone number and the first e-mail address; both when the field is valued."""
    phone = email = ""
    for repetition in range(1, pid.repetitions(13) + 1):
        pieces = [pid.text(13, component, 1, repetition) for component in (1, 4, 6, 7, 12)]
        written, address, area, local, unformatted = pieces
        email = email or address
        phone = phone or written or unformatted or " ".join(part for part in (area, local) if part)
    return {"phone": phone[:40], "email": email[:254] if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email) else ""}


# --- PV1


def visit(message: Message, *, maps: Maps = HOUSE) -> VisitData:
    pv1 = message.first("PV1")
    if pv1 is None:
        return VisitData()
    place = ", ".join(part for part in (pv1.text(3, component) for component in (1, 2, 3)) if part)
    kind = maps.read("patient_class", [pv1]) or "O"
    return VisitData(kind, place[:64], maps.read("visit_number", message.segments)[:64])


# --- ORC and OBR


def orders(message: Message, *, zone: dt.tzinfo, maps: Maps = HOUSE) -> list[OrderData]:
    """Each ORC with its OBRs; ORCs of one placer order number are one order."""
    if message.first("OBR") is None and message.first("ORC") is None:
        raise Hl7Error(REQUIRED_MISSING, message.location("ORC"), "The message holds no order.")
    found: list[OrderData] = []
    for group in message.groups("ORC"):
        order = _order(group, message, zone=zone, maps=maps)
        same = next((n for n, known in enumerate(found) if _is_one(known, order)), None)
        if same is None:
            found.append(order)
        else:
            merged = found[same]
            found[same] = OrderData(**{**vars(merged), "procedures": merged.procedures + order.procedures})
    if not found:
        raise Hl7Error(REQUIRED_MISSING, message.location("ORC"), "The order has no ORC.")
    return found


def _is_one(known: OrderData, order: OrderData) -> bool:
    if not order.placer_number:
        return False
    same = (known.placer_number, known.placer_issuer, known.control) == (
        order.placer_number,
        order.placer_issuer,
        order.control,
    )
    return same


def _order(group: list[Segment], message: Message, *, zone: dt.tzinfo, maps: Maps) -> OrderData:
    orc = group[0]
    obr = next((segment for segment in group if segment.name == "OBR"), None)
    placer, filler = maps.read("placer_number", group), maps.read("filler_number", group)
    issuer = maps.read("placer_issuer", group) or message.header.sending_application
    requester = person(orc, 12) or (person(obr, 16) if obr is not None else None)
    return OrderData(
        control=orc.text(1).upper(),
        status=orc.text(5).upper(),
        placer_number=limited(orc, 2, 1, placer, 64),
        placer_issuer=issuer[:64] if placer else "",
        filler_number=limited(orc, 3, 1, filler, 64),
        priority=maps.read("priority", group),
        ordered_at=timestamp(orc, 9, zone=zone),
        requester=requester,
        procedures=tuple(_procedures(group, message, zone=zone, maps=maps)),
        segment=orc,
        reason=maps.read("reason", group),
    )


def person(segment: Segment, number: int) -> PersonData | None:
    """XCN: id, family, given, prefix, assigning authority."""
    if not segment.raw(number):
        return None
    found = PersonData(
        identifier=segment.text(number, 1)[:64],
        issuer=(segment.text(number, 9) or segment.text(number, 9, 2))[:64],
        family_name=segment.text(number, 2)[:64],
        given_name=segment.text(number, 3)[:64],
        prefix=segment.text(number, 6)[:32],
    )
    return found if found.identifier or found.family_name else None


def _procedures(group: list[Segment], message: Message, *, zone: dt.tzinfo, maps: Maps) -> Iterable[ProcedureData]:
    """The OBRs, each with the notes, study UID (ZDS-1, IPC-3) and identifiers that follow it."""
    message_study = message.first("ZDS")
    before = [segment for segment in group if segment.name in ("ORC", "TQ1")]
    for position, obr in enumerate(group):
        if obr.name != "OBR":
            continue
        own = [obr]
        for segment in group[position + 1 :]:
            if segment.name == "OBR":
                break
            own.append(segment)
        if message_study is not None and message_study not in own and len(message.all("OBR")) == 1:
            own.append(message_study)
        notes = "\n".join(text for segment in own if segment.name == "NTE" and (text := segment.whole(3)))
        for segments in _exams(own):
            information = maps.read("clinical_information", segments)
            yield ProcedureData(
                codes=_codes(obr),
                laterality=maps.read("laterality", segments),
                accession_number=maps.read("accession_number", segments),
                study_instance_uid=maps.read("study_instance_uid", segments),
                requested_procedure_id=maps.read("requested_procedure_id", segments),
                modality=modality(maps.read("modality", segments), maps),
                indication=maps.read("indication", segments),
                clinical_information="\n".join(part for part in (information, notes) if part),
                transport=maps.read("transport", segments)[:64],
                isolation=maps.read("isolation", segments)[:64],
                steps=tuple(_steps(segments, before, zone=zone, maps=maps)),
                segment=obr,
            )


def _exams(own: list[Segment]) -> Iterable[list[Segment]]:
    """An OBR is one exam, unless its IPCs name several accession numbers or requested procedures."""
    others = [segment for segment in own if segment.name != "IPC"]
    groups: dict[tuple[str, str], list[Segment]] = {}
    for segment in own:
        if segment.name == "IPC":
            groups.setdefault((segment.text(1), segment.text(2)), []).append(segment)
    if len(groups) < 2:
        yield own
        return
    for ipcs in groups.values():
        yield [*others, *ipcs]


def _steps(segments: list[Segment], before: list[Segment], *, zone: dt.tzinfo, maps: Maps) -> Iterable[StepData]:
    """Each IPC is a scheduled step; without one there is one step, where a time or a station is given."""
    timing = [*before, *(segment for segment in segments if segment.name != "IPC")]
    starts_at = _starts_at(timing, zone=zone, maps=maps)
    ipcs = [segment for segment in segments if segment.name == "IPC"]
    for segment in ipcs:
        rows = [segment, *timing] if len(ipcs) == 1 else [segment]
        kind = modality(maps.read("modality", rows), maps)
        yield StepData(maps.read("step_id", rows)[:16], starts_at, maps.read("station", [segment])[:16], kind)
    if not ipcs and starts_at is not None:
        yield StepData("", starts_at, maps.read("station", timing)[:16], modality(maps.read("modality", timing), maps))


def _starts_at(segments: list[Segment], *, zone: dt.tzinfo, maps: Maps) -> dt.datetime | None:
    """The first of the field's places that holds a time of day; a day alone is no appointment."""
    for place in maps.places["starts_at"]:
        for segment in segments:
            if segment.name == place.segment and len(segment.text(place.field, place.component or 1)) > DAY_LENGTH:
                return timestamp(segment, place.field, place.component or 1, zone=zone)
    return None


def modality(value: str, maps: Maps) -> str:
    return maps.meaning("modality", value) or value.upper()[:16]


def _codes(obr: Segment) -> tuple[tuple[str, str, str], ...]:
    """OBR-4 and OBR-44: code, text, scheme and their alternates."""
    found = []
    for number, first in ((4, 1), (4, 4), (44, 1), (44, 4)):
        code, meaning, scheme = (obr.text(number, first + step) for step in range(3))
        if code:
            found.append((code, meaning, scheme))
    if not found:
        raise Hl7Error(REQUIRED_MISSING, obr.location(4), "OBR-4 holds no procedure code.")
    return tuple(found)
