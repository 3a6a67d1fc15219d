"""What others may hear of schedule, exams and images. Identifiers only."""

from __future__ import annotations

from dataclasses import dataclass

from ris.events.bus import Event


@dataclass(frozen=True)
class AppointmentBooked(Event):
    """``subject``: the appointment. Said again when it is moved."""

    name = "worklist.appointment_booked"

    procedure: str = ""


@dataclass(frozen=True)
class AppointmentCancelled(Event):
    """``subject``: the appointment; its time is free."""

    name = "worklist.appointment_cancelled"

    procedure: str = ""
    outcome: str = "cancelled"


@dataclass(frozen=True)
class SlotFreed(Event):
    """``subject``: the reservation that stood there; its time in ``room`` is free: called off, moved, not come."""

    name = "worklist.slot_freed"

    room: str = ""
    starts_at: str = ""
    ends_at: str = ""


@dataclass(frozen=True)
class SlotOffered(Event):
    """``subject``: the offer; a free time is kept for who is next on the waiting list."""

    name = "worklist.slot_offered"

    procedure: str = ""
    entry: str = ""


@dataclass(frozen=True)
class OfferAnswered(Event):
    """``subject``: the offer; ``outcome`` accepted, declined, expired or withdrawn."""

    name = "worklist.offer_answered"

    procedure: str = ""
    entry: str = ""
    outcome: str = ""


@dataclass(frozen=True)
class PatientArrived(Event):
    """``subject``: the procedure."""

    name = "worklist.patient_arrived"


@dataclass(frozen=True)
class PatientCalled(Event):
    """``subject``: the ticket; its holder is called to the room with that code."""

    name = "worklist.patient_called"

    procedure: str = ""
    room: str = ""


@dataclass(frozen=True)
class StepStarted(Event):
    """``subject``: the performed step."""

    name = "worklist.step_started"

    procedures: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepUpdated(Event):
    """``subject``: the performed step; the scanner, or a person in its place, has said more of it, or ended it."""

    name = "worklist.step_updated"

    status: str = ""


@dataclass(frozen=True)
class ExamPerformed(Event):
    """``subject``: the procedure; the scanner, or a person in its place, says that acquisition has ended."""

    name = "worklist.exam_performed"


@dataclass(frozen=True)
class ExamCompleted(Event):
    """``subject``: the procedure; the technologist has completed the paperwork."""

    name = "worklist.exam_completed"


@dataclass(frozen=True)
class ExamDiscontinued(Event):
    """``subject``: the procedure; ``code`` of CID 9300/9301."""

    name = "worklist.exam_discontinued"

    code: str = ""


@dataclass(frozen=True)
class InstanceStored(Event):
    """``subject``: the SOP Instance UID of an object without pixels: dose report, key objects, presentation, document.

    Pictures come by the thousand and are told of once per study: StudyMatched, StudyCompleted.
    """

    name = "worklist.instance_stored"

    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    study_instance_uid: str = ""
    path: str = ""


@dataclass(frozen=True)
class StudyMatched(Event):
    """``subject``: the study; linked to ``procedure``."""

    name = "worklist.study_matched"

    study_instance_uid: str = ""
    procedure: str = ""


@dataclass(frozen=True)
class StudyUnlinked(Event):
    """``subject``: the study; a person took it from ``procedure``."""

    name = "worklist.study_unlinked"

    study_instance_uid: str = ""
    procedure: str = ""


@dataclass(frozen=True)
class StudyCompleted(Event):
    """``subject``: the study; all its images are here."""

    name = "worklist.study_completed"

    study_instance_uid: str = ""


@dataclass(frozen=True)
class ImagesRejected(Event):
    """``subject``: the study; ``instances`` of it are out of use. ``reason_code``: the title of the rejection note."""

    name = "worklist.images_rejected"

    study: str = ""
    instances: tuple[str, ...] = ()
    reason_code: str = ""
    rejection: str = ""


@dataclass(frozen=True)
class ImagesRestored(Event):
    """``subject``: the study; a rejection is undone, its ``instances`` are in use again."""

    name = "worklist.images_restored"

    study: str = ""
    instances: tuple[str, ...] = ()
    rejection: str = ""


@dataclass(frozen=True)
class ExceptionRaised(Event):
    """``subject``: the exception; a person must look."""

    name = "worklist.exception_raised"

    kind: str = ""


@dataclass(frozen=True)
class TimeOutDone(Event):
    """``subject``: the time-out of ``procedure``."""

    name = "worklist.time_out_done"

    procedure: str = ""


@dataclass(frozen=True)
class ConsumableUsed(Event):
    """``subject``: the use, in ``procedure``; ``product`` where the facility keeps it. For stock-keeping."""

    name = "worklist.consumable_used"

    procedure: str = ""
    product: str = ""


@dataclass(frozen=True)
class ConsumableWithdrawn(Event):
    """``subject``: the use that was written down by mistake."""

    name = "worklist.consumable_withdrawn"

    procedure: str = ""


@dataclass(frozen=True)
class ExposureRecorded(Event):
    """``subject``: the exposure that a person read from the machine."""

    name = "worklist.exposure_recorded"

    procedure: str = ""


@dataclass(frozen=True)
class AdverseEventRecorded(Event):
    """``subject``: the event; ``kind`` and ``severity`` are codes."""

    name = "worklist.adverse_event_recorded"

    procedure: str = ""
    kind: str = ""
    severity: str = ""


@dataclass(frozen=True)
class ScreeningOverridden(Event):
    """``subject``: the answers; somebody allowed ``procedure`` in spite of them."""

    name = "worklist.screening_overridden"

    procedure: str = ""


@dataclass(frozen=True)
class EvidenceMoved(Event):
    """``subject``: the reconciliation; what was done for ``source`` turned out to be ``target``'s, or to be undecided.

    ``was_read``: of these exams a radiologist had read the images before they were taken away.
    """

    name = "worklist.evidence_moved"

    kind: str = ""
    source: str = ""
    target: str = ""
    studies: tuple[str, ...] = ()
    was_read: tuple[str, ...] = ()
    is_undone: bool = False
