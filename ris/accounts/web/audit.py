"""/audit/: who did what to whose data. It shows identifiers and codes; the audit holds no patient's name."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from ris.accounts.web import page
from ris.audit.export import ndjson
from ris.audit.models import Action, AuditSeal, Outcome
from ris.audit.selectors import events_for, search_events
from ris.audit.service import record

PER_PAGE, KEPT_SEARCHES = 100, 10
#: What may stand in an address: codes and opaque UUIDs.
IN_ADDRESS = ("event_type", "patient", "entity", "outcome", "source", "action", "since", "until")


class AuditSearchForm(forms.Form):
    user_name = forms.CharField(label=_("Who (user name or AE title)"), max_length=150, required=False)
    patient = forms.UUIDField(label=_("Patient (UUID)"), required=False)
    accession_number = forms.CharField(label=_("Accession number"), max_length=16, required=False)
    event_type = forms.CharField(label=_("What (beginning of the code)"), max_length=100, required=False)
    action = forms.ChoiceField(label=_("Action"), choices=[("", _("Any")), *Action.choices], required=False)
    outcome = forms.TypedChoiceField(
        label=_("Outcome"), choices=[("", _("Any")), *Outcome.choices], coerce=int, empty_value="", required=False
    )
    source = forms.CharField(label=_("Door"), max_length=20, required=False)
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("Until"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    entity = forms.UUIDField(label=_("Object (UUID)"), required=False)
    correlation_id = forms.CharField(label=_("Correlation id"), max_length=64, required=False)


@page("audit.view_event")
@never_cache
def audit_search(request: HttpRequest) -> HttpResponse:
    """A search is posted and kept in the session; the address holds a token, or codes that a link chose."""
    if request.method == "POST":
        return HttpResponseRedirect(f"{reverse('audit')}?s={_keep(request)}")
    form = AuditSearchForm(_asked(request))
    filters = {name: value for name, value in form.cleaned_data.items() if value} if form.is_valid() else {}
    if form.is_valid() and form.cleaned_data.get("outcome") == Outcome.SUCCESS:
        filters["outcome"] = Outcome.SUCCESS
    events = search_events(filters, actor=request.actor)
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        events = events.filter(pk__lt=int(before))
    rows = list(events[: PER_PAGE + 1])
    more = len(rows) > PER_PAGE
    rows = rows[:PER_PAGE]
    record(request.actor, "audit.view_event", Action.READ, patients=_looked_for(filters), detail=_told(filters, rows))
    query = request.GET.copy()
    query.pop("before", None)
    context = {
        "form": form,
        "rows": rows,
        "older": rows[-1].pk if more else None,
        "query": query.urlencode(),
        "filtered": bool(filters),
        "last_seal": AuditSeal.objects.first(),
        "may_export": request.actor.may("audit.export_events"),
    }
    return render(request, "audit/search.html", context)


@page("audit.view_event")
def audit_event(request: HttpRequest, uuid: str) -> HttpResponse:
    """One row in full."""
    event = events_for(request.actor).filter(uuid=uuid).first()
    if event is None:
        return HttpResponseRedirect(reverse("audit"))
    record(request.actor, "audit.view_event", Action.READ, entity=event)
    return render(request, "audit/event.html", {"event": event})


@require_POST
@page("audit.export_events")
def audit_export(request: HttpRequest) -> StreamingHttpResponse:
    """What the search found, as FHIR R4 AuditEvent, newline-delimited."""
    form = AuditSearchForm(_asked(request))
    filters = {name: value for name, value in form.cleaned_data.items() if value} if form.is_valid() else {}
    events = search_events(filters, actor=request.actor)
    record(request.actor, "audit.export_events", Action.READ, detail=_told(filters, events.count()))
    response = StreamingHttpResponse(ndjson(events), content_type="application/fhir+ndjson")
    stamp = timezone.localtime().strftime("%Y%m%d-%H%M")
    response["Content-Disposition"] = f'attachment; filename="audit-{stamp}.ndjson"'
    return response


def _keep(request: HttpRequest) -> str:
    """Remember the search under an opaque token."""
    asked = {name: request.POST.get(name, "").strip()[:150] for name in AuditSearchForm.base_fields}
    token = secrets.token_urlsafe(8)
    kept = dict(list(request.session.get("audit_searches", {}).items())[1 - KEPT_SEARCHES :])
    request.session["audit_searches"] = {**kept, token: {name: value for name, value in asked.items() if value}}
    return token


def _asked(request: HttpRequest) -> dict[str, Any]:
    token = request.GET.get("s", "")
    kept = request.session.get("audit_searches", {}).get(token)
    if kept is not None:
        return kept
    return {name: request.GET[name] for name in IN_ADDRESS if request.GET.get(name)}


def _looked_for(filters: dict[str, Any]) -> list[Any]:
    return [filters["patient"]] if filters.get("patient") else []


def _told(filters: dict[str, Any], rows: Any) -> dict[str, Any]:
    """For the audit's own row: which filters were set, not always to what."""
    return {"filters": sorted(filters), "rows": rows if isinstance(rows, int) else len(rows)}
