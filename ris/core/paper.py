"""What our papers share: embedded fonts, paragraphs, pages that know their number. The same bytes each time.

Covered scripts: Latin with accents, Greek, Cyrillic, Armenian, Georgian, Arabic, Hebrew, Ethiopic, Chinese, Japanese,
Korean.
"""

from __future__ import annotations

import abc
import functools
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from django.conf import settings
from django.utils import timezone
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_LEFT, TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph

from ris.core import scripts, text

SANS, BOLD = "PichaSans", "PichaSans-Bold"
INK, GREY, LINE, RED = HexColor("#15303f"), HexColor("#47535f"), HexColor("#c6cdd5"), HexColor("#9d141d")
PALE, MARK = HexColor("#f0f2f4"), HexColor("#f3d9d9")
MARGIN = 16 * mm


FOLDER = Path(settings.BASE_DIR) / "static" / "fonts"
#: Asked in this order for what the main fonts lack; read only then.
FURTHER = {"PichaEthiopic": "NotoSansEthiopic-Regular.ttf", "PichaCJK": "DroidSansFallback.ttf"}


@functools.cache
def fonts() -> frozenset[int]:
    """Register the main fonts once per process; answers the code points that they have."""
    regular = TTFont(SANS, str(FOLDER / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(regular)
    pdfmetrics.registerFont(TTFont(BOLD, str(FOLDER / "DejaVuSans-Bold.ttf")))
    pdfmetrics.registerFontFamily(SANS, normal=SANS, bold=BOLD, italic=SANS, boldItalic=BOLD)
    return frozenset(regular.face.charToGlyph)


@functools.cache
def _further(name: str) -> frozenset[int]:
    """Register a font for other scripts; it has one weight."""
    font = TTFont(name, str(FOLDER / FURTHER[name]))
    pdfmetrics.registerFont(font)
    pdfmetrics.registerFontFamily(name, normal=name, bold=name, italic=name, boldItalic=name)
    return frozenset(font.face.charToGlyph)


@functools.lru_cache(maxsize=4096)
def _font_for(sign: str) -> str:
    """The font that has this sign; "" for the main one, "?" when none has it."""
    if ord(sign) in fonts() or sign in "\n\t" or sign in scripts.CONTROLS:
        return ""
    return next((name for name in FURTHER if ord(sign) in _further(name)), "?")


def runs(said: str) -> list[tuple[str, str]]:
    """(font, words): the text cut where its font changes; "" is the main one."""
    found: list[tuple[str, str]] = []
    for sign in said:
        font = _font_for(sign)
        font = "" if font == "?" else font
        if found and (font == found[-1][0] or (sign == " " and found[-1][0])):
            found[-1] = (found[-1][0], found[-1][1] + sign)
        else:
            found.append((font, sign))
    return found


def unprintable(words: str) -> str:
    """The characters that a paper cannot show rightly: no glyph in any font, or a script that needs more shaping."""
    return "".join(sorted({sign for sign in words if _font_for(sign) == "?"}))


def width_of(said: str, font: str, size: float) -> float:
    return sum(pdfmetrics.stringWidth(words, name or font, size) for name, words in runs(said))


def markup(said: str) -> str:
    """Escaped, with the fonts that its scripts need; line ends become breaks."""
    parts = [f'<font name="{font}">{escape(words)}</font>' if font else escape(words) for font, words in runs(said)]
    return "".join(parts).replace("\n", "<br/>")


def draw_words(canvas: Canvas, x: float, y: float, said: str, size: float, *, font: str = SANS, to: str = "") -> None:
    """A single line; ``to`` "right" ends it at x, "centre" puts its middle there."""
    if scripts.has_right_to_left(said):
        said = scripts.lines(said, 1e9, len)[0]
    width = width_of(said, font, size)
    x -= width if to == "right" else width / 2 if to == "centre" else 0
    for name, words in runs(said):
        canvas.setFont(name or font, size)
        canvas.drawString(x, y, words)
        x += pdfmetrics.stringWidth(words, name or font, size)
    canvas.setFont(font, size)


class RightToLeft(Flowable):
    """A paragraph with letters that are written from right to left: broken into lines here, each in the eye's order."""

    def __init__(self, said: str, look: ParagraphStyle) -> None:
        super().__init__()
        alignment = TA_RIGHT if scripts.is_right_to_left(said) and look.alignment == TA_LEFT else look.alignment
        self.said, self.look = said, ParagraphStyle("rtl", parent=look, alignment=alignment)
        self.spaceBefore, self.spaceAfter = look.spaceBefore, look.spaceAfter
        self.inner: Paragraph | None = None

    def getSpaceBefore(self) -> float:
        return self.look.spaceBefore

    def getSpaceAfter(self) -> float:
        return self.look.spaceAfter

    def minWidth(self) -> float:
        return self.look.fontSize * 4

    def _laid(self, width: float) -> Paragraph:
        look = self.look
        room = width - look.leftIndent - look.rightIndent - 1
        shown = scripts.lines(self.said, room, lambda part: width_of(part, look.fontName, look.fontSize))
        return Paragraph("<br/>".join(markup(line.replace(" ", "\u00a0")) for line in shown), look)

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        self.inner = self._laid(width)
        self.width, self.height = self.inner.wrap(width, height)
        return self.width, self.height

    def split(self, width: float, height: float) -> list[Flowable]:
        return self._laid(width).split(width, height)

    def draw(self) -> None:
        assert self.inner is not None  # reportlab wraps before it draws
        self.inner.drawOn(self.canv, 0, 0)


def style(name: str, **values: Any) -> ParagraphStyle:
    fonts()
    return ParagraphStyle(name, **{"fontName": SANS, "fontSize": 9, "leading": 12.5, "textColor": "#111111", **values})


def words(said: str, look: ParagraphStyle) -> Flowable:
    """A paragraph in whatever script it is written."""
    if scripts.has_right_to_left(said):
        return RightToLeft(said, look)
    if any(_font_for(sign) == "PichaCJK" for sign in said):
        look = ParagraphStyle("cjk", parent=look, wordWrap="CJK")
    return Paragraph(markup(said), look)


def pair(label: str, said: str, look: ParagraphStyle) -> Flowable:
    """The name of a value in grey, the value in bold."""
    if scripts.has_right_to_left(said):
        said = scripts.lines(said, 1e9, len)[0].replace(" ", "\u00a0")
    return Paragraph(f'<font color="#47535f">{markup(label)}</font> <b>{markup(said)}</b>', look)


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
        self.translate(width / 2, height / 2)
        self.rotate(38)
        draw_words(self, 0, 0, words, size, font=BOLD, to="centre")
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
        draw_words(self, MARGIN, 12 * mm, left, 7)
        draw_words(self, width - MARGIN, 12 * mm, right, 7, to="right")
        if self.mark:
            self.draw_across(self.mark, width / 14)
