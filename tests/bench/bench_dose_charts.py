"""Each chart of doses over a million irradiation events: its time, beside a bare count over the same rows.

    .venv/bin/python tests/bench/bench_dose_charts.py [--events 1000000] [--runs 5]

A copy of the tests' database is filled from one real report: exams of four events each, four in ten of them CT, in six
rooms, of six standard exams, over two years. Each chart is asked as the page asks it, for the most frequent exam of CT
and a year, for a physicist who sees all; and once for three years, all the rows there are. ``on CPU`` is what the
database and this process worked, whatever else the machine does; it is judged. The floor is PostgreSQL counting the
same reports.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import pytest

TARGET_MS = 500.0
EVENTS_EACH = 4
SEED = 20261121
ROOMS = 6


def fill(database: str, schema: str, report: Any, step: Any, stations: list[int], exams: list[int], count: int) -> None:
    """``count`` exams with a report each, and their events."""
    from tests.bench.bench_report_search import Loader
    from tests.conftest import superuser

    procedure, start = report.procedure, 10_000_000
    patients = max(1, count // 3)
    when = "now() - random() * interval '730 days'"
    modality = "(array['CT', 'CT', 'CT', 'CT', 'DX', 'DX', 'DX', 'MG', 'RF', 'NM'])[1 + g % 10]"
    with superuser(database) as owner:
        load = Loader(owner, schema, start)
        owner.execute(f"select setseed({SEED / 1e9})")
        load.clone("orders_patient", patients, procedure.order.patient_id)
        load.clone("orders_order", count, procedure.order_id, patient_id=f"{start} + 1 + (g - {start}) % {patients}")
        load.clone(
            "orders_requestedprocedure", count, procedure.pk,
            order_id="g", accession_number="'B' || g", requested_procedure_id="g::text",
            study_instance_uid="'1.2.3.' || g", modality=modality, status="'performed'", performed_at=when,
        )  # fmt: skip
        load.clone(
            "worklist_scheduledprocedurestep", count, step.pk,
            procedure_id="g", scheduled_procedure_step_id="'B' || g",
            station_id=f"(array{stations})[1 + g % {len(stations)}]",
        )  # fmt: skip
        load.clone(
            "dose_dosereport", count, report.pk,
            sop_instance_uid="'1.2.3.4.' || g", study_instance_uid="'1.2.3.' || g", procedure_id="g",
            modality=modality, performed_at=when, station_id=f"(array{stations})[1 + g % {len(stations)}]",
            standard_exam_id=f"(array{exams})[1 + (g / 10) % {len(exams)}]", event_count=str(EVENTS_EACH),
            dlp_total="400 * exp(0.6 * (random() + random() + random() - 1.5) + (g % 6) / 10.0)",
            dap_total="random() / 1e4", agd_total="random() / 500", dose_rp_total="random()",
            administered_activity="1e8 * random()", patient_weight_kg="45 + 60 * random()",
        )  # fmt: skip
        load.clone(
            "dose_irradiationevent", count * EVENTS_EACH, report.events.first().pk,
            report_id=f"{start} + 1 + (g - {start} - 1) / {EVENTS_EACH}", irradiation_event_uid="'1.2.3.5.' || g",
            position=f"1 + g % {EVENTS_EACH}", water_equivalent_diameter="220 + 120 * random()",
        )  # fmt: skip
        load.finish()


@pytest.mark.django_db(transaction=True)
def test_dose_charts(facility_server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from django.db import connection

    from dose import services
    from dose.dashboards import KINDS, ask, make_chart
    from dose.dashboards.question import reports_of
    from dose.models import StandardExam
    from ris.core.actor import Actor
    from tests.bench.bench_report_search import timed
    from tests.dose.test_services import of
    from tests.factories.accounts import actor_with_roles
    from tests.factories.dose import ct_event
    from tests.factories.exam import performed_exam
    from tests.factories.worklist import make_station

    events, runs = int(os.environ["BENCH_EVENTS"]), int(os.environ["BENCH_RUNS"])
    exam = performed_exam()
    report = services.import_dose_report(of(exam.procedure, ct_event(500)), actor=Actor("storage", ae_title="CT1"))
    stations = [make_station(f"B{number}", room=f"Bench {number}").pk for number in range(ROOMS)]
    standards = list(StandardExam.objects.filter(modality="CT").order_by("pk").values_list("pk", flat=True)[:6])
    begin = time.perf_counter()
    step = exam.procedure.steps.first()
    database, schema = connection.settings_dict["NAME"], connection.schema_name
    fill(database, schema, report, step, stations, standards, events // EVENTS_EACH)
    physicist, missed = actor_with_roles("medical_physicist"), []

    def write(words: str) -> None:
        sys.stdout.write(words)
        sys.stdout.flush()

    with capsys.disabled():
        write(
            f"\n{events:,} events of {events // EVENTS_EACH:,} exams, loaded in {time.perf_counter() - begin:.0f} s\n"
        )
        for days in ("365", "1095"):
            question = ask({"days": days, "level": "none"}, actor=physicist)
            rows = reports_of(question, actor=physicist)
            if os.environ.get("BENCH_EXPLAIN"):
                explain(question, physicist, write)
            floor = statistics.median(timed(rows.count)[1] for _run in range(runs))
            asked = statistics.median(timed(lambda d=days: ask({"days": d}, actor=physicist))[1] for _r in range(runs))
            count = question.exam.count if question.exam is not None else 0
            write(f"{days} days: {rows.count():,} CT exams, {count:,} of the chosen one; counting them {floor:.0f} ms;")
            write(f" the menus of the page {asked:.0f} ms\n")
            write(f"{'milliseconds':16}{'on CPU':>9}{'wall':>9}{'ratio':>8}{'rows':>7}\n")
            for kind in KINDS:
                make_chart(kind, question, actor=physicist)
                found = [timed(lambda k=kind, q=question: make_chart(k, q, actor=physicist)) for _run in range(runs)]
                wall, spent = (statistics.median(run[place] for run in found) for place in (0, 1))
                write(f"{kind:16}{spent:9.0f}{wall:9.0f}{spent / floor:8.1f}{len(found[0][3].rows):7}\n")
                if spent > TARGET_MS:
                    missed.append(f"{kind} of {days} days: {spent:.0f} ms")
        write(f"target: {TARGET_MS:.0f} ms each: {'missed by ' + '; '.join(missed) if missed else 'met'}\n")
    assert not missed


def explain(question: Any, actor: Any, write: Any) -> None:
    """The plans, for whoever makes it faster: BENCH_EXPLAIN=1."""
    from dose.dashboards.data import performed
    from dose.dashboards.question import exam_rows, reports_of

    for rows in (exam_rows(question, actor=actor), reports_of(question, actor=actor), performed(question, actor=actor)):
        write(rows.explain(analyze=True) + "\n\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["BENCH_EVENTS"], os.environ["BENCH_RUNS"] = str(arguments.events), str(arguments.runs)
    root = Path(__file__).resolve().parent.parent.parent
    sys.path.insert(0, str(root))
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
