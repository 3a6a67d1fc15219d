"""One message under /integrations/messages/, and what can be done with it: open, send again, park, skip, edit."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from interop import permissions as perms
from interop.hl7 import selectors, services
from interop.hl7.outbound import services as outbound
from interop.models import InboundMessage, OutboundMessage
from interop.web.monitor import LOOK
from interop.web.pane import Row, pane_of, readable
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown

PURPOSES = (
    ("fault", gettext_lazy("To find a fault")),
    ("partner", gettext_lazy("A question of the partner")),
    ("patient", gettext_lazy("A question about the patient")),
    ("test", gettext_lazy("To test the connection")),
)


def _detail(request: ActorRequest, row: Row, *, opened: bool, purpose: str = "") -> HttpResponse:
    pane = pane_of(request, row, opened=opened, purpose=purpose)
    context = {"nav": "integrations", "pane": pane, "purposes": PURPOSES, "row": row, "is_out": pane["is_out"]}
    return render(request, "interop/message_detail.html", context)


@require_GET
@page(LOOK)
def message_detail(request: ActorRequest, uuid: UUID) -> HttpResponse:
    return _detail(request, selectors.message(uuid, actor=request.actor), opened=False)


@require_POST
@never_cache
@page(perms.VIEW_MESSAGE)
def message_open(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The content, unmasked; who looked, and what for, is recorded."""
    purpose = request.POST.get("purpose", "") or PURPOSES[0][0]
    if purpose not in dict(PURPOSES):
        raise InvalidData(_("Say what the message is opened for."), errors={"purpose": [_("Choose one of the list.")]})
    row = services.open_message(selectors.message(uuid, actor=request.actor), actor=request.actor)
    return _detail(request, row, opened=True, purpose=purpose)


@require_POST
@page(perms.REPLAY_MESSAGE)
def message_action(request: ActorRequest, uuid: UUID, verb: str) -> HttpResponse:
    row = selectors.message(uuid, actor=request.actor)
    if isinstance(row, OutboundMessage) and verb in _OUT:
        row = _OUT[verb](request, row)
    elif isinstance(row, InboundMessage) and verb == "process-again":
        row = services.process_again(row, actor=request.actor)
        words = row.error or row.get_status_display()
        messages.success(request, _("Processed again: %(words)s") % {"words": words})
    else:
        raise NotKnown(_("There is no such action for this message."))
    return HttpResponseRedirect(reverse("message_detail", args=[row.uuid]))


def _send_again(request: ActorRequest, row: OutboundMessage) -> OutboundMessage:
    row = services.send_again(row, actor=request.actor)
    messages.success(request, _("It is in the queue."))
    return row


def _from_here(request: ActorRequest, row: OutboundMessage) -> OutboundMessage:
    count = outbound.send_from_here(row, actor=request.actor)
    words = ngettext("%(count)d message is in the queue.", "%(count)d messages are in the queue.", count)
    messages.success(request, words % {"count": count})
    return row


def _park(request: ActorRequest, row: OutboundMessage) -> OutboundMessage:
    row = services.park(row, reason=request.POST.get("reason", ""), actor=request.actor)
    if row.destination.holds_behind_parked:
        messages.success(request, _("Parked: what is behind it of the same patient waits as well."))
    else:
        messages.success(request, _("Parked: what waited behind it goes on."))
    return row


def _skip(request: ActorRequest, row: OutboundMessage) -> OutboundMessage:
    row = services.skip(row, reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("Skipped."))
    return row


_OUT = {"send-again": _send_again, "from-here": _from_here, "park": _park, "skip": _skip}


# --- editing


class EditForm(forms.Form):
    text = forms.CharField(
        label=gettext_lazy("Message, one segment a line"),
        widget=forms.Textarea(attrs={"rows": 16, "class": "form-control mono", "spellcheck": "false", "wrap": "off"}),
        strip=False,
    )
    reason = forms.CharField(label=gettext_lazy("Why it is edited"), max_length=300)


@require_http_methods(["GET", "POST"])
@never_cache
@page(perms.EDIT_MESSAGE)
def message_edit(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The text of a message, to be corrected and sent. Looking at it is opening it."""
    row = selectors.message(uuid, actor=request.actor)
    if not isinstance(row, OutboundMessage) or row.protocol != "hl7":
        raise NotKnown(_("There is no such action for this message."))
    row = services.open_message(row, actor=request.actor)
    record_read(request.actor, perms.VIEW_MESSAGE, entity=row, detail={"opened": True, "purpose": "edit"})
    form = EditForm(request.POST or None, initial={"text": readable(bytes(row.body))})
    if request.method == "POST" and form.is_valid():
        try:
            sent = outbound.edit_and_send(row, **form.cleaned_data, actor=request.actor)
        except InvalidData as refusal:
            for field, words in refusal.errors.items():
                form.add_error(field if field in form.fields else None, words)
        else:
            messages.success(request, _("It is in the queue; the original is kept."))
            return HttpResponseRedirect(reverse("message_detail", args=[sent.uuid]))
    return render(request, "interop/message_edit.html", {"nav": "integrations", "form": form, "row": row})
