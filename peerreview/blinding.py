"""What a reviewer may read: neither who wrote it, nor when, nor where, nor whose exam it is."""

from __future__ import annotations

from peerreview.models import ReviewCase
from reporting.deidentify import replaced
from reporting.models import SECTIONS
from reporting.parts import is_part
from reporting.services.teaching import KINDS, age_band, known_of


def blinded_sections(case: ReviewCase) -> dict[str, str]:
    """The report's sections without names, numbers, places and dates; nothing before one's own impression."""
    if case.hides_report:
        return {}
    return {name: blinded(case, words) for name, words in case.report_version.sections.items() if words.strip()}


def blinded(case: ReviewCase, words: str) -> str:
    return replaced(words, known_of(case.report), {kind: str(word) for kind, word in KINDS.items()})


def blinded_reading(case: ReviewCase) -> list[tuple[str, str]]:
    """(heading, words) in the order they are read."""
    words = blinded_sections(case)
    rows = [(str(heading), words[name]) for name, (_code, heading) in SECTIONS.items() if name in words]
    return [*rows, *(("", words[name]) for name in words if name not in SECTIONS and not is_part(name))]


def blinded_request(case: ReviewCase) -> dict[str, str]:
    """Exam, question, sex and age in tens of years."""
    exams = list(case.report.procedures.select_related("order__patient").order_by("pk"))
    patient, day = exams[0].order.patient, case.report_version.signed_at.date()
    questions = dict.fromkeys(exam.order.indication for exam in exams if exam.order.indication)
    return {
        "exam": " + ".join(str(exam.description_with_side) for exam in exams),
        "question": blinded(case, "\n".join(questions)) if questions else "",
        "sex": patient.sex,
        "age": age_band(patient.age_on(day)),
    }
