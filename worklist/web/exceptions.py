"""/exceptions/: what waits for a person, with candidates side by side."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import selectors as orders
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core.errors import DomainError, NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.data import Candidate
from worklist.models import ExceptionItem, ExceptionKind
from worklist.services.completeness import sent_of
from worklist.services.images import parse_date
from worklist.services.matching import Sent, candidates, differences
from worklist.web import forms

AT_MOST = 200
WORDS = {
    "identifier": gettext_lazy("Identifier"),
    "name": gettext_lazy("Name"),
    "name_part": gettext_lazy("Part of the name"),
    "birth_date": gettext_lazy("Date of birth"),
    "sex": gettext_lazy("Sex"),
    "modality": gettext_lazy("Modality"),
    "time": gettext_lazy("Time within a day"),
    "accession_number": gettext_lazy("Accession number"),
}


def _plain(name: str) -> str:
    """A PN for reading: FAMILY, Given Middle."""
    family, _caret, given = name.partition("=")[0].partition("^")
    return ", ".join(part for part in (family.upper().strip(), " ".join(given.replace("^", " ").split())) if part)


@never_cache
@page(perms.RESOLVE_EXCEPTION)
def exception_list(request: HttpRequest) -> HttpResponse:
    box = "done" if request.GET.get("box") == "done" else "open"
    kind = request.GET.get("kind", "")
    rows = selectors.exceptions(actor=request.actor).filter(resolved_at__isnull=box == "open")  # type: ignore[attr-defined]
    if kind in ExceptionKind.values:
        rows = rows.filter(kind=kind)
    shown = list(rows.order_by("-pk")[:AT_MOST])
    for row in shown:
        row.sent_name = _plain(_evidence(row)[0].name)
    patients = sorted({row.audit_patient for row in shown if row.audit_patient})
    record_read(request.actor, perms.RESOLVE_EXCEPTION, patients=patients, detail={"rows": len(shown)})  # type: ignore[attr-defined]
    context = {
        "nav": "exceptions",
        "rows": shown,
        "box": box,
        "boxes": [(pgettext("state", "Open"), "?", box == "open"), (_("Resolved"), "?box=done", box == "done")],
        "kinds": ExceptionKind.choices,
    }
    return render(request, "worklist/exceptions.html", context)


def _item(request: HttpRequest, uuid: UUID) -> ExceptionItem:
    row = selectors.exceptions(actor=request.actor).filter(uuid=uuid).first()  # type: ignore[attr-defined]
    if row is None:
        raise NotKnown(_("There is no such exception."), todo=_("Choose it from the list."))
    return row


@never_cache
@page(perms.RESOLVE_EXCEPTION)
def exception_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _page(request, _item(request, uuid))


def _evidence(item: ExceptionItem) -> tuple[Sent, str, datetime, str]:
    """Who it says it is, with which modality, when, under which accession number."""
    if item.study is not None:
        study = item.study
        modality = next((value for value in study.modalities.split("\\") if value not in ("", "SR", "PR", "KO")), "")
        return sent_of(study), modality, study.first_received_at, study.accession_number
    if item.performed_step is not None:
        step = item.performed_step
        sent = Sent(step.patient_id, "", step.patient_name, step.patient_birth_date, step.patient_sex)
        return sent, step.modality, step.started_at, step.accession_number
    return Sent(), "", item.created_at, ""


def _page(
    request: HttpRequest,
    item: ExceptionItem,
    *,
    refusal: DomainError | None = None,
    resolve_form: Any = None,
    status: int = 200,
) -> HttpResponse:
    actor = request.actor  # type: ignore[attr-defined]
    sent, modality, moment, accession_number = _evidence(item)
    may_link = item.resolved_at is None and (item.study is not None or item.performed_step is not None)
    found = (
        candidates(sent, modality=modality, at=moment, accession_number=accession_number, actor=actor)
        if may_link
        else []
    )
    chosen = request.GET.get("accession", "").strip()
    if may_link and chosen:
        rows = orders.procedures(actor=actor).filter(accession_number=chosen)
        known = {row.procedure.pk for row in found}
        found += [_looked_up(row, sent) for row in rows if row.pk not in known]
    patients = sorted({row.procedure.audit_patient for row in found})
    record_read(actor, perms.RESOLVE_EXCEPTION, entity=item, patients=patients, detail={"candidates": len(found)})
    context = {
        "nav": "exceptions",
        "item": item,
        "sent": sent,
        "sent_name": _plain(sent.name),
        "sent_birth_date": parse_date(sent.birth_date),
        "modality": modality,
        "moment": moment,
        "accession_number": accession_number,
        "differs": [WORDS.get(key, key) for key in item.detail.get("differs", ())],
        "candidates": [
            {
                "procedure": row.procedure,
                "patient": row.procedure.order.patient,
                "percent": round(row.score * 100),
                "reasons": [WORDS.get(key, key) for key in row.reasons],
                "differs": [WORDS.get(key, key) for key in row.differs],
                "is_clear": not row.differs,
            }
            for row in found
        ],
        "may_link": may_link,
        "refusal": refusal,
        "resolve_form": resolve_form or forms.ResolveForm(),
        "chosen": chosen,
        "today": timezone.localdate(),
    }
    return render(request, "worklist/exception.html", context, status=status)


def _looked_up(procedure: Any, sent: Sent) -> Any:
    return Candidate(procedure, 0.0, (), tuple(differences(procedure.order.patient, sent)))


@require_POST
@page(perms.RESOLVE_EXCEPTION)
def exception_link(request: HttpRequest, uuid: UUID) -> HttpResponse:
    item = _item(request, uuid)
    form = forms.LinkForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Say how you know that it belongs there."))
        return HttpResponseRedirect(reverse("exception_detail", args=[item.uuid]))
    procedure = orders.procedures(actor=request.actor).filter(uuid=form.cleaned_data["procedure"]).first()  # type: ignore[attr-defined]
    if procedure is None:
        raise NotKnown(_("There is no such exam."))
    try:
        services.link_exception(item, procedure=procedure, reason=form.cleaned_data["reason"], actor=request.actor)  # type: ignore[attr-defined]
    except DomainError as refusal:
        flush_refusals()
        return _page(request, _item(request, uuid), refusal=refusal, status=refusal.http_status)
    messages.success(request, _("Linked."))
    return HttpResponseRedirect(reverse("exception_list"))


@require_POST
@page(perms.RESOLVE_EXCEPTION)
def exception_resolve(request: HttpRequest, uuid: UUID) -> HttpResponse:
    item = _item(request, uuid)
    form = forms.ResolveForm(request.POST)
    if not form.is_valid():
        return _page(request, item, resolve_form=form, status=422)
    try:
        services.resolve_exception(item, resolution=form.cleaned_data["resolution"], actor=request.actor)  # type: ignore[attr-defined]
    except DomainError as refusal:
        flush_refusals()
        return _page(request, _item(request, uuid), refusal=refusal, resolve_form=form, status=refusal.http_status)
    messages.success(request, _("Resolved."))
    return HttpResponseRedirect(reverse("exception_list"))
