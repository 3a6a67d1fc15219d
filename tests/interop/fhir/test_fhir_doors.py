"""FHIR's own affairs by page, REST and the administration: servers, programs, subscriptions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.test import Client

from interop.fhir.cards import subscription_cards
from interop.fhir.subscriptions.services import subscribe_to
from interop.fhir.subscriptions.topics import TOPICS
from interop.fhir.writing.registering import WRITERS
from interop.hl7 import services as hl7
from interop.models import FhirNotification, FhirServer, FhirSubscription, SmartClient
from ris.core.actor import SYSTEM, Actor
from ris.core.permissions import CLERK, IT_ADMIN
from tests.conftest import shared_start
from tests.factories.accounts import user_with_roles
from tests.interop.fhir.fake_servers import FakeServer, Reply
from tests.interop.fhir.house import EVERYBODY
from tests.interop.fhir.test_smart import KEYS

WRITES_ROW = re.compile(r"^\| (\w+) \| (yes|no) \| (yes|no) \|", re.MULTILINE)
TOPIC_ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \|", re.MULTILINE)


@pytest.fixture(scope="module", autouse=True)
def house(django_db_setup, django_db_blocker):
    with shared_start(django_db_blocker):
        hl7.allow_host("127.0.0.1", actor=SYSTEM)
        user_with_roles(CLERK, username="portal")
        yield


def browser(*roles):
    client = Client(HTTP_HOST="alpha.test")
    client.force_login(user_with_roles(*roles), backend="ris.accounts.backends.PasswordBackend")
    return client


@pytest.fixture
def admin(alpha):
    return browser(IT_ADMIN)


@pytest.fixture
def row(alpha):
    owner = user_with_roles(*EVERYBODY, username="owner")
    from ris.accounts.models import Role, User

    owner.roles.add(Role.objects.create(name="subscriber", label="S", permissions=["interop.subscribe"]))
    owner = User.objects.get(pk=owner.pk)
    made = subscribe_to(
        release="r4",
        criteria="ServiceRequest?status=active",
        reason="Portal of referrers",
        endpoint="http://127.0.0.1:9/hook",
        headers=["Authorization: Bearer s3cret"],
        actor=Actor("fhir", owner),
    )
    FhirNotification.objects.create(
        subscription=made, kind="event-notification", number=1, resource_type="ServiceRequest", status="parked"
    )
    return made


def test_a_program_is_registered_on_the_page(admin):
    from ris.accounts.models import User

    form = {
        "name": "Portal",
        "user": User.objects.get(username="portal").pk,
        "scopes": "system/Patient.rs, system/Nonsense.rs",
        "jwks": json.dumps(KEYS),
        "token_minutes": 5,
        "is_active": "on",
    }
    wrong = admin.post("/integrations/fhir/clients/add/", form)
    assert "system/Nonsense.rs is no scope that is known here." in wrong.content.decode()
    made = admin.post("/integrations/fhir/clients/add/", {**form, "scopes": "system/Patient.rs"}, follow=True)
    words = made.content.decode()
    row = SmartClient.objects.get()
    assert row.client_id in words and "http://alpha.test/fhir/auth/token" in words
    change = admin.post(f"/integrations/fhir/clients/{row.uuid}/", {**form, "scopes": "system/*.rs", "is_active": ""})
    row.refresh_from_db()
    assert (change.status_code, row.scopes, row.is_active) == (302, ["system/*.rs"], False)
    assert "Switched off" in admin.get("/integrations/fhir/").content.decode()


def test_a_server_is_kept_and_asked_on_the_page(admin):
    with FakeServer() as server:
        form = {
            "name": "hie",
            "base_url": server.url,
            "release": "r4",
            "resources": ["ImagingStudy"],
            "is_active": "on",
        }
        assert admin.post("/integrations/fhir/servers/add/", {**form, "token_url": server.url}).status_code == 200
        assert admin.post("/integrations/fhir/servers/add/", {**form, "token": "s3cret"}).status_code == 302
        row = FhirServer.objects.get()
        assert "Taken." in admin.post("/integrations/fhir/servers/add/", form).content.decode()
        server.otherwise = Reply(body=b'{"fhirVersion": "4.0.1"}')
        told = admin.post(f"/integrations/fhir/servers/{row.uuid}/test/", follow=True).content.decode()
        assert "speaks FHIR 4.0.1" in told and "s3cret" not in told
        page = admin.get(f"/integrations/fhir/servers/{row.uuid}/").content.decode()
        assert "s3cret" not in page
        changed = {**form, "resources": ["Patient", "ServiceRequest"]}
        assert admin.post(f"/integrations/fhir/servers/{row.uuid}/", changed).status_code == 302
        row.refresh_from_db()
        assert (row.queue.messages, row.token) == (["ServiceRequest", "Patient"], "s3cret")


def test_a_subscription_is_looked_after_on_the_page(admin, row):
    page = admin.get(f"/integrations/fhir/subscriptions/{row.uuid}/").content.decode()
    assert "Portal of referrers" in page and "ServiceRequest?status=active" in page and "s3cret" not in page
    card = subscription_cards(actor=SYSTEM)[0]
    assert (card.group, card.parked, card.tone) == ("FHIR", 1, "red")
    for verb, status, paused in (
        ("pause", "active", True),
        ("resume", "active", False),
        ("end", "off", False),
        ("begin", "active", False),
    ):
        assert admin.post(f"/integrations/fhir/subscriptions/{row.uuid}/{verb}/").status_code == 302
        row.refresh_from_db()
        assert (row.status, row.is_paused) == (status, paused)
    admin.post(f"/integrations/fhir/subscriptions/{row.uuid}/again/")
    assert FhirNotification.objects.get().status == "pending"
    assert admin.post(f"/integrations/fhir/subscriptions/{row.uuid}/burn/").status_code == 404
    clerk = browser(CLERK)
    assert clerk.get(f"/integrations/fhir/subscriptions/{row.uuid}/").status_code == 403
    assert clerk.get("/integrations/fhir/").status_code == 403
    assert admin.get("/integrations/").status_code == 200


def test_the_list_costs_a_fixed_number_of_queries(admin, row, django_assert_max_num_queries):
    admin.get("/integrations/fhir/")
    with django_assert_max_num_queries(40) as few:
        admin.get("/integrations/fhir/")
    for number in range(5):
        FhirSubscription.objects.create(
            release="r4", reason=f"R{number}", topic="order", endpoint="https://x.example", owner=row.owner
        )
    with django_assert_max_num_queries(len(few.captured_queries)):
        admin.get("/integrations/fhir/")


def test_rest_keeps_servers_programs_and_subscriptions(api, row):
    api.force_authenticate(user_with_roles(IT_ADMIN))
    made = api.post(
        "/api/v1/fhir-servers/",
        {"name": "hie", "base_url": "https://fhir.example.org/r4", "client_secret": "s3cret", "resources": ["Patient"]},
    )
    assert made.status_code == 201, made.content
    assert "s3cret" not in made.content.decode()
    url = f"/api/v1/fhir-servers/{made.json()['id']}/"
    changed = api.patch(url, {"release": "r5", "token": "t"}, headers={"If-Match": made["ETag"]})
    assert (changed.status_code, changed.json()["release"], changed.json()["resources"]) == (200, "r5", ["Patient"])
    assert api.patch(url, {"release": "r4"}, headers={"If-Match": made["ETag"]}).status_code == 412
    assert FhirServer.objects.get().client_secret == "s3cret"
    assert api.post(url + "test/").status_code in (409, 502)
    program = api.post(
        "/api/v1/smart-clients/", {"name": "P", "user": "portal", "scopes": ["system/Patient.rs"], "jwks": KEYS}
    )
    assert program.status_code == 201, program.content
    assert program.json()["client_id"].startswith("picha-")
    nobody = api.post("/api/v1/smart-clients/", {"name": "P", "user": "x", "scopes": ["system/Patient.rs"]})
    assert (nobody.status_code, list(nobody.json()["errors"])) == (400, ["user"])
    off = api.patch(f"/api/v1/smart-clients/{program.json()['id']}/", {"is_active": False})
    assert off.json()["is_active"] is False
    listed = api.get("/api/v1/fhir-subscriptions/?status=active").json()["results"]
    assert [(one["reason"], one["parked"]) for one in listed] == [("Portal of referrers", 1)]
    address = f"/api/v1/fhir-subscriptions/{row.uuid}/"
    for verb, key, value in (("pause", "is_paused", True), ("resume", "is_paused", False), ("end", "status", "off")):
        assert api.post(f"{address}{verb}/").json()[key] == value
    assert api.post(f"{address}begin/").json()["status"] == "active"
    assert api.post(f"{address}send-again/").status_code == 200
    api.force_authenticate(user_with_roles(CLERK))
    assert api.get(address).status_code == 403


def test_the_administration_registers_programs_and_shows_what_was_told(admin, row):
    from ris.accounts.models import User

    given = {
        "name": "Portal",
        "user": User.objects.get(username="portal").pk,
        "scopes": "system/Patient.rs",
        "jwks": json.dumps(KEYS),
        "token_minutes": 5,
        "is_active": "on",
    }
    assert admin.post("/admin/interop/smartclient/add/", given).status_code == 302
    client = SmartClient.objects.get()
    assert client.jwks == KEYS
    assert admin.get(f"/admin/interop/smartclient/{client.pk}/change/").status_code == 200
    for name in ("smartclient", "smartgrant", "fhirsubscription", "fhirnotification", "fhirserver"):
        assert admin.get(f"/admin/interop/{name}/").status_code == 200
    act = {"action": "do_pause_subscription", "_selected_action": [row.pk]}
    admin.post("/admin/interop/fhirsubscription/", act)
    row.refresh_from_db()
    assert row.is_paused


def test_the_document_names_what_is_written_and_told():
    told = (Path(__file__).parents[3] / "docs" / "fhir-writing.md").read_text()
    rows = {name: (create, change) for name, create, change in WRITES_ROW.findall(told)}
    for writer in WRITERS:
        create, change = rows.pop(writer.name)
        assert (create == "yes", change == "yes") == (writer.create is not None, writer.change is not None)
    assert not rows
    assert dict(TOPIC_ROW.findall(told)) == {topic.key: topic.resource for topic in TOPICS.values()}
