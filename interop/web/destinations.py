"""Destinations under /integrations/destinations/: make and change one, pause, test, send a range again."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_POST

from interop import permissions as perms
from interop.fhir import servers
from interop.hl7 import selectors, services
from interop.hl7.charsets import CODECS
from interop.hl7.outbound import reach
from interop.hl7.outbound import services as outbound
from interop.hl7.outbound.envelope import VERSIONS
from interop.models import AcknowledgementMode, Hl7Destination
from interop.models.messages import TestMessage
from ris.accounts.outbound import OutsideFailed
from ris.accounts.web import ActorRequest, page
from ris.core.errors import Conflict, InvalidData, NotKnown

KNOWN = "ORU, ORM, OMI, OMG, ORR, SIU, ADT, DFT"


class DestinationForm(forms.Form):
    """All that is chosen per destination."""

    name = forms.SlugField(label=gettext_lazy("Name"), max_length=64)
    host = forms.CharField(
        label=gettext_lazy("Host"),
        max_length=255,
        help_text=gettext_lazy("It must be among the hosts that this facility connects to."),
    )
    port = forms.IntegerField(label=gettext_lazy("Port"), min_value=1, max_value=65535)
    uses_tls = forms.BooleanField(label=gettext_lazy("TLS"), required=False)
    is_active = forms.BooleanField(label=gettext_lazy("Active"), required=False, initial=True)
    messages = forms.CharField(
        label=gettext_lazy("Messages"), max_length=200, help_text=gettext_lazy("For example ORU, SIU^S12; * for all.")
    )
    receiving_application = forms.CharField(label="MSH-5", max_length=64, required=False)
    receiving_facility = forms.CharField(label="MSH-6", max_length=64, required=False)
    hl7_version = forms.ChoiceField(label=gettext_lazy("HL7 version"), choices=[(v, v) for v in VERSIONS])
    character_set = forms.ChoiceField(
        label=gettext_lazy("Character set (MSH-18)"), choices=[(name, name) for name in CODECS]
    )
    acknowledgement_mode = forms.ChoiceField(label=gettext_lazy("Asks for"), choices=AcknowledgementMode.choices)
    test_message = forms.ChoiceField(label=gettext_lazy("The test says"), choices=TestMessage.choices, required=False)
    ack_timeout_seconds = forms.IntegerField(
        label=gettext_lazy("Waits for the answer (seconds)"), min_value=1, max_value=services.LONGEST_TIMEOUT
    )
    keeps_connection = forms.BooleanField(label=gettext_lazy("Keeps the connection open"), required=False)
    includes_pdf = forms.BooleanField(label=gettext_lazy("Reports with the PDF"), required=False)
    one_message_per_exam = forms.BooleanField(label=gettext_lazy("One report message per exam"), required=False)
    holds_behind_parked = forms.BooleanField(
        label=gettext_lazy("A parked message holds its patient's later ones"), required=False
    )
    alert_after_minutes = forms.IntegerField(
        label=gettext_lazy("Somebody is told after (minutes)"),
        min_value=0,
        max_value=services.LONGEST_PATIENCE,
        help_text=gettext_lazy("0: nobody."),
    )
    filters = forms.JSONField(
        label=gettext_lazy("Only for"),
        required=False,
        help_text=gettext_lazy('For example {"modality": ["CT", "MR"], "patient_class": ["I"]}. Empty: everything.'),
        widget=forms.Textarea(attrs={"rows": 3, "class": "form-control mono", "spellcheck": "false"}),
    )
    field_map = forms.JSONField(
        label=gettext_lazy("Field map"),
        required=False,
        help_text=gettext_lazy(
            'A list of rules, for example {"field": "PID-3.4", "from": "KLM", "to": "KILIMA"}, or with "set", "copy", '
            '"drop" in place of "from" and "to".'
        ),
        widget=forms.Textarea(attrs={"rows": 6, "class": "form-control mono", "spellcheck": "false"}),
    )
    order_states = forms.JSONField(
        label=gettext_lazy("ORC-1 and ORC-5, where they differ"),
        required=False,
        help_text=gettext_lazy('For example {"performed": "XO^CM", "arrived": ""}: nothing on arrival.'),
        widget=forms.Textarea(attrs={"rows": 3, "class": "form-control mono", "spellcheck": "false"}),
    )

    def clean_messages(self) -> list[str]:
        return self.cleaned_data["messages"].replace(",", " ").split()

    def values(self) -> dict[str, Any]:
        return {
            **self.cleaned_data,
            "filters": self.cleaned_data["filters"] or {},
            "field_map": self.cleaned_data["field_map"] or [],
            "order_states": self.cleaned_data["order_states"] or {},
        }


class _Pretty(json.JSONEncoder):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 1, "ensure_ascii": False})


for _name in ("filters", "field_map", "order_states"):
    DestinationForm.base_fields[_name].encoder = _Pretty


def _destination(uuid: UUID, request: ActorRequest) -> Hl7Destination:
    rows = selectors.destinations(actor=request.actor).filter(fhir_server__isnull=True)
    row = rows.filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such destination in this facility."))
    return row


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_INTERFACES)
def destination_edit(request: ActorRequest, uuid: UUID | None = None) -> HttpResponse:
    row = _destination(uuid, request) if uuid is not None else None
    shown = row or Hl7Destination()
    initial = {name: getattr(shown, name) for name in DestinationForm.base_fields if name != "messages"}
    form = DestinationForm(request.POST or None, initial={**initial, "messages": ", ".join(shown.messages)})
    if row is not None:
        form.fields["name"].disabled = True
    if request.method == "POST" and form.is_valid():
        if row is None and selectors.destinations(actor=request.actor).filter(name=form.cleaned_data["name"]).exists():
            form.add_error("name", _("There is a destination of this name."))
        elif _saved(form, request):
            messages.success(request, _("Saved."))
            return HttpResponseRedirect(f"{reverse('integrations')}?destination={form.cleaned_data['name']}")
    context = {"nav": "integrations", "form": form, "row": row, "known": KNOWN}
    return render(request, "interop/destination_edit.html", context)


def _saved(form: DestinationForm, request: ActorRequest) -> bool:
    try:
        services.add_destination(**form.values(), actor=request.actor)
    except InvalidData as refusal:
        for field, words in refusal.errors.items():
            form.add_error(field if field in form.fields else None, words)
        return False
    return True


@require_POST
@page(perms.MANAGE_INTERFACES)
def destination_action(request: ActorRequest, uuid: UUID, verb: str) -> HttpResponse:
    row = selectors.destinations(actor=request.actor).filter(uuid=uuid).first()
    if row is None or verb not in ("pause", "resume", "test"):
        raise NotKnown(_("There is no such destination in this facility."))
    if verb == "pause":
        services.pause_destination(row, reason=request.POST.get("reason", ""), actor=request.actor)
        messages.success(request, _("%(name)s is paused; its queue keeps its order.") % {"name": row.name})
    elif verb == "resume":
        services.resume_destination(row, actor=request.actor)
        messages.success(request, _("%(name)s sends again.") % {"name": row.name})
    else:
        _test(request, row)
    return HttpResponseRedirect(f"{reverse('integrations')}?destination={row.name}")


def _test(request: ActorRequest, row: Hl7Destination) -> None:
    """Whether somebody answers there, or at least listens."""
    try:
        asks = servers.probe if hasattr(row, "fhir_server") else reach.probe
        messages.success(request, asks(row.name))
    except OutsideFailed as failure:
        messages.error(request, failure.detail)


# --- a range again


class ReplayForm(forms.Form):
    destination = forms.ChoiceField(label=gettext_lazy("Destination"))
    since = forms.DateTimeField(
        label=gettext_lazy("Made from"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    until = forms.DateTimeField(
        label=gettext_lazy("until"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    kind = forms.CharField(
        label=gettext_lazy("Only of type"),
        max_length=20,
        required=False,
        help_text=gettext_lazy("For example ORU^R01."),
    )
    status = forms.ChoiceField(
        label=gettext_lazy("Which"),
        choices=[
            ("", gettext_lazy("Delivered and parked")),
            ("parked", gettext_lazy("Parked only")),
            ("acknowledged", gettext_lazy("Delivered only")),
        ],
        required=False,
    )
    reason = forms.CharField(label=gettext_lazy("Why"), max_length=300)


@require_http_methods(["GET", "POST"])
@page(perms.REPLAY_MESSAGE)
def replay(request: ActorRequest) -> HttpResponse:
    """First the number, then, confirmed, the sending; the number that was seen is the one that is sent."""
    rows = {row.name: row for row in selectors.destinations(actor=request.actor).filter(fhir_server__isnull=True)}
    now = timezone.localtime().replace(second=0, microsecond=0)
    start = {"since": now - timedelta(hours=1), "until": now + timedelta(minutes=1)}
    form = ReplayForm(request.POST or None, initial={**start, "destination": request.GET.get("destination", "")})
    form.fields["destination"].choices = [(name, name) for name in rows]
    count = None
    if request.method == "POST" and form.is_valid():
        asked = _asked(form, rows)
        try:
            count = outbound.range_to_replay(**asked).count()
            if "expected" in request.POST:
                return _replayed(request, form, asked)
        except InvalidData as refusal:
            for field, words in refusal.errors.items():
                form.add_error(field if field in form.fields else None, words)
    return render(request, "interop/replay.html", {"nav": "integrations", "form": form, "count": count})


def _asked(form: ReplayForm, rows: dict[str, Hl7Destination]) -> dict[str, Any]:
    data = form.cleaned_data
    return {
        "destination": rows[data["destination"]],
        "since": data["since"],
        "until": data["until"],
        "message_types": [data["kind"].upper()] if data["kind"] else [],
        "statuses": [data["status"]] if data["status"] else outbound.AGAIN,
    }


def _replayed(request: ActorRequest, form: ReplayForm, asked: dict[str, Any]) -> HttpResponse:
    expected = request.POST["expected"]
    if not expected.isascii() or not expected.isdecimal():
        raise Conflict(_("It is not the number that was confirmed."), todo=_("Look at the range again."))
    sent = outbound.replay_range(
        **asked, expected=int(expected), reason=form.cleaned_data["reason"], actor=request.actor
    )
    words = ngettext("%(count)d message is in the queue.", "%(count)d messages are in the queue.", sent)
    messages.success(request, words % {"count": sent})
    return HttpResponseRedirect(f"{reverse('integrations')}?destination={asked['destination'].name}")
