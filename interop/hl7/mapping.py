"""Segments read into the house's own terms (PID, MRG, PV1, ORC, OBR, TQ1, ZDS, IPC). Pure; a field that cannot be is
refused with its place."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from interop.hl7.messages import DATA_TYPE, REQUIRED_MISSING, TOO_LONG, Hl7Error, Message, Segment

#: HL7 table 0203 and the words that senders use instead -> our identifier types
IDENTIFIER_TYPES = {
    "MR": "MR", "MRN": "MR", "PT": "PT", "TEMP": "PT", "PI": "PI", "PE": "PE", "NI": "NI", "NHS": "NI", "NHSNMBR": "NI",
    "NNESP": "NI", "SS": "NI", "PPN": "PPN", "PP": "PPN", "NIIP": "NIIP", "HC": "NIIP", "NH": "NI",
}  # fmt: skip
#: HL7 table 0001
SEXES = {"M": "M", "F": "F", "O": "O", "A": "O", "U": "U", "N": "U", "": "U"}
#: TQ1-9, ORC-7.6, OBR-27.6, OBR-5 (tables 0485 and 0027)
PRIORITIES = {"S": "stat", "STAT": "stat", "A": "asap", "ASAP": "asap", "P": "urgent", "T": "urgent", "C": "urgent",
              "U": "urgent", "URGENT": "urgent", "R": "routine", "ROUTINE": "routine"}  # fmt: skip
#: HL7 table 0004
PATIENT_CLASSES = {"I": "I", "E": "E", "O": "O", "B": "I", "R": "O", "P": "O", "C": "O"}
LATERALITIES = {
    "L": "L",
    "LEFT": "L",
    "LT": "L",
    "R": "R",
    "RIGHT": "R",
    "RT": "R",
    "B": "B",
    "BOTH": "B",
    "BILATERAL": "B",
}
TIMESTAMP = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:\.\d{1,4})?([+-]\d{4})?")
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


def identifiers(segment: Segment, number: int, *, default_issuer: str) -> tuple[Identifier, ...]:
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
            IDENTIFIER_TYPES.get(kind, "MR" if not kind else "PI"),
        )
        if identifier not in found:
            found.append(identifier)
    return tuple(found)


# --- PID


def patient(pid: Segment, *, default_issuer: str) -> PatientData:
    """PID-3, else PID-2 and PID-4 of older senders. Raises Hl7Error without any identifier."""
    known = identifiers(pid, 3, default_issuer=default_issuer)
    if not known:
        known = identifiers(pid, 2, default_issuer=default_issuer) or identifiers(pid, 4, default_issuer=default_issuer)
    if not known:
        raise Hl7Error(REQUIRED_MISSING, pid.location(3), "PID-3 holds no patient identifier.")
    fields: dict[str, Any] = _name(pid)
    if pid.raw(7):
        day, is_estimated = birth_date(pid)
        fields |= {"birth_date": day, "birth_date_is_estimated": is_estimated}
    if pid.raw(8):
        fields["sex"] = SEXES.get(pid.text(8).upper(), "U")
    if pid.raw(11):
        fields["address"] = _address(pid)
    if pid.raw(13):
        fields |= _contacts(pid)
    if pid.raw(15):
        fields["language"] = pid.text(15)[:8]
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


def visit(message: Message) -> VisitData:
    pv1 = message.first("PV1")
    if pv1 is None:
        return VisitData()
    place = ", ".join(part for part in (pv1.text(3, component) for component in (1, 2, 3)) if part)
    kind = PATIENT_CLASSES.get(pv1.text(2).upper(), "O")
    return VisitData(kind, place[:64], pv1.text(19)[:64])


# --- ORC and OBR


def orders(message: Message, *, zone: dt.tzinfo) -> list[OrderData]:
    """Each ORC with its OBRs; ORCs of one placer order number are one order."""
    if message.first("OBR") is None and message.first("ORC") is None:
        raise Hl7Error(REQUIRED_MISSING, message.location("ORC"), "The message holds no order.")
    found: list[OrderData] = []
    for group in message.groups("ORC"):
        order = _order(group, message, zone=zone)
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


def _order(group: list[Segment], message: Message, *, zone: dt.tzinfo) -> OrderData:
    orc = group[0]
    placer, placer_issuer = orc.text(2), orc.text(2, 2)
    filler = orc.text(3)
    obr = next((segment for segment in group if segment.name == "OBR"), None)
    if obr is not None:
        placer = placer or obr.text(2)
        placer_issuer = placer_issuer or obr.text(2, 2)
        filler = filler or obr.text(3)
    issuer = placer_issuer or message.header.sending_application
    requester = person(orc, 12) or (person(obr, 16) if obr is not None else None)
    return OrderData(
        control=orc.text(1).upper(),
        status=orc.text(5).upper(),
        placer_number=limited(orc, 2, 1, placer, 64),
        placer_issuer=issuer[:64] if placer else "",
        filler_number=limited(orc, 3, 1, filler, 64),
        priority=_priority(group),
        ordered_at=timestamp(orc, 9, zone=zone),
        requester=requester,
        procedures=tuple(_procedures(group, message)),
        segment=orc,
        reason=orc.text(16, 2) or orc.text(16),
    )


def _priority(group: Iterable[Segment]) -> str:
    """Empty when the sender says nothing that is known."""
    for segment in group:
        places = {"ORC": ((7, 6),), "TQ1": ((9, 1),), "OBR": ((27, 6), (5, 1))}.get(segment.name, ())
        for number, component in places:
            code = segment.text(number, component).upper()
            if code in PRIORITIES:
                return PRIORITIES[code]
    return ""


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


def _procedures(group: list[Segment], message: Message) -> Iterable[ProcedureData]:
    """The OBRs, each with the notes, study UID (ZDS-1, IPC-3) and identifiers that follow it."""
    message_study = message.first("ZDS")
    for position, obr in enumerate(group):
        if obr.name != "OBR":
            continue
        after = []
        for segment in group[position + 1 :]:
            if segment.name == "OBR":
                break
            after.append(segment)
        notes = "\n".join(text for segment in after if segment.name == "NTE" and (text := segment.whole(3)))
        ipc = next((segment for segment in after if segment.name == "IPC"), None)
        zds = next((segment for segment in after if segment.name == "ZDS"), None)
        if zds is None and len(message.all("OBR")) == 1:
            zds = message_study
        reasons = [obr.text(31, 2, 1, n) or obr.text(31, 1, 1, n) for n in range(1, obr.repetitions(31) + 1)]
        yield ProcedureData(
            codes=_codes(obr),
            laterality=_laterality(obr),
            accession_number=(ipc.text(1) if ipc else "") or obr.text(18),
            study_instance_uid=(ipc.text(3) if ipc else "") or (zds.text(1) if zds else ""),
            requested_procedure_id=(ipc.text(2) if ipc else "") or obr.text(19),
            modality=((ipc.text(5) if ipc else "") or obr.text(24)).upper(),
            indication="; ".join(reason for reason in reasons if reason),
            clinical_information="\n".join(part for part in (obr.whole(13), notes) if part),
            transport=obr.text(30)[:64],
            isolation=(obr.text(12, 2) or obr.text(12))[:64],
            segment=obr,
        )


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


def _laterality(obr: Segment) -> str:
    """OBR-15.5 (site modifier), OBR-15.1 where senders put it, OBR-46 (placer supplemental information)."""
    for number, component in ((15, 5), (15, 1), (46, 1), (46, 2)):
        side = LATERALITIES.get(obr.text(number, component).upper(), "")
        if side:
            return side
    return ""
