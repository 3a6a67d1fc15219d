"""What an exam is called here, and whether it was of a patient: rules, applied on import and again on demand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Max
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose.bands import age_band, weight_band
from dose.models import DoseReport, ExamRule, IrradiationEvent, MatchField, MatchKind, NotPatientRule, StandardExam
from dose.naming import Facts, first_fit, fits
from dose.rdsr import is_a_patient
from orders.models import Modality
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData
from worklist.services.rendering import PREGNANCY_POSSIBLE, PREGNANCY_YES, pregnancy_status

#: The names of a report by which it is grouped, and the part of the facts that they are
NAMED = {
    "procedure__catalogue__code": MatchField.PROCEDURE_CODE,
    "procedure__description": MatchField.DESCRIPTION,
    "procedure_name": MatchField.STUDY_DESCRIPTION,
    "protocol": MatchField.PROTOCOL,
    "study_description": MatchField.STUDY_DESCRIPTION,
    "series_description": MatchField.SERIES_DESCRIPTION,
    "body_part": MatchField.BODY_PART,
    "procedure__order__indication": MatchField.INDICATION,
}
SETTLED = (
    "protocol", "study_description", "series_description", "body_part", "patient_age_years", "age_band", "weight_band",
    "is_of_a_patient", "is_pregnant", "standard_exam_id", "is_to_classify",
)  # fmt: skip
LOCALIZER_WORDS = ("localizer", "constant angle", "scout", "topogram")


def active_rules() -> list[ExamRule]:
    return list(ExamRule.objects.filter(is_active=True, exam__is_active=True).select_related("exam"))


def facts_of_row(row: dict[str, Any]) -> Facts:
    names: dict[str, list[str]] = {}
    for path, field in NAMED.items():
        if row.get(path):
            names.setdefault(field, []).append(row[path])
    return Facts(row.get("modality", ""), names)


def facts_of(report: DoseReport) -> Facts:
    row: dict[str, Any] = {name: getattr(report, name) for name in NAMED if "__" not in name}
    row["modality"] = report.modality
    if report.procedure is not None:
        row["procedure__description"] = report.procedure.description
        row["procedure__order__indication"] = report.procedure.order.indication
        if report.procedure.catalogue is not None:
            row["procedure__catalogue__code"] = report.procedure.catalogue.code
    return facts_of_row(row)


def is_patient(patient_id: str, patient_name: str, rules: Iterable[NotPatientRule]) -> bool:
    texts = {"patient_id": patient_id, "patient_name": patient_name}
    if any(fits(rule.match, rule.pattern, texts[rule.field]) for rule in rules):
        return False
    return is_a_patient(patient_id, patient_name)


def classify(
    report: DoseReport,
    *,
    events: Iterable[IrradiationEvent] | None = None,
    rules: list[ExamRule] | None = None,
    not_patients: list[NotPatientRule] | None = None,
) -> bool:
    """Settle what it is called, its bands, whether it was of a patient; True when something changed. Not saved."""
    before = [getattr(report, name) for name in SETTLED]
    _describe(report, list(report.events.order_by("position")) if events is None else list(events))
    if report.procedure is not None:
        patient = report.procedure.order.patient
        if report.patient_age_years is None and patient.birth_date and report.performed_at:
            days = (report.performed_at.date() - patient.birth_date).days
            report.patient_age_years = round(days / 365.25, 3) if days >= 0 else None
        alerts = [row for row in patient.alert_rows.all() if row.is_active]
        report.is_pregnant = pregnancy_status(patient, report.procedure, alerts) in (PREGNANCY_POSSIBLE, PREGNANCY_YES)
    report.age_band, report.weight_band = age_band(report.patient_age_years), weight_band(report.patient_weight_kg)
    if not_patients is None:
        not_patients = list(NotPatientRule.objects.filter(is_active=True))
    if report.patient_id or report.patient_name:
        report.is_of_a_patient = is_patient(report.patient_id, report.patient_name, not_patients)
    found = first_fit(active_rules() if rules is None else rules, facts_of(report))
    report.standard_exam = found.exam if found is not None else None
    report.is_to_classify = False
    return [getattr(report, name) for name in SETTLED] != before


def _describe(report: DoseReport, events: list[IrradiationEvent]) -> None:
    """The protocol and the region of the first exposure that is no scout; what its images are called."""
    whole = [event for event in events if not event.event_type.casefold().startswith(LOCALIZER_WORDS)] or events
    report.protocol = next((event.protocol for event in whole if event.protocol), report.protocol)[:128]
    report.body_part = next((event.target_region for event in whole if event.target_region), report.body_part)[:64]
    if report.study is None:
        return
    report.study_description = report.study_description or report.study.description
    series = report.study.series.exclude(modality__in=("SR", "PR", "KO", "DOC")).order_by("number", "pk").first()
    if series is not None:
        report.series_description = series.description or report.series_description
        report.body_part = report.body_part or series.body_part


# --- again on demand


@service(perms.MANAGE_NAMES)
def reapply_rules(*, actor: Actor) -> int:
    """Mark every report that the rules of today would call otherwise; the work follows in the background."""
    rules, not_patients = active_rules(), list(NotPatientRule.objects.filter(is_active=True))
    marked = 0
    for row in named_groups(rules):
        found = first_fit(rules, facts_of_row(row))
        if (found.exam_id if found is not None else None) != row["standard_exam"]:
            of_the_group = {name: row[name] for name in (*_paths(rules), "modality", "standard_exam")}
            same = {
                name if value is not None else f"{name}__isnull": value if value is not None else True
                for name, value in of_the_group.items()
            }
            marked += DoseReport.objects.counted().filter(**same).update(is_to_classify=True)
    named = DoseReport.objects.counted().order_by().values_list("patient_id", "patient_name", "is_of_a_patient")
    for patient_id, patient_name, is_of_a_patient in named.distinct().iterator(chunk_size=2000):
        if not patient_id and not patient_name:
            continue
        if is_patient(patient_id, patient_name, not_patients) != is_of_a_patient:
            same = {"patient_id": patient_id, "patient_name": patient_name, "is_of_a_patient": is_of_a_patient}
            marked += DoseReport.objects.counted().filter(**same).update(is_to_classify=True)
    return marked


def _paths(rules: Iterable[ExamRule]) -> list[str]:
    """The clinical question groups only where a rule asks for it: every exam has another."""
    asked = any(MatchField.INDICATION in (rule.field, rule.also_field) for rule in rules)
    return [path for path, field in NAMED.items() if field != MatchField.INDICATION or asked]


def named_groups(rules: Iterable[ExamRule]) -> Any:
    """Reports that are called alike: their names, their standard exam, how many, the newest."""
    paths = (*_paths(rules), "modality", "standard_exam")
    rows = DoseReport.objects.counted().order_by().values(*paths)
    return rows.annotate(count=Count("pk"), newest=Max("performed_at")).order_by("-count", *paths)


def claim_unclassified(limit: int = 50) -> list[int]:
    return list(DoseReport.objects.filter(is_to_classify=True).order_by("pk").values_list("pk", flat=True)[:limit])


@transaction.atomic
def classify_again(pk: int) -> bool:
    """One report by the rules of today; a second hand finds nothing to do."""
    rows = DoseReport.objects.select_for_update(of=("self",), skip_locked=True)
    report = rows.filter(pk=pk, is_to_classify=True).first()
    if report is None:
        return False
    if classify(report):
        report.save_as(SYSTEM, _("Named by the rules"))
    return True


# --- rules and names


def _refuse(errors: dict[str, list[str]]) -> None:
    if errors:
        raise InvalidData(_("This cannot be kept."), errors=errors)


def _saved(row: Any, actor: Actor, reason: str, field: str, words: str) -> Any:
    try:
        with transaction.atomic():
            row.save_as(actor, reason)
    except IntegrityError:
        raise InvalidData(words, errors={field: [words]}) from None
    return row


EXAM_FIELDS = ("code", "name", "modality", "body_region", "indication", "is_active")


@service(perms.MANAGE_NAMES, action=Action.CREATE)
def save_standard_exam(exam: StandardExam | None = None, *, actor: Actor, **values: Any) -> StandardExam:
    """A new one, or a change of one that is known."""
    is_new = exam is None
    row = StandardExam() if exam is None else StandardExam.locked(exam.pk)
    for name in EXAM_FIELDS:
        if name in values:
            value = values[name]
            setattr(row, name, value.strip() if isinstance(value, str) else value)
    errors: dict[str, list[str]] = {}
    for name, longest in (("code", 40), ("name", 64)):
        if not getattr(row, name):
            errors[name] = [_("This is needed.")]
        elif len(getattr(row, name)) > longest:
            errors[name] = [_("That is too long.")]
    if row.modality not in Modality.values:
        errors["modality"] = [_("Choose one of the list.")]
    _refuse(errors)
    reason = _("Added") if is_new else _("Changed")
    return _saved(row, actor, reason, "code", _("This code is another exam's."))


RULE_FIELDS = ("position", "field", "match", "pattern", "modality", "also_field", "also_pattern", "exam", "is_active")


@service(perms.MANAGE_NAMES, action=Action.CREATE)
def save_rule(rule: ExamRule | None = None, *, actor: Actor, **values: Any) -> ExamRule:
    """A new rule goes to the end unless it names its position."""
    is_new = rule is None
    row = ExamRule(exam=values["exam"]) if rule is None else ExamRule.locked(rule.pk)
    for name in RULE_FIELDS:
        if values.get(name) is not None:
            value = values[name]
            setattr(row, name, value.strip() if isinstance(value, str) else value)
    if is_new and not values.get("position"):
        row.position = (ExamRule.objects.aggregate(last=Max("position"))["last"] or 0) + 10
    _check_pattern(row, MatchField.values, 128)
    reason = _("Added") if is_new else _("Changed")
    return _saved(row, actor, reason, "pattern", _("There is such a rule already."))


def _check_pattern(row: Any, fields: list[str], longest: int) -> None:
    errors: dict[str, list[str]] = {}
    if row.field not in fields:
        errors["field"] = [_("Choose one of the list.")]
    if row.match not in MatchKind.values:
        errors["match"] = [_("Choose one of the list.")]
    if not row.pattern.strip(" *?"):
        errors["pattern"] = [_("It would fit everything.")]
    elif len(row.pattern) > longest:
        errors["pattern"] = [_("That is too long.")]
    also = getattr(row, "also_field", ""), getattr(row, "also_pattern", "")
    if also[0] and also[0] not in fields:
        errors["also_field"] = [_("Choose one of the list.")]
    elif bool(also[0]) != bool(also[1]) or len(also[1]) > longest:
        errors["also_pattern"] = [_("Say what is looked at and which text it contains.")]
    modality = getattr(row, "modality", "")
    if modality and modality not in Modality.values:
        errors["modality"] = [_("Choose one of the list.")]
    _refuse(errors)


@service(perms.MANAGE_NAMES)
def move_rule(rule: ExamRule, *, before: ExamRule | None = None, actor: Actor) -> ExamRule:
    """To the place before another one; without one to the end."""
    rows = [row for row in ExamRule.objects.select_for_update().order_by("position", "pk") if row.pk != rule.pk]
    place = next((index for index, row in enumerate(rows) if before is not None and row.pk == before.pk), len(rows))
    rows.insert(place, ExamRule.locked(rule.pk))
    for number, row in enumerate(rows, 1):
        if row.position != number * 10:
            row.position = number * 10
            row.save_as(actor, _("Moved"))
    return rows[place]


@service(perms.MANAGE_NAMES, action=Action.CREATE)
def save_not_patient_rule(rule: NotPatientRule | None = None, *, actor: Actor, **values: Any) -> NotPatientRule:
    is_new = rule is None
    row = NotPatientRule() if rule is None else NotPatientRule.locked(rule.pk)
    for name in ("field", "match", "pattern", "is_active"):
        if values.get(name) is not None:
            setattr(row, name, values[name].strip() if isinstance(values[name], str) else values[name])
    _check_pattern(row, ["patient_id", "patient_name"], 64)
    reason = _("Added") if is_new else _("Changed")
    return _saved(row, actor, reason, "pattern", _("There is such a rule already."))
