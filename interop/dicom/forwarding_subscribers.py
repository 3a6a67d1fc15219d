"""What DICOM peers are to hear of. Loaded by every process; a house without such peers pays one query for it."""

from __future__ import annotations

from interop.models import OutgoingKind
from ris.core.actor import Actor
from ris.events.bus import subscribe
from ris.events.dispatcher import register_work
from worklist.events import ImagesRejected, ImagesRestored, InstanceStored, StepStarted, StepUpdated, StudyCompleted
from worklist.models import ImageRejection, ImagingStudy, PerformedProcedureStep

WRITER = Actor("dicom")
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"


@subscribe(StepStarted, name="interop.forward_step", in_transaction=True)
def forward_step(event: StepStarted) -> None:
    _forward(event.subject, OutgoingKind.MPPS_CREATE)


@subscribe(StepUpdated, name="interop.forward_step_update", in_transaction=True)
def forward_step_update(event: StepUpdated) -> None:
    _forward(event.subject, OutgoingKind.MPPS_SET)


def _forward(step: str, kind: OutgoingKind) -> None:
    from interop.dicom import forwarding

    if forwarding.peers_that(forward_mpps=True):
        forwarding.plan_step(PerformedProcedureStep.objects.get(uuid=step), kind)


@subscribe(StudyCompleted, name="interop.forward_study", in_transaction=True)
def forward_study(event: StudyCompleted) -> None:
    """The images go before the news of them, where one peer gets both."""
    from interop.dicom import forwarding

    study = ImagingStudy.objects.get(uuid=event.subject)
    forwarding.plan_images(study, f"complete:{event.version}")
    forwarding.plan_availability(study, f"complete:{event.version}")


@subscribe(ImagesRejected, name="interop.write_rejection_note")
def write_rejection_note(event: ImagesRejected) -> None:
    """Into our own store first. Heard again it does nothing."""
    from interop.dicom import forwarding
    from interop.dicom.rejection_notes import write_note

    rejection = ImageRejection.objects.select_related("study").get(uuid=event.rejection)
    rejection = write_note(rejection, actor=WRITER)
    forwarding.plan_rejection_note(rejection)
    forwarding.plan_availability(rejection.study, f"rejected:{rejection.uuid}", rejection.instances)


@subscribe(InstanceStored, name="interop.obey_rejection_note")
def obey_rejection_note(event: InstanceStored) -> None:
    """A note that somebody else has sent. Heard again it does nothing."""
    if event.sop_class_uid == KEY_OBJECTS:
        from interop.dicom.rejection_notes import obey

        obey(event.sop_instance_uid)


@subscribe(ImagesRestored, name="interop.announce_restored", in_transaction=True)
def announce_restored(event: ImagesRestored) -> None:
    """There is no note that takes a note back: the images are sent again, and told to be there."""
    from interop.dicom import forwarding

    study = ImagingStudy.objects.get(uuid=event.subject)
    forwarding.plan_images(study, f"restored:{event.rejection}", list(event.instances))
    forwarding.plan_availability(study, f"restored:{event.rejection}", list(event.instances))


def claim_outgoing(limit: int) -> list[int]:
    from interop.dicom import outgoing_queue

    return outgoing_queue.claim(limit)


def send_outgoing(pk: int) -> bool:
    import interop.dicom.archives
    import interop.dicom.forwarding
    import interop.dicom.report_forwarding  # noqa: F401  workers register themselves
    from interop.dicom import outgoing_queue

    return outgoing_queue.run(pk)


register_work("interop.send_dicom", claim=claim_outgoing, run=send_outgoing)
