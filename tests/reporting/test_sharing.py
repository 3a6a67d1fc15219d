"""Links for patients: the code, the embargo, the end, the log, and that nobody else gets in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from reporting import services
from reporting.models import Report, ShareAccess, ShareLink
from reporting.services.sharing import TRIES, end_share, new_share_code, share_report, url_of
from ris.accounts.models import FacilitySettings
from ris.audit.models import AuditEvent, Outcome
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.notifications.models import Notification
from ris.tenants.context import use_facility
from tests.factories.reporting import drafted, make_procedure, signed


@pytest.fixture
def report(people: Any) -> Report:
    FacilitySettings.objects.update(share_embargo_hours=0)
    return signed(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)


@pytest.fixture
def visitor(alpha: Any) -> Client:
    return Client(HTTP_HOST="alpha.test")


def open_with(visitor: Client, link: ShareLink, code: str) -> Any:
    return visitor.post(url_of(link), {"code": code}, follow=True)


def test_the_code_opens_the_newest_version_and_each_visit_is_noted(people, report, visitor):
    new = share_report(report, recipient="The patient", actor=people.clerk)
    address = url_of(new.link)
    assert b"No acute abnormality" not in visitor.get(address).content
    page = open_with(visitor, new.link, f"{new.code[:4]} {new.code[4:]}")
    assert b"No acute abnormality" in page.content
    assert visitor.get(f"{address}pdf/").content.startswith(b"%PDF")
    services.correct_report(
        report, sections={"impression": "A small nodule."}, reason="Seen later", actor=people.radiologist
    )
    assert b"A small nodule" in visitor.get(address).content
    assert [row.outcome for row in ShareAccess.objects.order_by("pk")] == ["opened", "printed", "opened"]
    assert Client(HTTP_HOST="alpha.test").get(f"{address}pdf/").status_code == 302


def test_the_address_holds_nothing_and_is_worth_nothing_elsewhere(people, report, visitor, beta):
    new = share_report(report, recipient="The patient", actor=people.clerk)
    patient = report.patient
    for secret in (patient.family_name, new.code, str(report.uuid), report.accession_number):
        assert secret.lower() not in url_of(new.link).lower()
    with use_facility(beta):
        assert Client(HTTP_HOST="beta.test").get(url_of(new.link)).status_code == 404
    assert visitor.get("/share/forged/").status_code == 404
    assert b"OTIENO" not in visitor.get("/share/forged/").content


def test_wrong_codes_close_it_until_there_is_a_new_one(people, report, visitor):
    new = share_report(report, recipient="The patient", actor=people.clerk)
    for _ in range(TRIES):
        assert visitor.post(url_of(new.link), {"code": "00000000"}).status_code == 403
    assert visitor.post(url_of(new.link), {"code": new.code}).status_code == 403
    assert ShareAccess.objects.filter(outcome="wrong_code").count() == TRIES
    rows = AuditEvent.objects.filter(event_type="reporting.open_share", outcome=Outcome.REFUSED)
    assert (rows.count(), set(rows.values_list("address", flat=True))) == (TRIES + 1, {"127.0.0.1"})
    again = new_share_code(new.link, actor=people.clerk)
    assert visitor.post(url_of(new.link), {"code": new.code}).status_code == 403
    assert b"No acute abnormality" in open_with(visitor, new.link, again.code).content


def test_the_doctors_have_their_time_first(people, report, visitor):
    FacilitySettings.objects.update(share_embargo_hours=24)
    new = share_report(report, recipient="The patient", actor=people.clerk)
    assert visitor.get(url_of(new.link)).status_code == 403
    ShareLink.objects.update(opens_at=timezone.now())
    assert visitor.get(url_of(new.link)).status_code == 403


def test_they_have_it_with_what_is_added_and_corrected_too(people, report, visitor, monkeypatch):
    new = share_report(report, recipient="The patient", actor=people.clerk)
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(days=2))
    FacilitySettings.objects.update(share_embargo_hours=24)
    open_with(visitor, new.link, new.code)
    services.add_addendum(report, text="A second look: fibrosis.", actor=people.radiologist)
    page = visitor.get(url_of(new.link)).content
    assert b"No acute abnormality" in page and b"fibrosis" not in page
    services.correct_report(report, sections={"impression": "A nodule."}, reason="Seen later", actor=people.radiologist)
    page = visitor.get(url_of(new.link))
    assert (page.status_code, b"nodule" in page.content, b"No acute" in page.content) == (403, False, False)
    FacilitySettings.objects.update(share_embargo_hours=0)
    page = visitor.get(url_of(new.link)).content
    assert b"A nodule." in page and b"fibrosis" in page


@pytest.mark.parametrize("how", ["ended", "expired", "retracted"])
def test_it_ends(people, report, visitor, how):
    new = share_report(report, recipient="The patient", actor=people.clerk)
    open_with(visitor, new.link, new.code)
    if how == "ended":
        end_share(new.link, reason="Sent to the wrong phone", actor=people.clerk)
    elif how == "expired":
        ShareLink.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    else:
        services.retract_report(report, reason="Another patient", actor=people.radiologist)
    page = visitor.get(url_of(new.link))
    assert (page.status_code, b"No acute abnormality" in page.content) == (410, False)


def test_a_new_code_asks_again_who_is_in_already(people, report, visitor):
    new = share_report(report, recipient="The patient", actor=people.clerk)
    open_with(visitor, new.link, new.code)
    new_share_code(new.link, actor=people.clerk)
    assert b"No acute abnormality" not in visitor.get(url_of(new.link)).content


def test_what_cannot_be_shared_is_refused_in_words(people, report):
    with pytest.raises(InvalidTransition):
        share_report(drafted(actor=people.radiologist), recipient="The patient", actor=people.clerk)
    for wrong in ({"recipient": " "}, {"days": 0}, {"days": 999}, {"send_to": "0700"}, {"channel": "in_app"}):
        with pytest.raises(InvalidData):
            share_report(report, **{"recipient": "The patient", **wrong}, actor=people.clerk)
    with pytest.raises(NotPermitted):
        share_report(report, recipient="The patient", actor=people.resident)
    with pytest.raises(InvalidData):
        end_share(share_report(report, recipient="x", actor=people.clerk).link, reason=" ", actor=people.clerk)


def test_the_message_names_nobody(people, report):
    new = share_report(report, recipient="Achieng", send_to="0712000111", channel="sms", actor=people.clerk)
    row = Notification.objects.get(template="reporting.report_shared")
    assert (row.url, row.context) == (url_of(new.link), {})
    assert new.code not in str(vars(row))


def test_the_staffs_page_shows_the_code_once_and_the_visits(people, report):
    clerk = Client(HTTP_HOST="alpha.test")
    clerk.force_login(people.clerk.user)
    address = f"/reports/{report.uuid}/share/"
    page = clerk.post(address, {"recipient": "The patient", "days": "7", "channel": "", "send_to": ""})
    code = page.context["new"].code
    assert code.encode() in page.content
    assert code.encode() not in clerk.get(address).content
    link = ShareLink.objects.get()
    clerk.post(f"/share-links/{link.uuid}/end/", {"reason": "Lost"})
    link.refresh_from_db()
    assert link.revoked_reason == "Lost"
    stranger = Client(HTTP_HOST="alpha.test")
    stranger.force_login(people.resident.user)
    assert stranger.get(address).status_code == 403


def test_programs_share_and_end(people, report, api):
    api.force_authenticate(people.clerk.user)
    made = api.post("/api/v1/share-links/", {"report": str(report.uuid), "recipient": "The patient"}, format="json")
    assert made.status_code == 201, made.json()
    assert len(made.json()["code"]) == 8
    address = f"/api/v1/share-links/{made.json()['uuid']}/"
    assert "code" not in api.get(address).json()
    assert len(api.post(f"{address}new-code/", {}, format="json").json()["code"]) == 8
    assert api.post(f"{address}end/", {"reason": "Lost"}, format="json").json()["is_live"] is False
