"""The tables by which messages are read: what ORC-1 with ORC-5 does, where fields stand, what values mean. Pure.

The house's own tables are here; a sender's row (interop.models.Hl7Sender) holds what differs. A place is written
``OBR-18``, ``PID-5.2`` or ``OBR-15.1.2``: segment, field, component, subcomponent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _

from interop.hl7.messages import Segment

# --- orders: (ORC-1, ORC-5) -> what is done (HL7 tables 0119 and 0038; IHE RAD-2, RAD-3)

NEW, CANCEL, DISCONTINUE, CHANGE = "new", "cancel", "discontinue", "change"
REPLACE, REPLACEMENT, NOTE, REFUSE = "replace", "replacement", "note", "refuse"
HOLD, RELEASE = "hold", "release"
ACTION_WORDS: dict[str, Any] = {
    NEW: _("new order; a known ORC-2 changes nothing"),
    CANCEL: _("cancelled"),
    DISCONTINUE: _("cancelled"),
    CHANGE: _("priority, question, requester, exam, side and time changed"),
    REPLACE: _("replaced by the RO that follows, else by its own OBR"),
    REPLACEMENT: _("the order that replaces the RP before it"),
    HOLD: _("put on hold; a time that it had is given back"),
    RELEASE: _("released: goes on where it was held"),
    NOTE: _("noted: the state of an exam comes from the modality"),
    REFUSE: _("refused: AR 103 at ORC^n^1"),
}
ORDER_ACTIONS: dict[tuple[str, str], str] = {
    ("NW", ""): NEW, ("NW", "SC"): NEW, ("NW", "IP"): NEW,
    ("CA", ""): CANCEL, ("CA", "CA"): CANCEL,
    ("DC", ""): DISCONTINUE, ("DC", "CA"): DISCONTINUE, ("DC", "DC"): DISCONTINUE,
    ("XO", "SC"): CHANGE, ("XO", "IP"): CHANGE, ("XO", "CM"): NOTE,
    ("HD", ""): HOLD, ("HD", "HD"): HOLD,
    ("RL", ""): RELEASE, ("RL", "SC"): RELEASE, ("RL", "IP"): RELEASE,
    ("RP", ""): REPLACE, ("RP", "SC"): REPLACE, ("RP", "IP"): REPLACE,
    ("RO", ""): REPLACEMENT, ("RO", "SC"): REPLACEMENT, ("RO", "IP"): REPLACEMENT,
    ("SC", "SC"): NOTE, ("SC", "IP"): NOTE, ("SC", "CM"): NOTE, ("SC", "A"): NOTE,
}  # fmt: skip
#: what is done -> ORC-1 of the answer when it was, when it was too late
REPLIES: dict[str, tuple[str, str]] = {
    NEW: ("OK", "UA"), CANCEL: ("CR", "UC"), DISCONTINUE: ("DR", "UD"), CHANGE: ("XR", "UX"),
    REPLACE: ("RQ", "UM"), HOLD: ("HR", "UH"), RELEASE: ("OR", "UR"),
}  # fmt: skip

# --- fields


@dataclass(frozen=True)
class Field:
    """``kind``: text (one place), whole (the field as one piece of text), repeated (each repetition, joined)."""

    label: Any
    sources: tuple[str, ...]
    kind: str = "text"
    table: str = ""


FIELDS: dict[str, Field] = {
    "sex": Field(_("Sex"), ("PID-8",), table="sex"),
    "language": Field(_("Language"), ("PID-15",)),
    "visit_number": Field(_("Visit number"), ("PV1-19",)),
    "patient_class": Field(_("Patient class"), ("PV1-2",), table="patient_class"),
    "placer_number": Field(_("Placer order number"), ("ORC-2", "OBR-2")),
    "placer_issuer": Field(_("Issuer of placer order numbers"), ("ORC-2.2", "OBR-2.2")),
    "filler_number": Field(_("Filler order number"), ("ORC-3", "OBR-3")),
    "priority": Field(_("Priority"), ("TQ1-9", "ORC-7.6", "OBR-27.6", "OBR-5"), table="priority"),
    "starts_at": Field(_("Appointed time"), ("TQ1-7", "ORC-7.4", "OBR-27.4", "OBR-36")),
    "reason": Field(_("Reason of a cancellation"), ("ORC-16.2", "ORC-16.1")),
    "accession_number": Field(_("Accession number"), ("IPC-1", "OBR-18")),
    "study_instance_uid": Field(_("Study Instance UID"), ("IPC-3", "ZDS-1")),
    "requested_procedure_id": Field(_("Requested procedure id"), ("IPC-2", "OBR-19")),
    "step_id": Field(_("Scheduled procedure step id"), ("IPC-4", "OBR-21")),
    "modality": Field(_("Modality"), ("IPC-5", "OBR-24"), table="modality"),
    "station": Field(_("Station AE title"), ("IPC-9",)),
    "laterality": Field(_("Side"), ("OBR-15.5", "OBR-15.1", "OBR-46.1", "OBR-46.2"), table="laterality"),
    "indication": Field(_("Clinical question"), ("OBR-31.2", "OBR-31.1"), kind="repeated"),
    "clinical_information": Field(_("Clinical information"), ("OBR-13",), kind="whole"),
    "transport": Field(_("Transport"), ("OBR-30",)),
    "isolation": Field(_("Isolation"), ("OBR-12.2", "OBR-12.1")),
}  # fmt: skip

# --- values

VALUES: dict[str, dict[str, str]] = {
    #: HL7 table 0001
    "sex": {"M": "M", "F": "F", "O": "O", "A": "O", "U": "U", "N": "U"},
    #: TQ1-9, ORC-7.6, OBR-27.6, OBR-5 (tables 0485 and 0027)
    "priority": {"S": "stat", "STAT": "stat", "A": "asap", "ASAP": "asap", "P": "urgent", "T": "urgent", "C": "urgent",
                 "U": "urgent", "URGENT": "urgent", "R": "routine", "ROUTINE": "routine"},
    #: HL7 table 0004
    "patient_class": {"I": "I", "E": "E", "O": "O", "B": "I", "R": "O", "P": "O", "C": "O"},
    "laterality": {"L": "L", "LEFT": "L", "LT": "L", "R": "R", "RIGHT": "R", "RT": "R", "B": "B", "BOTH": "B",
                   "BILATERAL": "B"},
    #: HL7 table 0074, as far as it differs from DICOM's modalities
    "modality": {"NMR": "MR", "MRI": "MR", "RAD": "DX", "XRAY": "DX", "RX": "DX", "RUS": "US", "OUS": "US",
                 "VUS": "US", "CUS": "US", "NMS": "NM", "PET": "PT", "MAM": "MG", "DEXA": "BMD"},
    #: HL7 table 0203 and the words that senders use instead
    "identifier_type": {"MR": "MR", "MRN": "MR", "PT": "PT", "TEMP": "PT", "PI": "PI", "PE": "PE", "NI": "NI",
                        "NHS": "NI", "NHSNMBR": "NI", "NNESP": "NI", "SS": "NI", "PPN": "PPN", "PP": "PPN",
                        "NIIP": "NIIP", "HC": "NIIP", "NH": "NI"},
}  # fmt: skip
MEANINGS: dict[str, frozenset[str]] = {
    "sex": frozenset("MFOU"),
    "priority": frozenset(("stat", "asap", "urgent", "routine")),
    "patient_class": frozenset("IEO"),
    "laterality": frozenset("LRB"),
    "identifier_type": frozenset(("MR", "PT", "PI", "PE", "NI", "PPN", "NIIP")),
}

PLACE = re.compile(r"([A-Z][A-Z0-9]{2})-([1-9]\d{0,2})(?:\.([1-9]\d?)(?:\.([1-9]\d?))?)?")


@dataclass(frozen=True)
class Place:
    segment: str
    field: int
    component: int = 0
    subcomponent: int = 0

    @classmethod
    def of(cls, text: str) -> Place:
        """``OBR-15.1``; raises ValueError for what is none."""
        found = PLACE.fullmatch(text.strip().upper())
        if found is None:
            raise ValueError(text)
        return cls(found[1], int(found[2]), int(found[3] or 0), int(found[4] or 0))

    def read(self, segment: Segment, kind: str, repetition: int = 1) -> str:
        if kind == "whole" and not self.component:
            return segment.whole(self.field)
        return segment.text(self.field, self.component or 1, self.subcomponent or 1, repetition)


_PLACES = {name: tuple(Place.of(source) for source in known.sources) for name, known in FIELDS.items()}


@dataclass(frozen=True)
class Maps:
    """The tables as they hold for one sender."""

    order_actions: Mapping[tuple[str, str], str] = field(default_factory=lambda: ORDER_ACTIONS)
    places: Mapping[str, tuple[Place, ...]] = field(default_factory=lambda: _PLACES)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: VALUES)

    @classmethod
    def of(
        cls,
        order_actions: Mapping[str, str],
        field_sources: Mapping[str, Sequence[str]],
        value_maps: Mapping[str, Mapping[str, str]],
    ) -> Maps:
        """The house's tables with a sender's own over them."""
        if not (order_actions or field_sources or value_maps):
            return HOUSE
        own = {(key.partition("|")[0], key.partition("|")[2]): action for key, action in order_actions.items()}
        places = {name: tuple(Place.of(source) for source in sources) for name, sources in field_sources.items()}
        values = {table: {**VALUES.get(table, {}), **rows} for table, rows in value_maps.items()}
        return cls({**ORDER_ACTIONS, **own}, {**_PLACES, **places}, {**VALUES, **values})

    def action(self, control: str, status: str) -> str:
        return self.order_actions.get((control, status), REFUSE)

    def meaning(self, table: str, value: str) -> str:
        """Ours for the sender's value; empty when it means nothing here."""
        return self.values[table].get(value.strip().upper(), "")

    def read(self, name: str, segments: Iterable[Segment]) -> str:
        """The first place of the field that is valued, in these segments; translated where the field has a table."""
        known, rows = FIELDS[name], list(segments)
        if known.kind == "repeated":
            return self._repeated(self.places[name], rows)
        for place in self.places[name]:
            for segment in rows:
                if segment.name != place.segment:
                    continue
                text = place.read(segment, known.kind)
                if known.table and text and known.table != "modality":
                    text = self.meaning(known.table, text)
                if text:
                    return text
        return ""

    def _repeated(self, places: Sequence[Place], rows: Sequence[Segment]) -> str:
        found = []
        for segment in rows:
            own = [place for place in places if place.segment == segment.name]
            for repetition in range(1, max((segment.repetitions(place.field) for place in own), default=0) + 1):
                texts = (place.read(segment, "text", repetition) for place in own)
                found.append(next((text for text in texts if text), ""))
        return "; ".join(text for text in found if text)


HOUSE = Maps()
