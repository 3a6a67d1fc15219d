"""The whole exam from the pages, by the people who do it; the scanner and the receiving system are real protocols.

Then the second door: with /admin/ alone a clerk registers, orders and books, and a radiologist writes and signs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from interop.dicom.emulator import ModalityEmulator
from interop.dicom.server import Server, ServerSettings
from interop.hl7 import services as hl7
from interop.hl7.receiver import Receiver
from interop.models import DicomPeer
from orders.models import RequestedProcedure
from reporting.models import Report, ReportDelivery
from reporting.services import ensure_templates
from ris.accounts.models import Practitioner
from ris.core.actor import SYSTEM
from ris.tenants.models import Facility
from tests.e2e.browser import House, chromium, needs_chromium, peopled_house, text_of
from tests.factories.accounts import UserFactory
from tests.factories.exam import ct1, ct_chest, ordered_exam
from worklist.models import Reservation
from worklist.services import arrive_patient, complete_exam, start_exam

pytestmark = needs_chromium

IMAGES = 4
ROLES = {"clerk": "clerk", "technologist": "technologist", "radiologist": "radiologist"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    with peopled_house(browser, facility_server.alpha, ROLES) as opened:
        yield opened


@pytest.fixture
def scanner(house: House) -> Iterator[ModalityEmulator]:
    """CT1 of alpha, connected to a server in this process."""
    DicomPeer.objects.create(ae_title="CT1", may_query_worklist=True, may_send_mpps=True, may_store=True)
    server = Server(ServerSettings())
    server.start()
    yield ModalityEmulator("CT1", "ALPHA", "127.0.0.1", server.port, size=64)
    server.stop(3)


@pytest.fixture
def receiver(house: House) -> Iterator[Receiver]:
    """The hospital's system, which gets every signed result."""
    with Receiver() as listening:
        hl7.allow_host("127.0.0.1", actor=SYSTEM)
        hl7.add_destination(name="his", host="127.0.0.1", port=listening.port, messages=["ORU"], actor=SYSTEM)
        yield listening


def messages_about(receiver: Receiver, accession: str) -> list[str]:
    return [row.message.text for row in list(receiver.received) if accession in row.message.text]


@pytest.fixture
def exam(house: House) -> SimpleNamespace:
    """What the facility has before the patient comes: a catalogue, a scanner, templates, a referrer."""
    ensure_templates()
    ct_chest(), ct1()
    referrer = UserFactory(
        username="referrer", given_name="Samuel", family_name="Barasa", roles=("referring_physician",)
    )
    requester = Practitioner.objects.create(family_name="Barasa", given_name="Samuel", prefix="Dr", user=referrer)
    return SimpleNamespace(requester=requester)


def test_the_whole_exam_from_the_pages(
    house: House,
    exam: SimpleNamespace,
    scanner: ModalityEmulator,
    receiver: Receiver,
    dispatch: Callable[..., int],
) -> None:
    procedure = register_and_order(house, exam.requester)
    book_and_see_a_second_booking_refused(house, procedure)
    dispatch()
    perform(house, procedure, scanner)
    report = read_and_sign(house, procedure, dispatch)
    sent = messages_about(receiver, procedure.accession_number)
    assert all("ORU^R01" in text and "Follow-up is not needed." in text for text in sent)
    assert any("Seen with the surgeon." in text for text in sent)
    acknowledge(house, report)
    look_back(house, procedure)


def register_and_order(house: House, requester: Practitioner) -> RequestedProcedure:
    """Nobody fits; registered from the same page; ordered from the catalogue."""
    page = house.enter("clerk", "/patients/")
    page.fill("main input[name=q]", "Nyambura Hadija")
    page.click("main button:has-text('Search')")
    page.wait_for_selector("text=Nobody fits")
    page.fill("[name=family_name]", "Nyambura")
    page.fill("[name=given_name]", "Hadija")
    page.fill("[name=birth_date]", "14 Mar 1990")
    page.click("fieldset label:has-text('Female')")
    page.click("button[name=and_order]")
    page.wait_for_selector("h1:has-text('New order')")
    assert "NYAMBURA" in text_of(page, ".pi-patient")
    page.fill("[name=exam]", "chest contrast")
    page.click("#exam-options button:has-text('Add')")
    page.wait_for_selector("td:has-text('CT chest with contrast')")
    page.fill("[name=indication]", "Sudden breathlessness. Embolism?")
    page.select_option("[name=requester]", label=str(requester))
    page.click("button[name=place]")
    page.wait_for_selector("h1:has-text('Order')")
    procedure = RequestedProcedure.objects.get()
    assert procedure.accession_number in text_of(page)
    assert procedure.study_instance_uid in text_of(page)
    return procedure


def book(page: Any, at: str) -> None:
    page.click("a:has-text('Schedule')[href*=book]")
    page.wait_for_selector("form[data-booking]")
    page.fill("form[data-booking] [name=at]", at)
    page.click("form[data-booking] button.btn-primary")


def book_and_see_a_second_booking_refused(house: House, procedure: RequestedProcedure) -> None:
    page = house.enter("clerk", reverse("order_detail", args=[procedure.order.uuid]))
    book(page, "10:00")
    page.wait_for_selector(".dg-e:has-text('NYAMBURA')")
    other = ordered_exam(family_name="Otieno", given_name="Grace").procedure
    house.enter("clerk", reverse("order_detail", args=[other.order.uuid]))
    book(page, "10:00")
    page.wait_for_selector("[role=alert]")
    refusal = text_of(page, "[role=alert]")
    for words in ("That time is taken", "You asked", "We found", "booked by Asha Clerk", "What to do"):
        assert words in refusal
    assert page.locator(".sc-free button").count() > 0
    assert Reservation.objects.filter(kind="appointment").count() == 1
    page.goto(reverse("order_detail", args=[procedure.order.uuid]))
    page.click("button:has-text('Arrive')")
    page.wait_for_selector(".chip:has-text('Arrived')")


def perform(house: House, procedure: RequestedProcedure, scanner: ModalityEmulator) -> None:
    """The scanner does it; the technologist checks what came and completes."""
    [item] = scanner.query_worklist()
    assert item.AccessionNumber == procedure.accession_number
    assert scanner.start(item) == 0
    page = house.enter("technologist", reverse("console_exam", args=[procedure.uuid]))
    assert "In progress" in text_of(page)
    for box in page.locator("#time-out input[type=checkbox]").all():
        box.check()
    page.click("#time-out button:has-text('All confirmed')")
    page.wait_for_selector("#time-out .chip:has-text('Done')")
    assert set(scanner.store_images(IMAGES)) == {0}
    assert scanner.store_dose_report() == 0
    assert scanner.complete() == 0
    page = house.enter("technologist", reverse("console_exam", args=[procedure.uuid]))
    numbers = [int(cell) for cell in page.locator("#images .co-num b").all_inner_texts()]
    assert numbers[0] == numbers[1] == IMAGES + 1, numbers
    page.click(".pi-actions button:has-text('Complete')")
    page.wait_for_selector(".chip:has-text('Ready to read')")


def read_and_sign(house: House, procedure: RequestedProcedure, dispatch: Callable[..., int]) -> Report:
    """Found in the list, images seen, preliminary, final, an addendum."""
    page = house.enter("radiologist", "/reading/")
    row = page.locator("tbody tr:has-text('NYAMBURA')")
    row.hover()
    row.locator("button.btn-primary").click()
    page.wait_for_selector("#s-findings")
    page.wait_for_selector("[data-pane='1'][data-rendered]:not(.busy) canvas")
    page.fill("#s-findings", "No filling defect.")
    page.fill("#s-impression", "No embolism.")
    page.click("[data-sign-as=preliminary]")
    page.wait_for_selector(".chip:has-text('Preliminary')")
    dispatch()
    report = Report.objects.get()
    assert report.status == "preliminary"
    house.enter("radiologist", reverse("report_detail", args=[report.uuid]))
    page.click("#open button")
    page.wait_for_selector("#s-impression")
    page.fill("#s-impression", "No embolism. Follow-up is not needed.")
    page.click("[data-sign-as=final]")
    page.wait_for_selector(".chip:has-text('Final')")
    dispatch()
    page.click("summary:has-text('Add an addendum')")
    page.fill("[name=text]", "Seen with the surgeon.")
    page.click("form[action*=addendum] button")
    page.wait_for_selector("main >> text=Seen with the surgeon.")
    dispatch()
    answer = page.request.get(reverse("report_pdf", args=[report.uuid]))
    assert (answer.headers["content-type"], answer.body()[:5]) == ("application/pdf", b"%PDF-")
    report.refresh_from_db()
    return report


def acknowledge(house: House, report: Report) -> None:
    page = house.enter("referrer", "/results/")
    page.click(".rp-mail:has-text('NYAMBURA')")
    page.wait_for_selector("main >> text=Follow-up is not needed.")
    assert "Seen with the surgeon." in text_of(page)
    page.click("button:has-text('I have read this')")
    page.wait_for_selector("text=has read this")
    assert ReportDelivery.objects.filter(report_version__report=report, status="acknowledged").exists()


def look_back(house: House, procedure: RequestedProcedure) -> None:
    """The order's page says who did each step, through which door; the exam is distributed."""
    procedure.refresh_from_db()
    assert procedure.status == "distributed"
    page = house.enter("clerk", reverse("order_detail", args=[procedure.order.uuid]))
    said = text_of(page, f"[id='exam-{procedure.uuid}']")
    today = f"{house_day():%d %b %Y}".lstrip("0")
    for words in ("Asha Clerk", "Asha Technologist", "Asha Radiologist", "web", "mpps", "CT1", today):
        assert words in said, (words, said)


# --- the second door


def test_a_clerk_and_a_radiologist_with_the_administration_alone(house: House, exam: SimpleNamespace) -> None:
    page = house.enter("clerk", "/admin/")
    add(page, "orders_patient", family_name="Nyambura", given_name="Hadija", birth_date="1990-03-14", sex="F")
    add(page, "orders_order", patient="Nyambura", exam_1=ct_chest().pk, indication="Embolism?")
    procedure = RequestedProcedure.objects.get()
    number = procedure.accession_number
    today = f"{house_day():%Y-%m-%d}"
    when = {"procedure": number, "station": ct1().pk, "starts_at_0": today, "starts_at_1": "10:00"}
    add(page, "worklist_reservation", **when)
    procedure.refresh_from_db()
    assert (procedure.status, procedure.order.patient.family_name) == ("scheduled", "Nyambura")

    arrive_patient(procedure, actor=SYSTEM)
    start_exam(procedure, actor=SYSTEM)
    complete_exam(procedure, actor=SYSTEM)
    page = house.enter("radiologist", "/admin/")
    add(page, "reporting_report", procedures=procedure.pk, section_impression="No embolism.")
    act(page, "reporting_report", number, "Sign final")
    report = Report.objects.get()
    assert (report.status, report.sections["impression"]) == ("final", "No embolism.")
    assert report.signed_by.username == "radiologist"


def house_day() -> date:
    """Today by the clock of the facility, which is ahead of UTC's in the evening."""
    return timezone.localdate(timezone=Facility.objects.get(schema_name="alpha").zone)


def add(page: Any, table: str, **values: Any) -> None:
    """Fill an add form of the administration as a person does, and save."""
    page.goto(reverse(f"admin:{table}_add"))
    for name, value in values.items():
        field = page.locator(f"form[id$=_form] [name={name}]")
        if "select2-hidden-accessible" in (field.get_attribute("class") or ""):
            page.click(f"#id_{name} + .select2 .select2-selection")
            page.locator(".select2-search__field").last.press_sequentially(str(value))
            page.click(f".select2-results__option[aria-selected]:has-text('{value}')")
        elif field.evaluate("element => element.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))
    page.click("[name=_save]")
    page.wait_for_selector(".messagelist .success")


def act(page: Any, table: str, row: str, action: str) -> None:
    """Tick a row, choose an action, confirm."""
    page.goto(reverse(f"admin:{table}_changelist"))
    page.check(f"#result_list tr:has-text('{row}') .action-select")
    page.select_option("select[name=action]", label=action)
    page.click("button[name=index]")
    page.click(".submit-row [type=submit]")
    page.wait_for_selector(".messagelist :text('done for 1')")
