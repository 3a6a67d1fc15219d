"""docs/where.md names operations, pages and commands; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.urls import Resolver404, resolve

from ris.tenants import operations
from tests.e2e import routes

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "where.md"
#: What manage.py does itself
OWN_COMMANDS = {"demo", "walk", "test"}
#: Where only what lies below answers, and what answers before a facility is known
OTHERS = {"/api/v1/", "/dicomweb/", *operations.VIEWS}


@pytest.mark.django_db
def test_what_is_said_to_be_somewhere_is_there():
    told = re.findall(r"`([^`]+)`", DOCUMENT.read_text().partition("## Not here yet")[0])
    paths = {
        f"{method.upper()} {re.sub(r'{uuid}', '{id}', path.removeprefix('/api/v1/'))}"
        for path, methods in routes.document()["paths"].items()
        for method in methods
    }
    missing = [name for name in told if not is_there(name, paths)]
    assert missing == []
    assert sum(name in paths for name in told) > 100


def is_there(name: str, paths: set[str]) -> bool:
    if name.startswith("manage.py "):
        return name.split()[1] in {*get_commands(), *OWN_COMMANDS}
    if re.match(r"(GET|POST|PUT|PATCH|DELETE) ", name):
        return name in paths
    if name.startswith("/") and name not in OTHERS:
        try:
            return resolve(name.replace("{id}", routes.NOBODY)) is not None
        except Resolver404:
            return False
    return True
