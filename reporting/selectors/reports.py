"""A report and what stands around it: priors, the technologist's notes, who has it open, its ledger, its history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from orders.timeline import TimelineEntry
from reporting.models import ReadingLock, Report, ReportDelivery, ReportVersion, VersionKind
from reporting.services.templates import prior_exams
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from worklist.codes import NOTE_CHIPS
from worklist.models import TechnologistNote


def reports(*, actor: Actor) -> QuerySet[Report]:
    return Report.objects.visible_to(actor).for_display()


def report_by_uuid(uuid: UUID, *, actor: Actor) -> Report:
    report = reports(actor=actor).filter(uuid=uuid).first()
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
        .select_related("report", "report_version__report", "recipient__user", "acknowledged_by")
        .prefetch_related("report__procedures__order__patient")
    )


@dataclass(frozen=True)
class Prior:
    """An earlier exam of the patient, with the text that was signed of it."""

    procedure: RequestedProcedure
    version: ReportVersion | None
    relevance: int  # 2 same region, 1 same modality, 0 other
    words: str

    @property
    def at(self) -> datetime | None:
        return self.procedure.performed_at or self.procedure.started_at

    @property
    def addenda(self) -> list[ReportVersion]:
        report = self.version.report if self.version else None
        return [row for row in report.versions.all() if row.addendum] if report else []


def priors_of(procedures: list[RequestedProcedure], *, actor: Actor) -> list[Prior]:
    """Earlier exams with their reports, the most relevant first, then the newest; those the actor may see."""
    signed = Report.objects.filter(versions__isnull=False).distinct().prefetch_related("versions")
    rows = (
        prior_exams(procedures)
        .filter(pk__in=RequestedProcedure.objects.visible_to(actor).values("pk"))
        .select_related("catalogue", "order")
        .prefetch_related(
            Prefetch("reports", queryset=signed.exclude(status="entered-in-error"), to_attr="signed_reports")
        )
    )[:40]
    regions = {procedure.body_region.lower() for procedure in procedures if procedure.body_region}
    modalities = {procedure.modality for procedure in procedures}
    found = [_prior(row, regions, modalities) for row in rows]
    return sorted(found, key=lambda prior: -prior.relevance)


def _prior(row: Any, regions: set[str], modalities: set[str]) -> Prior:
    versions = [version for report in row.signed_reports for version in report.versions.all()]
    newest = max(versions, key=lambda version: (version.signed_at, version.number), default=None)
    if row.body_region and row.body_region.lower() in regions:
        return Prior(row, newest, 2, _("Same region"))
    if row.modality in modalities:
        return Prior(row, newest, 1, _("Same modality"))
    return Prior(row, newest, 0, _("Other region"))


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
    for procedure in procedures:
        if procedure.protocol:
            comments.append((_("Protocol"), procedure.protocol))
        if procedure.comments_to_technologist:
            comments.append((_("To the technologist"), procedure.comments_to_technologist))
        note = procedure.technologist_notes.select_related("written_by").first()
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
    for version in ReportVersion.objects.filter(report__in=reports_of.values("pk")).order_by("pk"):
        words = _("Report, version %(number)d: %(kind)s") % {"number": version.number, "kind": kinds[version.kind]}
        entries.append(TimelineEntry(version.signed_at, version.signer_name, "", words, "report"))
    for line in deliveries(actor=actor).filter(report__in=reports_of.values("pk")):
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
