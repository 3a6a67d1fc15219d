"""Reject and repeat rates, the registry's rows without a name, originals, estimates of effective dose."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.utils import timezone

from dose import rejects, services
from dose.dashboards import ask
from dose.effective import estimate, estimate_of
from dose.models import DoseReport, IrradiationEvent, RejectTarget
from orders.models import RequestedProcedure
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData
from ris.core.permissions import CLERK, PHYSICIST, TECHNOLOGIST
from tests.dose.test_services import of
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.dose import ct_event, file_of
from tests.factories.worklist import ct_procedure, make_station
from worklist.models import ImageRejection, ImagingInstance, ImagingSeries, ImagingStudy, RejectedExposure

STORAGE = Actor("storage", ae_title="CT1")
BACKEND = "ris.accounts.backends.PasswordBackend"


def performed(*events, station: str = "CT1"):
    procedure = ct_procedure()
    RequestedProcedure.objects.filter(pk=procedure.pk).update(status="performed", performed_at=timezone.now())
    if not events:
        return procedure
    day = {"ContentDate": f"{timezone.localdate():%Y%m%d}", "ContentTime": "000100", "PatientWeight": "71.2"}
    return services.import_dose_report(of(procedure, *events, StationName=station, **day), actor=STORAGE)


@pytest.fixture
def exams(alpha):
    """At CT1 60 exams of two exposures, one of them a repeat, six rejected; at CT2 one; one exam without a report."""
    make_station("CT1"), make_station("CT2")
    first = performed(ct_event(400), ct_event(300))
    reports = [first]
    pattern = IrradiationEvent.objects.filter(report=first).first()
    for number in range(59):
        report = performed(ct_event(400), ct_event(300)) if number < 3 else None
        if report is not None:
            reports.append(report)
            continue
        extra = [
            IrradiationEvent(report=first, irradiation_event_uid=f"1.2.{number}.{part}", view=pattern.view, position=9)
            for part in (1, 2)
        ]
        IrradiationEvent.objects.bulk_create(extra)
    IrradiationEvent.objects.filter(pk=pattern.pk).update(is_repeated=True, repeat_reason="Patient motion")
    reports.append(performed(ct_event(100), station="CT2"))
    return reports


def test_rates_per_room_view_and_reason_with_both_ends_flagged(exams):
    physicist = actor_with_roles(PHYSICIST)
    question = ask({"tab": "CT"}, actor=physicist)
    one, two, three = exams[0].procedure, exams[1].procedure, exams[2].procedure
    # the console tells of four of one exam, the device of one of them, a note of two: four are believed
    RejectedExposure.objects.create(procedure=one, station=exams[0].station, view="AP", reason_code="111209", count=3)
    RejectedExposure.objects.create(procedure=one, station=exams[0].station, view="LAT", reason_code="111210")
    RejectedExposure.objects.create(
        procedure=one, station=exams[0].station, reason_code="111212", count=9, withdrawn_at=timezone.now()
    )
    IrradiationEvent.objects.filter(report=exams[0], position=1).update(is_rejected=True)
    study = ImagingStudy.objects.create(study_instance_uid=one.study_instance_uid)
    study.procedures.add(one)
    ImageRejection.objects.create(study=study, code="113001", reason="blurred", instances=["1.1", "1.2"])
    # the device alone, and a note alone
    IrradiationEvent.objects.filter(report=exams[1], position=2).update(is_rejected=True, view="PA")
    other = ImagingStudy.objects.create(study_instance_uid=three.study_instance_uid)
    other.procedures.add(three)
    ImageRejection.objects.create(study=other, code="113001", reason="cut", instances=["1.3"])
    ImageRejection.objects.create(
        study=other, code="113001", reason="cut", instances=["1.4"], restored_at=timezone.now(), restored_reason="no"
    )
    ImageRejection.objects.create(study=other, code="113038", reason="wrong entry", instances=["1.5", "1.6"])
    found = rejects.analyse(question, actor=physicist)
    assert (found.total.rejects, found.total.exposures, found.total.repeats) == (6, 121, 1)
    by_reason = {name: count for _code, name, count, _percent in found.reasons}
    assert by_reason["Positioning"] == 3 and by_reason["Motion blur"] == 1 and by_reason["Rejected for quality"] == 1
    assert found.repeat_reasons == [("Patient motion", 1)]
    assert {row.name: row.rejects for row in found.views} | {"AP": 3, "LAT": 1, "PA": 1} == {
        row.name: row.rejects for row in found.views
    }
    busy = next(row for row in found.rooms if row.exposures == 120)
    assert busy.verdict == "" and {row.verdict for row in found.rooms if row is not busy} == {"few"}
    for low, high, verdict in ((1, 3, "high"), (8, 12, "low"), (2, 8, "within")):
        rejects.set_reject_target("CT", low=low, high=high, actor=physicist)
        judged = rejects.analyse(question, actor=physicist)
        assert next(row for row in judged.rooms if row.exposures == 120).verdict == verdict
    assert RejectTarget.objects.get().version == 3
    assert sum(row[-1] for row in rejects.table(found)) == 6
    assert two.pk in {row.exam for row in found.rejects}
    for wrong in ({"tab": "XX", "low": 1, "high": 2}, {"tab": "CT", "low": 5, "high": 5}):
        with pytest.raises(InvalidData):
            rejects.set_reject_target(**wrong, actor=physicist)


def test_images_stand_in_where_no_report_counts_exposures(alpha):
    physicist = actor_with_roles(PHYSICIST)
    procedure = performed()
    study = ImagingStudy.objects.create(study_instance_uid=procedure.study_instance_uid)
    study.procedures.add(procedure)
    series = ImagingSeries.objects.create(study=study, series_instance_uid="1.2.9", modality="CT")
    for number in range(4):
        ImagingInstance.objects.create(
            series=series, sop_instance_uid=f"1.2.9.{number}", sop_class_uid="1.2", transfer_syntax_uid="1.2",
            path="x", size=1, is_rejected=number == 0,
        )  # fmt: skip
    RejectedExposure.objects.create(procedure=procedure, reason_code="111209")
    found = rejects.analyse(ask({"tab": "CT"}, actor=physicist), actor=physicist)
    assert (found.total.exposures, found.total.rejects) == (4, 1)


def test_pages_files_and_rest_of_rejects(tclient, api, exams):
    RejectedExposure.objects.create(
        procedure=exams[0].procedure, station=exams[0].station, view="AP", reason_code="111209", note="=1+1"
    )
    tclient.force_login(user_with_roles(PHYSICIST), backend=BACKEND)
    answer = tclient.post("/dose/rejects/target/", {"tab": "CT", "low": "2", "high": "8,5"})
    assert answer.status_code == 302 and RejectTarget.objects.get().high == 8.5
    assert tclient.post("/dose/rejects/target/", {"tab": "CT", "low": "", "high": "x"}).status_code == 400
    words = tclient.get("/dose/rejects/?tab=CT").content.decode()
    assert "Too low" in words and "Positioning" in words and "Patient motion" in words and "svgc" in words
    assert tclient.get("/dose/rejects/").status_code == 200
    lines = tclient.get("/dose/rejects.csv?tab=CT").content.decode("utf-8-sig").splitlines()
    assert lines[0] == "room,view,reason_code,reason,source,rejects" and lines[1].endswith(
        "111209,Positioning,console,1"
    )
    assert tclient.get("/dose/rejects.xlsx?tab=CT").content[:2] == b"PK"
    assert tclient.get("/dose/rejects.pdf").status_code == 404
    api.force_authenticate(user_with_roles(PHYSICIST))
    found = api.get("/api/v1/dose-rejects/?tab=CT").json()
    assert found["total"]["rejects"] == 1 and found["target"] == {"tab": "CT", "low": 2, "high": 8.5}
    assert found["reasons"][0]["name"] == "Positioning" and found["rooms"][0]["verdict"] == "low"
    assert api.put("/api/v1/dose-rejects/", {"tab": "CT", "low": 3, "high": 9}).json()["low"] == 3
    assert api.put("/api/v1/dose-rejects/", {"tab": "CT", "low": 9, "high": 3}).status_code == 400
    api.force_authenticate(user_with_roles(TECHNOLOGIST))
    assert api.get("/api/v1/dose-rejects/").status_code == 200
    assert api.put("/api/v1/dose-rejects/", {"tab": "CT", "low": 3, "high": 9}).status_code == 403
    tclient.force_login(user_with_roles(CLERK), backend=BACKEND)
    assert tclient.get("/dose/rejects/").status_code == 403


def test_the_registry_holds_no_identity_and_joins_only_within_a_file(tclient, api, exams):
    DoseReport.objects.filter(pk=exams[1].pk).update(patient_age_years=93.5)
    tclient.force_login(user_with_roles(PHYSICIST), backend=BACKEND)
    assert tclient.get("/dose/registry/").status_code == 200
    asked = {"tab": "CT", "days": "365", "format": "csv"}
    whole = b"".join(tclient.post("/dose/registry/file/", asked).streaming_content)
    rows = list(csv.DictReader(io.StringIO(whole.decode("utf-8-sig"))))
    assert len(rows) == IrradiationEvent.objects.count() == 121 and len({row["exam"] for row in rows}) == 5
    assert {row["month"] for row in rows} == {f"{timezone.localdate():%Y-%m}"}
    assert {row["weight_kg"] for row in rows} == {"70.0"} and "90" in {row["age_years"] for row in rows}
    assert len({row["device"] for row in rows}) == 2
    for report in exams:
        exam = report.procedure
        secrets = (
            report.sop_instance_uid, report.study_instance_uid, exam.accession_number, str(exam.uuid),
            exam.order.patient.family_name, exam.order.patient.primary_identifier.value,
            report.events.first().irradiation_event_uid,
        )  # fmt: skip
        assert not [one for one in secrets if one.encode() in whole]
    again = json.loads(b"".join(tclient.post("/dose/registry/file/", asked | {"format": "json"}).streaming_content))
    assert len(again["rows"]) == 121 and not {row["exam"] for row in again["rows"]} & {row["exam"] for row in rows}
    book = tclient.post("/dose/registry/file/", asked | {"format": "xlsx"})
    assert b"".join(book.streaming_content)[:2] == b"PK"
    assert AuditEvent.objects.filter(action="E", detail__export="registry csv", detail__rows=121).exists()
    assert tclient.post("/dose/registry/file/", asked | {"format": "pdf"}).status_code == 404
    assert tclient.post("/dose/registry/file/", asked | {"days": "1"}).status_code == 400
    api.force_authenticate(user_with_roles(PHYSICIST))
    assert len(json.loads(b"".join(api.get("/api/v1/dose-registry/json/?tab=CT").streaming_content))["rows"]) == 121
    api.force_authenticate(user_with_roles(TECHNOLOGIST))
    assert api.get("/api/v1/dose-registry/json/").status_code == 403
    tclient.force_login(user_with_roles(TECHNOLOGIST), backend=BACKEND)
    assert tclient.get("/dose/registry/").status_code == 403


def test_the_original_and_its_events(tclient, api, exams):
    from django.core.files.base import ContentFile
    from django.core.files.storage import storages

    report = exams[0]
    tclient.force_login(user_with_roles(PHYSICIST), backend=BACKEND)
    api.force_authenticate(user_with_roles(PHYSICIST))
    assert tclient.get(f"/dose/reports/{report.uuid}/original/").status_code == 404
    content = file_of(of(report.procedure, ct_event(400)))
    study = ImagingStudy.objects.create(study_instance_uid="1.2.8")
    series = ImagingSeries.objects.create(study=study, series_instance_uid="1.2.8.1", modality="SR")
    ImagingInstance.objects.create(
        series=series, sop_instance_uid=report.sop_instance_uid, sop_class_uid="1.2", transfer_syntax_uid="1.2",
        path=storages["instances"].save("originals/dose.dcm", ContentFile(content)), size=len(content),
    )  # fmt: skip
    answer = tclient.get(f"/dose/reports/{report.uuid}/original/")
    assert answer.content == content and answer["Content-Type"] == "application/dicom"
    assert api.get(f"/api/v1/dose-reports/{report.uuid}/original/").content == content
    lines = tclient.get(f"/dose/reports/{exams[1].uuid}/events.csv").content.decode("utf-8-sig").splitlines()
    assert len(lines) == 3 and lines[0].startswith("irradiation_event_uid,started_at,protocol")
    assert tclient.get(f"/dose/reports/{exams[1].uuid}/events.pdf").status_code == 404
    missing = "0190f000-0000-7000-8000-000000000000"
    assert tclient.get(f"/dose/reports/{missing}/original/").status_code == 404
    assert api.get(f"/api/v1/dose-reports/{missing}/original/").status_code == 404


def test_effective_dose_is_an_estimate_of_known_regions_and_adults(exams):
    found = estimate("Chest", 500, 40, "CT")
    assert found is not None and found.value == pytest.approx(7.0) and "AAPM" in found.coefficients
    for region, dlp, age, modality in (
        ("knee", 500, 40, "CT"), ("chest", None, 40, "CT"), ("chest", 500, 9, "CT"), ("chest", 500, None, "CT"),
        ("chest", 500, 40, "DX"),
    ):  # fmt: skip
        assert estimate(region, dlp, age, modality) is None
    report = exams[0]
    report.standard_exam = None
    report.patient_age_years = 50
    report.procedure.catalogue.body_region = "head"
    report.procedure.catalogue.save_as(SYSTEM, "test")
    guess = estimate_of(report)
    assert guess is not None and guess.k == 0.0021
