"""The radiologist's day in a real browser, under the real Content Security Policy: list, editor, signature, result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from reporting import services
from reporting.models import Report, ReportDelivery
from tests.factories.accounts import PASSWORD, UserFactory, user_with_roles
from tests.factories.reporting import make_patient, make_procedure

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="install Chromium (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright runs a loop in this thread; our ORM calls are its guests
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def house(chromium: Any, facility_server: Any) -> Iterator[Any]:
    """``house.enter(username, path)`` gives a signed-in page; nothing may break or be refused by the policy."""
    complaints: list[str] = []
    contexts = []

    def enter(username: str, path: str, **options: Any) -> Any:
        context = chromium.new_context(
            base_url=facility_server.alpha, viewport={"width": 1440, "height": 900}, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if "Content Security" in line.text else None)
        page.goto(f"/sign-in/?next={path}")
        page.fill("[name=username]", username)
        page.fill("[name=password]", PASSWORD)
        page.click("form.stack button.btn-primary")
        page.wait_for_url(f"**{path}")
        return page

    UserFactory(username="wekesa", prefix="Dr", given_name="Naliaka", family_name="Wekesa", roles=("radiologist",))
    yield SimpleNamespace(enter=enter)
    for context in contexts:
        context.close()
    assert complaints == []


def test_an_exam_is_read_with_the_keyboard_and_signed(house: Any) -> None:
    services.ensure_templates()
    make_procedure(patient=make_patient("KIPLAGAT"), minutes_ago=50)
    following = make_procedure(patient=make_patient("HASSAN"), minutes_ago=5)
    page = house.enter("wekesa", "/reading/")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-report]")
    assert "KIPLAGAT" in page.inner_text(".pi-patient")
    page.fill("#s-impression", "No acute [thing].")
    page.wait_for_selector("[data-saved].green >> text=Saved", timeout=8000)
    report = Report.objects.get()
    assert report.sections["impression"] == "No acute [thing]."
    page.wait_for_selector("text=A field is still to be filled.")
    page.focus("#s-findings")
    page.keyboard.press("F2")
    assert page.evaluate("getSelection().toString()") == "[thing]"
    page.keyboard.type("abnormality")
    page.keyboard.press("Control+Shift+Enter")
    page.wait_for_url(f"**/reports/{Report.objects.order_by('pk').last().uuid}/")
    page.wait_for_selector("text=HASSAN")
    report.refresh_from_db()
    assert (report.status, report.sections["impression"]) == ("final", "No acute abnormality.")
    assert Report.objects.get(procedures=following).status == "registered"


def test_what_is_typed_survives_a_server_that_does_not_answer(house: Any) -> None:
    make_procedure()
    page = house.enter("wekesa", "/reading/")
    page.click("tr button.btn-primary", force=True)
    page.wait_for_selector("[data-report]")
    page.route("**/save/", lambda route: route.abort())
    page.fill("#s-findings", "Typed while the server was away.")
    page.wait_for_selector("[data-saved].red")
    page.on("dialog", lambda dialog: dialog.accept())
    page.unroute("**/save/")
    page.reload()
    assert page.input_value("#s-findings") == "Typed while the server was away."
    page.wait_for_selector("[data-saved].green", timeout=9000)
    assert Report.objects.get().sections["findings"] == "Typed while the server was away."


def test_two_windows_conflict_and_both_texts_are_shown(house: Any) -> None:
    make_procedure()
    first = house.enter("wekesa", "/reading/")
    first.click("tr button.btn-primary", force=True)
    first.wait_for_selector("[data-report]")
    second = first.context.new_page()
    second.goto(first.url)
    second.fill("#s-findings", "From the second window.")
    second.wait_for_selector("[data-saved].green >> text=Saved", timeout=8000)
    first.fill("#s-findings", "From the first window.")
    first.wait_for_selector("[data-report-slot] [role=alert]", timeout=8000)
    assert "has saved this report" in first.inner_text("[data-report-slot]")
    first.click("button:has-text('Compare both texts')")
    first.wait_for_selector("ins")
    assert first.input_value("[name=section-findings]") == "From the first window."
    assert "second" in first.inner_text("del")


def test_macros_and_the_password_in_place(house: Any) -> None:
    from ris.accounts.selectors import facility_settings

    make_procedure()
    row = facility_settings()
    row.reauthenticate_minutes = 0
    row.save()
    page = house.enter("wekesa", "/reading/")
    page.click("tr button.btn-primary", force=True)
    page.wait_for_selector("[data-report]")
    page.click("[data-macros] summary")
    page.fill("[data-macro-form] [name=code]", "nad")
    page.fill("[data-macro-form] [name=text]", "No abnormality detected.")
    page.click("[data-macro-form] button")
    page.wait_for_selector("[data-macro-list] >> text=nad")
    page.keyboard.press("Escape")
    page.fill("#s-impression", "")
    page.focus("#s-impression")
    page.keyboard.type("nad")
    page.keyboard.press("Tab")
    assert page.input_value("#s-impression") == "No abnormality detected."
    page.click("[data-sign-as=final]")
    page.wait_for_selector("[data-report-slot] [role=alert]")
    page.fill("[name=password]", PASSWORD)
    page.click("[data-sign-as=final]")
    page.wait_for_selector("text=Signed final.")
    assert Report.objects.get().status == "final"


def test_the_referrer_opens_and_acknowledges_in_the_browser(house: Any) -> None:
    from ris.accounts.models import Practitioner
    from ris.core.actor import Actor

    user = user_with_roles("referring_physician", username="atieno")
    practitioner = Practitioner.objects.create(family_name="Atieno", user=user)
    reader = Actor("web", user_with_roles("radiologist"))
    report = services.open_report([make_procedure(requester=practitioner)], actor=reader)
    services.sign_report(report, sections={"findings": "x", "impression": "All well."}, revision=0, actor=reader)
    page = house.enter("atieno", "/results/")
    page.click(".rp-mail")
    page.wait_for_selector("text=All well.")
    page.click("text=I have read this")
    page.wait_for_selector("text=has read this")
    assert ReportDelivery.objects.get().status == "acknowledged"
