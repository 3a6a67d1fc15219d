"""``make demo``: everything, from an empty folder to a running house, without a server installed by hand.

Runs outside Django: it makes the environment that the Django processes then find.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ris.config import read_env_file
from ris.embedded import CannotStart, Postgres, Valkey, die_with_parent, locked
from ris.supervisor import Listener, Program, Server, Supervisor, busy

OWNER, APPLICATION, DATABASE = "ris_owner", "ris_app", "ris"
PEOPLE = ("clerk", "technologist", "radiologist", "resident", "referrer", "qa", "physicist", "admin")
LISTENERS = {
    "web": Listener(8000, "RIS_HTTP_PORT", "pages, REST, FHIR, DICOMweb"),
    "dicom": Listener(11112, "RIS_DICOM_PORT", "DICOM"),
    "dicom_tls": Listener(2762, "RIS_DICOM_TLS_PORT", "DICOM over TLS"),
    "mllp": Listener(2575, "RIS_MLLP_PORT", "HL7 v2 over MLLP"),
    "mllp_tls": Listener(2576, "RIS_MLLP_TLS_PORT", "HL7 v2 over MLLP and TLS"),
}
FACILITIES = (
    {
        "schema": "demo",
        "name": "Picha Demo Hospital",
        "short": "Demo",
        "host": "localhost",
        "ae": "RIS",
        "msh6": "DEMO",
    },
    {
        "schema": "second",
        "name": "Second Imaging Centre",
        "short": "Second",
        "host": "second.localhost",
        "ae": "RIS2",
        "msh6": "SECOND",
    },
)
PACKAGES = ("ris", "orders", "worklist", "reporting", "dose", "peerreview", "interop")
READY_SECONDS = 60


class Refused(Exception):
    """The demo cannot start; the message says why and what to do."""


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def main(root: Path) -> int:
    try:
        return Demo(root).run()
    except (Refused, CannotStart) as refusal:
        print(f"\n{refusal}", file=sys.stderr)
        return 1


class Demo:
    """The state folder, the servers in it, the two facilities, the processes."""

    def __init__(self, root: Path) -> None:
        self.started = self.served_after = time.monotonic()
        self.root = root
        self.state = Path(os.environ.get("RIS_STATE") or root / ".ris").absolute()
        self.bind = os.environ.get("RIS_BIND") or "127.0.0.1"
        self.listeners = {
            name: Listener(self._port(known), known.variable, known.purpose) for name, known in LISTENERS.items()
        }
        self.postgres, self.valkey = Postgres(self.state), Valkey(self.state)
        self.values: dict[str, str] = {}
        self.supervisor = Supervisor(self.state, {}, cwd=root, say=say)

    @staticmethod
    def _port(listener: Listener) -> int:
        text = os.environ.get(listener.variable) or str(listener.port)
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise Refused(f"{listener.variable} is to be a port number, not {text!r}.")
        return int(text)

    def run(self) -> int:
        other = self.supervisor.take_the_state_folder()
        if other:
            raise Refused(f"The demo runs already (process {other}, state in {self.state}). Stop it with Ctrl-C there.")
        self._refuse_busy_ports()
        self.supervisor.stop_on_signals()
        self.supervisor.start_watchdog()
        try:
            self._start_servers()
            self._write_environment()
            self.supervisor.environment = {**os.environ, **self.values, "RIS_BOOTSTRAP": "0", "PYTHONUNBUFFERED": "1"}
            self._set_up()
            self._start_web()
            seeding = self._start_seeding()
            self._start_others()
            self._finish_seeding(seeding)
            if not self.supervisor.stopping:
                self._closing_screen()
            self.supervisor.run()
        finally:
            say("stopping")
            self.supervisor.stop()
            say("all has stopped")
        return 0

    def _refuse_busy_ports(self) -> None:
        taken = busy(self.bind, list(self.listeners.values()))
        if taken:
            lines = [f"Port {one.port} ({one.purpose}) is in use. Choose another: {one.variable}=..." for one in taken]
            example = f"{taken[0].variable}={taken[0].port + 10000 if taken[0].port < 50000 else 18000} make demo"
            raise Refused("\n".join([*lines, f"For example: {example}"]))

    # --- servers and secrets

    def _start_servers(self) -> None:
        """The embedded ones, unless DATABASE_URL and REDIS_URL name others."""
        postgres, valkey = self.postgres, self.valkey
        if not os.environ.get("DATABASE_URL"):
            say("PostgreSQL")
            start_postgres = functools.partial(postgres.ensure, tied_to_parent=True)
            self.supervisor.add_server(
                Server("postgres", start_postgres, postgres.pid, postgres.stop, lambda: postgres.port)
            )
        elif not os.environ.get("RIS_OWNER_DATABASE_URL"):
            raise Refused("DATABASE_URL is set: RIS_OWNER_DATABASE_URL is to name the role that makes the tables.")
        if not os.environ.get("REDIS_URL"):
            say("Valkey")
            start_valkey = functools.partial(valkey.ensure, tied_to_parent=True)
            self.supervisor.add_server(Server("valkey", start_valkey, valkey.pid, valkey.stop, lambda: valkey.port))

    def _write_environment(self) -> None:
        """``.ris/env``: secrets stay as they were first made, everything else is as it is now."""
        kept = read_env_file(self.state / "env")
        secret_names = ("RIS_SECRET_KEY", "RIS_ENCRYPTION_KEYS", "RIS_AUDIT_KEYS", "RIS_METRICS_TOKEN")
        made = {name: kept.get(name) or secrets.token_urlsafe(48) for name in secret_names}
        owner_password = kept.get("OWNER_PASSWORD") or secrets.token_urlsafe(24)
        application_password = kept.get("APPLICATION_PASSWORD") or secrets.token_urlsafe(24)
        addresses = {name: os.environ.get(name, "") for name in ("DATABASE_URL", "RIS_OWNER_DATABASE_URL")}
        if not addresses["DATABASE_URL"]:
            self._make_roles(owner_password, application_password)
            addresses = {
                "DATABASE_URL": self.postgres.url(DATABASE, user=APPLICATION, password=application_password),
                "RIS_OWNER_DATABASE_URL": self.postgres.url(DATABASE, user=OWNER, password=owner_password),
            }
        certificate, key = make_certificate(self.state / "tls")
        self.values = {
            "RIS_DEMO": "1",
            "RIS_STATE": str(self.state),
            "RIS_STATIC_FOLDER": str(self.state / "static"),
            "RIS_BIND": self.bind,
            **addresses,
            "REDIS_URL": os.environ.get("REDIS_URL") or self.valkey.url(),
            **made,
            "RIS_DEMO_PASSWORD": os.environ.get("RIS_DEMO_PASSWORD")
            or kept.get("RIS_DEMO_PASSWORD")
            or f"{secrets.token_hex(3)}-{secrets.token_hex(3)}-{secrets.token_hex(3)}",
            "RIS_TLS_CERTIFICATE": os.environ.get("RIS_TLS_CERTIFICATE") or str(certificate),
            "RIS_TLS_KEY": os.environ.get("RIS_TLS_KEY") or str(key),
            **{listener.variable: str(listener.port) for listener in self.listeners.values()},
        }
        text = "".join(f"{name}={value}\n" for name, value in self.values.items())
        text += f"OWNER_PASSWORD={owner_password}\nAPPLICATION_PASSWORD={application_password}\n"
        write_private(self.state / "env", text)
        for folder in ("instances", "media"):
            (self.state / folder).mkdir(exist_ok=True, mode=0o750)

    def _make_roles(self, owner_password: str, application_password: str) -> None:
        """The owner, who migrates, and the application, which owns nothing."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as server:
            for role, password in ((OWNER, owner_password), (APPLICATION, application_password)):
                name = sql.Identifier(role)
                if not server.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone():
                    server.execute(sql.SQL("create role {} login").format(name))
                server.execute(sql.SQL("alter role {} password {}").format(name, sql.Literal(password)))
            if not server.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
                server.execute(
                    sql.SQL("create database {} owner {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
                )

    # --- tables, facilities, data: only what is not there yet

    def _set_up(self) -> None:
        """A second start of the same code with the same settings does nothing here."""
        stamp = self.state / "set-up"
        hosts = json.dumps([self._hosts(facility) for facility in FACILITIES])
        wanted = self._fingerprint(("migrations", "provisioning", "permissions", "tenants"), hosts, static=True)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        say("static files; tables: public, the template facility")
        static = self._start_manage("collectstatic", "--no-input", "--clear", "-v", "0")
        self._manage("migrate_all")
        for facility in FACILITIES:
            say(f"facility {facility['schema']}")
            self._manage("create_facility", *self._facility_arguments(facility))
        self._finish_manage("collectstatic", static)
        stamp.write_text(wanted)

    def _start_seeding(self) -> subprocess.Popen[bytes] | None:
        """While pages are served and listeners start: people and stations are there first, exams follow."""
        stamp = self.state / "seeded"
        if self.supervisor.stopping or (stamp.exists() and stamp.read_text() == self._seed_fingerprint()):
            return None
        say("people, stations, patients, exams")
        return self._start_manage("seed_demo")

    def _finish_seeding(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is not None:
            self._finish_manage("seed_demo", process)
            (self.state / "seeded").write_text(self._seed_fingerprint())

    def _seed_fingerprint(self) -> str:
        return self._fingerprint(("migrations", "demo", "seed_demo"), self.values["RIS_DEMO_PASSWORD"])

    def _fingerprint(self, wanted: Sequence[str], more: str, *, static: bool = False) -> str:
        """Of the modules that have one of these names in their path, and of what else matters."""
        digest = hashlib.sha256(more.encode())
        for path in sorted(path for top in PACKAGES for path in (self.root / top).rglob("*.py")):
            if any(part in wanted for part in path.relative_to(self.root).with_suffix("").parts):
                digest.update(path.read_bytes())
        files = [path for path in (self.root / "static").rglob("*") if path.is_file()] if static else []
        for path in sorted([*files, self.root / "requirements.txt"]):
            digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
        return digest.hexdigest()

    def _facility_arguments(self, facility: dict[str, str]) -> list[str]:
        arguments = ["--schema", facility["schema"], "--name", facility["name"], "--short-name", facility["short"]]
        arguments += ["--ae-title", facility["ae"], "--mllp", f"RIS|{facility['msh6']}"]
        for host in self._hosts(facility):
            arguments += ["--domain", host]
        return arguments

    def _hosts(self, facility: dict[str, str]) -> list[str]:
        """The demo facility also answers to this machine's addresses; with RIS_BIND, to its name."""
        hosts = [facility["host"]]
        if facility is FACILITIES[0]:
            hosts.append("127.0.0.1")
            if self.bind not in ("127.0.0.1", "localhost", "::1"):
                hosts += [socket.gethostname().lower(), *([] if self.bind in ("0.0.0.0", "::") else [self.bind])]
                hosts += own_addresses()
        return list(dict.fromkeys(hosts))

    def _manage(self, *arguments: str) -> None:
        self._finish_manage(arguments[0], self._start_manage(*arguments))

    def _start_manage(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(self.root / "manage.py"), *arguments]
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.supervisor.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=functools.partial(die_with_parent, signal.SIGTERM),
        )

    def _finish_manage(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Wait for it. Ctrl-C meanwhile ends it, and us."""
        while True:
            try:
                output, _errors = process.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                self.supervisor.look()
                if self.supervisor.stopping:
                    process.terminate()
        if self.supervisor.stopping:
            raise Refused("Stopped before everything was set up; the next start goes on from here.")
        if process.returncode:
            raise Refused(f"`manage.py {name}` failed:\n{output.decode(errors='replace')[-4000:]}")

    # --- processes

    def _start_web(self) -> None:
        """The web first, and the others when it is up: six interpreters at once would keep the page waiting."""
        say("web")
        self.supervisor.environment["PROMETHEUS_MULTIPROC_DIR"] = str(self._empty_metrics())
        self.supervisor.add_program(Program("web", self._gunicorn(), self.listeners["web"].port))
        self._wait_for("the page", self._page_is_served, "web")
        self.served_after = time.monotonic() - self.started
        if not self.supervisor.stopping:
            say(f"the first page is served, {self.served_after:.1f} s after the start")

    def _start_others(self) -> None:
        if self.supervisor.stopping:
            return
        say("DICOM, MLLP, dispatcher, worker, scheduler")
        python, manage = sys.executable, str(self.root / "manage.py")
        celery = [python, "-m", "celery", "-A", "ris.celery"]
        worker = [*celery, "worker", "-P", "threads", "-c", "4", "-l", "WARNING"]
        worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        beat = [*celery, "beat", "-l", "WARNING", "--pidfile=", "-s", str(self.state / "beat-schedule")]
        for program in (
            Program("dicom", [python, manage, "run_mwl"], self.listeners["dicom"].port),
            Program("mllp", [python, manage, "run_mllp"], self.listeners["mllp"].port),
            Program("dispatcher", [python, manage, "run_dispatcher"]),
            Program("worker", worker),
            Program("scheduler", beat),
        ):
            self.supervisor.add_program(program)
        for name in ("dicom", "mllp"):
            port = self.listeners[name].port
            self._wait_for(f"port {port}", functools.partial(self._answers, port), name)

    def _gunicorn(self) -> list[str]:
        host = f"[{self.bind}]" if ":" in self.bind else self.bind
        command = [sys.executable, "-m", "gunicorn", "ris.wsgi", "--worker-class", "gthread", "--preload"]
        command += ["--bind", f"{host}:{self.listeners['web'].port}", "--workers", "2", "--threads", "8"]
        command += ["--timeout", "120", "--graceful-timeout", "4", "--log-level", "warning", "--no-control-socket"]
        return [*command, "--worker-tmp-dir", "/dev/shm"] if Path("/dev/shm").is_dir() else command

    def _empty_metrics(self) -> Path:
        """Where the web workers put their numbers together."""
        folder = self.state / "metrics"
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.db"):
            old.unlink()
        return folder

    def _wait_for(self, what: str, is_there: Callable[[], bool], program: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.supervisor.stopping and not is_there():
            if time.monotonic() > deadline:
                log = self.state / "logs" / f"{program}.log"
                raise Refused(f"{what.capitalize()} did not answer within {READY_SECONDS} s. See {log}")
            self.supervisor.look()
            time.sleep(0.1)

    def _reachable(self) -> str:
        """The address under which this machine reaches its own listeners."""
        return {"0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}.get(self.bind, self.bind)

    def _answers(self, port: int) -> bool:
        try:
            socket.create_connection((self._reachable(), port), timeout=1).close()
        except OSError:
            return False
        return True

    def _page_is_served(self) -> bool:
        line = http.client.HTTPConnection(self._reachable(), self.listeners["web"].port, timeout=5)
        try:
            line.request("GET", "/sign-in/", headers={"Host": f"localhost:{self.listeners['web'].port}"})
            return line.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            line.close()

    def _closing_screen(self) -> None:
        port = {name: listener.port for name, listener in self.listeners.items()}
        first, second = FACILITIES
        ready = time.monotonic() - self.started
        print(
            f"""
  The first page was served {self.served_after:.1f} s after the start, everything is ready after {ready:.1f} s.

    {first["name"]:<22} http://{first["host"]}:{port["web"]}/
    {second["name"]:<22} http://{second["host"]}:{port["web"]}/
    REST                   http://{first["host"]}:{port["web"]}/api/docs/
    Administration         http://{first["host"]}:{port["web"]}/admin/

    DICOM                  AE title {first["ae"]} ({second["ae"]}), port {port["dicom"]}, TLS {port["dicom_tls"]}
    HL7 v2 over MLLP       RIS|{first["msh6"]} (RIS|{second["msh6"]}), port {port["mllp"]}, TLS {port["mllp_tls"]}

    Sign in as             {", ".join(PEOPLE[:4])},
                           {", ".join(PEOPLE[4:])}
    Password               {self.values["RIS_DEMO_PASSWORD"]}

    State                  {self.state} (logs/, env, processes.json); `make clean` removes it
    One exam, played       make walk

  Ctrl-C stops everything.
""",
            flush=True,
        )


def own_addresses() -> list[str]:
    """The IPv4 addresses under which others reach this machine."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    except OSError:
        return []
    return sorted({str(entry[4][0]) for entry in found})


def write_private(path: Path, text: str) -> None:
    """A file that only its owner reads."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, once: so that the TLS ports of the demo answer."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    with locked(folder / "lock"):
        if certificate.exists() and key.exists():
            return certificate, key
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=3650))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(private, hashes.SHA256())
        )
        plain = serialization.NoEncryption()
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        write_private(key, pem.decode())
        certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    return certificate, key
