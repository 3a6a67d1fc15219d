"""/exceptions/: what waits for a person. What the scanner said stands beside what the order says."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import selectors as orders
from orders.models import ProcedureStatus, RequestedProcedure
from orders.permissions import CREATE_ORDER
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core.errors import DomainError, NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.codes import WORDS_OF_DISCONTINUATION
from worklist.data import Candidate
from worklist.models import ExceptionItem, ExceptionKind
from worklist.services import reconciliation_plan as plan
from worklist.services.exception_orders import may_be_ordered
from worklist.services.exceptions import evidence_of_item
from worklist.services.reconciliation_scoring import Said, candidates, facts_about, plain_name, score, search
from worklist.web import forms

AT_MOST = 200


@never_cache
@page(perms.RESOLVE_EXCEPTION)
def exception_list(request: HttpRequest) -> HttpResponse:
    box = request.GET.get("box", "")
    box = box if box in ("done", "acts") else "open"
    context: dict[str, Any] = {
        "nav": "exceptions",
        "box": box,
        "boxes": [
            (pgettext("state", "Open"), "?", box == "open"),
            (_("Resolved"), "?box=done", box == "done"),
            (_("Reconciled"), "?box=acts", box == "acts"),
        ],
        "kinds": ExceptionKind.choices,
    }
    actor = request.actor
    if box == "acts":
        context["acts"] = list(selectors.reconciliations(actor=actor)[:AT_MOST])
        patients = sorted({row.audit_patient for row in context["acts"] if row.audit_patient})
    else:
        context["rows"] = list(_rows(request, box))
        patients = sorted({row.audit_patient for row in context["rows"] if row.audit_patient})
    record_read(actor, perms.RESOLVE_EXCEPTION, patients=patients, detail={"box": box})
    return render(request, "worklist/exceptions.html", context)


def _rows(request: HttpRequest, box: str) -> QuerySet[ExceptionItem]:
    rows = selectors.exceptions(actor=request.actor).filter(resolved_at__isnull=box == "open")
    if (kind := request.GET.get("kind", "")) in ExceptionKind.values:
        rows = rows.filter(kind=kind)
    rows = rows.order_by("-pk")[:AT_MOST]
    for row in rows:
        thing = row.study or row.performed_step
        row.sent_name = plain_name(thing.patient_name) if thing else ""
        row.reason = _reason(row)
    return rows


def _reason(row: ExceptionItem) -> Any:
    """Why a step was discontinued: in the reader's words where the code is of CID 9300 or 9301."""
    code, step = row.detail.get("code"), row.performed_step
    return WORDS_OF_DISCONTINUATION.get(code) or (step.discontinuation_meaning if step else "") or code


def exception_of(request: HttpRequest, uuid: UUID) -> ExceptionItem:
    row = selectors.exceptions(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such exception."), todo=_("Choose it from the list."))
    return row


def exam_of(request: HttpRequest, uuid: Any) -> RequestedProcedure:
    procedure = orders.procedures(actor=request.actor).filter(uuid=uuid).first()
    if procedure is None:
        raise NotKnown(_("There is no such exam."), todo=_("Choose one from the list."))
    return procedure


@never_cache
@page(perms.RESOLVE_EXCEPTION)
def exception_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _page(request, exception_of(request, uuid))


@never_cache
@require_POST
@page(perms.RESOLVE_EXCEPTION)
def exception_search(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Other candidates by typing: a name, an identifier, an accession number. Never in an address."""
    return _page(request, exception_of(request, uuid), typed=request.POST.get("words", ""))


def _page(
    request: HttpRequest,
    item: ExceptionItem,
    *,
    typed: str | None = None,
    refusal: DomainError | None = None,
    resolve_form: Any = None,
    status: int = 200,
) -> HttpResponse:
    actor = request.actor
    thing = item.study or item.performed_step
    said = Said.of(thing) if thing is not None else None
    may_link = item.resolved_at is None and said is not None
    found: list[Candidate] = []
    if may_link and said is not None:
        found = candidates(said, actor=actor) if typed is None else search(said, typed, actor=actor)
    chosen = _chosen(request, said, found, item) if may_link and said is not None else None
    patients = sorted({row.procedure.audit_patient for row in (*found, *([chosen] if chosen else ()))})
    record_read(actor, perms.RESOLVE_EXCEPTION, entity=item, patients=patients, detail={"candidates": len(found)})
    procedure = item.procedure
    context = {
        "nav": "exceptions",
        "item": item,
        "said": said,
        "sent_name": plain_name(said.sent.name) if said else "",
        "named": facts_about(said, procedure) if said and procedure else (),
        "candidates": found,
        "chosen": chosen,
        "typed": typed or "",
        "is_search": typed is not None,
        "may_link": may_link,
        "may_limit": item.kind == ExceptionKind.DISCONTINUED
        and procedure is not None
        and procedure.status == ProcedureStatus.DISCONTINUED
        and procedure.studies.filter(instance_count__gt=0).exists(),
        "may_order": may_link and actor.may(CREATE_ORDER) and may_be_ordered(item),
        "refusal": refusal,
        "resolve_form": resolve_form or forms.ResolveForm(),
    }
    return render(request, "worklist/exception.html", context, status=status)


def _chosen(request: HttpRequest, said: Said, found: list[Candidate], item: ExceptionItem) -> Candidate | None:
    """The one in the address, else the best of the list."""
    wanted = request.GET.get("exam", "")
    if not wanted:
        return found[0] if found else None
    known = next((row for row in found if str(row.procedure.uuid) == wanted), None)
    return known or score(said, exam_of(request, _uuid(wanted)))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotKnown(_("There is no such exam."), todo=_("Choose one from the list.")) from None


@never_cache
@page(perms.RESOLVE_EXCEPTION)
def exception_confirm(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What linking will do, before it is done."""
    return _confirm(request, exception_of(request, uuid), exam_of(request, _uuid(request.GET.get("exam", ""))))


def _confirm(
    request: HttpRequest, item: ExceptionItem, target: RequestedProcedure, *, form: Any = None, status: int = 200
) -> HttpResponse:
    steps, studies = evidence_of_item(item)
    wrong = item.procedure if item.kind == ExceptionKind.WRONG_ENTRY else None
    thing = item.study or item.performed_step
    match = score(Said.of(thing), target) if thing is not None else None
    is_moved = wrong is not None and wrong.pk != target.pk
    effects = (
        plan.of_move(wrong, target, steps, studies) if is_moved and wrong else plan.of_link(target, steps, studies)
    )
    record_read(request.actor, perms.RESOLVE_EXCEPTION, entity=target)
    context = {
        "nav": "exceptions",
        "title": _("Link to this exam"),
        "target": target,
        "match": match,
        "effects": effects,
        "action": reverse("exception_link", args=[item.uuid]),
        "back": f"{reverse('exception_detail', args=[item.uuid])}?exam={target.uuid}",
        "hidden": [("procedure", target.uuid)],
        "form": form or forms.LinkForm(initial={"procedure": target.uuid}),
        "verb": _("Link"),
    }
    return render(request, "worklist/reconcile_confirm.html", context, status=status)


@require_POST
@page(perms.RESOLVE_EXCEPTION)
def exception_link(request: HttpRequest, uuid: UUID) -> HttpResponse:
    item = exception_of(request, uuid)
    form = forms.LinkForm(request.POST)
    procedure = exam_of(request, _uuid(request.POST.get("procedure", "")))
    if not form.is_valid():
        return _confirm(request, item, procedure, form=form, status=422)
    try:
        services.link_exception(item, procedure=procedure, reason=form.cleaned_data["reason"], actor=request.actor)
    except DomainError as refusal:
        flush_refusals()
        return _page(request, exception_of(request, uuid), refusal=refusal, status=refusal.http_status)
    act = selectors.reconciliations(actor=request.actor).filter(target=procedure).first()
    messages.success(request, _("Linked."))
    return HttpResponseRedirect(reverse("reconciliation_detail", args=[act.uuid]) if act else reverse("exception_list"))


@require_POST
@page(perms.RESOLVE_EXCEPTION)
def exception_resolve(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Settled with a sentence; a discontinued exam with images may go to be read instead."""
    item = exception_of(request, uuid)
    form = forms.ResolveForm(request.POST)
    if not form.is_valid():
        return _page(request, item, resolve_form=form, status=422)
    words = form.cleaned_data["resolution"]
    try:
        if request.POST.get("limited"):
            services.read_limited_study(item, reason=words, actor=request.actor)
        else:
            services.resolve_exception(item, resolution=words, actor=request.actor)
    except DomainError as refusal:
        flush_refusals()
        return _page(
            request, exception_of(request, uuid), refusal=refusal, resolve_form=form, status=refusal.http_status
        )
    messages.success(request, _("Resolved."))
    return HttpResponseRedirect(reverse("exception_list"))
