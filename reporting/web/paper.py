"""Reports on paper: seen in the browser, printed, and the preview of a draft. Each look is recorded."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET, require_POST

from reporting import permissions as perms
from reporting import selectors, services
from reporting.models import DeliveryChannel, ReportVersion, VersionKind
from reporting.pdf import render_report_pdf
from reporting.selectors.reports import version_of
from reporting.services.snapshot import identity_snapshot
from ris.accounts.web import ActorRequest, page
from ris.audit.models import Action
from ris.audit.service import record, record_read
from ris.core.actor import Actor


def pdf_response(body: bytes, name: str) -> HttpResponse:
    response = HttpResponse(body, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{name}.pdf"'
    response["Cache-Control"] = "private, no-store"
    return response


@require_GET
@xframe_options_sameorigin
@page(perms.VIEW_REPORT)
def report_pdf(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A signed version as a PDF in the browser; ``?version=2`` for an earlier one."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    version = version_of(report, request.GET.get("version", ""), actor=request.actor)
    record_read(request.actor, perms.VIEW_REPORT, entity=version, detail={"page": "pdf", "version": version.number})
    return pdf_response(render_report_pdf(version), f"report-{report.uuid}-{version.number}")


@require_POST
@page(perms.PRINT_REPORT)
def report_print(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The same for paper: says who printed it and when; deliveries by print count as sent."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    version = version_of(report, request.POST.get("version", ""), actor=request.actor)
    note_printed(version, actor=request.actor)
    body = render_report_pdf(version, printed_by=request.user.display_name)
    return pdf_response(body, f"report-{report.uuid}-{version.number}")


def note_printed(version: ReportVersion, *, actor: Actor) -> None:
    record(actor, perms.PRINT_REPORT, Action.EXECUTE, entity=version, detail={"version": version.number})
    if actor.may(perms.MANAGE_DELIVERY):
        for line in version.deliveries.filter(channel=DeliveryChannel.PRINT):
            services.mark_delivery_sent(line, actor=actor)


@require_GET
@xframe_options_sameorigin
@page(perms.WRITE_REPORT)
def report_preview(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """What would be sent if the draft were signed now; marked as a draft on every page."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    if report.is_signed:
        return report_pdf(request, uuid)
    record_read(request.actor, perms.VIEW_REPORT, entity=report, detail={"page": "preview"})
    draft = ReportVersion(
        report=report,
        number=report.versions.count() + 1,
        kind=VersionKind.FINAL,
        status=report.status,
        sections=report.sections,
        assessments=[row.as_data() for row in report.assessments.standing()],
        identity=identity_snapshot(sorted(report.procedures.all(), key=lambda row: row.pk)),
        signed_by=request.user,
        signer_name=request.user.display_name,
        signed_at=timezone.now(),
    )
    return pdf_response(render_report_pdf(draft, is_draft=True), f"draft-{report.uuid}")
