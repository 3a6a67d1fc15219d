"""Which facility a message is for, remembered for two seconds: a receiver that is closed takes nothing after that."""

from __future__ import annotations

import threading
import time

from interop.hl7.door import Door
from interop.hl7.messages import Header
from ris.tenants.models import Facility
from ris.tenants.routing import facility_for_mllp

REMEMBERED_FOR = 2.0
MOST = 2000
_lock = threading.Lock()
_known: dict[tuple[object, ...], tuple[float, Facility]] = {}


def _key(header: Header | None, door: Door) -> tuple[object, ...]:
    names = (header.receiving_application, header.receiving_facility) if header else ("", "")
    return (door.port, *names, door.address, door.certificate, door.is_tls)


def remembered_facility(header: Header | None, door: Door) -> Facility | None:
    """Without a query; None when it has to be asked."""
    found = _known.get(_key(header, door))
    return found[1] if found is not None and found[0] > time.monotonic() else None


def facility_of(header: Header | None, door: Door) -> Facility | None:
    """None where no facility is found; that has been counted."""
    known = remembered_facility(header, door)
    if known is not None:
        return known
    facility = facility_for_mllp(
        door.port,
        header.receiving_application if header else "",
        header.receiving_facility if header else "",
        door.address,
        door.certificate,
        tls=door.is_tls,
        sender=header.sending_application if header else "",
    )
    if facility is not None:
        with _lock:
            if len(_known) >= MOST:
                _known.clear()
            _known[_key(header, door)] = (time.monotonic() + REMEMBERED_FOR, facility)
    return facility


def forget_doors() -> None:
    """For tests, and for whoever has changed a receiver in this process."""
    with _lock:
        _known.clear()
