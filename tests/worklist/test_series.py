"""The same exam every week, and several exams of one patient one after the other."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from orders.models import Order, ProcedureStatus, RequestedProcedure
from ris.core.actor import SYSTEM
from ris.core.errors import Conflict, InvalidData
from tests.factories.orders import make_actor, make_catalogue, make_order, make_patient
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist.models import AppointmentSeries, Reservation
from worklist.services import (
    SeriesRefused,
    block_room,
    book_chain,
    book_series,
    cancel_series,
    find_chain,
    repeat_procedure,
)

pytestmark = pytest.mark.usefixtures("alpha")


def weekly(count: int = 3, **fields):
    procedures = repeat_procedure(ct_procedure(), times=count, actor=SYSTEM)
    fields = {"starts_at": at(10), "station": make_station(), "actor": make_actor("clerk")} | fields
    return book_series(procedures, **fields)


def taken_in_a_week() -> None:
    block_room(make_station().room, starts_at=at(9, days=8), ends_at=at(11, days=8), reason="Service", actor=SYSTEM)


def test_an_exam_is_repeated_as_a_further_order_of_the_same_request():
    first = ct_procedure(indication="Follow-up", priority="urgent")
    procedures = repeat_procedure(first, times=4, actor=make_actor("clerk"))
    assert procedures[0] == first and len({row.accession_number for row in procedures}) == 4
    copy = Order.objects.exclude(pk=first.order_id).get()
    assert (copy.patient, copy.indication, copy.priority) == (first.order.patient, "Follow-up", "urgent")
    assert {row.code for row in procedures} == {first.code}


def test_every_week_at_the_same_time_of_day():
    result = weekly()
    days = [timezone.localtime(row.starts_at).date() for row in result.booked]
    assert [day - days[0] for day in days] == [timedelta(0), timedelta(7), timedelta(14)]
    assert {timezone.localtime(row.starts_at).time() for row in result.booked} == {timezone.localtime(at(10)).time()}
    assert {row.series for row in result.booked} == {result.series} and result.skipped == []
    assert (result.series.kind, result.series.every_days, result.series.wanted) == ("weekly", 7, 3)


def test_one_taken_time_refuses_the_whole_series_and_says_which():
    taken_in_a_week()
    with pytest.raises(SeriesRefused) as refusal:
        weekly()
    assert [timezone.localtime(row.starts_at) for row in refusal.value.refused] == [timezone.localtime(at(10, days=8))]
    assert "Service" in refusal.value.errors["skipped"][0]["why"] and refusal.value.code == "series_refused"
    assert not AppointmentSeries.objects.exists()
    assert not Reservation.objects.filter(kind="appointment").exists()
    assert set(RequestedProcedure.objects.values_list("status", flat=True)) == {ProcedureStatus.ACCEPTED}


def test_or_it_is_left_out_and_reported():
    taken_in_a_week()
    result = weekly(skip_taken=True)
    assert [len(result.booked), len(result.skipped)] == [2, 1]
    left = result.skipped[0].procedure
    left.refresh_from_db()
    assert left.status == ProcedureStatus.ACCEPTED and "Service" in result.skipped[0].why


def test_a_series_is_of_one_patient_and_of_a_sensible_length():
    with pytest.raises(InvalidData):
        book_series([ct_procedure(), ct_procedure()], starts_at=at(10), station=make_station(), actor=SYSTEM)
    with pytest.raises(InvalidData):
        book_series([ct_procedure()], starts_at=at(10), station=make_station(), actor=SYSTEM)
    with pytest.raises(InvalidData):
        repeat_procedure(ct_procedure(), times=53, actor=SYSTEM)


def test_the_rest_of_a_series_is_called_off_at_once():
    result = weekly()
    assert len(cancel_series(result.series, reason="Operated", actor=SYSTEM)) == 3
    assert {row.status for row in result.series.appointments.all()} == {"cancelled"}
    with pytest.raises(Conflict):
        cancel_series(result.series, reason="Again", actor=SYSTEM)


# --- one after the other


def two_exams(*, first: str = "CT", second: str = "US") -> list[RequestedProcedure]:
    codes = [
        make_catalogue(f"{modality}CHAIN{number}", modality=modality, duration_minutes=30).code
        for number, modality in enumerate((first, second))
    ]
    order = make_order(patient=make_patient(), codes=codes)
    return list(order.procedures.select_related("order", "catalogue").order_by("pk"))


def chain(procedures, **fields):
    return find_chain(procedures, after=at(8), actor=SYSTEM, **fields)


def test_exams_follow_each_other_with_a_gap_and_are_booked_together():
    make_station(), make_station("US1", "US")
    procedures = two_exams()
    links = chain(procedures, gap_minutes=15)
    assert [(link.slot.room.code, link.slot.starts_at) for link in links] == [("ct1", at(8)), ("us1", at(8, 45))]
    assert [link.station.ae_title for link in links] == ["CT1", "US1"]
    result = book_chain(links, gap_minutes=15, actor=make_actor("clerk"))
    assert [row.procedure for row in result.booked] == procedures and result.series.kind == "chain"


def test_the_first_waits_so_that_the_patient_does_not():
    make_station()
    us = make_station("US1", "US")
    block_room(us.room, starts_at=at(8), ends_at=at(12), reason="Clinic", actor=SYSTEM)
    links = chain(two_exams(), gap_minutes=0, longest_wait_minutes=30)
    assert [link.slot.starts_at for link in links] == [at(11), at(12)]


def test_in_any_order_it_ends_sooner():
    ct, _us = make_station(), make_station("US1", "US")
    block_room(ct.room, starts_at=at(8), ends_at=at(9), reason="Warm-up", actor=SYSTEM)
    procedures = two_exams()
    assert chain(procedures, gap_minutes=0)[-1].slot.ends_at == at(10)
    turned = chain(procedures, gap_minutes=0, in_any_order=True)
    assert [link.procedure.modality for link in turned] == ["US", "CT"] and turned[-1].slot.ends_at == at(9, 30)


def test_nothing_fits_where_no_room_does_one_of_them():
    make_station()
    assert chain(two_exams()) == []


def test_a_chain_is_booked_as_a_whole_or_not_at_all():
    make_station(), make_station("US1", "US")
    procedures = two_exams()
    links = chain(procedures)
    other = ct_procedure(catalogue=make_catalogue("USOTHER", modality="US"))
    booked(other, station=links[1].station, starts_at=links[1].slot.starts_at)
    with pytest.raises(SeriesRefused):
        book_chain(links, actor=SYSTEM)
    assert list(Reservation.objects.values_list("procedure", flat=True)) == [other.pk]


def test_a_chain_is_of_one_patient():
    with pytest.raises(InvalidData):
        chain([ct_procedure(), ct_procedure()])
