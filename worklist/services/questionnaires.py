"""The starter questionnaires. A facility changes them in the administration; nothing here overwrites what it has."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from ris.core.actor import SYSTEM, Actor
from worklist.models import Effect, Question, Questionnaire, QuestionnaireAssignment

YES_NO, NUMBER, TEXT = Question.Kind.YES_NO, Question.Kind.NUMBER, Question.Kind.TEXT
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
    is_required: bool = True


@dataclass(frozen=True)
class Form:
    name: str
    questions: tuple[Asked, ...]
    modalities: tuple[str, ...] = ("",)
    only_with_contrast: bool = False
    only_sex: str = ""
    ages: tuple[int | None, int | None] = (None, None)


STARTER = (
    Form(
        "Pregnancy",
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
            Asked("egfr_date", "Date of that value", "Tarehe ya kipimo hicho", kind=TEXT, when="", is_required=False),
            Asked("kidney_disease", "Known kidney disease?", "Je, una ugonjwa wa figo unaojulikana?", Effect.WARN),
        ),
        only_with_contrast=True,
        modalities=("CT", "XA"),
    ),
    Form(
        "MR safety",
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
    questionnaire = Questionnaire(name=form.name)
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
