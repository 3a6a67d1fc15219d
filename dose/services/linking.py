"""A dose report belongs to an exam: by its identifiers, by its images, or because a person says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose.events import DoseReportLinked
from dose.models import DoseReport
from dose.rdsr import ParsedDose
from dose.services.naming import classify
from dose.services.triggers import pull_triggers
from orders.models import PatientIdentifier, RequestedProcedure
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData, NotKnown
from ris.events.bus import publish
from worklist.models import ImagingInstance, ImagingStudy, ScheduledProcedureStep, Station

FLUOROSCOPY_ROOMS = ("RF", "XA")


def procedure_of(parsed: ParsedDose, study: ImagingStudy | None) -> RequestedProcedure | None:
    """By the study's own links, else by Study Instance UID, else by accession number, where the patient agrees."""
    if study is not None:
        linked = study.procedures.order_by("pk").first()
        if linked is not None:
            return linked
    candidates = RequestedProcedure.objects.select_related("order").order_by("pk")
    found = candidates.filter(study_instance_uid=parsed.study_instance_uid).first()
    if found is None and parsed.accession_number:
        found = candidates.filter(accession_number=parsed.accession_number).first()
    if found is None or not parsed.patient_id:
        return None
    numbers = PatientIdentifier.objects.filter(patient=found.order.patient_id, value=parsed.patient_id)
    if parsed.issuer_of_patient_id:
        numbers = numbers.filter(issuer=parsed.issuer_of_patient_id)
    return found if numbers.exists() else None


def station_of(report: DoseReport) -> Station | None:
    """Where the exam was done: by the step, else by the name that the device calls itself."""
    if report.procedure is not None:
        steps = ScheduledProcedureStep.objects.filter(procedure=report.procedure, station__isnull=False).order_by("pk")
        step = steps.select_related("station").first()
        if step is not None:
            return step.station
    if not report.station_name:
        return None
    return (
        Station.objects.filter(name=report.station_name).first()
        or Station.objects.filter(ae_title=report.station_name).first()
    )


def settle_modality(report: DoseReport) -> None:
    """A projection report does not say what it was made in; the order does."""
    ordered = report.procedure.modality if report.procedure is not None else ""
    if not report.modality or (report.modality in ("DX", "RF") and ordered in ("DX", "CR", *FLUOROSCOPY_ROOMS)):
        report.modality = ordered or report.modality


def accession_of(report: DoseReport) -> str:
    return report.procedure.accession_number if report.procedure is not None else report.accession_number


def _link(report: DoseReport, procedure: RequestedProcedure | None, actor: Actor, reason: str) -> DoseReport:
    report.procedure = procedure
    if procedure is not None:
        report.station = report.station or station_of(report)
        settle_modality(report)
    classify(report)
    report.save_as(actor, reason)
    linked = str(procedure.uuid) if procedure is not None else ""
    publish(DoseReportLinked(str(report.uuid), accession_of(report), report.version, procedure=linked), actor=actor)
    pull_triggers(report, actor)
    return report


@service(perms.MANAGE_DOSE)
def link_dose_report(
    report: DoseReport, *, procedure: RequestedProcedure, reason: str = "", actor: Actor
) -> DoseReport:
    """A person says which exam it belongs to."""
    report = DoseReport.locked(report.pk)
    if report.procedure_id == procedure.pk:
        return report
    return _link(report, procedure, actor, reason.strip()[:150] or _("Linked by hand"))


@service(perms.MANAGE_DOSE)
def unlink_dose_report(report: DoseReport, *, reason: str, actor: Actor) -> DoseReport:
    """It does not belong to that exam; it waits again."""
    if not reason.strip():
        raise InvalidData(_("Say why."), errors={"reason": [_("This is needed.")]})
    report = DoseReport.locked(report.pk)
    return report if report.procedure_id is None else _link(report, None, actor, reason.strip()[:150])


def link_waiting(study: ImagingStudy, procedure: RequestedProcedure, *, actor: Actor = SYSTEM) -> int:
    """The study was matched: its dose reports that wait belong to the same exam."""
    count = 0
    with transaction.atomic():
        waiting = DoseReport.objects.select_for_update(of=("self",)).filter(
            study_instance_uid=study.study_instance_uid, procedure__isnull=True
        )
        for report in waiting:
            report.study = study
            _link(report, procedure, actor, _("Study matched"))
            count += 1
    return count


def unlink_study(study_instance_uid: str, procedure: RequestedProcedure, *, actor: Actor = SYSTEM) -> int:
    """The study was taken from the exam: its dose goes with it."""
    count = 0
    with transaction.atomic():
        linked = DoseReport.objects.select_for_update(of=("self",)).filter(
            study_instance_uid=study_instance_uid, procedure=procedure
        )
        for report in linked:
            _link(report, None, actor, _("Study taken from the exam"))
            count += 1
    return count


def follow_study(study: ImagingStudy, *, actor: Actor = SYSTEM) -> int:
    """The dose reports among its objects belong to the exam that its images belong to now, or to none."""
    count = 0
    with transaction.atomic():
        exams = list(study.procedures.order_by("pk"))
        objects = ImagingInstance.objects.filter(series__study=study).values("sop_instance_uid")
        for report in DoseReport.objects.select_for_update(of=("self",)).filter(sop_instance_uid__in=objects):
            is_right = report.procedure_id in {exam.pk for exam in exams} or (not exams and report.procedure_id is None)
            if is_right and report.study_id == study.pk:
                continue
            report.study = study
            _link(report, exams[0] if exams else None, actor, _("Follows its images"))
            count += 1
    return count


def procedure_by_accession(accession_number: str, procedures: Iterable[RequestedProcedure] | Any) -> RequestedProcedure:
    """The one exam of this accession number among those that may be seen. Raises NotKnown, InvalidData when several."""
    found = list(procedures.filter(accession_number=accession_number.strip())[:2])
    if not found:
        raise NotKnown(_("There is no exam with this accession number."))
    if len(found) > 1:
        raise InvalidData(
            _("Several exams share this accession number."),
            errors={"accession_number": [_("Choose the exam in the order instead.")]},
        )
    return found[0]
