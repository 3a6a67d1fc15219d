"""Storage: images of 512 KiB against DCMTK's storescp in its default and best configurations, and Orthanc where it is
installed, in interleaved rounds.

    .venv/bin/python tests/bench/dicom/bench_store.py [KiB]

Files are compared with what was sent before anything is timed. All destinations are on a tmpfs and nothing is synced,
so that it is programs that are compared and not the disk; the index is PostgreSQL's, its rows committed. Ratios are of
medians of the rounds; a round lasts half a second or more, because in a shorter one it is mostly counted how threads
and connections find each other, and after each there is a pause, so that nobody pays for what another still counts.
"index" is what is shipped; "transport" only writes files; "in process" is sink and index without a socket.

The last line is what two cores could do at the most for four associations: an image costs at least what the client and
storescp spend on it, and one bare INSERT with its commit; whoever looks at the object before indexing it needs more.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

KIB = int(os.environ.get("BENCH_KIB", "512"))
ROUNDS, COUNT = 5, 1200
#: Images in a round of those who wait for acknowledgements, or keep everything.
FEWER = {"storescp": 2, "orthanc": 240}
#: Seconds after a round: what a server still does about it, as to count, is not the next one's.
PAUSE = 1.0
CT, EXPLICIT_VR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
ROOT_UID, DIGITS = "1.2.826.0.1.3680043.9.3811.66.1", "000000000000"
PIECE = 131072 - 12
MEBIBYTES = KIB / 1024


def image(study: str, series: str) -> bytes:
    """A CT slice as a scanner sends it: some forty elements, then pixels. Its UID ends with DIGITS."""
    from interop.dicom.elements import EXPLICIT, encode

    texts = {
        0x00080005: "ISO_IR 192", 0x00080008: "ORIGINAL\\PRIMARY\\AXIAL", 0x00080016: CT, 0x00080018: ROOT_UID + DIGITS,
        0x00080020: "20260105", 0x00080021: "20260105", 0x00080030: "101112", 0x00080050: "B1", 0x00080060: "CT",
        0x00080070: "MAKER", 0x00080080: "HOUSE", 0x00080090: "REFERRER^A", 0x00081010: "CT1", 0x00081030: "HEAD",
        0x0008103E: "AXIAL", 0x00100010: "BENCH^IMAGE", 0x00100020: "B1", 0x00100030: "19700101", 0x00100040: "F",
        0x00180015: "HEAD", 0x00180050: "1.25", 0x00180060: "120", 0x00180088: "1.25", 0x00181030: "HEAD",
        0x00181150: "1000", 0x00181151: "200", 0x0020000D: study, 0x0020000E: series, 0x00200010: "1", 0x00200011: "2",
        0x00200013: "3", 0x00200032: "1\\2\\3", 0x00200037: "1\\0\\0\\0\\1\\0", 0x00200052: series + ".1",
        0x00280004: "MONOCHROME2",
    }  # fmt: skip
    shorts = {
        0x00280002: 1,
        0x00280010: 512,
        0x00280011: KIB,
        0x00280100: 8,
        0x00280101: 8,
        0x00280102: 7,
        0x00280103: 0,
    }
    values = {tag: text.encode() for tag, text in texts.items()}
    values |= {tag: struct.pack("<H", number) for tag, number in shorts.items()}
    start = b"".join(encode(tag, value, EXPLICIT) for tag, value in sorted(values.items()))
    return start + encode(0x7FE00010, bytes(range(256)) * (KIB * 4), EXPLICIT, b"OW")


def sent_again(data: bytes, uid: str) -> bytes:
    return data.replace((ROOT_UID + DIGITS).encode(), uid.encode(), 1)


def check_files(name: str, folder: Path, data: bytes) -> None:
    """What was written is what was sent, byte for byte where the writer claims that."""
    from pydicom import dcmread

    from interop.dicom.headers import read_file_start

    files = [path for path in folder.rglob("*") if path.is_file() and ".part" not in path.name]
    if name == "orthanc":  # its database, and heads of objects, lie there too
        files = [path for path in files if not path.name.startswith("index") and path.stat().st_size > KIB * 1024]
    assert files, name
    for path in files:
        content, uid = path.read_bytes(), str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        assert content[read_file_start(content).offset :] == sent_again(data, uid), f"{name}: {path}"


def emptied(folder: Path) -> None:
    if folder.name == "store":  # Orthanc's: it looks for them
        return
    for path in folder.rglob("*.dcm") if folder.name == "instances" else folder.iterdir():
        path.unlink()


@contextlib.contextmanager
def servers(folder: Path, harness: Any) -> Iterator[dict[str, tuple[int, Path]]]:
    """name -> (port, where its files go)"""
    names = ["index", "index x2", "transport", *(STORESCP if shutil.which("storescp") else ())]
    found = {name: (harness.free_port(), folder / name.replace(" ", "")) for name in names}
    with contextlib.ExitStack() as stack:
        for name, (port, target) in found.items():
            target.mkdir()
            log = target / "log" if name.startswith("index") else folder / f"{target.name}.log"
            if name in STORESCP:
                options, environment = STORESCP[name]
                words = ["storescp", "-q", *options, "-od", str(target), str(port)]
                started = stack.enter_context(harness.running(words, port, log, **environment))
                if name == "storescp best":
                    best_of_peers.append(started)
            elif name == "transport":
                words = [sys.executable, str(harness.HERE / "transport.py"), str(target), str(port)]
                stack.enter_context(harness.running(words, port, log, **harness.environment_of(folder)))
            else:
                processes = "2" if name.endswith("x2") else "1"
                server = harness.our_server(port, log, "--processes", processes, RIS_DICOM_FSYNC="none")
                stack.enter_context(server)
        orthanc = harness.orthanc(port := harness.free_port(), folder / "orthanc")
        if orthanc is not None:
            stack.enter_context(orthanc)
            found["orthanc"] = (port, folder / "orthanc" / "store")
        for name in ("index", "index x2"):
            found[name] = (found[name][0], found[name][1] / "instances")
        yield found


#: The process of "storescp best", while it runs.
best_of_peers: list[Any] = []
#: "best" is what the gates speak of: as received, without Nagle, in long PDUs. "fork" is shown besides.
STORESCP: dict[str, tuple[list[str], dict[str, str]]] = {
    "storescp": ([], {}),
    "storescp best": (["+B", "-pdu", "131072"], {"TCP_NODELAY": "1"}),
    "storescp fork": (["+B", "-pdu", "131072", "--fork"], {"TCP_NODELAY": "1"}),
}


def in_process(data: bytes, number: int) -> Callable[[int], None]:
    """Stores ``data`` under new UIDs by sink and index, as a handler's thread does."""
    from interop.dicom.storage import ObjectSink
    from interop.dicom.store import IncomingFile
    from ris.core.actor import Actor

    def store(index: int) -> None:
        uid = f"{ROOT_UID[:-1]}2{number}{index:010d}"
        content = memoryview(sent_again(data, uid + "0" * (len(ROOT_UID + DIGITS) - len(uid))))
        sink = ObjectSink(
            IncomingFile(CT, uid + "0" * (len(ROOT_UID + DIGITS) - len(uid)), EXPLICIT_VR, "LOAD"),
            Actor("storage", ae_title="LOAD"),
            is_further=True,
        )
        for at in range(0, len(content), PIECE):
            sink.write(content[at : at + PIECE])
        sink.finish()

    return store


def rate_in_process(data: bytes, number: int, threads: int) -> float:
    """Images a second."""
    from django.db import connection

    from ris.tenants.context import use_facility

    store = in_process(data, number)

    def work(start: int) -> None:
        with use_facility("alpha"):
            for index in range(start, COUNT, threads):
                store(index)
        connection.close()

    running = [threading.Thread(target=work, args=(start,)) for start in range(threads)]
    begun = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return COUNT / (time.perf_counter() - begun)


def seconds_of(pid: int) -> float:
    """CPU of a process."""
    spent = [(task / "schedstat").read_text().split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(map(int, spent)) / 1e9


def seconds_of_rows(count: int = 300) -> float:
    """PostgreSQL's CPU for a bare INSERT of an image's row, committed."""
    from django.db import connection

    from worklist.models import ImagingInstance
    from worklist.services.images import COLUMNS

    table = ImagingInstance._meta.db_table
    values = ", ".join("%s" if name == "sop_instance_uid" else name for name in COLUMNS)
    statement = f"insert into {table} ({', '.join(COLUMNS)}) select {values} from {table} where id = %s"
    template = ImagingInstance.objects.first()
    assert template is not None
    pid = connection.connection.info.backend_pid
    begun = seconds_of(pid)
    for number in range(count):
        connection.connection.execute(statement, [f"9.9.{number}", template.pk], prepare=True)
    return (seconds_of(pid) - begun) / count


def bound(load: Any, port: int) -> tuple[float, str]:
    """Images a second that two cores could store and index, and why."""
    (peer,) = best_of_peers
    clients = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun, sent = seconds_of(peer.pid), clients.ru_utime + clients.ru_stime
    load.run(port, count=COUNT, mode="keep", threads=4, warm=0)
    clients = resource.getrusage(resource.RUSAGE_CHILDREN)
    parts = {
        "client": (clients.ru_utime + clients.ru_stime - sent) / COUNT,
        "storescp": (seconds_of(peer.pid) - begun) / COUNT,
        "row": seconds_of_rows(),
    }
    told = ", ".join(f"{name} {part * 1000:.3f}" for name, part in parts.items())
    return 2 / sum(parts.values()), f"ms of CPU of an image: {told}"


def test_storage(transactional_db, settings, tmp_path, capsys):
    from django.db import connection

    from interop.models import DicomPeer
    from ris.core.ids import new_uid
    from ris.tenants.context import use_facility
    from tests.bench.dicom import harness
    from worklist.models import ImagingInstance, ImagingStudy

    with use_facility("alpha"):
        DicomPeer.objects.create(ae_title="LOAD", may_store=True)
    data = image(new_uid(), new_uid())
    asked = harness.command(
        (2, harness.uid(CT)), (0x100, harness.short(1)), (0x110, harness.short(1)), (0x700, harness.short(0)),
        (0x800, harness.short(1)), (0x1000, harness.uid(ROOT_UID + DIGITS)),
    )  # fmt: skip
    associate = harness.associate_request("ALPHA", "LOAD", CT, EXPLICIT_VR)
    load = harness.Load(harness.built("load", tmp_path), tmp_path, associate, asked, data, DIGITS.encode())
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="picha-bench-", dir=memory) as place,
        servers(Path(place), harness) as found,
    ):
        for name, (port, folder) in found.items():
            done = load.run(port, count=3, mode="keep", warm=0)
            assert (done["n"], done["failed"], done["bad_status"]) == (3, 0, -1), f"{name}: {done}"
            check_files(name, folder, data)
        for port, folder in found.values():
            load.run(port, count=8, mode="keep", threads=4, warm=0)  # opens the threads' lines to the database
            emptied(folder)
        harness.hurry_database(str(connection.settings_dict["NAME"]))
        rates: dict[tuple[str, int], list[float]] = {}
        settings.RIS_DICOM_FSYNC, settings.RIS_INSTANCE_FOLDER = "none", Path(place) / "process"
        for number in range(ROUNDS):
            for threads in (1, 4):
                for name, (port, folder) in found.items():
                    count = FEWER.get(name, COUNT)
                    if harness.REALTIME and name.startswith("index"):  # whose lines to the database may be new
                        load.run(port, count=4, mode="keep", threads=threads, warm=0)
                        harness.hurry_database(str(connection.settings_dict["NAME"]))
                    done = load.run(port, count=count, mode="keep", threads=threads)
                    assert (done["failed"], done["bad_status"]) == (0, -1), f"{name}: {done}"
                    rates.setdefault((name, threads), []).append(done["rate"])
                    emptied(folder)
                    time.sleep(PAUSE)
                rate = rate_in_process(data, number * 10 + threads, threads)
                rates.setdefault(("in process", threads), []).append(rate)
                shutil.rmtree(settings.RIS_INSTANCE_FOLDER)
        with use_facility("alpha"):
            check_counts(ImagingStudy.objects.get(), ImagingInstance.objects.count())
            most = bound(load, found["storescp best"][0]) if best_of_peers else (0.0, "")
    report({key: statistics.median(several) for key, several in rates.items()}, most, capsys)


def check_counts(study: Any, instances: int) -> None:
    """With every association released, the counts are those of the rows."""
    from worklist.services import recount_waiting

    recount_waiting()
    study.refresh_from_db()
    assert study.instance_count == instances


def report(rates: dict[tuple[str, int], float], most: tuple[float, str], capsys: Any) -> None:
    best = {threads: rates.get(("storescp best", threads), 0.0) for threads in (1, 4)}
    with capsys.disabled():
        sys.stdout.write(f"\nC-STORE of {KIB} KiB, kept associations, nothing synced\n")
        for (name, threads), rate in rates.items():
            ratio = f"{rate / best[threads]:6.2f} x storescp's best" if best[threads] else ""
            sys.stdout.write(f"x{threads}  {name:14} {rate:8.1f}/s  {rate * MEBIBYTES:7.0f} MiB/s  {ratio}\n")
        if best[4]:
            ratio = f"{most[0] / best[4]:6.2f} x storescp's best"
            sys.stdout.write(
                f"x4  two cores      {most[0]:8.1f}/s  {most[0] * MEBIBYTES:7.0f} MiB/s  {ratio}; {most[1]}\n"
            )
    if not best[1]:
        pytest.skip("storescp is not installed: apt-get install dcmtk")
    index = {threads: max(rates["index", threads], rates["index x2", threads]) for threads in (1, 4)}
    assert rates["transport", 1] >= 0.9 * best[1]
    assert index[1] >= 0.5 * best[1]
    assert index[4] >= 0.9 * best[4]


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[3]
    sys.path.insert(0, str(root))
    if len(sys.argv) > 1:
        os.environ["BENCH_KIB"] = sys.argv[1]
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
