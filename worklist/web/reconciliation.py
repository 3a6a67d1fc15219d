"""/exceptions/exams/: what was done under an exam's name, and whose it really is. Each act is confirmed and undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders.models import RequestedProcedure
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core.errors import DomainError, InvalidData, NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.models import ImagingSeries, ImagingStudy, PerformedProcedureStep, Reconciliation
from worklist.services import reconciliation_plan as plan
from worklist.services.matching import Sent
from worklist.services.reconciliation import evidence_of
from worklist.services.reconciliation_scoring import Said, search
from worklist.web.exceptions import exam_of

ACTS = ("move", "split", "unlink", "merge")
TITLES = {
    "move": gettext_lazy("It was another exam"),
    "split": gettext_lazy("Split these series off"),
    "unlink": gettext_lazy("Take the images from this exam"),
    "merge": gettext_lazy("Make one study of two"),
}


class ReasonForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("How do you know?"), max_length=200)


class UndoForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("Why is it undone?"), max_length=200)


@dataclass
class Choice:
    """What a person has chosen on the page of an exam's evidence."""

    act: str
    source: RequestedProcedure
    target: RequestedProcedure | None
    study: ImagingStudy | None
    series: list[ImagingSeries]
    steps: list[PerformedProcedureStep]
    studies: list[ImagingStudy]

    @property
    def hidden(self) -> list[tuple[str, Any]]:
        rows: list[tuple[str, Any]] = [("act", self.act)]
        rows += [("target", self.target.uuid)] if self.target else []
        rows += [("study", self.study.uuid)] if self.study else []
        rows += [("series", row.series_instance_uid) for row in self.series]
        return rows

    def effects(self) -> list[plan.Effect]:
        if self.act == "move" and self.target is not None:
            return plan.of_move(self.source, self.target, self.steps, self.studies)
        assert self.study is not None
        if self.act == "split":
            return plan.of_split(self.study, self.series, self.source, self.target)
        if self.act == "merge":
            return plan.of_merge(self.study, self.other)
        return plan.of_unlink(self.source, self.study)

    @property
    def other(self) -> ImagingStudy:
        """The study that the chosen one is merged into: the exam's oldest."""
        return next(row for row in self.studies if self.study is None or row.pk != self.study.pk)

    def do(self, *, reason: str, actor: Any) -> Reconciliation:
        if self.act == "move" and self.target is not None:
            return services.move_evidence(self.source, target=self.target, reason=reason, actor=actor)
        assert self.study is not None
        if self.act == "split":
            chosen = [row.series_instance_uid for row in self.series]
            return services.split_study(self.study, series=chosen, target=self.target, reason=reason, actor=actor)
        if self.act == "merge":
            return services.merge_studies(self.study, into=self.other, reason=reason, actor=actor)
        services.unlink_study(self.study, procedure=self.source, reason=reason, actor=actor)
        return self.study.reconciliations.order_by("-pk")[0]


def _choice(request: HttpRequest, source: RequestedProcedure) -> Choice:
    """Raises InvalidData in words for what is missing."""
    posted, act = request.POST, request.POST.get("act", "")
    steps, studies = evidence_of(source)
    target = exam_of(request, posted["target"]) if _is_uuid(posted.get("target", "")) else None
    named = posted.get("study", "")
    study = next((row for row in studies if str(row.uuid) == named), None)
    series: list[ImagingSeries] = []
    if act == "split":
        series = list(ImagingSeries.objects.filter(study__in=studies, series_instance_uid__in=posted.getlist("series")))
        study = series[0].study if series else None
    words = ""
    if act not in ACTS:
        words = _("Choose what is to be done.")
    elif act == "move" and target is None:
        words = _("Choose the exam that it really was.")
    elif act == "split" and (not series or any(row.study_id != series[0].study_id for row in series)):
        words = _("Choose series of one study.")
    elif act in ("unlink", "merge") and study is None:
        words = _("Choose the study.")
    elif act == "merge" and len(studies) < 2:
        words = _("There is only one study.")
    if words:
        raise InvalidData(words, todo=_("Choose, then go on."))
    return Choice(act, source, target, study, series, steps, studies)


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


@never_cache
@page(perms.RESOLVE_EXCEPTION)
def evidence(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _evidence(request, exam_of(request, uuid))


@never_cache
@require_POST
@page(perms.RESOLVE_EXCEPTION)
def evidence_search(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Whose it really is, by typing: a name, an identifier, an accession number."""
    return _evidence(request, exam_of(request, uuid), typed=request.POST.get("words", ""))


def _evidence(
    request: HttpRequest,
    source: RequestedProcedure,
    *,
    typed: str | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    actor = request.actor
    steps, studies = evidence_of(source)
    series = {row.pk: [] for row in studies}  # type: dict[int, list[ImagingSeries]]
    for row in ImagingSeries.objects.filter(study__in=studies):
        series[row.study_id].append(row)
    found = []
    if typed is not None:
        at = steps[0].started_at if steps else timezone.now()
        rows = search(Said(Sent(), source.modality, at), typed, actor=actor)
        found = [row.procedure for row in rows if row.procedure.pk != source.pk]
    acts = selectors.reconciliations_of(source, actor=actor)
    patients = sorted({source.audit_patient, *(row.audit_patient for row in found)})
    record_read(actor, perms.RESOLVE_EXCEPTION, entity=source, patients=patients)
    context = {
        "nav": "exceptions",
        "procedure": source,
        "patient": source.order.patient,
        "steps": steps,
        "studies": [(row, series[row.pk]) for row in studies],
        "found": found,
        "typed": typed or "",
        "is_search": typed is not None,
        "chosen_series": request.POST.getlist("series"),
        "acts": acts,
        "refusal": refusal,
    }
    return render(request, "worklist/evidence.html", context, status=status)


@never_cache
@require_POST
@page(perms.RESOLVE_EXCEPTION)
def evidence_confirm(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What will happen, before it does."""
    source = exam_of(request, uuid)
    try:
        choice = _choice(request, source)
    except InvalidData as refusal:
        return _evidence(request, source, refusal=refusal, status=422)
    return _confirm(request, choice)


def _confirm(
    request: HttpRequest, choice: Choice, *, form: Any = None, refusal: DomainError | None = None, status: int = 200
) -> HttpResponse:
    exams = [row for row in (choice.source, choice.target) if row is not None]
    record_read(
        request.actor,
        perms.RESOLVE_EXCEPTION,
        entity=choice.source,
        patients=sorted({row.audit_patient for row in exams}),
    )
    context = {
        "nav": "exceptions",
        "title": TITLES[choice.act],
        "source": choice.source,
        "target": choice.target,
        "effects": choice.effects(),
        "action": reverse("evidence_do", args=[choice.source.uuid]),
        "back": reverse("evidence", args=[choice.source.uuid]),
        "hidden": choice.hidden,
        "form": form or ReasonForm(),
        "refusal": refusal,
        "verb": TITLES[choice.act],
    }
    return render(request, "worklist/reconcile_confirm.html", context, status=status)


@require_POST
@page(perms.RESOLVE_EXCEPTION)
def evidence_do(request: HttpRequest, uuid: UUID) -> HttpResponse:
    source = exam_of(request, uuid)
    try:
        choice = _choice(request, source)
    except InvalidData as refusal:
        return _evidence(request, source, refusal=refusal, status=422)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return _confirm(request, choice, form=form, status=422)
    actor = request.actor
    try:
        act = choice.do(reason=form.cleaned_data["reason"], actor=actor)
    except DomainError as refusal:
        flush_refusals()
        return _confirm(request, choice, form=form, refusal=refusal, status=refusal.http_status)
    messages.success(request, _("Done. It can be undone below."))
    return HttpResponseRedirect(reverse("reconciliation_detail", args=[act.uuid]))


# --- one act, and its undoing


def _act(request: HttpRequest, uuid: UUID) -> Reconciliation:
    row = selectors.reconciliations(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such entry."), todo=_("Choose it from the list."))
    return row


@never_cache
@page(perms.RESOLVE_EXCEPTION)
def reconciliation_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _act_page(request, _act(request, uuid))


def _act_page(
    request: HttpRequest,
    act: Reconciliation,
    *,
    form: Any = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    exams = [row for row in (act.source, act.target) if row is not None]
    record_read(
        request.actor,
        perms.RESOLVE_EXCEPTION,
        entity=act,
        patients=sorted({row.audit_patient for row in exams}),
    )
    context = {
        "nav": "exceptions",
        "act": act,
        "effects": plan.of_undo(act) if act.undone_at is None else [],
        "form": form or UndoForm(),
        "refusal": refusal,
    }
    return render(request, "worklist/reconciliation.html", context, status=status)


@require_POST
@page(perms.RESOLVE_EXCEPTION)
def reconciliation_undo(request: HttpRequest, uuid: UUID) -> HttpResponse:
    act = _act(request, uuid)
    form = UndoForm(request.POST)
    if not form.is_valid():
        return _act_page(request, act, form=form, status=422)
    try:
        services.undo_reconciliation(act, reason=form.cleaned_data["reason"], actor=request.actor)
    except DomainError as refusal:
        flush_refusals()
        return _act_page(request, _act(request, uuid), form=form, refusal=refusal, status=refusal.http_status)
    messages.success(request, _("Undone."))
    return HttpResponseRedirect(reverse("reconciliation_detail", args=[act.uuid]))
