"""The report editor's server time: opening it and saving in it, for an exam with priors, templates, macros and notes.

    .venv/bin/python tests/bench/bench_report_editor.py [--runs 60]

The page is the whole one with forty priors, two hundred macros and the starter templates; an autosave writes one
changed section of a report of 6,000 characters, its checks included. Both through the middleware, with session, rights,
history and audit. A loop of arithmetic beside them says how fast the machine is.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TARGET_OPEN_MS, TARGET_SAVE_MS, TARGET_BYTES = 250.0, 100.0, 60_000
PRIORS, MACROS = 40, 200


def median_ms(ask: Callable[[], Any], runs: int) -> float:
    spent = []
    for _run in range(runs):
        begin = time.perf_counter()
        answer = ask()
        spent.append((time.perf_counter() - begin) * 1000)
        assert answer.status_code == 200, answer.content[:500]
    return statistics.median(spent)


def calibration_ms() -> float:
    begin = time.perf_counter()
    sum(number * number for number in range(1_000_000))
    return (time.perf_counter() - begin) * 1000


@pytest.mark.django_db
def test_report_editor(alpha: Any, capsys: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from reporting import services
    from reporting.models import Macro
    from tests.factories.accounts import actor_with_roles
    from tests.factories.reporting import drafted, make_patient, make_procedure, signed
    from tests.reporting.test_admin import door

    runs = int(os.environ["BENCH_RUNS"])
    services.ensure_templates()
    actor, patient = actor_with_roles("radiologist"), make_patient()
    for _number in range(PRIORS):
        signed(make_procedure(patient=patient), actor=actor)
    Macro.objects.bulk_create(Macro(code=f"m{number}", owner=actor.user, text="Words.") for number in range(MACROS))
    report = drafted(make_procedure(patient=patient), actor=actor)
    desk, revision, turn = door(actor.user), report.revision, 0

    def opened() -> Any:
        return desk.get(f"/reports/{report.uuid}/")

    def saved() -> Any:
        nonlocal revision, turn
        turn += 1
        sent = {"section-findings": "Lungs: Clear.\n" * 430 + str(turn), "revision": revision}
        answer = desk.post(f"/reports/{report.uuid}/save/", sent, HTTP_ACCEPT="application/json")
        revision = answer.json()["revision"]
        return answer

    counts = []
    for ask in (opened, saved):
        for _warm in range(3):
            ask()
        with CaptureQueriesContext(connection) as queries:
            ask()
        counts.append(len(queries))
    size = len(gzip.compress(opened().content))
    open_ms, save_ms = median_ms(opened, runs), median_ms(saved, runs)
    with capsys.disabled():
        sys.stdout.write(
            f"\nmedians of {runs}; the calibration loop takes {calibration_ms():.0f} ms here\n"
            f"open: {open_ms:.0f} ms (at most {TARGET_OPEN_MS:.0f}), {counts[0]} queries,"
            f" {size / 1000:.0f} kB gzipped (at most {TARGET_BYTES / 1000:.0f})\n"
            f"autosave: {save_ms:.0f} ms (at most {TARGET_SAVE_MS:.0f}), {counts[1]} queries\n"
        )
    assert open_ms <= TARGET_OPEN_MS and save_ms <= TARGET_SAVE_MS and size <= TARGET_BYTES


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=60)
    os.environ["BENCH_RUNS"] = str(parser.parse_args().runs)
    root = Path(__file__).resolve().parent.parent.parent
    sys.path.insert(0, str(root))
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
