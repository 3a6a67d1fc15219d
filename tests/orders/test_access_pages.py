"""Restricting a record, and giving people access to it, on the page."""

from __future__ import annotations

import pytest
from django.urls import reverse

from orders.models import Patient, PatientUserObjectPermission
from ris.core.actor import Actor
from tests.factories.orders import make_patient, make_user


@pytest.fixture
def lead(tclient):
    user = make_user("qa_lead", "radiologist")
    tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
    tclient.user = user
    return tclient


def sees(user) -> bool:
    return Patient.objects.visible_to(Actor("web", user)).exists()


def test_a_record_is_restricted_shared_and_opened_again(lead):
    patient, clerk = make_patient(), make_user("clerk")
    page = reverse("patient_access", args=[patient.uuid])
    assert page in lead.get(reverse("patient_detail", args=[patient.uuid])).content.decode()
    restrict = reverse("patient_restrict", args=[patient.uuid, "restrict"])
    assert lead.post(restrict, {"reason": ""}).status_code == 422
    assert lead.post(restrict, {"reason": "Works here"}, follow=True).status_code == 200
    assert sees(lead.user) and not sees(clerk)
    lead.post(reverse("access_give", args=[patient.uuid]), {"person": str(clerk.uuid)})
    assert sees(clerk)
    lead.post(reverse("access_take", args=[patient.uuid, clerk.uuid]))
    assert not sees(clerk) and PatientUserObjectPermission.objects.count() == 1
    lead.post(reverse("patient_restrict", args=[patient.uuid, "open"]), {"reason": "Has left"})
    assert sees(clerk)
    reasons = [row.history_change_reason.partition(" [")[0] for row in patient.history.all()[:2]]
    assert reasons == ["Has left", "Works here"]


def test_nobody_else_finds_the_page(tclient):
    patient = make_patient()
    tclient.force_login(make_user("clerk"), backend="ris.accounts.backends.PasswordBackend")
    assert tclient.get(reverse("patient_access", args=[patient.uuid])).status_code == 403
    answer = tclient.post(reverse("patient_restrict", args=[patient.uuid, "restrict"]), {"reason": "x"})
    assert answer.status_code == 403 and not Patient.objects.get().is_restricted
