"""The reading list with 1,000 unread exams: server time of page and poll, and their queries.

    .venv/bin/python tests/bench/bench_reading_list.py [--rows 1000] [--runs 40]

A copy of the tests' database is filled and analysed: as many unread exams, ten times as many read ones, images,
priors, places, groups. The floor is the same address behind the same middleware, right and audit row, answering what
one prepared statement aggregates (``json_agg`` of the 50 rows); floor and page take turns, so that a busy machine slows
both. As in bench_day_grid.py a loop of pure Python says how fast the machine is just now, and stretches the targets
(never shortens them): run it alone. "page, changed" finds nothing in the cache: lists and
menu are counted anew. What the test client adds to each template (a copy of its context) is taken out.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

TARGET_MS = 100.0
TARGET_POLL_MS = 30.0
CALIBRATION_MS = 60.0
MOST_QUERIES = 30
ROWS_ON_A_PAGE = 50


def add_images(exams: list[Any], now: datetime) -> None:
    """A study for each exam."""
    from worklist.models import ImagingStudy

    studies = ImagingStudy.objects.bulk_create(
        ImagingStudy(
            study_instance_uid=row.study_instance_uid, instance_count=100 + n, series_count=2, last_received_at=now
        )
        for n, row in enumerate(exams)
    )
    links = ImagingStudy.procedures.through
    links.objects.bulk_create(
        links(imagingstudy=study, requestedprocedure=row) for study, row in zip(studies, exams, strict=True)
    )


def fill(rows: int) -> None:
    """Unread exams by the factories' tables, in bulk; ten read ones of the same patients beside each."""
    from django.db import connection
    from django.utils import timezone

    from orders.models import Order, Patient, PatientIdentifier, RequestedProcedure
    from reporting.models import ReadingGroup, ReadingItem
    from ris.core.actor import SYSTEM
    from tests.conftest import superuser

    now, minute = timezone.now(), timedelta(minutes=1)
    people = max(1, rows // 2)
    patients = Patient.objects.bulk_create(
        Patient(family_name=f"FAMILY{n}", given_name="Given", sex="F", birth_date=now.date()) for n in range(people)
    )
    PatientIdentifier.objects.bulk_create(
        PatientIdentifier(patient=row, value=f"B{row.pk}", issuer="BENCH") for row in patients
    )
    group = ReadingGroup(code="neuro", name="Neuro", modalities=["MR"])
    group.save_as(SYSTEM, "Made")
    orders = Order.objects.bulk_create(
        (
            Order(
                patient=patients[n % people],
                priority=("stat", "urgent", "routine", "routine")[n % 4],
                patient_class="EIO"[n % 3],
                indication="Cough for three weeks. Tuberculosis?",
            )
            for n in range(rows * 11)
        ),
        batch_size=2000,
    )
    exams = RequestedProcedure.objects.bulk_create(
        (
            RequestedProcedure(
                order=order,
                accession_number=f"B{n}",
                requested_procedure_id=f"RP{n}",
                status=("ready_to_read" if n % 5 else "preliminary") if n < rows else "final",
                code="CTCHEST",
                description="CT chest",
                modality=("CT", "MR", "DX", "US")[n % 4],
                body_region="chest",
                performed_at=now - (60 * n + 30) * minute,
                images_complete_at=now - (60 * n + 30) * minute,
            )
            for n, order in enumerate(orders)
        ),
        batch_size=2000,
    )
    ReadingItem.objects.bulk_create(
        ReadingItem(
            procedure=row,
            counted_from=row.images_complete_at,
            minutes=120,
            due_at=row.images_complete_at + 120 * minute,
            group=group if row.modality == "MR" else None,
        )
        for row in exams[:rows]
    )
    add_images(exams[:rows], now)
    with superuser(connection.settings_dict["NAME"]) as owner:
        owner.execute("vacuum (analyze)")


def answer_by_database(actor: Any) -> Callable[..., Any]:
    """The same address, answering what PostgreSQL aggregates of the first 50 unread exams, due first."""
    from django.db import connection
    from django.http import HttpResponse

    from reporting import permissions as perms
    from reporting.selectors.reading_filters import unread
    from ris.accounts.web import page
    from ris.audit.service import record_read

    rows = unread(actor).order_by("due_at", "pk").values("accession_number", "status", "order__patient__uuid", "due_at")
    inner, params = rows[:ROWS_ON_A_PAGE].query.sql_with_params()
    statement = f'select json_agg(t)::text, array_agg(t."order__patient__uuid") from ({inner}) t'

    @page(perms.VIEW_READING_LIST)
    def by_database(request: Any) -> HttpResponse:
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            text, patients = cursor.fetchone()
        record_read(request.actor, perms.VIEW_READING_LIST, patients=sorted(set(patients)))
        return HttpResponse(text, content_type="application/json")

    return by_database


def calibration() -> float:
    """Milliseconds of a fixed piece of pure Python work."""
    begin = time.perf_counter()
    words = {}
    for number in range(200_000):
        words[number % 997] = f"{number:x}"
    return (time.perf_counter() - begin) * 1000


def milliseconds(ask: Callable[[], Any], status: int = 200) -> tuple[float, float]:
    """Of the wall clock, and of this process."""
    begin, busy = time.perf_counter(), time.process_time()
    answer = ask()
    spent = (time.perf_counter() - begin) * 1000, (time.process_time() - busy) * 1000
    assert answer.status_code == status, answer.status_code
    return spent


def told(name: str, spent: list[tuple[float, float]]) -> tuple[str, float]:
    walls, busy = [wall for wall, _cpu in spent], [cpu for _wall, cpu in spent]
    p50, p95 = statistics.median(walls), statistics.quantiles(walls, n=20)[-1]
    return f"{name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms (of it processor {statistics.median(busy):.1f} ms)", p50


@pytest.mark.django_db(transaction=True)
def test_reading_list(tclient, monkeypatch, capsys):
    from django.core.cache import cache
    from django.db import connection
    from django.template.base import Template
    from django.test.utils import CaptureQueriesContext

    from reporting.web import reading, urls
    from tests.factories.orders import make_actor

    rows, runs = int(os.environ["BENCH_ROWS"]), int(os.environ["BENCH_RUNS"])
    fill(rows)
    monkeypatch.setattr(Template, "_render", lambda template, context: template.nodelist.render(context))
    actor = make_actor("radiologist")
    tclient.force_login(actor.user, backend="ris.accounts.backends.PasswordBackend")
    floor_view = answer_by_database(actor)
    pattern = next(row for row in urls.urlpatterns if row.name == "reading_list")
    assert pattern.callback is reading.reading_list

    def ask(view: Callable[..., Any], url: str = "/reading/", **headers: str) -> Any:
        monkeypatch.setattr(pattern, "callback", view)
        return tclient.get(url, headers=headers)

    for _warm in range(4):
        shown = ask(reading.reading_list)
        ask(floor_view)
    with CaptureQueriesContext(connection) as queries:
        shown = ask(reading.reading_list)
        asked_the_database = len(queries)
    assert shown.content.count(b'<tr id="r-') == ROWS_ON_A_PAGE
    etag = tclient.get("/reading/rows/")["ETag"]
    took: dict[str, list[tuple[float, float]]] = {"page": [], "page, changed": [], "floor": [], "poll, 304": []}
    loops = []
    for _run in range(runs):
        loops.append(calibration())
        took["page"].append(milliseconds(lambda: ask(reading.reading_list)))
        cache.clear()
        took["page, changed"].append(milliseconds(lambda: ask(reading.reading_list)))
        took["floor"].append(milliseconds(lambda: ask(floor_view)))
        took["poll, 304"].append(
            milliseconds(lambda: tclient.get("/reading/rows/", headers={"If-None-Match": etag}), 304)
        )
    lines = {name: told(name, spent) for name, spent in took.items()}
    page_ms, poll_ms = lines["page"][1], lines["poll, 304"][1]
    stretch = max(1.0, statistics.median(loops) / CALIBRATION_MS)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{rows:,} unread exams among {rows * 11:,}; {runs} runs in turns\n"
            + "".join(f"{line}\n" for line, _p50 in lines.values())
            + f"{asked_the_database} queries (at most {MOST_QUERIES}); {len(shown.content) / 1000:.0f} kB,"
            f" {len(gzip.compress(shown.content)) / 1000:.1f} kB gzipped\n"
            f"page / floor: {page_ms / lines['floor'][1]:.1f}; targets: page {TARGET_MS:.0f} ms,"
            f" unchanged poll {TARGET_POLL_MS:.0f} ms; calibration loop {statistics.median(loops):.0f} ms, which"
            f" stretches them by {stretch:.2f}\n"
        )
    assert 0 < asked_the_database <= MOST_QUERIES
    assert page_ms <= TARGET_MS * stretch and poll_ms <= TARGET_POLL_MS * stretch


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=40)
    asked = parser.parse_args()
    os.environ["BENCH_ROWS"], os.environ["BENCH_RUNS"] = str(asked.rows), str(asked.runs)
    root = Path(__file__).resolve().parent.parent.parent
    sys.path.insert(0, str(root))
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
