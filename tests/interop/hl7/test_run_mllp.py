"""The process itself: killed and started again while senders repeat; nothing acknowledged is lost or doubled.

Killed every two seconds it is by ``make chaos-hl7``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from interop.models import InboundMessage, MessageStatus
from orders.models import PatientIdentifier
from tests.interop.hl7.conftest import Client, frame, message, pid

ROOT = Path(__file__).resolve().parents[3]
MESSAGES, SENDERS = 80, 4


class Process:
    """``manage.py run_mllp`` on a port of its own."""

    def __init__(self, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")},
            "RIS_BOOTSTRAP": "0",
            "RIS_DEMO": "1",
            "RIS_LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, "manage.py", "run_mllp", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen([*command, *self.arguments], cwd=ROOT, env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, "run_mllp ended"
                time.sleep(0.1)
        raise TimeoutError("run_mllp does not listen")

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def process(facility) -> Iterator[Process]:
    running = Process("--workers", "4")
    yield running
    if running.process is not None and running.process.poll() is None:
        running.process.kill()
        running.process.wait(10)


def send_all(port: int, raws: list[bytes], answers: dict[bytes, str]) -> None:
    """In order; each until it is answered."""
    client = None
    for raw in raws:
        while raw not in answers:
            try:
                client = client or Client(port, timeout=5)
                client.send(frame(raw))
                answer = client.answer()
                if answer is None:
                    raise ConnectionError
                answers[raw] = answer.split(b"\rMSA|")[1][:2].decode()
            except OSError:
                client = None
                time.sleep(0.1)


@pytest.mark.slow
def test_killed_in_the_middle_nothing_acknowledged_is_lost_or_doubled_and_it_ends_cleanly(process):
    process.start()
    with pytest.raises(Exception, match="RIS_MLLP_PORT"):
        call_command("run_mllp", "--host", "127.0.0.1", "--port", str(process.port))
    raws = [
        [
            message("ADT^A04", pid(f"S{sender}N{number}", family=f"Family{sender}"))
            for number in range(MESSAGES // SENDERS)
        ]
        for sender in range(SENDERS)
    ]
    answers: dict[bytes, str] = {}
    threads = [threading.Thread(target=send_all, args=(process.port, part, answers)) for part in raws]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while len(answers) < MESSAGES // 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.end(signal.SIGKILL)
    assert 0 < len(answers) < MESSAGES, "killed in the middle"
    process.start()
    for thread in threads:
        thread.join(120)
    assert len(answers) == MESSAGES and set(answers.values()) == {"AA"}
    numbers = PatientIdentifier.objects.filter(issuer="CLINIC").values_list("value", flat=True)
    assert len(numbers) == len(set(numbers)) == MESSAGES
    assert InboundMessage.objects.count() == MESSAGES
    assert not InboundMessage.objects.exclude(status=MessageStatus.PROCESSED).exists()
    assert process.end(signal.SIGTERM) == 0
