"""/dose/names/: standard exams, the rules that lead to them, what no rule names, and what is no patient."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from dose import names, services
from dose import permissions as perms
from dose.models import ExamRule, MatchField, MatchKind, NotPatientField, StandardExam
from orders.models import Modality
from ris.accounts.web import ActorRequest, page
from ris.core.errors import NotKnown

SHOWN = 100


@require_GET
@page(perms.VIEW_DOSE)
def dose_names(request: ActorRequest) -> HttpResponse:
    actor = request.actor
    found = names.mapping(actor=actor)
    text, modality = request.GET.get("text", "")[:128], request.GET.get("modality", "")
    modality = modality if modality in Modality.values else ""
    rule, not_patients = names.tried(text, modality, actor=actor) if text else (None, [])
    rules = list(names.exam_rules(actor=actor))
    for row in rules:
        row.reached = found.reached.get(row.pk, 0)
    total = found.named_count + found.unnamed_count
    context: dict[str, Any] = {
        "nav": "dose",
        "here": "names",
        "found": found,
        "unnamed": found.unnamed[:SHOWN],
        "share": 100 * found.named_count / total if total else None,
        "waiting": names.reports_to_name(actor=actor),
        "rules": rules,
        "exams": list(names.standard_exams(actor=actor)),
        "not_patient_rules": list(names.not_patient_rules(actor=actor)),
        "text": text,
        "modality": modality,
        "tried_rule": rule,
        "tried_not_patient": not_patients,
        "modalities": Modality.choices,
        "fields": MatchField.choices,
        "kinds": MatchKind.choices,
        "patient_fields": NotPatientField.choices,
        "field_words": dict(MatchField.choices),
        "may_manage": actor.may(perms.MANAGE_NAMES),
    }
    return render(request, "dose/names.html", context)


def _back(part: str = "") -> HttpResponse:
    return HttpResponseRedirect(reverse("dose_names") + part)


def _exam(request: ActorRequest) -> StandardExam:
    code = request.POST.get("exam", "")
    found = names.standard_exams(actor=request.actor).filter(code=code).first()
    if found is None:
        raise NotKnown(_("There is no such standard exam in this facility."))
    return found


def _rule(request: ActorRequest, uuid: UUID) -> ExamRule:
    found = names.exam_rules(actor=request.actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such rule in this facility."))
    return found


@require_POST
@page(perms.MANAGE_NAMES)
def dose_rule_add(request: ActorRequest) -> HttpResponse:
    """``name``: "field|text" of an unnamed report, which is what the rule then looks for; else field and text."""
    asked = request.POST
    field, _bar, pattern = asked.get("name", "").partition("|")
    match = MatchKind.EQUALS.value if pattern else asked.get("match", MatchKind.CONTAINS)
    position = asked.get("position", "")
    services.save_rule(
        field=field or asked.get("field", ""),
        match=match,
        pattern=pattern or asked.get("pattern", ""),
        modality=asked.get("modality", ""),
        also_field=asked.get("also_field", ""),
        also_pattern=asked.get("also_pattern", ""),
        position=int(position) if position.isdecimal() and len(position) < 7 else None,
        exam=_exam(request),
        actor=request.actor,
    )
    marked = services.reapply_rules(actor=request.actor)
    messages.success(request, _("The rule is kept; %(count)d reports are named by it.") % {"count": marked})
    return _back("#unnamed" if pattern else "#rules")


@require_POST
@page(perms.MANAGE_NAMES)
def dose_rule_change(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Up before another one, or out of use and back."""
    rule = _rule(request, uuid)
    if "before" in request.POST:
        rows = list(names.exam_rules(actor=request.actor))
        place = next(index for index, row in enumerate(rows) if row.pk == rule.pk)
        if place:
            services.move_rule(rule, before=rows[place - 1], actor=request.actor)
    else:
        services.save_rule(rule, is_active=request.POST.get("is_active") == "1", actor=request.actor)
    return _back("#rules")


@require_POST
@page(perms.MANAGE_NAMES)
def dose_exam_add(request: ActorRequest) -> HttpResponse:
    asked = request.POST
    services.save_standard_exam(
        actor=request.actor,
        **{name: asked.get(name, "") for name in ("code", "name", "modality", "body_region", "indication")},
    )
    messages.success(request, _("The exam is kept."))
    return _back("#exams")


@require_POST
@page(perms.MANAGE_NAMES)
def dose_not_patient_add(request: ActorRequest) -> HttpResponse:
    asked = request.POST
    services.save_not_patient_rule(
        field=asked.get("field", ""),
        match=asked.get("match", ""),
        pattern=asked.get("pattern", ""),
        actor=request.actor,
    )
    marked = services.reapply_rules(actor=request.actor)
    messages.success(request, _("The rule is kept; %(count)d reports are looked at again.") % {"count": marked})
    return _back("#patients")


@require_POST
@page(perms.MANAGE_NAMES)
def dose_not_patient_change(request: ActorRequest, uuid: UUID) -> HttpResponse:
    rule = names.not_patient_rules(actor=request.actor).filter(uuid=uuid).first()
    if rule is None:
        raise NotKnown(_("There is no such rule in this facility."))
    services.save_not_patient_rule(rule, is_active=request.POST.get("is_active") == "1", actor=request.actor)
    services.reapply_rules(actor=request.actor)
    return _back("#patients")


@require_POST
@page(perms.MANAGE_NAMES)
def dose_names_apply(request: ActorRequest) -> HttpResponse:
    """The rules of today for the reports of yesterday."""
    marked = services.reapply_rules(actor=request.actor)
    messages.success(request, _("%(count)d reports are named anew.") % {"count": marked})
    return _back()
