"""Links for patients: made and ended by the staff; opened by whoever holds link and code."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from reporting import permissions as perms
from reporting import selectors
from reporting.models import SECTIONS, Report, ReportVersion, ShareLink, ShareOutcome
from reporting.pdf import render_report_pdf
from reporting.services import sharing as services
from reporting.services.sharing import DAYS_AT_MOST, Shared
from reporting.web.paper import pdf_response
from ris.accounts.selectors import facility_settings
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown
from ris.notifications.models import Channel
from ris.tenants.middleware import address_of

PROVED_MINUTES = 30
WAYS = [("", gettext_lazy("on paper, or told")), (Channel.SMS, Channel.SMS.label), (Channel.EMAIL, Channel.EMAIL.label)]


class ShareForm(forms.Form):
    recipient = forms.CharField(label=gettext_lazy("For"), max_length=120)
    days = forms.IntegerField(label=gettext_lazy("Days"), min_value=1, max_value=DAYS_AT_MOST)
    channel = forms.ChoiceField(label=gettext_lazy("Send the link"), choices=WAYS, required=False)
    send_to = forms.CharField(label=gettext_lazy("To"), max_length=254, required=False)


def _report(request: ActorRequest, uuid: UUID) -> Report:
    return selectors.report_by_uuid(uuid, actor=request.actor)


def _page(
    request: ActorRequest, report: Report, *, form: ShareForm | None = None, new: Shared | None = None
) -> HttpResponse:
    wanted = facility_settings()
    links = ShareLink.objects.visible_to(request.actor).filter(report=report).select_related("created_by")
    procedure = report.first_procedure
    context = {
        "report": report,
        "procedure": procedure,
        "patient": procedure.order.patient,
        "links": links.prefetch_related("visits"),
        "form": form or ShareForm(initial={"days": wanted.share_days}),
        "ways": WAYS,
        "new": new,
        "address": request.build_absolute_uri(services.url_of(new.link)) if new is not None else "",
        "hours": wanted.share_embargo_hours,
        "now": timezone.now(),
    }
    return render(request, "reporting/report_share.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@page(perms.SHARE_REPORT)
def report_share(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The links of a report; posted, a new one, whose code is shown this once."""
    report = _report(request, uuid)
    if request.method == "GET":
        record_read(request.actor, perms.SHARE_REPORT, entity=report, detail={"page": "share"})
        return _page(request, report)
    form = ShareForm(request.POST)
    if not form.is_valid():
        return _page(request, report, form=form)
    data = form.cleaned_data
    try:
        new = services.share_report(report, **data, actor=request.actor)
    except InvalidData as refusal:
        for name, words in refusal.errors.items():
            form.add_error(name if name in form.fields else None, words)
        return _page(request, report, form=form)
    return _page(request, report, new=new)


def _link(request: ActorRequest, uuid: UUID) -> ShareLink:
    link = ShareLink.objects.visible_to(request.actor).select_related("report").filter(uuid=uuid).first()
    if link is None:
        raise NotKnown(_("There is no such link in this facility."))
    return link


@require_POST
@page(perms.SHARE_REPORT)
def share_end(request: ActorRequest, uuid: UUID) -> HttpResponse:
    link = services.end_share(_link(request, uuid), reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("The link works no more."))
    return HttpResponseRedirect(reverse("report_share", args=[link.report.uuid]))


@never_cache
@require_POST
@page(perms.SHARE_REPORT)
def share_code(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A new code for a link, shown this once."""
    new = services.new_share_code(_link(request, uuid), actor=request.actor)
    return _page(request, new.link.report, new=new)


# --- without an account


def _key(link: ShareLink) -> str:
    return f"share:{link.uuid}:{link.code_digest[:12]}"


def _has_proved(request: HttpRequest, link: ShareLink) -> bool:
    return request.session.get(_key(link), 0) > timezone.now().timestamp()


@never_cache
@require_http_methods(["GET", "POST"])
def share_open(request: HttpRequest, token: str) -> HttpResponse:
    """Asks the code, then shows the report as it is now."""
    link = services.link_of(token)
    services.refuse_closed(link)
    if request.method == "POST":
        services.check_share_code(link, request.POST.get("code", ""), address=address_of(request))
        request.session.cycle_key()  # nobody who planted the session has proved it too
        request.session[_key(link)] = timezone.now().timestamp() + PROVED_MINUTES * 60
        return HttpResponseRedirect(request.path)
    if not _has_proved(request, link):
        return render(request, "reporting/share_open.html", {"ask_code": True})
    version = services.shown_version(link, outcome=ShareOutcome.OPENED, address=address_of(request))
    return render(request, "reporting/share_open.html", {"link": link, "token": token, **_shown(version)})


def _shown(version: ReportVersion) -> dict[str, object]:
    sections = [(label, version.sections.get(key)) for key, (_code, label) in SECTIONS.items()]
    earlier = version.report.versions.filter(recall__isnull=True, number__lte=version.number)
    return {
        "version": version,
        "identity": version.identity,
        "sections": [(label, words) for label, words in sections if words],
        "addenda": [row for row in earlier.order_by("number") if row.addendum],
    }


@never_cache
@require_http_methods(["GET"])
def share_pdf(request: HttpRequest, token: str) -> HttpResponse:
    """The same as a PDF."""
    link = services.link_of(token)
    services.refuse_closed(link)
    if not _has_proved(request, link):
        return HttpResponseRedirect(reverse("share_open", args=[token]))
    version = services.shown_version(link, outcome=ShareOutcome.PRINTED, address=address_of(request))
    return pdf_response(render_report_pdf(version), f"report-{version.report.uuid}-{version.number}")
