"""static/js/app.js in a real browser, under the real Content Security Policy, on the component sheet."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.browser import chromium, needs_chromium, sign_in
from tests.factories.accounts import PASSWORD, UserFactory

pytestmark = needs_chromium

SHEET = "/styleguide/"
ROWS = """<tr id="a" tabindex="0" data-href="#a"><td>first</td></tr>
<tr id="b" tabindex="-1" data-href="#b"><td>{b}</td></tr>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def tab(browser: Any, facility_server: Any) -> Iterator[Any]:
    """A signed-in radiologist on the component sheet; nothing may be refused by the policy or break."""
    UserFactory(username="wekesa", roles=("radiologist",))
    context = browser.new_context(base_url=facility_server.alpha, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if "Content Security Policy" in line.text else None)
    sign_in(context, "wekesa", facility_server.alpha)
    page.goto(SHEET)
    yield page
    context.close()
    assert complaints == []


def theme(tab: Any) -> str:
    return tab.evaluate("document.documentElement.dataset.bsTheme")


def until(tab: Any, expression: str) -> None:
    """Wait until it is true (Playwright's own waiting evaluates strings, which the policy forbids)."""
    deadline = time.monotonic() + 10
    while not tab.evaluate(expression):
        assert time.monotonic() < deadline, expression
        time.sleep(0.05)


def append(tab: Any, html: str) -> None:
    """Put a piece of page at the end of main, as htmx would."""
    tab.evaluate(
        """html => { const main = document.querySelector('main');
        main.insertAdjacentHTML('beforeend', html); htmx.process(main); }""",
        html,
    )


def selected(tab: Any) -> int:
    return tab.evaluate("[...document.querySelectorAll('tbody tr')].findIndex(r => r.ariaSelected === 'true')")


def test_the_theme_changes_in_place_and_is_painted_by_the_server_next_time(tab):
    tab.click("[aria-label='Switch light or dark theme']")
    assert theme(tab) == "dark"
    html = tab.request.get(SHEET).text()
    assert 'data-bs-theme="dark"' in html
    tab.click("[aria-label='Switch light or dark theme']")
    assert theme(tab) == "light"


def test_keys_move_through_a_list_open_its_menu_and_rest_in_fields(tab):
    tab.click("h1")
    start = selected(tab)
    tab.keyboard.press("j")
    assert selected(tab) == start + 1
    tab.keyboard.press("k")
    assert selected(tab) == start
    tab.keyboard.press(".")
    assert tab.evaluate("document.querySelector('tr[aria-selected=true] details').open") is True
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.querySelector('tr[aria-selected=true] details').open") is False
    tab.click("[aria-label='Find in list']")
    tab.keyboard.type("jk.?")
    assert tab.input_value("[aria-label='Find in list']") == "jk.?"
    assert selected(tab) == start


def test_a_slash_leads_to_the_search(tab):
    if not tab.locator(".pi-search").count():
        pytest.skip("no app serves a page named search")
    tab.click("h1")
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.name") == "q"
    assert tab.get_attribute(".pi-search", "method") == "post"


def test_the_key_list_opens_and_switches_single_keys_off(tab):
    tab.click("h1")
    tab.keyboard.press("?")
    tab.wait_for_selector("dialog.pi-dialog[open]")
    tab.uncheck("[data-single-keys]")
    tab.keyboard.press("Escape")
    start = selected(tab)
    tab.keyboard.press("j")
    assert selected(tab) == start


def test_a_danger_is_named_before_it_is_done(tab):
    append(
        tab,
        '<form method="get" action="/styleguide/" data-confirm="Discard order 26-118?">'
        '<button id="go">x</button></form>',
    )
    tab.click("#go")
    assert "Discard order 26-118?" in tab.inner_text("dialog.pi-dialog")
    tab.click("dialog.pi-dialog button:has-text('Cancel')")
    assert tab.url.endswith(SHEET)
    tab.click("#go")
    tab.click("dialog.pi-dialog button:has-text('Yes, go on')")
    tab.wait_for_url("**/styleguide/?*")


def test_what_is_typed_comes_back_until_it_is_discarded(tab):
    tab.fill("[data-draft] [name=family_name]", "Otieno")
    until(tab, "Object.keys(localStorage).some(k => k.startsWith('picha:draft:'))")
    tab.reload()
    assert tab.input_value("[data-draft] [name=family_name]") == "Otieno"
    tab.click("text=Discard it")
    assert tab.input_value("[data-draft] [name=family_name]") == ""
    tab.reload()
    assert tab.input_value("[data-draft] [name=family_name]") == ""


def test_a_draft_ends_with_its_acknowledgement_and_with_signing_out(tab):
    drafts = "Object.keys(localStorage).filter(k => k.startsWith('picha:draft:')).length"
    tab.fill("[data-draft] [name=family_name]", "Otieno")
    until(tab, f"{drafts} === 1")
    key = tab.get_attribute("[data-draft]", "data-draft")
    tab.context.add_cookies([{"name": "picha_draft_done", "value": key, "url": tab.url}])
    tab.reload()
    assert tab.evaluate(drafts) == 0
    tab.fill("[data-draft] [name=family_name]", "Mwangi")
    until(tab, f"{drafts} === 1")
    tab.click("summary:has(.pi-avatar)")
    tab.click("text=Sign out")
    tab.wait_for_url("**/sign-in/**")
    until(tab, f"{drafts} === 0")


def test_the_lock_hides_the_page_and_opens_in_place(tab):
    tab.fill("[data-draft] [name=family_name]", "Otieno")
    tab.click("summary:has(.pi-avatar)")
    with tab.expect_response("**/session/lock/"):
        tab.click("text=Lock the screen")
    assert tab.evaluate("getComputedStyle(document.querySelector('main')).visibility") == "hidden"
    tab.keyboard.press("Escape")
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.querySelector('#lock').open") is True
    tab.fill("#lock-password", "wrong")
    tab.click("#lock button.btn-primary")
    tab.wait_for_selector("#lock-error:not([hidden])")
    tab.fill("#lock-password", PASSWORD)
    tab.click("#lock button.btn-primary")
    until(tab, "!document.querySelector('#lock').open")
    assert tab.input_value("[data-draft] [name=family_name]") == "Otieno"
    assert tab.evaluate("getComputedStyle(document.querySelector('main')).visibility") == "visible"


def test_a_screen_that_nobody_touches_locks_by_itself(tab):
    tab.clock.install()
    tab.reload()
    tab.clock.run_for(14 * 60_000)
    assert tab.evaluate("document.querySelector('#lock').open") is False
    tab.mouse.move(300, 300)
    tab.clock.run_for(14 * 60_000)
    assert tab.evaluate("document.querySelector('#lock').open") is False
    tab.clock.run_for(2 * 60_000)
    assert tab.evaluate("document.querySelector('#lock').open") is True


def test_time_left_counts_down_and_is_spoken_at_its_thresholds(tab):
    tab.clock.install()
    tab.reload()
    first = "document.querySelector('.sla[data-what]')"
    tab.clock.run_for(60_000 * 5 + 30_000)
    assert "1\xa0h\xa035 left" in tab.evaluate(f"{first}.textContent")
    tab.evaluate(f"() => {{ const s = {first}; s.dataset.left = 50; }}")
    tab.clock.run_for(60_000 * 3)
    assert tab.evaluate(f"{first}.classList.contains('soon')")
    until(tab, "document.querySelector('#say').textContent.includes('26-118')")


def polled(tab: Any, answers: list[dict[str, Any]]) -> list[dict[str, str]]:
    """A list that polls; the server's answers are these, in turn. Returns the headers it was asked with."""
    asked: list[dict[str, str]] = []

    def answer(route: Any) -> None:
        asked.append(route.request.headers)
        given = answers[min(len(asked), len(answers)) - 1]
        route.abort() if given.get("abort") else route.fulfill(**given)

    tab.route("**/polled/", answer)
    page = (
        '<div class="pi-scroll"><table class="pi-table"><tbody id="list" data-poll="/polled/" data-poll-every="5">'
        + ROWS.format(b="second")
        + "</tbody></table></div>"
    )
    html = tab.content().replace("</main>", f"{page}</main>")
    tab.route(f"**{SHEET}?polled", lambda route: route.fulfill(body=html, content_type="text/html"))
    tab.clock.install()
    tab.goto(f"{SHEET}?polled")
    return asked


def test_polling_changes_rows_in_place_and_announces_new_ones(tab):
    new = '<tr id="c" data-stat tabindex="-1"><td>third</td></tr>' + ROWS.format(b="changed")
    fresh = {"body": new, "content_type": "text/html", "headers": {"ETag": '"1"', "Content-Type": "text/html"}}
    asked = polled(tab, [fresh, {"status": 304}])
    tab.clock.run_for(5200)
    tab.wait_for_selector("#news")
    assert "1 new STAT" in tab.inner_text("#news")
    assert tab.evaluate("[...document.querySelectorAll('#list tr')].map(r => r.id).join()") == "a,b"
    assert tab.inner_text("#b") == "changed"
    with tab.expect_request("**/polled/") as again:
        tab.clock.run_for(5200)
    assert asked[0]["x-background"] == "1"
    assert again.value.headers.get("if-none-match") == '"1"'
    tab.click("#news button")
    assert tab.evaluate("[...document.querySelectorAll('#list tr')].map(r => r.id).join()") == "c,a,b"


def test_three_failures_say_since_when_there_is_no_connection(tab):
    polled(tab, [{"abort": True}, {"abort": True}, {"abort": True}, {"status": 304}])
    for _ in range(2):
        tab.clock.run_for(5200)
    assert not tab.is_visible("#offline")
    tab.clock.run_for(5200)
    tab.wait_for_selector("#offline.on")
    assert "No connection since" in tab.inner_text("#offline")
    tab.clock.run_for(5200)
    tab.wait_for_selector("#offline:not(.on)", state="attached")


def test_a_locked_session_is_noticed_by_the_poll(tab):
    problem = {"status": 401, "headers": {"X-Session-Locked": "1"}, "body": json.dumps({})}
    polled(tab, [problem])
    tab.clock.run_for(5200)
    tab.wait_for_selector("#lock[open]")


def test_a_refused_write_is_explained_above_its_form_with_the_focus(tab):
    alert = '<div class="pi-alert t-red" role="alert"><h3 tabindex="-1">That time is taken</h3></div>'
    heads = {"HX-Retarget": "#messages", "HX-Reswap": "innerHTML", "Content-Type": "text/html"}
    tab.route("**/refused/", lambda route: route.fulfill(status=409, body=alert, headers=heads))
    append(
        tab,
        '<section id="s"><div data-alert-slot></div>'
        '<form hx-post="/refused/" hx-target="#s" hx-select="tbody"><button id="b">Book</button></form></section>',
    )
    with tab.expect_request("**/refused/") as sent:
        tab.click("#b")
    assert sent.value.headers["x-csrftoken"]
    tab.wait_for_selector("#s [data-alert-slot] h3")
    assert tab.evaluate("document.activeElement.textContent") == "That time is taken"
    assert tab.is_visible("#s form")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_width_scrolls_sideways(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    for width in (320, 390, 720, 1024, 1440):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.reload()
        wide = "document.querySelector('{0}').scrollWidth > document.querySelector('{0}').clientWidth"
        assert not tab.evaluate(wide.format("html")), width
        assert not tab.evaluate(wide.format("main")), width
        background = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert background == ("rgb(17, 18, 20)" if scheme == "dark" else "rgb(245, 246, 247)"), width
        assert tab.is_visible(".pi-tabbar") == (width <= 640), width


def test_without_scripts_the_page_still_works(browser, facility_server):
    UserFactory(username="wekesa", roles=("radiologist",))
    context = browser.new_context(base_url=facility_server.alpha, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/sign-in/?next={SHEET}")
    page.fill("[name=username]", "wekesa")
    page.fill("[name=password]", PASSWORD)
    page.click("form.stack button.btn-primary")
    page.click("[aria-label='Switch light or dark theme']")
    assert page.get_attribute("html", "data-bs-theme") == "dark"
    page.click("summary[aria-label^='Language']")
    page.click("button[lang=sw]")
    assert page.get_attribute("html", "lang") == "sw"
    page.click("nav a[href='/shortcuts/']")
    assert page.locator("dl.pi-keys").count() == 5
    context.close()
