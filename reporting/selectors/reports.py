"""A report and what stands around it: priors, the technologist's notes, who has it open, its ledger, its history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet, prefetch_related_objects
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from orders.timeline import TimelineEntry
from reporting.diff import SectionDiff, section_diffs
from reporting.models import ReadingLock, Report, ReportDelivery, ReportVersion, VersionKind
from reporting.models.reports import SIGNED
from reporting.permissions import WRITE_REPORT
from reporting.services.priors import SAME_MODALITY, SAME_REGION, citation, earlier_exams, likeness
from ris.core.actor import Actor
from ris.core.errors import DomainError, NotKnown
from worklist.codes import NOTE_CHIPS
from worklist.models import TechnologistNote


class ContentChanged(DomainError):
    """What is stored is not what was signed."""

    code = "content_changed"


def reports(*, actor: Actor) -> QuerySet[Report]:
    return Report.objects.visible_to(actor).for_display()


def report_by_uuid(uuid: UUID, *, actor: Actor) -> Report:
    report = reports(actor=actor).select_related("template").filter(uuid=uuid).first()
    if report is None:
        raise NotKnown(_("There is no such report in this facility."))
    return report


def live_lock_of(report: Report) -> ReadingLock | None:
    return (
        ReadingLock.objects.live()
        .filter(procedure__in=report.procedures.all())
        .select_related("user")
        .order_by("pk")
        .first()
    )


def deliveries(*, actor: Actor) -> QuerySet[ReportDelivery]:
    return (
        ReportDelivery.objects.visible_to(actor)
        .select_related("report", "report_version__report", "recipient__user", "acknowledged_by", "delegated_to")
        .prefetch_related("report__procedures__order__patient", "tries__by")
    )


@dataclass(frozen=True)
class Prior:
    """An earlier exam of the patient, with the text that was signed of it."""

    procedure: RequestedProcedure
    version: ReportVersion | None
    relevance: int  # 2 same region, 1 same modality, 0 other
    words: str
    likeness: int = 0

    @property
    def at(self) -> datetime | None:
        return self.procedure.performed_at or self.procedure.started_at

    @property
    def citation(self) -> str:
        return citation(self.procedure)

    @property
    def addenda(self) -> list[ReportVersion]:
        report = self.version.report if self.version else None
        return [row for row in report.standing_versions if row.addendum] if report else []


def priors_of(procedures: list[RequestedProcedure], *, actor: Actor) -> list[Prior]:
    """Earlier exams with their reports, of all records merged into the patient's: the most alike first, then newest.

    Those only that the actor may see.
    """
    signed = (
        Report.objects.filter(versions__isnull=False)
        .exclude(status="entered-in-error")
        .distinct()
        .prefetch_related(Prefetch("versions", queryset=ReportVersion.objects.select_related("recall")))
    )
    rows = (
        earlier_exams(procedures)
        .filter(pk__in=RequestedProcedure.objects.visible_to(actor).values("pk"))
        .select_related("catalogue", "order__patient")
        .prefetch_related(Prefetch("reports", queryset=signed, to_attr="signed_reports"))
    )[:40]
    found = [_prior(row, procedures) for row in rows]
    return sorted(found, key=lambda prior: -prior.likeness)


def _prior(row: Any, procedures: list[RequestedProcedure]) -> Prior:
    versions = [version for report in row.signed_reports for version in report.standing_versions]
    newest = max(versions, key=lambda version: (version.signed_at, version.number), default=None)
    alike = likeness(row, procedures)
    if alike >= SAME_REGION:
        words = _("Same region and method") if alike >= SAME_REGION + SAME_MODALITY else _("Same region")
        return Prior(row, newest, 2, words, alike)
    if row.modality in {procedure.modality for procedure in procedures}:
        return Prior(row, newest, 1, _("Same modality"), alike)
    return Prior(row, newest, 0, _("Other region"), alike)


def version_of(report: Report, number: str | int = "", *, actor: Actor) -> ReportVersion:
    """The signed version of that number, or the newest that stands; its words are those that were signed.

    A recalled one is for those who write reports. Raises NotKnown, ContentChanged.
    """
    versions = list(report.versions.all()) if actor.may(WRITE_REPORT) and number else report.standing_versions
    wanted = [row for row in versions if not number or str(row.number) == str(number)]
    if not wanted:
        raise NotKnown(_("There is no such signed version."))
    return verified(wanted[-1])


def verified(version: ReportVersion) -> ReportVersion:
    """The version, when its content hash is still that of its words."""
    if not version.is_intact:
        raise ContentChanged(
            _("This version is not what was signed: its content check fails."),
            asked=_("To read a signed version."),
            found=_("Its words differ from those that were signed."),
            todo=_("Do not act on it. Tell the administrator at once."),
        )
    return version


def changes_for(actor: Actor) -> QuerySet[Report]:
    """Reports that this person signed preliminary and another signed final, not looked at since; newest first."""
    rows = reports(actor=actor).filter(
        preliminary_by=actor.user, status__in=SIGNED, changes_seen_at__isnull=True, held_until__isnull=True
    )
    return rows.exclude(signed_by=actor.user).order_by("-signed_at")


def attending_changes(report: Report) -> list[SectionDiff]:
    """From the last preliminary version to the first final one after it, word by word; sections that differ."""
    versions = report.standing_versions
    before = [row for row in versions if row.kind == VersionKind.PRELIMINARY]
    after = [row for row in versions if row.kind == VersionKind.FINAL]
    if not before or not after:
        return []
    return [row for row in section_diffs(before[-1].sections, after[-1].sections) if row.differs]


def _words_of(note: TechnologistNote) -> str:
    """The chips in words, what was changed, and the free text."""
    parts = [str(NOTE_CHIPS.get(key, key)) for key in note.chips]
    if note.deviation:
        parts.append(_("Protocol changed: %s") % note.deviation)
    return ". ".join(filter(None, (*parts, note.text)))


@dataclass(frozen=True)
class TechnologistNotes:
    comments: list[tuple[str, str]]
    consumables: list[Any]
    screenings: list[Any]
    rejects: list[Any]

    @property
    def count(self) -> int:
        return len(self.comments) + len(self.consumables) + len(self.rejects)


def technologist_notes(procedures: list[RequestedProcedure]) -> TechnologistNotes:
    """What the room wrote down: protocol and comments, contrast and its lots, answers, rejected exposures."""
    comments, consumables, screenings, rejects = [], [], [], []
    prefetch_related_objects(procedures, "technologist_notes__written_by")
    for procedure in procedures:
        if procedure.protocol:
            comments.append((_("Protocol"), procedure.protocol))
        if procedure.comments_to_technologist:
            comments.append((_("To the technologist"), procedure.comments_to_technologist))
        note = next(iter(procedure.technologist_notes.all()), None)
        if note is not None:
            comments.append((note.written_by.display_name if note.written_by else "", _words_of(note)))
        consumables += procedure.consumables.filter(withdrawn_at__isnull=True).select_related("recorded_by")
        screenings += (
            procedure.screenings.filter(superseded_at__isnull=True)
            .select_related("questionnaire", "answered_by")
            .prefetch_related("questionnaire__questions")
        )
        rejects += procedure.rejects.all()
    return TechnologistNotes(comments, consumables, screenings, rejects)


def history_entries(procedure: RequestedProcedure, *, actor: Actor) -> list[TimelineEntry]:
    """What this app adds to a procedure's timeline: signatures, deliveries, critical results."""
    entries = []
    kinds = dict(VersionKind.choices)
    reports_of = Report.objects.visible_to(actor).filter(procedures=procedure)
    signed = ReportVersion.objects.filter(report__in=reports_of.values("pk")).select_related("recall__recalled_by")
    versions = list(signed.prefetch_related("co_signatures").order_by("pk"))
    for version in versions:
        words = _("Report, version %(number)d: %(kind)s") % {"number": version.number, "kind": kinds[version.kind]}
        entries.append(TimelineEntry(version.signed_at, version.signer_name, "", words, "report"))
        for row in version.co_signatures.all():
            entries.append(TimelineEntry(row.signed_at, row.signer_name, "", _("Report co-signed"), "report"))
        if version.is_recalled:
            recall = version.recall
            said = _("Recalled before delivery: %(reason)s") % {"reason": recall.reason}
            entries.append(TimelineEntry(recall.recalled_at, recall.recalled_by.display_name, "", said, "report"))
    if versions:
        for line in deliveries(actor=actor).filter(report_version__in=versions):
            entries += _of_delivery(line)
    for critical in procedure.critical_results.select_related("raised_by", "acknowledged_by").prefetch_related(
        "attempts__by"
    ):
        entries += _of_critical(critical)
    return entries


def _of_delivery(line: ReportDelivery) -> list[TimelineEntry]:
    to = line.recipient.display_name if line.recipient else line.destination
    number = line.report_version.number
    how = line.get_channel_display()
    named = {"number": number, "how": how, "to": to}
    steps = (
        (line.sent_at, "", _("Version %(number)d sent by %(how)s to %(to)s") % named),
        (line.opened_at, to, _("Version %(number)d opened by %(to)s") % named),
        (
            line.acknowledged_at,
            line.acknowledged_by.display_name if line.acknowledged_by else to,
            _("Version %(number)d acknowledged by %(how)s") % named,
        ),
    )
    return [TimelineEntry(at, who, how, what, "delivery") for at, who, what in steps if at is not None]


def _of_critical(critical: Any) -> list[TimelineEntry]:
    entries = [
        TimelineEntry(
            critical.found_at,
            critical.raised_by.display_name if critical.raised_by else "",
            "",
            _("Critical result raised: %(category)s") % {"category": critical.get_category_display()},
            "critical",
        )
    ]
    for attempt in critical.attempts.all():
        words = _("Critical result: %(outcome)s, %(person)s") % {
            "outcome": attempt.get_outcome_display(),
            "person": attempt.person,
        }
        who = attempt.by.display_name if attempt.by else _("the system")
        entries.append(TimelineEntry(attempt.at, who, attempt.channel, words, "critical"))
    if critical.acknowledged_at:
        who = critical.acknowledged_by.display_name if critical.acknowledged_by else ""
        entries.append(TimelineEntry(critical.acknowledged_at, who, "", _("Critical result acknowledged"), "critical"))
    return entries
