from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q

from ris.core.actor import Actor


class ReviewCaseQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """The lead sees all, a reviewer what is theirs to score or to arbitrate."""
        if actor.may("peerreview.manage_round"):
            return self
        if actor.user is None:
            return self
        return self.filter(Q(reviewer=actor.user) | Q(arbiter=actor.user))
