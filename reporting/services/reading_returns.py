"""Back to the technologist: the exam leaves the reading list, stands on the console again, and returns when fixed."""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from reporting import permissions as perms
from reporting.events import ExamSentBack
from reporting.models import ReadingReturn, ReturnReason
from reporting.services.locks import drop_locks, lock_procedures, person, refuse_if_held
from reporting.services.notify import tell
from ris.accounts.models import User
from ris.accounts.selectors import users_with_role
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition
from ris.core.permissions import TECHNOLOGIST
from ris.events.bus import publish
from worklist.models import ExamCompletion, PerformedProcedureStep

S = ProcedureStatus


@service(perms.SEND_BACK)
def send_back(procedure: RequestedProcedure, *, reason: str, text: str, actor: Actor) -> ReadingReturn:
    """What the technologist must do first stands on the exam's card; the draft stays, and the clock stands still.

    Raises HeldByAnother, InvalidTransition once there is a signed report.
    """
    user = person(actor)
    errors: dict[str, str] = {}
    if reason not in ReturnReason.values:
        errors["reason"] = _("Choose a reason.")
    if not text.strip():
        errors["text"] = _("Say what is to be done.")
    if errors:
        raise InvalidData(_("The technologist needs to know why."), errors=errors)
    procedure = lock_procedures([procedure])[0]
    refuse_if_held([procedure], user)
    if procedure.status not in (S.READY_TO_READ, S.READING):
        raise InvalidTransition(
            _("An exam that is %(status)s is not sent back.") % {"status": procedure.get_status_display()},
            asked=_("To send the exam back to the technologist."),
            found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Write what is wrong in an addendum, or open an exception."),
        )
    drop_locks([procedure])
    orders.mark_sent_back(procedure, actor=actor)
    row = ReadingReturn(procedure=procedure, reason=reason, text=text.strip()[:400], sent_by=user)
    row.save_as(actor, "Sent back")
    publish(
        ExamSentBack(
            str(procedure.uuid), accession_number=procedure.accession_number, version=row.version, reason=reason
        ),
        actor=actor,
    )
    tell(
        technologists_of(procedure),
        "reporting.exam_sent_back",
        url=f"/console/{procedure.uuid}/",
        subject=str(procedure.uuid),
        context={"accession_number": procedure.accession_number, "reason": reason},
    )
    return row


def technologists_of(procedure: RequestedProcedure) -> list[User]:
    """Who performed or completed it; all technologists where nobody is written down."""
    completed = ExamCompletion.objects.filter(procedure=procedure, recorded_by__isnull=False).values("recorded_by")
    performed = PerformedProcedureStep.objects.filter(
        scheduled_steps__procedure=procedure, performed_by__isnull=False
    ).values("performed_by")
    people = users_with_role(TECHNOLOGIST)
    return list(people.filter(Q(pk__in=completed) | Q(pk__in=performed)).order_by("pk")) or list(people.order_by("pk"))
