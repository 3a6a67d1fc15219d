"""Money, from the exam to the receipt, by the people who do it: used and completed, coded, split, invoiced, paid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from orders import services
from orders.models import Invoice, Payment, RequestedProcedure
from tests.e2e.browser import House, chromium, needs_chromium, peopled_house, text_of
from tests.factories.billing import make_price, make_scheme
from tests.factories.exam import booked_exam, ct_chest
from tests.factories.orders import SYSTEM
from worklist.services import arrive_patient, start_exam

pytestmark = needs_chromium

ROLES = {"clerk": "clerk", "technologist": "technologist", "quality": "qa_lead"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    with peopled_house(browser, facility_server.alpha, ROLES) as opened:
        yield opened


@pytest.fixture
def running(house: House) -> RequestedProcedure:
    """A priced CT chest that runs; its patient is not covered yet."""
    make_price("CTCHESTC", 9500, label="CT chest with contrast", catalogue=ct_chest())
    make_price("CM350", "22.50", kind="consumable", label="Iohexol 350", unit="mL")
    make_scheme(code="NHC", name="National Health Cover", default_share=80, needs_preauthorisation=True)
    exam = booked_exam()
    arrive_patient(exam.procedure, actor=SYSTEM)
    start_exam(exam.procedure, actor=SYSTEM)
    exam.procedure.refresh_from_db()
    return exam.procedure


def test_from_the_exam_to_the_receipt(house: House, running: RequestedProcedure) -> None:
    use_and_complete(house, running)
    cover(house, running)
    bill_it(house, running)
    insurer, own = Invoice.objects.order_by("pk")
    assert [str(row.total) for row in (insurer, own)] == ["9040.00", "2260.00"]
    pay(house, own)
    remit(house, insurer)
    look_at_revenue(house)


def use_and_complete(house: House, procedure: RequestedProcedure) -> None:
    """The technologist records the contrast and completes: both are charged."""
    page = house.enter("technologist", reverse("console_exam", args=[procedure.uuid]))
    page.click("#used summary")
    page.fill("[name=label]", "Iohexol 350")
    page.fill("[name=quantity]", "80")
    page.click("button:has-text('Record')")
    page.wait_for_selector("td:has-text('80 mL')")
    page.click(".co-missing summary")
    page.fill("[name=explanation]", "Written down on paper")
    page.click("button:has-text('Complete all the same')")
    page.wait_for_selector(".chip:has-text('Completed')")
    charges = {row.code: (str(row.amount), row.status) for row in procedure.charges.all()}
    assert charges == {"CTCHESTC": ("9500.00", "billable"), "CM350": ("1800.00", "billable")}


def cover(house: House, procedure: RequestedProcedure) -> None:
    """The clerk records who pays, from the patient's page."""
    page = house.enter("clerk", reverse("patient_detail", args=[procedure.order.patient.uuid]))
    page.click("#coverage a:has-text('Coverage')")
    page.select_option("[name=scheme]", label="National Health Cover")
    page.fill("[name=member_number]", "NHC-4711")
    page.click("main button:has-text('Record')")
    page.wait_for_selector("text=80 % of the whole")


def bill_it(house: House, procedure: RequestedProcedure) -> None:
    """From the list to the bill: warned, authorised, coded, issued."""
    page = house.enter("clerk", "/billing/")
    assert "KES 11 300.00" in text_of(page).replace("\u2009", " ").replace("\xa0", " ")
    page.click("td a:has-text('CT chest')")
    page.wait_for_selector("text=National Health Cover asks for an authorisation")
    page.click("summary:has-text('Authorisations')")
    page.fill("[name=number]", "PA-77")
    page.fill("[name=expires_on]", f"{timezone.localdate() + timedelta(days=9):%d %b %Y}")
    page.click("form[action*=authorise] button")
    page.wait_for_selector("text=The authorisation is recorded.")
    assert "asks for an authorisation" not in text_of(page)
    page.click("summary:has-text('Codes for the payer')")
    page.fill("[name=icd10]", "i269 Pulmonary embolism")
    page.click("button:has-text('Keep the codes')")
    page.wait_for_selector(".chip:has-text('I26.9')")
    assert page.locator("#issue li").count() == 2
    page.click("button:has-text('Issue 2 invoices')")
    page.wait_for_selector("text=Issued: INV-")


def pay(house: House, invoice: Invoice) -> None:
    """First too much, then what is due: nothing typed is lost, the change is named, the receipt is a PDF."""
    page = house.enter("clerk", reverse("invoice_detail", args=[invoice.uuid]))
    page.fill("[name=amount]", "5000")
    page.fill("[name=reason]", "At the desk")
    page.click("button:has-text('Take the payment')")
    page.wait_for_selector(".error:has-text('is due')")
    assert page.input_value("[name=reason]") == "At the desk"
    page.fill("[name=amount]", "2260")
    page.fill("[name=tendered]", "3000")
    page.click("button:has-text('Take the payment')")
    page.wait_for_selector("text=Change: KES 740.00")
    payment = Payment.objects.get()
    answer = page.request.get(page.locator(f"a:has-text('{payment.number}')").get_attribute("href"))
    assert answer.ok and answer.headers["content-type"] == "application/pdf" and answer.body()[:5] == b"%PDF-"
    paper = page.request.get(reverse("invoice_paper", args=[invoice.uuid]) + "?language=sw")
    assert paper.body()[:5] == b"%PDF-"


def remit(house: House, invoice: Invoice) -> None:
    page = house.enter("clerk", "/billing/remittance/?payer=NHC")
    page.fill(f"[name='amount-{invoice.uuid}']", "9040.00")
    page.fill("[name=reference]", "NHC-2201")
    page.click("button:has-text('Take the remittance')")
    page.wait_for_url("**/billing/?view=payments")
    assert "NHC-2201" in text_of(page)
    invoice.refresh_from_db()
    assert (invoice.status, str(invoice.due)) == ("balanced", "0.00")


def look_at_revenue(house: House) -> None:
    """Chart and table hold the same numbers; the file comes."""
    page = house.enter("quality", "/billing/revenue/?group=payer")
    page.wait_for_function("() => window.Chart && Chart.getChart(document.querySelector('canvas[data-chart]'))")
    drawn = page.evaluate(
        "() => Chart.getChart(document.querySelector('canvas[data-chart]')).data.datasets.map(d => d.data.at(-1))"
    )
    assert sorted(drawn) == [2260, 9040]
    with page.expect_download() as found:
        page.click("a:has-text('XLSX')")
    assert found.value.suggested_filename.endswith(".xlsx")


def test_an_invoice_is_taken_back_and_the_money_given_back(house: House, running: RequestedProcedure) -> None:
    use_and_complete(house, running)
    [invoice] = services.issue_invoices(running.order, actor=SYSTEM)
    services.record_payment(allocations=[(invoice, 1000)], method="cash", actor=SYSTEM)
    page = house.enter("clerk", reverse("invoice_detail", args=[invoice.uuid]))
    page.click("summary:has-text('Take it back')")
    page.fill("[name=credit-reason]", "Wrong patient")
    page.click("button:has-text('Issue the credit note')")
    page.click("dialog button[value=go]")
    page.wait_for_selector("h1:has-text('CN-')")
    page.click("a:has-text('Open it')")
    page.wait_for_selector("text=Money is to be given back")
    page.fill("[name=refund-reason]", "Wrong patient")
    page.click("button:has-text('Give back')")
    page.click("dialog button[value=go]")
    page.wait_for_selector("text=Given back: receipt")
    invoice.refresh_from_db()
    assert (invoice.due, invoice.status) == (0, "cancelled")
    assert running.charges.filter(status="billable").count() == 2
