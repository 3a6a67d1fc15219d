"""The viewer on a page of its own, its stacks on demand, and launches of viewers outside this house."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting.models import ExternalViewer, ViewerLaunch
from reporting.selectors import viewer as selectors
from reporting.selectors.reports import report_by_uuid
from reporting.services.launch import launch_study, revoke_launch, sample_link
from reporting.services.viewing import tell_viewer_study
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import NotKnown
from worklist.models import ImagingStudy
from worklist.permissions import VIEW_STUDY


def _page(request: HttpRequest, studies: list[ImagingStudy], **context: Any) -> HttpResponse:
    procedures = context.get("procedures") or (list(studies[0].procedures.all()) if studies else [])
    patient = procedures[0].order.patient if procedures else None
    context = {"nav": "reading", "viewer_studies": studies, "patient": patient, **context, "procedures": procedures}
    return render(request, "reporting/viewer.html", context)


@require_GET
@never_cache
@page(VIEW_STUDY)
def viewer_study(request: ActorRequest, uuid: UUID) -> HttpResponse:
    return _page(request, [selectors.visible_study(uuid, actor=request.actor)])


@require_GET
@never_cache
@page(VIEW_STUDY)
def viewer_exam(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """All studies of one exam."""
    procedure = RequestedProcedure.objects.visible_to(request.actor).filter(uuid=uuid).first()
    if procedure is None:
        raise NotKnown(_("There is no such exam."))
    studies = selectors.studies_of_procedures([procedure], actor=request.actor)
    return _page(request, studies, procedures=[procedure])


@require_GET
@never_cache
@page(VIEW_STUDY)
def viewer_report(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The second window of the report editor: it follows the editor from patient to patient."""
    request.actor.require(perms.VIEW_REPORT)
    report = report_by_uuid(uuid, actor=request.actor)
    procedures = sorted(report.procedures.all(), key=lambda procedure: procedure.pk)
    studies = selectors.studies_of_procedures(procedures, actor=request.actor)
    return _page(request, studies, procedures=procedures, report=report, is_second=True)


@require_GET
@never_cache
@page(VIEW_STUDY)
def viewer_stacks(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The stacks of a study that is put beside another."""
    study = selectors.visible_study(uuid, actor=request.actor)
    record_read(request.actor, VIEW_STUDY, entity=study, detail={"page": "viewer"})
    return JsonResponse(selectors.told(study, selectors.stacks_of([study]).get(study.pk, [])))


# --- viewers outside this house


def _link(uuid: UUID | str) -> ExternalViewer:
    link = ExternalViewer.objects.filter(uuid=uuid).first()
    if link is None:
        raise NotKnown(_("There is no such viewer link."))
    return link


@require_POST
@never_cache
@page(VIEW_STUDY)
def viewer_launch(request: ActorRequest, uuid: UUID, link: UUID) -> HttpResponse:
    """Sign a launch and show the address; the person follows it, for a form may not lead to another origin."""
    study = selectors.visible_study(uuid, actor=request.actor)
    launched = launch_study(study, viewer=_link(link), actor=request.actor)
    return render(
        request,
        "reporting/viewer_launch.html",
        {"nav": "reading", "launched": launched, "study": study, "patient": selectors.patient_of(study)},
    )


@require_GET
@page(perms.MANAGE_VIEWERS)
def viewer_links(request: ActorRequest) -> HttpResponse:
    """Every link with the address that it would open, filled with values that open nothing."""
    rows = [(link, sample_link(link)) for link in ExternalViewer.objects.all()]
    return render(request, "reporting/viewer_links.html", {"nav": "viewer-links", "rows": rows})


@require_GET
@never_cache
@page(VIEW_STUDY)
def viewer_launches(request: ActorRequest) -> HttpResponse:
    """What still opens images elsewhere: one's own, everybody's for who looks after the links."""
    rows = ViewerLaunch.objects.visible_to(request.actor).live().select_related("viewer", "user", "study")[:200]
    context = {"nav": "viewer-links", "launches": rows, "of_all": request.actor.may(perms.MANAGE_VIEWERS)}
    return render(request, "reporting/viewer_launches.html", context)


@require_POST
@page(VIEW_STUDY)
def viewer_launch_revoke(request: ActorRequest, uuid: UUID) -> HttpResponse:
    launch = ViewerLaunch.objects.visible_to(request.actor).filter(uuid=uuid).first()
    if launch is None:
        raise NotKnown(_("There is no such launch."))
    revoke_launch(launch, actor=request.actor)
    messages.success(request, _("It opens nothing any more."))
    return HttpResponseRedirect(reverse("viewer_launches"))


@require_POST
@page(VIEW_STUDY)
def viewer_showing(request: ActorRequest) -> HttpResponse:
    """The viewer tells which study it shows, and tells it again while it is open."""
    tell_viewer_study(request.POST.get("study", "")[:64], actor=request.actor)
    return HttpResponse(status=204)
