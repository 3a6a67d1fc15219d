"""Which stored objects an address names, as far as the caller may see them, and the addresses of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from ris.core.actor import Actor
from ris.core.errors import NotKnown
from ris.core.ids import is_valid_uid
from worklist.models import ImagingInstance, ImagingStudy

ROOT = "/dicomweb"


@dataclass(frozen=True)
class Target:
    """The UIDs of an address; empty where it names all of them."""

    study: str = ""
    series: str = ""
    instance: str = ""

    def refuse_what_is_no_uid(self) -> None:
        if any(uid and not is_valid_uid(uid) for uid in (self.study, self.series, self.instance)):
            raise not_known()


def not_known() -> NotKnown:
    return NotKnown(
        _("There is no such study, series or instance in this facility."),
        todo=_("Search for it; it may also be one that you may not see."),
    )


def visible_study(uid: str, *, actor: Actor) -> ImagingStudy:
    """Raises NotKnown for what is not there, and for what this caller may not see."""
    if not is_valid_uid(uid):
        raise not_known()
    study = ImagingStudy.objects.visible_to(actor).filter(study_instance_uid=uid).first()
    if study is None:
        raise not_known()
    return study


def in_order(rows: QuerySet[ImagingInstance]) -> QuerySet[ImagingInstance]:
    last = {"nulls_last": True}
    return rows.select_related("series__study").order_by(
        F("series__number").asc(**last), "series_id", F("number").asc(**last), "pk"
    )


def instances_of(target: Target, *, actor: Actor) -> tuple[ImagingStudy, list[ImagingInstance]]:
    """The study and what of it is asked for, at least one instance. Raises NotKnown."""
    target.refuse_what_is_no_uid()
    seen = ImagingStudy.objects.visible_to(actor).filter(study_instance_uid=target.study).order_by().values("pk")
    rows = in_order(ImagingInstance.objects.visible().filter(series__study__in=seen))
    if target.series:
        rows = rows.filter(series__series_instance_uid=target.series)
    if target.instance:
        rows = rows.filter(sop_instance_uid=target.instance)
    found = list(rows)
    if not found:
        raise not_known()
    return found[0].series.study, found


def representative(rows: Sequence[ImagingInstance]) -> ImagingInstance:
    """The instance that stands for a series or a study: the middle one of those with pixels."""
    pictures = [row for row in rows if row.rows] or list(rows)
    return pictures[len(pictures) // 2]


@dataclass(frozen=True)
class Addresses:
    """Absolute addresses of what is stored, as this caller reaches it."""

    base: str

    @classmethod
    def of(cls, request: HttpRequest) -> Addresses:
        return cls(request.build_absolute_uri(ROOT))

    def study(self, study: ImagingStudy) -> str:
        return f"{self.base}/studies/{study.study_instance_uid}"

    def instance(self, row: ImagingInstance) -> str:
        return (
            f"{self.study(row.series.study)}/series/{row.series.series_instance_uid}/instances/{row.sop_instance_uid}"
        )
