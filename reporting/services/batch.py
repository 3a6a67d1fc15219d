"""Several clean reports signed with one proof of who signs; each has its own signature, outcome and transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from reporting import permissions as perms
from reporting.models import Report, ReportStatus
from reporting.services.checks import Check, checks_of
from reporting.services.signing import sign_report
from reporting.services.viewer_guard import viewer_study_of
from ris.core.actor import Actor
from ris.core.errors import DomainError

LONGEST_BATCH = 50


@dataclass(frozen=True)
class Candidate:
    report: Report
    checks: list[Check]

    @property
    def is_clean(self) -> bool:
        return not self.checks


@dataclass(frozen=True)
class Outcome:
    """``refusal`` says why it was not signed; "" when it was."""

    report: Report
    refusal: str = ""


def own_unsigned(actor: Actor) -> QuerySet[Report]:
    """Drafts with text and preliminaries that this person wrote or opened last, oldest first."""
    mine = Q(author=actor.user) | Q(edited_by=actor.user) | Q(procedures__reading_lock__user=actor.user)
    rows = Report.objects.visible_to(actor).filter(mine, status__in=(ReportStatus.PARTIAL, ReportStatus.PRELIMINARY))
    return rows.for_display().distinct().order_by("pk")


def candidates(actor: Actor) -> list[Candidate]:
    """What may be signed together, with what each one's checks say."""
    shown = viewer_study_of(actor)
    rows = own_unsigned(actor)[:LONGEST_BATCH]
    return [Candidate(report, checks_of(report, viewer_study=shown)) for report in rows]


def sign_batch(reports: Iterable[Report], *, actor: Actor) -> list[Outcome]:
    """Sign those whose checks are clean; a refusal of one leaves the others. The edge asks for the proof first."""
    actor.require(perms.SIGN_REPORT)
    outcomes = []
    mine = set(own_unsigned(actor).values_list("pk", flat=True))
    for report in list(reports)[:LONGEST_BATCH]:
        outcomes.append(_sign_one(report, report.pk in mine, actor))
    return outcomes


def _sign_one(report: Report, is_mine: bool, actor: Actor) -> Outcome:
    if not is_mine:
        return Outcome(report, _("It is not yours, or no longer a draft."))
    checks = checks_of(report, viewer_study=viewer_study_of(actor))
    if checks:
        return Outcome(report, " ".join(check.title for check in checks))
    try:
        return Outcome(sign_report(report, revision=report.revision, actor=actor))
    except DomainError as refusal:  # of this one; the others of the batch go on
        return Outcome(report, refusal.detail)
