"""A report that has left goes out again under the right name; one that waits leaves under that name only."""

from __future__ import annotations

import pytest

from interop.hl7 import services
from interop.hl7.receiver import Receiver
from interop.models import Hl7Destination, OutboundMessage
from orders import services as orders
from orders.models import PatientMerge
from reporting import services as reporting
from reporting.models import ReportDelivery
from ris.core.actor import SYSTEM
from ris.core.permissions import RADIOLOGIST
from ris.events.models import Delivery
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_patient, make_procedure, signed

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(alpha):
    return actor_with_roles(RADIOLOGIST)


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


def listen_at(receiver: Receiver) -> None:
    services.allow_host("127.0.0.1", actor=SYSTEM)
    services.add_destination(name="his", host="127.0.0.1", port=receiver.port, messages=["ORU"], actor=SYSTEM)


def names(receiver: Receiver, count: int) -> list[str]:
    return [row.message.required("PID").text(5) for row in receiver.wait_for(count)]


def test_a_merge_and_its_undoing_send_the_report_again(alpha, reader, receiver, dispatch):
    listen_at(receiver)
    alias, known = orders.register_emergency(actor=SYSTEM), make_patient("ACHIENG")
    report = signed(make_procedure(patient=alias), actor=reader)
    dispatch()
    merge = orders.merge_patients(survivor=known, loser=alias, reason="Recognised", actor=SYSTEM)
    dispatch()
    orders.unmerge_patients(merge, reason="Not she", actor=SYSTEM)
    dispatch()
    assert names(receiver, 3) == ["EMERG", "ACHIENG", "EMERG"]
    identifiers = [row.message.required("PID").text(3) for row in receiver.wait_for(3)]
    assert identifiers[0] == identifiers[2] != identifiers[1]
    assert ReportDelivery.objects.get(channel="hl7").status == "acknowledged"
    report.refresh_from_db()
    assert report.versions.count() == 1


def test_heard_twice_it_is_sent_once(alpha, reader, receiver, dispatch):
    listen_at(receiver)
    patient = orders.register_emergency(actor=SYSTEM)
    signed(make_procedure(patient=patient), actor=reader)
    dispatch()
    orders.identify_patient(patient, family_name="Otieno", reason="Card found", actor=SYSTEM)
    dispatch()
    again = Delivery.objects.get(subscriber="interop.resend_identified")
    again.status, again.delivered_at = "pending", None
    again.save()
    dispatch()
    assert names(receiver, 2) == ["EMERG", "Otieno"] and OutboundMessage.objects.count() == 2


def test_what_waits_leaves_under_the_new_name_only(alpha, reader, receiver, dispatch):
    listen_at(receiver)
    patient = orders.register_emergency(actor=SYSTEM)
    Hl7Destination.objects.update(is_paused=True)
    signed(make_procedure(patient=patient), actor=reader)
    dispatch()
    orders.identify_patient(patient, family_name="Otieno", reason="Card found", actor=SYSTEM)
    dispatch()
    Hl7Destination.objects.update(is_paused=False)
    dispatch()
    assert names(receiver, 1) == ["Otieno"]
    assert sorted(OutboundMessage.objects.values_list("status", flat=True)) == ["acknowledged", "cancelled"]


def test_reports_of_exams_that_stay_are_not_sent_again(alpha, reader, receiver, dispatch):
    listen_at(receiver)
    known, alias = make_patient("ACHIENG"), orders.register_emergency(actor=SYSTEM)
    signed(make_procedure(patient=known), actor=reader)
    dispatch()
    orders.merge_patients(survivor=known, loser=alias, reason="Recognised", actor=SYSTEM)
    dispatch()
    assert names(receiver, 1) == ["ACHIENG"] and OutboundMessage.objects.count() == 1
    assert PatientMerge.objects.get().moved.get("orders.order") is None


def test_a_version_that_waits_does_not_leave_beside_the_newer_one(alpha, reader, receiver, dispatch):
    """Corrected, then added to, while the destination rests: it gets the last version, once."""
    listen_at(receiver)
    Hl7Destination.objects.update(is_paused=True)
    report = signed(make_procedure(), actor=reader)
    dispatch()
    reporting.correct_report(report, sections={"impression": "Right nodule."}, reason="Wrong side", actor=reader)
    dispatch()
    reporting.add_addendum(report, text="Seen again.", actor=reader)
    dispatch()
    statuses = OutboundMessage.objects.order_by("pk").values_list("status", flat=True)
    assert list(statuses) == ["cancelled", "cancelled", "pending"]
    Hl7Destination.objects.update(is_paused=False)
    dispatch()
    (told,) = receiver.wait_for(1)
    words = " ".join(segment.text(5) for segment in told.message.all("OBX"))
    assert "Right nodule." in words and "Seen again." in words
    assert statuses.all()[2] == "acknowledged"
