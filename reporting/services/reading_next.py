"""One key opens the most urgent exam that suits its reader. Two who press at once get different exams."""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting.models import Report
from reporting.selectors.reading import next_candidates
from reporting.selectors.reading_filters import ReadingFilter
from reporting.services.locks import person
from reporting.services.writing import open_report
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidTransition, NotKnown

TRIES = 20


def nothing_left() -> NotKnown:
    return NotKnown(
        _("There is nothing left to read in this list."),
        asked=_("The next best exam."),
        found=_("All exams of this list are read, open at somebody else, or another group's."),
        todo=_("Choose another list at the left."),
    )


@service(perms.CLAIM_PROCEDURE, action=Action.EXECUTE)
def open_next(*, filters: ReadingFilter | None = None, after: RequestedProcedure | None = None, actor: Actor) -> Report:
    """Claim and open what this reader should read next; NotKnown when nothing is left.

    The candidate's order is locked with SKIP LOCKED, so that who presses at the same moment looks further. Whoever
    was a blink earlier has committed a lock that the next look sees.
    """
    person(actor)
    passed: set[int] = {after.pk} if after is not None else set()
    for _try in range(TRIES):
        rows = next_candidates(actor=actor, filters=filters or ReadingFilter()).filter(~Q(pk__in=passed))
        procedure = rows.select_for_update(skip_locked=True, of=("order",)).first()
        if procedure is None:
            break
        try:
            return open_report([procedure], actor=actor)
        except (Conflict, InvalidTransition):
            passed.add(procedure.pk)
    raise nothing_left()
