"""Two exams of an angiography room whose unit sends no dose report: one to follow up on the skin, one of a patient who
may be pregnant. The doses are copied from the machine by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from dose.models import SkinFollowUp
from dose.services import enter_dose, explain_trigger, tell_patient
from interop.demo import clock
from orders import services as orders
from orders.models import CatalogueProcedure, Patient, RequestedProcedure
from orders.services import ProcedureRequest
from ris.accounts.models import Site, User
from ris.core.actor import Actor
from worklist import services as worklist
from worklist.models import Room, Station
from worklist.services.screening import screening_states

#: Of the machines that are seeded, none does angiography
ROOM, NAME, STATION = "angio", "Angiography", "XA1"


@dataclass(frozen=True)
class Given:
    """``doses``: quantity -> value in the clinic's unit; ``sex`` and place among those, of the patient."""

    code: str
    indication: str
    sex: str
    place: int
    days_ago: int
    doses: Mapping[str, float]
    is_pregnant: bool = False
    why: str = ""


EXAMS = (
    Given("XACORONARY", "Chest pain at rest, ST depression.", "M", 1, 3,
          {"dap": 268, "dose_rp": 5350, "fluoro_time": 2640}, why="Two stents in a tortuous artery; large patient."),
    Given("XAPICC", "Antibiotics for six weeks, no veins left.", "F", 0, 1,
          {"dap": 1.3, "dose_rp": 14, "fluoro_time": 96}, is_pregnant=True),
)  # fmt: skip


def seed_fluoroscopy(people: Mapping[str, User], patients: list[Patient], site: Site) -> None:
    room, _new = Room.objects.get_or_create(code=ROOM, defaults={"name": NAME, "site": site})
    station, _new = Station.objects.get_or_create(
        ae_title=STATION, defaults={"room": room, "name": STATION, "modality": "XA"}
    )
    for given in EXAMS:
        of_sex = [row for row in patients if row.sex == given.sex and row.age is not None and 18 <= row.age <= 50]
        of_sex = of_sex or [row for row in patients if row.sex == given.sex]
        catalogue = CatalogueProcedure.objects.filter(code=given.code, is_active=True).first()
        if not of_sex or catalogue is None:
            continue
        moment = timezone.localtime().replace(hour=10, minute=0, second=0, microsecond=0)
        patient, moment = of_sex[given.place % len(of_sex)], moment - timedelta(days=given.days_ago)
        request = ProcedureRequest(code=given.code, laterality="L" if catalogue.has_laterality else "")
        _perform(given, patient, request, station, moment, people)


def _perform(
    given: Given,
    patient: Patient,
    request: ProcedureRequest,
    station: Station,
    moment: datetime,
    people: Mapping[str, User],
) -> None:
    def actor(username: str) -> Actor:
        return Actor("web", user=people[username])

    with clock.at(moment - timedelta(hours=3)):
        order = orders.create_order(
            patient=patient, procedures=[request], indication=given.indication,
            patient_class="I", location="Ward 3", requester=people["referrer"].practitioner, site=station.room.site,
            actor=actor("clerk"),
        )  # fmt: skip
        procedure = order.procedures.get()
        if procedure.status == "vetting":
            orders.accept_procedure(procedure, actor=actor("radiologist"))
        worklist.book_appointment(procedure, station=station, starts_at=moment, actor=actor("clerk"))
    with clock.at(moment - timedelta(minutes=9)):
        worklist.arrive_patient(procedure, actor=actor("clerk"))
        _screen(procedure, given, actor("technologist"), actor("radiologist"))
    with clock.at(moment):
        worklist.start_exam(procedure, actor=actor("technologist"))
    with clock.at(moment + timedelta(minutes=75)):
        worklist.complete_exam(procedure, actor=actor("technologist"))
    procedure.refresh_from_db()
    with clock.at(moment + timedelta(minutes=84)):
        _tell(given, procedure, actor("technologist"), actor("physicist"))


def _screen(procedure: RequestedProcedure, given: Given, technologist: Actor, radiologist: Actor) -> None:
    """Whoever may be pregnant says so, and the radiologist has it done all the same."""
    for state in screening_states(procedure):
        if not state.is_missing:
            continue
        answers: dict[str, Any] = {}
        for question in state.questionnaire.questions.all():
            safe = {"number": str((question.when_below or 0) + 45), "date": f"{timezone.localdate():%Y-%m-%d}"}
            said = safe.get(question.kind, "-")
            if question.kind == "yes_no":
                said = "yes" if question.when_answer == "no" else "no"
            answers[question.key] = "yes" if given.is_pregnant and question.key == "pregnant" else said
        row = worklist.record_screening(
            procedure, questionnaire=state.questionnaire, answers=answers, actor=technologist
        )
        if given.is_pregnant and answers.get("pregnant") == "yes":
            worklist.override_screening(row, reason="Abdomen shielded; cannot wait.", actor=radiologist)


def _tell(given: Given, procedure: RequestedProcedure, technologist: Actor, physicist: Actor) -> None:
    report = enter_dose(
        procedure, reason="The unit sends no dose report.", is_confirmed=True, actor=technologist, **given.doses
    )
    for trigger in report.triggers.exclude(kind="pregnancy"):
        if given.why:
            explain_trigger(trigger, explanation=given.why, actor=technologist)
    for follow_up in SkinFollowUp.objects.filter(report=report):
        day = timezone.localdate() + timedelta(days=14)
        tell_patient(follow_up, told_how="In person on the ward, with a letter.", look_on=day, actor=physicist)
