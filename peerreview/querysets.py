from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q

from ris.core.actor import Actor

MANAGE_ROUND = "peerreview.manage_round"


class ReviewCaseQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """The lead sees all but those of their own reports, a reviewer what is theirs to score or to arbitrate."""
        if actor.user is None:
            return self
        if actor.may(MANAGE_ROUND):
            return self.exclude(report_version__signed_by=actor.user)
        return self.filter(Q(reviewer=actor.user) | Q(arbiter=actor.user))


class DiscrepancyQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """The lead sees all, an author their own; neither reviewer nor arbiter follows what became of it."""
        if actor.user is None or actor.may(MANAGE_ROUND):
            return self
        return self.filter(case__report_version__signed_by=actor.user)
