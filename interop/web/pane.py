"""One message: what was sent, what was answered, what to do; its fields with their meaning, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.hl7 import acknowledgements as ack
from interop.hl7 import dictionary, selectors
from interop.hl7.messages import Hl7Error, parse
from interop.models import InboundMessage, OutboundMessage, OutboundStatus
from interop.web.meanings import MESSAGES, meaning_of
from ris.accounts.web import ActorRequest
from ris.audit.service import record_read

RAW_SHOWN = 200_000
Row = InboundMessage | OutboundMessage


@dataclass(frozen=True)
class Step:
    """One line of what became of a message."""

    icon: str
    words: str
    at: datetime | None
    more: str = ""


def pane_of(request: ActorRequest, row: Row, *, opened: bool, purpose: str = "") -> dict[str, Any]:
    """``opened``: unmasked. Either look is recorded, with what it was for."""
    is_out = isinstance(row, OutboundMessage)
    raw = bytes(row.body if is_out else row.raw)
    lines: list[tuple[dictionary.Line, Any]] = []
    problem = ""
    try:
        message = parse(raw)
        lines = [
            (line, meaning_of(line.place, line.value, message)) for line in dictionary.lines(message, opened=opened)
        ]
    except Hl7Error as error:
        problem = f"{error.location}: {error.text}"
    row.masked_patient = selectors.masked_numbers([row.patient]).get(row.patient, "")
    actor = request.actor
    context = {
        "row": row,
        "is_out": is_out,
        "opened": opened,
        "lines": lines,
        "problem": problem,
        "answer": _answer(row),
        "means": MESSAGES.get(row.message_type, ""),
        "size": len(raw),
        "raw": readable(raw) if opened else "",
        "answer_raw": readable(bytes(row.acknowledgement)) if opened and row.acknowledgement else "",
        "steps": list(_steps_out(row) if isinstance(row, OutboundMessage) else _steps_in(row)),
        "behind": _behind(row) if isinstance(row, OutboundMessage) else 0,
        "next_try": _next_try(row) if isinstance(row, OutboundMessage) else None,
        "may_map": actor.may(perms.MAP_CODES),
        "may_replay": actor.may(perms.REPLAY_MESSAGE),
        "may_open": actor.may(perms.VIEW_MESSAGE),
        "may_manage": actor.may(perms.MANAGE_INTERFACES),
        "may_edit": is_out
        and row.protocol == "hl7"
        and actor.may(perms.EDIT_MESSAGE)
        and actor.may(perms.VIEW_MESSAGE),
        "may_park": is_out and row.status == OutboundStatus.PENDING,
        "may_skip": is_out and row.status in (OutboundStatus.PENDING, OutboundStatus.PARKED),
    }
    detail: dict[str, Any] = {"opened": opened, **({"purpose": purpose} if purpose else {})}
    record_read(actor, perms.VIEW_MESSAGE if opened else perms.VIEW_INTERFACES, entity=row, detail=detail)
    return context


def _may_edit(request: ActorRequest) -> bool:
    return request.actor.may(perms.EDIT_MESSAGE) and request.actor.may(perms.VIEW_MESSAGE)


def readable(raw: bytes) -> str:
    try:
        text = parse(raw).text
    except Hl7Error:
        text = raw.decode("utf-8", errors="replace")
    return text.replace("\r", "\n").strip()[:RAW_SHOWN]


def _answer(row: Row) -> ack.Answer | None:
    if not row.acknowledgement:
        return None
    try:
        return ack.read(bytes(row.acknowledgement))
    except Hl7Error:
        return None


def _behind(row: OutboundMessage) -> int:
    """How many of the same patient are parked from here on, this one among them."""
    if row.status != OutboundStatus.PARKED:
        return 0
    same = OutboundMessage.objects.filter(destination=row.destination_id, ordering_key=row.ordering_key)
    return same.filter(status=OutboundStatus.PARKED, pk__gte=row.pk).count()


def _next_try(row: OutboundMessage) -> datetime:
    rests_until = row.destination.rests_until
    return row.next_attempt_at if rests_until is None else max(row.next_attempt_at, rests_until)


def _steps_out(row: OutboundMessage) -> Iterable[Step]:
    """The newest first."""
    steps = [Step("file-check", _("Message made"), row.created_at, f"{row.get_origin_display()} {row.made_by}".strip())]
    if row.copy_of is not None:
        steps[0] = Step("copy", _("Copy of %(id)s") % {"id": row.copy_of.control_id}, row.created_at, row.made_by)
    for failure in row.failures.all():
        words = _("Try %(number)d: %(error)s") % {"number": failure.number, "error": failure.error}
        steps.append(Step("hand-stop" if failure.code in ("AR", "CR") else "refresh", words, failure.at))
    for original in row.originals.all():
        words = _("Edited by %(name)s: %(reason)s") % {"name": original.replaced_by, "reason": original.reason}
        steps.append(Step("pencil", words, original.replaced_at, original.control_id))
    if row.acknowledged_at is not None:
        took = _("answered in %(ms)d ms") % {"ms": row.answered_in_ms} if row.answered_in_ms is not None else ""
        steps.append(Step("check", _("Delivered"), row.acknowledged_at, took))
    if row.status == OutboundStatus.CANCELLED:
        steps.append(Step("ban", _("Never to be sent: %(why)s") % {"why": row.last_error}, None))
    return sorted(steps, key=lambda step: (step.at is not None, step.at or row.created_at), reverse=True)


def _steps_in(row: InboundMessage) -> Iterable[Step]:
    if row.processed_at is not None:
        words = row.error or row.get_status_display()
        yield Step("check" if not row.error else "hand-stop", words, row.processed_at, row.acknowledgement_code)
    yield Step("inbox", _("Received and stored"), row.received_at, row.address)
