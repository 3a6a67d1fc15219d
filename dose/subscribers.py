"""Stored dose objects are read; matched studies bring their dose along."""

from __future__ import annotations

from django.core.files.storage import storages

from dose import services
from dose.rdsr import DOSE_SOP_CLASSES
from orders.models import RequestedProcedure
from ris.core.actor import Actor
from ris.events.bus import subscribe
from worklist.events import EvidenceMoved, InstanceStored, StudyMatched, StudyUnlinked
from worklist.models import ImagingStudy

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
