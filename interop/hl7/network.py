"""Outbound connections: only to hosts on the facility's allow-list, and to the address that was looked at.

An entry is a host name, an address or a network. A name may not lead to this machine or to link-local addresses unless
that address is itself on the list: the list names partners, not what their DNS may point at.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from django.utils.translation import gettext as _

from ris.accounts.selectors import facility_settings
from ris.core.errors import NotPermitted

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class HostNotAllowed(NotPermitted):
    """The facility does not connect there."""

    code = "host_not_allowed"


def _address(text: str) -> IPAddress | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_listed(address: IPAddress, entries: Iterable[str]) -> bool:
    for entry in entries:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            continue
        if network.version == address.version and address in network:
            return True
    return False


def pinned_address(host: str, port: int, *, allowed: Iterable[str] | None = None) -> str:
    """The address to connect to. Raises HostNotAllowed; OSError when the name cannot be resolved."""
    entries = [entry.strip().lower() for entry in (facility_settings().allowed_hosts if allowed is None else allowed)]
    literal = _address(host)
    if literal is not None:
        if not _is_listed(literal, entries):
            raise _refusal(host)
        return str(literal)
    if host.lower().rstrip(".") not in entries:
        raise _refusal(host)
    for _family, _kind, _protocol, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        found = _address(str(address[0]).split("%")[0])
        if found is None:
            continue
        is_odd = found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified
        if not is_odd or _is_listed(found, entries):
            return str(found)
    raise _refusal(host)


def _refusal(host: str) -> HostNotAllowed:
    return HostNotAllowed(
        _("%(host)s is not on the list of hosts that this facility connects to.") % {"host": host},
        todo=_("An administrator adds it under Facility settings, Hosts we may connect to."),
    )
