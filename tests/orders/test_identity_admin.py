"""Identity through the second door: the unidentified, merges and links by number, issuers of identifiers."""

from __future__ import annotations

import pytest
from django.urls import reverse

from orders import services
from orders.models import IdentifierIssuer, Patient, PatientLink, PatientMerge
from ris.audit.models import AuditEvent
from tests.factories.orders import SYSTEM, make_patient, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(tclient):
    def sign_in(*roles: str):
        tclient.force_login(make_user(*roles), backend="ris.accounts.backends.PasswordBackend")
        return tclient

    return sign_in


def at(model, page, *args):
    return reverse(f"admin:orders_{model}_{page}", args=args)


def act(client, model, action, *rows, **fields):
    body = {"action": action, "_selected_action": [row.pk for row in rows], **fields}
    return client.post(at(model, "changelist"), body, follow=True)


def test_an_unidentified_patient_from_the_list_and_a_name_later(browser):
    client = browser("clerk")
    assert at("patient", "emergency") in client.get(at("patient", "changelist")).content.decode()
    assert client.get(at("patient", "emergency")).status_code == 405
    answer = client.post(at("patient", "emergency"))
    alias = Patient.objects.get()
    assert answer["Location"] == at("patient", "change", alias.pk) and alias.identity_is_unverified
    assert AuditEvent.objects.filter(event_type="orders.register_patient", source="admin").count() == 1
    asked = act(client, "patient", "do_identify_patient", alias).content.decode()
    assert "How was it found out?" in asked
    fields = {"family_name": "Otieno", "birth_date": "about 40", "sex": "M", "reason": "Card", "_confirmed": "1"}
    act(client, "patient", "do_identify_patient", alias, **fields)
    alias.refresh_from_db()
    assert (alias.family_name, alias.identity_is_unverified, alias.age) == ("Otieno", False, 40)
    assert alias.birth_date_is_estimated


def test_who_may_not_register_gets_no_button_and_no_patient(browser):
    client = browser("radiologist")
    assert at("patient", "emergency") not in client.get(at("patient", "changelist")).content.decode()
    assert client.post(at("patient", "emergency")).status_code == 403
    assert Patient.objects.count() == 0


def test_a_date_is_typed_as_on_the_pages(browser):
    client = browser("clerk")
    forms = {f"{name}-{part}_FORMS": "0" for name in ("identifiers", "alert_rows") for part in ("TOTAL", "INITIAL")}
    person = {"family_name": "Achieng", "sex": "F", **forms}
    refused = client.post(at("patient", "add"), {**person, "birth_date": "31/02/1990"})
    assert refused.status_code == 200 and "no such day" in refused.content.decode()
    assert client.post(at("patient", "add"), {**person, "birth_date": "3/2/1990"}).status_code == 302
    patient = Patient.objects.get()
    assert patient.birth_date.isoformat() == "1990-02-03"
    assert 'value="03/02/1990"' in client.get(at("patient", "change", patient.pk)).content.decode()


def test_records_are_merged_and_linked_by_a_number(browser):
    client = browser("clerk")
    stays, goes, other = make_patient(), make_patient(), make_patient()
    number = {"number": stays.primary_identifier.value, "reason": "Same person", "_confirmed": "1"}
    act(client, "patient", "do_merge_into", goes, **number)
    assert PatientMerge.objects.get().survivor == stays
    nobody = act(client, "patient", "do_link_with", other, **{**number, "number": "nobody's"})
    assert "There is no such patient" in nobody.content.decode() and not PatientLink.objects.exists()
    act(client, "patient", "do_link_with", other, **number)
    link = PatientLink.objects.get()
    assert str(link.linked_at.year) in client.get(at("patientlink", "changelist")).content.decode()
    act(client, "patientlink", "do_unlink_patients", link, reason="Two people", _confirmed="1")
    link.refresh_from_db()
    assert link.ended_at is not None


def test_an_issuer_has_a_syntax_that_its_example_keeps(browser):
    client = browser("it_admin")
    row = {"name": "Kenya", "issuer": "KE", "type": "NI", "syntax": "[0-9]{8}", "example": "12", "is_active": "on"}
    wrong = client.post(at("identifierissuer", "add"), row).content.decode()
    assert "not what it should look like" in wrong
    assert (
        "Not a regular expression"
        in client.post(at("identifierissuer", "add"), {**row, "syntax": "["}).content.decode()
    )
    assert client.post(at("identifierissuer", "add"), {**row, "example": "12345678"}).status_code == 302
    assert IdentifierIssuer.objects.get().syntax == "[0-9]{8}"
    assert browser("clerk").post(at("identifierissuer", "add"), row).status_code == 403


def test_a_restricted_patient_is_in_no_link_of_who_may_not_see(browser):
    hidden, seen = make_patient(family_name="Hidden", is_restricted=True), make_patient()
    services.link_patients(patient=hidden, other=seen, reason="Same card", actor=SYSTEM)
    page = browser("clerk").get(at("patientlink", "changelist")).content.decode()
    assert "HIDDEN" not in page and "Same card" not in page
