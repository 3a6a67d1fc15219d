"""Orders on their way out: ORM^O01, OMG^O19 or OMI^O23, one message per exam (IHE RAD-4, RAD-13; RAD-3 to the placer).

Which ORC-1 and ORC-5 say what is a table; a destination may have its own entries (``order_states``), an empty one for
what it is not to hear. Image managers and brokers are told as performers. Whoever placed the order, and every
destination that takes ORR, is told as a placer: nothing new of its own order, then how it goes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.hl7.messages import Value, encode_segment
from interop.hl7.outbound.envelope import (
    Segments,
    filler,
    msh,
    own_names,
    pid,
    placer,
    practitioner,
    pv1,
    when,
)
from interop.hl7.outbound.queue import enqueue
from interop.hl7.outbound.shaping import admits
from interop.models import Hl7Destination, OutboundMessage
from orders.models import Priority, RequestedProcedure
from orders.models.orders import ProcedureStatus as S
from ris.core.errors import InvalidData
from worklist.models import ScheduledProcedureStep, SPSStatus

NEW, CHANGED = "new", "changed"
#: what happened -> ORC-1^ORC-5 (tables 0119, 0038)
PERFORMER = {
    NEW: "NW^SC",
    CHANGED: "XO^SC",
    S.ON_HOLD: "OH^HD",
    S.ARRIVED: "SC^SC",
    S.IN_PROGRESS: "SC^IP",
    S.PERFORMED: "SC^CM",
    S.CANCELLED: "CA^CA",
    S.REJECTED: "CA^CA",
    S.NO_SHOW: "CA^CA",
    S.REPLACED: "CA^CA",
    S.DISCONTINUED: "DC^CA",
}
PLACER = {
    NEW: "SN^SC",
    CHANGED: "XX^SC",
    S.SCHEDULED: "SC^SC",
    S.ON_HOLD: "OH^HD",
    S.ARRIVED: "SC^SC",
    S.IN_PROGRESS: "SC^IP",
    S.PERFORMED: "SC^A",
    S.FINAL: "SC^CM",
    S.CANCELLED: "OC^CA",
    S.REJECTED: "OC^CA",
    S.NO_SHOW: "OC^CA",
    S.REPLACED: "RU^CA",
    S.DISCONTINUED: "OD^DC",
}
STATES = frozenset(str(name) for name in (*PERFORMER, *PLACER))
CODE = re.compile(r"([A-Z]{2}\^([A-Z]{1,2})?)?")
#: ORC-1^ORC-5 -> OBR-25 (table 0123)
RESULTS = {"SC": "S", "IP": "I", "A": "I", "CM": "F", "CA": "X", "DC": "X", "HD": "O"}
PRIORITIES = {Priority.STAT: "S", Priority.ASAP: "A", Priority.URGENT: "U", Priority.ROUTINE: "R"}
#: An exam is told of once it is to be done, not while somebody still considers it.
TOLD_FROM = frozenset({S.ACCEPTED, S.SCHEDULED, S.ARRIVED, S.IN_PROGRESS, S.PERFORMED})
KINDS = {
    "OMI": ("OMI", "O23", "OMI_O23"),
    "OMG": ("OMG", "O19", "OMG_O19"),
    "ORM": ("ORM", "O01", "ORM_O01"),
}

MESSAGE_TYPES = [f"{name}^{event}" for name, event, _structure in KINDS.values()]


def check_order_states(states: Any) -> dict[str, str]:
    """Raises InvalidData."""
    known = sorted(STATES)
    if not isinstance(states, dict) or set(states) - STATES:
        words = _("An object whose names are among: %(names)s.") % {"names": ", ".join(known)}
        raise InvalidData(_("The destination cannot be stored."), errors={"order_states": [words]})
    if not all(isinstance(code, str) and CODE.fullmatch(code) for code in states.values()):
        words = _("ORC-1 and ORC-5 such as SC^CM, or an empty text for nothing.")
        raise InvalidData(_("The destination cannot be stored."), errors={"order_states": [words]})
    return states


def kind_for(destination: Hl7Destination) -> tuple[str, ...] | None:
    """The form in which a destination takes orders; ``*`` means ORM."""
    taken = {entry.split("^")[0] for entry in destination.messages}
    name = next((kind for kind in KINDS if kind in taken), "ORM" if "*" in taken else "")
    return KINDS.get(name)


def takers() -> list[tuple[Hl7Destination, tuple[str, ...]]]:
    found = Hl7Destination.objects.filter(is_active=True, fhir_server__isnull=True).order_by("pk")
    return [(row, kind) for row in found if (kind := kind_for(row)) is not None]


def is_placer(destination: Hl7Destination, procedure: RequestedProcedure) -> bool:
    """Whether it is told as the one who asks, not as one who performs or keeps images."""
    issuer = procedure.order.placer_issuer
    return bool(issuer and issuer == destination.receiving_application) or "ORR" in destination.messages


def states_for(destination: Hl7Destination, procedure: RequestedProcedure) -> dict[str, str]:
    is_its_own = procedure.order.placer_issuer and procedure.order.placer_issuer == destination.receiving_application
    table = PLACER if is_placer(destination, procedure) else PERFORMER
    if is_its_own:
        table = {**table, NEW: ""}
    return {**table, **destination.order_states}


def tell(procedures: Iterable[RequestedProcedure], what: str, *, except_for: str = "") -> list[OutboundMessage]:
    """Tell every destination that takes orders what happened to these exams. ``except_for``: who told us of it."""
    rows = list(procedures)
    told = []
    for destination, kind in takers():
        if except_for and destination.receiving_application == except_for:
            continue
        for procedure in rows:
            if admits(destination, procedure):
                told += _tell_one(destination, kind, procedure, what)
    return told


def _tell_one(
    destination: Hl7Destination, kind: tuple[str, ...], procedure: RequestedProcedure, what: str
) -> list[OutboundMessage]:
    states = states_for(destination, procedure)
    is_known = _said(destination, procedure).exists()
    told = []
    if not is_known and (what in TOLD_FROM or procedure.status in TOLD_FROM) and states[NEW]:
        told.append(_queue(destination, kind, procedure, states[NEW], is_news=False))
        is_known = True
        if what in (NEW, CHANGED, S.ACCEPTED, S.SCHEDULED):
            return [row for row in told if row is not None]
    if what not in states and what in (S.ACCEPTED, S.SCHEDULED):  # planned, or no longer
        what = CHANGED
    code = states.get(what, "")
    if code and (is_known or not states[NEW]):
        told.append(_queue(destination, kind, procedure, code, is_news=what not in (NEW, CHANGED)))
    return [row for row in told if row is not None]


def _said(destination: Hl7Destination, procedure: RequestedProcedure) -> QuerySet[OutboundMessage]:
    return OutboundMessage.objects.filter(
        destination=destination, subject=str(procedure.uuid), message_type__in=MESSAGE_TYPES
    )


def _queue(
    destination: Hl7Destination, kind: tuple[str, ...], procedure: RequestedProcedure, code: str, *, is_news: bool
) -> OutboundMessage | None:
    """None when the destination has heard exactly this last: several events may tell of one thing. ``is_news``: the
    code itself tells something, so that the same content under another one is no repeat.
    """
    control, _separator, status = code.partition("^")
    body = body_of(procedure, kind[0], control, status)
    digest = _digest(body)
    said = _said(destination, procedure)
    last = said.order_by("-pk").first()
    if last is not None:
        last_digest, last_code = last.dedupe_key.rsplit(":", 2)[-2:]
        if last_digest == digest and (not is_news or last_code == code):
            return None
    return enqueue(
        destination,
        f"{kind[0]}^{kind[1]}",
        lambda control_id: [msh(destination, kind, control_id), pid(procedure.order.patient), *body],
        dedupe_key=f"order:{procedure.uuid.hex}:{destination.pk}:{said.count()}:{digest}:{code}",
        patient=procedure.order.patient.uuid,
        accession_number=procedure.accession_number,
        subject=str(procedure.uuid),
    )


def _digest(body: Segments) -> str:
    """Of what is said, not of when (ORC-9) and by which words (ORC-1)."""
    lines = []
    for name, values in body:
        said = [None if name == "ORC" and number in (1, 9) else value for number, value in enumerate(values, 1)]
        lines.append(encode_segment(name, said))
    return hashlib.sha256("\r".join(lines).encode()).hexdigest()[:24]


# --- the segments


def body_of(procedure: RequestedProcedure, form: str, control: str, status: str) -> Segments:
    """PV1 and on."""
    steps = list(
        procedure.steps.exclude(status=SPSStatus.CANCELED).select_related("station__room", "performing_physician")
    )
    steps.sort(key=lambda step: (step.starts_at is None, step.starts_at, step.pk))
    steps = steps or list(procedure.steps.select_related("station__room", "performing_physician").order_by("-pk")[:1])
    first = steps[0] if steps else None
    segments: Segments = [pv1(procedure.order), _orc(procedure, first, control, status)]
    if form != "ORM":
        segments.append(_tq1(procedure, first))
    segments.append(_obr(procedure, first, status))
    if procedure.order.clinical_information:
        segments.append(("NTE", ["1", None, procedure.order.clinical_information]))
    if form == "OMI":
        return [*segments, *(_ipc(procedure, step) for step in steps or [None])]
    return [*segments, ("ZDS", [(procedure.study_instance_uid, own_names()[0], "Application", "DICOM")])]


def _timing(procedure: RequestedProcedure, step: ScheduledProcedureStep | None) -> tuple[str | None, ...]:
    start = when(step.starts_at) if step is not None and step.starts_at else None
    return None, None, None, start, None, PRIORITIES.get(Priority(procedure.order.priority), "R")


def _orc(
    procedure: RequestedProcedure, step: ScheduledProcedureStep | None, control: str, status: str
) -> tuple[str, list[Value]]:
    order = procedure.order
    values: list[Value] = [control, placer(order), filler(order), None, status, None, _timing(procedure, step)]
    reason = (procedure.reason_code, procedure.reason_text) if procedure.reason_code else None
    values += [None, when(timezone.now()), None, None, practitioner(order.requester), None, None]
    return "ORC", [*values, when(order.ordered_at), reason]


def _tq1(procedure: RequestedProcedure, step: ScheduledProcedureStep | None) -> tuple[str, list[Value]]:
    timing = _timing(procedure, step)
    return "TQ1", ["1", None, None, None, None, None, timing[3], None, timing[5]]


def _obr(procedure: RequestedProcedure, step: ScheduledProcedureStep | None, status: str) -> tuple[str, list[Value]]:
    order = procedure.order
    station = step.station if step is not None else None
    protocol = (
        (step.protocol_code, step.protocol_meaning or step.description, step.protocol_scheme)
        if step is not None and step.protocol_code
        else ()
    )
    fields: dict[int, Value] = {
        1: "1",
        2: placer(order),
        3: filler(order),
        4: (procedure.code, procedure.description, procedure.code_scheme, *protocol),
        12: (None, order.isolation) if order.isolation else None,
        13: order.indication[:300],
        15: (None, None, None, None, procedure.laterality) if procedure.laterality else None,
        16: practitioner(order.requester),
        18: procedure.accession_number,
        19: procedure.requested_procedure_id,
        20: step.scheduled_procedure_step_id if step is not None else None,
        21: station.ae_title if station is not None else None,
        24: procedure.modality,
        25: RESULTS.get(status),
        27: _timing(procedure, step),
        30: order.transport,
        31: (None, order.indication[:199]) if order.indication else None,
        36: when(step.starts_at) if step is not None and step.starts_at else None,
        44: (procedure.code, procedure.description, procedure.code_scheme),
    }
    return "OBR", [fields.get(number) for number in range(1, max(fields) + 1)]


def _ipc(procedure: RequestedProcedure, step: ScheduledProcedureStep | None) -> tuple[str, list[Value]]:
    application = own_names()[0]
    values: list[Value] = [
        (procedure.accession_number, application),
        (procedure.requested_procedure_id, application),
        (procedure.study_instance_uid, application),
    ]
    if step is None:
        return "IPC", [*values, None, procedure.modality]
    protocol = (step.protocol_code, step.protocol_meaning, step.protocol_scheme) if step.protocol_code else None
    station = step.station
    values += [(step.scheduled_procedure_step_id, application), step.modality, protocol]
    if station is None:
        return "IPC", values
    return "IPC", [*values, (station.name,), (station.room.name,), station.ae_title]
