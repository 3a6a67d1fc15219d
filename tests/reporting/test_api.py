"""REST: reports opened, written, signed and amended; critical results; deliveries; the list; analytics."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from orders.models import RequestedProcedure
from reporting import services
from reporting.models import Report, ReportDelivery, ReportTemplate, ReportVersion
from ris.accounts import tokens
from ris.accounts.models import AccessToken
from ris.tenants.context import use_facility
from tests.factories.accounts import PASSWORD, actor_with_roles
from tests.factories.reporting import SECTIONS, drafted, make_procedure, make_referrer, signed

pytestmark = pytest.mark.django_db


def client_of(actor: Any, *, minutes_ago: int = 0) -> APIClient:
    """A REST client with a bearer token of this person."""
    secret = tokens.new_token()
    AccessToken.objects.create(
        user=actor.user,
        digest=tokens.digest(secret),
        expires_at=timezone.now() + timedelta(hours=1),
        authenticated_at=timezone.now() - timedelta(minutes=minutes_ago),
    )
    client = APIClient(HTTP_HOST="alpha.test")
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def reader(people: Any) -> APIClient:
    return client_of(people.radiologist)


def url(row: Any, verb: str = "") -> str:
    return f"/api/v1/reports/{row.uuid}/{verb}"


def test_a_report_goes_all_the_way(people: Any, reader: APIClient) -> None:
    procedure = make_procedure(requester=people.referrer.practitioner)
    made = reader.post("/api/v1/reports/", {"procedures": [str(procedure.uuid)]})
    assert made.status_code == 201
    body = made.json()
    assert (body["procedures"], body["status"], body["versions"]) == ([str(procedure.uuid)], "registered", [])
    address = f"/api/v1/reports/{body['id']}/"
    assert made["Location"].endswith(address)
    written = reader.patch(address, {"sections": SECTIONS, "revision": 0}, HTTP_IF_MATCH=made["ETag"])
    assert (written.status_code, written.json()["status"], written.json()["revision"]) == (200, "partial", 1)
    preliminary = reader.post(address + "sign-preliminary/").json()
    assert preliminary["status"] == "preliminary"
    final = reader.post(address + "sign/", {}).json()
    assert (final["status"], [row["kind"] for row in final["versions"]]) == ("final", ["preliminary", "final"])
    assert SECTIONS.items() <= final["versions"][1]["sections"].items()
    appended = reader.post(address + "addendum/", {"text": "More."}).json()
    assert (appended["status"], appended["versions"][-1]["addendum"]) == ("appended", "More.")
    corrected = reader.post(address + "correct/", {"sections": {"impression": "Other."}, "reason": "Typo"}).json()
    assert (corrected["status"], corrected["sections"]["impression"]) == ("corrected", "Other.")
    assert [row["number"] for row in reader.get(address + "versions/").json()] == [1, 2, 3, 4]
    assert SECTIONS.items() <= reader.get(address + "versions/2/").json()["sections"].items()
    assert reader.get(address + "versions/9/").status_code == 404
    assert reader.post(address + "retract/", {"reason": "Wrong patient"}).json()["status"] == "entered-in-error"


def test_opening_again_is_200_and_another_readers_is_409(people: Any, reader: APIClient) -> None:
    procedure = make_procedure()
    body = {"procedures": [str(procedure.uuid)], "sections": SECTIONS}
    first = reader.post("/api/v1/reports/", body)
    assert first.json()["sections"]["findings"] == SECTIONS["findings"]
    again = reader.post("/api/v1/reports/", {"procedures": [str(procedure.uuid)]})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    other = client_of(people.other).post("/api/v1/reports/", {"procedures": [str(procedure.uuid)]})
    assert (other.status_code, other.json()["type"]) == (409, "urn:picha:problem:held_by_another")
    taken = client_of(people.other).post(url(Report.objects.get(), "take-over/"), {"reason": "Shift"})
    assert taken.status_code == 200


def test_stale_writes_are_refused(people: Any, reader: APIClient) -> None:
    report = drafted(actor=people.radiologist)
    stale = reader.patch(url(report), {"sections": {"findings": "x"}, "revision": 0})
    assert (stale.status_code, stale.json()["errors"]["revision"]) == (409, 1)
    assert reader.patch(url(report), {"sections": {"findings": "x"}}, HTTP_IF_MATCH='"old"').status_code == 412
    unknown = reader.patch(url(report), {"sections": {"secrets": "x"}})
    assert (unknown.status_code, list(unknown.json()["errors"])) == (400, ["secrets"])


def test_a_signed_version_never_changes(people: Any, reader: APIClient) -> None:
    report = signed(actor=people.radiologist)
    assert reader.patch(url(report), {"sections": {"findings": "x"}}).status_code == 409
    assert reader.put(url(report), {"sections": {}}).status_code == 405
    assert reader.delete(url(report)).status_code == 405
    for method in (reader.put, reader.patch, reader.delete):
        assert method(url(report, "versions/1/"), {"addendum": "x"}).status_code == 405
    again = reader.post(url(report, "sign/"), {})
    assert (again.status_code, "Wekesa" in again.json()["detail"]) == (409, True)
    assert SECTIONS.items() <= ReportVersion.objects.get().sections.items()


def test_signing_without_an_impression_names_it(people: Any, reader: APIClient) -> None:
    report = drafted(actor=people.radiologist, impression="")
    answer = reader.post(url(report, "sign/"), {})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:picha:problem:checks_failed")
    assert list(answer.json()["errors"]) == ["impression"]
    assert [row["code"] for row in reader.get(url(report, "checks/")).json()] == ["empty_impression"]


def test_an_old_token_proves_who_is_there_first(people: Any) -> None:
    client = client_of(people.radiologist, minutes_ago=120)
    report = drafted(actor=people.radiologist)
    refused = client.post(url(report, "sign/"), {})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:picha:problem:reauthentication_required")
    assert client.post(url(report, "sign/"), {"password": PASSWORD}).json()["status"] == "final"


def test_who_may_not_sign_is_refused(people: Any) -> None:
    report = drafted(actor=people.resident)
    assert client_of(people.resident).post(url(report, "sign/"), {}).status_code == 403
    assert client_of(people.clerk).patch(url(report), {"sections": {}}).status_code == 403
    assert APIClient(HTTP_HOST="alpha.test").get("/api/v1/reports/").status_code == 401


def test_the_pdf_comes_over_rest(people: Any, reader: APIClient) -> None:
    report = signed(actor=people.radiologist)
    answer = reader.get(url(report, "pdf/"), HTTP_ACCEPT="application/pdf")
    assert answer["Content-Type"] == "application/pdf" and answer.content.startswith(b"%PDF")
    assert reader.get(url(report, "pdf/")).content.startswith(b"%PDF")
    draft = drafted(actor=people.radiologist)
    assert reader.get(url(draft, "pdf/")).status_code == 404


def test_a_referrer_reads_what_was_signed_of_own_patients(people: Any) -> None:
    client = client_of(people.referrer.actor)
    report = signed(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    drafted(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    signed(make_procedure(requester=make_referrer().practitioner), actor=people.other)
    listed = client.get("/api/v1/reports/").json()["results"]
    assert [row["id"] for row in listed] == [str(report.uuid)]
    Report.objects.filter(pk=report.pk).update(sections={"findings": "not signed"})
    assert SECTIONS.items() <= client.get(url(report)).json()["sections"].items()


def test_deliveries_are_listed_opened_acknowledged_and_sent_again(people: Any) -> None:
    procedure = make_procedure(requester=people.referrer.practitioner)
    signed(procedure, actor=people.radiologist)
    line = ReportDelivery.objects.get()
    own, desk = client_of(people.referrer.actor), client_of(people.clerk)
    address = f"/api/v1/deliveries/{line.uuid}/"
    assert desk.get("/api/v1/deliveries/?status=sent").json()["results"][0]["id"] == str(line.uuid)
    assert desk.get(address).json()["status"] == "sent"
    assert own.get(address).json()["status"] == "opened"
    assert desk.post(address + "send-again/").status_code == 200
    assert client_of(people.resident).post(address + "acknowledge/").status_code == 403
    assert own.post(address + "acknowledge/").json()["status"] == "acknowledged"
    assert RequestedProcedure.objects.get(pk=procedure.pk).status == "distributed"


def test_critical_results_over_rest(people: Any, reader: APIClient) -> None:
    procedure = make_procedure(requester=people.referrer.practitioner)
    body = {"procedure": str(procedure.uuid), "category": 1, "finding": "Tension pneumothorax"}
    made = reader.post("/api/v1/critical-results/", body)
    assert (made.status_code, made.json()["status"]) == (201, "open")
    address = f"/api/v1/critical-results/{made.json()['id']}/"
    call = {"channel": "phone", "person": "Sr. Njoki", "outcome": "reached", "read_back": True}
    assert reader.post(address + "escalate/").json()["escalation_level"] == 1
    assert reader.post(address + "log-contact/", call).json()["status"] == "communicated"
    assert reader.post(address + "log-contact/", {**call, "channel": "pigeon"}).status_code == 400
    assert client_of(people.referrer.actor).post(address + "acknowledge/").json()["status"] == "acknowledged"
    assert reader.post(address + "withdraw/", {"reason": "x"}).status_code == 409
    assert reader.post(address + "close/").json()["status"] == "closed"
    assert (
        reader.post("/api/v1/critical-results/", {**body, "procedure": str(people.clerk.user.uuid)}).status_code == 400
    )


def test_templates_are_managed_over_rest(people: Any, reader: APIClient) -> None:
    body = {"name": "CT sinuses", "modality": "CT", "sections": {"findings": "Clear."}}
    made = reader.post("/api/v1/report-templates/", body)
    assert made.status_code == 201
    assert reader.post("/api/v1/report-templates/", body).status_code == 409
    address = f"/api/v1/report-templates/{made.json()['id']}/"
    assert reader.patch(address, {"is_active": False}).json()["is_active"] is False
    assert reader.delete(address).status_code == 405
    assert client_of(people.resident).post("/api/v1/report-templates/", body).status_code == 403
    assert ReportTemplate.objects.get(name="CT sinuses").history.count() == 2


def test_the_reading_list_is_due_first_with_a_cursor(people: Any, reader: APIClient) -> None:
    make_procedure(minutes_ago=10)
    late = make_procedure(priority="stat", minutes_ago=60, images=5)
    first = reader.get("/api/v1/reading-list/?page_size=1").json()
    row = first["results"][0]
    assert (row["accession_number"], row["image_count"], row["minutes_left"] < 0) == (late.accession_number, 5, True)
    following = reader.get(first["next"]).json()
    assert (len(following["results"]), following["next"]) == (1, None)
    assert reader.get("/api/v1/reading-list/?modality=MR").json()["results"] == []


def test_analytics_over_rest(people: Any, reader: APIClient) -> None:
    signed(make_procedure(minutes_ago=30), actor=people.radiologist)
    body = reader.get("/api/v1/analytics/?days=7").json()
    steps = {row["step"]: row for row in body["turnaround"]}
    assert steps["images_to_report"]["count"] == 1
    assert 29 <= steps["images_to_report"]["median_minutes"] <= 32
    assert steps["images_to_report_routine"]["percent_within_goal"] == 100
    assert body["volumes"][0]["modality"] == "CT"
    assert reader.get("/api/v1/analytics/?days=0").status_code == 400


def test_lists_cost_the_same_for_many(people: Any, reader: APIClient) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def cost(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert reader.get(address).status_code == 200
        return len(queries)

    addresses = ("/api/v1/reports/", "/api/v1/deliveries/", "/api/v1/critical-results/", "/api/v1/reading-list/")

    def fill(number: int) -> None:
        for _ in range(number):
            report = signed(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
            services.raise_critical_result(
                report.first_procedure, category=3, finding="x", report=report, actor=people.radiologist
            )
            make_procedure()

    fill(2)
    reader.get(addresses[0])  # what is asked once and then kept
    few = {address: cost(address) for address in addresses}
    fill(6)
    assert {address: cost(address) for address in addresses} == few


def test_another_facilitys_ids_are_unknown(people: Any, reader: APIClient, beta: Any) -> None:
    with use_facility(beta):
        actor = actor_with_roles("radiologist")
        procedure = make_procedure(requester=make_referrer().practitioner)
        report = signed(procedure, actor=actor)
        line = ReportDelivery.objects.get()
        critical = services.raise_critical_result(procedure, category=1, finding="x", actor=actor)
    for address in (
        url(report), url(report, "pdf/"), url(report, "versions/"), url(report, "checks/"),
        f"/api/v1/deliveries/{line.uuid}/", f"/api/v1/critical-results/{critical.uuid}/",
    ):  # fmt: skip
        assert reader.get(address).status_code == 404, address
    for verb in ("sign/", "sign-preliminary/", "release/", "heartbeat/"):
        assert reader.post(url(report, verb), {}).status_code == 404
    assert reader.post("/api/v1/reports/", {"procedures": [str(procedure.uuid)]}).status_code == 400
