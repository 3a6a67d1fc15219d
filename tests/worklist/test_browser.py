"""The desk and the console in a real browser, under the real Content Security Policy."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from ris.core.actor import SYSTEM
from tests.e2e.browser import chromium, needs_chromium, sign_in
from tests.factories.accounts import UserFactory
from tests.factories.worklist import STORE, at, booked, ct_procedure, make_station, stored
from worklist.models import Reservation
from worklist.services import arrive_patient, ensure_questionnaires, index_instance

NAIROBI = ZoneInfo("Africa/Nairobi")

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[Any]:
    """``house.enter(username, path)`` gives a signed-in page; nothing may break or be refused by the policy."""
    complaints: list[str] = []
    contexts = []

    def enter(username: str, path: str, **options: Any) -> Any:
        view = {"viewport": {"width": 1440, "height": 900}} | options
        context = browser.new_context(base_url=facility_server.alpha, **view)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if "Content Security" in line.text else None)
        sign_in(context, username, facility_server.alpha)
        page.goto(path)
        return page

    UserFactory(username="mercy", given_name="Mercy", family_name="Wafula", roles=("clerk",))
    UserFactory(username="brian", given_name="Brian", family_name="Kiprono", roles=("technologist",))
    yield SimpleNamespace(enter=enter)
    for context in contexts:
        context.close()
    assert complaints == []


def test_a_place_in_the_grid_is_booked_and_the_second_is_refused(house: Any) -> None:
    make_station()
    first, second = ct_procedure(), ct_procedure()
    day = timezone.localtime(at(6), NAIROBI).date()
    page = house.enter("mercy", f"/schedule/?day={day}")
    for number, procedure in enumerate((first, second)):
        page.click(f"#todo-{procedure.uuid}")
        page.wait_for_selector("form[data-booking]")
        page.eval_on_selector(".dg", "node => node.scrollIntoView()")
        box = page.locator(".dg-c").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 68 * 3 + 2 + 68 * number)
        assert page.input_value("[name=at]") == ("10:00", "11:00")[number]
        page.fill("[name=at]", "10:00")
        page.click("text=Book this time")
        page.wait_for_load_state()
        if number == 0:
            page.wait_for_selector(".dg-e")
    alert = page.locator(".sc-book .pi-alert")
    assert "That time is taken" in alert.inner_text() and "Mercy Wafula" in alert.inner_text()
    alert.locator("button").first.click()
    page.wait_for_load_state()
    rows = list(Reservation.objects.order_by("starts_at"))
    assert [f"{timezone.localtime(row.starts_at, NAIROBI):%H:%M}" for row in rows] == ["10:00", "10:20"]


def typed_by_a_scanner(page: Any, code: str) -> None:
    """As a keyboard wedge does it: key upon key within milliseconds, then Enter."""
    page.evaluate(
        """code => {
            const at = document.activeElement || document.body;
            for (const key of [...code, "Enter"]) {
                const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
                if (at.dispatchEvent(event) && key.length === 1 && "value" in at) at.value += key;
            }
        }""",
        code,
    )


def test_an_exam_on_a_tablet_with_a_scanner_from_the_day_to_completion(house: Any) -> None:
    ensure_questionnaires()
    procedure = booked(starts_at=timezone.now() + timezone.timedelta(minutes=5)).procedure
    page = house.enter("brian", "/console/", viewport={"width": 768, "height": 1024}, has_touch=True)
    typed_by_a_scanner(page, "NOTHING-77")
    page.wait_for_selector("[role=alert] >> text=Nobody knows this code")
    arrive_patient(procedure, actor=SYSTEM)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#news")
    assert page.locator(f"#c-scheduled #x-{procedure.uuid}.gone").count() == 1, "nothing moves under the finger"
    assert page.inner_text("#h-arrived").split() == ["Arrived", "1"]
    page.click("#news button")
    assert page.locator(f"#c-arrived #x-{procedure.uuid}").count() == 1
    typed_by_a_scanner(page, procedure.accession_number)
    page.wait_for_selector("#time-out")
    page.keyboard.press("Alt+q")
    assert page.evaluate("document.activeElement.name") == "pregnant", "also where the questions are open already"
    for name in ("pregnant", "breast_feeding"):
        page.check(f"[name={name}][value=no]", force=True)
    page.click("text=Keep the answers")
    page.keyboard.press("Alt+n")
    page.keyboard.insert_text("Moved a")
    typed_by_a_scanner(page, procedure.order.patient.primary_identifier.value)
    page.wait_for_selector("text=Scanned: it is this patient")
    page.check("label:has-text('Asked: name') >> input")
    for box in page.locator("[name=checks]").all():
        box.check()
    page.click("text=All confirmed")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=Stop the exam")
    small = page.eval_on_selector_all(
        ".co-actions .btn, .co-card .btn, .co-tick",
        """nodes => nodes.filter(one => one.offsetParent && one.getBoundingClientRect().height < 43.5)
            .map(one => one.outerHTML)""",
    )
    assert small == []
    index_instance(stored(procedure), actor=STORE)
    page.reload()
    page.keyboard.press("Alt+n")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("Moved a little")
    page.click("text=Keep the note")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".chip:has-text('Completed')")
    procedure.refresh_from_db()
    assert (procedure.status, procedure.technologist_notes.get().text) == ("ready_to_read", "Moved a little")
    assert procedure.time_outs.get().is_wristband_verified
