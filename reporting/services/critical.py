"""Critical results: raised, told with read-back, acknowledged; what nobody answers climbs to the next in the chain.

Times are in the database: a restart, a stopped broker or a second dispatcher neither loses nor repeats a step.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting.events import (
    CriticalResultAcknowledged,
    CriticalResultClosed,
    CriticalResultCommunicated,
    CriticalResultEscalated,
    CriticalResultRaised,
    CriticalResultWithdrawn,
)
from reporting.models import ContactAttempt, CriticalCategory, CriticalResult, CriticalStatus, Report
from reporting.services.locks import person
from reporting.services.notify import contacts_at, tell
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.events.bus import publish
from ris.notifications.services import mark_seen

BEAT = Actor("beat")
C = CriticalStatus
#: Minutes until it must be told, and between the steps of the chain, by category; the first a facility may change.
MINUTES = {1: 30, 2: 360, 3: 10080}
STEP_MINUTES = {1: 15, 2: 120, 3: 2880}
CHANNELS = ("phone", "in_person", "sms", "email", "page", "in_app")


def minutes_of(category: int) -> int:
    """How long a finding of this category may wait, as the facility decides."""
    chosen = facility_settings().critical_minutes or {}
    try:
        return max(1, int(chosen.get(str(category), MINUTES[category])))
    except (TypeError, ValueError):
        return MINUTES[category]


@service(perms.RAISE_CRITICAL, action=Action.CREATE)
def raise_critical_result(
    procedure: RequestedProcedure,
    *,
    category: int,
    finding: str,
    report: Report | None = None,
    found_at: datetime | None = None,
    actor: Actor,
) -> CriticalResult:
    """Start the clock on a finding; the requester is told at once."""
    user = person(actor)
    errors = {}
    if category not in CriticalCategory.values:
        errors["category"] = _("1, 2 or 3.")
    if not finding.strip():
        errors["finding"] = _("Needed.")
    now = timezone.now()
    found_at = found_at or now
    if found_at > now + timedelta(minutes=5):
        errors["found_at"] = _("Lies in the future.")
    if errors:
        raise InvalidData(_("This alert cannot be raised."), errors=errors)
    critical = CriticalResult(
        procedure=procedure, report=report, category=category, finding=finding.strip()[:300], raised_by=user
    )
    critical.found_at = found_at
    critical.due_at = found_at + timedelta(minutes=minutes_of(category))
    critical.next_escalation_at = critical.due_at
    critical.save_as(actor, "Raised")
    _alert(critical, level=0)
    publish(
        CriticalResultRaised(str(critical.uuid), procedure.accession_number, critical.version, category=category),
        actor=actor,
    )
    return critical


def _alert(critical: CriticalResult, *, level: int) -> int:
    """Tell who is next in the chain, each step once, and write it down. Answers how many people."""
    people = contacts_at(critical, level)
    for user in people:
        ContactAttempt(
            critical_result=critical,
            channel="in_app",
            person=user.display_name[:120],
            outcome="sent",
            level=level,
        ).save()
    tell(
        people,
        "reporting.critical_result" if level == 0 else "reporting.critical_result_escalated",
        url=f"/critical/{critical.uuid}/",
        subject=str(critical.uuid),
        context={"accession_number": critical.accession_number, "category": critical.category, "level": level},
        once=f"critical:{critical.uuid}:{level}:{critical.version}",
        urgent=True,
    )
    return len(people)


@service(perms.COMMUNICATE_CRITICAL, action=Action.UPDATE)
def log_contact(
    critical: CriticalResult,
    *,
    channel: str,
    person: str,
    outcome: str,
    read_back: bool = False,
    note: str = "",
    actor: Actor,
) -> CriticalResult:
    """Write down a try. Reached and read back makes it communicated; category 3 needs no read-back."""
    errors = {}
    if channel not in CHANNELS:
        errors["channel"] = _("One of %(channels)s.") % {"channels": ", ".join(CHANNELS)}
    if outcome not in ("reached", "no_answer", "sent"):
        errors["outcome"] = _("reached, no_answer or sent.")
    if not person.strip():
        errors["person"] = _("Say who.")
    if read_back and outcome != "reached":
        errors["read_back"] = _("Only somebody who was reached reads back.")
    if errors:
        raise InvalidData(_("This contact cannot be noted."), errors=errors)
    critical = CriticalResult.locked(critical.pk)
    if critical.status not in (C.OPEN, C.COMMUNICATED):
        raise InvalidTransition(
            _("This alert is %(status)s.") % {"status": critical.get_status_display()},
            todo=_("Raise a new one if there is more to tell."),
        )
    attempt = ContactAttempt(
        critical_result=critical,
        channel=channel,
        person=person.strip()[:120],
        outcome=outcome,
        read_back=read_back,
        note=note.strip()[:200],
        level=critical.escalation_level,
        by=actor.user,
    )
    attempt._history_user = actor.user
    attempt.save()
    told = outcome == "reached" and (read_back or critical.category == CriticalCategory.DAYS)
    if told and critical.status == C.OPEN:
        critical.move_to(C.COMMUNICATED)
        critical.communicated_at = attempt.at
        critical.next_escalation_at = None
        critical.save_as(actor, "Communicated")
        publish(
            CriticalResultCommunicated(str(critical.uuid), critical.accession_number, critical.version), actor=actor
        )
    return critical


@service(perms.ACKNOWLEDGE_CRITICAL, action=Action.UPDATE)
def acknowledge_critical(critical: CriticalResult, *, actor: Actor) -> CriticalResult:
    """A physician knows and acts. Who raised it cannot answer it."""
    critical = CriticalResult.locked(critical.pk)
    if actor.user is not None and critical.raised_by_id == actor.user.pk:
        raise NotPermitted(
            _("You raised this alert; somebody else acknowledges it."),
            todo=_("Call the requester and note who read it back."),
        )
    critical.move_to(C.ACKNOWLEDGED)
    critical.acknowledged_by, critical.acknowledged_at = actor.user, timezone.now()
    critical.communicated_at = critical.communicated_at or critical.acknowledged_at
    critical.next_escalation_at = None
    critical.save_as(actor, "Acknowledged")
    mark_seen(actor.user, [str(critical.uuid)])
    publish(CriticalResultAcknowledged(str(critical.uuid), critical.accession_number, critical.version), actor=actor)
    return critical


@service(perms.RAISE_CRITICAL, action=Action.UPDATE)
def withdraw_critical(critical: CriticalResult, *, reason: str, actor: Actor) -> CriticalResult:
    if not reason.strip():
        raise InvalidData(_("Say why it is withdrawn."), errors={"reason": _("Needed.")})
    critical = CriticalResult.locked(critical.pk)
    critical.move_to(C.WITHDRAWN)
    critical.withdrawn_reason = reason.strip()[:200]
    critical.next_escalation_at = None
    critical.save_as(actor, "Withdrawn")
    publish(CriticalResultWithdrawn(str(critical.uuid), critical.accession_number, critical.version), actor=actor)
    return critical


@service(perms.COMMUNICATE_CRITICAL, action=Action.UPDATE)
def close_critical(critical: CriticalResult, *, actor: Actor) -> CriticalResult:
    """Done with: told to somebody by name, or acknowledged."""
    critical = CriticalResult.locked(critical.pk)
    critical.move_to(C.CLOSED)
    critical.save_as(actor, "Closed")
    publish(CriticalResultClosed(str(critical.uuid), critical.accession_number, critical.version), actor=actor)
    return critical


@service(perms.COMMUNICATE_CRITICAL, action=Action.EXECUTE)
def escalate(
    critical: CriticalResult, *, now: datetime | None = None, at_once: bool = False, actor: Actor = BEAT
) -> CriticalResult:
    """Tell the next in the chain, if it is due (or ``at_once``); goes on until somebody answers, never twice a step."""
    now = now or timezone.now()
    critical = CriticalResult.locked(critical.pk)
    is_due = critical.next_escalation_at is not None and critical.next_escalation_at <= now
    if critical.status != C.OPEN or not (is_due or at_once):
        return critical
    critical.escalation_level += 1
    critical.next_escalation_at = now + timedelta(minutes=STEP_MINUTES[critical.category])
    critical.claimed_until = None
    critical.save_as(actor, f"Escalated to level {critical.escalation_level}")
    _alert(critical, level=critical.escalation_level)
    publish(
        CriticalResultEscalated(
            str(critical.uuid), critical.accession_number, critical.version, level=critical.escalation_level
        ),
        actor=actor,
    )
    return critical
