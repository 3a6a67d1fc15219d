"""The page a report is written on: its text, form, exams, templates, macros, dictation. Signing is in ``report``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from orders.models import RequestedProcedure
from reporting import parts, selectors, services
from reporting import permissions as perms
from reporting.models import SECTIONS, Report, ReportStatus, ReportTemplate
from reporting.mrrt.answers import still_open
from reporting.mrrt.form import Form
from reporting.selectors.viewer import studies_of_procedures
from reporting.services.checks import checks_of
from reporting.services.critical_report import pending_sentences
from reporting.services.dictation import is_offered, words_of
from reporting.services.forms import begun_answers, form_of_report
from reporting.services.macros import usable_macros
from reporting.services.templates import templates_for
from reporting.services.writing import READABLE
from reporting.web import report as pages
from reporting.web.assessing import assessments_context
from reporting.web.conflict import chosen_sections, conflict_page
from reporting.web.critical_raise import raise_context
from reporting.web.forms import posted_revision, posted_sections
from reporting.web.proof import proof_context, wants_json
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown
from worklist.permissions import VIEW_STUDY

ROWS = {"findings": 6, "impression": 3}
MOST_AUDIO = 8 * 1024 * 1024


@require_GET
@page(perms.VIEW_REPORT)
def report_page(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The editor for who holds the lock, the report for all others."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    record_read(request.actor, perms.VIEW_REPORT, entity=report)
    lock = selectors.live_lock_of(report)
    writes = report.is_draft or report.status == ReportStatus.PRELIMINARY
    if writes and lock is not None and lock.user == request.user and request.actor.may(perms.WRITE_REPORT):
        return _editor(request, report)
    return pages.detail_page(request, report, lock=lock)


def _editor(request: ActorRequest, report: Report) -> HttpResponse:
    procedures = pages.procedures_of(report)
    studies = studies_of_procedures(procedures, actor=request.actor) if request.actor.may(VIEW_STUDY) else []
    context = {
        "nav": "reading",
        "report": report,
        "sections": section_rows(report, procedures),
        **pages.checks_context(checks_of(report)),
        "macros": usable_macros(request.actor, procedures, report.language),
        "templates": list(templates_for(procedures, user=request.user)),
        **proof_context(request),
        **assessments_context(report, procedures),
        "raise_action": reverse("report_critical", args=[report.uuid]),
        **raise_context(procedures[0], report=report),
        "may_sign": request.actor.may(perms.SIGN_REPORT),
        "may_dictate": is_offered(),
        "together": _together(request, procedures) if report.is_draft else [],
        **_form_context(report, procedures),
        "viewer_pane": True,
        "viewer_studies": studies,
        "has_images": any(study.instance_count for study in studies),
        **pages.surroundings(request, procedures, timeline=reverse("report_timeline", args=[report.uuid])),
        **pages.time_left(procedures[0]),
    }
    context["pending_sentences"] = pending_sentences(report, context["criticals"])
    return render(request, "reporting/report_edit.html", context)


def section_rows(report: Report, procedures: list[RequestedProcedure]) -> list[dict[str, Any]]:
    """What is written into, in reading order: the findings of each exam under its own heading."""
    rows: list[dict[str, Any]] = []
    titles = parts.headings(procedures) if len(procedures) > 1 else {}
    by_key = {parts.part_key(procedure): procedure for procedure in procedures}
    for key, (_loinc, label) in SECTIONS.items():
        if key == "findings" and titles:
            rows += [_row(report, part, label, title, by_key[part]) for part, title in titles.items()]
        else:
            rows.append(_row(report, key, label))
    for number, row in enumerate(rows, 1):
        row["chord"] = f"alt+{number}" if number < 10 else ""
    return rows


def _row(report: Report, key: str, label: Any, title: str = "", procedure: Any = None) -> dict[str, Any]:
    kind = key.split(":")[0]
    return {
        "key": key,
        "id": key.replace(":", "-"),
        "kind": kind,
        "label": label,
        "title": title,
        "procedure": procedure,
        "words": report.sections.get(key, ""),
        "rows": ROWS.get(kind, 1),
    }


def _together(request: ActorRequest, procedures: list[RequestedProcedure]) -> list[RequestedProcedure]:
    """Exams of the patient that could join the report."""
    rows = RequestedProcedure.objects.visible_to(request.actor).filter(
        order__patient=procedures[0].order.patient_id, status__in=READABLE, reports__isnull=True
    )
    return list(rows.order_by("pk")[:8])


def _form_context(report: Report, procedures: list[RequestedProcedure]) -> dict[str, Any]:
    known = form_of_report(report)
    if known is None:
        return {"form": None}
    form, filled = known
    answers = filled.answers if filled is not None else begun_answers(form, report, procedures)
    return {"form": form, "form_sections": form_sections(form, answers), "form_open": len(still_open(form, answers))}


def form_sections(form: Form, answers: dict[str, Any]) -> list[dict[str, Any]]:
    """The form for a template: lines of words and fields, each field with what it holds."""
    found = []
    for section in form.sections:
        lines = [
            [{"words": item} if isinstance(item, str) else {"field": item, **_held(item, answers)} for item in line]
            for line in section.lines
        ]
        found.append({"section": section, "lines": lines})
    return found


def _held(field: Any, answers: dict[str, Any]) -> dict[str, Any]:
    given = answers.get(field.id, "")
    chosen = given if isinstance(given, list) else [given]
    options = [(option.value, option.label, option.value in chosen) for option in field.options]
    return {"value": given, "options": options}


# --- saving


def _written(request: ActorRequest, uuid: UUID) -> Report:
    """The report without what only its page shows: an autosave comes every few seconds."""
    report = Report.objects.visible_to(request.actor).filter(uuid=uuid).first()
    if report is None:
        raise NotKnown(_("There is no such report in this facility."))
    return report


@require_POST
@page(perms.WRITE_REPORT)
def report_save(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Autosave (answers JSON) and the button of a page without scripts (goes back to it)."""
    report = _written(request, uuid)
    sections, revision = posted_sections(request.POST), posted_revision(request.POST)
    sections = chosen_sections(request.POST, sections, report)
    stale = revision is not None and revision != report.revision and not report.is_signed
    if stale and not wants_json(request):
        return conflict_page(request, report, sections)
    report = services.save_report(report, sections=sections, revision=revision, actor=request.actor)
    if not wants_json(request):
        messages.success(request, _("Saved."))
        return _to(report)
    return JsonResponse(_saved(request, report))


def _saved(request: HttpRequest, report: Report) -> dict[str, Any]:
    context = {"report": report, **pages.checks_context(checks_of(report))}
    return {
        "revision": report.revision,
        "saved_at": f"{timezone.localtime():%H:%M:%S}",
        "status": report.status,
        "checks": render_to_string("reporting/_checks.html", context, request=request),
    }


def _to(report: Report) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("report_edit", args=[report.uuid]))


@require_POST
@page(perms.WRITE_REPORT)
def report_compare(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """What the editor's Compare button shows after a conflict."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    return conflict_page(request, report, posted_sections(request.POST))


@require_POST
@page(perms.WRITE_REPORT)
def report_form(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The answers of the form; what they put into the sections comes back."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    known = form_of_report(report)
    if known is None:
        raise InvalidData(_("This report is not written with a form."))
    answers = posted_answers(request.POST, known[0])
    chosen = request.POST.get("procedure", "")
    procedure = _exam(request, chosen) if chosen else None
    revision = posted_revision(request.POST)
    report = services.fill_form(report, answers=answers, revision=revision, procedure=procedure, actor=request.actor)
    if not wants_json(request):
        messages.success(request, _("Saved."))
        return _to(report)
    return JsonResponse({**_saved(request, report), "sections": report.sections})


def posted_answers(data: Any, form: Form) -> dict[str, Any]:
    return {
        field.id: data.getlist(f"f-{field.id}") if field.kind == "several" else data.get(f"f-{field.id}", "")
        for field in form.fields.values()
    }


# --- exams, templates, macros


def _exam(request: ActorRequest, value: str) -> RequestedProcedure:
    key = _uuid(value)
    found = RequestedProcedure.objects.visible_to(request.actor).filter(uuid=key).first() if key else None
    if found is None:
        raise NotKnown(_("There is no such exam in this facility."))
    return found


@require_POST
@page(perms.WRITE_REPORT)
def report_exam_add(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    procedure = _exam(request, request.POST.get("procedure", ""))
    services.add_procedure(report, procedure=procedure, actor=request.actor)
    messages.success(request, _("The exam is in this report now, with findings of its own."))
    return _to(report)


@require_POST
@page(perms.WRITE_REPORT)
def report_exam_remove(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    procedure = _exam(request, request.POST.get("procedure", ""))
    services.remove_procedure(report, procedure=procedure, actor=request.actor)
    messages.success(request, _("The exam is back on the list; its findings went along as a draft."))
    return _to(report)


@require_POST
@page(perms.WRITE_REPORT)
def report_template(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    known = ReportTemplate.objects.visible_to(request.actor)
    template = known.filter(uuid=_uuid(request.POST.get("template", "")), is_active=True).first()
    if template is None:
        raise NotKnown(_("There is no such template."))
    chosen = request.POST.get("procedure", "")
    procedure = _exam(request, chosen) if chosen else None
    services.apply_template(report, template=template, procedure=procedure, actor=request.actor)
    return _to(report)


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


@require_POST
@page(perms.WRITE_REPORT)
def macro_save(request: ActorRequest) -> HttpResponse:
    """A macro of one's own, from the editor."""
    macro = services.save_macro(
        code=request.POST.get("code", ""), words=request.POST.get("text", "").strip(), actor=request.actor
    )
    return JsonResponse({"code": macro.code, "text": macro.text})


@require_POST
@page(perms.WRITE_REPORT)
def report_dictate(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """What was spoken, as words: the audio goes to the facility's speech server and is kept nowhere."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    audio = request.FILES.get("audio")
    if audio is None or not audio.size or audio.size > MOST_AUDIO:
        raise InvalidData(_("There is nothing to hear, or too much at once."), errors={"audio": _("Up to 8 MB.")})
    words = words_of(
        report, audio.read(), content_type=audio.content_type or "", language=report.language, actor=request.actor
    )
    return JsonResponse({"text": words})
