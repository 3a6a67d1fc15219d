"""/downtime/forms/<id>/: a sheet is typed. Everything typed comes back on each post, with or without JavaScript."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import permissions as perms
from orders import selectors, services
from orders.downtime_parts import department
from orders.models import CatalogueProcedure, DowntimeForm, FormStatus, Patient, RequestedProcedure
from orders.services import Candidate
from orders.services.downtime_entry import BEFORE_EXAM
from orders.web.downtime import form_or_404, uuid_of
from orders.web.downtime_forms import FIELD_OF, NewPersonForm, SheetForm, TimesForm, UnknownPersonForm
from orders.web.forms import add_refusal
from orders.web.orders import exam_options
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core.errors import DomainError, InvalidData

FOUND_AT_MOST = 12
LOOKS_THE_SAME = 0.6
KNOWN, NEW, UNKNOWN = "known", "new", "unknown"


class Typed:
    """The sheet as it is being typed: who, which exam, the rest."""

    def __init__(self, request: HttpRequest, form: DowntimeForm) -> None:
        self.request, self.form = request, form
        self.actor = request.actor
        self.is_post = request.method == "POST"
        post = request.POST
        self.wants_to_save = self.is_post and "save" in post
        self.mode = post.get("mode", "")
        self.query = post.get("q", "").strip()[:200]
        self.patient = self._patient(post.get("choose") or ("" if "other" in post else post.get("patient", "")))
        if self.patient is not None:
            self.mode = KNOWN
        elif self.mode not in (NEW, UNKNOWN) or "other" in post:
            self.mode = ""
        if post.get("as") in (NEW, UNKNOWN):
            self.mode, self.patient = post["as"], None
        self.code = "" if "drop" in post else (post.get("add") or post.get("code", ""))[:16]
        self.exam = CatalogueProcedure.objects.filter(code=self.code, is_active=True).first() if self.code else None
        self.exam_query = "" if post.get("add") else post.get("exam", "").strip()[:60]
        self.booked = self._booked()
        self.chosen_exam = next((row for row in self.booked if str(row.uuid) == post.get("booked")), None)
        self.sheet = SheetForm(post if self.is_post else None, initial=self._initial())
        self.new_person = NewPersonForm(post if self.is_post and self.mode == NEW else None, initial=self._guess())
        self.unknown_person = UnknownPersonForm(post if self.is_post and self.mode == UNKNOWN else None)
        self.candidates: list[Candidate] = []
        if not self.wants_to_save:
            for part in (self.sheet, self.new_person, self.unknown_person):
                part.errors.clear()

    def _patient(self, uuid: str) -> Patient | None:
        wanted = uuid_of(uuid)
        return selectors.patients(actor=self.actor).filter(uuid=wanted).first() if wanted else None

    def _booked(self) -> list[RequestedProcedure]:
        """Exams of the patient that the sheet may have been used for."""
        if self.patient is None:
            return []
        rows = selectors.procedures(actor=self.actor).filter(order__patient=self.patient, status__in=BEFORE_EXAM)
        return list(rows.filter(downtime_form__isnull=True).order_by("-pk")[:FOUND_AT_MOST])

    def _initial(self) -> dict[str, Any]:
        period = self.form.period
        begun = period.started_at if period is not None else timezone.now()
        return {"day": timezone.localtime(begun).date()}

    def _guess(self) -> dict[str, str]:
        """What was searched for stands in the form of a new patient already, when it reads like a name."""
        names = [word for word in self.query.split() if word.isalpha()]
        if not names or len(names) > 3:
            return {}
        return {"family_name": names[-1].capitalize(), "given_name": " ".join(names[:-1]).title()}

    def found(self) -> list[Patient]:
        if self.mode or not self.query:
            return []
        rows = list(selectors.search_patients(self.query, actor=self.actor)[:FOUND_AT_MOST])
        record_read(self.actor, perms.ENTER_DOWNTIME, patients=[row.uuid for row in rows], detail={"rows": len(rows)})
        return rows

    def options(self) -> list[CatalogueProcedure]:
        return exam_options(self.exam_query, leaving_out=[]) if self.exam_query and self.exam is None else []

    # --- saving

    def is_complete(self) -> bool:
        """Say at each field what is missing; also who looks like somebody we have."""
        parts: list[forms.Form] = [self.sheet]
        parts += [self.new_person] if self.mode == NEW else [self.unknown_person] if self.mode == UNKNOWN else []
        wrong = [part for part in parts if not part.is_valid()]
        complete = not wrong
        if not self.mode:
            self.sheet.add_error(None, _("Say who the patient is."))
            complete = False
        if self.exam is None and self.chosen_exam is None:
            self.sheet.add_error(None, _("Choose the exam."))
            complete = False
        if complete and self.mode == NEW and "anyway" not in self.request.POST:
            self.candidates = self._alike()
            complete = not self.candidates
        return complete

    def _alike(self) -> list[Candidate]:
        data = self.new_person.cleaned_data
        rows = services.find_duplicates(
            actor=self.actor,
            family_name=data["family_name"],
            given_name=data["given_name"],
            birth_date=data["birth_date"],
            phone=data["phone"],
        )
        return [row for row in rows if row.score >= LOOKS_THE_SAME][:5]

    def save(self) -> DowntimeForm:
        who: dict[str, Any] = {}
        if self.chosen_exam is not None:
            who["procedure"] = self.chosen_exam
        elif self.mode == NEW:
            who["new_patient"] = self.new_person.cleaned_data
        elif self.mode == UNKNOWN:
            who["emergency"] = self.unknown_person.cleaned_data
        else:
            who["patient"] = self.patient
        code = "" if self.chosen_exam is not None else self.code
        return services.enter_downtime_form(self.form, entry=self.sheet.entry(code), **who, actor=self.actor)

    def note(self, refusal: DomainError) -> None:
        """The service's messages at the fields of this page."""
        if not refusal.errors:
            self.sheet.add_error(None, " ".join(filter(None, (refusal.detail, refusal.found, refusal.todo))))
            return
        here, theirs = {}, {}
        for name, found in refusal.errors.items():
            plain = name.rpartition(".")[2]
            plain = FIELD_OF.get(plain, plain)
            (theirs if plain in self.new_person.fields and self.mode == NEW else here)[plain] = found
        if here:
            add_refusal(self.sheet, InvalidData(refusal.detail, errors=here))
        if theirs:
            add_refusal(self.new_person, InvalidData(refusal.detail, errors=theirs))


@never_cache
@page(perms.ENTER_DOWNTIME)
def form_entry(request: HttpRequest, uuid: UUID) -> HttpResponse:
    form = form_or_404(request, uuid)
    if form.status in (FormStatus.ENTERED, FormStatus.VOID) and request.method != "POST":
        return _over(request, form)
    typed, status = Typed(request, form), 200
    if typed.wants_to_save:
        status = 422
        if typed.is_complete():
            try:
                entered = typed.save()
            except DomainError as refusal:
                flush_refusals()
                status = refusal.http_status if refusal.http_status != 400 else 422
                typed.note(refusal)
            else:
                return _done(request, entered)
        elif typed.candidates:
            status = 409
    waiting = department().waiting_for(form)
    shown = [typed.patient.uuid] if typed.patient is not None else []
    record_read(request.actor, perms.ENTER_DOWNTIME, entity=form, patients=shown, detail={"waiting": len(waiting)})
    context = {
        "nav": "downtime",
        "form": form,
        "typed": typed,
        "found": typed.found(),
        "options": typed.options(),
        "waiting": waiting,
        "may_settle": request.actor.may("worklist.resolve_exception"),
    }
    return render(request, "orders/downtime_form.html", context, status=status)


def _done(request: HttpRequest, form: DowntimeForm) -> HttpResponse:
    exam = form.procedure
    words = _("Form %(label)s is entered: %(exam)s.") % {
        "label": form.label,
        "exam": exam.description_with_side if exam else "",
    }
    messages.success(request, words)
    if form.period is not None:
        return HttpResponseRedirect(reverse("downtime_period", args=[form.period.uuid]))
    return HttpResponseRedirect(reverse("downtime"))


@require_POST
@never_cache
@page(perms.ENTER_DOWNTIME)
def form_correct(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Times that were typed wrongly."""
    form = form_or_404(request, uuid)
    times = TimesForm(request.POST, sheet=form)
    if times.is_valid():
        try:
            services.correct_downtime_times(form, **times.cleaned_data, actor=request.actor)
        except DomainError as refusal:
            flush_refusals()
            add_refusal(times, refusal)
        else:
            messages.success(request, _("The times are corrected."))
            return HttpResponseRedirect(reverse("downtime_form", args=[form.uuid]))
    return _over(request, form, times)


def _over(request: HttpRequest, form: DowntimeForm, times: TimesForm | None = None) -> HttpResponse:
    """What became of it; the exam only for who may see it."""
    exam = None
    if form.procedure is not None:
        exam = selectors.procedures(actor=request.actor).filter(pk=form.procedure_id).first()
        record_read(request.actor, perms.ENTER_DOWNTIME, entity=form)
    context = {"nav": "downtime", "form": form, "exam": exam, "times": times or TimesForm(sheet=form)}
    return render(request, "orders/downtime_form_over.html", context, status=422 if times is not None else 200)
