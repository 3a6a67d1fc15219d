"""Orders and merges from outside: the table of ORC-1 x ORC-5, unknown codes, foreign objects."""

from __future__ import annotations

import pytest
from django.test import Client as Browser

from interop.hl7 import services
from interop.hl7.messages import parse
from interop.hl7.mllp import frame
from interop.models import InboundMessage, MessageStatus, OutboundMessage
from orders.models import Order, Patient, PatientIdentifier, RequestedProcedure
from orders.services import accept_procedure, mark_arrived, mark_started
from ris.accounts.models import Practitioner
from ris.core.actor import SYSTEM
from ris.core.permissions import CLERK, TECHNOLOGIST
from ris.notifications.models import Notification
from ris.notifications.words import words_of
from tests.factories.accounts import user_with_roles
from tests.factories.orders import make_catalogue
from tests.interop.hl7.conftest import message, order, pid
from worklist.events import ExceptionRaised
from worklist.models import ExceptionItem
from worklist.subscribers import alarm


@pytest.fixture
def client(mllp, facility):
    make_catalogue("CT1", name="CT chest")
    return mllp().connect()


def test_a_new_order_has_numbers_requester_and_question(client):
    answer = client.ask(order("A1"))
    assert (answer.code, answer.problem) == ("AA", "")
    made = Order.objects.get()
    procedure = made.procedures.get()
    assert (made.placer_order_number, made.placer_issuer, made.priority, made.source) == ("A1", "HIS", "stat", "hl7")
    assert (made.indication, made.clinical_information, made.location) == ("PE?", "Known asthma", "WARD3, 12, 1")
    assert (made.requester.family_name, made.requester.identifier) == ("Owino", "77")
    assert procedure.catalogue.code == "CT1" and not procedure.is_unmapped
    assert procedure.accession_number and procedure.study_instance_uid
    stored = InboundMessage.objects.get()
    assert (stored.status, stored.accession_number) == ("processed", procedure.accession_number)
    assert client.ask(order("A2", patient=pid("P2", family="Other"))).code == "AA"
    assert Practitioner.objects.filter(identifier="77").count() == 1


def test_the_same_placer_number_under_another_control_id_makes_no_second_order(client):
    assert client.ask(order("A1")).code == client.ask(order("A1")).code == "AA"
    assert Order.objects.count() == 1
    other = client.ask(order("A1", patient=pid("P2", family="Other")))
    assert other.code == "AE" and "205" in other.problem
    assert Order.objects.count() == 1 and not PatientIdentifier.objects.filter(value="P2").exists()


def test_a_code_unknown_to_the_catalogue_is_accepted_and_waits(client):
    answer = client.ask(order("A1", "XR99^Odd view^99HIS"))
    assert answer.code == "AA"
    stored, procedure = InboundMessage.objects.get(), RequestedProcedure.objects.get()
    assert stored.status == MessageStatus.UNMAPPED
    assert (procedure.is_unmapped, procedure.code, procedure.description) == (True, "XR99", "Odd view")
    long = client.ask(order("A2", "A-CODE-LONGER-THAN-SIXTEEN^Odd \\T\\ long^99HIS"))
    assert long.code == "AA"
    assert RequestedProcedure.objects.latest("pk").description == "A-CODE-LONGER-THAN-SIXTEEN Odd & long"
    assert client.ask(order("A3", "XR99^Odd view^99HIS&1")).code == "AA"


def test_processing_again_maps_what_the_catalogue_has_learned(client):
    client.ask(order("A1", "XR99^Odd view^L"))
    row = InboundMessage.objects.get()
    assert services.process_again(row, actor=SYSTEM).status == MessageStatus.UNMAPPED
    make_catalogue("XR99", name="Odd view", modality="DX")
    assert services.process_again(row, actor=SYSTEM).status == MessageStatus.PROCESSED
    procedure = RequestedProcedure.objects.get()
    assert (procedure.is_unmapped, procedure.catalogue.code) == (False, "XR99")


def test_the_alternate_code_is_used_when_the_catalogue_knows_only_that(client):
    assert client.ask(order("A1", "77^Thorax^99HIS^CT1^CT chest^L")).code == "AA"
    assert RequestedProcedure.objects.get().catalogue.code == "CT1"


def test_accession_number_and_study_uid_of_the_sender_are_kept(client):
    raw = message(
        "ORM^O01", pid(), "ORC|NW|A1^HIS", "OBR|1|A1^HIS||CT1^CT^L||||||||||||||HIS-ACC-1|RP77", "ZDS|1.2.3.4.5^HIS^A^D"
    )
    assert client.ask(raw).code == "AA"
    procedure = RequestedProcedure.objects.get()
    found = (procedure.accession_number, procedure.requested_procedure_id, procedure.study_instance_uid)
    assert found == ("HIS-ACC-1", "RP77", "1.2.3.4.5")


def test_omi_brings_its_numbers_in_ipc(client):
    raw = message(
        "OMI^O23^OMI_O23",
        pid(),
        "ORC|NW|A1^HIS",
        "TQ1|1||||||||S",
        "OBR|1|A1^HIS||CT1^CT^L",
        "IPC|ACC9|RP9|1.2.9|SPS9|CT",
    )
    assert client.ask(raw).code == "AA"
    procedure = RequestedProcedure.objects.get()
    found = (procedure.accession_number, procedure.requested_procedure_id, procedure.study_instance_uid)
    assert found == ("ACC9", "RP9", "1.2.9") and procedure.order.priority == "stat"


def test_several_obrs_of_one_order_and_omg(client):
    make_catalogue("CT2", name="CT abdomen")
    raw = message(
        "OMG^O19^OMG_O19", pid(), "ORC|NW|A1^HIS", "TQ1|1||||||||A", "OBR|1|A1^HIS||CT1^CT^L", "NTE|1||First note",
        "ORC|NW|A1^HIS", "OBR|2|A1^HIS||CT2^CT^L", "ORC|NW|B1^HIS", "OBR|3|B1^HIS||CT1^CT^L",
    )  # fmt: skip
    assert client.ask(raw).code == "AA"
    first, second = Order.objects.order_by("pk")
    assert [row.code for row in first.procedures.order_by("pk")] == ["CT1", "CT2"]
    assert (first.priority, first.clinical_information, second.procedures.count()) == ("asap", "First note", 1)


def test_a_fault_in_one_order_of_a_message_leaves_none(client):
    raw = message("ORM^O01", pid(), "ORC|NW|A1^HIS", "OBR|1|A1^HIS||CT1^CT^L", "ORC|NW|B1^HIS", "OBR|2|B1^HIS||")
    answer = client.ask(raw)
    assert answer.code == "AE" and "OBR^2^4" in answer.problem
    assert Order.objects.count() == Patient.objects.count() == 0


def test_a_pair_that_means_nothing_is_refused_with_its_place(client):
    client.ask(order("A1"))
    for control, status in (("XO", ""), ("XX", "SC"), ("", ""), ("NW", "CM"), ("HD", "SC"), ("CA", "SC")):
        answer = client.ask(order("A1", control=control, status=status))
        assert answer.code == "AR" and "103" in answer.problem and "ORC^1^1" in answer.problem, (control, status)


def test_a_cancelled_order_is_cancelled_once(client):
    for number, (control, status) in enumerate((("CA", "CA"), ("CA", ""), ("DC", "CA"))):
        placer = f"A{number}"
        client.ask(order(placer))
        assert client.ask(order(placer, control=control, status=status)).code == "AA"
        procedure = RequestedProcedure.objects.get(order__placer_order_number=placer)
        assert (procedure.status, procedure.reason_code) == ("cancelled", "110500")
        version = procedure.version
        assert client.ask(order(placer, control=control, status=status)).code == "AA"
        procedure.refresh_from_db()
        assert procedure.version == version


def test_an_order_is_held_and_released_as_asked_and_not_once_the_patient_is_there(client):
    services.add_destination(name="his", host="127.0.0.1", port=9, messages=["ORR"], actor=SYSTEM)

    def asks(control, status=""):
        assert client.ask(order("A1", control=control, status=status)).code == "AA"
        return RequestedProcedure.objects.get().status

    asks("NW")
    accept_procedure(RequestedProcedure.objects.get(), actor=SYSTEM)
    assert asks("RL") == "accepted", "nothing is held"
    assert asks("HD") == asks("HD", "HD") == "on_hold"
    assert RequestedProcedure.objects.get().held_until is not None
    assert asks("RL", "SC") == "accepted"
    mark_arrived(RequestedProcedure.objects.get(), actor=SYSTEM)
    assert asks("HD") == "arrived"
    sent = [parse(bytes(row.body)).required("ORC") for row in OutboundMessage.objects.order_by("pk")]
    assert [(row.text(1), row.text(5)) for row in sent] == [("OK", "SC"), ("HR", "HD"), ("OR", "SC"), ("UH", "IP")]


def test_too_late_is_accepted_and_declined_to_who_listens(client):
    services.add_destination(name="his", host="127.0.0.1", port=9, messages=["ORR"], actor=SYSTEM)
    client.ask(order("A1"))
    mark_started(RequestedProcedure.objects.get(), actor=SYSTEM)
    for control, status in (("CA", "CA"), ("XO", "SC"), ("DC", "CA")):
        assert client.ask(order("A1", control=control, status=status)).code == "AA"
    assert RequestedProcedure.objects.get().status == "in_progress"
    sent = [parse(bytes(row.body)) for row in OutboundMessage.objects.order_by("pk")]
    assert [row.required("ORC").text(1) for row in sent] == ["OK", "UC", "UX", "UD"]
    assert sent[1].header.message_type == "ORR^O02" and sent[1].required("ORC").text(2) == "A1"


def test_too_late_waits_for_a_person_who_is_told(client):
    technologist, clerk = user_with_roles(TECHNOLOGIST), user_with_roles(CLERK)
    client.ask(order("A1"))
    assert client.ask(order("A1", control="XO", status="SC")).code == "AA"
    assert not ExceptionItem.objects.exists(), "in time: nobody has to look"
    mark_started(RequestedProcedure.objects.get(), actor=SYSTEM)
    for control, status in (("CA", "CA"), ("DC", "CA")):
        assert client.ask(order("A1", control=control, status=status)).code == "AA"
    item = ExceptionItem.objects.get()
    assert (item.kind, item.procedure, item.detail["code"]) == (
        "late_request", RequestedProcedure.objects.get(), "DC",
    )  # fmt: skip
    alarm(ExceptionRaised(str(item.uuid), accession_number=item.procedure.accession_number, kind=item.kind))
    told = Notification.objects.filter(subject=str(item.uuid))
    assert [row.recipient for row in told] == [technologist] and clerk not in {row.recipient for row in told}
    assert "after it had begun" in words_of(told.get()).title
    browser = Browser(HTTP_HOST="alpha.test")
    browser.force_login(technologist, backend="ris.accounts.backends.PasswordBackend")
    page = browser.get(f"/exceptions/{item.uuid}/").content.decode()
    assert "came too late" in page and "DC" in page and item.procedure.accession_number in page


def test_an_order_that_is_not_known_is_refused_204(client):
    client.ask(order("A1"))
    for control, status in (("CA", "CA"), ("XO", "SC"), ("SC", "CM")):
        answer = client.ask(order("NONE", control=control, status=status))
        assert answer.code == "AE" and "204" in answer.problem and "ORC^1^2" in answer.problem


def test_an_order_of_another_patient_is_not_touched(client):
    client.ask(order("A1"))
    client.ask(message("ADT^A04", pid("P2", family="Other", born="19500101")))
    answer = client.ask(order("A1", control="CA", status="CA", patient=pid("P2", family="Other", born="19500101")))
    assert answer.code == "AE" and "204" in answer.problem and "PID^1^3" in answer.problem
    assert RequestedProcedure.objects.get().status != "cancelled"


def test_a_known_number_with_another_name_and_birth_date_is_refused(client):
    client.ask(order("A1"))
    answer = client.ask(order("A2", patient=pid("P1", family="Different", born="19500101")))
    assert answer.code == "AE" and "204" in answer.problem
    assert Order.objects.count() == 1


def test_an_order_is_changed_while_it_may(client):
    make_catalogue("CT2", name="CT abdomen")
    client.ask(order("A1"))
    before = RequestedProcedure.objects.get()
    raw = order("A1", "CT2^CT abdomen^L", control="XO", status="SC").replace(b"PE?", b"Abscess?")
    assert client.ask(raw).code == "AA"
    after = RequestedProcedure.objects.get()
    assert (after.catalogue.code, after.order.indication) == ("CT2", "Abscess?")
    kept = (before.accession_number, before.study_instance_uid)
    assert (after.accession_number, after.study_instance_uid) == kept
    answer = client.ask(order("A1", "NOPE^Odd^L", control="XO", status="SC"))
    assert answer.code == "AE" and "OBR^1^4" in answer.problem


def test_the_state_of_an_exam_comes_from_the_modality(client):
    client.ask(order("A1"))
    for control, status in (("SC", "CM"), ("XO", "CM"), ("SC", "A")):
        assert client.ask(order("A1", control=control, status=status)).code == "AA"
    assert RequestedProcedure.objects.get().status == "accepted"


# --- merges and updates


def merge(survivor: str, loser: str, **kwargs) -> bytes:
    return message("ADT^A40", pid(survivor, **kwargs), f"MRG|{loser}^^^CLINIC^MR")


def test_a_merge_moves_everything_and_its_repeat_changes_nothing(client):
    client.ask(message("ADT^A04", pid("P1")))
    client.ask(order("A1", patient=pid("P2", family="Emerg")))
    assert client.ask(merge("P1", "P2")).code == "AA"
    survivor = PatientIdentifier.objects.get(value="P1").patient
    assert Order.objects.get().patient == survivor
    count = survivor.merges_survived.count()
    assert client.ask(merge("P1", "P2")).code == "AA"
    assert (survivor.merges_survived.count(), count) == (1, 1)
    reverse = client.ask(merge("P2", "P1"))
    assert reverse.code == "AR" and "205" in reverse.problem
    assert client.ask(order("A2", patient=pid("P2", family="Emerg"))).code == "AA"
    assert Order.objects.get(placer_order_number="A2").patient == survivor


def test_an_update_under_a_merged_number_does_not_rename_the_survivor(client):
    client.ask(message("ADT^A04", pid("P1")))
    client.ask(message("ADT^A04", pid("P2", family="Emerg", given="Amber")))
    client.ask(merge("P1", "P2"))
    assert client.ask(message("ADT^A08", pid("P2", family="Emerg", given="Amber"))).code == "AA"
    assert Patient.objects.get(merged_into=None).family_name == "Achieng"


def test_merges_that_cannot_be_are_refused(client):
    client.ask(message("ADT^A04", pid("P1")))
    same = client.ask(merge("P1", "P1"))
    assert same.code == "AR" and same.text == "MRG-1 matches PID-3."
    unknown = client.ask(merge("P1", "NOBODY"))
    assert unknown.code == "AE" and "204" in unknown.problem and "MRG^1^1" in unknown.problem
    assert client.ask(message("ADT^A40", pid("P1"))).code == "AE"
    client.ask(message("ADT^A04", pid("P5")))
    assert client.ask(merge("NEW", "P5", family="Njeri")).code == "AA"
    assert PatientIdentifier.objects.get(value="P5").patient.family_name == "Njeri"


def test_an_update_changes_what_is_valued_only(client):
    client.ask(
        message("ADT^A04", pid("P1") + "|||12 Moi Ave^^Nairobi^^00100^KEN||+254700111222~^NET^Internet^w@example.org")
    )
    patient = Patient.objects.get()
    assert (patient.phone, patient.email) == ("+254700111222", "w@example.org")
    assert patient.address == "12 Moi Ave\n00100 Nairobi\nKEN"
    client.ask(message("ADT^A08", 'PID|1||P1^^^CLINIC^MR||Achieng^Wanjiru^M||""|'))
    patient.refresh_from_db()
    assert (patient.middle_name, patient.birth_date, patient.sex, patient.phone) == ("M", None, "F", "+254700111222")
    assert patient.history.first().history_change_reason.endswith("[hl7:HIS]")


def test_ideographic_names_and_estimated_birth_dates(client):
    raw = message("ADT^A28", "PID|1||P7^^^CLINIC^MR||Wang^XiaoDong^^^^^L^A~王^小東^^^^^L^I||1950|M")
    assert client.ask(raw).code == "AA"
    patient = Patient.objects.get()
    assert (patient.family_name, patient.ideographic_name) == ("Wang", "王^小東")
    assert (patient.birth_date.year, patient.birth_date_is_estimated) == (1950, True)


def test_a_visit_is_recorded_with_its_number(client):
    raw = message("ADT^A01", pid(), "PV1|1|I|ICU^4^2||||||||||||||||V55^^^CLINIC")
    assert client.ask(raw).code == "AA"
    visit = Patient.objects.get().visits.get()
    assert (visit.visit_number, visit.patient_class, visit.location) == ("V55", "I", "ICU, 4, 2")


def test_answers_keep_the_order_of_pipelined_messages(client):
    stream = b"".join(frame(order(f"A{number}")) for number in range(10))
    client.send(stream)
    answers = [parse(client.answer()).required("MSA") for _number in range(10)]
    assert {answer.text(1) for answer in answers} == {"AA"}
    assert list(Order.objects.order_by("pk").values_list("placer_order_number", flat=True)) == [
        f"A{n}" for n in range(10)
    ]
