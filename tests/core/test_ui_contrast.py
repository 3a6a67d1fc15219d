"""The tokens of static/css/picha.css keep WCAG 2.2's contrast in both themes (1.4.3, 1.4.11)."""

from __future__ import annotations

import re

import pytest

from tests.core.ui import STATIC

TONES = ("slate", "blue", "teal", "violet", "indigo", "amber", "orange", "green", "red")
TEXT, EDGE = 4.5, 3.0


def block(css: str, opening: str) -> dict[str, str]:
    start = css.index("{", css.index(opening))
    return dict(re.findall(r"--([\w-]+):(#[0-9a-fA-F]{3,6})\b", css[start : css.index("\n}", start)]))


def themes() -> dict[str, dict[str, str]]:
    css = (STATIC / "css" / "picha.css").read_text()
    light = block(css, ":root,[data-bs-theme=light],[data-bs-theme=auto]{")
    dark = light | block(css, "\n[data-bs-theme=dark]{")
    on_ink = dict(re.findall(r"\.pi-patient,\.pi-toast\{--(pi-focus):(#\w+)", css))
    for theme in (light, dark):
        theme["pi-focus-on-ink"] = on_ink["pi-focus"]
    return {"light": light, "dark": dark}


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def pairs() -> list[tuple[str, str, float]]:
    found = [
        (text, ground, TEXT)
        for text in ("pi-text", "pi-text-2", "pi-text-3", "pi-link")
        for ground in ("pi-surface", "pi-bg", "pi-surface-2", "pi-select", "pi-hover")
    ]
    found += [
        ("pi-text-2", "pi-sunken", TEXT),
        ("pi-accent-2", "pi-accent-soft", TEXT),
        ("pi-on-accent", "pi-accent", TEXT),
        ("pi-on-accent", "pi-accent-2", TEXT),
        ("pi-ink-text", "pi-ink", TEXT),
        ("pi-ink-text-2", "pi-ink", TEXT),
        ("pi-ink-text", "pi-ink-2", TEXT),
        ("pi-on-crit", "pi-crit", TEXT),
        ("pi-focus-on-ink", "pi-ink", EDGE),
        ("pi-accent", "pi-surface", EDGE),
        ("pi-accent", "pi-select", EDGE),
        ("pi-crit", "pi-surface", EDGE),
    ]
    found += [("pi-focus", ground, EDGE) for ground in ("pi-surface", "pi-bg", "pi-surface-2", "pi-select")]
    found += [("pi-ctl-border", ground, EDGE) for ground in ("pi-surface", "pi-bg")]
    for tone in TONES:
        found += [(f"{tone}-fg", ground, TEXT) for ground in (f"{tone}-bg", "pi-surface", "pi-select")]
        found += [(f"{tone}-bd", "pi-surface", EDGE), ("pi-text", f"{tone}-bg", TEXT)]
        found += [("pi-text-2", f"{tone}-bg", TEXT)]
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_pair_of_tokens_has_enough_contrast(theme):
    tokens = themes()[theme]
    weak = [
        f"{front} on {ground}: {contrast(tokens[front], tokens[ground]):.2f} < {needed}"
        for front, ground, needed in pairs()
        if contrast(tokens[front], tokens[ground]) < needed
    ]
    assert not weak


def test_the_theme_of_the_device_is_the_dark_theme():
    css = (STATIC / "css" / "picha.css").read_text()
    chosen = block(css, "\n[data-bs-theme=dark]{")
    by_device = block(css, "@media (prefers-color-scheme:dark){[data-bs-theme=auto]{")
    assert by_device == chosen


def test_the_reading_room_is_never_brighter_than_its_text():
    dark = block((STATIC / "css" / "picha.css").read_text(), "\n[data-bs-theme=dark]{")
    limit = luminance("#d0d0d0")
    for name in ("pi-bg", "pi-surface", "pi-surface-2", "pi-select", "pi-hover", "pi-ink", "pi-text"):
        assert luminance(dark[name]) <= limit


def test_styles_outside_the_tokens_name_no_colour():
    """Below the tokens only print, film and the ink's focus ring may say a colour."""
    css = (STATIC / "css" / "picha.css").read_text()
    body = css[css.index("/* ---------- 2 ") : css.index("/* ---------- 15 ")]
    found = set(re.findall(r"#[0-9a-fA-F]{3,6}\b", body))
    assert found <= {"#9ad4f5", "#c9d1d6", "#b8c4cb"}
