"""Teaching cases as far as an actor may see them, and the source where they may see the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.search import SearchQuery
from django.db.models import Prefetch, QuerySet

from reporting import permissions as perms
from reporting.models import Report, TeachingCase, TeachingImage, TeachingStatus
from reporting.selectors.search import WORDS
from reporting.services.teaching import source_images, whose_words
from ris.core.actor import Actor

T = TeachingStatus
BOXES = ("shared", "mine", "offered")
TAGS_SHOWN = 60
IMAGES_SHOWN = 400


@dataclass(frozen=True)
class TeachingFilter:
    box: str = "shared"
    modality: str = ""
    tag: str = ""
    words: str = ""


def teaching_cases(asked: TeachingFilter = TeachingFilter(), *, actor: Actor) -> QuerySet[TeachingCase]:
    rows = TeachingCase.objects.visible_to(actor)
    if asked.box == "mine":
        rows = rows.filter(owner=actor.user)
    elif asked.box == "offered":
        rows = rows.filter(status=T.DRAFT, offered_at__isnull=False)
    else:
        rows = rows.filter(status=T.SHARED)
    if asked.modality:
        rows = rows.filter(modality=asked.modality)
    if asked.tag:
        rows = rows.filter(tags__contains=[asked.tag])
    if asked.words.strip():
        rows = rows.filter(words=SearchQuery(asked.words, config=WORDS, search_type="websearch"))
    return for_cards(rows).order_by("-pk")


def for_cards(rows: QuerySet[TeachingCase]) -> QuerySet[TeachingCase]:
    shown = TeachingImage.objects.shown().order_by("number", "pk")
    return rows.select_related("owner").prefetch_related(Prefetch("images", queryset=shown, to_attr="pictures"))


def tags_in_use(*, actor: Actor) -> list[str]:
    rows = TeachingCase.objects.visible_to(actor).exclude(status=T.WITHDRAWN).values_list("tags", flat=True)
    return sorted({tag for tags in rows for tag in tags})[:TAGS_SHOWN]


def case_by_uuid(uuid: Any, *, actor: Actor) -> TeachingCase | None:
    rows = TeachingCase.objects.visible_to(actor).filter(uuid=uuid)
    return for_cards(rows.select_related("reviewed_by", "shared_by", "report")).first()


def behind(case: TeachingCase, *, actor: Actor) -> dict[str, Any]:
    """What only those see who may change the case: its images in every state, the source, what still names somebody."""
    is_theirs = case.status != T.WITHDRAWN and actor.may(perms.KEEP_TEACHING)
    is_theirs = is_theirs and (case.owner_id == getattr(actor.user, "pk", None) or actor.may(perms.SHARE_TEACHING))
    report = Report.objects.visible_to(actor).filter(pk=case.report_id).first()
    found: dict[str, Any] = {"may_change": is_theirs, "source": report}
    if is_theirs and report is not None:
        chosen = list(case.images.standing().select_related("original__series"))
        taken = {image.original_id for image in chosen}
        others = source_images(report).select_related("series")[:IMAGES_SHOWN]
        found |= {
            "images": chosen,
            "others": [row for row in others if row.pk not in taken],
            "whose": whose_words(case),
        }
    return found


def beside_report(report: Report, *, actor: Actor) -> dict[str, Any]:
    rows = TeachingCase.objects.filter(report=report, owner=actor.user).exclude(status=T.WITHDRAWN)
    return {"report": report, "teaching_case": rows.first(), "may_keep": actor.may(perms.KEEP_TEACHING)}
