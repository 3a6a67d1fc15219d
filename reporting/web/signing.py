"""Signatures and what follows: recall, addendum, correction, retraction, co-signature; several at once; versions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from reporting import permissions as perms
from reporting import selectors, services
from reporting.diff import SectionDiff, section_diffs
from reporting.models import SECTIONS, CheckLevel, Report, ReportVersion
from reporting.selectors.reports import attending_changes, changes_for
from reporting.services.batch import candidates, own_unsigned
from reporting.services.checks import CHECKS, levels_set
from reporting.web.conflict import conflict_page
from reporting.web.forms import posted_revision, posted_sections
from reporting.web.proof import proof, proof_context, wants_json
from reporting.web.reading import go_on
from ris.accounts.selectors import facility_settings
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read


def _to_detail(report: Report) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("report_detail", args=[report.uuid]))


@require_POST
@page((perms.SIGN_PRELIMINARY, perms.SIGN_REPORT))
def report_sign(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Save what is on the page, then sign it: ``kind`` preliminary or final; ``then`` next opens the next exam."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    sections, revision = posted_sections(request.POST), posted_revision(request.POST)
    if not report.is_signed and sections:
        if revision is not None and revision != report.revision and not wants_json(request):
            return conflict_page(request, report, sections)
        report = services.save_report(report, sections=sections, revision=revision, actor=request.actor)
    shown = request.POST.get("viewer_study", "")[:64]
    if request.POST.get("kind") == "preliminary":
        services.sign_preliminary(report, viewer_study=shown, actor=request.actor)
        said = _("Signed as preliminary.")
    else:
        proof(request)
        report = services.sign_report(
            report, viewer_study=shown, at_once=request.POST.get("at_once") == "1", actor=request.actor
        )
        said = _("Signed final.")
        if report.is_held:
            minutes = facility_settings().recall_minutes
            said = ngettext(
                "Signed final. You may recall it for %(n)d minute.",
                "Signed final. You may recall it for %(n)d minutes.",
                minutes,
            ) % {"n": minutes}
    messages.success(request, said)
    is_next = request.POST.get("then") == "next"
    target = go_on(request, report) if is_next else reverse("report_detail", args=[report.uuid])
    return JsonResponse({"next": target}) if wants_json(request) else HttpResponseRedirect(target)


@require_POST
@page(perms.SIGN_REPORT)
def report_recall(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.recall_report(report, reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("Recalled: nothing has left. Go on writing."))
    return HttpResponseRedirect(reverse("report_edit", args=[report.uuid]))


@require_POST
@page(perms.SIGN_REPORT)
def report_send_now(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.release_now(report, actor=request.actor)
    messages.success(request, _("The report is on its way."))
    return _to_detail(report)


@require_POST
@page(perms.SIGN_REPORT)
def report_co_sign(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    proof(request)
    services.co_sign(report, actor=request.actor)
    messages.success(request, _("Co-signed."))
    return _to_detail(report)


@require_POST
@page(perms.SIGN_REPORT)
def report_addendum(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    proof(request)
    services.add_addendum(report, text=request.POST.get("text", ""), actor=request.actor)
    messages.success(request, _("The addendum is signed. Whoever had an earlier version is told."))
    return _to_detail(report)


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
        return _to_detail(report)
    record_read(request.actor, perms.VIEW_REPORT, entity=report)
    context = {
        "nav": "reading",
        "report": report,
        "sections": [(key, label, report.sections.get(key, "")) for key, (_loinc, label) in SECTIONS.items()],
        "patient": report.patient,
        "procedure": report.first_procedure,
        **proof_context(request),
    }
    return render(request, "reporting/report_correct.html", context)


@require_POST
@page(perms.SIGN_REPORT)
def report_retract(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    proof(request)
    services.retract_report(report, reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("Retracted. The exam is back on the reading list."))
    return _to_detail(report)


# --- several at once


@require_http_methods(["GET", "POST"])
@page(perms.SIGN_REPORT)
def sign_batch(request: ActorRequest) -> HttpResponse:
    """One's own drafts and preliminaries whose checks are clean, signed with one proof; each with its outcome."""
    outcomes: list[Any] = []
    if request.method == "POST":
        proof(request)
        wanted = set(request.POST.getlist("report"))
        chosen = [row for row in own_unsigned(request.actor) if str(row.uuid) in wanted]
        outcomes = services.sign_batch(chosen, actor=request.actor)
    rows = candidates(request.actor)
    patients = sorted({row.report.patient.uuid for row in rows})
    record_read(request.actor, perms.SIGN_REPORT, patients=patients, detail={"rows": len(rows)})
    context = {
        "nav": "reading",
        "clean": [row for row in rows if row.is_clean],
        "others": [row for row in rows if not row.is_clean],
        "signed": [row for row in outcomes if not row.refusal],
        "refused": [row for row in outcomes if row.refusal],
        **proof_context(request),
    }
    return render(request, "reporting/sign_batch.html", context)


# --- what attendings changed


@require_GET
@page(perms.SIGN_PRELIMINARY)
def changes_list(request: ActorRequest) -> HttpResponse:
    """Own preliminary reports that an attending has signed, with what was changed; those not looked at yet."""
    rows = [(report, attending_changes(report)) for report in changes_for(request.actor)[:50]]
    patients = sorted({report.patient.uuid for report, _diffs in rows})
    record_read(request.actor, perms.SIGN_PRELIMINARY, patients=patients, detail={"rows": len(rows)})
    return render(request, "reporting/changes.html", {"nav": "reading", "rows": rows})


@require_POST
@page(perms.SIGN_PRELIMINARY)
def changes_seen(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.mark_changes_seen(report, actor=request.actor)
    return HttpResponseRedirect(reverse("report_changes"))


# --- versions


@require_GET
@page(perms.VIEW_REPORT)
def report_versions(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """What was signed, each version beside the one before it; ``?from=1&to=3`` compares any two, word by word."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    record_read(request.actor, perms.VIEW_REPORT, entity=report, detail={"page": "versions"})
    versions = list(report.versions.all()) if request.actor.may(perms.WRITE_REPORT) else report.standing_versions
    known = {str(row.number): row for row in versions}
    old, new = known.get(request.GET.get("from", "")), known.get(request.GET.get("to", ""))
    pairs = _compared(versions) if old is None or new is None else [(new, section_diffs(old.sections, new.sections))]
    context = {
        "nav": "reading",
        "report": report,
        "versions": versions,
        "old": old,
        "new": new,
        "pairs": list(reversed(pairs)),
        "patient": report.patient,
        "procedure": report.first_procedure,
    }
    return render(request, "reporting/report_versions.html", context)


def _compared(versions: list[ReportVersion]) -> list[tuple[ReportVersion, list[SectionDiff]]]:
    return [
        (version, section_diffs(before.sections if before else version.sections, version.sections))
        for before, version in zip([None, *versions], versions, strict=False)
    ]


# --- what stops a signature


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_CHECKS)
def signing_checks(request: ActorRequest) -> HttpResponse:
    """Every check with the weight that this facility gives it."""
    if request.method == "POST":
        services.set_check_level(request.POST.get("code", ""), level=request.POST.get("level", ""), actor=request.actor)
        messages.success(request, _("Saved."))
        return HttpResponseRedirect(reverse("signing_checks"))
    levels = levels_set()
    rows = [
        {
            "code": code,
            "title": kind.title,
            "level": levels.get(code, kind.level),
            "by_itself": CheckLevel(kind.level).label,
            "choices": [(value, CheckLevel(value).label) for value in kind.may_be],
        }
        for code, kind in CHECKS.items()
    ]
    return render(request, "reporting/signing_checks.html", {"nav": "signing-checks", "rows": rows})
