"""``make chaos-dicom``: the imaging network broken on purpose. A figure for each promise; ends with 1 when one breaks.

    .venv/bin/python tests/chaos/dicom.py [--only R2,S6] [--scale 0.1]

R2  images survive kill -9        R3  PostgreSQL restarted, images and orders     R5  disk full
R6  steps sent twice, cut lines   R8  storage commitment, requester away          S5  mutated bytes
S6  huge PDUs, silent sockets     S7  bombs                                       S8  names that point outside
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from interop.dicom.fingerprint import Fingerprint  # noqa: E402
from tests.chaos import fuzz, wire  # noqa: E402
from tests.chaos.commitment import commitment  # noqa: E402
from tests.chaos.crowd import crowd  # noqa: E402
from tests.chaos.house import REQUESTER, SCANNER, SCHEMA, House, house, small_disk  # noqa: E402

OUT_OF_RESOURCES = range(0xA700, 0xA800)
#: Seconds between two images: without them all is stored before anything is killed.
PACE = 0.02


class Broken(AssertionError):
    """A promise that was not kept."""


def expect(is_so: bool, words: str) -> None:
    if not is_so:
        raise Broken(words)


def objects(count: int, *, size: int = 16_384, studies: int = 20) -> list[tuple[str, bytes]]:
    made = []
    for number in range(count):
        study = f"2.25.77{number % studies:04}"
        uid = wire.new_uid()
        made.append((uid, wire.image(uid, study, f"{study}.1", size=size)))
    return made


def send_all(
    at: House,
    images: list[tuple[str, bytes]],
    statuses: Counter[int],
    acknowledged: dict[str, str],
    *,
    again: float = 0.1,
) -> int:
    """Every image until it is taken, in order, on one association as long as it holds; answers the repeats."""
    line: wire.Line | None = None
    repeats = 0
    for uid, data in images:
        tries = 0
        while uid not in acknowledged:
            tries += 1
            try:
                line = line or wire.Line(at.ports["dicom"])
                status = line.store(uid, data)
                statuses[status] += 1
                if status == 0:
                    time.sleep(PACE)
                    acknowledged[uid] = Fingerprint(data).hexdigest()
                    continue
            except (wire.Refused, OSError):
                if line is not None:
                    line.close()
                    line = None
            time.sleep(again)
        repeats += tries > 1
    if line is not None:
        line.close()
    return repeats


def check_stored(at: House, acknowledged: dict[str, str]) -> str:
    """Missing, unindexed, truncated, different, half written: all are to be nothing."""
    rows = dict(at.rows("select sop_instance_uid, array[path, fingerprint] from worklist_imaginginstance"))
    unindexed = [uid for uid in acknowledged if uid not in rows]
    missing = different = 0
    for uid, digest in acknowledged.items():
        if uid not in rows:
            continue
        path, indexed = rows[uid]
        found = list(at.instances.rglob(Path(path).name))
        if not found:
            missing += 1
            continue
        content = found[0].read_bytes()
        different += not content_digest(content) == indexed == digest
    half = list(at.instances.rglob("*.part"))
    expect(not unindexed and not missing and not different, f"{len(unindexed)=} {missing=} {different=}")
    return (
        f"0 missing, 0 unindexed, 0 different of {len(acknowledged)}; {len(half)} half-written left for the next start"
    )


def check_after_a_start(at: House) -> None:
    """What a killed process has left is put right by the next one: half-written files, counts."""
    at.kill("dicom")
    at.start_scp()
    wrong = (
        "select count(*) from worklist_imagingstudy s where s.instance_count <>"
        " (select count(*) from worklist_imaginginstance i join worklist_imagingseries e on e.id = i.series_id"
        " where e.study_id = s.id)"
    )
    end = time.monotonic() + 10
    while time.monotonic() < end and (at.rows(wrong)[0][0] or list(at.instances.rglob("*.part"))):
        time.sleep(0.1)
    expect(not list(at.instances.rglob("*.part")), "Half-written files stay after a start.")
    expect(at.rows(wrong)[0][0] == 0, f"{at.rows(wrong)[0][0]} studies count wrongly after a start.")


def content_digest(content: bytes) -> str:
    """Of the data set behind preamble and group 2."""
    length = struct.unpack_from("<L", content, 140)[0]
    return Fingerprint(content[144 + length :]).hexdigest()


# --- R


def r2(at: House, scale: float) -> str:
    images, statuses, acknowledged = objects(max(50, int(1000 * scale))), Counter[int](), {}
    at.start_scp()
    done = threading.Event()
    found: list[int] = []

    def send() -> None:
        found.append(send_all(at, images, statuses, acknowledged))
        done.set()

    threading.Thread(target=send, daemon=True).start()
    kills, pause = 0, 2.0 if scale >= 1 else 0.5
    while not done.wait(pause):
        at.kill("dicom")
        kills += 1
        at.start_scp()
        pause = 2.0 if scale >= 1 else 1.0
        expect(kills < 200, "It does not come to an end.")
    expect(kills > 0, "It was never killed: send more.")
    expect(found[0] <= kills, f"{found[0]} images were sent again for {kills} kills")
    said = check_stored(at, acknowledged)
    check_after_a_start(at)
    return f"{kills} kills, {found[0]} sent again: {said}; none left after the next start"


def r3(at: House, scale: float) -> str:
    at.start_scp()
    at.start_web()
    order = make_orders(at)
    count = max(40, int(1000 * scale))
    images, statuses, acknowledged = objects(count), Counter[int](), {}
    orders: dict[str, str] = {}
    answers: Counter[int] = Counter()
    stop = threading.Event()
    workers = [
        threading.Thread(target=send_all, args=(at, images, statuses, acknowledged), daemon=True),
        threading.Thread(target=order, args=(count, orders, answers), daemon=True),
    ]
    for worker in workers:
        worker.start()
    restarts, slowest = 0, 0.0
    while any(worker.is_alive() for worker in workers):
        stop.wait(5 if scale >= 1 else 1.5)
        before = len(acknowledged), len(orders)
        at.restart_postgres()
        restarts += 1
        begun = time.monotonic()
        while any(worker.is_alive() for worker in workers) and before == (len(acknowledged), len(orders)):
            expect(time.monotonic() - begun < 30, "Nothing goes on 30 s after PostgreSQL is back.")
            time.sleep(0.02)
        slowest = max(slowest, time.monotonic() - begun)
        expect(restarts < 400, "It does not come to an end.")
    expect(at.processes["dicom"].poll() is None, "run_mwl has ended.")
    wrong = [code for code in statuses if code and code not in OUT_OF_RESOURCES]
    expect(not wrong, f"statuses {[hex(code) for code in wrong]}")
    expect(set(answers) <= {200, 201, 503}, f"REST answered {dict(answers)}")
    said = check_stored(at, acknowledged)
    there = {row[0] for row in at.rows("select filler_order_number from orders_order")}
    lost = [number for number in orders.values() if number not in there]
    expect(len(orders) == count, f"{len(orders)} of {count} orders came through")
    expect(not lost, f"{len(lost)} acknowledged orders are not there")
    check_after_a_start(at)
    expect(slowest < 5, f"It took {slowest:.1f} s to go on.")
    refused = {hex(code): number for code, number in statuses.items() if code}
    return (
        f"{restarts} restarts; {said}; {len(orders)} orders acknowledged, 0 lost; refusals {refused}, "
        f"REST {dict(answers)}; goes on within {slowest:.1f} s"
    )


def make_orders(at: House) -> Callable[..., None]:
    """A caller of REST that makes an order after another, the same idempotency key until it is answered."""
    keys = {}
    for role in ("clerk", "it_admin"):
        at.manage("create_user", "--facility", SCHEMA, "--username", role, "--roles", role, "--service")
        keys[role] = at.manage("create_api_key", "--facility", SCHEMA, "--user", role, "--scopes", "orders.*")["key"]

    def call(method: str, path: str, body: Any = None, *, role: str = "clerk", **headers: str) -> tuple[int, Any]:
        line = http.client.HTTPConnection("127.0.0.1", at.ports["web"], timeout=30)
        try:
            words = {"Authorization": f"Api-Key {keys[role]}", "Content-Type": "application/json", **headers}
            line.request(method, path, json.dumps(body) if body is not None else None, words)
            answer = line.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None
        finally:
            line.close()

    status, patient = call(
        "POST",
        "/api/v1/patients/",
        {"family_name": "Chaos", "given_name": "Carla", "birth_date": "1980-01-01", "sex": "F"},
    )
    expect(status == 201, f"The patient was answered {status}: {patient}")
    _status, table = call("GET", "/api/v1/catalogue/table/")
    columns = table["csv"].splitlines()[0].split(",")
    head = {"code": "CTHEAD", "name": "CT head", "modality": "CT", "duration_minutes": "15"}
    lines = [",".join(columns), ",".join(head.get(name, "") for name in columns)]
    status, told = call("POST", "/api/v1/catalogue/load/", {"csv": "\n".join(lines) + "\n"}, role="it_admin")
    expect(status == 200, f"The catalogue was answered {status}: {told}")
    code = "CTHEAD"

    def order(count: int, made: dict[str, str], answers: Counter[int]) -> None:
        for number in range(count):
            body = {"patient": patient["id"], "procedures": [{"code": code}], "indication": f"Chaos {number}"}
            while str(number) not in made:
                try:
                    status, answer = call("POST", "/api/v1/orders/", body, **{"Idempotency-Key": f"chaos-{number}"})
                except OSError:
                    status, answer = 503, None
                answers[status] += 1
                if status in (200, 201):
                    made[str(number)] = answer["filler_order_number"]
                else:
                    time.sleep(0.1)

    return order


def r5(at: House, _scale: float) -> str:
    full = at.folder / "small"
    with small_disk(full, 64) as is_small:
        if not is_small:
            return "not shown: this account may not mount a tmpfs"
        at.start_scp(RIS_INSTANCE_FOLDER=str(full))
        line = wire.Line(at.ports["dicom"])
        stored: dict[str, bytes] = {}
        status = 0
        while status == 0:
            uid = wire.new_uid()
            data = wire.image(uid, "2.25.5", "2.25.5.1", size=4 << 20)
            status = line.store(uid, data)
            if status == 0:
                stored[uid] = data
            expect(len(stored) < 40, "64 MB never got full.")
        expect(status == 0xA700, f"A full disk was answered {status:#06x}")
        files = [path for path in full.rglob("*") if path.is_file()]
        rows = at.rows("select count(*) from worklist_imaginginstance where sop_instance_uid = any(%s)", [*stored])[0][
            0
        ]
        expect(len(files) == len(stored) == rows, f"{len(files)} files, {rows} rows, {len(stored)} acknowledged")
        files[0].unlink()
        files[1].unlink()
        begun = time.monotonic()
        uid = wire.new_uid()
        data = wire.image(uid, "2.25.5", "2.25.5.1", size=4 << 20)
        while line.store(uid, data) != 0:
            expect(time.monotonic() - begun < 10, "There is room, and nothing is taken.")
            time.sleep(0.2)
        taken = time.monotonic() - begun
        line.close()
        at.kill("dicom")
    return f"0xA700 after {len(stored)} images of 4 MB, no partial file, no row; takes again after {taken:.1f} s"


def r6(at: House, scale: float) -> str:
    at.start_scp()
    count, rng = max(30, int(500 * scale)), random.Random(6)
    contexts = [(wire.MPPS, wire.EXPLICIT)]
    codes: Counter[str] = Counter()
    steps = {wire.new_uid(): f"2.25.66{number}" for number in range(count)}
    for step, study in steps.items():
        for field, data in ((0x140, created(study)), (0x120, ended())):
            settled = 0
            while settled < 2:
                try:
                    line = wire.Line(at.ports["dicom"], contexts)
                    if rng.random() < 0.3:  # the line is cut in the middle of the request, or before its answer
                        asked = wire.p_data(wire.command((0x0002, wire.even(wire.MPPS))), 1)
                        line.sock.sendall(asked[: rng.randrange(1, len(asked))])
                        line.close()
                        continue
                    status = line.performed(field, step, data)
                    line.close()
                except wire.Refused:
                    continue
                codes[f"{field:#x} {status:#06x}"] += 1
                settled += 1
    unknown = wire.Line(at.ports["dicom"], contexts)
    codes[f"unknown {unknown.performed(0x120, wire.new_uid(), ended()):#06x}"] += 1
    back = unknown.performed(0x120, next(iter(steps)), ended("IN PROGRESS"))
    unknown.close()
    rows = dict(at.rows("select sop_instance_uid, status from worklist_performedprocedurestep"))
    expect(len(rows) == count and set(rows) == set(steps), f"{len(rows)} rows for {count} steps")
    expect(set(rows.values()) == {"COMPLETED"}, f"{Counter(rows.values())}")
    expect(back == 0x0110, f"A finished step that goes back was answered {back:#06x}")
    wanted = {"0x140 0x0000": count, "0x140 0x0111": count, "0x120 0x0000": count, "0x120 0x0110": count}
    expect(codes == Counter(wanted | {"unknown 0x0112": 1}), f"{dict(codes)}")
    return f"{count} steps, each once: {dict(codes)}; none moved back"


def created(study: str) -> bytes:
    reference = wire.element(0x0020000D, "UI", wire.even(study))
    item = struct.pack("<HHL", 0xFFFE, 0xE000, len(reference)) + reference
    return b"".join(
        (
            wire.element(0x00080060, "CS", b"CT"),
            wire.element(0x00100010, "PN", wire.even("Chaos^Carla", b" ")),
            wire.element(0x00100020, "LO", wire.even("CHAOS", b" ")),
            wire.element(0x00400241, "AE", wire.even(SCANNER, b" ")),
            wire.element(0x00400244, "DA", b"20260101"),
            wire.element(0x00400245, "TM", b"120000"),
            wire.element(0x00400252, "CS", wire.even("IN PROGRESS", b" ")),
            wire.element(0x00400253, "SH", wire.even(study[-8:], b" ")),
            wire.element(0x00400270, "SQ", item),
        )
    )


def ended(status: str = "COMPLETED") -> bytes:
    series = wire.element(0x0020000E, "UI", wire.even(wire.new_uid())) + wire.element(0x00181030, "LO", b"HEAD")
    item = struct.pack("<HHL", 0xFFFE, 0xE000, len(series)) + series
    return b"".join(
        (
            wire.element(0x00400250, "DA", b"20260101"),
            wire.element(0x00400251, "TM", b"121000"),
            wire.element(0x00400252, "CS", wire.even(status, b" ")),
            wire.element(0x00400340, "SQ", item),
        )
    )


# --- S


def s5(at: House, scale: float) -> str:
    in_process = fuzz.in_process(max(20_000, int(1_000_000 * scale)))
    at.start_scp()
    wire.Line(at.ports["dicom"]).close()
    before, slowest = at.resident(), 0.0
    count = max(500, int(20_000 * scale))
    for number in range(count):
        fuzz.throw(at.ports["dicom"], number)
        if number % 250 == 0:
            slowest = max(slowest, echo_time(at))
            expect(at.processes["dicom"].poll() is None, "run_mwl has died.")
    slowest = max(slowest, echo_time(at))
    grown = (at.resident() - before) / 1024
    expect(slowest < 2, f"C-ECHO took {slowest:.1f} s")
    expect(grown < 50, f"Memory grew by {grown:.0f} MB")
    return f"{in_process}; {count} associations on the wire: 0 deaths, C-ECHO at most {slowest:.2f} s, {grown:+.0f} MB"


def echo_time(at: House) -> float:
    begun = time.monotonic()
    line = wire.Line(at.ports["dicom"], [(wire.VERIFICATION, wire.IMPLICIT)])
    expect(line.echo() == 0, "C-ECHO failed.")
    line.close()
    return time.monotonic() - begun


def s6(at: House, scale: float) -> str:
    at.start_scp()
    echo_time(at)
    worst = 0.0
    for _number in range(20):
        before = at.resident()
        line = wire.Line(at.ports["dicom"])
        line.sock.settimeout(5)
        with contextlib.suppress(ConnectionError):
            line.sock.sendall(struct.pack(">BBL", 4, 0, 0xFFFFFFF0))
            for _megabyte in range(64):
                line.sock.sendall(bytes(1 << 20))
        expect(is_cut(line.sock), "The line stays open.")
        line.close()
        worst = max(worst, (at.resident() - before) / 1024)
    expect(worst < 32, f"A huge PDU cost {worst:.0f} MB")
    silent = [socket.create_connection(("127.0.0.1", at.ports["dicom"])) for _number in range(500)]
    took = echo_time(at)
    for one in silent:
        one.close()
    expect(took < 2, f"C-ECHO took {took:.1f} s beside 500 silent sockets")
    at.kill("dicom")
    said = crowd(at, scale, expect)
    return f"20 PDUs of 4 GiB cut, at most {worst:+.1f} MB each; C-ECHO beside 500 silent sockets {took:.2f} s; {said}"


def is_cut(sock: socket.socket) -> bool:
    """Whether the other side aborts or closes within the socket's patience."""
    try:
        while answer := sock.recv(65536):
            if answer[0] == 7:
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def s7(at: House, _scale: float) -> str:
    at.start_scp()
    echo_time(at)
    before, said = at.resident(), []
    for name, data, syntax in bombs():
        line = wire.Line(at.ports["dicom"], [(wire.CT_IMAGE, syntax)], seconds=60)
        try:
            status = f"{line.store('2.25.1', data):#06x}"
        except wire.Refused as refusal:
            status = f"aborted ({refusal})"
        line.close()
        expect(status != "0x0000", f"{name} was stored")
        said.append(f"{name} {status}")
    grown = (at.resident() - before) / 1024
    expect(grown < 150, f"Memory grew by {grown:.0f} MB")
    expect(echo_time(at) < 2, "C-ECHO is slow afterwards.")
    files = [path for path in at.instances.rglob("*") if path.is_file() and "2.25.1" in path.name]
    expect(not files, f"{files} were kept")
    return f"{'; '.join(said)}; {grown:+.0f} MB"


def bombs() -> list[tuple[str, bytes, str]]:
    head = wire.element(0x00080016, "UI", wire.even(wire.CT_IMAGE))
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = squeezed.compress(head + wire.element(0x00081030, "UN", bytes(300 << 20))) + squeezed.flush()
    nested = b""
    for _depth in range(10_000):
        inner = struct.pack("<HHL", 0xFFFE, 0xE000, len(nested)) + nested
        nested = wire.element(0x00081140, "SQ", inner)
    endless = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return [
        ("300 MB deflated to 300 kB", deflated, wire.DEFLATED),
        ("10,000 nested sequences", head + nested, wire.EXPLICIT),
        ("10,000 of undefined length", head + endless * 10_000, wire.EXPLICIT),
        (
            "an element that declares 4 GiB",
            head + struct.pack("<HH2sHL", 8, 0x1030, b"UN", 0, 0xFFFFFFF0),
            wire.EXPLICIT,
        ),
    ]


def s8(at: House, _scale: float) -> str:
    at.start_scp()
    canary = at.folder / "outside"
    names = [
        "../../outside",
        "../outside",
        f"{canary}",
        "1.2.3\0/../../outside",
        "1.2/../../../outside",
        "9" * 80,
        "1..2",
        "",
    ]
    before = {path for path in at.folder.rglob("*") if at.instances not in path.parents and "pg" not in path.parts}
    codes: Counter[str] = Counter()
    for name in names:
        good = wire.new_uid()
        for sop, study, series in ((name, good, good), (good, name, good), (good, good, name), (name, name, name)):
            try:
                line = wire.Line(at.ports["dicom"])
                status = f"{line.store(sop, wire.image(sop, study, series, size=512)):#06x}"
                line.close()
            except wire.Refused:
                status = "aborted"
            codes[status] += 1
    after = {path for path in at.folder.rglob("*") if at.instances not in path.parents and "pg" not in path.parts}
    outside = [path for path in after - before if path.suffix != ".log"]
    expect(not outside and not canary.exists(), f"{outside} lie outside the store")
    expect("0x0000" not in codes, f"{codes}")
    line = wire.Line(at.ports["dicom"])
    uid = wire.new_uid()
    expect(
        line.store(uid, wire.image(uid, "2.25.8", "2.25.8.1", size=512)) == 0, "A good image is not taken afterwards."
    )
    line.close()
    return f"{sum(codes.values())} objects with bad names: {dict(codes)}; 0 files outside the store"


def r8(at: House, scale: float) -> str:
    return commitment(at, scale, requester=REQUESTER, expect=expect, objects=objects, send_all=send_all)


CHECKS: dict[str, Callable[[House, float], str]] = {
    "R2": r2, "R3": r3, "R5": r5, "R6": r6, "R8": r8, "S5": s5, "S6": s6, "S7": s7, "S8": s8,
}  # fmt: skip


def main() -> int:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--only", default="", help="For example R2,S6.")
    known.add_argument("--scale", type=float, default=1.0, help="Of the numbers; 1 is the bar.")
    options = known.parse_args()
    wanted = [name for name in options.only.upper().split(",") if name] or list(CHECKS)
    broken = 0
    with house(Path(tempfile.mkdtemp(prefix="picha-chaos-")) / "house") as at:
        for name in wanted:
            begun = time.monotonic()
            try:
                words = CHECKS[name](at, options.scale)
            except Exception as wrong:
                broken += 1
                words = f"BROKEN: {wrong}"
                if not isinstance(wrong, Broken):
                    traceback.print_exc()
                for process in at.processes:
                    sys.stderr.write(at.log(process)[-1500:])
            sys.stdout.write(f"{name}  {words}  ({time.monotonic() - begun:.0f} s)\n")
            sys.stdout.flush()
            for process in list(at.processes):
                at.kill(process)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
