"""Whose evidence it is: moved from one exam to another in one act, linked, unlinked, and each act undone.

Files in the store stay as they were sent. The index says whose they are, and what goes out is told from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db.models import Q
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from orders.models.orders import CLOSED_WITHOUT_EXAM
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotKnown
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.events import EvidenceMoved
from worklist.models import (
    ExceptionItem,
    ExceptionKind,
    ImageRejection,
    ImagingInstance,
    ImagingStudy,
    PerformedProcedureStep,
    Reconciliation,
    ReconciliationKind,
    RejectionReason,
    ScheduledProcedureStep,
)
from worklist.services import completeness, performed
from worklist.services import reconciliation_evidence as evidence
from worklist.services.matching import Agreement, agreement
from worklist.services.reconciliation_evidence import Ledger
from worklist.services.rejection import reject_images, restore_images
from worklist.services.support import lock_procedures, now, raise_exception

WHOSE_IMAGES = (ExceptionKind.UNMATCHED_STUDY, ExceptionKind.PATIENT_DIFFERS)
WHOSE_STEP = (ExceptionKind.UNSCHEDULED_STEP, ExceptionKind.STEP_PATIENT_DIFFERS, ExceptionKind.WRONG_ENTRY)


def check_reason(reason: str, field: str = "reason") -> str:
    reason = reason.strip()
    if not reason:
        words = _("Say why.")
        raise InvalidData(words, errors={field: words})
    return reason[:200]


def refuse_closed(procedure: RequestedProcedure) -> None:
    if procedure.status in CLOSED_WITHOUT_EXAM:
        raise InvalidTransition(
            _("This exam was called off."),
            asked=_("To link it."),
            found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Choose a living exam, or order it anew."),
        )


def lock_both(*procedures: RequestedProcedure | None) -> list[RequestedProcedure | None]:
    """Locked together, in the order of the house; answered in the order asked."""
    rows = {row.pk: row for row in lock_procedures(row.pk for row in procedures if row is not None)}
    return [rows[row.pk] if row is not None else None for row in procedures]


def write_down(
    kind: str,
    ledger: Ledger,
    *,
    reason: str,
    actor: Actor,
    score: float | None = None,
    **subjects: Any,
) -> Reconciliation:
    """The row that says who did what and why, and from which it is undone; told to those above."""
    procedures = [subjects.get("source"), subjects.get("target")]
    evidence.note_after(ledger, procedures)
    row = Reconciliation(
        kind=kind,
        reason=reason,
        changes=ledger.as_dict(),
        done_by=actor.user,
        score=Decimal(str(score)) if score is not None else None,
        **subjects,
    )
    row.save_as(actor, f"{row.get_kind_display()}: {reason}")
    for procedure in procedures:
        if procedure is not None:
            record(actor, f"worklist.reconciled_{kind}", Action.UPDATE, entity=procedure, reason=reason)
    _tell(row, ledger, actor)
    return row


def _tell(row: Reconciliation, ledger: Ledger, actor: Actor, *, is_undone: bool = False) -> None:
    known = row.target or row.source
    publish(
        EvidenceMoved(
            str(row.uuid),
            accession_number=known.accession_number if known else "",
            version=row.version,
            kind=row.kind,
            source=str(row.source.uuid) if row.source else "",
            target=str(row.target.uuid) if row.target else "",
            studies=_studies_touched(row, ledger),
            was_read=tuple(ledger.was_read),
            is_undone=is_undone,
        ),
        actor=actor,
    )


def _studies_touched(row: Reconciliation, ledger: Ledger) -> tuple[str, ...]:
    """Those whose links changed, that series came from, and that they went to."""
    touched = {entry[0] for entry in ledger.studies} | {origin for _series, origin in ledger.series}
    if row.study is not None:
        touched |= {str(row.study.uuid)}
        if row.study.merged_into is not None:
            touched |= {str(row.study.merged_into.uuid)}
    return tuple(sorted(touched))


# --- link and unlink


def link_evidence(
    procedure: RequestedProcedure,
    *,
    steps: Sequence[PerformedProcedureStep] = (),
    studies: Sequence[ImagingStudy] = (),
    reason: str,
    actor: Actor,
    score: float | None = None,
) -> Reconciliation:
    """One act for all that belongs together; what waited about it is resolved with the same reason."""
    reason = check_reason(reason)
    [target] = lock_both(procedure)
    assert target is not None
    refuse_closed(target)
    ledger = Ledger()
    evidence.note_before(ledger, [target])
    for step in steps:
        evidence.give_step(ledger, PerformedProcedureStep.locked(step.pk), target, reason=reason, actor=actor)
    for study in studies:
        evidence.give_study(ledger, study, target, reason=reason, actor=actor)
    _settle_about(ledger, steps, studies, reason, actor)
    return write_down(
        ReconciliationKind.LINK,
        ledger,
        performed_step=next(iter(steps), None),
        study=next(iter(studies), None),
        target=target,
        reason=reason,
        actor=actor,
        score=score,
    )


@service(perms.RESOLVE_EXCEPTION)
def link_study(study: ImagingStudy, *, procedure: RequestedProcedure, reason: str, actor: Actor) -> ImagingStudy:
    """Say whose images these are."""
    if study.procedures.filter(pk=procedure.pk).exists():
        raise Conflict(_("These images are linked to this exam already."))
    link_evidence(procedure, studies=[study], reason=reason, actor=actor)
    return ImagingStudy.objects.get(pk=study.pk)


@service(perms.RESOLVE_EXCEPTION)
def link_performed_step(
    step: PerformedProcedureStep, *, procedure: RequestedProcedure, reason: str, actor: Actor
) -> PerformedProcedureStep:
    """Say which exam this was; steps and procedure follow what the scanner said."""
    if step.scheduled_steps.filter(procedure=procedure).exists():
        raise Conflict(_("This step is linked to this exam already."))
    link_evidence(procedure, steps=[step], reason=reason, actor=actor)
    return PerformedProcedureStep.objects.get(pk=step.pk)


@service(perms.RESOLVE_EXCEPTION)
def unlink_study(
    study: ImagingStudy, *, procedure: RequestedProcedure | None = None, reason: str, actor: Actor
) -> ImagingStudy:
    """Take the images from an exam (or from all); they wait for a person again. Nothing is deleted."""
    reason = check_reason(reason)
    linked = study.procedures.all() if procedure is None else study.procedures.filter(pk=procedure.pk)
    targets = lock_both(*linked)
    if not targets:
        raise NotKnown(_("These images are not linked to that exam."))
    study = ImagingStudy.locked(study.pk)
    for source in targets:
        assert source is not None
        ledger = Ledger()
        evidence.note_before(ledger, [source])
        evidence.take_study(ledger, study, source, reason=reason, actor=actor)
        evidence.flag_if_read(ledger, source, study=study, actor=actor)
        if not study.procedures.exists():
            _wait(ledger, actor, study=study)
        write_down(ReconciliationKind.UNLINK, ledger, study=study, source=source, reason=reason, actor=actor)
    return study


@service(perms.RESOLVE_EXCEPTION)
def unlink_performed_step(
    step: PerformedProcedureStep, *, procedure: RequestedProcedure, reason: str, actor: Actor
) -> PerformedProcedureStep:
    """It was another exam's: the link goes, the statuses stay until a person moves them."""
    reason = check_reason(reason)
    [source] = lock_both(procedure)
    assert source is not None
    ledger = Ledger()
    evidence.note_before(ledger, [source])
    step = PerformedProcedureStep.locked(step.pk)
    if not step.scheduled_steps.filter(procedure=source).exists():
        raise NotKnown(_("This step is not linked to that exam."))
    evidence.take_step(ledger, step, source, reason=reason, actor=actor)
    if not step.scheduled_steps.exists():
        _wait(ledger, actor, performed_step=step, station=step.station)
    write_down(ReconciliationKind.UNLINK, ledger, performed_step=step, source=source, reason=reason, actor=actor)
    return step


def _wait(ledger: Ledger, actor: Actor, **subject: Any) -> None:
    """Nobody's now: it waits for a person, and never links itself."""
    kind = ExceptionKind.UNMATCHED_STUDY if "study" in subject else ExceptionKind.UNSCHEDULED_STEP
    item = raise_exception(kind, actor=actor, detail={"unlinked": True}, **subject)
    ledger.raised.append(str(item.uuid))


# --- the wrong worklist entry


def evidence_of(procedure: RequestedProcedure) -> tuple[list[PerformedProcedureStep], list[ImagingStudy]]:
    """What was done under this exam's name."""
    steps = PerformedProcedureStep.objects.filter(scheduled_steps__procedure=procedure).distinct().order_by("pk")
    return list(steps), list(ImagingStudy.objects.filter(procedures=procedure).order_by("pk"))


def _may_move(step: PerformedProcedureStep, own: list[PerformedProcedureStep]) -> bool:
    """This exam's, or nobody's since the scanner said that the entry was wrong."""
    return step in own or not step.scheduled_steps.exists()


def _is_free(study: ImagingStudy, own: list[ImagingStudy]) -> bool:
    return study in own or not study.procedures.exists()


@service(perms.RESOLVE_EXCEPTION)
def move_evidence(
    source: RequestedProcedure,
    *,
    target: RequestedProcedure,
    reason: str,
    performed_steps: list[PerformedProcedureStep] | None = None,
    studies: list[ImagingStudy] | None = None,
    actor: Actor,
) -> Reconciliation:
    """The wrong worklist entry was chosen: what was done for ``source`` was done for ``target``.

    Performed steps, images and documentation go over, dose follows the images; ``source`` is on the worklist again
    when nothing is left of it. Archives hear that the objects carry the wrong patient (113038). Without lists: all.
    """
    reason = check_reason(reason)
    if source.pk == target.pk:
        words = _("That is the same exam.")
        raise InvalidData(words, errors={"target": words})
    found_source, found_target = lock_both(source, target)
    assert found_source is not None and found_target is not None
    source, target = found_source, found_target
    refuse_closed(target)
    all_steps, all_studies = evidence_of(source)
    steps = all_steps if performed_steps is None else [row for row in performed_steps if _may_move(row, all_steps)]
    images = all_studies if studies is None else [row for row in studies if _is_free(row, all_studies)]
    if not steps and not images:
        raise NotKnown(_("Nothing of that was done under this exam's name."), todo=_("Look at the exam again."))
    ledger = Ledger()
    evidence.note_before(ledger, [source, target])
    for step in steps:
        evidence.take_step(ledger, step, source, reason=reason, actor=actor)
    for study in images:
        evidence.take_study(ledger, ImagingStudy.locked(study.pk), source, reason=reason, actor=actor)
    if not evidence.has_evidence(source):
        evidence.move_documents(ledger, source, target, reason=reason, actor=actor)
        evidence.put_state(source, evidence.reopened(source), reason=_("Wrong worklist entry"), actor=actor)
    evidence.flag_if_read(ledger, source, study=images[0] if images else None, actor=actor)
    for step in steps:
        evidence.give_step(ledger, PerformedProcedureStep.locked(step.pk), target, reason=reason, actor=actor)
    for study in images:
        evidence.give_study(ledger, study, target, reason=reason, actor=actor)
        reject_if_other(ledger, study, target, reason=reason, actor=actor)
    _settle_about(ledger, steps, images, reason, actor)
    return write_down(
        ReconciliationKind.MOVE,
        ledger,
        performed_step=steps[0] if steps else None,
        study=images[0] if images else None,
        source=source,
        target=target,
        reason=reason,
        actor=actor,
    )


def _settle_about(
    ledger: Ledger,
    steps: Sequence[PerformedProcedureStep],
    studies: Sequence[ImagingStudy],
    reason: str,
    actor: Actor,
) -> None:
    about = Q(performed_step__in=steps, kind__in=WHOSE_STEP) | Q(study__in=studies, kind__in=WHOSE_IMAGES)
    items = ExceptionItem.objects.open().filter(about).select_for_update(of=("self",)).order_by("pk")
    evidence.settle(ledger, items, reason, actor)


def reject_if_other(
    ledger: Ledger, study: ImagingStudy, target: RequestedProcedure, *, reason: str, actor: Actor
) -> None:
    """The objects name another patient than whose they are: archives are told not to show them so.

    Here they stay visible, under the right exam.
    """
    if agreement(target.order.patient, completeness.sent_of(study)) is not Agreement.DIFFERS:
        return
    shown = ImagingInstance.objects.filter(series__study=study, is_rejected=False)
    instances = list(shown.values_list("sop_instance_uid", flat=True))
    if instances:
        rejection = reject_images(
            study, instances=instances, code=RejectionReason.WRONG_ENTRY, reason=reason, is_hidden=False, actor=actor
        )
        ledger.rejections.append(str(rejection.uuid))


# --- undo

_undoers: dict[str, Callable[[Reconciliation, Ledger, str, Actor], None]] = {}


def undoes(kind: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register what else is undone of this kind, before links and states are put back."""

    def register(function: Callable[[Reconciliation, Ledger, str, Actor], None]) -> Callable[..., None]:
        _undoers[kind] = function
        return function

    return register


@service(perms.RESOLVE_EXCEPTION)
def undo_reconciliation(reconciliation: Reconciliation, *, reason: str, actor: Actor) -> Reconciliation:
    """Put back what one act has moved. An exam that has gone on since follows its evidence instead.

    Raises Conflict when it was undone before, or when a later act has moved the same evidence on.
    """
    reason = check_reason(reason)
    source, target = lock_both(reconciliation.source, reconciliation.target)
    row = Reconciliation.locked(reconciliation.pk)
    if row.undone_at is not None:
        raise Conflict(_("This was undone already."), found=row.undo_reason, todo=_("Nothing more is to be done."))
    ledger = Ledger.of(row.changes)
    _refuse_if_moved_on(ledger)
    moved_on = {
        str(procedure.uuid): evidence.state_of(procedure) != ledger.after.get(str(procedure.uuid))
        for procedure in (source, target)
        if procedure is not None
    }
    undone = Ledger(before={str(p.uuid): evidence.state_of(p) for p in (source, target) if p is not None})
    if row.kind in _undoers:
        _undoers[row.kind](row, ledger, reason, actor)
    _put_links_back(ledger, undone, reason, actor)
    for procedure in {exam.pk: exam for exam in (target, source) if exam is not None}.values():
        _put_exam_back(procedure, ledger, undone, moved_on[str(procedure.uuid)], reason, actor)
    _put_waiting_back(ledger, reason, actor)
    row.undone_at, row.undone_by, row.undo_reason = now(), actor.user, reason
    row.save_as(actor, f"Undone: {reason}")
    for procedure in (source, target):
        if procedure is not None:
            record(actor, "worklist.reconciliation_undone", Action.UPDATE, entity=procedure, reason=reason)
    undone.studies, undone.series = ledger.studies, ledger.series
    _tell(row, undone, actor, is_undone=True)
    return row


def _refuse_if_moved_on(ledger: Ledger) -> None:
    """What was given must still be there."""
    is_gone = False
    for uuid, _taken, given in ledger.steps:
        linked = set(ScheduledProcedureStep.objects.filter(performed_steps__uuid=uuid).values_list("uuid", flat=True))
        is_gone |= not set(given) <= {str(value) for value in linked}
    for uuid, _taken, given in ledger.studies:
        linked = set(RequestedProcedure.objects.filter(studies__uuid=uuid).values_list("uuid", flat=True))
        is_gone |= not set(given) <= {str(value) for value in linked}
    if is_gone:
        raise Conflict(
            _("This evidence has been moved again since."),
            asked=_("To undo."),
            found=_("A later act took it elsewhere."),
            todo=_("Undo the later one first."),
        )


def _put_links_back(ledger: Ledger, undone: Ledger, reason: str, actor: Actor) -> None:
    for uuid, taken, given in ledger.steps:
        step = PerformedProcedureStep.locked(PerformedProcedureStep.objects.get(uuid=uuid).pk)
        step.scheduled_steps.remove(*ScheduledProcedureStep.objects.filter(uuid__in=given))
        step.scheduled_steps.add(*ScheduledProcedureStep.objects.filter(uuid__in=taken))
        step.save_as(actor, f"Undone: {reason}")
    for uuid, taken, given in ledger.studies:
        study = ImagingStudy.locked(ImagingStudy.objects.get(uuid=uuid).pk)
        for procedure in RequestedProcedure.objects.filter(uuid__in=given):
            evidence.take_study(undone, study, procedure, reason=f"Undone: {reason}", actor=actor)
        for procedure in RequestedProcedure.objects.filter(uuid__in=taken):
            completeness.add_procedure(study, procedure, actor=actor)
    for label, key in ledger.documents:
        document = apps.get_model(label)._default_manager.select_for_update(of=("self",)).get(pk=key)
        origin = RequestedProcedure.objects.get(uuid=_origin(ledger))
        evidence.give_document(document, origin, reason=f"Undone: {reason}", actor=actor)


def _origin(ledger: Ledger) -> str:
    """Documentation moves only when all goes from one exam to another: the first one written down is the source."""
    return next(iter(ledger.before))


def _put_exam_back(
    procedure: RequestedProcedure, ledger: Ledger, undone: Ledger, has_moved_on: bool, reason: str, actor: Actor
) -> None:
    before = ledger.before[str(procedure.uuid)]
    if not has_moved_on:
        evidence.put_state(procedure, before, reason=f"Undone: {reason}", actor=actor)
        return
    if not evidence.has_evidence(procedure):
        evidence.flag_if_read(undone, procedure, study=None, actor=actor)
        evidence.put_state(procedure, evidence.reopened(procedure), reason=f"Undone: {reason}", actor=actor)
        return
    steps, studies = evidence_of(procedure)
    for step in steps:
        performed.link(step, list(step.scheduled_steps.filter(procedure=procedure)), actor=actor)
    for study in studies:
        completeness.note_images_complete(study, actor=actor)


def _put_waiting_back(ledger: Ledger, reason: str, actor: Actor) -> None:
    for item in ExceptionItem.objects.select_for_update(of=("self",)).filter(uuid__in=ledger.settled):
        item.resolved_at, item.resolved_by, item.resolution = None, None, ""
        item.save_as(actor, f"Waits again: {reason}")
    waiting = ExceptionItem.objects.open().select_for_update(of=("self",)).filter(uuid__in=ledger.raised)
    evidence.settle(Ledger(), waiting, reason, actor)
    for rejection in ImageRejection.objects.filter(uuid__in=ledger.rejections, restored_at__isnull=True):
        restore_images(rejection, reason=reason, actor=actor)
