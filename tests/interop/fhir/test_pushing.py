"""What is pushed to FHIR servers: studies, orders and patients whenever they change, by R4 or R5, with a token."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.utils import timezone

from interop.fhir.servers import ask_fhir_server, save_fhir_server
from interop.hl7 import services as hl7
from interop.models import FhirServer, OutboundMessage
from orders.services import cancel_order, change_order
from ris.accounts.outbound import OutsideFailed
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData, NotPermitted
from ris.core.permissions import CLERK, IT_ADMIN
from tests.conftest import shared_start
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.exam import ct1, ct_chest, ordered_exam, performed_exam
from tests.factories.worklist import stored
from tests.interop.fhir.fake_servers import FakeServer, Reply
from worklist.models import ImagingStudy
from worklist.services import index_instance, note_images_complete

TOKEN = Reply(body=json.dumps({"access_token": "t-1", "token_type": "Bearer", "expires_in": 300}).encode())


@pytest.fixture(scope="module")
def other():
    with FakeServer() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def house(django_db_setup, django_db_blocker):
    with shared_start(django_db_blocker):
        ct_chest()
        ct1()
        hl7.allow_host("127.0.0.1", actor=SYSTEM)
        yield


@pytest.fixture
def server(alpha, other):
    other.forget()
    return keep(other)


def keep(other, **more):
    wanted = {"name": "hie", "base_url": other.url + "/fhir", "resources": ["ServiceRequest", "ImagingStudy"]}
    return save_fhir_server(**{**wanted, **more}, actor=SYSTEM)


def puts(other):
    return [(got.path, got.json()) for got in other.got if got.method == "PUT"]


def test_an_order_is_put_whenever_it_changes_and_once_when_it_waits(server, other, dispatch):
    exam = ordered_exam().procedure
    dispatch()
    (path, resource), *rest = puts(other)
    assert (path, resource["status"], rest) == (f"/fhir/ServiceRequest/{exam.uuid}", "active", [])
    assert resource["identifier"][0]["value"] == exam.accession_number
    hl7.pause_destination(server.queue, actor=SYSTEM)
    change_order(exam.order, priority="stat", actor=SYSTEM)
    dispatch()
    cancel_order(exam.order, reason_code="110500", actor=SYSTEM)
    dispatch()
    waiting = OutboundMessage.objects.get(status="pending")
    assert json.loads(bytes(waiting.body))["status"] == "revoked", "brought up to date, not followed"
    assert (waiting.patient, waiting.ordering_key) == (exam.order.patient.uuid, str(exam.order.patient.uuid))
    hl7.resume_destination(server.queue, actor=SYSTEM)
    dispatch()
    assert [resource["status"] for _path, resource in puts(other)] == ["active", "revoked"]


def test_a_study_is_put_when_its_exam_is_known(server, other, dispatch):
    keep(other, resources=["ImagingStudy"])
    exam = performed_exam().procedure
    index_instance(stored(exam), actor=SYSTEM)
    study = ImagingStudy.objects.get()
    note_images_complete(study, actor=SYSTEM)
    dispatch()
    found = puts(other)
    assert {path for path, _resource in found} == {f"/fhir/ImagingStudy/{study.uuid}"}
    assert found[-1][1]["basedOn"] == [{"reference": f"ServiceRequest/{exam.uuid}"}]


def test_r5_and_a_token_from_the_other_side(alpha, other, dispatch):
    other.forget()
    other.at["/token"] = TOKEN
    keep(
        other,
        release="r5",
        resources=["ServiceRequest"],
        token_url=other.url + "/token",
        client_id="picha",
        client_secret="s3cret",
        scope="system/*.cud",
    )
    ordered_exam()
    ordered_exam(family_name="Mutiso")
    dispatch()
    asked = [got for got in other.got if got.path == "/token"]
    assert len(asked) == 1 and b"grant_type=client_credentials" in asked[0].body, "kept while it lives"
    assert asked[0].headers["Authorization"].startswith("Basic ")
    assert all("concept" in resource["code"] for _path, resource in puts(other))
    assert {got.headers["Authorization"] for got in other.got if got.method == "PUT"} == {"Bearer t-1"}
    other.replies.append(Reply(401))
    ordered_exam(family_name="Njeri")
    dispatch()
    OutboundMessage.objects.filter(status="pending").update(next_attempt_at=timezone.now())
    dispatch()
    assert len([got for got in other.got if got.path == "/token"]) == 2, "a new one, for the old one was not taken"
    assert not OutboundMessage.objects.exclude(status="acknowledged").exists()
    stored_secret = FhirServer.objects.get()
    assert stored_secret.client_secret == "s3cret"
    assert not stored_secret.history.filter(scope="s3cret").exists()
    assert not hasattr(stored_secret.history.first(), "client_secret")


def test_the_button_says_what_the_server_speaks(server, other):
    other.otherwise = Reply(body=b'{"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}')
    assert "FHIR 4.0.1" in ask_fhir_server(server, actor=actor_with_roles(IT_ADMIN))
    other.otherwise = Reply(500)
    with pytest.raises(OutsideFailed):
        ask_fhir_server(server, actor=SYSTEM)
    with pytest.raises(NotPermitted):
        ask_fhir_server(server, actor=actor_with_roles(CLERK))


def test_what_a_server_cannot_be(alpha, other):
    for wrong in (
        {"base_url": "ftp://x"},
        {"release": "r3"},
        {"resources": []},
        {"resources": ["Spaceship"]},
        {"token_url": "https://auth.example.org/token"},
    ):
        with pytest.raises(InvalidData) as refusal:
            keep(other, **wrong)
        assert list(refusal.value.errors) == list(wrong)


def test_the_administration_keeps_it(alpha):
    client = Client(HTTP_HOST="alpha.test")
    client.force_login(user_with_roles(IT_ADMIN), backend="ris.accounts.backends.PasswordBackend")
    given = {
        "name": "hie",
        "base_url": "https://fhir.example.org/r5",
        "release": "r5",
        "resources": ["ImagingStudy", "ServiceRequest"],
        "token_url": "https://auth.example.org/token",
        "client_id": "picha",
        "client_secret": "s3cret",
        "is_active": "on",
    }
    assert client.post("/admin/interop/fhirserver/add/", given).status_code == 302
    row = FhirServer.objects.get()
    assert (row.release, row.queue.messages, row.client_secret) == ("r5", ["ImagingStudy", "ServiceRequest"], "s3cret")
    page = client.get(f"/admin/interop/fhirserver/{row.pk}/change/").content.decode()
    assert "s3cret" not in page
    again = {**given, "client_secret": "", "base_url": "https://fhir.example.org/other"}
    assert client.post(f"/admin/interop/fhirserver/{row.pk}/change/", again).status_code == 302
    row.refresh_from_db()
    assert (row.base_url, row.client_secret) == ("https://fhir.example.org/other", "s3cret")
