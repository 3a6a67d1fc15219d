"""What is asked about schedule, worklist, exams and images."""

from worklist.selectors.mwl import matching_steps, read_item, worklist_items
from worklist.selectors.preview import PreviewLine, preview
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
    "PreviewLine",
    "appointments",
    "exceptions",
    "matching_steps",
    "performed_steps",
    "preview",
    "read_item",
    "rooms",
    "screenings",
    "stations",
    "steps",
    "studies",
    "worklist_items",
]
