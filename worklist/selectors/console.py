"""What a technologist sees: the room's list, one exam with all that belongs to it, and what must be looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import ProcedureStatus, RequestedProcedure
from ris.core import text
from ris.core.actor import Actor
from worklist import permissions as perms
from worklist.codes import IDENTIFIED_BY, MISSING, NOTE_CHIPS, REJECT_REASONS, TIME_OUT_CHECKS
from worklist.models import (
    ImagingStudy,
    PerformedProcedureStep,
    Reservation,
    ScheduledProcedureStep,
    SPSStatus,
)
from worklist.services.completion import announced_images, counted_images, missing_of
from worklist.services.documenting import is_locked
from worklist.services.screening import ScreeningState, screening_states
from worklist.services.time_out import checks_needed

TABS = ("today", "done", "undocumented")
S = ProcedureStatus
WAITING = (S.SCHEDULED, S.ARRIVED, S.IN_PROGRESS)
DONE = (S.PERFORMED, S.READY_TO_READ, S.READING, S.PRELIMINARY, S.FINAL, S.AMENDED, S.DISTRIBUTED, S.DISCONTINUED)
LIST_AT_MOST = 100
#: Where on the card each missing thing is written down.
MISSING_AT = {
    "time_out": "time-out",
    "questions": "questions",
    "block": "questions",
    "contrast": "used",
    "lot": "used",
    "images": "images",
    "count": "images",
}
UNDOCUMENTED_DAYS = 30


def exams(*, actor: Actor) -> QuerySet[RequestedProcedure]:
    """Exams with their steps, as a row of the list needs them."""
    if not actor.may(perms.VIEW_STEP):
        return RequestedProcedure.objects.none()
    steps = ScheduledProcedureStep.objects.select_related("station__room").defer("item").order_by("-pk")
    return RequestedProcedure.objects.visible_to(actor).for_display().prefetch_related(Prefetch("steps", steps))


def day_bounds(day: Any) -> tuple[datetime, datetime]:
    begin = timezone.make_aware(datetime.combine(day, datetime.min.time()))
    return begin, begin + timedelta(days=1)


def tab_condition(tab: str, day: Any) -> Q:
    """Steps of the day that wait or run; exams of the day that are done; what was done and never written up."""
    begin, end = day_bounds(day)
    if tab == "done":
        return Q(status__in=DONE, performed_at__gte=begin, performed_at__lt=end) | Q(
            status=S.DISCONTINUED, status_changed_at__gte=begin, status_changed_at__lt=end
        )
    if tab == "undocumented":
        images = ImagingStudy.objects.filter(procedures=OuterRef("pk"), instance_count__gt=0)
        done = Q(status__in=set(DONE) - {S.DISCONTINUED}) | Q(status__in=(S.SCHEDULED, S.ARRIVED)) & Q(Exists(images))
        recent = Q(status_changed_at__gte=begin - timedelta(days=UNDOCUMENTED_DAYS))
        return done & recent & Q(completed_by_technologist_at__isnull=True)
    open_step = Q(steps__status__in=(SPSStatus.SCHEDULED, SPSStatus.ARRIVED, SPSStatus.READY, SPSStatus.STARTED))
    today = Q(steps__starts_at__gte=begin, steps__starts_at__lt=end)
    return Q(status__in=WAITING) & open_step & (today | Q(status=S.IN_PROGRESS))


def place_condition(room: str, modality: str) -> Q:
    condition = Q()
    if room:
        condition &= Q(steps__station__room__code=room) | Q(steps__appointment__room__code=room)
    if modality:
        condition &= Q(modality=modality)
    return condition


def console_list(*, tab: str, day: Any, room: str = "", modality: str = "", actor: Actor) -> list[RequestedProcedure]:
    condition = tab_condition(tab, day) & place_condition(room, modality)
    keys = RequestedProcedure.objects.filter(condition).values("pk")
    rows = list(exams(actor=actor).filter(pk__in=keys)[:LIST_AT_MOST])
    for row in rows:
        row.step = next(iter(row.steps.all()), None)
    return in_list_order(rows)


def in_list_order(rows: list[Any]) -> list[Any]:
    """STAT first, then by time."""
    return sorted(rows, key=_place_in_list)


def _place_in_list(row: Any) -> tuple[int, datetime]:
    starts = row.step.starts_at if row.step and row.step.starts_at else row.created_at
    return (0 if row.order.priority == "stat" and row.status in WAITING else 1, starts)


def tab_counts(*, day: Any, room: str = "", modality: str = "", actor: Actor) -> dict[str, int]:
    visible = RequestedProcedure.objects.visible_to(actor)
    place = place_condition(room, modality)
    return {
        tab: visible.filter(
            pk__in=RequestedProcedure.objects.filter(tab_condition(tab, day) & place).values("pk")
        ).count()
        for tab in TABS
    }


# --- one exam


@dataclass
class Finding:
    """One line of the image check."""

    tone: str
    icon: str
    words: str


@dataclass
class ExamCard:
    """Everything the console shows of one exam."""

    procedure: RequestedProcedure
    step: ScheduledProcedureStep | None
    performed: list[PerformedProcedureStep]
    studies: list[ImagingStudy]
    states: list[ScreeningState]
    time_out: Any
    note: Any
    consumables: list[Any]
    rejects: list[Any]
    exposures: list[Any]
    adverse_events: list[Any]
    completion: Any
    counted: int | None
    appointment: Reservation | None
    missing: list[str] = field(default_factory=list)
    checks: list[TimeOutLine] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def announced(self) -> int:
        """What the scanner says it made."""
        return announced_images(self.performed)

    @property
    def stored(self) -> int:
        return sum(study.instance_count for study in self.studies)

    @property
    def needs_time_out(self) -> bool:
        """Nobody has looked, or what was looked at has changed since."""
        return self.time_out is None or not self.time_out.still_holds

    @property
    def has_evidence(self) -> bool:
        """There is something that may be another exam's."""
        return bool(self.performed or self.studies)

    @property
    def is_locked(self) -> bool:
        return is_locked(self.procedure)

    @property
    def what_is_missing(self) -> list[Any]:
        return [(key, MISSING[key], f"#{MISSING_AT[key]}") for key in self.missing]

    @property
    def verdict(self) -> str:
        tones = {finding.tone for finding in self.findings}
        if "red" in tones:
            return "blocked"
        return "review" if "amber" in tones else "ready" if self.studies else ""

    @property
    def is_blocked(self) -> bool:
        return any(state.blocks for state in self.states)

    @property
    def is_missing_answers(self) -> bool:
        return any(state.is_missing for state in self.states)

    @property
    def may_start(self) -> bool:
        return self.procedure.status in (S.ACCEPTED, S.SCHEDULED, S.ARRIVED)

    @property
    def is_running(self) -> bool:
        return self.procedure.status == S.IN_PROGRESS

    @property
    def may_complete(self) -> bool:
        if self.procedure.completed_by_technologist_at is not None:
            return False
        if self.procedure.status in (S.SCHEDULED, S.ARRIVED):
            return self.stored > 0
        return self.procedure.status in (S.IN_PROGRESS, S.PERFORMED, S.READY_TO_READ, S.READING, S.PRELIMINARY, S.FINAL)

    @property
    def identified(self) -> list[Any]:
        return [IDENTIFIED_BY.get(key, key) for key in self.time_out.identifiers] if self.time_out else []

    @property
    def checked(self) -> list[Any]:
        return [TIME_OUT_CHECKS.get(key, key) for key in self.time_out.checks] if self.time_out else []

    @property
    def chips(self) -> list[Any]:
        return [NOTE_CHIPS.get(key, key) for key in self.note.chips] if self.note else []


def exam_card(procedure: RequestedProcedure) -> ExamCard:
    """The exam must come from ``exams(actor=...)``."""
    steps = list(procedure.steps.all())
    performed = list(
        PerformedProcedureStep.objects.filter(scheduled_steps__in=steps)
        .select_related("station", "performed_by")
        .distinct()
    )
    rejects = list(procedure.rejects.filter(withdrawn_at__isnull=True).select_related("made_by").order_by("-pk"))
    for row in rejects:
        row.reason = REJECT_REASONS.get(row.reason_code, row.reason_code)
    card = ExamCard(
        procedure=procedure,
        step=steps[0] if steps else None,
        performed=performed,
        studies=list(procedure.studies.annotate(open_exceptions=_open_exceptions()).prefetch_related("series")),
        states=screening_states(procedure),
        time_out=procedure.time_outs.select_related("done_by").first(),
        note=procedure.technologist_notes.select_related("written_by").first(),
        consumables=list(
            procedure.consumables.filter(withdrawn_at__isnull=True).select_related("given_by").order_by("-pk")
        ),
        rejects=rejects,
        exposures=list(procedure.exposures.filter(withdrawn_at__isnull=True)),
        adverse_events=list(procedure.adverse_events.filter(withdrawn_at__isnull=True).select_related("recorded_by")),
        completion=procedure.completions.select_related("recorded_by").first(),
        counted=counted_images(procedure),
        appointment=procedure.appointments.exclude(status="cancelled")
        .select_related("room", "station")
        .order_by("-pk")
        .first(),
    )
    card.findings = check_images(card)
    if card.may_complete:
        card.missing = missing_of(procedure)
    card.checks = time_out_lines(card)
    return card


@dataclass(frozen=True)
class TimeOutLine:
    """One check of the time-out: what to confirm, and what is known of it."""

    key: str
    words: Any
    known: str
    tone: str = ""


def time_out_lines(card: ExamCard) -> list[TimeOutLine]:
    """What is asked at the last look, beside what the papers say."""
    procedure = card.procedure
    answers = {key: value for state in card.states if state.screening for key, value in state.screening.answers.items()}
    alerts = [row.text for row in procedure.order.patient.alert_rows.all() if row.is_active and row.kind == "allergy"]
    said = {"no": _("Said: no"), "yes": _("Said: yes"), "unknown": _("Said: not known")}
    pregnant = answers.get("pregnant", "")
    known = {
        "exam": (procedure.description_with_side, ""),
        "side": (str(procedure.get_laterality_display()) if procedure.laterality else _("No side was ordered"), ""),
        "pregnancy": (said.get(pregnant, _("Not asked yet")), "" if pregnant == "no" else "amber"),
        "allergy": (", ".join(alerts) or _("None known"), "red" if alerts else ""),
        "renal": (_egfr(answers), "" if answers.get("egfr") else "amber"),
        "consent": (_("Look at the signature"), ""),
        "entry": (procedure.accession_number, ""),
    }
    return [TimeOutLine(key, TIME_OUT_CHECKS[key], *known[key]) for key in checks_needed(procedure)]


def _egfr(answers: dict[str, Any]) -> str:
    if not answers.get("egfr"):
        return _("No eGFR here")
    return " ".join(filter(None, (f"eGFR {answers['egfr']}", day_words(answers.get("egfr_date", "")))))


def day_words(value: str) -> str:
    """A date as people read it; what was written in words stays."""
    try:
        return text.day(date.fromisoformat(value))
    except ValueError:
        return value


def _open_exceptions() -> Count:
    return Count("exceptions", filter=Q(exceptions__resolved_at__isnull=True), distinct=True)


def check_images(card: ExamCard) -> list[Finding]:
    """Do counts, accession number, body part and side agree with the order and the scanner."""
    if not card.studies:
        return []
    found = []
    series = [row for study in card.studies for row in study.series.all()]
    procedure = card.procedure
    numbers = {study.accession_number for study in card.studies if study.accession_number}
    if numbers and numbers != {procedure.accession_number}:
        found.append(Finding("amber", "alert-triangle", _("The accession number in the images is another one.")))
    else:
        found.append(Finding("green", "circle-check", _("Patient and accession number agree with the order.")))
    if card.announced and card.stored < card.announced:
        words = _("%(stored)d of %(all)d images are stored.") % {"stored": card.stored, "all": card.announced}
        found.append(Finding("amber", "alert-triangle", words))
    elif card.announced:
        found.append(Finding("green", "circle-check", _("All images that the scanner names are stored.")))
    told = card.announced or card.stored
    if card.counted is not None and card.counted != told:
        words = _("You counted %(counted)d images, the machine says %(told)d.") % {
            "counted": card.counted,
            "told": told,
        }
        found.append(Finding("amber", "alert-triangle", words))
    sides = {row.laterality for row in series if row.laterality} - {"U"}
    if procedure.laterality in ("L", "R") and sides and procedure.laterality not in sides:
        words = _("The images say side %(side)s, the order says %(ordered)s.") % {
            "side": ", ".join(sorted(sides)),
            "ordered": procedure.get_laterality_display(),
        }
        found.append(Finding("amber", "alert-triangle", words))
    modalities = {row.modality for row in series} - {"SR", "PR", "KO", "DOC", "OT", ""}
    if modalities and procedure.modality and procedure.modality not in modalities:
        words = _("The images are %(modality)s, the order says %(ordered)s.") % {
            "modality": ", ".join(sorted(modalities)),
            "ordered": procedure.modality,
        }
        found.append(Finding("amber", "alert-triangle", words))
    if any(study.open_exceptions for study in card.studies):
        found.append(Finding("amber", "alert-triangle", _("Something about these images waits under exceptions.")))
    return found
