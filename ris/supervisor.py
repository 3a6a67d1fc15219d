"""Keeps programs running, and sees to it that none outlives it. Standard library only, any Python.

Each program is a session of its own. Three things end it: the supervisor (SIGTERM, then SIGKILL), the kernel when
the supervisor dies (PR_SET_PDEATHSIG), and a watchdog process that holds the other end of a pipe: however the
supervisor goes, kill -9 included, the pipe closes and the watchdog ends every session with all its descendants.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

LOOK_EVERY = 0.2
GRACE = 5.0  # seconds between SIGTERM and SIGKILL
STOPPED_WITHIN = 7.5  # seconds for all of it; a server that needs longer is stopped less gently
WATCHDOG_GRACE = 4.0
BACK_OFF_AT_MOST = 30.0
STEADY_AFTER = 60.0  # a program that ran so long is forgiven its earlier falls


@dataclass(frozen=True)
class Listener:
    """A port that a program will listen on, and the variable that moves it."""

    port: int
    variable: str
    purpose: str


@dataclass
class Program:
    """A command that is to run for as long as the supervisor does."""

    name: str
    command: Sequence[str]
    port: int | None = None
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    falls: int = 0
    again_at: float = 0.0


@dataclass
class Server:
    """Something that starts itself and has a pid: the embedded database and broker."""

    name: str
    ensure: Callable[[], int]
    pid: Callable[[], int | None]
    stop: Callable[[float], None]
    port: Callable[[], int]
    known_pid: int = field(default=0)


def busy(bind: str, listeners: Sequence[Listener]) -> list[Listener]:
    """Those listeners whose port somebody else has."""
    taken = []
    for listener in listeners:
        with socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((bind, listener.port))
            except OSError:
                taken.append(listener)
    return taken


def birth_of(pid: int) -> str:
    """When a process was started, in ticks since boot: with the pid, it names one process for ever."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def signal_session(pid: int, number: int) -> None:
    """Signal a program and whatever it has started in its session's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class Supervisor:
    """Starts programs, starts them again when they fall, writes ``processes.json``, stops all at the end."""

    def __init__(self, state: Path, environment: Mapping[str, str], *, cwd: Path, say: Callable[[str], None]) -> None:
        self.state, self.environment, self.cwd, self.say = state, dict(environment), cwd, say
        self.programs: list[Program] = []
        self.servers: list[Server] = []
        self.stopping = False
        self._lock: IO[str] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    # --- one supervisor per state folder

    def take_the_state_folder(self) -> int:
        """0 when the folder is ours now, else the pid of the supervisor that has it."""
        self.state.mkdir(parents=True, exist_ok=True)
        self._lock = (self.state / "supervisor.pid").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            return int(self._lock.read() or 1)
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        return 0

    # --- starting

    def start_watchdog(self) -> None:
        command = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), "watch"]
        self._watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/")

    def add_server(self, server: Server) -> None:
        server.known_pid = server.ensure()
        self._tell_watchdog("+", server.known_pid, "INT")
        self.servers.append(server)
        self._write_processes()

    def add_program(self, program: Program) -> None:
        self.programs.append(program)
        self._start(program)
        self._write_processes()

    def _start(self, program: Program) -> None:
        logs = self.state / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / f"{program.name}.log").open("ab") as log:
            program.process = subprocess.Popen(
                program.command,
                cwd=self.cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        program.started_at = time.monotonic()
        self._tell_watchdog("+", program.process.pid, "TERM")

    def _tell_watchdog(self, verb: str, pid: int, how: str = "") -> None:
        if self._watchdog and self._watchdog.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.write(f"{verb} {pid} {birth_of(pid)} {how}\n".encode())
                self._watchdog.stdin.flush()

    def _write_processes(self) -> None:
        rows: list[dict[str, Any]] = [{"name": "supervisor", "pid": os.getpid(), "port": None}]
        rows += [{"name": server.name, "pid": server.known_pid, "port": server.port()} for server in self.servers]
        rows += [{"name": p.name, "pid": p.process.pid, "port": p.port} for p in self.programs if p.process]
        partial = self.state / "processes.json.partial"
        partial.write_text(json.dumps(rows, indent=1) + "\n")
        partial.replace(self.state / "processes.json")

    # --- running

    def stop_on_signals(self) -> None:
        def stop(_number: int, _frame: object) -> None:
            self.stopping = True

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)

    def look(self) -> None:
        """Start again what has fallen, each time a little later."""
        changed = False
        for server in self.servers:
            if server.pid() is None:
                self.say(f"{server.name} has ended; starting it again")
                server.known_pid = server.ensure()
                self._tell_watchdog("+", server.known_pid, "INT")
                changed = True
        now = time.monotonic()
        for program in self.programs:
            if program.process is not None and program.process.poll() is not None:
                self._note_fall(program, now)
            elif program.process is None and now >= program.again_at:
                self._start(program)
                changed = True
        if changed:
            self._write_processes()

    def _note_fall(self, program: Program, now: float) -> None:
        process = program.process
        assert process is not None
        signal_session(process.pid, signal.SIGKILL)
        self._tell_watchdog("-", process.pid)
        program.falls = 1 if now - program.started_at > STEADY_AFTER else program.falls + 1
        wait = min(BACK_OFF_AT_MOST, 0.5 * 2 ** (program.falls - 1))
        program.process, program.again_at = None, now + wait
        log = self.state / "logs" / f"{program.name}.log"
        self.say(f"{program.name} has ended ({process.returncode}); again in {wait:.0f} s. See {log}")

    def run(self) -> None:
        """Until a signal says stop."""
        while not self.stopping:
            time.sleep(LOOK_EVERY)
            self.look()

    def stop(self) -> None:
        """Programs first, all at once; then the servers they need, the last one started first."""
        self.stopping = True
        processes = [program.process for program in self.programs if program.process]
        last = time.monotonic() + STOPPED_WITHIN
        for process in processes:
            signal_session(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.05, deadline - time.monotonic()))
        for process in processes:
            signal_session(process.pid, signal.SIGKILL)
            process.wait()
            self._tell_watchdog("-", process.pid)
        for server in reversed(self.servers):
            server.stop(max(1.0, last - time.monotonic()))
            self._tell_watchdog("-", server.known_pid)
        if self._watchdog and self._watchdog.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.close()
            self._watchdog.wait(WATCHDOG_GRACE + 2)
        (self.state / "processes.json").unlink(missing_ok=True)


def _die_with_parent() -> None:
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


# --- the watchdog: a process of its own


def watch(lines: IO[str]) -> None:
    """Read who runs and who has ended; when the pipe closes, end whoever is left, descendants included."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    alive: dict[int, tuple[str, str]] = {}
    for line in lines:
        verb, pid, *rest = line.split()
        if verb == "+":
            alive[int(pid)] = (rest[0], rest[1]) if len(rest) == 2 else ("", "TERM")
        else:
            alive.pop(int(pid), None)
    ours = {pid: how for pid, (birth, how) in alive.items() if session_is(pid, birth)}
    for pid, how in ours.items():
        signal_session(pid, signal.SIGINT if how == "INT" else signal.SIGTERM)
    wait_for_groups(ours, WATCHDOG_GRACE)
    for pid, how in ours.items():
        # A database's own children are in groups of their own: it must end them itself, and at once.
        signal_session(pid, signal.SIGQUIT if how == "INT" else signal.SIGKILL)
    wait_for_groups([pid for pid, how in ours.items() if how == "INT"], WATCHDOG_GRACE)
    for pid in ours:
        signal_session(pid, signal.SIGKILL)


def wait_for_groups(pids: Iterable[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(group_has_members(pid) for pid in pids):
        time.sleep(0.1)


def session_is(pid: int, birth: str) -> bool:
    """Whether the group is still the one that was started: same leader, or a dead one that left children."""
    now = birth_of(pid)
    return now == birth if now else True


def group_has_members(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


# --- make clean


def clean(root: Path) -> int:
    """Stop what runs from the state folder, then remove the folder."""
    state = Path(os.environ.get("RIS_STATE") or root / ".ris")
    if not state.exists():
        print(f"{state} is not there: nothing to do.")
        return 0
    running = holder_of(state)
    if running:
        print(f"stopping the supervisor ({running})")
        with contextlib.suppress(ProcessLookupError):
            os.kill(running, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while holder_of(state) and time.monotonic() < deadline:
            time.sleep(0.1)
    for cluster in (state / "pg", state / "test" / "pg"):
        stop_cluster(cluster / "data" / "postmaster.pid")
    shutil.rmtree(state, ignore_errors=True)
    if state.exists():
        print(f"{state} could not be removed completely.", file=sys.stderr)
        return 1
    print(f"{state} is gone.")
    return 0


def holder_of(state: Path) -> int:
    """The pid of the supervisor that has this state folder; 0 when none has."""
    try:
        with (state / "supervisor.pid").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 1)
    except FileNotFoundError:
        pass
    return 0


def stop_cluster(pid_file: Path) -> None:
    try:
        pid = int(pid_file.read_text().split()[0])
        if b"postgres" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        os.kill(pid, signal.SIGINT)
    except (OSError, ValueError, IndexError):
        return
    deadline = time.monotonic() + 10
    while pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)


if __name__ == "__main__" and sys.argv[1:] == ["watch"]:
    watch(sys.stdin)
