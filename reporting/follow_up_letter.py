"""The letter to a patient whose recommended exam has not happened. It names no finding: it may lie open on a table."""

from __future__ import annotations

import io

from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Spacer

from reporting.models import FollowUp
from ris.accounts.selectors import facility_settings
from ris.core import text
from ris.core.paper import BOLD, GREY, INK, MARGIN, style
from ris.core.paper import words as paragraph
from ris.tenants.context import require_facility


def render_letter(follow_up: FollowUp) -> bytes:
    """PDF in the patient's language, where that is one of ours."""
    patient = follow_up.procedure.order.patient
    language = patient.language if patient.language in ("en", "sw") else translation.get_language() or "en"
    with translation.override(language):
        return _render(follow_up)


def _render(follow_up: FollowUp) -> bytes:
    out = io.BytesIO()
    name = require_facility().name
    document = BaseDocTemplate(out, pagesize=A4, title=_("Appointment"), author=name, creator="Picha", invariant=1)
    frame = Frame(MARGIN + 6 * mm, 24 * mm, A4[0] - 2 * MARGIN - 12 * mm, A4[1] - 44 * mm, 0, 0, 0, 0)
    document.addPageTemplates([PageTemplate("page", [frame])])
    document.build(_story(follow_up, name))
    return out.getvalue()


def _story(follow_up: FollowUp, facility: str) -> list[Flowable]:
    patient = follow_up.procedure.order.patient
    body = style("body", fontSize=11, leading=16.5)
    small = style("small", fontSize=9, leading=12.5, textColor=GREY)
    head = style("head", fontName=BOLD, fontSize=14, leading=18, textColor=INK)
    letterhead = facility_settings().letterhead
    today = date_format(timezone.localdate(), "DATE_FORMAT")
    due = date_format(follow_up.due_on, "DATE_FORMAT")
    parts = [paragraph(facility, head)]
    if letterhead:
        parts.append(paragraph(letterhead, small))
    parts += [Spacer(1, 16 * mm), paragraph(text.person_name(patient), style("who", fontName=BOLD, fontSize=11))]
    if patient.address:
        parts.append(paragraph(patient.address, body))
    parts += [
        Spacer(1, 10 * mm),
        paragraph(today, small),
        Spacer(1, 6 * mm),
        paragraph(_("Your next examination"), style("subject", fontName=BOLD, fontSize=12, leading=16)),
        Spacer(1, 3 * mm),
        paragraph(
            _("After your examination of %(day)s your doctors recommended another one: %(exam)s, by %(due)s.")
            % {
                "day": date_format(timezone.localtime(follow_up.procedure.created_at).date(), "DATE_FORMAT"),
                "exam": follow_up.what,
                "due": due,
            },
            body,
        ),
        Spacer(1, 3 * mm),
        paragraph(
            _("We have no record that it has taken place. Please ask the doctor who sent you, or come to us, or call."),
            body,
        ),
        Spacer(1, 3 * mm),
        paragraph(_("If it has been done elsewhere, tell us where, and we shall note it."), body),
        Spacer(1, 8 * mm),
        paragraph(f"{_('Reference')}: {follow_up.accession_number}", small),
    ]
    return parts
