"""Rules that hold in every template of the house: no inline style or script, known icons, words through gettext."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ris.core import panels, vocabulary
from tests.core.ui import ROOT, STATIC, TEMPLATES, sprite

PAGES = sorted(TEMPLATES.rglob("*.html")) + sorted(
    page for app in ROOT.glob("*/templates") if ".venv" not in str(app) for page in app.rglob("*.html")
)
COMMENT = re.compile(r"{#.*?#}|{%\s*comment.*?endcomment\s*%}", re.S)
ICON_USES = (
    re.compile(r"{%\s*icon\s+[\"']([a-z0-9-]+)[\"']"),
    re.compile(r"\bicon=[\"']([a-z0-9-]+)[\"']"),
    re.compile(r"{%\s*(?:chip|flag)\s+[\"'][a-z]+[\"']\s+[\"']([a-z0-9-]+)[\"']"),
    re.compile(r"icons\.svg(?:' %})?#([a-z0-9-]+)"),
)
INLINE = {
    "style attribute": re.compile(r"\sstyle\s*=\s*[\"'{]"),
    "style element": re.compile(r"<style[\s>]"),
    "event handler attribute": re.compile(r"\son[a-z]+\s*=\s*[\"']"),
    "hx-on, which needs eval": re.compile(r"\shx-on"),
    "address with a script": re.compile("javascript:"),
}
BYTES_OF_CSS_AND_JS = 150_000


def pages_with(fault: Callable[[str], Any]) -> dict[str, Any]:
    """What is wrong in which page. A test for each page and rule would be a quarter of all tests."""
    assert len(PAGES) > 100
    return {str(page.relative_to(ROOT)): found for page in PAGES if (found := fault(page.read_text()))}


def inline(page: str) -> list[str]:
    html = COMMENT.sub("", page)
    found = [name for name, pattern in INLINE.items() if pattern.search(html)]
    scripts = re.findall(r"<script\b([^>]*)>", html)
    if any("src=" not in script and "application/json" not in script for script in scripts):
        found.append("inline script")
    return found


def test_there_is_no_inline_style_or_script():
    assert pages_with(inline) == {}


def test_nothing_is_fetched_from_elsewhere():
    elsewhere = re.compile(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//")
    assert pages_with(lambda page: elsewhere.findall(COMMENT.sub("", page))) == {}


def test_icons_exist_in_the_sprite():
    def missing(page: str) -> set[str]:
        return {name for pattern in ICON_USES for name in pattern.findall(page)} - sprite()

    assert pages_with(missing) == {}, "not in static/icons.svg"


def test_icons_named_in_code_exist_in_the_sprite():
    looks = [*vocabulary.STATUS.values(), *vocabulary.PRIORITY.values(), *vocabulary.CATEGORY.values()]
    used = {look.icon for look in (*looks, *vocabulary.VERDICT.values())}
    used |= set(vocabulary.ALERT_ICONS.values()) | {item.icon for item in panels.nav_items()}
    assert used <= sprite(), sorted(used - sprite())


def test_every_status_of_every_model_has_a_look():
    from django.apps import apps

    missing = set()
    for model in apps.get_models():
        if model.__module__.split(".")[0] not in (
            "orders",
            "worklist",
            "reporting",
            "dose",
            "peerreview",
            "interop",
            "ris",
        ):
            continue
        field = next((f for f in model._meta.get_fields() if f.name == "status" and getattr(f, "choices", None)), None)
        for code, _words in field.choices if field else []:
            key = vocabulary.normal(code)
            if vocabulary.ALIASES.get(key, key) not in vocabulary.STATUS:
                missing.add(f"{model._meta.label}.{code}")
    assert not missing


def test_the_viewport_may_be_zoomed():
    assert pages_with(lambda page: re.findall("user-scalable|maximum-scale", page)) == {}


def test_the_first_visit_is_light():
    import gzip

    files = ("vendor/tabler.min.css", "css/picha.css", "vendor/htmx.min.js", "js/app.js")
    weight = sum(len(gzip.compress((STATIC / name).read_bytes())) for name in files)
    assert weight < BYTES_OF_CSS_AND_JS


def test_vendored_files_carry_their_licence_and_no_map():
    for name in ("tabler.min.css", "htmx.min.js", "chart.umd.min.js", "cornerstone3d.min.js"):
        code = (STATIC / "vendor" / name).read_text()
        assert re.search(r"MIT|BSD", code[:600])
        assert "sourceMappingURL" not in code
