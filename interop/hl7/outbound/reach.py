"""Whether somebody listens at a destination; nothing is said to them."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from django.utils.translation import gettext as _

from interop.hl7.network import pinned_address
from interop.hl7.outbound.connections import CONNECT_SECONDS
from interop.hl7.outbound.sender import words_of
from interop.hl7.outbound.shaping import admits
from interop.models import Hl7Destination
from orders.models import RequestedProcedure
from ris.accounts.outbound import OutsideFailed
from ris.core.errors import InvalidData


def names() -> list[str]:
    found = Hl7Destination.objects.filter(is_active=True, fhir_server__isnull=True).order_by("name")
    return list(found.values_list("name", flat=True))


def takes(name: str, procedures: Sequence[RequestedProcedure]) -> bool:
    """Whether the destination's filters let a report of these exams through."""
    found = Hl7Destination.objects.filter(name=name).first()
    return found is None or not found.filters or any(admits(found, row) for row in procedures)


def probe(name: str) -> str:
    """Raises OutsideFailed, HostNotAllowed."""
    found = Hl7Destination.objects.filter(name=name, is_active=True).first()
    if found is None:
        raise InvalidData(_("There is no HL7 destination of this name."), errors={"destination": _("Unknown.")})
    try:
        address = pinned_address(found.host, found.port)
        socket.create_connection((address, found.port), timeout=CONNECT_SECONDS).close()
    except OSError as failure:
        raise OutsideFailed(f"{name}: {words_of(failure)}") from None
    return _("Somebody listens at %(name)s.") % {"name": name}
