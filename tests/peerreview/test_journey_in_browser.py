"""A whole round by the people who do it: launched, scored by keys, arbitrated, told, added to, told again, learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from peerreview import services
from peerreview.models import Discrepancy, LearningCase, ReviewCase
from reporting.models import ReportDelivery
from reporting.services import ensure_templates
from ris.accounts.models import Practitioner, User
from ris.core.actor import Actor
from ris.tenants.models import Facility
from tests.e2e.browser import House, chromium, needs_chromium, text_of
from tests.factories.accounts import UserFactory
from tests.factories.reporting import make_procedure, signed

pytestmark = needs_chromium
ROLES = {"lead": "qa_lead", "author": "radiologist", "reviewer": "radiologist", "arbiter": "radiologist"}
FINDINGS = "Right upper lobe opacity of 24 mm. Seen with Dr Wanjiru."
MISSED = "Margin is spiculated, and there is no fever."


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    """Nothing may break in it, nor be refused by the policy."""
    for username, role in ROLES.items():
        family_name = "Wanjiru" if username == "author" else username.capitalize()
        UserFactory(username=username, given_name="Asha", family_name=family_name, roles=(role,))
    UserFactory(username="referrer", given_name="Samuel", family_name="Barasa", roles=("referring_physician",))
    opened = House(browser, facility_server.alpha)
    yield opened
    opened.close()
    assert opened.complaints == []


@pytest.fixture
def report(house: House, dispatch: Callable[..., int]) -> Any:
    """Signed by the author, and in the referrer's inbox."""
    ensure_templates()
    referrer = User.objects.get(username="referrer")
    requester = Practitioner.objects.create(family_name="Barasa", given_name="Samuel", prefix="Dr", user=referrer)
    author = Actor("web", User.objects.get(username="author"), address="127.0.0.1")
    row = signed(make_procedure(requester=requester), actor=author, findings=FINDINGS)
    dispatch()
    return row


def test_a_whole_round_from_launch_to_the_referrer_and_the_conference(
    house: House, report: Any, dispatch: Callable[..., int]
) -> None:
    launch(house)
    dispatch()
    score_blinded(house)
    arbitrate(house)
    dispatch()
    add_to_the_report(house)
    dispatch()
    be_told_of_the_newer_version(house, report)
    look_at_the_round(house)
    learn_from_it(house)


def launch(house: House) -> None:
    """Planned; what would be drawn is looked at; then launched."""
    today = timezone.localdate(timezone=Facility.objects.get(schema_name="alpha").zone)
    page = house.enter("lead", "/peer-review/rounds/new/")
    page.fill("[name=name]", "Round 2026-Q4 CT")
    page.fill("[name=signed_from]", f"{today - timedelta(days=1):%Y-%m-%d}")
    page.fill("[name=signed_until]", f"{today + timedelta(days=1):%Y-%m-%d}")
    page.fill("[name=due_on]", f"{today + timedelta(days=9):%Y-%m-%d}")
    page.fill("[name=percent]", "100")
    page.fill("[name=exclude_days]", "0")
    page.check("[name=double_blind]")
    page.select_option("[name=reviewers]", label="Asha Reviewer")
    page.click("button:has-text('Plan the round')")
    page.wait_for_selector(".pi-stat:has-text('Would be drawn') .n:has-text('1')")
    page.click("button:has-text('Launch')")
    page.wait_for_selector("button:has-text('Close the round')")


def score_blinded(house: House) -> None:
    """The own impression first; then 2, B and a comment by the keyboard."""
    page = house.enter("reviewer", "/peer-review/")
    page.click("main a:has-text('Case 1')")
    page.wait_for_selector("[name=own_impression]")
    assert "opacity" not in text_of(page)
    page.fill("[name=own_impression]", "Spiculated mass.")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("main >> text=Right upper lobe opacity of 24 mm")
    shown = text_of(page)
    assert "Spiculated mass." in shown and "Wanjiru" not in shown
    page.keyboard.press("1")
    page.wait_for_selector("label.score:has-text('I agree') input:checked", state="attached")
    page.keyboard.press("2")
    page.wait_for_selector("label.score.half")
    page.keyboard.press("b")
    page.wait_for_selector("input[value='2b']:checked", state="attached")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("main >> text=Say what was missed and why it matters.")
    assert page.is_checked("input[value='2b']")
    page.fill("[name=comment]", MISSED)
    page.check("[name=category][value=perceptual]", force=True)
    page.check("[name=is_to_learn]")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("main >> text=No case waits for you")


def arbitrate(house: House) -> None:
    page = house.enter("arbiter", "/peer-review/")
    page.click("section:has-text('To arbitrate') a:has-text('Case 1')")
    page.wait_for_selector(f"main >> text={MISSED}")
    assert "Wanjiru" not in text_of(page) and "Asha Reviewer" not in text_of(page)
    page.keyboard.press("2")
    page.keyboard.press("b")
    page.wait_for_selector("input[value='2b']:checked", state="attached")
    page.fill("[name=comment]", "Agreed.")
    page.click("button:has-text('Decide')")
    page.wait_for_selector("main h1:text-is('Peer review')")
    assert ReviewCase.objects.get().status == "closed"


def add_to_the_report(house: House) -> None:
    """Told in private, by nobody's name; the addendum is written and signed on the same page."""
    found = Discrepancy.objects.get()
    page = house.enter("author", "/notifications/")
    page.wait_for_selector("main >> text=A peer review of a report of yours is closed")
    page.goto(f"/peer-review/discrepancies/{found.uuid}/")
    shown = text_of(page)
    assert MISSED in shown and "Asha Reviewer" not in shown and "Asha Arbiter" not in shown
    page.fill("[name=text]", "Spiculated mass: CT-guided biopsy is advised.")
    page.click("button:has-text('Sign the addendum')")
    page.wait_for_selector("section:has-text('Addendum') >> text=CT-guided biopsy is advised.")


def be_told_of_the_newer_version(house: House, report: Any) -> None:
    old = ReportDelivery.objects.filter(recipient__user__username="referrer", report_version__kind="final").get()
    page = house.enter("referrer", f"/results/{old.uuid}/")
    page.wait_for_selector("text=A newer version has replaced this one")
    page.click("a:has-text('Open the newest version')")
    page.wait_for_selector("main >> text=CT-guided biopsy is advised.")


def look_at_the_round(house: House) -> None:
    case = ReviewCase.objects.get()
    page = house.enter("lead", f"/peer-review/rounds/{case.round.uuid}/")
    page.wait_for_selector(".rv-funnel li:has-text('Answered by the author') .n:has-text('1')")
    page.click("button:has-text('Close the round')")
    page.wait_for_selector(".pi-head .chip:has-text('Closed')")


def learn_from_it(house: House) -> None:
    """What reviewer and arbiter offered is read by the lead, listed and shown: space reveals, T ticks, arrows turn."""
    case = LearningCase.objects.get()
    lead, arbiter = (Actor("web", User.objects.get(username=name)) for name in ("lead", "arbiter"))
    second = services.submit_learning(case.report, kind="great_call", actor=arbiter)
    services.prepare_learning(second, title="Second case", is_read=True, actor=lead)
    page = house.enter("lead", f"/peer-learning/cases/{case.uuid}/")
    page.fill("[name=points]", "Look at the margin")
    page.check("[name=is_read]")
    page.click("button:has-text('Save')")
    page.wait_for_selector(".pi-head:has-text('Ready to show')")
    page.goto("/peer-learning/conferences/new/")
    page.fill("[name=title]", "November conference")
    page.fill("[name=held_on]", "2026-11-30")
    page.click("button:has-text('Plan it')")
    page.click("section:has-text('Ready to show') .pi-rows > div:has-text('CT chest') button:has-text('Add')")
    page.click("section:has-text('Ready to show') .pi-rows > div:has-text('Second case') button:has-text('Add')")
    page.click("a:has-text('Show')")
    page.wait_for_selector("h1:has-text('CT chest')")
    assert not page.is_visible("text=Look at the margin")
    page.keyboard.press("Space")
    page.wait_for_selector("text=Look at the margin")
    assert "Wanjiru" not in text_of(page, "body")
    page.keyboard.press("t")
    page.wait_for_selector("button[value=not_shown]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("h1:text-is('Second case')")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("h1:has-text('CT chest')")
    page.keyboard.press("q")
    page.wait_for_selector(".pi-head h1:text-is('November conference')")
    case.refresh_from_db()
    assert case.status == "shown"
