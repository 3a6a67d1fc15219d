"""The quick lane when its line to the database breaks or keeps silent: nobody is told CA, the next wish is kept."""

from __future__ import annotations

import os
import time

import pytest
from django.db import connection, transaction

from interop.models import InboundMessage
from tests.interop.hl7.conftest import frame, message, pid, text_of

BREAK = (
    "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() "
    "and pid <> pg_backend_pid() and query like 'insert into%%interop_inboundmessage%%on conflict%%'"
)
LOCK = "lock table interop_inboundmessage in access exclusive mode"


def registration(control_id=None):
    return message("ADT^A04", pid(), control_id=control_id, modes="AL|NE")


def asked(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


@pytest.fixture
def at_work(mllp):
    """A listener whose quick lane has stored something, and a sender that is connected to it."""
    running = mllp(storing=1.0)
    sender = running.connect()
    for _first_finds_the_facility in range(2):
        assert sender.ask(registration()).code == "CA"
    assert running.listener.storer._socket >= 0
    return running, sender


def test_a_line_that_breaks_while_nothing_is_asked_leaves_no_watch_behind(at_work):
    running, sender = at_work
    number = running.listener.storer._socket
    assert asked(BREAK) == (1,)
    until = time.monotonic() + 5
    while os.path.exists(f"/proc/self/fd/{number}") and time.monotonic() < until:
        time.sleep(0.01)
    watched = running.do(_watched(running, number))
    assert not watched, "the next socket that gets this number would never be read"
    assert sender.ask(registration()).code == "CA"


async def _watched(running, number):
    return number in running.loop._selector.get_map()


def test_a_line_that_breaks_under_a_message_is_told_and_the_repeat_is_taken_once(at_work):
    running, sender = at_work
    number = running.listener.storer._socket
    with transaction.atomic():
        asked(LOCK)
        sender.send(frame(registration("X1")))
        until = time.monotonic() + 5
        while asked(BREAK) == (0,) and time.monotonic() < until:
            time.sleep(0.01)
        assert text_of(sender.answer()).first("MSA").text(1) == "CE"
        assert sender.answer() is None
        assert not running.do(_watched(running, number))
    assert running.ask(registration("X1")).code == "CA"
    assert InboundMessage.objects.filter(control_id="X1").count() == 1


def test_a_database_that_keeps_silent_is_left_and_asked_anew(at_work):
    running, sender = at_work
    with transaction.atomic():
        asked(LOCK)
        sender.send(frame(registration("X2")))
        assert sender.answer() is None, "closed without a word"
    assert running.ask(registration("X2")).code == "CA", "the silent line does not hold up those who come later"
    assert InboundMessage.objects.filter(control_id="X2").count() == 1
