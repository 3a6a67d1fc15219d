"""People at real browsers: ``house.enter("clerk", "/patients/")`` signs a person in and gives the page."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from ris.accounts.models import User
from tests.factories.accounts import UserFactory

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="install Chromium (apt-get install chromium)"),
]

#: On a machine that does other things as well, a page may take its time.
PATIENCE_MS = 30_000


class House:
    """One Chromium, a window per person. What breaks, is refused by the policy or answers 5xx is kept."""

    def __init__(self, browser: Any, base_url: str) -> None:
        self.browser, self.base_url = browser, base_url
        self.complaints: list[str] = []
        #: Parts of addresses that a test broke on purpose; their answers are no complaint, whenever they come
        self.broken: list[str] = []
        self._windows: dict[str, Any] = {}

    def enter(self, username: str, path: str) -> Any:
        """The person's window at ``path``; signs in the first time."""
        page = self._windows.get(username)
        if page is None:
            page = self._windows[username] = self._open()
            sign_in(page.context, username, self.base_url)
        page.goto(path)
        return page

    def stranger(self) -> Any:
        """A window that nobody is signed in at."""
        page = self._open()
        self._windows[f"stranger {len(self._windows)}"] = page
        return page

    def _open(self) -> Any:
        context = self.browser.new_context(base_url=self.base_url, viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._listen)
        page.on("response", self._watch)
        page.on("request", self._read_address)
        page.on("dialog", lambda dialog: dialog.accept())
        return page

    def _listen(self, line: Any) -> None:
        if "Content Security Policy" in line.text:
            self.complaints.append(line.text)

    def _watch(self, response: Any) -> None:
        if response.status >= 500 and not any(part in response.url for part in self.broken):
            self.complaints.append(f"{response.status} {response.url}")

    def _read_address(self, request: Any) -> None:
        if "term=" in request.url or "q=" in request.url:
            self.complaints.append(f"typed words in the address: {request.url}")

    def close(self) -> None:
        for page in self._windows.values():
            page.context.close()


def sign_in(context: Any, username: str, base_url: str) -> None:
    """Give the windows a session as the form makes one just now, in the current facility; it has tests of its own."""
    client, now = Client(), time.time()
    client.force_login(User.objects.get(username=username), backend="ris.accounts.backends.PasswordBackend")
    session = client.session
    session.update({"authenticated_at": now, "auth_method": "password", "seen_at": now, "locked": False})
    session.save()
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": base_url, "httpOnly": True}])


@contextmanager
def chromium() -> Iterator[Any]:
    """To be open before ``facility_server``: Playwright's loop gives this thread a database connection of its own."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # our ORM calls are guests of that loop
    try:
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            yield browser
            browser.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@contextmanager
def peopled_house(browser: Any, facility: Any, roles: Mapping[str, str]) -> Iterator[House]:
    """A house with people (user name: role) in which nothing may break, nor be refused by the policy."""
    for username, role in roles.items():
        UserFactory(username=username, given_name="Asha", family_name=username.capitalize(), roles=(role,))
    opened = House(browser, facility)
    yield opened
    opened.close()
    assert opened.complaints == []


def text_of(page: Any, selector: str = "main") -> str:
    """What a person reads there, with single spaces."""
    return " ".join(page.inner_text(selector).split())
