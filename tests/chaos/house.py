"""A small house for chaos: its own durable PostgreSQL, one facility, and processes that may die."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from ris.embedded import Postgres, free_port

ROOT = Path(__file__).resolve().parents[2]
SCHEMA, AE_TITLE, SCANNER, REQUESTER = "chaos", "CHAOS", "CT1", "ARCHIVE"


class House:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.instances = folder / "instances"
        self.postgres = Postgres(self.state)
        self.ports = {name: free_port() for name in ("dicom", "web", "requester")}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment: dict[str, str] = {}

    # --- building it

    def build(self) -> None:
        self.instances.mkdir(parents=True)
        self.postgres.ensure(tied_to_parent=True)
        passwords = {role: secrets.token_urlsafe(16) for role in ("ris_owner", "ris_app")}
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as server:
            for role, password in passwords.items():
                made = sql.SQL("create role {} login password {}").format(sql.Identifier(role), sql.Literal(password))
                server.execute(made)
            server.execute("create database ris owner ris_owner")
        left_out = ("RIS_", "DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
        self.environment = inherited | {
            # as manage.py has it: who compiles 1,700 modules at every start takes twice as long to come back
            "PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "bytecode"),
            "DATABASE_URL": self.postgres.url("ris", user="ris_app", password=passwords["ris_app"]),
            "RIS_OWNER_DATABASE_URL": self.postgres.url("ris", user="ris_owner", password=passwords["ris_owner"]),
            "DJANGO_SETTINGS_MODULE": "ris.settings",
            "RIS_BOOTSTRAP": "0",
            "RIS_DEMO": "1",
            "RIS_STATE": str(self.state),
            "RIS_SECRET_KEY": secrets.token_urlsafe(48),
            "RIS_INSTANCE_FOLDER": str(self.instances),
            "RIS_DICOM_PORT": str(self.ports["dicom"]),
            "PYTHONUNBUFFERED": "1",
        }
        self.manage("migrate_all")
        names = ["--schema", SCHEMA, "--name", "Chaos Hospital", "--ae-title", AE_TITLE, "--domain", "127.0.0.1"]
        self.manage("create_facility", *names)
        peer = ["--facility", SCHEMA, "--address", "127.0.0.1", "--ae-title"]
        self.manage("add_peer", *peer, SCANNER, "--may", "worklist,mpps,store,commit,query")
        asks = ["--host", "127.0.0.1", "--port", str(self.ports["requester"]), "--may", "store,commit"]
        self.manage("add_peer", *peer, REQUESTER, *asks)

    def manage(self, *arguments: str) -> Any:
        """A command's answer: its JSON, where it gives one."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=1800)
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
        with contextlib.suppress(ValueError):
            return json.loads(done.stdout)
        return done.stdout

    # --- its processes

    def start(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment | environment, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        self.processes[name] = process
        return process

    def start_scp(self, **environment: str) -> subprocess.Popen[bytes]:
        process = self.start("dicom", sys.executable, str(ROOT / "manage.py"), "run_mwl", **environment)
        self.wait_for("dicom")
        return process

    def start_dispatcher(self) -> subprocess.Popen[bytes]:
        return self.start("dispatcher", sys.executable, str(ROOT / "manage.py"), "run_dispatcher", "--no-broker")

    def start_web(self) -> subprocess.Popen[bytes]:
        gunicorn = [sys.executable, "-m", "gunicorn", "ris.wsgi", "--bind", f"127.0.0.1:{self.ports['web']}"]
        process = self.start("web", *gunicorn, "--worker-class", "gthread", "--threads", "8", "--log-level", "warning")
        self.wait_for("web")
        return process

    def wait_for(self, name: str, seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while not answers(self.ports[name]):
            if self.processes[name].poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{name} does not answer: {self.log(name)[-2000:]}")
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """kill -9, the whole session."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def resident(self, name: str = "dicom", *, field: str = "VmRSS") -> int:
        """Resident memory of a process in KiB."""
        status = Path(f"/proc/{self.processes[name].pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith(field)))

    def peak(self, name: str = "dicom") -> int:
        """The most that a process has had since it began, in KiB."""
        return self.resident(name, field="VmHWM")

    def restart_postgres(self) -> None:
        """As ``pg_ctl restart -m immediate``: no checkpoint, recovery from the log."""
        pid = self.postgres.pid()
        if pid:
            os.kill(pid, signal.SIGQUIT)
            while self.postgres.pid():
                time.sleep(0.02)
        self.postgres.ensure(tied_to_parent=True)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query of the facility's schema answers."""
        with psycopg.connect(self.postgres.url("ris"), options=f"-c search_path={SCHEMA},public") as connection:
            return connection.execute(query, values or None).fetchall()  # without values a % is a %

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        self.postgres.stop()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def house(folder: Path) -> Iterator[House]:
    made = House(folder)
    try:
        made.build()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """A tmpfs of that size on ``folder``; False where this account may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    words: Sequence[str] = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    is_there = subprocess.run(words, capture_output=True).returncode == 0
    try:
        yield is_there
    finally:
        if is_there:
            subprocess.run(["umount", "-l", str(folder)], check=True)
