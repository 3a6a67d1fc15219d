"""Files of doses: a report's original and its events, and the registry's rows without a name."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from dose import exports, selectors
from dose import permissions as perms
from dose.dashboards.question import PERIODS, ask
from dose.effective import COEFFICIENTS
from dose.models import DoseReport
from dose.quantities import TAB_LABELS
from dose.web.dashboards import FILES, as_file
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import NotKnown


def _get(request: ActorRequest, uuid: UUID) -> DoseReport:
    found = selectors.dose_reports(actor=request.actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such dose report in this facility."))
    return found


@require_GET
@page(perms.VIEW_DOSE)
def dose_original(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = _get(request, uuid)
    content = exports.original(report)
    record_read(request.actor, perms.VIEW_DOSE, entity=report, detail={"export": "original"})
    response = HttpResponse(content, content_type="application/dicom")
    response["Content-Disposition"] = f'attachment; filename="dose-{report.uuid}.dcm"'
    response["Cache-Control"] = "no-store"
    return response


@require_GET
@page(perms.VIEW_DOSE)
def dose_events_file(request: ActorRequest, uuid: UUID, extension: str) -> HttpResponse:
    if extension not in FILES:
        raise NotKnown(_("There is no such file."), todo=_("Ask for csv or xlsx."))
    report = _get(request, uuid)
    rows = exports.event_table(report)
    record_read(request.actor, perms.VIEW_DOSE, entity=report, detail={"export": extension, "rows": len(rows)})
    return as_file("dose-events", _("Irradiation events"), list(exports.EVENT_HEADS), rows, extension)


@require_GET
@page(perms.MANAGE_DOSE)
def dose_registry(request: ActorRequest) -> HttpResponse:
    context = {
        "nav": "dose",
        "tabs": list(TAB_LABELS.items()),
        "periods": PERIODS,
        "formats": exports.FORMATS,
        "coefficients": COEFFICIENTS,
    }
    return render(request, "dose/registry.html", context)


@require_POST
@page(perms.MANAGE_DOSE)
def dose_registry_file(request: ActorRequest) -> StreamingHttpResponse:
    question = ask({name: request.POST.get(name, "") for name in ("tab", "days")}, actor=request.actor, strict=True)
    kind = request.POST.get("format", "")
    return registry_file(exports.registry(question, kind, actor=request.actor), question.tab, kind)


def registry_file(portions: object, tab: str, kind: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(portions, content_type=exports.CONTENT_TYPES[kind])
    name = f"dose-registry-{tab}-{timezone.localdate():%Y-%m-%d}.{kind}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response
