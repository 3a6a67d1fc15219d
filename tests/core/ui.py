"""Material for the tests of the frame: a request without a database, a person, and the icons of the sprite."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from django.template import engines
from django.test import RequestFactory

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"


def person(*codes: str, roles: tuple[str, ...] = ("radiologist",)) -> Any:
    """Somebody signed in who holds these rights."""
    return SimpleNamespace(
        is_authenticated=True,
        is_active=True,
        is_staff=True,
        pk=7,
        display_name="Dr N. Wekesa",
        initials="NW",
        role_names=frozenset(roles),
        may=lambda code: code in codes,
        get_username=lambda: "n.wekesa",
    )


def request(path: str = "/", user: Any = None, **data: Any) -> Any:
    built = RequestFactory().get(path, data)
    built.user = user or SimpleNamespace(is_authenticated=False, pk=None)
    built.tenant = SimpleNamespace(name="Ziwa Regional Hospital", schema_name="ziwa")
    return built


def draw(source: str, asked: Any = None, **context: Any) -> str:
    """Render template source with the tags loaded and the context processors run."""
    template = engines["django"].from_string("{% load i18n picha %}" + source)
    return template.render(context, asked if asked is not None else request())


@functools.cache
def sprite() -> set[str]:
    return set(re.findall(r'<symbol id="([a-z0-9-]+)"', (STATIC / "icons.svg").read_text()))
