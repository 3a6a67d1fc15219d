from __future__ import annotations

from typing import Any, Self

from django.apps import apps
from django.db import models
from django.db.models import Exists, OuterRef, Q

from ris.core.actor import Actor

MANAGE_ROUND = "peerreview.manage_round"
COORDINATE = "peerreview.coordinate_learning"


def written_by(user: Any) -> Q:
    """Cases of reports in which this person wrote, signed any version, or stands by one as co-signer."""
    versions = apps.get_model("reporting", "ReportVersion").objects.filter(report=OuterRef("report"))
    return (
        Q(report__author__isnull=False, report__author=user)
        | Q(report__preliminary_by__isnull=False, report__preliminary_by=user)
        | Q(Exists(versions.filter(Q(signed_by=user) | Q(co_signatures__signed_by=user))))
    )


class ReviewCaseQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """The lead sees all but those of their own reports, a reviewer what is theirs to score or to arbitrate."""
        if actor.user is None:
            return self
        if actor.may(MANAGE_ROUND):
            return self.exclude(written_by(actor.user))
        return self.filter(Q(reviewer=actor.user) | Q(arbiter=actor.user))


class DiscrepancyQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """The lead sees all, an author their own; neither reviewer nor arbiter follows what became of it."""
        if actor.user is None or actor.may(MANAGE_ROUND):
            return self
        return self.filter(case__report_version__signed_by=actor.user)


class LearningCaseQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """The coordinator's, but those of their own reports; one's own submissions. What is shown, conferences show."""
        if actor.user is None:
            return self
        if actor.may(COORDINATE):
            return self.filter(~Q(author=actor.user) | Q(submitted_by=actor.user))
        return self.filter(submitted_by=actor.user)

    def told_to(self, actor: Actor) -> Self:
        """Feedback is its author's alone."""
        return self.filter(author=actor.user, feedback_at__isnull=False) if actor.user else self.none()


class ConferenceEntryQuerySet(models.QuerySet):
    def standing(self) -> Self:
        return self.filter(removed_at__isnull=True)
