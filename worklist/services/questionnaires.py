"""Questionnaires: the starter ones, and new editions of what a facility has.

A facility changes them in the administration; nothing here overwrites what it has.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidTransition, NotKnown
from worklist import permissions as perms
from worklist.models import Effect, Question, Questionnaire, QuestionnaireAssignment

YES_NO, NUMBER, TEXT, DATE = Question.Kind.YES_NO, Question.Kind.NUMBER, Question.Kind.TEXT, Question.Kind.DATE
IONISING = ("CT", "DX", "CR", "RF", "XA", "MG", "NM", "PT", "BMD")


@dataclass(frozen=True)
class Asked:
    key: str
    text: str
    text_sw: str
    effect: Effect = Effect.NOTE
    when: str = "yes"
    kind: str = YES_NO
    unit: str = ""
    below: int | None = None
    older_days: int | None = None
    is_required: bool = True


@dataclass(frozen=True)
class Form:
    name: str
    name_sw: str
    questions: tuple[Asked, ...]
    modalities: tuple[str, ...] = ("",)
    only_with_contrast: bool = False
    only_sex: str = ""
    ages: tuple[int | None, int | None] = (None, None)


STARTER = (
    Form(
        "Pregnancy",
        "Ujauzito",
        (
            Asked("pregnant", "Could you be pregnant?", "Je, unaweza kuwa mjamzito?", Effect.BLOCK),
            Asked(
                "last_period",
                "First day of the last period",
                "Siku ya kwanza ya hedhi ya mwisho",
                kind=TEXT,
                when="",
                is_required=False,
            ),
            Asked("breast_feeding", "Are you breast-feeding?", "Je, unanyonyesha?"),
        ),
        modalities=IONISING,
        only_sex="F",
        ages=(12, 55),
    ),
    Form(
        "Contrast",
        "Dawa ya utofauti",
        (
            Asked(
                "contrast_reaction",
                "Earlier reaction to a contrast medium?",
                "Je, umewahi kupata athari ya dawa ya kuongeza utofauti?",
                Effect.WARN,
            ),
            Asked(
                "severe_reaction",
                "Was it severe: breathing, blood pressure, unconsciousness?",
                "Je, ilikuwa kali: kupumua, shinikizo la damu, kupoteza fahamu?",
                Effect.BLOCK,
            ),
            Asked("asthma", "Asthma that needs treatment?", "Je, una pumu inayohitaji matibabu?", Effect.WARN),
            Asked("thyroid", "Overactive thyroid?", "Je, tezi yako ya koo inafanya kazi kupita kiasi?", Effect.WARN),
            Asked("metformin", "Do you take metformin?", "Je, unatumia metformin?"),
        ),
        only_with_contrast=True,
    ),
    Form(
        "Kidney function",
        "Kazi ya figo",
        (
            Asked(
                "egfr",
                "eGFR of the last 30 days",
                "eGFR ya siku 30 zilizopita",
                Effect.BLOCK,
                "",
                NUMBER,
                "mL/min/1.73 m²",
                30,
            ),
            Asked(
                "egfr_date",
                "Date of that value",
                "Tarehe ya kipimo hicho",
                Effect.WARN,
                "",
                DATE,
                is_required=False,
                older_days=30,
            ),
            Asked("kidney_disease", "Known kidney disease?", "Je, una ugonjwa wa figo unaojulikana?", Effect.WARN),
        ),
        only_with_contrast=True,
        modalities=("CT", "XA"),
    ),
    Form(
        "MR safety",
        "Usalama wa MRI",
        (
            Asked(
                "pacemaker",
                "Pacemaker or defibrillator?",
                "Je, una kifaa cha kurekebisha mapigo ya moyo?",
                Effect.BLOCK,
            ),
            Asked("aneurysm_clip", "Clip in the head?", "Je, una klipu kichwani?", Effect.BLOCK),
            Asked("neurostimulator", "Nerve stimulator or pump?", "Je, una kichocheo cha neva au pampu?", Effect.BLOCK),
            Asked("cochlear", "Ear implant?", "Je, una kifaa kilichopandikizwa sikioni?", Effect.BLOCK),
            Asked("metal_eye", "Metal ever in the eye?", "Je, umewahi kupata chuma jichoni?", Effect.BLOCK),
            Asked("other_implant", "Any other implant or metal?", "Je, una kipandikizi kingine au chuma?", Effect.WARN),
            Asked("claustrophobia", "Fear of narrow spaces?", "Je, unaogopa nafasi finyu?"),
            Asked("pregnant", "Could you be pregnant?", "Je, unaweza kuwa mjamzito?", Effect.WARN, is_required=False),
        ),
        modalities=("MR",),
    ),
)


@transaction.atomic
def ensure_questionnaires(*, actor: Actor = SYSTEM) -> list[Questionnaire]:
    """Make the starter forms that the facility does not have under any edition; answers all four."""
    found = []
    for form in STARTER:
        known = Questionnaire.objects.filter(name=form.name).order_by("-edition").first()
        found.append(known or _make(form, actor))
    return found


def _make(form: Form, actor: Actor) -> Questionnaire:
    questionnaire = Questionnaire(name=form.name, name_sw=form.name_sw)
    questionnaire.save_as(actor, "Starter questionnaire")
    for position, asked in enumerate(form.questions):
        Question.objects.create(
            questionnaire=questionnaire,
            key=asked.key,
            text=asked.text,
            text_sw=asked.text_sw,
            kind=asked.kind,
            unit=asked.unit,
            is_required=asked.is_required,
            position=position,
            effect=asked.effect,
            when_answer=asked.when,
            when_below=asked.below,
            when_older_days=asked.older_days,
        )
    for modality in form.modalities:
        QuestionnaireAssignment.objects.create(
            questionnaire=questionnaire,
            modality=modality,
            only_with_contrast=form.only_with_contrast,
            only_sex=form.only_sex,
            from_age=form.ages[0],
            to_age=form.ages[1],
        )
    return questionnaire


def is_answered(questionnaire: Questionnaire) -> bool:
    return questionnaire.pk is not None and questionnaire.answers.exists()


@service(perms.MANAGE_ROOMS, action=Action.CREATE)
def open_edition(questionnaire: Questionnaire, *, actor: Actor) -> Questionnaire:
    """The next edition with the same questions, to be changed; nobody is asked it before it is published."""
    newest = Questionnaire.objects.select_for_update().filter(name=questionnaire.name).order_by("-edition").first()
    if newest is None:
        raise NotKnown(_("There is no such questionnaire."))
    if not newest.is_active and not is_answered(newest) and newest.edition > 1:
        raise InvalidTransition(
            _("There is an edition in the making."),
            found=_("Edition %(n)s is not published yet.") % {"n": newest.edition},
            todo=_("Change that one, then publish it."),
        )
    made = Questionnaire(
        name=newest.name,
        name_sw=questionnaire.name_sw,
        edition=newest.edition + 1,
        override_by=questionnaire.override_by,
        is_active=False,
    )
    made.save_as(actor, f"Edition opened from {questionnaire.edition}")
    for question in questionnaire.questions.all():
        _copy(question, made)
    for assignment in questionnaire.assignments.all():
        _copy(assignment, made)
    return made


def _copy(row: Question | QuestionnaireAssignment, questionnaire: Questionnaire) -> None:
    kept = ("id", "uuid", "questionnaire")
    values = {field.name: getattr(row, field.name) for field in row._meta.fields if field.name not in kept}
    type(row).objects.create(questionnaire=questionnaire, **values)


@service(perms.MANAGE_ROOMS)
def publish_edition(questionnaire: Questionnaire, *, actor: Actor) -> Questionnaire:
    """From now on this edition is asked, and no other of its name. Answers to earlier ones count until asked anew."""
    questionnaire = Questionnaire.locked(questionnaire.pk)
    if not questionnaire.questions.exists():
        raise InvalidTransition(_("It has no question."), todo=_("Write questions, then publish it."))
    for other in Questionnaire.objects.filter(name=questionnaire.name, is_active=True).exclude(pk=questionnaire.pk):
        other.is_active = False
        other.save_as(actor, f"Replaced by edition {questionnaire.edition}")
    if not questionnaire.is_active:
        questionnaire.is_active = True
        questionnaire.save_as(actor, "Published")
    return questionnaire
