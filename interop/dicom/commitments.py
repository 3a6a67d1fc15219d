"""What is asked about storage commitment; its part of the integrations page, its button, and the administration's."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.db.models import Case, IntegerField, QuerySet, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from interop.dicom.commitment_reports import park_report, report_again
from interop.models import CommitmentStatus, StorageCommitment
from interop.permissions import MANAGE_INTERFACES, VIEW_INTERFACES
from ris.accounts.actors import actor_of
from ris.accounts.web import ActorRequest, page
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from ris.core.panels import Panel, register_panel

SHOWN, LEAST_DELIVERED = 12, 3


def commitments(*, actor: Actor, status: str = "") -> QuerySet[StorageCommitment]:
    """Newest first."""
    found = StorageCommitment.objects.select_related("peer").order_by("-pk")
    if not actor.may(VIEW_INTERFACES):
        return found.none()
    return found.filter(status=status) if status else found


def commitment_panel(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """What waits and what a person must look at first, then the newest; one query."""
    actor = actor_of(request)
    is_over = Case(When(status=CommitmentStatus.DELIVERED, then=1), default=0, output_field=IntegerField())
    rows = list(commitments(actor=actor).order_by(is_over, "-pk")[: SHOWN + LEAST_DELIVERED])
    undelivered = [row for row in rows if row.status != CommitmentStatus.DELIVERED][:SHOWN]
    delivered = [row for row in rows if row.status == CommitmentStatus.DELIVERED]
    delivered = delivered[: max(LEAST_DELIVERED, SHOWN - len(undelivered))]
    if not undelivered and not delivered:
        return None
    return {"commitments": undelivered + delivered, "may_manage_commitments": actor.may(MANAGE_INTERFACES)}


@page(MANAGE_INTERFACES)
@require_POST
def commitment_action(request: ActorRequest, commitment: uuid.UUID, verb: str) -> HttpResponse:
    """Report it again, or stop trying."""
    row = commitments(actor=request.actor).filter(uuid=commitment).first()
    if row is None or verb not in ("again", "park"):
        raise NotKnown(_("There is no such storage commitment in this facility."))
    if verb == "again":
        report_again(row, actor=request.actor)
        messages.success(request, _("It is checked and reported again."))
    else:
        park_report(row, actor=request.actor)
        messages.success(request, _("Parked: it is not reported any more."))
    return HttpResponseRedirect(f"{reverse('integrations')}#commitment")


def register() -> None:
    register_panel(
        Panel(
            "integrations.dicom",
            commitment_panel,
            "interop/dicom/commitment.html",
            permission=VIEW_INTERFACES,
            key="commitment",
            order=110,
        )
    )


urlpatterns = [
    path("integrations/commitments/<uuid:commitment>/<str:verb>/", commitment_action, name="commitment_action")
]
