"""Pictures of a case under review: no UID, date or name in address or page, and no way from them to the exam.

A reviewer's launch reaches the studies of that one report and gives pixels alone: headers stay in the house, so what a
DICOMweb client would read (patient, day, institution, physicians) is not told. An image is named by its place.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from interop.imaging.panels import viewer_context
from interop.imaging.selectors import Series, note_view, series_of, studies_of, visible_instance
from interop.imaging.teaching import picture_answer
from interop.imaging.views import drawn
from peerreview import learning, selectors
from peerreview.blinding import blinded
from peerreview.models import ReviewCase
from peerreview.permissions import ARBITRATE_CASE, SCORE_CASE, VIEW_LEARNING
from ris.accounts.actors import actor_of
from ris.accounts.web import ActorRequest, page
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from worklist.permissions import VIEW_STUDY

#: A stack that is turned through is looked up once in so many seconds.
SAME_STACK_SECONDS = 300


@dataclass(frozen=True)
class BlindFrame:
    """A frame by its place."""

    case: uuid.UUID
    series: int
    number: int

    @property
    def url(self) -> str:
        return reverse("review_case_picture", args=[self.case, self.series, self.number])


def blind_panel(case: ReviewCase, *, request: HttpRequest) -> dict[str, Any] | None:
    """The picture panel of a case: without the day, without ways to pages that name patient and people."""
    actor = actor_of(request)
    context = viewer_context(list(studies_of(case.report, actor=actor)), actor, code=SCORE_CASE, entity=case)
    if context is None:
        return None
    rows, place = [], 0
    for study, series_list in context["image_studies"]:
        hidden = []
        for series in series_list:
            hidden.append(_hidden(case, series, place))
            place += 1
        rows.append((_Study(blinded(case, study.description), study.modalities), hidden))
    first = next((series for _study, found in rows for series in found if series.frames), None)
    context |= {
        "image_studies": rows,
        "image_first": first,
        "image_stacks": [series.stack for _study, found in rows for series in found],
        "image_is_blind": True,
    }
    return context


@dataclass(frozen=True)
class _Study:
    """As much of a study as a reviewer is told."""

    description: str
    modalities: str


def _hidden(case: ReviewCase, series: Series, place: int) -> Series:
    frames: list[Any] = [BlindFrame(case.uuid, place, number) for number in range(1, len(series.frames) + 1)]
    return Series(series.number, series.modality, blinded(case, series.description), frames, series.instance_count)


def _case(uid: uuid.UUID, actor: Actor) -> ReviewCase:
    """Of whoever scores it, or may arbitrate it."""
    case = selectors.my_cases(actor=actor).filter(uuid=uid).first()
    case = case or selectors.to_arbitrate(actor=actor).filter(uuid=uid).first()
    if case is None:
        raise NotKnown(_("There is no such case, or it is not yours to see."))
    return case


def _stacks(case: ReviewCase, actor: Actor) -> list[list[tuple[str, int]]]:
    """[[(SOP instance UID, frame)]] in the order of the panel; as old as SAME_STACK_SECONDS."""
    name = f"blind-stack:{case.uuid}:{case.report_version_id}:{actor.user.pk if actor.user else ''}"
    stacks = cache.get(name)
    if stacks is None:
        studies = list(studies_of(case.report, actor=actor))
        by_study = series_of(studies)
        rows = [series for study in studies for series in by_study.get(study.pk, [])]
        stacks = [[(frame.sop_instance_uid, frame.number) for frame in series.frames] for series in rows]
        cache.set(name, stacks, SAME_STACK_SECONDS)
    return stacks


@page((SCORE_CASE, ARBITRATE_CASE))
def case_picture(request: ActorRequest, case: uuid.UUID, series: int, number: int) -> HttpResponse:
    """``?window=`` and ``?size=`` as for any picture of the house."""
    request.actor.require(VIEW_STUDY)
    row = _case(case, request.actor)
    stacks = _stacks(row, request.actor)
    if series >= len(stacks) or not 1 <= number <= len(stacks[series]):
        raise NotKnown(_("There is no such image."))
    uid, frame = stacks[series][number - 1]
    instance = visible_instance(uid, actor=request.actor)
    note_view(instance.series.study, actor=request.actor, code=SCORE_CASE, entity=row)
    return drawn(request, instance, frame)


@page(VIEW_LEARNING)
def learning_picture(request: ActorRequest, image: uuid.UUID, frame: int) -> HttpResponse:
    """A de-identified copy, for whoever sees the conference that lists its case."""
    row = learning.shown_picture(image, actor=request.actor)
    if row is None or not 1 <= frame <= row.frames:
        raise NotKnown(_("There is no such image here."))
    return picture_answer(request, row, frame)
