"""The paper of a signed version, made from what was frozen with the signature: the same bytes each time.

Scripts that no font of ours has are named on the paper as not printable, never dropped in silence.
"""

from __future__ import annotations

import io
import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any
from xml.sax.saxutils import escape

from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pypdf import PdfWriter
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from reporting.assessments import SCHEMES
from reporting.models import SECTIONS, ReportVersion, VersionKind
from ris.core import paper, text
from ris.core.paper import BOLD, GREY, INK, LINE, MARGIN, RED, draw_words, markup, moment, pair, unprintable
from ris.core.paper import words as _p

FOOT = 24 * mm
WIDTH = A4[0] - 2 * MARGIN
KINDS = {
    VersionKind.PRELIMINARY: gettext_lazy("PRELIMINARY"),
    VersionKind.FINAL: gettext_lazy("FINAL"),
    VersionKind.ADDENDUM: gettext_lazy("FINAL, WITH ADDENDUM"),
    VersionKind.CORRECTION: gettext_lazy("CORRECTED"),
    VersionKind.RETRACTION: gettext_lazy("ENTERED IN ERROR"),
}
SIDES = {"L": gettext_lazy("left"), "R": gettext_lazy("right"), "B": gettext_lazy("both sides")}


def _style(name: str, **values: Any) -> ParagraphStyle:
    return paper.style(name, **{"fontSize": 9.5, "leading": 13.5, **values})


def check_digits(version: ReportVersion) -> str:
    """The first twelve digits of the content hash, in groups of four."""
    digits = version.content_hash[:12]
    return " ".join(digits[at : at + 4] for at in range(0, 12, 4))


def locked(paper: io.BytesIO, password: str) -> bytes:
    """AES with 256 bits (PDF 2.0, security handler revision 6); the owner's password is thrown away."""
    out, writer = io.BytesIO(), PdfWriter(clone_from=paper)
    writer.encrypt(user_password=password, owner_password=secrets.token_hex(16), algorithm="AES-256")
    writer.write(out)
    return out.getvalue()


class _Page(paper.HeldPages):
    """Identity, check and page on each page."""

    marks: dict[str, str]

    def mark_page(self, number: int, total: int) -> None:
        marks = self.marks
        self.setStrokeColor(GREY)
        self.setLineWidth(0.5)
        self.line(MARGIN, FOOT - 5 * mm, A4[0] - MARGIN, FOOT - 5 * mm)
        self.setFillColor(GREY)
        draw_words(self, MARGIN, FOOT - 9 * mm, marks["identity"], 7.5)
        draw_words(self, MARGIN, FOOT - 12.5 * mm, marks["check"], 7.5)
        page = marks["page"].replace("{n}", str(number)).replace("{m}", str(total))
        draw_words(self, A4[0] - MARGIN, FOOT - 9 * mm, page, 7.5, to="right")
        draw_words(self, A4[0] - MARGIN, FOOT - 12.5 * mm, marks["printed"], 7.5, to="right")
        if number > 1:
            draw_words(self, MARGIN, A4[1] - 11 * mm, marks["identity"], 7.5)
            draw_words(self, A4[0] - MARGIN, A4[1] - 11 * mm, marks["state"], 7.5, to="right")
        if marks["mark"]:
            self.draw_across(marks["mark"], 46)


class _Box(Flowable):
    """Paragraphs in a frame of one colour."""

    def __init__(self, parts: list[Paragraph], colour: HexColor) -> None:
        super().__init__()
        self.table = Table([[parts]], colWidths=[WIDTH])
        self.table.setStyle(
            [
                ("BOX", (0, 0), (-1, -1), 1.1, colour),
                ("LEFTPADDING", (0, 0), (-1, -1), 8),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
            ]
        )

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return self.table.wrap(width, height)

    def draw(self) -> None:
        self.table.drawOn(self.canv, 0, 0)


def render_report_pdf(
    version: ReportVersion, *, printed_by: str = "", is_draft: bool = False, password: str = ""
) -> bytes:
    """One signed version as a PDF (A4), headings in the report's language.

    ``printed_by``: who prints it now; without it the bytes are the same each time. ``is_draft``: a preview of what is
    not signed, and says so across every page. ``password``: nobody opens it without.
    """
    with translation.override(version.report.language or "en"):
        return _Paper(version, printed_by, is_draft).render(password)


class _Paper:
    def __init__(self, version: ReportVersion, printed_by: str, is_draft: bool = False) -> None:
        self.version, self.printed_by, self.is_draft = version, printed_by, is_draft
        self.identity: dict[str, Any] = version.identity
        self.patient: dict[str, Any] = version.identity["patient"]
        self.exams: list[dict[str, Any]] = version.identity["procedures"]
        standing = version.report.versions.filter(recall__isnull=True, number__lte=version.number)
        self.earlier: list[ReportVersion] = list(standing.order_by("number"))
        self.body = _style("body")
        self.head = _style("head", fontName=BOLD, fontSize=9, leading=12, textColor=INK, spaceBefore=7, spaceAfter=1)
        self.small = _style("small", fontSize=8, leading=11, textColor=GREY)

    def render(self, password: str = "") -> bytes:
        out = io.BytesIO()
        document = BaseDocTemplate(
            out,
            pagesize=A4,
            title=f"{_('Radiology report')} {self.accession}",
            author=self.identity["facility"]["name"],
            creator="Picha",
            lang=self.version.report.language or "en",
            invariant=1,
        )
        frame = Frame(MARGIN, FOOT, WIDTH, A4[1] - FOOT - 14 * mm, 0, 0, 0, 0)
        document.addPageTemplates([PageTemplate("page", [frame])])
        marks = self.marks()
        maker = type("_MarkedPage", (_Page,), {"marks": marks})
        document.build(self.story(), canvasmaker=maker)
        return locked(out, password) if password else out.getvalue()

    @property
    def accession(self) -> str:
        return ", ".join(dict.fromkeys(exam["accession_number"] for exam in self.exams))

    @property
    def state(self) -> str:
        kind = _("DRAFT, NOT SIGNED") if self.is_draft else KINDS[VersionKind(self.version.kind)]
        return f"{kind} · {_('version %d') % self.version.number}"

    def marks(self) -> dict[str, str]:
        patient = self.patient
        born = self.birth_date()
        printed = _("Printed %(when)s by %(who)s") % {"when": moment(timezone.now()), "who": self.printed_by}
        return {
            "identity": " · ".join(filter(None, (patient["name"], born, patient["identifier"], self.accession))),
            "check": _("Content check %(digits)s · a later version replaces this paper.")
            % {"digits": check_digits(self.version)},
            "page": _("Page {n} of {m}"),
            "printed": printed if self.printed_by else "",
            "state": self.state,
            "mark": self.mark(),
        }

    def mark(self) -> str:
        """What stands across the page when nobody is to act on it."""
        if self.is_draft:
            return _("DRAFT")
        kind = VersionKind(self.version.kind)
        return str(KINDS[kind]) if kind in (VersionKind.PRELIMINARY, VersionKind.RETRACTION) else ""

    def birth_date(self) -> str:
        iso = self.patient["birth_date"]
        return text.day(date.fromisoformat(iso)).replace(text.NBSP, " ") if iso else ""

    def story(self) -> list[Flowable]:
        parts: list[Flowable] = [self.letterhead(), Spacer(1, 3 * mm), self.identity_box(), Spacer(1, 3 * mm)]
        parts += self.banner()
        title = _style("title", fontName=BOLD, fontSize=13, leading=17, textColor=INK, spaceAfter=2)
        parts += [_p(self.exam_words(exam), title) for exam in self.exams]
        for key, (_loinc, label) in SECTIONS.items():
            words = self.version.sections.get(key, "").strip()
            if words:
                parts += self.section(key, str(label), words)
        parts += self.assessments()
        parts += self.addenda()
        parts += self.critical()
        parts += self.signatures()
        parts += self.not_printable()
        return parts

    def letterhead(self) -> Table:
        name = _style("name", fontName=BOLD, fontSize=13, leading=16, textColor=INK)
        right = _style("right", alignment=2)
        facility = self.identity["facility"]
        left = [_p(facility["name"], name)]
        if facility["letterhead"]:
            left.append(_p(facility["letterhead"], self.small))
        title = _style("report", fontName=BOLD, fontSize=13, leading=16, alignment=2, textColor=INK)
        state = Paragraph(f"<b>{escape(self.state)}</b><br/>{escape(moment(self.version.signed_at))}", right)
        table = Table([[left, [_p(_("Radiology report"), title), state]]], colWidths=[WIDTH * 0.52, WIDTH * 0.48])
        table.setStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, -1), 1.5, INK),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ]
        )
        return table

    def identity_box(self) -> Table:
        patient, order, requester = self.patient, self.identity["order"], self.identity["requester"]
        who = _style("who", fontName=BOLD, fontSize=11.5, leading=15)
        born = self.birth_date() or _("Unknown")
        if patient["birth_date_is_estimated"]:
            born += f" ({_('estimated')})"
        number = f"{patient['identifier']} ({patient['issuer']})" if patient["issuer"] else patient["identifier"]
        performed = next((exam["performed_at"] for exam in self.exams if exam["performed_at"]), "")
        copies = ", ".join(row["name"] for row in self.identity["copies_to"])
        columns = [
            [
                _p(patient["name"], who),
                *self.lines((_("Born"), born), (_("Sex"), text.sex(patient["sex"])), (_("Number"), number)),
            ],
            self.lines(
                (_("Accession"), self.accession),
                (_("Exam date"), moment(performed)),
                (_("Site"), order["site"]),
                (_("Priority"), order["priority"].upper()),
                (_("Order"), order["placer_order_number"]),
            ),
            self.lines(
                (_("Asked by"), requester["name"] if requester else "–"),
                ("", requester["organisation"] if requester else ""),
                (_("Copy to"), copies),
            ),
        ]
        table = Table([columns], colWidths=[WIDTH * 0.35, WIDTH * 0.35, WIDTH * 0.3])
        table.setStyle(
            [
                ("BOX", (0, 0), (-1, -1), 0.8, INK),
                ("LINEAFTER", (0, 0), (-2, -1), 0.5, LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        )
        return table

    def lines(self, *pairs: tuple[str, str]) -> list[Paragraph]:
        style = _style("pair", fontSize=8.5, leading=12)
        return [pair(str(label), str(words), style) for label, words in pairs if words]

    @staticmethod
    def exam_words(exam: dict[str, Any]) -> str:
        side = SIDES.get(exam["laterality"])
        return f"{exam['description']}, {side}" if side else exam["description"]

    def banner(self) -> list[Flowable]:
        version = self.version
        warn = _style("warn", fontName=BOLD, textColor=RED)
        if version.kind == VersionKind.PRELIMINARY:
            return [
                _Box([_p(_("Preliminary report. A final one follows and may differ."), warn)], RED),
                Spacer(1, 3 * mm),
            ]
        if version.kind == VersionKind.RETRACTION:
            words = _("Entered in error: do not act on this report.")
            return [
                _Box([_p(words, warn), _p(_("Reason: %s") % version.reason, self.body)], RED),
                Spacer(1, 3 * mm),
            ]
        corrections = [row for row in self.earlier if row.kind == VersionKind.CORRECTION]
        if not corrections:
            return []
        last = corrections[-1]
        said = _("Corrected on %(when)s. It replaces every version before number %(number)d.") % {
            "when": moment(last.signed_at),
            "number": last.number,
        }
        return [
            _Box([_p(said, warn), _p(_("Reason: %s") % last.reason, self.body)], RED),
            Spacer(1, 3 * mm),
        ]

    def section(self, key: str, label: str, words: str) -> list[Flowable]:
        if key != "impression":
            return [_p(label, self.head), _p(words, self.body)]
        style = _style("impression", fontName=BOLD, leftIndent=8, borderPadding=0)
        table = Table([[_p(words, style)]], colWidths=[WIDTH])
        table.setStyle([("LINEBEFORE", (0, 0), (0, -1), 2, INK), ("LEFTPADDING", (0, 0), (-1, -1), 2)])
        return [_p(label, self.head), table if len(words) < 1500 else _p(words, style)]

    def assessments(self) -> list[Flowable]:
        """Scales as they were frozen, each with its version."""
        if not self.version.assessments:
            return []
        said = []
        for row in self.version.assessments:
            scheme = SCHEMES.get(row["scheme"])
            what = f"{row['label']}: " if row["label"] else ""
            points = f", {_('points: %d') % row['score']}" if row["score"] is not None else ""
            name = scheme.name if scheme else row["scheme"]
            said.append(f"{what}{name} {row['category']} ({row['version']}{points})")
        return [_p(_("Assessments"), self.head), _p("\n".join(said), self.small)]

    def addenda(self) -> list[Flowable]:
        parts: list[Flowable] = []
        for row in self.earlier:
            if row.addendum:
                said = f"{_('Addendum')}, {moment(row.signed_at)}, {row.signer_name}"
                parts += [_p(said, self.head), _p(row.addendum, self.body)]
        return parts

    def critical(self) -> list[Flowable]:
        parts: list[Flowable] = []
        for row in self.identity.get("critical_results", ()):
            title = _style("critical", fontName=BOLD)
            words = [
                _p(
                    _("Critical result, category %(n)d: %(finding)s")
                    % {"n": row["category"], "finding": row["finding"]},
                    title,
                )
            ]
            if row["told"]:
                said = _("Told to %(person)s on %(when)s by %(who)s.") % {
                    "person": row["told"],
                    "when": moment(row["told_at"]),
                    "who": row["told_by"] or "–",
                }
                words.append(_p(f"{said} {_('Read back and correct.') if row['read_back'] else ''}".strip(), self.body))
            parts += [Spacer(1, 3 * mm), _Box(words, INK)]
        return parts

    def signatures(self) -> list[Flowable]:
        texts = [row for row in self.earlier if row.kind in (VersionKind.FINAL, VersionKind.CORRECTION)]
        preliminary = [row for row in self.earlier if row.kind == VersionKind.PRELIMINARY]
        cells = []
        for row, words in ((texts[-1:], _("Signed electronically")), (preliminary[-1:], _("Preliminary"))):
            if row:
                signer = Paragraph(f"<b>{markup(row[0].signer_name)}</b>", self.body)
                cells.append([signer, _p(f"{words} {moment(row[0].signed_at)}", self.small)])
        if not cells:
            return []
        table = Table([cells], colWidths=[WIDTH / 2] * len(cells))
        table.hAlign = "LEFT"
        table.setStyle([("LINEABOVE", (0, 0), (-1, -1), 0.6, GREY), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
        return [Spacer(1, 9 * mm), KeepTogether([table, *self.co_signatures()])]

    def co_signatures(self) -> list[Flowable]:
        return [
            _p(f"{_('Co-signed')}: {row.signer_name}, {moment(row.signed_at)}", self.small)
            for row in (self.version.co_signatures.all() if self.version.pk else ())
        ]

    def not_printable(self) -> list[Flowable]:
        shown = [self.patient["name"], *self.version.sections.values(), *(row.addendum for row in self.earlier)]
        left = unprintable("".join(shown))
        if not left:
            return []
        codes = ", ".join(f"U+{ord(sign):04X}" for sign in left[:12]) + (" …" if len(left) > 12 else "")
        words = _("This paper cannot show some characters rightly (%s). Read the report on the screen.") % codes
        return [Spacer(1, 3 * mm), _Box([_p(words, _style("left", fontSize=8, leading=11))], RED)]


class _Stack(_Page):
    """Several papers in one document; each counts its own pages."""

    def save(self) -> None:
        totals = Counter(id(state["marks"]) for state in self._held)
        numbers: Counter[int] = Counter()
        for state in self._held:
            self.__dict__.update(state)
            numbers[id(self.marks)] += 1
            self.mark_page(numbers[id(self.marks)], totals[id(self.marks)])
            Canvas.showPage(self)
        Canvas.save(self)


class _Begin(Flowable):
    """From here on the pages are another paper's."""

    def __init__(self, marks: dict[str, str]) -> None:
        super().__init__()
        self.marks = marks

    def wrap(self, _width: float, _height: float) -> tuple[float, float]:
        return 0, 0

    def draw(self) -> None:
        self.canv.marks = self.marks


def render_stack(versions: Sequence[ReportVersion], *, printed_by: str) -> bytes:
    """Signed versions one after the other, each beginning on a page of its own, for one print."""
    out = io.BytesIO()
    story: list[Flowable] = []
    for version in versions:
        with translation.override(version.report.language or "en"):
            one = _Paper(version, printed_by)
            if story:
                story.append(PageBreak())
            story += [_Begin(one.marks()), *one.story()]
    document = BaseDocTemplate(out, pagesize=A4, title=_("Radiology reports"), creator="Picha")
    frame = Frame(MARGIN, FOOT, WIDTH, A4[1] - FOOT - 14 * mm, 0, 0, 0, 0)
    document.addPageTemplates([PageTemplate("page", [frame])])
    document.build(story, canvasmaker=_Stack)
    return out.getvalue()
