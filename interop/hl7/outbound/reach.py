"""Whether somebody answers at a destination: its test message and what comes back, or the connection alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.utils import timezone
from django.utils.translation import gettext as _

from interop.hl7 import acknowledgements as ack
from interop.hl7.messages import Hl7Error
from interop.hl7.mllp import FrameTooLarge, NotMllp
from interop.hl7.outbound import connections
from interop.hl7.outbound.envelope import Segments, msh, when
from interop.hl7.outbound.queue import wake
from interop.hl7.outbound.sender import Shipment, exchange, words_of
from interop.hl7.outbound.shaping import admits, render
from interop.models import AcknowledgementMode, Hl7Destination
from interop.models.messages import TestMessage
from orders.models import RequestedProcedure
from ris.accounts.outbound import OutsideFailed, pinned_address
from ris.core.errors import InvalidData
from ris.tenants.context import require_schema

NOBODY = "PICHA-TEST"
PATIENCE = 10


def names() -> list[str]:
    found = Hl7Destination.objects.filter(is_active=True, fhir_server__isnull=True).order_by("name")
    return list(found.values_list("name", flat=True))


def takes(name: str, procedures: Sequence[RequestedProcedure]) -> bool:
    """Whether the destination's filters let a report of these exams through."""
    found = Hl7Destination.objects.filter(name=name).first()
    return found is None or not found.filters or any(admits(found, row) for row in procedures)


def probe(name: str) -> str:
    """What was tried and what came of it, in words. Raises OutsideFailed, HostNotAllowed."""
    found = Hl7Destination.objects.filter(name=name, is_active=True).first()
    if found is None:
        raise InvalidData(_("There is no HL7 destination of this name."), errors={"destination": _("Unknown.")})
    try:
        address = pinned_address(found.host, found.port)
        words = _ask(found, address) if found.test_message else _knock(found, address)
    except (OSError, Hl7Error, FrameTooLarge, NotMllp, UnicodeEncodeError) as failure:
        raise OutsideFailed(f"{name}: {words_of(failure)}") from None
    wake(found)
    return words


def _knock(found: Hl7Destination, address: str) -> str:
    key = (require_schema(), address, found.port, found.host if found.uses_tls else "")
    connections.connect(key, connections.CONNECT_SECONDS).close()
    if found.uses_tls:
        words = _("Somebody listens at %(name)s, and TLS is agreed. Only the connection was tried: nothing was said.")
    else:
        words = _("Somebody listens at %(name)s. Only the connection was tried: nothing was said.")
    return words % {"name": found.name}


def _ask(found: Hl7Destination, address: str) -> str:
    """Over a connection of its own; the message is in no queue and holds no patient."""
    control_id = ack.new_control_id()
    body = render(_test_of(found, control_id), found, found.test_message)
    waits = found.acknowledgement_mode == AcknowledgementMode.BOTH
    patience = min(PATIENCE, found.ack_timeout_seconds)
    parcel = Shipment(
        0, found.name, found.host, found.port, found.uses_tls, patience, control_id, body, 1, False, waits
    )
    began = time.monotonic()
    answer, _raw = exchange(parcel, address)
    told = {"name": found.name, "kind": found.test_message, "ms": int((time.monotonic() - began) * 1000)}
    if answer.is_accepted:
        return _("%(name)s has taken %(kind)s in %(ms)d ms: %(answer)s.") % {**told, "answer": answer.words}
    words = _("%(name)s answers HL7 in %(ms)d ms, but does not take %(kind)s: %(answer)s.")
    return words % {**told, "answer": answer.words[:200]}


def _test_of(found: Hl7Destination, control_id: str) -> Segments:
    now = when(timezone.now())
    if found.test_message == TestMessage.CLOCK:
        return [msh(found, ("NMD", "N02", "NMD_N02"), control_id), ("NCK", [now])]
    who: list[object] = [now, "R", "I", control_id, None, None, ("1", "RD"), (NOBODY,), ("DEM",)]
    return [msh(found, ("QRY", "A19", "QRY_A19"), control_id), ("QRD", who)]
