"""What the audit trail does not show to some of its readers: who looks at their own report, and who submits to learn.

The rows are written and sealed as all others, and whoever is not concerned (the administrator) reads them.
"""

from __future__ import annotations

from django.db.models import Q

from peerreview import permissions as perms
from peerreview.models import ReviewCase
from peerreview.querysets import written_by
from ris.audit.selectors import keep_from_readers
from ris.core.actor import Actor

#: A reviewer or an arbiter leaves these
OF_REVIEWERS = (perms.VIEW_ROUND, perms.SCORE_CASE, perms.ARBITRATE_CASE)


@keep_from_readers
def who_submitted(actor: Actor) -> Q | None:
    """From those who prepare cases: no page tells them either."""
    if actor.user is None or not actor.may(perms.COORDINATE_LEARNING):
        return None
    return Q(event_type=perms.SUBMIT_LEARNING) & ~Q(user=actor.user.uuid)


@keep_from_readers
def who_reviews_me(actor: Actor) -> Q | None:
    """From whoever wrote a report that is reviewed, as far as that report goes."""
    if actor.user is None:
        return None
    own = ReviewCase.objects.filter(written_by(actor.user)).order_by()
    found = list(own.values_list("uuid", "report__procedures__order__patient__uuid"))
    if not found:
        return None
    patients = sorted({patient for _case, patient in found if patient is not None})
    concerned = Q(entity__in=[case for case, _patient in found]) | Q(patient__in=patients)
    if patients:
        concerned |= Q(patients__overlap=patients)
    return Q(event_type__in=OF_REVIEWERS) & concerned & ~Q(user=actor.user.uuid)
