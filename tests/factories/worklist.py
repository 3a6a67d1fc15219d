"""Rooms, appointments, performed steps and stored objects for tests."""

from __future__ import annotations

import hashlib
import itertools
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from orders.models import RequestedProcedure
from ris.core.actor import SYSTEM, Actor
from ris.core.ids import new_uid
from tests.factories.orders import make_catalogue, make_procedure
from worklist.data import PerformedSeries, PerformedStepData, ScheduledStepReference, StoredInstance
from worklist.models import Reservation, Room, ScheduledProcedureStep, Station
from worklist.services import book_appointment, start_performed_step

_number = itertools.count(1)
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
SCANNER = Actor("mpps", ae_title="CT1", address="127.0.0.1")
STORE = Actor("storage", ae_title="CT1", address="127.0.0.1")


def make_station(ae_title: str = "CT1", modality: str = "CT", room: str = "") -> Station:
    code = room or ae_title.lower()
    place, _new = Room.objects.get_or_create(code=code, defaults={"name": code.upper()})
    station, _new = Station.objects.get_or_create(
        ae_title=ae_title, defaults={"room": place, "name": ae_title, "modality": modality}
    )
    return station


def at(hour: int, minute: int = 0, days: int = 1) -> datetime:
    """Tomorrow (or so many days from now) by the facility's clock."""
    day = timezone.localdate() + timedelta(days=days)
    return timezone.make_aware(datetime(day.year, day.month, day.day, hour, minute))


def ct_procedure(**fields: Any) -> RequestedProcedure:
    catalogue = fields.pop("catalogue", None) or make_catalogue("CTHEAD", name="CT head", modality="CT")
    return make_procedure(codes=[catalogue.code], **fields)


def booked(
    procedure: RequestedProcedure | None = None,
    *,
    station: Station | None = None,
    starts_at: datetime | None = None,
    actor: Actor = SYSTEM,
    **fields: Any,
) -> Reservation:
    procedure = procedure or ct_procedure()
    return book_appointment(
        procedure, station=station or make_station(), starts_at=starts_at or at(10), actor=actor, **fields
    )


def step_of(procedure: RequestedProcedure) -> ScheduledProcedureStep:
    return procedure.steps.order_by("-pk").first()


def reference_to(*procedures: RequestedProcedure) -> tuple[ScheduledStepReference, ...]:
    return tuple(
        ScheduledStepReference(
            scheduled_procedure_step_id=step_of(row).scheduled_procedure_step_id,
            requested_procedure_id=row.requested_procedure_id,
            accession_number=row.accession_number,
            study_instance_uid=row.study_instance_uid,
        )
        for row in procedures
    )


def created(*procedures: RequestedProcedure, **fields: Any) -> PerformedStepData:
    """N-CREATE's attributes, as a scanner that took the entries from its worklist sends them."""
    values: dict[str, Any] = {
        "status": "IN PROGRESS",
        "scheduled_steps": reference_to(*procedures),
        "station_ae_title": "CT1",
        "modality": "CT",
        "performed_procedure_step_id": f"PPS{next(_number)}",
    }
    if procedures:
        values |= sent_patient(procedures[0])
    return PerformedStepData(**values | fields)


def sent_patient(procedure: RequestedProcedure) -> dict[str, str]:
    patient = procedure.order.patient
    return {
        "patient_name": patient.dicom_name,
        "patient_id": patient.primary_identifier.value,
        "patient_birth_date": f"{patient.birth_date:%Y%m%d}" if patient.birth_date else "",
        "patient_sex": patient.sex,
    }


def started(*procedures: RequestedProcedure, actor: Actor = SCANNER, **fields: Any):
    return start_performed_step(sop_instance_uid=new_uid(), attributes=created(*procedures, **fields), actor=actor)


def series_of(*uids: str, series_uid: str = "") -> tuple[PerformedSeries, ...]:
    return (PerformedSeries(series_uid or new_uid(), protocol="HEAD", instances=uids),)


def stored(procedure: RequestedProcedure | None = None, **fields: Any) -> StoredInstance:
    """One object, by default of the procedure's study and patient."""
    sop = fields.pop("sop_instance_uid", None) or new_uid()
    digest = hashlib.sha256(sop.encode()).hexdigest()
    values: dict[str, Any] = {
        "study_instance_uid": procedure.study_instance_uid if procedure else new_uid(),
        "series_instance_uid": new_uid(),
        "sop_instance_uid": sop,
        "sop_class_uid": CT_IMAGE,
        "transfer_syntax_uid": EXPLICIT,
        "path": f"{sop}.dcm",
        "size": 1000,
        "fingerprint": digest[:32],
        "received_from": "CT1",
        "modality": "CT",
        "series_number": 1,
        "instance_number": 1,
        "study_date": f"{timezone.localdate():%Y%m%d}",
        "study_time": "101500.123",
        "rows": 512,
        "columns": 512,
    }
    if procedure is not None:
        values |= sent_patient(procedure) | {"accession_number": procedure.accession_number}
    return StoredInstance(**values | fields)
