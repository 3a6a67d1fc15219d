"""A list as CSV (RFC 4180): streamed in portions, flat, and with nothing in it that a spreadsheet would run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.utils.encoders import JSONEncoder

from ris.core.spreadsheet import safe

PORTION = 500
BYTE_ORDER_MARK = "\ufeff"


class CsvRenderer(JSONRenderer):
    """Makes ``Accept: text/csv`` and ``?format=csv`` be heard. The list streams; this one writes only refusals."""

    media_type = "text/csv"
    format = "csv"


def columns_of(serializer: BaseSerializer) -> list[tuple[str, ...]]:
    """One column per field; an object within gives one per field of its own: ``("patient", "id")``."""
    found: list[tuple[str, ...]] = []
    for name, field in getattr(serializer, "fields", {}).items():
        if field.write_only:
            continue
        inner = isinstance(field, Serializer)
        found += [(name, *path) for path in columns_of(field)] if inner else [(name,)]
    return found


def cell(row: Any, path: Sequence[str]) -> Any:
    """The value at the path: words as they are, a list of words in one cell, anything deeper as JSON."""
    for name in path:
        row = row.get(name) if isinstance(row, dict) else None
    if isinstance(row, list) and not any(isinstance(value, dict | list) for value in row):
        row = "; ".join(str(value) for value in row)
    elif isinstance(row, dict | list):
        row = json.dumps(row, cls=JSONEncoder, ensure_ascii=False)
    return safe(row)


class _Line:
    """A file of one line: what ``csv`` writes into is handed on at once."""

    def write(self, text: str) -> str:
        return text


def stream(
    rows: Iterable[Any], serialize: Callable[[list[Any]], list[Any]], columns: list[tuple[str, ...]]
) -> Iterator[bytes]:
    """The head, then portion after portion, so that no export is ever whole in memory.

    The first portion is read at once: what the database will not answer is refused before anything is said.
    """
    source = iter(rows)
    return _lines(list(islice(source, PORTION)), source, serialize, columns)


def _lines(
    portion: list[Any],
    source: Iterator[Any],
    serialize: Callable[[list[Any]], list[Any]],
    columns: list[tuple[str, ...]],
) -> Iterator[bytes]:
    writer = csv.writer(_Line())
    yield (BYTE_ORDER_MARK + writer.writerow([".".join(path) for path in columns])).encode()
    while portion:
        lines = (writer.writerow([cell(row, path) for path in columns]) for row in serialize(portion))
        yield "".join(lines).encode()
        portion = list(islice(source, PORTION))
