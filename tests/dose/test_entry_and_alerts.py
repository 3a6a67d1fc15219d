"""A dose that no report brings: by hand, from headers, from the performed step; and who is told of a high one."""

from __future__ import annotations

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.utils import timezone

from dose import selectors, services
from dose.models import DoseReport, DoseTrigger, IrradiationEvent, SkinFollowUp, TriggerLevel
from dose.panels import console_dose
from dose.services import fallbacks
from dose.subscribers import import_headers
from orders.models import PatientAlert
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.core.permissions import CLERK, PHYSICIST, RADIOLOGIST, TECHNOLOGIST
from ris.notifications.models import Notification
from tests.dose.test_services import STORAGE, imported, of
from tests.dose.test_web_and_api import sign_in
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.dose import ct_event, dataset_of, file_of, image_of, num, projection_event, projection_report, uid
from tests.factories.orders import make_catalogue, make_order
from tests.factories.worklist import booked, ct_procedure, make_station, stored
from worklist.events import StudyCompleted
from worklist.models import Exposure, ImagingStudy, PerformedProcedureStep, PPSStatus
from worklist.services import index_instance


def procedure_of(modality="DX", **patient):
    catalogue = make_catalogue(modality=modality)
    order = make_order(codes=[catalogue.code])
    for name, value in patient.items():
        setattr(order.patient, name, value)
    if patient:
        order.patient.save_as(SYSTEM, "test")
    return order.procedures.get()


def store_image(procedure, **fields):
    dataset = image_of(procedure.modality, StudyInstanceUID=procedure.study_instance_uid, **fields)
    path = storages["instances"].save("image.dcm", ContentFile(file_of(dataset)))
    sent = {"sop_instance_uid": dataset.SOPInstanceUID, "path": path, "modality": procedure.modality}
    index_instance(stored(procedure, **sent), actor=STORAGE)
    return dataset


def study_of(procedure):
    return ImagingStudy.objects.get(study_instance_uid=procedure.study_instance_uid)


def fluoroscopy(procedure, *, dap=0.0, rp=0.0, seconds=60, **fields):
    number = procedure.order.patient.primary_identifier
    totals = [num("113730", seconds, "s")]
    totals += [num("113722", dap, "Gy.m2")] if dap else []
    totals += [num("113725", rp, "Gy")] if rp else []
    values = {"StudyInstanceUID": procedure.study_instance_uid, "PatientID": number.value,
              "IssuerOfPatientID": number.issuer, "ContentDate": f"{timezone.localdate():%Y%m%d}"}  # fmt: skip
    event = projection_event(kind=("44491008", "SCT"))
    return imported(projection_report(event, totals=totals, **values | fields))


# --- headers and steps


def test_headers_make_the_events_until_a_report_comes(alpha, dispatch):
    procedure = procedure_of("DX")
    first = store_image(procedure, ImageAndFluoroscopyAreaDoseProduct="0.5", ExposureIndex="250", ViewPosition="PA")
    store_image(procedure, ImageAndFluoroscopyAreaDoseProduct="1.5", ViewPosition="LAT")
    report = services.import_study_headers(study_of(procedure), actor=STORAGE)
    assert (report.source, report.event_count, report.procedure) == ("image", 2, procedure)
    assert report.dap_total == pytest.approx(2e-5) and report.modality == "DX"
    assert services.import_study_headers(study_of(procedure), actor=STORAGE) == report
    assert DoseReport.objects.count() == 1
    store_image(procedure, ImageAndFluoroscopyAreaDoseProduct="1.0")
    report = services.import_study_headers(study_of(procedure), actor=STORAGE)
    assert (report.event_count, report.dap_total) == (3, pytest.approx(3e-5))
    event = projection_event(uid("113769", first.SOPInstanceUID), num("122130", 2e-5, "Gy.m2"))
    number = procedure.order.patient.primary_identifier
    ids = {"StudyInstanceUID": procedure.study_instance_uid, "PatientID": number.value}
    sent = imported(projection_report(event, totals=[num("113722", 2e-5, "Gy.m2")], **ids))
    report.refresh_from_db()
    assert report.replaced_by == sent and sent.dap_total == pytest.approx(2e-5)
    assert IrradiationEvent.objects.filter(is_replaced=True).count() == 3
    physicist = actor_with_roles(PHYSICIST)
    assert list(selectors.dose_reports(actor=physicist)) == [sent]
    assert set(selectors.every_dose_report(actor=physicist)) == {sent, report}
    assert report.history.count() == 3
    assert services.import_study_headers(study_of(procedure), actor=STORAGE) is None


def test_a_complete_study_tells_by_itself_and_a_lost_file_stops_nothing(alpha, dispatch):
    procedure = procedure_of("MG")
    store_image(procedure, OrganDose="0.013", ImageLaterality="L")
    index_instance(stored(procedure, modality="MG"), actor=STORAGE)
    study = study_of(procedure)
    import_headers(StudyCompleted(str(study.uuid), study_instance_uid=study.study_instance_uid))
    report = DoseReport.objects.get()
    assert (report.agd_total, report.event_count) == (pytest.approx(0.0013), 1)


def ended_step(procedure, **attributes):
    item = dataset_of(StudyInstanceUID=procedure.study_instance_uid, AccessionNumber=procedure.accession_number)
    number = procedure.order.patient.primary_identifier
    dataset = dataset_of(
        PerformedProcedureStepStatus="COMPLETED", Modality=procedure.modality, PatientID=number.value,
        ScheduledStepAttributesSequence=[item], **attributes,
    )  # fmt: skip
    step = PerformedProcedureStep(
        status=PPSStatus.COMPLETED, modality=procedure.modality, study_instance_uid=procedure.study_instance_uid,
        attributes=dataset.to_json_dict(), ended_at=timezone.now(),
    )  # fmt: skip
    step.save_as(SYSTEM, "test")
    return step


def test_the_step_tells_and_images_that_say_less_take_its_sum(alpha):
    procedure = procedure_of("RF")
    step = ended_step(procedure, ImageAndFluoroscopyAreaDoseProduct="120", TotalTimeOfFluoroscopy="95")
    report = fallbacks.import_step(step, actor=STORAGE)
    assert (report.source, report.dap_total, report.fluoro_time) == ("mpps", pytest.approx(1.2e-3), 95)
    assert report.procedure == procedure and fallbacks.import_step(step, actor=STORAGE) == report
    assert fallbacks.import_step(ended_step(procedure_of("RF")), actor=STORAGE) is None
    xray = procedure_of("DX")
    ended_step(xray, ImageAndFluoroscopyAreaDoseProduct="3")
    store_image(xray, KVP="120", Exposure="2")
    made = services.import_study_headers(study_of(xray), actor=STORAGE)
    assert (made.source, made.event_count, made.dap_total) == ("image", 1, pytest.approx(3e-5))


# --- by hand


def test_a_dose_by_hand_is_checked_corrected_and_gives_way_to_the_device(alpha):
    technologist = actor_with_roles(TECHNOLOGIST)
    procedure = procedure_of("CT")
    said = {"reason": "sends nothing", "actor": technologist}
    for wrong in ({"dlp": "x"}, {"dlp": -1}, {"dlp": 1e6}, {"dlp": 9000}, {}, {"dlp": 500, "weight_kg": "x"}):
        with pytest.raises(InvalidData):
            services.enter_dose(procedure, **said | wrong)
    with pytest.raises(InvalidData):
        services.enter_dose(procedure, dlp=500, reason=" ", actor=technologist)
    with pytest.raises(NotPermitted):
        services.enter_dose(procedure, dlp=500, reason="x", actor=actor_with_roles(CLERK))
    with pytest.raises(InvalidData):
        services.enter_dose(procedure_of("US"), dlp=500, **said)
    report = services.enter_dose(procedure, dlp="9000,5", is_confirmed=True, weight_kg="71", **said)
    assert (report.dlp_total, report.source, report.entered_by) == (9000.5, "manual", technologist.user)
    assert (report.patient_weight_kg, report.procedure) == (71, procedure)
    with pytest.raises(InvalidData):
        services.enter_dose(procedure, dlp=500, **said)
    corrected = services.correct_dose(report, dlp=900.5, ctdi_vol=40, reason="a digit too many", actor=technologist)
    assert [row.dlp_total for row in report.history.order_by("history_id")] == [9000.5, 900.5]
    sent = imported(of(procedure, ct_event(800)))
    corrected.refresh_from_db()
    assert corrected.replaced_by == sent
    for refused in (
        lambda: services.correct_dose(corrected, dlp=1, reason="x", actor=technologist),
        lambda: services.correct_dose(sent, dlp=1, reason="x", actor=technologist),
        lambda: services.enter_dose(procedure, dlp=500, **said),
    ):
        with pytest.raises(InvalidData):
            refused()


def test_by_hand_on_the_page_at_the_console_and_over_rest(alpha, tclient, api, rf):
    procedure = procedure_of("DX")
    Exposure(procedure=procedure, dap="1.25", count=2).save_as(SYSTEM, "test")
    request = rf.get("/")
    request.user = user_with_roles(TECHNOLOGIST)
    shown = console_dose(procedure, request=request)
    assert shown["may_enter"] and shown["dose_reports"] == []
    assert console_dose(procedure_of("MR"), request=request) is None
    client = sign_in(tclient, TECHNOLOGIST)
    url = f"/dose/exams/{procedure.uuid}/enter/"
    page = client.get(url).content.decode()
    assert 'value="1.25"' in page and "noted at the console" in page and "Gy·cm²" in page
    assert client.post(url, {"dap": "1.25", "reason": "analogue"}).status_code == 302
    report = DoseReport.objects.get()
    assert report.dap_total == pytest.approx(1.25e-4)
    assert "Correct the dose" in client.get(url).content.decode()
    assert client.post(url, {"dap": "1.5", "reason": "read again"}).status_code == 302
    assert "by hand" in client.get(f"/dose/reports/{report.uuid}/").content.decode()
    api.force_authenticate(user_with_roles(TECHNOLOGIST))
    asked = {"procedure": str(procedure_of("CT").uuid), "dlp": 500, "reason": "sends nothing"}
    made = api.post("/api/v1/dose-reports/", asked, format="json")
    assert made.status_code == 201 and made.json()["source"] == "manual"
    correct = f"/api/v1/dose-reports/{made.json()['id']}/correct/"
    assert api.post(correct, {"dlp": 550, "reason": "typo"}, format="json").json()["dlp_total"] == 550
    assert api.post("/api/v1/dose-reports/", asked, format="json").status_code == 400


# --- alerts


def test_much_on_one_skin_is_followed_up(alpha, dispatch, tclient):
    physicist = actor_with_roles(PHYSICIST)
    procedure = procedure_of("XA")
    report = fluoroscopy(procedure, rp=5.5, dap=0.01)
    follow_up = SkinFollowUp.objects.get()
    assert (follow_up.report, follow_up.status) == (report, "open")
    assert [reason["quantity"] for reason in follow_up.reasons] == ["dose_rp"]
    dispatch()
    assert Notification.objects.filter(template="dose.skin", recipient=physicist.user).count() == 1
    assert Notification.objects.filter(template="dose.trigger", recipient=physicist.user).count() == 1
    client = sign_in(tclient, PHYSICIST)
    page = client.get("/dose/alerts/").content.decode()
    assert "Patient not told yet" in page and "5500 mGy (5000)" in page and 'style="' not in page
    base = f"/dose/skin/{follow_up.uuid}"
    assert client.post(f"{base}/tell/", {"told_how": "letter", "look_on": "2031-01-02"}).status_code == 302
    assert client.post(f"{base}/close/", {"finding": "erythema", "note": "back"}).status_code == 302
    follow_up.refresh_from_db()
    assert (follow_up.status, follow_up.finding, follow_up.told_how) == ("closed", "erythema", "letter")
    with pytest.raises(InvalidTransition):
        services.tell_patient(follow_up, told_how="again", actor=physicist)
    with pytest.raises(NotPermitted):
        services.tell_patient(follow_up, told_how="again", actor=actor_with_roles(TECHNOLOGIST))
    rule = {"kind": "skin", "role": "radiologist", "channel": "in_app", "modality": ""}
    assert client.post("/dose/alerts/rules/", rule).status_code == 302
    assert client.get("/admin/dose/skinfollowup/").status_code == 200


def test_twelve_weeks_of_one_patient_are_summed(alpha):
    services.ensure_trigger_levels()
    catalogue = make_catalogue(modality="RF")
    first = procedure_of("RF")
    order = make_order(patient=first.order.patient, codes=[catalogue.code])
    second = order.procedures.get()
    fluoroscopy(first, dap=0.012)
    assert not DoseTrigger.objects.exists()
    fluoroscopy(second, dap=0.015)
    trigger = DoseTrigger.objects.get()
    assert (trigger.quantity, round(trigger.value), trigger.weeks) == ("dap", 270, 12)
    fluoroscopy(procedure_of("RF"), dap=0.015)
    assert DoseTrigger.objects.count() == 1
    assert TriggerLevel.objects.filter(kind="skin").exists()


def test_dose_to_a_pregnant_patient_alerts_and_shows(alpha, dispatch, tclient):
    physicist = actor_with_roles(PHYSICIST)
    procedure = ct_procedure()
    patient = procedure.order.patient
    patient.sex = "F"
    patient.save_as(SYSTEM, "test")
    PatientAlert.objects.create(patient=patient, kind=PatientAlert.Kind.PREGNANCY, text="14 weeks")
    report = imported(of(procedure, ct_event(300)))
    trigger = DoseTrigger.objects.get()
    assert report.is_pregnant and (trigger.kind, trigger.quantity, trigger.value) == ("pregnancy", "dlp", 300)
    dispatch()
    assert Notification.objects.filter(template="dose.pregnancy", recipient=physicist.user).count() == 1
    client = sign_in(tclient, PHYSICIST)
    assert "300" in client.get("/dose/alerts/").content.decode()
    assert "May be pregnant" in client.get(f"/dose/reports/{report.uuid}/").content.decode()
    waiting = ct_procedure()
    other = imported(of(waiting, PatientID="SOMEBODY", StudyInstanceUID="1.2.88", AccessionNumber=""))
    assert not other.is_pregnant
    services.link_dose_report(other, procedure=procedure, actor=physicist)
    assert DoseTrigger.objects.filter(report=other, kind="pregnancy").count() == 1


def test_what_a_patient_received_in_all_is_for_who_may_know(alpha):
    procedure = ct_procedure()
    booked(procedure, station=make_station("CT1"))
    imported(of(procedure, ct_event(300), ContentDate=f"{timezone.localdate():%Y%m%d}", ContentTime="000100"))
    patient = procedure.order.patient
    assert selectors.totals_of(patient, actor=actor_with_roles(TECHNOLOGIST)) == []
    for role in (PHYSICIST, RADIOLOGIST):
        (row,) = selectors.totals_of(patient, actor=actor_with_roles(role))
        assert row["exams"] == 1
