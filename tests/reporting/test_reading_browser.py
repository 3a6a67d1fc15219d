"""The reading list by keyboard alone, in a real browser; a new STAT is told without moving a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orders.models import RequestedProcedure
from reporting import services
from reporting.models import ReadingLock
from tests.e2e.browser import House, chromium, needs_chromium, text_of
from tests.factories.accounts import UserFactory
from tests.factories.reporting import make_patient
from tests.reporting.test_reading_list import place_of, placed

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    UserFactory(username="wekesa", prefix="Dr", given_name="Naliaka", family_name="Wekesa", roles=("radiologist",))
    found = House(browser, facility_server.alpha)
    yield found
    found.close()
    assert found.complaints == []


def rows(page: Any) -> list[str]:
    """The names in the list, from the top."""
    return [name.split(",")[0] for name in page.locator("#rows td.rp-name .nm").all_inner_texts()]


def chosen(page: Any) -> str:
    return str(page.inner_text("#rows tr[aria-selected=true] .nm")).split(",")[0]


def stat_is_announced(page: Any, exams: dict[str, Any]) -> None:
    """A new one is told; nothing moves until it is asked for."""
    page.keyboard.press("j")
    page.keyboard.press("j")
    before, at = rows(page), chosen(page)
    placed(patient=make_patient("NAKATO"), priority="stat", minutes_ago=1)
    RequestedProcedure.objects.filter(pk=exams["TESFAYE"].pk).update(status="final")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#news >> text=1 new STAT")
    assert (rows(page), chosen(page)) == (before, at)
    assert "gone" in page.get_attribute("#rows tr:has-text('TESFAYE')", "class")
    page.keyboard.press("r")
    page.wait_for_selector("#rows >> text=NAKATO")
    assert sorted(rows(page)) == ["KIPLAGAT", "MWANGI", "NAKATO"]

    # and one outside the filter is told beside the title
    placed(patient=make_patient("UWIMANA"), modality="US", priority="stat", minutes_ago=1)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#rd-counts >> text=1 STAT outside this list")


def test_the_list_is_worked_with_the_keyboard_alone(house: House) -> None:
    services.ensure_templates()
    exams = {
        name: placed(patient=make_patient(name), modality=modality, minutes_ago=age, images=12)
        for name, modality, age in (
            ("KIPLAGAT", "CT", 900),
            ("HASSAN", "MR", 700),
            ("MWANGI", "CT", 500),
            ("TESFAYE", "CT", 300),
        )
    }
    page = house.enter("wekesa", "/reading/")
    assert rows(page) == list(exams)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    assert chosen(page) == "HASSAN" and page.evaluate("document.activeElement.tagName") == "TR"

    # chosen for a batch, and claimed: the row says so
    page.keyboard.press("x")
    assert page.locator("#batch").is_visible()
    page.keyboard.press("x")
    assert not page.locator("#batch").is_visible()
    page.keyboard.press("c")
    page.wait_for_selector("text=For you")
    assert place_of(exams["HASSAN"]).assigned_to.username == "wekesa"

    # a filter, found and removed by the keyboard
    page.focus("summary:has-text('Modality')")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/reading/?modality=CT")
    assert rows(page) == ["KIPLAGAT", "MWANGI", "TESFAYE"]

    # find: the caret goes there, letters are letters, and the found row is chosen
    page.keyboard.press("/")
    page.keyboard.type("mwan")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=1 exam found")
    assert rows(page) == ["MWANGI"] and chosen(page) == "MWANGI" and "mwan" not in page.url
    page.go_back()
    page.wait_for_url("**/reading/?modality=CT")

    # next opens the most urgent of this list; back in the list the others have not moved
    page.keyboard.press("n")
    page.wait_for_url("**/reports/**")
    assert "KIPLAGAT" in text_of(page, ".pi-patient")
    assert ReadingLock.objects.get().procedure == exams["KIPLAGAT"]
    page.goto("/reading/?modality=CT")
    assert "Reading: you" in text_of(page, "#rows tr:first-child")

    stat_is_announced(page, exams)

    # the keys stand on the page, and in the list of all keys
    assert "next best" in text_of(page, ".pi-foot")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open] >> text=Claim")
