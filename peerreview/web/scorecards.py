"""Scorecards: one's own; the lead opens anybody's, one at a time. Nobody is ranked."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from peerreview import permissions as perms
from peerreview import scorecards
from ris.accounts.web import page
from ris.audit.models import Action
from ris.audit.service import record, record_read
from ris.core.errors import NotKnown
from ris.core.spreadsheet import CSV, as_csv


@require_GET
@page(perms.VIEW_SCORECARD)
def review_scorecards(request: HttpRequest) -> HttpResponse:
    people = scorecards.readers(actor=request.actor)
    wanted = request.GET.get("reader", "")
    reader = next((row for row in people if str(row.uuid) == wanted), None)
    if wanted and reader is None:
        raise NotKnown(_("There is no such reader, or their numbers are not yours to see."))
    manages = request.actor.may(perms.MANAGE_ROUND)
    if reader is None and not manages:
        reader = request.actor.user
    card = scorecards.scorecard(reader, actor=request.actor) if reader is not None else None
    record_read(request.actor, perms.VIEW_SCORECARD, entity=reader)
    context = {"people": people if manages else [], "reader": reader, "card": card}
    return render(request, "peerreview/scorecards.html", context)


@require_GET
@page(perms.MANAGE_ROUND)
def scorecards_export(request: HttpRequest) -> HttpResponse:
    """All readers together, without names."""
    heads, *rows = scorecards.export_rows(actor=request.actor)
    record(request.actor, perms.VIEW_SCORECARD, Action.READ, detail={"export": "csv"})
    response = HttpResponse(as_csv(heads, rows), content_type=CSV)
    response["Content-Disposition"] = 'attachment; filename="peer-review.csv"'
    return response
