"""A CT series of 300 slices over DICOMweb: metadata, the whole series, every frame, and what memory that takes.

    .venv/bin/python tests/bench/bench_dicomweb.py

Everything is read from the files as they lie in the store; nothing of it is cached between requests. A loop of pure
Python in the same run says how fast the machine is just now, and the target is stretched by it (never shortened).
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from pathlib import Path

import pytest

SLICES = 300
TARGET_MS = 1000.0
CALIBRATION_MS = 60.0
MAX_GROWTH_MB = 40
RUNS = 5


def calibration() -> float:
    """Milliseconds of a fixed piece of pure Python work."""
    begin = time.perf_counter()
    words = {}
    for number in range(200_000):
        words[number % 997] = f"{number:x}"
    return (time.perf_counter() - begin) * 1000


def memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1]) - int(Path("/proc/self/statm").read_text().split()[2])
    return pages * resource.getpagesize() / 1e6


class Reader:
    """Reads answers, lets go of their pieces as they come, and watches memory meanwhile (files mapped do not count)."""

    def __init__(self) -> None:
        self.begin = self.most = memory_mb()

    def __call__(self, response) -> int:
        assert response.status_code == 200
        size = 0
        for piece in response.streaming_content:
            size += len(piece)
            self.most = max(self.most, memory_mb())
        return size


def test_dicomweb(api, capsys, tmp_path):
    from tests.factories.accounts import user_with_roles
    from tests.interop.dicomweb.conftest import keep, path_of, slices

    rows = keep(slices(SLICES, size=512), tmp_path / "files")
    api.force_authenticate(user_with_roles("radiologist"))
    series = path_of(rows[0], "series")
    gc.collect()
    read = Reader()
    read(api.get(f"{series}/metadata"))
    took, loops = [], []
    for _run in range(RUNS):
        loops.append(calibration())
        start = time.perf_counter()
        size = read(api.get(f"{series}/metadata"))
        took.append((time.perf_counter() - start) * 1000)
    metadata, loop = statistics.median(took), statistics.median(loops)
    allowed = TARGET_MS * max(1.0, loop / CALIBRATION_MS)
    start = time.perf_counter()
    whole = read(api.get(series, HTTP_ACCEPT='multipart/related; type="application/dicom"; transfer-syntax=*'))
    objects = whole / 1e6 / (time.perf_counter() - start)
    start = time.perf_counter()
    for row in rows:
        read(api.get(f"{path_of(row)}/frames/1"))
    frames = SLICES / (time.perf_counter() - start)
    growth = read.most - read.begin
    with capsys.disabled():
        sys.stdout.write(
            f"\nmetadata of {SLICES} slices: median {metadata:.0f} ms of {RUNS} ({size / 1e6:.2f} MB); target"
            f" {TARGET_MS:.0f} ms, here {allowed:.0f} ms\nwhole series: {objects:.0f} MB/s ({whole / 1e6:.0f} MB);"
            f" frames: {frames:.0f} a second; memory grew by {growth:.1f} MB, may by {MAX_GROWTH_MB} MB\n"
        )
    assert metadata <= allowed
    assert growth <= MAX_GROWTH_MB


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent.parent
    sys.path.insert(0, str(root))
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
