"""The booking race: two people, two browser windows, one free time; then the waiting list takes what gets free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from orders.models import RequestedProcedure
from tests.e2e.browser import House, chromium, needs_chromium, text_of
from tests.factories.accounts import UserFactory
from tests.factories.worklist import ct_procedure, make_station
from worklist.models import Reservation, SlotOffer

pytestmark = needs_chromium

PEOPLE = {"mercy": ("Mercy", "Wafula"), "brian": ("Brian", "Kiprono")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    for username, (given_name, family_name) in PEOPLE.items():
        UserFactory(username=username, given_name=given_name, family_name=family_name, roles=("clerk",))
    opened = House(browser, facility_server.alpha)
    yield opened
    opened.close()
    assert opened.complaints == []


def find_a_time(house: House, person: str, procedure: RequestedProcedure) -> Any:
    """From the order's page to its free times, from tomorrow on."""
    page = house.enter(person, reverse("order_detail", args=[procedure.order.uuid]))
    page.click("a:has-text('Find a time')")
    page.fill("[name=first_day]", f"{timezone.localdate() + timedelta(days=2):%Y-%m-%d}")
    page.click("button:has-text('Search')")
    page.wait_for_url("**first_day**")
    page.wait_for_selector(".sr-hit")
    return page


def first_time(page: Any) -> str:
    return page.locator(".sr-hit input[name=starts_at]").first.get_attribute("value")


def booked() -> list[Reservation]:
    return list(Reservation.objects.filter(kind="appointment", status="booked").order_by("starts_at"))


def test_two_people_book_the_same_time_and_one_gets_it(house: House, dispatch: Callable[..., int]) -> None:
    make_station()
    hers, his = ct_procedure(), ct_procedure()
    mercy, brian = find_a_time(house, "mercy", hers), find_a_time(house, "brian", his)
    wanted = first_time(mercy)
    assert wanted == first_time(brian)

    mercy.click(".sr-hit.first button:has-text('Book')")
    mercy.wait_for_selector("main >> text=Schedule")
    brian.click(".sr-hit.first button:has-text('Book')")
    brian.wait_for_selector("[role=alert], .pi-alert")

    [appointment] = booked()
    assert appointment.procedure == hers and appointment.starts_at == timezone.datetime.fromisoformat(wanted)
    said = text_of(brian, ".sr-found")
    for words in ("That time is taken", "booked by Mercy Wafula", "You asked", "What to do"):
        assert words in said, (words, said)
    assert hers.order.patient.family_name.upper() in said
    assert first_time(brian) != wanted

    brian.click(".sr-hit.first button:has-text('Hold 5 min')")
    brian.wait_for_selector(".chip:has-text('held for you')")
    other = ct_procedure()
    mercy = find_a_time(house, "mercy", other)
    assert first_time(mercy) != first_time(brian)
    assert "held by Brian Kiprono" in text_of(mercy, ".sr-found")
    brian.click(".sr-hit.first button:has-text('Book')")
    brian.wait_for_selector("main >> text=Schedule")
    assert [row.procedure for row in booked()] == [hers, his]

    what_gets_free_goes_to_who_waits(house, other, appointment, dispatch)


def what_gets_free_goes_to_who_waits(
    house: House, waiting: RequestedProcedure, appointment: Reservation, dispatch: Callable[..., int]
) -> None:
    """Put on the list from the page of free times; the time that is called off is offered, and booked."""
    page = find_a_time(house, "mercy", waiting)
    page.click("summary:has-text('Nothing suits')")
    page.fill("[name=note]", "Call after nine")
    page.click("button:has-text('Put on the waiting list')")
    page.wait_for_selector("h1:has-text('Waiting list')")
    assert waiting.order.patient.family_name.upper() in text_of(page)

    page = house.enter("brian", reverse("appointment_detail", args=[appointment.uuid]))
    page.fill("form[action*=cancel] [name=reason]", "Fever")
    page.click("form[action*=cancel] button")
    page.click("dialog[open] button.btn-primary")
    page.wait_for_selector("text=The appointment is cancelled")
    dispatch()
    assert SlotOffer.objects.get().starts_at == appointment.starts_at

    page = house.enter("mercy", reverse("waiting_list"))
    page.wait_for_selector("h2:has-text('Call now')")
    assert "Call after nine" in text_of(page, ".wl-offers")
    page.click("button:has-text('They come: book')")
    page.wait_for_selector("main >> text=Schedule")
    first = booked()[0]
    assert (first.procedure, first.starts_at) == (waiting, appointment.starts_at)
