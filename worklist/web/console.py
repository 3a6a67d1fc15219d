"""/console/: the room's list, and one exam from the time-out to its completion."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms as django_forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders.models import RequestedProcedure
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core.errors import DomainError, NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.models import ConsumableUse, ExceptionItem, Question, Questionnaire, ScreeningAnswer
from worklist.selectors.console import TABS, ExamCard, console_list, exam_card, exams, tab_counts
from worklist.services.tickets import ticket_of
from worklist.web import forms


def _exam(request: HttpRequest, uuid: UUID) -> RequestedProcedure:
    row = exams(actor=request.actor).filter(uuid=uuid).first()  # type: ignore[attr-defined]
    if row is None:
        raise NotKnown(_("There is no such exam."), todo=_("Choose it from the list."))
    return row


def _list_context(request: HttpRequest) -> dict[str, Any]:
    """The list at the left: room and tab come from the address, or as they were last."""
    actor = request.actor  # type: ignore[attr-defined]
    rooms = [row for row in selectors.rooms(actor=actor).filter(is_active=True) if row.stations.all()]
    asked = request.GET.get("room", request.session.get("console_room", ""))
    room = next((row for row in rooms if row.code == asked), None)
    if "room" in request.GET:
        request.session["console_room"] = room.code if room else ""
    tab = request.GET.get("tab", "today")
    tab = tab if tab in TABS else "today"
    day = timezone.localdate()
    code = room.code if room else ""
    words = {"today": _("Today"), "done": _("Done"), "undocumented": _("Undocumented")}
    counts = tab_counts(day=day, room=code, actor=actor)
    rows = console_list(tab=tab, day=day, room=code, actor=actor)
    query = urlencode({"tab": tab} if tab != "today" else {})
    return {
        "nav": "console",
        "rooms": rooms,
        "room": room,
        "tab": tab,
        "query": f"?{query}" if query else "",
        "tabs": [(key, words[key], counts[key], f"?{urlencode({'tab': key})}") for key in TABS],
        "rows": rows,
        "exception_count": ExceptionItem.objects.visible_to(actor).open().count(),
        "may_resolve": actor.may(perms.RESOLVE_EXCEPTION),
    }


@never_cache
@page(perms.VIEW_STEP)
def console(request: HttpRequest) -> HttpResponse:
    context = _list_context(request)
    patients = sorted({row.audit_patient for row in context["rows"]})
    record_read(request.actor, perms.VIEW_STEP, patients=patients, detail={"page": "console", "rows": len(patients)})  # type: ignore[attr-defined]
    return render(request, "worklist/console.html", context)


@page(perms.VIEW_STEP)
def console_rows(request: HttpRequest) -> HttpResponse:
    """The list alone, for the poll; 304 when nothing has changed."""
    context = _list_context(request)
    chosen = request.GET.get("on", "")
    context["procedure"] = next((row for row in context["rows"] if str(row.uuid) == chosen), None)
    body = render_to_string("worklist/_console_rows.html", context, request=request)
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:20]}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    patients = sorted({row.audit_patient for row in context["rows"]})
    record_read(request.actor, perms.VIEW_STEP, patients=patients, detail={"page": "console", "rows": len(patients)})  # type: ignore[attr-defined]
    return HttpResponse(body, headers={"ETag": etag, "Cache-Control": "no-store"})


@never_cache
@page(perms.VIEW_STEP)
def console_exam(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _exam_page(request, _exam(request, uuid))


def _exam_page(
    request: HttpRequest,
    procedure: RequestedProcedure,
    *,
    bound: dict[str, Any] | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    """The exam card. ``bound``: forms that came back, by the name the template knows them by."""
    actor = request.actor  # type: ignore[attr-defined]
    card = exam_card(procedure)
    record_read(actor, perms.VIEW_STEP, entity=procedure, detail={"page": "console"})
    context = _list_context(request) | {
        "card": card,
        "procedure": procedure,
        "patient": procedure.order.patient,
        "screenings": [_screening(state, procedure, bound or {}) for state in card.states],
        "time_out_form": forms.TimeOutForm(),
        "consumable_form": forms.ConsumableForm(initial={"label": procedure.contrast}),
        "reject_form": forms.RejectForm(),
        "note_form": _note_form(card),
        "stop_form": forms.StopForm(),
        "override_form": forms.ReasonForm(prefix="override"),
        "refusal": refusal,
        "may_perform": actor.may(perms.PERFORM_STEP),
        "may_screen": actor.may(perms.SCREEN_PATIENT),
        "may_override": actor.may(perms.OVERRIDE_SCREENING),
        "may_arrive": actor.may(perms.ARRIVE_PATIENT),
        "may_call": actor.may(perms.CALL_PATIENT),
        "ticket": ticket_of(procedure),
        **(bound or {}),
    }
    return render(request, "worklist/console.html", context, status=status)


def _note_form(card: ExamCard) -> forms.NoteForm:
    if card.note is None:
        return forms.NoteForm()
    return forms.NoteForm(
        initial={
            "is_as_protocolled": "1" if card.note.is_as_protocolled else "0",
            "deviation": card.note.deviation,
            "chips": card.note.chips,
            "text": card.note.text,
        }
    )


# --- safety questions


class ScreeningForm(django_forms.Form):
    """One field per question of a questionnaire; the service reads the answers."""

    def __init__(self, questionnaire: Questionnaire, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.questionnaire = questionnaire
        self.questions = list(questionnaire.questions.all())
        for question in self.questions:
            self.fields[question.key] = _field_of(question)


def _field_of(question: Question) -> django_forms.Field:
    words = question.text_sw if get_language() == "sw" and question.text_sw else question.text
    if question.kind == Question.Kind.YES_NO:
        choices = [("yes", _("Yes")), ("no", _("No")), ("unknown", _("Not known"))]
        return django_forms.ChoiceField(label=words, choices=choices, widget=django_forms.RadioSelect, required=False)
    label = f"{words} ({question.unit})" if question.unit else words
    return django_forms.CharField(label=label, max_length=200, required=False)


def _screening(state: Any, procedure: RequestedProcedure, bound: dict[str, Any]) -> dict[str, Any]:
    name = f"screening_{state.questionnaire.uuid}"
    answers = state.screening.answers if state.screening else {}
    form = bound.get(name) or ScreeningForm(state.questionnaire, initial=answers)
    raised = {row["key"]: row["effect"] for row in state.screening.findings} if state.screening else {}
    lines = [
        (form.fields[question.key].label, answers.get(question.key, ""), raised.get(question.key, ""), question.unit)
        for question in form.questions
        if question.key in answers
    ]
    return {"state": state, "form": form, "lines": lines, "is_open": state.is_missing or form.is_bound}


@require_POST
@page(perms.SCREEN_PATIENT)
def console_screen(request: HttpRequest, uuid: UUID, questionnaire: UUID) -> HttpResponse:
    procedure = _exam(request, uuid)
    form_of = Questionnaire.objects.filter(uuid=questionnaire).first()
    if form_of is None:
        raise NotKnown(_("There is no such questionnaire."))
    form = ScreeningForm(form_of, request.POST)
    form.is_valid()
    try:
        services.record_screening(
            procedure,
            questionnaire=form_of,
            answers=form.cleaned_data,
            actor=request.actor,  # type: ignore[attr-defined]
        )
    except DomainError as refusal:
        return _come_back(request, procedure, f"screening_{form_of.uuid}", form, refusal)
    return _done(request, procedure, _("The answers are kept."))


@require_POST
@page(perms.OVERRIDE_SCREENING)
def console_override(request: HttpRequest, uuid: UUID, screening: UUID) -> HttpResponse:
    procedure = _exam(request, uuid)
    row = ScreeningAnswer.objects.filter(uuid=screening, procedure=procedure).first()
    if row is None:
        raise NotKnown(_("There are no such answers."))
    form = forms.ReasonForm(request.POST, prefix="override")
    if not form.is_valid():
        return _exam_page(request, procedure, bound={"override_form": form}, status=422)
    services.override_screening(row, reason=form.cleaned_data["reason"], actor=request.actor)  # type: ignore[attr-defined]
    return _done(request, procedure, _("The exam is allowed."))


# --- what the technologist does


def _done(request: HttpRequest, procedure: RequestedProcedure, words: str) -> HttpResponse:
    messages.success(request, words)
    return HttpResponseRedirect(reverse("console_exam", args=[procedure.uuid]))


def _come_back(
    request: HttpRequest, procedure: RequestedProcedure, name: str, form: Any, refusal: DomainError
) -> HttpResponse:
    """The page again, with what was typed and what was refused."""
    flush_refusals()
    forms.add_refusal(form, refusal)
    fresh = _exam(request, procedure.uuid)
    return _exam_page(request, fresh, bound={name: form}, refusal=refusal, status=refusal.http_status)


def _typed(request: HttpRequest, uuid: UUID, name: str, form: Any, service: Any, words: str) -> HttpResponse:
    """A form of the card: checked, handed to its service, back to the card."""
    procedure = _exam(request, uuid)
    if not form.is_valid():
        return _exam_page(request, procedure, bound={name: form}, status=422)
    try:
        service(procedure, **form.cleaned_data, actor=request.actor)  # type: ignore[attr-defined]
    except DomainError as refusal:
        return _come_back(request, procedure, name, form, refusal)
    return _done(request, procedure, words)


@require_POST
@page(perms.PERFORM_STEP)
def console_time_out(request: HttpRequest, uuid: UUID) -> HttpResponse:
    form = forms.TimeOutForm(request.POST)
    return _typed(request, uuid, "time_out_form", form, services.record_time_out, _("The time-out is noted."))


@require_POST
@page(perms.PERFORM_STEP)
def console_consumable(request: HttpRequest, uuid: UUID) -> HttpResponse:
    form = forms.ConsumableForm(request.POST)
    return _typed(request, uuid, "consumable_form", form, services.record_consumable, _("Recorded."))


@require_POST
@page(perms.PERFORM_STEP)
def console_withdraw(request: HttpRequest, uuid: UUID, use: UUID) -> HttpResponse:
    procedure = _exam(request, uuid)
    row = ConsumableUse.objects.filter(uuid=use, procedure=procedure).first()
    if row is None:
        raise NotKnown(_("There is no such entry."))
    services.withdraw_consumable(row, actor=request.actor)  # type: ignore[attr-defined]
    return _done(request, procedure, _("Crossed out."))


@require_POST
@page(perms.PERFORM_STEP)
def console_reject(request: HttpRequest, uuid: UUID) -> HttpResponse:
    form = forms.RejectForm(request.POST)
    return _typed(request, uuid, "reject_form", form, services.record_reject, _("Recorded."))


@require_POST
@page(perms.PERFORM_STEP)
def console_note(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _typed(request, uuid, "note_form", forms.NoteForm(request.POST), services.write_note, _("The note is kept."))


@require_POST
@page(perms.PERFORM_STEP)
def console_start(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure = _exam(request, uuid)
    try:
        services.start_exam(procedure, needs_time_out=True, actor=request.actor)  # type: ignore[attr-defined]
    except DomainError as refusal:
        flush_refusals()
        return _exam_page(request, _exam(request, uuid), refusal=refusal, status=refusal.http_status)
    return _done(request, procedure, _("Started."))


@require_POST
@page(perms.PERFORM_STEP)
def console_complete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure = _exam(request, uuid)
    try:
        services.complete_exam(procedure, actor=request.actor)  # type: ignore[attr-defined]
    except DomainError as refusal:
        flush_refusals()
        return _exam_page(request, _exam(request, uuid), refusal=refusal, status=refusal.http_status)
    return _done(request, procedure, _("Completed."))


@require_POST
@page(perms.PERFORM_STEP)
def console_stop(request: HttpRequest, uuid: UUID) -> HttpResponse:
    form = forms.StopForm(request.POST)
    return _typed(request, uuid, "stop_form", form, services.discontinue_exam, _("The exam is stopped."))
