"""Identity over REST: the unidentified, dates as they are typed here, links, merges with a preview and the way back."""

from __future__ import annotations

import pytest

from orders import services
from orders.models import IdentifierIssuer, Patient, PatientAlert, PatientLink
from ris.audit.models import AuditEvent
from ris.tenants.models import Facility
from tests.factories.orders import SYSTEM, make_order, make_patient, make_user

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def clerk(api):
    user = make_user("clerk")
    api.force_authenticate(user)
    api.user = user
    return api


def post(client, path, body=None, expect=200):
    answer = client.post(f"{V1}/{path}", body or {}, format="json")
    assert answer.status_code == expect, answer.content
    return answer.json()


def order_of_dates(code: str) -> None:
    from django.db import connection

    Facility.objects.filter(schema_name="alpha").update(date_order=code)
    connection.tenant.date_order = code


def test_an_unidentified_patient_needs_nothing_and_gets_a_name_later(clerk):
    alias = post(clerk, "patients/emergency/", {}, 201)
    assert alias["family_name"] == "EMERG" and alias["identity_is_unverified"]
    assert [(row["type"], row["use"]) for row in alias["identifiers"]] == [("PT", "temp")]
    aged = post(clerk, "patients/emergency/", {"sex": "F", "estimated_age": 40}, 201)
    assert aged["age"] == 40 and aged["birth_date_is_estimated"]
    assert post(clerk, f"patients/{alias['id']}/identify/", {"family_name": "Otieno"}, 400)["errors"]["reason"]
    body = {"family_name": "Otieno", "given_name": "Ann", "birth_date": "1990-02-03", "reason": "Card found"}
    named = post(clerk, f"patients/{alias['id']}/identify/", body)
    assert (named["family_name"], named["identity_is_unverified"]) == ("Otieno", False)
    assert {row["type"]: row["use"] for row in named["identifiers"]} == {"PT": "old", "MR": "usual"}
    post(clerk, f"patients/{alias['id']}/identify/", body, 409)
    assert AuditEvent.objects.filter(user=clerk.user.uuid, event_type="orders.register_patient").count() == 2


@pytest.mark.parametrize(
    ("order", "typed", "stored", "estimated"),
    [
        ("DMY", "1990-11-03", "1990-11-03", False),
        ("DMY", "03/11/1990", "1990-11-03", False),
        ("MDY", "11/03/1990", "1990-11-03", False),
        ("MDY", "1990-11-03", "1990-11-03", False),
        ("YMD", "1990/11/03", "1990-11-03", False),
        ("DMY", "3 Nov 1990", "1990-11-03", False),
        ("DMY", "1990", "1990-01-01", True),
    ],
)
def test_a_date_of_birth_is_read_as_it_is_typed_here(clerk, order, typed, stored, estimated):
    order_of_dates(order)
    made = post(clerk, "patients/", {"family_name": "Achieng", "birth_date": typed}, 201)
    assert (made["birth_date"], made["birth_date_is_estimated"]) == (stored, estimated)
    changed = clerk.patch(f"{V1}/patients/{made['id']}/", {"birth_date": typed}, format="json").json()
    assert changed["birth_date"] == stored


@pytest.mark.parametrize("typed", ["2999-01-01", "31/02/1990", "3/4/90", "yesterday", "1700-01-01", "about 140"])
def test_an_impossible_date_of_birth_is_refused_at_its_field(clerk, typed):
    problem = post(clerk, "patients/", {"family_name": "Achieng", "birth_date": typed}, 400)
    assert problem["errors"]["birth_date"] and Patient.objects.count() == 0


def test_an_issuer_s_numbers_have_a_syntax_and_a_check_digit(clerk):
    IdentifierIssuer(issuer="KE", type="NI", name="Kenya", syntax="[0-9]{8}", example="12345678").save_as(
        SYSTEM, "test"
    )
    IdentifierIssuer(issuer="SHA", type="NIIP", name="SHA", check_digit="M10").save_as(SYSTEM, "test")
    IdentifierIssuer(issuer="OLD", type="NI", name="Old", syntax="x", is_active=False).save_as(SYSTEM, "test")

    def register(value, issuer, kind, expect):
        row = {"value": value, "issuer": issuer, "type": kind}
        return post(clerk, "patients/", {"family_name": "Achieng", "identifiers": [row]}, expect)

    register("12345678", "KE", "NI", 201)
    assert "12345678" in str(register("1234", "KE", "NI", 400)["errors"]["identifiers"])
    register("79927398713", "SHA", "NIIP", 201)
    assert "check digit" in str(register("79927398731", "SHA", "NIIP", 400)["errors"]["identifiers"])
    register("anything", "OLD", "NI", 201)
    register("P-1", "KE", "PPN", 201)
    rows = clerk.get(f"{V1}/identifier-issuers/").json()["results"]
    assert {row["issuer"] for row in rows} == {"KE", "SHA", "OLD"}


def test_two_records_are_linked_and_both_stay(clerk):
    here, there = make_patient(), make_patient()
    body = {"other": str(there.uuid), "reason": "Same card, other registry"}
    link = post(clerk, f"patients/{here.uuid}/link/", body)
    again = post(clerk, f"patients/{there.uuid}/link/", {**body, "other": str(here.uuid)})
    assert link["id"] == again["id"] and PatientLink.objects.count() == 1
    assert set(link["patients"]) == {str(here.uuid), str(there.uuid)}
    post(clerk, f"patients/{here.uuid}/link/", {**body, "other": str(here.uuid)}, 400)
    assert len(clerk.get(f"{V1}/patient-links/").json()["results"]) == 1
    ended = post(clerk, f"patient-links/{link['id']}/undo/", {"reason": "Two people"})
    assert ended["ended_at"] and Patient.objects.filter(merged_into__isnull=True).count() == 2


def test_merge_with_a_preview_undo_and_what_came_between(clerk):
    survivor, loser = make_patient(family_name="Achieng"), make_patient(family_name="Akinyi")
    make_order(patient=loser)
    preview = post(clerk, f"patients/{survivor.uuid}/merge-preview/", {"other": str(loser.uuid)})["rows"]
    name = next(row for row in preview if row["what"] == "Name")
    assert (name["survivor"], name["is_same"]) == ("ACHIENG, Wanjiru", False)
    assert next(row for row in preview if row["what"] == "Orders")["loser"] == "1"
    assert Patient.objects.filter(merged_into__isnull=True).count() == 2
    body = {"loser": str(loser.uuid), "reason": "Same person"}
    merge = post(clerk, f"patients/{survivor.uuid}/merge/", body)
    survivor.refresh_from_db()
    after = make_order(patient=survivor)
    alert = services.add_alert(survivor, kind="allergy", text="Iodine", actor=SYSTEM)
    give = {"kind": "order", "id": str(after.uuid), "reason": "Hers"}
    assert "still holds" in post(clerk, f"patient-merges/{merge['id']}/give/", give, 409)["detail"]
    post(clerk, f"patient-merges/{merge['id']}/undo/", {"reason": "Sisters"})
    later = clerk.get(f"{V1}/patient-merges/{merge['id']}/later/").json()["results"]
    assert {(row["kind"], row["id"]) for row in later} == {("order", str(after.uuid)), ("alert", str(alert.uuid))}
    post(clerk, f"patient-merges/{merge['id']}/give/", give)
    post(clerk, f"patient-merges/{merge['id']}/give/", {"kind": "alert", "id": str(alert.uuid), "reason": "Hers"})
    after.refresh_from_db()
    assert after.patient == loser and PatientAlert.objects.get().patient == loser
    assert clerk.get(f"{V1}/patient-merges/{merge['id']}/later/").json()["results"] == []
    post(clerk, f"patient-merges/{merge['id']}/give/", give, 404)
