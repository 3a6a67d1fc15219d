"""A dose report, its exam, its triggers."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from dose import effective, selectors, services, ssde
from dose import permissions as perms
from dose.bands import band_words
from dose.compliance import tab_of
from dose.effective import estimate_of
from dose.event_rows import columns_of
from dose.models import DoseReport, DoseTrigger
from dose.quantities import lines_of
from orders.models import RequestedProcedure
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import NotKnown


def _get(request: ActorRequest, uuid: UUID) -> DoseReport:
    found = selectors.every_dose_report(actor=request.actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such dose report in this facility."))
    return found


@require_GET
@page(perms.VIEW_DOSE)
def dose_report(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = _get(request, uuid)
    record_read(request.actor, perms.VIEW_DOSE, entity=report)
    heads, events = columns_of(list(report.events.order_by("position")))
    context = {
        "nav": "dose",
        "report": report,
        "lines": lines_of(report),
        "estimate": estimate_of(report),
        "heads": heads,
        "events": events,
        "band_words": band_words(report.age_band),
        "is_computed": any(cell.note for _event, cells in events for cell in cells),
        "ssde_method": ssde.METHOD,
        "certainty": effective.CERTAINTY,
        "triggers": list(report.triggers.order_by("pk")),
        "patient": report.procedure.order.patient if report.procedure is not None else None,
        "may_link": request.actor.may(perms.MANAGE_DOSE),
        "may_explain": request.actor.may(perms.EXPLAIN_TRIGGER),
    }
    return render(request, "dose/report.html", context)


@require_POST
@page(perms.MANAGE_DOSE)
def dose_report_link(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """To the exam with this accession number."""
    report = _get(request, uuid)
    visible = RequestedProcedure.objects.visible_to(request.actor)
    procedure = services.procedure_by_accession(request.POST.get("accession_number", ""), visible)
    services.link_dose_report(report, procedure=procedure, actor=request.actor)
    messages.success(request, _("The dose report belongs to the exam now."))
    return HttpResponseRedirect(reverse("dose_report", args=[uuid]))


@require_POST
@page(perms.MANAGE_DOSE)
def dose_report_unlink(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.unlink_dose_report(_get(request, uuid), reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("The dose report waits for its exam again."))
    return HttpResponseRedirect(reverse("dose_report", args=[uuid]))


@require_POST
@page(perms.EXPLAIN_TRIGGER)
def dose_trigger_explain(request: ActorRequest, uuid: UUID) -> HttpResponse:
    trigger = selectors.triggers(actor=request.actor).filter(uuid=uuid).first()
    if trigger is None:
        raise NotKnown(_("There is no such trigger in this facility."))
    services.explain_trigger(trigger, explanation=request.POST.get("explanation", ""), actor=request.actor)
    messages.success(request, _("Noted."))
    return HttpResponseRedirect(_back_to(request, trigger))


def _back_to(request: ActorRequest, trigger: DoseTrigger) -> str:
    """The page that the reason was given on; the list of triggers where that is not known."""
    target = request.POST.get("next", "")
    if target.startswith("/") and url_has_allowed_host_and_scheme(target, allowed_hosts=None):
        return target
    return f"{reverse('dose_dashboard')}?tab={tab_of(trigger.report.modality)}#triggers"
