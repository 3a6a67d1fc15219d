"""Are all images here? The scanner's list says so, or that nothing has come for a while, or a person.

``settle_after`` on the study is the alarm clock: every instance winds it, the dispatcher looks when it rings.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Q

from orders import services as orders
from orders.models import RequestedProcedure
from orders.models.orders import OPEN_BEFORE_EXAM
from ris.accounts.selectors import facility_settings
from ris.core.actor import Actor
from ris.events.bus import publish
from worklist.events import StudyCompleted, StudyMatched
from worklist.models import (
    OFFERED,
    ExceptionKind,
    ImagingInstance,
    ImagingStudy,
    PerformedProcedureStep,
    PPSStatus,
    SPSStatus,
)
from worklist.services import rendering
from worklist.services.counting import lock_for_counting, recount_study
from worklist.services.matching import Agreement, Sent, agreement
from worklist.services.steps import move_steps
from worklist.services.support import lock_procedures, now, raise_exception

BEAT = Actor("beat")
CLAIMED_FOR = timedelta(seconds=60)


def quiet_time() -> timedelta:
    return timedelta(seconds=facility_settings().images_complete_after_seconds)


def claim_studies(limit: int) -> list[int]:
    """Studies whose clock has rung; no other dispatcher gets them for a minute."""
    with transaction.atomic():
        due = ImagingStudy.objects.select_for_update(skip_locked=True).filter(settle_after__lte=now())
        claimed = list(due.order_by("settle_after").values_list("pk", flat=True)[:limit])
        ImagingStudy.objects.filter(pk__in=claimed).update(settle_after=now() + CLAIMED_FOR)
    return claimed


def note_images_complete(study: ImagingStudy | int, *, actor: Actor = BEAT, is_committed: bool = False) -> bool:
    """Look whether the study is complete, and let its procedures follow; True when it is.

    ``is_committed``: who sent the images has asked us to answer for all of them.
    """
    pk = study if isinstance(study, int) else study.pk
    with transaction.atomic():
        procedures = lock_procedures(
            ImagingStudy.procedures.through.objects.filter(imagingstudy=pk).values_list("requestedprocedure", flat=True)
        )
        lock_for_counting(pk)
        ImagingStudy.locked(pk)
        recount_study(pk)
        locked = ImagingStudy.objects.get(pk=pk)
        if locked.completed_at is not None or locked.instance_count == 0:
            ImagingStudy.objects.filter(pk=pk).update(settle_after=None)
            return locked.completed_at is not None
        return _settle(locked, procedures, actor, is_committed)


def note_images_committed(sop_instance_uids: set[str], *, actor: Actor) -> None:
    """These instances are stored and answered for: studies that consist of nothing else are complete by that."""
    named = ImagingInstance.objects.filter(sop_instance_uid__in=sop_instance_uids)
    open_studies = ImagingStudy.objects.filter(completed_at__isnull=True)
    for study in open_studies.filter(pk__in=named.values("series__study")).order_by("pk"):
        stored = set(ImagingInstance.objects.filter(series__study=study).values_list("sop_instance_uid", flat=True))
        if stored <= sop_instance_uids:
            note_images_complete(study, actor=actor, is_committed=True)


def _settle(
    study: ImagingStudy, procedures: list[RequestedProcedure], actor: Actor, is_committed: bool = False
) -> bool:
    steps = list(_performed_steps(procedures))
    expected = {uid for step in steps for uid in step.instance_uids}
    is_quiet = study.last_received_at + quiet_time() <= now()
    is_declared = bool(procedures) and all(row.completed_by_technologist_at for row in procedures)
    runs = any(step.status == PPSStatus.IN_PROGRESS for step in steps) and not is_declared
    missing = expected - _stored_uids(procedures, expected) if expected else set()
    all_named_are_here = bool(expected) and not missing
    if runs or not (all_named_are_here or is_quiet or ((is_declared or is_committed) and not missing)):
        return _look_again(study)
    if missing and not _is_accepted(study, procedures):
        _miss_images(study, procedures, expected, missing, actor)
        return False
    _complete(study, procedures, actor)
    return True


def _performed_steps(procedures: list[RequestedProcedure]):
    return PerformedProcedureStep.objects.filter(scheduled_steps__procedure__in=procedures).distinct()


def _stored_uids(procedures: list[RequestedProcedure], uids: set[str]) -> set[str]:
    """Which of these instances are stored: in whatever study of these procedures, or moved elsewhere by a person."""
    is_here = Q(series__study__procedures__in=procedures) | ~Q(series__acquired_study_instance_uid="")
    rows = ImagingInstance.objects.filter(is_here, sop_instance_uid__in=uids)
    return set(rows.values_list("sop_instance_uid", flat=True))


def _look_again(study: ImagingStudy) -> bool:
    later = max(study.last_received_at + quiet_time(), now() + quiet_time() / 2)
    ImagingStudy.objects.filter(pk=study.pk).update(settle_after=later)
    return False


def _is_accepted(study: ImagingStudy, procedures: list[RequestedProcedure]) -> bool:
    """A person has looked at what is missing, and said to go on."""
    return study.exceptions.filter(kind=ExceptionKind.COUNT_DIFFERS, resolved_at__isnull=False).exists()


def _miss_images(
    study: ImagingStudy, procedures: list[RequestedProcedure], expected: set[str], missing: set[str], actor: Actor
) -> None:
    ImagingStudy.objects.filter(pk=study.pk).update(settle_after=None)
    raise_exception(
        ExceptionKind.COUNT_DIFFERS,
        study=study,
        procedure=procedures[0] if procedures else None,
        detail={"expected": len(expected), "stored": len(expected) - len(missing)},
        actor=actor,
    )


def _complete(study: ImagingStudy, procedures: list[RequestedProcedure], actor: Actor) -> None:
    study.completed_at, study.settle_after = now(), None
    study.save_as(actor, "Images complete")
    publish(
        StudyCompleted(
            str(study.uuid),
            accession_number=procedures[0].accession_number if procedures else "",
            version=study.version,
            study_instance_uid=study.study_instance_uid,
        ),
        actor=actor,
    )
    for procedure in procedures:
        if procedure.status in OPEN_BEFORE_EXAM:
            if _is_to_be_repeated(procedure):
                continue
            _was_performed(procedure, actor)
        orders.mark_images_complete(procedure, at=study.completed_at, actor=actor)


def _is_to_be_repeated(procedure: RequestedProcedure) -> bool:
    """It was stopped with some images made, and is offered to another machine: these are not its last."""
    statuses = set(procedure.steps.values_list("status", flat=True))
    return SPSStatus.DISCONTINUED in statuses and bool(statuses & set(OFFERED))


def _was_performed(procedure: RequestedProcedure, actor: Actor) -> None:
    """Images of an exam that nobody started: it was done. Its steps leave the worklist, its charges are drafted."""
    from worklist.services.performed import finish_procedure

    orders.mark_started(procedure, actor=actor)
    move_steps(rendering.renderable(procedure=procedure, status__in=OFFERED), SPSStatus.STARTED, actor, "Images came")
    move_steps(
        rendering.renderable(procedure=procedure, status=SPSStatus.STARTED), SPSStatus.COMPLETED, actor, "Images came"
    )
    finish_procedure(lock_procedures([procedure.pk])[0], None, actor)


# --- studies and performed steps find each other


def studies_of(step: PerformedProcedureStep) -> list[ImagingStudy]:
    """What was stored under the step's study or series UIDs."""
    series = [row.get("uid") for row in step.series if row.get("uid")]
    condition = Q(series__series_instance_uid__in=series)
    if step.study_instance_uid:
        condition |= Q(study_instance_uid=step.study_instance_uid)
    return list(ImagingStudy.objects.filter(condition).distinct())


def link_studies_of(step: PerformedProcedureStep, *, actor: Actor) -> None:
    """Images that came before, or under another Study UID (group case), belong to the step's procedures too."""
    studies = studies_of(step)
    if not studies:
        return
    procedures = list(
        RequestedProcedure.objects.filter(steps__performed_steps=step).select_related("order__patient").distinct()
    )
    for study in studies:
        known = set(study.procedures.values_list("pk", flat=True))
        if not known and study.exceptions.open().exists():
            continue
        for procedure in procedures:
            if procedure.pk not in known and agreement(procedure.order.patient, sent_of(study)) is Agreement.AGREES:
                add_procedure(study, procedure, actor=actor)


def sent_of(study: ImagingStudy) -> Sent:
    return Sent(
        study.patient_id, study.issuer_of_patient_id, study.patient_name, study.patient_birth_date, study.patient_sex
    )


def add_procedure(study: ImagingStudy, procedure: RequestedProcedure, *, actor: Actor) -> None:
    """Link, tell, and look whether it is complete soon."""
    study.procedures.add(procedure)
    ImagingStudy.objects.filter(pk=study.pk, settle_after__isnull=True).update(settle_after=now())
    publish(
        StudyMatched(
            str(study.uuid),
            accession_number=procedure.accession_number,
            version=study.version,
            study_instance_uid=study.study_instance_uid,
            procedure=str(procedure.uuid),
        ),
        actor=actor,
    )


def expect_images(step: PerformedProcedureStep, *, actor: Actor) -> None:
    """The step has ended and says what it made: write down what to wait for; look at once when all is here."""
    link_studies_of(step, actor=actor)
    studies = ImagingStudy.objects.filter(procedures__steps__performed_steps=step).distinct()
    for study in studies:
        procedures = list(study.procedures.all())
        expected = {uid for row in _performed_steps(procedures) for uid in row.instance_uids}
        ImagingStudy.objects.filter(pk=study.pk).update(expected_instance_count=len(expected) or None)
        note_images_complete(study, actor=actor)
