"""Numbers that are given out once: the pattern, and a race of many threads for them."""

from __future__ import annotations

import os
import threading
from datetime import date

import pytest
from django.db import connection, transaction

from orders.models import AccessionNumber
from orders.services import accession, mint_accession_number, reserve_accession_numbers
from ris.core.errors import InvalidData
from ris.tenants.context import use_facility
from tests.factories.orders import make_catalogue, make_order

DAY = date(2026, 11, 7)
#: Orders that each of the racing threads places; `make chaos-numbers` has it place 16
RACE_TURNS = int(os.environ.get("RACE_TURNS", "3"))


@pytest.mark.parametrize(
    ("pattern", "number"),
    [
        ("{yy}{doy:03}-{seq:06}", "26311-000042"),
        ("{yyyy}{mm}{dd}{seq:04}", "202611070042"),
        ("R{seq}", "R42"),
    ],
)
def test_a_pattern_is_filled_in(pattern, number):
    assert accession.render_pattern(pattern, DAY, 42)[0] == number


@pytest.mark.parametrize(
    "pattern",
    [
        "{yy}{doy}",
        "{seq:017}",
        "{yyyy}{mm}{dd}-{seq:08}",
        "{year}{seq}",
        "{seq",
        "{seq!r}",
        "{seq.__class__}",
        "\\{seq}",
    ],
)
def test_a_bad_pattern_is_refused(pattern):
    with pytest.raises(InvalidData) as refusal:
        accession.parse_pattern(pattern)
    assert list(refusal.value.errors) == ["accession_pattern"]


@pytest.mark.django_db
def test_a_number_that_a_sender_took_is_skipped(alpha):
    first = mint_accession_number(None)
    head, __, tail = first.rpartition("-")
    make_catalogue("A")
    taken = f"{head}-{int(tail) + 1:06}"
    from orders.services import ProcedureRequest

    make_order(codes=[ProcedureRequest("A", accession_number=taken)])
    assert mint_accession_number(None) == f"{head}-{int(tail) + 2:06}"


@pytest.mark.django_db
def test_a_reserved_number_is_claimed_by_the_order_entered_later(alpha):
    from orders.services import ProcedureRequest

    number = reserve_accession_numbers(3, reserved_for="Form pack 7")[1]
    make_catalogue("A")
    order = make_order(codes=[ProcedureRequest("A", accession_number=number)])
    assert order.procedures.get().accession_number == number
    assert AccessionNumber.objects.get(value=number).order == order


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("turns", "each"), [(10, 1), (RACE_TURNS, 10)])
def test_threads_that_race_never_share_a_number(transactional_db, alpha, turns, each):
    """64 threads; orders of ``each`` exams hold the counter until their commit."""
    threads = 64
    taken: list[str] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            with use_facility("alpha"):
                for _turn in range(turns):
                    with transaction.atomic():
                        taken.extend([mint_accession_number(None) for _exam in range(each)])
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _worker in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert len(taken) == len(set(taken)) == threads * turns * each
    assert AccessionNumber.objects.count() == threads * turns * each


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"),
    [("accession_pattern", "{yy}"), ("mrn_pattern", "MRN"), ("mrn_pattern", "{nothing}"), ("mrn_syntax", "[")],
)
def test_settings_that_give_no_numbers_are_not_saved(alpha, field, value):
    from ris.accounts.selectors import facility_settings

    settings = facility_settings()
    setattr(settings, field, value)
    with pytest.raises(InvalidData):
        settings.save()
