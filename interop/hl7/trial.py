"""What would become of a message: processed in a transaction that is rolled back. Nothing of it stays: no row, event,
or file; only that somebody has tried is recorded."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import DatabaseError, transaction
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.hl7 import acknowledgements as ack
from interop.hl7 import maps as tables
from interop.hl7 import senders
from interop.hl7.charsets import UnknownCharset, codec_of
from interop.hl7.messages import INTERNAL_ERROR, Hl7Error, Location, Message, parse, peek
from interop.hl7.processor import Context, handled, translated
from interop.models import InboundMessage
from ris.accounts.memory import remembering
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import DomainError, InvalidData

LONGEST = 1_000_000
#: Of what would be made or changed, the fields that tell of no person
SHOWN: dict[str, tuple[str, ...]] = {
    "orders.order": ("placer_order_number", "priority", "status", "location"),
    "orders.requestedprocedure": ("accession_number", "code", "description", "laterality", "status", "is_unmapped"),
    "orders.patientidentifier": ("issuer", "type", "use"),
    "orders.visit": ("patient_class", "location"),
    "worklist.reservation": ("room", "station", "starts_at", "ends_at", "status"),
    "worklist.scheduledprocedurestep": ("scheduled_procedure_step_id", "modality", "station", "starts_at", "status"),
    "reporting.outsidereport": ("title", "status", "modality"),
}


class _Undo(Exception):
    """Leaves the transaction without a trace."""


@dataclass(frozen=True)
class Change:
    what: str
    is_new: bool
    fields: list[tuple[str, str]]


@dataclass(frozen=True)
class Read:
    """A field as it is understood."""

    label: Any
    value: str
    sources: str


@dataclass
class Trial:
    """``segments`` of what was pasted; ``read``: by our names; ``changes``: what would be; ``answer``: its bytes."""

    message: Message | None = None
    sender: str = ""
    read: list[list[Read]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    code: str = ""
    text: str = ""
    problem: str = ""
    waits: bool = False
    answer: bytes = b""


def pasted(text: str) -> bytes:
    """What stands in a text field, as the wire has it: segments end with a carriage return, frame marks are dropped,
    characters are of the set that MSH-18 names where it can write them."""
    clean = text.strip("\x0b\x1c\r\n\t ").replace("\r\n", "\r").replace("\n", "\r") + "\r"
    header = peek(clean.encode())
    try:
        return clean.encode(codec_of(header.charset) if header is not None and header.charset else "utf-8")
    except (UnknownCharset, UnicodeEncodeError):
        return clean.encode()


@service(perms.MANAGE_INTERFACES, action=Action.EXECUTE)
def try_message(text: str, *, actor: Actor) -> Trial:
    """Raises InvalidData for an empty or endless text; every other message gets its answer."""
    if not text.strip() or len(text) > LONGEST:
        raise InvalidData(_("There is nothing to try."), errors={"message": [_("Paste one message.")]})
    raw, trial = pasted(text), Trial()
    try:
        message = trial.message = parse(raw)
    except Hl7Error as error:
        return _refused(trial, raw, error)
    token = f"TRY{secrets.token_hex(6)}"
    try:
        with remembering(), transaction.atomic():
            _run(trial, message, raw, Actor("hl7", ae_title=token))
            raise _Undo
    except _Undo:
        pass
    return trial


def _run(trial: Trial, message: Message, raw: bytes, actor: Actor) -> None:
    header = message.header
    row = InboundMessage.objects.create(
        sending_application=header.sending_application[:180],
        sending_facility=header.sending_facility[:180],
        control_id="",
        message_type=header.message_type[:20],
        raw=raw,
    )
    context = Context.of(row, actor, is_trial=True)
    trial.sender = str(context.sender) if context.sender.pk else ""
    trial.read = _read(message, senders.maps_of(context.sender))
    try:
        with transaction.atomic():
            outcome = handled(message, context)
            trial.changes = _changes(actor.ae_title)
    except DomainError as refusal:
        _refused(trial, raw, translated(refusal))
    except Hl7Error as error:
        _refused(trial, raw, error)
    except (DatabaseError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as failure:
        _refused(trial, raw, Hl7Error(INTERNAL_ERROR, Location("MSH"), type(failure).__name__))
    else:
        trial.code, trial.text, trial.waits = ack.ACCEPT, outcome.text, outcome.status == "unmapped"
        trial.answer = ack.acknowledge(header, ack.ACCEPT, text=outcome.text)


def _refused(trial: Trial, raw: bytes, error: Hl7Error) -> Trial:
    trial.code = ack.REJECT if error.fatal else ack.ERROR
    trial.problem, trial.text = f"{error.code} {error.location}", error.text
    trial.answer = ack.acknowledge(peek(raw), trial.code, problems=(ack.Problem.of(error),))
    return trial


def _read(message: Message, maps: tables.Maps) -> list[list[Read]]:
    """The fields with a value, for each order of the message, else for the message."""
    groups = message.groups("ORC") or message.groups("OBR") or [list(message.segments)]
    first = [segment for segment in message.segments if segment.name in ("PID", "PV1", "SCH", "TQ1", "ZDS")]
    shown = []
    for group in groups:
        segments = [*group, *(segment for segment in first if segment not in group)]
        rows = []
        for name, known in tables.FIELDS.items():
            value = maps.read(name, segments)
            if value:
                places = (f"{place.segment}-{place.field}" for place in maps.places[name])
                rows.append(Read(known.label, value[:200], ", ".join(dict.fromkeys(places))))
        shown.append(rows)
    return shown


def _changes(token: str) -> list[Change]:
    """Every row with a history that this trial has saved: its history is signed with the token."""
    found: list[Change] = []
    for model in apps.get_models():
        history = getattr(model, "history", None)
        if history is None or not hasattr(history, "model"):
            continue
        entries = history.model.objects.filter(history_change_reason__contains=token).order_by("history_id")
        first: dict[Any, Any] = {}
        for entry in entries:
            first.setdefault(entry.id, entry)
        newest = {row.pk: row for row in model._base_manager.filter(pk__in=first)}
        for pk, entry in first.items():
            fields = _fields(newest[pk]) if pk in newest else []
            found.append(Change(str(model._meta.verbose_name), entry.history_type == "+", fields))
    return found


def _fields(row: Any) -> list[tuple[str, str]]:
    shown = []
    for name in SHOWN.get(row._meta.label_lower, ()):
        known = row._meta.get_field(name)
        display = getattr(row, f"get_{name}_display", None)
        value = display() if display is not None else getattr(row, name)
        if value not in (None, ""):
            shown.append((str(known.verbose_name), str(value)))
    return shown
