"""Registering and ordering: what exists from the first moment, and what is refused without a trace."""

from __future__ import annotations

import pytest

from orders import services
from orders.models import AccessionNumber, Order, Patient
from orders.services import ProcedureRequest
from ris.audit.models import AuditEvent
from ris.core.errors import AlreadyExists, Conflict, InvalidData
from ris.events.models import OutboxEvent
from tests.factories.orders import SYSTEM, make_actor, make_catalogue, make_order, make_patient

pytestmark = pytest.mark.django_db


def test_a_patient_is_given_the_facility_s_number(alpha):
    actor = make_actor("clerk")
    patient = services.register_patient(
        family_name="Achieng", given_name="Wanjiru", birth_date="1990-02-03", actor=actor
    )
    assert patient.primary_identifier.type == "MR"
    assert patient.display_name == "ACHIENG, Wanjiru"
    assert OutboxEvent.objects.get(name="orders.patient_registered").payload["subject"] == str(patient.uuid)
    assert AuditEvent.objects.get(event_type="orders.register_patient").patient == patient.uuid
    assert patient.history.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("birth_date", "2999-01-01"),
        ("birth_date", "1801-01-01"),
        ("birth_date", "1990-02-31"),
        ("sex", "X"),
        ("family_name", ""),
        ("family_name", "A^B"),
        ("family_name", "A\\B"),
        ("given_name", "A\x00B"),
        ("given_name", "A=B"),
        ("middle_name", "x" * 65),
        ("phone", "call me"),
        ("email", "nobody"),
        ("weight_kg", "abc"),
        ("height_m", "9"),
    ],
)
def test_an_impossible_value_is_named_and_nothing_is_stored(alpha, field, value):
    with pytest.raises(InvalidData) as refusal:
        services.register_patient(**{"family_name": "Achieng", field: value}, actor=SYSTEM)
    assert list(refusal.value.errors) == [field]
    assert Patient.objects.count() == 0


def test_identifiers_are_checked_and_unique(alpha):
    make_patient(identifiers=[{"value": "N1", "issuer": "KE", "type": "NI"}])
    with pytest.raises(AlreadyExists):
        make_patient(identifiers=[{"value": "N1", "issuer": "KE", "type": "NI"}])
    with pytest.raises(InvalidData) as refusal:
        make_patient(identifiers=[{"value": "a b c", "issuer": "", "type": "MR"}])
    assert list(refusal.value.errors) == ["identifiers"]
    assert Patient.objects.count() == 1


def test_an_order_has_its_numbers_from_the_first_moment(alpha):
    make_catalogue("CTCHEST", needs_vetting=True)
    make_catalogue("XRHAND", has_laterality=True, modality="DX")
    order = make_order(codes=["CTCHEST", ProcedureRequest("XRHAND", laterality="L")], priority="urgent")
    chest, hand = order.procedures.order_by("pk")
    assert (chest.status, hand.status, order.status) == ("vetting", "accepted", "vetting")
    assert len({chest.accession_number, hand.accession_number}) == 2
    assert all(len(row.accession_number) <= 16 for row in (chest, hand))
    assert chest.study_instance_uid.startswith("2.25.") and chest.study_instance_uid != hand.study_instance_uid
    assert order.filler_order_number
    created = OutboxEvent.objects.get(name="orders.order_created")
    assert created.payload["procedures"] == [str(chest.uuid), str(hand.uuid)]
    assert AuditEvent.objects.get(event_type="orders.create_order").patient == order.patient.uuid


def test_numbers_of_the_sender_are_kept_when_valid_and_free(alpha):
    make_catalogue("CTCHEST")
    first = make_order(
        codes=[
            ProcedureRequest(
                "CTCHEST", accession_number="ACC1", study_instance_uid="1.2.3", requested_procedure_id="P1"
            )
        ]
    ).procedures.get()
    assert (first.accession_number, first.study_instance_uid, first.requested_procedure_id) == ("ACC1", "1.2.3", "P1")
    second = make_order(
        codes=[ProcedureRequest("CTCHEST", accession_number="ACC1", study_instance_uid="1.2.3")]
    ).procedures.get()
    assert second.accession_number != "ACC1" and second.study_instance_uid != "1.2.3"
    third = make_order(
        codes=[ProcedureRequest("CTCHEST", accession_number="x" * 17, study_instance_uid="1.02.3")]
    ).procedures.get()
    assert len(third.accession_number) <= 16 and third.study_instance_uid.startswith("2.25.")


def test_one_number_per_order_when_the_facility_decides_so(alpha):
    from ris.accounts.selectors import facility_settings

    settings = facility_settings()
    settings.accession_scope = "order"
    settings.save()
    make_catalogue("A")
    make_catalogue("B")
    order = make_order(codes=["A", "B"])
    assert len(set(order.procedures.values_list("accession_number", flat=True))) == 1
    assert len(set(order.procedures.values_list("requested_procedure_id", flat=True))) == 2


@pytest.mark.parametrize(
    ("requests", "fields", "wrong"),
    [
        ([], {}, "procedures"),
        ([ProcedureRequest("NONE")], {}, "procedures.0.code"),
        ([ProcedureRequest("XRHAND")], {}, "procedures.0.laterality"),
        ([ProcedureRequest("CTCHEST", laterality="L")], {}, "procedures.0.laterality"),
        ([ProcedureRequest("CTCHEST"), ProcedureRequest("CTCHEST", laterality="Z")], {}, "procedures.1.laterality"),
        ([ProcedureRequest("CTCHEST")], {"priority": "soon"}, "priority"),
        ([ProcedureRequest("CTCHEST")], {"transport": "a\\b"}, "transport"),
    ],
)
def test_a_wrong_order_leaves_nothing(alpha, requests, fields, wrong):
    make_catalogue("CTCHEST")
    make_catalogue("XRHAND", has_laterality=True)
    patient = make_patient()
    with pytest.raises(InvalidData) as refusal:
        services.create_order(patient=patient, procedures=requests, actor=SYSTEM, **fields)
    assert list(refusal.value.errors) == [wrong]
    assert Order.objects.count() == AccessionNumber.objects.count() == 0


def test_an_interface_may_send_codes_that_wait_to_be_mapped(alpha):
    patient = make_patient()
    request = ProcedureRequest("SENDERS", scheme="HIS", description="Something", modality="us")
    order = services.create_order(patient=patient, procedures=[request], allow_unmapped=True, actor=SYSTEM)
    procedure = order.procedures.get()
    assert (procedure.status, procedure.is_unmapped, procedure.modality) == ("requested", True, "US")
    with pytest.raises(Conflict):
        services.accept_procedure(procedure, actor=SYSTEM)
    make_catalogue("USABDO", modality="US")
    mapped = services.change_procedure(procedure, code="USABDO", actor=SYSTEM)
    assert (mapped.status, mapped.is_unmapped, mapped.accession_number) == (
        "accepted",
        False,
        procedure.accession_number,
    )


def test_a_placer_order_number_is_used_once(alpha):
    make_catalogue("CTCHEST")
    make_order(codes=["CTCHEST"], placer_order_number="P1", placer_issuer="HIS")
    with pytest.raises(AlreadyExists):
        make_order(codes=["CTCHEST"], placer_order_number="P1", placer_issuer="HIS")


def test_codes_of_other_schemes_lead_to_the_catalogue(alpha):
    row = make_catalogue("CTCHEST")
    row.codes.create(scheme="LN", value="24627-2")
    procedure = make_order(codes=[ProcedureRequest("24627-2", scheme="LN")]).procedures.get()
    assert (procedure.catalogue, procedure.code_scheme, procedure.code) == (row, "LN", "24627-2")


def test_correcting_a_patient_is_told_once(alpha):
    patient = make_patient()
    services.update_patient(patient, given_name="Achol", reason="Spelling", actor=SYSTEM)
    services.update_patient(patient, given_name="Achol", actor=SYSTEM)
    assert OutboxEvent.objects.filter(name="orders.patient_updated").count() == 1
    with pytest.raises(InvalidData):
        services.update_patient(patient, family_name="", actor=SYSTEM)
