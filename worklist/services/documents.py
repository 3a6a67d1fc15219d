"""Documents that the house itself makes of a study, kept and found with its images."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from worklist.data import StoredInstance
from worklist.models import ImagingInstance, ImagingSeries, ImagingStudy


@transaction.atomic
def keep_document(study: ImagingStudy, *, document: StoredInstance) -> tuple[ImagingInstance, bool]:
    """Index a document with its study; (row, whether it is new). The study stays as complete as it was. To be called
    after the file is safe.
    """
    known = ImagingInstance.objects.filter(sop_instance_uid=document.sop_instance_uid).first()
    if known is not None:
        return known, False
    study = ImagingStudy.objects.select_for_update(of=("self",)).get(pk=study.pk)
    series, is_new = ImagingSeries.objects.get_or_create(
        series_instance_uid=document.series_instance_uid,
        defaults={
            "study": study,
            "modality": document.modality[:16],
            "number": document.series_number,
            "description": document.series_description[:64],
            "manufacturer": document.manufacturer[:64],
        },
    )
    row, is_first = ImagingInstance.objects.get_or_create(
        sop_instance_uid=document.sop_instance_uid,
        defaults={
            "series": series,
            "sop_class_uid": document.sop_class_uid,
            "transfer_syntax_uid": document.transfer_syntax_uid,
            "number": document.instance_number,
            "path": document.path,
            "size": document.size,
            "fingerprint": document.fingerprint,
            "received_at": timezone.now(),
        },
    )
    if is_first:
        ImagingSeries.objects.filter(pk=series.pk).update(instance_count=F("instance_count") + 1)
        modalities = sorted({*filter(None, study.modalities.split("\\")), document.modality})
        ImagingStudy.objects.filter(pk=study.pk).update(
            instance_count=F("instance_count") + 1,
            series_count=F("series_count") + int(is_new),
            modalities="\\".join(modalities)[:100],
        )
    return row, is_first
