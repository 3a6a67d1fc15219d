"""What waits for a person is settled: linked to its exam, read as far as it goes, or answered with a sentence."""

from __future__ import annotations

from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidTransition
from worklist import permissions as perms
from worklist.models import ExceptionItem, ExceptionKind, ImagingStudy, PerformedProcedureStep
from worklist.services import completeness
from worklist.services.reconciliation import check_reason, link_evidence, move_evidence
from worklist.services.reconciliation_evidence import Ledger, settle
from worklist.services.support import lock_procedure


def _refuse_resolved(item: ExceptionItem) -> None:
    if item.resolved_at is not None:
        raise Conflict(_("This was resolved already."), found=item.resolution, todo=_("Nothing more is to be done."))


def evidence_of_item(item: ExceptionItem) -> tuple[list[PerformedProcedureStep], list[ImagingStudy]]:
    """What is linked in one act: the images or the step of the item, and what came with them and is nobody's yet."""
    steps = [item.performed_step] if item.performed_step else []
    studies = [item.study] if item.study else []
    for step in list(steps):
        studies += [row for row in completeness.studies_of(step) if row not in studies and _is_of(item, row)]
    for study in list(studies):
        waiting = PerformedProcedureStep.objects.filter(
            study_instance_uid=study.study_instance_uid, scheduled_steps__isnull=True
        )
        steps += [row for row in waiting if row not in steps and row.patient_id == study.patient_id]
    return steps, studies


def _is_of(item: ExceptionItem, study: ImagingStudy) -> bool:
    """Nobody's, or still under the entry that the scanner called wrong."""
    linked = list(study.procedures.values_list("pk", flat=True))
    return not linked or (item.kind == ExceptionKind.WRONG_ENTRY and linked == [item.procedure_id])


@service(perms.RESOLVE_EXCEPTION)
def link_exception(item: ExceptionItem, *, procedure: RequestedProcedure, reason: str, actor: Actor) -> ExceptionItem:
    """Link what waits (images, performed step) to an exam in one act, and settle the exception."""
    reason = check_reason(reason)
    procedure = lock_procedure(procedure)
    _refuse_resolved(item)
    steps, studies = evidence_of_item(item)
    wrong = item.procedure if item.kind == ExceptionKind.WRONG_ENTRY else None
    if wrong is not None and wrong.pk != procedure.pk:
        move_evidence(wrong, target=procedure, performed_steps=steps, studies=studies, reason=reason, actor=actor)
    else:
        steps = [row for row in steps if not row.scheduled_steps.filter(procedure=procedure).exists()]
        studies = [row for row in studies if not row.procedures.filter(pk=procedure.pk).exists()]
        if steps or studies:
            link_evidence(procedure, steps=steps, studies=studies, reason=reason, actor=actor)
    item = ExceptionItem.locked(item.pk)
    if item.resolved_at is None:
        settle(Ledger(), [item], reason, actor)
    return item


@service(perms.RESOLVE_EXCEPTION)
def read_limited_study(item: ExceptionItem, *, reason: str, actor: Actor) -> ExceptionItem:
    """The exam was discontinued, yet what there is of images shall be read."""
    reason = check_reason(reason)
    _refuse_resolved(item)
    procedure = lock_procedure(item.procedure) if item.procedure else None
    if procedure is None or procedure.status != ProcedureStatus.DISCONTINUED:
        raise InvalidTransition(
            _("This exam was not discontinued."),
            asked=_("To read a limited study."),
            found=_("It is: %(status)s.") % {"status": procedure.get_status_display()} if procedure else "",
            todo=_("It goes its usual way."),
        )
    if not procedure.studies.filter(instance_count__gt=0).exists():
        raise InvalidTransition(
            _("There is no image of it."),
            asked=_("To read a limited study."),
            found=_("Nothing was stored for this exam."),
            todo=_("Link the images first, or settle this without them."),
        )
    orders.mark_limited(procedure, actor=actor)
    item = ExceptionItem.locked(item.pk)
    settle(Ledger(), [item], reason, actor)
    return item


@service(perms.RESOLVE_EXCEPTION)
def resolve_exception(item: ExceptionItem, *, resolution: str, actor: Actor) -> ExceptionItem:
    """Settle it with a sentence. Missing images that a person accepts no longer hold up the reading."""
    resolution = check_reason(resolution, "resolution")
    if item.procedure is not None:
        lock_procedure(item.procedure)
    item = ExceptionItem.locked(item.pk)
    if item.resolved_at is not None:
        raise Conflict(
            _("This was resolved already."),
            found=item.resolution,
            todo=_("Nothing more is to be done."),
        )
    settle(Ledger(), [item], resolution, actor)
    if item.kind == ExceptionKind.COUNT_DIFFERS and item.study is not None:
        completeness.note_images_complete(item.study, actor=actor)
    return item
