"""What the viewer shows: studies with their stacks in hanging order, beside the other studies of the same patient."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from orders.models import Patient, RequestedProcedure
from reporting.models import ExternalViewer
from ris.core import text
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from worklist.models import ImagingInstance, ImagingStudy

#: What a strip of another study offers before it is asked for
MAX_OTHERS = 30
#: Each object is a stack of its own: they are hung by side and view, or run by themselves
SINGLE = frozenset({"MG"})


def visible_study(uuid: UUID, *, actor: Actor) -> ImagingStudy:
    """Raises NotKnown for what is not there, and for what this person may not see."""
    study = ImagingStudy.objects.visible_to(actor).filter(uuid=uuid).first()
    if study is None:
        raise NotKnown(_("There is no such study."))
    return study


def studies_of_procedures(procedures: list[RequestedProcedure], *, actor: Actor) -> list[ImagingStudy]:
    keys = [procedure.pk for procedure in procedures]
    rows = ImagingStudy.objects.visible_to(actor).filter(procedures__in=keys)
    return list(_in_display_order(rows.distinct()))


def _in_display_order(rows: QuerySet[ImagingStudy]) -> QuerySet[ImagingStudy]:
    return rows.prefetch_related("procedures__order__patient__identifiers").order_by(
        F("study_date").desc(nulls_last=True), F("study_time").desc(nulls_last=True), "-pk"
    )


def other_studies(studies: list[ImagingStudy], patient: Patient | None, *, actor: Actor) -> list[ImagingStudy]:
    """The patient's other studies with images, newest first, as far as the actor may see them."""
    if patient is None:
        return []
    rows = ImagingStudy.objects.visible_to(actor).filter(procedures__order__patient=patient, instance_count__gt=0)
    return list(_in_display_order(rows.exclude(pk__in=[study.pk for study in studies]).distinct())[:MAX_OTHERS])


def patient_of(study: ImagingStudy) -> Patient | None:
    procedure = next(iter(study.procedures.all()), None)
    return procedure.order.patient if procedure else None


def mrn_of(patient: Patient | None) -> str:
    rows = list(patient.identifiers.all()) if patient is not None else []
    return rows[0].value if rows else ""


def stacks_of(studies: list[ImagingStudy]) -> dict[int, list[dict[str, Any]]]:
    """By key of the study: its stacks in two queries. Cine runs and mammograms are stacks of one object."""
    rows = (
        ImagingInstance.objects.visible()
        .filter(series__study__in=studies)
        .order_by("series__study_id", F("series__number").asc(nulls_last=True), "series_id", F("number").asc(), "pk")
        .values_list(
            "series__study_id",
            "series__series_instance_uid",
            "series__number",
            "series__modality",
            "series__description",
            "sop_instance_uid",
            "rows",
            "frames",
        )
    )
    found: dict[int, dict[Any, dict[str, Any]]] = defaultdict(dict)
    for study, series, number, modality, description, sop, height, frames in rows:
        if not height:
            continue  # reports and other documents have no picture
        alone = frames > 1 or modality in SINGLE
        words = " ".join(str(part) for part in (number, description or modality) if part not in (None, ""))
        stack = found[study].setdefault(
            (series, sop if alone else ""),
            {"series": series, "modality": modality, "title": words, "frames": frames, "sops": []},
        )
        stack["sops"].append(sop)
    return {study: list(stacks.values()) for study, stacks in found.items()}


def told(study: ImagingStudy, stacks: list[dict[str, Any]] | None) -> dict[str, Any]:
    """One study for the viewer; ``stacks`` None: they are had from ``url`` when somebody asks for them."""
    patient, procedure = patient_of(study), next(iter(study.procedures.all()), None)
    return {
        "uid": study.study_instance_uid,
        "uuid": str(study.uuid),
        "patient": str(patient.uuid) if patient else "",
        "name": text.person_name(patient) if patient else study.patient_name.replace("^", " ").strip(),
        "mrn": mrn_of(patient) or study.patient_id,
        "matched": patient is not None,
        "accession": procedure.accession_number if procedure else study.accession_number,
        "date": text.day(study.study_date) if study.study_date else "",
        "title": study.description or (procedure.description if procedure else "") or study.modalities,
        "modality": study.modalities.replace("\\", " "),
        "count": study.instance_count,
        "url": reverse("viewer_stacks", args=[study.uuid]),
        "stacks": stacks,
    }


def viewer_data(studies: list[ImagingStudy], others: list[ImagingStudy]) -> dict[str, Any]:
    """Studies that are shown at once, and those to compare with."""
    stacks = stacks_of(studies)
    return {
        "root": "/dicomweb",
        "studies": [told(study, stacks.get(study.pk, [])) for study in studies],
        "others": [told(study, None) for study in others],
    }


def viewer_links() -> QuerySet[ExternalViewer]:
    return ExternalViewer.objects.filter(is_active=True)
