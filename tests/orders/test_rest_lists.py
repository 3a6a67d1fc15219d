"""REST lists of procedures and orders: told in full, in a fixed number of queries, page after page."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.serializers import ModelSerializer

from orders import queues, services
from orders.api.serializers import ProcedureSerializer
from orders.models import LIFE_CYCLE, ProcedureStatus
from orders.services import ProcedureRequest
from tests.factories.orders import SYSTEM, make_actor, make_catalogue, make_order, make_procedure, make_user

pytestmark = pytest.mark.django_db


def some_procedures() -> list:
    """A held one, a replaced one with what took its place, one that has come, one with a day it is wanted by."""
    make_catalogue("A"), make_catalogue("B", has_laterality=True)
    held = services.hold_procedure(make_procedure(), reason_text="CD", actor=make_actor("clerk"))
    old = make_procedure(codes=["A"])
    new = services.replace_procedure(
        old, by=ProcedureRequest("B", laterality="L"), reason_code="110502", actor=make_actor("clerk")
    )
    come = services.mark_arrived(services.mark_scheduled(make_procedure(), actor=SYSTEM), actor=SYSTEM)
    return [held, old, new, come]


def test_the_quick_way_tells_what_the_slow_one_does(alpha):
    some_procedures()
    from datetime import date

    make_order(codes=[ProcedureRequest("A", due_by=date(2026, 12, 24))])
    rows = list(queues.procedures_to_list(actor=SYSTEM).order_by("pk"))
    assert len(rows) == 5
    for row in rows:
        slow = ModelSerializer.to_representation(ProcedureSerializer(), row)
        assert ProcedureSerializer().to_representation(row) == slow
        assert set(slow) == set(ProcedureSerializer.Meta.fields)


@pytest.mark.parametrize("path", ["procedures", "orders"])
def test_a_list_costs_the_same_however_long(api, alpha, path):
    api.force_authenticate(make_user("clerk"))
    some_procedures()
    api.get(f"/api/v1/{path}/")
    with CaptureQueriesContext(connection) as one:
        api.get(f"/api/v1/{path}/")
    for _number in range(3):
        some_procedures()
    with CaptureQueriesContext(connection) as many:
        assert len(api.get(f"/api/v1/{path}/").json()["results"]) >= 12
    assert len(many) <= len(one)


def test_pages_follow_one_another_without_a_gap(api, alpha):
    api.force_authenticate(make_user("clerk"))
    known = [str(make_procedure().uuid) for _number in range(7)]
    seen, address = [], "/api/v1/procedures/?page_size=3"
    while address:
        page = api.get(address).json()
        seen += [row["id"] for row in page["results"]]
        address = page["next"]
    assert seen == known[::-1]


@pytest.mark.parametrize("status", ProcedureStatus.values)
def test_integrators_see_one_of_the_eight_classic_states(api, alpha, status):
    api.force_authenticate(make_user("clerk"))
    procedure = make_procedure(status=status)
    shown = api.get(f"/api/v1/procedures/{procedure.uuid}/").json()
    assert (shown["status"], shown["life_cycle"]) == (status, LIFE_CYCLE[status])
    found = api.get(f"/api/v1/procedures/?life_cycle={LIFE_CYCLE[status]}").json()["results"]
    assert [row["id"] for row in found] == [str(procedure.uuid)]
