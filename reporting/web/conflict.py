"""Two texts of one report, section by section: what is kept is saved on top of the stored revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, QueryDict
from django.shortcuts import render

from reporting import parts
from reporting.diff import Piece, merged, word_diff
from reporting.models import SECTIONS, Report
from reporting.services.writing import clean_sections
from reporting.web.forms import posted_revision
from ris.accounts.web import ActorRequest


@dataclass(frozen=True)
class Pair:
    """One section in both texts, and merged over what both began with."""

    key: str
    label: Any
    pieces: list[Piece]
    mine: str
    theirs: str
    both: str
    clashes: bool


def _base(report: Report, revision: int | None) -> Mapping[str, str]:
    """The text that a revision had; the stored one when that is not known any more."""
    row = report.history.filter(revision=revision).order_by("-history_id").first() if revision is not None else None
    return row.sections if row is not None else report.sections


def _labels(report: Report, keys: set[str]) -> dict[str, Any]:
    """Sections in reading order, the findings of each exam under its own heading instead of the whole."""
    titles = parts.headings(sorted(report.procedures.all(), key=lambda row: row.pk))
    labels: dict[str, Any] = {}
    for key, (_loinc, label) in SECTIONS.items():
        own = {part: title for part, title in titles.items() if part in keys} if key == "findings" else {}
        labels |= own or {key: label}
    return labels


def pairs_of(report: Report, sections: Mapping[str, str], revision: int | None) -> list[Pair]:
    """Sections that differ between what is stored and what was sent."""
    base, mine = _base(report, revision), {**report.sections, **clean_sections(sections)}
    found = []
    for key, label in _labels(report, set(mine)).items():
        old, new = report.sections.get(key, ""), mine.get(key, "")
        if old != new:
            both, clashes = merged(base.get(key, ""), old, new)
            found.append(Pair(key, label, word_diff(old, new), new, old, both, clashes))
    return found


def conflict_page(request: ActorRequest, report: Report, sections: dict[str, str]) -> HttpResponse:
    pairs = pairs_of(report, sections, posted_revision(request.POST))
    context = {
        "nav": "reading",
        "report": report,
        "pairs": pairs,
        "texts": {row.key: {"mine": row.mine, "theirs": row.theirs, "merged": row.both} for row in pairs},
        "patient": report.patient,
        "procedure": report.first_procedure,
    }
    return render(request, "reporting/report_conflict.html", context, status=409)


def chosen_sections(data: QueryDict, sections: dict[str, str], report: Report) -> dict[str, str]:
    """What a page of two texts sent. Its script puts the choice into the text itself; without one it is made here."""
    if data.get("scripted", "1") != "":
        return sections
    chosen = dict(sections)
    for key, words in sections.items():
        take, stored = data.get(f"take-{key}", "mine"), report.sections.get(key, "")
        if take == "theirs":
            chosen[key] = stored
        elif take == "merged":
            chosen[key] = merged("", stored, words)[0]
    return chosen
