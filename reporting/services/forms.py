"""Forms (MRRT): templates taken in from HTML5 documents, and filled in inside a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from reporting import merge, parts
from reporting import permissions as perms
from reporting.models import FilledForm, Report, ReportTemplate
from reporting.mrrt.answers import checked_answers, coded_answers, section_texts
from reporting.mrrt.document import document_of, read
from reporting.mrrt.form import Form, form_of
from reporting.mrrt.tree import NotATemplate
from reporting.services.locks import claim, person
from reporting.services.templates import require_change, values_for
from reporting.services.writing import already_signed, check_revision, write_sections
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData

LANGUAGES = ("en", "sw")


@dataclass(frozen=True)
class ImportResult:
    template: ReportTemplate
    stripped: list[str]


def decoded(body: bytes) -> str:
    """The characters of a document that was sent; NotATemplate unless it is UTF-8."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise NotATemplate(
            _("The document is not UTF-8."),
            found=_("Byte %(number)d is none.") % {"number": exc.start},
            todo=_("Save it as UTF-8 and send it again."),
        ) from None


@service(perms.VIEW_TEMPLATE, action=Action.CREATE)
def import_template(
    source: str, *, template: ReportTemplate | None = None, is_own: bool = False, actor: Actor, **values: Any
) -> ImportResult:
    """Take in a form; with ``template`` in place of its earlier edition. ``values``: modality, body_region, sex, …

    Scripts, styles, handlers and references are stripped and named in the answer. Raises NotATemplate with the reason.
    """
    imported = read(source)
    unknown = [name for words in imported.sections.values() for name in merge.unknown_fields(words)]
    if unknown:
        raise NotATemplate(
            _("The template names merge fields that there are not: %(names)s.") % {"names": ", ".join(unknown)}
        )
    if template is None:
        template = ReportTemplate(owner=actor.user if is_own else None)
    else:
        template = ReportTemplate.locked(template.pk)
    require_change(template, actor)
    form = imported.form
    template.name, template.description, template.language = form.title, form.description, form.language
    template.mrrt, template.sections = imported.html, imported.sections
    for name, value in values.items():
        setattr(template, name, value)
    same = ReportTemplate.objects.filter(name=template.name, language=template.language, owner=template.owner_id)
    if same.filter(is_active=True).exclude(pk=template.pk).exists():
        raise AlreadyExists(
            _("There is a template of that name."),
            found=_("“%(name)s” is in use.") % {"name": template.name},
            todo=_("Put this edition in its place, or change the title."),
            errors={"name": _("Taken.")},
        )
    template.save_as(actor, "Imported")
    return ImportResult(template, imported.stripped)


def export_template(template: ReportTemplate) -> str:
    """The template as an HTML5 document."""
    return document_of(template)


def begun_answers(form: Form, report: Report, procedures: list[RequestedProcedure]) -> dict[str, Any]:
    """What the form's fields begin with, merge fields filled."""
    values = values_for(procedures, report.language)
    return {
        name: merge.filled(given, values) if isinstance(given, str) else given
        for name, given in form.defaults().items()
    }


def form_of_report(report: Report) -> tuple[Form, FilledForm | None] | None:
    """The form that a report is written with, and what was answered so far; None when it is plain text."""
    if report.template is not None and not report.template.is_form:
        return None
    filled = FilledForm.objects.select_related("template").filter(report=report).first()
    template = filled.template if filled is not None else report.template
    if template is None or not template.is_form:
        return None
    if filled is not None and report.template_id not in (None, filled.template_id):
        template, filled = report.template, None
    return form_of(template.mrrt), filled


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def fill_form(
    report: Report,
    *,
    answers: Mapping[str, Any],
    revision: int | None,
    procedure: RequestedProcedure | None = None,
    actor: Actor,
) -> Report:
    """Keep the answers as data and put their text into the sections, in place of what they put there before.

    What somebody wrote beside it stays. Of several exams, ``procedure`` gets the findings.
    """
    user = person(actor)
    procedures = list(report.procedures.select_related("order__patient").order_by("pk"))
    report = Report.locked(report.pk)
    if not report.is_draft and report.is_signed:
        raise already_signed(report)
    known = form_of_report(report)
    if known is None:
        raise InvalidData(_("This report is not written with a form."), todo=_("Choose a template that is a form."))
    check_revision(report, revision)
    claim(procedures, user)
    form, filled = known
    kept = checked_answers(form, answers)
    texts = section_texts(form, kept)
    if len(procedures) > 1 and "findings" in texts:
        chosen = procedure if procedure is not None else procedures[0]
        texts[parts.part_key(chosen)] = texts.pop("findings")
    before = filled.written if filled is not None else _begun_texts(report, form)
    sections = {
        key: _put(report.sections.get(key, ""), before.get(key, ""), texts.get(key, ""))
        for key in {*texts, *before}
        if key in report.sections or key in texts
    }
    write_sections(report, sections, actor)
    if filled is None:
        filled = FilledForm.objects.filter(report=report).first() or FilledForm(report=report)
    filled.template = report.template if report.template is not None else filled.template
    filled.answers, filled.coded, filled.written = kept, coded_answers(form, kept), texts
    filled.save_as(actor, "Filled in")
    report.save_as(actor, "Form filled in")
    return report


def _begun_texts(report: Report, form: Form) -> dict[str, str]:
    procedures = list(report.procedures.select_related("order__patient").order_by("pk"))
    return section_texts(form, begun_answers(form, report, procedures))


def _put(now: str, before: str, new: str) -> str:
    """The section with ``new`` where ``before`` stands in it; at its end when somebody has changed that."""
    if not now.strip() or now.strip() == before.strip():
        return new
    if before.strip() and before.strip() in now:
        return now.replace(before.strip(), new, 1)
    return f"{now.rstrip()}\n{new}" if new and new not in now else now
