"""The tables of docs/hl7.md that are the code's own: each stands between a mark with its name and an end mark."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.utils import translation

from interop.hl7 import maps, processor
from interop.hl7.charsets import CODECS
from interop.hl7.messages import CONDITIONS

MARKED = re.compile(r"<!-- generated: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _column in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def types() -> str:
    return _table(("Message", "Does"), [(" ".join(names), does) for names, does in processor.told_types()])


def orders() -> str:
    """Pairs that do the same in one row."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for (control, status), action in maps.ORDER_ACTIONS.items():
        grouped.setdefault((control, action), []).append(status or "(empty)")
    rows = []
    for (control, action), statuses in grouped.items():
        done, late = maps.REPLIES.get(action, ("", ""))
        rows.append(
            (control, " ".join(statuses), str(maps.ACTION_WORDS[action]), done, f"AA, then {late}" if late else "")
        )
    rows.append(("anything else", "", str(maps.ACTION_WORDS[maps.REFUSE]), "", ""))
    return _table(("ORC-1", "ORC-5", "Before the exam", "Answer", "Once it has begun"), rows)


def fields() -> str:
    rows = [(str(known.label), name, ", ".join(known.sources), known.table) for name, known in maps.FIELDS.items()]
    return _table(("Field", "Name", "Read from, first valued", "Values"), rows)


def values() -> str:
    rows = [
        (table, ", ".join(f"{value}={ours}" for value, ours in known.items())) for table, known in maps.VALUES.items()
    ]
    return _table(("Table", "Sender's value = ours"), rows)


def charsets() -> str:
    return ", ".join(f"`{name}`" for name in CODECS)


def conditions() -> str:
    return _table(("Code", "Means (table 0357)"), [(code, words) for code, words in CONDITIONS.items() if code != "0"])


TABLES: dict[str, Callable[[], str]] = {
    "types": types, "orders": orders, "fields": fields, "values": values, "charsets": charsets,
    "conditions": conditions,
}  # fmt: skip


def renewed(page: str) -> str:
    """The page with every marked table as the code has it now. Raises KeyError for a mark that names none."""
    with translation.override("en"):
        return MARKED.sub(lambda mark: f"<!-- generated: {mark[1]} -->\n{TABLES[mark[1]]()}\n<!-- end -->", page)
