"""The standard sentence: that, to whom, how and when a critical finding was told stands in the report itself.

In a draft it joins the impression; what is signed gets it as an addendum, by somebody who signs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils import translation
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from reporting import permissions as perms
from reporting.models import ContactAttempt, CriticalResult, CriticalStatus, Report
from reporting.services.locks import live_locks, lock_report
from reporting.services.signing import add_addendum
from reporting.services.writing import DEAD, report_of, write_sections
from ris.audit.models import Action
from ris.audit.service import service
from ris.core import text
from ris.core.actor import Actor
from ris.core.clock import database_now
from ris.core.errors import InvalidTransition

WAYS = {
    "phone": gettext_noop("by telephone"),
    "in_person": gettext_noop("in person"),
    "sms": gettext_noop("by SMS"),
    "email": gettext_noop("by e-mail"),
    "page": gettext_noop("by pager"),
    "in_app": gettext_noop("in the information system"),
}
#: An editor that gave a sign of life so recently is open: its person is shown the sentence instead.
EDITOR_OPEN_SECONDS = 120


@dataclass(frozen=True)
class Pending:
    """A sentence that its report does not hold yet."""

    critical: CriticalResult
    sentence: str


def telling(critical: CriticalResult) -> ContactAttempt | None:
    """The contact that counts: the newest of this round that reached somebody, as its category asks."""
    reached = [row for row in critical.attempts.all() if row.outcome == "reached" and row.round == critical.round]
    counted = [row for row in reached if row.read_back or not critical.needs_read_back]
    return counted[-1] if counted else None


def sentence_of(critical: CriticalResult, *, language: str = "") -> str:
    """“Critical finding communicated to Dr X by telephone at 14:05 on 21 Nov 2026, read back confirmed, by Dr Y.”

    Of a call, else of an acknowledgement through the system; empty while nobody knows.
    """
    attempt = telling(critical)
    with translation.override(language or None):
        if attempt is not None:
            values = {
                "who": attempt.person,
                "way": _(WAYS.get(attempt.channel, "in person")),
                "time": text.clock(attempt.at),
                "day": date_format(localtime(attempt.at), "j M Y"),
                "by": attempt.by.display_name if attempt.by is not None else "",
            }
            if attempt.read_back:
                words = _(
                    "Critical finding communicated to %(who)s %(way)s at %(time)s on %(day)s, read back confirmed, "
                    "by %(by)s."
                )
            else:
                words = _("Critical finding communicated to %(who)s %(way)s at %(time)s on %(day)s by %(by)s.")
            return words % values
        if critical.acknowledged_at is not None:
            return _("Critical finding acknowledged by %(who)s at %(time)s on %(day)s.") % {
                "who": acknowledger(critical),
                "time": text.clock(critical.acknowledged_at),
                "day": date_format(localtime(critical.acknowledged_at), "j M Y"),
            }
    return ""


def acknowledger(critical: CriticalResult) -> str:
    """Who acknowledged it, with an account or by name."""
    if critical.acknowledged_by is not None:
        return critical.acknowledged_by.display_name
    return critical.acknowledged_name


def report_for(critical: CriticalResult) -> Report | None:
    """The report that the sentence belongs into."""
    if critical.report is not None and critical.report.status not in DEAD:
        return critical.report
    return report_of([critical.procedure])


def is_told_in(report: Report, critical: CriticalResult) -> bool:
    """Whether the report names who was told and when, in whatever words its author has made of it."""
    words = " ".join([*report.sections.values(), *report.versions.values_list("addendum", flat=True)])
    attempt = telling(critical)
    if attempt is not None:
        return attempt.person in words and text.clock(attempt.at) in words
    if critical.acknowledged_at is not None:
        return acknowledger(critical) in words and text.clock(critical.acknowledged_at) in words
    return True


def pending_sentences(report: Report, criticals: Iterable[CriticalResult]) -> list[Pending]:
    """The sentences that this report lacks."""
    rows = [row for row in criticals if row.status != CriticalStatus.WITHDRAWN and not is_told_in(report, row)]
    return [Pending(row, words) for row in rows if (words := sentence_of(row, language=report.language))]


def write_sentence(critical: CriticalResult, *, actor: Actor) -> bool:
    """Put the sentence into the draft, where nobody has it open just now; True when it stands in the report.

    Whoever has it open finds the sentence offered there instead, so that no text being typed meets a conflict.
    """
    report = report_for(critical)
    if report is None or not actor.may(perms.WRITE_REPORT):
        return False
    if is_told_in(report, critical):
        return True
    if report.is_signed:
        return False
    report, procedures = lock_report(report)
    now = database_now()
    for lock in live_locks(procedures):
        is_other = actor.user is None or lock.user_id != actor.user.pk
        if is_other or (now - lock.heartbeat_at).total_seconds() < EDITOR_OPEN_SECONDS:
            return False
    before = report.sections.get("impression", "").rstrip()
    words = sentence_of(critical, language=report.language)
    write_sections(report, {"impression": f"{before}\n{words}".strip()}, actor)
    report.save_as(actor, "The call about a critical finding")
    return True


@service(perms.SIGN_REPORT, action=Action.UPDATE)
def add_sentence(critical: CriticalResult, *, actor: Actor) -> Report:
    """Add the sentence to the signed report as an addendum. The edge asks for recent authentication first."""
    report = report_for(critical)
    if report is None or not report.is_signed:
        raise InvalidTransition(
            _("There is no signed report to add to."), todo=_("Write the sentence into the draft instead.")
        )
    words = sentence_of(critical, language=report.language)
    if not words or is_told_in(report, critical):
        raise InvalidTransition(
            _("The report holds it already, or nobody has been told."), todo=_("Log the call first.")
        )
    return add_addendum(report, text=words, actor=actor)
