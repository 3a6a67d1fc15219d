"""How likely evidence is an exam's: fact by fact, with points and in words.

Every fact that both sides know is same, near (a typing error, another spelling, day and month swapped) or differs. The
score is what was reached of what could have been, never of less than ``LEAST_KNOWN``, so that little knowledge gives no
great certainty. One candidate links itself only when nothing of the patient differs and no other one comes near.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from difflib import SequenceMatcher
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders import duplicates
from orders.models import Patient, ProcedureStatus, RequestedProcedure
from orders.models.orders import OPEN_BEFORE_EXAM
from ris.core import text
from ris.core.actor import Actor
from worklist.data import Candidate, Fact
from worklist.models import ImagingStudy, PerformedProcedureStep
from worklist.services.completeness import sent_of
from worklist.services.images import parse_date
from worklist.services.matching import Agreement, Sent, agreement

AROUND = timedelta(hours=24)
#: What a candidate needs to be shown, and to link itself: so much, and so far from the second.
SHOWN_FROM, CERTAIN_FROM, DISTANCE = 0.25, 0.85, 0.2
LEAST_KNOWN = 0.6
PATIENTS, PROCEDURES = 20, 120
WEIGHTS = {
    "identifier": 0.35,
    "name": 0.25,
    "birth_date": 0.2,
    "sex": 0.04,
    "accession_number": 0.1,
    "modality": 0.07,
    "time": 0.07,
    "station": 0.03,
}
PATIENT_FACTS = ("identifier", "name", "birth_date")
#: What is the same kind of machine to a person at the console.
ALIKE = (frozenset({"CR", "DX", "RG"}), frozenset({"XA", "RF"}), frozenset({"PT", "CT"}), frozenset({"NM", "PT"}))
#: How one sound is spelt in other letters, longer ones first.
SPELLINGS = (
    ("SCH", "S"), ("SH", "S"), ("CH", "S"), ("PH", "F"), ("TH", "T"), ("KH", "K"), ("GH", "G"), ("DJ", "J"),
    ("CK", "K"), ("OU", "U"), ("OO", "U"), ("EE", "I"), ("AE", "A"), ("OE", "O"), ("UE", "U"), ("Y", "I"),
    ("Z", "S"), ("Q", "K"),
    ("C", "K"), ("W", "V"), ("H", ""),
)  # fmt: skip
OPEN_TO_IMAGES = (
    ProcedureStatus.ACCEPTED,
    ProcedureStatus.SCHEDULED,
    ProcedureStatus.ARRIVED,
    ProcedureStatus.IN_PROGRESS,
    ProcedureStatus.PERFORMED,
    ProcedureStatus.READY_TO_READ,
    ProcedureStatus.READING,
    ProcedureStatus.DISCONTINUED,
)
#: An exam that waits for its images, or runs.
WAITS_FOR_IMAGES = frozenset({*OPEN_BEFORE_EXAM, ProcedureStatus.IN_PROGRESS})


@dataclass(frozen=True)
class Said:
    """What the scanner said about one study or performed step."""

    sent: Sent
    modality: str
    at: datetime
    accession_number: str = ""
    station: Any = None

    @classmethod
    def of(cls, thing: ImagingStudy | PerformedProcedureStep) -> Said:
        if isinstance(thing, ImagingStudy):
            shown = [value for value in thing.modalities.split("\\") if value not in ("", "SR", "PR", "KO")]
            modality, at = next(iter(shown), ""), thing.first_received_at
            return cls(sent_of(thing), modality, at, thing.accession_number)
        sent = Sent(thing.patient_id, "", thing.patient_name, thing.patient_birth_date, thing.patient_sex)
        return cls(sent, thing.modality, thing.started_at, thing.accession_number, thing.station)


# --- how near two strings are


def errors_between(one: str, other: str, most: int = 3) -> int:
    """Typing errors between two words: a letter more, less, another, or two neighbours swapped; at most ``most``."""
    if abs(len(one) - len(other)) >= most:
        return most
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        current = [row]
        for column, sign in enumerate(other, 1):
            cost = min(last[column] + 1, current[-1] + 1, last[column - 1] + (letter != sign))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == sign:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, last = last, current
    return min(last[-1], most)


def spelt_alike(word: str) -> str:
    """One spelling for what sounds alike: MOHAMED and MUHAMMED, WANJIKU and WANJIKOO."""
    for spelling, sound in SPELLINGS:
        word = word.replace(spelling, sound)
    word = re.sub(r"(.)\1+", r"\1", word)
    return word[:1] + re.sub(r"[EO]", lambda vowel: {"E": "I", "O": "U"}[vowel[0]], word[1:])


def word_likeness(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if min(len(one), len(other)) >= 3:
        if spelt_alike(one) == spelt_alike(other):
            return 0.95
        errors = errors_between(one, other)
        if errors == 1 or (errors == 2 and min(len(one), len(other)) >= 7):
            return 0.9
    elif one[:1] == other[:1] and 1 in (len(one), len(other)):
        return 0.8  # an initial
    return 0.7 * SequenceMatcher(None, one, other).ratio()


def name_likeness(sent: str, patient: Patient) -> float:
    """0..1 over the words of the shorter name, each with its best partner; the order of the parts says nothing."""
    words = duplicates.plain(sent.replace("=", " ").replace("^", " ")).split()
    own = duplicates.plain(" ".join((patient.family_name, patient.given_name, patient.middle_name))).split()
    if not words or not own:
        return 0.0
    shorter, longer = sorted((list(dict.fromkeys(words)), list(dict.fromkeys(own))), key=len)
    found = 0.0
    for word in sorted(shorter, key=len, reverse=True):
        best = max(longer, key=lambda other, word=word: word_likeness(word, other), default="")
        if best:
            found += word_likeness(word, best)
            longer = [other for other in longer if other != best]
    return found / len(shorter) * (1.0 if min(len(words), len(own)) > 1 else 0.6)


# --- the facts


def _fact(key: str, label: Any, verdict: str, words: Any, sent: str, ordered: str, share: float) -> Fact:
    return Fact(key, label, verdict, words, sent, ordered, round(WEIGHTS[key] * share, 3))


def facts_about(said: Said, procedure: RequestedProcedure) -> tuple[Fact, ...]:
    makers: tuple[Callable[[Said, RequestedProcedure], Fact], ...] = (
        _identifier, _name, _birth_date, _sex, _accession_number, _modality, _time, _station,
    )  # fmt: skip
    return tuple(make(said, procedure) for make in makers)


def _identifier(said: Said, procedure: RequestedProcedure) -> Fact:
    label, sent = _("Identifier"), said.sent.patient_id.strip()
    known = list(procedure.order.patient.identifiers.all())
    shown = known[0].value if known else ""
    if not sent or not known:
        return _fact("identifier", label, "unknown", _("no identifier"), sent, shown, 0)
    issuer = said.sent.issuer.strip().casefold()
    for row in known:
        if row.value == sent and (not issuer or row.issuer.casefold() == issuer):
            return _fact("identifier", label, "same", _("same identifier"), sent, row.value, 1)
    for row in known:
        if len(sent) > 3 and errors_between(sent.upper(), row.value.upper()) == 1:
            return _fact("identifier", label, "near", _("identifier with a typing error"), sent, row.value, 0.6)
    return _fact("identifier", label, "differs", _("another identifier"), sent, shown, 0)


def _name(said: Said, procedure: RequestedProcedure) -> Fact:
    patient, label = procedure.order.patient, _("Name")
    sent, shown = plain_name(said.sent.name), plain_name(patient.dicom_name)
    if not sent:
        return _fact("name", label, "unknown", _("no name"), sent, shown, 0)
    likeness = name_likeness(said.sent.name, patient)
    if likeness >= 0.999:
        return _fact("name", label, "same", _("same name"), sent, shown, 1)
    if likeness >= 0.85:
        return _fact("name", label, "near", _("name in another spelling"), sent, shown, likeness * 0.95)
    if likeness >= 0.6:
        return _fact("name", label, "near", _("part of the name"), sent, shown, likeness * 0.5)
    return _fact("name", label, "differs", _("another name"), sent, shown, 0)


def plain_name(name: str) -> str:
    """A PN for reading: FAMILY, Given Middle."""
    family, _caret, given = name.partition("=")[0].partition("^")
    return ", ".join(part for part in (family.upper().strip(), " ".join(given.replace("^", " ").split())) if part)


def _birth_date(said: Said, procedure: RequestedProcedure) -> Fact:
    label, own = _("Date of birth"), procedure.order.patient.birth_date
    born = parse_date(said.sent.birth_date)
    sent, shown = _day(born) or said.sent.birth_date, _day(own)
    if born is None or own is None:
        return _fact("birth_date", label, "unknown", _("no date of birth"), sent, shown, 0)
    if born == own:
        return _fact("birth_date", label, "same", _("same date of birth"), sent, shown, 1)
    if born == duplicates.swapped(own):
        return _fact("birth_date", label, "near", _("day and month of birth swapped"), sent, shown, 0.7)
    if errors_between(f"{born:%Y%m%d}", f"{own:%Y%m%d}") == 1:
        return _fact("birth_date", label, "near", _("date of birth with a typing error"), sent, shown, 0.5)
    return _fact("birth_date", label, "differs", _("another date of birth"), sent, shown, 0)


def _day(day: date | None) -> str:
    return text.day(day) if day else ""


def _sex(said: Said, procedure: RequestedProcedure) -> Fact:
    sent, own = said.sent.sex.strip().upper(), procedure.order.patient.sex
    if sent not in ("F", "M") or own not in ("F", "M"):
        return _fact("sex", _("Sex"), "unknown", _("sex not told"), sent, own, 0)
    verdict, words = ("same", _("same sex")) if sent == own else ("differs", _("another sex"))
    return _fact("sex", _("Sex"), verdict, words, sent, own, verdict == "same")


def _accession_number(said: Said, procedure: RequestedProcedure) -> Fact:
    key, label = "accession_number", _("Accession number")
    sent, own = said.accession_number.strip(), procedure.accession_number
    if not sent:
        return _fact(key, label, "unknown", _("no accession number"), sent, own, 0)
    if sent == own:
        return _fact(key, label, "same", _("same accession number"), sent, own, 1)
    if len(sent) > 3 and errors_between(sent.upper(), own.upper()) == 1:
        return _fact(key, label, "near", _("accession number with a typing error"), sent, own, 0.7)
    return _fact(key, label, "differs", _("another accession number"), sent, own, 0)


def _modality(said: Said, procedure: RequestedProcedure) -> Fact:
    sent, own = said.modality, procedure.modality
    if not sent or not own:
        return _fact("modality", _("Modality"), "unknown", _("no modality"), sent, own, 0)
    if sent == own:
        return _fact("modality", _("Modality"), "same", _("same modality"), sent, own, 1)
    if any({sent, own} <= group for group in ALIKE):
        return _fact("modality", _("Modality"), "near", _("modality of the same kind"), sent, own, 0.8)
    return _fact("modality", _("Modality"), "differs", _("another modality"), sent, own, 0)


def _time(said: Said, procedure: RequestedProcedure) -> Fact:
    starts = [step.starts_at for step in procedure.steps.all() if step.starts_at]
    sent = text.stamp(said.at)
    if not starts:
        return _fact("time", _("When"), "unknown", _("no time planned"), sent, "", 0)
    nearest = min(starts, key=lambda moment: abs(moment - said.at))
    apart, shown = abs(nearest - said.at), text.stamp(nearest)
    if apart <= timedelta(hours=1):
        return _fact("time", _("When"), "same", _("planned for that hour"), sent, shown, 1)
    if apart <= AROUND:
        share = 0.7 if apart <= timedelta(hours=4) else 0.4
        return _fact("time", _("When"), "near", _("planned within a day"), sent, shown, share)
    return _fact("time", _("When"), "differs", _("planned for another day"), sent, shown, 0)


def _station(said: Said, procedure: RequestedProcedure) -> Fact:
    planned = {step.station.ae_title for step in procedure.steps.all() if step.station}
    sent, shown = said.station.ae_title if said.station else "", ", ".join(sorted(planned))
    if not sent or not planned:
        return _fact("station", _("Station"), "unknown", _("no station"), sent, shown, 0)
    verdict, words = ("same", _("planned there")) if sent in planned else ("differs", _("planned elsewhere"))
    return _fact("station", _("Station"), verdict, words, sent, shown, verdict == "same")


# --- candidates


def score(said: Said, procedure: RequestedProcedure) -> Candidate:
    facts = facts_about(said, procedure)
    known = sum(WEIGHTS[fact.key] for fact in facts if fact.verdict != "unknown")
    reached = sum(fact.points for fact in facts)
    total = round(min(1.0, reached / max(known, LEAST_KNOWN)), 2)
    return Candidate(procedure, total, facts)


def candidates(said: Said, *, actor: Actor, limit: int = 6) -> list[Candidate]:
    """Procedures that it may belong to, best first. A fixed number of queries, however many there are."""
    scored = (score(said, row) for row in _possible(said, actor))
    found = sorted((row for row in scored if row.score >= SHOWN_FROM), key=lambda row: -row.score)[:limit]
    return list(_with_certainty(said, found))


def _possible(said: Said, actor: Actor) -> list[RequestedProcedure]:
    """By the patient, by the hour on such a machine, by the accession number or one that differs in a sign."""
    asked = duplicates.Query.of(
        said.sent.name.replace("^", " ").replace("=", " "),
        parse_date(said.sent.birth_date),
        "",
        [said.sent.patient_id.strip()],
    )
    people = [row.patient.pk for row in duplicates.rank(asked, Patient.objects.all(), shown=PATIENTS)] if asked else []
    meant = Q(order__patient__in=people)
    if said.accession_number:
        sign = said.accession_number.upper()
        meant |= Q(accession_number__in={said.accession_number, *duplicates.turned_round(sign), *_one_sign_off(sign)})
    alike = {said.modality}.union(*(group for group in ALIKE if said.modality in group))
    near = Q(steps__starts_at__range=(said.at - AROUND, said.at + AROUND), modality__in=alike)
    visible = RequestedProcedure.objects.visible_to(actor).filter(status__in=OPEN_TO_IMAGES)
    keys = list(visible.filter(meant).order_by("-pk").values_list("pk", flat=True).distinct()[:PROCEDURES])
    if said.modality:
        keys += visible.filter(near).order_by("-pk").values_list("pk", flat=True).distinct()[:PROCEDURES]
    return list(
        RequestedProcedure.objects.filter(pk__in=keys)
        .for_display()
        .prefetch_related("steps__station", "order__patient__identifiers")
        .order_by("-pk")
    )


def _one_sign_off(number: str) -> set[str]:
    """The same number with one figure wrong."""
    digits = "0123456789"
    return {number[:at] + digit + number[at + 1 :] for at in range(len(number)) for digit in digits}


def _with_certainty(said: Said, found: list[Candidate]) -> Iterator[Candidate]:
    """The first is certain when it is good, far from the second, of an agreeing patient, and waits for images."""
    for place, row in enumerate(found):
        second = found[1].score if len(found) > 1 else 0.0
        is_certain = (
            place == 0
            and row.score >= CERTAIN_FROM
            and row.score - second >= DISTANCE
            and _is_beyond_doubt(row.facts)
            and row.procedure.status in WAITS_FOR_IMAGES
            and agreement(row.procedure.order.patient, _corrected(said, row)) is Agreement.AGREES
        )
        yield Candidate(row.procedure, row.score, row.facts, is_certain)


def _corrected(said: Said, row: Candidate) -> Sent:
    """The patient as sent, with near values read as the ones that they stand for; what differs stays."""
    verdicts = {fact.key: fact.verdict for fact in row.facts}
    patient = row.procedure.order.patient
    return Sent(
        said.sent.patient_id if verdicts["identifier"] == "same" else "",
        said.sent.issuer,
        patient.dicom_name if verdicts["name"] == "near" else said.sent.name,
        f"{patient.birth_date:%Y%m%d}" if verdicts["birth_date"] == "near" else said.sent.birth_date,
        said.sent.sex,
    )


def _is_beyond_doubt(facts: Iterable[Fact]) -> bool:
    """Two facts of the patient agree, one of identifier and date of birth exactly; none differs, nor the machine."""
    verdicts = {fact.key: fact.verdict for fact in facts}
    agreeing = [key for key in PATIENT_FACTS if verdicts[key] in ("same", "near")]
    is_exact = "same" in (verdicts["identifier"], verdicts["birth_date"])
    strangers = [key for key in (*PATIENT_FACTS, "sex", "modality") if verdicts[key] == "differs"]
    return len(agreeing) >= 2 and is_exact and not strangers and verdicts["time"] in ("same", "near")


def search(said: Said, typed: str, *, actor: Actor, limit: int = 12) -> list[Candidate]:
    """What a person types: an accession number, an identifier, a name. Scored like the others, none left out."""
    words = " ".join(typed.split())[:64]
    if not words:
        return []
    born = parse_date(words) if re.fullmatch(r"[\d./-]{8,10}", words) else None
    asked = duplicates.Query.of(words, born, "", words.split())
    people = [row.patient.pk for row in duplicates.rank(asked, Patient.objects.all(), shown=PATIENTS)] if asked else []
    rows: QuerySet[RequestedProcedure] = RequestedProcedure.objects.visible_to(actor)
    keys = (
        rows.filter(Q(accession_number__istartswith=words) | Q(order__patient__in=people))
        .order_by("-pk")
        .values_list("pk", flat=True)[:60]
    )
    found = (
        RequestedProcedure.objects.filter(pk__in=list(keys))
        .for_display()
        .prefetch_related("steps__station", "order__patient__identifiers")
    )
    today = timezone.now() if said.at is None else said.at
    scored = [score(Said(said.sent, said.modality, today, said.accession_number, said.station), row) for row in found]
    return sorted(scored, key=lambda row: -row.score)[:limit]
