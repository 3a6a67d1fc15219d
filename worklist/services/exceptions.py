"""What a person settles: whose images, whose performed step. Always with a reason; evidence is linked, never moved."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from orders.models.orders import CLOSED_WITHOUT_EXAM
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotKnown
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.events import StudyUnlinked
from worklist.models import (
    OPEN_STEPS,
    ExceptionItem,
    ExceptionKind,
    ImagingStudy,
    PerformedProcedureStep,
    ScheduledProcedureStep,
)
from worklist.services import completeness, performed
from worklist.services.steps import make_step, offer
from worklist.services.support import lock_procedure, now, raise_exception

WHOSE_IMAGES = (ExceptionKind.UNMATCHED_STUDY, ExceptionKind.PATIENT_DIFFERS)
WHOSE_STEP = (ExceptionKind.UNSCHEDULED_STEP, ExceptionKind.STEP_PATIENT_DIFFERS, ExceptionKind.WRONG_ENTRY)


def _reason(reason: str, field: str = "reason") -> str:
    reason = reason.strip()
    if not reason:
        words = _("Say why.")
        raise InvalidData(words, errors={field: words})
    return reason[:200]


def _settle(items: Iterable[ExceptionItem], resolution: str, actor: Actor) -> None:
    for item in items:
        item.resolved_at, item.resolved_by, item.resolution = now(), actor.user, resolution[:200]
        item.save_as(actor, f"Resolved: {resolution}"[:150])


def _refuse_closed(procedure: RequestedProcedure) -> None:
    if procedure.status in CLOSED_WITHOUT_EXAM:
        raise InvalidTransition(
            _("This exam was called off."),
            asked=_("To link it."),
            found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Choose a living exam, or order it anew."),
        )


@service(perms.RESOLVE_EXCEPTION)
def link_study(study: ImagingStudy, *, procedure: RequestedProcedure, reason: str, actor: Actor) -> ImagingStudy:
    """A person says whose images these are. What waited about this study is resolved with the same reason."""
    reason = _reason(reason)
    procedure = lock_procedure(procedure)
    _refuse_closed(procedure)
    study = ImagingStudy.locked(study.pk)
    if study.procedures.filter(pk=procedure.pk).exists():
        raise Conflict(_("These images are linked to this exam already."))
    completeness.add_procedure(study, procedure, actor=actor)
    study.completed_at = None
    study.save_as(actor, f"Linked by a person: {reason}")
    _settle(study.exceptions.open().filter(kind__in=WHOSE_IMAGES).select_for_update(of=("self",)), reason, actor)
    completeness.note_images_complete(study, actor=actor)
    return ImagingStudy.objects.get(pk=study.pk)


@service(perms.RESOLVE_EXCEPTION)
def unlink_study(
    study: ImagingStudy, *, procedure: RequestedProcedure | None = None, reason: str, actor: Actor
) -> ImagingStudy:
    """Take the images from an exam (or from all); they wait for a person again. Nothing is deleted."""
    reason = _reason(reason)
    linked = study.procedures.all() if procedure is None else study.procedures.filter(pk=procedure.pk)
    targets = list(linked)
    if not targets:
        raise NotKnown(_("These images are not linked to that exam."))
    study = ImagingStudy.locked(study.pk)
    for target in targets:
        record(actor, "worklist.unlink_study", Action.UPDATE, entity=target, reason=reason)
        study.procedures.remove(target)
        publish(
            StudyUnlinked(
                str(study.uuid),
                accession_number=target.accession_number,
                version=study.version,
                study_instance_uid=study.study_instance_uid,
                procedure=str(target.uuid),
            ),
            actor=actor,
        )
    study.save_as(actor, f"Unlinked by a person: {reason}")
    if not study.procedures.exists():
        raise_exception(ExceptionKind.UNMATCHED_STUDY, study=study, detail={"unlinked": True}, actor=actor)
    return study


@service(perms.RESOLVE_EXCEPTION)
def link_performed_step(
    step: PerformedProcedureStep, *, procedure: RequestedProcedure, reason: str, actor: Actor
) -> PerformedProcedureStep:
    """A person says which exam this was; steps and procedure follow what the scanner said."""
    reason = _reason(reason)
    procedure = lock_procedure(procedure)
    _refuse_closed(procedure)
    scheduled = _step_for(procedure, step, actor)
    step = PerformedProcedureStep.locked(step.pk)
    if step.scheduled_steps.filter(procedure=procedure).exists():
        raise Conflict(_("This step is linked to this exam already."))
    performed.link(step, [scheduled], actor=actor)
    step.save_as(actor, f"Linked by a person: {reason}")
    if step.is_final:
        completeness.expect_images(step, actor=actor)
    _settle(step.exceptions.open().filter(kind__in=WHOSE_STEP).select_for_update(of=("self",)), reason, actor)
    return step


def _step_for(procedure: RequestedProcedure, step: PerformedProcedureStep, actor: Actor) -> ScheduledProcedureStep:
    """The scheduled step that was meant; a new one when the exam has none that is open."""
    known = procedure.steps.filter(status__in=OPEN_STEPS).order_by("starts_at", "pk").first()
    if known is not None:
        return known
    made = make_step(procedure, station=step.station, starts_at=step.started_at)
    made.modality = made.modality or step.modality
    made.save_as(actor, "Made for what was performed")
    return offer(made, actor)


@service(perms.RESOLVE_EXCEPTION)
def unlink_performed_step(
    step: PerformedProcedureStep, *, procedure: RequestedProcedure, reason: str, actor: Actor
) -> PerformedProcedureStep:
    """It was another exam's: the link goes, the statuses stay until a person moves them."""
    reason = _reason(reason)
    lock_procedure(procedure)
    step = PerformedProcedureStep.locked(step.pk)
    linked = list(step.scheduled_steps.filter(procedure=procedure))
    if not linked:
        raise NotKnown(_("This step is not linked to that exam."))
    step.scheduled_steps.remove(*linked)
    step.save_as(actor, f"Unlinked by a person: {reason}")
    if not step.scheduled_steps.exists():
        raise_exception(
            ExceptionKind.UNSCHEDULED_STEP,
            performed_step=step,
            station=step.station,
            actor=actor,
            detail={"unlinked": True},
        )
    return step


@service(perms.RESOLVE_EXCEPTION)
def link_exception(item: ExceptionItem, *, procedure: RequestedProcedure, reason: str, actor: Actor) -> ExceptionItem:
    """Link what waits (images, performed step) to an exam, and settle the exception."""
    reason = _reason(reason)
    procedure = lock_procedure(procedure)
    if item.resolved_at is not None:
        raise Conflict(_("This was resolved already."), found=item.resolution)
    if item.study is not None and not item.study.procedures.filter(pk=procedure.pk).exists():
        link_study(item.study, procedure=procedure, reason=reason, actor=actor)
    step = item.performed_step
    if step is not None and not step.scheduled_steps.filter(procedure=procedure).exists():
        link_performed_step(step, procedure=procedure, reason=reason, actor=actor)
    item = ExceptionItem.locked(item.pk)
    if item.resolved_at is None:
        _settle([item], reason, actor)
    return item


@service(perms.RESOLVE_EXCEPTION)
def resolve_exception(item: ExceptionItem, *, resolution: str, actor: Actor) -> ExceptionItem:
    """Settle it with a sentence. Missing images that a person accepts no longer hold up the reading."""
    resolution = _reason(resolution, "resolution")
    if item.procedure is not None:
        lock_procedure(item.procedure)
    item = ExceptionItem.locked(item.pk)
    if item.resolved_at is not None:
        raise Conflict(
            _("This was resolved already."),
            found=item.resolution,
            todo=_("Nothing more is to be done."),
        )
    _settle([item], resolution, actor)
    if item.kind == ExceptionKind.COUNT_DIFFERS and item.study is not None:
        completeness.note_images_complete(item.study, actor=actor)
    return item
