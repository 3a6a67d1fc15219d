"""A listener that nobody may call: entities, addresses that the facility has not named and redirects ask nobody."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from django.test import Client

from interop.fhir.servers import ask_fhir_server, save_fhir_server
from interop.fhir.smart.clients import register_client
from interop.models import FhirServer, Source
from interop.sources import services as sources
from ris.accounts.selectors import facility_settings
from ris.core.actor import SYSTEM
from ris.core.errors import DomainError
from ris.core.permissions import CLERK
from tests.factories.accounts import user_with_roles
from tests.interop.fhir.fake_servers import FakeServer, Reply
from tests.interop.fhir.house import XML, refusal
from tests.interop.fhir.test_smart import ask
from tests.interop.fhir.test_subscriptions import r4, subscriber
from tests.interop.fhir.writer import bundle, entry, person

pytestmark = pytest.mark.django_db
SUBSET = '<!DOCTYPE Patient [<!ENTITY x SYSTEM "{url}"><!ENTITY % y SYSTEM "{url}">%y;]>'
PATIENT = '<Patient xmlns="http://hl7.org/fhir"><name><family value="&x;"/></name></Patient>'

INCLUDE = '<name xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{url}"/>'


@pytest.fixture
def canary():
    with FakeServer() as server:
        yield server
        assert server.got == []


def allow(*hosts: str) -> None:
    row = facility_settings()
    row.allowed_hosts = list(hosts)
    row.save()


def test_nothing_that_is_sent_makes_us_ask_elsewhere(alpha, canary):
    fhir = subscriber()
    for body in (
        SUBSET.format(url=canary.url) + PATIENT,
        f'<!DOCTYPE Patient SYSTEM "{canary.url}">{PATIENT.replace("&x;", "x")}',
        f'<?xml-stylesheet href="{canary.url}"?>' + PATIENT,
        PATIENT.replace(
            "<name>", f'<name xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{canary.url}"/>'
        ),
    ):
        assert refusal(fhir.send("POST", "Patient", body, XML)).status == 400, body
    elsewhere = {"reference": f"{canary.url}/fhir/Patient/1"}
    exam = {"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": elsewhere}
    assert refusal(fhir.send("POST", "ServiceRequest", exam)).status in (400, 422)
    whole = bundle("transaction", entry("POST", f"{canary.url}/Patient", person()))
    assert refusal(fhir.send("POST", "", whole)).status == 400
    assert refusal(fhir.send("POST", "Subscription", r4(canary))).status == 409


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_addresses_of_this_machine_are_not_asked(alpha, canary, host):
    """Not when they are entered, and not when a row came in otherwise."""
    allow("elsewhere.example.org")
    url = f"http://{host}:{canary.port}"
    with pytest.raises(DomainError):
        ask_fhir_server(save_fhir_server(name="x", base_url=url, release="r4", actor=SYSTEM), actor=SYSTEM)
    server = save_fhir_server(name="y", base_url="http://elsewhere.example.org", actor=SYSTEM)
    FhirServer.objects.filter(pk=server.pk).update(base_url=url)
    server.refresh_from_db()
    with pytest.raises(DomainError):
        ask_fhir_server(server, actor=SYSTEM)
    with suppress(DomainError):
        sources.save_source(name="z", kind="redcap", config={"url": url}, secrets={"token": "t"}, actor=SYSTEM)
    source = Source.objects.filter(name="z").first() or Source.objects.create(
        name="z", kind="redcap", config={"url": url}, mapping=[]
    )
    for act in (sources.test_source, sources.preview):
        with pytest.raises(DomainError):
            act(source, actor=SYSTEM)


def test_redirects_lead_nowhere(alpha, canary):
    allow("127.0.0.1")
    with FakeServer() as allowed:
        allowed.otherwise = Reply(302, headers={"Location": canary.url + "/latest/meta-data/"})
        server = save_fhir_server(name="x", base_url=allowed.url, release="r4", actor=SYSTEM)
        with pytest.raises(DomainError):
            ask_fhir_server(server, actor=SYSTEM)
        source = sources.save_source(
            name="z", kind="redcap", config={"url": allowed.url}, secrets={"token": "t"}, actor=SYSTEM
        )
        with pytest.raises(DomainError):
            sources.preview(source, actor=SYSTEM)
        client = register_client(
            name="P", user=user_with_roles(CLERK), scopes=["system/Patient.rs"], jwks_url=allowed.url, actor=SYSTEM
        )
        assert ask(Client(HTTP_HOST="alpha.test"), client.client_id).status_code == 401
        assert len(allowed.got) == 3, json.dumps([one.path for one in allowed.got])
