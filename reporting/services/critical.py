"""Critical results: raised, told with read-back, acknowledged; what nobody answers climbs to the next in the chain.

Times are the database's: a restart, a stopped broker, a second dispatcher or a machine whose clock is wrong neither
loses nor repeats a step.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting.events import (
    CriticalResultClosed,
    CriticalResultEscalated,
    CriticalResultRaised,
    CriticalResultReopened,
    CriticalResultWithdrawn,
)
from reporting.models import (
    AlertCategory,
    ContactAttempt,
    CriticalCategory,
    CriticalResult,
    CriticalStatus,
    Report,
    StepCause,
    StepProblem,
)
from reporting.services.critical_alarm import alarm, note_failure, tell_changed
from reporting.services.critical_chain import category_for, limit_of, minutes_of, next_at
from reporting.services.critical_settle import hush, settle_acknowledged, settle_told, stop_clock
from reporting.services.locks import person
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.clock import database_now
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.events.bus import publish

__all__ = ["minutes_of"]

BEAT = Actor("beat")
C = CriticalStatus
CHANNELS = ("phone", "in_person", "sms", "email", "page", "in_app")
OUTCOMES = ("reached", "no_answer", "busy", "message", "sent", "failed")
LONGEST_LIMIT = timedelta(days=60)
#: The database's clock was put back when a timer seems to have been set so far in the future.
CLOCK_SLACK = timedelta(minutes=1)


@service(perms.RAISE_CRITICAL, action=Action.CREATE)
def raise_critical_result(
    procedure: RequestedProcedure,
    *,
    finding: str,
    category: int | None = None,
    alert_category: AlertCategory | None = None,
    report: Report | None = None,
    found_at: datetime | None = None,
    due_at: datetime | None = None,
    limit_minutes: int | None = None,
    actor: Actor,
) -> CriticalResult:
    """Start the clock on a finding; the requester is told at once.

    ``category``: ACR 1 to 3, or ``alert_category``: the site's own. ``due_at``, or ``limit_minutes`` from now: another
    deadline than the category's.
    """
    user = person(actor)
    now = database_now()
    if limit_minutes is not None:
        due_at = now + timedelta(minutes=limit_minutes)
    found_at = found_at or now
    if alert_category is None and category in CriticalCategory.values:
        alert_category = category_for(category)
    errors = _wrong_alert(category, alert_category, finding, found_at, due_at, now)
    if errors:
        raise InvalidData(_("This alert cannot be raised."), errors=errors)
    severity = alert_category.severity if alert_category is not None else category
    critical = CriticalResult(
        procedure=procedure,
        report=report,
        category=severity,
        alert_category=alert_category,
        finding=finding.strip()[:300],
        raised_by=user,
        found_at=found_at,
    )
    critical.due_at = due_at or found_at + limit_of(critical.category, alert_category)
    _start_round(critical, now)
    critical.save_as(actor, "Raised")
    alarm(critical, level=0, cause=StepCause.RAISED, now=now)
    _keep_trouble(critical)
    publish(
        CriticalResultRaised(
            str(critical.uuid), procedure.accession_number, critical.version, category=critical.category
        ),
        actor=actor,
    )
    return critical


def _wrong_alert(
    category: int | None,
    alert_category: AlertCategory | None,
    finding: str,
    found_at: datetime,
    due_at: datetime | None,
    now: datetime,
) -> dict[str, str]:
    errors = {}
    if alert_category is None and category not in CriticalCategory.values:
        errors["category"] = _("1, 2 or 3, or a category of this site.")
    elif alert_category is not None and not alert_category.is_active:
        errors["category"] = _("This category is not in use.")
    if not finding.strip():
        errors["finding"] = _("Needed.")
    if found_at > now + timedelta(minutes=5):
        errors["found_at"] = _("Lies in the future.")
    if due_at is not None and not now < due_at <= now + LONGEST_LIMIT:
        errors["due_at"] = _("Must lie ahead, within %(count)d days.") % {"count": LONGEST_LIMIT.days}
    return errors


def _start_round(critical: CriticalResult, now: datetime) -> None:
    critical.escalation_level = 0
    critical.timer_set_at = now
    critical.next_escalation_at = next_at(critical, 0, now)


def _keep_trouble(critical: CriticalResult) -> None:
    """What an alarm found wrong is kept with the alert."""
    if critical.unreached_since is not None:
        CriticalResult.objects.filter(pk=critical.pk).update(unreached_since=critical.unreached_since)


@service(perms.COMMUNICATE_CRITICAL, action=Action.UPDATE)
def log_contact(
    critical: CriticalResult,
    *,
    channel: str,
    person: str,
    outcome: str,
    read_back: bool = False,
    note: str = "",
    duty: str = "",
    acknowledges: bool = False,
    actor: Actor,
) -> CriticalResult:
    """Write down a try. Reached and read back makes it communicated; category 3 needs no read-back.

    ``acknowledges``: the person called says that they act on it, and has read it back.
    """
    errors = _wrong_contact(channel, person, outcome, read_back, acknowledges)
    if errors:
        raise InvalidData(_("This contact cannot be noted."), errors=errors)
    critical = CriticalResult.locked(critical.pk)
    is_live = critical.status in (C.OPEN, C.COMMUNICATED)
    if not is_live and critical.retell_since is None:
        raise InvalidTransition(
            _("This alert is %(status)s.") % {"status": critical.get_status_display()},
            todo=_("Open it again, or raise a new one if there is more to tell."),
        )
    attempt = ContactAttempt(
        critical_result=critical,
        channel=channel,
        person=person.strip()[:120],
        outcome=outcome,
        read_back=read_back,
        note=note.strip()[:200],
        duty=duty.strip()[:80],
        acknowledges=acknowledges,
        level=critical.escalation_level,
        round=critical.round,
        at=database_now(),
        by=actor.user,
    )
    attempt._history_user = actor.user
    attempt.save()
    if outcome == "reached" and critical.retell_since is not None:
        critical.retell_since = None
        critical.save_as(actor, "Told of the change")
    if not is_live:
        return critical
    if acknowledges:
        return settle_acknowledged(critical, user=None, name=attempt.person, via=channel, actor=actor)
    told = outcome == "reached" and (read_back or not critical.needs_read_back)
    if told and critical.status == C.OPEN:
        return settle_told(critical, at=attempt.at, actor=actor)
    return critical


def _wrong_contact(channel: str, person: str, outcome: str, read_back: bool, acknowledges: bool) -> dict[str, str]:
    errors = {}
    if channel not in CHANNELS:
        errors["channel"] = _("One of %(channels)s.") % {"channels": ", ".join(CHANNELS)}
    if outcome not in OUTCOMES:
        errors["outcome"] = _("One of %(channels)s.") % {"channels": ", ".join(OUTCOMES)}
    if not person.strip():
        errors["person"] = _("Say who.")
    if read_back and outcome != "reached":
        errors["read_back"] = _("Only somebody who was reached reads back.")
    if acknowledges and not (outcome == "reached" and read_back):
        errors["acknowledges"] = _("Only somebody who was reached and read it back acknowledges it.")
    return errors


@service(perms.ACKNOWLEDGE_CRITICAL, action=Action.UPDATE)
def acknowledge_critical(critical: CriticalResult, *, actor: Actor) -> CriticalResult:
    """A physician knows and acts. Who raised it cannot answer it."""
    critical = CriticalResult.locked(critical.pk)
    if actor.user is not None and critical.raised_by_id == actor.user.pk:
        raise NotPermitted(
            _("You raised this alert; somebody else acknowledges it."),
            todo=_("Call the requester and note who read it back."),
        )
    return settle_acknowledged(critical, user=actor.user, name="", via="page", actor=actor)


@service(perms.RAISE_CRITICAL, action=Action.UPDATE)
def withdraw_critical(critical: CriticalResult, *, reason: str, actor: Actor) -> CriticalResult:
    if not reason.strip():
        raise InvalidData(_("Say why it is withdrawn."), errors={"reason": _("Needed.")})
    critical = CriticalResult.locked(critical.pk)
    critical.move_to(C.WITHDRAWN)
    critical.withdrawn_reason = reason.strip()[:200]
    stop_clock(critical)
    critical.save_as(actor, "Withdrawn")
    hush(critical)
    publish(CriticalResultWithdrawn(str(critical.uuid), critical.accession_number, critical.version), actor=actor)
    return critical


@service(perms.RAISE_CRITICAL, action=Action.UPDATE)
def reopen_critical(critical: CriticalResult, *, reason: str, actor: Actor) -> CriticalResult:
    """It has to be told again: the clock and the chain begin anew. What was said before stays in the log."""
    if not reason.strip():
        raise InvalidData(_("Say why it is opened again."), errors={"reason": _("Needed.")})
    critical = CriticalResult.locked(critical.pk)
    critical.move_to(C.OPEN)
    now = database_now()
    critical.round += 1
    critical.communicated_at = critical.acknowledged_at = critical.acknowledged_by = None
    critical.acknowledged_name = critical.acknowledged_via = critical.withdrawn_reason = ""
    critical.due_at = now + limit_of(critical.category, critical.alert_category)
    _start_round(critical, now)
    critical.save_as(actor, f"Opened again: {reason}")
    alarm(critical, level=0, cause=StepCause.RAISED, now=now)
    _keep_trouble(critical)
    publish(CriticalResultReopened(str(critical.uuid), critical.accession_number, critical.version), actor=actor)
    return critical


@service(perms.COMMUNICATE_CRITICAL, action=Action.UPDATE)
def close_critical(critical: CriticalResult, *, actor: Actor) -> CriticalResult:
    """Done with: told to somebody by name, or acknowledged. Not while somebody is to be told of a change."""
    critical = CriticalResult.locked(critical.pk)
    if critical.retell_since is not None:
        raise InvalidTransition(
            _("The report has changed; who was told by voice is to be called again."),
            todo=_("Call, and note who was reached."),
        )
    critical.move_to(C.CLOSED)
    critical.save_as(actor, "Closed")
    hush(critical)
    publish(CriticalResultClosed(str(critical.uuid), critical.accession_number, critical.version), actor=actor)
    return critical


@service(perms.COMMUNICATE_CRITICAL, action=Action.EXECUTE)
def escalate(
    critical: CriticalResult,
    *,
    now: datetime | None = None,
    at_once: bool = False,
    level: int | None = None,
    actor: Actor = BEAT,
) -> CriticalResult:
    """Alarm the next level, if it is due (or ``at_once``); goes on until somebody answers, never twice a level.

    ``level``: the one that is meant; where it was alarmed meanwhile (a second press, another process), nothing happens.
    """
    critical = CriticalResult.locked(critical.pk)
    now = now or database_now()
    if critical.status != C.OPEN or (level is not None and level <= critical.escalation_level):
        return critical
    if not at_once:
        if critical.next_escalation_at is None:
            return critical
        if critical.timer_set_at is not None and critical.timer_set_at > now + CLOCK_SLACK:
            return _wind_again(critical, now, actor)
        if critical.next_escalation_at > now:
            return critical
    before = critical.steps.filter(round=critical.round, level=critical.escalation_level).first()
    cause = StepCause.PERSON if at_once else StepCause.CLOCK
    if not at_once and before is not None and before.problem == StepProblem.NO_CHANNEL:
        cause = StepCause.UNREACHED
    critical.escalation_level += 1
    step = alarm(critical, level=critical.escalation_level, cause=cause, now=now)
    critical.next_escalation_at = next_at(critical, critical.escalation_level, now)
    critical.timer_set_at, critical.claimed_until = now, None
    critical.save_as(actor, f"Escalated to level {step.level}")
    publish(
        CriticalResultEscalated(str(critical.uuid), critical.accession_number, critical.version, level=step.level),
        actor=actor,
    )
    return critical


def _wind_again(critical: CriticalResult, now: datetime, actor: Actor) -> CriticalResult:
    """The clock was put back: the time set would come too late, so the same wait begins again from now."""
    assert critical.next_escalation_at is not None and critical.timer_set_at is not None
    critical.next_escalation_at = now + max(critical.next_escalation_at - critical.timer_set_at, timedelta())
    critical.timer_set_at, critical.claimed_until = now, None
    critical.save_as(actor, "The clock was put back; the timer is set again")
    return critical


@service(perms.COMMUNICATE_CRITICAL, action=Action.UPDATE)
def note_unreached(critical: CriticalResult, *, actor: Actor) -> CriticalResult:
    """A message of it failed: where no way out of the house works, the next level is due at once and the desk hears."""
    critical = CriticalResult.locked(critical.pk)
    if note_failure(critical):
        critical.save_as(actor, "Nobody could be reached")
    return critical


@service(perms.COMMUNICATE_CRITICAL, action=Action.UPDATE)
def note_report_changed(critical: CriticalResult, *, version: int, actor: Actor) -> CriticalResult:
    """Its report was corrected or retracted: who was told is told again. A repeat does nothing."""
    critical = CriticalResult.locked(critical.pk)
    if critical.status == C.WITHDRAWN or (critical.retell_version or 0) >= version:
        return critical
    tell_changed(critical, version=version)
    critical.save_as(actor, f"The report changed: version {version}")
    return critical
