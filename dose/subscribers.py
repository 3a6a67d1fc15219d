"""Stored dose objects are read; matched studies bring their dose along."""

from __future__ import annotations

from django.core.files.storage import storages

from dose import services
from dose.events import DoseTriggered, DRLExceeded, SkinFollowUpOpened
from dose.models import DoseTrigger, LevelAlert, SkinFollowUp
from dose.rdsr import DOSE_SOP_CLASSES
from dose.services import fallbacks, naming, telling, watching
from orders.models import RequestedProcedure
from ris.core.actor import Actor
from ris.events.bus import subscribe
from ris.events.dispatcher import register_work
from worklist.events import EvidenceMoved, InstanceStored, StepUpdated, StudyCompleted, StudyMatched, StudyUnlinked
from worklist.models import ImagingStudy, PerformedProcedureStep, PPSStatus

DOOR = Actor("storage", ae_title="DOSE")


@subscribe(InstanceStored, name="dose.import_report")
def import_report(event: InstanceStored) -> None:
    if event.sop_class_uid not in DOSE_SOP_CLASSES:
        return
    with storages["instances"].open(event.path) as stored:
        services.import_dose_report(stored.read(), actor=DOOR)


@subscribe(StudyMatched, name="dose.link_reports")
def link_reports(event: StudyMatched) -> None:
    study = ImagingStudy.objects.filter(study_instance_uid=event.study_instance_uid).first()
    procedure = RequestedProcedure.objects.filter(uuid=event.procedure).first()
    if study is not None and procedure is not None and study.procedures.filter(pk=procedure.pk).exists():
        services.link_waiting(study, procedure)


@subscribe(StudyUnlinked, name="dose.unlink_reports")
def unlink_reports(event: StudyUnlinked) -> None:
    procedure = RequestedProcedure.objects.filter(uuid=event.procedure).first()
    if procedure is None:
        return
    study = ImagingStudy.objects.filter(study_instance_uid=event.study_instance_uid).first()
    if study is not None and study.procedures.filter(pk=procedure.pk).exists():
        return
    services.unlink_study(event.study_instance_uid, procedure)


@subscribe(EvidenceMoved, name="dose.follow_evidence")
def follow_evidence(event: EvidenceMoved) -> None:
    """Images went to another exam, or to another study: their dose reports go with them, and come back."""
    for study in ImagingStudy.objects.filter(uuid__in=event.studies).order_by("pk"):
        services.follow_study(study)


@subscribe(StudyCompleted, name="dose.import_headers")
def import_headers(event: StudyCompleted) -> None:
    """All images are here and no dose report is: their headers tell."""
    study = ImagingStudy.objects.filter(study_instance_uid=event.study_instance_uid).first()
    if study is not None:
        fallbacks.import_study_headers(study, actor=DOOR)


@subscribe(StepUpdated, name="dose.import_step")
def import_step(event: StepUpdated) -> None:
    if event.status != PPSStatus.COMPLETED:
        return
    step = PerformedProcedureStep.objects.filter(uuid=event.subject).first()
    if step is not None:
        fallbacks.import_step(step, actor=DOOR)


@subscribe(DoseTriggered, name="dose.tell_trigger")
def tell_trigger(event: DoseTriggered) -> None:
    trigger = DoseTrigger.objects.select_related("report__procedure").filter(uuid=event.subject).first()
    if trigger is not None:
        telling.tell_of_trigger(trigger)


@subscribe(SkinFollowUpOpened, name="dose.tell_skin")
def tell_skin(event: SkinFollowUpOpened) -> None:
    follow_up = SkinFollowUp.objects.select_related("report").filter(uuid=event.subject).first()
    if follow_up is not None:
        telling.tell_of_skin(follow_up)


@subscribe(DRLExceeded, name="dose.tell_level")
def tell_level(event: DRLExceeded) -> None:
    alert = LevelAlert.objects.select_related("exam").filter(uuid=event.subject).first()
    if alert is not None:
        telling.tell_of_level(alert)


register_work("dose.classify", claim=naming.claim_unclassified, run=naming.classify_again)
register_work("dose.check_medians", claim=watching.claim_day, run=watching.check_day)
