"""Text that is ready: which template a report begins with, who may change it, the starter set.

Which template is chosen by itself (``closeness``): it must fit, that is no condition of it may speak against the exam
(modality, age, sex, site) and it is nobody else's own. Of those that fit, the first difference decides:

1. it names no body region, or this one       5. one's own before a shared one
2. it names this very exam of the catalogue   6. it is for this site
3. it names this body region                  7. it is for this age
4. it names this modality                     8. it is for this sex
                                              9. it is in the reader's language; then the older one
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from orders.models import CatalogueProcedure, RequestedProcedure
from reporting import merge, parts
from reporting import permissions as perms
from reporting.models import SECTIONS, Report, ReportTemplate
from reporting.services.locks import claim, person
from reporting.starter import STARTERS
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import AlreadyExists, InvalidData, NotPermitted

PLAIN_FILM = ("DX", "CR")
#: In a report over several exams these come from the first one's template
OF_THE_FIRST = ("clinical_information", "comparison", "impression", "recommendation")
LANGUAGES = ("en", "sw")


def templates_for(procedures: Sequence[RequestedProcedure], *, user: User | None = None) -> QuerySet[ReportTemplate]:
    """The templates that somebody may begin with for these exams, the general ones among them."""
    modalities = {procedure.modality for procedure in procedures}
    if modalities & set(PLAIN_FILM):
        modalities |= set(PLAIN_FILM)
    fits = Q(modality="") | Q(modality__in=modalities) | Q(catalogue__in=[p.catalogue_id for p in procedures])
    owned = Q(owner__isnull=True) | Q(owner=user) if user is not None else Q(owner__isnull=True)
    return ReportTemplate.objects.filter(fits, owned, is_active=True).distinct().order_by("name")


def template_for(
    procedures: Sequence[RequestedProcedure], *, language: str = "en", user: User | None = None
) -> ReportTemplate | None:
    """The closest template that is chosen by itself; None when there is none."""
    candidates = list(templates_for(procedures, user=user).filter(is_default=True).prefetch_related("catalogue"))
    return closest(candidates, procedures[0], language)


def closest(
    candidates: Iterable[ReportTemplate], procedure: RequestedProcedure, language: str
) -> ReportTemplate | None:
    fitting = [template for template in candidates if fits(template, procedure)]
    return max(fitting, key=lambda template: closeness(template, procedure, language), default=None)


def fits(template: ReportTemplate, procedure: RequestedProcedure) -> bool:
    """Whether no condition of the template speaks against this exam."""
    patient, years = procedure.order.patient, _years(procedure)
    if template.modality and not _same_modality(template.modality, procedure.modality):
        named = any(row.pk == procedure.catalogue_id for row in template.catalogue.all())
        if not named:
            return False
    if template.sex and patient.sex in ("F", "M") and template.sex != patient.sex:
        return False
    if template.site_id and template.site_id != procedure.order.site_id:
        return False
    if template.age_from is not None and (years is None or years < template.age_from):
        return False
    return template.age_to is None or (years is not None and years <= template.age_to)


def closeness(template: ReportTemplate, procedure: RequestedProcedure, language: str) -> tuple[int, ...]:
    """The order of the module's text; larger is closer."""
    region = procedure.body_region or (procedure.catalogue.body_region if procedure.catalogue else "")
    named = any(row.pk == procedure.catalogue_id for row in template.catalogue.all())
    regions = [part.strip() for part in template.body_region.lower().split(",") if part.strip()]
    same_region = bool(regions) and region.lower() in regions
    return (
        not regions or same_region,
        named,
        same_region,
        template.modality != "",
        template.owner_id is not None,
        template.site_id is not None,
        template.age_from is not None or template.age_to is not None,
        template.sex != "",
        template.language == language,
        -(template.pk or 0),
    )


def _same_modality(one: str, other: str) -> bool:
    return one == other or {one, other} <= set(PLAIN_FILM)


def _years(procedure: RequestedProcedure) -> int | None:
    born = procedure.order.patient.birth_date
    moment = procedure.performed_at or procedure.started_at
    on = timezone.localtime(moment).date() if moment else timezone.localdate()
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day)) if born else None


def prior_exams(procedures: Sequence[RequestedProcedure]) -> QuerySet[RequestedProcedure]:
    """The patient's other exams that were performed, newest first."""
    patient = procedures[0].order.patient_id
    rows = RequestedProcedure.objects.filter(
        order__patient_id=patient, status__in=("preliminary", "final", "amended", "distributed")
    )
    return rows.exclude(pk__in=[procedure.pk for procedure in procedures]).order_by("-performed_at", "-pk")


def values_for(procedures: Sequence[RequestedProcedure], language: str) -> dict[str, str]:
    """What merge fields become in a report of that language."""
    priors = list(prior_exams(procedures)[:3])
    with translation.override(language if language in LANGUAGES else "en"):
        return merge.merge_values(procedures, priors)


def filled_sections(template: ReportTemplate, procedures: Sequence[RequestedProcedure]) -> dict[str, str]:
    """The template's text with its merge fields filled."""
    values = values_for(procedures, template.language)
    with translation.override(template.language if template.language in LANGUAGES else "en"):
        return {key: merge.filled(words, values) for key, words in template.sections.items()}


def begun_sections(
    template: ReportTemplate | None, procedures: Sequence[RequestedProcedure], *, user: User, language: str
) -> dict[str, str]:
    """What a new report holds: of several exams, each one's findings come from its own closest template."""
    first = filled_sections(template, procedures) if template else {}
    if len(procedures) < 2:
        return first
    begun = {key: words for key, words in first.items() if key in OF_THE_FIRST}
    techniques = []
    for procedure in procedures:
        own = template_for([procedure], language=language, user=user)
        text = filled_sections(own, [procedure]) if own else {}
        begun[parts.part_key(procedure)] = text.get("findings", "")
        techniques.append(text.get("technique", ""))
    begun["technique"] = "\n".join(dict.fromkeys(filter(None, techniques)))
    return parts.with_parts({}, begun, procedures)


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def apply_template(
    report: Report, *, template: ReportTemplate, procedure: RequestedProcedure | None = None, actor: Actor
) -> Report:
    """Begin again with another template; of several exams, ``procedure`` takes only its findings from it.

    What was typed stays in the history and in sections that the template does not name.
    """
    from reporting.services.writing import already_signed, write_sections

    user = person(actor)
    if template.owner_id not in (None, user.pk):
        raise NotPermitted(_("That template is somebody else's own."))
    procedures = list(
        report.procedures.select_related("order__patient", "order__requester", "order__site", "catalogue").order_by(
            "pk"
        )
    )
    report = Report.locked(report.pk)
    if not report.is_draft:
        raise already_signed(report)
    claim(procedures, user)
    untouched = _untouched(report, procedures)
    chosen = procedure or (procedures[0] if len(procedures) == 1 else None)
    if procedure is not None and procedure.pk not in {row.pk for row in procedures}:
        raise InvalidData(_("This exam is not in the report."), errors={"procedure": _("Not in this report.")})
    if chosen is not None and len(procedures) > 1:
        sections = {parts.part_key(chosen): filled_sections(template, [chosen]).get("findings", "")}
        if template.is_form:
            report.template = template
    else:
        report.template, report.language = template, template.language
        sections = {**dict.fromkeys(untouched, ""), **filled_sections(template, procedures)}
        if len(procedures) > 1:
            sections = {key: words for key, words in sections.items() if key != "findings"}
    write_sections(report, sections, actor)
    report.save_as(actor, f"Template {template.name}")
    return report


def _untouched(report: Report, procedures: Sequence[RequestedProcedure]) -> list[str]:
    """Sections that still say what the template before put there."""
    if report.template is None:
        return []
    begun = filled_sections(report.template, procedures)
    return [key for key, words in begun.items() if words.strip() and report.sections.get(key) == words]


def check_words(words: Mapping[str, str]) -> None:
    """Raise InvalidData when ready text names a merge field that is none."""
    errors = {}
    for key, value in words.items():
        unknown = merge.unknown_fields(value)
        if unknown:
            errors[key] = _("There is no such merge field: %(names)s.") % {"names": ", ".join(unknown)}
    if errors:
        raise InvalidData(
            _("The text names what cannot be filled in."),
            todo=_("Use one of: %(names)s.") % {"names": ", ".join(merge.MERGE_FIELDS)},
            errors=errors,
        )


def may_change(row: Any, actor: Actor) -> bool:
    """One's own is one's own; the shared ones need a right of their own."""
    if row.owner_id is not None:
        return actor.user is not None and row.owner_id == actor.user.pk and actor.may(perms.WRITE_REPORT)
    return actor.may(perms.MANAGE_TEMPLATES)


def require_change(row: Any, actor: Actor) -> None:
    if not may_change(row, actor):
        raise NotPermitted(
            _("This is not yours to change."),
            found=_("It is shared by everybody, or somebody else's own."),
            todo=_("Make a copy of your own and change that."),
        )


@service(perms.VIEW_TEMPLATE, action=Action.UPDATE)
def save_template(
    template: ReportTemplate | None = None,
    *,
    catalogue: Iterable[CatalogueProcedure] | None = None,
    actor: Actor,
    **values: Any,
) -> ReportTemplate:
    """Make a template, or change one. ``sections`` maps section keys to text with merge fields and ``[blanks]``.

    Shared ones need ``reporting.manage_templates``; with ``owner`` the actor's user, writing reports is enough.
    """
    from reporting.services.writing import clean_sections

    template = ReportTemplate() if template is None else ReportTemplate.locked(template.pk)
    if template.pk is not None:
        require_change(template, actor)
    if "sections" in values:
        values["sections"] = {k: v for k, v in clean_sections(values["sections"]).items() if k in SECTIONS}
        check_words(values["sections"])
    for name, value in values.items():
        setattr(template, name, value)
    require_change(template, actor)
    ages = (template.age_from, template.age_to)
    if None not in ages and ages[0] > ages[1]:
        raise InvalidData(_("These ages are the wrong way round."), errors={"age_to": _("Before the first age.")})
    if template.is_active:
        same = ReportTemplate.objects.filter(name=template.name, language=template.language, is_active=True)
        if same.filter(owner=template.owner_id).exclude(pk=template.pk).exists():
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
        for language, text in starter.texts.items():
            if (text.name, language) in known:
                continue
            template = ReportTemplate(
                name=text.name,
                language=language,
                modality=starter.modality,
                body_region=", ".join(starter.regions),
                sex=starter.sex,
                age_from=starter.age_from,
                age_to=starter.age_to,
                sections=text.sections,
                is_default=starter.is_default,
            )
            template.save_as(actor, "Starter set")
            made += 1
    return made
