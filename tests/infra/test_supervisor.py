"""No program outlives its supervisor, however that one ends; a fallen program rises; a busy port is named."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ris import supervisor
from ris.demo import Demo, Refused
from ris.supervisor import Listener, busy, clean, holder_of

ROOT = Path(__file__).resolve().parents[2]

#: A supervisor with two programs: one that starts a child of its own which ignores SIGTERM, and one that falls.
SCRIPT = """
import sys
from pathlib import Path
from ris.supervisor import Program, Supervisor
state = Path(sys.argv[1])
it = Supervisor(state, {"PATH": "/usr/bin:/bin"}, cwd=Path("/"), say=lambda text: print(text, flush=True))
assert it.take_the_state_folder() == 0
it.stop_on_signals()
it.start_watchdog()
stubborn = "trap '' TERM; (trap '' TERM; echo $$ > {0}/parent; sleep 300 & echo $! > {0}/child; wait) & wait; sleep 300"
it.add_program(Program("stubborn", ["sh", "-c", stubborn.format(state)], 1234))
it.add_program(Program("falling", ["sh", "-c", f"echo x >> {state}/falls; exit 3"]))
it.run()
it.stop()
"""


def wait_for(condition: Callable[[], object], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def supervised(tmp_path):
    """A running supervisor, and the pids of everything under it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    child = tmp_path / "child"
    listed = tmp_path / "processes.json"
    assert wait_for(lambda: child.exists() and child.read_text().strip() and listed.exists())
    pids = [int(child.read_text()), int((tmp_path / "parent").read_text())]
    pids += [row["pid"] for row in json.loads(listed.read_text()) if row["name"] == "stubborn"]
    yield process, tmp_path, pids
    for pid in (process.pid, *pids):
        if runs(pid):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def test_kill_9_of_the_supervisor_leaves_no_orphan(supervised):
    process, _state, pids = supervised
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert wait_for(lambda: not any(runs(pid) for pid in pids), 10)


def test_ctrl_c_stops_everything_within_ten_seconds(supervised):
    process, state, pids = supervised
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(10)
    assert time.monotonic() - began < 10
    assert not any(runs(pid) for pid in pids)
    assert not (state / "processes.json").exists()


def test_a_fallen_program_is_started_again_each_time_a_little_later(supervised):
    _process, state, _pids = supervised
    falls = state / "falls"  # is there once the program has run, which may be after its neighbour
    assert wait_for(lambda: falls.exists() and len(falls.read_text().split()) >= 3)


def test_processes_json_tells_name_pid_and_port(supervised):
    _process, state, _pids = supervised
    rows = {row["name"]: row for row in json.loads((state / "processes.json").read_text())}
    assert rows["stubborn"]["port"] == 1234
    assert rows["supervisor"]["pid"] == holder_of(state)


def test_a_second_supervisor_is_told_who_has_the_folder(supervised, monkeypatch):
    process, state, _pids = supervised
    monkeypatch.setenv("RIS_STATE", str(state))
    with pytest.raises(Refused, match=str(process.pid)):
        Demo(ROOT).run()


def test_clean_stops_what_runs_and_removes_the_folder(supervised, monkeypatch, capsys):
    process, state, pids = supervised
    monkeypatch.setenv("RIS_STATE", str(state))
    # The supervisor is this test's child: somebody must take note of its end.
    monkeypatch.setattr(supervisor.time, "sleep", lambda _seconds: process.poll())
    assert clean(ROOT) == 0
    assert not state.exists()
    assert not any(runs(pid) for pid in pids)


def test_a_busy_port_is_named_with_the_variable_that_moves_it(tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert busy("127.0.0.1", [Listener(port, "RIS_DICOM_PORT", "DICOM")])
        monkeypatch.setenv("RIS_STATE", str(tmp_path / "state"))
        monkeypatch.setenv("RIS_DICOM_PORT", str(port))
        with pytest.raises(Refused) as refusal:
            Demo(ROOT).run()
    assert f"Port {port} (DICOM) is in use" in str(refusal.value)
    assert "RIS_DICOM_PORT=" in str(refusal.value)


def test_a_port_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("RIS_HTTP_PORT", "eighty")
    with pytest.raises(Refused, match="RIS_HTTP_PORT"):
        Demo(ROOT)
