"""Text that is ready: which template a report begins with, merge fields, macros, the starter set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from orders.models import CatalogueProcedure, RequestedProcedure
from reporting import permissions as perms
from reporting.models import Macro, Report, ReportTemplate
from reporting.services.locks import claim, person
from reporting.starter_templates import STARTERS
from ris.audit.models import Action
from ris.audit.service import service
from ris.core import text
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import AlreadyExists, InvalidData

MERGE_FIELD = re.compile(r"\{(\w+)\}")
PLAIN_FILM = ("DX", "CR")


def templates_for(procedures: Sequence[RequestedProcedure]) -> QuerySet[ReportTemplate]:
    """The templates that fit these exams, and the general ones."""
    modalities = {procedure.modality for procedure in procedures}
    if modalities & set(PLAIN_FILM):
        modalities |= set(PLAIN_FILM)
    fits = Q(modality="") | Q(modality__in=modalities) | Q(catalogue__in=[p.catalogue_id for p in procedures])
    return ReportTemplate.objects.filter(fits, is_active=True).distinct().order_by("name")


def template_for(procedures: Sequence[RequestedProcedure], *, language: str = "en") -> ReportTemplate | None:
    """The closest template: named for the exam, else by region, else by modality; the reader's language first."""
    first = procedures[0]
    candidates = templates_for(procedures).filter(is_default=True).prefetch_related("catalogue")
    ranked = sorted(candidates, key=lambda template: _closeness(template, first, language), reverse=True)
    return ranked[0] if ranked else None


def _closeness(template: ReportTemplate, procedure: RequestedProcedure, language: str) -> tuple[int, ...]:
    region = procedure.body_region or (procedure.catalogue.body_region if procedure.catalogue else "")
    named = any(row.pk == procedure.catalogue_id for row in template.catalogue.all())
    regions = [part.strip() for part in template.body_region.lower().split(",") if part.strip()]
    same_region = bool(regions) and region.lower() in regions
    elsewhere = bool(regions) and not same_region
    return (named, not elsewhere, same_region, template.modality != "", template.language == language, -template.pk)


def merge_values(procedures: Sequence[RequestedProcedure]) -> dict[str, str]:
    """What merge fields become: from the order, the protocol and the patient's earlier exams."""
    first = procedures[0]
    priors = prior_exams(procedures)[:3]
    said = ", ".join(f"{row.description_with_side} {text.day(row.performed_at or row.started_at)}" for row in priors)
    return {
        "indication": "\n".join(dict.fromkeys(p.order.indication for p in procedures if p.order.indication)),
        "exam": "; ".join(procedure.description_with_side for procedure in procedures),
        "contrast": _(" with %(contrast)s") % {"contrast": first.contrast} if first.contrast else "",
        "comparison": said + "." if said else _("None."),
        "sex": text.sex(first.order.patient.sex),
        "age": text.age(first.order.patient.birth_date),
    }


def prior_exams(procedures: Sequence[RequestedProcedure]) -> QuerySet[RequestedProcedure]:
    """The patient's other exams that were performed, newest first."""
    patient = procedures[0].order.patient_id
    rows = RequestedProcedure.objects.filter(
        order__patient_id=patient, status__in=("preliminary", "final", "amended", "distributed")
    )
    return rows.exclude(pk__in=[procedure.pk for procedure in procedures]).order_by("-performed_at", "-pk")


def filled_sections(template: ReportTemplate, procedures: Sequence[RequestedProcedure]) -> dict[str, str]:
    """The template's text with its merge fields filled; unknown ones stay as they are."""
    with translation.override(template.language):
        values = merge_values(procedures)
    return {
        key: MERGE_FIELD.sub(lambda found: values.get(found[1], found[0]), words)
        for key, words in template.sections.items()
    }


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def apply_template(report: Report, *, template: ReportTemplate, actor: Actor) -> Report:
    """Begin again with another template. What was typed stays in the history and in sections it does not name."""
    from reporting.services.writing import already_signed, write_sections

    user = person(actor)
    procedures = list(report.procedures.select_related("order__patient", "catalogue"))
    report = Report.locked(report.pk)
    if not report.is_draft:
        raise already_signed(report)
    claim(procedures, user)
    report.template, report.language = template, template.language
    write_sections(report, filled_sections(template, procedures), actor)
    report.save_as(actor, f"Template {template.name}")
    return report


def macros_for(actor: Actor, language: str = "") -> QuerySet[Macro]:
    """One's own and the shared ones."""
    rows = Macro.objects.filter(Q(owner=actor.user) | Q(owner__isnull=True), is_active=True)
    return rows.filter(language=language) if language else rows


@service(perms.WRITE_REPORT, action=Action.CREATE)
def save_macro(*, code: str, words: str, language: str = "en", actor: Actor) -> Macro:
    """Make or change a macro of one's own."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{2,24}", code):
        raise InvalidData(_("A short code has 2 to 24 letters or digits."), errors={"code": _("Not a short code.")})
    macro = Macro.objects.filter(code=code, owner=actor.user, language=language, is_active=True).first()
    macro = macro or Macro(code=code, owner=actor.user, language=language)
    macro.text = words
    macro.save_as(actor, "Saved")
    return macro


@service(perms.MANAGE_TEMPLATES, action=Action.UPDATE)
def save_template(
    template: ReportTemplate | None = None,
    *,
    catalogue: Iterable[CatalogueProcedure] | None = None,
    actor: Actor,
    **values: Any,
) -> ReportTemplate:
    """Make a template, or change one. ``sections`` maps section keys to text with merge fields and ``[fields]``."""
    from reporting.services.writing import clean_sections

    template = ReportTemplate() if template is None else ReportTemplate.locked(template.pk)
    if "sections" in values:
        values["sections"] = clean_sections(values["sections"])
    for name, value in values.items():
        setattr(template, name, value)
    if template.is_active:
        same = ReportTemplate.objects.filter(name=template.name, language=template.language, is_active=True)
        if same.exclude(pk=template.pk).exists():
            raise AlreadyExists(_("There is a template of that name."), errors={"name": _("Taken.")})
    template.save_as(actor, "Saved")
    if catalogue is not None:
        template.catalogue.set(catalogue)
    return template


def ensure_templates(actor: Actor = SYSTEM) -> int:
    """Make the starter templates that the facility has never had; answers how many. What people changed stays."""
    known = set(ReportTemplate.objects.values_list("name", "language"))
    made = 0
    for starter in STARTERS:
        for language, (name, sections) in (("en", starter.en), ("sw", starter.sw)):
            if (name, language) in known:
                continue
            template = ReportTemplate(
                name=name,
                language=language,
                modality=starter.modality,
                body_region=", ".join(starter.regions),
                sections=sections,
                is_default=True,
            )
            template.save_as(actor, "Starter set")
            made += 1
    return made
