"""Who reads what now: claim, heartbeat, release, take over. A lock that nobody keeps alive is free; the draft stays."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import Order, ProcedureStatus, RequestedProcedure
from reporting import permissions as perms
from reporting.models import ReadingLock, Report
from reporting.querysets import LOCK_IDLE
from reporting.services.notify import tell
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core import text
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, NotPermitted

#: A sign of life younger than this is not written again: an autosave comes every few seconds.
BEAT_AGAIN = timedelta(seconds=20)


class HeldByAnother(Conflict):
    """Somebody else has the exam open."""

    code = "held_by_another"


def person(actor: Actor) -> User:
    """The person behind an actor: programs of the house and interfaces write no reports."""
    if actor.user is None:
        raise NotPermitted(_("Only a person writes and signs reports."))
    return actor.user


def lock_procedures(procedures: Iterable[RequestedProcedure]) -> list[RequestedProcedure]:
    """Orders, then procedures, each in the order of their keys: the house's order of locks."""
    keys = sorted(procedure.pk for procedure in procedures)
    orders_of = RequestedProcedure.objects.filter(pk__in=keys).values("order_id")
    list(Order.objects.select_for_update(of=("self",)).filter(pk__in=orders_of).order_by("pk"))
    rows = RequestedProcedure.objects.select_for_update(of=("self",)).filter(pk__in=keys).order_by("pk")
    return list(rows.select_related("order__patient", "catalogue"))


def lock_report(report: Report) -> tuple[Report, list[RequestedProcedure]]:
    """A report with its procedures, locked after them."""
    procedures = lock_procedures(report.procedures.all())
    return Report.locked(report.pk), procedures


def live_locks(procedures: Iterable[RequestedProcedure]) -> list[ReadingLock]:
    return list(ReadingLock.objects.live().filter(procedure__in=list(procedures)).select_related("user"))


def refuse_if_held(procedures: Iterable[RequestedProcedure], user: User) -> None:
    _refuse(live_locks(procedures), user)


def _refuse(locks: Iterable[ReadingLock], user: User) -> None:
    for lock in locks:
        if lock.user_id != user.pk:
            who, since = lock.user.display_name, text.clock(lock.claimed_at)
            raise HeldByAnother(
                _("%(who)s reads this exam since %(since)s.") % {"who": who, "since": since},
                asked=_("To write the report of an exam."),
                found=_("It is open at %(who)s since %(since)s.") % {"who": who, "since": since},
                todo=_("Look at it without writing, ask them to release it, or take it over with a reason."),
                errors={"held_by": who, "since": lock.claimed_at.isoformat()},
            )


def claim(procedures: list[RequestedProcedure], user: User, locks: list[ReadingLock] | None = None) -> None:
    """Take or keep the locks of these (locked) procedures; ``locks``: theirs, just read. Raises HeldByAnother."""
    now = timezone.now()
    if locks is None:
        locks = list(ReadingLock.objects.filter(procedure__in=procedures).select_related("user"))
    _refuse([lock for lock in locks if lock.heartbeat_at > now - LOCK_IDLE], user)
    known = {lock.procedure_id: lock for lock in locks}
    for procedure in procedures:
        lock = known.get(procedure.pk) or ReadingLock(procedure=procedure)
        is_mine = lock.user_id == user.pk and lock.heartbeat_at > now - LOCK_IDLE
        if is_mine and lock.heartbeat_at > now - BEAT_AGAIN:
            continue
        lock.user, lock.heartbeat_at = user, now
        lock.claimed_at = lock.claimed_at if is_mine else now
        lock.save()


def drop_locks(procedures: Iterable[RequestedProcedure], user: User | None = None) -> int:
    locks = ReadingLock.objects.filter(procedure__in=list(procedures))
    if user is not None:
        locks = locks.filter(user=user)
    return locks.delete()[0]


def beat(report: Report, *, actor: Actor) -> bool:
    """The page is still open; True when the lock is still the actor's. Leaves no history and no audit row."""
    user = person(actor)
    actor.require(perms.CLAIM_PROCEDURE)
    now = timezone.now()
    mine = ReadingLock.objects.filter(procedure__in=report.procedures.all(), user=user)
    return mine.filter(heartbeat_at__gt=now - LOCK_IDLE).update(heartbeat_at=now) > 0


@service(perms.CLAIM_PROCEDURE, action=Action.UPDATE)
def release_report(report: Report, *, actor: Actor) -> Report:
    """Give the exam back to the list. The text stays, as a draft that whoever opens it next goes on with."""
    user = person(actor)
    report, procedures = lock_report(report)
    refuse_if_held(procedures, user)
    drop_locks(procedures)
    if report.is_draft:
        for procedure in procedures:
            if procedure.status == ProcedureStatus.READING:
                orders.mark_reading_released(procedure, actor=actor)
    return report


@service(perms.TAKE_OVER, action=Action.UPDATE)
def take_over(report: Report, *, reason: str, actor: Actor) -> Report:
    """Become the reader in place of another, who is written down with the reason."""
    user = person(actor)
    if not reason.strip():
        raise InvalidData(_("Say why you take it over."), errors={"reason": _("Needed.")})
    report, procedures = lock_report(report)
    others = {lock.user for lock in live_locks(procedures) if lock.user_id != user.pk}
    before = sorted(str(other.uuid) for other in others)
    drop_locks(procedures)
    claim(procedures, user)
    record(
        actor,
        perms.TAKE_OVER,
        Action.EXECUTE,
        entity=report,
        reason=reason,
        detail={"from": before, "to": str(user.uuid)},
    )
    tell(
        sorted(others, key=lambda other: other.pk),
        "reporting.taken_over",
        url=f"/reports/{report.uuid}/",
        subject=str(report.uuid),
        context={
            "accession_number": procedures[0].accession_number,
            "who": user.display_name,
            "reason": reason.strip()[:200],
        },
    )
    return report


# --- nobody there any more


def claim_stale_locks(limit: int = 50) -> list[int]:
    """Locks without a sign of life; the list shows them as free already."""
    stale = ReadingLock.objects.filter(heartbeat_at__lte=timezone.now() - LOCK_IDLE)
    return list(stale.order_by("heartbeat_at").values_list("pk", flat=True)[:limit])


@transaction.atomic
def expire_lock(lock_id: int) -> None:
    """The exam goes back to the list; what was written stays, for whoever opens it next."""
    found = ReadingLock.objects.filter(pk=lock_id).select_related("procedure").first()
    if found is None:
        return
    procedure = lock_procedures([found.procedure])[0]
    lock = ReadingLock.objects.select_for_update().filter(pk=lock_id).first()
    if lock is None or lock.is_live:
        return
    lock.delete()
    if procedure.status == ProcedureStatus.READING:
        orders.mark_reading_released(procedure, actor=Actor("beat"))
