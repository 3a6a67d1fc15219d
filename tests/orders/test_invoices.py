"""Invoices by payer, numbers without gaps, payments, credit notes, papers."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from orders import services
from orders.invoice_pdf import render_invoice_pdf, render_receipt_pdf
from orders.models import Charge, Invoice, InvoiceLine, Payment, PaymentAllocation
from ris.audit.models import AuditEvent, Outcome
from ris.core.errors import AlreadyExists, Conflict, InvalidData, NotPermitted
from ris.events.models import OutboxEvent
from ris.tenants.context import use_facility
from tests.factories.billing import charged_exam, invoiced_exam, make_scheme
from tests.factories.orders import SYSTEM, make_actor, make_patient

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture(autouse=True)
def house(alpha):
    return alpha


def covered(*schemes, amounts=(1000,)):
    """An exam of a patient whom these schemes cover, ``(scheme, share)``, in this order."""
    patient = make_patient(language="sw")
    rows = [
        services.add_coverage(patient, scheme=scheme, member_number="M-1", share=share, actor=SYSTEM)
        for scheme, share in schemes
    ]
    return charged_exam(*amounts, patient=patient), rows


def issue(procedure, **fields):
    return services.issue_invoices(procedure.order, actor=fields.pop("actor", SYSTEM), **fields)


def pay(invoice, amount, method="cash", **fields):
    return services.record_payment(
        allocations=[(invoice, amount)], method=method, actor=fields.pop("actor", SYSTEM), **fields
    )


def fresh(row):
    return type(row).objects.get(pk=row.pk)


# --- issuing


def test_an_uninsured_patient_gets_one_invoice_due_at_once():
    procedure = charged_exam(1000, "250.50")
    clerk = make_actor("clerk")
    invoice = issue(procedure, actor=clerk)[0]
    assert (invoice.total, invoice.due, invoice.status, invoice.scheme) == (D("1250.50"), D("1250.50"), "issued", None)
    assert invoice.due_on == timezone.localdate()
    assert [line.amount for line in invoice.lines.all()] == [1000, D("250.50")]
    assert {charge.status for charge in procedure.charges.all()} == {"billed"}
    assert AuditEvent.objects.filter(event_type="orders.issue_invoice", user=clerk.user.uuid).count() == 1
    assert OutboxEvent.objects.get(name="orders.invoice_issued").payload["number"] == invoice.number
    assert invoice.content["patient"]["name"] == procedure.order.patient.display_name
    assert procedure.order.patient.family_name not in str(OutboxEvent.objects.get(name="orders.invoice_issued").payload)


def test_a_bill_is_split_by_coverage_to_the_cent():
    procedure, _rows = covered((make_scheme(), "33.33"), (make_scheme(kind="employer"), "33.33"), amounts=("100.00",))
    invoices = issue(procedure)
    assert [row.total for row in invoices] == [D("33.33"), D("33.33"), D("33.34")]
    assert [row.scheme is None for row in invoices] == [False, False, True]
    assert sum(line.amount for line in InvoiceLine.objects.all()) == 100


def test_the_authorised_amount_is_the_most_a_payer_is_asked_for():
    procedure, rows = covered((make_scheme(), "100"), amounts=(6000, 3500))
    services.record_authorisation(procedure, coverage=rows[0], number="PA-7", amount=8000, actor=SYSTEM)
    insurer, patient = issue(procedure)
    assert (insurer.total, patient.total) == (8000, 1500)
    assert insurer.content["payer"]["authorisations"] == "PA-7"


def test_without_a_chosen_payer_the_patient_pays_all():
    procedure, _rows = covered((make_scheme(), "100"))
    assert [(row.scheme, row.total) for row in issue(procedure, coverages=[])] == [(None, 1000)]


def test_a_coverage_that_had_ended_by_then_pays_nothing():
    patient = make_patient()
    services.add_coverage(
        patient,
        scheme=make_scheme(),
        member_number="1",
        valid_to=timezone.localdate() - timedelta(days=1),
        actor=SYSTEM,
    )
    assert [row.scheme for row in issue(charged_exam(patient=patient))] == [None]


def test_a_waiver_is_written_off_at_once_and_says_so():
    procedure, _rows = covered((make_scheme(kind="waiver", name="Hospital fund"), "60"))
    waiver, patient = (fresh(row) for row in issue(procedure))
    assert (waiver.total, waiver.status, patient.total, patient.status) == (600, "balanced", 400, "issued")
    payment = Payment.objects.get()
    assert (payment.method, payment.amount, payment.reason) == ("waiver", 600, "Hospital fund")


def test_what_is_free_is_invoiced_with_nothing_to_pay():
    invoice = issue(charged_exam(0))[0]
    assert (invoice.total, invoice.status) == (0, "balanced")


def test_drafts_are_not_invoiced_and_nothing_twice():
    procedure = charged_exam(confirmed=False)
    with pytest.raises(Conflict) as refusal:
        issue(procedure)
    assert refusal.value.todo and not Invoice.objects.exists()
    services.confirm_charge(procedure.charges.get(), actor=SYSTEM)
    issue(procedure)
    with pytest.raises(Conflict):
        issue(procedure)
    assert Invoice.objects.count() == 1


def test_an_invoiced_charge_is_not_void_before_it_is_credited():
    charge = invoiced_exam().lines.get().charge
    with pytest.raises(Conflict):
        services.void_charge(charge, reason="Free", actor=SYSTEM)
    with pytest.raises(Conflict):
        services.confirm_charge(charge, actor=SYSTEM)


def test_who_may_not_issue_is_refused_and_recorded():
    procedure = charged_exam()
    technologist = make_actor("technologist")
    with pytest.raises(NotPermitted):
        issue(procedure, actor=technologist)
    assert AuditEvent.objects.filter(event_type="orders.issue_invoice", outcome=Outcome.REFUSED).count() == 1


# --- numbers


def test_numbers_have_no_gap_though_transactions_fail():
    year = timezone.localdate().year
    first = invoiced_exam()
    with pytest.raises(RuntimeError), transaction.atomic():
        invoiced_exam()
        raise RuntimeError("the printer is on fire")
    second = invoiced_exam()
    assert [first.number, second.number] == [f"INV-{year}-000001", f"INV-{year}-000002"]
    assert pay(first, 10).number == f"RCT-{year}-000001"
    assert services.credit_invoice(second, reason="Twice", actor=SYSTEM).number == f"CN-{year}-000001"


def test_every_facility_counts_for_itself(beta):
    invoiced_exam()
    with use_facility(beta):
        assert invoiced_exam().number.endswith("-000001")


def test_every_year_begins_anew(monkeypatch):
    invoiced_exam()
    later = timezone.now() + timedelta(days=366)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert invoiced_exam().number == f"INV-{timezone.localtime(later).year}-000001"


# --- what was issued


@pytest.mark.parametrize("change", [{"total": 1}, {"content": {}}, {"number": "INV-1"}, {"language": "xx"}])
def test_an_issued_invoice_never_changes(change):
    invoice = invoiced_exam()
    with pytest.raises(DatabaseError, match="what was issued never changes"), transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk).update(**change)


@pytest.mark.parametrize("model", [InvoiceLine, Payment, PaymentAllocation])
def test_lines_and_payments_never_change(model):
    pay(invoiced_exam(), 10)
    with pytest.raises(DatabaseError, match=r"permission denied|never changes"), transaction.atomic():
        model.objects.update(amount=1)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        model.objects.all()._raw_delete(using="default")


def test_an_invoice_stays_what_it_said_when_the_patient_changes():
    invoice = invoiced_exam()
    before = render_invoice_pdf(invoice)
    services.update_patient(invoice.order.patient, family_name="Changed", actor=SYSTEM)
    assert render_invoice_pdf(fresh(invoice)) == before


# --- payments


def test_a_payment_in_parts_balances_the_invoice():
    invoice, clerk = invoiced_exam(1000), make_actor("clerk")
    first = pay(invoice, 400, actor=clerk)
    assert (fresh(invoice).due, fresh(invoice).status, first.content["invoices"][0]["due"]) == (600, "issued", "600.00")
    second = pay(invoice, "600.00", "mobile", reference="qk71xy", actor=clerk)
    assert (fresh(invoice).due, fresh(invoice).status, second.reference) == (0, "balanced", "QK71XY")
    assert Payment.objects.get(pk=first.pk).received_by == clerk.user
    assert OutboxEvent.objects.filter(name="orders.payment_recorded").count() == 2


def test_cash_says_what_was_given_and_the_change():
    payment = pay(invoiced_exam(1000), 1000, tendered="2000")
    assert (payment.tendered, payment.change) == (2000, 1000)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"amount": "1000.01"}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"amount": "0.001"}, "amount"),
        ({"amount": 10.5}, "amount"),
        ({"amount": 10, "method": "shells"}, "method"),
        ({"amount": 10, "method": "mobile"}, "reference"),
        ({"amount": 10, "method": "waiver"}, "reason"),
        ({"amount": 10, "tendered": 9}, "tendered"),
    ],
)
def test_an_impossible_payment_is_refused_and_changes_nothing(fields, wrong):
    invoice = invoiced_exam(1000)
    with pytest.raises(InvalidData) as refusal:
        pay(invoice, fields.pop("amount"), **fields)
    assert wrong in refusal.value.errors
    assert not Payment.objects.exists() and fresh(invoice).paid == 0


def test_the_same_mobile_money_is_not_taken_twice():
    first, second = invoiced_exam(), invoiced_exam()
    pay(first, 50, "mobile", reference="QK71")
    with pytest.raises(AlreadyExists):
        pay(second, 50, "mobile", reference="qk71")


def test_one_remittance_pays_many_invoices():
    scheme = make_scheme()
    invoices = [issue(covered((scheme, "100"))[0])[0] for _exam in range(3)]
    payment = services.record_payment(
        allocations=[(invoices[0], 1000), (invoices[1], 1000), (invoices[2], "250")],
        method="remittance",
        reference="EFT 77",
        actor=SYSTEM,
    )
    assert (payment.amount, payment.allocations.count()) == (2250, 3)
    assert [fresh(row).due for row in invoices] == [0, 0, 750]
    with pytest.raises(InvalidData):
        services.record_payment(allocations=[], method="cash", actor=SYSTEM)


def test_money_back_is_at_most_what_was_paid():
    invoice = invoiced_exam(1000)
    pay(invoice, 1000)
    with pytest.raises(InvalidData):
        services.refund_payment(invoice, amount=1001, method="cash", reason="Twice", actor=SYSTEM)
    with pytest.raises(NotPermitted):
        services.refund_payment(invoice, amount=1, method="cash", reason="Twice", actor=make_actor("technologist"))
    back = services.refund_payment(invoice, amount="300", method="cash", reason="Film was spoilt", actor=SYSTEM)
    assert (back.kind, fresh(invoice).due, fresh(invoice).status) == ("refund", 300, "issued")


# --- credit notes


def test_a_credit_note_takes_all_back_and_opens_the_charge_again():
    procedure, _rows = covered((make_scheme(), "80"))
    insurer, own = issue(procedure)
    note = services.credit_invoice(insurer, reason="Card had ended", is_rebilled=True, actor=make_actor("clerk"))
    assert (note.kind, note.corrects, note.total, fresh(insurer).status) == ("credit_note", insurer, 800, "cancelled")
    again = issue(procedure, coverages=[])
    assert [(row.scheme, row.total) for row in again] == [(None, 800)]
    assert fresh(own).status == "issued"


def test_without_a_new_bill_the_charge_is_void_once_nobody_is_asked_any_more():
    procedure, _rows = covered((make_scheme(), "80"))
    insurer, own = issue(procedure)
    services.credit_invoice(insurer, reason="Not done", actor=SYSTEM)
    assert procedure.charges.get().status == "billed"
    services.credit_invoice(own, reason="Not done", actor=SYSTEM)
    assert (procedure.charges.get().status, procedure.charges.get().reason) == ("aborted", "Not done")


def test_a_credit_needs_a_reason_and_happens_once():
    invoice = invoiced_exam()
    with pytest.raises(InvalidData):
        services.credit_invoice(invoice, reason=" ", actor=SYSTEM)
    note = services.credit_invoice(invoice, reason="Wrong patient", actor=SYSTEM)
    for row in (invoice, note):
        with pytest.raises(Conflict):
            services.credit_invoice(row, reason="Again", actor=SYSTEM)
    with pytest.raises(InvalidData):
        pay(invoice, 1)


def test_what_was_paid_before_the_credit_is_to_be_given_back():
    invoice = invoiced_exam(1000)
    pay(invoice, 700)
    services.credit_invoice(invoice, reason="Not done", actor=SYSTEM)
    assert fresh(invoice).due == -700
    services.refund_payment(invoice, amount=700, method="cash", reason="Not done", actor=SYSTEM)
    assert (fresh(invoice).due, fresh(invoice).status) == (0, "cancelled")


# --- papers


@pytest.mark.parametrize("language", ["en", "sw", ""])
def test_papers_are_made_in_both_languages(language):
    procedure, _rows = covered((make_scheme(name="Ünïted Insurance"), "80"))
    insurer, own = issue(procedure, language="en")
    payment = pay(own, 200, tendered=500)
    note = services.credit_invoice(insurer, reason="Wrong", actor=SYSTEM)
    for row in (fresh(insurer), own, note):
        assert render_invoice_pdf(row, language=language).startswith(b"%PDF-")
    assert render_receipt_pdf(payment, language=language).startswith(b"%PDF-")
    assert render_invoice_pdf(own, language=language) == render_invoice_pdf(own, language=language)


def test_the_language_is_the_patients_unless_another_is_asked_for():
    assert issue(covered()[0])[0].language == "sw"
    assert issue(covered()[0], language="en")[0].language == "en"


# --- races


def _at_once(number, work):
    """Run ``work(place)`` in threads that begin together; answers what each gave or was refused with."""
    gate, results = threading.Barrier(number), [None] * number

    def run(place):
        try:
            with use_facility("alpha"):
                gate.wait(20)
                results[place] = work(place)
        except Exception as error:
            results[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.mark.django_db(transaction=True)
def test_numbers_taken_at_once_are_each_given_once_and_without_a_gap(house):
    exams = [charged_exam() for _exam in range(8)]
    numbers = sorted(row.number for found in _at_once(8, lambda place: issue(exams[place])) for row in found)
    assert [int(number[-6:]) for number in numbers] == list(range(1, 9))


@pytest.mark.django_db(transaction=True)
def test_one_order_is_invoiced_once_however_many_click(house):
    procedure = charged_exam()
    results = _at_once(6, lambda place: issue(procedure))
    assert sum(isinstance(row, list) for row in results) == 1
    assert sum(isinstance(row, Conflict) for row in results) == 5
    assert Invoice.objects.count() == 1 and Charge.objects.get().status == "billed"


@pytest.mark.django_db(transaction=True)
def test_an_invoice_is_never_overpaid_however_many_pay(house):
    invoice = invoiced_exam(1000)
    results = _at_once(5, lambda place: pay(invoice, 400))
    assert sum(isinstance(row, Payment) for row in results) == 2
    assert fresh(invoice).due == 200
    assert sorted(row.sequence for row in Payment.objects.all()) == [1, 2]
