"""Who did each step of an exam, through which door, when: read from the history rows that every save leaves.

Upper apps add their own steps: they register a panel for the slot ``timeline`` whose selector answers
``{"entries": [TimelineEntry, ...]}`` for a requested procedure.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from orders.models import LIFE_CYCLE, Order, RequestedProcedure
from ris.core.panels import panels_of

SLOT = "timeline"
SIGNED = re.compile(r"^(?P<what>.*?)\s*\[(?P<door>[a-z0-9_]+):(?P<who>.*)\]$", re.DOTALL)


@dataclass(frozen=True)
class TimelineEntry:
    """``kind``: status, change, or what an upper app calls its own; ``status`` is the one reached, if any."""

    at: datetime
    who: str
    door: str
    what: str
    kind: str = "change"
    status: str = ""
    detail: str = ""

    @property
    def life_cycle(self) -> str:
        return LIFE_CYCLE.get(self.status, "")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"life_cycle": self.life_cycle}


def signed_by(row: Any) -> tuple[str, str, str]:
    """(what, door, who) of a history row, as ``save_as`` has written them."""
    match = SIGNED.match(row.history_change_reason or "")
    if match is None:
        user = row.history_user
        return row.history_change_reason or "", "", user.display_name if user else ""
    user = row.history_user
    return match["what"], match["door"], user.display_name if user else match["who"]


def entries_of(procedure: RequestedProcedure, *, request: Any = None) -> list[TimelineEntry]:
    """Newest first. Two queries here, and what upper apps ask for theirs."""
    entries: list[TimelineEntry] = []
    previous = None
    rows = procedure.history.select_related("history_user").order_by("history_date", "history_id")
    for row in rows:
        what, door, who = signed_by(row)
        reached = previous is None or previous.status != row.status
        words = row.get_status_display() if reached else what or _("Changed")
        said = (what if what != words else "", row.reason_text) if reached else ()
        detail = " · ".join(dict.fromkeys(part for part in said if part))
        kind = "status" if reached else "change"
        entries.append(TimelineEntry(row.history_date, who, door, words, kind, row.status if reached else "", detail))
        previous = row
    first = rows[0].history_date if entries else procedure.created_at
    entries.extend(_changes_of_order(procedure.order, since=first))
    for panel in panels_of(SLOT):
        answer = panel.selector(procedure, request=request) or {}
        entries.extend(answer.get("entries", []))
    return sorted(entries, key=lambda entry: entry.at, reverse=True)


#: What belongs to the order itself; its status only follows its procedures and is no step of its own.
ORDER_FACTS = (
    "patient_id",
    "priority",
    "patient_class",
    "indication",
    "clinical_information",
    "requester_id",
    "site_id",
    "transport",
    "isolation",
    "location",
)


def _changes_of_order(order: Order, *, since: datetime) -> list[TimelineEntry]:
    entries: list[TimelineEntry] = []
    facts: tuple[Any, ...] | None = None
    for row in order.history.select_related("history_user").order_by("history_date", "history_id"):
        previous, facts = facts, tuple(getattr(row, name) for name in ORDER_FACTS)
        if previous is not None and previous != facts and row.history_date > since:
            what, door, who = signed_by(row)
            entries.append(TimelineEntry(row.history_date, who, door, what or _("Order changed"), "order"))
    return entries
