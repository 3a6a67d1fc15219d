"""Connections to the outside: only to hosts on the facility's allow-list, and to the address that was looked at.

An entry of the list is a host name, ``*.example.org``, an address or a network (``10.1.0.0/16``). One rule for HTTP,
HL7 and whatever else leaves: a name must be named, an address be an entry or within one. The name is resolved once, the
answer checked, and the connection made to that very address (a second resolution could say something else). Loopback,
link-local and other special addresses are spoken to only when the list itself names the address, or ``localhost``.

HTTP besides: redirects and environment proxies are not followed; an exchange has one deadline for all of it, however
slowly the other side drips, and its answer has a size that it may not pass.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import httpcore
import httpx
from django.utils.translation import gettext as _

from ris.accounts.selectors import facility_settings
from ris.core.errors import DomainError

#: One exchange from its first byte to its last; connecting and silence have shorter limits of their own.
SECONDS, CONNECTING, SILENCE = 20.0, 5.0, 10.0
LARGEST_ANSWER = 8 * 1024 * 1024
PIECE = 64 * 1024
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class HostNotAllowed(DomainError):
    """The facility's allow-list does not name this host, or it resolves to where we do not go."""

    code = "host_not_allowed"


class OutsideFailed(DomainError):
    """The other side did not answer, or not as agreed."""

    code = "outside_failed"
    http_status = 502


# --- the rule


def check_host(host: str, *, allowed: Iterable[str] | None = None) -> None:
    """Raise HostNotAllowed unless the facility's allow-list names the host. Asks no resolver."""
    if not is_allowed(host, allowed=allowed):
        raise HostNotAllowed(
            _("The host %(host)s is not one that this facility connects to.") % {"host": host[:100]},
            todo=_("An administrator adds it to the allowed hosts in the facility's settings."),
        )


def is_allowed(host: str, *, allowed: Iterable[str] | None = None) -> bool:
    entries = _entries(allowed)
    address = _address(host)
    if address is not None:
        return _is_listed(address, entries)
    name = _name(host)
    return any(name == entry or (entry.startswith("*.") and name.endswith(entry[1:])) for entry in entries)


def pinned_address(host: str, port: int, *, allowed: Iterable[str] | None = None) -> str:
    """The address of an allowed host to connect to, as the resolver says now. Raises HostNotAllowed, OutsideFailed."""
    entries = _entries(allowed)
    check_host(host, allowed=entries)
    literal = _address(host)
    if literal is not None:
        return str(literal)
    try:
        answers = socket.getaddrinfo(_name(host), port, type=socket.SOCK_STREAM)
    except OSError:
        raise OutsideFailed(_("The host %(host)s is not known.") % {"host": host[:100]}) from None
    for _family, _kind, _proto, _canonical, address in answers:
        ip = _address(str(address[0]).split("%")[0])
        if ip is None:
            continue
        is_special = ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved
        if not is_special or (ip.is_loopback and _name(host) == "localhost") or _is_listed(ip, entries):
            return str(ip)
    raise HostNotAllowed(_("The host %(host)s resolves to an address that we do not go to.") % {"host": host[:100]})


def _entries(allowed: Iterable[str] | None) -> list[str]:
    return [_name(entry) for entry in (facility_settings().allowed_hosts if allowed is None else allowed)]


def _name(text: str) -> str:
    return text.strip().lower().strip("[]").rstrip(".")


def _address(text: str) -> IPAddress | None:
    try:
        found = ipaddress.ip_address(text.strip("[]"))
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


# --- HTTP within bounds


class AnswerTooLarge(httpx.ReadError):
    """It is longer than is read here, or packed where nobody asked for that."""


class Deadline:
    """When what is under way has to be over; ``seconds`` from each ``begin``, or by ``until``."""

    def __init__(self, seconds: float = SECONDS, *, until: float | None = None) -> None:
        self.seconds, self.is_fixed = seconds, until is not None
        self.until = time.monotonic() + seconds if until is None else until

    def begin(self) -> None:
        if not self.is_fixed:
            self.until = time.monotonic() + self.seconds

    def left(self, wished: float | None) -> float:
        left = self.until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("The exchange as a whole took too long.")
        return left if wished is None else min(wished, left)


class BoundedStream(httpcore.NetworkStream):
    """A connection whose every wait ends by the deadline: a drip as well as silence."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        line: socket.socket = self._inner.get_extra_info("socket")
        rest = memoryview(buffer)
        try:
            while rest:
                line.settimeout(self._deadline.left(timeout))
                rest = rest[line.send(rest[:PIECE]) :]
        except TimeoutError as late:
            raise httpcore.WriteTimeout(str(late)) from late
        except OSError as failure:
            raise httpcore.WriteError(str(failure)) from failure

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        return BoundedStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class BoundedBackend(httpcore.SyncBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> httpcore.NetworkStream:
        return BoundedStream(super().connect_tcp(host, port, self._deadline.left(timeout), **options), self._deadline)


class Capped(httpx.SyncByteStream):
    """A body that ends with an error where it passes ``most`` bytes."""

    def __init__(self, inner: httpx.SyncByteStream, most: int) -> None:
        self._inner, self._most = inner, most

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._inner:
            size += len(part)
            if size > self._most:
                raise AnswerTooLarge("The answer is too large.")
            yield part

    def close(self) -> None:
        self._inner.close()


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Reading the authorities takes longer than most exchanges."""
    return httpx.create_ssl_context(trust_env=False)


class PinnedTransport(httpx.HTTPTransport):
    """Connects to the checked address; Host header and the certificate's name stay the host's. ``may_be_packed``: for
    who counts what comes out of the packing as it comes."""

    def __init__(
        self, *, deadline: Deadline | None = None, largest: int = LARGEST_ANSWER, may_be_packed: bool = False
    ) -> None:
        super().__init__(verify=_trust(), trust_env=False)
        self._deadline, self._largest, self._may_be_packed = deadline or Deadline(), largest, may_be_packed
        self._addresses: dict[tuple[str, int], str] = {}
        self._pool = httpcore.ConnectionPool(
            ssl_context=_trust(),
            max_connections=8,
            max_keepalive_connections=8,
            network_backend=BoundedBackend(self._deadline),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._deadline.begin()
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        if (host, port) not in self._addresses:  # a transport lives for a visit: each host is looked up once
            self._addresses[host, port] = pinned_address(host, port)
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=self._addresses[host, port])
        response = super().handle_request(request)
        length = response.headers.get("Content-Length", "")
        is_packed = response.headers.get("Content-Encoding", "identity").lower() != "identity"
        if (length.isdigit() and int(length) > self._largest) or (is_packed and not self._may_be_packed):
            response.close()
            raise AnswerTooLarge("The answer is too large.", request=request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = Capped(response.stream, self._largest)
        return response


def client(*, seconds: float = SECONDS, largest: int = LARGEST_ANSWER, **options: Any) -> httpx.Client:
    """An httpx client of the current facility. ``seconds``: for one whole exchange; ``largest``: bytes of an answer."""
    headers = {"Accept-Encoding": "identity", **options.pop("headers", {})}
    return httpx.Client(
        transport=PinnedTransport(deadline=Deadline(seconds), largest=largest),
        timeout=httpx.Timeout(min(SILENCE, seconds), connect=min(CONNECTING, seconds)),
        follow_redirects=False,
        trust_env=False,
        headers=headers,
        **options,
    )


def fetch_json(method: str, url: str, *, seconds: float = SECONDS, **options: Any) -> dict[str, Any]:
    """One exchange of JSON. Raises HostNotAllowed or OutsideFailed; the body of a failure is not repeated."""
    if httpx.URL(url).scheme not in ("https", "http"):
        raise OutsideFailed(_("Only http and https are spoken."))
    try:
        with client(seconds=seconds) as session:
            response = session.request(method, url, **options)
            if response.status_code != httpx.codes.OK:
                raise OutsideFailed(_("The other side answered %(status)d.") % {"status": response.status_code})
            answer = response.json()
    except (httpx.HTTPError, ValueError, RecursionError) as exc:
        raise OutsideFailed(_("The other side does not answer.")) from exc
    if not isinstance(answer, dict):
        raise OutsideFailed(_("The other side did not answer as agreed."))
    return answer


# --- what was entered for one address


def keeps_secret(before: str, after: str) -> bool:
    """Whether what was entered for the one address may be sent to the other: the same host, port and way."""
    return _origin(before) == _origin(after)


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL:
        return ("", url, None)
    return (found.scheme, _name(found.host), found.port or {"https": 443, "http": 80}.get(found.scheme))
