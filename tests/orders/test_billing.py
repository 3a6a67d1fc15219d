"""Who pays and what is charged: prices, coverage, authorisations, charges that follow the exam, codes for payers."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from orders import selectors_billing as selectors
from orders import services
from orders.models import BillingCode, Charge, Coverage, PayerScheme, PriceItem
from ris.core.errors import AlreadyExists, Conflict, InvalidData, InvalidTransition, NotKnown, NotPermitted
from ris.events.models import OutboxEvent
from tests.factories.billing import charged_exam, make_price, make_scheme
from tests.factories.orders import SYSTEM, make_actor, make_catalogue, make_patient, make_procedure

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alpha")]
D = Decimal


def days(number: int):
    return timezone.localdate() + timedelta(days=number)


# --- prices


def test_a_new_price_ends_the_old_one_and_both_are_kept():
    row = make_catalogue("CT1")
    first = make_price("CT", 100, catalogue=row, valid_from=days(-30))
    make_price("CT", 120, catalogue=row, valid_from=days(10))
    first.refresh_from_db()
    assert (first.valid_to, first.is_active) == (days(9), True)
    assert [str(p.amount) for p in PriceItem.objects.on(days(0))] == ["100.00"]
    assert [str(p.amount) for p in PriceItem.objects.on(days(10))] == ["120.00"]
    assert first.history.count() == 2


def test_a_price_that_would_overlap_a_later_one_is_refused():
    row = make_catalogue("CT1")
    make_price("CT", 100, catalogue=row, valid_from=days(5))
    with pytest.raises(Conflict):
        make_price("CT", 90, catalogue=row, valid_from=days(0))
    make_price("CT", 90, catalogue=row, valid_from=days(0), valid_to=days(4))


def test_the_database_refuses_two_prices_at_a_time():
    make_price("CT", 100, catalogue=make_catalogue("CT1"))
    with pytest.raises(IntegrityError), transaction.atomic():
        PriceItem.objects.create(code="CT", label="x", amount=5)
    PriceItem.objects.create(code="CT", label="x", amount=5, scheme=make_scheme())
    PriceItem.objects.create(code="CT", label="x", amount=5, is_active=False)


def test_a_price_is_in_the_facilitys_currency_and_its_coins():
    assert make_price("CT", "99.99", catalogue=make_catalogue()).currency == "KES"
    for amount in ("-1", "1.005", "a", 1.5):
        with pytest.raises(InvalidData) as refusal:
            make_price("X", amount, catalogue=make_catalogue())
        assert "amount" in refusal.value.errors


def test_only_who_manages_prices_may():
    with pytest.raises(NotPermitted):
        services.save_scheme(code="A", name="A", kind="cash", actor=make_actor("clerk"))
    scheme = services.save_scheme(code="A", name="A", kind="insurance", actor=make_actor("it_admin"))
    assert services.save_scheme(scheme, name="B", actor=SYSTEM).name == "B"
    with pytest.raises(AlreadyExists):
        services.save_scheme(code="A", name="C", kind="cash", actor=SYSTEM)


# --- charges


def test_the_payers_own_price_is_taken_before_the_general_one():
    row, scheme, patient = make_catalogue("CT1"), make_scheme(), make_patient()
    make_price("CT", 100, catalogue=row)
    make_price("CT", 70, catalogue=row, scheme=scheme)
    make_price("FILM", 15, catalogue=row)
    services.add_coverage(patient, scheme=scheme, member_number="1", actor=SYSTEM)
    covered = make_procedure(patient=patient, codes=["CT1"], status="performed")
    other = make_procedure(codes=["CT1"], status="performed")
    assert {c.code: c.amount for c in services.draft_charges(covered, actor=SYSTEM)} == {"CT": 70, "FILM": 15}
    assert {c.code: c.amount for c in services.draft_charges(other, actor=SYSTEM)} == {"CT": 100, "FILM": 15}


def test_the_price_is_that_of_the_day_of_the_exam():
    row = make_catalogue("CT1")
    make_price("CT", 100, catalogue=row, valid_from=days(-30))
    make_price("CT", 120, catalogue=row, valid_from=days(-1))
    procedure = make_procedure(codes=["CT1"], status="performed")
    procedure.performed_at = timezone.now() - timedelta(days=3)
    procedure.save_as(SYSTEM, "test")
    charge = services.draft_charges(procedure, actor=SYSTEM)[0]
    assert (charge.amount, charge.performed_on) == (100, days(-3))


def test_what_was_used_is_charged_by_its_unit_once():
    make_price("CM", "12.50", kind="consumable", label="Iohexol 350", unit="mL")
    make_price("CANNULA", 80, kind="consumable", consumable_code="C-20G")
    procedure, use = make_procedure(status="in_progress"), uuid4()

    def draft(**fields):
        return services.draft_supply(procedure, actor=SYSTEM, **fields)

    charge = draft(source=use, label="iohexol 350", quantity=D("80.5"), unit="ml")
    assert (charge.amount, charge.quantity, charge.status) == (D("1006.25"), D("80.5"), "planned")
    assert draft(source=use, label="Iohexol 350", quantity=D(80), unit="mL") is None
    assert draft(source=uuid4(), label="Iohexol 350", quantity=D(1), unit="bottle") is None
    assert draft(source=uuid4(), label="Cannula", code="c-20g", quantity=D(2)).amount == 80
    assert draft(source=uuid4(), label="Something else") is None
    services.void_supply(procedure, source=use, actor=SYSTEM)
    charge.refresh_from_db()
    assert charge.status == "aborted" and charge.reason


def test_a_stopped_exam_owes_nothing_with_the_reason():
    charge = charged_exam().charges.get()
    procedure = charge.procedure
    services.mark_discontinued(procedure, code="110515", text="Could not lie still", actor=SYSTEM)
    charge.refresh_from_db()
    assert charge.status == "aborted" and "Could not lie still" in charge.reason
    assert OutboxEvent.objects.filter(name="orders.charges_voided", subject=str(procedure.uuid)).count() == 1


def test_a_charge_by_hand_needs_a_begun_exam_and_a_price():
    make_price("CD", 300, kind="other")
    before, after = make_procedure(), make_procedure(status="performed")
    clerk = make_actor("clerk")
    with pytest.raises(InvalidTransition):
        services.add_charge(before, code="CD", actor=clerk)
    with pytest.raises(NotKnown):
        services.add_charge(after, code="NONE", actor=clerk)
    assert services.add_charge(after, code="CD", quantity="2", actor=clerk).amount == 600
    with pytest.raises(AlreadyExists):
        services.add_charge(after, code="CD", actor=clerk)
    with pytest.raises(InvalidData):
        services.add_charge(after, code="CD", quantity=0, actor=clerk)


def test_open_charges_are_priced_again_when_the_payer_becomes_known():
    procedure = charged_exam(100)
    charge = procedure.charges.get()
    scheme = make_scheme()
    make_price(charge.code, 70, catalogue=procedure.catalogue, scheme=scheme)
    services.add_coverage(procedure.order.patient, scheme=scheme, member_number="1", actor=SYSTEM)
    assert [row.amount for row in services.reprice_charges(procedure.order, actor=SYSTEM)] == [70]
    assert services.reprice_charges(procedure.order, actor=SYSTEM) == []


# --- coverage


def test_coverage_follows_its_scheme_and_ranks_behind_the_others():
    patient, scheme = make_patient(), make_scheme(default_share=80)
    first = services.add_coverage(patient, scheme=scheme, member_number="77", actor=make_actor("clerk"))
    second = services.add_coverage(
        patient, scheme=make_scheme(kind="employer"), share="50.5", valid_from=days(0), actor=SYSTEM
    )
    assert [(row.share, row.rank) for row in (first, second)] == [(D("80.00"), 1), (D("50.50"), 2)]
    with pytest.raises(AlreadyExists):
        services.add_coverage(patient, scheme=scheme, member_number="77", actor=SYSTEM)
    assert Coverage.objects.on(days(-1)).get() == first


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"member_number": ""}, "member_number"),
        ({"share": "0"}, "share"),
        ({"share": "100.01"}, "share"),
        ({"share": 50.5}, "share"),
        ({"valid_from": days(1), "valid_to": days(0)}, "valid_to"),
    ],
)
def test_an_impossible_coverage_is_refused(fields, wrong):
    with pytest.raises(InvalidData) as refusal:
        services.add_coverage(make_patient(), scheme=make_scheme(), **{"member_number": "1", **fields}, actor=SYSTEM)
    assert list(refusal.value.errors) == [wrong]
    assert not Coverage.objects.exists()


def test_nobody_is_covered_by_cash():
    with pytest.raises(InvalidData):
        services.add_coverage(make_patient(), scheme=make_scheme(kind="cash"), actor=SYSTEM)


def test_ended_and_withdrawn_coverage_stays_with_its_reason():
    patient = make_patient()
    ended = services.add_coverage(patient, scheme=make_scheme(), member_number="1", actor=SYSTEM)
    wrong = services.add_coverage(patient, scheme=make_scheme(), member_number="2", actor=SYSTEM)
    services.end_coverage(ended, reason="Left the employer", actor=SYSTEM)
    services.withdraw_coverage(wrong, reason="Card of the sister", actor=SYSTEM)
    with pytest.raises(InvalidData):
        services.withdraw_coverage(wrong, reason=" ", actor=SYSTEM)
    assert selectors.coverages_of(patient) == [ended]
    assert not Coverage.objects.on(days(1)).exists()
    assert "Card of the sister" in Coverage.objects.get(pk=wrong.pk).history.first().history_change_reason


def test_coverage_moves_with_a_merge_and_back():
    survivor, loser = make_patient(), make_patient()
    row = services.add_coverage(loser, scheme=make_scheme(), member_number="1", actor=SYSTEM)
    merge = services.merge_patients(survivor=survivor, loser=loser, reason="Same person", actor=SYSTEM)
    row.refresh_from_db()
    assert row.patient == survivor
    services.unmerge_patients(merge, actor=SYSTEM)
    row.refresh_from_db()
    assert row.patient == loser


# --- authorisations


def covered_exam(**order):
    patient, scheme = make_patient(), make_scheme(needs_preauthorisation=True)
    coverage = services.add_coverage(patient, scheme=scheme, member_number="1", actor=SYSTEM)
    return make_procedure(patient=patient, **order), coverage


def problems(procedure, on=None):
    return [row.problem for row in selectors.authorisation_warnings([procedure], on=on)]


def test_what_the_payer_should_have_said_is_warned_of():
    procedure, coverage = covered_exam()
    assert problems(procedure) == ["missing"]
    row = services.record_authorisation(procedure, coverage=coverage, actor=SYSTEM)
    assert (row.status, problems(procedure)) == ("requested", ["requested"])
    services.refuse_authorisation(row, reason="Not covered", actor=SYSTEM)
    assert problems(procedure) == ["refused"]
    row = services.record_authorisation(
        procedure, coverage=coverage, number="PA-1", amount="8000", expires_on=days(3), actor=make_actor("clerk")
    )
    assert (row.status, row.amount, problems(procedure)) == ("approved", 8000, [])
    assert problems(procedure, on=days(4)) == ["expired"]
    services.withdraw_authorisation(row, reason="Another exam", actor=SYSTEM)
    assert problems(procedure) == ["missing"]


def test_an_emergency_is_marked_as_one_and_nothing_hinders_it():
    procedure, _coverage = covered_exam(priority="stat")
    assert [row.is_emergency for row in selectors.authorisation_warnings([procedure])] == [True]
    services.mark_arrived(procedure, actor=SYSTEM)
    services.mark_started(procedure, actor=SYSTEM)
    procedure.refresh_from_db()
    assert procedure.status == "in_progress"


def test_nobody_warns_where_no_payer_asks(django_assert_num_queries):
    procedure = make_procedure()
    services.add_coverage(procedure.order.patient, scheme=make_scheme(), member_number="1", actor=SYSTEM)
    with django_assert_num_queries(1):
        assert selectors.authorisation_warnings([procedure, procedure]) == []


def test_an_authorisation_is_for_a_coverage_of_the_patient():
    procedure, _coverage = covered_exam()
    other = services.add_coverage(make_patient(), scheme=make_scheme(), member_number="9", actor=SYSTEM)
    with pytest.raises(InvalidData):
        services.record_authorisation(procedure, coverage=other, number="1", actor=SYSTEM)


# --- codes


def codes_of(procedure, system):
    return [(c.code, c.text) for c in BillingCode.objects.live().filter(procedure=procedure, system=system)]


def test_codes_are_set_as_a_list_and_what_is_left_out_is_withdrawn():
    procedure, clerk = make_procedure(), make_actor("clerk")

    def set_codes(*codes, system="ICD-10"):
        entries = [{"code": code, "text": text} for code, text in codes]
        return services.set_codes(procedure, system=system, codes=entries, actor=clerk)

    set_codes(("i269", "Pulmonary embolism"), ("R06.0", "Dyspnoea"))
    set_codes(("71260", "CT thorax"), system="CPT")
    assert codes_of(procedure, "ICD-10") == [("I26.9", "Pulmonary embolism"), ("R06.0", "Dyspnoea")]
    set_codes(("R06.0", "Dyspnoea"))
    assert codes_of(procedure, "ICD-10") == [("R06.0", "Dyspnoea")]
    assert codes_of(procedure, "CPT") == [("71260", "CT thorax")]
    assert BillingCode.objects.filter(code="I26.9", withdrawn_at__isnull=False).count() == 1


def test_what_is_no_code_is_refused_with_its_line():
    procedure = make_procedure()
    with pytest.raises(InvalidData) as refusal:
        services.set_codes(
            procedure,
            system="ICD-10",
            codes=[{"code": "I26.9"}, {"code": "lungs"}, {"code": "I26.9"}],
            actor=SYSTEM,
        )
    assert len(refusal.value.errors["codes"]) == 2 and not BillingCode.objects.exists()
    with pytest.raises(NotPermitted):
        services.set_codes(procedure, system="ICD-10", codes=[], actor=make_actor("medical_physicist"))


def test_nothing_of_money_is_deleted():
    charged_exam()
    for model in (Charge, PriceItem, PayerScheme):
        with pytest.raises(Exception, match="permission denied"), transaction.atomic():
            model.objects.all()._raw_delete(using="default")
