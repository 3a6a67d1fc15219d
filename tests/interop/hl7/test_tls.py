"""MLLP over TLS: who is let in by a certificate."""

from __future__ import annotations

import contextlib
import socket
import ssl

import pytest

from interop.hl7.mllp import frame
from interop.hl7.tls import server_context
from ris.tenants.models import MLLPReceiver, RefusedConnection
from tests.factories.certificates import Authority

from .conftest import Client, message, pid


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "hospital")


@pytest.fixture
def secured(mllp, settings, authority):
    """(a listener, its port for TLS)"""
    server = authority.issue("server")
    settings.RIS_TLS_CERTIFICATE, settings.RIS_TLS_KEY = str(server.chain), str(server.key)
    settings.RIS_TLS_CLIENT_CA = str(authority.file)
    running = mllp()
    return running.do(running.listener.listen("127.0.0.1", 0, tls=server_context()))


def wrapped(port: int, context: ssl.SSLContext) -> Client:
    client = Client(port)
    client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
    return client


def register(*fingerprints: str, **fields) -> None:
    fields.setdefault("allowed_addresses", ["192.0.2.0/24"])
    MLLPReceiver.objects.filter(receiving_facility="ALPHA").update(
        certificate_fingerprints=list(fingerprints), **fields
    )


def test_a_registered_certificate_lets_in_from_anywhere_another_or_none_is_refused_and_counted(secured, authority):
    shown = authority.issue("his")
    register(shown.fingerprint, require_tls=True)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = authority.client(shown)
        context.minimum_version = context.maximum_version = version
        client = wrapped(secured, context)
        assert client.ask(message("ADT^A04", pid())).code == "AA"
        client.close()
    assert not RefusedConnection.objects.exists()
    for other in (authority.issue("stranger"), None):
        client = wrapped(secured, authority.client(other))
        assert client.ask(message("ADT^A04", pid())).code == "AR"
        client.close()
    (counted,) = RefusedConnection.objects.all()
    assert (counted.reason, counted.count) == ("address_not_registered", 2)


def test_a_certificate_of_another_authority_is_not_heard(secured, authority, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shown = Authority(folder, "elsewhere").issue("his")
    register(shown.fingerprint)
    heard = b""
    with contextlib.suppress(OSError):  # TLS 1.3: the client learns of it after its own handshake
        client = wrapped(secured, authority.client(shown))
        client.send(frame(message("ADT^A04", pid())))
        heard = client.answer() or b""
    assert heard == b""
    assert not RefusedConnection.objects.exists()


def test_without_tls_nobody_is_heard_where_it_is_required(mllp):
    register(require_tls=True, allowed_addresses=["127.0.0.0/8"])
    assert mllp().ask(message("ADT^A04", pid())).code == "AR"
    assert RefusedConnection.objects.get().reason == "tls_required"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_older_versions_are_not_spoken(secured):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", secured), timeout=5) as line, pytest.raises(OSError):
        context.wrap_socket(line)
