"""Reports kept once, linked to their exam, triggers explained, levels with their sources."""

from __future__ import annotations

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from dose import selectors, services
from dose.models import DoseReport, DoseTrigger, IrradiationEvent, ReferenceLevel, TriggerLevel
from dose.statistics import Group, nice_step, quantile
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.core.permissions import CLERK, PHYSICIST, TECHNOLOGIST
from ris.tenants.context import use_facility
from tests.factories.accounts import actor_with_roles
from tests.factories.dose import (
    breast_event,
    breast_total,
    ct_event,
    ct_report,
    enhanced_report,
    file_of,
    num,
    projection_report,
    radiopharmaceutical_report,
    whole_ct_event,
    whole_projection_event,
)
from tests.factories.orders import make_patient, make_procedure
from tests.factories.worklist import booked, ct_procedure, make_station, stored
from worklist.models import ImagingStudy
from worklist.services import index_instance, link_study

STORAGE = Actor("storage", ae_title="CT1", address="127.0.0.1")


def of(procedure, *events, **fields):
    number = procedure.order.patient.primary_identifier
    values = {
        "StudyInstanceUID": procedure.study_instance_uid,
        "AccessionNumber": procedure.accession_number,
        "PatientID": number.value,
        "IssuerOfPatientID": number.issuer,
        "total": sum(
            float(e.ContentSequence[-1].ContentSequence[-1].MeasuredValueSequence[0].NumericValue) for e in events
        )
        or 500,
        **fields,
    }
    return ct_report(*events, **values)


def imported(dataset, **kwargs):
    return services.import_dose_report(dataset, actor=STORAGE, **kwargs)


def test_a_report_belongs_to_its_exam_and_its_repeat_changes_nothing(alpha):
    procedure = ct_procedure()
    booked(procedure, station=make_station("CT1"))
    dataset = of(procedure, ct_event(11, 0.1), ct_event(489, 9.9))
    report = imported(file_of(dataset))
    assert (report.procedure, report.dlp_total, report.event_count) == (procedure, 500, 2)
    assert (report.station.ae_title, report.modality) == ("CT1", "CT")
    assert report.events.count() == 2
    assert imported(dataset).pk == report.pk and DoseReport.objects.count() == 1
    assert IrradiationEvent.objects.count() == 2
    assert AuditEvent.objects.filter(event_type="dose.manage_dose", patient=procedure.audit_patient).exists()


def test_a_cumulative_report_brings_only_what_is_new(alpha):
    procedure = ct_procedure()
    first, second = ct_event(200, event_uid="1.2.1"), ct_event(300, event_uid="1.2.2")
    imported(of(procedure, first))
    later = imported(of(procedure, first, second))
    assert (later.dlp_total, later.event_count) == (300, 1) and "reported before" in " ".join(later.warnings)
    again = imported(of(procedure, first, second))
    assert (again.dlp_total, again.event_count, again.ctdi_vol_max) == (None, 0, None)
    assert sum(row.dlp_total or 0 for row in DoseReport.objects.all()) == 500


def test_a_report_of_another_patient_is_not_linked_by_itself(alpha):
    procedure = ct_procedure()
    other = make_patient()
    report = imported(of(procedure, PatientID=other.primary_identifier.value))
    assert report.procedure is None
    physicist = actor_with_roles(PHYSICIST)
    assert list(selectors.waiting_reports(actor=physicist)) == [report]
    assert list(selectors.dose_reports(actor=actor_with_roles(TECHNOLOGIST))) == []
    with pytest.raises(NotPermitted):
        services.link_dose_report(report, procedure=procedure, actor=actor_with_roles(TECHNOLOGIST))
    linked = services.link_dose_report(report, procedure=procedure, actor=physicist)
    assert linked.procedure == procedure and linked.history.first().history_user == physicist.user
    with pytest.raises(InvalidData):
        services.unlink_dose_report(linked, reason=" ", actor=physicist)
    assert services.unlink_dose_report(linked, reason="wrong exam", actor=physicist).procedure is None


def test_by_accession_number_when_the_study_uid_is_the_scanners_own(alpha):
    procedure = ct_procedure()
    assert imported(of(procedure, StudyInstanceUID="1.2.3.4")).procedure == procedure


def test_dose_follows_its_study(alpha, dispatch):
    procedure = ct_procedure()
    report = imported(of(procedure, PatientID="SOMEBODY", StudyInstanceUID="1.2.77", AccessionNumber=""))
    index_instance(stored(study_instance_uid="1.2.77", patient_id="SOMEBODY"), actor=STORAGE)
    study = ImagingStudy.objects.get()
    link_study(study, procedure=procedure, reason="it is them", actor=SYSTEM)
    dispatch()
    report.refresh_from_db()
    assert (report.procedure, report.study) == (procedure, study)


def test_a_stored_dose_object_is_read_after_the_commit(alpha, dispatch):
    procedure = ct_procedure()
    dataset = of(procedure, ct_event(400))
    path = storages["instances"].save("dose.dcm", ContentFile(file_of(dataset)))
    values = {
        "sop_instance_uid": dataset.SOPInstanceUID,
        "sop_class_uid": dataset.SOPClassUID,
        "path": path,
        "modality": "SR",
        "rows": None,
        "columns": None,
    }
    index_instance(stored(procedure, **values), actor=STORAGE)
    assert DoseReport.objects.count() == 0
    dispatch()
    assert DoseReport.objects.get().procedure == procedure


def test_every_kind_that_is_stored_becomes_rows(alpha, dispatch):
    """Stored, told of, read: one report each, with what its kind carries, and a second delivery changes nothing."""
    totals = [num("113722", "1.6e-005", "Gym2"), num("113730", 30, "s")]
    breasts = [breast_total("1.30", "T-04030"), breast_total("1.28", "T-04020")]
    mammogram = projection_report(
        breast_event(), breast_event("Right", "1.28"), totals=breasts, procedure=("71651007", "SCT")
    )
    kinds = {
        "CT": ct_report(whole_ct_event(), total=320),
        "RF": projection_report(whole_projection_event(), totals=totals),
        "MG": mammogram,
        "PT": radiopharmaceutical_report(),
        "": enhanced_report(),
    }
    for _delivery in range(2):
        for dataset in kinds.values():
            path = storages["instances"].save("dose.dcm", ContentFile(file_of(dataset)))
            sent = {"sop_instance_uid": dataset.SOPInstanceUID, "sop_class_uid": dataset.SOPClassUID, "path": path}
            sent |= {"study_instance_uid": dataset.StudyInstanceUID, "modality": "SR", "rows": None, "columns": None}
            index_instance(stored(**sent), actor=STORAGE)
        dispatch()
    assert DoseReport.objects.count() == 5 and IrradiationEvent.objects.count() == 7
    by_key = {key: DoseReport.objects.get(sop_instance_uid=dataset.SOPInstanceUID) for key, dataset in kinds.items()}
    assert [by_key[key].modality for key in ("CT", "RF", "MG", "PT")] == ["CT", "RF", "MG", "PT"]
    ct = by_key["CT"].events.get()
    assert (ct.ssde, ct.water_equivalent_diameter, ct.is_repeated, ct.repeat_reason) == (
        13.5,
        280,
        True,
        "Patient motion",
    )
    scene = by_key["RF"].events.get()
    assert (scene.primary_angle, scene.source_to_detector, scene.filters[0]["material"]) == (-30, 1200, "Copper")
    assert (by_key["MG"].agd_left, by_key["MG"].events.first().laterality) == (pytest.approx(0.0013), "Left")
    given = by_key["PT"].events.get()
    assert (given.radionuclide, given.activity) == ("^18^Fluorine", pytest.approx(394e6))
    assert by_key[""].event_count == 2 and by_key[""].fluoro_time == 60


def test_a_continued_fluoroscopy_report_adds_only_its_own_time(alpha):
    procedure = ct_procedure()
    number = procedure.order.patient.primary_identifier
    ids = {"StudyInstanceUID": procedure.study_instance_uid, "PatientID": number.value}
    first, second = whole_projection_event(), whole_projection_event()
    imported(projection_report(first, totals=[num("113730", 30, "s")], **ids))
    later = imported(projection_report(first, second, totals=[num("113730", 50, "s")], **ids))
    again = imported(projection_report(first, second, totals=[num("113730", 50, "s")], **ids))
    assert (later.fluoro_time, later.event_count) == (20, 1) and (again.fluoro_time, again.event_count) == (None, 0)


@pytest.mark.parametrize("content", [b"", b"not dicom", b"\x00" * 200, file_of(ct_report())[:300]])
def test_what_is_no_report_is_refused(alpha, content):
    with pytest.raises(InvalidData):
        imported(content)
    assert DoseReport.objects.count() == 0


def test_one_value_above_the_trigger_asks_for_the_reason_once(alpha):
    TriggerLevel.objects.create(modality="CT", quantity="dlp", limit=1000, unit="mGy.cm")
    procedure = ct_procedure()
    imported(of(procedure, ct_event(900)))
    imported(of(procedure, ct_event(1450)))
    imported(of(procedure, ct_event(3000), PatientName="QA Phantom"))
    trigger = DoseTrigger.objects.get()
    assert (trigger.value, trigger.limit, trigger.unit, trigger.status) == (1450, 1000, "mGy.cm", "open")
    technologist = actor_with_roles(TECHNOLOGIST)
    with pytest.raises(NotPermitted):
        services.explain_trigger(trigger, explanation="two phases", actor=actor_with_roles(CLERK))
    with pytest.raises(InvalidData):
        services.explain_trigger(trigger, explanation=" ", actor=technologist)
    explained = services.explain_trigger(trigger, explanation="two phases", actor=technologist)
    assert (explained.status, explained.explanation) == ("explained", "two phases")
    assert explained.history.first().history_user == technologist.user
    with pytest.raises(InvalidTransition):
        services.explain_trigger(trigger, explanation="or not", actor=technologist)


def test_fluoroscopy_triggers_are_in_the_clinics_units(alpha):
    services.ensure_trigger_levels()
    procedure = make_procedure(codes=())
    dataset = projection_report(
        totals=[num("113722", 0.03, "Gy.m2"), num("113730", 60, "s")],
        StudyInstanceUID=procedure.study_instance_uid,
        PatientID=procedure.order.patient.primary_identifier.value,
    )
    imported(dataset)
    trigger = DoseTrigger.objects.get()
    assert (trigger.quantity, round(trigger.value), trigger.unit) == ("dap", 300, "Gy.cm2")


def test_levels_come_with_their_sources_and_are_made_once(alpha):
    before = ReferenceLevel.objects.count()
    services.ensure_reference_levels()
    count = ReferenceLevel.objects.count()
    assert services.ensure_reference_levels() == 0 and count >= before > 0
    stroke = ReferenceLevel.objects.get(authority="UK", exam="Head, acute stroke", quantity="dlp")
    assert (stroke.value, stroke.unit) == (790, "mGy.cm") and "gov.uk" in stroke.source
    kenya = ReferenceLevel.objects.get(authority="Kenya", exam="Head", quantity="dlp")
    assert kenya.value == 1612 and "second hand" in kenya.certainty
    assert not ReferenceLevel.objects.filter(source="").exists()


def test_the_other_facility_keeps_its_own(alpha, beta):
    procedure = ct_procedure()
    dataset = of(procedure, ct_event(400))
    imported(dataset)
    with use_facility(beta):
        assert DoseReport.objects.count() == 0
        assert imported(dataset).procedure is None
    assert DoseReport.objects.count() == 1


def test_medians_are_judged_only_when_there_are_enough():
    group = Group("CT1", [100.0 * n for n in range(1, 14)], 20, 650)
    assert (group.median, group.verdict, group.against) == (700, "few", None)
    group = Group("CT1", [100.0 * n for n in range(1, 22)], 20, 1000)
    assert (group.verdict, round(group.against)) == ("above", 10)
    assert Group("CT1", [5.0] * 20, 20, None).verdict == ""
    assert quantile([1, 2, 3, 4], 0.25) == 1.75
    assert [nice_step(v) for v in (0, 4, 10, 1600)] == [1.0, 1, 2.5, 500]
