"""The frame: menu and panels by right, theme and language by cookie, drafts, error pages."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import path

from ris.core import panels
from ris.core.context import Shell, draft_key
from ris.core.web import urls as core_urls
from ris.core.web import views
from ris.core.web.middleware import DRAFT_COOKIE, DraftMiddleware
from tests.core.ui import draw, person, request


def page(asked, **kwargs):
    return HttpResponse("ok")


urlpatterns = [
    path("", page, name="home"),
    path("patients/", page, name="patient_list"),
    path("reading/", page, name="reading_list"),
    path("search/", page, name="search"),
    *core_urls.urlpatterns,
]


@pytest.fixture
def registry(monkeypatch, settings):
    """An empty menu, and only the addresses of this module; a facility is chosen, as on every page."""
    connection.set_schema("ziwa")
    monkeypatch.setattr(panels, "_nav", {})
    monkeypatch.setattr(panels, "_panels", {})
    monkeypatch.setattr(panels, "_bells", {})
    settings.ROOT_URLCONF = __name__
    panels.register_nav(
        panels.NavItem(
            "reading", "Reading", "reading_list", "eye", permission="reporting.view_report", count=lambda r: 47
        ),
        panels.NavItem("home", "Home", "home", "home", section="home", mobile=True),
        panels.NavItem(
            "patients", "Patients", "patient_list", "users", permission=("a.b", "orders.view_patient"), order=10
        ),
        panels.NavItem("elsewhere", "Elsewhere", "no_such_page", "x"),
    )


def keys(shell):
    return [entry["item"].key for section in shell.nav for entry in section["items"]]


def test_the_menu_shows_what_resolves_and_what_the_user_may(registry):
    assert keys(Shell(request("/", person("orders.view_patient")))) == ["home", "patients"]
    assert keys(Shell(request("/", person("reporting.view_report")))) == ["home", "reading"]
    assert keys(Shell(request("/"))) == []


def test_the_menu_marks_where_we_are(registry):
    html = draw('{% include "components/nav.html" %}', request("/reading/list/", person("reporting.view_report")))
    assert '<a href="/reading/" title="Reading" aria-current="page">' in html
    assert 'href="/" title="Home">' in html
    assert ">47</span>" in html
    html = draw(
        '{% include "components/nav.html" %}', request("/reading/", person("reporting.view_report")), nav="home"
    )
    assert '<a href="/" title="Home" aria-current="page">' in html


def test_a_menu_entry_is_registered_once(registry):
    with pytest.raises(ValueError, match="twice"):
        panels.register_nav(panels.NavItem("home", "Start", "home", "home"))
    with pytest.raises(ValueError, match="no section"):
        panels.register_nav(panels.NavItem("new", "New", "home", "home", section="nowhere"))


def test_a_panel_is_drawn_for_who_may_see_it(registry):
    def selector(obj, *, request):
        return {"title": f"Dose of {obj}"} if obj == "P1" else None

    panels.register_panel(panels.Panel("patient.dose", selector, "tests/panel.html", permission="dose.view_dose"))
    template = '{% panel "patient.dose" who %}'
    panels.register_panel(
        panels.Panel("patient.dose", selector, "components/alert.html", permission="dose.view_dose", key="a")
    )
    del panels._panels[("patient.dose", "tests/panel.html")]
    assert "Dose of P1" in draw(template, request("/", person("dose.view_dose")), who="P1")
    assert draw(template, request("/", person("dose.view_dose")), who="P2") == ""
    assert draw(template, request("/", person()), who="P1") == ""
    assert draw(template, request("/"), who="P1") == ""


def test_the_bell_adds_up(registry):
    panels.register_bell("a", lambda r: 2)
    panels.register_bell("b", lambda r: None)
    panels.register_bell("c", lambda r: 1)
    assert Shell(request("/", person())).bell == 3
    assert Shell(request("/")).bell == 0


def whole_page(asked):
    return draw('{% include "base.html" %}', asked)


def test_a_page_has_landmarks_a_skip_link_and_its_theme(registry):
    asked = request("/", person())
    asked.COOKIES["picha_theme"] = "dark"
    html = whole_page(asked)
    assert '<html lang="en" data-bs-theme="dark">' in html
    assert '<a class="pi-skip" href="#main">' in html
    assert '<main id="main"' in html
    assert 'action="/search/"' in html
    assert 'data-idle-minutes="15"' in html
    assert 'action="/sign-out/" data-sign-out' in html


def test_the_facility_decides_when_a_screen_locks(registry):
    asked = request("/", person())
    asked.idle_minutes = 0
    html = whole_page(asked)
    assert 'data-idle-minutes="0"' in html
    assert 'id="lock"' not in html


def test_a_stranger_sees_no_menu_and_no_search(registry):
    html = whole_page(request("/"))
    assert 'action="/search/"' not in html
    assert 'href="/sign-in/"' in html
    assert 'id="lock"' not in html


def test_a_theme_that_does_not_exist_is_not_painted(registry):
    asked = request("/")
    asked.COOKIES["picha_theme"] = '"><script>'
    assert Shell(asked).theme == "auto"


@pytest.mark.parametrize(
    ("wanted", "before", "after"), [("dark", "", "dark"), ("toggle", "dark", "light"), ("x", "", "auto")]
)
def test_the_theme_is_remembered_in_a_cookie(wanted, before, after):
    asked = RequestFactory().post("/theme/", {"theme": wanted, "next": "/reading/?modality=CT"})
    asked.COOKIES["picha_theme"] = before
    response = views.set_theme(asked)
    assert response.status_code == 302
    assert response["Location"] == "/reading/?modality=CT"
    assert response.cookies["picha_theme"].value == after


def test_the_language_is_remembered_in_a_cookie(settings):
    response = views.set_language(RequestFactory().post("/language/", {"language": "sw", "next": "/"}))
    assert response.cookies[settings.LANGUAGE_COOKIE_NAME].value == "sw"
    response = views.set_language(RequestFactory().post("/language/", {"language": "xx"}))
    assert response.cookies[settings.LANGUAGE_COOKIE_NAME].value == "en"


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)", ""])
def test_a_switch_never_leads_away_from_this_host(target):
    assert views.set_theme(RequestFactory().post("/theme/", {"theme": "dark", "next": target}))["Location"] == "/"


def test_the_switches_are_not_followed_as_links():
    assert views.set_theme(RequestFactory().get("/theme/")).status_code == 405
    assert views.set_language(RequestFactory().get("/language/")).status_code == 405


def test_keys_are_listed_as_a_page_and_as_a_dialog(registry):
    whole = views.shortcuts(request("/shortcuts/", person()))
    assert b"<html" in whole.content
    asked = request("/shortcuts/", person())
    asked.META["HTTP_HX_REQUEST"] = "true"
    part = views.shortcuts(asked)
    assert b"<html" not in part.content
    assert b"data-single-keys" in part.content


def test_the_menu_is_also_a_page(registry):
    html = views.menu(request("/menu/", person("orders.view_patient"))).content.decode()
    assert html.count('href="/patients/"') == 2


def test_a_draft_key_is_opaque_and_one_person_s_own():
    mine = draft_key(request("/", person()), "order", "0190")
    assert mine == draft_key(request("/", person()), "order", "0190")
    assert len(mine) == 24
    other = request("/", person())
    other.user.pk = 8
    assert draft_key(other, "order", "0190") != mine
    elsewhere = request("/", person())
    elsewhere.tenant.schema_name = "second"
    assert draft_key(elsewhere, "order", "0190") != mine


KEY = "0123456789abcdef01234567"


def through(response, **data):
    asked = RequestFactory().post("/orders/", data)
    assert asked.POST is not None
    return DraftMiddleware(lambda _request: response)(asked)


def test_a_stored_form_releases_its_draft():
    assert (
        through(HttpResponse(status=302, headers={"Location": "/orders/1/"}), _draft=KEY).cookies[DRAFT_COOKIE].value
        == KEY
    )


@pytest.mark.parametrize(
    ("status", "location", "key"),
    [
        (200, "", KEY),
        (422, "", KEY),
        (409, "", KEY),
        (302, "/sign-in/?next=/", KEY),
        (302, "/x/", "no-key"),
        (302, "/x/", ""),
    ],
)
def test_a_form_that_was_not_stored_keeps_its_draft(status, location, key):
    response = HttpResponse(status=status, headers={"Location": location} if location else {})
    assert DRAFT_COOKIE not in through(response, _draft=key).cookies


@pytest.mark.parametrize(
    ("view", "status"),
    [
        (views.not_found, 404),
        (views.forbidden, 403),
        (views.bad_request, 400),
        (views.csrf_failure, 403),
        (views.server_error, 500),
        (views.unavailable, 503),
    ],
)
def test_an_error_page_says_what_was_asked_what_was_found_and_what_to_do(view, status, registry):
    asked = request("/patients/OTIENO/")
    asked.correlation_id = "3f9c1c2ab04d4c55"
    asked.COOKIES["picha_theme"] = "dark"
    response = view(asked)
    html = response.content.decode()
    assert response.status_code == status
    for words in ("You asked", "We found", "What to do", "3f9c1c2ab04d4c55", 'data-bs-theme="dark"'):
        assert words in html
    assert "OTIENO" not in html


def test_an_error_page_needs_no_user_and_no_database(registry):
    asked = SimpleNamespace(COOKIES={}, headers={}, path="/patients/", correlation_id="abc")
    assert b"abc" in views.server_error(asked).content
    assert b"abc" in views.unavailable(asked).content


def test_the_sign_in_page_has_its_fields_switches_and_slots(registry):
    context = {"oidc_enabled": True, "otp_required": True, "username": "n.wekesa"}
    context["oidc_providers"] = [{"label": "County account", "url": "/oidc/"}]
    html = draw('{% include "accounts/sign_in.html" %}', request("/sign-in/"), **context)
    for part in (
        'name="username"',
        'name="password"',
        'name="otp_token"',
        "County account",
        "one-time-code",
        "Kiswahili",
    ):
        assert part in html
    assert 'autocomplete="current-password"' in html
    assert "County account" not in draw('{% include "accounts/sign_in.html" %}', request("/sign-in/"))


def test_home_is_what_the_apps_put_there(registry):
    stat = {"label": "On my list", "value": 47, "icon": "eye", "url": "/reading/", "hurts": True}
    panels.register_panel(
        panels.Panel(
            "home.stats", lambda obj, *, request: stat, "components/stat.html", permission="reporting.view_report"
        ),
        panels.Panel("home.stats", lambda obj, *, request: None, "components/stat.html", key="nothing"),
    )
    html = views.home(request("/", person("reporting.view_report"))).content.decode()
    assert '<a class="pi-stat hurts" href="/reading/">' in html
    assert "47" in html
    html = views.home(request("/", person("orders.view_patient"))).content.decode()
    assert "On my list" not in html
    assert html.count('href="/patients/"') == 2


def test_home_without_any_right_says_whom_to_ask(registry):
    panels._nav.clear()
    assert "Ask your administrator for a role" in views.home(request("/", person())).content.decode()


def test_home_asks_strangers_to_sign_in(registry):
    response = views.home(request("/"))
    assert response.status_code == 302
    assert response["Location"].startswith("/sign-in/")


@pytest.mark.parametrize("typed", ["2026-04-03", "3 Apr 2026", "03/04/2026", "3.4.2026"])
def test_a_date_is_read_day_before_month(typed):
    from django.forms import DateField

    assert DateField().clean(typed) == dt.date(2026, 4, 3)


def test_a_month_before_its_day_is_not_a_date():
    from django.core.exceptions import ValidationError
    from django.forms import DateField

    with pytest.raises(ValidationError):
        DateField().clean("04/23/2026")
