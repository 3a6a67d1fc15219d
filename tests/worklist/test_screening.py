"""Which questions an exam needs, and what its answers raise."""

from __future__ import annotations

import pytest

from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from tests.factories.orders import make_actor, make_catalogue, make_patient, make_procedure
from tests.factories.worklist import booked, step_of
from worklist.models import Question, Questionnaire
from worklist.services import ensure_questionnaires, override_screening, record_screening, start_exam
from worklist.services.screening import effect_of, questionnaires_for, read_answers, screening_states

pytestmark = pytest.mark.usefixtures("alpha")


def names(procedure) -> list[str]:
    return [row.name for row in questionnaires_for(procedure)]


def exam(modality: str = "CT", *, contrast: bool = False, **patient):
    catalogue = make_catalogue(f"Q{modality}{int(contrast)}", modality=modality, uses_contrast=contrast)
    fields = {"sex": "F", "birth_date": "1990-01-01"} | patient
    return make_procedure(codes=[catalogue.code], patient=make_patient(**fields))


def test_the_starter_forms_are_made_once():
    assert len(ensure_questionnaires()) == 4 and len(ensure_questionnaires()) == 4
    assert Questionnaire.objects.count() == 4
    assert not Question.objects.filter(text_sw="").exists()


@pytest.mark.parametrize(
    ("modality", "contrast", "patient", "wanted"),
    [
        ("CT", True, {}, ["Contrast", "Kidney function", "Pregnancy"]),
        ("CT", False, {}, ["Pregnancy"]),
        ("CT", False, {"sex": "M"}, []),
        ("CT", False, {"birth_date": "1940-01-01"}, []),
        ("CT", False, {"sex": "U", "birth_date": None}, ["Pregnancy"]),
        ("MR", True, {}, ["Contrast", "MR safety"]),
        ("US", False, {}, []),
    ],
)
def test_which_exam_needs_which(modality, contrast, patient, wanted):
    ensure_questionnaires()
    assert names(exam(modality, contrast=contrast, **patient)) == wanted


YES_NO, NUMBER, TEXT = Question.Kind.YES_NO, Question.Kind.NUMBER, Question.Kind.TEXT


@pytest.mark.parametrize(
    ("question", "given", "wanted"),
    [
        (Question(kind=YES_NO, effect="block", when_answer="yes"), "yes", "block"),
        (Question(kind=YES_NO, effect="block", when_answer="yes"), "no", None),
        (Question(kind=YES_NO, effect="block", when_answer="yes"), "unknown", "warn"),
        (Question(kind=YES_NO, effect="note", when_answer="yes"), "unknown", None),
        (Question(kind=NUMBER, effect="block", when_below=30), "29.9", "block"),
        (Question(kind=NUMBER, effect="block", when_below=30), "30", None),
        (Question(kind=NUMBER, effect="warn", when_above=200), "201,5", "warn"),
        (Question(kind=TEXT, effect="note"), "anything", None),
    ],
)
def test_what_an_answer_raises(question, given, wanted):
    assert effect_of(question, given) == wanted


@pytest.mark.parametrize("given", ["", "maybe", None])
def test_answers_that_cannot_be_are_refused(given):
    with pytest.raises(InvalidData) as refusal:
        read_answers([Question(key="k", kind=YES_NO)], {"k": given, "other": "x"})
    assert set(refusal.value.errors) == {"k", "other"}


def test_newer_answers_supersede_and_nothing_is_changed():
    ensure_questionnaires()
    form = Questionnaire.objects.get(name="Pregnancy")
    procedure = exam()
    booked(procedure)
    first = record_screening(
        procedure, questionnaire=form, answers={"pregnant": "yes", "breast_feeding": "no"}, actor=SYSTEM
    )
    assert first.effect == "block" and step_of(procedure).is_blocked
    second = record_screening(
        procedure, questionnaire=form, answers={"pregnant": "no", "breast_feeding": "no"}, actor=SYSTEM
    )
    first.refresh_from_db()
    assert first.superseded_at and first.answers["pregnant"] == "yes"
    assert second.effect == "note" and not step_of(procedure).is_blocked
    assert [state.screening for state in screening_states(procedure)] == [second]
    with pytest.raises(InvalidTransition):
        override_screening(first, reason="Late", actor=make_actor("radiologist"))


def test_start_is_refused_until_answered_and_allowed():
    ensure_questionnaires()
    procedure = exam()
    booked(procedure)
    technologist = make_actor("technologist")
    with pytest.raises(InvalidTransition) as refusal:
        start_exam(procedure, actor=technologist)
    assert "Pregnancy" in refusal.value.found
    form = Questionnaire.objects.get(name="Pregnancy")
    screening = record_screening(
        procedure, questionnaire=form, answers={"pregnant": "yes", "breast_feeding": "no"}, actor=technologist
    )
    with pytest.raises(InvalidTransition):
        start_exam(procedure, actor=technologist)
    with pytest.raises(NotPermitted):
        override_screening(screening, reason="Vital", actor=technologist)
    with pytest.raises(InvalidData):
        override_screening(screening, reason=" ", actor=make_actor("radiologist"))
    override_screening(screening, reason="Vital", actor=make_actor("radiologist"))
    assert start_exam(procedure, actor=technologist).status == "in_progress"
    assert screening.history.first().history_change_reason.startswith("Block overridden")


def test_an_exam_that_needs_nothing_starts():
    ensure_questionnaires()
    procedure = exam("US")
    assert start_exam(procedure, actor=make_actor("technologist")).status == "in_progress"
