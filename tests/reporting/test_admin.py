"""The second door: using only /admin/ a radiologist writes and signs; versions are read-only; nothing is deleted."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import Client

from interop.hl7.services import add_destination
from reporting import services
from reporting.models import CriticalResult, DeliveryRule, Report, ReportDelivery, ReportTemplate, ReportVersion
from ris.core.actor import SYSTEM
from tests.factories.accounts import PASSWORD, actor_with_roles
from tests.factories.reporting import drafted, make_procedure, signed

pytestmark = pytest.mark.django_db


def door(user: Any, *, minutes_ago: int = 0) -> Client:
    client = Client(HTTP_HOST="alpha.test", HTTP_ACCEPT="text/html")
    client.force_login(user, backend="ris.accounts.backends.PasswordBackend")
    session = client.session
    session["authenticated_at"], session["seen_at"] = time.time() - minutes_ago * 60, time.time()
    session.save()
    return client


@pytest.fixture
def desk(people: Any) -> Client:
    return door(people.radiologist.user)


def act(client: Client, model: str, name: str, row: Any, **data: Any) -> Any:
    body = {"action": name, "_selected_action": row.pk, "_confirmed": "1", **data}
    return client.post(f"/admin/reporting/{model}/", body)


def inlines(*prefixes: str) -> dict[str, str]:
    return {f"{name}-{part}_FORMS": "0" for name in prefixes for part in ("TOTAL", "INITIAL")}


def test_a_radiologist_writes_and_signs_in_the_administration(people: Any, desk: Client) -> None:
    procedure = make_procedure()
    assert desk.get("/admin/reporting/report/add/").status_code == 200
    made = desk.post("/admin/reporting/report/add/", {"procedures": [procedure.pk], "section_findings": "Clear."})
    assert made.status_code == 302
    report = Report.objects.get()
    assert (report.sections["findings"], report.author) == ("Clear.", people.radiologist.user)
    change = f"/admin/reporting/report/{report.pk}/change/"
    assert "section_impression" in desk.get(change).content.decode()
    sent = {"section_findings": "Clear.", "section_impression": "Normal.", "revision": report.revision}
    management = inlines("versions", "deliveries")
    assert desk.post(change, {**sent, **management}).status_code == 302
    report.refresh_from_db()
    assert report.sections["impression"] == "Normal."
    stale = desk.post(change, {**sent, "section_impression": "Other.", "revision": 0, **management})
    assert stale.status_code == 409 and "has saved this report" in stale.content.decode()
    act(desk, "report", "do_sign_report", report)
    report.refresh_from_db()
    assert (report.status, report.signed_by) == ("final", people.radiologist.user)
    page = desk.get(change).content.decode()
    assert "Normal." in page and 'name="section_impression"' not in page
    act(desk, "report", "do_add_addendum", report, text="More.")
    act(desk, "report", "do_correct_section", report, section="impression", text="21 mm.", reason="Size")
    act(desk, "report", "do_retract_report", report, reason="Wrong patient")
    assert list(report.versions.values_list("kind", flat=True)) == ["final", "addendum", "correction", "retraction"]


def test_signing_in_the_administration_asks_who_is_there(people: Any) -> None:
    client = door(people.radiologist.user, minutes_ago=120)
    report = drafted(actor=people.radiologist)
    act(client, "report", "do_sign_report", report)
    assert Report.objects.get().status == "partial"
    act(client, "report", "do_sign_report", report, password=PASSWORD)
    assert Report.objects.get().status == "final"


def test_what_is_refused_is_said(people: Any, desk: Client) -> None:
    report = drafted(actor=people.radiologist, impression="")
    answer = act(desk, "report", "do_sign_report", report)
    assert answer.status_code == 302
    assert "impression is empty" in desk.get("/admin/reporting/report/").content.decode()


def test_versions_are_read_and_never_changed(people: Any, desk: Client) -> None:
    version = signed(actor=people.radiologist).versions.get()
    base = f"/admin/reporting/reportversion/{version.pk}/"
    assert desk.get("/admin/reporting/reportversion/").status_code == 200
    assert desk.get(base + "change/").status_code == 200
    assert desk.post(base + "change/", {"addendum": "x"}).status_code == 403
    assert desk.post(base + "delete/", {"post": "yes"}).status_code == 403
    assert desk.get("/admin/reporting/reportversion/add/").status_code == 403
    assert ReportVersion.objects.get().addendum == ""


def test_reports_have_a_history_and_are_not_deleted(people: Any, desk: Client) -> None:
    report = signed(actor=people.radiologist)
    assert "Signed" in desk.get(f"/admin/reporting/report/{report.pk}/history/").content.decode()
    assert desk.post(f"/admin/reporting/report/{report.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_critical_result_is_raised_and_told_in_the_administration(people: Any, desk: Client) -> None:
    procedure = make_procedure()
    desk.post(
        "/admin/reporting/criticalresult/add/",
        {"procedure": procedure.pk, "category": 1, "finding": "Bleed", **inlines("attempts")},
    )
    critical = CriticalResult.objects.get()
    said = {"person": "Sr. Njoki", "channel": "phone", "outcome": "reached", "read_back": "on"}
    act(desk, "criticalresult", "do_log_contact", critical, **said)
    assert CriticalResult.objects.get().status == "communicated"
    assert desk.get(f"/admin/reporting/criticalresult/{critical.pk}/change/").status_code == 200


def test_templates_rules_and_deliveries(people: Any, desk: Client) -> None:
    body = {"name": "CT sinuses", "language": "en", "section_findings": "Clear.", "is_active": "on"}
    desk.post("/admin/reporting/reporttemplate/add/", body)
    assert ReportTemplate.objects.get(name="CT sinuses").sections == {"findings": "Clear."}
    it = door(actor_with_roles("it_admin").user)
    add_destination(name="HIS", host="192.0.2.1", port=2575, messages=["ADT"], actor=SYSTEM)
    page = it.get("/admin/reporting/deliveryrule/add/").content.decode()
    assert "HL7 ORU" in page and "E-mail" in page
    it.post("/admin/reporting/deliveryrule/add/", {"channel": "hl7", "destination": "HIS", "is_active": "on"})
    assert DeliveryRule.objects.get().destination == "HIS"
    signed(actor=people.radiologist)
    line = ReportDelivery.objects.get(channel="hl7")
    clerk = door(people.clerk.user)
    assert clerk.get("/admin/reporting/reportdelivery/").status_code == 200
    clerk.post(
        "/admin/reporting/reportdelivery/", {"action": "do_mark_delivery_acknowledged", "_selected_action": line.pk}
    )
    assert ReportDelivery.objects.get(pk=line.pk).status == "acknowledged"
    assert it.get("/admin/reporting/report/").status_code == 403


def test_every_list_opens(people: Any, desk: Client) -> None:
    report = drafted(actor=people.radiologist)
    services.raise_critical_result(report.first_procedure, category=1, finding="x", actor=people.radiologist)
    services.save_macro(code="nad", words="No abnormality.", actor=people.radiologist)
    for model in (
        "report", "reportversion", "reporttemplate", "macro", "criticalresult", "contactattempt", "reportdelivery",
        "readinglock", "savedlist",
    ):  # fmt: skip
        assert desk.get(f"/admin/reporting/{model}/").status_code == 200, model
