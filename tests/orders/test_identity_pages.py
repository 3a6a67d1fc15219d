"""The desk's pages of identity: typed dates, alerts, candidates while typing, the unidentified, merge, undo, link."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orders import services
from orders.models import IdentifierIssuer, Order, Patient, PatientLink, PatientMerge
from ris.audit.models import AuditEvent
from ris.tenants.models import Facility
from tests.factories.orders import SYSTEM, make_order, make_patient, make_user

pytestmark = pytest.mark.django_db

PERSON = {"family_name": "Achieng", "given_name": "Wanjiru", "birth_date": "03/02/1990", "sex": "F"}


@pytest.fixture
def clerk(tclient):
    user = make_user("clerk")
    tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
    tclient.user = user
    return tclient


def at(name, *args):
    return reverse(name, args=args)


def order_of_dates(code: str) -> None:
    Facility.objects.filter(schema_name="alpha").update(date_order=code)
    connection.tenant.date_order = code


# --- registration


@pytest.mark.parametrize(
    ("order", "hint", "born"),
    [("DMY", "day/month/year", "1990-02-03"), ("MDY", "month/day/year", "1990-03-02")],
)
def test_a_date_is_read_in_the_facility_s_order_and_the_hint_says_so(clerk, order, hint, born):
    order_of_dates(order)
    page = clerk.get(at("patient_list")).content.decode()
    assert hint in page and 'type="date"' not in page
    clerk.post(at("patient_create"), PERSON)
    assert Patient.objects.get().birth_date.isoformat() == born
    shown = clerk.get(at("patient_edit", Patient.objects.get().uuid)).content.decode()
    assert 'value="03/02/1990"' in shown


@pytest.mark.parametrize("typed", ["2999-12-31", "31/02/1990", "3/2/90", "the day before"])
def test_an_impossible_date_stays_in_the_form_with_its_reason(clerk, typed):
    answer = clerk.post(at("patient_create"), {**PERSON, "birth_date": typed})
    page = answer.content.decode()
    assert answer.status_code == 422 and 'id="id_birth_date_error"' in page and f'value="{typed}"' in page
    assert Patient.objects.count() == 0


def test_about_forty_is_an_estimate(clerk):
    clerk.post(at("patient_create"), {**PERSON, "birth_date": "about 40"})
    patient = Patient.objects.get()
    assert (patient.age, patient.birth_date_is_estimated) == (40, True)
    body = {**PERSON, "birth_date": patient.birth_date.strftime("%d/%m/%Y"), "birth_date_is_estimated": "1"}
    clerk.post(at("patient_edit", patient.uuid), {**body, "reason": "Spelling", "family_name": "Achieng'"})
    patient.refresh_from_db()
    assert patient.family_name == "Achieng'" and patient.birth_date_is_estimated


def test_everything_about_a_person_is_taken_down_at_once(clerk):
    IdentifierIssuer(issuer="KE", type="NI", name="Kenya", syntax="[0-9]{8}").save_as(SYSTEM, "test")
    issuer = IdentifierIssuer.objects.get()
    body = {
        **PERSON,
        "middle_name": "Grace",
        "prefix": "Dr",
        "suffix": "Jr",
        "ideographic_name": "王^小明",
        "phonetic_name": "おう^しょうめい",
        "phone": "0722 000111",
        "email": "w@example.org",
        "language": "sw",
        "next_of_kin": "Otieno, brother, 0733 111222",
        "address": "Kisumu",
        "allergies": "Iodine, latex",
        "alert_kind": "mr_unsafe",
        "alert_text": "Pacemaker",
        "paper": f"i{issuer.pk}",
        "paper_number": "12345678",
    }
    refused = clerk.post(at("patient_create"), {**body, "paper_number": "12"})
    assert refused.status_code == 422 and "looks different" in refused.content.decode()
    assert clerk.post(at("patient_create"), body).status_code == 302
    patient = Patient.objects.get()
    assert patient.dicom_name == "Achieng^Wanjiru^Grace^Dr^Jr=王^小明=おう^しょうめい"
    alerts = sorted(patient.alert_rows.values_list("kind", "text"))
    assert alerts == [("allergy", "Iodine"), ("allergy", "latex"), ("mr_unsafe", "Pacemaker")]
    assert patient.identifiers.get(type="NI").issuer == "KE"
    assert (patient.language, patient.next_of_kin) == ("sw", "Otieno, brother, 0733 111222")


def test_the_form_loaded_again_is_the_form(clerk):
    answer = clerk.get(at("patient_create"))
    assert answer.status_code == 200 and 'name="family_name"' in answer.content.decode()


def test_candidates_appear_while_somebody_types_with_the_reason(clerk):
    known = make_patient(family_name="Achieng", given_name="Wanjiru", birth_date="1990-03-02", phone="0722000111")
    page = clerk.post(
        at("patient_candidates"), {"family_name": "Achie", "given_name": "Wanj", "birth_date": "03/02/199"}
    )
    text = page.content.decode()
    assert "Similar name" in text and at("patient_detail", known.uuid) in text and 'name="anyway"' in text
    text = clerk.post(at("patient_candidates"), {**PERSON}).content.decode()
    assert "Day and month" in text
    assert clerk.post(at("patient_candidates"), {"family_name": "Zz"}).content.strip() == b""
    assert AuditEvent.objects.filter(event_type="orders.find_duplicates", user=clerk.user.uuid).count() == 3
    assert clerk.get(at("patient_candidates")).status_code == 405


# --- the unidentified


def test_one_click_and_a_second_one_by_mistake(clerk):
    for address in (at("patient_list"), "/"):
        assert at("patient_emergency") in clerk.get(address).content.decode()
    body = {"once": "0192-once"}
    first = clerk.post(at("patient_emergency"), body)
    assert clerk.post(at("patient_emergency"), body)["Location"] == first["Location"]
    patient = Patient.objects.get()
    page = clerk.get(first["Location"]).content.decode()
    assert "Nobody knows yet who this is" in page and at("patient_identify", patient.uuid) in page


def test_a_name_is_given_but_not_to_whom_we_have(clerk):
    known = make_patient(family_name="Achieng", given_name="Wanjiru", birth_date="1990-02-03")
    alias = services.register_emergency(actor=SYSTEM)
    address = at("patient_identify", alias.uuid)
    assert "new to this house" in clerk.get(address).content.decode().lower()
    body = {**PERSON, "reason": "Her sister says so"}
    assert clerk.post(address, {**body, "reason": ""}).status_code == 422
    shown = clerk.post(address, body)
    page = shown.content.decode()
    assert shown.status_code == 409 and f'value="{known.uuid}"' in page and at("patient_merge", alias.uuid) in page
    alias.refresh_from_db()
    assert alias.identity_is_unverified
    assert clerk.post(address, {**body, "anyway": "1"})["Location"] == at("patient_detail", alias.uuid)
    alias.refresh_from_db()
    assert not alias.identity_is_unverified and alias.family_name == "Achieng"
    assert AuditEvent.objects.filter(event_type="orders.identify_anyway").count() == 1
    assert clerk.get(address)["Location"] == at("patient_detail", alias.uuid)


# --- merge, undo, link


def test_an_alias_goes_into_the_known_record_unless_it_is_turned_round(clerk):
    known = make_patient(family_name="Achieng")
    alias = services.register_emergency(actor=SYSTEM)
    address = at("patient_merge", alias.uuid)
    page = clerk.post(address, {"loser": str(known.uuid)}).content.decode()
    assert page.index(known.primary_identifier.value) < page.index("Is merged into it")
    turned = clerk.post(address, {"loser": str(known.uuid), "swap": "0"}).content.decode()
    assert "The record that would stay is an alias" in turned
    refused = clerk.post(address, {"loser": str(known.uuid), "swap": "1", "confirm": "1", "reason": ""})
    assert refused.status_code == 422 and "ACHIENG" in refused.content.decode()
    body = {"loser": str(known.uuid), "swap": "1", "confirm": "1", "reason": "Sister recognised her"}
    assert clerk.post(address, body)["Location"] == at("patient_detail", known.uuid)
    merge = PatientMerge.objects.get()
    assert (merge.survivor, merge.loser) == (known, alias)
    moved_on = clerk.get(at("patient_detail", alias.uuid))
    assert moved_on["Location"] == at("patient_detail", known.uuid)
    assert clerk.get(at("patient_detail", alias.uuid) + "?kept").status_code == 200


def test_the_way_back_lists_what_came_after_and_a_person_decides(clerk):
    survivor, loser = make_patient(family_name="Achieng"), make_patient(family_name="Akinyi")
    before = make_order(patient=loser)
    merge = services.merge_patients(survivor=survivor, loser=loser, reason="Same", actor=SYSTEM)
    survivor.refresh_from_db()
    hers, his = make_order(patient=survivor), make_order(patient=survivor)
    address = at("merge_detail", merge.uuid)
    page = clerk.get(address).content.decode()
    assert "A merge that holds" in page and at("order_detail", before.uuid) in page
    assert clerk.post(at("merge_undo", merge.uuid), {"reason": ""}).status_code == 422
    assert clerk.post(at("merge_undo", merge.uuid), {"reason": "Two sisters"})["Location"] == address
    page = clerk.get(address).content.decode()
    assert f"order:{hers.uuid}" in page and f"order:{his.uuid}" in page
    give = at("merge_give", merge.uuid)
    assert clerk.post(give, {"reason": "Hers"}).status_code == 422
    assert clerk.post(give, {"rows": [f"order:{before.uuid}"], "reason": "Hers"}).status_code == 422
    clerk.post(give, {"rows": [f"order:{hers.uuid}"], "reason": "Hers"})
    assert set(Order.objects.filter(patient=loser)) == {before, hers} and Order.objects.get(patient=survivor) == his
    assert f"order:{hers.uuid}" not in clerk.get(address).content.decode()


def test_two_records_are_linked_from_the_page_and_shown_on_both(clerk):
    here, there = make_patient(family_name="Achieng"), make_patient(family_name="Achieng")
    body = {"loser": str(there.uuid), "link": "1", "reason": "Her card of the other hospital"}
    clerk.post(at("patient_merge", here.uuid), body)
    link = PatientLink.objects.get()
    for one, other in ((here, there), (there, here)):
        page = clerk.get(at("patient_detail", one.uuid)).content.decode()
        assert "Same person, other record" in page and at("patient_detail", other.uuid) in page
    assert not PatientMerge.objects.exists()
    clerk.post(at("link_end", here.uuid, link.uuid))
    link.refresh_from_db()
    assert link.ended_at is not None
    assert "Same person, other record" not in clerk.get(at("patient_detail", here.uuid)).content.decode()


def test_candidates_to_merge_are_suggested(clerk):
    one = make_patient(family_name="Achieng", given_name="Wanjiru", birth_date="1990-02-03")
    two = make_patient(family_name="Wanjiru", given_name="Achieng", birth_date="1990-03-02")
    page = clerk.get(at("patient_merge", one.uuid)).content.decode()
    assert "Looks like this patient" in page and str(two.uuid) in page


def test_a_reader_neither_registers_nor_merges(tclient):
    user = make_user("radiologist")
    tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
    patient = services.register_emergency(actor=SYSTEM)
    for address in (at("patient_emergency"), at("patient_identify", patient.uuid), at("patient_merge", patient.uuid)):
        assert tclient.post(address, {}).status_code == 403
    page = tclient.get(at("patient_detail", patient.uuid)).content.decode()
    assert "Identity not confirmed" in page and at("patient_identify", patient.uuid) not in page


# --- how many queries


def queries(clerk, address, body=None) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        answer = clerk.post(address, body) if body is not None else clerk.get(address)
    assert answer.status_code == 200
    return len(captured)


def test_lists_cost_the_same_whatever_they_show(clerk):
    def crowd(count):
        return [make_patient(family_name="Achieng", given_name="Wanjiru", phone="0722000111") for _ in range(count)]

    first = crowd(2)
    link = [services.link_patients(patient=first[0], other=row, reason="x", actor=SYSTEM) for row in first[1:]]
    pages = [
        (at("patient_list"), {"q": "achieng"}),
        (at("patient_candidates"), {"family_name": "Achieng", "phone": "0722000111"}),
        (at("patient_detail", first[0].uuid), None),
        (at("patient_merge", first[0].uuid), None),
    ]
    assert link
    for address, body in pages:
        queries(clerk, address, body)
    few = [queries(clerk, address, body) for address, body in pages]
    for row in crowd(6):
        services.link_patients(patient=first[0], other=row, reason="x", actor=SYSTEM)
    assert [queries(clerk, address, body) for address, body in pages] == few


def test_the_way_back_costs_the_same_whatever_came(clerk):
    survivor, loser = make_patient(), make_patient()
    make_order(patient=loser)
    merge = services.merge_patients(survivor=survivor, loser=loser, reason="Same", actor=SYSTEM)
    survivor.refresh_from_db()
    make_order(patient=survivor)
    address = at("merge_detail", merge.uuid)
    queries(clerk, address)
    few = queries(clerk, address)
    for _ in range(4):
        make_order(patient=survivor)
    assert queries(clerk, address) == few
