"""The day grid in a browser: by mouse, by keyboard, refused and put back; and the ticket that is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ris.core.actor import SYSTEM
from tests.e2e.browser import House, chromium, needs_chromium, text_of
from tests.factories.accounts import UserFactory
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist.models import Reservation
from worklist.services import open_display, reschedule_appointment

pytestmark = needs_chromium
NAIROBI = ZoneInfo("Africa/Nairobi")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    """A clerk's; nothing may break in it, nor be refused by the policy."""
    UserFactory(username="mercy", given_name="Mercy", family_name="Wafula", roles=("clerk",))
    make_station("CT1")
    make_station("CT2")
    opened = House(browser, facility_server.alpha)
    yield opened
    opened.close()
    assert opened.complaints == []


def the_day(house: House) -> Any:
    page = house.enter("mercy", f"/schedule/?day={at(8).astimezone(NAIROBI):%Y-%m-%d}")
    page.wait_for_selector("#day-grid")
    return page


def card_of(page: Any, reservation: Reservation) -> Any:
    return page.locator(f'.dg-e[href="/schedule/appointments/{reservation.uuid}/"]')


def drag(page: Any, source: Any, column: Any, down: float) -> None:
    """Take it at its upper left and let it go over a column, so many pixels below where it was taken."""
    source.scroll_into_view_if_needed()
    box, there = source.bounding_box(), column.bounding_box()
    x, y = box["x"] + 20, box["y"] + 4
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 8, y + 8)
    page.mouse.move(there["x"] + there["width"] / 2, y + down, steps=4)


def where(reservation: Reservation) -> tuple[str, str]:
    reservation.refresh_from_db()
    return reservation.room.code, f"{reservation.starts_at.astimezone(NAIROBI):%H:%M}"


def unit(page: Any) -> float:
    """Pixels of five minutes."""
    asked = "node => getComputedStyle(node).getPropertyValue('--u')"
    return float(page.eval_on_selector("#day-grid", asked).strip().removesuffix("px"))


def test_a_card_is_dragged_to_another_room_and_back_by_undo(house: House) -> None:
    reservation = booked(starts_at=at(7))
    before = where(reservation)
    page = the_day(house)
    drag(page, card_of(page, reservation), page.locator('[data-room="ct2"]'), 12 * unit(page))
    assert "11:00" in page.inner_text(".dg-ghost") and not page.locator(".dg-ghost.bad").count()
    with page.expect_response("**/schedule/drop/**"):
        page.mouse.up()
    page.wait_for_selector(f'[data-room="ct2"] a[href*="{reservation.uuid}"]')
    assert where(reservation) == ("ct2", "11:00")
    assert page.evaluate("document.activeElement.getAttribute('href')").count(str(reservation.uuid)) == 1
    page.click(".pi-toast button:has-text('Undo')")
    page.wait_for_selector(f'[data-room="ct1"] a[href*="{reservation.uuid}"]')
    assert where(reservation) == before


def test_a_taken_place_is_shown_refused_and_the_card_goes_back(house: House) -> None:
    first, second = booked(starts_at=at(7)), booked(starts_at=at(9))
    page = the_day(house)
    drag(page, card_of(page, second), page.locator('[data-room="ct1"]'), -24 * unit(page))
    assert "taken" in page.inner_text(".dg-ghost.bad")
    with page.expect_response("**/schedule/drop/**"):
        page.mouse.up()
    page.wait_for_selector("#drop-alert h3")
    words = text_of(page, "#drop-alert")
    assert "That time is taken" in words and "You asked" in words and "What to do" in words
    assert (where(first), where(second)) == (("ct1", "10:00"), ("ct1", "12:00"))
    assert not page.locator(".dg-ghost").count()
    page.click("#drop-alert [data-place^='ct1|']")
    page.wait_for_selector("#drop-alert", state="hidden")
    assert where(second) == ("ct1", "10:20")


def test_a_card_is_moved_with_the_keyboard_alone(house: House) -> None:
    reservation = booked(starts_at=at(7))
    page = the_day(house)
    card_of(page, reservation).focus()
    page.keyboard.press("m")
    page.wait_for_selector("#say:has-text('Moving')", state="attached")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#say:has-text('CT2, 11:05')", state="attached")
    with page.expect_response("**/schedule/drop/**"):
        page.keyboard.press("Enter")
    page.wait_for_selector(f'[data-room="ct2"] a[href*="{reservation.uuid}"]')
    assert where(reservation) == ("ct2", "11:05")
    page.keyboard.press("m")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    assert not page.locator(".dg-ghost").count()
    assert where(reservation) == ("ct2", "11:05")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/schedule/appointments/{reservation.uuid}/")


def test_the_grid_is_one_tab_stop_and_arrows_walk_in_it(house: House) -> None:
    early, late = booked(starts_at=at(7)), booked(starts_at=at(9))
    other = booked(starts_at=at(9, 10), station=make_station("CT2"))
    page = the_day(house)
    assert page.locator('.dg-e[tabindex="0"]').count() == 1
    card_of(page, early).focus()
    for key, reached in (("ArrowDown", late), ("ArrowRight", other), ("ArrowLeft", late), ("Home", early)):
        page.keyboard.press(key)
        assert str(reached.uuid) in page.evaluate("document.activeElement.getAttribute('href')"), key


def test_a_waiting_exam_is_dragged_and_another_put_by_keys(house: House) -> None:
    dragged, typed = ct_procedure(), ct_procedure()
    page = the_day(house)
    row = page.locator(f"#todo-{dragged.uuid}")
    box = page.locator('[data-room="ct2"]').bounding_box()
    drag(page, row.locator("b"), page.locator('[data-room="ct2"]'), 30)
    page.mouse.move(box["x"] + 40, page.locator(".sc-wrap").bounding_box()["y"] + 200, steps=3)
    with page.expect_response("**/schedule/drop/**"):
        page.mouse.up()
    page.wait_for_selector(f"#todo-{dragged.uuid}", state="detached")
    assert dragged.appointments.get().room.code == "ct2"
    page.locator(f"#todo-{typed.uuid} a").focus()
    page.keyboard.press("m")
    page.keyboard.press("ArrowDown")
    with page.expect_response("**/schedule/drop/**"):
        page.keyboard.press("Enter")
    page.wait_for_selector(f"#todo-{typed.uuid}", state="detached")
    assert typed.appointments.get().room.code == "ct1"


def test_what_a_colleague_moved_is_told(house: House) -> None:
    reservation = booked(starts_at=at(7))
    page = the_day(house)
    reschedule_appointment(reservation, starts_at=at(10), actor=SYSTEM)
    card_of(page, reservation).focus()
    page.keyboard.press("m")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#drop-alert h3")
    assert "Somebody has moved it meanwhile" in text_of(page, "#drop-alert")
    page.keyboard.press("Escape")
    assert page.locator("#drop-alert").is_hidden()
    assert where(reservation) == ("ct1", "13:00")


def test_the_list_works_without_a_script(browser: Any, house: House) -> None:
    reservation = booked(starts_at=at(7))
    page = the_day(house)
    state = page.context.storage_state()
    context = browser.new_context(base_url=house.base_url, java_script_enabled=False, storage_state=state)
    plain = context.new_page()
    plain.goto(f"/schedule/?view=table&day={at(8).astimezone(NAIROBI):%Y-%m-%d}")
    plain.click(f'a[href="/schedule/appointments/{reservation.uuid}/"]')
    plain.fill("[name=at]", "14:30")
    plain.click("text=Move to this time")
    assert where(reservation) == ("ct1", "14:30")
    context.close()


def test_an_arrival_is_called_on_the_display(house: House) -> None:
    reservation = booked(starts_at=at(7))
    display = open_display(name="Hall", actor=SYSTEM)
    page = house.enter("mercy", f"/schedule/appointments/{reservation.uuid}/")
    page.click("button:has-text('Arrive')")
    page.wait_for_selector("text=CT-001")
    hall = house._open()
    hall.goto(f"/waiting-room/screen/{display.token}/")
    assert "CT-001" in hall.inner_text(".wb-waiting")
    page.click("button:has-text('Call')")
    hall.wait_for_selector(".wb-called li:has-text('CT-001')")
    assert "CT1" in hall.inner_text(".wb-called")
    assert reservation.procedure.order.patient.family_name.upper() not in hall.content().upper()
    hall.context.close()
