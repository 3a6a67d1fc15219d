"""What is done with exams on the reading list without opening them: claimed, assigned, sent back, many at once."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_POST

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting import services
from reporting.models import ReadingGroup, ReturnReason
from reporting.services.reading_assign import AT_ONCE
from reporting.services.reading_rules import candidates, group_for
from reporting.web.reading import back_to_list, chosen
from ris.accounts.models import User
from ris.accounts.selectors import users_with_role
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown
from ris.core.permissions import READERS


def exam_of(request: ActorRequest, uuid: UUID) -> RequestedProcedure:
    rows = RequestedProcedure.objects.visible_to(request.actor).for_display()
    found = rows.select_related("reading_item__group", "reading_item__assigned_to").filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such exam in this facility."))
    return found


@require_POST
@page(perms.CLAIM_PROCEDURE)
def reading_claim(request: ActorRequest, uuid: UUID) -> HttpResponse:
    procedure = services.claim_exam(exam_of(request, uuid), actor=request.actor)
    messages.success(request, _("%(number)s is yours to read.") % {"number": procedure.accession_number})
    return back_to_list(request)


@require_POST
@page(perms.CLAIM_PROCEDURE)
def reading_release(request: ActorRequest, uuid: UUID) -> HttpResponse:
    procedure = services.release_exam(exam_of(request, uuid), actor=request.actor)
    messages.success(request, _("%(number)s is free again.") % {"number": procedure.accession_number})
    return back_to_list(request)


@require_POST
@page(perms.CLAIM_PROCEDURE)
def reading_ask(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.ask_to_release(exam_of(request, uuid), actor=request.actor)
    messages.success(request, _("They are told that you wait for this exam."))
    return back_to_list(request)


def _whom(value: str) -> tuple[User | None, ReadingGroup | None]:
    """``user:<uuid>``, ``group:<code>``, or nothing for nobody."""
    kind, _colon, key = value.partition(":")
    if kind == "group":
        group = ReadingGroup.objects.filter(code=key, is_active=True).first()
        if group is not None:
            return None, group
    elif kind == "user":
        people = {str(row.uuid): row for row in users_with_role(*READERS)}
        if key in people:
            return people[key], None
    elif not value:
        return None, None
    raise InvalidData(_("There is no such reader or group."), errors={"to": _("Choose one of the list.")})


@require_http_methods(["GET", "POST"])
@page(perms.ASSIGN_READING)
def reading_assign(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Who could read it, with what speaks against it; a press gives it to them."""
    procedure = exam_of(request, uuid)
    if request.method == "POST":
        to, group = _whom(request.POST.get("to", ""))
        services.assign_exam(procedure, to=to, group=group, actor=request.actor)
        who = to.display_name if to else group.name if group else _("nobody")
        values = {"number": procedure.accession_number, "who": who}
        messages.success(request, _("%(number)s is assigned to %(who)s.") % values)
        return back_to_list(request)
    record_read(request.actor, perms.ASSIGN_READING, entity=procedure)
    place = getattr(procedure, "reading_item", None)
    group = place.group if place is not None else group_for(procedure)
    context = {
        "nav": "reading",
        "procedure": procedure,
        "patient": procedure.order.patient,
        "place": place,
        "group": group,
        "groups": ReadingGroup.objects.filter(is_active=True),
        "candidates": candidates(procedure, group=group),
        "query": request.GET.get("from", ""),
    }
    return render(request, "reporting/reading_assign.html", context)


class SendBackForm(forms.Form):
    reason = forms.ChoiceField(label=gettext_lazy("Reason"), choices=ReturnReason.choices)
    text = forms.CharField(
        label=gettext_lazy("What is to be done"), max_length=400, widget=forms.Textarea(attrs={"rows": 3})
    )


@require_http_methods(["GET", "POST"])
@page(perms.SEND_BACK)
def reading_send_back(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The technologist has to do something first."""
    procedure = exam_of(request, uuid)
    form = SendBackForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        services.send_back(procedure, **form.cleaned_data, actor=request.actor)
        words = _("%(number)s is back at the technologist. It returns to the list when it is completed anew.")
        messages.success(request, words % {"number": procedure.accession_number})
        return back_to_list(request)
    record_read(request.actor, perms.SEND_BACK, entity=procedure)
    context = {
        "nav": "reading",
        "procedure": procedure,
        "patient": procedure.order.patient,
        "form": form,
        "query": request.POST.get("query", request.GET.get("from", "")),
    }
    return render(request, "reporting/reading_send_back.html", context, status=400 if form.errors else 200)


@require_POST
@page(perms.CLAIM_PROCEDURE)
def reading_batch(request: ActorRequest) -> HttpResponse:
    """The chosen exams at once; what is refused of one is said of that one."""
    verb, _colon, value = request.POST.get("do", "").partition("=")
    to, group = _whom(request.POST.get("to", "")) if verb == "assign" else (None, None)
    procedures = chosen(request, at_most=AT_ONCE)
    if verb == "priority":
        value = value or request.POST.get("priority", "")
    outcomes = services.batch(procedures, verb=verb, to=to, group=group, priority=value, actor=request.actor)
    done = sum(row.is_done for row in outcomes)
    if done == len(outcomes):
        messages.success(request, ngettext("%(n)d exam done.", "%(n)d exams done.", done) % {"n": done})
        return back_to_list(request)
    context = {"nav": "reading", "outcomes": outcomes, "done": done, "query": request.POST.get("query", "")}
    return render(request, "reporting/reading_outcomes.html", context, status=409)
