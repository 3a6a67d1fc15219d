"""What our papers share: embedded fonts, paragraphs, pages that know their number. The same bytes each time.

Covered scripts: Latin with accents, Greek, Cyrillic.
"""

from __future__ import annotations

import abc
import functools
import unicodedata
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from django.conf import settings
from django.utils import timezone
from reportlab.lib.colors import HexColor
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from ris.core import text

SANS, BOLD = "PichaSans", "PichaSans-Bold"
INK, GREY, LINE, RED = HexColor("#15303f"), HexColor("#47535f"), HexColor("#c6cdd5"), HexColor("#9d141d")
PALE, MARK = HexColor("#f0f2f4"), HexColor("#f3d9d9")
MARGIN = 16 * mm


@functools.cache
def fonts() -> frozenset[int]:
    """Register the fonts once per process; answers the code points that they have."""
    folder = Path(settings.BASE_DIR) / "static" / "fonts"
    regular = TTFont(SANS, str(folder / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(regular)
    pdfmetrics.registerFont(TTFont(BOLD, str(folder / "DejaVuSans-Bold.ttf")))
    pdfmetrics.registerFontFamily(SANS, normal=SANS, bold=BOLD, italic=SANS, boldItalic=BOLD)
    return frozenset(regular.face.charToGlyph)


def unprintable(words: str) -> str:
    """The characters that a paper cannot show rightly: no glyph, or a script written from right to left."""
    covered = fonts()
    found = {
        sign
        for sign in words
        if sign not in "\n\t" and (ord(sign) not in covered or unicodedata.bidirectional(sign) in ("R", "AL"))
    }
    return "".join(sorted(found))


def style(name: str, **values: Any) -> ParagraphStyle:
    fonts()
    return ParagraphStyle(name, **{"fontName": SANS, "fontSize": 9, "leading": 12.5, "textColor": "#111111", **values})


def words(said: str, look: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(said).replace("\n", "<br/>"), look)


def pair(label: str, said: str, look: ParagraphStyle) -> Paragraph:
    """The name of a value in grey, the value in bold."""
    return Paragraph(f'<font color="#47535f">{escape(label)}</font> <b>{escape(said)}</b>', look)


def day(value: str | date | datetime | None) -> str:
    """A day, or its ISO form, as people read it."""
    if isinstance(value, str):
        value = date.fromisoformat(value[:10]) if value else None
    return text.day(value).replace(text.NBSP, " ") if value else "–"


def moment(value: str | datetime | None) -> str:
    """A moment, or its ISO form, with the zone of the facility."""
    if not value:
        return "–"
    local = timezone.localtime(datetime.fromisoformat(value) if isinstance(value, str) else value)
    return f"{day(local)}, {local:%H:%M} ({local.tzname()})"


class HeldPages(Canvas, abc.ABC):
    """Holds its pages back until their number is known; then each is marked with what all pages have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held: list[dict[str, Any]] = []

    @abc.abstractmethod
    def mark_page(self, number: int, total: int) -> None:
        """Draw on page ``number`` (from 1) of ``total``."""

    def showPage(self) -> None:
        self._held.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        total = len(self._held)
        for number, state in enumerate(self._held, 1):
            self.__dict__.update(state)
            self.mark_page(number, total)
            super().showPage()
        super().save()

    def draw_across(self, words: str, size: float) -> None:
        """What stands across the page when nobody is to act on it."""
        width, height = self._pagesize
        self.saveState()
        self.setFillColor(MARK)
        self.setFont(BOLD, size)
        self.translate(width / 2, height / 2)
        self.rotate(38)
        self.drawCentredString(0, 0, words)
        self.restoreState()


class NumberedPage(HeldPages):
    """Draws ``foot`` (left, right) and ``mark`` on each page.

    ``{n}`` and ``{m}`` in the foot become the page and the number of pages.
    """

    foot: tuple[str, str] = ("", "")
    mark: str = ""

    def mark_page(self, number: int, total: int) -> None:
        width = self._pagesize[0]
        left, right = (part.replace("{n}", str(number)).replace("{m}", str(total)) for part in self.foot)
        self.setStrokeColor(LINE)
        self.setLineWidth(0.5)
        self.line(MARGIN, 16 * mm, width - MARGIN, 16 * mm)
        self.setFillColor(GREY)
        self.setFont(SANS, 7)
        self.drawString(MARGIN, 12 * mm, left)
        self.drawRightString(width - MARGIN, 12 * mm, right)
        if self.mark:
            self.draw_across(self.mark, width / 14)
