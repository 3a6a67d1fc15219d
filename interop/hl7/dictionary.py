"""What fields are called (HL7 2.5.1), for people; and which of them tell nothing about a patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from interop.hl7.messages import Message, Segment

NAMES: dict[str, dict[int, Any]] = {
    "MSH": {
        3: _("Sending application"), 4: _("Sending facility"), 5: _("Receiving application"),
        6: _("Receiving facility"), 7: _("Time of the message"), 9: _("Message type"), 10: _("Control id"),
        11: _("Processing id"), 12: _("Version"), 15: _("Accept acknowledgement"),
        16: _("Application acknowledgement"), 18: _("Character set"),
    },
    "MSA": {1: _("Acknowledgement code"), 2: _("Control id"), 3: _("Text")},
    "ERR": {1: _("Place and code"), 2: _("Place"), 3: _("Code"), 4: _("Severity"), 8: _("Message")},
    "EVN": {1: _("Event"), 2: _("Recorded at")},
    "PID": {
        2: _("External patient number"), 3: _("Patient identifiers"), 4: _("Alternate patient number"), 5: _("Name"),
        7: _("Date of birth"), 8: _("Sex"), 11: _("Address"), 13: _("Phone"), 15: _("Language"),
        18: _("Account number"), 19: _("National number"),
    },
    "MRG": {1: _("Prior patient identifiers")},
    "PV1": {2: _("Patient class"), 3: _("Location"), 7: _("Attending doctor"), 8: _("Referring doctor"),
            19: _("Visit number")},
    "ORC": {
        1: _("Order control"), 2: _("Placer order number"), 3: _("Filler order number"), 4: _("Placer group number"),
        5: _("Order status"), 7: _("Quantity and timing"), 9: _("Time of transaction"), 12: _("Ordering provider"),
        16: _("Reason"),
    },
    "TQ1": {7: _("Start"), 9: _("Priority")},
    "OBR": {
        2: _("Placer order number"), 3: _("Filler order number"), 4: _("Exam"), 5: _("Priority"), 7: _("Observed at"),
        12: _("Danger code"), 13: _("Clinical information"), 15: _("Specimen source, side"), 16: _("Ordering provider"),
        18: _("Accession number"), 19: _("Requested procedure id"), 22: _("Status changed at"), 24: _("Modality"),
        25: _("Result status"), 27: _("Quantity and timing"), 30: _("Transport"), 31: _("Reason for study"),
        32: _("Principal interpreter"), 44: _("Procedure code"),
    },
    "OBX": {
        2: _("Value type"), 3: _("Observation"), 4: _("Sub-id"), 5: _("Value"), 11: _("Value status"),
        14: _("Observed at"), 16: _("Responsible observer"),
    },
    "NTE": {3: _("Note")},
    "ZDS": {1: _("Study Instance UID")},
    "IPC": {1: _("Accession number"), 2: _("Requested procedure id"), 3: _("Study Instance UID"),
            4: _("Scheduled procedure step id"), 5: _("Modality"), 9: _("Station AE title")},
}  # fmt: skip

#: Shown to who may look after the interfaces; all other fields are masked until the message is opened.
PLAIN: dict[str, frozenset[int]] = {
    "MSH": frozenset(range(1, 26)),
    "MSA": frozenset({1, 2}),
    "ERR": frozenset({2, 3, 4}),
    "EVN": frozenset({1, 2}),
    "PV1": frozenset({1, 2}),
    "ORC": frozenset({1, 5}),
    "TQ1": frozenset({7, 9}),
    "OBR": frozenset({1, 4, 5, 7, 22, 24, 25, 44}),
    "OBX": frozenset({1, 2, 3, 4, 11}),
}
LONGEST_SHOWN = 400
MASK = "••••"


@dataclass(frozen=True)
class Line:
    """One valued field as a table shows it."""

    place: str
    name: Any
    value: str
    is_masked: bool


def lines(message: Message, *, opened: bool) -> Iterator[Line]:
    for segment in message.segments:
        yield from _of_segment(segment, opened=opened)


def _of_segment(segment: Segment, *, opened: bool) -> Iterator[Line]:
    names = NAMES.get(segment.name, {})
    plain = PLAIN.get(segment.name, frozenset())
    suffix = f"[{segment.sequence}]" if segment.sequence > 1 else ""
    for number in range(3 if segment.name == "MSH" else 1, len(segment.fields)):
        value = segment.raw(number)
        if not value:
            continue
        is_masked = not opened and number not in plain
        shown = MASK if is_masked else value[:LONGEST_SHOWN] + ("…" if len(value) > LONGEST_SHOWN else "")
        yield Line(f"{segment.name}{suffix}-{number}", names.get(number, ""), shown, is_masked)
