"""Messages a second over MLLP, each committed before it is acknowledged: ours beside a listener that is built on the
``hl7`` library and commits the same row per message into a copy of the same table. One at a time, and 20 in flight, in
turns on the same database. Beside them the floor: psycopg alone, which commits that row and does nothing else.

    make bench-hl7

Ours takes ORM^O01 in enhanced mode: routed, checked, told from repeats, stored raw, CA. What processing costs
afterwards (the original mode: patient, order, worklist, audit and the answer in one transaction) is printed beside it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import plain_hl7
from tests.bench.dicom import harness

HERE = Path(__file__).resolve().parent
ROUNDS, SECONDS, FLIGHT = int(os.environ.get("BENCH_ROUNDS", "7")), 1.0, 20
numbers = itertools.count(1)


def order(number: int, modes: str) -> bytes:
    name = f"{number:08}"
    return (
        f"\x0bMSH|^~\\&|HIS|HOSP|RIS|ALPHA|20260102120000||ORM^O01^ORM_O01|MSG{name}|P|2.5.1|||{modes}\r"
        f"PID|1||PID{name}^^^HOSP^MR||FAMILY^GIVEN^M||19700101|M|||STREET 1^^CITY^^12345^US||555-1234\r"
        f"PV1|1|O|WARD3^^^HOSP||||1234^REFERRER^ANN|||||||||||V{name}\r"
        f"ORC|NW|PL{name}|||SC||1^^^20260103100000^^R||20260102120000|||1234^REFERRER^ANN\r"
        f"OBR|1|PL{name}||CTCHEST^CT CHEST^L|||20260102||||||cough|||1234^REFERRER^ANN||||||||CT\r"
        f"ZDS|1.2.826.0.1.3680043.9.{number}^RIS^Application^DICOM\r\x1c\r"
    ).encode()


class Line:
    """One connection that keeps so many messages in flight."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, messages: list[bytes]) -> None:
        self.socket.sendall(b"".join(messages))
        got = b""
        while got.count(b"\x1c\r") < len(messages):
            data = self.socket.recv(65536)
            assert data, "The server closed the connection."
            got += data
        refused = [part for part in got.split(b"\x1c\r") if part and b"MSA|CA" not in part and b"MSA|AA" not in part]
        assert not refused, refused[0]


def rate(line: Line, flight: int, modes: str, seconds: float = SECONDS) -> tuple[float, int]:
    """Messages a second, and how many."""
    done, begun = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        line.exchange([order(next(numbers), modes) for _one in range(flight)])
        done += flight
    return done / elapsed, done


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[dict[str, tuple[int, subprocess.Popen[bytes]]]]:
    ours, plain = harness.free_port(), harness.free_port()
    environment = harness.environment_of(folder)
    run = [sys.executable, str(harness.ROOT / "manage.py"), "run_mllp", "--host", "127.0.0.1", "--port", str(ours)]
    written = [sys.executable, str(HERE / "plain_hl7.py"), str(plain)]
    with (
        harness.running(run, ours, folder / "ours.log", **environment) as first,
        harness.running(written, plain, folder / "plain.log", **environment) as second,
    ):
        yield {"ours": (ours, first), "hl7": (plain, second)}


def come_first() -> None:
    """Where the servers run before their neighbours, so do their lines to the database, and we."""
    if not harness.REALTIME:
        return
    with psycopg.connect(os.environ["RIS_OWNER_DATABASE_URL"]) as connection:
        rows = connection.execute("select pid from pg_stat_activity where datname = current_database()").fetchall()
    for pid in (os.getpid(), *(pid for (pid,) in rows)):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(5))


def measure(found: dict[str, Any], flight: int) -> tuple[float, float]:
    """Ratios of the rates and of the processor's seconds per message, ours against the library's: medians of rounds."""
    lines = {name: Line(port) for name, (port, _process) in found.items()}
    rates: dict[str, list[float]] = {name: [] for name in found}
    costs: dict[str, list[float]] = {name: [] for name in found}
    for line in lines.values():
        rate(line, flight, "AL|NE", 0.3)
    come_first()
    for _round in range(ROUNDS):
        for name, (_port, process) in found.items():
            before = harness.seconds_of_cpu(process)
            speed, done = rate(lines[name], flight, "AL|NE")
            rates[name].append(speed)
            costs[name].append((harness.seconds_of_cpu(process) - before) / done * 1000)
    for name in found:
        sys.stdout.write(
            f"     {name:5} {flight:2} in flight: {statistics.median(rates[name]):8.0f} messages/s,"
            f" {statistics.median(costs[name]):.3f} ms of processor each\n"
        )
    pairs = zip(rates["ours"], rates["hl7"], strict=True)
    cost = statistics.median(costs["hl7"]) / max(statistics.median(costs["ours"]), 1e-9)
    return statistics.median(one / other for one, other in pairs), cost


def floor(seconds: float = SECONDS) -> float:
    """Rows a second that psycopg commits, one after the other: no socket of a sender, nothing parsed, no answer."""
    raw = order(next(numbers), "AL|NE")[1:-2]
    connection, done, begun = plain_hl7.connected(), 0, time.perf_counter()
    with connection:
        while (elapsed := time.perf_counter() - begun) < seconds:
            names = ("HIS", "HOSP", f"F{next(numbers):08}", "ORM^O01")
            connection.execute(plain_hl7.INSERT, (uuid.uuid4(), *names, raw, "utf-8", "127.0.0.1"))
            done += 1
    return done / elapsed


def test_messages_a_second(transactional_db: None, tmp_path: Path, capsys: Any) -> None:
    with servers(tmp_path) as found, capsys.disabled():
        sys.stdout.write("\n")
        # first, while nobody has stored thousands of orders that wait to be processed in their turn
        line = Line(found["ours"][0])
        line.exchange([order(next(numbers), "|")])
        whole, _done = rate(line, 1, "|", 3.0)
        sys.stdout.write(f"     original mode, processed before AA: {whole:.0f} messages/s on one connection\n")
        held = []
        for flight, least in ((1, 3), (FLIGHT, 8)):
            speed, cost = measure(found, flight)
            held.append(harness.told(f"ours / hl7 library, {flight} in flight", speed, least, least=True))
            sys.stdout.write(f"     on the processor alone: {cost:.2f}\n")
        sys.stdout.write(
            f"     a bare commit of the row with psycopg: {statistics.median(floor() for _n in range(3)):.0f}/s\n"
        )
    assert all(held)
