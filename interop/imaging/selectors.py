"""Which pictures belong to something that a page shows, as far as the person may see them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import cache
from django.db.models import Model, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from ris.audit.service import record_read
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from worklist.models import ImagingInstance, ImagingStudy
from worklist.permissions import VIEW_STUDY

#: A person who scrolls through a study opens it once in so many seconds.
SAME_VIEW_SECONDS = 600
LISTED_FRAMES = 400


@dataclass(frozen=True)
class Frame:
    sop_instance_uid: str
    number: int

    @property
    def url(self) -> str:
        return reverse("instance_image", args=[self.sop_instance_uid, self.number])


@dataclass
class Series:
    """One row of the strip. ``frames``: what has pixels, in order."""

    number: int | None
    modality: str
    description: str
    frames: list[Frame] = field(default_factory=list)
    instance_count: int = 0

    @property
    def title(self) -> str:
        words = " ".join(
            str(part) for part in (self.number, self.description or self.modality) if part not in (None, "")
        )
        return words or _("Series")

    @property
    def middle(self) -> Frame | None:
        return self.frames[len(self.frames) // 2] if self.frames else None

    @property
    def listed(self) -> list[Frame]:
        return self.frames[:LISTED_FRAMES]

    @property
    def stack(self) -> list[str]:
        return [frame.url for frame in self.frames]


def studies_of(thing: Any, *, actor: Actor) -> QuerySet[ImagingStudy]:
    """The visible studies of a study, a requested procedure, or whatever has ``procedures`` (order, report)."""
    studies = ImagingStudy.objects.visible_to(actor)
    if isinstance(thing, ImagingStudy):
        return studies.filter(pk=thing.pk)
    procedures = thing.procedures.all() if hasattr(thing, "procedures") else [thing]
    keys = [procedure.pk for procedure in procedures]
    return studies.filter(procedures__in=keys).distinct().order_by("study_date", "pk")


def series_of(studies: list[ImagingStudy]) -> dict[int, list[Series]]:
    """By key of the study: its series with their frames, in two queries for any number of studies."""
    rows = (
        ImagingInstance.objects.filter(series__study__in=studies, is_rejected=False)
        .order_by("series__study_id", "series__number", "series_id", "number", "pk")
        .values_list(
            "series__study_id",
            "series_id",
            "series__number",
            "series__modality",
            "series__description",
            "sop_instance_uid",
            "rows",
            "frames",
        )
    )
    found: dict[int, dict[int, Series]] = defaultdict(dict)
    for study, key, number, modality, description, uid, height, frames in rows:
        series = found[study].setdefault(key, Series(number, modality, description))
        series.instance_count += 1
        if height:
            series.frames += [Frame(uid, frame) for frame in range(1, frames + 1)]
    return {study: list(series.values()) for study, series in found.items()}


def visible_instance(sop_instance_uid: str, *, actor: Actor) -> ImagingInstance:
    """Raises NotKnown for what is not there, and for what this person may not see."""
    shown = ImagingInstance.objects.visible().select_related("series__study")
    instance = shown.filter(sop_instance_uid=sop_instance_uid).first()
    if instance is None or not ImagingStudy.objects.visible_to(actor).filter(pk=instance.series.study_id).exists():
        raise NotKnown(_("There is no such image."))
    return instance


def note_view(study: ImagingStudy, *, actor: Actor, code: str = VIEW_STUDY, entity: Model | None = None) -> None:
    """One audit row for a person who looks at a study, however many of its frames are fetched.

    ``code``, ``entity``: what they look at it for, where that is not the study itself.
    """
    who = actor.user.pk if actor.user else actor.name
    if cache.add(f"viewed:{code}:{who}:{actor.session_key}:{study.pk}", 1, SAME_VIEW_SECONDS):
        record_read(actor, code, entity=entity or study, detail={"page": "images"})
