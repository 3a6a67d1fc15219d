"""A result passed on to a colleague: who sees it, who must read it, and how it comes back."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from reporting import services
from reporting.models import ReportDelivery
from reporting.selectors.results import inbox
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from tests.factories.reporting import make_procedure, make_referrer, signed


@pytest.fixture
def line(people: Any) -> ReportDelivery:
    report = signed(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    return ReportDelivery.objects.get(report=report, recipient=people.referrer.practitioner)


@pytest.fixture
def colleague(people: Any) -> Any:
    return make_referrer()


def boxes(actor: Any) -> dict[str, int]:
    return {box: inbox(actor=actor, box=box).count() for box in ("unread", "delegated", "read")}


def test_the_colleague_reads_it_in_ones_place(people, line, colleague):
    mine = people.referrer.actor
    assert boxes(colleague.actor) == {"unread": 0, "delegated": 0, "read": 0}
    passed, theirs = services.delegate_result(line, to=colleague.practitioner, note="On leave", actor=mine)
    assert boxes(mine) == {"unread": 0, "delegated": 1, "read": 0}
    assert boxes(colleague.actor) == {"unread": 1, "delegated": 0, "read": 0}
    assert (passed.is_mandatory, theirs.is_mandatory) == (False, True)
    procedure = line.report.first_procedure
    services.acknowledge_result(theirs, actor=colleague.actor)
    procedure.refresh_from_db()
    assert procedure.status == "distributed"


def test_it_can_be_taken_back_until_it_is_read(people, line, colleague):
    mine = people.referrer.actor
    _passed, theirs = services.delegate_result(line, to=colleague.practitioner, actor=mine)
    services.take_back_result(line, actor=mine)
    assert boxes(mine)["unread"] == 1
    line.refresh_from_db()
    theirs.refresh_from_db()
    assert (line.is_mandatory, theirs.is_mandatory) == (True, False)
    services.delegate_result(line, to=colleague.practitioner, actor=mine)
    theirs.refresh_from_db()
    assert theirs.is_mandatory is True
    services.acknowledge_result(theirs, actor=colleague.actor)
    with pytest.raises(InvalidTransition):
        services.take_back_result(line, actor=mine)


def test_refusals(people, line, colleague):
    mine = people.referrer.actor
    with pytest.raises(NotPermitted):
        services.delegate_result(line, to=colleague.practitioner, actor=colleague.actor)
    with pytest.raises(InvalidData):
        services.delegate_result(line, to=people.referrer.practitioner, actor=mine)
    with pytest.raises(InvalidData):
        services.delegate_result(line, to=make_referrer(signs_in=False).practitioner, actor=mine)
    with pytest.raises(InvalidTransition):
        services.take_back_result(line, actor=mine)
    services.acknowledge_result(line, actor=mine)
    with pytest.raises(InvalidTransition):
        services.delegate_result(line, to=colleague.practitioner, actor=mine)


def test_a_newer_version_comes_to_both(people, line, colleague):
    mine = people.referrer.actor
    services.delegate_result(line, to=colleague.practitioner, actor=mine)
    services.correct_report(
        line.report, sections={"impression": "A nodule."}, reason="Seen later", actor=people.radiologist
    )
    assert boxes(mine)["unread"] == 1
    assert boxes(colleague.actor)["unread"] == 1


def test_the_page_and_the_program(people, line, colleague, api):
    browser = Client(HTTP_HOST="alpha.test")
    browser.force_login(people.referrer.actor.user)
    address = f"/results/{line.uuid}/"
    assert colleague.practitioner.display_name in browser.get(address).content.decode()
    posted = {"to": str(colleague.practitioner.uuid), "note": "On leave"}
    assert browser.post(f"{address}delegate/", posted).status_code == 302
    assert b"On leave" in browser.get(address).content
    assert b"Passed on" in browser.get("/results/?box=delegated").content
    assert browser.post(f"{address}delegate/", {"take_back": "1"}).status_code == 302
    assert browser.post(f"{address}delegate/", {"to": "nobody"}).status_code in (400, 422)
    api.force_authenticate(people.referrer.actor.user)
    rest = f"/api/v1/deliveries/{line.uuid}/"
    passed = api.post(f"{rest}delegate/", posted, format="json")
    assert (passed.status_code, passed.json()["delegated_to"]) == (200, posted["to"])
    assert api.post(f"{rest}take-back/", {}, format="json").json()["delegated_to"] is None
