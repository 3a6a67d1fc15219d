"""Outgoing DICOM work on the integrations page: per peer what waits, and what a person must decide."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from interop.dicom.outgoing import cancel_outgoing, outgoing, park_outgoing, peer_queues, retry_outgoing
from interop.models import OutgoingStatus
from interop.permissions import REPLAY_MESSAGE, VIEW_INTERFACES
from ris.accounts.actors import actor_of
from ris.accounts.web import ActorRequest, page
from ris.core.errors import NotKnown
from ris.core.panels import Panel, register_panel

SHOWN = 15


def outgoing_panel(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """Parked ones first, then what waits, then the newest deliveries."""
    actor = actor_of(request)
    queues = peer_queues()
    if not queues:
        return None
    found = outgoing(actor=actor)
    open_rows = [
        *found.filter(status=OutgoingStatus.PARKED)[:SHOWN],
        *found.filter(status=OutgoingStatus.PENDING).order_by("pk")[:SHOWN],
    ]
    done = found.filter(status__in=(OutgoingStatus.DONE, OutgoingStatus.CANCELLED))[: max(3, SHOWN - len(open_rows))]
    return {
        "queues": queues,
        "outgoing": [*open_rows, *done],
        "may_replay": actor.may(REPLAY_MESSAGE),
    }


@page(REPLAY_MESSAGE)
@require_POST
def outgoing_action(request: ActorRequest, work: uuid.UUID, verb: str) -> HttpResponse:
    row = outgoing(actor=request.actor).filter(uuid=work).first()
    if row is None or verb not in ("retry", "park", "cancel"):
        raise NotKnown(_("There is no such work in this facility."))
    reason = request.POST.get("reason", "")
    if verb == "retry":
        retry_outgoing(row, actor=request.actor)
        messages.success(request, _("It is in the queue."))
    elif verb == "park":
        park_outgoing(row, reason=reason, actor=request.actor)
        messages.success(request, _("Parked: what waited behind it goes on."))
    else:
        cancel_outgoing(row, reason=reason, actor=request.actor)
        messages.success(request, _("It is not sent."))
    return HttpResponseRedirect(f"{reverse('integrations')}#outgoing-dicom")


def register() -> None:
    register_panel(
        Panel(
            "integrations.dicom",
            outgoing_panel,
            "interop/dicom/outgoing.html",
            permission=VIEW_INTERFACES,
            key="outgoing",
            order=105,
        )
    )


urlpatterns = [path("integrations/dicom/outgoing/<uuid:work>/<str:verb>/", outgoing_action, name="outgoing_action")]
