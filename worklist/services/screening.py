"""Safety questions: which an exam needs, what the answers mean, who may override a block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.core.lifecycle import signed
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.events import ScreeningOverridden
from worklist.models import (
    OPEN_STEPS,
    Effect,
    OverrideBy,
    Question,
    Questionnaire,
    QuestionnaireAssignment,
    ScreeningAnswer,
)
from worklist.services import rendering
from worklist.services.steps import steps_of
from worklist.services.support import lock_procedure, now

RANK = {Effect.NOTE: 0, Effect.WARN: 1, Effect.BLOCK: 2}
YES_NO = ("yes", "no", "unknown")
LONGEST_ANSWER = 200


@dataclass(frozen=True)
class ScreeningState:
    """One questionnaire of an exam and what has been answered."""

    questionnaire: Questionnaire
    screening: ScreeningAnswer | None

    @property
    def is_missing(self) -> bool:
        return self.screening is None

    @property
    def blocks(self) -> bool:
        return (
            self.screening is not None
            and self.screening.effect == Effect.BLOCK
            and self.screening.overridden_at is None
        )


def has_contrast(procedure: RequestedProcedure) -> bool:
    return bool(procedure.contrast) or bool(procedure.catalogue and procedure.catalogue.uses_contrast)


def assignments() -> list[QuestionnaireAssignment]:
    """Of the questionnaires that are asked here."""
    rows = QuestionnaireAssignment.objects.filter(questionnaire__is_active=True)
    return list(rows.select_related("questionnaire").order_by("questionnaire__name", "pk"))


def questionnaires_for(
    procedure: RequestedProcedure, among: Iterable[QuestionnaireAssignment] | None = None
) -> list[Questionnaire]:
    """Those that the exam, its modality, its contrast and its patient ask for; each once."""
    rows = assignments() if among is None else among
    return list({row.questionnaire_id: row.questionnaire for row in rows if _applies(row, procedure)}.values())


def _applies(row: QuestionnaireAssignment, procedure: RequestedProcedure) -> bool:
    patient = procedure.order.patient
    if row.catalogue_id is not None:
        if row.catalogue_id != procedure.catalogue_id:
            return False
    elif row.modality and row.modality != procedure.modality:
        return False
    if row.only_with_contrast and not has_contrast(procedure):
        return False
    if row.only_sex and patient.sex in ("F", "M") and patient.sex != row.only_sex:
        return False
    return patient.age is None or (row.from_age or 0) <= patient.age <= (row.to_age or 200)


def open_questions(procedures: Iterable[RequestedProcedure]) -> dict[int, list[Questionnaire]]:
    """By procedure key: what is still to be asked. Two queries, however many exams."""
    rows, exams = assignments(), list(procedures)
    answered = set(
        ScreeningAnswer.objects.filter(procedure__in=[row.pk for row in exams], superseded_at__isnull=True).values_list(
            "procedure_id", "questionnaire__name"
        )
    )
    return {
        exam.pk: [form for form in questionnaires_for(exam, rows) if (exam.pk, form.name) not in answered]
        for exam in exams
    }


def screening_states(procedure: RequestedProcedure) -> list[ScreeningState]:
    """What is needed, and what else has been answered; answers to an older edition count until asked anew."""
    current = {
        row.questionnaire.name: row
        for row in procedure.screenings.filter(superseded_at__isnull=True)
        .select_related("questionnaire", "overridden_by", "answered_by")
        .order_by("pk")
    }
    states = []
    for form in questionnaires_for(procedure):
        answered = current.pop(form.name, None)
        states.append(ScreeningState(answered.questionnaire if answered else form, answered))
    return states + [ScreeningState(row.questionnaire, row) for row in current.values()]


# --- what answers mean


def read_answers(questions: list[Question], answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers as they are stored; refuses what is missing or impossible, by question."""
    errors: dict[str, str] = {}
    clean: dict[str, Any] = {}
    for unknown in answers.keys() - {question.key for question in questions}:
        errors[str(unknown)] = _("This is not asked.")
    for question in questions:
        given = str(answers.get(question.key, "") if answers.get(question.key) is not None else "").strip()
        if not given:
            if question.is_required:
                errors[question.key] = _("This must be answered.")
            continue
        problem = _problem_of(question, given)
        if problem:
            errors[question.key] = problem
        else:
            clean[question.key] = given.lower() if question.kind == Question.Kind.YES_NO else given
    if errors:
        raise InvalidData(_("Some safety questions are not answered."), errors=errors)
    return clean


def _problem_of(question: Question, given: str) -> str:
    if question.kind == Question.Kind.YES_NO and given.lower() not in YES_NO:
        return _("Answer yes, no or unknown.")
    if question.kind == Question.Kind.NUMBER and _number(given) is None:
        return _("Answer with a number.")
    if question.kind == Question.Kind.DATE and not _is_past_day(given):
        return _("Answer with a date that is not in the future.")
    return _("This is too long.") if len(given) > LONGEST_ANSWER else ""


def _number(given: str) -> Decimal | None:
    try:
        value = Decimal(given.replace(",", "."))
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value) < 1_000_000 else None


def _is_past_day(given: str) -> bool:
    day = _day(given)
    return day is not None and day <= timezone.localdate()


def _day(given: str) -> date | None:
    try:
        return date.fromisoformat(given)
    except ValueError:
        return None


def effect_of(question: Question, given: str) -> str | None:
    """note, warn, block; None when the answer raises nothing. An unknown is never less than a warning of a block."""
    if question.kind == Question.Kind.NUMBER:
        value = _number(given)
        if value is None:
            return None
        low = question.when_below is not None and value < question.when_below
        high = question.when_above is not None and value > question.when_above
        return question.effect if low or high else None
    if question.kind == Question.Kind.DATE:
        day, oldest = _day(given), question.when_older_days
        is_old = day is not None and oldest is not None and (timezone.localdate() - day).days > oldest
        return question.effect if is_old else None
    if question.kind == Question.Kind.YES_NO:
        if given == "unknown" and question.effect != Effect.NOTE:
            return Effect.WARN
        return question.effect if question.when_answer and given == question.when_answer.lower() else None
    return question.effect if question.when_answer and given.lower() == question.when_answer.lower() else None


@service(perms.SCREEN_PATIENT, action=Action.CREATE)
def record_screening(
    procedure: RequestedProcedure, *, questionnaire: Questionnaire, answers: Mapping[str, Any], actor: Actor
) -> ScreeningAnswer:
    """Keep the answers, say what they raise, and let the steps follow: blocked, or free again."""
    procedure = lock_procedure(procedure)
    questions = list(questionnaire.questions.all())
    clean = read_answers(questions, answers)
    findings = [
        {"key": question.key, "effect": str(effect)}
        for question in questions
        if question.key in clean and (effect := effect_of(question, clean[question.key]))
    ]
    effect = max((row["effect"] for row in findings), key=lambda value: RANK[Effect(value)], default=str(Effect.NOTE))
    for older in procedure.screenings.filter(questionnaire__name=questionnaire.name, superseded_at__isnull=True):
        older.superseded_at = now()
        _sign(older, actor, "Answered anew").save()
    screening = ScreeningAnswer(
        procedure=procedure,
        questionnaire=questionnaire,
        answers=clean,
        effect=effect,
        findings=findings,
        answered_by=actor.user,
    )
    _sign(screening, actor, "Answered").save()
    apply_blocks(procedure, actor)
    return screening


@service(perms.OVERRIDE_SCREENING)
def override_screening(screening: ScreeningAnswer, *, reason: str, actor: Actor) -> ScreeningAnswer:
    """A radiologist allows the exam in spite of the answers, and says why."""
    return _override(screening, reason, actor)


@service(perms.PERFORM_STEP)
def allow_screening(screening: ScreeningAnswer, *, reason: str, actor: Actor) -> ScreeningAnswer:
    """A technologist allows the exam, where the questionnaire leaves that to technologists."""
    form = screening.questionnaire
    if form.override_by != OverrideBy.TECHNOLOGIST:
        raise NotPermitted(
            _("A technologist may not allow this exam."),
            asked=_("To allow the exam."),
            found=_("These questions leave it to: %(who)s.") % {"who": form.get_override_by_display()},
            todo=_("Call the radiologist."),
        )
    return _override(screening, reason, actor)


def _override(screening: ScreeningAnswer, reason: str, actor: Actor) -> ScreeningAnswer:
    if screening.questionnaire.override_by == OverrideBy.NOBODY:
        raise NotPermitted(
            _("Nobody may allow this exam."),
            asked=_("To allow the exam."),
            found=_("These answers are never overridden here."),
            todo=_("Choose another exam, or correct the answers when they are wrong."),
        )
    reason = reason.strip()
    if not reason:
        words = _("Say why the exam is safe enough.")
        raise InvalidData(words, errors={"reason": words})
    procedure = lock_procedure(screening.procedure)
    screening = ScreeningAnswer.objects.select_for_update().get(pk=screening.pk)
    if screening.superseded_at or screening.overridden_at or screening.effect != Effect.BLOCK:
        raise InvalidTransition(_("These answers block nothing."), todo=_("Look at the newest answers."))
    screening.overridden_by, screening.overridden_at = actor.user, now()
    screening.override_reason = reason[:200]
    _sign(screening, actor, "Block overridden").save()
    apply_blocks(procedure, actor)
    publish(
        ScreeningOverridden(
            str(screening.uuid), accession_number=procedure.accession_number, procedure=str(procedure.uuid)
        ),
        actor=actor,
    )
    return screening


def is_blocked(procedure: RequestedProcedure) -> bool:
    return procedure.screenings.filter(
        superseded_at__isnull=True, effect=Effect.BLOCK, overridden_at__isnull=True
    ).exists()


def apply_blocks(procedure: RequestedProcedure, actor: Actor) -> None:
    blocked = is_blocked(procedure)
    for step in steps_of(procedure, *OPEN_STEPS):
        step.is_blocked = blocked
        rendering.save_step(step, actor, "Blocked by safety screening" if blocked else "Safety screening answered")


def _sign(row: ScreeningAnswer, actor: Actor, reason: str) -> ScreeningAnswer:
    row._history_user = actor.user
    row._change_reason = signed(reason, actor)
    return row


def refuse_unsafe_start(procedure: RequestedProcedure) -> None:
    """What the console asks before it starts an exam."""
    states = screening_states(procedure)
    blocking = [state.questionnaire.name for state in states if state.blocks]
    if blocking:
        raise InvalidTransition(
            _("The safety answers block this exam."),
            asked=_("To start the exam."),
            found=_("Blocked by: %(names)s.") % {"names": ", ".join(blocking)},
            todo=_("Ask a radiologist to look at the answers and to decide."),
        )
    missing = [state.questionnaire.name for state in states if state.is_missing]
    if missing:
        raise InvalidTransition(
            _("Safety questions are not answered yet."),
            asked=_("To start the exam."),
            found=_("Not answered: %(names)s.") % {"names": ", ".join(missing)},
            todo=_("Answer them, then start."),
        )
