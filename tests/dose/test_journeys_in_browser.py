"""The physicist's two journeys at the pages: a room's median above its level, and much dose on one skin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dose.models import DoseInvestigation, DoseTrigger, LevelAlert, SkinFollowUp
from orders.models import RequestedProcedure
from ris.events.models import OutboxEvent
from tests.dose.test_entry_and_alerts import fluoroscopy, procedure_of
from tests.dose.test_services import imported, of
from tests.e2e.browser import House, chromium, needs_chromium, peopled_house, text_of
from tests.factories.dose import ct_event
from tests.factories.orders import make_catalogue
from tests.factories.worklist import ct_procedure, make_station

pytestmark = needs_chromium

PATIENTS = 20
ROLES = {"physicist": "medical_physicist", "technologist": "technologist"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    with peopled_house(browser, facility_server.alpha, ROLES) as opened:
        yield opened


def reports_arrive(exams: list[RequestedProcedure], dlp: float, *, minutes: int) -> None:
    """A dose report of each, made so many minutes from now by the facility's clock."""
    at = timezone.localtime() + timedelta(minutes=minutes)
    when = {"ContentDate": f"{at:%Y%m%d}", "ContentTime": f"{at:%H%M%S}", "StationName": "CT1"}
    for number, procedure in enumerate(exams):
        imported(of(procedure, ct_event(dlp + number, 8), **when))


def test_from_the_dose_reports_to_a_closed_investigation_and_from_a_trigger_to_a_closed_follow_up(
    house: House, dispatch: Callable[..., int]
) -> None:
    investigate_a_room(house, dispatch)
    follow_a_skin(house, dispatch)


def investigate_a_room(house: House, dispatch: Callable[..., int]) -> None:
    """Median 609.5 of twenty patients over the level of 310; told once; acted upon; measured again; closed."""
    make_station("CT1")
    catalogue = make_catalogue("CTPA", name="CTPA", modality="CT")
    exams = [ct_procedure(catalogue=catalogue) for _number in range(PATIENTS)]
    reports_arrive(exams, 600, minutes=-5)
    page = house.enter("physicist", "/dose/compliance/")
    page.click("button:has-text('Check now')")
    page.wait_for_selector("#told a:has-text('Open')")
    assert "Median above level" in text_of(page)
    alert = LevelAlert.objects.get()
    assert (alert.room, alert.quantity, alert.limit, alert.patient_count) == ("CT1", "dlp", 310, PATIENTS)
    assert OutboxEvent.objects.filter(name="dose.drl_exceeded").count() == 1
    dispatch()
    page.goto("/notifications/")
    page.wait_for_selector("main >> text=/reference level/i")
    page.goto("/dose/compliance/")
    page.click("#told a:has-text('Open')")
    page.fill("#investigations [name=cause]", "New protocol since the service")
    page.fill("#investigations [name=action]", "Tube current back to 180 mA")
    page.fill("#investigations [name=measure_again_on]", f"{timezone.localdate() + timedelta(days=30):%Y-%m-%d}")
    page.click("#investigations button:text-is('Note')")
    page.wait_for_selector("#investigations >> text=Action taken")
    page.click("#investigations button:has-text('Measure again')")
    page.wait_for_selector("text=Not enough data (0/20)")
    reports_arrive(exams, 250, minutes=2)
    page.goto("/dose/?tab=CT")
    page.click("#investigations button:has-text('Measure again')")
    page.wait_for_selector("#investigations >> text=Closed")
    found = DoseInvestigation.objects.get()
    assert (found.status, found.median, found.new_median) == ("closed", 609.5, 259.5)
    assert found.cause == "New protocol since the service" and found.history.count() == 3


def follow_a_skin(house: House, dispatch: Callable[..., int]) -> None:
    """5.5 Gy at the reference point: the technologist says why, the patient is told, the skin is looked at."""
    report = fluoroscopy(procedure_of("XA"), rp=5.5, dap=0.01)
    dispatch()
    page = house.enter("technologist", "/dose/alerts/")
    page.wait_for_selector("#skin >> text=Patient not told yet")
    assert page.locator("#skin input").count() == 0
    page.fill("#triggers [name=explanation]", "Two stents, large patient")
    page.click("#triggers button:text-is('Note')")
    page.wait_for_selector("#triggers .chip:has-text('Two stents, large patient')")
    assert page.url.endswith("/dose/alerts/")
    trigger = DoseTrigger.objects.get(report=report)
    assert (trigger.status, trigger.explanation) == ("explained", "Two stents, large patient")
    page = house.enter("physicist", "/dose/alerts/")
    page.wait_for_selector("#skin >> text=5500 mGy (5000)")
    page.fill("#skin [name=told_how]", "Letter and telephone")
    page.fill("#skin [name=look_on]", f"{timezone.localdate() + timedelta(days=14):%Y-%m-%d}")
    page.click("#skin button:has-text('Told')")
    page.wait_for_selector("#skin >> text=Patient told")
    page.select_option("#skin [name=finding]", "erythema")
    page.fill("#skin [name=note]", "Seen again in four weeks")
    page.click("#skin button:has-text('Close')")
    page.wait_for_selector("#skin .chip.t-green")
    assert "Seen again in four weeks" in text_of(page, "#skin")
    follow_up = SkinFollowUp.objects.get()
    assert (follow_up.status, follow_up.finding, follow_up.told_how) == ("closed", "erythema", "Letter and telephone")
