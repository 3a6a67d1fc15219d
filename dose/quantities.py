"""What is kept in SI and shown in the units of the clinic. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Shown:
    """``field`` of DoseReport, factor from the kept to the shown unit; ``sums``: parts of one exam add up."""

    key: str
    field: str
    label: Any
    unit: str
    words: str
    factor: float
    sums: bool = True

    def of(self, report: Any) -> float | None:
        value = getattr(report, self.field)
        return None if value is None else value * self.factor


QUANTITIES = {
    row.key: row
    for row in (
        Shown("ctdi_vol", "ctdi_vol_max", _("CTDIvol, highest"), "mGy", "mGy", 1, sums=False),
        Shown("dlp", "dlp_total", _("DLP"), "mGy.cm", "mGy·cm", 1),
        Shown("dap", "dap_total", _("Dose-area product"), "Gy.cm2", "Gy·cm²", 1e4),
        Shown("dose_rp", "dose_rp_total", _("Dose at the reference point"), "mGy", "mGy", 1e3),
        Shown("agd", "agd_total", _("Average glandular dose"), "mGy", "mGy", 1e3),
        Shown("fluoro_time", "fluoro_time", _("Fluoroscopy time"), "s", "s", 1),
        Shown("activity", "administered_activity", _("Administered activity"), "MBq", "MBq", 1e-6),
    )
}

#: tab -> (modalities, quantities in the order they are offered, exams that a median needs)
TABS: dict[str, tuple[tuple[str, ...], tuple[str, ...], int]] = {
    "CT": (("CT",), ("dlp", "ctdi_vol"), 20),
    "DX": (("DX", "CR"), ("dap",), 20),
    "MG": (("MG",), ("agd",), 50),
    "RF": (("RF", "XA"), ("dap", "dose_rp", "fluoro_time"), 30),
    "NM": (("NM", "PT"), ("activity",), 20),
}
TAB_LABELS = {
    "CT": _("CT"),
    "DX": _("Radiography"),
    "MG": _("Mammography"),
    "RF": _("Fluoroscopy and angiography"),
    "NM": _("Nuclear medicine"),
}


def lines_of(report: Any) -> list[tuple[Shown, float]]:
    """What a report says, in shown units."""
    return [(shown, value) for shown in QUANTITIES.values() if (value := shown.of(report)) is not None]


def rounded(value: float | None) -> float | int | None:
    """Three figures that mean something, whole numbers from 100 on: 724.52 -> 725, 9.914 -> 9.91."""
    if value is None:
        return None
    if abs(value) >= 100:
        return round(value)
    found = float(f"{value:.3g}")
    return int(found) if found == int(found) else found


#: Units as people write them
UNIT_WORDS = {row.unit: row.words for row in QUANTITIES.values()}


def unit_words(unit: str) -> str:
    return UNIT_WORDS.get(unit, unit)


def quantity_words(key: str) -> Any:
    if key in QUANTITIES:
        return QUANTITIES[key].label
    return _("Entrance surface dose") if key == "esd" else key
