"""REDCap read over its real API: what becomes of records, corrections, deletions, outages and wrong tokens."""

from __future__ import annotations

import threading
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.utils import timezone

from interop.models import RowState, Source, SourceRow, SourceRun
from interop.sources import running, services
from interop.sources.running import run_now
from interop.sources.wire import SourceFailed, Wire
from orders import services as orders
from orders.models import Order, Patient, RequestedProcedure
from ris.audit.models import AuditEvent, Outcome
from ris.core.actor import SYSTEM
from ris.core.errors import Conflict
from ris.core.permissions import IT_ADMIN
from ris.notifications.models import Notification
from ris.tenants.context import use_facility
from tests.factories.accounts import user_with_roles
from worklist import services as worklist
from worklist.models import ScheduledProcedureStep

NAIROBI = ZoneInfo("Africa/Nairobi")


def visit(last: str = "Achieng", **values: str) -> dict[str, str]:
    day = timezone.now().astimezone(NAIROBI) + timedelta(days=1)
    return {
        "last_name": last,
        "first_name": "Grace",
        "dob": "2001-04-05",
        "sex": "2",
        "weight_lb": "150",
        "mri_date": f"{day:%Y-%m-%d}",
        "mri_time": "10:30",
        "station": "",
        "visit_status": "scheduled",
        **values,
    }


def run(source: Source) -> SourceRun:
    finished = run_now(source)
    source.refresh_from_db()
    return finished


def row_of(external_id: str) -> SourceRow:
    return SourceRow.objects.select_related("procedure__order__patient").get(external_id=external_id)


def numbers_now() -> list[tuple[str, str]]:
    return list(RequestedProcedure.objects.order_by("pk").values_list("accession_number", "study_instance_uid"))


def test_records_become_patients_orders_and_steps_once(source, redcap):
    for number in range(7):
        redcap.put(f"{number}", visit(last=f"Family{number}"))
    redcap.put("none", {"last_name": "Notplanned"})
    first = run(source)
    assert (first.state, first.read, first.created, first.rejected, first.error) == ("done", 7, 7, 0, "")
    row = row_of("3")
    patient, procedure = row.procedure.order.patient, row.procedure
    assert (patient.family_name, patient.given_name, patient.sex) == ("Family3", "Grace", "F")
    assert patient.birth_date.isoformat() == "2001-04-05" and float(patient.weight_kg) == pytest.approx(68.04)
    identifier = patient.identifiers.get()
    assert (identifier.value, identifier.issuer) == ("sub-3", "STUDY")
    assert (procedure.code, procedure.code_scheme, procedure.modality) == ("BRAIN_MRI_3T", "GEHC", "MR")
    step = ScheduledProcedureStep.objects.get(procedure=procedure)
    assert step.starts_at.astimezone(NAIROBI).strftime("%H:%M") == "10:30"
    numbers = numbers_now()
    again = run(source)
    third = run(source)
    assert (again.created, again.updated, again.rejected) == (0, 0, 0) and third.pk == again.pk and third.repeats == 2
    assert numbers == list(
        RequestedProcedure.objects.order_by("pk").values_list("accession_number", "study_instance_uid")
    )
    assert Patient.objects.count() == 7 and Order.objects.count() == 7 and ScheduledProcedureStep.objects.count() == 7
    asked = [form for form in redcap.asked if form["content"] == "record" and "dateRangeBegin" in form]
    assert asked and asked[-1]["dateRangeBegin"] < asked[-1]["dateRangeEnd"]


def test_corrections_update_and_deletions_cancel(source, redcap):
    redcap.put("1", visit())
    redcap.put("2", visit(last="Barasa"))
    redcap.put("3", visit(last="Chebet"))
    run(source)
    before = row_of("1").procedure
    uid = before.study_instance_uid
    redcap.put("1", visit(last="Achieng-Otieno", mri_time="15:45", weight_lb="160"))
    del redcap.records["2"]
    redcap.put("3", visit(last="Chebet", mri_date=""))
    done = run(source)
    assert (done.updated, done.cancelled, done.created) == (1, 2, 0)
    row = row_of("1")
    assert row.procedure.study_instance_uid == uid and row.procedure.order.patient.family_name == "Achieng-Otieno"
    step = ScheduledProcedureStep.objects.get(procedure=row.procedure)
    assert step.starts_at.astimezone(NAIROBI).strftime("%H:%M") == "15:45"
    gone = row_of("2")
    assert gone.state == RowState.CANCELLED and gone.procedure.status == "cancelled"
    assert gone.procedure.reason_text == "study: The record was deleted in REDCap."
    assert row_of("3").procedure.status == "cancelled" and not step.is_blocked
    # planned again: the same exam, the same numbers
    redcap.put("3", visit(last="Chebet"))
    uid = row_of("3").procedure.study_instance_uid
    again = run(source)
    assert again.updated == 1, row_of("3").reasons
    back = row_of("3")
    assert (back.state, back.procedure.status, back.procedure.study_instance_uid) == ("applied", "scheduled", uid)


def test_a_sync_never_lowers_a_status(source, redcap):
    redcap.put("1", visit())
    redcap.put("2", visit(last="Barasa"))
    run(source)
    for number in "12":
        worklist.start_exam(row_of(number).procedure, actor=SYSTEM)
    redcap.put("1", visit(mri_time="16:00", weight_lb="170"))
    del redcap.records["2"]
    done = run(source)
    assert (done.kept, done.cancelled, done.updated) == (1, 0, 0)
    row = row_of("1")
    assert row.procedure.status == "in_progress" and row.state == RowState.KEPT and "has begun" in row.reasons[""]
    assert float(row.procedure.order.patient.weight_kg) == pytest.approx(77.11)
    assert row_of("2").procedure.status == "in_progress"
    redcap.put("1", visit(mri_time="16:00", weight_lb="170", visit_status="cancelled"))
    assert run(source).kept == 1 and row_of("1").procedure.status == "in_progress"


def test_rows_are_rejected_with_reasons_and_come_right(source, redcap):
    redcap.put("1", visit(dob="31.02.2001", sex="9"))
    redcap.put("2", visit(station="NOWHERE"))
    redcap.put("3", visit(last=""))
    redcap.put("4", visit(last="Good"))
    done = run(source)
    assert (done.created, done.rejected) == (1, 3)
    first = row_of("1")
    assert set(first.reasons) == {"birth_date", "sex"} and "31.02" not in str(first.reasons)
    assert "NOWHERE" in row_of("2").reasons["station"]
    assert set(row_of("3").reasons) <= {"family_name"}
    assert run(source).rejected == 0, "an unchanged row is not rejected again and again"
    redcap.put("1", visit(dob="2001-02-28", sex="1"))
    assert run(source).created == 1 and row_of("1").state == RowState.APPLIED
    services.sync_now(source, actor=SYSTEM)
    assert run(source).rejected == 2, "a person asked for another try"


def test_another_patient_under_a_known_number_is_refused(source, redcap):
    orders.register_patient(
        family_name="Somebody", given_name="Else", birth_date="1950-01-01", sex="M",
        identifiers=[{"value": "sub-1", "issuer": "STUDY", "type": "MR"}], actor=SYSTEM,
    )  # fmt: skip
    redcap.put("1", visit())
    assert run(source).rejected == 1
    row = row_of("1")
    assert "patient_id" in row.reasons and row.procedure is None and Patient.objects.count() == 1
    refused_events = AuditEvent.objects.filter(source="source", outcome=Outcome.REFUSED)
    assert [event.ae_title for event in refused_events] == ["study"]


def test_a_wrong_patient_number_is_corrected_before_the_exam(source, redcap):
    source = services.save_source(
        source, mapping=[{"target": "patient_id", "source": "station"}, *source.mapping[1:11]], actor=SYSTEM
    )
    redcap.put("1", visit(station="P-1"))
    run(source)
    redcap.put("1", visit(last="Nyambura", dob="1999-09-09", station="P-2"))
    assert run(source).updated == 1
    procedure = row_of("1").procedure
    assert procedure.order.patient.identifiers.get().value == "P-2" and procedure.status == "scheduled"
    worklist.start_exam(procedure, actor=SYSTEM)
    redcap.put("1", visit(last="Wanjiru", dob="1988-08-08", station="P-3"))
    assert run(source).rejected == 1 and row_of("1").procedure.order.patient.family_name == "Nyambura"


@pytest.mark.parametrize(
    ("trouble", "code", "words"),
    [
        ("drop", "outage", "cannot be reached"),
        ("500", "outage", "answered 500"),
        ("html", "malformed", "no JSON"),
        ("cut", "outage", "broke off"),
        ("list_of_numbers", "malformed", "did not answer as REDCap"),
    ],
)
def test_trouble_is_told_in_words_and_nothing_is_missed(source, redcap, trouble, code, words):
    run(source)
    mark = source.synced_until
    redcap.trouble = trouble
    redcap.put("1", visit())
    failed = run(source)
    assert (failed.state, failed.error_code) == ("failed", code) and words in failed.error
    assert "/var/www" not in failed.error and "9A81268" not in failed.error
    assert source.synced_until == mark and source.failures == 1 and source.running_since is None
    assert source.next_run_at >= timezone.now() + timedelta(seconds=55)
    pause = source.next_run_at - timezone.now()
    again = run(source)
    assert again.pk == failed.pk and again.repeats == 2 and source.next_run_at - timezone.now() > pause
    redcap.trouble = ""
    assert run(source).created == 1 and source.failures == 0 and source.last_error == ""


def test_a_wrong_token_is_told_as_redcap_tells_it(source, redcap):
    redcap.token = "another"
    failed = run(source)
    assert failed.error_code == "refused" and "403" in failed.error
    assert "You do not have permissions to use the API" in failed.error and "9A81268" not in failed.error
    with pytest.raises(SourceFailed, match="403"):
        services.test_source(source, actor=SYSTEM)
    redcap.token = redcap.asked[0]["token"]
    assert {"dob", "sex:label", "site"} <= set(services.test_source(source, actor=SYSTEM))


def test_a_slow_drip_ends_with_the_runs_time(source, redcap, monkeypatch):
    redcap.put("1", visit())
    redcap.trouble = "slow"
    monkeypatch.setattr(running, "Wire", lambda seconds: Wire(seconds=0.7))
    began = timezone.now()
    failed = run(source)
    assert failed.error_code == "too_slow" and timezone.now() - began < timedelta(seconds=4)


def test_people_are_told_once_that_it_fails_and_once_that_it_works(source, redcap):
    user_with_roles(IT_ADMIN)
    redcap.trouble = "drop"
    for _try in range(6):
        run(source)
    told = Notification.objects.filter(template="interop.source_failing")
    assert told.filter(channel="in_app").count() == 1 and told.filter(channel="email").count() <= 1
    redcap.trouble = ""
    run(source)
    run(source)
    assert Notification.objects.filter(template="interop.source_recovered").count() == 1
    redcap.trouble = "drop"
    for _try in range(3):
        run(source)
    assert told.filter(channel="in_app").count() == 2


def test_when_too_many_vanish_a_person_looks_first(source, redcap):
    for number in range(8):
        redcap.put(f"{number}", visit(last=f"Family{number}"))
    run(source)
    redcap.records.clear()
    mark = source.synced_until
    held = run(source)
    assert source.synced_until == mark, "what was held back is asked for again"
    assert held.cancelled == 0 and held.error_code == "many_gone" and "8 entries" in source.last_error
    services.sync_now(source, accepts_gone=True, actor=SYSTEM)
    source.refresh_from_db()
    assert run(source).cancelled == 8 and not source.accepts_gone and source.synced_until > mark


def test_a_preview_changes_nothing(source, redcap):
    redcap.put("1", visit())
    redcap.put("2", visit(dob="nonsense"))
    seen = services.preview(source, actor=SYSTEM)
    assert (seen.count("created"), seen.count("rejected"), seen.read) == (1, 1, 2)
    assert Patient.objects.count() == 0 and SourceRow.objects.count() == 0 and SourceRun.objects.count() == 0
    run(source)
    redcap.put("1", visit(mri_time="17:00"))
    seen = services.preview(source, actor=SYSTEM)
    (change,) = next(one for one in seen.outcomes if one.external_id == "1").changes
    assert change.name == "starts_at" and not change.is_private
    assert row_of("1").procedure.status == "scheduled"


def test_the_second_of_two_runs_is_told_that_one_runs(transactional_db, source, redcap):
    redcap.put("1", visit())
    redcap.trouble = "slow"
    Source.objects.filter(pk=source.pk).update(time_limit_seconds=5)
    thread = threading.Thread(target=_run_elsewhere, args=(source.pk,))
    thread.start()
    try:
        deadline = timezone.now() + timedelta(seconds=5)
        while timezone.now() < deadline and not Source.objects.filter(running_since__isnull=False).exists():
            pass
        with pytest.raises(Conflict, match="being read already"):
            services.sync_now(source, actor=SYSTEM)
        with pytest.raises(Conflict):
            run_now(source)
    finally:
        redcap.trouble = ""
        thread.join()


def _run_elsewhere(pk: int) -> None:
    with use_facility("alpha"):
        run_now(Source.objects.get(pk=pk))
    connections.close_all()


def test_repeating_instruments_and_events(source, redcap):
    services.save_source(
        source,
        config={**source.config, "instrument": "mri", "events": ["t1_arm_1", "t2_arm_1"]},
        mapping=[{"target": "requested_procedure_id", "template": "V{redcap_repeat_instance}"}, *source.mapping],
        actor=SYSTEM,
    )
    base = {"last_name": "Kip", "first_name": "A", "dob": "2000-01-01", "sex": "1"}
    day = visit()["mri_date"]

    def instance(event: str, number: int) -> dict[str, str]:
        return {
            "redcap_event_name": event, "redcap_repeat_instrument": "mri", "redcap_repeat_instance": str(number),
            "mri_date": day, "mri_time": f"1{number}:00",
        }  # fmt: skip

    rows = [
        {"redcap_event_name": "t1_arm_1", "redcap_repeat_instrument": "", **base},
        instance("t1_arm_1", 1), instance("t1_arm_1", 2), instance("t2_arm_1", 1), instance("screening_arm_1", 1),
    ]  # fmt: skip
    redcap.put("5", *rows)
    for shape in ("flat", "eav"):
        source.refresh_from_db()
        services.save_source(source, config={**source.config, "type": shape}, actor=SYSTEM)
        source.refresh_from_db()
        run(source)
        ids = set(SourceRow.objects.values_list("external_id", flat=True))
        assert ids == {"5|t1_arm_1|mri|1", "5|t1_arm_1|mri|2", "5|t2_arm_1|mri|1"}, shape
    assert Patient.objects.get().family_name == "Kip" and RequestedProcedure.objects.count() == 3
    redcap.put("5", *[row for row in rows if row.get("redcap_repeat_instance") != "2"])
    assert run(source).cancelled == 1 and row_of("5|t1_arm_1|mri|2").procedure.status == "cancelled"
