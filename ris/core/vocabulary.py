"""One look for every state, everywhere: tone, edge and icon of each status, priority, category and verdict.

Edges: "" soft (now happening, or done here), "o" outline (waiting, or sent on), "dash" stopped.
Codes come in as the models store them (DICOM "IN PROGRESS", FHIR "entered-in-error"); ``normal`` evens them out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Look(NamedTuple):
    tone: str
    edge: str
    icon: str
    text: Any


STATUS: dict[str, Look] = {
    # requested procedure and order
    "draft": Look("slate", "dash", "file-pencil", _("Draft")),
    "requested": Look("slate", "o", "circle-dashed", _("Requested")),
    "vetting": Look("violet", "", "clipboard-search", _("Vetting")),
    "info_requested": Look("orange", "dash", "help-circle", _("Information asked")),
    "accepted": Look("violet", "o", "clipboard-check", _("Accepted")),
    "scheduled": Look("blue", "o", "calendar-event", _("Scheduled")),
    "arrived": Look("teal", "", "user-check", _("Arrived")),
    "in_progress": Look("amber", "", "player-play", _("In progress")),
    "performed": Look("teal", "o", "photo-check", _("Performed")),
    "ready_to_read": Look("blue", "", "eye", _("Ready to read")),
    "reading": Look("indigo", "", "lock", _("Reading")),
    "preliminary": Look("indigo", "o", "file-pencil", _("Preliminary")),
    "final": Look("green", "", "file-check", _("Final")),
    "amended": Look("green", "o", "file-diff", _("Amended")),
    "distributed": Look("green", "o", "send", _("Distributed")),
    "on_hold": Look("orange", "dash", "player-pause", _("On hold")),
    "rejected": Look("orange", "dash", "clipboard-x", _("Rejected")),
    "cancelled": Look("slate", "dash", "ban", _("Cancelled")),
    "discontinued": Look("orange", "o", "player-stop", _("Discontinued")),
    "no_show": Look("slate", "dash", "user-x", _("No show")),
    "replaced": Look("slate", "dash", "replace", _("Replaced")),
    "merged": Look("slate", "dash", "git-merge", _("Merged")),
    "entered_in_error": Look("orange", "dash", "eraser", _("Entered in error")),
    # classic life cycle and order
    "active": Look("blue", "", "player-play", _("Active")),
    "completed": Look("green", "", "circle-check", _("Completed")),
    "reported": Look("indigo", "o", "file-pencil", _("Reported")),
    "verified": Look("green", "", "file-check", _("Verified")),
    # scheduled and performed steps
    "ready": Look("teal", "o", "circle-check", _("Ready")),
    "started": Look("amber", "", "player-play", _("Started")),
    "departed": Look("teal", "o", "door-exit", pgettext_lazy("state", "Left")),
    # reports
    "registered": Look("slate", "dash", "file-pencil", _("Draft")),
    "partial": Look("slate", "dash", "file-pencil", _("Draft")),
    "corrected": Look("green", "o", "file-diff", _("Corrected")),
    "appended": Look("green", "o", "file-plus", _("Addendum")),
    "superseded": Look("slate", "dash", "versions", _("Superseded")),
    "unknown": Look("slate", "dash", "question-mark", _("Unknown")),
    # appointments and holds
    "proposed": Look("slate", "o", "circle-dashed", _("Proposed")),
    "held": Look("orange", "dash", "player-pause", _("Held")),
    "booked": Look("blue", "o", "calendar-event", _("Booked")),
    "fulfilled": Look("green", "", "circle-check", _("Kept")),
    "blocked": Look("red", "", "hand-stop", _("Blocked")),
    "offered": Look("violet", "o", "calendar-event", _("Offered")),
    "declined": Look("slate", "dash", "ban", _("Declined")),
    "expired": Look("slate", "dash", "clock-pause", _("Expired")),
    "released": Look("slate", "dash", "lock-open", _("Released")),
    # critical results, tasks, follow-up
    "open": Look("red", "o", "alert-octagon", pgettext_lazy("state", "Open")),
    "escalated": Look("red", "", "arrow-up", _("Escalated")),
    "communicated": Look("green", "", "phone", _("Told")),
    "acknowledged": Look("green", "", "checks", _("Acknowledged")),
    "withdrawn": Look("slate", "dash", "arrow-back-up", _("Withdrawn")),
    "shared": Look("blue", "o", "users", _("Shared")),
    "closed": Look("green", "o", "circle-check", _("Closed")),
    "resolved": Look("green", "o", "circle-check", _("Resolved")),
    "assigned": Look("violet", "o", "user", _("Assigned")),
    "submitted": Look("green", "", "check", _("Submitted")),
    "scored": Look("green", "", "check", _("Scored")),
    "opened": Look("blue", "o", "eye", _("Opened")),
    "explained": Look("green", "o", "message", _("Explained")),
    "arbitration": Look("violet", "", "users-group", _("Third reader")),
    "lapsed": Look("slate", "dash", "clock-exclamation", _("Not reviewed")),
    # charges
    "due": Look("amber", "o", "calendar-event", _("Due")),
    "planned": Look("slate", "o", "circle-dashed", _("Planned")),
    "billable": Look("blue", "o", "receipt", _("To bill")),
    "billed": Look("green", "", "check", _("Billed")),
    "aborted": Look("slate", "dash", "ban", _("Aborted")),
    "balanced": Look("green", "", "circle-check", _("Paid")),
    "credited": Look("slate", "dash", "receipt-refund", _("Credited")),
    "approved": Look("green", "", "shield-check", _("Approved")),
    # downtime
    "printed": Look("slate", "o", "printer", _("In the drawer")),
    "issued": Look("amber", "", "file", _("Given out")),
    "entered": Look("green", "", "file-check", _("Entered")),
    "void": Look("slate", "dash", "file-off", _("Void")),
    "declared": Look("red", "", "plug-connected-x", _("Downtime")),
    "ended": Look("amber", "", "forms", _("To be entered")),
    # messages and deliveries
    "received": Look("blue", "o", "inbox", _("Received")),
    "queued": Look("slate", "", "hourglass", _("Waiting")),
    "pending": Look("slate", "", "hourglass", _("Waiting")),
    "waiting": Look("slate", "", "hourglass", _("Waiting")),
    "behind": Look("slate", "", "hourglass", _("Behind another")),
    "sending": Look("blue", "", "send", _("Sending")),
    "claimed": Look("blue", "", "send", _("Sending")),
    "retrying": Look("amber", "", "refresh", _("Retrying")),
    "sent": Look("green", "o", "send", _("Sent")),
    "delivered": Look("green", "", "check", _("Delivered")),
    "processed": Look("green", "", "check", _("Processed")),
    "done": Look("green", "", "check", _("Done")),
    "failed": Look("red", "", "alert-circle", _("Failed")),
    "error": Look("red", "", "alert-circle", _("Error")),
    "parked": Look("red", "", "hand-stop", _("Parked")),
    "refused": Look("red", "o", "hand-stop", _("Refused")),
    "unmapped": Look("amber", "", "help-circle", _("Not in the catalogue")),
    "quarantined": Look("amber", "", "alert-triangle", _("Waits for a person")),
    "matched": Look("green", "", "link", _("Matched")),
    "unmatched": Look("amber", "", "link-off", _("Not matched")),
    "overtaken": Look("slate", "dash", "player-skip-forward", _("Overtaken")),
    "skipped": Look("slate", "dash", "player-skip-forward", _("Skipped")),
    "paused": Look("slate", "", "player-pause", _("Paused")),
    "running": Look("green", "", "circle-check", _("Running")),
    "stopped": Look("slate", "dash", "player-stop", _("Stopped")),
    "inactive": Look("slate", "dash", "ban", _("Inactive")),
    "acted": Look("amber", "o", "check", _("Action taken")),
    "off": Look("slate", "dash", "player-stop", _("Switched off")),
    "shown": Look("green", "", "check", _("Shown")),
    "told": Look("amber", "o", "check", _("Patient told")),
    "addended": Look("green", "o", "file-plus", _("Addendum written")),
}
ALIASES = {
    "canceled": "cancelled",
    "noshow": "no_show",
    "revoked": "cancelled",
    "held_by_transport": "on_hold",
    "ready_for_reading": "ready_to_read",
    "info_asked": "info_requested",
}

PRIORITY: dict[str, Look] = {
    "stat": Look("stat", "", "bolt", _("STAT")),
    "urgent": Look("urgent", "", "chevrons-up", _("URGENT")),
    "asap": Look("urgent", "", "chevrons-up", _("ASAP")),
    "routine": Look("routine", "", "minus", _("Routine")),
    "low": Look("routine", "", "minus", _("Low")),
}
PRIORITY_ALIASES = {
    "s": "stat",
    "a": "asap",
    "r": "routine",
    "u": "urgent",
    "high": "urgent",
    "medium": "routine",
    "emergency": "stat",
    "": "routine",
}

CATEGORY: dict[str, Look] = {
    "1": Look("red", "crit", "alert-octagon", _("Cat 1 · minutes")),
    "2": Look("orange", "", "alert-triangle", _("Cat 2 · hours")),
    "3": Look("amber", "o", "alert-circle", _("Cat 3 · days")),
}

VERDICT: dict[str, Look] = {
    "ready": Look("green", "", "circle-check", _("Ready")),
    "review": Look("amber", "", "alert-triangle", _("Needs review")),
    "blocked": Look("red", "", "hand-stop", _("Blocked")),
    "offered": Look("violet", "o", "calendar-event", _("Offered")),
    "declined": Look("slate", "dash", "ban", _("Declined")),
}
VERDICT_ALIASES = {"pass": "ready", "ok": "ready", "needs_review": "review", "warn": "review", "block": "blocked"}

ALERT_ICONS = {
    "red": "hand-stop",
    "amber": "alert-triangle",
    "orange": "alert-triangle",
    "blue": "info-circle",
    "green": "circle-check",
    "slate": "info-circle",
    "violet": "info-circle",
    "indigo": "lock",
    "teal": "info-circle",
}


def normal(code: Any) -> str:
    return str(code or "").strip().lower().replace(" ", "_").replace("-", "_")


def status_look(code: Any) -> Look:
    """The look of a status; an unknown one is shown by its own word, in slate."""
    key = normal(code)
    look = STATUS.get(ALIASES.get(key, key))
    return look or Look("slate", "o", "circle-dot", key.replace("_", " ").capitalize() or _("Unknown"))


def priority_look(code: Any) -> tuple[str, Look]:
    key = normal(code)
    key = PRIORITY_ALIASES.get(key, key)
    return key, PRIORITY.get(key, PRIORITY["routine"]._replace(text=str(code)))


def verdict_look(code: Any) -> Look:
    key = normal(code)
    return VERDICT.get(VERDICT_ALIASES.get(key, key)) or status_look(code)
