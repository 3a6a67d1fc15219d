"""The pages of billing: who sees them, what they do, what they refuse; fixed queries; exports."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from orders import revenue, services
from orders.models import BillingCode, Coverage, Invoice, Payment, PreAuthorisation
from ris.audit.models import AuditEvent
from ris.tenants.context import use_facility
from tests.factories.billing import charged_exam, invoiced_exam, make_price, make_scheme
from tests.factories.exam import ct1, ct_chest
from tests.factories.orders import SYSTEM, make_actor, make_catalogue, make_patient, make_procedure, make_user
from worklist.services import arrive_patient, book_appointment, record_consumable, withdraw_consumable

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alpha")]
D = Decimal


@pytest.fixture
def browser(tclient):
    def sign_in(*roles: str):
        user = make_user(*roles)
        tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
        tclient.user = user
        return tclient

    return sign_in


def at(name, *args):
    return reverse(name, args=args)


def said(answer):
    return re.sub(r"\s+", " ", answer.content.decode()).replace("\u2009", " ").replace("\xa0", " ")


VIEWS = ("invoice", "confirm", "unpriced", "due", "back", "invoices", "payments")


ROLES = [
    ("clerk", True, True, False),
    ("technologist", True, False, False),
    ("qa_lead", True, True, True),
    ("radiologist", False, False, False),
    ("referring_physician", False, False, False),
    ("it_admin", False, False, True),
]


def test_each_role_sees_what_it_may(browser):
    invoice = invoiced_exam()
    services.record_payment(allocations=[(invoice, 10)], method="cash", actor=SYSTEM)
    lists = [at("billing") + f"?view={view}" for view in VIEWS]
    papers = [
        at("invoice_detail", invoice.uuid),
        at("invoice_paper", invoice.uuid),
        at("receipt_paper", Payment.objects.get().uuid),
    ]
    for role, sees_bills, sees_invoices, sees_revenue in ROLES:
        client = browser(role)
        for address, sees in [
            *((address, sees_invoices) for address in (*lists, *papers)),
            (at("bill", invoice.order.uuid), sees_bills),
            (at("revenue"), sees_revenue),
            (at("revenue_export", "csv"), sees_revenue),
        ]:
            answer = client.get(address)
            assert answer.status_code == (200 if sees else 403), (role, address)
            assert invoice.order.patient.family_name not in address
        assert client.get("/").status_code == 200


def test_the_lists_show_what_waits(browser):
    client = browser("clerk")
    draft, open_, unpriced = charged_exam(confirmed=False), charged_exam(), make_procedure(status="performed")
    owed, paid, back = invoiced_exam(), invoiced_exam(), invoiced_exam()
    services.record_payment(allocations=[(paid, 100)], method="card", reference="A1", actor=SYSTEM)
    services.record_payment(allocations=[(back, 100)], method="cash", actor=SYSTEM)
    services.credit_invoice(back, reason="Not done", actor=SYSTEM)
    shown = {view: said(client.get(f"{at('billing')}?view={view}")) for view in VIEWS}
    rows = {
        "confirm": draft.accession_number,
        "invoice": open_.accession_number,
        "unpriced": unpriced.accession_number,
        "due": owed.number,
        "back": back.number,
    }
    for view, text in rows.items():
        assert text in shown[view], view
        others = [other for name, other in rows.items() if name != view]
        assert not any(other in shown[view] for other in others), view
    assert paid.number in shown["invoices"] and paid.number in shown["payments"]
    assert "RCT-" in shown["payments"]


def test_filters_stand_in_the_address(browser):
    client = browser("clerk")
    scheme, patient = make_scheme(code="SHA"), make_patient()
    services.add_coverage(patient, scheme=scheme, member_number="1", actor=SYSTEM)
    covered, other = charged_exam(patient=patient), charged_exam()
    for query, seen, unseen in [
        ("payer=SHA", covered, other),
        ("payer=self", other, covered),
        ("payer=SHA&modality=CT&days=", covered, other),
    ]:
        page = said(client.get(f"{at('billing')}?view=invoice&{query}"))
        assert seen.accession_number in page and unseen.accession_number not in page, query
    assert "Nothing waits here" in said(client.get(f"{at('billing')}?view=invoice&modality=MR"))
    services.issue_invoices(covered.order, actor=SYSTEM)
    own = invoiced_exam()
    page = said(client.get(f"{at('billing')}?view=due&payer=self&days=1"))
    assert own.number in page and Invoice.objects.get(scheme=scheme).number not in page
    assert "No invoice fits" in said(client.get(f"{at('billing')}?view=due&late=1"))


def test_a_list_costs_a_fixed_number_of_queries(browser):
    client = browser("clerk")

    def work():
        patient = make_patient()
        services.add_coverage(patient, scheme=make_scheme(), member_number="1", share=50, actor=SYSTEM)
        charged_exam(patient=patient), charged_exam(10, 20, confirmed=False), make_procedure(status="performed")
        first, second = services.issue_invoices(charged_exam(patient=patient).order, actor=SYSTEM)
        services.record_payment(
            allocations=[(first, 10), (second, 10)], method="remittance", reference="x", actor=SYSTEM
        )
        services.credit_invoice(second, reason="x", actor=SYSTEM)

    def queries(view):
        with CaptureQueriesContext(connection) as found:
            assert client.get(f"{at('billing')}?view={view}").status_code == 200
        return len(found)

    work()
    queries(VIEWS[0])
    few = {view: queries(view) for view in VIEWS}
    for _more in range(2):
        work()
    assert {view: queries(view) for view in VIEWS} == few


def test_a_clerk_confirms_issues_and_takes_the_money(browser):
    client = browser("clerk")
    procedure = charged_exam(9500, confirmed=False)
    order = procedure.order
    page = said(client.get(at("bill", order.uuid)))
    assert "Confirm 1 charge" in page and "Issue" not in page
    client.post(at("charges_confirm", order.uuid))
    page = said(client.get(at("bill", order.uuid)))
    assert "KES 9 500.00" in page and "Issue the invoice" in page
    once = re.search(r'name="once" value="([^"]+)"', page).group(1)
    for _click in range(2):
        answer = client.post(at("bill_issue", order.uuid), {"language": "sw", "once": once})
    invoice = Invoice.objects.get()
    assert answer["Location"] == at("invoice_detail", invoice.uuid) and invoice.language == "sw"
    page = said(client.get(answer["Location"]))
    once = re.search(r'name="once" value="([^"]+)"', page).group(1)
    data = {"method": "cash", "amount": "9500.00", "tendered": "10 000", "once": once}
    for _click in range(2):
        client.post(at("invoice_pay", invoice.uuid), data)
    page = said(client.get(at("invoice_detail", invoice.uuid)))
    assert Payment.objects.count() == 1 and "Change: KES 500.00." in page
    assert "Take a payment" not in page and "Paid" in page
    paper = client.get(at("receipt_paper", Payment.objects.get().uuid))
    assert paper["Content-Type"] == "application/pdf" and paper.content.startswith(b"%PDF-")
    assert "no-store" in paper["Cache-Control"]
    assert client.get(at("invoice_paper", invoice.uuid) + "?language=en").content.startswith(b"%PDF-")
    assert AuditEvent.objects.filter(event_type="orders.take_payment", user=client.user.uuid).count() == 1


def test_a_refused_payment_comes_back_with_what_was_typed(browser):
    client, invoice = browser("clerk"), invoiced_exam(100)
    answer = client.post(
        at("invoice_pay", invoice.uuid), {"method": "mobile", "amount": "150", "reference": "QK99", "once": "a"}
    )
    page = said(answer)
    assert answer.status_code == 400 and "only KES 100.00 is due" in page
    assert 'value="150"' in page and 'value="QK99"' in page
    assert client.post(at("invoice_pay", invoice.uuid), {"method": "cash"}).status_code == 422
    assert not Payment.objects.exists()


def test_credit_and_refund_from_the_page(browser):
    client, invoice = browser("qa_lead"), invoiced_exam(100)
    services.record_payment(allocations=[(invoice, 100)], method="cash", actor=SYSTEM)
    assert client.post(at("invoice_credit", invoice.uuid), {"credit-reason": ""}).status_code == 422
    answer = client.post(at("invoice_credit", invoice.uuid), {"credit-reason": "Wrong exam"})
    note = Invoice.objects.get(kind="credit_note")
    assert answer["Location"] == at("invoice_detail", note.uuid)
    assert "Wrong exam" in said(client.get(answer["Location"]))
    page = said(client.get(at("invoice_detail", invoice.uuid)))
    assert "Money is to be given back" in page
    data = {"refund-amount": "500", "refund-method": "cash", "refund-reason": "Wrong exam"}
    assert client.post(at("invoice_refund", invoice.uuid), data).status_code == 400
    assert client.post(at("invoice_refund", invoice.uuid), {**data, "refund-amount": "100"}).status_code == 302
    invoice.refresh_from_db()
    assert invoice.due == 0


def test_codes_charges_and_authorisations_are_written_on_the_bill(browser):
    client = browser("clerk")
    scheme, patient = make_scheme(needs_preauthorisation=True, name="Careful Insurance"), make_patient()
    coverage = services.add_coverage(patient, scheme=scheme, member_number="1", actor=SYSTEM)
    make_price("CD", 300, kind="other", label="Copy on CD")
    procedure = charged_exam(patient=patient)
    order = procedure.order
    assert "Careful Insurance asks for an authorisation" in said(client.get(at("bill", order.uuid)))
    client.post(at("codes_set", procedure.uuid), {"icd10": "i269 Embolism\nR06.0", "cpt": "71260"})
    assert [row.code for row in BillingCode.objects.order_by("pk")] == ["I26.9", "R06.0", "71260"]
    answer = client.post(at("codes_set", procedure.uuid), {"icd10": "lungs", "cpt": ""})
    assert answer.status_code == 400 and "LUNGS is not a code of ICD-10" in said(answer)
    client.post(at("charge_add", procedure.uuid), {"code": "CD", "quantity": "2"})
    assert procedure.charges.get(code="CD").amount == 600
    answer = client.post(at("charge_add", procedure.uuid), {"code": "CD", "quantity": "1"})
    assert answer.status_code == 409 and "charged already" in said(answer)
    data = {"coverage": coverage.uuid, "number": "PA-1", "amount": "", "expires_on": ""}
    assert client.post(at("authorise", procedure.uuid), data).status_code == 302
    row = PreAuthorisation.objects.get()
    assert "asks for an authorisation, and there is none" not in said(client.get(at("bill", order.uuid)))
    client.post(at("authorisation_close", row.uuid, "refuse"), {"reason": "Not covered"})
    assert "Careful Insurance has refused" in said(client.get(at("order_detail", order.uuid)))
    charge = procedure.charges.get(code="CD")
    assert client.post(at("charge_void", charge.uuid), {"reason": ""}).status_code == 400
    assert client.post(at("charge_void", charge.uuid), {"reason": "No disc"}).status_code == 302
    assert procedure.charges.get(code="CD").reason == "No disc"
    assert client.post(at("charges_reprice", order.uuid)).status_code == 302


def test_the_split_is_looked_at_before_anything_is_issued(browser):
    client, patient = browser("clerk"), make_patient()
    services.add_coverage(patient, scheme=make_scheme(name="Careful"), member_number="1", share=80, actor=SYSTEM)
    procedure = charged_exam(1000, patient=patient)
    assert "Issue 2 invoices" in said(client.get(at("bill", procedure.order.uuid)))
    page = said(client.post(at("bill_issue", procedure.order.uuid), {"language": "en", "preview": "1"}))
    assert "Issue the invoice" in page and "KES 1 000.00" in page and not Invoice.objects.exists()


def test_the_payer_is_warned_of_at_booking_and_at_arrival(browser):
    client, patient = browser("clerk"), make_patient()
    scheme = make_scheme(name="Careful Insurance", needs_preauthorisation=True)
    coverage = services.add_coverage(patient, scheme=scheme, member_number="1", actor=SYSTEM)
    procedure = make_procedure(patient=patient, codes=[ct_chest().code])
    missing, ends = "Careful Insurance asks for an authorisation", "ends before the exam"
    assert missing in said(client.get(f"{at('schedule_day')}?book={procedure.uuid}"))
    starts_at = timezone.now().replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=2)
    booked = book_appointment(procedure, station=ct1(), starts_at=starts_at, actor=SYSTEM)
    assert missing in said(client.get(at("appointment_detail", booked.uuid)))
    today = timezone.localdate()
    services.record_authorisation(procedure, coverage=coverage, number="PA-1", expires_on=today, actor=SYSTEM)
    assert ends in said(client.get(at("appointment_detail", booked.uuid)))
    arrive_patient(procedure, actor=SYSTEM)
    procedure.refresh_from_db()
    assert procedure.status == "arrived"


def test_coverage_is_recorded_on_the_patients_page(browser):
    client, patient, scheme = browser("clerk"), make_patient(), make_scheme(name="Careful Insurance", default_share=80)
    assert "Nobody: the patient pays." in said(client.get(at("patient_detail", patient.uuid)))
    address = at("coverage", patient.uuid)
    answer = client.post(address, {"scheme": scheme.uuid, "member_number": ""})
    assert answer.status_code == 400 and not Coverage.objects.exists()
    assert client.post(address, {"scheme": scheme.uuid, "member_number": "M-77"}).status_code == 302
    page = said(client.get(at("patient_detail", patient.uuid)))
    assert "Careful Insurance" in page and "M-77" in page
    row = Coverage.objects.get()
    assert client.post(at("coverage_close", row.uuid, "end"), {"reason": "Left"}).status_code == 302
    row.refresh_from_db()
    assert row.valid_to == timezone.localdate()
    assert client.post(at("coverage_close", row.uuid, "eat"), {"reason": "x"}).status_code == 404


def test_a_remittance_pays_what_is_typed(browser):
    client, scheme = browser("clerk"), make_scheme(code="SHA")
    invoices = []
    for _exam in range(3):
        patient = make_patient()
        services.add_coverage(patient, scheme=scheme, member_number="1", actor=SYSTEM)
        invoices += services.issue_invoices(charged_exam(100, patient=patient).order, actor=SYSTEM)
    address = at("remittance") + "?payer=SHA"
    assert all(row.number in said(client.get(address)) for row in invoices)
    data = {"reference": "EFT 1", f"amount-{invoices[0].uuid}": "100", f"amount-{invoices[1].uuid}": "40"}
    wrong = client.post(address, {**data, f"amount-{invoices[2].uuid}": "101"})
    assert wrong.status_code == 400 and 'value="101"' in said(wrong) and not Payment.objects.exists()
    assert client.post(address, data).status_code == 302
    payment = Payment.objects.get()
    assert (payment.amount, payment.method, payment.allocations.count()) == (140, "remittance", 2)


def test_restricted_and_foreign_money_is_not_shown(browser, beta):
    client = browser("clerk")
    invoice = invoiced_exam()
    services.set_restricted(invoice.order.patient, is_restricted=True, reason="Staff", actor=SYSTEM)
    with use_facility(beta):
        foreign = invoiced_exam()
    for row in (invoice, foreign):
        assert client.get(at("invoice_detail", row.uuid)).status_code == 404
        assert client.get(at("invoice_paper", row.uuid)).status_code == 404
        assert client.get(at("bill", row.order.uuid)).status_code == 404
        assert client.post(at("invoice_pay", row.uuid), {"method": "cash", "amount": "1"}).status_code == 404
    assert invoice.number not in said(client.get(at("billing") + "?view=invoices"))


# --- what the exam does to its charges


def test_what_the_technologist_uses_is_charged_and_crossed_out_again():
    make_price("CM", "10.00", kind="consumable", label="Iohexol 350", unit="mL")
    procedure = make_procedure(status="in_progress")
    use = record_consumable(procedure, label="Iohexol 350", quantity="80", actor=make_actor("technologist"))
    charge = procedure.charges.get()
    assert (charge.amount, charge.status, charge.source) == (800, "planned", str(use.uuid))
    withdraw_consumable(use, actor=make_actor("technologist"))
    charge.refresh_from_db()
    assert charge.status == "aborted"


# --- revenue


def months_of(found):
    return dict(zip(found.months, found.totals, strict=True))


def test_revenue_is_net_by_month_modality_and_payer():
    scheme, patient = make_scheme(name="=Insurer"), make_patient()
    services.add_coverage(patient, scheme=scheme, member_number="1", share=80, actor=SYSTEM)
    services.issue_invoices(charged_exam(1000, patient=patient).order, actor=SYSTEM)
    make_catalogue("MRX", modality="MR")
    other = invoiced_exam(500)
    services.record_payment(allocations=[(other, 300)], method="cash", actor=SYSTEM)
    services.refund_payment(other, amount=50, method="cash", reason="x", actor=SYSTEM)
    services.credit_invoice(other, reason="x", actor=SYSTEM)
    by_modality = revenue.revenue(actor=SYSTEM)
    this = timezone.localdate().replace(day=1)
    assert months_of(by_modality)[this] == 1000 and by_modality.total == 1000
    assert [(row.name, row.total) for row in by_modality.series] == [("CT", 1000)]
    assert (sum(by_modality.credited), sum(by_modality.received)) == (500, 250)
    by_payer = revenue.revenue(actor=SYSTEM, group="payer")
    assert {row.name: row.total for row in by_payer.series} == {"=Insurer": 800, "Patients themselves": 200}
    assert revenue.revenue(actor=SYSTEM, payer=scheme.code).total == 800
    assert revenue.revenue(actor=SYSTEM, payer="self").total == 200
    assert revenue.revenue(actor=SYSTEM, modality="MR").total == 0
    assert sum(revenue.revenue(actor=SYSTEM, modality="CT").received) == 250


def test_revenue_knows_its_months():
    today = timezone.localdate()
    shown = revenue.months_back(24, today)
    assert len(shown) == 24 and shown[-1] == today.replace(day=1)
    assert all((late - early).days in range(28, 32) for early, late in pairwise(shown))
    assert [str(day) for day in revenue.months_back(3, today.replace(year=2026, month=1, day=31))] == [
        "2025-11-01",
        "2025-12-01",
        "2026-01-01",
    ]


def test_the_exports_hold_the_numbers_and_no_formula_and_are_recorded(browser):
    scheme, patient = make_scheme(name="=cmd|calc"), make_patient()
    services.add_coverage(patient, scheme=scheme, member_number="1", actor=SYSTEM)
    services.issue_invoices(charged_exam(1000, patient=patient).order, actor=SYSTEM)
    client = browser("it_admin")
    page = said(client.get(at("revenue") + "?group=payer"))
    assert "=cmd|calc" in page and 'data-table="revenue-table"' in page
    answer = client.get(at("revenue_export", "csv") + "?group=payer&months=3")
    lines = answer.content.decode("utf-8-sig").splitlines()
    assert len(lines) == 4 and "'=cmd|calc" in lines[0] and "1000.00" in lines[-1]
    assert re.search(r'filename="revenue-payer-[\d-]+\.csv"', answer["Content-Disposition"])
    book = client.get(at("revenue_export", "xlsx") + "?group=payer&months=3")
    sheet = zipfile.ZipFile(io.BytesIO(book.content)).read("xl/worksheets/sheet1.xml").decode()
    assert "<v>1000.00</v>" in sheet and "<f>" not in sheet
    assert client.get(at("revenue_export", "exe")).status_code == 404
    rows = AuditEvent.objects.filter(event_type="orders.view_revenue", user=client.user.uuid)
    assert [row.detail["export"] for row in rows.order_by("pk") if "export" in row.detail] == ["csv", "xlsx"]


def test_overdue_is_what_was_due_until_yesterday(browser, monkeypatch):
    earlier = timezone.now() - timedelta(days=1)
    with monkeypatch.context() as clock:
        clock.setattr(timezone, "now", lambda: earlier)
        invoice = invoiced_exam()
    fresh = invoiced_exam()
    page = said(browser("clerk").get(f"{at('billing')}?view=due&late=1"))
    assert invoice.number in page and fresh.number not in page and "Overdue" in page
