"""What people do with sources: keep them, try them, look what they would change, and let them run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.models import RowState, Source, SourceRow
from interop.sources.applying import PASSED, UNCHANGED, Outcome, apply_rows
from interop.sources.mapping import checked_mapping
from interop.sources.plugin import Ask, checked_secrets, checked_settings, missing_secrets, plugin_of
from interop.sources.running import alone, ask_of, running_already, there_of
from interop.sources.secrets import sealed, secrets_of
from interop.sources.windows import next_opening
from interop.sources.wire import Wire
from ris.accounts.outbound import check_host, keeps_secret
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData

TIMES = (
    "interval_seconds", "opens_at", "closes_at", "time_zone", "time_limit_seconds", "alert_after", "reserves_room",
)  # fmt: skip
PREVIEW_SECONDS = 25.0
PREVIEW_ROWS = 200


@service(perms.MANAGE_INTERFACES)
def save_source(
    source: Source | None = None,
    *,
    name: str | None = None,
    kind: str | None = None,
    config: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    mapping: list[dict[str, Any]] | None = None,
    is_active: bool | None = None,
    actor: Actor,
    **times: Any,
) -> Source:
    """Make a source, or change what is given of one. Credentials that are left empty stay as they are.

    A new one without credentials, or with an address that the facility does not connect to, is kept switched off.
    """
    row = Source.locked(source.pk) if source is not None else Source(is_active=is_active is not False)
    plugin = plugin_of(row.kind if source is not None else kind or "")
    row.kind = plugin.code
    address = address_of(row)
    if name is not None:
        row.name = name.strip()
    if Source.objects.filter(name=row.name).exclude(pk=row.pk).exists():
        raise AlreadyExists(_("Another source has this name."), errors={"name": _("Taken.")})
    if config is not None or source is None:
        row.config = checked_settings(plugin, config or {})
    stored = secrets_of(row)
    kept = checked_secrets(plugin, secrets or {}, stored)
    if address and not keeps_secret(address, address_of(row)):
        _check_entered_again(stored, secrets or {})
    row.secrets = sealed(kept)
    if mapping is not None or source is None:
        row.mapping = checked_mapping(mapping if mapping is not None else list(plugin.suggestion))
    for field, value in times.items():
        if field not in TIMES:
            raise InvalidData(_("The source was not kept."), errors={field: _("This cannot be set.")})
        setattr(row, field, value)
    lacking = missing_secrets(plugin, kept)
    if is_active is not None:
        row.is_active = is_active
    if row.is_active and lacking:
        if source is not None or is_active:
            errors = {f"secrets.{field.name}": _("This is needed.") for field in lacking}
            raise InvalidData(_("A source without its credentials cannot be switched on."), errors=errors)
        row.is_active = False
    _check(row)
    row.save_as(actor, _("Source kept"))
    _look_again(row)
    return row


def _check_entered_again(stored: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Credentials for one address are not sent to another unasked."""
    words = _("The address has changed: enter it again for the new one.")
    errors = {f"secrets.{name}": words for name, value in stored.items() if value and not given.get(name, "").strip()}
    if errors:
        raise InvalidData(_("The source was not kept."), errors=errors)


def _check(row: Source) -> None:
    try:
        row.clean_fields(exclude=("config", "mapping", "secrets"))
    except ValidationError as problem:
        raise InvalidData(_("The source was not kept."), errors=dict(problem.message_dict)) from None


def _look_again(row: Source) -> None:
    """Rejected rows are read again under the new settings, and the next run comes soon."""
    now = timezone.now()
    SourceRow.objects.filter(source=row, state=RowState.REJECTED).update(retry_at=now)
    soon = next_opening(now, row.opens_at, row.closes_at, row.zone)
    if row.next_run_at is None or row.next_run_at > soon or row.failures:
        Source.objects.filter(pk=row.pk).update(next_run_at=soon)
        row.next_run_at = soon


@service(perms.MANAGE_INTERFACES)
def switch_source(source: Source, *, is_active: bool, actor: Actor) -> Source:
    """On or off; what it has brought stays. Switched on, it reads what it has missed."""
    row = Source.locked(source.pk)
    lacking = missing_secrets(plugin_of(row.kind), secrets_of(row)) if is_active else []
    if lacking:
        errors = {f"secrets.{field.name}": _("This is needed.") for field in lacking}
        raise InvalidData(_("A source without its credentials cannot be switched on."), errors=errors)
    if row.is_active != is_active:
        row.is_active = is_active
        row.save_as(actor, _("Switched on") if is_active else _("Switched off"))
        _look_again(row)
    return row


@service(perms.REPLAY_MESSAGE, action=Action.EXECUTE)
def sync_now(source: Source, *, accepts_gone: bool = False, actor: Actor) -> Source:
    """Let it run at once, whatever its hours; rejected rows are tried again. Raises Conflict while it runs.

    ``accepts_gone``: entries that vanished all at once may be cancelled.
    """
    row = Source.locked(source.pk)
    if not row.is_active:
        raise InvalidData(
            _("This source is switched off."), asked=_("A run of the source."), todo=_("Switch it on first.")
        )
    now = timezone.now()
    with alone(f"source:{row.pk}") as is_alone:
        if not is_alone:
            raise running_already(row)
    SourceRow.objects.filter(source=row, state=RowState.REJECTED).update(retry_at=now)
    Source.objects.filter(pk=row.pk).update(
        next_run_at=now, claimed_until=None, asked_by=actor.name[:150], accepts_gone=accepts_gone
    )
    row.refresh_from_db()
    return row


@service(perms.REPLAY_MESSAGE, action=Action.EXECUTE)
def read_again(source: Source, *, since: datetime | None = None, actor: Actor) -> Source:
    """Move the mark back: the next run asks for all that has changed since then, or for everything there is."""
    row = Source.locked(source.pk)
    if since is not None and since > timezone.now():
        raise InvalidData(_("That lies in the future."), errors={"since": _("Choose an earlier time.")})
    Source.objects.filter(pk=row.pk).update(synced_until=since)
    return sync_now(row, actor=actor)


@service(perms.REPLAY_MESSAGE, action=Action.EXECUTE)
def try_row_again(row: SourceRow, *, actor: Actor) -> SourceRow:
    """Read one rejected row anew with the next run, which comes at once."""
    if row.state != RowState.REJECTED:
        raise InvalidData(_("This row was not rejected."), found=row.get_state_display())
    SourceRow.objects.filter(pk=row.pk).update(retry_at=timezone.now())
    Source.objects.filter(pk=row.source_id).update(next_run_at=timezone.now(), asked_by=actor.name[:150])
    row.refresh_from_db()
    return row


@service(perms.VIEW_MESSAGE, action=Action.READ)
def open_row(row: SourceRow, *, actor: Actor) -> SourceRow:
    """What stood in it, unmasked; who looked is recorded with the row's patient."""
    return row


# --- asking without changing


def test_source(source: Source, *, actor: Actor) -> list[str]:
    """Ask for something small: the fields that there are. Raises SourceFailed with what the other side said."""
    actor.require(perms.MANAGE_INTERFACES)
    record(actor, perms.MANAGE_INTERFACES, Action.EXECUTE, entity=source, detail={"what": "test"})
    check_host(host_of(source))
    with Wire(seconds=PREVIEW_SECONDS) as wire:
        return plugin_of(source.kind).test(there_of(source, wire))


def address_of(source: Source) -> str:
    """Empty where it has none."""
    name = next((field.name for field in plugin_of(source.kind).fields if field.kind == "url"), "")
    return (source.config or {}).get(name) or ""


def host_of(source: Source) -> str:
    from httpx import URL

    return URL(address_of(source)).host


@dataclass(frozen=True)
class Preview:
    """What a run would do now. ``is_cut``: there is more than was looked at."""

    outcomes: tuple[Outcome, ...]
    read: int
    unchanged: int
    gone: int
    is_cut: bool
    made_at: datetime

    def count(self, what: str) -> int:
        return sum(outcome.what == what for outcome in self.outcomes)


def preview(source: Source, *, everything: bool = False, rows: int = PREVIEW_ROWS, actor: Actor) -> Preview:
    """A dry run: asks the source, applies each row in a transaction that is undone, and says what would change."""
    actor.require(perms.REPLAY_MESSAGE)
    record(actor, perms.REPLAY_MESSAGE, Action.EXECUTE, entity=source, detail={"what": "preview"})
    now = timezone.now()
    asked = ask_of(source, now)
    ask = Ask(since=None if everything else asked.since, until=now, again=asked.again, known=asked.known, limit=rows)
    outcomes: list[Outcome] = []
    read = unchanged = gone = 0
    is_cut = False
    with Wire(seconds=PREVIEW_SECONDS) as wire:
        for batch in plugin_of(source.kind).fetch(there_of(source, wire), ask):
            for outcome in apply_rows(source, batch, again=frozenset(ask.again), dry_run=True):
                read += outcome.what != PASSED
                unchanged += outcome.what == UNCHANGED
                gone += outcome.what == "cancelled"
                if outcome.what not in (PASSED, UNCHANGED):
                    outcomes.append(outcome)
            if len(outcomes) >= rows:
                is_cut = True
                break
    return Preview(tuple(outcomes[:rows]), read, unchanged, gone, is_cut, now.astimezone(UTC))


# --- as JSON

FORMAT = "picha-source/1"


def as_document(source: Source) -> dict[str, Any]:
    """All that makes a source but its credentials."""
    return {
        "format": FORMAT,
        "name": source.name,
        "kind": source.kind,
        "is_active": source.is_active,
        "config": source.config,
        "mapping": source.mapping,
        "schedule": {
            "interval_seconds": source.interval_seconds,
            "opens_at": f"{source.opens_at:%H:%M}",
            "closes_at": f"{source.closes_at:%H:%M}",
            "time_zone": source.time_zone,
            "time_limit_seconds": source.time_limit_seconds,
            "alert_after": source.alert_after,
            "reserves_room": source.reserves_room,
        },
    }


@service(perms.MANAGE_INTERFACES, action=Action.READ)
def export_source(source: Source, *, actor: Actor) -> dict[str, Any]:
    return as_document(source)


def clock_of(text: Any) -> time:
    try:
        return time.fromisoformat(str(text))
    except ValueError:
        raise InvalidData(_("The schedule cannot be read."), errors={"schedule": _("A time like 08:30.")}) from None
