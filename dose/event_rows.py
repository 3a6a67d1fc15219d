"""The irradiation events of a report as a page writes them: only columns that one of them fills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from dose import ssde
from dose.dashboards.svg import words_of
from dose.models import IrradiationEvent


@dataclass(frozen=True)
class Cell:
    """``note``: how a number came about that the device did not send."""

    words: str
    note: str = ""


def _times(name: str, factor: float = 1.0) -> Callable[[IrradiationEvent], Cell | None]:
    def cell(event: IrradiationEvent) -> Cell | None:
        value = getattr(event, name)
        return None if value is None else Cell(words_of(value * factor))

    return cell


def _ssde(event: IrradiationEvent) -> Cell | None:
    """The device's own, else computed, which is said."""
    if event.ssde is not None:
        return Cell(words_of(event.ssde))
    found = ssde.estimate_of(event)
    if found is None:
        return None
    kinds = {ssde.WATER: _("water-equivalent"), ssde.EFFECTIVE: _("effective"), ssde.BOTH_SIDES: _("from both sides")}
    words = _("computed: factor %(factor)s at %(diameter)s mm (%(kind)s), phantom %(phantom)s cm")
    return Cell(words_of(found.value), words % {
        "factor": f"{found.factor:.2f}", "diameter": words_of(found.diameter), "kind": kinds[found.kind],
        "phantom": found.phantom,
    })  # fmt: skip


COLUMNS: tuple[tuple[str, Callable[[IrradiationEvent], Cell | None]], ...] = (
    ("CTDIvol mGy", _times("ctdi_vol")), ("SSDE mGy", _ssde), ("DLP mGy·cm", _times("dlp")),
    ("DAP µGy·m²", _times("dap", 1e6)), ("Ka,r mGy", _times("dose_rp", 1e3)), ("AGD mGy", _times("agd", 1e3)),
    ("EI", _times("exposure_index")), ("DI", _times("deviation_index")), ("MBq", _times("activity", 1e-6)),
    ("kV", _times("kvp")), ("mA", _times("tube_current")),
)  # fmt: skip


def columns_of(events: Sequence[IrradiationEvent]) -> tuple[list[str], list[tuple[IrradiationEvent, list[Cell]]]]:
    """Heads; each event with its cells."""
    rows = [[cell(event) for _head, cell in COLUMNS] for event in events]
    filled = [place for place in range(len(COLUMNS)) if any(row[place] is not None for row in rows)]
    return [COLUMNS[place][0] for place in filled], [
        (event, [row[place] or Cell("–") for place in filled]) for event, row in zip(events, rows, strict=True)
    ]
