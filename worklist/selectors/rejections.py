"""Rejections of images, as far as the actor may see their studies."""

from __future__ import annotations

from django.db.models import QuerySet

from ris.core.actor import Actor
from worklist import permissions as perms
from worklist.models import ImageRejection, ImagingStudy


def rejections(*, actor: Actor) -> QuerySet[ImageRejection]:
    if not actor.may(perms.VIEW_STUDY):
        return ImageRejection.objects.none()
    visible = ImagingStudy.objects.visible_to(actor).values("pk")
    rows = ImageRejection.objects.filter(study__in=visible)
    return rows.select_related("study", "rejected_by", "restored_by").order_by("-pk")
