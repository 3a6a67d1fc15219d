"""Instance Availability Notification (PS3.4 Annex R): which instances can be had from us, and which no more."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from uuid import UUID

from pydicom import Dataset

from interop.dicom.mpps_messages import PERFORMED_STEP
from worklist.models import ImagingInstance, ImagingStudy, PerformedProcedureStep

AVAILABILITY = "1.2.840.10008.5.1.4.33"
ONLINE, UNAVAILABLE = "ONLINE", "UNAVAILABLE"


def uid_of(row: UUID) -> str:
    """The same on every try."""
    return f"2.25.{row.int}"


def notification(study: ImagingStudy, ae_title: str, *, instances: Iterable[str] | None = None) -> Dataset | None:
    """Of all that may be shown, or of these; each as available as it is now. None when there is nothing to tell."""
    rows = ImagingInstance.objects.filter(series__study=study)
    rows = rows.filter(is_rejected=False) if instances is None else rows.filter(sop_instance_uid__in=list(instances))
    known = rows.order_by("series__series_instance_uid", "number", "pk").values_list(
        "series__series_instance_uid", "sop_class_uid", "sop_instance_uid", "is_rejected"
    )
    told = Dataset()
    told.SpecificCharacterSet = "ISO_IR 192"
    told.StudyInstanceUID = study.study_instance_uid
    told.ReferencedPerformedProcedureStepSequence = [_step(uid) for uid in _steps_of(study)]
    told.ReferencedSeriesSequence = []
    for series, group in groupby(known, key=lambda row: row[0]):
        item = Dataset()
        item.SeriesInstanceUID = series
        item.ReferencedSOPSequence = [_instance(row[1], row[2], ae_title, row[3]) for row in group]
        told.ReferencedSeriesSequence.append(item)
    return told if told.ReferencedSeriesSequence else None


def _steps_of(study: ImagingStudy) -> list[str]:
    rows = PerformedProcedureStep.objects.filter(scheduled_steps__procedure__studies=study).order_by("pk")
    return list(dict.fromkeys(rows.values_list("sop_instance_uid", flat=True)))


def _step(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = PERFORMED_STEP, uid
    item.PerformedWorkitemCodeSequence = []
    return item


def _instance(sop_class_uid: str, sop_instance_uid: str, ae_title: str, is_rejected: bool) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    item.InstanceAvailability = UNAVAILABLE if is_rejected else ONLINE
    item.RetrieveAETitle = ae_title
    return item
