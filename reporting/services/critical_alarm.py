"""Alarming a level: its step, its messages, its links and its line in the log, all in one transaction or none.

A step is unique per alert, round and level, and every message has a key of its own, so whoever runs this again after
a crash finds the whole of it or nothing. What leaves the house is sent afterwards by the dispatcher, at least once,
under an identifier that the receiver can know again (``Idempotency-Key``, ``Message-ID``). Nothing that leaves the
house says whom or which exam it is about.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from reporting.models import ContactAttempt, CriticalResult, CriticalStatus, EscalationStep, StepCause, StepProblem
from reporting.services.critical_chain import Contacts, chain_of, contacts_at, desk, level_of
from reporting.services.critical_links import link_for, url_of
from ris.accounts.models import User
from ris.core.clock import database_now
from ris.notifications.models import Channel, Notification, NotificationStatus
from ris.notifications.services import TELL_AFTER, address_of, notify

RAISED, ESCALATED = "reporting.critical_result", "reporting.critical_result_escalated"
CHANGED, UNREACHED = "reporting.critical_result_changed", "reporting.critical_result_unreached"


def key_of(critical: CriticalResult, level: int) -> str:
    """The beginning of the keys of all messages of a level."""
    return f"critical:{critical.uuid}:{critical.round}:{level}:"


def alarm(critical: CriticalResult, *, level: int, cause: StepCause, now: datetime) -> EscalationStep:
    """Tell who stands at this level, once, and write it down. The alert is locked by the caller."""
    contacts = contacts_at(critical, level)
    step = EscalationStep(
        critical_result=critical,
        round=critical.round,
        level=level,
        contact=contacts.label[:80],
        cause=cause,
        people=len(contacts.people),
        problem=StepProblem.NOBODY if contacts.is_empty else StepProblem.NONE,
        due_at=critical.next_escalation_at if cause == StepCause.CLOCK else None,
        at=now,
    )
    step.messages = _send(critical, contacts, level=level, now=now)
    step.save()
    if contacts.is_empty:
        critical.unreached_since = critical.unreached_since or now
        tell_desk(critical, level=level)
    return step


def _send(critical: CriticalResult, contacts: Contacts, *, level: int, now: datetime) -> int:
    template = RAISED if level == 0 else ESCALATED
    channels = [code for code in level_of(critical, level).channels if code != Channel.IN_APP]
    sent = 0
    for user in contacts.people:
        used = [Channel.IN_APP.value]
        _message(critical, template, level, f"{user.pk}:in_app", user=user, url=_page(critical))
        link = None
        for channel in channels:
            address = address_of(user, Channel(channel))
            if not address:
                continue
            link = link or link_for(critical, level=level, user=user, name=user.display_name, now=now)
            _message(critical, template, level, f"{user.pk}:{channel}", user=user, channel=channel, url=url_of(link))
            used.append(channel)
        sent += len(used)
        _log(critical, user.display_name, used, contacts.label, level, now)
    for channel, address in contacts.mailboxes:
        other = next((way for way in contacts.mailboxes if way[0] != channel), (channel, address))
        link = link_for(critical, level=level, name=contacts.label, address=other, now=now)
        url = url_of(link) if link is not None else ""
        key = f"{contacts.label[:40]}:{channel}"
        _message(critical, template, level, key, address=address, channel=channel, url=url)
        _log(critical, contacts.label, [channel], contacts.label, level, now)
        sent += 1
    return sent


def _page(critical: CriticalResult) -> str:
    return reverse("critical_detail", args=[critical.uuid])


def _message(
    critical: CriticalResult, template: str, level: int, key: str, *, channel: str = Channel.IN_APP, **to: Any
) -> Notification:
    """The accession number stays in the house: what leaves it bears the alert's own reference."""
    context: dict[str, Any] = {"reference": critical.reference, "category": critical.category, "level": level}
    if channel == Channel.IN_APP:
        context["accession_number"] = critical.accession_number
    return notify(
        template=template,
        channel=channel,
        context=context,
        subject=str(critical.uuid),
        dedupe_key=f"{key_of(critical, level)}{key}",
        **to,
    )


def _log(
    critical: CriticalResult,
    name: str,
    channels: list[str],
    label: str,
    level: int,
    now: datetime,
    note: str = "",
    outcome: str = "sent",
) -> None:
    names = dict(Channel.choices)
    outward = [code for code in channels if code != Channel.IN_APP]
    ContactAttempt(
        critical_result=critical,
        channel=channels[0],
        person=name[:120],
        outcome=outcome,
        level=level,
        round=critical.round,
        duty=label[:80],
        note=(note or ", ".join(str(names[code]) for code in outward))[:200],
        at=now,
    ).save()


# --- when it reaches nobody


def works(critical: CriticalResult, level: int) -> bool | None:
    """Whether a message of this level left the house; None while that is open, or where none was to."""
    rows = Notification.objects.filter(dedupe_key__startswith=key_of(critical, level)).exclude(channel=Channel.IN_APP)
    states = list(rows.values_list("status", "attempts"))
    if any(status == NotificationStatus.SENT for status, _tries in states):
        return True
    failed = [status == NotificationStatus.FAILED or tries >= TELL_AFTER for status, tries in states]
    return False if failed and all(failed) else None


def note_failure(critical: CriticalResult) -> bool:
    """After a message failed: when no way out of the house works at the newest level, the alert says so on the board,
    the desk is told, and the next level is due at once. True when that is so. The alert is locked by the caller.
    """
    step = critical.steps.filter(round=critical.round, level=critical.escalation_level).first()
    if critical.status != CriticalStatus.OPEN or step is None or step.problem:
        return False
    if works(critical, step.level) is not False:
        return False
    now = database_now()
    step.problem = StepProblem.NO_CHANNEL
    step.save(update_fields=["problem"])
    critical.unreached_since = critical.unreached_since or now
    is_last = step.level + 1 >= len(chain_of(critical))  # the last one goes on by its own clock, not in a circle
    if not is_last and critical.next_escalation_at is not None:
        critical.next_escalation_at = min(critical.next_escalation_at, now)
    words = _("No message could leave the house")
    _log(critical, step.contact, ["in_app"], step.contact, step.level, now, note=words, outcome="failed")
    tell_desk(critical, level=step.level)
    return True


def tell_desk(critical: CriticalResult, *, level: int) -> None:
    """The desk and who raised it hear that nobody was reached: somebody has to walk or call."""
    people: list[User] = list(desk())
    if critical.raised_by is not None and critical.raised_by.is_active and critical.raised_by not in people:
        people.append(critical.raised_by)
    for user in people:
        _message(critical, UNREACHED, level, f"{user.pk}:desk", user=user, url=_page(critical))


# --- when the report changes afterwards


def told_people(critical: CriticalResult) -> list[User]:
    """Everybody with an account who was sent the alert, or answered it."""
    sent = Notification.objects.filter(subject=str(critical.uuid), template__in=(RAISED, ESCALATED))
    wanted = Q(pk__in=sent.values("recipient")) | Q(pk=critical.acknowledged_by_id)
    return list(User.objects.filter(wanted, is_active=True).order_by("pk"))


def tell_changed(critical: CriticalResult, *, version: int) -> int:
    """The report was corrected or retracted: who was told is told again; who was told by voice is to be called again.

    May run twice. The alert is locked by the caller. Answers how many messages there are.
    """
    now = database_now()
    people = told_people(critical)
    context = {"reference": critical.reference, "category": critical.category, "version": version}
    count = 0
    for user in people:
        for channel in Channel.values:
            inside = channel == Channel.IN_APP
            address = "" if inside else address_of(user, Channel(channel))
            if not inside and not address:
                continue
            notify(
                user=user,
                channel=channel,
                template=CHANGED,
                context={**context, **({"accession_number": critical.accession_number} if inside else {})},
                subject=str(critical.uuid),
                url=_page(critical),
                dedupe_key=f"critical-changed:{critical.uuid}:{version}:{user.pk}:{channel}",
            )
            count += 1
    critical.retell_version = version
    if critical.attempts.filter(outcome="reached", by__isnull=False).exists():
        critical.retell_since = now
    for user in people:
        words = _("The report has changed, version %(number)d") % {"number": version}
        _log(critical, user.display_name, ["in_app"], "", critical.escalation_level, now, note=words)
    return count
