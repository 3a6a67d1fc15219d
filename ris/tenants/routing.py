"""Whose door was knocked at. AE titles and MSH-5/MSH-6 are chosen by the sender, so they count only from the
addresses or with the certificates that the facility has registered for them. No facility found means refused and
counted: there is no default one."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from ris.tenants.context import remember_host, remembered_at
from ris.tenants.models import CalledAETitle, Domain, Door, Facility, MLLPReceiver, RefusedConnection

DICOM, MLLP, HTTP = RefusedConnection.Kind.DICOM, RefusedConnection.Kind.MLLP, RefusedConnection.Kind.HTTP
#: So many different rows one address may cause; beyond them all its names are counted as one.
NAMES_PER_ADDRESS = 50
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def facility_for_host(host: str) -> Facility | None:
    """The facility of a host name (no port), as it was seconds ago at most. An inactive one is as unknown as none."""
    name = host.lower()
    facility = remembered_at(name)
    if facility is None:
        domain = Domain.objects.select_related("tenant").filter(domain=name, tenant__is_active=True).first()
        if domain is None:
            return None
        facility = domain.tenant
        remember_host(name, facility)
    return facility


def facility_for_called_ae(
    called_ae: str, address: str, certificate: str | None = None, *, tls: bool = False, calling_ae: str = ""
) -> Facility | None:
    """The facility that is called by this AE title from this address, or None, which has been counted.

    ``certificate``: SHA-256 fingerprint (hexadecimal) of the verified client certificate, when there is one. Leading
    and trailing spaces of an AE title mean nothing (PS3.5 6.2); upper and lower case do.
    """
    title = _printable(called_ae.strip(" "))
    door = (
        CalledAETitle.objects.select_related("facility")
        .filter(ae_title=title, is_active=True, facility__is_active=True)
        .first()
    )
    if door is None:
        record_refusal(DICOM, called=called_ae, calling=calling_ae, address=address, reason="called_ae_unknown")
        return None
    reason = why_refused(door, address, certificate, tls=tls)
    if reason:
        record_refusal(DICOM, called=called_ae, calling=calling_ae, address=address, reason=reason)
        return None
    return door.facility


def facility_for_mllp(
    port: int,
    receiving_application: str,
    receiving_facility: str,
    address: str,
    certificate: str | None = None,
    *,
    tls: bool = False,
    sender: str = "",
) -> Facility | None:
    """The facility that a message on this port with this MSH-5 and MSH-6 is for, or None, which has been counted.

    A port of its own decides alone. Of MSH-5 and MSH-6 the first component counts (HD: namespace ID).
    """
    known = MLLPReceiver.objects.select_related("facility").filter(is_active=True, facility__is_active=True)
    application = _printable(receiving_application.split("^")[0].strip())
    facility = _printable(receiving_facility.split("^")[0].strip())
    door = (
        known.filter(port=port).first()
        or known.filter(port=None, receiving_application=application, receiving_facility=facility).first()
    )
    called = f"{application}|{facility}"
    if door is None:
        record_refusal(MLLP, called=called, calling=sender, address=address, reason="receiver_unknown")
        return None
    reason = why_refused(door, address, certificate, tls=tls)
    if reason:
        record_refusal(MLLP, called=called, calling=sender, address=address, reason=reason)
        return None
    return door.facility


def why_refused(door: Door, address: str, certificate: str | None, *, tls: bool) -> str:
    """Empty when the door may be used like this, else the reason. A door that names nobody lets nobody in."""
    if door.require_tls and not (tls or certificate):
        return "tls_required"
    if certificate and certificate.lower().replace(":", "") in door.certificate_fingerprints:
        return ""
    return "" if address_is_in(address, door.allowed_addresses) else "address_not_registered"


def address_is_in(address: str, networks: Iterable[str]) -> bool:
    """Whether the address lies in one of the networks; an IPv4 address mapped into IPv6 counts as IPv4."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    for text in networks:
        network = ipaddress.ip_network(text)
        if network.version == ip.version and ip in network:
            return True
    return False


def record_refusal(kind: str, *, called: str = "", calling: str = "", address: str = "", reason: str) -> None:
    """Count a refused connection. What was sent is not kept; a flood from one address becomes few rows."""
    row = {
        "kind": kind,
        "called": _printable(called),
        "calling": _printable(calling),
        "address": _printable(address)[:45],
        "reason": reason,
    }
    now = timezone.now()
    with transaction.atomic():
        if _count_again(row, now):
            return
        if RefusedConnection.objects.filter(kind=kind, address=row["address"]).count() >= NAMES_PER_ADDRESS:
            row.update(called="*", calling="*")
            if _count_again(row, now):
                return
        RefusedConnection.objects.bulk_create([RefusedConnection(**row, count=0)], ignore_conflicts=True)
        _count_again(row, now)


def _count_again(row: dict[str, str], now: object) -> int:
    return RefusedConnection.objects.filter(**row).update(count=F("count") + 1, last_at=now)


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)[:80]
