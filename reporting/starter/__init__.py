"""The templates that a facility begins with, in English, the common ones in Swahili too."""

from __future__ import annotations

from reporting.starter.ct import CT
from reporting.starter.film import FILM
from reporting.starter.kit import Starter, starter
from reporting.starter.mr import MR
from reporting.starter.us import US

GENERAL = (
    starter(
        "",
        "",
        ("General report", "{{exam}}{{contrast}}.", "", ""),
        ("Ripoti ya jumla", "{{exam}}{{contrast}}.", "", ""),
        is_default=True,
    ),
)
STARTERS: tuple[Starter, ...] = GENERAL + CT + MR + FILM + US

__all__ = ["STARTERS", "Starter"]
