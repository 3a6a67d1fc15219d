"""Fill an empty facility with believable work: patients of many places and exams in every state over three weeks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from interop.demo import (
    clock,
    conferences,
    criticals,
    doses,
    fluoroscopy,
    furniture,
    house,
    learning,
    money,
    odds,
    pictures,
    portal,
    reading,
    senders,
    sources,
    traffic,
)
from interop.demo.cast import PATIENTS, Person
from interop.demo.plan import UNSCHEDULED, PlannedExam, planned_exams
from orders import services as orders
from orders.models import CatalogueProcedure, Patient, RequestedProcedure
from orders.services import ProcedureRequest
from reporting import services as reporting
from reporting.models import Report, ReportDelivery
from ris.accounts.models import Practitioner, Site, User
from ris.core.actor import Actor
from worklist import services as worklist
from worklist.models import Question, Station
from worklist.services.screening import screening_states


@dataclass
class Stage:
    """Everything a seeded exam needs at hand."""

    people: dict[str, User]
    referrers: list[Practitioner]
    stations: dict[str, Station]
    site: Site
    patients: list[Patient] = field(default_factory=list)
    catalogue: dict[str, list[CatalogueProcedure]] = field(default_factory=dict)

    def actor(self, username: str) -> Actor:
        return Actor("web", user=self.people[username])


def is_seeded() -> bool:
    return Patient.objects.exists()


def seed_patient(person: Person, stage: Stage) -> Patient:
    clerk = stage.actor("clerk")
    patient = orders.register_patient(
        family_name=person.family_name,
        given_name=person.given_name,
        middle_name=person.middle_name,
        prefix=person.prefix,
        ideographic_name=person.ideographic_name,
        phonetic_name=person.phonetic_name,
        birth_date=person.birth_date,
        birth_date_is_estimated=person.is_estimated,
        sex=person.sex,
        phone=person.phone,
        language=person.language,
        weight_kg=person.weight_kg,
        actor=clerk,
    )
    for kind, text in person.alerts:
        orders.add_alert(patient, kind=kind, text=text, actor=clerk)
    if person.is_restricted:
        orders.set_restricted(patient, is_restricted=True, reason="Member of staff", actor=stage.actor("qa"))
    return patient


def catalogue_by_modality() -> dict[str, list[CatalogueProcedure]]:
    """What the demo's stations can do, plain exams first, none that is for children or needs vetting unasked."""
    rows: dict[str, list[CatalogueProcedure]] = {}
    for row in CatalogueProcedure.objects.filter(is_active=True).order_by("pk"):
        rows.setdefault(row.modality, []).append(row)
    return rows


def seed_exam(plan: PlannedExam, stage: Stage) -> RequestedProcedure:
    """Play one exam forward to the stage it is to have reached, each step at its own time."""
    ordered_at = plan.at - timedelta(hours=3 if plan.priority == "stat" else 30)
    if plan.stage in UNSCHEDULED or plan.at > timezone.now():
        ordered_at = timezone.now() - timedelta(hours=2 + 5 * (plan.number % 7))
    with clock.at(ordered_at):
        procedure = _order(plan, stage)
    step = _INTAKE.get(plan.stage)
    if step is not None:
        with clock.at(ordered_at + timedelta(minutes=25)):
            step(procedure, stage)
        return procedure
    if plan.stage in UNSCHEDULED:
        return procedure
    _accept(procedure, stage, ordered_at + timedelta(minutes=20))
    with clock.at(ordered_at + timedelta(minutes=35)):
        worklist.book_appointment(
            procedure, station=stage.stations[plan.station], starts_at=plan.at, actor=stage.actor("clerk")
        )
    if plan.stage == "scheduled":
        return procedure
    return _day_of_exam(plan, procedure, stage)


def _order(plan: PlannedExam, stage: Stage) -> RequestedProcedure:
    choices = stage.catalogue[plan.modality]
    catalogue = next((row for row in choices if row.code == plan.text[0]), choices[0])
    if plan.stage in ("vetting", "rejected"):
        catalogue = next((row for row in choices if row.needs_vetting), catalogue)
    request = ProcedureRequest(code=catalogue.code, laterality="L" if catalogue.has_laterality else "")
    if plan.stage == "requested":
        request = ProcedureRequest(
            code="XR999", scheme="99CLINIC", description="X-ray, as agreed by phone", modality="DX"
        )
    requester = stage.people["referrer"].practitioner
    if plan.number % 3 == 0 and plan.stage != "distributed":
        requester = stage.referrers[plan.number % len(stage.referrers)]
    order = orders.create_order(
        patient=stage.patients[plan.patient],
        procedures=[request],
        priority=plan.priority,
        indication=plan.text[1],
        patient_class=plan.patient_class,
        requester=requester,
        site=stage.site,
        location={"E": "ED", "I": "Ward 3"}.get(plan.patient_class, "Outpatients"),
        allow_unmapped=plan.stage == "requested",
        actor=stage.actor("clerk"),
    )
    return order.procedures.get()


def _accept(procedure: RequestedProcedure, stage: Stage, moment: datetime) -> None:
    if procedure.status == "vetting":
        with clock.at(moment):
            orders.accept_procedure(procedure, actor=stage.actor("radiologist"))


def _hold(procedure: RequestedProcedure, stage: Stage) -> None:
    orders.hold_procedure(procedure, reason_text="Waits for the earlier images on CD", actor=stage.actor("radiologist"))


def _ask(procedure: RequestedProcedure, stage: Stage) -> None:
    orders.request_information(
        procedure, reason_text="Which side, and is there a creatinine of this month?", actor=stage.actor("radiologist")
    )


def _reject(procedure: RequestedProcedure, stage: Stage) -> None:
    orders.reject_procedure(
        procedure, reason_code="110510", reason_text="Done last week elsewhere", actor=stage.actor("radiologist")
    )


_INTAKE: dict[str, Callable[[RequestedProcedure, Stage], None]] = {
    "on_hold": _hold,
    "info_requested": _ask,
    "rejected": _reject,
}


def _day_of_exam(plan: PlannedExam, procedure: RequestedProcedure, stage: Stage) -> RequestedProcedure:
    clerk, technologist = stage.actor("clerk"), stage.actor("technologist")
    if plan.stage == "cancelled":
        with clock.at(plan.at - timedelta(hours=4)):
            orders.cancel_procedure(procedure, reason_code="110500", reason_text="No longer needed", actor=clerk)
        return procedure
    if plan.stage == "replaced":
        with clock.at(plan.at - timedelta(hours=5)):
            other = next(row for row in stage.catalogue[plan.modality] if row.pk != procedure.catalogue_id)
            by = ProcedureRequest(code=other.code, laterality="L" if other.has_laterality else "")
            orders.replace_procedure(
                procedure, by=by, reason_code="110502", reason_text="Wrong exam ordered", actor=clerk
            )
        return procedure
    if plan.stage == "no_show":
        with clock.at(plan.at + timedelta(minutes=45)):
            worklist.mark_no_show(procedure, actor=clerk)
        return procedure
    with clock.at(_arrival(plan)):
        worklist.arrive_patient(procedure, actor=clerk)
    if plan.stage == "arrived":
        return procedure
    with clock.at(plan.at + timedelta(minutes=2)):
        pass_screening(procedure, actor=technologist)
        worklist.start_exam(procedure, actor=technologist)
    if plan.stage == "in_progress":
        return procedure
    if plan.stage == "discontinued":
        with clock.at(plan.at + timedelta(minutes=9)):
            worklist.discontinue_exam(procedure, code="110515", actor=technologist)
        return procedure
    if plan.stage != "performed":
        with clock.at(plan.at + timedelta(minutes=8)):
            pictures.store_study(procedure, plan)
    with clock.at(plan.at + timedelta(minutes=18)):
        money.use_contrast(procedure, actor=technologist)
        doses.throw_an_image_away(procedure, plan.number, actor=technologist)
        worklist.complete_exam(procedure, actor=technologist)
    procedure.refresh_from_db()
    if plan.stage not in ("performed", "ready_to_read"):
        _read(plan, procedure, stage)
    return procedure


def _arrival(plan: PlannedExam) -> datetime:
    """A little before the time booked; who still waits has come within the last half hour, some of them early."""
    arrival = plan.at - timedelta(minutes=9)
    if plan.stage == "arrived":
        arrival = min(arrival, timezone.now() - timedelta(minutes=5 + 6 * (plan.number % 4)))
    return arrival


def pass_screening(procedure: RequestedProcedure, *, actor: Actor) -> None:
    """Answer what is asked so that nothing blocks."""
    for state in screening_states(procedure):
        if state.is_missing:
            answers = {question.key: _safe_answer(question) for question in state.questionnaire.questions.all()}
            worklist.record_screening(procedure, questionnaire=state.questionnaire, answers=answers, actor=actor)


def _safe_answer(question: Question) -> str:
    if question.kind == Question.Kind.NUMBER:
        return str((question.when_below or 0) + 45)
    if question.kind == Question.Kind.YES_NO:
        return "yes" if question.when_answer == "no" else "no"
    if question.kind == Question.Kind.DATE:
        return (timezone.localdate() - timedelta(days=3)).isoformat()
    return "-"


def _read(plan: PlannedExam, procedure: RequestedProcedure, stage: Stage) -> None:
    radiologist, resident = stage.actor("radiologist"), stage.actor("resident")
    if plan.number % 4 == 0:
        radiologist = stage.actor("mutua")
    by_resident = plan.stage == "final" and plan.number % 4 == 1
    first = resident if by_resident or plan.stage == "preliminary" else radiologist
    opened = timezone.now() - timedelta(minutes=6) if plan.stage == "reading" else plan.at + timedelta(minutes=48)
    sections = {
        "clinical_information": plan.text[1],
        "findings": plan.text[2],
        "impression": plan.text[3],
    }
    with clock.at(opened):
        report = reporting.open_report([procedure], actor=first)
        sections |= {key: _filled(words) for key, words in report.sections.items() if key not in sections}
        if plan.stage == "reading":
            sections["impression"] = ""
        report = reporting.save_report(report, sections=sections, revision=report.revision, actor=first)
    if plan.stage == "reading":
        return
    if plan.stage == "preliminary":
        with clock.at(opened + timedelta(minutes=7)):
            reporting.sign_preliminary(report, actor=first)
        return
    if by_resident:
        with clock.at(opened + timedelta(minutes=5)):
            report = learning.sign_as_resident(report, plan.text[2], plan.text[3], actor=resident)
    with clock.at(opened + timedelta(minutes=11)):
        report = reporting.answer_not_critical(report, actor=radiologist)  # its alert, if any, is seeded afterwards
        report = reporting.sign_report(report, sections={**report.sections, **sections}, actor=radiologist)
    if plan.stage == "amended":
        with clock.at(opened + timedelta(minutes=95)):
            reporting.add_addendum(
                report, text="Compared with outside images that came later: no change.", actor=radiologist
            )
    if plan.stage == "distributed":
        with clock.at(opened + timedelta(hours=3)):
            _acknowledge(report, stage)


def _filled(words: str) -> str:
    """The template's own words, with the first choice of each list and a number in each blank."""
    words = re.sub(r"\[\[([^|\]]*)[^\]]*\]\]", r"\1", words)
    return re.sub(r"\{\{[^}]*\}\}", "", re.sub(r"\[\d*:?[^\]]*\]", "60", words))


def _acknowledge(report: Report, stage: Stage) -> None:
    referrer = stage.actor("referrer")
    for delivery in ReportDelivery.objects.filter(report=report, is_mandatory=True):
        if delivery.recipient and delivery.recipient.user_id == referrer.user.pk:
            reporting.acknowledge_result(delivery, actor=referrer)
        elif delivery.status != "acknowledged":
            reporting.mark_delivery_acknowledged(delivery, actor=Actor("command"))


def seed_house(*, prefix: str, letterhead: str) -> Stage:
    """People, rooms and furniture: quick, and enough to sign in."""
    house.ensure_settings(prefix=prefix, letterhead=letterhead)
    sites = house.ensure_sites()
    stage = Stage(house.ensure_people(), house.ensure_referrers(), house.ensure_rooms(sites["main"]), sites["main"])
    house.ensure_furniture()
    return stage


def seed_work(stage: Stage, *, patients: int, exams: int | None) -> dict[str, int]:
    """Patients and their exams, once; a facility that has patients is left as it is."""
    if is_seeded():
        return {"patients": 0, "exams": 0}
    with clock.at(timezone.now() - timedelta(days=30)):
        stage.patients = [seed_patient(person, stage) for person in PATIENTS[:patients]]
        money.seed_coverage(stage)
    stage.catalogue = catalogue_by_modality()
    by_modality: dict[str, list[str]] = {}
    for title, station in stage.stations.items():
        by_modality.setdefault(station.modality, []).append(title)
    doses.seed_doses(stage.people)
    plans = list(planned_exams(timezone.localtime(), patients=patients, stations=by_modality, limit=exams))
    for plan in plans:
        seed_exam(plan, stage)
    money.seed_invoices(stage)
    criticals.seed_rota(stage.people)
    reading.seed_reading(stage.people)
    criticals.seed_criticals(stage.people)
    learning.seed_learning(stage.people)
    odds.seed_odds(stage.people)
    furniture.ensure_destination()
    traffic.ensure_traffic()
    furniture.ensure_viewer_links()
    furniture.ensure_review_round(stage.people)
    conferences.seed_conferences(stage.people)
    fluoroscopy.seed_fluoroscopy(stage.people, stage.patients, stage.site)
    sources.ensure_source(stage.patients)
    senders.ensure_messages(stage.patients)
    portal.ensure_portal()
    return {"patients": len(stage.patients), "exams": len(plans)}
