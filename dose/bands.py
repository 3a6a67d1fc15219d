"""Age and weight bands in which children's doses are compared: the head by age, the body by weight (ICRP 135). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

ADULT_FROM = 16.0
ADULT = "adult"


@dataclass(frozen=True)
class Band:
    code: str
    start: float
    below: float | None

    def holds(self, value: float) -> bool:
        return value >= self.start and (self.below is None or value < self.below)


#: Years
AGE_BANDS = (
    Band("0-3 mo", 0, 0.25), Band("3-12 mo", 0.25, 1), Band("1-6 a", 1, 6), Band("6-16 a", 6, ADULT_FROM),
    Band(ADULT, ADULT_FROM, None),
)  # fmt: skip
#: kg; a heavier child has no band
WEIGHT_BANDS = (
    Band("<5 kg", 0, 5), Band("5-15 kg", 5, 15), Band("15-30 kg", 15, 30), Band("30-50 kg", 30, 50),
    Band("50-80 kg", 50, 80),
)  # fmt: skip
BANDS = {band.code: band for band in (*AGE_BANDS, *WEIGHT_BANDS)}


def age_band(years: float | None) -> str:
    return "" if years is None else next((band.code for band in AGE_BANDS if band.holds(years)), "")


def weight_band(kilograms: float | None) -> str:
    return "" if kilograms is None else next((band.code for band in WEIGHT_BANDS if band.holds(kilograms)), "")


def band_words(code: str) -> str:
    """As people say it; of a band with limits of its own the name that it was given."""
    band = BANDS.get(code)
    if band is None:
        return code
    if code == ADULT:
        return _("adults")
    start, below = f"{band.start:g}", f"{band.below:g}"
    if band in WEIGHT_BANDS:
        return _("children %(start)s to below %(below)s kg") % {"start": start, "below": below}
    if band.below is not None and band.below <= 1:
        months = {"start": f"{12 * band.start:g}", "below": f"{12 * band.below:g}"}
        return _("children %(start)s to below %(below)s months") % months
    return _("children %(start)s to below %(below)s years") % {"start": start, "below": below}
