"""What is agreed with senders: their tables, and what their codes mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.hl7 import maps, senders
from interop.models import CodeAlias, Hl7Sender, InboundMessage, MessageStatus, UnmappedCode
from orders import services as orders
from orders.models import CatalogueProcedure, Laterality
from orders.models.orders import OPEN_BEFORE_EXAM
from ris.accounts.memory import forget
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData
from ris.core.lifecycle import signed

SENDER_FIELDS = frozenset(
    {
        "application", "facility_name", "issuer", "order_actions", "field_sources", "value_maps", "unknown_survivor",
        "reversed_merge", "retired_identifier", "taken_results", "may_overbook", "answers_to",
    }
)  # fmt: skip
Problems = dict[str, list[str]]


def _order_actions(rows: Any, problems: Problems) -> dict[str, str]:
    """Only what differs from the house's own is kept."""
    kept = {}
    for key, action in _mapping(rows, "order_actions", problems).items():
        control, bar, status = str(key).upper().partition("|")
        if not bar or not control.isalpha() or len(control) > 2 or len(status) > 2 or (status and not status.isalpha()):
            problems.setdefault("order_actions", []).append(_("%(key)s is no ORC-1|ORC-5.") % {"key": key})
        elif action not in maps.ACTION_WORDS:
            known = ", ".join(maps.ACTION_WORDS)
            problems.setdefault("order_actions", []).append(
                _("%(action)s is no action; there are: %(known)s.") % {"action": action, "known": known}
            )
        elif maps.ORDER_ACTIONS.get((control, status), maps.REFUSE) != action:
            kept[f"{control}|{status}"] = action
    return kept


def _field_sources(rows: Any, problems: Problems) -> dict[str, list[str]]:
    kept = {}
    for name, sources in _mapping(rows, "field_sources", problems).items():
        places = sources.replace(",", " ").split() if isinstance(sources, str) else list(sources or ())
        if name not in maps.FIELDS:
            problems.setdefault("field_sources", []).append(_("There is no field %(name)s.") % {"name": name})
            continue
        wrong = [place for place in places if maps.PLACE.fullmatch(str(place).strip().upper()) is None]
        if wrong:
            problems.setdefault("field_sources", []).append(
                _("%(place)s is no place; write it like OBR-18 or PID-5.2.") % {"place": wrong[0]}
            )
            continue
        clean = [str(place).strip().upper() for place in places]
        if clean and tuple(clean) != maps.FIELDS[name].sources:
            kept[name] = clean
    return kept


def _value_maps(rows: Any, problems: Problems) -> dict[str, dict[str, str]]:
    kept: dict[str, dict[str, str]] = {}
    for table, values in _mapping(rows, "value_maps", problems).items():
        if table not in maps.VALUES:
            problems.setdefault("value_maps", []).append(_("There is no table %(name)s.") % {"name": table})
            continue
        for value, meaning in _mapping(values, "value_maps", problems).items():
            allowed = maps.MEANINGS.get(table)
            if allowed is not None and meaning not in allowed:
                problems.setdefault("value_maps", []).append(
                    _("%(value)s may mean: %(known)s.") % {"value": value, "known": ", ".join(sorted(allowed))}
                )
            elif maps.VALUES[table].get(str(value).upper()) != meaning:
                kept.setdefault(table, {})[str(value).strip().upper()] = str(meaning)
    return kept


def _mapping(value: Any, field: str, problems: Problems) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if value:
        problems.setdefault(field, []).append(_("This is no table."))
    return {}


@service(perms.MANAGE_INTERFACES)
def save_sender(sender: Hl7Sender | None = None, *, actor: Actor, **fields: Any) -> Hl7Sender:
    """What holds for one sender. Raises InvalidData with the row that is wrong, AlreadyExists for a second one."""
    for name in fields.keys() - SENDER_FIELDS:
        raise InvalidData(_("The agreement was not saved."), errors={name: [_("There is no such field.")]})
    sender = Hl7Sender.locked(sender.pk) if sender is not None and sender.pk else sender or Hl7Sender()
    problems: Problems = {}
    for name, clean in (
        ("order_actions", _order_actions), ("field_sources", _field_sources), ("value_maps", _value_maps)
    ):  # fmt: skip
        if name in fields:
            fields[name] = clean(fields[name], problems)
    if problems:
        raise InvalidData(_("The agreement was not saved."), errors=problems)
    for name, value in fields.items():
        setattr(sender, name, value.strip() if isinstance(value, str) else value)
    try:
        sender.full_clean(validate_unique=False, validate_constraints=False)
        with transaction.atomic():
            sender.save_as(actor, _("Agreed"))
    except ValidationError as error:
        raise InvalidData(_("The agreement was not saved."), errors=error.message_dict) from None
    except IntegrityError:
        raise AlreadyExists(_("There is an agreement with this sender."), todo=_("Change that one.")) from None
    forget()
    return sender


# --- codes


def waiting_codes(application: str, facility: str, scheme: str, code: str) -> list[UnmappedCode]:
    """Exams that wait for the meaning of this code, oldest first."""
    found = UnmappedCode.objects.filter(
        sending_application=application,
        sending_facility=facility,
        scheme=scheme,
        code=code,
        procedure__is_unmapped=True,
        procedure__status__in=OPEN_BEFORE_EXAM,
    )
    return list(found.select_related("procedure__order__patient", "message").order_by("pk"))


@service(perms.MAP_CODES)
def map_code(
    *,
    application: str,
    facility: str = "",
    scheme: str = "",
    code: str,
    exam: CatalogueProcedure,
    laterality: str = "",
    actor: Actor,
) -> tuple[CodeAlias, int, int]:
    """Say what a sender's code means. Remembered for the sender; the orders that waited for it go on.

    Answers the alias, how many exams went on, and how many still wait (their side is not known).
    """
    if not exam.is_active:
        raise InvalidData(_("The code was not mapped."), errors={"exam": [_("This exam is out of use.")]})
    if laterality not in Laterality.values or (laterality and not exam.has_laterality):
        raise InvalidData(_("The code was not mapped."), errors={"laterality": [_("This exam has no such side.")]})
    sender = senders.own_row(application, facility)
    if sender.pk is None:
        sender.save_as(actor, _("A code of it was mapped"))
        forget()
    alias = CodeAlias.objects.filter(sender=sender, scheme=scheme, code=code).first()
    alias = alias or CodeAlias(sender=sender, scheme=scheme, code=code)
    alias.procedure, alias.laterality, alias.is_active = exam, laterality, True
    alias._history_user, alias._change_reason = actor.user, signed(_("Mapped"), actor)
    alias.save()
    went_on = still = 0
    for row in waiting_codes(application, facility, scheme, code):
        if _go_on(row, exam, laterality, actor):
            went_on += 1
        else:
            still += 1
    return alias, went_on, still


def _go_on(row: UnmappedCode, exam: CatalogueProcedure, laterality: str, actor: Actor) -> bool:
    """The order as its sender would have it now; False when the exam's side is not known and a person must say it."""
    sender = Actor("hl7", ae_title=row.sending_application[:16], address=row.message.address)
    side = (row.procedure.laterality or laterality) if exam.has_laterality else ""
    if exam.has_laterality and not side:
        return False
    reason = _("Code mapped by %(name)s") % {"name": actor.name}
    orders.change_procedure(row.procedure, code=exam.code, laterality=side, reason=reason, actor=sender)
    settle(row.message)
    return True


def settle(message: InboundMessage) -> None:
    """A message whose codes are all explained waits no longer."""
    message = InboundMessage.objects.select_for_update().get(pk=message.pk)
    waits = UnmappedCode.objects.filter(
        message=message, procedure__is_unmapped=True, procedure__status__in=OPEN_BEFORE_EXAM
    ).exists()
    if message.status == MessageStatus.UNMAPPED and not waits:
        message.status = MessageStatus.PROCESSED
        message.save(update_fields=["status"])


@service(perms.MAP_CODES)
def forget_code(alias: CodeAlias, *, actor: Actor) -> CodeAlias:
    """The code means nothing again: the next order with it waits. What was mapped before stays."""
    alias.is_active = False
    alias._history_user, alias._change_reason = actor.user, signed(_("Forgotten"), actor)
    alias.save()
    return alias
