"""What is read of a folder of dose objects: every value and every warning, in words. Nothing is stored."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pydicom

from dose.rdsr import DoseEvent, ParsedDose, parse

#: Not shown: who the patient is
HIDDEN = frozenset({"patient_id", "patient_name", "issuer_of_patient_id", "events", "warnings", "more", "filters"})
PREAMBLE = 128


@dataclass
class Checked:
    file: str
    parsed: ParsedDose
    #: what was expected and is not so
    wrong: list[str] = field(default_factory=list)


def is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"


def dose_files_of(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    return [path for path in found if is_dicom(path)]


def check_doses(folder: Path, expected: dict[str, dict[str, Any]] | None = None) -> list[Checked]:
    """``expected``: file name -> {value: what it is}; "events" is their number."""
    found = []
    for path in dose_files_of(folder):
        checked = Checked(path.name, parse(pydicom.dcmread(path, stop_before_pixels=True)))
        for name, value in (expected or {}).get(path.name, {}).items():
            read = len(checked.parsed.events) if name == "events" else getattr(checked.parsed, name, None)
            if not _same(read, value):
                checked.wrong.append(f"{name}: {value} was expected, {read} was read")
        found.append(checked)
    return found


def _same(read: Any, value: Any) -> bool:
    if isinstance(read, (int, float)) and isinstance(value, (int, float)):
        return abs(read - value) <= 1e-9 + 1e-6 * abs(value)
    return bool(read == value)


def lines_of(checked: Checked) -> Iterator[str]:
    parsed = checked.parsed
    yield f"{checked.file}\t{parsed.kind or '?'}\t{len(parsed.events)} events"
    yield from (f"    {line}" for line in _values(parsed))
    for event in parsed.events:
        yield f"    event {event.position}"
        yield from (f"        {line}" for line in _values(event))
    yield from (f"    WARNING {words}" for words in parsed.warnings)
    yield from (f"    WRONG {words}" for words in checked.wrong)


def _values(thing: ParsedDose | DoseEvent) -> Iterator[str]:
    for row in fields(thing):
        value = getattr(thing, row.name)
        if row.name in HIDDEN or value is None or value in ("", False):
            continue
        yield f"{row.name} = {_shown(value)}"
    if isinstance(thing, DoseEvent):
        yield from (f"filter = {json.dumps(row, ensure_ascii=False)}" for row in thing.filters)
        yield from (f"{name} = {_shown(value)}" for name, value in thing.more.items())


def _shown(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list) and len(value) == 2 and not isinstance(value[0], dict):
        return f"{_shown(value[0])} {value[1]}".strip()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)
