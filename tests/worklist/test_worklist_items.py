"""The rendered item and who finds it (PS3.4 Table K.6-1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orders import services as orders
from ris.accounts.selectors import facility_settings
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData
from tests.factories.orders import make_actor, make_catalogue, make_order, make_patient, make_practitioner
from tests.factories.worklist import at, booked, ct_procedure, make_station, step_of
from worklist.data import MwlPeer, MwlQuery
from worklist.selectors import read_item, worklist_items
from worklist.services import ensure_questionnaires, ensure_step, override_screening, record_screening

pytestmark = pytest.mark.usefixtures("alpha")

TYPE_1 = ("PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureID", "RequestedProcedureDescription")
TYPE_1_OF_STEP = (
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "Modality",
    "ScheduledProcedureStepID",
    "ScheduledProcedureStepDescription",
)
TYPE_2 = (
    "AccessionNumber",
    "ReferencedStudySequence",
    "ReferencedPatientSequence",
    "RequestedProcedurePriority",
    "PatientTransportArrangements",
    "RequestingPhysician",
    "ReferringPhysicianName",
    "AdmissionID",
    "CurrentPatientLocation",
    "PatientBirthDate",
    "PatientSex",
    "PatientWeight",
    "ConfidentialityConstraintOnPatientDataDescription",
    "PatientState",
    "PregnancyStatus",
    "MedicalAlerts",
    "Allergies",
    "SpecialNeeds",
)
TYPE_2_OF_STEP = (
    "ScheduledPerformingPhysicianName",
    "ScheduledStationName",
    "ScheduledProcedureStepLocation",
    "PreMedication",
    "RequestedContrastAgent",
)


def item_of(procedure):
    return read_item(bytes(step_of(procedure).item))


def found(query: MwlQuery, **kwargs) -> list[str]:
    return [read_item(item).AccessionNumber for _pk, item in worklist_items(query, **kwargs)]


def exam(**patient):
    fields = {
        "family_name": "Achieng",
        "given_name": "Wanjirũ",
        "middle_name": "Grace",
        "birth_date": date(1990, 3, 14),
        "weight_kg": "62.50",
        "height_m": "1.68",
    } | patient
    return make_order(
        patient=make_patient(**fields),
        codes=[make_catalogue("CTHEAD", name="CT head", modality="CT").code],
        priority="stat",
        indication="Trauma?",
        requester=make_practitioner(family_name="Otieno", given_name="Juma"),
        transport="Bed",
        isolation="Contact",
        location="ER 1",
        placer_order_number="PL-1",
        placer_issuer="HIS",
    ).procedures.get()


def test_the_item_has_every_type_1_and_2_key():
    procedure = exam()
    booked(procedure)
    item = item_of(procedure)
    assert len(item.ScheduledProcedureStepSequence) == 1
    step = item.ScheduledProcedureStepSequence[0]
    assert all(str(item[key].value) for key in TYPE_1) and all(str(step[key].value) for key in TYPE_1_OF_STEP)
    assert all(key in item for key in TYPE_2) and all(key in step for key in TYPE_2_OF_STEP)
    assert item.SpecificCharacterSet == "ISO_IR 192" and str(item.PatientName) == "Achieng^Wanjirũ^Grace"
    assert (item.PatientBirthDate, item.PatientSex, item.PatientWeight, item.PatientSize) == (
        "19900314",
        "F",
        62.5,
        1.68,
    )
    assert item.RequestedProcedureCodeSequence[0].CodeValue == "CTHEAD"
    assert step.ScheduledProtocolCodeSequence[0].CodeMeaning
    assert (item.RequestedProcedurePriority, item.SpecialNeeds) == ("STAT", "Contact; Bed")
    assert (item.PlacerOrderNumberImagingServiceRequest, str(item.RequestingPhysician)) == ("PL-1", "Otieno^Juma")
    assert (step.ScheduledStationAETitle, step.ScheduledProcedureStepStatus) == ("CT1", "SCHEDULED")
    assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime) == (
        f"{at(10):%Y%m%d}",
        "100000",
    )
    assert len(step.ScheduledProcedureStepID) <= 16 and len(item.ReferencedStudySequence) == 0


@pytest.mark.parametrize(
    ("priority", "wanted"), [("stat", "STAT"), ("asap", "HIGH"), ("urgent", "MEDIUM"), ("routine", "ROUTINE")]
)
def test_priorities_are_mapped(priority, wanted):
    procedure = ct_procedure(priority=priority)
    booked(procedure)
    assert item_of(procedure).RequestedProcedurePriority == wanted


QUERIES = [
    (MwlQuery(), True),
    (MwlQuery(station_ae_title="CT1"), True),
    (MwlQuery(station_ae_title="CT2"), False),
    (MwlQuery(modality="CT"), True),
    (MwlQuery(modality="MR"), False),
    (MwlQuery(start_date="DAY"), True),
    (MwlQuery(start_date="DAY-"), True),
    (MwlQuery(start_date="-DAY"), True),
    (MwlQuery(start_date="DAY-DAY"), True),
    (MwlQuery(start_date="NEXT-"), False),
    (MwlQuery(start_date="-TODAY"), False),
    (MwlQuery(start_time="100000"), True),
    (MwlQuery(start_time="0900-1000"), True),
    (MwlQuery(start_time="10-10"), True),
    (MwlQuery(start_time="1001-1100"), False),
    (MwlQuery(start_date="TODAY-DAY", start_time="2300-1000"), True),
    (MwlQuery(start_date="TODAY-DAY", start_time="0000-0930"), False),
    (MwlQuery(start_date="DAY-NEXT", start_time="1100-0900"), False),
    (MwlQuery(start_date="DAY-NEXT", start_time="1000-0100"), True),
    (MwlQuery(patient_name="Achieng^Wanjirũ^Grace"), True),
    (MwlQuery(patient_name="ACHIENG^WANJIRŨ^GRACE^^"), True),
    (MwlQuery(patient_name="achieng"), False),
    (MwlQuery(patient_name="achieng*"), True),
    (MwlQuery(patient_name="ACH?ENG*"), True),
    (MwlQuery(patient_name="*grace"), True),
    (MwlQuery(patient_name="*"), True),
    (MwlQuery(patient_name="ACH_ENG*"), False),
    (MwlQuery(patient_name="%"), False),
    (MwlQuery(patient_id="ID"), True),
    (MwlQuery(patient_id="other"), False),
    (MwlQuery(patient_id="I*"), False),
    (MwlQuery(accession_number="ACC"), True),
    (MwlQuery(accession_number="0"), False),
    (MwlQuery(study_instance_uid=("1.2.3", "UID")), True),
    (MwlQuery(study_instance_uid=("1.2.3",)), False),
    (MwlQuery(requested_procedure_id="RPID"), True),
    (MwlQuery(scheduled_procedure_step_id="SPSID"), True),
    (MwlQuery(scheduled_procedure_step_id="S?*"), True),
    (MwlQuery(performing_physician="*"), True),
    (MwlQuery(performing_physician="Wekesa*"), False),
    (MwlQuery(others={"PatientSex": "F"}), True),
    (MwlQuery(others={"PatientSex": "M"}), False),
    (MwlQuery(others={"PatientBirthDate": "19900101-19901231"}), True),
    (MwlQuery(others={"PatientBirthDate": "19910101-"}), False),
    (MwlQuery(others={"AdmissionID": "V1"}), False),
    (MwlQuery(others={"RequestingPhysician": "otieno*"}), True),
    (MwlQuery(others={"RequestedProcedureCodeSequence.CodeValue": "CTHEAD"}), True),
    (MwlQuery(others={"RequestedProcedureCodeSequence.CodeValue": "MRHEAD"}), False),
    (MwlQuery(others={"ScheduledProcedureStepSequence.ScheduledProcedureStepStatus": "SCHEDULED"}), True),
    (MwlQuery(others={"ScheduledProcedureStepSequence.ScheduledStationName": "CT?"}), True),
]


def test_matching():
    procedure = exam()
    booked(procedure)
    step = step_of(procedure)
    values = {
        "ID": procedure.order.patient.primary_identifier.value,
        "ACC": procedure.accession_number,
        "UID": procedure.study_instance_uid,
        "RPID": procedure.requested_procedure_id,
        "SPSID": step.scheduled_procedure_step_id,
    }
    days = {"TODAY": f"{timezone.localdate():%Y%m%d}", "DAY": f"{at(1):%Y%m%d}", "NEXT": f"{at(1, days=2):%Y%m%d}"}
    wrongly = [
        query
        for query, matches in QUERIES
        if found(meant(query, values, days)) != ([procedure.accession_number] if matches else [])
    ]
    assert wrongly == []


def meant(query: MwlQuery, values: dict[str, str], days: dict[str, str]) -> MwlQuery:
    """With the exam's own numbers and days in the place of the words for them."""
    dates = query.start_date
    for word, day in days.items():
        dates = dates.replace(word, day)
    changed = {
        name: values.get(value, value) if isinstance(value, str) else value
        for name, value in vars(query).items()
        if name in ("patient_id", "accession_number", "requested_procedure_id", "scheduled_procedure_step_id")
    }
    uids = tuple(values.get(uid, uid) for uid in query.study_instance_uid)
    return replace(query, start_date=dates, study_instance_uid=uids, **changed)


@pytest.mark.parametrize(
    "query",
    [
        MwlQuery(start_date="tomorrow"),
        MwlQuery(start_date="X20261122"),
        MwlQuery(start_time="25"),
        MwlQuery(start_date="-"),
    ],
)
def test_a_key_that_cannot_be_is_refused(query):
    with pytest.raises(InvalidData):
        found(query)


def test_an_ideographic_group_does_not_hide_the_name():
    procedure = exam(family_name="Yamada", given_name="Tarou", middle_name="", ideographic_name="山田^太郎")
    booked(procedure)
    assert found(MwlQuery(patient_name="YAMADA^TAROU")) == [procedure.accession_number]
    assert found(MwlQuery(patient_name="yamada^tarou*")) == [procedure.accession_number]
    assert str(item_of(procedure).PatientName) == "Yamada^Tarou=山田^太郎"


def test_a_peer_sees_what_its_rights_allow():
    here, there = ct_procedure(), ct_procedure()
    booked(here)
    booked(there, station=make_station("CT2"))
    bound = MwlPeer("CT1")
    assert found(MwlQuery(), peer=bound) == [here.accession_number]
    assert found(MwlQuery(station_ae_title="CT2"), peer=bound) == []
    free = MwlPeer("WS1", sees_all_stations=True, max_results=1)
    assert len(found(MwlQuery(), peer=free)) == 1


def test_a_step_without_station_is_offered_to_all_of_its_modality():
    make_station(), make_station("CT2"), make_station("MR1", "MR")
    procedure = ct_procedure()
    ensure_step(procedure, actor=SYSTEM)
    procedure.refresh_from_db()
    assert procedure.status == "scheduled"
    for title, wanted in (("CT1", 1), ("CT2", 1), ("MR1", 0)):
        assert len(found(MwlQuery(station_ae_title=title))) == wanted
    assert list(item_of(procedure).ScheduledProcedureStepSequence[0].ScheduledStationAETitle) == ["CT1", "CT2"]


def test_a_query_is_one_query():
    booked()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found(MwlQuery(station_ae_title="CT1", start_date=f"{at(1):%Y%m%d}"))
    assert len(queries) == 1


def test_an_update_of_the_patient_renders_in_the_same_commit():
    procedure = exam()
    booked(procedure)
    before = step_of(procedure).item_version
    orders.update_patient(procedure.order.patient, family_name="Otieno", actor=SYSTEM)
    step = step_of(procedure)
    assert str(item_of(procedure).PatientName).startswith("Otieno^")
    assert step.item_version > before
    assert step.item_patient_version == type(procedure.order.patient).objects.get(pk=procedure.order.patient_id).version
    assert found(MwlQuery(patient_name="OTIENO*")) and not found(MwlQuery(patient_name="ACHIENG*"))


def test_an_alert_and_a_protocol_are_seen_at_once():
    procedure = exam()
    booked(procedure)
    orders.add_alert(procedure.order.patient, kind="allergy", text="Iodine", actor=SYSTEM)
    orders.protocol_procedure(procedure, protocol="CTPA", contrast="Iohexol 350", actor=SYSTEM)
    item = item_of(procedure)
    assert item.Allergies == "Iodine"
    assert item.ScheduledProcedureStepSequence[0].RequestedContrastAgent == "Iohexol 350"
    procedure.refresh_from_db()
    assert step_of(procedure).item_procedure_version == procedure.version


def test_a_merge_is_seen_at_once():
    procedure, survivor = exam(), make_patient(family_name="Kamau", given_name="Stephen")
    booked(procedure)
    orders.merge_patients(survivor=survivor, loser=procedure.order.patient, reason="Same person", actor=SYSTEM)
    item = item_of(procedure)
    assert str(item.PatientName) == "Kamau^Stephen"
    assert item.PatientID == survivor.primary_identifier.value
    assert found(MwlQuery(patient_id=survivor.primary_identifier.value))


def test_a_cancelled_order_leaves_the_worklist_and_frees_the_time():
    reservation = booked()
    procedure = reservation.procedure
    orders.cancel_procedure(procedure, reason_code="110500", actor=make_actor("clerk"))
    reservation.refresh_from_db()
    assert (reservation.status, step_of(procedure).status) == ("cancelled", "CANCELED")
    assert found(MwlQuery()) == []
    assert booked().status == "booked"


def test_a_held_exam_is_withheld_and_comes_back():
    procedure = exam()
    booked(procedure)
    orders.hold_procedure(procedure, reason_text="No creatinine", actor=SYSTEM)
    assert found(MwlQuery()) == []
    orders.release_procedure(procedure, actor=SYSTEM)


def test_a_blocked_step_is_withheld_when_the_facility_says_so():
    procedure = exam()
    booked(procedure)
    form = next(row for row in ensure_questionnaires() if row.name == "Pregnancy")
    record_screening(procedure, questionnaire=form, answers={"pregnant": "yes", "breast_feeding": "no"}, actor=SYSTEM)
    assert step_of(procedure).is_blocked and found(MwlQuery()) == []
    settings = facility_settings()
    settings.withhold_blocked_steps = False
    settings.save()
    screening = record_screening(
        procedure, questionnaire=form, answers={"pregnant": "yes", "breast_feeding": "no"}, actor=SYSTEM
    )
    assert found(MwlQuery()) == [procedure.accession_number]
    assert item_of(procedure).PregnancyStatus == 2
    override_screening(screening, reason="Shielded, vital", actor=make_actor("radiologist"))
    assert not step_of(procedure).is_blocked
