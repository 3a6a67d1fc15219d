"""What the DICOM benches share: the C programs, prepared bytes, peers as processes, tables copied a thousandfold."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
IMPLICIT_VR = "1.2.840.10008.1.2"
TICKS = os.sysconf("SC_CLK_TCK")
#: BENCH_REALTIME=1: everything that is measured runs before everything else, on a machine with neighbours.
REALTIME = ["chrt", "-f", "5"] if os.environ.get("BENCH_REALTIME") == "1" else []


def built(name: str, folder: Path) -> Path:
    """``load`` or ``floor``, compiled into ``folder``."""
    target = folder / name
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        sys.exit("A C compiler is needed: apt-get install gcc libc6-dev")
    subprocess.run([compiler, "-O2", "-pthread", "-o", str(target), str(HERE / f"{name}.c")], check=True)
    return target


# --- bytes


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def associate_request(
    called: str, calling: str, abstract: str, syntax: str = IMPLICIT_VR, max_pdu: int = 131072
) -> bytes:
    """An A-ASSOCIATE-RQ PDU with one presentation context (PS3.8 9.3.2)."""
    context = bytes([1, 0, 0, 0]) + item(0x30, abstract.encode()) + item(0x40, syntax.encode())
    user = item(0x51, struct.pack(">L", max_pdu)) + item(0x52, b"1.2.826.0.1.3680043.9.3811.9") + item(0x55, b"LOAD")
    body = struct.pack(">HH", 1, 0) + called.ljust(16).encode() + calling.ljust(16).encode() + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + item(0x50, user)
    return struct.pack(">BBL", 1, 0, len(body)) + body


def command(*elements: tuple[int, bytes]) -> bytes:
    """A command set (PS3.7 6.3.1) from (element number, value)."""
    body = b"".join(struct.pack("<HHL", 0, element, len(value)) + value for element, value in elements)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def short(number: int) -> bytes:
    return struct.pack("<H", number)


def p_data(content: bytes, control: int) -> bytes:
    return struct.pack(">BBLLBB", 4, 0, len(content) + 6, len(content) + 2, 1, control) + content


def recorded(port: int, associate: bytes, asked: bytes, data: bytes) -> tuple[bytes, bytes]:
    """(the acceptance, the whole answer) of a server, byte for byte, for the floor to send again."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(associate)
        accepted = _pdu(sock)
        sock.sendall(p_data(asked, 3) + (p_data(data, 2) if data else b""))
        answer = b""
        while True:
            pdu = _pdu(sock)
            answer += pdu
            if pdu[11] == 3 and not _is_pending(pdu[12:]):
                break
        sock.sendall(struct.pack(">BBLL", 5, 0, 4, 0))
        _pdu(sock)
    return accepted, answer


def _pdu(sock: socket.socket) -> bytes:
    head = _exactly(sock, 6)
    return head + _exactly(sock, struct.unpack(">L", head[2:])[0])


def _exactly(sock: socket.socket, length: int) -> bytes:
    got = b""
    while len(got) < length:
        chunk = sock.recv(length - len(got))
        if not chunk:
            raise ConnectionError("The server closed the connection.")
        got += chunk
    return got


def _is_pending(bytes_: bytes) -> bool:
    at = 0
    while at + 8 <= len(bytes_):
        group, element, length = struct.unpack_from("<HHL", bytes_, at)
        if (group, element) == (0, 0x0900):
            return struct.unpack_from("<H", bytes_, at + 8)[0] in (0xFF00, 0xFF01)
        at += 8 + length
    return False


# --- processes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(arguments: Sequence[str], port: int, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server until the block ends; waits until the port answers."""
    with log.open("w") as words:
        process = subprocess.Popen(
            [*REALTIME, *arguments],
            stdout=words,
            stderr=words,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"{arguments[0]} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment_of(folder: Path) -> dict[str, str]:
    """For a process of ours on the test's database that keeps its files in ``folder``."""
    return {
        "RIS_BOOTSTRAP": "0",
        "RIS_DEMO": "1",
        "RIS_LOG_LEVEL": "ERROR",
        "DJANGO_SETTINGS_MODULE": "ris.settings",
        "RIS_STATE": str(folder / "state"),
        "RIS_INSTANCE_FOLDER": str(folder / "instances"),
    }


def our_server(port: int, log: Path, *options: str, **more: str) -> Any:
    """``run_mwl`` on the test's database, with ``options`` and ``more`` in its environment."""
    environment = {**environment_of(log.parent), **more}
    arguments = [sys.executable, str(ROOT / "manage.py"), "run_mwl", "--host", "127.0.0.1", "--port", str(port)]
    return running([*arguments, *options], port, log, **environment)


WORKLIST_PLUGIN = Path("/usr/share/orthanc/plugins/libModalityWorklists.so")


def orthanc(port: int, folder: Path, worklist: Path | None = None) -> Any:
    """Orthanc at its best, where it is installed, else None, told: nothing synced, no Nagle, long PDUs."""
    program = shutil.which("Orthanc")
    if program is None or (worklist is not None and not WORKLIST_PLUGIN.exists()):
        sys.stdout.write("     Orthanc is not installed: apt-get install orthanc\n")
        return None
    folder.mkdir(parents=True, exist_ok=True)
    chosen: dict[str, Any] = {
        "DicomAet": "ALPHA",
        "DicomPort": port,
        "HttpServerEnabled": False,
        "StorageDirectory": str(folder / "store"),
        "IndexDirectory": str(folder / "store"),
        "SyncStorageArea": False,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFindWorklist": True,
        "MaximumPduLength": 131072,
        "DicomThreadsCount": 4,
        "LimitFindResults": 0,
        "MetricsEnabled": False,
    }
    if worklist is not None:
        chosen |= {"Plugins": [str(WORKLIST_PLUGIN)], "Worklists": {"Enable": True, "Database": str(worklist)}}
    (folder / "orthanc.json").write_text(json.dumps(chosen))
    return running([program, str(folder / "orthanc.json")], port, folder / "log", TCP_NODELAY="1")


def hurry_database(name: str) -> None:
    """With BENCH_REALTIME, the connections that a database has now."""
    if REALTIME:
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and f" {name} ".encode() in (folder / "cmdline").read_bytes():
                    subprocess.run(["chrt", "-f", "-p", "5", folder.name], check=False)


def resident_megabytes(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def told(name: str, value: float, limit: float, *, least: bool = False) -> bool:
    """Print a gate, and whether it holds."""
    holds = value >= limit if least else value <= limit
    sys.stdout.write(f"{'ok  ' if holds else 'FAIL'} {name:64} {value:9.2f} {'>=' if least else '<='} {limit:g}\n")
    return holds


def seconds_of_cpu(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / TICKS


class Load:
    """``load`` with its files: ``run(port, ...)`` gives its figures, times in seconds.

    ``digits``: a text of digits in ``asked`` and ``data`` that becomes another number in each request.
    """

    def __init__(
        self, program: Path, folder: Path, associate: bytes, asked: bytes, data: bytes, digits: bytes = b""
    ) -> None:
        self.program = program
        self.offsets = [str(part.find(digits)) for part in (asked, data)] + [str(len(digits))] if digits else []
        self.files = [folder / name for name in ("associate", "command", "dataset")]
        for file, content in zip(self.files, (associate, asked, data), strict=True):
            file.write_bytes(content)

    def run(self, port: int, *, count: int, mode: str = "new", threads: int = 1, warm: int = 2) -> dict[str, Any]:
        words = [*REALTIME, str(self.program), "127.0.0.1", str(port), *map(str, self.files), mode]
        words += [*(str(number) for number in (threads, count, warm)), *self.offsets]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
        return json.loads(done.stdout)


# --- tables


def looked_after(database: str) -> None:
    """What autovacuum does in its time."""
    from tests.conftest import superuser

    with superuser(database) as server:
        server.execute("vacuum analyze")


def multiply(cursor: Any, table: str, template: int, count: int, **columns: str) -> None:
    """Copy the row with id ``template`` ``count`` times; ``columns`` are SQL expressions in which ``g`` counts."""
    cursor.execute(
        "select column_name from information_schema.columns where table_schema = current_schema() and table_name = %s"
        " and is_generated = 'NEVER' order by ordinal_position",
        [table],
    )
    names = [name for (name,) in cursor.fetchall() if name != "id"]
    values = ", ".join(columns.get(name, f'source."{name}"') for name in names)
    listed = ", ".join(f'"{name}"' for name in names)
    cursor.execute(
        f'insert into "{table}" ({listed}) select {values} from "{table}" source, generate_series(1, {count}) g'
        f" where source.id = {template} order by g"
    )
