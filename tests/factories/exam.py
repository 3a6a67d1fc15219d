"""One exam, by the services, from registration to the acknowledged result: rows in every table that the API names."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils import timezone

from orders.models import CatalogueProcedure, Modality, Patient, RequestedProcedure
from orders.services import ProcedureRequest, create_order, register_patient
from reporting.models import Report
from reporting.services import open_report, save_report, sign_report
from ris.accounts.bootstrap import ensure_roles
from ris.accounts.models import Practitioner, Role, User
from ris.core.actor import SYSTEM, Actor
from ris.core.permissions import RADIOLOGIST, REFERRER
from worklist.models import ImagingStudy, Room, Station
from worklist.services import arrive_patient, book_appointment, complete_exam, start_exam


@dataclass
class Exam:
    patient: Patient
    procedure: RequestedProcedure
    report: Report | None = None
    rows: list[models.Model] = field(default_factory=list)

    patient_model = Patient

    def models(self) -> list[type[models.Model]]:
        """Every model of the facility that names its rows by UUID and has one."""
        from django.apps import apps

        return [
            model
            for model in apps.get_models()
            if any(f.name == "uuid" for f in model._meta.fields)
            and not model._meta.model_name.startswith("historical")
            and model._meta.app_label != "tenants"
            and model._base_manager.exists()
        ]


def user_with(username: str, *roles: str, **fields: Any) -> User:
    ensure_roles()
    user, _created = User.objects.get_or_create(username=username, defaults=fields)
    user.roles.add(*Role.objects.filter(name__in=roles))
    return User.objects.get(pk=user.pk)


def ct_chest() -> CatalogueProcedure:
    return CatalogueProcedure.objects.get_or_create(
        code="CTCHESTC",
        defaults={
            "name": "CT chest with contrast",
            "modality": Modality.CT,
            "body_region": "CHEST",
            "duration_minutes": 20,
        },
    )[0]


def ct1() -> Station:
    room, _created = Room.objects.get_or_create(code="ct1", defaults={"name": "CT 1"})
    station, _created = Station.objects.get_or_create(
        ae_title="CT1", defaults={"room": room, "name": "CT1", "modality": Modality.CT}
    )
    return station


def ordered_exam(*, family_name: str = "Wanjiru", given_name: str = "Achieng", actor: Actor = SYSTEM) -> Exam:
    """A patient with one CT chest, accepted and not yet scheduled."""
    referrer_user = user_with("exam-referrer", REFERRER)
    requester, _created = Practitioner.objects.get_or_create(
        user=referrer_user, defaults={"family_name": "Atieno", "given_name": "Sarah", "prefix": "Dr"}
    )
    patient = register_patient(
        family_name=family_name,
        given_name=given_name,
        birth_date=timezone.localdate() - timedelta(days=13000),
        sex="F",
        actor=actor,
    )
    order = create_order(
        patient=patient,
        procedures=[ProcedureRequest(code=ct_chest().code)],
        indication="Pulmonary embolism?",
        requester=requester,
        actor=actor,
    )
    return Exam(patient, order.procedures.get())


def booked_exam(*, hour: int = 0, **kwargs: Any) -> Exam:
    exam = ordered_exam(**kwargs)
    now = timezone.localtime().replace(minute=0, second=0, microsecond=0)
    starts_at = max(now + timedelta(hours=hour), now.replace(hour=0))  # a day that is over takes no booking
    book_appointment(exam.procedure, station=ct1(), starts_at=starts_at, actor=SYSTEM)
    exam.procedure.refresh_from_db()
    return exam


def performed_exam(**kwargs: Any) -> Exam:
    exam = booked_exam(**kwargs)
    arrive_patient(exam.procedure, actor=SYSTEM)
    start_exam(exam.procedure, actor=SYSTEM)
    complete_exam(exam.procedure, actor=SYSTEM)
    exam.procedure.refresh_from_db()
    return exam


def whole_exam(**kwargs: Any) -> Exam:
    """Performed, read, signed; its deliveries planned."""
    exam = performed_exam(**kwargs)
    reader = Actor("web", user=user_with("exam-reader", RADIOLOGIST))
    report = open_report([exam.procedure], actor=reader)
    report = save_report(
        report,
        sections={"findings": "Lungs clear. No embolus.", "impression": "No pulmonary embolism."},
        revision=report.revision,
        actor=reader,
    )
    exam.report = sign_report(report, actor=reader)
    ImagingStudy.objects.create(study_instance_uid=exam.procedure.study_instance_uid)
    exam.procedure.refresh_from_db()
    return exam
