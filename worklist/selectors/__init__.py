"""What is asked about schedule, worklist, exams and images."""

from worklist.selectors.mwl import matching_steps, offered_steps, read_item, worklist_items
from worklist.selectors.offering import why_withheld
from worklist.selectors.schedule import (
    appointments,
    exceptions,
    performed_steps,
    reconciliations,
    reconciliations_of,
    rooms,
    screenings,
    stations,
    steps,
    studies,
)

__all__ = [
    "appointments",
    "exceptions",
    "matching_steps",
    "offered_steps",
    "performed_steps",
    "read_item",
    "reconciliations",
    "reconciliations_of",
    "rooms",
    "screenings",
    "stations",
    "steps",
    "studies",
    "why_withheld",
    "worklist_items",
]
