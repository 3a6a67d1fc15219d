"""Many scanners that store at the same time: all of them are served, and what the server holds stays bounded."""

from __future__ import annotations

import selectors
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos import wire
from tests.chaos.house import House

LINES, SIZE, SLICE, PATIENCE = 500, 1 << 20, 64 * 1024, 900.0
#: In MB: what 500 open associations may take, what may be on its way into files (``ServerSettings.max_held``), and one
#: PDU of each association (RIS_DICOM_MAX_PDU).
OPEN, ON_ITS_WAY, UNIT = 300, 128, 0.25


def crowd(at: House, scale: float, expect: Callable[[bool, str], None]) -> str:
    """A megabyte from each of 500 associations, a slice from one after the other, so that all are in the middle."""
    count = max(40, int(LINES * scale))
    room = {f"RIS_DICOM_ASSOCIATIONS{name}": str(count + 50) for name in ("", "_PER_ADDRESS")}
    at.start_scp(**room)
    lines = [wire.Line(at.ports["dicom"], seconds=PATIENCE) for _number in range(count)]
    idle = at.resident() / 1024
    begun = time.monotonic()
    answers = _store_at_once(lines)
    took = time.monotonic() - begun
    peak = at.peak() / 1024
    for line in lines:
        line.close()
    at.kill("dicom")
    stored = at.rows("select count(*) from worklist_imaginginstance where path like %s", "%/2.25.500%")[0][0]
    expect(answers == Counter({0: count}), f"{count} images were answered {dict(answers)}")
    expect(stored == count, f"{stored} of {count} images are in the index")
    expect(idle < OPEN, f"{count} open associations take {idle:.0f} MB")
    most = OPEN + ON_ITS_WAY + count * UNIT
    expect(peak < most, f"{count} associations take {idle:.0f} MB open and {peak:.0f} storing; {most:.0f} are bounds")
    return (
        f"{count} associations open {idle:.0f} MB, all storing {SIZE >> 20} MB at once at most {peak:.0f} MB "
        f"(bounds {most:.0f}), all stored within {took:.0f} s"
    )


def _store_at_once(lines: list[wire.Line]) -> Counter[int]:
    answers: Counter[int] = Counter()
    end = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as ready:
        for number, line in enumerate(lines):
            line.sock.setblocking(False)
            ready.register(line.sock, selectors.EVENT_WRITE, (line, memoryview(_message(number))))
        while ready.get_map():
            if time.monotonic() > end:
                answers[-1] = len(ready.get_map())
                break
            for key, events in ready.select(1):
                line, rest = key.data
                if events & selectors.EVENT_WRITE:
                    rest = rest[line.sock.send(rest[:SLICE]) :]
                    ready.modify(line.sock, selectors.EVENT_WRITE if rest else selectors.EVENT_READ, (line, rest))
                    continue
                line.sock.setblocking(True)
                answers[line.status()] += 1
                ready.unregister(line.sock)
    return answers


def _message(number: int) -> bytes:
    """A C-STORE; the studies are few, so that many come into one."""
    uid, study = wire.new_uid(), f"2.25.500{number % 20:02}"
    told = (
        (0x0002, wire.even(wire.CT_IMAGE)), (0x0100, wire.short(1)), (0x0110, wire.short(1)),
        (0x0700, wire.short(0)), (0x0800, wire.short(1)), (0x1000, wire.even(uid)),
    )  # fmt: skip
    data = wire.image(uid, study, f"{study}.1", size=SIZE, seed=1)
    return wire.p_data(wire.command(*told), 1) + wire.p_data(data, 0)
