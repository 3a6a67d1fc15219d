"""CT dose reports imported: file to rows, with audit, event and history, beside a bare pydicom read of the same bytes.

    .venv/bin/python tests/bench/bench_dose_import.py [--reports 1000]

Each report has four events. The two take turns in batches, so that a busy machine slows both; memory is what the
process holds at its most after all of them, less what it held after the first batch.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

TARGET_SECONDS = 60.0
TARGET_MEGABYTES = 30.0
BATCH = 50


def read_bare(content: bytes) -> int:
    return sum(1 for _element in pydicom.dcmread(BytesIO(content)).iterall())


@pytest.mark.django_db(transaction=True)
def test_dose_import(alpha: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from dose import services
    from dose.models import DoseReport, IrradiationEvent
    from ris.core.actor import Actor
    from tests.factories.dose import ct_report, file_of, whole_ct_event

    actor = Actor("storage", ae_title="CT1", address="127.0.0.1")
    reports = int(os.environ.get("BENCH_REPORTS", "1000"))
    ours = ours_cpu = bare = 0.0
    first = 0
    for _batch in range(reports // BATCH):
        files = [
            file_of(ct_report(*(whole_ct_event() for _number in range(4)), total=1280)) for _report in range(BATCH)
        ]
        started, cpu = time.perf_counter(), time.process_time()
        for content in files:
            services.import_dose_report(content, actor=actor)
        ours, ours_cpu = ours + time.perf_counter() - started, ours_cpu + time.process_time() - cpu
        cpu = time.process_time()
        for content in files:
            read_bare(content)
        bare += time.process_time() - cpu
        first = first or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) / 1024
    done = reports // BATCH * BATCH
    assert DoseReport.objects.count() == done and IrradiationEvent.objects.count() == 4 * done
    per_thousand, processor = 1000 * ours / done, 1000 * ours_cpu / done
    words = (
        f"\n{done} reports of 4 events: {per_thousand:.1f} s for 1,000, {processor:.1f} s of the processor\n"
        f"bare pydicom read of the same: {1000 * bare / done:.1f} s of the processor; ratio {ours_cpu / bare:.1f}\n"
        f"memory grew by {grown:.1f} MB after the first {BATCH}\n"
    )
    with capsys.disabled():
        sys.stdout.write(words)
    assert per_thousand < TARGET_SECONDS and grown < TARGET_MEGABYTES


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reports", type=int, default=1000)
    os.environ["BENCH_REPORTS"] = str(parser.parse_args().reports)
    root = Path(__file__).resolve().parents[2]
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
