"""What happens below is followed here in the same commit: a scanner never sees what is no longer so."""

from __future__ import annotations

from orders.events import (
    OrderChanged,
    PatientsMerged,
    PatientsUnmerged,
    PatientUpdated,
    ProcedureChanged,
    ProcedureStatusChanged,
)
from orders.models import RequestedProcedure
from orders.models.orders import CLOSED_WITHOUT_EXAM
from ris.accounts.models import Role, User
from ris.core.actor import SYSTEM
from ris.core.permissions import RADIOLOGIST, TECHNOLOGIST
from ris.events.bus import subscribe
from ris.events.dispatcher import register_work
from ris.notifications.services import notify_all
from worklist.events import ExceptionRaised
from worklist.models import ExceptionItem, ExceptionKind
from worklist.services import rendering
from worklist.services.booking import release_procedure
from worklist.services.completeness import claim_studies, note_images_complete

ALARMS = (ExceptionKind.BLOCKED_STARTED, ExceptionKind.PATIENT_DIFFERS, ExceptionKind.STEP_PATIENT_DIFFERS)


@subscribe(PatientUpdated, name="worklist.render_patient", in_transaction=True)
def render_patient(event: PatientUpdated) -> None:
    rendering.refresh_patients([event.subject], SYSTEM, "Patient changed")


@subscribe(PatientsMerged, name="worklist.render_merged", in_transaction=True)
def render_merged(event: PatientsMerged) -> None:
    rendering.refresh_patients([event.subject, event.loser], SYSTEM, "Patients merged")


@subscribe(PatientsUnmerged, name="worklist.render_unmerged", in_transaction=True)
def render_unmerged(event: PatientsUnmerged) -> None:
    rendering.refresh_patients([event.subject, event.loser], SYSTEM, "Patients unmerged")


@subscribe(OrderChanged, name="worklist.render_order", in_transaction=True)
def render_order(event: OrderChanged) -> None:
    rendering.refresh_steps(SYSTEM, "Order changed", procedure__order__uuid=event.subject)


@subscribe(ProcedureChanged, name="worklist.render_procedure", in_transaction=True)
def render_procedure(event: ProcedureChanged) -> None:
    rendering.refresh_steps(SYSTEM, "Procedure changed", procedure__uuid=event.subject)


@subscribe(ProcedureStatusChanged, name="worklist.follow_procedure", in_transaction=True)
def follow_procedure(event: ProcedureStatusChanged) -> None:
    """Called off: the steps leave the worklist and the time is free. Otherwise the items say what is so."""
    if event.status in CLOSED_WITHOUT_EXAM:
        procedure = RequestedProcedure.objects.select_related("order__patient").get(uuid=event.subject)
        release_procedure(procedure, SYSTEM, f"Exam {event.status}")
        return
    rendering.refresh_steps(SYSTEM, "Procedure moved", procedure__uuid=event.subject)


@subscribe(ExceptionRaised, name="worklist.alarm")
def alarm(event: ExceptionRaised) -> None:
    """What may harm a patient is told to who can act; everything else waits on the exceptions page."""
    if event.kind not in ALARMS:
        return
    item = ExceptionItem.objects.filter(uuid=event.subject, resolved_at__isnull=True).first()
    if item is None:
        return
    roles = Role.objects.filter(name__in=(TECHNOLOGIST, RADIOLOGIST))
    notify_all(
        User.objects.filter(is_active=True, is_service=False, roles__in=roles).distinct().order_by("pk"),
        template="worklist.exam_alarm",
        url=f"/exceptions/{item.uuid}/",
        subject=str(item.uuid),
        context={"kind": event.kind, "accession_number": event.accession_number},
        dedupe_key=f"worklist.alarm:{item.uuid}",
    )


register_work("worklist.images", claim=claim_studies, run=note_images_complete)
