"""Every key of PS3.4 Table K.6-1: how it matches, and how it comes back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from interop.dicom.emulator import worklist_keys
from interop.dicom.preview import caller_for, newcomer, peer_called, question, told, why_not
from interop.models import DicomPeer
from orders import services as orders
from orders.models import Order, PatientAlert
from ris.accounts.models import Practitioner
from ris.accounts.selectors import facility_settings
from ris.core.actor import SYSTEM, Actor
from tests.conftest import shared_start
from tests.factories.orders import make_catalogue, make_patient, make_procedure
from tests.factories.worklist import series_of, started
from worklist.data import PerformedStepData
from worklist.models import ScheduledProcedureStep
from worklist.services import ensure_step, fill_in_patients, update_performed_step
from worklist.services.rendering import refresh_item

from .conftest import make_peer, make_station

pytestmark = pytest.mark.usefixtures("alpha", "first")
SCANNER = Actor("mwl", ae_title="CT1")
PENDING, PENDING_WARNING, SUCCESS, REFUSED = 0xFF00, 0xFF01, 0x0000, 0xA900
MOMENT = datetime(2030, 3, 4, 10, 15)


def planned(
    station: str = "CT1", *, at: datetime = MOMENT, order: dict[str, Any] | None = None, **patient: Any
) -> ScheduledProcedureStep:
    """A step with every key of the table that we hold."""
    person = make_patient(
        **{"family_name": "Achieng", "given_name": "Wanjiru", "prefix": "Dr", "sex": "F", "weight_kg": 61.5, **patient}
    )
    procedure = make_procedure(patient=person, codes=[make_catalogue("CTCHEST", name="CT chest").code])
    placer = "" if Order.objects.filter(placer_order_number="PL-9").exists() else "PL-9"
    held = {"location": "WARD-3", "transport": "WHEELCHAIR", "placer_order_number": placer, **(order or {})}
    for name, value in held.items():
        setattr(procedure.order, name, value)
    procedure.order.requester = Practitioner.objects.create(family_name="Otieno", given_name="Jane")
    procedure.order.save()
    procedure.protocol, procedure.contrast = "CTPA", "Iohexol 70 ml"
    procedure.save()
    PatientAlert.objects.create(patient=person, kind=PatientAlert.Kind.ALLERGY, text="Penicillin")
    PatientAlert.objects.create(patient=person, kind=PatientAlert.Kind.OTHER, text="Pacemaker")
    step = ensure_step(
        procedure, station=make_station(station, station[:2]), starts_at=timezone.make_aware(at), actor=SYSTEM
    )
    step = ScheduledProcedureStep.objects.get(pk=step.pk)
    step.performing_physician = Practitioner.objects.create(family_name="Mutua", given_name="Ann")
    step.pre_medication = "Prednisolone"
    refresh_item(step)
    step.save()
    return step


@pytest.fixture(scope="module")
def first(django_db_setup: None, django_db_blocker: Any) -> Iterator[ScheduledProcedureStep]:
    """The step that every test begins with."""
    with shared_start(django_db_blocker):
        yield planned(ideographic_name="山田^太郎", birth_date=None)


@pytest.fixture
def step(first: ScheduledProcedureStep, alpha: Any) -> ScheduledProcedureStep:
    return ScheduledProcedureStep.objects.select_related("procedure__order__patient").get(pk=first.pk)


@pytest.fixture
def alone(first: ScheduledProcedureStep, alpha: Any) -> None:
    """Of the first step nothing is seen."""
    ScheduledProcedureStep.objects.filter(pk=first.pk).update(is_on_worklist=False)


def identifier(step: dict[str, Any] | None = None, **beside: Any) -> Dataset:
    """A query for the accession number, with these keys besides."""
    keys, inner = Dataset(), Dataset()
    keys.AccessionNumber = ""
    for target, changes in ((keys, beside), (inner, step or {})):
        for keyword, value in changes.items():
            setattr(target, keyword, value)
    keys.ScheduledProcedureStepSequence = [inner]
    return keys


def ask(keys: Dataset, peer: DicomPeer | None = None) -> tuple[int, list[tuple[int, Dataset]]]:
    last, found = told(keys, caller=caller_for(peer or newcomer("CT1")), actor=SCANNER)
    return last.status, found


def found(keys: Dataset, peer: DicomPeer | None = None) -> list[str]:
    status, answers = ask(keys, peer)
    assert status == SUCCESS
    return [str(dataset.AccessionNumber) for _status, dataset in answers]


# --- which key matches what

SINGLE = [
    # keyword, a value that matches, one that does not
    ("AccessionNumber", None, "NONE"),
    ("PatientID", None, "NONE"),
    ("RequestedProcedureID", None, "NONE"),
    ("StudyInstanceUID", None, "1.2.3"),
    ("RequestedProcedureDescription", "CT chest", "CT head"),
    ("RequestedProcedurePriority", "ROUTINE", "STAT"),
    ("PatientTransportArrangements", "WHEELCHAIR", "WALK"),
    ("PatientSex", "F", "M"),
    ("PatientWeight", "61.5", "62"),
    ("CurrentPatientLocation", "WARD-3", "WARD-4"),
    ("PlacerOrderNumberImagingServiceRequest", "PL-9", "PL-8"),
    ("ReferringPhysicianName", "OTIENO^JANE", "OTIENO^JOHN"),
    ("RequestingPhysician", "otieno^jane", "Kibet"),
    ("Allergies", "Penicillin", "Iodine"),
    ("MedicalAlerts", "Pacemaker", "Stent"),
]
SINGLE_OF_STEP = [
    ("ScheduledStationAETitle", "CT1", "CT2"),
    ("Modality", "CT", "MR"),
    ("ScheduledPerformingPhysicianName", "MUTUA^ANN", "MUTUA"),
    ("ScheduledProcedureStepID", None, "NONE"),
    ("ScheduledProcedureStepDescription", "CT chest", "CT head"),
    ("ScheduledStationName", "CT1", "CT9"),
    ("ScheduledProcedureStepLocation", "ct1", "ct9"),
    ("PreMedication", "Prednisolone", "None"),
    ("RequestedContrastAgent", "Iohexol 70 ml", "Gadolinium"),
    ("ScheduledProcedureStepStatus", "SCHEDULED", "ARRIVED"),
]


def value_of(step: ScheduledProcedureStep, keyword: str) -> str:
    return {
        "AccessionNumber": step.procedure.accession_number,
        "PatientID": step.key_patient_id,
        "RequestedProcedureID": step.procedure.requested_procedure_id,
        "StudyInstanceUID": step.procedure.study_instance_uid,
        "ScheduledProcedureStepID": step.scheduled_procedure_step_id,
    }[keyword]


@pytest.mark.parametrize(("keyword", "right", "wrong"), SINGLE)
def test_a_single_value_matches_itself_only(step, keyword, right, wrong):
    right = right or value_of(step, keyword)
    assert found(identifier(**{keyword: right})) == [step.accession_number]
    assert found(identifier(**{keyword: wrong})) == []
    assert found(identifier(**{keyword: None})) == [step.accession_number]


@pytest.mark.parametrize(("keyword", "right", "wrong"), SINGLE_OF_STEP)
def test_a_single_value_of_the_step_matches_itself_only(step, keyword, right, wrong):
    right = right or value_of(step, keyword)
    assert found(identifier({keyword: right})) == [step.accession_number]
    assert found(identifier({keyword: wrong})) == []
    assert found(identifier({keyword: ""})) == [step.accession_number]


@pytest.mark.parametrize(
    ("keys", "matches"),
    [
        ({"RequestedProcedureCodeSequence": {"CodeValue": "CTCHEST"}}, True),
        ({"RequestedProcedureCodeSequence": {"CodeValue": "CTCHEST", "CodeMeaning": "CT*"}}, True),
        ({"RequestedProcedureCodeSequence": {"CodeValue": "CTHEAD"}}, False),
        ({"RequestedProcedureCodeSequence": {"CodeValue": "CTCHEST", "CodeMeaning": "MR*"}}, False),
        ({"RequestedProcedureCodeSequence": {"CodeValue": "", "CodeMeaning": "*"}}, True),
    ],
)
def test_sequences_match_item_by_item(step, keys, matches):
    [(keyword, values)] = keys.items()
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    assert (found(identifier(**{keyword: [item]})) == [step.accession_number]) is matches


def test_a_protocol_code_of_the_step_matches(step):
    code = Dataset()
    code.CodeValue = "CTCHEST"
    assert found(identifier({"ScheduledProtocolCodeSequence": [code]})) == [step.accession_number]
    code.CodeValue = "OTHER"
    assert found(identifier({"ScheduledProtocolCodeSequence": [code]})) == []


@pytest.mark.parametrize(
    ("name", "matches"),
    [
        ("Achieng^Wanjiru^^Dr", True), ("ACHIENG^WANJIRU^^DR^", True), ("achieng*", True), ("*wanjiru*", True),
        ("Ach?eng^*", True), ("*", True), ("**", True), ("", True), ("Achieng", False), ("Achieng^Wanjiru", False),
        ("?chieng", False), ("Wanjiru*", False), ("Achieng[^]*", False), ("%", False), ("Achieng_*", False),
        ("ACHIENG^WANJIRU^^DR=山田^太郎", True), ("*=山田*", True), ("*=鈴木*", False),
    ],
)  # fmt: skip
def test_names_match_without_case_by_component_and_group(step, name, matches):
    keys = identifier(PatientName=name)
    keys.SpecificCharacterSet = "ISO_IR 192"
    assert (found(keys) == [step.accession_number]) is matches


@pytest.mark.parametrize(
    ("keyword", "value", "matches"),
    [("PatientID", "?*", True), ("PatientID", "%", False), ("RequestedProcedureDescription", "CT*", True),
     ("RequestedProcedureDescription", "C? ch*t", True), ("RequestedProcedureDescription", "*head", False),
     ("CurrentPatientLocation", "WARD-?", True), ("CurrentPatientLocation", "WARD?", False)],
)  # fmt: skip
def test_wildcards_stand_for_any_run_or_one_character(step, keyword, value, matches):
    assert (found(identifier(**{keyword: value})) == [step.accession_number]) is matches


def test_a_list_of_uids_matches_any_of_them(step):
    second, third = planned(family_name="B"), planned(family_name="C")
    uids = [row.procedure.study_instance_uid for row in (step, third)]
    assert found(identifier(StudyInstanceUID=uids)) == [step.accession_number, third.accession_number]
    assert found(identifier(StudyInstanceUID=["1.2.3", "1.2.4"])) == []
    assert len(found(identifier(StudyInstanceUID=[*uids, second.procedure.study_instance_uid]))) == 3


@pytest.mark.parametrize(
    ("date", "time", "matches"),
    [
        ("20300304", "", True), ("20300305", "", False), ("20300301-20300304", "", True), ("20300304-", "", True),
        ("-20300303", "", False), ("-20300304", "", True), ("2030.03.04", "", True),
        ("", "101500", True), ("", "1015", True), ("", "10", True), ("", "1016", False), ("", "1000-1030", True),
        ("", "-1014", False), ("", "-1015", True), ("", "101501-", False), ("", "10:15:00", True),
        # both as ranges: one interval from the first moment to the last
        ("20300303-20300305", "1200-0900", True), ("20300304-20300305", "1200-0900", False),
        ("20300303-20300304", "1200-0900", False), ("20300304-20300304", "1000-1030", True),
        ("-20300304", "-1014", False), ("20300304-", "1016-", False), ("20300303-", "2300-", True),
        # a single date with a range of times stays that day
        ("20300304", "1000-1030", True), ("20300304", "1030-1100", False),
    ],
)  # fmt: skip
def test_dates_and_times_match_as_one_interval(step, date, time, matches):
    keys = identifier({"ScheduledProcedureStepStartDate": date, "ScheduledProcedureStepStartTime": time})
    assert (found(keys) == [step.accession_number]) is matches


@pytest.mark.parametrize(
    ("date", "time"), [("tomorrow", ""), ("20301", ""), ("-", ""), ("20300230-", ""), ("", "25"), ("", "9999-")]
)
def test_what_is_no_date_or_time_is_refused(date, time):
    keys = identifier()
    for keyword, value in (("ScheduledProcedureStepStartDate", date), ("ScheduledProcedureStepStartTime", time)):
        inner = keys.ScheduledProcedureStepSequence[0]
        setattr(inner, keyword, "")
        inner[keyword]._value = value
    assert ask(keys) == (REFUSED, [])


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("AdmissionID", "V-1"), ("IssuerOfPatientID", "NOBODY"), ("SpecialNeeds", "x"), ("PatientBirthDate", "19900101"),
     ("AdmissionID", "?*")],
)  # fmt: skip
def test_an_empty_stored_value_matches_no_value(step, keyword, value):
    if keyword == "SpecialNeeds":
        step.procedure.order.transport = ""
        step.procedure.order.save()
        refresh_item(step)
        step.save()
    assert found(identifier(**{keyword: value})) == []
    assert found(identifier(**{keyword: ""})) == [step.accession_number]


def test_a_second_item_in_the_step_sequence_is_refused():
    keys = identifier()
    keys.ScheduledProcedureStepSequence = [Dataset(), Dataset()]
    assert ask(keys)[0] == REFUSED


def test_an_empty_identifier_is_universal(step):
    status, [(_pending, answer)] = ask(Dataset())
    assert (status, len(answer)) == (SUCCESS, 1)
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert step.is_on_worklist


# --- what comes back


def keywords(dataset: Dataset) -> set[str]:
    return {element.keyword for element in dataset}


def test_only_requested_keys_return():
    _status, [(status, item)] = ask(identifier({"Modality": ""}, PatientName=""))
    assert status == PENDING
    wanted = {"SpecificCharacterSet", "AccessionNumber", "PatientName", "ScheduledProcedureStepSequence"}
    assert keywords(item) == wanted
    assert keywords(item.ScheduledProcedureStepSequence[0]) == {"Modality"}


def test_a_sequence_asked_for_as_a_whole_comes_back_whole():
    keys = identifier()
    keys.ScheduledProcedureStepSequence, keys.RequestedProcedureCodeSequence = [], []
    _status, [(_pending, item)] = ask(keys)
    assert {"ScheduledStationAETitle", "ScheduledProcedureStepID"} <= keywords(item.ScheduledProcedureStepSequence[0])
    assert item.RequestedProcedureCodeSequence[0].CodeValue == "CTCHEST"


@pytest.mark.parametrize("keyword", ["PatientAge", "EthnicGroup", "PatientComments", "StudyID"])
def test_an_optional_key_that_is_not_supported_is_a_warning_and_left_out(keyword):
    status, [(pending, item)] = ask(identifier(**{keyword: ""}))
    assert (status, pending) == (SUCCESS, PENDING_WARNING)
    assert keyword not in item


def test_an_unsupported_key_of_the_step_is_a_warning_too():
    _status, [(pending, item)] = ask(identifier({"ScheduledProcedureStepEndDate": "", "Modality": ""}))
    assert pending == PENDING_WARNING
    assert keywords(item.ScheduledProcedureStepSequence[0]) == {"Modality"}


def test_private_elements_are_ignored_without_a_word_of_their_value(step):
    keys = identifier({"Modality": ""})
    keys.private_block(0x0009, "ACME 1.0", create=True).add_new(0x01, "LO", "secret")
    inner = keys.ScheduledProcedureStepSequence[0]
    inner.private_block(0x0041, "ACME 1.0", create=True).add_new(0x02, "SH", "x")
    status, [(_pending, item)] = ask(keys)
    assert (status, str(item.AccessionNumber)) == (SUCCESS, step.accession_number)
    assert not any(element.tag.is_private for element in item.iterall())


TYPE_1 = ("PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureID", "RequestedProcedureDescription")
TYPE_1_OF_STEP = ("ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime",
                  "Modality", "ScheduledProcedureStepID", "ScheduledProcedureStepDescription")  # fmt: skip


@pytest.mark.parametrize("barest", [True, False])
def test_type_1_keys_are_never_empty_and_type_2_keys_always_there(barest, request):
    if barest:
        request.getfixturevalue("alone")
        person = make_patient(family_name="X", given_name="", sex="U", birth_date=None)
        procedure = make_procedure(patient=person, codes=[make_catalogue("CTCHEST", name="CT chest").code])
        make_station("CT1")
        ensure_step(procedure, starts_at=timezone.make_aware(MOMENT), actor=SYSTEM)
    keys = worklist_keys("", "", "")
    _status, [(pending, item)] = ask(keys)
    assert pending == PENDING
    inner = item.ScheduledProcedureStepSequence[0]
    assert [keyword for keyword in TYPE_1 if not str(item[keyword].value)] == []
    assert [keyword for keyword in TYPE_1_OF_STEP if not str(inner[keyword].value)] == []
    assert len(item.ScheduledProcedureStepSequence) == 1
    assert keywords(keys) - keywords(item) == set()
    assert keywords(keys.ScheduledProcedureStepSequence[0]) - keywords(inner) == set()


def test_tags_are_in_order_in_every_answer():
    _status, [(_pending, item)] = ask(worklist_keys("", "", ""))
    for dataset in (item, item.ScheduledProcedureStepSequence[0]):
        tags = [int(element.tag) for element in dataset]
        assert tags == sorted(tags)
    assert tag_for_keyword("AccessionNumber") in item


# --- as long as it is to be done


def test_the_uid_is_the_same_for_ever(step):
    before = ask(worklist_keys("", "", ""))[1][0][1].StudyInstanceUID
    later = timezone.make_aware(MOMENT + timedelta(days=3))
    ensure_step(step.procedure, station=make_station("CT2"), starts_at=later, actor=SYSTEM)
    [(_pending, item)] = ask(worklist_keys("", "", ""))[1]
    assert item.StudyInstanceUID == before == step.procedure.study_instance_uid
    assert item.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate == f"{later:%Y%m%d}"


def test_a_started_and_a_completed_step_are_gone_at_once(step):
    performed = started(step.procedure)
    assert found(identifier()) == []
    update_performed_step(
        sop_instance_uid=performed.sop_instance_uid,
        changes=PerformedStepData(status="COMPLETED", ended_at=timezone.now(), series=series_of("1.2.3")),
        actor=SCANNER,
    )
    assert found(identifier()) == []


def test_a_revoked_exam_is_gone_at_once(step):
    orders.cancel_procedure(step.procedure, reason_code="110500", actor=SYSTEM)
    assert found(identifier()) == []


def test_gone_is_gone_in_the_same_transaction(step):
    with transaction.atomic():
        started(step.procedure)
        inside = found(identifier())
        transaction.set_rollback(True)
    assert inside == []
    assert found(identifier()) == [step.accession_number]


# --- what the peer's row leaves


SEEN = [
    ({}, "CT1 CT2 MR1"),
    ({"sees_all_stations": False}, "CT1"),
    ({"shown_stations": ["CT2", "MR1"]}, "CT2 MR1"),
    ({"shown_modalities": ["MR"]}, "MR1"),
    ({"shown_modalities": ["CT"], "shown_stations": ["CT2", "MR1"]}, "CT2"),
    ({"hidden_statuses": ["SCHEDULED"]}, ""),
    ({"hidden_statuses": ["ARRIVED"]}, "CT1 CT2 MR1"),
    ({"hides_restricted": True}, "CT1 MR1"),
    ({"hides_blocked": True}, "CT2 MR1"),
    ({"days_back": 1}, "CT2 MR1"),
    ({"days_ahead": 0}, "CT1 CT2"),
    ({"days_back": 0, "days_ahead": 0}, "CT2"),
    ({"max_results": 1}, "CT1"),
]


def test_a_peer_sees_what_its_row_lets_it(alone):
    at = {"CT1": yesterday(2), "CT2": yesterday(0), "MR1": yesterday(-1)}
    for station, moment in at.items():
        step = planned(station, at=moment, family_name=f"At {station}", is_restricted=station == "CT2")
        if station == "CT1":
            ScheduledProcedureStep.objects.filter(pk=step.pk).update(is_blocked=True)
    told_to = []
    for row, _seen in SEEN:
        with transaction.atomic():
            _status, answers = ask(identifier({"ScheduledStationAETitle": ""}), make_peer("CT1", **row))
            transaction.set_rollback(True)
        stations = [item.ScheduledProcedureStepSequence[0].ScheduledStationAETitle for _pending, item in answers]
        told_to.append((row, " ".join(sorted(stations))))
        for item in answers:
            assert item[0] == PENDING
    assert told_to == SEEN


def yesterday(days: int) -> datetime:
    return timezone.localtime().replace(tzinfo=None, hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days)


def test_a_date_in_the_query_opens_the_window(alone):
    step = planned(at=yesterday(10))
    peer = make_peer("CT1", days_back=1, days_ahead=1)
    assert found(identifier(), peer) == []
    asked = {"ScheduledProcedureStepStartDate": f"{step.key_date:%Y%m%d}"}
    assert found(identifier(asked), peer) == [step.accession_number]


def test_a_peer_without_the_right_is_told_so():
    assert ask(identifier(), make_peer("CT1", may_query_worklist=False)) == (0x0124, [])


# --- why not


def reasons(step: ScheduledProcedureStep, peer: DicomPeer | None = None, **asked: Any) -> list[str]:
    caller = caller_for(peer or make_peer("CT1"), "CT1")
    [reason] = why_not(step.procedure.accession_number, question(**{"date": "", **asked}), caller=caller, actor=SYSTEM)
    return list(reason.words)


def test_an_answered_step_has_no_reason(step):
    assert reasons(step) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"date": "20300305"}, "asks for 20300305; this step is planned for 20300304 101500"),
        ({"station": "CT2"}, "Scheduled Station AE Title does not match"),
        ({"modality": "MR"}, "Modality does not match: the query asks for “MR”. The step has “CT”."),
        ({"name": "Kamau*"}, "Patient's Name does not match"),
        ({"accession_number": "OTHER"}, "accession number is another one"),
    ],
)
def test_a_key_that_does_not_match_is_named(step, asked, words):
    [reason] = reasons(step, **asked)
    assert words in reason


def test_a_key_that_is_matched_against_the_item_is_named_too(step):
    keys = question(date="")
    keys.CurrentPatientLocation = "WARD-9"
    [reason] = why_not(step.accession_number, keys, caller=caller_for(make_peer("CT1")), actor=SYSTEM)
    assert reason.words == ("Current Patient Location does not match: the query asks for “WARD-9”.",)


LIMITS = [
    ({"is_active": False}, "switched off"),
    ({"may_query_worklist": False}, "may not query the worklist"),
    ({"sees_all_stations": False}, "sees only its own station; this step is for CT2"),
    ({"shown_stations": ["CT1", "MR1"]}, "sees only the stations CT1, MR1; this step is for CT2"),
    ({"shown_modalities": ["MR"]}, "sees only the modalities MR; this step is CT"),
    ({"hidden_statuses": ["SCHEDULED"]}, "does not see steps that are SCHEDULED"),
    ({"hides_restricted": True}, "restricted"),
    ({"days_ahead": 1}, "sees 1 days ahead only"),
]


def test_a_limit_of_the_row_is_named(alone):
    step = planned("CT2", is_restricted=True)
    for row, words in LIMITS:
        with transaction.atomic():
            [reason] = reasons(step, make_peer("CT1", **row))
            transaction.set_rollback(True)
        assert words in reason


def test_a_limit_of_answers_is_named():
    later = planned(at=MOMENT + timedelta(hours=1), family_name="Later")
    [reason] = reasons(later, make_peer("CT1", max_results=1))
    assert "number 2 of the answers, and the peer gets 1 at most" in reason


def test_what_is_not_offered_says_why(step):
    started(step.procedure)
    [reason] = reasons(step)
    assert "It began on" in reason and "CT1" in reason
    cancelled = planned(family_name="Gone")
    orders.cancel_procedure(cancelled.procedure, reason_code="110500", actor=SYSTEM)
    assert reasons(cancelled, peer_called("CT1")) == ["It is cancelled."]


def test_a_blocked_step_says_so(step):
    assert facility_settings().withhold_blocked_steps
    step.is_blocked = True
    refresh_item(step)
    step.save()
    [reason] = reasons(step)
    assert "Safety screening blocks it" in reason


def test_an_unknown_number_and_an_unknown_peer_are_said(step):
    [reason] = why_not("NOBODY", question(date=""), caller=caller_for(newcomer("CT1")), actor=SYSTEM)
    assert reason.step is None and "No exam of this accession number" in reason.words[0]
    [first] = reasons(step, newcomer("CT1"))
    assert "No peer has the AE title CT1" in first


def test_the_most_specific_row_stands_for_a_title():
    make_peer("*")
    make_peer("CT*", is_active=False)
    wide = make_peer("C*")
    assert peer_called("CT7") == wide
    exact = make_peer("CT7", is_active=False)
    assert peer_called("CT7") == exact


def test_steps_of_before_learn_whose_they_are(step):
    patient = step.procedure.order.patient.uuid
    assert step.key_patient == patient
    ScheduledProcedureStep.objects.update(key_patient=None)
    assert [fill_in_patients(), fill_in_patients()] == [1, 0]
    step.refresh_from_db()
    assert step.key_patient == patient
