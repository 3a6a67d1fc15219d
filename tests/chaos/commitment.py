"""R8: storage commitment of 500 objects, 5 of them absent; the requester is away, and we are killed meanwhile."""

from __future__ import annotations

import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.chaos import wire
from tests.chaos.house import House

PUSH_MODEL, PUSH_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
ABSENT = 5


def asked(transaction: str, uids: list[str]) -> bytes:
    """The action information: transaction UID and referenced SOP sequence."""
    items = b""
    for uid in uids:
        reference = wire.element(0x00081150, "UI", wire.even(wire.CT_IMAGE)) + wire.element(
            0x00081155, "UI", wire.even(uid)
        )
        items += struct.pack("<HHL", 0xFFFE, 0xE000, len(reference)) + reference
    return wire.element(0x00081195, "UI", wire.even(transaction)) + wire.element(0x00081199, "SQ", items)


class Requester:
    """Takes N-EVENT-REPORT on associations that the other side opens, as an archive's client does."""

    def __init__(self, ae_title: str, port: int) -> None:
        from pynetdicom import AE, evt

        self.reports: list[tuple[int, str, set[str], set[str]]] = []
        self._ae = AE(ae_title=ae_title)
        self._ae.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
        self._ae.maximum_associations = 20
        self._port, self._handlers = port, [(evt.EVT_N_EVENT_REPORT, self._take)]
        self._server: Any = None

    def open(self) -> None:
        self._server = self._ae.start_server(("127.0.0.1", self._port), block=False, evt_handlers=self._handlers)

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()

    def _take(self, event: Any) -> tuple[int, None]:
        told = event.event_information
        good = {item.ReferencedSOPInstanceUID for item in told.get("ReferencedSOPSequence") or ()}
        bad = {item.ReferencedSOPInstanceUID for item in told.get("FailedSOPSequence") or ()}
        self.reports.append((event.event_type, told.TransactionUID, good, bad))
        return 0x0000, None


def commitment(
    at: House,
    scale: float,
    *,
    requester: str,
    expect: Callable[[bool, str], None],
    objects: Callable[..., list[tuple[str, bytes]]],
    send_all: Callable[..., int],
) -> str:
    at.start_scp()
    at.start_dispatcher()
    images = objects(max(20, int(500 * scale)) - ABSENT, size=2048)
    acknowledged: dict[str, str] = {}
    send_all(at, images, Counter(), acknowledged)
    absent = [wire.new_uid() for _number in range(ABSENT)]
    transaction = wire.new_uid()
    line = wire.Line(at.ports["dicom"], [(PUSH_MODEL, wire.EXPLICIT)], calling=requester)
    status = line.ask(
        (0x0003, wire.even(PUSH_MODEL)),
        (0x0100, wire.short(0x0130)),
        (0x0110, wire.short(1)),
        (0x0800, wire.short(1)),
        (0x1001, wire.even(PUSH_INSTANCE)),
        (0x1008, wire.short(1)),
        data=asked(transaction, [*acknowledged, *absent]),
    )
    line.close()
    expect(status == 0, f"The request was answered {status:#06x}")
    away = 600 if scale >= 1 else 20
    gone = threading.Event()
    gone.wait(away / 2)
    for name in ("dicom", "dispatcher"):
        at.kill(name)
    at.start_scp()
    at.start_dispatcher()
    gone.wait(away / 2)
    listener = Requester(requester, at.ports["requester"])
    listener.open()
    begun = time.monotonic()
    try:
        while not listener.reports:
            expect(time.monotonic() - begun < 120, "No report came within 120 s of the requester's return.")
            time.sleep(0.2)
        waited = time.monotonic() - begun
        gone.wait(10)
        at.kill("dispatcher")
        at.start_dispatcher()
        gone.wait(10)
    finally:
        listener.close()
    expect(len(listener.reports) == 1, f"{len(listener.reports)} reports came")
    kind, named, good, bad = listener.reports[0]
    expect(kind == 2 and named == transaction, f"event type {kind}, transaction {named}")
    expect(bad == set(absent) and good == set(acknowledged), f"{len(good)} good, {len(bad)} failed")
    return (
        f"{len(good) + len(bad)} asked, the report names exactly the {len(bad)} absent; requester away {away} s, "
        f"we killed meanwhile: delivered once, {waited:.0f} s after its return"
    )
