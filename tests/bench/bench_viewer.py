"""The first image of a CT series of 300 slices in our viewer, in a Chromium without a graphics card, over loopback.

    .venv/bin/python tests/bench/bench_viewer.py

Counted from the click (the start of the navigation) to the first slice on the canvas: the page, its scripts, header
and frame, all from the server in this process. The last line says when every slice was there, and what the cache holds.
A loop of pure Python in the same run says how fast the machine is just now; the target is stretched by it, never
shortened.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SLICES, RUNS = 300, 5
TARGET_MS = 1000.0
CALIBRATION_MS = 60.0
WAIT_FIRST = "() => document.querySelector('[data-viewer-root]').dataset.firstImageMs"
ALL_THERE = "() => PichaViewer.viewer.panes[0].ids.every((id) => Cornerstone.cache.getImage(id))"


def calibration() -> float:
    """Milliseconds of a fixed piece of pure Python work."""
    begin = time.perf_counter()
    words = {}
    for number in range(200_000):
        words[number % 997] = f"{number:x}"
    return (time.perf_counter() - begin) * 1000


@pytest.fixture
def browser() -> Iterator[Any]:
    from tests.e2e.browser import chromium

    with chromium() as opened:
        yield opened


def test_viewer(browser, facility_server, capsys, tmp_path):
    from tests.e2e.browser import House
    from tests.factories.accounts import UserFactory
    from tests.factories.reporting import make_procedure
    from tests.interop.dicomweb.conftest import keep, slices

    UserFactory(username="reader", roles=("radiologist",))
    study = keep(slices(SLICES, size=512), tmp_path / "files")[0].series.study
    study.procedures.add(make_procedure())
    house = House(browser, facility_server.alpha)
    page = house.enter("reader", "/reading/")
    took, loops = [], []
    for _run in range(RUNS):
        loops.append(calibration())
        page.goto(f"/viewer/studies/{study.uuid}/")
        page.wait_for_function(WAIT_FIRST)
        took.append(float(page.evaluate(WAIT_FIRST)))
        page.goto("/reading/")
    page.goto(f"/viewer/studies/{study.uuid}/")
    start = time.perf_counter()
    page.wait_for_function(ALL_THERE, timeout=180_000)
    whole = time.perf_counter() - start
    held = page.evaluate("Cornerstone.cache.getCacheSize()") / 1e6
    house.close()
    first, loop = statistics.median(took), statistics.median(loops)
    allowed = TARGET_MS * max(1.0, loop / CALIBRATION_MS)
    with capsys.disabled():
        print(  # noqa: T201
            f"\nfirst image of {SLICES} slices: median {first:.0f} ms of {[round(ms) for ms in took]}; target"
            f" {TARGET_MS:.0f} ms, here {allowed:.0f} ms\nthe loop took {loop:.0f} ms instead of {CALIBRATION_MS:.0f};"
            f" every slice after {whole:.1f} s; the browser holds {held:.0f} MB of pictures (limit 512)\n"
        )
    assert first <= allowed


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent.parent
    sys.path.insert(0, str(root))
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
