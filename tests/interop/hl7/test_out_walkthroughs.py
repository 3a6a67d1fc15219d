"""Whole ways through the house by HL7: messages in over MLLP, work by people and scanners, messages out over sockets.

An unidentified patient who gets a name; an order that is changed and cancelled; a receiver that was away.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from interop import alerts
from interop.hl7 import services
from interop.hl7.messages import Message
from interop.hl7.outbound import connections
from interop.hl7.receiver import DROP, Receiver
from interop.models import Hl7Destination, OutboundMessage, OutboundStatus
from orders import services as orders
from orders.models import Order, Patient, RequestedProcedure
from orders.services.emergency import register_emergency
from reporting import services as reporting
from reporting.models import DeliveryRule
from ris.core.actor import SYSTEM
from ris.core.permissions import IT_ADMIN, RADIOLOGIST, RESIDENT
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.billing import make_price
from tests.factories.orders import make_catalogue, make_order
from tests.factories.reporting import drafted, make_patient, make_procedure, signed
from tests.factories.worklist import at, booked, make_station
from tests.interop.hl7.conftest import Client, message, order, pid
from worklist.models import Reservation


@pytest.fixture(autouse=True)
def no_old_connections():
    connections.close_all()
    yield
    connections.close_all()


@pytest.fixture
def his(mllp) -> Client:
    """The hospital's system, connected to our listener."""
    make_catalogue("CT1", name="CT chest", modality="CT")
    return mllp().connect()


def add(receiver: Receiver, name: str, messages: str, **fields) -> Hl7Destination:
    services.allow_host("127.0.0.1", actor=SYSTEM)
    values = {"receiving_application": name, "ack_timeout_seconds": 3, **fields}
    return services.add_destination(
        name=name, host="127.0.0.1", port=receiver.port, messages=messages.split(), actor=SYSTEM, **values
    )


def came(receiver: Receiver, kind: str = "") -> list[Message]:
    return [row.message for row in receiver.received if row.message_type.startswith(kind)]


def codes(messages: list[Message]) -> list[str]:
    return [f"{row.required('ORC').text(1)}^{row.required('ORC').text(5)}" for row in messages]


def due() -> None:
    OutboundMessage.objects.filter(status=OutboundStatus.PENDING).update(
        next_attempt_at=timezone.now() - timedelta(seconds=1), claimed_until=None
    )
    Hl7Destination.objects.update(rests_until=None)


def test_an_unidentified_patient_gets_a_name(his, dispatch):
    with Receiver() as receiver:
        add(receiver, "HIS", "ORU")
        with Receiver() as archive:
            add(archive, "PACS", "ADT ORM")
            rule = DeliveryRule.objects.get(channel="hl7")
            rule.includes_preliminary = True
            rule.save_as(SYSTEM, "test")
            unknown = register_emergency(actor=SYSTEM)
            number = unknown.primary_identifier
            exam = make_order(patient=unknown, codes=["CT1"], priority="stat").procedures.get()
            orders.mark_started(exam, actor=SYSTEM)
            orders.mark_performed(exam, actor=SYSTEM)
            orders.mark_images_complete(exam, actor=SYSTEM)
            resident = actor_with_roles(RESIDENT)
            report = drafted(exam, actor=resident)
            reporting.sign_preliminary(report, actor=resident)
            dispatch()
            (first,) = came(receiver, "ORU")
            assert (first.required("PID").text(3), first.required("OBR").text(25)) == (number.value, "P")

            assert his.ask(message("ADT^A04", pid("P9", family="Wanjiru", given="Achieng"))).code == "AA"
            mrg = f"MRG|{number.value}^^^{number.issuer}^{number.type}"
            a40 = message(
                "ADT^A40", "EVN|A40|20260102", pid("P9", family="Wanjiru", given="Achieng"), mrg, control_id="M1"
            )
            assert his.ask(a40).code == "AA"
            dispatch()
            survivor = Patient.objects.get(identifiers__value="P9")
            unknown.refresh_from_db()
            exam.refresh_from_db()
            assert unknown.merged_into == survivor and exam.order.patient == survivor
            again = came(receiver, "ORU")[-1]
            assert (again.required("PID").text(3), again.required("PID").text(5)) == ("P9", "Wanjiru")
            assert again.header.control_id != first.header.control_id
            told = came(archive, "ADT")[-1]
            assert told.header.message_type == "ADT^A40" and told.required("MRG").text(1) == number.value
            assert told.required("PID").text(3) == "P9"
            count = len(receiver.received) + len(archive.received)
            assert his.ask(a40).code == "AA"
            dispatch()
            assert len(receiver.received) + len(archive.received) == count, "a repeated merge changes and tells nothing"


def test_an_order_is_booked_changed_cancelled_and_another_comes_too_late(his, dispatch):
    with Receiver() as receiver, Receiver() as archive:
        add(receiver, "HIS", "ORR SIU ORU DFT ORM")
        add(archive, "PACS", "ORM")
        assert his.ask(order("A1")).code == "AA"
        exam = RequestedProcedure.objects.get()
        make_price("P1", "1500", catalogue=exam.catalogue)
        accession, study = exam.accession_number, exam.study_instance_uid
        booked(exam, station=make_station(), starts_at=at(10))
        dispatch()
        changed = order("A1", control="XO", status="SC").replace(b"Known asthma", b"Known epilepsy")
        assert his.ask(changed).code == "AA"
        dispatch()
        exam.refresh_from_db()
        assert (exam.accession_number, exam.study_instance_uid) == (accession, study)
        assert exam.order.clinical_information == "Known epilepsy"
        assert codes(came(archive)) == ["NW^SC", "XO^SC"]
        assert came(archive)[-1].required("NTE").text(3) == "Known epilepsy"

        assert his.ask(order("A1", control="CA", status="CA")).code == "AA"
        dispatch()
        exam.refresh_from_db()
        assert exam.status == "cancelled" and Reservation.objects.get().status == "cancelled"
        assert codes(came(archive))[-1] == "CA^CA"
        assert codes(came(receiver, "ORR"))[-1] == "CR^CA"
        assert [m.header.message_type for m in came(receiver, "SIU")] == ["SIU^S12", "SIU^S15"]

        assert his.ask(order("A2")).code == "AA"
        second = Order.objects.get(placer_order_number="A2").procedures.get()
        orders.mark_started(second, actor=SYSTEM)
        dispatch()
        assert his.ask(order("A2", control="CA", status="CA")).code == "AA", "the message is taken, the request is not"
        dispatch()
        second.refresh_from_db()
        assert second.status == "in_progress" and codes(came(receiver, "ORR"))[-1].startswith("UC")
        assert codes(came(archive))[-1] == "SC^IP"
        refused = his.ask(order("A2", control="XO", status="ZZ"))
        assert refused.code == "AR" and "ORC^1^1" in refused.problem

        orders.mark_performed(second, actor=SYSTEM)
        orders.mark_images_complete(second, actor=SYSTEM)
        (charge,) = orders.draft_charges(second, actor=SYSTEM)
        orders.confirm_charge(charge, actor=SYSTEM)
        signed(second, actor=actor_with_roles(RADIOLOGIST))
        dispatch()
        (ft1,) = [m.required("FT1") for m in came(receiver, "DFT")]
        assert (ft1.text(6), ft1.text(7)) == ("CG", "P1")
        (oru,) = came(receiver, "ORU")
        assert (oru.required("ORC").text(2), oru.required("OBR").text(25)) == ("A2", "F")
        assert codes(came(receiver, "ORM"))[-1] == "SC^CM", "the placer hears that it is done"


def test_the_receiver_was_away(facility, dispatch, monkeypatch):
    reader = actor_with_roles(RADIOLOGIST)
    user_with_roles(IT_ADMIN, email="it@example.org")
    patients = [make_patient(f"P{number}") for number in range(3)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Receiver() as somewhere:
        destination = add(somewhere, "HIS", "ORU", alert_after_minutes=2)
    destination.port = port
    destination.save_as(SYSTEM, "test")
    for number in range(5):
        signed(make_procedure(patient=patients[number % 3]), actor=reader, findings=f"report {number}")
    dispatch()
    rows = OutboundMessage.objects.order_by("pk")
    assert rows.filter(status=OutboundStatus.PENDING).count() == 5
    OutboundMessage.objects.update(created_at=timezone.now() - timedelta(minutes=3))
    assert [alerts.check(), alerts.check()] == [True, False], "one e-mail, not five"

    sent = _sends_twice_and_is_killed(dispatch, monkeypatch, port, rows)
    texts = [_text(row.message) for row in sent if row.answer == "AA"]
    by_patient = {n: [text for text in texts if int(text[-1]) % 3 == n] for n in range(3)}
    assert by_patient == {0: ["report 0", "report 3"], 1: ["report 1", "report 4"], 2: ["report 2"]}
    assert {row.control_id for row in sent} == set(rows.values_list("control_id", flat=True)), "no new MSH-10"
    assert not rows.exclude(status=OutboundStatus.ACKNOWLEDGED).exists()
    assert alerts.check(timezone.now() + timedelta(minutes=1)) is True, "and one that it is over"


def _text(found: Message) -> str:
    return next(obx.text(5) for obx in found.all("OBX") if obx.text(3) == "59776-5")


def _sends_twice_and_is_killed(dispatch: Callable, monkeypatch: pytest.MonkeyPatch, port: int, rows) -> list:
    """It comes back; the sender dies between sending and recording; the receiver errs twice and hangs up once."""
    from interop.hl7.outbound import sender

    class Killed(BaseException):
        pass

    def dies(*_arguments: object) -> None:
        raise Killed

    with Receiver(port=port, answers=["AA", "AE", "AE", DROP]) as receiver:
        due()
        with monkeypatch.context() as patched:
            patched.setattr(sender, "_record", dies)
            with pytest.raises(Killed):
                dispatch()
        assert rows.filter(status=OutboundStatus.ACKNOWLEDGED).count() == 0
        for _try in range(8):
            due()
            dispatch()
        first = receiver.received[0]
        repeats = [row for row in receiver.received if row.control_id == first.control_id]
        assert len(repeats) >= 2 and {row.raw for row in repeats} == {first.raw}
        return receiver.received[1:]
