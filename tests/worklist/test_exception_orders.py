"""What was done without an order gets one, with its patient, in one action; on the page and over REST."""

from __future__ import annotations

import pytest
from django.urls import reverse

from orders.models import Order, Patient, ProcedureStatus
from ris.core.actor import SYSTEM
from ris.core.errors import Conflict, InvalidData
from tests.factories.orders import make_actor, make_catalogue, make_patient, make_user
from tests.factories.worklist import STORE, stored
from worklist.models import ExceptionItem, ImagingStudy, Reconciliation
from worklist.services import index_instance, order_from_exception, undo_reconciliation

pytestmark = pytest.mark.usefixtures("alpha")


@pytest.fixture
def item() -> ExceptionItem:
    make_catalogue("CTHEAD", name="CT head", modality="CT")
    make_catalogue("XRHAND", name="Hand", modality="DX")
    sent = {"patient_name": "Otieno^Grace", "patient_id": "X-1", "patient_birth_date": "19850304", "patient_sex": "F"}
    index_instance(stored(**sent), actor=STORE)
    return ExceptionItem.objects.get()


def test_patient_order_and_link_come_in_one_act_that_can_be_undone(item):
    actor = make_actor("technologist")
    new = {"family_name": "Otieno", "given_name": "Grace", "birth_date": "1985-03-04", "sex": "F"}
    order = order_from_exception(item, code="CTHEAD", new_patient=new, reason="Walked in at night", actor=actor)
    study, procedure = ImagingStudy.objects.get(), order.procedures.get()
    assert list(study.procedures.all()) == [procedure]
    assert procedure.study_instance_uid == study.study_instance_uid
    assert order.patient.family_name == "Otieno"
    assert procedure.status == ProcedureStatus.ACCEPTED
    item.refresh_from_db()
    assert item.resolved_at is not None and item.resolution == "Walked in at night"
    with pytest.raises(Conflict):
        order_from_exception(item, code="CTHEAD", patient=order.patient, reason="Again", actor=actor)
    assert Order.objects.count() == 1
    undo_reconciliation(Reconciliation.objects.get(), reason="Another one", actor=SYSTEM)
    assert not study.procedures.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"code": "NOSUCH", "new_patient": {"family_name": "Otieno"}}, "code"),
        ({"code": "CTHEAD", "new_patient": {"family_name": ""}}, "family_name"),
        ({"code": "CTHEAD"}, "patient"),
        ({"code": "CTHEAD", "new_patient": {"family_name": "Otieno"}, "reason": " "}, "reason"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left_behind(item, fields, field):
    with pytest.raises(InvalidData) as refusal:
        order_from_exception(item, **{"reason": "Walked in", **fields}, actor=make_actor("technologist"))
    assert field in str(refusal.value.errors)
    assert not Patient.objects.exists() and not Order.objects.exists()
    assert ExceptionItem.objects.get().resolved_at is None


def test_the_page_offers_who_it_could_be_and_keeps_what_was_typed(item, tclient):
    known = make_patient(family_name="Otieno", given_name="Grace", birth_date="1985-03-04")
    other = make_patient(family_name="Kamau", given_name="Peter")
    tclient.force_login(make_user("technologist"), backend="ris.accounts.backends.PasswordBackend")
    address = reverse("exception_order", args=[item.uuid])
    assert address in tclient.get(reverse("exception_detail", args=[item.uuid])).content.decode()
    words = tclient.get(address).content.decode()
    assert str(known.uuid) in words and str(other.uuid) not in words
    assert words.index("CT head") < words.index("Hand")
    found = tclient.post(address, {"find": "1", "words": "Kamau"}).content.decode()
    assert str(other.uuid) in found and not Order.objects.exists()
    typed = {"patient": str(other.uuid), "code": "", "reason": "Asked her", "indication": "Fell"}
    answer = tclient.post(address, typed)
    assert answer.status_code == 422
    assert str(other.uuid) in answer.content.decode() and "Asked her" in answer.content.decode()
    assert tclient.post(address, {**typed, "patient": "nobody"}).status_code == 422
    assert tclient.post(address, {"patient": "new", "code": "CTHEAD", "reason": "x"}).status_code == 422
    assert not Order.objects.exists()
    answer = tclient.post(address, {**typed, "patient": str(known.uuid), "code": "CTHEAD"})
    order = Order.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, reverse("order_detail", args=[order.uuid]))
    assert order.patient == known and order.indication == "Fell"
    assert tclient.get(address)["Location"] == reverse("exception_detail", args=[item.uuid])


def test_who_may_not_order_is_not_offered_it(item, tclient):
    tclient.force_login(make_user("medical_physicist"), backend="ris.accounts.backends.PasswordBackend")
    assert tclient.get(reverse("exception_order", args=[item.uuid])).status_code == 403


def test_rest_does_the_same(item, api):
    api.force_authenticate(make_user("technologist"))
    address = f"/api/v1/exceptions/{item.uuid}/order/"
    assert api.post(address, {"code": "CTHEAD", "reason": "Night"}, format="json").status_code in (400, 422)
    missing = {"patient": str(item.uuid), "code": "CTHEAD", "reason": "Night"}
    assert api.post(address, missing, format="json").status_code == 404
    body = {"new_patient": {"family_name": "Otieno", "sex": "F"}, "code": "CTHEAD", "reason": "Night"}
    answer = api.post(address, body, format="json")
    assert answer.status_code == 201, answer.json()
    assert answer.json()["resolution"] == "Night"
    assert api.post(address, body, format="json").status_code == 409


def test_the_administration_orders_for_a_known_patient_and_for_a_new_one(item, tclient):
    tclient.force_login(make_user("technologist"), backend="ris.accounts.backends.PasswordBackend")
    index_instance(stored(patient_name="Mutua^Ann", patient_id="X-2"), actor=STORE)
    address = reverse("admin:worklist_exceptionitem_changelist")

    def act(row: ExceptionItem, **data: str):
        body = {"action": "do_order_exception", "_selected_action": [str(row.pk)], "code": "CTHEAD", **data}
        return tclient.post(address, {**body, "reason": "Walked in", "_confirmed": "1"}, follow=True)

    act(item, family_name="Otieno", given_name="Grace", birth_date="1985-03-04", sex="F")
    [order] = Order.objects.all()
    assert order.patient.family_name == "Otieno" and order.procedures.get().studies.count() == 1
    other = ExceptionItem.objects.exclude(pk=item.pk).get()
    assert "There is no patient of that number." in act(other, patient_number="NOBODY").content.decode()
    assert Order.objects.count() == 1
    known = make_patient()
    act(other, patient_number=known.primary_identifier.value)
    assert Order.objects.filter(patient=known).count() == 1
    other.refresh_from_db()
    assert other.resolution == "Walked in"
