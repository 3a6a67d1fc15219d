"""The wrong worklist entry: chosen at a scanner, found at the page, repaired in one action, and undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from interop.dicom.emulator import ModalityEmulator
from interop.dicom.server import Server, ServerSettings
from interop.models import DicomPeer
from tests.e2e.browser import House, chromium, needs_chromium, text_of
from tests.factories.accounts import UserFactory
from tests.factories.exam import booked_exam
from worklist.models import Reconciliation

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    UserFactory(username="technologist", given_name="Asha", family_name="Technologist", roles=("technologist",))
    opened = House(browser, facility_server.alpha)
    yield opened
    opened.close()
    assert opened.complaints == []


@pytest.fixture
def scanner(house: House) -> Iterator[ModalityEmulator]:
    DicomPeer.objects.create(ae_title="CT1", may_query_worklist=True, may_send_mpps=True, may_store=True)
    server = Server(ServerSettings())
    server.start()
    yield ModalityEmulator("CT1", "ALPHA", "127.0.0.1", server.port, size=64)
    server.stop(3)


def offered(scanner: ModalityEmulator) -> set[str]:
    return {item.AccessionNumber for item in scanner.query_worklist()}


def test_a_wrong_entry_is_repaired_and_undone(house, scanner):
    wrong = booked_exam(family_name="Hassan", given_name="Amina").procedure
    right = booked_exam(hour=1, family_name="Mwangi", given_name="Baraka").procedure
    scanner.start(scanner.query_worklist(accession_number=wrong.accession_number)[0])
    scanner.store_images(3)
    assert scanner.complete() == 0
    assert offered(scanner) == {right.accession_number}

    page = house.enter("technologist", f"/exceptions/exams/{wrong.uuid}/")
    assert "3 images" in text_of(page)
    page.fill("#words", "baraka mwangi")
    page.press("#words", "Enter")
    page.check(f"input[name=target][value='{right.uuid}']")
    page.click("button[value=move]")
    told = text_of(page)
    assert f"{wrong.accession_number} is open again" in told and "It can be undone" in told
    page.fill("[name=reason]", "Baraka was on the table")
    page.click("main button.btn-primary")
    page.wait_for_url("**/exceptions/acts/**")
    assert offered(scanner) == {wrong.accession_number}
    right.refresh_from_db()
    assert right.status == "ready_to_read" and right.studies.get().instance_count == 3

    page.fill("[name=reason]", "It was Amina after all")
    with page.expect_navigation():
        page.click("button:has-text('Undo')")
    assert "It was Amina after all" in text_of(page)
    assert offered(scanner) == {right.accession_number}
    wrong.refresh_from_db()
    assert wrong.status == "ready_to_read" and Reconciliation.objects.get().undone_by.username == "technologist"
