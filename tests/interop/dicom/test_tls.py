"""Associations over TLS (PS3.15 B.12): who is let in by a certificate, and what is not spoken."""

from __future__ import annotations

import socket
import ssl

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE

from interop.dicom import doorkeeper
from interop.dicom.server import Limits, Server, ServerSettings
from interop.models import AssociationLog
from ris.tenants.context import use_facility
from ris.tenants.models import CalledAETitle, Facility, RefusedConnection
from tests.factories.certificates import Authority
from worklist.models import ImagingInstance

from .conftest import make_peer, plain_image

VERIFICATION, CT_IMAGE = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"), "hospital")


@pytest.fixture
def secured(transactional_db, settings, authority):
    """A server with both ports; only certificates open alpha's door."""
    server = authority.issue("server")
    settings.RIS_TLS_CERTIFICATE, settings.RIS_TLS_KEY = str(server.chain), str(server.key)
    settings.RIS_TLS_CLIENT_CA = str(authority.file)
    listening = Server(ServerSettings(tls_port=0, limits=Limits(request_seconds=3, idle_seconds=20, pdu_seconds=3)))
    listening.start()
    with use_facility(Facility.objects.get(schema_name="alpha")):
        make_peer("CT1")
        yield listening
        listening.stop(3)


def register(*fingerprints: str, **fields) -> None:
    CalledAETitle.objects.filter(ae_title="ALPHA").update(certificate_fingerprints=list(fingerprints), **fields)


def association(port: int, context: ssl.SSLContext | None):
    ae = AE(ae_title="CT1")
    ae.acse_timeout = ae.connection_timeout = 5
    ae.add_requested_context(VERIFICATION)
    ae.add_requested_context(CT_IMAGE, ImplicitVRLittleEndian)
    return ae.associate("127.0.0.1", port, ae_title="ALPHA", tls_args=(context, "localhost") if context else None)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_registered_certificate_lets_in_from_anywhere(secured, authority, version):
    shown = authority.issue("scanner")
    register(shown.fingerprint, allowed_addresses=["192.0.2.0/24"], require_tls=True)
    context = authority.client(shown)
    context.minimum_version = context.maximum_version = version
    line = association(secured.tls_port, context)
    assert line.is_established
    assert line.send_c_echo().Status == 0
    line.release()


def test_an_image_comes_over_tls(secured, authority):
    shown = authority.issue("scanner")
    register(shown.fingerprint, allowed_addresses=["192.0.2.0/24"])
    line = association(secured.tls_port, authority.client(shown))
    assert line.send_c_store(plain_image(CT_IMAGE)).Status == 0
    line.release()
    assert ImagingInstance.objects.count() == 1


@pytest.mark.parametrize("shows", [True, False])
def test_another_certificate_of_the_authority_or_none_is_refused_and_counted(secured, authority, shows):
    register(authority.issue("scanner").fingerprint, allowed_addresses=["192.0.2.0/24"])
    context = authority.client(authority.issue("stranger") if shows else None)
    assert association(secured.tls_port, context).is_rejected
    refused = RefusedConnection.objects.get()
    assert (refused.called, refused.calling, refused.reason) == ("ALPHA", "CT1", "address_not_registered")


def test_a_certificate_of_another_authority_ends_the_handshake(secured, authority, tmp_path):
    shown = Authority(tmp_path, "elsewhere").issue("scanner")
    register(shown.fingerprint)
    line = association(secured.tls_port, authority.client(shown))
    assert not line.is_established
    assert not AssociationLog.objects.exists()


def test_without_tls_nobody_is_let_in_where_it_is_required(secured, authority):
    register(require_tls=True, allowed_addresses=["127.0.0.0/8"])
    assert association(secured.port, None).is_rejected
    assert RefusedConnection.objects.get().reason == "tls_required"
    line = association(secured.tls_port, authority.client())
    assert line.is_established
    line.release()


def test_a_certificate_that_is_taken_back_opens_no_more(secured, authority, monkeypatch):
    monkeypatch.setattr(doorkeeper, "REMEMBERED_SECONDS", 0)
    shown = authority.issue("scanner")
    register(shown.fingerprint, allowed_addresses=[])
    line = association(secured.tls_port, authority.client(shown))
    assert line.is_established
    register(allowed_addresses=[])
    assert line.send_c_echo().Status == 0x0124
    assert association(secured.tls_port, authority.client(shown)).is_rejected
    line.release()


def spoken(port: int, version: ssl.TLSVersion) -> str | None:
    """The version that a client which believes everything gets; None when the server hangs up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        try:
            with context.wrap_socket(line) as wrapped:
                return wrapped.version()
        except ssl.SSLError:
            return None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_older_versions_are_not_spoken(secured):
    versions = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert [spoken(secured.tls_port, version) for version in versions] == [None, None, "TLSv1.2", "TLSv1.3"]


def test_what_is_no_handshake_stands_in_nobodys_way(secured, authority):
    register(allowed_addresses=["127.0.0.0/8"])
    with socket.create_connection(("127.0.0.1", secured.tls_port), timeout=5) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        echoing = association(secured.tls_port, authority.client())
        assert echoing.send_c_echo().Status == 0
        echoing.release()
