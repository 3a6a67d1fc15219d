"""What is asked about schedule, worklist, exams and images."""

from worklist.selectors.mwl import matching_steps, read_item, worklist_items
from worklist.selectors.offering import why_withheld
from worklist.selectors.schedule import (
    appointments,
    exceptions,
    performed_steps,
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
    "performed_steps",
    "read_item",
    "rooms",
    "screenings",
    "stations",
    "steps",
    "studies",
    "why_withheld",
    "worklist_items",
]
