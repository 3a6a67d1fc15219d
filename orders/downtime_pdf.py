"""A downtime pack on paper: what to do, whom to call, the rooms' lists, report sheets, and the numbered forms.

Two forms on a sheet of A4, each with its accession number as Code 128 and its Study Instance UID as a QR code, so that
a scanner's console reads both. In the language of the pack.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from django.utils import translation
from django.utils.translation import gettext as _
from reportlab.graphics.barcode.code128 import Code128
from reportlab.graphics.barcode.qr import QrCodeWidget
from reportlab.graphics.shapes import Drawing
from reportlab.lib.colors import HexColor, black, white
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from orders.downtime_parts import ListRow, RoomList
from orders.models import DowntimeForm, DowntimePack
from ris.core import text
from ris.core.paper import BOLD, GREY, INK, SANS, fonts, style

#: Darker than on other papers: copied forms are still to be read.
LINE, PALE = HexColor("#9aa5b0"), HexColor("#eef2f5")
MARGIN = 14 * mm
WIDTH = A4[0] - 2 * MARGIN
SHEET_HEIGHT = 132 * mm
EMPTY_LINES = 6
REPORT_SHEETS = 2

#: Rows of a form: (height in mm, [(label, share of the width, boxes to tick)]).
Row = tuple[float, Sequence[tuple[str, float, tuple[str, ...]]]]


def _shown(words: Any) -> str:
    """What the fonts can show; a sign that they lack is a box, never nothing."""
    covered = fonts()
    plain = str(words).replace(text.NBSP, " ").replace(text.THIN_SPACE, " ")
    return "".join(sign if sign == "\n" or ord(sign) in covered else "□" for sign in plain)


def _p(words: Any, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(_shown(words)).replace("\n", "<br/>"), style)


@dataclass(frozen=True)
class Paper:
    """What the pack is made of."""

    facility: str
    made_at: datetime
    language: str = "en"
    pack: DowntimePack | None = None
    forms: Sequence[DowntimeForm] = ()
    lists: Sequence[RoomList] = ()
    contacts: Sequence[str] = ()
    instructions: Sequence[str] = ()
    printed_by: str = ""
    has_cover: bool = True
    report_sheets: int = REPORT_SHEETS


def render_pack_pdf(paper: Paper) -> bytes:
    """The pack as a PDF (A4, upright)."""
    fonts()
    with translation.override(paper.language):
        return _Maker(paper).render()


class _Maker:
    def __init__(self, paper: Paper) -> None:
        self.paper = paper
        self.body = style("body")
        self.small = style("small", fontSize=7.5, leading=10, textColor=GREY)
        self.head = style("head", fontName=BOLD, fontSize=11, leading=15, textColor=INK, spaceBefore=8, spaceAfter=3)
        self.title = style("title", fontName=BOLD, fontSize=20, leading=26, textColor=INK)
        self.cell = style("cell", fontSize=8.5, leading=11)
        self.strong = style("strong", fontName=BOLD, fontSize=9, leading=11.5)

    def render(self) -> bytes:
        out = io.BytesIO()
        document = BaseDocTemplate(
            out,
            pagesize=A4,
            title=self.name(),
            author=_shown(self.paper.facility),
            creator="Picha",
            lang=self.paper.language,
        )
        frame = Frame(MARGIN, 12 * mm, WIDTH, A4[1] - 22 * mm, 0, 0, 0, 0)
        document.addPageTemplates([PageTemplate("page", [frame], onPage=self.draw_foot)])
        document.build(self.story())
        return out.getvalue()

    def name(self) -> str:
        pack = self.paper.pack
        return _("Downtime pack %(pack)s") % {"pack": pack.code} if pack else _("Downtime lists")

    def stamp(self) -> str:
        return _shown(text.stamp(self.paper.made_at))

    def draw_foot(self, canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.setFont(SANS, 7)
        canvas.setFillColor(GREY)
        made = _("As of %(when)s") % {"when": self.stamp()}
        by = _("printed by %(who)s") % {"who": _shown(self.paper.printed_by)} if self.paper.printed_by else ""
        words = " · ".join(filter(None, (_shown(self.paper.facility), self.name(), made, by)))
        canvas.drawString(MARGIN, 6.5 * mm, words)
        canvas.drawRightString(A4[0] - MARGIN, 6.5 * mm, _("Page %(number)d") % {"number": document.page})

    def story(self) -> list[Flowable]:
        parts: list[Flowable] = []
        if self.paper.has_cover:
            parts += [*self.cover(), PageBreak()]
        for room in self.paper.lists:
            parts += [*self.room_list(room), PageBreak()]
        for _number in range(self.paper.report_sheets if self.paper.has_cover else 0):
            parts += [*self.report_sheet(), PageBreak()]
        forms = list(self.paper.forms)
        for at in range(0, len(forms), 2):
            parts += self.two_forms(forms[at : at + 2], is_last=at + 2 >= len(forms))
        while parts and isinstance(parts[-1], PageBreak):
            parts.pop()
        return parts or [_p(_("Nothing to print."), self.body)]

    # --- cover

    def cover(self) -> list[Flowable]:
        paper, pack = self.paper, self.paper.pack
        parts: list[Flowable] = [_p(paper.facility, self.small), _p(_("When the system is down"), self.title)]
        if pack is not None:
            forms = f"{pack.code}-01 – {pack.code}-{pack.form_count:02}"
            place = pack.place or _("all rooms")
            parts.append(_p(f"{self.name()} · {place} · {_('forms')} {forms} · {self.stamp()}", self.small))
        parts += [Spacer(1, 5 * mm), _p(_("What to do"), self.head), self.steps()]
        if paper.instructions:
            parts += [_p(_("In this house"), self.head), *(_p(f"•  {line}", self.body) for line in paper.instructions)]
        parts += [_p(_("Whom to call"), self.head), self.contacts()]
        parts += [_p(_("Keep this safe"), self.head), _p(_keep_safe(), self.body)]
        return parts

    def steps(self) -> Table:
        rows = [[_p(str(number), self.strong), _p(words, self.body)] for number, words in enumerate(_steps(), 1)]
        table = Table(rows, colWidths=[8 * mm, WIDTH - 8 * mm])
        table.setStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 3),
                ("LINEBELOW", (0, 0), (-1, -2), 0.4, LINE),
                ("BOX", (0, 0), (-1, -1), 0.8, INK),
                ("BACKGROUND", (0, 0), (0, -1), PALE),
            ]
        )
        return table

    def contacts(self) -> Table:
        found = [line.partition(":") for line in self.paper.contacts]
        rows = [[_p(who, self.body), _p(number.strip() or "", self.strong)] for who, _colon, number in found]
        rows += [[_p("", self.body), _p("", self.body)] for _line in range(max(0, 3 - len(rows)))]
        table = Table(rows, colWidths=[WIDTH * 0.6, WIDTH * 0.4], rowHeights=[8 * mm] * len(rows))
        table.setStyle([("GRID", (0, 0), (-1, -1), 0.4, LINE), ("VALIGN", (0, 0), (-1, -1), "MIDDLE")])
        return table

    # --- lists

    def room_list(self, room: RoomList) -> list[Flowable]:
        heading = f"{room.name} · {text.day(room.day)}"
        head = [_("Time"), _("Patient"), _("Exam"), _("Accession number"), _("Arrived"), _("Started"), _("Ended")]
        rows: list[list[Any]] = [[_p(words, self.small) for words in head]]
        rows += [self.list_row(row) for row in room.rows]
        rows += [[""] * 7 for _line in range(EMPTY_LINES)]
        shares = (0.09, 0.29, 0.22, 0.16, 0.08, 0.08, 0.08)
        heights = [None] * (len(room.rows) + 1) + [11 * mm] * EMPTY_LINES
        table = Table(rows, colWidths=[WIDTH * share for share in shares], rowHeights=heights, repeatRows=1)
        table.setStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.4, LINE),
                ("BACKGROUND", (0, 0), (-1, 0), PALE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 4),
                ("RIGHTPADDING", (0, 0), (-1, -1), 3),
            ]
        )
        said = _("%(count)d booked. Empty lines are for those who come without an appointment.")
        words = said % {"count": len(room.rows)}
        return [_p(heading, self.head), _p(words, self.small), Spacer(1, 2 * mm), table]

    def list_row(self, row: ListRow) -> list[Any]:
        patient = [_p(row.name, self.strong), _p(row.about, self.small)]
        if row.note:
            patient.append(_p(row.note, self.small))
        return [
            [_p(text.clock(row.starts_at), self.strong), _p(text.clock(row.ends_at), self.small)],
            patient,
            [_p(row.exam, self.cell), _p(row.status, self.small)],
            [_Bars(row.accession_number), _p(row.accession_number, self.small)],
            "",
            "",
            "",
        ]

    # --- the report by hand

    def report_sheet(self) -> list[Flowable]:
        rows: list[Row] = [
            (12, [(_("Patient: family name, given names"), 0.5, ()), (_("Born"), 0.2, ()), (_("Number"), 0.3, ())]),
            (12, [(_("Accession number"), 0.3, ()), (_("Exam and side"), 0.45, ()), (_("Done at"), 0.25, ())]),
            (18, [(_("Clinical question"), 1, ())]),
            (18, [(_("Technique, compared with"), 1, ())]),
            (88, [(_("Findings"), 1, ())]),
            (40, [(_("Impression"), 1, ())]),
            (16, [(_("Critical result told to, at, read back"), 1, (_("Read back"),))]),
            (
                14,
                [(_("Read by"), 0.4, ()), (_("Date and time"), 0.25, ()), (_("Signature"), 0.35, ())],
            ),
        ]
        return [
            _p(_("Report by hand"), self.head),
            _p(_("A written report is preliminary. It is signed in the system when that works again."), self.small),
            Spacer(1, 2 * mm),
            _Grid(rows, WIDTH),
        ]

    # --- forms

    def two_forms(self, forms: Sequence[DowntimeForm], *, is_last: bool) -> list[Flowable]:
        parts: list[Flowable] = []
        for place, form in enumerate(forms):
            if place:
                parts.append(_Cut())
            parts.append(_Sheet(form, self.paper))
        return parts if is_last else [*parts, PageBreak()]


def _steps() -> tuple[str, ...]:
    return (
        _("Say to everybody that the system is down since when; the person in charge writes down the time."),
        _("Whoever is booked stands on the list of the room: write arrived, started and ended beside the name."),
        _("For everybody else take the next form. One form, one patient, one exam. Never copy a form."),
        _("Ask for the name and the birth date. Write in capitals. Tick the safety questions as usual."),
        _(
            "At the scanner type or scan the accession number of the form or the list, the name and the birth date. "
            "Where the console asks for a Study Instance UID, scan the square code."
        ),
        _("Write the times when they happen, from one clock. Write what was used, with its lot."),
        _("STAT results are told by telephone, with read back; use the report sheet."),
        _("A spoilt form is crossed out and kept: its number must come back too."),
        _("When the system works again, hand in every form: used, spoilt and blank."),
    )


def _keep_safe() -> str:
    return _(
        "These pages name patients. Keep them in the drawer that is locked, take the older pack away when a new one "
        "comes, and shred it; blank forms stay good."
    )


class _Bars(Flowable):
    """A Code 128 that fits its cell."""

    def __init__(self, value: str, *, height: float = 7 * mm, width: float = WIDTH * 0.16 - 8) -> None:
        super().__init__()
        self.code = fitted_code128(value, width, height)
        self.width, self.height = self.code.width, height

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return self.width, self.height + 2

    def draw(self) -> None:
        self.code.drawOn(self.canv, 0, 0)


def fitted_code128(value: str, width: float, height: float) -> Code128:
    """As wide as there is room for, at most 0.33 mm a module."""
    probe = Code128(value, barWidth=1, barHeight=height, quiet=0)
    module = min(0.33 * mm, width / probe.width)
    code = Code128(value, barWidth=module, barHeight=height, quiet=0)
    code.barFillColor = black
    return code


class _Cut(Flowable):
    """Where the sheet is cut in two."""

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return width, 7 * mm

    def draw(self) -> None:
        self.canv.setDash(2, 2)
        self.canv.setStrokeColor(LINE)
        self.canv.line(-MARGIN, 3.5 * mm, A4[0] - MARGIN, 3.5 * mm)
        self.canv.setDash()


class _Grid(Flowable):
    """Labelled fields to be filled by hand, row by row; some with boxes to tick."""

    def __init__(self, rows: Sequence[Row], width: float) -> None:
        super().__init__()
        self.rows, self.width = rows, width
        self.height = sum(height for height, _cells in rows) * mm

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return self.width, self.height

    def draw(self) -> None:
        draw_fields(self.canv, self.rows, 0, self.height, self.width)


def draw_fields(canvas: Canvas, rows: Sequence[Row], x: float, top: float, width: float) -> None:
    for height, cells in rows:
        bottom, left = top - height * mm, x
        for label, share, boxes in cells:
            canvas.setStrokeColor(LINE)
            canvas.setLineWidth(0.6)
            canvas.rect(left, bottom, width * share, height * mm)
            canvas.setFillColor(GREY)
            canvas.setFont(SANS, 6.2)
            canvas.drawString(left + 1.2 * mm, top - 2.7 * mm, _shown(label))
            _draw_boxes(canvas, boxes, left + 1.6 * mm, bottom + 1.6 * mm, width * share - 3 * mm)
            left += width * share
        top = bottom


def _draw_boxes(canvas: Canvas, boxes: Sequence[str], x: float, y: float, room: float) -> None:
    """Squares with their words, spread over the room."""
    if not boxes:
        return
    side, gap = 3 * mm, 1 * mm
    needed = sum(side + gap + stringWidth(_shown(words), SANS, 7) for words in boxes)
    space = max(1.2 * mm, min(6 * mm, (room - needed) / max(1, len(boxes) - 1)))
    canvas.setFillColor(HexColor("#111111"))
    for words in boxes:
        canvas.setStrokeColor(GREY)
        canvas.rect(x, y, side, side)
        canvas.setFont(SANS, 7)
        canvas.drawString(x + side + gap, y + 0.6 * mm, _shown(words))
        x += side + gap + stringWidth(_shown(words), SANS, 7) + space


class _Sheet(Flowable):
    """One form."""

    def __init__(self, form: DowntimeForm, paper: Paper) -> None:
        super().__init__()
        self.form, self.paper = form, paper

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return WIDTH, SHEET_HEIGHT

    def draw(self) -> None:
        self._head()
        draw_fields(self.canv, self._rows(), 0, SHEET_HEIGHT - 24 * mm, WIDTH)

    def _head(self) -> None:
        canvas, form, top = self.canv, self.form, SHEET_HEIGHT
        pack = form.pack
        canvas.setFillColor(INK)
        canvas.setFont(BOLD, 15)
        canvas.drawString(0, top - 6 * mm, form.label)
        canvas.setFont(SANS, 7.5)
        canvas.setFillColor(GREY)
        canvas.drawString(0, top - 10.5 * mm, _("Downtime form: one patient, one exam"))
        place = " · ".join(filter(None, (_shown(self.paper.facility), _shown(pack.place))))
        canvas.drawString(0, top - 14 * mm, place[:60])
        if pack.print_count > 1:
            canvas.drawString(0, top - 17.5 * mm, _("Print %(number)d of this pack") % {"number": pack.print_count})
        code = fitted_code128(form.accession_number, 76 * mm, 12 * mm)
        left = WIDTH - 26 * mm - code.width - 6 * mm
        code.drawOn(canvas, left, top - 13 * mm)
        canvas.setFillColor(HexColor("#111111"))
        canvas.setFont(BOLD, 11)
        canvas.drawCentredString(left + code.width / 2, top - 17.5 * mm, form.accession_number)
        canvas.setFont(SANS, 5.2)
        canvas.setFillColor(GREY)
        canvas.drawRightString(WIDTH, top - 22.6 * mm, f"Study Instance UID {form.study_instance_uid}")
        self._square(WIDTH - 21 * mm, top - 20.5 * mm, 21 * mm)

    def _square(self, x: float, y: float, size: float) -> None:
        """The Study Instance UID as a QR code."""
        widget = QrCodeWidget(self.form.study_instance_uid, barLevel="M", barBorder=0)
        left, bottom, right, _top = widget.getBounds()
        scale = size / (right - left)
        drawing = Drawing(size, size, transform=[scale, 0, 0, scale, -left * scale, -bottom * scale])
        drawing.add(widget)
        self.canv.setFillColor(white)
        drawing.drawOn(self.canv, x, y)

    def _rows(self) -> list[Row]:
        return [*_who_and_what(), *_how_it_went()]


def _who_and_what() -> list[Row]:
    """The upper half of a form: patient, request, what was asked before the start."""
    sexes = (_("M"), _("F"), _("other"))
    urgencies, sides = (_("STAT"), _("Urgent"), _("Routine")), (_("left"), _("right"), _("both"))
    checks = (_("name and birth date asked"), _("not pregnant"), _("no implant"), _("consent"), _("side"))
    patient = [
        (_("Family name"), 0.32, ()),
        (_("Given names"), 0.3, ()),
        (_("Born: day, month, year"), 0.2, ()),
        (_("Sex"), 0.18, sexes),
    ]
    reach = [
        (_("Number (MRN, national, other)"), 0.28, ()),
        (_("Phone"), 0.22, ()),
        (_("Ward or clinic"), 0.2, ()),
        (_("Priority"), 0.3, urgencies),
    ]
    exam = [(_("Exam, code"), 0.44, ()), (_("Side"), 0.24, sides), (_("Asked by, phone"), 0.32, ())]
    question = [(_("Clinical question"), 0.62, ()), (_("Allergies, kidney, alerts"), 0.38, ())]
    return [(12, patient), (11, reach), (11, exam), (13, question), (10, [(_("Checked before the start"), 1, checks)])]


def _how_it_went() -> list[Row]:
    """The lower half: times, what was used, notes, and what became of the form."""
    times = [
        (_("Date"), 0.16, ()),
        (_("Arrived"), 0.13, ()),
        (_("Started"), 0.13, ()),
        (_("Ended"), 0.13, ()),
        (_("Station"), 0.15, ()),
        (_("Technologist"), 0.3, ()),
    ]
    used = [
        (_("Contrast or other things used"), 0.4, ()),
        (_("Amount"), 0.13, ()),
        (_("Lot"), 0.19, ()),
        (_("Images"), 0.1, ()),
        (_("Dose (DLP, DAP)"), 0.18, ()),
    ]
    notes = [(_("Note to the radiologist"), 0.7, ()), (_("Stopped, why"), 0.3, ())]
    end = [(_("Entered: date, time, initials"), 0.6, ()), (_("This form is"), 0.4, (_("void, because"),))]
    return [(12, times), (11, used), (15, notes), (10, end)]
