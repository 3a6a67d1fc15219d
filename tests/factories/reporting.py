"""Exams that are ready to be read, people who read and receive, for tests."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

from django.utils import timezone

from orders.models import Order, Patient, PatientIdentifier, RequestedProcedure
from reporting import services
from reporting.models import Report
from ris.accounts.models import Practitioner
from ris.core.actor import Actor
from tests.factories.accounts import actor_with_roles
from worklist.models import ImagingStudy

_numbers = count(1)
FINDINGS = "Lungs: Clear. No effusion."
IMPRESSION = "No acute abnormality."
SECTIONS = {"findings": FINDINGS, "impression": IMPRESSION}


def make_patient(family_name: str = "OTIENO", **fields: Any) -> Patient:
    number = next(_numbers)
    values = {"given_name": "Achieng", "birth_date": date(1990, 3, 14), "sex": "F", **fields}
    patient = Patient.objects.create(family_name=family_name, **values)
    PatientIdentifier.objects.create(patient=patient, value=f"T{number:06}", issuer="TEST")
    return patient


def make_referrer(*, signs_in: bool = True, actor: Actor | None = None, **fields: Any) -> SimpleNamespace:
    """A referring physician: ``practitioner``, and ``actor`` when they sign in."""
    if actor is None and signs_in:
        actor = actor_with_roles("referring_physician")
    practitioner = Practitioner.objects.create(
        family_name=fields.pop("family_name", f"Atieno{next(_numbers)}"),
        given_name="Salome",
        prefix="Dr",
        user=actor.user if actor else None,
        **fields,
    )
    return SimpleNamespace(practitioner=practitioner, actor=actor)


def make_procedure(
    *,
    patient: Patient | None = None,
    requester: Practitioner | None = None,
    status: str = "ready_to_read",
    priority: str = "routine",
    minutes_ago: int = 10,
    images: int = 0,
    order: Order | None = None,
    **fields: Any,
) -> RequestedProcedure:
    """A requested procedure in a status, with the times that belong to it."""
    number = next(_numbers)
    order = order or Order.objects.create(
        patient=patient or make_patient(), requester=requester, priority=priority, indication="PE?"
    )
    then = timezone.now() - timedelta(minutes=minutes_ago)
    values = {
        "accession_number": f"A{number:07}",
        "requested_procedure_id": f"RP{number}",
        "code": "CTCHEST",
        "description": "CT chest",
        "modality": "CT",
        "body_region": "chest",
        "performed_at": then,
        "images_complete_at": then,
        **fields,
    }
    procedure = RequestedProcedure.objects.create(order=order, status=status, **values)
    if images:
        study = ImagingStudy.objects.create(
            study_instance_uid=procedure.study_instance_uid,
            instance_count=images,
            series_count=1,
            last_received_at=then,
        )
        study.procedures.add(procedure)
    return procedure


def drafted(procedure: RequestedProcedure | None = None, *, actor: Actor, **sections: str) -> Report:
    """A report opened and written by ``actor``."""
    report = services.open_report([procedure or make_procedure()], actor=actor)
    return services.save_report(report, sections={**SECTIONS, **sections}, revision=report.revision, actor=actor)


def signed(procedure: RequestedProcedure | None = None, *, actor: Actor, **sections: str) -> Report:
    """The same, signed final."""
    return services.sign_report(drafted(procedure, actor=actor, **sections), actor=actor)
