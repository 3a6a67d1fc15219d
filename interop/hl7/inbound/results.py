"""ORU^R01 and MDM^T02: what was written elsewhere becomes an outside report, a prior of the patient (HL7 2.5.1 chapters
7 and 9). Laboratory values are acknowledged and not kept, unless the sender's row says so."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import io
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext_noop as _noop

from interop.hl7 import mapping
from interop.hl7.inbound.adt import find_or_register, patient_of
from interop.hl7.messages import DATA_TYPE, REQUIRED_MISSING, Hl7Error, Message, Segment
from interop.hl7.processor import Context, Outcome, handles
from interop.models import TakenResults
from orders import services as orders
from orders.models import DocumentKind, Patient
from reporting import services as reporting
from reporting.models import OutsideReportStatus as Status

TEXTS = frozenset(("", "TX", "FT", "ST", "CE", "CWE", "CF", "CNE", "DT", "TS", "DTM", "RP"))
PICTURES = frozenset(("ED",))
VALUES = frozenset(("NM", "SN", "CQ"))
#: HL7 table 0074: services that make images
IMAGING = frozenset(("RAD", "RX", "CT", "NMR", "MRI", "MR", "RUS", "OUS", "VUS", "CUS", "NMS", "XRC", "CTH", "RT",
                     "CR", "DX", "US", "MG", "MAM", "NM", "PT", "PET", "XA", "RF", "IMG"))  # fmt: skip
#: OBR-25 (table 0123) and TXA-17 (table 0271)
RESULT_STATUSES = {"F": Status.FINAL, "C": Status.CORRECTED, "A": Status.CORRECTED, "X": Status.WITHDRAWN,
                   "D": Status.WITHDRAWN, "W": Status.WITHDRAWN, "": Status.FINAL}  # fmt: skip
DOCUMENT_STATUSES = {"DI": Status.PRELIMINARY, "DO": Status.PRELIMINARY, "IP": Status.PRELIMINARY,
                     "IN": Status.PRELIMINARY, "PA": Status.PRELIMINARY}  # fmt: skip
RETRACTED = frozenset(("CA", "OB", "UN"))
NOT_KEPT = "Laboratory values are not kept here."
TAKES_NONE = "Results of this sender are not kept here."


@dataclass(frozen=True)
class Content:
    text: str
    document: bytes = b""


@handles("ORU^R01", does=_noop("keeps text and PDF of each OBR as an outside report; laboratory values are not kept"))
def on_results(message: Message, context: Context) -> Outcome:
    patient = find_or_register(patient_of(message, context), context)
    groups = message.groups("OBR")
    if not groups:
        raise Hl7Error(REQUIRED_MISSING, message.location("OBR"), "The message holds no result.")
    if context.sender.taken_results == TakenResults.NONE:
        return Outcome(patient=patient.uuid, text=TAKES_NONE)
    taken = [group for group in groups if _is_taken(group, context)]
    numbers = [_number(group[0]) for group in taken]
    for position, group in enumerate(taken):
        is_alone = numbers.count(numbers[position]) == 1
        _result(group, message, patient, context, numbers[position] + ("" if is_alone else f"/{position + 1}"))
    return Outcome(patient=patient.uuid, text="" if taken else NOT_KEPT)


def _number(obr: Segment) -> str:
    number = obr.text(3) or obr.text(2)
    if not number:
        raise Hl7Error(REQUIRED_MISSING, obr.location(3), "A result has neither OBR-3 nor OBR-2.")
    return number


def _is_taken(group: Sequence[Segment], context: Context) -> bool:
    if context.sender.taken_results == TakenResults.ALL:
        return True
    service = group[0].text(24).upper()
    if service:
        return service in IMAGING
    kinds = {segment.text(2).upper() for segment in group if segment.name == "OBX"}
    return not kinds & VALUES and bool(kinds & (TEXTS | PICTURES))


def _result(group: Sequence[Segment], message: Message, patient: Patient, context: Context, number: str) -> None:
    obr, title = group[0], group[0].text(4, 2) or group[0].text(4, 1)
    status = RESULT_STATUSES.get(obr.text(25).upper(), Status.PRELIMINARY)
    content = _content(group)
    _keep(
        patient,
        context,
        content,
        place=obr,
        number=number,
        sent_at=_moment(obr, 22, context) or _sent_at(message, context),
        title=title or number,
        status=status,
        code=obr.text(4, 1)[:64],
        modality=mapping.modality(obr.text(24), context.maps),
        accession_number=obr.text(18)[:64],
        performed_at=_moment(obr, 7, context),
        reported_at=_moment(obr, 22, context),
        author=_author(obr, 32),
    )


@handles("MDM^T02", does=_noop("keeps the document as an outside report, under TXA-12"))
def on_document(message: Message, context: Context) -> Outcome:
    patient = find_or_register(patient_of(message, context), context)
    if context.sender.taken_results == TakenResults.NONE:
        return Outcome(patient=patient.uuid, text=TAKES_NONE)
    txa = message.required("TXA")
    number = txa.text(12) or txa.text(12, 3) or txa.text(15)
    if not number:
        raise Hl7Error(REQUIRED_MISSING, txa.location(12), "TXA-12 holds no document number.")
    status = DOCUMENT_STATUSES.get(txa.text(17).upper(), Status.FINAL)
    if txa.text(19).upper() in RETRACTED:
        status = Status.WITHDRAWN
    observed = message.first("OBX")
    title = txa.text(2, 2) or (observed.text(3, 2) if observed is not None else "") or txa.text(2) or number
    _keep(
        patient,
        context,
        _content(message.segments),
        place=txa,
        number=number,
        sent_at=_moment(txa, 6, context) or _sent_at(message, context),
        title=title,
        status=status,
        code=txa.text(2)[:64],
        performed_at=_moment(txa, 4, context),
        reported_at=_moment(txa, 6, context) or _moment(txa, 4, context),
        author=_author(txa, 9),
    )
    return Outcome(patient=patient.uuid)


def _moment(segment: Segment, number: int, context: Context) -> dt.datetime | None:
    return mapping.timestamp(segment, number, zone=context.zone)


def _sent_at(message: Message, context: Context) -> dt.datetime | None:
    return mapping.timestamp(message.required("MSH"), 7, zone=context.zone)


def _author(segment: Segment, number: int) -> str:
    """XCN, or the name inside an NDL (its parts are subcomponents)."""
    if segment.text(number, 1, 2):
        parts = [segment.text(number, 1, 3), segment.text(number, 1, 2)]
    else:
        parts = [segment.text(number, 6), segment.text(number, 3), segment.text(number, 2)]
    return " ".join(part for part in parts if part)[:200]


# --- what it says


def _content(segments: Sequence[Segment]) -> Content:
    """The OBXs in their order, each with its heading where that changes; notes behind what they belong to."""
    lines: list[str] = []
    heading, document = "", b""
    for segment in segments:
        if segment.name == "NTE" and (note := segment.whole(3)):
            lines.append(note)
        if segment.name != "OBX" or segment.text(11).upper() in ("D", "W", "X"):
            continue
        if segment.text(2).upper() in PICTURES:
            document = document or _decoded(segment)
            continue
        text, title = _text(segment), segment.text(3, 2) or segment.text(3)
        if text and title and title != heading and segment.text(2).upper() not in VALUES:
            lines.append(f"\n{title}" if lines else title)
            heading = title
        if text:
            lines.append(text)
    return Content("\n".join(lines).strip(), document)


def _text(segment: Segment) -> str:
    kind = segment.text(2).upper()
    if kind in VALUES:
        value = " ".join(part for part in (segment.text(5, number) for number in (1, 2, 3, 4)) if part)
        bounds = f"({segment.text(7)})" if segment.text(7) else ""
        named = segment.text(3, 2) or segment.text(3)
        return " ".join(part for part in (f"{named}:", value, segment.text(6), bounds, segment.text(8)) if part)
    if kind in ("CE", "CWE", "CF", "CNE"):
        found = (segment.text(5, 2, 1, n) or segment.text(5, 1, 1, n) for n in range(1, segment.repetitions(5) + 1))
        return "\n".join(text for text in found if text)
    return segment.whole(5)


def _decoded(segment: Segment) -> bytes:
    """ED: source, type, subtype, encoding, data; older senders write the data into the fifth component alike."""
    data = segment.raw_component(5, 5)
    try:
        if segment.text(5, 4).upper() in ("HEX", "A"):
            return bytes.fromhex(data) if segment.text(5, 4).upper() == "HEX" else data.encode(segment.codec)
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Hl7Error(DATA_TYPE, segment.location(5, 5), "OBX-5 is not what its encoding says.") from None


def _keep(
    patient: Patient,
    context: Context,
    content: Content,
    *,
    place: Segment,
    number: str,
    sent_at: dt.datetime | None,
    title: str,
    status: str,
    **fields: object,
) -> None:
    document = None
    if content.document and not context.is_trial and status != Status.WITHDRAWN:
        kind = DocumentKind.OUTSIDE_REPORT
        file = io.BytesIO(content.document)
        document = orders.add_document(patient, kind=kind, title=title[:120], file=file, actor=context.actor)
    if not content.text and not content.document and status != Status.WITHDRAWN:
        raise Hl7Error(REQUIRED_MISSING, place.location(), "There is nothing to read in the result.")
    reporting.record_outside_report(
        patient,
        source="|".join((context.row.sending_application, context.row.sending_facility))[:200].strip("|") or "HL7",
        number=number[:199],
        sent_at=sent_at,
        document=document,
        title=title[:200],
        status=status,
        text=content.text or (title if context.is_trial else ""),
        actor=context.actor,
        **fields,
    )
