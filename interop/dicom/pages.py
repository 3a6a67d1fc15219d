"""The DICOM part of the integrations page: peers with their last association, who was turned away, a button to echo."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from interop.dicom import preview_pages
from interop.dicom.peers import doors_of_the_house, echo_peer, peer_lines, refused_connections
from interop.models import DicomPeer
from interop.permissions import MANAGE_INTERFACES, VIEW_INTERFACES
from ris.accounts.actors import actor_of
from ris.accounts.web import ActorRequest, page
from ris.core.errors import NotKnown
from ris.core.panels import Panel, register_panel


def dicom_panel(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    lines = peer_lines()
    return {
        "peer_lines": lines,
        "known_titles": {line.peer.ae_title for line in lines},
        "refused_connections": refused_connections(),
        "called_ae_titles": [door.ae_title for door in doors_of_the_house()],
        "may_manage_peers": actor_of(request).may(MANAGE_INTERFACES),
    }


@page(MANAGE_INTERFACES)
@require_POST
def dicom_echo(request: ActorRequest, peer: uuid.UUID) -> HttpResponse:
    """Call a peer now, and say what came of it."""
    found = DicomPeer.objects.filter(uuid=peer).first()
    if found is None:
        raise NotKnown(_("There is no such peer."))
    words = echo_peer(found, actor=request.actor)
    messages.info(request, f"{found.ae_title}: {words}")
    try:
        return HttpResponseRedirect(f"{reverse('integrations')}#dicom")
    except NoReverseMatch:
        return HttpResponse(words, content_type="text/plain; charset=utf-8")


def register() -> None:
    register_panel(
        Panel("integrations.dicom", dicom_panel, "interop/dicom/panel.html", permission=VIEW_INTERFACES, key="dicom")
    )


urlpatterns = [*preview_pages.urlpatterns, path("integrations/dicom/<uuid:peer>/echo/", dicom_echo, name="dicom_echo")]
