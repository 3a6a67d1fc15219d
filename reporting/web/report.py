"""One report: written by who holds the lock, read by all others; signed, amended, compared, printed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from orders.models import RequestedProcedure
from orders.timeline import entries_of
from reporting import permissions as perms
from reporting import selectors, services
from reporting.diff import section_diffs
from reporting.models import SECTIONS, Report, ReportStatus, ReportTemplate
from reporting.selectors.reading import minutes_left
from reporting.services.checks import BLOCK, checks_of
from reporting.services.critical_report import pending_sentences
from reporting.services.macros import macros_for
from reporting.services.templates import templates_for
from reporting.services.writing import READABLE, clean_sections, report_of
from reporting.web.critical_raise import answer_raised, raise_context, raise_from
from reporting.web.forms import ReasonForm, posted_revision, posted_sections
from reporting.web.reading import go_on
from ris.accounts.selectors import facility_settings
from ris.accounts.services.sign_in import authenticated_at, require_recent_authentication
from ris.accounts.services.totp import has_totp
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.actor import SYSTEM
from ris.core.errors import NotKnown


def wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def needs_password(request: HttpRequest) -> bool:
    """Whether a signature now would ask who is there."""
    last = authenticated_at(request)
    minutes = facility_settings().reauthenticate_minutes
    return last is None or last <= timezone.now() - timedelta(minutes=minutes)


def proof(request: HttpRequest) -> None:
    """Raises ReauthenticationRequired unless the person has proved who they are, before or with this request."""
    require_recent_authentication(
        request, password=request.POST.get("password", ""), otp_token=request.POST.get("otp_token", "")
    )


def surroundings(request: ActorRequest, procedures: list[RequestedProcedure]) -> dict[str, Any]:
    """The context pane: request, priors, technologist's notes, timeline; images and dose come from panels."""
    first = procedures[0]
    return {
        "procedures": procedures,
        "procedure": first,
        "order": first.order,
        "patient": first.order.patient,
        "priors": selectors.priors_of(procedures, actor=request.actor),
        "notes": selectors.technologist_notes(procedures if request.actor.may(perms.VIEW_READING_LIST) else []),
        "timeline": entries_of(first, request=request),
        "criticals": [
            row
            for row in selectors.critical_results(actor=request.actor).filter(procedure__in=procedures)
            if row.status != "withdrawn"
        ],
    }


@require_GET
@page(perms.VIEW_REPORT)
def report_page(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    record_read(request.actor, perms.VIEW_REPORT, entity=report)
    lock = selectors.live_lock_of(report)
    writes = report.is_draft or report.status == ReportStatus.PRELIMINARY
    if writes and lock is not None and lock.user == request.user and request.actor.may(perms.WRITE_REPORT):
        return _editor(request, report)
    return _detail(request, report, lock=lock)


def _procedures(report: Report) -> list[RequestedProcedure]:
    return sorted(report.procedures.all(), key=lambda procedure: procedure.pk)


def _editor(request: ActorRequest, report: Report) -> HttpResponse:
    procedures = _procedures(report)
    checks = checks_of(report)
    macros = macros_for(request.actor)
    context = {
        "nav": "reading",
        "report": report,
        "sections": [(key, label, report.sections.get(key, "")) for key, (_loinc, label) in SECTIONS.items()],
        **checks_context(checks),
        "macros": [{"code": row.code, "text": row.text} for row in macros],
        "templates": templates_for(procedures),
        "needs_password": needs_password(request),
        "has_totp": has_totp(request.user),
        "raise_action": reverse("report_critical", args=[report.uuid]),
        **raise_context(procedures[0], report=report),
        "may_sign": request.actor.may(perms.SIGN_REPORT),
        **surroundings(request, procedures),
        **time_left(procedures[0]),
    }
    context["pending_sentences"] = pending_sentences(report, context["criticals"])
    return render(request, "reporting/report_edit.html", context)


def checks_context(checks: list[Any]) -> dict[str, Any]:
    blocking = sum(check.level == BLOCK for check in checks)
    return {
        "checks": checks,
        "blocking": blocking,
        "warning": len(checks) - blocking,
        "checked_at": timezone.localtime(),
    }


def time_left(procedure: RequestedProcedure) -> dict[str, Any]:
    row = selectors.reading_list(actor=SYSTEM).filter(pk=procedure.pk).first()
    if row is None:
        return {"minutes_left": None, "minutes_total": None}
    left, total = minutes_left(row)
    return {"minutes_left": left, "minutes_total": total}


def _detail(request: ActorRequest, report: Report, *, lock: Any = None) -> HttpResponse:
    procedures = _procedures(report)
    versions = list(report.versions.all())
    current = versions[-1] if versions else None
    texts = current.sections if current is not None else report.sections
    own_draft = report.is_draft or report.status == ReportStatus.PRELIMINARY
    context = {
        "nav": "reading",
        "report": report,
        "versions": versions,
        "version": current,
        "sections": [(key, label, texts.get(key, "")) for key, (_l, label) in SECTIONS.items() if texts.get(key)],
        "addenda": [row for row in versions if row.addendum],
        "lock": lock,
        "lines": selectors.deliveries(actor=request.actor).filter(report=report).order_by("pk"),
        "may_open": own_draft and lock is None and request.actor.may(perms.CLAIM_PROCEDURE),
        "may_take_over": own_draft and lock is not None and request.actor.may(perms.TAKE_OVER),
        "may_amend": report.is_signed and request.actor.may(perms.SIGN_REPORT),
        "needs_password": needs_password(request),
        "has_totp": has_totp(request.user),
        "reason_form": ReasonForm(),
        **surroundings(request, procedures),
    }
    return render(request, "reporting/report_detail.html", context)


@require_GET
@page(perms.VIEW_READING_LIST)
def reading_exam(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """An exam to be read, looked at without claiming it; its report, when there is one."""
    rows = RequestedProcedure.objects.visible_to(request.actor).for_display()
    procedure = rows.filter(uuid=uuid).first()
    if procedure is None:
        raise NotKnown(_("There is no such exam in this facility."))
    report = report_of([procedure])
    if report is not None:
        return HttpResponseRedirect(reverse("report_edit", args=[report.uuid]))
    record_read(request.actor, perms.VIEW_READING_LIST, entity=procedure)
    together = rows.filter(order__patient=procedure.order.patient, status__in=READABLE, reports__isnull=True)
    context = {
        "nav": "reading",
        "report": None,
        "may_open": procedure.status in READABLE and request.actor.may(perms.CLAIM_PROCEDURE),
        "together": together.exclude(pk=procedure.pk),
        **surroundings(request, [procedure]),
    }
    return render(request, "reporting/report_detail.html", context)


# --- writing


def _conflict_page(request: ActorRequest, report: Report, sections: dict[str, str]) -> HttpResponse:
    """Both texts, word by word; what is kept is saved on top of the stored revision."""
    diffs = section_diffs(report.sections, {**report.sections, **clean_sections(sections)})
    context = {
        "nav": "reading",
        "report": report,
        "diffs": [row for row in diffs if row.differs],
        "patient": report.patient,
        "procedure": report.first_procedure,
    }
    return render(request, "reporting/report_conflict.html", context, status=409)


@require_POST
@page(perms.WRITE_REPORT)
def report_save(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Autosave (answers JSON) and the button of a page without scripts (goes back to it)."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    sections, revision = posted_sections(request.POST), posted_revision(request.POST)
    stale = revision is not None and revision != report.revision and not report.is_signed
    if stale and not wants_json(request):
        return _conflict_page(request, report, sections)
    report = services.save_report(report, sections=sections, revision=revision, actor=request.actor)
    if not wants_json(request):
        messages.success(request, _("Saved."))
        return _to(report)
    context = {"report": report, **checks_context(checks_of(report))}
    return JsonResponse(
        {
            "revision": report.revision,
            "saved_at": f"{timezone.localtime():%H:%M:%S}",
            "status": report.status,
            "checks": render_to_string("reporting/_checks.html", context, request=request),
        }
    )


def _to(report: Report) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("report_edit", args=[report.uuid]))


@require_POST
@page(perms.WRITE_REPORT)
def report_compare(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """What the editor's Compare button shows after a conflict."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    return _conflict_page(request, report, posted_sections(request.POST))


@require_POST
@page(perms.CLAIM_PROCEDURE)
def report_beat(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    return JsonResponse({"is_mine": services.beat(report, actor=request.actor)})


@require_POST
@page(perms.CLAIM_PROCEDURE)
def report_release(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.release_report(report, actor=request.actor)
    messages.success(request, _("Released. The exam is back on the list, your text is kept."))
    return HttpResponseRedirect(reverse("reading_list"))


@require_POST
@page(perms.TAKE_OVER)
def report_take_over(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.take_over(report, reason=request.POST.get("reason", ""), actor=request.actor)
    return _to(report)


@require_POST
@page(perms.WRITE_REPORT)
def report_discard(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.discard_report(report, reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("Discarded. The exam is back on the list."))
    return HttpResponseRedirect(reverse("reading_list"))


@require_POST
@page(perms.WRITE_REPORT)
def report_template(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    template = ReportTemplate.objects.filter(uuid=_uuid(request.POST.get("template", "")), is_active=True).first()
    if template is None:
        raise NotKnown(_("There is no such template."))
    services.apply_template(report, template=template, actor=request.actor)
    return _to(report)


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


@require_POST
@page(perms.WRITE_REPORT)
def macro_save(request: ActorRequest) -> HttpResponse:
    macro = services.save_macro(
        code=request.POST.get("code", ""), words=request.POST.get("text", "").strip(), actor=request.actor
    )
    return JsonResponse({"code": macro.code, "text": macro.text})


# --- signing


@require_POST
@page((perms.SIGN_PRELIMINARY, perms.SIGN_REPORT))
def report_sign(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Save what is on the page, then sign it: ``kind`` preliminary or final; ``then`` next opens the next exam."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    sections, revision = posted_sections(request.POST), posted_revision(request.POST)
    if not report.is_signed and sections:
        if revision is not None and revision != report.revision and not wants_json(request):
            return _conflict_page(request, report, sections)
        report = services.save_report(report, sections=sections, revision=revision, actor=request.actor)
    if request.POST.get("kind") == "preliminary":
        services.sign_preliminary(report, actor=request.actor)
        said = _("Signed as preliminary.")
    else:
        proof(request)
        services.sign_report(report, actor=request.actor)
        said = _("Signed final.")
    messages.success(request, said)
    target = _after_signing(request, report)
    return JsonResponse({"next": target}) if wants_json(request) else HttpResponseRedirect(target)


def _after_signing(request: ActorRequest, report: Report) -> str:
    if request.POST.get("then") == "next":
        return go_on(request, report)
    return reverse("report_detail", args=[report.uuid])


@require_POST
@page(perms.SIGN_REPORT)
def report_addendum(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    proof(request)
    services.add_addendum(report, text=request.POST.get("text", ""), actor=request.actor)
    messages.success(request, _("The addendum is signed. Whoever had an earlier version is told."))
    return HttpResponseRedirect(reverse("report_detail", args=[report.uuid]))


@require_http_methods(["GET", "POST"])
@page(perms.SIGN_REPORT)
def report_correct(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    if request.method == "POST":
        proof(request)
        services.correct_report(
            report,
            sections=posted_sections(request.POST),
            reason=request.POST.get("reason", ""),
            actor=request.actor,
        )
        messages.success(request, _("The correction is signed. Whoever had an earlier version is told."))
        return HttpResponseRedirect(reverse("report_detail", args=[report.uuid]))
    record_read(request.actor, perms.VIEW_REPORT, entity=report)
    context = {
        "nav": "reading",
        "report": report,
        "sections": [(key, label, report.sections.get(key, "")) for key, (_loinc, label) in SECTIONS.items()],
        "patient": report.patient,
        "procedure": report.first_procedure,
        "needs_password": needs_password(request),
        "has_totp": has_totp(request.user),
    }
    return render(request, "reporting/report_correct.html", context)


@require_POST
@page(perms.SIGN_REPORT)
def report_retract(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    proof(request)
    services.retract_report(report, reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("Retracted. The exam is back on the reading list."))
    return HttpResponseRedirect(reverse("report_detail", args=[report.uuid]))


@require_POST
@page(perms.RAISE_CRITICAL)
def report_critical(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Raise a critical result without leaving the editor."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    critical = raise_from(request, report.first_procedure, report=report)
    name, args = ("critical_detail", [critical.uuid]) if report.is_signed else ("report_edit", [uuid])
    return answer_raised(request, critical, back=reverse(name, args=args), report=report)


# --- versions


@require_GET
@page(perms.VIEW_REPORT)
def report_versions(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """What was signed, each version beside the one before it, word by word."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    record_read(request.actor, perms.VIEW_REPORT, entity=report, detail={"page": "versions"})
    versions = list(report.versions.all())
    pairs = []
    for before, version in zip([None, *versions], versions, strict=False):
        pairs.append((version, section_diffs(before.sections if before else version.sections, version.sections)))
    context = {
        "nav": "reading",
        "report": report,
        "pairs": list(reversed(pairs)),
        "patient": report.patient,
        "procedure": report.first_procedure,
    }
    return render(request, "reporting/report_versions.html", context)
