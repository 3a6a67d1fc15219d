"""What a reviewer may read: neither who wrote it, nor when, nor where, nor whose exam it is.

And what an author may read of those who judged: their words, not their names.
"""

from __future__ import annotations

from dataclasses import replace

from peerreview.models import ReviewCase
from reporting.deidentify import Known, left_over, replaced
from reporting.models import SECTIONS
from reporting.parts import is_part
from reporting.services.teaching import KINDS, age_band, known_of


def blinded_sections(case: ReviewCase) -> dict[str, str]:
    """The report's sections without names, numbers, places and dates; nothing before one's own impression."""
    if case.hides_report:
        return {}
    return {name: blinded(case, words) for name, words in case.report_version.sections.items() if words.strip()}


def blinded(case: ReviewCase, words: str) -> str:
    return replaced(words, _known(case), {kind: str(word) for kind, word in KINDS.items()})


def _known(case: ReviewCase) -> Known:
    """Asked once for each case."""
    found: Known | None = case.__dict__.get("known_people")
    if found is None:
        known = known_of(case.report)
        found = replace(known, people=(*known.people, *_judges(case)))
        case.__dict__["known_people"] = found
    return found


def _judges(case: ReviewCase) -> tuple[str, ...]:
    people = [person for person in (case.reviewer, case.arbiter) if person is not None]
    return tuple(f"{person.given_name} {person.family_name}" for person in people)


def unsigned(case: ReviewCase, words: str) -> str:
    """What reviewer or arbiter wrote, as its author reads it: it names neither of them."""
    for kind, name in left_over(words, Known(people=_judges(case))):
        if kind == "person":
            words = words.replace(name, f"[{KINDS['person']}]")
    return words


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
