"""The index: exact counts, clear matches, what waits for a person, and when a study is complete."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ris.accounts.selectors import facility_settings
from ris.core.actor import SYSTEM
from ris.core.errors import Conflict, InvalidData, NotPermitted
from ris.core.ids import new_uid
from ris.events.models import OutboxEvent
from tests.factories.orders import make_actor, make_catalogue, make_patient, make_procedure
from tests.factories.worklist import (
    SCANNER,
    STORE,
    booked,
    series_of,
    started,
    step_of,
    stored,
)
from worklist.data import PerformedStepData
from worklist.models import ExceptionItem, ImagingInstance, ImagingSeries, ImagingStudy
from worklist.services import (
    OtherContent,
    complete_exam,
    index_instance,
    link_study,
    resolve_exception,
    start_exam,
    unlink_study,
    update_performed_step,
)
from worklist.services.completeness import claim_studies, note_images_complete
from worklist.services.images import parse_date, parse_time
from worklist.services.matching import Agreement, Sent, agreement

pytestmark = pytest.mark.usefixtures("alpha")


def fresh(row):
    row.refresh_from_db()
    return row


def kinds() -> list[str]:
    return list(ExceptionItem.objects.open().order_by("pk").values_list("kind", flat=True))


def quiet(seconds: int = 0) -> None:
    """Let the quiet time be over at once, or set it."""
    settings = facility_settings()
    settings.images_complete_after_seconds = seconds
    settings.save()


def still() -> None:
    """As if the last image had come long ago."""
    past = timezone.now() - timedelta(hours=1)
    ImagingStudy.objects.update(last_received_at=past, settle_after=past)


def test_an_instance_is_indexed_with_study_and_series():
    procedure = booked().procedure
    data = stored(procedure, body_part="HEAD", series_description="Axial", study_description="Head")
    row = index_instance(data, actor=STORE)
    study = ImagingStudy.objects.get()
    assert (study.series_count, study.instance_count, study.modalities) == (1, 1, "CT")
    assert (study.study_date, f"{study.study_time:%H:%M:%S}") == (timezone.localdate(), "10:15:00")
    assert (row.series.instance_count, row.series.body_part, row.path) == (0, "HEAD", data.path)
    assert fresh(row.series).instance_count == 1
    assert list(study.procedures.all()) == [procedure] and kinds() == []
    assert fresh(procedure).status == "scheduled"
    assert OutboxEvent.objects.filter(name="worklist.study_matched").count() == 1


def test_an_object_without_pixels_is_told_of():
    procedure = booked().procedure
    index_instance(stored(procedure), actor=STORE)
    report = stored(procedure, rows=None, columns=None, modality="SR", sop_class_uid="1.2.840.10008.5.1.4.1.1.88.67")
    index_instance(report, actor=STORE)
    event = OutboxEvent.objects.get(name="worklist.instance_stored")
    assert (event.payload["sop_class_uid"], event.payload["path"]) == (report.sop_class_uid, report.path)
    assert ImagingStudy.objects.get().modalities == "CT\\SR"


def test_identical_is_accepted_once_and_other_content_refused():
    data = stored(booked().procedure)
    first = index_instance(data, actor=STORE)
    assert index_instance(replace(data, path="elsewhere"), actor=STORE).pk == first.pk
    with pytest.raises(OtherContent):
        index_instance(replace(data, fingerprint="0" * 32), actor=STORE)
    study = ImagingStudy.objects.get()
    assert study.instance_count == 1 and fresh(first).path == data.path
    assert kinds() == ["duplicate_instance"]


@pytest.mark.parametrize("field", ["study_instance_uid", "series_instance_uid", "sop_instance_uid"])
def test_what_is_no_uid_is_refused(field):
    with pytest.raises(InvalidData) as refusal:
        index_instance(replace(stored(), **{field: "1.2.../../x"}), actor=STORE)
    assert field in refusal.value.errors and not ImagingStudy.objects.exists()


def test_a_series_stays_in_its_study():
    data = stored()
    index_instance(data, actor=STORE)
    with pytest.raises(InvalidData):
        index_instance(replace(data, study_instance_uid=new_uid(), sop_instance_uid=new_uid()), actor=STORE)


def test_another_patient_waits_for_a_person_and_is_not_shown():
    procedure = booked().procedure
    index_instance(
        stored(procedure, patient_id="OTHER-1", patient_name="Somebody^Else", patient_birth_date="19600101"),
        actor=STORE,
    )
    study = ImagingStudy.objects.get()
    assert not study.procedures.exists() and not procedure.studies.exists()
    item = ExceptionItem.objects.get()
    assert (item.kind, item.study, item.procedure) == ("patient_differs", study, procedure)
    index_instance(
        stored(procedure, series_instance_uid=new_uid(), patient_id="OTHER-1", patient_name="Somebody^Else"),
        actor=STORE,
    )
    assert kinds() == ["patient_differs"]
    still()
    assert note_images_complete(study)
    assert fresh(procedure).status == "scheduled"


def test_by_accession_number_only_when_the_patient_agrees():
    procedure = booked().procedure
    index_instance(stored(procedure, study_instance_uid=new_uid()), actor=STORE)
    assert list(ImagingStudy.objects.get().procedures.all()) == [procedure]
    index_instance(
        stored(procedure, study_instance_uid=new_uid(), patient_id="", patient_name="", patient_birth_date=""),
        actor=STORE,
    )
    assert kinds() == ["unmatched_study"]


def test_unknown_is_unmatched():
    index_instance(stored(patient_id="X", patient_name="A^B"), actor=STORE)
    assert kinds() == ["unmatched_study"]
    assert OutboxEvent.objects.filter(name="worklist.exception_raised").count() == 1


AGREEMENTS = [
    (Sent("MRN", "", "Achieng^Wanjiru", "19900314"), "agrees"),
    (Sent("MRN", "", "", ""), "agrees"),
    (Sent("MRN", "", "Typed^Otherwise", "19900314"), "agrees"),
    (Sent("MRN", "", "Somebody^Else", "19500101"), "differs"),
    (Sent("MRN", "ELSEWHERE", "Wanjiru^Achieng", "19900314"), "agrees"),
    (Sent("MRN", "ELSEWHERE", "Somebody^Else", ""), "differs"),
    (Sent("NEW", "", "ACHIENG WANJIRU", "19900314"), "agrees"),
    (Sent("NEW", "", "Achieng^Wanjiru", ""), "differs"),
    (Sent("NEW", "", "Achieng^Wanjiru", "19910314"), "differs"),
    (Sent("OTHER", "", "Achieng^Wanjiru", "19900314"), "differs"),
    (Sent("", "", "", ""), "unknown"),
    (Sent("", "", "Achieng^Wanjirũ^G", "19900314"), "agrees"),
    (Sent("", "", "Achieng^Wanjiru", ""), "differs"),
]


@pytest.mark.parametrize(("sent", "wanted"), AGREEMENTS)
def test_when_patients_agree(sent, wanted):
    patient = make_patient(family_name="Achieng", given_name="Wanjiru", birth_date="1990-03-14")
    other = make_patient(family_name="Kamau")
    ids = {"MRN": patient.primary_identifier.value, "OTHER": other.primary_identifier.value}
    sent = replace(sent, patient_id=ids.get(sent.patient_id, sent.patient_id))
    assert agreement(patient, sent) is Agreement(wanted)


def test_complete_by_the_scanners_list_opens_reading():
    procedure = booked().procedure
    step = started(procedure)
    uids = [new_uid() for _number in range(3)]
    for uid in uids[:2]:
        index_instance(stored(procedure, sop_instance_uid=uid), actor=STORE)
    update_performed_step(
        sop_instance_uid=step.sop_instance_uid,
        changes=PerformedStepData(status="COMPLETED", series=series_of(*uids)),
        actor=SCANNER,
    )
    assert fresh(procedure).status == "performed"
    index_instance(stored(procedure, sop_instance_uid=uids[2]), actor=STORE)
    assert fresh(procedure).status == "ready_to_read" and procedure.images_complete_at
    assert ImagingStudy.objects.get().completed_at
    assert OutboxEvent.objects.filter(name="worklist.study_completed").count() == 1


def test_all_images_before_the_last_word_of_the_scanner():
    procedure = booked().procedure
    step = started(procedure)
    index_instance(stored(procedure, sop_instance_uid="1.2.3.4"), actor=STORE)
    still()
    assert not note_images_complete(ImagingStudy.objects.get())
    update_performed_step(
        sop_instance_uid=step.sop_instance_uid,
        changes=PerformedStepData(status="COMPLETED", series=series_of("1.2.3.4")),
        actor=SCANNER,
    )
    assert fresh(procedure).status == "ready_to_read"


def test_missing_images_wait_for_a_person_who_may_go_on():
    procedure = booked().procedure
    step = started(procedure)
    index_instance(stored(procedure, sop_instance_uid="1.2.3.4"), actor=STORE)
    update_performed_step(
        sop_instance_uid=step.sop_instance_uid,
        changes=PerformedStepData(status="COMPLETED", series=series_of("1.2.3.4", "1.2.3.5")),
        actor=SCANNER,
    )
    still()
    assert not note_images_complete(ImagingStudy.objects.get())
    item = ExceptionItem.objects.get()
    assert (item.kind, item.detail) == ("count_differs", {"expected": 2, "stored": 1})
    assert fresh(procedure).status == "performed"
    resolve_exception(item, resolution="The scout was not sent", actor=make_actor("technologist"))
    assert fresh(procedure).status == "ready_to_read"
    with pytest.raises(Conflict):
        resolve_exception(item, resolution="Again", actor=SYSTEM)


def test_quiet_time_completes_and_performs_what_nobody_started(dispatch):
    procedure = booked().procedure
    index_instance(stored(procedure), actor=STORE)
    assert claim_studies(10) == []
    still()
    dispatch()
    assert fresh(procedure).status == "ready_to_read"
    assert step_of(procedure).status == "COMPLETED" and procedure.appointments.get().status == "fulfilled"


def test_a_running_exam_is_not_complete_by_quiet():
    procedure = booked().procedure
    start_exam(procedure, actor=make_actor("technologist"))
    index_instance(stored(procedure), actor=STORE)
    still()
    assert not note_images_complete(ImagingStudy.objects.get())
    complete_exam(procedure, actor=make_actor("technologist"))
    assert fresh(procedure).status == "ready_to_read"


def test_late_images_open_the_study_again():
    procedure = booked().procedure
    index_instance(stored(procedure), actor=STORE)
    still()
    study = ImagingStudy.objects.get()
    assert note_images_complete(study)
    index_instance(stored(procedure), actor=STORE)
    assert fresh(study).completed_at is None and study.settle_after
    still()
    assert note_images_complete(study)
    assert fresh(procedure).status == "ready_to_read"


def test_the_technologist_comes_first_where_the_catalogue_says_so():
    catalogue = make_catalogue("CTFIRST", needs_completion_before_reading=True)
    procedure = booked(make_procedure(codes=[catalogue.code])).procedure
    start_exam(procedure, actor=SYSTEM)
    index_instance(stored(procedure), actor=STORE)
    still()
    note_images_complete(ImagingStudy.objects.get())
    assert fresh(procedure).status == "in_progress"
    complete_exam(procedure, actor=SYSTEM)
    assert fresh(procedure).status == "ready_to_read"


def test_a_person_links_and_unlinks_with_a_reason():
    procedure, technologist = booked().procedure, make_actor("technologist")
    index_instance(stored(patient_id="X", patient_name="Doe^Jhon"), actor=STORE)
    study = ImagingStudy.objects.get()
    with pytest.raises(InvalidData):
        link_study(study, procedure=procedure, reason=" ", actor=technologist)
    with pytest.raises(NotPermitted):
        link_study(study, procedure=procedure, reason="Typed", actor=make_actor("clerk"))
    link_study(study, procedure=procedure, reason="Name typed by hand", actor=technologist)
    assert list(study.procedures.all()) == [procedure] and kinds() == []
    assert ExceptionItem.objects.get().resolved_by == technologist.user
    with pytest.raises(Conflict):
        link_study(study, procedure=procedure, reason="Again", actor=technologist)
    unlink_study(study, procedure=procedure, reason="It was the other one", actor=technologist)
    assert not study.procedures.exists() and kinds() == ["unmatched_study"]


def test_dates_and_times_on_the_wire():
    assert parse_date("2026.11.19") == parse_date("20261119")
    assert parse_date("20261340") is None and parse_date("") is None
    assert f"{parse_time('10:15'):%H%M}" == "1015" and parse_time("2590") is None and parse_time("") is None


def test_a_further_instance_costs_a_fixed_number_of_queries():
    procedure = booked().procedure
    data = stored(procedure)
    index_instance(data, actor=STORE)
    counts = set()
    for _number in range(3):
        with CaptureQueriesContext(connection) as queries:
            index_instance(replace(stored(procedure), series_instance_uid=data.series_instance_uid), actor=STORE)
        counts.add(len(queries))
    assert len(counts) == 1 and counts.pop() <= 10


@pytest.mark.django_db(transaction=True)
def test_eight_associations_at_once_count_exactly(facility_server):
    facility, procedure = connection.tenant, booked().procedure
    series = [new_uid(), new_uid()]
    sops = [new_uid() for _number in range(24)]
    barrier, problems = threading.Barrier(8), []

    def send(number: int) -> None:
        connection.set_tenant(facility)
        barrier.wait()
        try:
            for index in range(6):
                sop = sops[(number * 3 + index) % 24]
                data = stored(procedure, sop_instance_uid=sop, series_instance_uid=series[sops.index(sop) % 2])
                index_instance(data, actor=STORE)
        except Exception as problem:
            problems.append(problem)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    study = ImagingStudy.objects.get()
    assert (study.series_count, study.instance_count, ImagingInstance.objects.count()) == (2, 24, 24)
    assert sorted(ImagingSeries.objects.values_list("instance_count", flat=True)) == [12, 12]
    assert list(study.procedures.all()) == [procedure]
    assert OutboxEvent.objects.filter(name="worklist.study_matched").count() == 1
