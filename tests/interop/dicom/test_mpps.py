"""MPPS over the wire, to the letter of PS3.4 Annex F: every status, n to m, what a reason leads to, cut lines."""

from __future__ import annotations

import os

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from interop.dicom import scu
from orders.models import ProcedureStatus
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.core.ids import new_uid
from tests.factories.orders import make_catalogue, make_order, make_patient
from tests.interop.dicom.cut_lines import cutting
from worklist.models import ExceptionItem, PerformedProcedureStep, Reconciliation
from worklist.services import ensure_questionnaires, move_evidence, record_screening

from .conftest import make_station, schedule

MPPS = "1.2.840.10008.3.1.2.3.3"


def kinds() -> list[str]:
    return list(ExceptionItem.objects.open().order_by("pk").values_list("kind", flat=True))


def fresh(row):
    row.refresh_from_db()
    return row


def step_of(procedure):
    return procedure.steps.order_by("-pk").first()


def n_create(scanner, attributes: Dataset, uid: str | None = None):
    with scanner._association([MPPS]) as line:
        answer, _attributes = line.send_n_create(attributes, MPPS, uid or new_uid())
    return answer


def n_set(scanner, changes: Dataset, uid: str = ""):
    with scanner._association([MPPS]) as line:
        answer, _attributes = line.send_n_set(changes, MPPS, uid or scanner.step_uid)
    return answer


@pytest.fixture
def running(scp):
    """A scanner that has begun the exam of its only worklist item."""
    procedure = schedule("CT1")
    scanner = scp.scanner()
    assert scanner.start(scanner.query_worklist()[0]) == 0x0000
    scanner.procedure = procedure
    return scanner


# --- N-CREATE


UNSAID = [
    ("PerformedProcedureStepStatus", None, 0x0120),
    ("PerformedProcedureStepStatus", "", 0x0121),
    ("PerformedProcedureStepStatus", "COMPLETED", 0x0106),
    ("PerformedProcedureStepStatus", "DISCONTINUED", 0x0106),
    ("PerformedProcedureStepStatus", "BEGUN", 0x0106),
    ("PerformedSeriesSequence", [Dataset()], 0x0120),
]


def test_what_only_the_scanner_knows_is_asked_for(scp):
    schedule("CT1")
    scanner = scp.scanner()
    scanner.items, scanner.step_uid = [scanner.query_worklist()[0]], new_uid()
    scanner.start_unscheduled(patient_name="Doe^Jhon", patient_id="7")
    before = PerformedProcedureStep.objects.count()
    for keyword, value, status in UNSAID:
        begun = scanner.beginning()
        if value is None:
            delattr(begun, keyword)
        else:
            setattr(begun, keyword, value)
        assert n_create(scanner, begun).Status == status, (keyword, value)
        assert PerformedProcedureStep.objects.count() == before


def test_what_we_know_as_well_is_filled_in(scp):
    make_station("CT1")
    scanner = scp.scanner()
    scanner.start_unscheduled(patient_name="Doe^Jhon", patient_id="7")
    for keyword in (
        "PerformedProcedureStepID",
        "PerformedStationAETitle",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "Modality",
        "ScheduledStepAttributesSequence",
        "PatientName",
        "StudyID",
    ):
        begun, uid = scanner.beginning(), new_uid()
        delattr(begun, keyword)
        assert n_create(scanner, begun, uid).Status == 0x0000, keyword
        step = PerformedProcedureStep.objects.get(sop_instance_uid=uid)
        assert (step.station_ae_title, step.modality) == ("CT1", "CT")
        assert step.performed_procedure_step_id and step.started_at


def test_a_duplicate_is_0111_and_changes_nothing(running):
    begun = running.beginning()
    begun.PerformedProcedureStepDescription = "Another text"
    assert n_create(running, begun, running.step_uid).Status == 0x0111
    assert PerformedProcedureStep.objects.get().description != "Another text"


def test_n_create_costs_few_queries(scp):
    """Kept low: the service is most of what an N-CREATE over the wire takes."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from tests.factories.worklist import started

    procedure = schedule("CT1")
    with CaptureQueriesContext(connection) as queries:
        started(procedure)
    assert len(queries) <= 46


# --- N-SET


@pytest.mark.parametrize("status", ["COMPLETED", "DISCONTINUED"])
def test_the_end_needs_the_series_sequence_which_may_be_empty(running, status):
    ending = running._ending(status)
    del ending.PerformedSeriesSequence
    assert n_set(running, ending).Status == 0x0120
    assert PerformedProcedureStep.objects.get().status == "IN PROGRESS"
    ending.PerformedSeriesSequence = []
    assert n_set(running, ending).Status == 0x0000
    assert PerformedProcedureStep.objects.get().status == status


def test_series_told_before_the_end_need_not_be_told_again(running):
    running.store_images(2)
    told = Dataset()
    told.PerformedSeriesSequence = list(running.series)
    assert n_set(running, told).Status == 0x0000
    ending = running._ending("COMPLETED")
    del ending.PerformedSeriesSequence
    assert n_set(running, ending).Status == 0x0000
    step = PerformedProcedureStep.objects.get()
    assert (step.status, step.instance_count) == ("COMPLETED", 2)


def test_a_series_without_a_good_uid_is_refused(running):
    for uid, status in ((None, 0x0120), ("", 0x0121), ("1.2.abc", 0x0106), ("1.02.3", 0x0106)):
        item = Dataset()
        item.ProtocolName = "HEAD"
        if uid is not None:
            item.SeriesInstanceUID = "1.2.3"
            item["SeriesInstanceUID"]._value = uid
        changes = Dataset()
        changes.PerformedSeriesSequence = [item]
        assert n_set(running, changes).Status == status, uid
        assert PerformedProcedureStep.objects.get().series == []


def test_an_impossible_status_is_refused(running):
    for value, status in (("", 0x0121), ("DONE", 0x0106)):
        changes = Dataset()
        changes.PerformedProcedureStepStatus = value
        assert n_set(running, changes).Status == status


def test_an_unknown_step_is_0112(running):
    answer = n_set(running, running._ending("COMPLETED"), generate_uid())
    assert answer.Status == 0x0112


@pytest.mark.parametrize("end", ["COMPLETED", "DISCONTINUED"])
def test_a_final_step_is_0110_with_a710_whatever_comes(running, end):
    assert n_set(running, running._ending(end)).Status == 0x0000
    for again in ("COMPLETED", "DISCONTINUED", "IN PROGRESS", None):
        later = running._ending(again) if again else Dataset()
        later.PerformedProcedureStepDescription = "Later"
        answer = n_set(running, later)
        assert (answer.Status, answer.ErrorID) == (0x0110, 0xA710)
        step = PerformedProcedureStep.objects.get()
        assert step.status == end and step.description != "Later"


def test_what_n_set_must_not_change_stays(running):
    changes = running._ending("IN PROGRESS")
    changes.PatientName, changes.PatientID, changes.Modality = "Somebody^Else", "OTHER", "MR"
    changes.ScheduledStepAttributesSequence = []
    before = PerformedProcedureStep.objects.get()
    assert n_set(running, changes).Status == 0x0000
    step = PerformedProcedureStep.objects.get()
    assert (step.patient_name, step.patient_id, step.modality) == (before.patient_name, before.patient_id, "CT")
    assert step.scheduled_steps.count() == 1
    for tag in ("00100010", "00100020", "00080060", "00400270"):
        assert step.attributes[tag] == before.attributes[tag]


def test_each_message_is_audited(running):
    running.complete()
    rows = AuditEvent.objects.filter(event_type="worklist.perform_step").order_by("pk")
    assert list(rows.values_list("action", "ae_title", "outcome")) == [("C", "CT1", 0), ("U", "CT1", 0)]


# --- n to m


def test_a_group_is_one_step_of_three_exams(scp):
    make_station("CT1")
    codes = [make_catalogue(code, modality="CT").code for code in ("CTNECK", "CTCHEST", "CTABDO")]
    procedures = list(make_order(patient=make_patient(), codes=codes).procedures.order_by("pk"))
    from django.utils import timezone

    from worklist.services import book_appointment

    for hour, row in enumerate(procedures):
        at = timezone.localtime().replace(minute=0, second=0, microsecond=0) + timezone.timedelta(hours=hour)
        book_appointment(row, station=make_station("CT1"), starts_at=at, actor=SYSTEM)
    scanner = scp.scanner()
    items = scanner.query_worklist()
    assert len(items) == 3 and scanner.start(*items) == 0x0000
    assert PerformedProcedureStep.objects.get().scheduled_steps.count() == 3
    assert {fresh(row).status for row in procedures} == {"in_progress"} and scanner.query_worklist() == []
    scanner.store_images(3)
    assert scanner.complete() == 0x0000
    assert {fresh(row).status for row in procedures} == {"ready_to_read"}
    assert {row.studies.count() for row in procedures} == {1} and kinds() == []


def test_a_further_step_of_the_same_exam_is_an_append(running):
    running.store_images(1)
    running.complete()
    assert fresh(running.procedure).status == "ready_to_read"
    running.start(*running.items)
    assert fresh(running.procedure).status == "in_progress"
    running.store_images(2)
    assert running.complete() == 0x0000
    assert fresh(running.procedure).status == "ready_to_read"
    assert step_of(running.procedure).performed_steps.count() == 2
    assert running.procedure.studies.get().instance_count == 3


def test_unscheduled_is_accepted_and_waits(scp):
    scanner = scp.scanner()
    assert scanner.start_unscheduled(patient_name="Doe^Jhon", patient_id="7") == 0x0000
    scanner.store_images(1)
    assert scanner.complete() == 0x0000
    assert kinds() == ["unscheduled_step", "unmatched_study"]


def test_another_patient_under_a_worklist_entry_waits_and_is_never_linked(scp, dispatch):
    procedure = schedule("CT1")
    scanner = scp.scanner()
    [item] = scanner.query_worklist()
    item.PatientName, item.PatientID, item.PatientBirthDate = "Somebody^Else", "OTHER-9", "19500101"
    assert scanner.start(item) == 0x0000
    dispatch()
    assert kinds() == ["step_patient_differs"]
    assert fresh(procedure).status == "scheduled" and len(scanner.query_worklist()) == 1


def test_a_blocked_step_is_accepted_and_alarmed(scp):
    procedure = schedule("CT1", sex="F", birth_date="1992-05-01")
    scanner = scp.scanner()
    [item] = scanner.query_worklist()
    form = next(row for row in ensure_questionnaires() if row.name == "Pregnancy")
    record_screening(procedure, questionnaire=form, answers={"pregnant": "yes", "breast_feeding": "no"}, actor=SYSTEM)
    assert scanner.start(item) == 0x0000
    assert fresh(procedure).status == "in_progress" and kinds() == ["blocked_started"]


# --- discontinued


REASONS = [
    ("110514", 0, "scheduled", "SCHEDULED", ["wrong_entry"], True),
    ("110507", 0, "no_show", "DISCONTINUED", ["discontinued"], False),
    ("110501", 0, "scheduled", "SCHEDULED", ["discontinued"], True),
    ("110516", 1, "scheduled", "SCHEDULED", ["discontinued"], True),
    ("110500", 0, "cancelled", "DISCONTINUED", ["discontinued"], False),
    ("110510", 0, "cancelled", "DISCONTINUED", ["discontinued"], False),
    ("110511", 1, "discontinued", "DISCONTINUED", ["discontinued"], False),
    ("110505", 0, "discontinued", "DISCONTINUED", ["discontinued"], False),
    ("110515", 1, "discontinued", "DISCONTINUED", ["discontinued"], False),
    ("110503", 0, "discontinued", "DISCONTINUED", ["discontinued"], False),
    ("999999", 0, "discontinued", "DISCONTINUED", ["discontinued"], False),
]


@pytest.mark.parametrize(("code", "images", "status", "step", "waits", "offered"), REASONS)
def test_the_reason_decides_what_comes_next(running, code, images, status, step, waits, offered):
    if images:
        running.store_images(images)
    assert running.discontinue(code, "As the scanner words it") == 0x0000
    procedure = fresh(running.procedure)
    assert (procedure.status, step_of(procedure).status, kinds()) == (status, step, waits)
    assert bool(running.query_worklist(station_ae_title="")) is offered
    assert PerformedProcedureStep.objects.get().discontinuation_meaning == "As the scanner words it"


def test_a_wrong_entry_from_the_scanner_to_the_right_exam(running, dispatch):
    """radiology: images made under the wrong entry, the right one chosen afterwards by a person, then undone."""
    wrong = running.procedure
    right = schedule("CT1", hour=2, family_name="Mwangi", given_name="Baraka")
    running.store_images(2)
    running.store_dose_report()
    assert running.complete() == 0x0000
    assert fresh(wrong).status == "ready_to_read"
    move_evidence(wrong, target=right, reason="Baraka was on the table", actor=SYSTEM)
    dispatch()
    offered = [item.AccessionNumber for item in running.query_worklist()]
    assert offered == [wrong.accession_number] and fresh(right).status == "ready_to_read"
    act = Reconciliation.objects.get()
    assert (act.source, act.target) == (wrong, right)


# --- the same message again, on lines that break


def test_repeated_messages_on_cut_lines_leave_one_step_each(scp):
    """R6, shortened unless R6_STEPS says otherwise: each message is repeated until it is answered, and once more."""
    count = int(os.environ.get("R6_STEPS", "10"))
    procedures = [schedule("CT1", hour=0, family_name="First")]
    items = scp.scanner().query_worklist()
    with cutting(scp.port) as relay:
        for number in range(count):
            if number:
                procedures.append(_planned(number))
                items = [
                    row
                    for row in scp.scanner().query_worklist()
                    if row.AccessionNumber == procedures[-1].accession_number
                ]
            _perform(scp, relay.port, items[0])
        assert relay.cut_count > 0
    steps = PerformedProcedureStep.objects.all()
    assert steps.count() == count and set(steps.values_list("status", flat=True)) == {"COMPLETED"}
    for step in steps:
        told = list(step.history.order_by("history_id").values_list("status", flat=True))
        assert told == sorted(told, key=["IN PROGRESS", "COMPLETED"].index)
    assert {fresh(row).status for row in procedures} == {ProcedureStatus.PERFORMED}


def _planned(number: int):
    """Without an appointment: a day has fewer slots than this has steps."""
    from tests.factories.orders import make_procedure
    from worklist.services import ensure_step

    procedure = make_procedure(patient=make_patient(given_name=f"No{number}"), codes=[make_catalogue("CTCHEST").code])
    ensure_step(procedure, station=make_station("CT1"), actor=SYSTEM)
    return procedure


def _perform(scp, cut_port: int, item: Dataset) -> None:
    scanner = scp.scanner()
    scanner.port, straight = cut_port, scanner.port
    assert _until_answered(lambda: scanner.start(item), scanner.repeat_start) in (0x0000, 0x0111)
    assert _until_answered(scanner.complete, scanner.complete) in (0x0000, 0x0110)
    scanner.port = straight
    assert scanner.repeat_start() == 0x0111
    assert scanner.complete() == 0x0110


def _until_answered(first, again) -> int:
    ask = first
    for _attempt in range(60):
        try:
            status = ask()
        except scu.CallFailed:
            status = -1
        if status >= 0:
            return status
        ask = again
    raise AssertionError("never answered")
