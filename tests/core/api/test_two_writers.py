"""Two who have read the same version and write at once: one wins, the other is told (412), at every door."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from rest_framework.test import APIClient

from orders.models import Order, Patient
from ris.accounts.models import FacilitySettings, User
from ris.tenants.context import use_facility
from tests.factories.accounts import user_with_roles
from tests.factories.exam import ordered_exam
from tests.interop.fhir.house import everybody

PRIORITIES = {1: "urgent", 2: "stat"}
WAITING = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid()
"""


def client(user: Any) -> APIClient:
    made = APIClient(HTTP_HOST="alpha.test")
    made.force_authenticate(user)
    return made


def both(row: Any, facility: Any, write: Callable[[int], Any]) -> list[int]:
    """The statuses of two writes that both wait for the row's lock at the same time, having passed every look at it."""
    answers: list[int] = []

    def work(number: int) -> None:
        try:
            answers.append(write(number).status_code)
        finally:
            connection.close()

    with use_facility(facility.schema_name):
        workers = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
        with transaction.atomic():
            type(row).objects.select_for_update().get(pk=row.pk)
            for worker in workers:
                worker.start()
            until = time.monotonic() + 20
            with connection.cursor() as cursor:
                while time.monotonic() < until:
                    cursor.execute("select pg_stat_clear_snapshot()")
                    cursor.execute(WAITING)
                    if cursor.fetchone()[0] >= 2:
                        break
                    time.sleep(0.02)
                else:
                    raise AssertionError(f"they do not wait for the lock: {answers}")
        for worker in workers:
            worker.join(timeout=30)
    return sorted(answers)


@pytest.mark.django_db(transaction=True)
def test_of_two_writers_with_one_etag_one_wins(alpha):
    exam = ordered_exam()
    patient = Patient.objects.get(pk=exam.patient.pk)
    order = Order.objects.get(pk=exam.procedure.order_id)
    people, keeper = everybody(), user_with_roles("it_admin")

    def rest(address: str, user: User, change: Callable[[int], dict[str, Any]]) -> Callable[[int], Any]:
        tag = client(user).get(address)["ETag"]
        return lambda number: client(user).patch(address, change(number), format="json", headers={"If-Match": tag})

    def fhir(address: str, where: str, value: Callable[[int], Any]) -> Callable[[int], Any]:
        tag = client(people).get(address)["ETag"]

        def write(number: int) -> Any:
            patch = json.dumps([{"op": "add", "path": where, "value": value(number)}])
            return client(people).generic(
                "PATCH", address, patch, content_type="application/json-patch+json", headers={"If-Match": tag}
            )

        return write

    names = {1: "Achol", 2: "Nyandeng"}
    for row, prepared in (
        (patient, lambda: rest(f"/api/v1/patients/{patient.uuid}/", people, lambda n: {"given_name": names[n]})),
        (order, lambda: rest(f"/api/v1/orders/{order.uuid}/", people, lambda n: {"location": f"Ward {n}"})),
        (
            FacilitySettings.objects.get(),
            lambda: rest("/api/v1/facility-settings/", keeper, lambda n: {"idle_minutes": 20 + n}),
        ),
        (keeper, lambda: rest(f"/api/v1/users/{keeper.uuid}/", keeper, lambda n: {"given_name": names[n]})),
        (patient, lambda: fhir(f"/fhir/r4/Patient/{patient.uuid}", "/birthDate", lambda n: f"1990-02-0{n}")),
        (order, lambda: fhir(f"/fhir/r4/ServiceRequest/{exam.procedure.uuid}", "/priority", PRIORITIES.get)),
    ):
        statuses = both(row, alpha, prepared())
        assert statuses == [200, 412], (row._meta.label, statuses)
