"""A result sent by e-mail to a practice without accounts: opened with the agreed password, read, acknowledged."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from reporting.models import SECTIONS, ReportDelivery
from reporting.pdf import render_report_pdf
from reporting.services import carrying as services
from reporting.web.paper import pdf_response
from ris.core.errors import InvalidData
from ris.tenants.middleware import address_of

PROVED_MINUTES = 30


def _key(line: ReportDelivery) -> str:
    return f"delivered:{line.report.uuid}:{line.rule_id}:{line.rule.version if line.rule else 0}"


def _has_proved(request: HttpRequest, line: ReportDelivery) -> bool:
    return request.session.get(_key(line), 0) > timezone.now().timestamp()


@never_cache
@require_http_methods(["GET", "POST"])
def delivered_open(request: HttpRequest, token: str) -> HttpResponse:
    """Asks the password, then shows the newest version that was sent to the practice."""
    line = services.delivery_of(token)
    if request.method == "POST":
        services.check_agreed_password(line, request.POST.get("code", ""), address=address_of(request))
        request.session.cycle_key()  # nobody who planted the session has proved it too
        request.session[_key(line)] = timezone.now().timestamp() + PROVED_MINUTES * 60
        return HttpResponseRedirect(request.path)
    if not _has_proved(request, line):
        return render(request, "reporting/delivered.html", {"ask_code": True})
    version = services.shown_by_link(line, address=address_of(request))
    sections = [(label, version.sections.get(key)) for key, (_code, label) in SECTIONS.items()]
    standing = version.report.versions.filter(recall__isnull=True, number__lte=version.number)
    context = {
        "line": line,
        "token": token,
        "version": version,
        "identity": version.identity,
        "sections": [(label, words) for label, words in sections if words],
        "addenda": [row for row in standing.order_by("number") if row.addendum],
    }
    return render(request, "reporting/delivered.html", context)


@never_cache
@require_GET
def delivered_pdf(request: HttpRequest, token: str) -> HttpResponse:
    line = services.delivery_of(token)
    if not _has_proved(request, line):
        return HttpResponseRedirect(reverse("delivered_open", args=[token]))
    version = services.shown_by_link(line, address=address_of(request))
    return pdf_response(render_report_pdf(version), f"report-{version.report.uuid}-{version.number}")


@never_cache
@require_POST
def delivered_read(request: HttpRequest, token: str) -> HttpResponse:
    """The practice says that it has read the version it was shown."""
    line = services.delivery_of(token)
    if _has_proved(request, line):
        seen = request.POST.get("version", "")
        if not seen.isdecimal():
            raise InvalidData(_("Say which version was read."), errors={"version": _("Needed.")})
        services.acknowledge_by_link(line, seen=int(seen))
        messages.success(request, _("Noted: you have read this result."))
    return HttpResponseRedirect(reverse("delivered_open", args=[token]))
