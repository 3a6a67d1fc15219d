"""Rules that hold in every template of the house: no inline style or script, known icons, words through gettext."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
BYTES_OF_CSS_AND_JS = 150_000


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_there_is_no_inline_style_or_script(page):
    html = COMMENT.sub("", page.read_text())
    assert not re.search(r"\sstyle\s*=\s*[\"'{]", html), "style attribute"
    assert not re.search(r"<style[\s>]", html), "style element"
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", html), "event handler attribute"
    assert not re.search(r"\shx-on", html), "hx-on needs eval"
    assert "javascript:" not in html
    for script in re.findall(r"<script\b([^>]*)>", html):
        assert "src=" in script or "application/json" in script, "inline script"


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_nothing_is_fetched_from_elsewhere(page):
    html = COMMENT.sub("", page.read_text())
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", html)


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_icons_exist_in_the_sprite(page):
    html = page.read_text()
    used = {name for pattern in ICON_USES for name in pattern.findall(html)}
    assert used <= sprite(), f"not in static/icons.svg: {sorted(used - sprite())}"


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


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_the_viewport_may_be_zoomed(page):
    assert "user-scalable" not in page.read_text()
    assert "maximum-scale" not in page.read_text()


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
