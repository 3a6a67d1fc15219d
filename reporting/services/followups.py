"""Recommended exams: written with the draft, due with the signature, closed by the exam, told of when late."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import CatalogueProcedure, Modality, ProcedureStatus, RequestedProcedure
from reporting import permissions as perms
from reporting.events import FollowUpClosed, FollowUpLate, FollowUpRecommended
from reporting.models import FollowUp, FollowUpStatus, Report
from reporting.services.locks import person
from reporting.services.notify import tell
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData, InvalidTransition
from ris.events.bus import publish

F = FollowUpStatus
#: A report may recommend so many exams.
AT_MOST = 10
LATEST = timedelta(days=366 * 10)
#: From here on an exam has happened, as far as the recommendation goes.
HAPPENED = (ProcedureStatus.PERFORMED, ProcedureStatus.READY_TO_READ)


@service(perms.RECOMMEND, action=Action.CREATE)
def recommend(
    report: Report,
    *,
    due_on: date,
    reason: str,
    modality: str = "",
    body_region: str = "",
    catalogue: CatalogueProcedure | None = None,
    procedure: RequestedProcedure | None = None,
    actor: Actor,
) -> FollowUp:
    """An exam of the catalogue, or of a modality and region, by a day. Of a draft it counts from the signature on.

    Raises InvalidData naming the field; InvalidTransition when the report does not stand any more.
    """
    user = person(actor)
    report = Report.locked(report.pk)
    if not (report.is_draft or report.is_signed or report.status == "preliminary"):
        raise InvalidTransition(
            _("This report does not stand any more."), todo=_("Recommend it in the report that replaces it.")
        )
    exams = list(report.procedures.order_by("pk"))
    row = FollowUp(
        report=report,
        procedure=procedure if procedure in exams else exams[0],
        modality=catalogue.modality if catalogue is not None else modality,
        body_region=(catalogue.body_region if catalogue is not None else body_region).strip(),
        catalogue=catalogue,
        due_on=due_on,
        reason=" ".join(reason.split()),
        recommended_by=user,
    )
    _refuse_what_is_wrong(row)
    if report.is_signed:
        row.move_to(F.DUE)
    row.save_as(actor, "Recommended")
    if row.status == F.DUE:
        _published(row, actor)
    return row


def _refuse_what_is_wrong(row: FollowUp) -> None:
    errors: dict[str, Any] = {}
    today = timezone.localdate()
    if row.modality not in Modality.values:
        errors["modality"] = _("Choose an exam, or a modality.")
    if not row.reason:
        errors["reason"] = _("Say why: who makes the appointment reads it.")
    if len(row.reason) > 300:
        errors["reason"] = _("At most 300 characters.")
    if not today <= row.due_on <= today + LATEST:
        errors["due_on"] = _("A day from today on, within ten years.")
    if row.report.follow_ups.exclude(status=F.CANCELLED).count() >= AT_MOST:
        errors["report"] = _("A report recommends ten exams at most.")
    if errors:
        raise InvalidData(_("The recommendation is not complete."), errors=errors)


def _published(row: FollowUp, actor: Actor) -> None:
    event = FollowUpRecommended(str(row.uuid), row.accession_number, row.version, due_on=row.due_on.isoformat())
    publish(event, actor=actor)


def follow_report(report: Report, *, actor: Actor = SYSTEM) -> None:
    """With the signature what was planned is open; what a retracted report recommended is not recommended any more."""
    planned = FollowUp.objects.select_for_update(of=("self",)).filter(report=report).order_by("pk")
    if report.is_signed:
        for row in planned.filter(status=F.PLANNED):
            row.move_to(F.DUE)
            row.save_as(actor, "The report is signed")
            _published(row, actor)
    elif not (report.is_draft or report.status == "preliminary"):
        for row in planned.filter(status__in=(F.PLANNED, F.DUE)):
            _close(row, F.CANCELLED, _("The report does not stand any more."), None, actor)


def follow_exam(procedure: RequestedProcedure, *, actor: Actor = SYSTEM) -> int:
    """An exam has happened: recommendations of this patient that it answers are done. Answers how many."""
    if procedure.status not in HAPPENED:
        return 0
    rows = (
        FollowUp.objects.select_for_update(of=("self",))
        .filter(status=F.DUE, procedure__order__patient=procedure.order.patient_id)
        .exclude(report__procedures=procedure)
        .exclude(procedure__created_at__gt=procedure.created_at)
        .select_related("catalogue")
        .order_by("pk")
    )
    answered = [row for row in rows if answers(procedure, row)]
    for row in answered:
        _close(row, F.DONE, "", procedure, actor)
    return len(answered)


def answers(procedure: RequestedProcedure, row: FollowUp) -> bool:
    """The same exam, or one of that modality and region."""
    if row.catalogue is not None and procedure.catalogue_id == row.catalogue_id:
        return True
    same_region = not row.body_region or row.body_region.casefold() == procedure.body_region.casefold()
    return procedure.modality == row.modality and same_region


def _close(row: FollowUp, status: str, reason: str, exam: RequestedProcedure | None, actor: Actor) -> None:
    row.move_to(status)
    row.closed_by_exam, row.closed_reason = exam, reason[:300]
    row.save_as(actor, reason or "The exam was performed")
    publish(FollowUpClosed(str(row.uuid), row.accession_number, row.version, outcome=str(status)), actor=actor)


@service(perms.CLOSE_FOLLOW_UP)
def close_follow_up(
    follow_up: FollowUp,
    *,
    reason: str,
    is_done: bool = True,
    exam: RequestedProcedure | None = None,
    actor: Actor,
) -> FollowUp:
    """It was done (elsewhere: ``reason`` says where), or it will not be: the patient declined, it is not needed."""
    row = FollowUp.locked(follow_up.pk)
    reason = " ".join(reason.split())
    if not reason and exam is None:
        raise InvalidData(_("Say what became of it."), errors={"reason": _("Needed.")})
    _close(row, F.DONE if is_done else F.CANCELLED, reason, exam, actor)
    return row


@service(perms.RECOMMEND)
def reopen_follow_up(follow_up: FollowUp, *, reason: str, actor: Actor) -> FollowUp:
    """It was closed by mistake: it is due as before."""
    row = FollowUp.locked(follow_up.pk)
    if not reason.strip():
        raise InvalidData(_("Say why it is open again."), errors={"reason": _("Needed.")})
    row.move_to(F.DUE if row.report.is_signed or row.status != F.PLANNED else F.PLANNED)
    row.closed_by_exam, row.closed_reason, row.reminded_at = None, "", None
    row.save_as(actor, reason)
    return row


@service(perms.RECOMMEND)
def change_follow_up(follow_up: FollowUp, *, due_on: date, reason: str, actor: Actor) -> FollowUp:
    """Another day, other words, while it is open; it is told of anew when it is late."""
    row = FollowUp.locked(follow_up.pk)
    if row.status not in (F.PLANNED, F.DUE):
        raise InvalidTransition(_("It is closed."), todo=_("Open it again first."))
    row.due_on, row.reason, row.reminded_at = due_on, " ".join(reason.split()), None
    _refuse_what_is_wrong(row)
    row.save_as(actor, "Changed")
    return row


@service(perms.CLOSE_FOLLOW_UP, action=Action.EXECUTE)
def note_letter(follow_up: FollowUp, *, actor: Actor) -> FollowUp:
    """The letter to the patient was printed."""
    row = FollowUp.locked(follow_up.pk)
    row.letter_printed_at = timezone.now()
    row.save_as(actor, "Letter printed")
    return row


# --- when it is late

#: A second dispatcher tries again after that, should the first one die; telling twice does nothing.
AGAIN_AFTER = timedelta(minutes=1)
CLAIM = """
update reporting_followup set claimed_until = now() + %(again)s
where id in (
    select id from reporting_followup
    where status = 'due' and reminded_at is null and due_on < %(today)s
      and (claimed_until is null or claimed_until < now())
    order by due_on, id limit %(limit)s for update skip locked)
returning id
"""


def claim_late(limit: int = 50) -> list[int]:
    """Those that were due before today and nobody was told of."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"again": AGAIN_AFTER, "today": timezone.localdate(), "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


@transaction.atomic
def tell_late(pk: int) -> bool:
    """Tell who asked for the first exam, and who recommended it; once, however many dispatchers look."""
    row = FollowUp.objects.select_for_update(of=("self",), skip_locked=True).filter(pk=pk).first()
    if row is None or row.status != F.DUE or row.reminded_at is not None or row.due_on >= timezone.localdate():
        return False
    row.reminded_at = timezone.now()
    row.save_as(SYSTEM, "Late")
    requester = row.procedure.order.requester
    people = {user.pk: user for user in (getattr(requester, "user", None), row.recommended_by) if user is not None}
    tell(
        [user for user in people.values() if user.is_active],
        "reporting.follow_up_late",
        url="/follow-ups/?box=late",
        subject=str(row.uuid),
        context={"accession_number": row.accession_number},
        once=f"follow-up:{row.uuid}:{row.due_on}",
    )
    publish(FollowUpLate(str(row.uuid), row.accession_number, row.version), actor=SYSTEM)
    return True
