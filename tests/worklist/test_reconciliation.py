"""Whose evidence it is: moved, linked, split, merged; each act undone, exams and scanners follow at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from dose.models import DoseReport
from orders import services as orders
from orders.models import Charge, PriceItem, ProcedureStatus, RequestedProcedure
from ris.accounts.models import User
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotKnown, NotPermitted
from ris.core.ids import new_uid
from ris.events.models import OutboxEvent
from tests.conftest import shared_start
from tests.factories.orders import make_actor, make_patient, make_user
from tests.factories.worklist import (
    SCANNER,
    STORE,
    booked,
    ct_procedure,
    series_of,
    started,
    step_of,
    stored,
)
from worklist.codes import TIME_OUT_CHECKS
from worklist.data import PerformedStepData
from worklist.models import (
    ConsumableUse,
    ExceptionItem,
    ImagingInstance,
    ImagingSeries,
    ImagingStudy,
    PerformedProcedureStep,
    Reconciliation,
    TimeOut,
)
from worklist.services import (
    index_instance,
    link_exception,
    link_study,
    merge_studies,
    move_evidence,
    read_limited_study,
    record_consumable,
    record_time_out,
    split_study,
    undo_reconciliation,
    unlink_study,
    update_performed_step,
)

pytestmark = pytest.mark.usefixtures("alpha", "begun")


def fresh(row):
    row.refresh_from_db()
    return row


def kinds() -> list[str]:
    return list(ExceptionItem.objects.open().order_by("pk").values_list("kind", flat=True))


@pytest.fixture(scope="module")
def begun(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """Two entries of the worklist, and who puts right what went wrong with them."""
    with shared_start(django_db_blocker):
        amina = make_patient(family_name="Hassan", given_name="Amina")
        baraka = make_patient(family_name="Mwangi", given_name="Baraka")
        yield SimpleNamespace(
            person=make_user("technologist").pk,
            wrong=booked(ct_procedure(patient=amina), starts_at=timezone.now() + timedelta(hours=1)).procedure.pk,
            right=booked(ct_procedure(patient=baraka), starts_at=timezone.now() + timedelta(hours=2)).procedure.pk,
        )


@pytest.fixture
def person(alpha, begun):
    return Actor("web", User.objects.get(pk=begun.person))


@pytest.fixture
def wrong(alpha, begun):
    """Amina's entry, which was chosen; her exam has not been done."""
    return RequestedProcedure.objects.get(pk=begun.wrong)


@pytest.fixture
def right(alpha, begun):
    """Baraka's entry; his exam was done, under Amina's name."""
    return RequestedProcedure.objects.get(pk=begun.right)


def performed_as(procedure, *, images: int = 2):
    """By the scanner, with the entry of ``procedure``: step, images, the step's end."""
    step = started(procedure)
    uids, series = [new_uid() for _number in range(images)], new_uid()
    for uid in uids:
        index_instance(stored(procedure, sop_instance_uid=uid, series_instance_uid=series), actor=STORE)
    update_performed_step(
        sop_instance_uid=step.sop_instance_uid,
        changes=PerformedStepData(status="COMPLETED", series=series_of(*uids, series_uid=series)),
        actor=SCANNER,
    )
    return fresh(step)


def dose_of(procedure, study) -> DoseReport:
    report = stored(procedure, study_instance_uid=study.study_instance_uid, rows=None, columns=None, modality="SR")
    index_instance(report, actor=STORE)
    return DoseReport.objects.create(
        sop_instance_uid=report.sop_instance_uid,
        study_instance_uid=study.study_instance_uid,
        study=study,
        procedure=procedure,
        modality="CT",
    )


# --- the wrong worklist entry


def test_moving_takes_everything_along_and_opens_the_other_exam_again(wrong, right, person, dispatch):
    PriceItem.objects.create(code="P1", label="CT head", catalogue=wrong.catalogue, amount=100)
    record_time_out(wrong, identifiers=["name", "birth_date"], checks=list(TIME_OUT_CHECKS), actor=person)
    step = performed_as(wrong)
    record_consumable(wrong, label="Iohexol", quantity=80, lot="L1", actor=person)
    study = ImagingStudy.objects.get()
    dose = dose_of(wrong, study)
    assert fresh(wrong).status == "ready_to_read" and not step_of(wrong).is_on_worklist

    act = move_evidence(wrong, target=right, reason="Baraka was on the table", actor=person)

    assert (fresh(wrong).status, fresh(right).status) == ("scheduled", "ready_to_read")
    assert (step_of(wrong).status, step_of(wrong).is_on_worklist) == ("SCHEDULED", True)
    assert (wrong.started_at, wrong.performed_at, wrong.images_complete_at) == (None, None, None)
    assert wrong.appointments.get().status == "booked"
    assert list(step.scheduled_steps.all()) == [step_of(right)] and step_of(right).status == "COMPLETED"
    assert list(study.procedures.all()) == [right]
    assert TimeOut.objects.get().procedure == right and ConsumableUse.objects.get().procedure == right
    assert {row.procedure_id for row in Charge.objects.exclude(status="aborted")} == {right.pk}
    dispatch()
    assert fresh(dose).procedure == right
    assert (act.source, act.target, act.done_by, act.reason) == (wrong, right, person.user, "Baraka was on the table")
    event = OutboxEvent.objects.get(name="worklist.evidence_moved")
    assert (event.payload["source"], event.payload["target"]) == (str(wrong.uuid), str(right.uuid))
    assert "Baraka" not in str(event.payload) and "Mwangi" not in str(event.payload)
    assert kinds() == []


def test_undo_puts_both_exams_back_exactly(wrong, right, person, dispatch):
    record_time_out(wrong, identifiers=["name", "birth_date"], checks=list(TIME_OUT_CHECKS), actor=person)
    step = performed_as(wrong)
    study = ImagingStudy.objects.get()
    dose = dose_of(wrong, study)
    before = [fresh(wrong).status, wrong.performed_at, wrong.images_complete_at, fresh(right).status]
    act = move_evidence(wrong, target=right, reason="Wrong line", actor=person)
    dispatch()

    undo_reconciliation(act, reason="It was Amina after all", actor=person)

    assert [fresh(wrong).status, wrong.performed_at, wrong.images_complete_at, fresh(right).status] == before
    assert (step_of(wrong).status, step_of(right).status, step_of(right).is_on_worklist) == (
        "COMPLETED", "SCHEDULED", True,
    )  # fmt: skip
    assert list(study.procedures.all()) == [wrong]
    assert list(step.scheduled_steps.all()) == [step_of(wrong)]
    assert TimeOut.objects.get().procedure == wrong
    dispatch()
    assert fresh(dose).procedure == wrong
    assert (fresh(act).undone_by, act.undo_reason) == (person.user, "It was Amina after all")
    reasons = "".join(wrong.history.values_list("history_change_reason", flat=True))
    assert "Undone: It was Amina after all" in reasons and person.user.username in reasons
    with pytest.raises(Conflict):
        undo_reconciliation(act, reason="Again", actor=person)


def test_undo_after_the_other_exam_was_begun_anew_follows_the_evidence(wrong, right, person):
    performed_as(wrong)
    act = move_evidence(wrong, target=right, reason="Wrong line", actor=person)
    again = started(wrong)
    undo_reconciliation(act, reason="No", actor=person)
    assert fresh(wrong).status == "in_progress"
    assert PerformedProcedureStep.objects.filter(scheduled_steps__procedure=wrong).count() == 2
    assert fresh(right).status == "scheduled" and step_of(right).is_on_worklist
    assert again.scheduled_steps.exists()


def test_what_was_moved_on_is_undone_in_order(wrong, right, person):
    third = booked(starts_at=timezone.now() + timedelta(hours=3)).procedure
    performed_as(wrong)
    first = move_evidence(wrong, target=right, reason="Not hers", actor=person)
    second = move_evidence(right, target=third, reason="Not his", actor=person)
    with pytest.raises(Conflict):
        undo_reconciliation(first, reason="Back", actor=person)
    undo_reconciliation(second, reason="Back", actor=person)
    undo_reconciliation(first, reason="Back", actor=person)
    assert [fresh(row).status for row in (wrong, right, third)] == ["ready_to_read", "scheduled", "scheduled"]


def test_objects_that_name_the_wrong_patient_are_rejected_in_archives_and_shown_here(wrong, right, person):
    performed_as(wrong)
    study = ImagingStudy.objects.get()
    act = move_evidence(wrong, target=right, reason="Wrong line", actor=person)
    rejection = study.rejections.get()
    assert (rejection.code, len(rejection.instances)) == ("113038", 2)
    assert not ImagingInstance.objects.filter(is_rejected=True).exists() and fresh(study).instance_count == 2
    undo_reconciliation(act, reason="No", actor=person)
    assert fresh(rejection).restored_at is not None


def test_another_exam_of_the_same_patient_needs_no_rejection(wrong, person):
    other = booked(ct_procedure(patient=wrong.order.patient), starts_at=timezone.now() + timedelta(hours=3)).procedure
    performed_as(wrong)
    move_evidence(wrong, target=other, reason="The other exam", actor=person)
    assert not ImagingStudy.objects.get().rejections.exists()


def test_a_report_that_was_read_on_others_images_is_flagged(wrong, right, person):
    performed_as(wrong)
    for status in (ProcedureStatus.READING, ProcedureStatus.PRELIMINARY, ProcedureStatus.FINAL):
        procedure = fresh(wrong)
        procedure.status = status
        procedure.save_as(SYSTEM, "read")
        act = move_evidence(wrong, target=right, reason="Wrong line", actor=person)
        item = ExceptionItem.objects.open().get(kind="read_on_others")
        assert (item.procedure, item.detail["status"], fresh(wrong).status) == (wrong, status, "scheduled")
        moved = OutboxEvent.objects.filter(name="worklist.evidence_moved").order_by("-pk").first()
        assert moved.payload["was_read"] == [str(wrong.uuid)]
        undo_reconciliation(act, reason="No", actor=person)
        assert fresh(wrong).status == status and kinds() == []


def test_moving_is_refused_without_reason_right_or_evidence(wrong, right, person):
    with pytest.raises(NotKnown):
        move_evidence(wrong, target=right, reason="Nothing was done", actor=person)
    performed_as(wrong)
    with pytest.raises(InvalidData):
        move_evidence(wrong, target=right, reason="  ", actor=person)
    with pytest.raises(InvalidData):
        move_evidence(wrong, target=wrong, reason="Same", actor=person)
    with pytest.raises(NotPermitted):
        move_evidence(wrong, target=right, reason="I may not", actor=make_actor("clerk"))
    orders.cancel_procedure(right, reason_code="110500", actor=SYSTEM)
    with pytest.raises(InvalidTransition):
        move_evidence(wrong, target=right, reason="Called off", actor=person)
    assert not Reconciliation.objects.exists() and fresh(wrong).status == "ready_to_read"


def test_after_110514_the_exception_moves_step_and_images_together(wrong, right, person):
    step = started(wrong)
    index_instance(stored(wrong, sop_instance_uid="1.2.9.1"), actor=STORE)
    update_performed_step(
        sop_instance_uid=step.sop_instance_uid,
        changes=PerformedStepData(status="DISCONTINUED", discontinuation_code="110514", series=series_of("1.2.9.1")),
        actor=SCANNER,
    )
    assert kinds() == ["wrong_entry"] and fresh(wrong).status == "scheduled"
    link_exception(ExceptionItem.objects.get(), procedure=right, reason="It was Baraka", actor=person)
    assert (fresh(wrong).status, fresh(right).status, kinds()) == ("scheduled", "ready_to_read", [])
    assert step_of(wrong).is_on_worklist and list(ImagingStudy.objects.get().procedures.all()) == [right]
    act = Reconciliation.objects.get()
    undo_reconciliation(act, reason="No", actor=person)
    assert kinds() == ["wrong_entry"]
    assert (fresh(right).status, step.scheduled_steps.count()) == ("scheduled", 0)


# --- link and unlink


def test_a_link_is_undone_and_the_images_wait_again(right, person):
    index_instance(stored(patient_id="X", patient_name="Typed^By hand"), actor=STORE)
    study = ImagingStudy.objects.get()
    link_study(study, procedure=right, reason="Asked at the scanner", actor=person)
    assert kinds() == [] and list(study.procedures.all()) == [right]
    undo_reconciliation(Reconciliation.objects.get(), reason="It was somebody else", actor=person)
    assert kinds() == ["unmatched_study"] and not study.procedures.exists()
    assert fresh(right).status == "scheduled" and step_of(right).is_on_worklist


def test_an_unlink_is_undone(right, person):
    performed_as(right)
    study = ImagingStudy.objects.get()
    unlink_study(study, procedure=right, reason="Not his", actor=person)
    assert kinds() == ["unmatched_study"] and not study.procedures.exists()
    undo_reconciliation(Reconciliation.objects.get(), reason="His after all", actor=person)
    assert kinds() == [] and list(study.procedures.all()) == [right]
    assert fresh(right).status == "ready_to_read"


def test_step_and_images_that_wait_are_linked_in_one_act(right, person):
    uid = new_uid()
    sent = {"patient_id": "X1", "patient_name": "Doe^Jhon"}
    step = started(scheduled_steps=(), **sent)
    PerformedProcedureStep.objects.filter(pk=step.pk).update(study_instance_uid=uid)
    index_instance(stored(study_instance_uid=uid, **sent), actor=STORE)
    assert kinds() == ["unscheduled_step", "unmatched_study"]
    link_exception(ExceptionItem.objects.get(study__isnull=False), procedure=right, reason="Seen", actor=person)
    assert kinds() == [] and fresh(right).status == "in_progress"
    assert Reconciliation.objects.count() == 1
    undo_reconciliation(Reconciliation.objects.get(), reason="No", actor=person)
    assert sorted(kinds()) == ["unmatched_study", "unscheduled_step"] and fresh(right).status == "scheduled"


# --- split and merge


def two_series(procedure, *, of: dict | None = None):
    uids = new_uid(), new_uid()
    for uid in uids:
        index_instance(stored(procedure, series_instance_uid=uid, **(of or {})), actor=STORE)
    return ImagingStudy.objects.get(study_instance_uid=procedure.study_instance_uid), uids


def test_some_series_become_another_exams_study(wrong, right, person):
    study, (first, second) = two_series(wrong)
    act = split_study(study, series=[second], target=right, reason="Two patients in one study", actor=person)
    new = ImagingStudy.objects.exclude(pk=study.pk).get()
    assert list(new.procedures.all()) == [right] and list(study.procedures.all()) == [wrong]
    assert [row.series_instance_uid for row in new.series.all()] == [second]
    assert (fresh(study).instance_count, study.series_count, new.instance_count) == (1, 1, 1)
    late = stored(wrong, series_instance_uid=second)
    index_instance(late, actor=STORE)
    assert ImagingInstance.objects.get(sop_instance_uid=late.sop_instance_uid).series.study == new
    undo_reconciliation(act, reason="One patient after all", actor=person)
    assert {row.series_instance_uid for row in study.series.all()} == {first, second}
    assert (fresh(study).instance_count, fresh(new).instance_count) == (3, 0)
    assert not new.procedures.exists() and fresh(right).status == "scheduled"
    assert not ImagingSeries.objects.exclude(acquired_study_instance_uid="").exists()


def test_split_off_without_an_exam_waits_for_a_person(wrong, person):
    study, (_first, second) = two_series(wrong)
    act = split_study(study, series=[second], reason="Somebody else's", actor=person)
    assert kinds() == ["unmatched_study"] and act.target is None
    undo_reconciliation(act, reason="No", actor=person)
    assert kinds() == [] and fresh(study).series_count == 2


def test_a_split_of_nothing_all_or_strangers_is_refused(wrong, person):
    study, uids = two_series(wrong)
    for chosen in ([], uids, ["1.2.3.999"]):
        with pytest.raises((InvalidData, NotKnown)):
            split_study(study, series=chosen, reason="Why", actor=person)
    assert ImagingStudy.objects.count() == 1


def test_two_studies_of_one_exam_become_one(right, person):
    study, _uids = two_series(right)
    other = stored(right, study_instance_uid=new_uid())
    index_instance(other, actor=STORE)
    second = ImagingStudy.objects.exclude(pk=study.pk).get()
    act = merge_studies(second, into=study, reason="The scanner began a new study", actor=person)
    assert (fresh(study).series_count, fresh(second).series_count) == (3, 0)
    assert list(right.studies.all()) == [study]
    late = stored(right, study_instance_uid=other.study_instance_uid)
    index_instance(late, actor=STORE)
    assert ImagingInstance.objects.get(sop_instance_uid=late.sop_instance_uid).series.study == study
    undo_reconciliation(act, reason="Two after all", actor=person)
    assert (fresh(study).series_count, fresh(second).series_count) == (2, 2)
    assert {row.pk for row in right.studies.all()} == {study.pk, second.pk}


def test_studies_of_two_patients_are_not_merged(wrong, right, person):
    study, _uids = two_series(wrong)
    other, _uids = two_series(right)
    with pytest.raises(Conflict):
        merge_studies(study, into=other, reason="Why not", actor=person)


# --- a limited study


def test_a_discontinued_exam_with_images_may_be_read(right, person):
    step = started(right)
    index_instance(stored(right, sop_instance_uid="1.2.9.7"), actor=STORE)
    update_performed_step(
        sop_instance_uid=step.sop_instance_uid,
        changes=PerformedStepData(status="DISCONTINUED", discontinuation_code="110515", series=series_of("1.2.9.7")),
        actor=SCANNER,
    )
    item = ExceptionItem.objects.get(kind="discontinued")
    assert fresh(right).status == "discontinued"
    read_limited_study(item, reason="Half of the chest is enough", actor=person)
    assert fresh(right).status == "ready_to_read" and kinds() == []


def test_without_images_there_is_nothing_to_read(right, person):
    step = started(right)
    update_performed_step(
        sop_instance_uid=step.sop_instance_uid,
        changes=PerformedStepData(status="DISCONTINUED", discontinuation_code="110505"),
        actor=SCANNER,
    )
    with pytest.raises(InvalidTransition):
        read_limited_study(ExceptionItem.objects.get(), reason="Look", actor=person)
    assert fresh(right).status == "discontinued"


def test_who_wrote_the_report_is_told_and_the_report_says_so(wrong, right, person, dispatch, tclient):
    from reporting.services import open_report
    from ris.notifications.models import Notification

    performed_as(wrong)
    reader = make_actor("radiologist")
    report = open_report([fresh(wrong)], actor=reader)
    act = move_evidence(wrong, target=right, reason="Wrong line", actor=person)
    dispatch()
    told = Notification.objects.filter(recipient=reader.user, url=f"/reports/{report.uuid}/")
    assert told.exists() and kinds() == ["read_on_others"]
    tclient.force_login(reader.user, backend="ris.accounts.backends.PasswordBackend")
    words = "were put under the exam that they belong to"
    assert words in tclient.get(f"/reports/{report.uuid}/").content.decode()
    undo_reconciliation(act, reason="No", actor=person)
    assert words not in tclient.get(f"/reports/{report.uuid}/").content.decode()
