"""The dose pages, REST and the panels."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from dose import services
from dose.models import DoseReport, DoseTrigger, ReferenceLevel, TriggerLevel
from ris.core.actor import SYSTEM, Actor
from ris.core.permissions import CLERK, IT_ADMIN, PHYSICIST, RADIOLOGIST, TECHNOLOGIST
from ris.tenants.context import use_facility
from tests.conftest import shared_start
from tests.dose.test_services import of
from tests.factories.accounts import user_with_roles
from tests.factories.dose import ct_event
from tests.factories.worklist import ct_procedure, make_station

pytestmark = pytest.mark.django_db
STORAGE = Actor("storage", ae_title="CT1")


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker):
    """21 heads at CT1, three at CT2, today; once for the module."""
    with shared_start(django_db_blocker):
        today = {"ContentDate": f"{timezone.localdate():%Y%m%d}", "ContentTime": "000100"}
        TriggerLevel.objects.create(modality="CT", quantity="dlp", limit=1500, unit="mGy.cm")
        found = []
        for name in ("CT1", "CT2", "CT3"):
            make_station(name)
        for number in range(24):
            procedure = ct_procedure()
            fields = {**today, "StationName": "CT1" if number < 21 else "CT2"}
            dataset = of(procedure, ct_event(800 + 40 * number), **fields)
            found.append(services.import_dose_report(dataset, actor=STORAGE).pk)
        procedure.catalogue.body_region = "head"
        procedure.catalogue.save_as(SYSTEM, "test")
        yield found


@pytest.fixture
def exams(filled, alpha):
    rows = DoseReport.objects.select_related("procedure__catalogue", "procedure__order__patient").in_bulk(filled)
    return [rows[pk] for pk in filled]


def sign_in(client, *roles):
    client.force_login(user_with_roles(*roles), backend="ris.accounts.backends.PasswordBackend")
    return client


def test_the_dashboard_compares_medians_with_a_level(tclient, exams):
    stroke = ReferenceLevel.objects.get(authority="UK", exam="Head, acute stroke", quantity="dlp")
    words = sign_in(tclient, PHYSICIST).get(f"/dose/?level={stroke.uuid}").content.decode()
    assert "Median above level" in words and "Not enough data (3/20)" in words
    assert "1\u2009200" in words and "gov.uk" in words and "svgc" in words and 'style="' not in words
    suggested = tclient.get("/dose/").content.decode()
    assert "Ethiopia" in suggested and "Quoted at second hand" not in suggested
    none = tclient.get("/dose/?level=none").content.decode()
    assert "No level chosen" in none
    chosen = ReferenceLevel.objects.get(authority="Kenya", exam="Head", quantity="dlp")
    assert "Below level" in tclient.get(f"/dose/?level={chosen.uuid}").content.decode()
    for tab in ("DX", "MG", "RF", "NM", "nonsense"):
        assert tclient.get(f"/dose/?tab={tab}&days=abc&quantity=x&exam=y&level=z").status_code == 200
    assert sign_in(tclient, CLERK).get("/dose/").status_code == 403


def test_the_dashboard_costs_a_fixed_number_of_queries(tclient, exams, django_assert_max_num_queries):
    sign_in(tclient, PHYSICIST)
    tclient.get("/dose/")
    with django_assert_max_num_queries(60) as first:
        tclient.get("/dose/")
    procedure = ct_procedure()
    services.import_dose_report(of(procedure, ct_event(1900), StationName="CT3"), actor=STORAGE)
    with django_assert_max_num_queries(len(first.captured_queries)):
        tclient.get("/dose/")


def test_a_report_is_shown_explained_linked_and_unlinked(tclient, exams):
    report, trigger = exams[-1], DoseTrigger.objects.order_by("-pk").first()
    client = sign_in(tclient, PHYSICIST)
    page = client.get(reverse("dose_report", args=[report.uuid])).content.decode()
    assert "1720" in page and "CHEST" in page
    client.post(reverse("dose_trigger_explain", args=[trigger.uuid]), {"explanation": "large patient"})
    trigger.refresh_from_db()
    assert trigger.explanation == "large patient"
    client.post(reverse("dose_report_unlink", args=[report.uuid]), {"reason": "another exam"})
    report.refresh_from_db()
    assert report.procedure is None
    assert "Waiting for their exam" in client.get("/dose/").content.decode()
    refused = client.post(reverse("dose_report_link", args=[report.uuid]), {"accession_number": "NOPE"})
    assert refused.status_code == 404
    accession = exams[0].procedure.accession_number
    client.post(reverse("dose_report_link", args=[report.uuid]), {"accession_number": accession})
    report.refresh_from_db()
    assert report.procedure == exams[0].procedure


def test_rest(api, exams, beta):
    api.force_authenticate(user_with_roles(PHYSICIST))
    answer = api.get("/api/v1/dose-reports/?page_size=5").json()
    assert len(answer["results"]) == 5 and "events" not in answer["results"][0]
    report = exams[-1]
    one = api.get(f"/api/v1/dose-reports/{report.uuid}/").json()
    assert (one["dlp_total"], len(one["events"]), one["procedure"]) == (1720, 1, str(report.procedure.uuid))
    assert api.post(f"/api/v1/dose-reports/{report.uuid}/unlink/", {"reason": "wrong"}).json()["procedure"] is None
    target = str(exams[0].procedure.uuid)
    assert api.post(f"/api/v1/dose-reports/{report.uuid}/link/", {"procedure": target}).json()["procedure"] == target
    missing = "0190f000-0000-7000-8000-000000000000"
    assert api.post(f"/api/v1/dose-reports/{report.uuid}/link/", {"procedure": missing}).status_code == 404
    (trigger, *_rest) = api.get("/api/v1/dose-triggers/?status=open").json()["results"]
    explained = api.post(f"/api/v1/dose-triggers/{trigger['id']}/explain/", {"explanation": "three phases"})
    assert explained.json()["status"] == "explained"
    assert api.post(f"/api/v1/dose-triggers/{trigger['id']}/explain/", {"explanation": "again"}).status_code == 409
    levels = api.get("/api/v1/reference-levels/?authority=UK&quantity=dlp").json()["results"]
    assert levels and all(level["source"] for level in levels)
    with use_facility(beta):
        foreign = services.import_dose_report(of_beta(), actor=STORAGE).uuid
    assert api.get(f"/api/v1/dose-reports/{foreign}/").status_code == 404
    api.force_authenticate(user_with_roles(CLERK))
    assert api.get("/api/v1/dose-reports/").status_code == 403


def of_beta():
    from tests.factories.dose import ct_report

    return ct_report(ct_event(5), total=5)


def test_panels_beside_report_and_patient(exams, rf):
    from dose.panels import patient_dose, report_dose

    request = rf.get("/")
    request.user = user_with_roles(RADIOLOGIST)
    shown = report_dose(exams[0].procedure, request=request)
    assert shown["dose_reports"][0][0] == exams[0]
    (row,) = patient_dose(exams[0].procedure.order.patient, request=request)["dose_totals"]
    assert (row["modality"], row["exams"]) == ("CT", 1)
    assert report_dose(ct_procedure(), request=request) is None


def test_the_administration(tclient, exams):
    client = sign_in(tclient, PHYSICIST)
    report = DoseReport.objects.first()
    for url in (
        "/admin/dose/dosereport/", f"/admin/dose/dosereport/{report.pk}/change/", "/admin/dose/dosetrigger/",
        "/admin/dose/referencelevel/", "/admin/dose/triggerlevel/", "/admin/dose/triggerlevel/add/",
        "/admin/dose/rejecttarget/add/",
    ):  # fmt: skip
        assert client.get(url).status_code == 200, url
    assert sign_in(tclient, TECHNOLOGIST).get("/admin/dose/referencelevel/add/").status_code == 403
    assert sign_in(tclient, IT_ADMIN).get("/admin/dose/dosereport/").status_code == 403
