"""What is posted from an exam's card, or from the round's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from orders.models import RequestedProcedure
from ris.accounts.web import page
from ris.audit.service import flush_refusals
from ris.core.errors import DomainError, NotKnown
from worklist import permissions as perms
from worklist import services
from worklist.models import (
    AdverseEvent,
    ConsumableUse,
    Exposure,
    OverrideBy,
    Questionnaire,
    RejectedExposure,
    ScreeningAnswer,
)
from worklist.web import console_forms as shapes
from worklist.web.console import ROUND, exam_or_404, exam_page
from worklist.web.forms import ReasonForm, add_refusal


def _done(request: HttpRequest, procedure: RequestedProcedure, words: str, anchor: str = "") -> HttpResponse:
    messages.success(request, words)
    name = "console_round_exam" if request.POST.get("back") == ROUND else "console_exam"
    return HttpResponseRedirect(reverse(name, args=[procedure.uuid]) + (f"#{anchor}" if anchor else ""))


def _come_back(
    request: HttpRequest, procedure: RequestedProcedure, bound: dict[str, Any], refusal: DomainError
) -> HttpResponse:
    """The page again, with what was typed and what was refused."""
    flush_refusals()
    for form in bound.values():
        add_refusal(form, refusal)
    fresh = exam_or_404(request, procedure.uuid)
    return exam_page(request, fresh, bound=bound, refusal=refusal, status=refusal.http_status)


def _typed(
    request: HttpRequest,
    procedure: RequestedProcedure,
    name: str,
    form: Any,
    service: Callable[..., Any],
    words: str,
    anchor: str = "",
) -> HttpResponse:
    """A form of the card: checked, handed to its service, back to the card."""
    if not form.is_valid():
        return exam_page(request, procedure, bound={name: form}, status=422)
    try:
        service(**form.cleaned_data, actor=request.actor)
    except DomainError as refusal:
        return _come_back(request, procedure, {name: form}, refusal)
    return _done(request, procedure, words, anchor)


def _of(service: Callable[..., Any], subject: Any) -> Callable[..., Any]:
    """A service with its subject in place."""

    def bound(**values: Any) -> Any:
        return service(subject, **values)

    return bound


def _row(model: Any, procedure: RequestedProcedure, uuid: UUID) -> Any:
    row = model.objects.filter(uuid=uuid, procedure=procedure).first()
    if row is None:
        raise NotKnown(_("There is no such entry."))
    return row


# --- safety questions


@require_POST
@page(perms.SCREEN_PATIENT)
def console_screen(request: HttpRequest, uuid: UUID, questionnaire: UUID) -> HttpResponse:
    procedure = exam_or_404(request, uuid)
    form_of = Questionnaire.objects.filter(uuid=questionnaire).first()
    if form_of is None:
        raise NotKnown(_("There is no such questionnaire."))
    form = shapes.ScreeningForm(form_of, request.POST)
    form.is_valid()
    try:
        services.record_screening(
            procedure,
            questionnaire=form_of,
            answers=form.cleaned_data,
            actor=request.actor,
        )
    except DomainError as refusal:
        return _come_back(request, procedure, {f"screening_{form_of.uuid}": form}, refusal)
    return _done(request, procedure, _("The answers are kept."), f"q-{form_of.uuid}")


@require_POST
@page((perms.OVERRIDE_SCREENING, perms.PERFORM_STEP))
def console_override(request: HttpRequest, uuid: UUID, screening: UUID) -> HttpResponse:
    """The radiologist's word; the technologist's where the questionnaire leaves it to technologists."""
    procedure = exam_or_404(request, uuid)
    row = ScreeningAnswer.objects.filter(uuid=screening, procedure=procedure).select_related("questionnaire").first()
    if row is None:
        raise NotKnown(_("There are no such answers."))
    form = ReasonForm(request.POST, prefix="override")
    may_override = request.actor.may(perms.OVERRIDE_SCREENING)
    by_technologist = not may_override and row.questionnaire.override_by == OverrideBy.TECHNOLOGIST
    service = services.allow_screening if by_technologist else services.override_screening
    return _typed(request, procedure, "override_form", form, _of(service, row), _("The exam is allowed."), "questions")


# --- time-out, start, end


@require_POST
@page(perms.PERFORM_STEP)
def console_time_out(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure = exam_or_404(request, uuid)
    form = shapes.TimeOutForm(request.POST)
    service = _of(services.record_time_out, procedure)
    answer = _typed(request, procedure, "time_out_form", form, service, _("The time-out is noted."), "time-out")
    if answer.status_code == 302:
        kept = request.session.get("console_wristband", {})
        request.session["console_wristband"] = {key: value for key, value in kept.items() if key != str(uuid)}
    return answer


@require_POST
@page(perms.PERFORM_STEP)
def console_start(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure = exam_or_404(request, uuid)
    try:
        services.start_exam(procedure, needs_time_out=True, actor=request.actor)
    except DomainError as refusal:
        return _come_back(request, procedure, {}, refusal)
    return _done(request, procedure, _("Started."))


@require_POST
@page(perms.PERFORM_STEP)
def console_complete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure = exam_or_404(request, uuid)

    def complete(**values: Any) -> Any:
        return services.complete_exam(procedure, asks_for_all=True, **values)

    form = shapes.CompleteForm(request.POST)
    answer = _typed(request, procedure, "complete_form", form, complete, _("Completed."))
    if answer.status_code == 302 and request.POST.get("back") == ROUND:
        return HttpResponseRedirect(reverse("console_round"))
    return answer


@require_POST
@page(perms.PERFORM_STEP)
def console_stop(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure = exam_or_404(request, uuid)
    service = _of(services.discontinue_exam, procedure)
    return _typed(request, procedure, "stop_form", shapes.StopForm(request.POST), service, _("The exam is stopped."))


# --- used, exposed, thrown away, gone wrong, counted, told


@require_POST
@page(perms.PERFORM_STEP)
def console_consumable(request: HttpRequest, uuid: UUID, use: UUID | None = None) -> HttpResponse:
    """Written down, or corrected where ``use`` names the row."""
    procedure = exam_or_404(request, uuid)
    form = shapes.ConsumableForm(request.POST)
    if use is None:
        service, words = _of(services.record_consumable, procedure), _("Recorded.")
    else:
        row = _row(ConsumableUse, procedure, use)
        service, words = _of(services.correct_consumable, row), _("Corrected.")
    return _typed(request, procedure, "consumable_form", form, service, words, "used")


@require_POST
@page(perms.PERFORM_STEP)
def console_exposure(request: HttpRequest, uuid: UUID, exposure: UUID | None = None) -> HttpResponse:
    procedure = exam_or_404(request, uuid)
    form = shapes.ExposureForm(request.POST)
    if exposure is None:
        service, words = _of(services.record_exposure, procedure), _("Recorded.")
    else:
        row = _row(Exposure, procedure, exposure)
        service, words = _of(services.change_exposure, row), _("Corrected.")
    return _typed(request, procedure, "exposure_form", form, service, words, "exposures")


@require_POST
@page(perms.PERFORM_STEP)
def console_reject(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure = exam_or_404(request, uuid)
    form, service = shapes.RejectForm(request.POST), _of(services.record_reject, procedure)
    return _typed(request, procedure, "reject_form", form, service, _("Recorded."), "rejects")


@require_POST
@page(perms.PERFORM_STEP)
def console_adverse(request: HttpRequest, uuid: UUID, event: UUID | None = None) -> HttpResponse:
    procedure = exam_or_404(request, uuid)
    form = shapes.AdverseForm(request.POST)
    if event is None:
        service, words = _of(services.record_adverse_event, procedure), _("Recorded. The radiologists are told.")
    else:
        row = _row(AdverseEvent, procedure, event)
        service, words = _of(services.change_adverse_event, row), _("Corrected.")
    return _typed(request, procedure, "adverse_form", form, service, words, "reactions")


@require_POST
@page(perms.PERFORM_STEP)
def console_count(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure = exam_or_404(request, uuid)
    form, service = shapes.CountForm(request.POST), _of(services.count_images, procedure)
    return _typed(request, procedure, "count_form", form, service, _("Counted."), "images")


@require_POST
@page(perms.PERFORM_STEP)
def console_note(request: HttpRequest, uuid: UUID) -> HttpResponse:
    procedure = exam_or_404(request, uuid)
    form, service = shapes.NoteForm(request.POST), _of(services.write_note, procedure)
    return _typed(request, procedure, "note_form", form, service, _("The note is kept."), "note")


WITHDRAWN: dict[str, tuple[Any, Callable[..., Any]]] = {
    "used": (ConsumableUse, services.withdraw_consumable),
    "exposures": (Exposure, services.withdraw_exposure),
    "rejects": (RejectedExposure, services.withdraw_reject),
    "reactions": (AdverseEvent, services.withdraw_adverse_event),
}


@require_POST
@page(perms.PERFORM_STEP)
def console_withdraw(request: HttpRequest, uuid: UUID, kind: str, row: UUID) -> HttpResponse:
    """Crossed out; it stays in the history."""
    procedure = exam_or_404(request, uuid)
    if kind not in WITHDRAWN:
        raise NotKnown(_("There is no such entry."))
    model, service = WITHDRAWN[kind]
    try:
        service(_row(model, procedure, row), actor=request.actor)
    except DomainError as refusal:
        return _come_back(request, procedure, {}, refusal)
    return _done(request, procedure, _("Crossed out."), kind)
