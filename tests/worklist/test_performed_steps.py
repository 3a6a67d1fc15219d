"""MPPS: what a scanner says, what follows from it, and what waits for a person."""

from __future__ import annotations

import pytest
from django.utils import timezone

from orders import services as orders
from orders.models import Charge, PriceItem, ProcedureStatus
from ris.core.actor import SYSTEM
from ris.core.errors import AlreadyExists, InvalidData, InvalidTransition, NotKnown
from ris.core.ids import new_uid
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification
from ris.notifications.words import words_of
from tests.factories.orders import make_actor, make_catalogue, make_order, make_patient
from tests.factories.worklist import (
    SCANNER,
    STORE,
    booked,
    created,
    make_station,
    series_of,
    started,
    step_of,
    stored,
)
from worklist.data import PerformedStepData, ScheduledStepReference
from worklist.models import ExceptionItem, ImagingStudy, PerformedProcedureStep
from worklist.services import (
    StepIsFinal,
    arrive_patient,
    ensure_questionnaires,
    index_instance,
    link_performed_step,
    record_screening,
    start_performed_step,
    update_performed_step,
)

pytestmark = pytest.mark.usefixtures("alpha")


@pytest.fixture
def procedure():
    reservation = booked()
    arrive_patient(reservation.procedure, actor=SYSTEM)
    return fresh(reservation.procedure)


def fresh(row):
    row.refresh_from_db()
    return row


def kinds() -> list[str]:
    return list(ExceptionItem.objects.open().order_by("pk").values_list("kind", flat=True))


def set_step(step, **changes):
    return update_performed_step(
        sop_instance_uid=step.sop_instance_uid, changes=PerformedStepData(**changes), actor=SCANNER
    )


def test_n_create_starts_step_and_procedure(procedure):
    step = started(procedure)
    scheduled = step_of(procedure)
    assert (fresh(procedure).status, scheduled.status, step.status) == ("in_progress", "STARTED", "IN PROGRESS")
    assert not scheduled.is_on_worklist
    assert list(step.scheduled_steps.all()) == [scheduled]
    assert (step.station.ae_title, procedure.appointments.get().status) == ("CT1", "arrived")
    event = OutboxEvent.objects.get(name="worklist.step_started")
    assert event.payload["procedures"] == [str(procedure.uuid)]
    assert "mpps:CT1" in procedure.history.first().history_change_reason
    assert kinds() == []


def test_n_create_repeated_or_not_in_progress_is_refused(procedure):
    uid, data = new_uid(), created(procedure)
    start_performed_step(sop_instance_uid=uid, attributes=data, actor=SCANNER)
    with pytest.raises(AlreadyExists):
        start_performed_step(sop_instance_uid=uid, attributes=data, actor=SCANNER)
    with pytest.raises(InvalidData):
        started(procedure, status="COMPLETED")
    with pytest.raises(InvalidData):
        start_performed_step(sop_instance_uid="1.02.3", attributes=data, actor=SCANNER)
    assert PerformedProcedureStep.objects.count() == 1


def test_n_set_completed_performs_and_drafts_charges(procedure):
    PriceItem.objects.create(code="P1", label="CT head", catalogue=procedure.catalogue, amount=100)
    step = started(procedure)
    moment = timezone.now()
    set_step(step, description="Head")
    step = set_step(step, status="COMPLETED", ended_at=moment, series=series_of("1.2.3.1", "1.2.3.2"))
    assert (fresh(procedure).status, step_of(procedure).status, step.status) == ("performed", "COMPLETED", "COMPLETED")
    assert (procedure.performed_at, step.instance_count, step.description) == (moment, 2, "Head")
    assert procedure.appointments.get().status == "fulfilled"
    assert Charge.objects.get().status == "planned"
    assert OutboxEvent.objects.filter(name="worklist.exam_performed").count() == 1


def test_a_final_step_is_not_updated_and_an_unknown_one_not_known(procedure):
    step = started(procedure)
    set_step(step, status="COMPLETED")
    for status in ("COMPLETED", "IN PROGRESS", "DISCONTINUED", None):
        with pytest.raises(StepIsFinal):
            set_step(step, status=status, description="later")
    assert fresh(step).description == ""
    with pytest.raises(NotKnown):
        update_performed_step(sop_instance_uid=new_uid(), changes=PerformedStepData(), actor=SCANNER)
    with pytest.raises(InvalidData):
        set_step(started(), status="DONE")


def test_group_case_moves_all_together():
    patient = make_patient()
    codes = [make_catalogue(code, modality="CT").code for code in ("CTNECK", "CTCHEST", "CTABDO")]
    procedures = list(make_order(patient=patient, codes=codes).procedures.order_by("pk"))
    for hour, row in enumerate(procedures):
        booked(row, starts_at=timezone.now() + timezone.timedelta(hours=hour + 1))
    step = started(*procedures)
    assert step.scheduled_steps.count() == 3
    assert {fresh(row).status for row in procedures} == {"in_progress"}
    index_instance(stored(procedures[0], sop_instance_uid="1.2.9.1"), actor=STORE)
    set_step(step, status="COMPLETED", series=series_of("1.2.9.1"))
    study = ImagingStudy.objects.get()
    assert set(study.procedures.all()) == set(procedures)
    assert {fresh(row).status for row in procedures} == {"ready_to_read"}


@pytest.mark.parametrize("known_by", ["study_instance_uid", "accession_number"])
def test_without_step_id_the_study_or_accession_number_tells(procedure, known_by):
    reference = ScheduledStepReference(**{known_by: getattr(procedure, known_by)})
    started(procedure, scheduled_steps=(reference,))
    assert fresh(procedure).status == "in_progress"


def test_a_step_id_of_another_system_is_not_believed(procedure):
    reference = ScheduledStepReference(step_of(procedure).scheduled_procedure_step_id, "", "OTHER-1", "1.2.3.4")
    step = started(procedure, scheduled_steps=(reference,))
    assert step.scheduled_steps.count() == 0 and fresh(procedure).status == "arrived"
    assert kinds() == ["unscheduled_step"]


def test_unscheduled_is_accepted_and_waits_for_a_person():
    make_station()
    step = started(patient_name="Doe^Jhon", patient_id="X1", scheduled_steps=(ScheduledStepReference(),))
    assert step.status == "IN PROGRESS" and kinds() == ["unscheduled_step"]
    assert ExceptionItem.objects.get().station.ae_title == "CT1"
    set_step(step, status="COMPLETED")
    procedure = booked().procedure
    link_performed_step(step, procedure=procedure, reason="Typed by hand", actor=make_actor("technologist"))
    assert (fresh(procedure).status, step_of(procedure).status, kinds()) == ("performed", "COMPLETED", [])


def test_another_patient_is_never_linked_silently(procedure):
    step = started(procedure, patient_name="Somebody^Else", patient_id="OTHER-77", patient_birth_date="19500101")
    assert step.scheduled_steps.count() == 0
    assert (fresh(procedure).status, step_of(procedure).status) == ("arrived", "ARRIVED")
    item = ExceptionItem.objects.get()
    assert (item.kind, item.procedure, item.performed_step) == ("step_patient_differs", procedure, step)
    assert "name" in item.detail["differs"] and "Somebody" not in str(item.detail)


def test_a_blocked_step_that_starts_is_accepted_and_alarmed(procedure, dispatch):
    technologist = make_actor("technologist").user
    form = next(row for row in ensure_questionnaires() if row.name == "Pregnancy")
    record_screening(procedure, questionnaire=form, answers={"pregnant": "yes", "breast_feeding": "no"}, actor=SYSTEM)
    started(procedure)
    assert fresh(procedure).status == "in_progress" and kinds() == ["blocked_started"]
    dispatch()
    told = Notification.objects.get(recipient=technologist)
    assert told.url == f"/exceptions/{ExceptionItem.objects.get().uuid}/"
    assert procedure.accession_number in words_of(told).title


def test_a_cancelled_exam_that_starts_is_put_before_a_person(procedure):
    data = created(procedure)
    orders.cancel_procedure(procedure, reason_code="110500", actor=SYSTEM)
    start_performed_step(sop_instance_uid=new_uid(), attributes=data, actor=SCANNER)
    assert (fresh(procedure).status, step_of(procedure).status) == ("cancelled", "CANCELED")
    assert kinds() == ["unscheduled_step"]


def test_wrong_entry_opens_the_entry_again(procedure):
    step = started(procedure)
    set_step(step, status="DISCONTINUED", discontinuation_code="110514")
    scheduled = step_of(procedure)
    assert (fresh(procedure).status, scheduled.status, scheduled.is_on_worklist) == ("scheduled", "SCHEDULED", True)
    assert kinds() == ["wrong_entry"] and step.scheduled_steps.count() == 0


def test_did_not_arrive_is_a_no_show(procedure):
    set_step(started(procedure), status="DISCONTINUED", discontinuation_code="110507")
    assert (fresh(procedure).status, step_of(procedure).status) == ("no_show", "DISCONTINUED")
    assert procedure.appointments.get().status == "noshow"


@pytest.mark.parametrize("code", ["110501", "110516"])
def test_after_equipment_failure_another_machine_may_take_it(procedure, code):
    set_step(started(procedure), status="DISCONTINUED", discontinuation_code=code)
    assert fresh(procedure).status == "scheduled"
    assert list(procedure.steps.order_by("pk").values_list("status", flat=True)) == ["DISCONTINUED", "SCHEDULED"]
    assert step_of(procedure).is_on_worklist and kinds() == ["discontinued"]


@pytest.mark.parametrize("code", ["110505", "110515", "NOT-OURS", ""])
def test_otherwise_the_exam_is_discontinued_without_a_charge(procedure, code):
    PriceItem.objects.create(code="P1", label="CT head", catalogue=procedure.catalogue, amount=100)
    set_step(started(procedure), status="DISCONTINUED", discontinuation_code=code)
    assert (fresh(procedure).status, step_of(procedure).status) == ("discontinued", "DISCONTINUED")
    assert not Charge.objects.exists() and kinds() == ["discontinued"]
    assert OutboxEvent.objects.filter(name="worklist.exam_discontinued").count() == 1


def test_two_performed_steps_of_one_scheduled_step(procedure):
    first = started(procedure)
    second = started(procedure)
    set_step(first, status="COMPLETED")
    assert (fresh(procedure).status, step_of(procedure).status) == ("in_progress", "STARTED")
    set_step(second, status="COMPLETED")
    assert (fresh(procedure).status, step_of(procedure).status) == ("performed", "COMPLETED")


def test_an_append_after_completion_runs_again(procedure):
    set_step(started(procedure), status="COMPLETED")
    again = started(procedure)
    assert fresh(procedure).status == "in_progress"
    set_step(again, status="COMPLETED")
    assert fresh(procedure).status == "performed"


def test_a_report_that_has_begun_is_not_thrown_back(procedure):
    set_step(started(procedure), status="COMPLETED")
    procedure = fresh(procedure)
    procedure.status = ProcedureStatus.PRELIMINARY
    procedure.save_as(SYSTEM, "read")
    set_step(started(procedure), status="COMPLETED")
    assert fresh(procedure).status == "preliminary"


def test_a_performed_step_does_not_move_backwards(procedure):
    step = started(procedure)
    set_step(step, status="DISCONTINUED", discontinuation_code="110515")
    with pytest.raises(InvalidTransition):
        set_step(step, status="IN PROGRESS")
