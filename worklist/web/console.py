"""/console/: the room's day, and one exam from the time-out to its completion."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from orders.models import RequestedProcedure
from ris.accounts.web import page
from ris.audit.service import record_read
from ris.core.errors import DomainError, NotKnown
from worklist import permissions as perms
from worklist import selectors
from worklist.models import ExceptionItem, OverrideBy, Question, Room
from worklist.selectors.console import TABS, ExamCard, console_list, day_words, exam_card, exams, tab_counts
from worklist.selectors.today import today_board
from worklist.services.tickets import ticket_of
from worklist.web import console_forms as shapes
from worklist.web.forms import ReasonForm

ROUND = "round"


def exam_or_404(request: HttpRequest, uuid: UUID) -> RequestedProcedure:
    row = exams(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such exam."), todo=_("Choose it from the list."))
    return row


def _room(request: HttpRequest) -> tuple[Room | None, list[Room]]:
    """The room comes from the address, or is the one of last time; and all that have a station."""
    actor = request.actor
    rooms = [row for row in selectors.rooms(actor=actor).filter(is_active=True) if row.stations.all()]
    asked = request.GET.get("room", request.session.get("console_room", ""))
    room = next((row for row in rooms if row.code == asked), None)
    if "room" in request.GET:
        request.session["console_room"] = room.code if room else ""
    return room, rooms


def _shared(request: HttpRequest) -> dict[str, Any]:
    actor = request.actor
    room, rooms = _room(request)
    return {
        "nav": "console",
        "rooms": rooms,
        "room": room,
        "exception_count": ExceptionItem.objects.visible_to(actor).open().count(),
        "may_resolve": actor.may(perms.RESOLVE_EXCEPTION),
    }


def _list_context(request: HttpRequest) -> dict[str, Any]:
    """The list at the left of an exam."""
    actor = request.actor
    shared = _shared(request)
    code = shared["room"].code if shared["room"] else ""
    tab = request.GET.get("tab", "today")
    tab = tab if tab in TABS else "today"
    day = timezone.localdate()
    words = {"today": _("Today"), "done": _("Done"), "undocumented": _("Undocumented")}
    counts = tab_counts(day=day, room=code, actor=actor)
    query = urlencode({"tab": tab} if tab != "today" else {})
    return shared | {
        "tab": tab,
        "query": f"?{query}" if query else "",
        "tabs": [(key, words[key], counts[key], f"?{urlencode({'tab': key})}") for key in TABS],
        "rows": console_list(tab=tab, day=day, room=code, actor=actor),
    }


def _board_context(request: HttpRequest) -> dict[str, Any]:
    shared = _shared(request)
    code = shared["room"].code if shared["room"] else ""
    sections = today_board(day=timezone.localdate(), room=code, actor=request.actor)
    return shared | {"sections": sections}


def _note_read(request: HttpRequest, rows: list[Any], page_name: str) -> None:
    patients = sorted({row.audit_patient for row in rows})
    detail = {"page": page_name, "rows": len(patients)}
    record_read(request.actor, perms.VIEW_STEP, patients=patients, detail=detail)


def board_page(request: HttpRequest, *, status: int = 200, **more: Any) -> HttpResponse:
    """The day; ``more`` holds what a scan found or why it was refused."""
    context = _board_context(request) | more
    _note_read(request, [row for section in context["sections"] for row in section.rows], "console")
    return render(request, "worklist/console.html", context, status=status)


@never_cache
@page(perms.VIEW_STEP)
def console(request: HttpRequest) -> HttpResponse:
    return board_page(request)


def _fragment(request: HttpRequest, template: str, context: dict[str, Any], rows: list[Any]) -> HttpResponse:
    """For the poll; 304 when nothing has changed."""
    body = render_to_string(template, context, request=request)
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:20]}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    _note_read(request, rows, "console")
    return HttpResponse(body, headers={"ETag": etag, "Cache-Control": "no-store"})


@page(perms.VIEW_STEP)
def console_board(request: HttpRequest) -> HttpResponse:
    context = _board_context(request)
    rows = [row for section in context["sections"] for row in section.rows]
    return _fragment(request, "worklist/_console_board.html", context, rows)


@page(perms.VIEW_STEP)
def console_rows(request: HttpRequest) -> HttpResponse:
    """The list beside an exam."""
    context = _list_context(request)
    chosen = request.GET.get("on", "")
    context["procedure"] = next((row for row in context["rows"] if str(row.uuid) == chosen), None)
    return _fragment(request, "worklist/_console_rows.html", context, context["rows"])


@never_cache
@page(perms.VIEW_STEP)
def console_exam(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return exam_page(request, exam_or_404(request, uuid))


def exam_page(
    request: HttpRequest,
    procedure: RequestedProcedure,
    *,
    bound: dict[str, Any] | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    """The exam card, or the round's small one. ``bound``: forms that came back, by the name the template knows."""
    actor = request.actor
    asked_on = request.resolver_match.url_name if request.resolver_match else ""
    on_round = request.POST.get("back") == ROUND or asked_on == "console_round_exam"
    card = exam_card(procedure)
    record_read(actor, perms.VIEW_STEP, entity=procedure, detail={"page": "console"})
    shared = {"nav": "console"} if on_round else _list_context(request)
    context = shared | _card_context(card, actor) | _forms(request, card, bound or {})
    context |= {"refusal": refusal, "back": ROUND if on_round else "", **(bound or {})}
    template = "worklist/round_exam.html" if on_round else "worklist/console_exam.html"
    return render(request, template, context, status=status)


def _card_context(card: ExamCard, actor: Any) -> dict[str, Any]:
    procedure = card.procedure
    return {
        "card": card,
        "procedure": procedure,
        "patient": procedure.order.patient,
        "may_perform": actor.may(perms.PERFORM_STEP),
        "may_write": actor.may(perms.PERFORM_STEP) and not card.is_locked,
        "may_screen": actor.may(perms.SCREEN_PATIENT),
        "may_override": actor.may(perms.OVERRIDE_SCREENING),
        "may_arrive": actor.may(perms.ARRIVE_PATIENT),
        "may_call": actor.may(perms.CALL_PATIENT),
        "ticket": ticket_of(procedure),
    }


def _forms(request: HttpRequest, card: ExamCard, bound: dict[str, Any]) -> dict[str, Any]:
    """Empty forms, those that correct the row named by ``?edit=``, and what a scanned pack says."""
    edited = request.GET.get("edit", "")
    use, exposure, event = (
        next((row for row in rows if str(row.uuid) == edited), None)
        for rows in (card.consumables, card.exposures, card.adverse_events)
    )
    pack = request.session.pop("console_pack", None) if request.method == "GET" else None
    used = shapes.ConsumableForm.values_of(use) if use else pack or {"label": card.procedure.contrast, "unit": "mL"}
    screenings = [_screening(state, bound) for state in card.states]
    return {
        "screenings": screenings,
        "asked": next((row for row in screenings if row["state"].is_missing or row["state"].blocks), None),
        "time_out_form": shapes.TimeOutForm(),
        "scanned_wristband": request.session.get("console_wristband", {}).get(str(card.procedure.uuid), ""),
        "consumable_form": shapes.ConsumableForm(initial=used),
        "exposure_form": shapes.ExposureForm(initial=shapes.ExposureForm.values_of(exposure) if exposure else None),
        "reject_form": shapes.RejectForm(),
        "adverse_form": shapes.AdverseForm(initial=shapes.AdverseForm.values_of(event) if event else None),
        "count_form": shapes.CountForm(initial={"count": card.counted}),
        "note_form": _note_form(card),
        "stop_form": shapes.StopForm(),
        "complete_form": shapes.CompleteForm(),
        "override_form": ReasonForm(prefix="override"),
        "edited_use": use,
        "edited_exposure": exposure,
        "edited_event": event,
        "has_pack": bool(pack),
    }


def _note_form(card: ExamCard) -> shapes.NoteForm:
    if card.note is None:
        return shapes.NoteForm()
    names = ("protocol_used", "deviation_reason", "deviation", "chips", "text")
    kept = {name: getattr(card.note, name) for name in names}
    return shapes.NoteForm(initial=kept | {"is_as_protocolled": "1" if card.note.is_as_protocolled else "0"})


def _said(question: Question, answers: dict[str, Any]) -> str:
    """The answer as people read it."""
    given = answers.get(question.key, "")
    return day_words(given) if question.kind == Question.Kind.DATE else given


def _screening(state: Any, bound: dict[str, Any]) -> dict[str, Any]:
    questionnaire = state.questionnaire
    answers = state.screening.answers if state.screening else {}
    form = bound.get(f"screening_{questionnaire.uuid}") or shapes.ScreeningForm(questionnaire, initial=answers)
    raised = {row["key"]: row["effect"] for row in state.screening.findings} if state.screening else {}
    lines = [
        (form.fields[question.key].label, _said(question, answers), raised.get(question.key, ""), question.unit)
        for question in form.questions
        if question.key in answers
    ]
    swahili = get_language() == "sw" and questionnaire.name_sw
    return {
        "state": state,
        "name": questionnaire.name_sw if swahili else questionnaire.name,
        "form": form,
        "lines": lines,
        "is_open": state.is_missing or form.is_bound,
        "technologist_may_allow": questionnaire.override_by == OverrideBy.TECHNOLOGIST,
        "nobody_may_allow": questionnaire.override_by == OverrideBy.NOBODY,
    }
