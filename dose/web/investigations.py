"""What the physicist does about a median above its level."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from dose import compliance, investigations, selectors
from dose import permissions as perms
from dose.models import DoseInvestigation, DoseInvestigationStatus
from ris.accounts.web import ActorRequest, page
from ris.core.errors import InvalidData, NotKnown


def _back(investigation: DoseInvestigation) -> HttpResponse:
    tab = compliance.tab_of(investigation.level.modality)
    return HttpResponseRedirect(f"{reverse('dose_dashboard')}?tab={tab}#investigations")


def _get(request: ActorRequest, uuid: UUID) -> DoseInvestigation:
    found = selectors.investigations(actor=request.actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such investigation in this facility."))
    return found


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotKnown(_("There is no such level or exam in this facility.")) from None


@require_POST
@page(perms.MANAGE_LEVELS)
def investigation_open(request: ActorRequest) -> HttpResponse:
    asked = request.POST
    level, exam = selectors.level_and_exam(_uuid(asked.get("level", "")), asked.get("exam", ""), actor=request.actor)
    made = investigations.open_investigation(level, catalogue=exam, room=asked.get("room", ""), actor=request.actor)
    messages.success(request, _("The investigation is open."))
    return _back(made)


@require_POST
@page(perms.MANAGE_LEVELS)
def investigation_act(request: ActorRequest, uuid: UUID) -> HttpResponse:
    asked, day = request.POST, None
    if asked.get("measure_again_on"):
        try:
            day = dt.date.fromisoformat(asked["measure_again_on"])
        except ValueError:
            raise InvalidData(_("This is no date."), errors={"measure_again_on": [_("This is no date.")]}) from None
    acted = investigations.record_action(
        _get(request, uuid),
        cause=asked.get("cause", ""),
        action=asked.get("action", ""),
        measure_again_on=day,
        actor=request.actor,
    )
    messages.success(request, _("Noted; the exams from now on are measured again."))
    return _back(acted)


@require_POST
@page(perms.MANAGE_LEVELS)
def investigation_measure(request: ActorRequest, uuid: UUID) -> HttpResponse:
    measured = investigations.measure_again(_get(request, uuid), actor=request.actor)
    if measured.status == DoseInvestigationStatus.CLOSED:
        messages.success(request, _("The median is at or below the level; the investigation is closed."))
    else:
        messages.warning(request, _("The median is still above the level; the investigation is open again."))
    return _back(measured)


@require_POST
@page(perms.MANAGE_LEVELS)
def local_level(request: ActorRequest) -> HttpResponse:
    """The exam's local level, from this facility's own rooms."""
    exam = selectors.exam_of(request.POST.get("exam", ""))
    if exam is None:
        raise NotKnown(_("There is no such exam in this facility."))
    level = investigations.compute_local_level(exam, quantity=request.POST.get("quantity", ""), actor=request.actor)
    messages.success(request, _("Local level: %(value)g %(unit)s.") % {"value": level.value, "unit": level.unit})
    return HttpResponseRedirect(reverse("dose_dashboard"))
