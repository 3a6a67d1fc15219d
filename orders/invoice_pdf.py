"""Invoice, credit note and receipt on paper, from what was frozen when they were issued: the same bytes each time."""

from __future__ import annotations

import abc
import io
from decimal import Decimal
from typing import Any

from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from reportlab.lib.pagesizes import A4, A5, landscape
from reportlab.lib.units import mm
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Spacer, Table

from orders import money
from orders.models import Invoice, InvoiceStatus, Payment, PaymentKind, PaymentMethod
from ris.core import paper, text

FOOT = 20 * mm


def check_digits(digest: str) -> str:
    """The first twelve digits of the content hash, in groups of four."""
    return " ".join(digest[at : at + 4] for at in range(0, 12, 4))


def render_invoice_pdf(invoice: Invoice, *, language: str = "") -> bytes:
    """An invoice or a credit note (A4). ``language``: another one than that it was issued in."""
    with translation.override(language or invoice.language):
        return _InvoicePaper(invoice).render()


def render_receipt_pdf(payment: Payment, *, language: str = "") -> bytes:
    """A receipt (A5, landscape): what came or went back, for which invoices, and what is still due."""
    with translation.override(language or payment.language):
        return _ReceiptPaper(payment).render()


class _Paper(abc.ABC):
    pagesize = A4
    title = ""
    mark = ""

    def __init__(self, content: dict[str, Any], digest: str) -> None:
        self.content, self.digest = content, digest
        self.currency: str = content["currency"]
        self.width = self.pagesize[0] - 2 * paper.MARGIN
        self.body = paper.style("body")
        self.small = paper.style("small", fontSize=8, leading=11, textColor=paper.GREY)
        self.line = paper.style("line", fontSize=8.5, leading=12)
        self.right = paper.style("right", fontSize=8.5, leading=12, alignment=2)
        self.head = paper.style("head", fontName=paper.BOLD, fontSize=8, leading=11, textColor=paper.INK)
        self.head_right = paper.style("headr", parent=None, fontName=paper.BOLD, fontSize=8, leading=11, alignment=2)

    @abc.abstractmethod
    def story(self) -> list[Flowable]:
        """What stands on it, from the top."""

    def render(self) -> bytes:
        out = io.BytesIO()
        document = BaseDocTemplate(
            out,
            pagesize=self.pagesize,
            title=f"{self.title} {self.content['number']}",
            author=self.content["facility"]["name"],
            creator="Picha",
            lang=translation.get_language() or "en",
            invariant=1,
        )
        frame = Frame(paper.MARGIN, FOOT, self.width, self.pagesize[1] - FOOT - 12 * mm, 0, 0, 0, 0)
        document.addPageTemplates([PageTemplate("page", [frame])])
        check = _("Content check %(digits)s") % {"digits": check_digits(self.digest)}
        foot = (f"{self.content['number']} · {check}", _("Page {n} of {m}"))
        document.build(
            self.story(), canvasmaker=type("_Page", (paper.NumberedPage,), {"foot": foot, "mark": self.mark})
        )
        return out.getvalue()

    def amount(self, value: str) -> str:
        return money.spoken(Decimal(value), self.currency).removeprefix(f"{self.currency} ")

    def spoken(self, value: str) -> str:
        return money.spoken(Decimal(value), self.currency)

    def letterhead(self, under: list[str]) -> Table:
        name = paper.style("name", fontName=paper.BOLD, fontSize=13, leading=16, textColor=paper.INK)
        title = paper.style("title", fontName=paper.BOLD, fontSize=15, leading=18, alignment=2, textColor=paper.INK)
        facility = self.content["facility"]
        left = [paper.words(facility["name"], name)]
        if facility["letterhead"]:
            left.append(paper.words(facility["letterhead"], self.small))
        number = paper.style("number", fontName=paper.BOLD, fontSize=10.5, leading=14, alignment=2)
        right = [paper.words(self.title, title), paper.words(self.content["number"], number)]
        right += [paper.words(said, self.right) for said in under]
        table = Table([[left, right]], colWidths=[self.width * 0.55, self.width * 0.45])
        table.setStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, -1), 1.5, paper.INK),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (-1, -1), 0),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
            ]
        )
        return table

    def pairs(self, *entries: tuple[str, str]) -> list[Paragraph]:
        return [paper.pair(label, said, self.line) for label, said in entries if said]

    def boxes(self, *columns: tuple[str, list[Paragraph]]) -> Table:
        cells = [[paper.words(title, self.head), *lines] for title, lines in columns]
        table = Table([cells], colWidths=[self.width / len(cells)] * len(cells))
        table.setStyle(
            [
                ("BOX", (0, 0), (-1, -1), 0.6, paper.LINE),
                ("LINEAFTER", (0, 0), (-2, -1), 0.5, paper.LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
            ]
        )
        return table

    def table(self, heads: list[str], rows: list[list[Any]], shares: list[float], numbers_from: int) -> Table:
        """Lines with a head; columns from ``numbers_from`` on are numbers."""
        top = [paper.words(h, self.head_right if n >= numbers_from else self.head) for n, h in enumerate(heads)]
        table = Table([top, *rows], colWidths=[self.width * share for share in shares], repeatRows=1)
        table.setStyle(
            [
                ("BACKGROUND", (0, 0), (-1, 0), paper.PALE),
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, paper.INK),
                ("LINEBELOW", (0, 1), (-1, -1), 0.4, paper.LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 4),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
            ]
        )
        return table

    def sums(self, rows: list[tuple[str, str]]) -> Table:
        """Label and amount at the right; the last one counts most."""
        bold = paper.style("sum", fontName=paper.BOLD, fontSize=11, leading=14, alignment=2, textColor=paper.INK)
        cells = [[paper.words(label, self.right), paper.words(said, self.right)] for label, said in rows[:-1]]
        cells.append([paper.words(part, bold) for part in rows[-1]])
        table = Table(cells, colWidths=[self.width * 0.3, self.width * 0.3], hAlign="RIGHT")
        table.setStyle(
            [
                ("LINEABOVE", (0, -1), (-1, -1), 1, paper.INK),
                ("RIGHTPADDING", (0, 0), (-1, -1), 6),
                ("TOPPADDING", (0, 0), (-1, -1), 3),
            ]
        )
        return table

    def person(self, patient: dict[str, str]) -> list[Paragraph]:
        number = " ".join(filter(None, (patient["identifier"], f"({patient['issuer']})" if patient["issuer"] else "")))
        return [
            paper.words(patient["name"], paper.style("who", fontName=paper.BOLD, fontSize=10.5, leading=14)),
            *self.pairs(
                (_("Born"), paper.day(patient["birth_date"]) if patient["birth_date"] else _("Unknown")),
                (_("Sex"), text.sex(patient["sex"])),
                (_("Number"), number),
            ),
        ]

    def not_printable(self, *said: str) -> list[Flowable]:
        left = paper.unprintable("".join(said))
        if not left:
            return []
        codes = ", ".join(f"U+{ord(sign):04X}" for sign in left[:12])
        return [
            Spacer(1, 3 * mm),
            paper.words(_("This paper cannot show some characters rightly (%s).") % codes, self.small),
        ]


class _InvoicePaper(_Paper):
    def __init__(self, invoice: Invoice) -> None:
        super().__init__(invoice.content, invoice.content_hash)
        self.is_credit = invoice.corrects_id is not None
        self.title = _("Credit note") if self.is_credit else _("Invoice")
        self.mark = _("CREDITED") if invoice.status == InvoiceStatus.CANCELLED else ""

    def story(self) -> list[Flowable]:
        content = self.content
        under = [paper.day(content["issued_at"])]
        if self.is_credit:
            under.append(_("Corrects %(number)s") % {"number": content["corrects"]})
        else:
            under.append(_("Due on %(day)s") % {"day": paper.day(content["due_on"])})
        parts: list[Flowable] = [self.letterhead(under), Spacer(1, 4 * mm), self.parties(), Spacer(1, 5 * mm)]
        if content["reason"]:
            parts += [paper.pair(_("Reason"), content["reason"], self.body), Spacer(1, 3 * mm)]
        parts += [self.lines(), Spacer(1, 3 * mm), self.totals(), Spacer(1, 7 * mm)]
        issued = _("Issued on %(when)s by %(who)s.") % {
            "when": paper.moment(content["issued_at"]),
            "who": content["issued_by"] or content["facility"]["name"],
        }
        parts.append(paper.words(issued, self.small))
        if not self.is_credit:
            parts.append(paper.words(_("Please name the invoice number when you pay."), self.small))
        payer = content["payer"] or {}
        parts += self.not_printable(content["patient"]["name"], payer.get("name", ""), payer.get("holder_name", ""))
        return parts

    def parties(self) -> Table:
        content, payer = self.content, self.content["payer"]
        who = paper.style("payer", fontName=paper.BOLD, fontSize=10.5, leading=14)
        if payer:
            to = [paper.words(payer["name"], who)]
            if payer["address"]:
                to.append(paper.words(payer["address"], self.line))
            to += self.pairs(
                (_("Member number"), payer["member_number"]),
                (_("Principal member"), payer["holder_name"]),
                (_("Authorisation"), payer["authorisations"]),
            )
        else:
            to = [paper.words(content["patient"]["name"], who), paper.words(_("Pays for themselves"), self.line)]
        order = self.pairs((_("Number"), content["order"]["number"]), (_("Asked by"), content["order"]["requester"]))
        return self.boxes((_("Bill to"), to), (_("Patient"), self.person(content["patient"])), (_("Order"), order))

    def lines(self) -> Table:
        heads = [_("Date"), _("Service"), _("Quantity"), _("Price"), _("Amount"), _("Share"), _("Payable")]
        rows = []
        for line in self.content["lines"]:
            codes = [line["accession_number"], line["code"]]
            codes += [f"CPT {line['cpt']}"] if line["cpt"] else []
            codes += [f"ICD-10 {line['icd10']}"] if line["icd10"] else []
            quantity = f"{Decimal(line['quantity']).normalize():f} {line['unit']}".strip()
            rows.append(
                [
                    paper.words(paper.day(line["performed_on"]), self.line),
                    [paper.words(line["label"], self.line), paper.words(" · ".join(codes), self.small)],
                    paper.words(quantity, self.right),
                    paper.words(self.amount(line["unit_price"]), self.right),
                    paper.words(self.amount(line["gross"]), self.right),
                    paper.words(self.share(line), self.right),
                    paper.words(self.amount(line["amount"]), self.right),
                ]
            )
        return self.table(heads, rows, [0.13, 0.31, 0.11, 0.12, 0.12, 0.08, 0.13], numbers_from=2)

    @staticmethod
    def share(line: dict[str, str]) -> str:
        return f"{Decimal(line['share']).normalize():f} %" if line["share"] else ""

    def totals(self) -> Table:
        label = _("To be credited") if self.is_credit else _("To be paid")
        gross = sum((Decimal(line["gross"]) for line in self.content["lines"]), money.ZERO)
        total = Decimal(self.content["total"])
        rows = [(label, self.spoken(self.content["total"]))]
        if gross != total:
            others = _("Borne by others")
            rows = [(_("All services"), self.spoken(str(gross))), (others, self.spoken(str(total - gross))), *rows]
        return self.sums(rows)


class _ReceiptPaper(_Paper):
    pagesize = landscape(A5)

    def __init__(self, payment: Payment) -> None:
        super().__init__(payment.content, payment.content_hash)
        self.is_refund = payment.kind == PaymentKind.REFUND
        self.title = _("Refund") if self.is_refund else _("Receipt")

    def story(self) -> list[Flowable]:
        content = self.content
        big = paper.style("big", fontName=paper.BOLD, fontSize=17, leading=21, textColor=paper.INK)
        said = _("Given back") if self.is_refund else _("Received")
        method = str(PaymentMethod(content["method"]).label)
        facts = self.pairs((_("Method"), method), (_("Reference"), content["reference"]))
        if content["tendered"]:
            change = Decimal(content["tendered"]) - Decimal(content["amount"])
            facts += self.pairs(
                (_("Given"), self.spoken(content["tendered"])), (pgettext("money", "Change"), self.spoken(str(change)))
            )
        facts += self.pairs((_("Reason"), content["reason"]))
        received = self.pairs((_("On"), paper.moment(content["received_at"])), (_("By"), content["received_by"]))
        return [
            self.letterhead([paper.day(content["received_at"])]),
            Spacer(1, 3 * mm),
            self.boxes((said, [paper.words(self.spoken(content["amount"]), big), *received]), (_("How"), facts)),
            Spacer(1, 4 * mm),
            self.invoices(),
            *self.not_printable(*(row["patient"] for row in content["invoices"])),
        ]

    def invoices(self) -> Table:
        heads = [_("Invoice"), _("Patient"), _("Payer"), _("Invoiced"), _("Paid now"), _("Still due")]
        sign = "\u2212" if self.is_refund else ""
        rows = [
            [
                paper.words(row["number"], self.line),
                [paper.words(row["patient"], self.line), paper.words(row["identifier"], self.small)],
                paper.words(row["payer"] or _("Patient"), self.line),
                paper.words(self.amount(row["total"]), self.right),
                paper.words(sign + self.amount(row["amount"]), self.right),
                paper.words(self.amount(row["due"]), self.right),
            ]
            for row in self.content["invoices"]
        ]
        return self.table(heads, rows, [0.21, 0.23, 0.17, 0.13, 0.13, 0.13], numbers_from=3)
