"""Findings per exam of a report over several (the IHE group case).

Beside the keys of ``SECTIONS`` the sections of such a report hold ``findings:<uuid of the exam>``. ``findings`` itself
is made of them, each under its exam's heading, so that paper, messages and checks read one text; who writes that one
text (REST, the administration) has it split at the headings again. Pure: texts in, texts out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

PREFIX = "findings:"
PART = re.compile(r"findings:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def part_key(procedure: Any) -> str:
    return f"{PREFIX}{procedure.uuid}"


def is_part(key: str) -> bool:
    return PART.fullmatch(key) is not None


def has_parts(sections: Mapping[str, str]) -> bool:
    return any(key.startswith(PREFIX) for key in sections)


def headings(procedures: Sequence[Any]) -> dict[str, str]:
    """{part key: the exam in words}; the same exam twice is told apart by its accession number."""
    named = Counter(procedure.description_with_side for procedure in procedures)
    return {
        part_key(row): row.description_with_side
        if named[row.description_with_side] == 1
        else f"{row.description_with_side} ({row.accession_number})"
        for row in procedures
    }


def composed(sections: Mapping[str, str], titles: Mapping[str, str]) -> str:
    """The findings of all exams as one text, each that has any under its heading."""
    blocks = [f"{title}:\n{sections[key].strip()}" for key, title in titles.items() if sections.get(key, "").strip()]
    return "\n\n".join(blocks)


def split(words: str, titles: Mapping[str, str]) -> dict[str, str]:
    """The parts of one text; what stands before the first heading belongs to the first exam."""
    known = {f"{title}:": key for key, title in titles.items()}
    current = next(iter(titles))
    lines: dict[str, list[str]] = {key: [] for key in titles}
    for line in words.split("\n"):
        if line.strip() in known:
            current = known[line.strip()]
        else:
            lines[current].append(line)
    return {key: "\n".join(found).strip() for key, found in lines.items()}


def with_parts(old: Mapping[str, str], new: Mapping[str, str], procedures: Sequence[Any]) -> dict[str, str]:
    """Sections after a change, ``findings`` and the parts agreeing; a single exam has no parts."""
    merged = {**old, **new}
    titles = headings(procedures)
    if len(titles) < 2:
        return {key: words for key, words in merged.items() if not key.startswith(PREFIX)}
    written = any(key in titles for key in new)
    if not written and "findings" in new and new["findings"].strip() != composed(old, titles).strip():
        merged |= split(new["findings"], titles)
    elif not has_parts(merged) and merged.get("findings"):
        merged |= split(merged["findings"], titles)
    merged = {key: words for key, words in merged.items() if not key.startswith(PREFIX) or key in titles}
    merged["findings"] = composed(merged, titles)
    return merged
