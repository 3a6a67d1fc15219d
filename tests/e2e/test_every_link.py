"""Every link and form of every page, for every role: it leads somewhere the person may go."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client, override_settings
from django.urls import Resolver404, resolve

from ris.core.permissions import ROLES
from tests.conftest import files_in, shared_start
from tests.factories.exam import booked_exam, ordered_exam, performed_exam, user_with, whole_exam

#: Pages in all for one role; of each kind one is looked at
AT_MOST = 300
#: Documents of the REST interface name what needs a token; the static files have a server of their own
ELSEWHERE = ("/static/", "/api/", "/metrics")
#: Pages of the administration that every table has, and that its own tests open
OF_EVERY_TABLE = ("/history/", "/add/")

#: The tags that may point somewhere: a tenth of a page
POINTING = re.compile(r"<(?:a|form|img)\s[^>]*>|<\w[^>]*\s(?:hx-get|hx-post|formaction)=[^>]*>")

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def exams(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An exam in each of four states, for every role to walk past."""
    with shared_start(django_db_blocker):
        with override_settings(**files_in(tmp_path_factory.mktemp("exams"))):
            ordered_exam()
            for hour, make in enumerate((whole_exam, performed_exam, booked_exam)):
                make(family_name=f"Family{hour}", hour=hour)
        yield


class Targets(HTMLParser):
    """What a page points at: (method, address)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page, self.found = page, set[tuple[str, str]]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in values:
            self._add("get", values["href"])
        elif tag == "form":
            self._add(values.get("method", "get").lower(), values.get("action", ""))
        for method in ("get", "post"):
            if f"hx-{method}" in values:
                self._add(method, values[f"hx-{method}"])
        if "formaction" in values:
            self._add("post", values["formaction"])
        if tag == "img" and "src" in values:
            self._add("get", values["src"])

    def _add(self, method: str, address: str) -> None:
        parts = urlsplit(urljoin(self.page, address))
        if parts.scheme in ("", "http", "https") and not parts.netloc and not parts.path.startswith(ELSEWHERE):
            self.found.add((method, parts.path + (f"?{parts.query}" if parts.query else "")))


@cache
def kind_of(address: str) -> str:
    """The pattern that answers it and the one filter it names; of several filters at once one page is enough."""
    parts = urlsplit(address)
    names = {part.partition("=")[0] for part in parts.query.split("&") if part}
    if parts.path.startswith("/admin/"):
        names = set()  # Django's own filters are not ours to try
    return f"{resolve(parts.path).route}?{names.pop() if len(names) == 1 else len(names) and 'several'}"


def wrong_links(client: Client) -> list[str]:
    """Walks from the home page; what leads nowhere, is forbidden or breaks."""
    waiting, seen, kinds, wrong = deque([("/", "the start")]), {"/"}, set[str](), []
    while waiting:
        address, origin = waiting.popleft()
        if kind_of(address) in kinds:
            continue
        kinds.add(kind_of(address))
        answer = client.get(address)
        if answer.status_code not in (200, 302, 304):
            wrong.append(f"{answer.status_code} {address} on {origin}")
        if answer.status_code == 302 and urlsplit(answer["Location"]).netloc == "":
            targets = {("get", urljoin(address, answer["Location"]))}
        elif answer.get("Content-Type", "").startswith("text/html") and not answer.streaming:
            parser = Targets(address)
            parser.feed("".join(POINTING.findall(answer.content.decode())))
            targets = parser.found
        else:
            continue
        for method, target in sorted(targets):
            try:
                kind_of(target)
            except Resolver404:
                wrong.append(f"nothing at {target} on {address}")
                continue
            if method == "get" and target not in seen and not target.endswith(OF_EVERY_TABLE):
                seen.add(target)
                waiting.append((target, address))
    assert len(kinds) < AT_MOST, "a page names filters of its own without end"
    return wrong


@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_link_leads_somewhere(exams, alpha, client, role):
    client.force_login(user_with(f"somebody-{role}", role))
    client.defaults["HTTP_HOST"] = "alpha.test"
    assert wrong_links(client) == []
