"""HTTP to the outside: only to hosts on the facility's allow-list, and to the address that was looked at.

The name is resolved once, the answer checked, and the connection made to that very address (a second resolution could
say something else). Redirects are not followed. Loopback, link-local and other special addresses are spoken to only
when the allow-list names the address or the host ``localhost`` itself.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import httpx
from django.utils.translation import gettext as _

from ris.accounts.selectors import facility_settings
from ris.core.errors import DomainError

TIMEOUT = httpx.Timeout(10.0, connect=5.0)


class HostNotAllowed(DomainError):
    """The facility's allow-list does not name this host, or it resolves to where we do not go."""

    code = "host_not_allowed"


class OutsideFailed(DomainError):
    """The other side did not answer, or not as agreed."""

    code = "outside_failed"
    http_status = 502


def check_host(host: str) -> None:
    """Raise HostNotAllowed unless the facility's allow-list names the host (exactly, or ``*.example.org``)."""
    if not is_allowed(host):
        raise HostNotAllowed(
            _("The host %(host)s is not one that this facility connects to.") % {"host": host[:100]},
            todo=_("An administrator adds it to the allowed hosts in the facility's settings."),
        )


def is_allowed(host: str) -> bool:
    host = host.lower().strip("[]").rstrip(".")
    for entry in facility_settings().allowed_hosts:
        wanted = entry.lower().strip("[]").rstrip(".")
        if host == wanted or (wanted.startswith("*.") and host.endswith(wanted[1:])):
            return True
    return False


def pinned_address(host: str, port: int) -> str:
    """An address of an allowed host that may be connected to, as the resolver says now."""
    check_host(host)
    try:
        answers = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except OSError:
        raise OutsideFailed(_("The host %(host)s is not known.") % {"host": host[:100]}) from None
    named = host.lower().strip("[]")
    for _family, _kind, _proto, _name, address in answers:
        ip = ipaddress.ip_address(str(address[0]).split("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        special = ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved
        if not special or named in (str(ip), "localhost") or is_allowed(str(ip)):
            return str(ip)
    raise HostNotAllowed(_("The host %(host)s resolves to an address that we do not go to.") % {"host": host[:100]})


class PinnedTransport(httpx.BaseTransport):
    """Connects to the checked address; Host header and the certificate's name stay the host's."""

    def __init__(self, **options: Any) -> None:
        self._inner = httpx.HTTPTransport(**options)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        address = pinned_address(host, port)
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=address)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def client(**options: Any) -> httpx.Client:
    """An httpx client of the current facility; environment proxies and redirects are not followed."""
    return httpx.Client(
        transport=PinnedTransport(), timeout=TIMEOUT, follow_redirects=False, trust_env=False, **options
    )


def fetch_json(method: str, url: str, **options: Any) -> dict[str, Any]:
    """One exchange of JSON. Raises HostNotAllowed or OutsideFailed; the body of a failure is not repeated."""
    if httpx.URL(url).scheme not in ("https", "http"):
        raise OutsideFailed(_("Only http and https are spoken."))
    try:
        with client() as session:
            response = session.request(method, url, **options)
            if response.status_code != httpx.codes.OK:
                raise OutsideFailed(_("The other side answered %(status)d.") % {"status": response.status_code})
            answer = response.json()
    except (httpx.HTTPError, ValueError) as exc:
        raise OutsideFailed(_("The other side does not answer.")) from exc
    if not isinstance(answer, dict):
        raise OutsideFailed(_("The other side did not answer as agreed."))
    return answer
