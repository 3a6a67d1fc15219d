"""The referring physician's results: read, acknowledged, printed; and those that nobody has opened."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_GET, require_POST

from reporting import permissions as perms
from reporting import selectors, services
from reporting.models import SECTIONS, ReportDelivery
from reporting.pdf import render_report_pdf
from reporting.selectors import results as result_selectors
from reporting.selectors.results import BOXES, UNOPENED_AFTER
from reporting.web.paper import note_printed, pdf_response
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown

TITLES = {
    "unread": (gettext_lazy("To read"), "mail"),
    "critical": (gettext_lazy("Critical"), "alert-octagon"),
    "changed": (gettext_lazy("Changed reports"), "file-diff"),
    "delegated": (gettext_lazy("Passed on"), "users"),
    "read": (pgettext_lazy("state", "Read"), "circle-check"),
}
ROWS = 50


def _list(request: ActorRequest) -> dict[str, Any]:
    box = request.GET.get("box", "unread")
    box = box if box in BOXES else "unread"
    shown = Paginator(selectors.inbox(actor=request.actor, box=box), ROWS).get_page(request.GET.get("page"))
    counts = selectors.inbox_counts(actor=request.actor)
    patients = {row.audit_patient for row in shown if row.audit_patient}
    record_read(request.actor, perms.VIEW_RESULT, patients=sorted(patients), detail={"rows": len(shown), "box": box})
    boxes = [(key, words, icon, counts[key]) for key, (words, icon) in TITLES.items()]
    return {"nav": "results", "box": box, "title": TITLES[box][0], "boxes": boxes, "page": shown}


@require_GET
@page(perms.VIEW_RESULT)
def result_inbox(request: ActorRequest) -> HttpResponse:
    if request.actor.may(perms.MANAGE_DELIVERY) and not hasattr(request.user, "practitioner"):
        return HttpResponseRedirect(reverse("results_unopened"))
    return render(request, "reporting/results.html", {**_list(request), "line": None})


def _get(request: ActorRequest, uuid: UUID) -> ReportDelivery:
    line = selectors.deliveries(actor=request.actor).filter(uuid=uuid).first()
    if line is None:
        raise NotKnown(_("There is no such result in this facility."))
    return line


@require_GET
@page(perms.VIEW_RESULT)
def result_detail(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A result in full. Its recipient's first look is noted in the ledger."""
    line = _get(request, uuid)
    line.status = services.open_result(line, actor=request.actor).status
    record_read(request.actor, perms.VIEW_RESULT, entity=line)
    version = line.report_version
    newer = line.report.versions.filter(number__gt=version.number).order_by("-number").first()
    newest = None
    if newer is not None:
        rows = selectors.deliveries(actor=request.actor).filter(report_version=newer, recipient=line.recipient)
        newest = rows.first()
    procedures = sorted(line.report.procedures.all(), key=lambda row: row.pk)
    context = {
        **_list(request),
        "line": line,
        "version": version,
        "report": line.report,
        "procedures": procedures,
        "patient": procedures[0].order.patient,
        "order": procedures[0].order,
        "first_sections": [
            (SECTIONS[key][1], version.sections.get(key, "")) for key in ("impression", "recommendation")
        ],
        "more_sections": [
            (SECTIONS[key][1], version.sections.get(key, "")) for key in ("findings", "technique", "comparison")
        ],
        "addenda": line.report.versions.filter(number__lte=version.number).exclude(addendum="").order_by("number"),
        "newer": newer,
        "newest": newest,
        "criticals": selectors.critical_results(actor=request.actor)
        .filter(procedure__in=procedures)
        .exclude(status="withdrawn"),
        "is_mine": line.recipient is not None and line.recipient.user_id == request.user.pk,
    }
    if context["is_mine"] and request.actor.may(perms.ACKNOWLEDGE_RESULT):
        context["colleagues"] = result_selectors.colleagues(line.recipient)
    return render(request, "reporting/results.html", context)


@require_POST
@page(perms.ACKNOWLEDGE_RESULT)
def result_acknowledge(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.acknowledge_result(_get(request, uuid), actor=request.actor)
    messages.success(request, _("Noted: you have read this result."))
    following = selectors.inbox(actor=request.actor, box="unread").first()
    if request.POST.get("then") == "next" and following is not None:
        return HttpResponseRedirect(reverse("result_detail", args=[following.uuid]))
    return HttpResponseRedirect(reverse("result_detail", args=[uuid]))


@require_POST
@page(perms.ACKNOWLEDGE_RESULT)
def result_delegate(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Pass a result on to a colleague; ``take_back`` undoes it while they have not read it."""
    line = _get(request, uuid)
    if "take_back" in request.POST:
        services.take_back_result(line, actor=request.actor)
        messages.success(request, _("It is yours again."))
    else:
        chosen = request.POST.get("to", "")
        colleague = next((row for row in result_selectors.colleagues(line.recipient) if str(row.uuid) == chosen), None)
        if colleague is None:
            raise InvalidData(_("Choose a colleague."), errors={"to": _("Needed.")})
        services.delegate_result(line, to=colleague, note=request.POST.get("note", ""), actor=request.actor)
        messages.success(request, _("Passed on to %(name)s.") % {"name": colleague.display_name})
    return HttpResponseRedirect(reverse("result_detail", args=[uuid]))


@require_POST
@page(perms.PRINT_REPORT)
def result_print(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The version that was delivered, for paper."""
    version = _get(request, uuid).report_version
    note_printed(version, actor=request.actor)
    body = render_report_pdf(version, printed_by=request.user.display_name)
    return pdf_response(body, f"report-{version.report.uuid}-{version.number}")


@require_GET
@page(perms.MANAGE_DELIVERY)
def results_unopened(request: ActorRequest) -> HttpResponse:
    """The fail-safe: results that nobody has opened, oldest first; somebody calls."""
    shown = Paginator(selectors.unopened_results(actor=request.actor), ROWS).get_page(request.GET.get("page"))
    patients = {row.audit_patient for row in shown if row.audit_patient}
    record_read(request.actor, perms.MANAGE_DELIVERY, patients=sorted(patients), detail={"rows": len(shown)})
    context = {"nav": "results", "page": shown, "days": UNOPENED_AFTER.days}
    return render(request, "reporting/results_unopened.html", context)


@require_POST
@page(perms.MANAGE_DELIVERY)
def delivery_again(request: ActorRequest, uuid: UUID) -> HttpResponse:
    line = services.send_delivery_again(_get(request, uuid), actor=request.actor)
    messages.success(request, _("Sent again."))
    return _back_to(request, line)


@require_POST
@page(perms.MANAGE_DELIVERY)
def delivery_told(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The desk has told the recipient, who says that they know."""
    line = services.mark_delivery_acknowledged(_get(request, uuid), actor=request.actor)
    messages.success(request, _("Noted: the recipient knows the result."))
    return _back_to(request, line)


def _back_to(request: ActorRequest, line: ReportDelivery) -> HttpResponse:
    if request.POST.get("back") == "unopened":
        return HttpResponseRedirect(reverse("results_unopened"))
    return HttpResponseRedirect(reverse("report_detail", args=[line.report.uuid]))
