"""A critical result from the editor to the answer: raised by the keyboard, climbs twice, acknowledged by a link."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail

from reporting.models import CriticalResult, Report
from reporting.services.critical_setup import prepare_display
from ris.accounts.models import User
from ris.core.actor import Actor
from ris.core.clock import database_now
from ris.notifications.rota import add_shift
from tests.e2e.browser import House, chromium, needs_chromium, text_of
from tests.factories.accounts import UserFactory
from tests.factories.reporting import drafted, make_patient, make_procedure, make_referrer

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    for username, role in (("radiologist", "radiologist"), ("ward", "clerk"), ("duty", "radiologist")):
        UserFactory(username=username, given_name="Asha", family_name=username.title(), roles=(role,))
    opened = House(browser, facility_server.alpha)
    yield opened
    opened.close()
    assert opened.complaints == []


def later(minutes: int) -> None:
    """As much time as that passes: what is stored lies so much earlier."""
    for row in CriticalResult.objects.filter(next_escalation_at__isnull=False):
        moved = {name: getattr(row, name) - timedelta(minutes=minutes) for name in ("next_escalation_at", "due_at")}
        CriticalResult.objects.filter(pk=row.pk).update(found_at=row.found_at - timedelta(minutes=minutes), **moved)


def raised_by_the_keyboard(house: House, report: Report) -> CriticalResult:
    """Without leaving the text."""
    page = house.enter("radiologist", f"/reports/{report.uuid}/")
    page.focus("#s-impression")
    page.keyboard.press("Alt+c")
    page.wait_for_selector("#critical[open]")
    assert page.evaluate("document.activeElement.name") == "category"
    assert page.get_attribute("#cr-finding", "list") == "cr-f-cat1"
    page.focus("#cr-finding")
    page.keyboard.type("Intracranial haemorrhage")
    page.keyboard.press("Enter")
    page.wait_for_selector(".pi-bar.t-red:has-text('Intracranial haemorrhage')")
    assert page.evaluate("document.activeElement.id") == "s-impression"
    critical = CriticalResult.objects.get()
    assert (critical.category, critical.report) == (1, report)
    return critical


def test_from_the_editor_to_the_answer(house: House, browser: Any, dispatch: Any) -> None:
    radiologist, ward, duty = (User.objects.get(username=name) for name in ("radiologist", "ward", "duty"))
    actor, now = Actor("web", radiologist), database_now()
    for code, user in (("ward", ward), ("duty-doctor", duty)):
        add_shift(
            duty=code, user=user, starts_at=now - timedelta(hours=1), ends_at=now + timedelta(days=1), actor=actor
        )
    exam = make_procedure(patient=make_patient("KIPLAGAT"), requester=make_referrer().practitioner)
    report = drafted(exam, actor=actor)
    _display, code = prepare_display(label="Emergency room", actor=actor)

    critical = raised_by_the_keyboard(house, report)

    # the screen on the wall, without a sign-in and without names
    wall = house.stranger()
    wall.goto("/sign-in/display/")
    wall.fill("#id_code", code)
    wall.keyboard.press("Enter")
    wall.wait_for_url("**/critical/wall/")
    assert critical.reference in text_of(wall, "body") and "KIPLAGAT" not in text_of(wall, "body")

    # nobody answers: the ward, then the duty doctor
    for minutes, level in ((31, 1), (16, 2)):
        later(minutes)
        dispatch()
        critical.refresh_from_db()
        assert critical.escalation_level == level
    wall.reload()
    assert "level 2" in text_of(wall, "#cr-list") and wall.locator(".cr-item.over").count() == 1
    board = house.enter("radiologist", "/critical/?box=escalated")
    assert "Duty doctor" in text_of(board, "#critical-rows")
    board.keyboard.press("l")
    assert board.evaluate("document.activeElement.id") == "id_person"

    # the duty doctor opens the link of the mail, signs in, and answers
    message = next(row for row in mail.outbox if row.to == [duty.email])
    assert "KIPLAGAT" not in message.subject + message.body
    link = re.search(r"/critical/answer/\S+/", message.body)
    assert link is not None
    answer = house.enter("duty", link[0])
    assert "KIPLAGAT" in text_of(answer) and "Intracranial haemorrhage" in text_of(answer)
    critical.refresh_from_db()
    assert critical.status == "open", "opening answers nothing"
    answer.click("button.cr-big")
    answer.wait_for_selector("h1:has-text('Acknowledged')")
    critical.refresh_from_db()
    assert (critical.status, critical.acknowledged_by, critical.acknowledged_via) == ("acknowledged", duty, "link")
    later(60)
    dispatch()
    assert critical.steps.count() == 3, "who was answered climbs no further"

    # the sentence is offered beside the draft, and a press puts it in
    page = house.enter("radiologist", f"/reports/{report.uuid}/")
    page.click("[data-sentence]")
    assert "Critical finding acknowledged by Asha Duty" in page.input_value("#s-impression")
    page.keyboard.press("Control+s")
    page.wait_for_function("!document.querySelector('[data-sentence]')")
    page.goto("/critical/?box=closed")
    assert "Acknowledged" in text_of(page, "#critical-rows")
    assert Report.objects.get().pk == report.pk
    wall.reload()
    assert "No critical result is open" in text_of(wall, "#cr-list")
