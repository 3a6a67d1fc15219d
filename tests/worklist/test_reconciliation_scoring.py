"""Who could it be: facts in words, scores, and what may link itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ris.core.actor import SYSTEM
from ris.core.ids import new_uid
from tests.factories.orders import make_actor, make_patient
from tests.factories.worklist import STORE, booked, ct_procedure, make_station, started, step_of, stored
from worklist.models import ExceptionItem, ImagingStudy, Reconciliation
from worklist.services import index_instance, link_study, undo_reconciliation
from worklist.services.matching import Sent
from worklist.services.reconciliation_scoring import (
    Said,
    candidates,
    errors_between,
    name_likeness,
    score,
    search,
    spelt_alike,
)

pytestmark = pytest.mark.usefixtures("alpha")


def planned(hours: float = 0.5, **patient):
    fields = {"family_name": "Wanjiru", "given_name": "Achieng", "birth_date": "1990-03-14", "sex": "F", **patient}
    starts_at = timezone.now() + timedelta(hours=hours)
    return booked(ct_procedure(patient=make_patient(**fields)), starts_at=starts_at).procedure


def kinds() -> list[str]:
    return list(ExceptionItem.objects.open().order_by("pk").values_list("kind", flat=True))


def said_of(procedure, **changes) -> Said:
    patient = procedure.order.patient
    values = {
        "patient_id": patient.primary_identifier.value,
        "name": patient.dicom_name,
        "birth_date": f"{patient.birth_date:%Y%m%d}",
        "sex": patient.sex,
    }
    sent = Sent(**{**values, **{key: value for key, value in changes.items() if key in values}})
    others = {key: value for key, value in changes.items() if key not in values}
    said = Said(sent, "CT", timezone.now(), procedure.accession_number, make_station())
    return replace(said, **others)


def verdict(procedure, key: str, **changes) -> str:
    found = score(said_of(procedure, **changes), procedure)
    return next(f"{fact.verdict}: {fact.words}" for fact in found.facts if fact.key == key)


FACTS = [
    ("name", {"name": "Wanjiru^Achieng"}, "same: same name"),
    ("name", {"name": "ACHIENG WANJIRU"}, "same: same name"),
    ("name", {"name": "Achieng^Wanjirũ^Grace"}, "same: same name"),
    ("name", {"name": "Wanjriu^Achieng"}, "near: name in another spelling"),
    ("name", {"name": "Vanjiroo^Acheing"}, "near: name in another spelling"),
    ("name", {"name": "Wanjiru"}, "near: part of the name"),
    ("name", {"name": "Otieno^Baraka"}, "differs: another name"),
    ("name", {"name": ""}, "unknown: no name"),
    ("birth_date", {"birth_date": "19900314"}, "same: same date of birth"),
    ("birth_date", {"birth_date": "19900315"}, "near: date of birth with a typing error"),
    ("birth_date", {"birth_date": "19610712"}, "differs: another date of birth"),
    ("birth_date", {"birth_date": ""}, "unknown: no date of birth"),
    ("sex", {"sex": "M"}, "differs: another sex"),
    ("sex", {"sex": "O"}, "unknown: sex not told"),
    ("modality", {"modality": "PT"}, "near: modality of the same kind"),
    ("modality", {"modality": "US"}, "differs: another modality"),
    ("identifier", {"patient_id": ""}, "unknown: no identifier"),
    ("identifier", {"patient_id": "SOMETHING"}, "differs: another identifier"),
    ("accession_number", {"accession_number": ""}, "unknown: no accession number"),
    ("accession_number", {"accession_number": "A-1"}, "differs: another accession number"),
    ("station", {"station": None}, "unknown: no station"),
]


def test_each_fact_in_words():
    procedure = planned()
    told = [(key, changes, verdict(procedure, key, **changes)) for key, changes, _expected in FACTS]
    assert told == FACTS


def test_near_misses_of_numbers_and_swapped_days():
    procedure = planned(birth_date="1990-03-04")
    number, mrn = procedure.accession_number, procedure.order.patient.primary_identifier.value
    assert verdict(procedure, "birth_date", birth_date="19900403") == "near: day and month of birth swapped"
    swapped = number[:-2] + number[-1] + number[-2] if number[-1] != number[-2] else number[:-1]
    assert verdict(procedure, "accession_number", accession_number=swapped).startswith("near")
    assert verdict(procedure, "identifier", patient_id=mrn + "7").startswith("near")


def test_time_counts_by_distance():
    procedure = planned(hours=0)
    for hours, expected in ((0.5, "same"), (3, "near"), (20, "near"), (40, "differs")):
        at = timezone.now() + timedelta(hours=hours)
        assert verdict(procedure, "time", at=at).startswith(expected)


def test_errors_between():
    for one, other, errors in (
        ("JHON", "JOHN", 1), ("DOE", "DOE", 0), ("DOE", "ROE", 1), ("AMINA", "AMNIAA", 2), ("A", "BCDEF", 3),
    ):  # fmt: skip
        assert errors_between(one, other) == errors == errors_between(other, one)


def test_spellings_of_one_sound():
    assert spelt_alike("MOHAMED") == spelt_alike("MUHAMMED")
    assert spelt_alike("WANJIKU") == spelt_alike("WANJIKOO")
    assert spelt_alike("OTIENO") != spelt_alike("ACHIENG")


def test_one_word_in_common_is_not_the_same_name():
    patient = make_patient(family_name="Otieno", given_name="Baraka")
    assert name_likeness("Otieno^Achieng", patient) < 0.85


def test_candidates_are_ranked_and_the_clear_one_is_certain():
    mine = planned()
    planned(hours=1, family_name="Otieno", given_name="Baraka", birth_date="1961-07-12", sex="M")
    planned(hours=2, family_name="Wanjiku", given_name="Aisha", birth_date="1990-03-15")
    found = candidates(said_of(mine, accession_number="", patient_id="", name="Wanjriu^Achieng"), actor=SYSTEM)
    assert found[0].procedure == mine and found[0].is_certain
    assert found[0].score >= 0.85 and found[0].score - found[1].score >= 0.2
    assert not any(row.is_certain for row in found[1:])
    assert "name in another spelling" in found[0].reasons


def test_two_exams_of_one_patient_are_no_clear_match():
    mine = planned()
    booked(ct_procedure(patient=mine.order.patient), starts_at=timezone.now() + timedelta(hours=1))
    found = candidates(said_of(mine, accession_number=""), actor=SYSTEM)
    assert len(found) == 2 and not any(row.is_certain for row in found)


UNCERTAIN = [
    {"name": "Otieno^Baraka"},
    {"birth_date": "19610712"},
    {"sex": "M"},
    {"patient_id": "SOMEBODY-9"},
    {"modality": "US"},
    {"patient_id": "", "birth_date": ""},
    {"patient_id": "", "name": ""},
]


def test_what_differs_or_is_not_known_is_never_certain():
    mine = planned()
    for changes in UNCERTAIN:
        found = candidates(said_of(mine, accession_number="", **changes), actor=SYSTEM)
        assert not any(row.is_certain for row in found), changes


def test_an_exam_that_has_its_images_is_never_certain():
    mine = planned()
    index_instance(stored(mine), actor=STORE)
    mine.status = "ready_to_read"
    mine.save_as(SYSTEM, "read")
    assert not any(row.is_certain for row in candidates(said_of(mine), actor=SYSTEM))


def test_the_number_of_queries_does_not_grow():
    mine = planned()
    said = said_of(mine, name="Wanjriu^Achieng", patient_id="")
    with CaptureQueriesContext(connection) as few:
        candidates(said, actor=SYSTEM)
    for number in range(6):
        planned(hours=1 + number / 2, family_name=f"Wanjiru{'abcdef'[number]}")
    with CaptureQueriesContext(connection) as many:
        assert len(candidates(said, actor=SYSTEM)) > 1
    assert len(many) <= len(few)


# --- links itself


def typed(procedure, **changes):
    """An image of a patient that was typed at the scanner: other UIDs, no accession number."""
    values = {
        "patient_id": "",
        "patient_name": "Achieng^Wanjriu",
        "accession_number": "",
        "study_instance_uid": new_uid(),
    }
    return stored(procedure, **{**values, **changes})


def test_one_clear_match_links_itself_and_can_be_undone(dispatch):
    mine = planned()
    index_instance(typed(mine), actor=STORE)
    assert kinds() == ["unmatched_study"]
    dispatch()
    study = ImagingStudy.objects.get()
    assert kinds() == [] and list(study.procedures.all()) == [mine]
    act = Reconciliation.objects.get()
    assert act.is_automatic and act.done_by is None and "name in another spelling" in act.reason
    assert "Wanjriu" not in act.reason
    undo_reconciliation(act, reason="Her sister", actor=make_actor("technologist"))
    dispatch()
    assert kinds() == ["unmatched_study"] and not study.procedures.exists()


def test_a_typed_step_links_itself_and_starts_the_exam(dispatch):
    mine = planned()
    step = started(scheduled_steps=(), patient_name="Wanjiru^Achieng", patient_birth_date="19900314", patient_sex="F")
    dispatch()
    mine.refresh_from_db()
    assert kinds() == [] and mine.status == "in_progress"
    assert list(step.scheduled_steps.all()) == [step_of(mine)]


def test_an_unclear_one_waits_with_its_score(dispatch):
    planned(family_name="Otieno", given_name="Baraka", birth_date="1961-07-12", sex="M")
    index_instance(stored(patient_id="X1", patient_name="Doe^Jhon"), actor=STORE)
    dispatch()
    item = ExceptionItem.objects.get()
    assert item.resolved_at is None and item.detail["score"] < 85 and not Reconciliation.objects.exists()


@pytest.mark.parametrize("by", ["study_instance_uid", "accession_number"])
def test_a_match_by_number_whose_patient_differs_never_links_itself(dispatch, by):
    mine = planned()
    named = planned(hours=1, family_name="Otieno", given_name="Baraka", birth_date="1961-07-12", sex="M")
    patient = {"patient_id": "", "patient_name": "Wanjiru^Achieng", "patient_birth_date": "19900314"}
    numbers = {"study_instance_uid": new_uid(), "accession_number": "", by: getattr(named, by)}
    index_instance(stored(mine, **{**numbers, **patient}), actor=STORE)
    dispatch()
    assert kinds() == ["patient_differs"] and not ImagingStudy.objects.get().procedures.exists()


def test_what_a_person_unlinked_does_not_link_itself_again(dispatch):
    mine = planned()
    index_instance(typed(mine, patient_name="Doe^Jhon", patient_birth_date=""), actor=STORE)
    dispatch()
    study = ImagingStudy.objects.get()
    person = make_actor("technologist")
    link_study(study, procedure=mine, reason="Asked", actor=person)
    undo_reconciliation(Reconciliation.objects.get(), reason="No", actor=person)
    dispatch()
    assert kinds() == ["unmatched_study"]


# --- search by typing


def test_a_person_finds_exams_by_number_name_and_identifier():
    mine = planned()
    other = planned(hours=1, family_name="Otieno", given_name="Baraka", birth_date="1961-07-12", sex="M")
    said = said_of(mine)
    for words in (other.accession_number, "baraka otieno", other.order.patient.primary_identifier.value):
        found = search(said, words, actor=SYSTEM)
        assert [row.procedure for row in found] == [other] and found[0].is_another_patient
    assert search(said, "   ", actor=SYSTEM) == []
