"""The dispatcher's own hands: one source's defect stops nobody."""

from __future__ import annotations

import threading

import pytest

from ris.events import dispatcher
from ris.events.dispatcher import Dispatcher, WorkSource
from ris.tenants.context import current_schema

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_defect_in_one_source_does_not_stop_another(alpha, monkeypatch):
    done, seen = threading.Event(), []
    bad, good = [1], [2]

    def fail(item: int) -> None:
        raise RuntimeError("a defect")

    def work(item: int) -> None:
        seen.append((current_schema(), item))
        done.set()

    sources = {
        "test.bad": WorkSource("test.bad", lambda limit: [bad.pop()] if bad else [], fail),
        "test.good": WorkSource("test.good", lambda limit: [good.pop()] if good else [], work),
    }
    monkeypatch.setattr(dispatcher, "_sources", sources)
    Dispatcher(use_broker=False, hands=2).run_forever(poll=0.01, stop=lambda: done.wait(0.05))
    assert seen == [("alpha", 2)]
