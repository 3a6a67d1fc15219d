"""``make chaos-hl7``: the HL7 interface broken on purpose. A figure for each promise; ends with 1 when one breaks.

    .venv/bin/python tests/chaos/hl7.py [--only R1,S20] [--scale 0.1]      CHAOS_SCALE says the same

R1  messages in survive kill -9      R4  Redis killed and flushed      R9  the receiver is away      S20  mutated frames
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from interop.hl7.messages import parse  # noqa: E402
from interop.hl7.mllp import Deframer, frame  # noqa: E402
from interop.hl7.receiver import Receiver  # noqa: E402
from ris.embedded import Valkey, free_port  # noqa: E402
from tests.chaos.house import ROOT as HOUSE_ROOT  # noqa: E402
from tests.chaos.house import SCHEMA, House, answers, house  # noqa: E402

LINES, PATIENTS = 8, 500


class Broken(AssertionError):
    """A promise that was not kept."""


def expect(is_so: bool, words: str) -> None:
    if not is_so:
        raise Broken(words)


# --- a sender


class Line:
    """One connection that asks until it is answered, and comes back when it is cut."""

    def __init__(self, port: int) -> None:
        self.port, self.socket, self.deframer = port, None, Deframer()
        self.waiting: list[bytes] = []
        self.cuts = 0

    def ask(self, raw: bytes, *, seconds: float = 60) -> str:
        """MSA-1 of the answer to exactly this message; raises OSError when the line is cut."""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
            self.deframer, self.waiting = Deframer(), []
        self.socket.sendall(frame(raw))
        while not self.waiting:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("cut")
            self.waiting += self.deframer.feed(data)
        answer = parse(self.waiting.pop(0)).required("MSA")
        expect(answer.text(2) == raw.split(b"|")[9].decode(), "An answer to another message came.")
        return answer.text(1)

    def insist(self, raw: bytes, until: float) -> str:
        heard: Counter[str] = Counter()
        while time.monotonic() < until:
            try:
                code = self.ask(raw)
                if code in ("AA", "AR"):
                    return code
                heard[code] += 1
            except OSError as cut:
                heard[type(cut).__name__] += 1
                self.cuts += 1
                self.close()
            time.sleep(0.1)
        raise Broken(f"It was never acknowledged: {dict(heard)}.")

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def header(kind: str, control_id: str) -> str:
    return f"MSH|^~\\&|HIS|CLINIC|RIS|CHAOS|20260102030405||{kind}|{control_id}|P|2.5.1||||||UNICODE UTF-8"


def sent(number: int, patient: int, step: int) -> bytes:
    """By turns an update of the patient, which carries its place in the order, and an order of them."""
    person = f"PID|1||P{patient:05}^^^CLINIC^MR||Family{patient}^Step{step:05}||19800101|F"
    control = f"M{number:06}"
    if step % 2:
        order = f"ORC|NW|A{number:06}^HIS\rOBR|1|A{number:06}^HIS||CT1^CT chest^L"
        return f"{header('ORM^O01', control)}\r{person}\r{order}\r".encode()
    return f"{header('ADT^A08', control)}\r{person}\r".encode()


def start_mllp(at: House) -> None:
    at.start("mllp", sys.executable, str(HOUSE_ROOT / "manage.py"), "run_mllp", "--port", str(at.ports["mllp"]))
    at.wait_for("mllp")


def prepare(at: House) -> None:
    at.ports["mllp"] = free_port()
    names = ["--facility", SCHEMA, "--application", "RIS", "--facility-name", "CHAOS", "--address", "127.0.0.1"]
    at.manage("add_receiver", *names)


# --- R


def r1(at: House, scale: float) -> str:
    """Eight lines, each with patients of its own; what is acknowledged has had its effect, once, in order."""
    count, chance = max(200, int(10_000 * scale)), random.Random(1)
    until = time.monotonic() + 1800 + count
    plan: dict[int, list[bytes]] = defaultdict(list)
    steps: Counter[int] = Counter()
    last: dict[int, int] = {}
    for number in range(count):
        patient = number % min(PATIENTS, max(8, count // 10))
        raw = sent(number, patient, steps[patient])
        if steps[patient] % 2 == 0:
            last[patient] = steps[patient]
        steps[patient] += 1
        plan[patient % LINES].append(raw)
        if chance.random() < 0.1:
            plan[patient % LINES].append(raw)
    orders = sum(b"ORM^O01" in raw for rows in plan.values() for raw in set(rows))
    begun = time.monotonic()
    start_mllp(at)
    at.start_dispatcher()
    codes: Counter[str] = Counter()
    lines = [Line(at.ports["mllp"]) for _line in range(LINES)]
    problems: list[BaseException] = []

    def send(position: int) -> None:
        try:
            for raw in plan[position]:
                codes[lines[position].insist(raw, until)] += 1
        except BaseException as wrong:
            problems.append(wrong)

    senders = [threading.Thread(target=send, args=(n,), daemon=True) for n in range(LINES)]
    for sender in senders:
        sender.start()
    kills, starts = 0, [time.monotonic() - begun]
    while any(sender.is_alive() for sender in senders):
        time.sleep(2.0)  # since it listens: a listener that is killed while it starts shows nothing
        for name in ("mllp", "dispatcher")[: 1 + kills % 2]:
            at.kill(name)
        kills += 1
        begun = time.monotonic()
        start_mllp(at)
        starts.append(time.monotonic() - begun)
        if "dispatcher" not in at.processes:
            at.start_dispatcher()
    expect(not problems, f"{problems[:1]}")
    expect(set(codes) == {"AA"}, f"{codes}")
    found = dict(at.rows("select i.value, p.given_name from orders_patientidentifier i join orders_patient p"
                         " on p.id = i.patient_id where i.value ~ '^P[0-9]{5}$'"))  # fmt: skip
    wrong = [n for n, step in last.items() if found.get(f"P{n:05}") != f"Step{step:05}"]
    expect(not wrong, f"{len(wrong)} patients are not as their last message says")
    placed = at.rows(
        "select count(*), count(distinct placer_order_number) from orders_order where placer_order_number like 'A%'"
    )[0]
    expect(placed == (orders, orders), f"{orders} orders were acknowledged, there are {placed}")
    kept = at.rows("select count(*), count(*) filter (where status = 'processed' or status = 'unmapped')"
                   " from interop_inboundmessage where control_id like 'M______'")[0]  # fmt: skip
    expect(kept == (count, count), f"{count} messages, kept and processed: {kept}")
    cuts = sum(line.cuts for line in lines)
    twice = sum(codes.values()) - count
    again = f"each 2 s after it listened again, which took {statistics.median(starts):.1f} s"
    return f"{count} messages, {twice} sent twice, {kills} kills ({again}), {cuts} cuts: 0 lost, 0 twice, in order"


def r4(at: House, scale: float) -> str:
    """Redis stopped and emptied while messages come: intake and what follows go on."""
    count = max(100, int(2000 * scale))
    valkey = start_valkey(at)
    at.environment["REDIS_URL"] = f"redis://127.0.0.1:{at.ports['redis']}/0"
    start_mllp(at)
    at.start("dispatcher", sys.executable, str(HOUSE_ROOT / "manage.py"), "run_dispatcher")
    celery = [sys.executable, "-m", "celery", "-A", "ris.celery", "worker", "-P", "threads", "-c", "4", "-l", "ERROR"]
    at.start("worker", *celery)
    restarts = 0

    def supervise() -> None:
        """As whatever runs the house does: a worker that lost its broker and ended is started again."""
        nonlocal restarts
        if at.processes["worker"].poll() is not None:
            at.kill("worker")
            at.start("worker", *celery)
            restarts += 1

    line, until = Line(at.ports["mllp"]), time.monotonic() + 120 + count
    before = at.rows("select count(*) from orders_order")[0][0]
    for number in range(count):
        control = f"R4{number:06}"
        raw = f"{header('ORM^O01', control)}\rPID|1||R{number:05}^^^CLINIC^MR||Redis^R\r"
        raw += f"ORC|NW|{control}^HIS\rOBR|1|{control}^HIS||CT1^CT^L\r"
        expect(line.insist(raw.encode(), until) == "AA", "An order was not taken.")
        supervise()
        if number == count // 4:
            valkey.kill()
            valkey.wait()
        if number == count // 2:
            valkey = start_valkey(at)
    came_back = time.monotonic()
    done = at.rows("select count(*) from orders_order")[0][0] - before
    expect(done == count, f"{done} of {count} orders are there")
    waiting = "select count(*) from events_delivery where status = 'pending'"
    while at.rows(waiting)[0][0] and time.monotonic() < came_back + 60:
        supervise()
        time.sleep(0.5)
    left = at.rows(waiting)[0][0]
    valkey.kill()
    valkey.wait()
    expect(left == 0, f"{left} events wait after 60 s")
    took = time.monotonic() - came_back
    return f"{count} orders, 0 lost; nothing waits {took:.0f} s after the last; the worker restarted {restarts} times"


def start_valkey(at: House) -> subprocess.Popen[bytes]:
    """An empty one on the same port."""
    at.ports.setdefault("redis", free_port())
    command = [str(Valkey(at.state).binary()), "--port", str(at.ports["redis"]), "--save", "", "--bind", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 10
    while not answers(at.ports["redis"]) and time.monotonic() < end:
        time.sleep(0.05)
    return process


def r9(at: House, scale: float) -> str:
    """A receiver that is away, answers AE and loses answers, and one message that it never takes."""
    count, away = max(40, int(1000 * scale)), max(5.0, 600 * scale)
    poison, port = "POISON", free_port()
    at.manage("add_hl7_destination", "--facility", SCHEMA, "--name", "his", "--host", "127.0.0.1", "--port", str(port),
              "--messages", "ORR")  # fmt: skip
    start_mllp(at)
    at.start_dispatcher()
    line, until = Line(at.ports["mllp"]), time.monotonic() + 300 + count + away
    begun = time.monotonic()
    for number in range(count):
        family = poison if number == count // 2 else "Calm"
        control, patient = f"R9{number:06}", number % max(5, count // 10)
        person = f"X{patient:05}" if family == "Calm" else "XPOISON"
        raw = f"{header('ORM^O01', control)}\rPID|1||{person}^^^CLINIC^MR||{family}^P\r"
        raw += f"ORC|NW|{control}^HIS\rOBR|1|{control}^HIS||CT1^CT^L\r"
        expect(line.insist(raw.encode(), until) == "AA", "An order was not taken.")
    time.sleep(max(0.0, away - (time.monotonic() - begun)))
    chance = random.Random(9)

    def choose(message: Any) -> str:
        if message.required("PID").text(5) == poison:
            return "AR"
        return chance.choices(["AA", "AE", "drop"], [90, 5, 5])[0]

    with Receiver(port=port, choose=choose) as receiver:
        asked = "select status, count(*) from interop_outboundmessage where left(message_type, 3) = 'ORR' group by 1"
        end = time.monotonic() + 300 + count
        state: dict[str, int] = {}
        while time.monotonic() < end:
            state = dict(at.rows(asked))
            if state.get("acknowledged", 0) >= count - 1 and state.get("parked", 0) == 1:
                break
            time.sleep(0.5)
        expect(state.get("acknowledged", 0) == count - 1 and state.get("parked", 0) == 1, f"{state}")
        taken = [row for row in receiver.received if row.answer == "AA"]
    tries: defaultdict[str, set[str]] = defaultdict(set)
    order: defaultdict[str, list[str]] = defaultdict(list)
    for row in receiver.received:
        tries[row.message.required("ORC").text(2)].add(row.control_id)
    for row in taken:
        placer = row.message.required("ORC").text(2)
        if placer not in order[row.message.required("PID").text(3)]:
            order[row.message.required("PID").text(3)].append(placer)
    expect(all(len(ids) == 1 for ids in tries.values()), "A retry had another MSH-10.")
    expect(all(rows == sorted(rows) for rows in order.values()), "The order of a patient's messages was not kept.")
    return (
        f"away {away:.0f} s, {count} messages: all delivered, {len(receiver.received) - len(taken)} retries, 1 parked"
    )


# --- S


def s20(at: House, scale: float) -> str:
    """Mutated frames; delimiters and frame marks in every text field."""
    count, chance = max(300, int(10_000 * scale)), random.Random(20)
    start_mllp(at)
    memory = at.resident("mllp")
    fates: Counter[str] = Counter()
    slowest = 0.0
    for number in range(count):
        raw = bytearray(frame(sent(number, number % 50, number)))
        for _change in range(chance.randint(1, 6)):
            position = chance.randrange(len(raw))
            junk = bytes(chance.choice(b"|^~\\&#\r\n\x0b\x1c\x00\xff\x80A") for _byte in range(chance.randint(0, 3)))
            raw[position : position + chance.randint(0, 2)] = junk
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", at.ports["mllp"]), timeout=10) as sock:
            sock.sendall(bytes(raw))
            sock.shutdown(socket.SHUT_WR)
            answer = b""
            while data := sock.recv(65536):
                answer += data
        slowest = max(slowest, time.monotonic() - begun)
        fates["answered" if answer else "closed"] += 1
    expect(slowest < 5, f"A frame took {slowest:.1f} s.")
    expect(at.processes["mllp"].poll() is None, "The listener died.")
    again = Line(at.ports["mllp"]).ask(sent(999_999, 1, 2))
    expect(again == "AA", f"A good message is answered {again} afterwards.")
    grown = (at.resident("mllp") - memory) / 1024
    return f"{count} mutated frames: {dict(fates)}, slowest {slowest:.2f} s, 0 crashes, memory +{grown:.0f} MB"


CHECKS: dict[str, Callable[[House, float], str]] = {"R1": r1, "R4": r4, "R9": r9, "S20": s20}


def main() -> int:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--only", default="", help="For example R1,S20.")
    scale = float(os.environ.get("CHAOS_SCALE", "1"))
    known.add_argument("--scale", type=float, default=scale, help="Of the numbers; 1 is the bar.")
    options = known.parse_args()
    wanted = [name for name in options.only.upper().split(",") if name] or list(CHECKS)
    broken = 0
    with house(Path(tempfile.mkdtemp(prefix="picha-chaos-")) / "house") as at:
        prepare(at)
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
