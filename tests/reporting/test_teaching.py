"""Teaching cases: kept without their patient, read, shared, found, withdrawn."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from orders.models import Patient
from reporting.deidentify import Known, left_over, replaced
from reporting.models import TeachingCase
from reporting.services.teaching import (
    age_band,
    change_case,
    clean_tags,
    keep_case,
    offer_case,
    share_case,
    withdraw_case,
)
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.tenants.context import use_facility
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_patient, make_procedure, make_referrer, signed

WHO = Known(
    names=("Wanjirũ", "Mei Ng"),
    numbers=("MRN-12/77", "A0000123"),
    people=("Salome Atieno",),
    places=("Alpha Hospital",),
    contacts=("0712 000 111",),
    days=(date(1990, 3, 14),),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mrs WANJIRU was seen.", "Mrs [name] was seen."),
        ("Wanjir\u0169's lungs, Ng Mei", "[name] lungs, [name]"),
        ("No nodule. Ng tube in place.", "No nodule. Ng tube in place."),
        ("MRN 12-77 and a0000123", "[number] and [number]"),
        ("mrn12/77", "[number]"),
        ("Discussed with Dr Atieno.", "Discussed with Dr [person]."),
        ("Compared with 12/03/2024, 2024-03-12 and 3.4.24.", "Compared with [date], [date] and [date]."),
        ("CT of 12 March 2024, of March 2023, of 1st Apr", "CT of [date], of [date], of [date]"),
        ("Born 19900314", "Born [date]"),
        ("Call +254 712-000-111 or 0712000111.", "Call [contact] or [contact]."),
        ("a.b@c.org", "[contact]"),
        ("Seen at Alpha  Hospital", "Seen at [place]"),
        ("1.2.840.10008.5.1", "[uid]"),
        ("Nodule of 12 x 8 mm, 100-120 HU, segment 5 may be involved; T2/3, ratio 1.5.", None),
        ("12 decreased, 3 marked, L4/5, 10-12 mm", None),
    ],
)
def test_what_names_somebody_is_replaced_and_nothing_else(text, expected):
    made = replaced(text, WHO, {})
    assert made == (text if expected is None else expected)
    assert left_over(made, WHO) == []


def test_years_are_told_in_tens():
    assert [age_band(years) for years in (None, 0, 9, 47, 89, 90, 104)] == [
        "", "0\u20139", "0\u20139", "40\u201349", "80\u201389", "90+", "90+",
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", ["a<b", "x" * 31, ",".join("abcdefghijk"), "a/b"])
def test_tags_are_words(wrong):
    with pytest.raises(InvalidData):
        clean_tags(wrong)
    assert clean_tags(" Lung,  PE , lung, hot cross ") == ["lung", "pe", "hot cross"]


@pytest.fixture
def source(people: Any) -> Any:
    """A signed report that names everybody."""
    patient = make_patient("Wanjiku", phone="0733 999 000", address="Plot 7, Kilimani Road")
    procedure = make_procedure(patient=patient, requester=people.referrer.practitioner)
    findings = (
        f"Mrs WANJIKU ({patient.identifiers.get().value}, {procedure.accession_number}), born 14/03/1990, "
        "phone 0733999000. A lobulated enchondroma in the proximal humerus."
    )
    return signed(
        procedure, actor=people.radiologist, findings=findings, impression="Benign cartilage lesion. Told Achieng."
    )


@pytest.fixture
def kept(people: Any, source: Any) -> TeachingCase:
    return keep_case(source, diagnosis="Benign enchondroma", tags="PE, chest", actor=people.radiologist)


@pytest.fixture
def shared(people: Any, kept: TeachingCase) -> TeachingCase:
    change_case(kept, question="What is it?", answer="A tumour.", is_read=True, actor=people.radiologist)
    return share_case(kept, actor=people.radiologist)


@pytest.fixture
def browser(alpha: Any) -> Any:
    def of(actor: Any) -> Client:
        client = Client(HTTP_HOST="alpha.test")
        client.force_login(actor.user)
        return client

    return of


def of_patient(row: TeachingCase) -> list[str]:
    patient, exam = row.report.patient, row.report.first_procedure
    return [
        patient.family_name, patient.given_name, patient.identifiers.get().value, exam.accession_number,
        "14/03/1990", "0733999000", str(patient.uuid), str(row.report.uuid), str(exam.uuid),
    ]  # fmt: skip


def test_kept_it_names_nobody_and_is_private(people, kept, source):
    said = " ".join([kept.title, kept.diagnosis, *kept.tags, kept.text])
    assert [words for words in of_patient(kept) if words.lower() in said.lower()] == []
    assert "lobulated enchondroma in the proximal humerus" in kept.text
    assert (kept.status, kept.modality, kept.sex, kept.tags) == ("draft", "CT", "F", ["pe", "chest"])
    assert kept.age_band == "30\u201339"
    assert keep_case(source, actor=people.radiologist) == kept
    assert not TeachingCase.objects.visible_to(people.other).exists()
    assert kept.history.first().history_user == people.radiologist.user


def test_a_tag_or_title_that_names_the_patient_is_refused(people, source):
    for wrong in ({"tags": "wanjiku"}, {"diagnosis": "Embolus of Wanjiku"}, {"title": "Wanjiku"}):
        with pytest.raises(InvalidData) as refusal:
            keep_case(source, actor=people.radiologist, **wrong)
        assert "wanjiku" not in str(refusal.value.errors).lower()


def test_it_is_shared_only_read_and_without_its_patient(people, kept):
    with pytest.raises(InvalidTransition):
        share_case(kept, actor=people.radiologist)
    change_case(kept, text="Mrs Wanjiku has an enchondroma.", is_read=True, actor=people.radiologist)
    with pytest.raises(InvalidData) as refusal:
        share_case(kept, actor=people.radiologist)
    assert set(refusal.value.errors) == {"text"}
    change_case(kept, text="A tumour.", actor=people.radiologist)
    with pytest.raises(InvalidTransition):
        share_case(kept, actor=people.radiologist)
    change_case(kept, is_read=True, actor=people.radiologist)
    row = share_case(kept, actor=people.radiologist)
    assert (row.status, row.shared_by) == ("shared", people.radiologist.user)
    assert TeachingCase.objects.visible_to(people.other).get() == row


def test_a_shared_case_stays_without_its_patient(people, shared):
    with pytest.raises(InvalidData):
        change_case(shared, answer="It was Wanjiku.", is_read=True, actor=people.radiologist)
    with pytest.raises(InvalidData):
        change_case(shared, answer="A tumour, large.", actor=people.radiologist)
    shared.refresh_from_db()
    assert (shared.answer, shared.reviewed_at is not None) == ("A tumour.", True)


def test_a_resident_offers_and_a_radiologist_shares(people, source):
    row = keep_case(source, actor=people.resident)
    with pytest.raises(NotPermitted):
        share_case(row, actor=people.resident)
    assert not TeachingCase.objects.visible_to(people.radiologist).exists()
    offer_case(row, actor=people.resident)
    assert TeachingCase.objects.visible_to(people.radiologist).get() == row
    change_case(row, is_read=True, actor=people.radiologist)
    assert share_case(row, actor=people.radiologist).status == "shared"
    with pytest.raises(NotPermitted):
        withdraw_case(row, reason="x", actor=people.clerk)


def test_withdrawn_it_is_gone_for_others(people, shared, browser):
    with pytest.raises(InvalidData):
        withdraw_case(shared, reason=" ", actor=people.radiologist)
    withdraw_case(shared, reason="The diagnosis was wrong", actor=people.radiologist)
    assert browser(people.resident).get(f"/teaching/{shared.uuid}/").status_code == 404
    assert b"The diagnosis was wrong" in browser(people.radiologist).get(f"/teaching/{shared.uuid}/").content
    with pytest.raises(InvalidTransition):
        change_case(shared, answer="x", actor=people.radiologist)
    again = keep_case(shared.report, actor=people.radiologist)
    assert again.pk != shared.pk


def test_of_a_restricted_patient_only_the_case_is_seen(people, shared, kept, browser):
    Patient.objects.update(is_restricted=True)
    stranger = actor_with_roles("resident")
    page = browser(stranger).get(f"/teaching/{shared.uuid}/")
    assert page.status_code == 200
    assert page.context["source"] is None
    TeachingCase.objects.update(status="draft")
    assert not TeachingCase.objects.visible_to(stranger).exists()


def test_another_facility_knows_nothing_of_it(shared, beta):
    with use_facility(beta):
        assert not TeachingCase.objects.exists()


def test_it_is_kept_in_two_clicks_and_shared(people, source, browser):
    client = browser(people.radiologist)
    report = f"/reports/{source.uuid}/"
    assert f'action="{report}teaching/"'.encode() in client.get(report).content
    assert client.post(f"{report}teaching/").headers["Location"] == report
    row = TeachingCase.objects.get()
    address = f"/teaching/{row.uuid}/"
    assert address.encode() in client.get(report).content
    typed = {"title": "Chest pain", "diagnosis": "Embolus", "tags": "pe", "text": "Text.", "question": "", "answer": ""}
    assert client.post(f"{address}change/", {**typed, "is_read": "1", "share": "1"}).status_code == 302
    row.refresh_from_db()
    assert (row.status, row.title, row.diagnosis, row.tags) == ("shared", "Chest pain", "Embolus", ["pe"])
    client.post(f"{address}withdraw/", {"reason": "Twice"})
    row.refresh_from_db()
    assert row.status == "withdrawn"


def test_others_see_cards_and_the_case_without_the_patient(people, shared, browser):
    for role in ("technologist", "resident", "qa_lead"):
        client = browser(actor_with_roles(role))
        for address in ("/teaching/", "/teaching/?quiz=1", "/teaching/?modality=CT&tag=pe"):
            page = client.get(address)
            assert page.status_code == 200
            assert [words for words in of_patient(shared)[:-2] if words.encode() in page.content] == []
            assert (b"Benign enchondroma" in page.content) == ("quiz" not in address)
        assert str(shared.uuid).encode() not in client.get("/teaching/?modality=MR").content
    case = browser(actor_with_roles("technologist")).get(f"/teaching/{shared.uuid}/")
    shown = case.content.decode()
    if case.context["source"] is None:
        assert str(shared.report.uuid) not in shown
    assert [words for words in of_patient(shared)[:-2] if words in shown] == []
    assert "Prepare" not in shown
    assert browser(people.clerk).get("/teaching/").status_code == 403
    assert browser(make_referrer().actor).get("/teaching/").status_code == 403


@pytest.mark.parametrize(("words", "is_found"), [("enchondromas", True), ("chest", True), ("benign -proximal", False)])
def test_words_are_posted(people, shared, browser, words, is_found):
    page = browser(people.resident).post("/teaching/", {"words": words})
    assert (str(shared.uuid).encode() in page.content) is is_found


def test_the_pages_cost_a_fixed_number_of_queries(people, shared, browser):
    client = browser(people.other)

    def cost(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        return len(queries)

    cost("/teaching/")
    few = cost("/teaching/")
    for _number in range(4):
        row = keep_case(signed(actor=people.radiologist), tags="pe", actor=people.radiologist)
        change_case(row, is_read=True, actor=people.radiologist)
        share_case(row, actor=people.radiologist)
    assert cost("/teaching/") == few


def test_programs_keep_change_share_find_and_withdraw(people, source, api):
    api.force_authenticate(people.radiologist.user)
    made = api.post("/api/v1/teaching-cases/", {"report": str(source.uuid), "tags": ["pe"]}, format="json")
    assert made.status_code == 201, made.json()
    assert [words for words in of_patient(TeachingCase.objects.get()) if words in made.content.decode()] == []
    address = f"/api/v1/teaching-cases/{made.json()['uuid']}/"
    assert api.post(f"{address}share/").status_code == 409
    changed = api.post(f"{address}change/", {"diagnosis": "Embolus", "is_read": True}, format="json")
    assert changed.json()["diagnosis"] == "Embolus"
    assert api.post(f"{address}share/").json()["status"] == "shared"
    api.force_authenticate(people.resident.user)
    assert [row["uuid"] for row in api.get("/api/v1/teaching-cases/?tag=pe&modality=CT").json()["results"]] == [
        made.json()["uuid"]
    ]
    assert len(api.post("/api/v1/teaching-cases/find/", {"words": "enchondroma"}, format="json").json()) == 1
    assert api.post(f"{address}withdraw/", {"reason": "x"}, format="json").status_code == 403
    api.force_authenticate(people.radiologist.user)
    assert api.post(f"{address}withdraw/", {"reason": "Wrong"}, format="json").json()["status"] == "withdrawn"
