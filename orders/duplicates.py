"""Who may be the same person: found by indexes, ranked with reasons. Never by sound: names here are of many languages.

A typed word is looked for among the words that names consist of (``NamePart``): as it is, as a beginning, or with a
typing error (trigrams). Patients are then found by those words, whichever part they stand in, so that "Wanjiru Achieng"
finds ACHIENG, Wanjiru. The rest is found by the birth date (also with day and month swapped), the end of the phone
number and any identifier. Each way is one index.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from difflib import SequenceMatcher
from itertools import combinations
from string import ascii_uppercase

from django.contrib.postgres.search import TrigramSimilarity
from django.db import connection, models, transaction
from django.db.models.functions import Reverse, Upper
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from orders.models import NamePart, Patient, PatientIdentifier
from orders.models.patients import NAME_SEPARATORS, PHONE_TAIL_DIGITS

WORD_THRESHOLD = 0.4
SHORTEST_WORD = 3
#: Trigrams say too little of words up to so long: all that is one letter away is looked up instead, or as well.
#: Of longer ones, what two neighbours that changed places give, because that takes four trigrams away.
SHORT_WORD = 4
NEAR_WORD = 6
SHORTEST_PHONE = 4
#: Words of names that one typed word may stand for.
LIKE_WORDS = 20
MOST_WORDS = 5
PER_WAY = 40
#: Patients who share a day of birth or the last figures of a phone number.
A_FEW = 1000
#: When so many have been found, those who are less alike are not looked for.
ENOUGH = 40
SHOWN = 10
LEAST_SCORE = 0.3
SAME_WORD = 0.8
#: So far an estimated age may be off.
ABOUT_YEARS = 3
#: Letters that no decomposition takes apart, as PostgreSQL's unaccent rules write them.
LETTERS = str.maketrans({"Ø": "O", "ø": "o", "Đ": "D", "đ": "d", "Ł": "L", "ł": "l", "ı": "i", "Æ": "AE", "æ": "ae",
                         "Œ": "OE", "œ": "oe", "ß": "ss", "Þ": "TH", "þ": "th", "Ð": "D", "ð": "d"})  # fmt: skip


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
    """Upper case without accents and signs, as ``f_unaccent`` makes the stored words."""
    decomposed = unicodedata.normalize("NFKD", text.translate(LETTERS))
    bare = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return re.sub(NAME_SEPARATORS, " ", bare.upper()).strip()


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
    is_about: bool = False

    @classmethod
    def of(
        cls, name: str, born: date | None, phone: str, identifiers: Iterable[str], *, is_about: bool = False
    ) -> Query:
        """``is_about``: the birth date is an estimate."""
        digits = re.sub(r"\D", "", phone or "")
        tail = digits[-PHONE_TAIL_DIGITS:] if len(digits) >= SHORTEST_PHONE else ""
        values = tuple(dict.fromkeys(value.upper() for value in identifiers if len(value) >= SHORTEST_WORD))
        return cls(tuple(dict.fromkeys(plain(name).split()))[:MOST_WORDS], born, tail, values, is_about)

    @property
    def names(self) -> tuple[str, ...]:
        """The words that may be of a name."""
        return tuple(word for word in self.words if not word.isdigit())

    @property
    def has_name(self) -> bool:
        return any(len(word) >= SHORTEST_WORD or not word.isascii() for word in self.names)

    @property
    def dates(self) -> list[date]:
        """The day of birth, also with day and month the other way round; none when it is an estimate."""
        return [] if self.is_about else [born for born in (self.born, swapped(self.born)) if born is not None]

    def __bool__(self) -> bool:
        return bool(self.has_name or self.born or self.phone_tail or self.identifiers)


@dataclass
class Meant:
    """For each typed word the words of names that it may stand for, the typing errors of it put right."""

    alike: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def by(cls, words: Iterable[str]) -> Meant:
        """One query among the words of names: by trigrams; of short words every one that is one letter away."""
        meant = cls({word: [word] for word in words})
        long = [word for word in meant.alike if len(word) > SHORT_WORD]
        near = {
            word: one_letter_away(word) if len(word) <= NEAR_WORD else turned_round(word)
            for word in meant.alike
            if len(word) >= SHORTEST_WORD
        }
        if not long and not near:
            return meant
        condition = models.Q(word__in=sorted({other for others in near.values() for other in others}))
        for word in long:
            condition |= models.Q(word__trigram_similar=word)
        likeness = {f"like_{place}": TrigramSimilarity("word", word) for place, word in enumerate(long)}
        rows = list(NamePart.objects.filter(condition).annotate(**likeness))
        for word, others in near.items():
            meant.alike[word] += [row.word for row in rows if row.word in others]
        for place, word in enumerate(long):
            scored = sorted(((getattr(row, f"like_{place}"), row.word) for row in rows), reverse=True)
            meant.alike[word] += [other for score, other in scored if score >= WORD_THRESHOLD][:LIKE_WORDS]
        return meant


def one_letter_away(word: str) -> set[str]:
    """A letter too many, too few, another one, or two that changed places."""
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    less = {left + right[1:] for left, right in cuts if right}
    other = {left + letter + right[1:] for left, right in cuts if right for letter in ascii_uppercase}
    more = {left + letter + right for left, right in cuts for letter in ascii_uppercase}
    return (less | turned_round(word) | other | more) - {word}


def turned_round(word: str) -> set[str]:
    """Two neighbours that changed places."""
    return {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)} - {word}


def lexeme(word: str) -> str:
    """As PostgreSQL's tsquery quotes it."""
    escaped = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def one_of(words: Iterable[str]) -> str:
    return "(" + " | ".join(dict.fromkeys(lexeme(word) for word in words)) + ")"


def beginnings(query: Query) -> str:
    """Every word begins a part of the name: what a clerk has typed so far. Short ones are whole words."""
    return " & ".join(
        lexeme(word) + (":*" if len(word) >= SHORTEST_WORD or not word.isascii() else "") for word in query.names
    )


def most_of(choices: list[list[str]]) -> str:
    """All of them; of three or more, one may be missing: people do not always say every name they have."""
    asked = [one_of(words) for words in choices]
    kept = [asked] if len(asked) < 3 else [list(some) for some in combinations(asked, len(asked) - 1)]
    return " | ".join("(" + " & ".join(some) + ")" for some in kept)


def by_name(query: Query, patients: models.QuerySet) -> models.QuerySet:
    """Every word, or all but one, resembles a part of the name."""
    return patients.filter(name_words__query=most_of(list(Meant.by(query.names).alike.values())))


def by_beginnings(query: Query, patients: models.QuerySet) -> models.QuerySet:
    return patients.filter(name_words__query=beginnings(query))


def by_phone(query: Query, patients: models.QuerySet) -> models.QuerySet:
    return (
        patients.annotate(tail=Reverse("phone_tail"))
        .filter(tail__startswith=query.phone_tail[::-1])
        .exclude(phone_tail="")
    )


def by_identifier(query: Query, patients: models.QuerySet) -> models.QuerySet:
    rows = PatientIdentifier.objects.annotate(upper=Upper("value")).filter(upper__in=query.identifiers)
    return patients.filter(pk__in=rows.values("patient"))


def _sure_ways(query: Query, patients: models.QuerySet) -> Iterator[models.QuerySet]:
    """By what few people share."""
    if query.identifiers:
        yield by_identifier(query, patients)
    if query.phone_tail and (len(query.phone_tail) == PHONE_TAIL_DIGITS or not query.has_name):
        yield by_phone(query, patients)


def _ways_by_name(query: Query, patients: models.QuerySet) -> Iterator[models.QuerySet]:
    """By the words, the surest first. Of a day or figures that many share, only those who bear one of the names."""
    meant = Meant.by(query.names)
    any_name = " | ".join([one_of(words) for words in meant.alike.values()] + beginnings(query).split(" & "))
    if query.phone_tail and len(query.phone_tail) < PHONE_TAIL_DIGITS:
        yield _bearing(any_name, by_phone(query, patients))
    if query.dates:
        yield _bearing(any_name, patients.filter(birth_date__in=query.dates))
    yield patients.filter(name_words__query=" & ".join(lexeme(word) for word in query.names))
    yield patients.filter(name_words__query=beginnings(query))
    yield patients.filter(name_words__query=most_of(list(meant.alike.values())))


def _bearing(words: str, few: models.QuerySet) -> models.QuerySet:
    """Those of a few who bear one of the words; asked in two steps, because common words are borne by very many."""
    keys = list(few.order_by().values_list("pk", flat=True)[:A_FEW])
    return Patient.objects.filter(pk__in=keys, name_words__query=words)


def rank(query: Query, patients: models.QuerySet, *, shown: int = SHOWN) -> list[Candidate]:
    """The best candidates among ``patients``; at most thirteen queries, however many there are."""
    keys: set[int] = set()
    named: set[int] = set()

    def take(way: models.QuerySet) -> list[int]:
        found = list(way.order_by().values_list("pk", flat=True)[:PER_WAY])
        keys.update(found)
        return found

    with transaction.atomic():
        set_thresholds()
        for way in _sure_ways(query, patients):
            take(way)
        if query.has_name:
            for way in _ways_by_name(query, patients):
                if len(named) < ENOUGH:
                    named.update(take(way))
        elif query.dates:
            take(patients.filter(birth_date__in=query.dates))
    rows = Patient.objects.filter(pk__in=keys).order_by().for_display()
    candidates = [candidate for row in rows if (candidate := weigh(query, row)).score >= LEAST_SCORE]
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.patient.pk))[:shown]


def set_thresholds() -> None:
    """For the transaction: how alike words must be; and that the index of each way is used, because a limit makes the
    planner hope to meet enough rows of a whole table soon."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select set_config('pg_trgm.similarity_threshold', %s, true), set_config('enable_seqscan', 'off', true)",
            [str(WORD_THRESHOLD)],
        )


def name_likeness(query: Query, patient: Patient) -> float:
    """0..1: how much of the typed words is in the name, whatever their order; a beginning of a word counts."""
    parts = plain(
        " ".join((patient.family_name, patient.given_name, patient.middle_name, patient.ideographic_name))
    ).split()
    if not parts or not query.names:
        return 0.0
    scores = []
    for word in query.names:
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
    if query.names:
        score += 0.6 * likeness
        matches["name"] = "same" if likeness >= 0.97 else "similar" if likeness >= 0.6 else "different"
        if matches["name"] != "different":
            reasons.append(_("Same name") if matches["name"] == "same" else _("Similar name"))
    if query.born and patient.birth_date:
        day_score, kind, words = _weigh_birth_date(query, patient)
        score += day_score
        matches["birth_date"] = kind
        if words:
            reasons.append(words)
    if query.phone_tail and patient.phone:
        ends_alike = re.sub(r"\D", "", patient.phone).endswith(query.phone_tail)
        is_whole = len(query.phone_tail) == PHONE_TAIL_DIGITS
        matches["phone"] = "different" if not ends_alike else "same" if is_whole else "similar"
        if ends_alike:
            score += 0.2 if is_whole else 0.1
            reasons.append(_("Same phone number") if is_whole else _("Phone number ends alike"))
    if query.identifiers:
        own = {row.value.upper() for row in patient.identifiers.all()}
        if own & set(query.identifiers):
            score = max(score, 0.6) + 0.35
            matches["identifier"] = "same"
            reasons.append(_("Same identifier"))
    if not query.names and not query.identifiers:
        score += 0.2
    return Candidate(patient, round(max(0.0, min(score, 1.0)), 2), reasons, matches)


def _weigh_birth_date(query: Query, patient: Patient) -> tuple[float, str, Promise | None]:
    born, theirs = query.born, patient.birth_date
    if born is None or theirs is None:
        return 0.0, "different", None
    if query.is_about or patient.birth_date_is_estimated:
        fits = abs(theirs.year - born.year) <= ABOUT_YEARS
        return (0.1, "similar", _("Age fits the estimate")) if fits else (-0.1, "different", None)
    if theirs == born:
        return 0.35, "same", _("Same date of birth")
    if theirs == swapped(born):
        return 0.25, "swapped", _("Day and month of birth swapped")
    equal_parts = (theirs.year == born.year) + (theirs.month == born.month) + (theirs.day == born.day)
    if equal_parts == 2:
        return 0.12, "similar", _("Date of birth differs in one part")
    return -0.1, "different", None
