"""REST's list of 50 procedures out of a million, against the same URL answered by PostgreSQL's json_agg.

    .venv/bin/python tests/bench/bench_rest_list.py [--rows 1000000] [--runs 60]

A copy of the tests' database is filled by one statement per table, analysed, and dropped at the end. Both answers go
through the same middleware, token, right, visibility and audit row; the floor then sends what one prepared statement
aggregates, the product what its serializer makes. They take turns, so that a busy machine slows both. The cursor's page
after 200 000 rows is measured against the first page the same way.
"""

from __future__ import annotations

import argparse
import base64
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

TARGET_FLOOR = 3.0
TARGET_CURSOR = 1.1
DEEP = 200_000
PAGE = 50
URL = "/api/v1/procedures/"

PATIENTS = """
insert into orders_patient (id, uuid, created_at, updated_at, version, family_name, given_name, middle_name, prefix,
    suffix, ideographic_name, phonetic_name, birth_date_is_estimated, sex, phone, email, address, language,
    next_of_kin, is_restricted, identity_is_unverified, is_deceased)
select n, gen_random_uuid(), now(), now(), 1, 'Family' || n, 'Given', '', '', '', '', '', false, 'F', '', '', '', '',
    '', false, false, false
from generate_series(1, %(patients)s) n
"""
ORDERS = """
insert into orders_order (id, uuid, created_at, updated_at, version, patient_id, placer_order_number, placer_issuer,
    filler_order_number, priority, patient_class, indication, clinical_information, transport, isolation, location,
    ordered_at, source, status)
select n, gen_random_uuid(), now() - n * interval '1 minute', now(), 1, 1 + n %% %(patients)s, '', '', 'F' || n,
    'routine', 'O', 'Cough for three weeks. Tuberculosis?', '', '', '', '', now(), 'web', 'accepted'
from generate_series(1, %(rows)s) n
"""
PROCEDURES = """
insert into orders_requestedprocedure (id, uuid, created_at, updated_at, version, status_changed_at, order_id,
    accession_number, study_instance_uid, requested_procedure_id, status, code, code_scheme, description, modality,
    body_region, laterality, is_unmapped, protocol, contrast, contrast_decision, comments_to_technologist, reason_code,
    reason_text, arrived_at)
select n, gen_random_uuid(), now(), now(), 1, now(), n, 'B' || n, '2.25.' || n, 'RP' || n, 'accepted', 'XRCHEST',
    '99PICHA', 'X-ray chest, 2 views', 'DX', 'chest', '', false, 'Two views, standing', '', '', '', '', '',
    case when n %% 3 = 0 then now() end
from generate_series(1, %(rows)s) n
"""
TABLES = ("orders_patient", "orders_order", "orders_requestedprocedure")


def fill(schema: str, database: str, rows: int) -> None:
    from tests.conftest import superuser

    with superuser(database) as owner:
        owner.execute(f'set search_path to "{schema}", public')
        indexes = owner.execute(
            "select indexname, indexdef from pg_indexes where schemaname = %s and tablename = any(%s) and indexname"
            " not in (select conname from pg_constraint)",
            [schema, list(TABLES)],
        ).fetchall()
        for name, _definition in indexes:
            owner.execute(f'drop index "{schema}"."{name}"')
        owner.execute("set session_replication_role = replica")
        for statement in (PATIENTS, ORDERS, PROCEDURES):
            owner.execute(statement, {"rows": rows, "patients": max(1, rows // 4)})
        for _name, definition in indexes:
            owner.execute(definition)
        for table in TABLES:
            owner.execute(f"vacuum (analyze) {table}")


def answer_by_database() -> Callable[..., Any]:
    """``list`` of the same resource: the statement is made once, outside of what is measured."""
    from django.db import connection
    from django.db.models import F
    from django.http import HttpResponse

    from orders.api.serializers import ProcedureSerializer
    from orders.models import RequestedProcedure
    from ris.audit.service import record_read
    from tests.factories.orders import make_actor

    elsewhere = {"id", "order", "patient", "priority", "life_cycle", "held_by", "replaced_by"}
    plain = [name for name in ProcedureSerializer.Meta.fields if name not in elsewhere]
    rows = RequestedProcedure.objects.visible_to(make_actor("clerk")).order_by("-pk")
    renamed = {
        "_id": F("uuid"),
        "_order": F("order__uuid"),
        "_patient": F("order__patient__uuid"),
        "_priority": F("order__priority"),
        "_held_by": F("held_by__uuid"),
        "_replaced_by": F("replaced_by__uuid"),
    }
    inner, params = rows.values(*plain, **renamed)[:PAGE].query.sql_with_params()
    statement = f"select json_agg(t)::text, array_agg(t._patient) from ({inner}) t"

    def by_database(self: Any, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            results, patients = cursor.fetchone()
        record_read(self.actor, self.permission_code, patients=sorted(set(patients)), detail={"rows": PAGE})
        text = f'{{"results": {results}, "next": null, "previous": null}}'
        return HttpResponse(text, content_type="application/json")

    return by_database


def milliseconds(ask: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    answer = ask()
    spent = (time.perf_counter() - begin) * 1000
    assert answer.status_code == 200, answer.content
    return spent


def in_turns(first: Callable[[], Any], second: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Medians of both."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _run in range(runs):
        spent[0].append(milliseconds(first))
        spent[1].append(milliseconds(second))
    return statistics.median(spent[0]), statistics.median(spent[1])


@pytest.mark.django_db(transaction=True)
def test_rest_list(facility_server, tclient, monkeypatch, capsys):
    from django.db import connection

    from orders.api.orders import ProcedureViewSet
    from tests.factories.orders import make_user

    rows, runs = int(os.environ["BENCH_ROWS"]), int(os.environ["BENCH_RUNS"])
    begin = time.perf_counter()
    fill(connection.schema_name, connection.settings_dict["NAME"], rows)
    loaded = time.perf_counter() - begin
    user = make_user("clerk")
    body = {"username": user.username, "password": "a-password-of-the-tests"}
    token = tclient.post("/api/v1/auth/token", body, content_type="application/json").json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    deep = min(DEEP, rows // 2)
    cursor = base64.b64encode(urlencode({"p": rows - deep + 1}).encode()).decode()
    ours, floor = ProcedureViewSet.list, answer_by_database()

    def product() -> Any:
        monkeypatch.setattr(ProcedureViewSet, "list", ours)
        return tclient.get(URL, headers=headers)

    def database() -> Any:
        monkeypatch.setattr(ProcedureViewSet, "list", floor)
        return tclient.get(URL, headers=headers)

    def far() -> Any:
        monkeypatch.setattr(ProcedureViewSet, "list", ours)
        return tclient.get(URL, {"cursor": cursor}, headers=headers)

    for ask in (product, database, far):
        for _warm in range(5):
            ask()
    shown, known, below = product().json()["results"], database().json()["results"], far().json()["results"]
    assert len(shown) == len(known) == len(below) == PAGE
    assert [row["accession_number"] for row in shown] == [row["accession_number"] for row in known]
    assert below[0]["accession_number"] == f"B{rows - deep}"
    list_ms, floor_ms = in_turns(product, database, runs)
    first_ms, far_ms = in_turns(product, far, runs)
    ratio, slope = list_ms / floor_ms, far_ms / first_ms
    with capsys.disabled():
        sys.stdout.write(
            f"\n{rows:,} procedures, loaded in {loaded:.0f} s; medians of {runs}\n"
            f"list of {PAGE}: {list_ms:.1f} ms; json_agg at the same URL: {floor_ms:.1f} ms;"
            f" ratio {ratio:.2f} (at most {TARGET_FLOOR})\n"
            f"first page: {first_ms:.1f} ms; after {deep:,} rows: {far_ms:.1f} ms;"
            f" ratio {slope:.2f} (at most {TARGET_CURSOR})\n"
        )
    assert ratio <= TARGET_FLOOR and slope <= TARGET_CURSOR


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=60)
    asked = parser.parse_args()
    os.environ["BENCH_ROWS"], os.environ["BENCH_RUNS"] = str(asked.rows), str(asked.runs)
    root = Path(__file__).resolve().parent.parent.parent
    sys.path.insert(0, str(root))
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
