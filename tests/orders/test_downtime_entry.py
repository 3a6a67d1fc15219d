"""A sheet is replayed with the times written on it, once, and finds the images that came under its number."""

from __future__ import annotations

import dataclasses
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from orders import services
from orders.downtime_lists import closing_list
from orders.events import DowntimeFormEntered
from orders.models import AccessionNumber, DowntimeForm, FormStatus, Order, Patient, ProcedureStatus
from orders.services import (
    PaperEntry,
    Used,
    close_downtime,
    correct_downtime_times,
    declare_downtime,
    end_downtime,
    enter_downtime_form,
    make_downtime_pack,
    void_downtime_form,
)
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from tests.factories.downtime import a_while_ago, blank_form, written
from tests.factories.orders import SYSTEM, make_actor, make_catalogue, make_patient, make_user
from tests.factories.worklist import SCANNER, STORE, at, booked, created, make_station, sent_patient, stored
from worklist.data import ScheduledStepReference
from worklist.models import (
    ConsumableUse,
    ExceptionItem,
    ExceptionKind,
    ImagingStudy,
    PerformedProcedureStep,
    ReservationStatus,
    ScheduledProcedureStep,
)
from worklist.services import index_instance, start_performed_step, update_performed_step

pytestmark = pytest.mark.django_db
NEW = {"family_name": "Odhiambo", "given_name": "Peter", "birth_date": "1980-05-04", "sex": "M"}


@pytest.fixture
def clerk(alpha):
    return make_actor("clerk")


@pytest.fixture
def form(alpha):
    return blank_form()


def test_a_sheet_becomes_an_exam_under_its_number_with_its_real_times(form, clerk):
    make_station()
    akinyi = make_user("technologist", given_name="Grace", family_name="Akinyi")
    entry = written(
        station_ae_title="CT1", consumables=(Used("Iohexol 350", "80", lot="L-77"),), note="Moved a little."
    )
    entered = enter_downtime_form(form, entry=entry, patient=make_patient(), actor=clerk)
    exam = entered.procedure
    exam.refresh_from_db()
    assert (exam.accession_number, exam.study_instance_uid) == (form.accession_number, form.study_instance_uid)
    assert AccessionNumber.objects.get(value=form.accession_number).order == exam.order
    assert exam.status == ProcedureStatus.PERFORMED
    assert exam.order.ordered_at == exam.arrived_at == entry.arrived_at
    assert (exam.started_at, exam.performed_at) == (entry.started_at, entry.ended_at)
    assert exam.completed_by_technologist_at == entry.ended_at
    step = PerformedProcedureStep.objects.get()
    assert (step.started_at, step.ended_at, step.status) == (entry.started_at, entry.ended_at, "COMPLETED")
    assert (step.station_ae_title, step.performed_by, step.is_manual) == ("CT1", akinyi, True)
    scheduled = ScheduledProcedureStep.objects.get()
    assert (scheduled.status, scheduled.is_on_worklist) == ("COMPLETED", False)
    used = ConsumableUse.objects.get()
    assert (used.label, str(used.quantity), used.lot, used.used_at) == (
        "Iohexol 350",
        "80.00",
        "L-77",
        entry.started_at,
    )
    assert exam.technologist_notes.get().text == "Moved a little."


def test_the_history_says_who_typed_it_when_and_through_which_door(form, clerk):
    before = timezone.now()
    entered = enter_downtime_form(form, entry=written(), patient=make_patient(), actor=clerk)
    assert (entered.entered_by, entered.entered_through) == (clerk.user, "web")
    rows = list(entered.procedure.history.order_by("history_id"))
    assert {row.history_user for row in rows} == {clerk.user}
    assert all(row.history_date >= before for row in rows)
    assert rows[-1].history_change_reason == f"Times from paper [web:{clerk.user.username}]"
    assert entered.history.first().history_change_reason == f"Entered from paper [web:{clerk.user.username}]"
    event = OutboxEvent.objects.get(name=DowntimeFormEntered.name)
    assert event.payload["accession_number"] == form.accession_number
    assert not {"Achieng", "Wanjiru"} & set(str(event.payload).replace("'", " ").split())


def test_the_same_sheet_typed_twice_is_one_exam(form, clerk):
    entry = written()
    first = enter_downtime_form(form, entry=entry, new_patient=NEW, actor=clerk)
    again = enter_downtime_form(form, entry=entry, new_patient=dict(NEW), actor=make_actor("technologist"))
    assert again.procedure == first.procedure
    assert (again.version, Patient.objects.count(), Order.objects.count()) == (first.version, 1, 1)
    with pytest.raises(Conflict) as refusal:
        enter_downtime_form(form, entry=dataclasses.replace(entry, indication="Another"), new_patient=NEW, actor=clerk)
    assert clerk.user.display_name in refusal.value.found
    assert (Patient.objects.count(), Order.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_two_who_type_the_same_sheet_at_once_make_one_exam(alpha):
    form, entry = blank_form(), written()
    clerk = make_actor("clerk")
    errors: list[Exception] = []

    def work() -> None:
        try:
            connection.set_tenant(alpha)
            enter_downtime_form(form, entry=entry, new_patient=NEW, actor=clerk)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (Patient.objects.count(), Order.objects.count(), PerformedProcedureStep.objects.count()) == (1, 1, 1)


def test_nobody_knows_who_it_was(form, clerk):
    entered = enter_downtime_form(form, entry=written(), emergency={"sex": "F", "estimated_age": 30}, actor=clerk)
    patient = entered.procedure.order.patient
    assert (patient.identity_is_unverified, patient.sex, patient.birth_date_is_estimated) == (True, "F", True)


def test_a_patient_who_still_waits_is_offered_to_the_scanners(form, clerk):
    make_station()
    entry = written(started_at=None, ended_at=None)
    exam = enter_downtime_form(form, entry=entry, patient=make_patient(), actor=clerk).procedure
    exam.refresh_from_db()
    assert (exam.status, exam.arrived_at, exam.started_at) == (ProcedureStatus.ARRIVED, entry.arrived_at, None)
    step = ScheduledProcedureStep.objects.get()
    assert (step.status, step.is_on_worklist) == ("ARRIVED", True)


def test_an_exam_that_still_runs_is_in_progress(form, clerk):
    exam = enter_downtime_form(form, entry=written(ended_at=None), patient=make_patient(), actor=clerk).procedure
    exam.refresh_from_db()
    assert exam.status == ProcedureStatus.IN_PROGRESS
    assert PerformedProcedureStep.objects.get().status == "IN PROGRESS"


def test_an_exam_that_was_stopped_says_why(form, clerk):
    entered = enter_downtime_form(form, entry=written(stop_code="110505"), patient=make_patient(), actor=clerk)
    exam = entered.procedure
    exam.refresh_from_db()
    assert (exam.status, exam.reason_code, entered.outcome) == (ProcedureStatus.DISCONTINUED, "110505", "discontinued")
    assert exam.performed_at is None


def test_a_sheet_used_for_a_booked_exam_makes_no_second_one(form, clerk):
    reservation = booked(starts_at=at(10, days=0))
    exam = reservation.procedure
    entry = dataclasses.replace(written(), code="")
    entered = enter_downtime_form(form, entry=entry, procedure=exam, actor=clerk)
    assert entered.procedure == exam
    exam.refresh_from_db(), reservation.refresh_from_db()
    assert (exam.status, exam.arrived_at, exam.performed_at) == ("performed", entry.arrived_at, entry.ended_at)
    assert exam.accession_number != form.accession_number
    assert (Order.objects.count(), reservation.status) == (1, ReservationStatus.FULFILLED)
    other = blank_form()
    with pytest.raises(InvalidTransition):
        enter_downtime_form(other, entry=entry, procedure=exam, actor=clerk)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"arrived_at": a_while_ago(-60)}, "arrived_at"),
        ({"arrived_at": a_while_ago(60 * 24 * 90)}, "arrived_at"),
        ({"started_at": a_while_ago(300)}, "started_at"),
        ({"started_at": None}, "started_at"),
        ({"ended_at": a_while_ago(175)}, "ended_at"),
        ({"ended_at": a_while_ago(-60)}, "ended_at"),
        ({"code": " "}, "code"),
        ({"stop_code": "12"}, "stop_code"),
        ({"consumables": (Used("Iohexol", "none"),)}, "consumables"),
        ({"consumables": (Used(" ", 3),)}, "consumables"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(form, clerk, fields, field):
    with pytest.raises(InvalidData) as refusal:
        enter_downtime_form(form, entry=written(**fields), new_patient=NEW, actor=clerk)
    assert field in refusal.value.errors
    form.refresh_from_db()
    assert (form.status, Patient.objects.count()) == (FormStatus.PRINTED, 0)


def test_a_station_that_is_not_there_is_refused(form, clerk):
    make_station()
    with pytest.raises(InvalidData) as refusal:
        enter_downtime_form(form, entry=written(station_ae_title="MR9"), new_patient=NEW, actor=clerk)
    assert "station_ae_title" in refusal.value.errors


def test_one_patient_is_said_and_no_more(form, clerk):
    for given in ({}, {"patient": make_patient(), "new_patient": NEW}):
        with pytest.raises(InvalidData) as refusal:
            enter_downtime_form(form, entry=written(), actor=clerk, **given)
        assert "patient" in refusal.value.errors


def test_a_void_sheet_and_a_reader_are_refused(form, clerk):
    with pytest.raises(NotPermitted):
        enter_downtime_form(form, entry=written(), new_patient=NEW, actor=make_actor("radiologist"))
    void_downtime_form(form, reason="Torn", actor=clerk)
    with pytest.raises(InvalidTransition) as refusal:
        enter_downtime_form(form, entry=written(), new_patient=NEW, actor=clerk)
    assert "Torn" in refusal.value.found


def test_a_number_that_another_system_has_taken_is_refused(form, clerk):
    make_catalogue("CTHEAD", name="CT head", modality="CT")
    taken = services.ProcedureRequest("CTHEAD", accession_number=form.accession_number)
    services.create_order(patient=make_patient(), procedures=[taken], actor=SYSTEM)
    with pytest.raises(Conflict):
        enter_downtime_form(form, entry=written(), new_patient=NEW, actor=clerk)
    assert Order.objects.count() == 1


# --- what came meanwhile


def image_of(form: DowntimeForm, patient: Patient, **fields):
    typed = {
        "patient_name": patient.dicom_name,
        "patient_id": patient.primary_identifier.value,
        "patient_birth_date": f"{patient.birth_date:%Y%m%d}" if patient.birth_date else "",
    }
    return stored(study_instance_uid=form.study_instance_uid, **typed | fields)


def test_images_that_came_under_the_number_are_the_exams(form, clerk):
    patient = make_patient(birth_date="1990-03-14")
    index_instance(image_of(form, patient, accession_number=form.accession_number), actor=STORE)
    [waits] = ExceptionItem.objects.open()
    assert waits.kind == ExceptionKind.UNMATCHED_STUDY
    exam = enter_downtime_form(form, entry=written(), patient=patient, actor=clerk).procedure
    study = ImagingStudy.objects.get()
    assert list(study.procedures.all()) == [exam]
    waits.refresh_from_db()
    assert (waits.resolution, waits.resolved_by) == (f"Downtime form {form.label}", clerk.user)
    exam.refresh_from_db()
    assert exam.status == ProcedureStatus.READY_TO_READ
    assert exam.images_complete_at is not None


def test_images_under_the_number_alone_are_found_too(form, clerk):
    """The technologist typed the accession number; the scanner made a study UID of its own. No birth date was typed."""
    patient = make_patient(birth_date="1990-03-14")
    typed = stored(accession_number=form.accession_number, patient_name=patient.dicom_name)
    index_instance(typed, actor=STORE)
    exam = enter_downtime_form(form, entry=written(), patient=patient, actor=clerk).procedure
    assert list(ImagingStudy.objects.get().procedures.all()) == [exam]
    assert not ExceptionItem.objects.open().exists()


def test_images_of_somebody_else_wait_for_a_person(form, clerk):
    patient, other = make_patient(birth_date="1990-03-14"), make_patient(birth_date="1951-01-01")
    index_instance(image_of(form, other, accession_number=form.accession_number), actor=STORE)
    exam = enter_downtime_form(form, entry=written(), patient=patient, actor=clerk).procedure
    assert not ImagingStudy.objects.get().procedures.exists()
    [item] = ExceptionItem.objects.open()
    assert (item.kind, item.procedure) == (ExceptionKind.PATIENT_DIFFERS, exam)


def test_the_scanners_own_step_is_linked_and_no_other_is_made(form, clerk):
    patient = make_patient(birth_date="1990-03-14")
    reference = ScheduledStepReference(
        accession_number=form.accession_number, study_instance_uid=form.study_instance_uid
    )
    make_station()
    entry = written()
    data = created(
        scheduled_steps=(reference,),
        started_at=entry.started_at + timedelta(minutes=1),
        patient_name=patient.dicom_name,
        patient_id=patient.primary_identifier.value,
        patient_birth_date="19900314",
    )
    step = start_performed_step(sop_instance_uid="2.25.1", attributes=data, actor=SCANNER)
    ending = dataclasses.replace(data, status="COMPLETED", ended_at=entry.ended_at - timedelta(minutes=1))
    update_performed_step(sop_instance_uid="2.25.1", changes=ending, actor=SCANNER)
    exam = enter_downtime_form(form, entry=entry, patient=patient, actor=clerk).procedure
    assert PerformedProcedureStep.objects.count() == 1
    step.refresh_from_db()
    assert step.started_at == entry.started_at + timedelta(minutes=1)
    assert [row.procedure for row in step.scheduled_steps.all()] == [exam]
    exam.refresh_from_db()
    assert (exam.started_at, exam.performed_at) == (entry.started_at, entry.ended_at)
    assert not ExceptionItem.objects.open().exists()


def test_a_step_of_somebody_else_waits_for_a_person(form, clerk):
    patient, other = make_patient(birth_date="1990-03-14"), make_patient(birth_date="1951-01-01")
    reference = ScheduledStepReference(accession_number=form.accession_number)
    data = created(
        scheduled_steps=(reference,),
        patient_name=other.dicom_name,
        patient_id=other.primary_identifier.value,
        patient_birth_date="19510101",
    )
    start_performed_step(sop_instance_uid="2.25.1", attributes=data, actor=SCANNER)
    exam = enter_downtime_form(form, entry=written(), patient=patient, actor=clerk).procedure
    assert PerformedProcedureStep.objects.filter(is_manual=True, scheduled_steps__procedure=exam).exists()
    [item] = ExceptionItem.objects.open()
    assert item.kind == ExceptionKind.STEP_PATIENT_DIFFERS


def test_images_that_come_after_the_entry_find_it_by_themselves(form, clerk):
    patient = make_patient(birth_date="1990-03-14")
    exam = enter_downtime_form(form, entry=written(), patient=patient, actor=clerk).procedure
    index_instance(stored(exam), actor=STORE)
    assert list(ImagingStudy.objects.get().procedures.all()) == [exam]


def test_late_images_under_the_sheets_number_find_the_booked_exam(form, clerk, dispatch):
    exam = booked(starts_at=at(10, days=0)).procedure
    enter_downtime_form(form, entry=dataclasses.replace(written(), code=""), procedure=exam, actor=clerk)
    index_instance(image_of(form, exam.order.patient), actor=STORE)
    assert not ExceptionItem.objects.open().exists()
    typed = stored(accession_number=form.accession_number, patient_name=exam.order.patient.dicom_name)
    index_instance(typed, actor=STORE)
    assert ExceptionItem.objects.open().count() == 1
    dispatch()
    assert [list(study.procedures.all()) for study in ImagingStudy.objects.all()] == [[exam], [exam]]
    assert not ExceptionItem.objects.open().exists()


# --- what was typed wrongly


def test_wrong_times_are_corrected_on_sheet_exam_and_step(form, clerk):
    entry = written()
    entered = enter_downtime_form(form, entry=entry, patient=make_patient(), actor=clerk)
    right = {name: getattr(entry, name) + timedelta(minutes=60) for name in ("arrived_at", "started_at", "ended_at")}
    corrected = correct_downtime_times(entered, **right, reason="Read 10 as 11", actor=clerk)
    exam, step = corrected.procedure, PerformedProcedureStep.objects.get()
    exam.refresh_from_db()
    assert (exam.arrived_at, exam.started_at, exam.performed_at) == tuple(right.values())
    assert (step.started_at, step.ended_at) == (right["started_at"], right["ended_at"])
    assert corrected.history.first().history_change_reason.startswith("Read 10 as 11")
    assert corrected.history.count() == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ended_at": None}, "ended_at"),
        ({"started_at": a_while_ago(10)}, "ended_at"),
        ({"arrived_at": a_while_ago(-30)}, "arrived_at"),
        ({"reason": " "}, "reason"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(form, clerk, changes, field):
    entry = written()
    entered = enter_downtime_form(form, entry=entry, patient=make_patient(), actor=clerk)
    times = {name: getattr(entry, name) for name in ("arrived_at", "started_at", "ended_at")}
    with pytest.raises(InvalidData) as refusal:
        correct_downtime_times(entered, **{**times, "reason": "Misread", **changes}, actor=clerk)
    assert field in refusal.value.errors
    assert DowntimeForm.objects.get(pk=form.pk).version == entered.version


def test_a_form_that_nobody_entered_has_no_times_to_correct(form, clerk):
    with pytest.raises(InvalidTransition):
        correct_downtime_times(form, arrived_at=a_while_ago(60), reason="Misread", actor=clerk)


# --- the closing list


def test_the_closing_list_holds_forms_that_are_out_and_images_of_nobody(alpha, clerk):
    lead = make_actor("qa_lead")
    pack = make_downtime_pack(count=2, actor=SYSTEM)
    first, second = pack.forms.select_related("pack").order_by("number")
    period = declare_downtime(reason="Power", started_at=a_while_ago(240), packs=[pack], actor=lead)
    patient = make_patient(birth_date="1990-03-14")
    index_instance(image_of(first, patient, accession_number=first.accession_number), actor=STORE)
    taken = timezone.localtime(a_while_ago(60))
    when = {"study_date": f"{taken:%Y%m%d}", "study_time": f"{taken:%H%M%S}"}
    index_instance(stored(patient_name="Nobody^Knows", **when), actor=STORE)
    period = end_downtime(period, actor=lead)
    found = closing_list(period)
    assert [row.number for row in found.open_forms] == [1, 2]
    assert sorted((row.form, row.name) for row in found.waiting) == [
        ("", "Nobody Knows"),
        (first.label, patient.dicom_name.replace("^", " ").strip()),
    ]
    enter_downtime_form(first, entry=written(), patient=patient, actor=clerk)
    void_downtime_form(second, reason="Torn", actor=clerk)
    found = closing_list(period)
    assert found.counts == {"issued": 0, "entered": 1, "void": 1, "blank": 0}
    assert [row.form for row in found.waiting] == [""]
    with pytest.raises(Conflict) as refusal:
        close_downtime(period, actor=lead)
    assert refusal.value.found == "1 study or step has no exam."
    from worklist.services import resolve_exception

    resolve_exception(ExceptionItem.objects.open().get(), resolution="Test phantom", actor=SYSTEM)
    assert close_downtime(period, actor=lead).status == "closed"


def test_images_of_another_day_are_not_on_the_list(alpha):
    period = declare_downtime(reason="Power", started_at=a_while_ago(240), actor=SYSTEM)
    period = end_downtime(period, ended_at=a_while_ago(120), actor=SYSTEM)
    old = f"{timezone.localdate() - timedelta(days=3):%Y%m%d}"
    index_instance(stored(patient_name="Other^Day", study_date=old), actor=STORE)
    assert closing_list(period).waiting == []


def test_a_sheet_that_nobody_gave_out_belongs_to_the_open_downtime(form, clerk):
    period = declare_downtime(reason="Power", started_at=a_while_ago(240), actor=SYSTEM)
    entered = enter_downtime_form(form, entry=written(), patient=make_patient(), actor=clerk)
    assert entered.period == period
    assert isinstance(written(), PaperEntry) and sent_patient(entered.procedure)["patient_sex"] == "F"
