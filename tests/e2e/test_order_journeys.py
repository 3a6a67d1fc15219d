"""Orders from the pages, by the people who handle them: a sided exam through vetting and protocol, and a cancellation
after the patient has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse

from orders.models import CatalogueProcedure, Inquiry, RequestedProcedure
from ris.accounts.models import Practitioner
from tests.e2e.browser import House, chromium, needs_chromium, peopled_house, text_of
from tests.factories.accounts import UserFactory
from tests.factories.exam import ct1, ordered_exam
from tests.factories.orders import SYSTEM
from worklist.models import Reservation, ScheduledProcedureStep
from worklist.services import ensure_step

pytestmark = needs_chromium

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
def desk(house: House) -> SimpleNamespace:
    """What the facility has: a sided exam that is vetted and protocolled, and a physician who orders."""
    exam = CatalogueProcedure(
        code="MRWRIST",
        name="MR wrist",
        modality="MR",
        body_region="wrist",
        has_laterality=True,
        needs_vetting=True,
        needs_protocol=True,
        default_protocol="Wrist, standard",
        duration_minutes=30,
    )
    exam.save_as(SYSTEM, "made for a test")
    user = UserFactory(username="referrer", given_name="Samuel", family_name="Barasa", roles=("referring_physician",))
    requester = Practitioner.objects.create(family_name="Barasa", given_name="Samuel", prefix="Dr", user=user)
    return SimpleNamespace(exam=exam, requester=requester)


def test_an_order_with_a_side_is_vetted_asked_about_and_protocolled(
    house: House, desk: SimpleNamespace, dispatch: Callable[..., int]
) -> None:
    procedure = order_a_sided_exam(house, desk)
    ask_the_requester(house, procedure)
    dispatch()
    answer_from_the_home_page(house)
    accept_by_keyboard(house, procedure)
    protocol_by_a_quick_pick(house, procedure)
    page = house.enter("clerk", reverse("order_detail", args=[procedure.order.uuid]))
    shown = text_of(page)
    assert "MR wrist, left" in shown and "Wrist, standard" in shown and "She cannot lie flat." in shown
    assert page.query_selector("a:has-text('Schedule')[href*=book]") is not None


def order_a_sided_exam(house: House, desk: SimpleNamespace) -> RequestedProcedure:
    """Without a side it is not placed, and nothing typed is lost."""
    patient = ordered_exam(family_name="Njeri", given_name="Wambui").procedure.order.patient
    RequestedProcedure.objects.all().update(status="final")
    page = house.enter("clerk", reverse("order_create", args=[patient.uuid]))
    page.fill("[name=exam]", "wrist")
    page.click("#exam-options button:has-text('Add')")
    page.wait_for_selector("td:has-text('MR wrist')")
    page.fill("[name=indication]", "Fell on the left hand. Scaphoid?")
    page.select_option("[name=requester]", label=str(desk.requester))
    page.set_input_files(
        "[name=paper_file]",
        files=[{"name": "form.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7\n% request\n"}],
    )
    page.click("button[name=place]")
    page.wait_for_selector("text=Choose the side")
    assert page.input_value("[name=indication]") == "Fell on the left hand. Scaphoid?"
    assert "Request form" in text_of(page, "#papers ul")
    page.click("label[for=side-MRWRIST-L]")
    page.click("button[name=place]")
    page.wait_for_selector("h1:has-text('Order F')")
    assert "MR wrist, left" in text_of(page)
    procedure = RequestedProcedure.objects.get(code="MRWRIST")
    assert (procedure.status, procedure.laterality) == ("vetting", "L")
    assert procedure.order.documents.count() == 1
    return procedure


def ask_the_requester(house: House, procedure: RequestedProcedure) -> None:
    page = house.enter("radiologist", reverse("vetting"))
    page.click(f"#r-{procedure.uuid} a")
    page.wait_for_selector("h2:has-text('MR wrist, left')")
    assert "Scaphoid?" in text_of(page)
    page.click("summary:has-text('Ask the requester')")
    page.fill("details[open] [name=reason_text]", "Can she lie flat for half an hour?")
    page.click("details[open] button.btn-primary")
    page.wait_for_selector("text=The requester is asked.")
    page.goto(reverse("vetting") + "?view=asked")
    assert "NJERI" in text_of(page) and "left" in text_of(page, ".sla")


def answer_from_the_home_page(house: House) -> None:
    page = house.enter("referrer", "/")
    assert "Can she lie flat for half an hour?" in text_of(page)
    page.click("a:has-text('Answer')")
    page.click("summary:has-text('Answer')")
    page.fill("details[open] [name=answer]", "She cannot lie flat.")
    page.click("details[open] button.btn-primary")
    page.wait_for_selector("text=The answer is noted.")
    assert Inquiry.objects.get().answer == "She cannot lie flat."


def accept_by_keyboard(house: House, procedure: RequestedProcedure) -> None:
    page = house.enter("radiologist", reverse("vetting"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=She cannot lie flat.")
    page.keyboard.press("a")
    page.wait_for_selector("text=Accepted.")
    procedure.refresh_from_db()
    assert procedure.status == "accepted"


def protocol_by_a_quick_pick(house: House, procedure: RequestedProcedure) -> None:
    page = house.enter("radiologist", reverse("protocols") + f"?exam={procedure.uuid}")
    page.fill("[name=protocol]", "")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    assert page.input_value("[name=protocol]") == "Wrist, standard"
    page.click("label:has-text('Without contrast')")
    page.fill("[name=comments]", "Prone, arm over the head; she cannot lie flat.")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=The protocol is stored.")
    procedure.refresh_from_db()
    assert (procedure.protocol, procedure.contrast_decision) == ("Wrist, standard", "without")
    assert procedure.protocolled_by is not None and procedure.protocolled_by.username == "radiologist"


def test_an_exam_is_cancelled_after_arrival_and_not_after_it_began(house: House) -> None:
    ct1()
    procedure = ordered_exam(family_name="Otieno", given_name="Grace").procedure
    begun = ordered_exam(family_name="Kamau", given_name="Peter").procedure
    for row in (procedure, begun):
        ensure_step(row, actor=SYSTEM)
    page = house.enter("clerk", reverse("order_detail", args=[procedure.order.uuid]))
    page.click("button:has-text('Arrive')")
    page.wait_for_selector(".chip:has-text('Arrived')")
    page.goto(reverse("order_detail", args=[procedure.order.uuid]))
    page.click("summary:has-text('Cancel')")
    page.select_option("details[open] [name=reason_code]", "110505")
    page.fill("details[open] [name=reason_text]", "Afraid of the tube")
    page.click("details[open] button.btn-danger")
    page.wait_for_selector(".chip:has-text('Cancelled')")
    assert "Patient refused to continue procedure · Afraid of the tube" in text_of(page)
    procedure.refresh_from_db()
    assert (procedure.status, procedure.reason_code) == ("cancelled", "110505")
    assert not ScheduledProcedureStep.objects.filter(procedure=procedure).exclude(status="CANCELED").exists()
    assert not Reservation.objects.filter(procedure=procedure, status__in=("booked", "arrived")).exists()
    refuse_what_has_begun(page, begun)
    page.goto(reverse("order_detail", args=[procedure.order.uuid]))
    page.click("summary:has-text('Reopen')")
    page.fill("details[open] [name=reason_text]", "She has changed her mind")
    page.click("details[open] button.btn-primary")
    page.wait_for_selector("text=The exam is open again.")
    procedure.refresh_from_db()
    assert procedure.status == "accepted"


def refuse_what_has_begun(page: Any, begun: RequestedProcedure) -> None:
    """The page was open before the scanner began: the refusal says since when, by whom, and what to do."""
    from orders import services
    from ris.core.actor import Actor

    page.goto(reverse("order_detail", args=[begun.order.uuid]))
    page.click("summary:has-text('Cancel')")
    services.mark_started(begun, actor=Actor("mpps", ae_title="CT1"))
    page.select_option("details[open] [name=reason_code]", "110500")
    page.click("details[open] button.btn-danger")
    page.wait_for_selector("text=The exam has gone too far for that.")
    said = text_of(page)
    assert "In progress" in said and "CT1" in said and "Ask the technologist" in said
    begun.refresh_from_db()
    assert begun.status == "in_progress"
