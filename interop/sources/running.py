"""A run of a source: when it is due, alone, within its time, and what is kept of it.

PostgreSQL holds what is due; the dispatcher claims it and Celery lends the hands, so that each source runs by itself.
Two locks keep one source from running twice: the claim on its row, and an advisory lock for as long as it runs.
``synced_until`` moves only when a run has read everything up to there: after an outage the next run reads it all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.models import RowState, RunState, RunTrigger, Source, SourceRow, SourceRun
from interop.sources.applying import CREATED, GONE, KEPT, PASSED, REJECTED, UPDATED, Outcome, apply_rows
from interop.sources.plugin import Ask, Row, There, plugin_of, settings_of
from interop.sources.secrets import secrets_of
from interop.sources.windows import is_open, next_opening
from interop.sources.wire import SourceFailed, Wire
from orders.models.orders import OPEN_BEFORE_EXAM
from ris.accounts.selectors import users_with_role
from ris.core.errors import Conflict, DomainError
from ris.core.permissions import IT_ADMIN
from ris.notifications.models import Channel
from ris.notifications.services import notify_all
from ris.tenants.context import require_schema

log = structlog.get_logger(__name__)

MARGIN = timedelta(seconds=90)
LONGEST_REST = timedelta(minutes=30)
MOST_AGAIN = 500
#: So many entries may vanish at once without a person having looked.
FEW_GONE = 5


@dataclass
class Tally:
    """What a run has done so far."""

    counts: Counter[str] = field(default_factory=Counter)
    read: int = 0
    held_back: int = 0

    def add(self, outcome: Outcome) -> None:
        self.read += outcome.what != PASSED
        self.counts[outcome.what] += 1

    @property
    def is_eventful(self) -> bool:
        return any(self.counts[what] for what in (CREATED, UPDATED, GONE, REJECTED, KEPT)) or self.held_back > 0


# --- due


def claim_due(limit: int = 50) -> list[int]:
    """Take sources that are due for this process; another takes them over when the claim runs out."""
    now = timezone.now()
    with transaction.atomic():
        due = (
            Source.objects.select_for_update(skip_locked=True, of=("self",), no_key=True)
            .filter(is_active=True, next_run_at__lte=now)
            .filter(Q(claimed_until__isnull=True) | Q(claimed_until__lt=now))
            .order_by("next_run_at")[:limit]
        )
        found = list(due)
        for source in found:
            _note(source, claimed_until=now + timedelta(seconds=source.time_limit_seconds) + MARGIN)
    return [source.pk for source in found]


def run_due(pk: int) -> SourceRun | None:
    """One run of a source that is due. Called twice at once, or again, the second does nothing."""
    with alone(f"source:{pk}") as is_alone:
        if not is_alone:
            return None
        source = Source.objects.get(pk=pk)
        now = timezone.now()
        if not source.is_active or source.next_run_at > now:
            _note(source, claimed_until=None)
            return None
        if not source.asked_by and not is_open(now, source.opens_at, source.closes_at, source.zone):
            _note(
                source,
                claimed_until=None,
                next_run_at=next_opening(now, source.opens_at, source.closes_at, source.zone),
            )
            return None
        return _run(source)


def run_now(source: Source, *, asked_by: str = "") -> SourceRun:
    """A run at once, in this process. Raises Conflict while another one runs."""
    with alone(f"source:{source.pk}") as is_alone:
        if not is_alone:
            raise running_already(Source.objects.get(pk=source.pk))
        source = Source.objects.get(pk=source.pk)
        source.asked_by = asked_by or source.asked_by
        return _run(source)


def running_already(source: Source) -> Conflict:
    since = timezone.localtime(source.running_since) if source.running_since else None
    return Conflict(
        _("This source is being read already."),
        asked=_("A run of the source."),
        found=_("One runs since %(time)s.") % {"time": f"{since:%H:%M:%S}"} if since else _("One runs now."),
        todo=_("Wait until it is done, then look at what it has found."),
    )


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """A lock of this session on one source; it goes when the process dies."""
    arguments = [f"{require_schema()}:{name}"]
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", arguments)
        (got,) = cursor.fetchone()
    try:
        yield got
    finally:
        if got:
            with connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", arguments)


def _note(source: Source, **values: object) -> None:
    """What a run leaves on its source: beside the history, and without a new version."""
    Source.objects.filter(pk=source.pk).update(**values)
    for name, value in values.items():
        setattr(source, name, value)


# --- the run


def _run(source: Source) -> SourceRun:
    began = timezone.now()
    if source.running_since is not None:
        _leave_trace_of_the_interrupted(source)
    _note(
        source,
        running_since=began,
        claimed_until=began + timedelta(seconds=source.time_limit_seconds) + MARGIN,
    )
    tally = Tally()
    try:
        read_everything(source, until=began, tally=tally)
    except (OperationalError, InterfaceError) as problem:
        if not connection.is_usable():  # it is away: nothing can be noted, the next run tells of this one
            raise
        return _failed(source, began, tally, problem)
    except Exception as problem:  # whatever it is, this source rests and tells, and the others go on
        return _failed(source, began, tally, problem)
    return _succeeded(source, began, tally)


def read_everything(source: Source, *, until: datetime, tally: Tally) -> None:
    """Ask for what has changed and apply it, batch by batch."""
    plugin = plugin_of(source.kind)
    with Wire(seconds=source.time_limit_seconds) as wire:
        ask = ask_of(source, until)
        again = frozenset(ask.again)
        gone: list[Row] = []
        for batch in plugin.fetch(there_of(source, wire), ask):
            gone += [row for row in batch if row.is_gone]
            for outcome in apply_rows(source, (row for row in batch if not row.is_gone), again=again):
                tally.add(outcome)
                wire.check_time()
        if len(gone) > max(FEW_GONE, len(ask.known) // 2) and not source.accepts_gone:
            tally.held_back = len(gone)
            return
        for outcome in apply_rows(source, gone):
            tally.add(outcome)


def there_of(source: Source, wire: Wire) -> There:
    plugin = plugin_of(source.kind)
    return There(
        config=settings_of(plugin, source.config),
        secrets=secrets_of(source),
        wire=wire,
        zone=source.zone,
        interval=source.interval,
        wanted=frozenset(_names_in(source)),
    )


def _names_in(source: Source) -> Iterator[str]:
    """The fields that the mapping reads."""
    for rule in source.mapping:
        if rule.get("source"):
            yield rule["source"]
        yield from re.findall(r"\{([^{}]+)\}", rule.get("template", ""))


def ask_of(source: Source, until: datetime) -> Ask:
    live = SourceRow.objects.filter(source=source).filter(
        Q(state=RowState.APPLIED, procedure__status__in=OPEN_BEFORE_EXAM) | Q(state=RowState.REJECTED)
    )
    again = SourceRow.objects.filter(source=source, state=RowState.REJECTED, retry_at__lte=until).order_by("retry_at")
    return Ask(
        since=source.synced_until,
        until=until,
        again=tuple(again.values_list("external_id", flat=True)[:MOST_AGAIN]),
        known=dict(live.values_list("external_id", "starts_at")),
    )


def _leave_trace_of_the_interrupted(source: Source) -> None:
    SourceRun.objects.create(
        source=source,
        state=RunState.INTERRUPTED,
        started_at=source.running_since,
        error=_("The process ended before the run did. What it had done is kept; this run goes on from there."),
    )


# --- afterwards


def _succeeded(source: Source, began: datetime, tally: Tally) -> SourceRun:
    now = timezone.now()
    held_back = ""
    if tally.held_back:
        held_back = _(
            "%(count)d entries have vanished at once. They stay until a person has looked and lets them be cancelled."
        ) % {"count": tally.held_back}
    run = _keep(source, began, tally, RunState.DONE, error=held_back, code="many_gone" if held_back else "")
    was_alerted = source.alerted_at is not None
    since = source.failing_since
    _note(
        source,
        #: what is held back has to be found again by the run that may cancel it
        synced_until=source.synced_until if tally.held_back else began,
        last_run_at=now,
        last_success_at=now,
        failures=0,
        failing_since=None,
        alerted_at=None,
        last_error=held_back,
        **_rest(source, now + source.interval),
    )
    if was_alerted and since is not None:
        _tell(source, "interop.source_recovered", since, (Channel.IN_APP,))
    return run


def _failed(source: Source, began: datetime, tally: Tally, problem: Exception) -> SourceRun:
    now = timezone.now()
    if isinstance(problem, DomainError):
        words = " ".join(part for part in (problem.detail, problem.todo) if part)
        code = problem.reason if isinstance(problem, SourceFailed) else problem.code
    elif isinstance(problem, OperationalError):
        words, code = _("The database stopped the run, as others worked on the same rows."), "busy"
        log.warning("source_run_stopped", source=source.name, error=type(problem.__cause__ or problem).__name__)
    else:
        words, code = _("The run broke off (%(type)s).") % {"type": type(problem).__name__}, "defect"
        log.error("source_run_failed", source=source.name, error=type(problem).__name__)
    run = _keep(source, began, tally, RunState.FAILED, error=words, code=code)
    failures = source.failures + 1
    pause = min(source.interval * 2 ** min(failures - 1, 12), max(LONGEST_REST, source.interval))
    since = source.failing_since or began
    _note(
        source,
        last_run_at=now,
        failures=failures,
        failing_since=since,
        last_error=words[:500],
        **_rest(source, now + pause),
    )
    if failures >= source.alert_after and source.alerted_at is None:
        _note(source, alerted_at=now)
        _tell(source, "interop.source_failing", since, (Channel.IN_APP, Channel.EMAIL))
    return run


def _rest(source: Source, until: datetime) -> dict[str, object]:
    return {
        "next_run_at": next_opening(until, source.opens_at, source.closes_at, source.zone),
        "asked_by": "",
        "accepts_gone": False,
        "running_since": None,
        "claimed_until": None,
    }


def _keep(source: Source, began: datetime, tally: Tally, state: str, *, error: str = "", code: str = "") -> SourceRun:
    """A run as a row; one in which nothing was new is counted with the one before it."""
    now = timezone.now()
    last = SourceRun.objects.filter(source=source).order_by("-pk").first()
    is_dull = state == RunState.DONE and not tally.is_eventful and not source.asked_by
    if is_dull and last is not None and _is_dull(last):
        SourceRun.objects.filter(pk=last.pk).update(
            repeats=F("repeats") + 1, finished_at=now, read_until=began, read=tally.read
        )
        last.refresh_from_db()
        return last
    is_repeat = state == RunState.FAILED and last is not None and last.state == state and last.error == error[:500]
    if is_repeat and not tally.is_eventful and last is not None:
        SourceRun.objects.filter(pk=last.pk).update(repeats=F("repeats") + 1, finished_at=now)
        last.refresh_from_db()
        return last
    counts = {what: tally.counts[what] for what in (CREATED, UPDATED, GONE, REJECTED, KEPT)}
    return SourceRun.objects.create(
        source=source,
        trigger=RunTrigger.PERSON if source.asked_by else RunTrigger.SCHEDULE,
        asked_by=source.asked_by,
        state=state,
        started_at=began,
        finished_at=now,
        read_from=source.synced_until,
        read_until=began,
        read=tally.read,
        error=error[:500],
        error_code=code[:40],
        **counts,
    )


def _is_dull(run: SourceRun) -> bool:
    has_done = run.created or run.updated or run.cancelled or run.rejected or run.kept
    return run.state == RunState.DONE and run.trigger == RunTrigger.SCHEDULE and not has_done and not run.error


def _tell(source: Source, template: str, since: datetime, channels: tuple[Channel, ...]) -> None:
    """Once for each time that it begins to fail; those who keep the interfaces."""
    notify_all(
        users_with_role(IT_ADMIN),
        channels=channels,
        template=template,
        context={"source": source.name, "since": since.isoformat(), "failures": source.failures},
        subject=str(source.uuid),
        url=reverse("source", args=[source.uuid]),
        dedupe_key=f"{template}:{source.uuid}:{since.timestamp():.6f}",
    )
