"""Two journeys of the desk in a browser: a walk-in whom we know, and an emergency that is merged and taken apart again.

The scanner is a real one in so far as it asks the worklist over DICOM: it must see the right name at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import reverse

from interop.dicom.emulator import ModalityEmulator
from interop.dicom.server import Server, ServerSettings
from interop.models import DicomPeer
from orders import services
from orders.models import Order, Patient, PatientMerge, RequestedProcedure
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from tests.e2e.browser import House, chromium, needs_chromium, text_of
from tests.factories.accounts import UserFactory
from tests.factories.exam import ct1, ct_chest

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    """Nothing may break in it, nor be refused by the policy."""
    UserFactory(username="clerk", given_name="Asha", family_name="Clerk", roles=("clerk",))
    opened = House(browser, facility_server.alpha)
    yield opened
    opened.close()
    assert opened.complaints == []


@pytest.fixture
def scanner(house: House) -> Iterator[ModalityEmulator]:
    ct_chest(), ct1()
    DicomPeer.objects.create(ae_title="CT1", may_query_worklist=True, may_send_mpps=True, may_store=True)
    server = Server(ServerSettings())
    server.start()
    yield ModalityEmulator("CT1", "ALPHA", "127.0.0.1", server.port, size=64)
    server.stop(3)


def known_patient() -> Patient:
    return services.register_patient(
        family_name="Achieng",
        given_name="Wanjiru",
        birth_date="1990-03-14",
        sex="F",
        phone="0722 118 204",
        actor=SYSTEM,
    )


def fill_in(page: Any, **fields: str) -> None:
    """As a person does: key by key, so that the page sees it being typed."""
    for name, words in fields.items():
        field = page.locator(f"main form [name={name}]").first
        field.fill("")
        field.press_sequentially(words)


# --- a walk-in with a duplicate


def test_a_walk_in_who_is_here_already(house: House) -> None:
    known = known_patient()
    page = house.enter("clerk", "/patients/")
    fill_in(page, family_name="Wanjiru", given_name="Achieng")
    page.wait_for_selector("text=This looks like a patient you already have")
    fill_in(page, birth_date="14/03/1990")
    page.wait_for_selector("dd:has-text('Same date of birth')")
    said = text_of(page, ".pi-alert.t-amber")
    assert "Same name" in said and known.primary_identifier.value in said and "Create anyway" in said
    assert page.input_value("[name=family_name]") == "Wanjiru", "what is typed stays"
    page.click(f"a:has-text('Use {known.primary_identifier.value}')")
    page.wait_for_selector(".pi-patient")
    assert "ACHIENG, Wanjiru" in text_of(page, ".pi-patient")
    assert Patient.objects.count() == 1


def test_a_walk_in_who_only_looks_alike_is_created_by_one_click(house: House) -> None:
    known = known_patient()
    page = house.enter("clerk", "/patients/")
    fill_in(page, family_name="Achieng", given_name="Wanjiru", birth_date="about 36")
    page.click("fieldset label:has-text('Female')")
    page.click("footer button:has-text('Save') >> nth=0")
    page.wait_for_selector("text=This looks like a patient you already have")
    assert Patient.objects.count() == 1
    page.reload()
    page.wait_for_selector("h1:has-text('Register')")
    assert page.input_value("[name=family_name]") == "Achieng", "nothing typed is lost"
    if not page.locator("button[name=anyway]").count():
        page.locator("[name=family_name]").press_sequentially(" ")
    page.click("button[name=anyway]")
    page.wait_for_selector(".pi-patient")
    other = Patient.objects.exclude(pk=known.pk).get()
    assert other.birth_date_is_estimated and other.age == 36
    row = AuditEvent.objects.get(event_type="orders.create_anyway")
    assert (row.entity, row.detail["candidates"]) == (other.uuid, [str(known.uuid)])
    assert "about" in text_of(page, ".pi-patient")


# --- an emergency, then a merge, then the way back


def order_ct(page: Any, question: str) -> None:
    page.click("a:has-text('New order') >> nth=0")
    page.wait_for_selector("h1:has-text('New order')")
    page.fill("[name=exam]", "chest contrast")
    page.click("#exam-options button:has-text('Add')")
    page.wait_for_selector("td:has-text('CT chest with contrast')")
    page.fill("[name=indication]", question)
    page.click("button[name=place]")
    page.wait_for_selector("h1:has-text('Order')")


def scheduled(page: Any, procedure: RequestedProcedure) -> None:
    page.goto(reverse("order_detail", args=[procedure.order.uuid]))
    page.click("a:has-text('Schedule')[href*=book]")
    page.wait_for_selector("form[data-booking]")
    page.fill("form[data-booking] [name=at]", "10:00")
    page.click("form[data-booking] button.btn-primary")
    page.wait_for_selector(".dg-e")


def name_on(scanner: ModalityEmulator) -> list[str]:
    return [str(item.PatientName) for item in scanner.query_worklist()]


def test_an_emergency_is_merged_and_taken_apart_again(house: House, scanner: ModalityEmulator) -> None:
    known = known_patient()
    page = house.enter("clerk", "/")
    page.click("button:has-text('Unidentified patient')")
    page.wait_for_selector(".pi-patient")
    alias = Patient.objects.get(identity_is_unverified=True)
    assert "EMERG" in text_of(page, ".pi-patient") and "Identity not confirmed" in text_of(page, ".pi-patient")
    order_ct(page, "Found in the street. Bleeding?")
    first = RequestedProcedure.objects.get()
    scheduled(page, first)
    assert name_on(scanner) == [alias.dicom_name]

    merge_into(page, alias, known)
    merge = PatientMerge.objects.get()
    assert (merge.survivor, merge.loser) == (known, alias)
    assert name_on(scanner) == ["Achieng^Wanjiru"]
    page.goto(reverse("patient_detail", args=[alias.uuid]))
    page.wait_for_selector(".pi-patient:has-text('ACHIENG')")
    order_ct(page, "Control after the operation")
    second = RequestedProcedure.objects.exclude(pk=first.pk).get()

    undo(page, known)
    assert name_on(scanner) == [alias.dicom_name]
    assert Order.objects.get(patient=known).procedures.get() == second
    page.check("#came input[type=checkbox]")
    page.fill("#came [name=reason]", "It was ordered for her")
    page.click("#came button:has-text('Give the chosen')")
    page.wait_for_selector("text=1 entry has moved")
    assert set(Order.objects.filter(patient=alias)) == {first.order, second.order}


def merge_into(page: Any, alias: Patient, known: Patient) -> None:
    """By the page that asks who it is: the name leads to the record that we have."""
    page.goto(reverse("patient_identify", args=[alias.uuid]))
    fill_in(page, family_name="Achieng", given_name="Wanjiru", birth_date="14 Mar 1990", reason="Her sister came")
    page.click("button:has-text('Give the name')")
    page.click(f"button:has-text('Compare with {known.primary_identifier.value}')")
    page.wait_for_selector("h2:has-text('Side by side')")
    heads = page.locator("thead th").all_inner_texts()
    assert known.primary_identifier.value in heads[1] and alias.primary_identifier.value in heads[2]
    page.fill("[name=reason]", "Her sister recognised her")
    page.click("button:has-text('Merge the two records')")
    page.wait_for_selector(".pi-patient:has-text('ACHIENG')")


def undo(page: Any, known: Patient) -> None:
    page.goto(reverse("patient_detail", args=[known.uuid]))
    page.click("a:has-text('What it moved, undo')")
    page.wait_for_selector("h1:has-text('A merge that holds')")
    assert "1 entry came after the merge" in text_of(page)
    page.fill("[name=reason]", "It is not she")
    page.click("button:has-text('Undo the merge')")
    page.wait_for_selector("h1:has-text('A merge that was undone')")


def test_an_unidentified_patient_gets_a_name(house: House, scanner: ModalityEmulator) -> None:
    page = house.enter("clerk", "/patients/")
    page.click("button:has-text('Unidentified patient')")
    page.wait_for_selector(".pi-patient")
    alias = Patient.objects.get()
    order_ct(page, "Fell from a ladder")
    scheduled(page, RequestedProcedure.objects.get())
    page.goto(reverse("patient_detail", args=[alias.uuid]))
    page.click("a:has-text('Identify') >> nth=0")
    page.wait_for_selector("h1:has-text('Who is it?')")
    fill_in(page, family_name="Otieno", birth_date="17.05.1985", reason="Identity card in the coat")
    page.click("button:has-text('Give the name')")
    page.wait_for_selector(".pi-patient:has-text('OTIENO')")
    assert "Identity not confirmed" not in text_of(page, ".pi-patient")
    assert name_on(scanner) == ["Otieno"]
