"""A sheet of a downtime becomes steps with real times, and finds the images that came under its number meanwhile.

Heard in the commit that enters the sheet: there is no moment in which a scanner is offered what was done on paper.
Whose images they are is decided as always: what contradicts the patient waits for a person.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Q

from orders import services as orders
from orders.models import DowntimeForm, PaperOutcome, Patient, ProcedureStatus, RequestedProcedure
from ris.accounts.models import User
from ris.core.actor import Actor
from ris.events.bus import publish
from worklist.events import ExamCompleted, PatientArrived, StepStarted
from worklist.models import (
    OFFERED,
    ConsumableUse,
    ExceptionItem,
    ExceptionKind,
    ImagingStudy,
    PerformedProcedureStep,
    PPSStatus,
    ReservationStatus,
    ScheduledProcedureStep,
    SPSStatus,
    Station,
    TechnologistNote,
)
from worklist.services import completeness, performed, rendering
from worklist.services.arrival import open_appointment
from worklist.services.matching import (
    Agreement,
    Sent,
    agreement,
    belongs_to_another,
    birth_dates_agree,
    differences,
    names_agree,
)
from worklist.services.steps import make_step, move_steps, offer, steps_of
from worklist.services.support import lock_procedure, now, raise_exception, sign

EARLY = (ProcedureStatus.ACCEPTED, ProcedureStatus.SCHEDULED)


def replay_form(form: DowntimeForm) -> RequestedProcedure:
    """Arrival, start, end and completion of an entered sheet, as its typist, at the times written on it."""
    actor = Actor(form.entered_through or "system", user=form.entered_by)
    assert form.procedure is not None
    station = Station.objects.select_related("room").filter(ae_title=form.station_ae_title).first()
    scheduled = _arrive(form, lock_procedure(form.procedure), station, actor)
    if form.started_at is not None:
        _perform(form, scheduled, station, actor)
    _write_down(form, actor)
    _find_images(form, lock_procedure(form.procedure), actor)
    is_done = form.outcome == PaperOutcome.PERFORMED
    procedure = orders.record_paper_times(
        form.procedure,
        arrived_at=form.arrived_at,
        started_at=form.started_at,
        performed_at=form.ended_at if is_done else None,
        completed_at=form.ended_at if is_done else None,
        actor=actor,
    )
    for study in ImagingStudy.objects.filter(procedures=procedure, completed_at__isnull=True):
        completeness.note_images_complete(study, actor=actor)
    return procedure


# --- steps


def _arrive(
    form: DowntimeForm, procedure: RequestedProcedure, station: Station | None, actor: Actor
) -> ScheduledProcedureStep:
    """The step that was meant; of an exam that was booked it is the booked one."""
    was_early = procedure.status in EARLY
    if was_early:
        orders.mark_arrived(procedure, actor=actor)
        reservation = open_appointment(procedure)
        if reservation is not None and reservation.status == ReservationStatus.BOOKED:
            reservation.move_to(ReservationStatus.ARRIVED)
            reservation.save_as(actor, "Arrived, from paper")
    steps = steps_of(procedure, *OFFERED)
    if steps:
        step = steps[0]
        step.station = station or step.station
        step.save_as(actor, "Done as the paper says")
    else:
        step = make_step(lock_procedure(procedure), station=station, starts_at=form.arrived_at or now())
        step.save_as(actor, "From paper")
    step = offer(step, actor)
    if step.status == SPSStatus.SCHEDULED:
        move_steps([step], SPSStatus.ARRIVED, actor, "Arrived, from paper")
    if was_early:
        procedure = lock_procedure(procedure)
        publish(
            PatientArrived(str(procedure.uuid), accession_number=procedure.accession_number, version=procedure.version),
            actor=actor,
        )
    return step


def _perform(form: DowntimeForm, scheduled: ScheduledProcedureStep, station: Station | None, actor: Actor) -> None:
    """The scanner's own performed step when it came under this number, else one as written."""
    procedure = lock_procedure(scheduled.procedure)
    of_scanner = _steps_of_scanner(form, procedure, actor)
    for step in of_scanner:
        performed.link(step, [scheduled], actor=actor)
        step.save_as(actor, f"Linked by downtime form {form.label}")
        _settle(step.exceptions.open().filter(kind=ExceptionKind.UNSCHEDULED_STEP), form, actor)
        if step.is_final:
            completeness.expect_images(step, actor=actor)
    if not of_scanner:
        by_hand = _step_by_hand(form, procedure, station or scheduled.station, actor)
        performed.link(by_hand, [scheduled], actor=actor)
        of_scanner = [by_hand]
        publish(
            StepStarted(
                str(by_hand.uuid),
                accession_number=procedure.accession_number,
                version=by_hand.version,
                procedures=(str(procedure.uuid),),
            ),
            actor=actor,
        )
    if form.ended_at is not None:
        _end(form, procedure, of_scanner, actor)


def _steps_of_scanner(form: DowntimeForm, procedure: RequestedProcedure, actor: Actor) -> list[PerformedProcedureStep]:
    """Those that the scanner sent under the reserved number; one of another patient is put before a person."""
    rows = PerformedProcedureStep.objects.select_for_update(of=("self",)).filter(_under(form))
    found = []
    for step in rows.filter(scheduled_steps__isnull=True).order_by("pk"):
        sent = Sent(step.patient_id, "", step.patient_name, step.patient_birth_date, step.patient_sex)
        if _is_theirs(procedure.order.patient, sent):
            found.append(step)
            continue
        raise_exception(
            ExceptionKind.STEP_PATIENT_DIFFERS,
            performed_step=step,
            procedure=procedure,
            station=step.station,
            actor=actor,
            detail={"differs": differences(procedure.order.patient, sent)},
        )
        _settle(step.exceptions.open().filter(kind=ExceptionKind.UNSCHEDULED_STEP), form, actor)
    return found


def _step_by_hand(
    form: DowntimeForm, procedure: RequestedProcedure, station: Station | None, actor: Actor
) -> PerformedProcedureStep:
    patient = procedure.order.patient
    identifier = patient.primary_identifier
    step = PerformedProcedureStep(
        performed_procedure_step_id=performed.mint_performed_step_id(),
        station=station,
        station_ae_title=station.ae_title if station else "",
        modality=procedure.modality,
        study_instance_uid=form.study_instance_uid,
        accession_number=form.accession_number,
        patient_id=identifier.value if identifier else "",
        patient_name=patient.dicom_name[:200],
        patient_birth_date=f"{patient.birth_date:%Y%m%d}" if patient.birth_date else "",
        patient_sex=patient.sex if patient.sex != "U" else "",
        started_at=form.started_at,
        performed_by=_person(form.technologist),
        is_manual=True,
    )
    step.save_as(actor, f"From downtime form {form.label}")
    return step


def _person(words: str) -> User | None:
    """The one person whom the name on the sheet means; nobody when it could be several."""
    parts = words.casefold().split()
    if not parts:
        return None
    people = User.objects.filter(is_active=True, is_service=False, family_name__iexact=parts[-1])
    fitting = [person for person in people if set(parts) <= set(person.display_name.casefold().split())]
    return fitting[0] if len(fitting) == 1 else None


def _end(form: DowntimeForm, procedure: RequestedProcedure, steps: list[PerformedProcedureStep], actor: Actor) -> None:
    """As written: performed and completed, or stopped. A scanner's own step stays open for its own last word."""
    is_stopped = form.outcome == PaperOutcome.DISCONTINUED
    for step in steps:
        if step.is_manual and not step.is_final:
            step.ended_at = form.ended_at
            step.discontinuation_code = form.stop_code if is_stopped else ""
            target = PPSStatus.DISCONTINUED if is_stopped else PPSStatus.COMPLETED
            performed.end(step, target, rendering.renderable(performed_steps=step), actor)
    procedure = lock_procedure(procedure)
    if is_stopped:
        if procedure.status == ProcedureStatus.IN_PROGRESS:
            move_steps(steps_of(procedure, SPSStatus.STARTED), SPSStatus.DISCONTINUED, actor, "Stopped, from paper")
            orders.mark_discontinued(procedure, code=form.stop_code, actor=actor)
        return
    move_steps(steps_of(procedure, SPSStatus.STARTED), SPSStatus.COMPLETED, actor, "Completed, from paper")
    performed.finish_procedure(lock_procedure(procedure), form.ended_at, actor)
    orders.mark_completed_by_technologist(procedure, actor=actor)
    procedure = lock_procedure(procedure)
    publish(
        ExamCompleted(str(procedure.uuid), accession_number=procedure.accession_number, version=procedure.version),
        actor=actor,
    )


def _write_down(form: DowntimeForm, actor: Actor) -> None:
    """What was used, and what the technologist wrote, in their places."""
    for row in form.consumables:
        used = ConsumableUse(
            procedure=form.procedure,
            label=row["label"],
            quantity=row["quantity"],
            unit=row["unit"],
            lot=row["lot"],
            used_at=form.started_at or form.arrived_at,
            recorded_by=actor.user,
        )
        sign(used, actor, f"From downtime form {form.label}")
    if form.note:
        note = TechnologistNote(
            procedure=form.procedure, text=form.note, written_by=actor.user, written_at=form.ended_at or form.arrived_at
        )
        sign(note, actor, f"From downtime form {form.label}")


def correct_steps(form: DowntimeForm) -> None:
    """The steps that were made from the sheet follow its corrected times; what a scanner said stays as it said it."""
    actor = Actor(form.corrected_through or "system", user=form.corrected_by)
    made = PerformedProcedureStep.objects.select_for_update(of=("self",)).filter(
        is_manual=True, pk__in=PerformedProcedureStep.objects.filter(scheduled_steps__procedure=form.procedure)
    )
    for step in made:
        step.started_at = form.started_at or step.started_at
        step.ended_at = form.ended_at if step.is_final else step.ended_at
        step.save_as(actor, f"Times corrected on downtime form {form.label}")


# --- images


def _under(form: DowntimeForm) -> Q:
    return Q(accession_number=form.accession_number) | Q(study_instance_uid=form.study_instance_uid)


def _is_theirs(patient: Patient, sent: Sent) -> bool:
    """As everywhere; and since the number is this sheet's, a name that fits suffices where no birth date was typed."""
    if agreement(patient, sent) is not Agreement.DIFFERS:
        return True
    is_anothers = bool(sent.patient_id.strip()) and belongs_to_another(patient, sent.patient_id, sent.issuer)
    return not is_anothers and names_agree(patient, sent.name) and birth_dates_agree(patient, sent.birth_date) is None


@transaction.atomic
def match_late_images(form: DowntimeForm, *, actor: Actor) -> None:
    """Images that come after a sheet of a booked exam was entered carry the sheet's number, not the exam's."""
    assert form.procedure is not None
    procedure = lock_procedure(form.procedure)
    _find_images(form, procedure, actor)
    for study in ImagingStudy.objects.filter(procedures=procedure, completed_at__isnull=True):
        completeness.note_images_complete(study, actor=actor)


def _find_images(form: DowntimeForm, procedure: RequestedProcedure, actor: Actor) -> None:
    waiting = ImagingStudy.objects.filter(_under(form), procedures__isnull=True)
    for pk in list(waiting.order_by("pk").values_list("pk", flat=True)):
        study = ImagingStudy.locked(pk)
        sent = completeness.sent_of(study)
        if _is_theirs(procedure.order.patient, sent):
            completeness.add_procedure(study, procedure, actor=actor)
            study.refresh_from_db()
            study.completed_at = None
            study.save_as(actor, f"Linked by downtime form {form.label}")
        else:
            raise_exception(
                ExceptionKind.PATIENT_DIFFERS,
                study=study,
                procedure=procedure,
                detail={"differs": differences(procedure.order.patient, sent)},
                actor=actor,
            )
        _settle(study.exceptions.open().filter(kind=ExceptionKind.UNMATCHED_STUDY), form, actor)


def _settle(items: Iterable[ExceptionItem], form: DowntimeForm, actor: Actor) -> None:
    for item in items:
        item.resolved_at, item.resolved_by = now(), actor.user
        item.resolution = f"Downtime form {form.label}"
        item.save_as(actor, f"Resolved: downtime form {form.label}")
