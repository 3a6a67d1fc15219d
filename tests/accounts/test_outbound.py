"""What leaves the house: one rule for all hosts, one deadline for a whole exchange, a size for every answer.

Secrets stay with the address that they were entered for.
"""

from __future__ import annotations

import gzip
import socket
import threading
import time

import httpx
import pytest

from interop.fhir import servers
from interop.models import Source
from interop.sources import services as sources
from ris.accounts import outbound
from ris.accounts.outbound import AnswerTooLarge, HostNotAllowed, client, keeps_secret, pinned_address
from ris.accounts.selectors import facility_settings
from ris.accounts.services.settings import change_settings
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("host", "answers", "entries", "found"),
    [
        ("127.0.0.1", [], ["127.0.0.1"], "127.0.0.1"),
        ("10.1.2.3", [], ["10.0.0.0/8"], "10.1.2.3"),
        ("10.1.2.3", [], ["11.0.0.0/8"], None),
        ("10.1.2.3", [], ["*.2.3"], None),
        ("::ffff:10.1.2.3", [], ["10.1.2.3"], "10.1.2.3"),
        ("[2001:db8::7]", [], ["2001:db8::/32"], "2001:db8::7"),
        ("his.example.org", ["192.0.2.7"], ["HIS.example.org."], "192.0.2.7"),
        ("his.example.org", ["192.0.2.7"], ["*.example.org"], "192.0.2.7"),
        ("example.org", ["192.0.2.7"], ["*.example.org"], None),
        ("hisXexample.org", ["192.0.2.7"], ["*.example.org"], None),
        ("his.example.org", ["192.0.2.7"], ["192.0.2.0/24"], None),
        ("his.example.org", ["127.0.0.1"], ["*.example.org"], None),
        ("his.example.org", ["127.0.0.1"], ["his.example.org"], None),
        ("his.example.org", ["::ffff:127.0.0.1"], ["his.example.org"], None),
        ("his.example.org", ["169.254.169.254", "192.0.2.9"], ["his.example.org"], "192.0.2.9"),
        ("his.example.org", ["127.0.0.1"], ["his.example.org", "127.0.0.0/8"], "127.0.0.1"),
        ("localhost", ["127.0.0.1"], ["localhost"], "127.0.0.1"),
        ("localhost", ["169.254.169.254"], ["localhost"], None),
        ("other.example.org", ["192.0.2.7"], ["his.example.org"], None),
    ],
)
def test_one_rule_pins_a_host_to_an_address_that_may_be_used(monkeypatch, host, answers, entries, found):
    def resolve(*_arguments, **_words):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in answers]

    monkeypatch.setattr(outbound.socket, "getaddrinfo", resolve)
    if found is None:
        with pytest.raises(HostNotAllowed):
            pinned_address(host, 2575, allowed=entries)
    else:
        assert pinned_address(host, 2575, allowed=entries) == found


class Odd:
    """A server of one answer, given in pieces with pauses; it takes what is asked, or not."""

    def __init__(self, pieces: list[bytes], pause: float = 0.0, *, reads: bool = True) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.pieces, self.pause, self.reads = pieces, pause, reads
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/"
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        peer, _address = self.listening.accept()
        with peer:
            try:
                if self.reads:
                    peer.recv(65536)
                    for piece in self.pieces:
                        peer.sendall(piece)
                        if self.is_over.wait(self.pause):
                            return
                else:
                    self.is_over.wait(20)
            except OSError:
                return

    def __enter__(self) -> Odd:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.is_over.set()
        self.listening.close()
        self.thread.join(5)


@pytest.fixture
def local(alpha):
    row = facility_settings()
    row.allowed_hosts = ["127.0.0.1"]
    row.save_as(SYSTEM, "test")


def drip(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


@pytest.mark.parametrize(
    ("server", "content"),
    [
        ({"pieces": drip(HEAD * 50), "pause": 0.05}, b""),
        ({"pieces": [HEAD + b"Content-Length: 500\r\n\r\n", *drip(b" " * 500)], "pause": 0.05}, b""),
        ({"pieces": [], "reads": False}, b"x" * 30_000_000),
    ],
    ids=["drips its head", "drips its body", "does not take what it is sent"],
)
def test_no_receiver_holds_us_longer_than_the_exchange_may_take(local, server, content):
    with Odd(**server) as odd, client(seconds=0.6) as session:
        began = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            session.post(odd.url, content=content)
        assert time.monotonic() - began < 5, "far less than the drip would have lasted"


def test_an_answer_has_a_size_and_is_not_unpacked(local):
    long, packed = b"x" * 5000, gzip.compress(b"x" * 5000)
    for head, body in (
        (b"Content-Length: 5000\r\n\r\n", long),
        (b"Connection: close\r\n\r\n", long),
        (b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed), packed),
    ):
        with Odd([HEAD + head + body]) as odd, client(largest=4000) as session, pytest.raises(AnswerTooLarge):
            session.get(odd.url)
    with Odd([HEAD + b"Content-Length: 4000\r\n\r\n" + b"x" * 4000]) as odd, client(largest=4000) as session:
        assert len(session.get(odd.url).content) == 4000


def test_what_was_entered_for_one_address_is_not_sent_to_another(alpha):
    assert keeps_secret("https://a.example.org/r4", "https://A.example.org:443/r5")
    assert not keeps_secret("https://a.example.org/", "http://a.example.org/")
    assert not keeps_secret("https://a.example.org/", "https://a.example.org.evil.test/")
    told = {"name": "shared", "base_url": "https://a.example.org/r4", "token": "T1", "actor": SYSTEM}
    server = servers.save_fhir_server(**told, token_url="https://t.example.org/x", client_id="me", client_secret="S1")
    for change, field in (
        ({"base_url": "https://b.example.org/r4"}, "token"),
        ({"token_url": "https://u.example.org/x"}, "client_secret"),
    ):
        with pytest.raises(InvalidData) as refusal:
            servers.change_fhir_server(server, **change, actor=SYSTEM)
        assert list(refusal.value.errors) == [field]
        server = servers.change_fhir_server(server, **change, **{field: "new"}, actor=SYSTEM)
        assert getattr(server, field) == "new"
    assert servers.change_fhir_server(server, base_url="https://b.example.org/r5", actor=SYSTEM).token == "new"

    change_settings(sms_gateway_url="https://sms.example.org/a", sms_gateway_token="T1", actor=SYSTEM)
    change_settings(sms_gateway_url="https://sms.example.org/b", actor=SYSTEM)
    with pytest.raises(InvalidData):
        change_settings(sms_gateway_url="https://sms.evil.test/b", actor=SYSTEM)
    assert facility_settings().sms_gateway_url == "https://sms.example.org/b"


def test_a_source_at_another_address_asks_for_its_credentials_again(alpha):
    config = {"url": "https://redcap.example.org/api/"}
    secrets = {"token": "0123456789ABCDEF0123456789ABCDEF"}
    row = sources.save_source(name="rc", kind="redcap", config=config, secrets=secrets, actor=SYSTEM)
    elsewhere = {"url": "https://redcap.evil.test/api/"}
    with pytest.raises(InvalidData) as refusal:
        sources.save_source(row, config=elsewhere, actor=SYSTEM)
    assert list(refusal.value.errors) == ["secrets.token"]
    assert Source.objects.get().config["url"] == config["url"]
    assert sources.save_source(row, config=elsewhere, secrets=secrets, actor=SYSTEM).config["url"] == elsewhere["url"]
