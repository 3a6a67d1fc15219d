"""The radiologist's day in a real browser, under the real Content Security Policy: list, editor, signature, result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.sessions.models import Session

from reporting import services
from reporting.models import FilledForm, Macro, Report, ReportDelivery
from ris.core.actor import Actor
from tests.factories.accounts import PASSWORD, UserFactory, user_with_roles
from tests.factories.reporting import make_patient, make_procedure
from tests.reporting.test_mrrt import DOCUMENT

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="install Chromium (apt-get install chromium)"),
]
SAVED = "[data-saved].green >> text=Saved"
PATIENCE_MS = 30_000
PASTE = """html => {
  const data = new DataTransfer(), options = {clipboardData: data, bubbles: true, cancelable: true};
  data.setData("text/html", html);
  document.activeElement.dispatchEvent(new ClipboardEvent("paste", options));
}"""


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
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if "Content Security" in line.text else None)
        page.goto(f"/sign-in/?next={path}")
        page.fill("[name=username]", username)
        page.fill("[name=password]", PASSWORD)
        page.click("form.stack button.btn-primary")
        page.wait_for_url(f"**{path}")
        return page

    reader = UserFactory(
        username="wekesa", prefix="Dr", given_name="Naliaka", family_name="Wekesa", roles=("radiologist",)
    )
    yield SimpleNamespace(enter=enter, actor=Actor("web", reader))
    for context in contexts:
        context.close()
    assert complaints == []


def opened(house: Any, *procedures: Any) -> tuple[Any, Report]:
    """The editor of a new report, with the person signed in."""
    report = services.open_report(list(procedures) or [make_procedure()], actor=house.actor)
    page = house.enter("wekesa", f"/reports/{report.uuid}/")
    page.wait_for_selector("[data-report]", state="attached")
    return page, report


def test_a_normal_exam_is_signed_in_under_ten_keystrokes(house: Any) -> None:
    services.ensure_templates()
    make_procedure(patient=make_patient("KIPLAGAT"), minutes_ago=50)
    make_procedure(patient=make_patient("HASSAN"), minutes_ago=5)
    page = house.enter("wekesa", "/reading/")
    strokes = 0

    def press(key: str) -> None:
        nonlocal strokes
        strokes += 1
        page.keyboard.press(key)

    press("j")
    press("Enter")
    page.wait_for_selector("[data-editor]")
    assert "KIPLAGAT" in page.inner_text(".pi-patient")
    assert "A field is still to be filled." in page.inner_text("[data-checks]")
    page.wait_for_load_state()  # its keys are heard from then on
    press("F2")
    assert page.evaluate("document.activeElement.dataset.section") == "impression"
    press("Enter")
    assert page.input_value("#s-impression") == "No acute abnormality."
    press("Control+Shift+Enter")
    page.wait_for_selector(".pi-patient >> text=HASSAN")
    report = Report.objects.order_by("pk").first()
    assert (report.status, report.sections["impression"]) == ("final", "No acute abnormality.")
    assert strokes < 10


def test_nothing_typed_is_lost_when_server_session_or_person_goes(house: Any) -> None:
    page, report = opened(house)
    page.route("**/save/", lambda route: route.abort())
    page.fill("#s-findings", "Typed while the server was away.")
    page.wait_for_selector("[data-saved].red")
    kept = page.evaluate("Object.keys(localStorage).filter(k => k.startsWith('picha:draft:')).length")
    assert kept == 1
    page.on("dialog", lambda dialog: dialog.accept())
    page.unroute("**/save/")
    page.reload()
    assert page.input_value("#s-findings") != "Typed while the server was away."
    page.click("text=Put it back")
    page.wait_for_selector(SAVED)
    report.refresh_from_db()
    assert report.sections["findings"] == "Typed while the server was away."
    assert page.evaluate("Object.keys(localStorage).filter(k => k.startsWith('picha:draft:')).length") == 0
    Session.objects.all().delete()
    page.fill("#s-impression", "Typed after the session had ended.")
    page.wait_for_selector("#again[open]")
    page.fill("#again [name=password]", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-again-error]:visible")
    page.fill("#again [name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#again", state="hidden")
    page.wait_for_selector(SAVED)
    report.refresh_from_db()
    assert report.sections["impression"] == "Typed after the session had ended."


def test_two_windows_conflict_and_both_texts_are_kept(house: Any) -> None:
    first, report = opened(house)
    first.fill("#s-findings", "One.\nTwo.\nThree.")
    first.wait_for_selector(SAVED)
    second = first.context.new_page()
    second.goto(first.url)
    second.fill("#s-findings", "One from the second.\nTwo.\nThree.")
    second.wait_for_selector(SAVED)
    first.fill("#s-findings", "One.\nTwo.\nThree from the first.")
    first.wait_for_selector("[data-report-slot] [role=alert]")
    assert "has saved this report" in first.inner_text("[data-report-slot]")
    first.click("button:has-text('Compare both texts')")
    first.wait_for_selector("ins")
    area = "[name=section-findings]"
    assert first.input_value(area) == "One.\nTwo.\nThree from the first."
    first.click("label:has-text('Theirs')")
    assert first.input_value(area) == "One from the second.\nTwo.\nThree."
    first.click("label:has-text('Both merged')")
    assert first.input_value(area) == "One from the second.\nTwo.\nThree from the first."
    first.keyboard.press("Control+s")
    first.wait_for_selector("[data-editor]")
    report.refresh_from_db()
    assert report.sections["findings"] == "One from the second.\nTwo.\nThree from the first."


def test_blanks_lists_and_macros_by_the_keyboard(house: Any) -> None:
    Macro.objects.create(code="nad", owner=house.actor.user, text="No [[mass|stone]] of [2:side], [1:size] mm.")
    page, _report = opened(house)
    page.fill("#s-findings", "")
    page.focus("#s-findings")
    page.keyboard.type(".nad ")
    selected = "(() => { const a = document.activeElement; return a.value.slice(a.selectionStart, a.selectionEnd); })()"
    assert page.evaluate(selected) == "[1:size]"
    page.keyboard.type("12")
    page.keyboard.press("Tab")
    assert page.evaluate(selected) == "[2:side]"
    page.keyboard.type("left")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(selected) == "[[mass|stone]]"
    page.keyboard.press("s")
    assert page.input_value("#s-findings") == "No stone of left, 12 mm."
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "s-impression"
    page.fill("#s-impression", "")
    page.evaluate(PASTE, "<p>First<b>!</b></p><script>x</script><p>Second</p>")
    assert page.input_value("#s-impression") == "First!\nSecond"
    composing = """() => { const area = document.querySelector("#s-findings"); area.focus(); area.value = ".nad";
        area.setSelectionRange(4, 4);
        const event = new KeyboardEvent("keydown", {key: " ", isComposing: true, bubbles: true, cancelable: true});
        area.dispatchEvent(event); return [event.defaultPrevented, area.value]; }"""
    assert page.evaluate(composing) == [False, ".nad"]
    page.keyboard.press("F1")
    page.wait_for_selector("#keys[open]")


def test_a_report_over_two_exams_and_a_form(house: Any) -> None:
    services.ensure_templates()
    neck = make_procedure(description="CT neck", body_region="neck")
    chest = make_procedure(order=neck.order)
    page, report = opened(house, neck)
    page.click("summary:has-text('Exams')")
    page.click("button[name=procedure]:has-text('CT chest')")
    page.wait_for_selector(f"#s-findings-{chest.uuid}")
    page.fill(f"#s-findings-{chest.uuid}", "A nodule of 6 mm.")
    page.wait_for_selector(SAVED)
    report.refresh_from_db()
    assert "CT chest:\nA nodule of 6 mm." in report.sections["findings"]
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/reading/templates/import/")
    page.set_input_files("[name=document]", {"name": "t.html", "mimeType": "text/html", "buffer": DOCUMENT.encode()})
    page.click("main button.btn-primary")
    page.wait_for_selector("h1:has-text('CT brain, form')")
    page.goto(f"/reports/{report.uuid}/")
    page.click("summary:has-text('Template') >> nth=0")
    page.click("button.mi:has-text('CT brain, form') >> nth=0")
    page.wait_for_selector("#mrrt-form")
    page.fill("[name=f-f3]", "14")
    page.fill("[name=f-f4]", "straight")
    with page.expect_response("**/form/"):
        page.select_option("[name=f-f1]", "present")
    page.wait_for_selector(SAVED)
    assert "Diameter: 14 mm" in page.input_value("[data-kind=findings]")
    assert FilledForm.objects.get(report=report).answers["f1"] == "present"


def test_the_password_is_asked_in_place(house: Any) -> None:
    from ris.accounts.selectors import facility_settings

    row = facility_settings()
    row.reauthenticate_minutes = 0
    row.save()
    page, report = opened(house)
    page.fill("#s-findings", "Clear.")
    page.fill("#s-impression", "Normal.")
    page.keyboard.press("F9")
    page.wait_for_selector("[data-report-slot] [role=alert]")
    page.fill(".rp-sign [name=password]", PASSWORD)
    page.keyboard.press("F9")
    page.wait_for_selector("text=Signed final.")
    report.refresh_from_db()
    assert report.status == "final"


def test_the_referrer_opens_and_acknowledges_in_the_browser(house: Any) -> None:
    from ris.accounts.models import Practitioner

    user = user_with_roles("referring_physician", username="atieno")
    practitioner = Practitioner.objects.create(family_name="Atieno", user=user)
    reader = Actor("web", user_with_roles("radiologist"))
    report = services.open_report([make_procedure(requester=practitioner)], actor=reader)
    sections = {"findings": "x", "impression": "All well."}
    services.sign_report(report, sections=sections, revision=None, actor=reader)
    page = house.enter("atieno", "/results/")
    page.click(".rp-mail")
    page.wait_for_selector("text=All well.")
    page.click("text=I have read this")
    page.wait_for_selector("text=has read this")
    assert ReportDelivery.objects.get().status == "acknowledged"
