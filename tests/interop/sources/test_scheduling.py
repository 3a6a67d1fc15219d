"""Sources run by themselves: what is due is claimed once, one that hangs delays no other, memory stays where it is."""

from __future__ import annotations

import gc
import os
import sys
import time
import tracemalloc
from datetime import time as clock
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from interop.models import RowState, RunState, Source, SourceRow, SourceRun
from interop.sources import plugin as plugins_module
from interop.sources import running, services
from interop.sources.applying import Reading, raw_hash_of, recipe_of
from interop.sources.plugin import Ask, Row, plugin_of
from interop.sources.scheduling import Sources, run_sources
from interop.sources.wire import Wire
from ris.core.actor import SYSTEM
from ris.events.dispatcher import _companions
from tests.interop.sources.redcap_server import TOKEN
from tests.interop.sources.test_redcap import visit

#: 500 cycles of 10,000 records with PICHA_SOURCE_CYCLES=500 PICHA_SOURCE_RECORDS=10000.
CYCLES = int(os.environ.get("PICHA_SOURCE_CYCLES", "6"))
RECORDS = int(os.environ.get("PICHA_SOURCE_RECORDS", "40"))
#: So many of them become exams; the others stand there as read.
MADE = 8


def test_what_is_due_is_claimed_once_and_within_its_hours(source, bookings):
    assert set(running.claim_due()) == {source.pk, bookings.pk} and running.claim_due() == []
    Source.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    Source.objects.filter(pk=bookings.pk).update(is_active=False)
    assert running.claim_due() == [source.pk]
    now = timezone.now().astimezone(source.zone)
    closed = ((now + timedelta(hours=1)).time(), (now + timedelta(hours=2)).time())
    Source.objects.filter(pk=source.pk).update(opens_at=closed[0], closes_at=closed[1])
    assert running.run_due(source.pk) is None and SourceRun.objects.count() == 0
    source.refresh_from_db()
    assert source.next_run_at > timezone.now() + timedelta(minutes=50) and source.claimed_until is None
    services.sync_now(source, actor=SYSTEM)
    assert running.run_due(source.pk).trigger == "person", "a person is not bound to its hours"
    source.refresh_from_db()
    assert running.run_due(source.pk) is None, "it has run, and is not due"
    assert source.opens_at != clock(0) and source.next_run_at > timezone.now() + timedelta(minutes=50)


def test_a_run_that_died_leaves_its_trace(source, redcap):
    Source.objects.filter(pk=source.pk).update(running_since=timezone.now() - timedelta(hours=1))
    redcap.put("1", visit())
    assert running.run_now(source).created == 1
    assert SourceRun.objects.filter(state=RunState.INTERRUPTED).count() == 1


def test_a_defect_in_one_row_or_plug_in_stops_nothing_else(source, redcap, monkeypatch):
    redcap.put("1", visit())
    redcap.put("2", visit(last="Poison"))
    original = services.apply_rows.__globals__["_carry_out"]

    def carry_out(source, row, entry):
        if entry.family_name == "Poison":
            raise ZeroDivisionError
        return original(source, row, entry)

    monkeypatch.setitem(services.apply_rows.__globals__, "_carry_out", carry_out)
    run = running.run_now(source)
    assert (run.state, run.created, run.rejected) == ("done", 1, 1)

    class Broken:
        code, label, fields, offers, suggestion = "broken", "Broken", (), (), ({"target": "code", "source": "x"},)

        def fetch(self, there, ask):
            raise KeyError("x")

    monkeypatch.setitem(plugins_module.plugins(), "broken", Broken())
    other = services.save_source(name="broken", kind="broken", actor=SYSTEM)
    failed = running.run_now(other)
    assert (failed.state, failed.error_code) == ("failed", "defect") and "KeyError" in failed.error


def test_a_deadlock_counts_as_a_failure_and_a_database_that_is_away_does_not(source, redcap, monkeypatch):
    redcap.put("1", visit())

    def stopped(*_given):
        raise OperationalError("deadlock detected")

    monkeypatch.setitem(services.apply_rows.__globals__, "_carry_out", stopped)
    Source.objects.filter(pk=source.pk).update(alert_after=2)
    for count in (1, 2):
        run = running.run_now(source)
        source.refresh_from_db()
        assert (run.state, run.error_code, source.failures) == ("failed", "busy", count)
    assert source.alerted_at is not None and source.running_since is None
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    with pytest.raises(OperationalError):
        running.run_now(source)


def test_a_plug_in_of_another_package_is_found_and_read(alpha, monkeypatch):
    class Paper:
        """The smallest plug-in there can be."""

        code, label = "paper", "Paper list"
        fields = (plugins_module.Field("pages", "Pages", "number", default=1, low=1, high=9),)
        offers = ("name", "when")
        suggestion = (
            {"target": "patient_id", "source": "name"}, {"target": "family_name", "source": "name"},
            {"target": "starts_at", "source": "when"}, {"target": "description", "default": "From paper"},
            {"target": "modality", "default": "CT"}, {"target": "issuer", "default": "PAPER"},
        )  # fmt: skip

        def test(self, there):
            return list(self.offers)

        def fetch(self, there, ask):
            when = timezone.now() + timedelta(days=1)
            for number in range(there.config["pages"]):
                yield [Row(str(number), {"name": f"N{number}", "when": when.isoformat()})]

    entry = SimpleNamespace(load=lambda: Paper)
    monkeypatch.setattr(plugins_module, "entry_points", lambda group: [entry] if group == "picha.sources" else [])
    monkeypatch.setattr(plugins_module, "_looked", False)
    try:
        made = services.save_source(name="list", kind="paper", config={"pages": 3}, actor=SYSTEM)
        assert running.run_now(made).created == 3
    finally:
        plugins_module._plugins.pop("paper")


def test_one_that_hangs_delays_no_other(transactional_db, source, redcap, redcap_house, bookings):
    """The dispatcher's companion, with two hands: one source drips, the other one is read meanwhile."""
    redcap.put("1", visit())
    redcap.trouble = "slow"
    Source.objects.filter(pk=source.pk).update(time_limit_seconds=6, next_run_at=timezone.now())
    Source.objects.filter(pk=bookings.pk).update(next_run_at=timezone.now())
    assert _companions["interop.sources"] is run_sources
    sources = Sources(hands=2)
    began = time.monotonic()
    try:
        assert sources.tick() == 2 and sources.tick() == 0
        while time.monotonic() - began < 20 and not SourceRun.objects.filter(source=bookings, state="done").exists():
            time.sleep(0.05)
        assert SourceRun.objects.filter(source=bookings, state="done").exists()
        assert Source.objects.get(pk=source.pk).running_since is not None, "the slow one still runs"
    finally:
        redcap.trouble = ""
        sources.close(wait=True)
    slow = Source.objects.get(pk=source.pk)
    assert slow.running_since is None and SourceRun.objects.filter(source=slow).count() == 1


def resident() -> int:
    """Bytes of this process that lie in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def read_already(source: Source, first: int) -> None:
    """Rows from ``first`` on as a run has left them: to make 10,000 exams takes long, and is not what is measured."""
    like = SourceRow.objects.filter(source=source).first()
    recipe = recipe_of(source)
    with Wire(seconds=600) as wire:
        batches = plugin_of("redcap").fetch(running.there_of(source, wire), Ask(since=None, until=timezone.now()))
        rows = [row for batch in batches for row in batch if int(row.external_id) >= first]
    readings = [Reading.of(source, row, raw_hash_of(row, recipe)) for row in rows]
    SourceRow.objects.bulk_create(
        SourceRow(
            source=source, external_id=one.row.external_id, content_hash=one.content_hash, raw_hash=one.raw_hash,
            state=RowState.APPLIED, values=one.entry.as_json(), procedure=like.procedure, starts_at=one.entry.starts_at,
        )
        for one in readings
    )  # fmt: skip


@pytest.mark.slow
def test_many_cycles_do_not_grow_memory(alpha, source, redcap, django_assert_max_num_queries):
    """A few cycles are measured by what Python holds; many, whose noise is small beside it, by the whole process."""
    services.save_source(source, config={**source.config, "batch": 500}, time_limit_seconds=3600, actor=SYSTEM)
    source.refresh_from_db()
    for number in range(RECORDS):
        redcap.put(f"{number}", visit(last=f"Family{number}"))
        if number == MADE - 1:
            assert running.run_now(source).created == MADE
    read_already(source, MADE)
    gc.collect()
    is_long = CYCLES >= 50
    if not is_long:
        tracemalloc.start()
    began = time.process_time()
    try:
        sizes = []
        for cycle in range(CYCLES):
            Source.objects.filter(pk=source.pk).update(synced_until=None)
            run = running.run_now(source)
            assert (run.state, run.read, run.created, run.updated, run.cancelled) == ("done", RECORDS, 0, 0, 0)
            redcap.asked.clear()
            if cycle in (CYCLES // 3, CYCLES - 1):
                gc.collect()
                sizes.append(resident() if is_long else tracemalloc.get_traced_memory()[0])
            if is_long and (cycle % 10 == 0 or cycle == CYCLES - 1):
                sys.stdout.write(f"cycle {cycle}: {resident() / 1e6:.1f} MB, {time.process_time() - began:.0f} s\n")
    finally:
        tracemalloc.stop()
    with django_assert_max_num_queries(30 + RECORDS // 100):
        running.run_now(source)
    assert sizes[1] < sizes[0] * 1.05 + 100_000, sizes
    assert SourceRun.objects.filter(source=source).count() <= 3, "dull runs are counted together"
    assert services.secrets_of(source) == {"token": TOKEN}
