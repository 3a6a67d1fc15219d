"""Calpendo read by its WebDAV queries: bookings, their time zone and windows, cancellations, deletions, failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from interop.models import Source, SourceRow, SourceRun
from interop.sources import calpendo as module
from interop.sources import services
from interop.sources.running import run_now
from ris.core.actor import SYSTEM
from tests.factories.worklist import make_station
from worklist.models import Reservation, ScheduledProcedureStep
from worklist.services import start_exam

EDMONTON = ZoneInfo("America/Edmonton")


def at(hours: float) -> str:
    """So many hours from now, as Calpendo's clock shows it."""
    return f"{timezone.now().astimezone(EDMONTON) + timedelta(hours=hours):%Y-%m-%d %H:%M}"


def run(source: Source) -> SourceRun:
    finished = run_now(source)
    source.refresh_from_db()
    return finished


def row_of(number: int) -> SourceRow:
    return SourceRow.objects.select_related("procedure__order__patient").get(external_id=str(number))


def test_bookings_become_worklist_items_in_the_zone_of_the_source(bookings, calpendo):
    calpendo.book(11, "SUB001_Doe", at(3), at(4))
    calpendo.book(12, "SUB002_Roe", at(5), at(6), resource="EEG Lab", status="Pending")
    calpendo.book(13, "SUB003_Poe", at(5), at(6), resource="Mock Scanner")
    calpendo.book(14, "SUB004_Far", at(90), at(91))
    done = run(bookings)
    assert (done.state, done.created, done.rejected, done.error) == ("done", 1, 0, "")
    row = row_of(11)
    patient = row.procedure.order.patient
    assert patient.family_name == "Doe" and patient.identifiers.get().value == "SUB001"
    assert row.procedure.description == "BRISKP" and row.procedure.modality == "MR"
    step = ScheduledProcedureStep.objects.get(procedure=row.procedure)
    assert (
        step.starts_at.astimezone(EDMONTON).strftime("%Y-%m-%d %H:%M") == calpendo.bookings[11]["formattedName"][1:17]
    )
    assert run(bookings).created == 0 and SourceRow.objects.count() == 1
    calpendo.bookings[12]["status"] = "Approved"
    calpendo.book(11, "SUB001_Doe", at(4), at(5))
    done = run(bookings)
    assert (done.created, done.updated) == (1, 1) and row_of(12).procedure.modality == "OT"


@pytest.mark.parametrize("how", ["deleted", "cancelled", "status", "resource"])
def test_what_is_no_longer_booked_is_cancelled_with_its_reason(bookings, calpendo, how):
    calpendo.book(21, "SUB001_Doe", at(3), at(4))
    calpendo.book(22, "SUB002_Roe", at(3), at(4))
    run(bookings)
    start_exam(row_of(22).procedure, actor=SYSTEM)
    if how == "deleted":
        calpendo.bookings.clear()
    for booking in calpendo.bookings.values():
        if how == "cancelled":
            booking["properties"].update(cancelled=True, cancellationReason="Participant is ill")
        elif how == "status":
            booking["status"] = "Declined"
        else:
            booking["properties"]["resource"] = {"name": "Mock Scanner", "formattedName": "Mock Scanner"}
    done = run(bookings)
    assert (done.cancelled, done.kept) == (1, 0)
    words = {
        "deleted": "deleted in Calpendo", "cancelled": "Participant is ill", "status": "Declined",
        "resource": "another resource",
    }[how]  # fmt: skip
    assert words in row_of(21).procedure.reason_text and row_of(22).procedure.status == "in_progress"


def test_a_booking_moved_out_of_the_window_moves_here(bookings, calpendo):
    calpendo.book(31, "SUB001_Doe", at(3), at(4))
    run(bookings)
    calpendo.book(31, "SUB001_Doe", at(100), at(101))
    assert run(bookings).updated == 1
    step = ScheduledProcedureStep.objects.get(procedure=row_of(31).procedure)
    assert step.starts_at > timezone.now() + timedelta(hours=99) and row_of(31).procedure.status == "scheduled"


def test_after_an_outage_bookings_that_began_meanwhile_are_read(bookings, calpendo):
    calpendo.book(41, "SUB001_Doe", at(-20), at(-19))
    assert run(bookings).created == 0, "the window looks back two hours"
    Source.objects.filter(pk=bookings.pk).update(synced_until=timezone.now() - timedelta(hours=30))
    calpendo.trouble = "500"
    assert run(bookings).state == "failed"
    calpendo.trouble = ""
    assert run(bookings).created == 1


def test_reserved_rooms_and_what_else_a_booking_says(bookings, calpendo):
    station = make_station(ae_title="MR3T", modality="MR")
    calpendo.book(51, "SUB001_Doe", at(30), at(30.75), description="T1 weighted")
    services.save_source(
        bookings,
        config={**bookings.config, "stations": {"3T": "MR3T"}, "projects": ["BRISKP"], "biskit_types": ["MRIScan"]},
        mapping=[*bookings.mapping, {"target": "requester", "source": "operator"}],
        reserves_room=True,
        actor=SYSTEM,
    )
    bookings.refresh_from_db()
    calpendo.book(52, "SUB002_Roe", at(30.25), at(31))
    done = run(bookings)
    assert (done.created, done.rejected) == (1, 1)
    reserved = Reservation.objects.get(procedure=row_of(51).procedure)
    assert reserved.station == station and reserved.duration_minutes == 45
    assert any("Operator.name" in path for path in calpendo.asked)
    calpendo.book(51, "SUB001_Doe", at(33), at(34))
    services.sync_now(bookings, actor=SYSTEM)
    done = run(bookings)
    reserved.refresh_from_db()
    assert done.updated == 1 and reserved.duration_minutes == 60


def test_wrong_credentials_and_odd_answers(bookings, calpendo):
    calpendo.login = ("picha", "changed")
    failed = run(bookings)
    assert failed.error_code == "refused" and "401" in failed.error and "s3cret" not in failed.error
    calpendo.login = ("picha", "s3cret")
    for trouble, code in (
        ("html", "malformed"),
        ("drop", "outage"),
        ("cut", "outage"),
        ("list_of_numbers", "malformed"),
    ):
        calpendo.trouble = trouble
        assert run(bookings).error_code == code, trouble
    calpendo.trouble = ""
    calpendo.bookings[61] = {"id": 61, "formattedName": "soon", "title": "X_Y", "status": "Approved", "properties": 5}
    calpendo.book(62, "no pattern", at(2), at(3))
    calpendo.bookings[62]["properties"]["project"] = None
    del calpendo.bookings[61]
    done = run(bookings)
    assert done.rejected == 1 and set(row_of(62).reasons) >= {"patient_id"}


def test_today_is_from_midnight_to_midnight_there():
    there = type("There", (), {"config": {"window": "today"}, "zone": EDMONTON})
    ask = type("Asked", (), {"since": None, "until": datetime(2026, 3, 8, 20, tzinfo=UTC)})
    begin, end = module._window(there, ask)
    assert end - begin == timedelta(hours=23), "the clock leaps on that day"
    ask.until = datetime(2026, 11, 1, 20, tzinfo=UTC)
    begin, end = module._window(there, ask)
    assert end - begin == timedelta(hours=25)
