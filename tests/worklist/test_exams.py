"""The console's verbs and the timeline they leave."""

from __future__ import annotations

import pytest

from orders import timeline
from orders.models import Charge, PriceItem
from ris.audit.models import AuditEvent, Outcome
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from tests.factories.orders import make_actor
from tests.factories.worklist import STORE, booked, ct_procedure, started, step_of, stored
from worklist.services import (
    arrive_patient,
    complete_exam,
    discontinue_exam,
    index_instance,
    record_consumable,
    record_reject,
    record_time_out,
    start_exam,
    withdraw_consumable,
    write_note,
)

pytestmark = pytest.mark.usefixtures("alpha")
ALL_CHECKED = {"identifiers": ["name", "birth_date"], "checks": ["exam", "side", "pregnancy", "allergy", "entry"]}


def fresh(row):
    row.refresh_from_db()
    return row


def test_start_and_complete_by_hand_confirm_the_charge():
    procedure, technologist = booked().procedure, make_actor("technologist")
    PriceItem.objects.create(code="P1", label="CT head", catalogue=procedure.catalogue, amount=100)
    with pytest.raises(InvalidTransition):
        complete_exam(procedure, actor=technologist)
    start_exam(procedure, actor=technologist)
    step = step_of(procedure).performed_steps.get()
    assert (step.is_manual, step.performed_by, step.status) == (True, technologist.user, "IN PROGRESS")
    with pytest.raises(InvalidTransition):
        start_exam(procedure, actor=technologist)
    complete_exam(procedure, actor=technologist)
    assert (fresh(procedure).status, step_of(procedure).status, fresh(step).status) == (
        "performed",
        "COMPLETED",
        "COMPLETED",
    )
    assert procedure.completed_by_technologist_at and Charge.objects.get().status == "billable"
    assert OutboxEvent.objects.filter(name="worklist.exam_completed").count() == 1
    audited = AuditEvent.objects.filter(event_type="worklist.perform_step", patient=procedure.audit_patient)
    assert audited.filter(outcome=Outcome.SUCCESS).count() == 2 == audited.filter(outcome=Outcome.REFUSED).count()


def test_completion_does_not_wait_for_the_scanners_last_word():
    procedure = booked().procedure
    step = started(procedure)
    complete_exam(procedure, actor=make_actor("technologist"))
    assert (fresh(procedure).status, fresh(step).status) == ("performed", "IN PROGRESS")


def test_images_alone_may_be_completed():
    procedure = booked().procedure
    index_instance(stored(procedure), actor=STORE)
    complete_exam(procedure, actor=make_actor("technologist"))
    assert fresh(procedure).status == "ready_to_read"


def test_the_consoles_door_asks_for_the_time_out():
    procedure, technologist = booked().procedure, make_actor("technologist")
    with pytest.raises(InvalidTransition):
        start_exam(procedure, needs_time_out=True, actor=technologist)
    for wrong in ({"identifiers": ["name"]}, {"identifiers": ["name", "shoe"]}, {"checks": ["exam"]}):
        with pytest.raises(InvalidData):
            record_time_out(procedure, **(ALL_CHECKED | wrong), actor=technologist)
    record_time_out(procedure, **ALL_CHECKED, actor=technologist)
    assert start_exam(procedure, needs_time_out=True, actor=technologist).status == "in_progress"


def test_stopping_asks_for_a_known_code_and_a_running_exam():
    procedure, technologist = booked().procedure, make_actor("technologist")
    with pytest.raises(InvalidTransition):
        discontinue_exam(procedure, code="110515", actor=technologist)
    start_exam(procedure, actor=technologist)
    with pytest.raises(InvalidData):
        discontinue_exam(procedure, code="1", actor=technologist)
    stopped = discontinue_exam(procedure, code="110515", text="Dizzy", actor=technologist)
    assert (stopped.status, stopped.reason_code) == ("discontinued", "110515")


def test_what_was_used_thrown_away_and_told():
    procedure, technologist = ct_procedure(), make_actor("technologist")
    use = record_consumable(procedure, label="Iohexol", quantity="70,5", lot="L1", actor=technologist)
    assert str(use.quantity) == "70.50" and use.recorded_by == technologist.user
    withdraw_consumable(use, actor=technologist)
    assert fresh(use).withdrawn_at and use.history.count() == 2
    for quantity in ("0", "-1", "much", "NaN"):
        with pytest.raises(InvalidData):
            record_consumable(procedure, label="Iohexol", quantity=quantity, actor=technologist)
    with pytest.raises(InvalidData):
        record_reject(procedure, reason_code="111111", actor=technologist)
    assert record_reject(procedure, reason_code="111209", count=2, actor=technologist).count == 2
    with pytest.raises(InvalidData):
        write_note(procedure, is_as_protocolled=False, actor=technologist)
    note = write_note(procedure, text="Moved", chips=["motion", "unknown"], actor=technologist)
    assert note.chips == ["motion"]
    with pytest.raises(NotPermitted):
        write_note(procedure, text="x", actor=make_actor("clerk"))


def test_the_timeline_tells_who_when_and_through_which_door():
    procedure, clerk, technologist = ct_procedure(), make_actor("clerk"), make_actor("technologist")
    booked(procedure, actor=clerk)
    arrive_patient(procedure, actor=clerk)
    record_time_out(procedure, **ALL_CHECKED, actor=technologist)
    started(procedure)
    index_instance(stored(procedure), actor=STORE)
    entries = timeline.entries_of(procedure)
    told = [(entry.who, entry.door) for entry in entries if "Appointment" in entry.what]
    assert told and {door for _who, door in told} <= {"web", "mpps"}
    assert any(entry.what == "Performed step: In progress" and entry.who == "CT1" for entry in entries)
    assert any(entry.what == "Time-out done" and entry.who == technologist.user.display_name for entry in entries)
    assert any(entry.kind == "images" for entry in entries)
