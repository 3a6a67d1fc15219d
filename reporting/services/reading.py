"""The reading list's clock: when an exam joins it, how long its report may take, when it is over time.

``due_at`` is written when the images are complete, so that the list sorts in the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import Order, Priority, ProcedureStatus, RequestedProcedure
from reporting import permissions as perms
from reporting.events import ReadingOverdue
from reporting.models import ReadingItem, ReadingReturn, SlaTarget
from reporting.reading_times import ON_THE_LIST, SLA_MINUTES, TRY_AGAIN
from reporting.services import reading_rules as rules
from reporting.services.locks import lock_procedures
from reporting.services.notify import tell
from ris.accounts.memory import remembered
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData
from ris.events.bus import publish

S = ProcedureStatus
LONGEST = 60 * 24 * 366
BEAT = Actor("beat")


# --- how long a report may take


def targets() -> list[SlaTarget]:
    return remembered("sla targets", lambda: list(SlaTarget.objects.filter(is_active=True)))


def minutes_for(priority: str, patient_class: str, modality: str, rows: Sequence[SlaTarget] | None = None) -> int:
    """What the most exact target allows: priority weighs more than class, class more than modality."""
    asked = (priority, patient_class, modality)
    best, minutes = -1, SLA_MINUTES.get(priority, SLA_MINUTES[Priority.ROUTINE])
    for row in targets() if rows is None else rows:
        wanted = (row.priority, row.patient_class, row.modality)
        if all(not want or want == have for want, have in zip(wanted, asked, strict=True)):
            exact = sum(weight for weight, want in zip((4, 2, 1), wanted, strict=True) if want)
            if exact > best:
                best, minutes = exact, row.minutes
    return minutes


def allowed_minutes(procedure: RequestedProcedure, rows: Sequence[SlaTarget] | None = None) -> int:
    return minutes_for(procedure.order.priority, procedure.order.patient_class, procedure.modality, rows)


@service(perms.MANAGE_READING)
def set_sla_target(
    target: SlaTarget | None = None,
    *,
    minutes: int | None = None,
    priority: str = "",
    patient_class: str = "",
    modality: str = "",
    is_active: bool = True,
    actor: Actor,
) -> SlaTarget:
    """Write how long reports of a kind may take; what waits just now is counted anew."""
    row = SlaTarget.locked(target.pk) if target is not None else SlaTarget()
    if minutes is None or not 0 < minutes <= LONGEST:
        words = _("Give minutes, from 1 to a year.")
        raise InvalidData(words, errors={"minutes": words})
    kind = {"priority": priority, "patient_class": patient_class, "modality": modality}
    if is_active and SlaTarget.objects.filter(is_active=True, **kind).exclude(pk=row.pk).exists():
        raise AlreadyExists(
            _("There is a report time for this kind already."),
            asked=_("A report time."),
            todo=_("Change the one that is there."),
        )
    for name, value in kind.items():
        setattr(row, name, value)
    row.minutes, row.is_active = minutes, is_active
    row.save_as(actor, "Set")
    _recount_waiting(actor)
    return row


def _recount_waiting(actor: Actor) -> None:
    rows = list(SlaTarget.objects.filter(is_active=True))
    waiting = ReadingItem.objects.filter(procedure__status__in=ON_THE_LIST).select_related("procedure__order")
    for item in waiting.select_for_update(of=("self",)).order_by("pk"):
        minutes = allowed_minutes(item.procedure, rows)
        if minutes != item.minutes:
            _count(item, minutes)
            item.save_as(actor, "Report time changed")


def _count(item: ReadingItem, minutes: int) -> None:
    item.minutes, item.due_at = minutes, item.counted_from + timedelta(minutes=minutes)
    if item.breached_at is not None and item.due_at > timezone.now():
        item.breached_at = None
    set_alarm(item)


def set_alarm(item: ReadingItem) -> None:
    """When somebody has to look at it again: it falls due, the reader's shift ends."""
    moments = [item.due_at if item.breached_at is None else None, item.assigned_until]
    item.wakes_at = min((moment for moment in moments if moment is not None), default=None)


# --- joining and leaving the list


def locked_item(procedure: RequestedProcedure) -> ReadingItem:
    """The place of a (locked) exam on the list, made where there is none yet; not saved."""
    item = ReadingItem.objects.select_for_update(of=("self",)).filter(procedure=procedure).first()
    if item is not None:
        item.procedure = procedure
        return item
    begun = procedure.images_complete_at or procedure.performed_at or procedure.status_changed_at
    item = ReadingItem(procedure=procedure, counted_from=begun)
    _count(item, allowed_minutes(procedure))
    item.group = rules.group_for(procedure)
    return item


@transaction.atomic
def place_on_list(procedure: RequestedProcedure, *, actor: Actor) -> ReadingItem:
    """Its images are complete: due from now on, and whose it is by rule. A repeat changes nothing."""
    procedure = lock_procedures([procedure])[0]
    item = locked_item(procedure)
    is_new = item.pk is None
    came_back = _close_return(procedure, item, actor)
    if is_new or came_back:
        set_alarm(item)
        if item.assigned_to_id is None:
            give_by_rule(item)
        item.save_as(actor, "On the reading list" if is_new else "Back on the reading list")
    return item


def _close_return(procedure: RequestedProcedure, item: ReadingItem, actor: Actor) -> bool:
    """It was sent back and is here again: the time away does not count."""
    returned = ReadingReturn.objects.select_for_update(of=("self",)).filter(procedure=procedure, closed_at__isnull=True)
    row = returned.first()
    if row is None:
        return False
    row.closed_at = timezone.now()
    row.save_as(actor, "Came back")
    if item.pk is not None:
        item.counted_from += row.closed_at - row.sent_at
        _count(item, item.minutes)
    return True


def give_by_rule(item: ReadingItem) -> bool:
    """To whom its group gives it now; asks again later where nobody is on shift."""
    if item.group is None or not item.group.assigns or item.is_by_hand:
        return False
    found = rules.reader_for(item.group, item.procedure)
    if found is None:
        item.wakes_at = min(filter(None, (item.wakes_at, timezone.now() + TRY_AGAIN)))
        return False
    item.assigned_to, item.assigned_until = found
    item.assigned_by, item.assigned_at = None, timezone.now()
    set_alarm(item)
    return True


def follow_procedure(procedure: RequestedProcedure, *, actor: Actor) -> None:
    """The exam has moved, or its order has changed: its place on the list follows, in the same commit."""
    if procedure.status == S.READY_TO_READ:
        place_on_list(procedure, actor=actor)
    elif procedure.status not in ON_THE_LIST:
        ReadingItem.objects.filter(procedure=procedure, wakes_at__isnull=False).update(wakes_at=None)


@transaction.atomic
def follow_order(order: Order, *, actor: Actor) -> None:
    """Another priority or class: another time."""
    items = ReadingItem.objects.filter(procedure__order=order, procedure__status__in=ON_THE_LIST)
    for item in items.select_for_update(of=("self",)).select_related("procedure__order__patient").order_by("pk"):
        minutes = allowed_minutes(item.procedure)
        group = item.group if item.is_by_hand else rules.group_for(item.procedure)
        if (minutes, group) != (item.minutes, item.group):
            item.group = group
            _count(item, minutes)
            item.save_as(actor, "Follows its order")


# --- what falls due

CLAIM = """
update reporting_readingitem set wakes_at = statement_timestamp() + interval '60 seconds'
where id in (
    select id from reporting_readingitem where wakes_at <= statement_timestamp()
    order by wakes_at limit %(limit)s for update skip locked)
returning id
"""


def claim_items(limit: int = 50) -> list[int]:
    """Places whose alarm has rung; no other dispatcher gets them for a minute."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


@transaction.atomic
def wake_item(item_id: int) -> None:
    """Over time is told once; who has gone home has nothing assigned by rule any more."""
    found = ReadingItem.objects.filter(pk=item_id).select_related("procedure").first()
    if found is None:
        return
    procedure = lock_procedures([found.procedure])[0]
    item = locked_item(procedure)
    if procedure.status not in ON_THE_LIST:
        ReadingItem.objects.filter(pk=item_id).update(wakes_at=None)
        return
    now = timezone.now()
    if item.assigned_until is not None and item.assigned_until <= now:
        item.assigned_to = item.assigned_at = item.assigned_until = None
    if item.breached_at is None and item.due_at <= now:
        _breach(item, now)
    set_alarm(item)
    if item.assigned_to_id is None:
        give_by_rule(item)
    item.save_as(BEAT, "Looked at")


def _breach(item: ReadingItem, now: datetime) -> None:
    item.breached_at = now
    procedure = item.procedure
    publish(
        ReadingOverdue(
            str(procedure.uuid),
            accession_number=procedure.accession_number,
            version=procedure.version,
            minutes=item.minutes,
        ),
        actor=BEAT,
    )
    if item.assigned_to is not None and item.assigned_to.is_active:
        tell(
            [item.assigned_to],
            "reporting.reading_overdue",
            url=f"/reading/exams/{procedure.uuid}/",
            subject=str(procedure.uuid),
            context={"accession_number": procedure.accession_number},
            once=f"overdue:{procedure.uuid}:{item.due_at:%Y%m%d%H%M}",
        )


def ensure_sla_targets() -> None:
    """What a new facility begins with; the administrator changes it."""
    for priority, minutes in SLA_MINUTES.items():
        if not SlaTarget.objects.filter(priority=priority, patient_class="", modality="").exists():
            SlaTarget(priority=priority, minutes=minutes).save_as(BEAT, "Provided")
