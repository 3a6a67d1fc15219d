"""Who may be the same person: found by indexes, ranked with reasons. Never by sound: names here are of many languages.

Trigrams of the whole name do not care which part stands first, so "Wanjiru Achieng" finds ACHIENG, Wanjiru. The rest is
found by the birth date (also with day and month swapped), the end of the phone number and any identifier.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher

from django.contrib.postgres.search import TrigramSimilarity
from django.db import connection, models, transaction
from django.db.models.functions import Upper
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from orders.models import Patient, PatientIdentifier
from orders.models.patients import PHONE_TAIL_DIGITS

NAME_THRESHOLD = 0.35
SHORTEST_WORD = 3
PER_WAY = 40
SHOWN = 10
LEAST_SCORE = 0.3
SAME_WORD = 0.8


@dataclass(frozen=True)
class Candidate:
    """``score`` 0..1; ``reasons`` in words; ``matches``: field -> same, similar, swapped or different."""

    patient: Patient
    score: float
    reasons: list[str | Promise]
    matches: dict[str, str]

    @property
    def percent(self) -> int:
        return round(self.score * 100)


def plain(text: str) -> str:
    """Upper case without accents and signs, as ``f_unaccent`` makes the stored name."""
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return re.sub(r"[^\w]+", " ", bare.upper()).strip()


def swapped(born: date | None) -> date | None:
    """Day and month the other way round, when that is another date."""
    if born is None or born.day > 12 or born.day == born.month:
        return None
    return date(born.year, born.day, born.month)


@dataclass(frozen=True)
class Query:
    words: tuple[str, ...]
    born: date | None
    phone_tail: str
    identifiers: tuple[str, ...]

    @classmethod
    def of(cls, name: str, born: date | None, phone: str, identifiers: Iterable[str]) -> Query:
        digits = re.sub(r"\D", "", phone or "")
        tail = digits[-PHONE_TAIL_DIGITS:] if len(digits) >= PHONE_TAIL_DIGITS else ""
        values = tuple(dict.fromkeys(value.upper() for value in identifiers if len(value) >= SHORTEST_WORD))
        return cls(tuple(dict.fromkeys(plain(name).split())), born, tail, values)

    @property
    def name(self) -> str:
        return " ".join(self.words)

    @property
    def has_name(self) -> bool:
        return any(len(word) >= SHORTEST_WORD and not word.isdigit() for word in self.words)

    def __bool__(self) -> bool:
        return bool(self.has_name or self.born or self.phone_tail or self.identifiers)


def by_name(query: Query, patients: models.QuerySet) -> models.QuerySet:
    return (
        patients.filter(search_name__trigram_similar=query.name)
        .annotate(likeness=TrigramSimilarity("search_name", query.name))
        .order_by("-likeness")
    )


def by_beginnings(query: Query, patients: models.QuerySet) -> models.QuerySet:
    """Every word begins a part of the name: what a clerk has typed so far."""
    for word in query.words:
        if len(word) >= SHORTEST_WORD and not word.isdigit():
            patients = patients.filter(
                models.Q(search_name__contains=f" {word}") | models.Q(search_name__startswith=word)
            )
    return patients


def _by_birth_date(query: Query, patients: models.QuerySet) -> models.QuerySet:
    """The same day, nearest names first; without a name any of that day would do, so only few are of use."""
    dates = [born for born in (query.born, swapped(query.born)) if born is not None]
    patients = patients.filter(birth_date__in=dates)
    if query.has_name:
        patients = patients.annotate(likeness=TrigramSimilarity("search_name", query.name)).order_by("-likeness")
    return patients


def _keys(query: Query, patients: models.QuerySet) -> set[int]:
    ways: list[tuple[bool, Callable[[Query, models.QuerySet], models.QuerySet]]] = [
        (query.has_name, by_name),
        (query.has_name, by_beginnings),
        (query.born is not None, _by_birth_date),
        (bool(query.phone_tail), lambda asked, rows: rows.filter(phone_tail=asked.phone_tail)),
        (bool(query.identifiers), by_identifier),
    ]
    keys: set[int] = set()
    for applies, way in ways:
        if applies:
            keys.update(way(query, patients).values_list("pk", flat=True)[:PER_WAY])
    return keys


def by_identifier(query: Query, patients: models.QuerySet) -> models.QuerySet:
    rows = PatientIdentifier.objects.annotate(upper=Upper("value")).filter(upper__in=query.identifiers)
    return patients.filter(pk__in=rows.values("patient"))


def rank(query: Query, patients: models.QuerySet, *, shown: int = SHOWN) -> list[Candidate]:
    """The best candidates among ``patients``; a fixed number of queries."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select set_config('pg_trgm.similarity_threshold', %s, true)", [str(NAME_THRESHOLD)])
        keys = _keys(query, patients)
    rows = Patient.objects.filter(pk__in=keys).for_display()
    candidates = [candidate for row in rows if (candidate := weigh(query, row)).score >= LEAST_SCORE]
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.patient.pk))[:shown]


def name_likeness(query: Query, patient: Patient) -> float:
    """0..1: how much of the typed words is in the name, whatever their order; a beginning of a word counts."""
    parts = plain(
        " ".join((patient.family_name, patient.given_name, patient.middle_name, patient.ideographic_name))
    ).split()
    if not parts or not query.words:
        return 0.0
    scores = []
    for word in query.words:
        best = max(_word_likeness(word, part) for part in parts)
        scores.append(best if best >= SAME_WORD - 0.2 else best / 2)
    return sum(scores) / len(scores)


def _word_likeness(word: str, part: str) -> float:
    if word == part:
        return 1.0
    if len(word) >= SHORTEST_WORD and part.startswith(word):
        return 0.9
    return SequenceMatcher(None, word, part).ratio()


def weigh(query: Query, patient: Patient) -> Candidate:
    """The score of one patient: each agreement adds, a contradicting birth date takes away."""
    reasons: list[str | Promise] = []
    matches: dict[str, str] = {}
    score = 0.0
    likeness = name_likeness(query, patient)
    if query.words:
        score += 0.6 * likeness
        matches["name"] = "same" if likeness >= 0.97 else "similar" if likeness >= 0.6 else "different"
        if matches["name"] != "different":
            reasons.append(_("Same name") if matches["name"] == "same" else _("Similar name"))
    if query.born and patient.birth_date:
        day_score, kind, words = _weigh_birth_date(query.born, patient)
        score += day_score
        matches["birth_date"] = kind
        if words:
            reasons.append(words)
    if query.phone_tail and patient.phone:
        is_same = re.sub(r"\D", "", patient.phone)[-PHONE_TAIL_DIGITS:] == query.phone_tail
        matches["phone"] = "same" if is_same else "different"
        if is_same:
            score += 0.2
            reasons.append(_("Same phone number"))
    if query.identifiers:
        own = {row.value.upper() for row in patient.identifiers.all()}
        if own & set(query.identifiers):
            score = max(score, 0.6) + 0.35
            matches["identifier"] = "same"
            reasons.append(_("Same identifier"))
    if not query.words and not query.identifiers:
        score += 0.2
    return Candidate(patient, round(max(0.0, min(score, 1.0)), 2), reasons, matches)


def _weigh_birth_date(born: date, patient: Patient) -> tuple[float, str, Promise | None]:
    theirs = patient.birth_date
    if theirs is None:
        return 0.0, "different", None
    if theirs == born:
        return 0.35, "same", _("Same date of birth")
    if theirs == swapped(born):
        return 0.25, "swapped", _("Day and month of birth swapped")
    if theirs.year == born.year and patient.birth_date_is_estimated:
        return 0.15, "similar", _("Same year of birth, estimated")
    equal_parts = (theirs.year == born.year) + (theirs.month == born.month) + (theirs.day == born.day)
    if equal_parts == 2:
        return 0.12, "similar", _("Date of birth differs in one part")
    return -0.1, "different", None
