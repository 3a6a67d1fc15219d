"""What is asked about sources, for pages, REST, the administration and the monitor. No list shows patient data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from interop import permissions as perms
from interop.models import RowState, Source, SourceRow, SourceRun
from interop.sources.mapping import PRIVATE, TARGETS, label_of
from interop.sources.plugin import plugins
from interop.sources.windows import is_open
from ris.core import text
from ris.core.actor import Actor
from ris.core.errors import NotKnown


def _may_look(actor: Actor) -> bool:
    return actor.may(perms.VIEW_INTERFACES) or actor.may(perms.VIEW_MESSAGE)


def sources(*, actor: Actor) -> QuerySet[Source]:
    found = Source.objects.defer("secrets").order_by("name")
    return found if _may_look(actor) else found.none()


def source(uuid: UUID | str, *, actor: Actor) -> Source:
    found = Source.objects.filter(uuid=uuid).first() if _may_look(actor) else None
    if found is None:
        raise NotKnown(_("There is no such source in this facility."))
    return found


def runs(*, actor: Actor, source: Source | None = None) -> QuerySet[SourceRun]:
    found = SourceRun.objects.select_related("source").order_by("-pk")
    if source is not None:
        found = found.filter(source=source)
    return found if _may_look(actor) else found.none()


def rows(*, actor: Actor, source: Source | None = None, state: str = "") -> QuerySet[SourceRow]:
    found = SourceRow.objects.select_related("source", "procedure__order__patient").order_by("-changed_at", "-pk")
    if source is not None:
        found = found.filter(source=source)
    if state:
        found = found.filter(state=state)
    return found if _may_look(actor) else found.none()


def row(uuid: UUID | str, *, actor: Actor) -> SourceRow:
    found = rows(actor=actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such row in this facility."))
    return found


def row_counts(source: Source) -> dict[str, int]:
    return dict(
        SourceRow.objects.filter(source=source).order_by("state").values_list("state").annotate(count=Count("pk"))
    )


# --- how one stands


@dataclass(frozen=True)
class Standing:
    """A source in one glance."""

    source: Source
    tone: str
    icon: str
    words: str
    live: int
    rejected: int
    kind: str


def standings(found: Iterable[Source]) -> list[Standing]:
    """Each source with its state and what it holds; two queries for all."""
    known = list(found)
    figures = {
        one["source"]: one
        for one in SourceRow.objects.filter(source__in=known)
        .order_by("source")
        .values("source")
        .annotate(
            live=Count("pk", filter=Q(state=RowState.APPLIED)), rejected=Count("pk", filter=Q(state=RowState.REJECTED))
        )
    }
    return [_standing(one, figures.get(one.pk, {})) for one in known]


def _standing(source: Source, figures: dict[str, Any]) -> Standing:
    plugin = plugins().get(source.kind)
    kind = str(plugin.label) if plugin is not None else source.kind
    return Standing(source, *look_of(source), figures.get("live", 0), figures.get("rejected", 0), kind)


def look_of(source: Source, now: datetime | None = None) -> tuple[str, str, str]:
    """Tone, icon and words of its state."""
    now = now or timezone.now()
    if not source.is_active:
        return "slate", "ban", _("Switched off")
    if source.running_since is not None and source.claimed_until is not None and source.claimed_until > now:
        return "blue", "refresh", _("Being read")
    if source.failures >= source.alert_after:
        times = ngettext("Failed %(count)d time", "Failed %(count)d times", source.failures)
        return "red", "alert-triangle", times % {"count": source.failures}
    if source.failures:
        return "amber", "refresh-alert", _("Retrying")
    if source.last_error:
        return "amber", "hand-stop", _("Waits for a person")
    if not is_open(now, source.opens_at, source.closes_at, source.zone):
        opens = timezone.localtime(source.next_run_at)
        return "slate", "moon", _("Rests until %(time)s") % {"time": f"{opens:%H:%M}"}
    if source.last_success_at is None:
        return "slate", "hourglass", _("Not read yet")
    return "green", "circle-check", _("Running")


# --- for who may not read patient data


def shown(name: str, value: Any, *, opened: bool) -> str:
    """A value of an entry as a line; what tells of the patient masked until opened."""
    line = plain(name, value, opened=opened)
    if name == "starts_at" and line:
        return text.stamp(timezone.localtime(datetime.fromisoformat(line)))
    return line or "–"


def plain(name: str, value: Any, *, opened: bool) -> str:
    """The same as programs want it."""
    line = "" if value is None else str(value)
    if line and name in PRIVATE and not opened:
        return masked_id(line) if name == "patient_id" else "••••"
    return line


def lines_of(row: SourceRow, *, opened: bool) -> list[dict[str, Any]]:
    """Field by field what the row says, and what is wrong with it."""
    held = {*row.values, *row.reasons} - {"", "status"}
    order = list(TARGETS)
    names = sorted(held, key=lambda name: order.index(name) if name in TARGETS else len(order))
    return [
        {
            "name": label_of(name),
            "value": shown(name, row.values.get(name), opened=opened),
            "is_masked": name in PRIVATE and not opened,
            "reason": row.reasons.get(name, ""),
        }
        for name in names
    ]


def reasons_of(reasons: dict[str, str]) -> str:
    """All reasons as one line."""
    return " · ".join(f"{label_of(name)}: {words}" if name else words for name, words in reasons.items())


def masked_id(external_id: str) -> str:
    """A number there, its first part masked: a record's name may be a person's; the event and instance are not."""
    record, sign, rest = external_id.partition("|")
    return f"••••{record[len(record) - min(4, len(record) // 2) :]}{sign}{rest}"
