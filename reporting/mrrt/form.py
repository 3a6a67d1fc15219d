"""A template of HTML5 (IHE RAD, Management of Radiology Report Templates) as a form: sections, lines, fields, codes.

The lines of a section serve the page that is filled in and the text that comes of it alike, so both say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext as _

from reporting.mrrt.coding import Code, coding_of
from reporting.mrrt.tree import SPACE, Node, NotATemplate, clean, names, parse

BLOCKS = names(
    "p div li tr dt dd h1 h2 h3 h4 h5 h6 header footer section article main fieldset legend table tbody thead tfoot ul"
    " ol dl caption pre blockquote"
)
MOST_FIELDS = 500
#: What sections are called in templates, and where their text goes here
NAMES = {
    "clinical_information": (
        "clinical information|clinical history|history|indication|indications|reason for exam|clinical question|"
        "taarifa za kliniki|klinische angaben|fragestellung"
    ),
    "technique": "technique|procedure|procedure information|protocol|imaging technique|mbinu|technik|untersuchung",
    "comparison": "comparison|comparisons|prior studies|ulinganisho|vergleich|voraufnahmen",
    "findings": "findings|observations|matokeo|befund",
    "impression": "impression|impressions|conclusion|diagnosis|summary|assessment|hitimisho|beurteilung",
    "recommendation": "recommendation|recommendations|follow-up|follow up|mapendekezo|empfehlung",
}
SECTION_OF = {name: key for key, names in NAMES.items() for name in names.split("|")}
LOINC_OF = {
    "18785-6": "clinical_information",
    "55111-9": "technique",
    "18834-2": "comparison",
    "59776-5": "findings",
    "19005-8": "impression",
    "18783-0": "recommendation",
}


@dataclass(frozen=True)
class Option:
    value: str
    label: str
    codes: tuple[Code, ...] = ()


@dataclass(frozen=True)
class Field:
    """``kind``: text, area, number, select, several, checkbox, radio, date, time. ``completion``: NONE, ALERT, DELETE,
    PROHIBIT: what an empty one does to its line and to the signature."""

    id: str
    kind: str
    label: str
    default: str | tuple[str, ...]
    options: tuple[Option, ...] = ()
    units: str = ""
    low: str = ""
    high: str = ""
    step: str = ""
    completion: str = "NONE"
    codes: tuple[Code, ...] = ()

    @property
    def is_required(self) -> bool:
        return self.completion in ("ALERT", "PROHIBIT")


Item = str | Field


@dataclass(frozen=True)
class Section:
    id: str
    name: str
    key: str
    level: int
    lines: tuple[tuple[Item, ...], ...]

    @property
    def is_named_here(self) -> bool:
        """Whether the report's own heading says its name already."""
        return self.name.strip().lower() in SECTION_OF


@dataclass(frozen=True)
class Form:
    title: str
    description: str
    language: str
    metadata: tuple[tuple[str, str], ...]
    codes: tuple[Code, ...]
    sections: tuple[Section, ...]
    fields: Mapping[str, Field] = field(default_factory=dict)

    def defaults(self) -> dict[str, Any]:
        return {
            row.id: list(row.default) if isinstance(row.default, tuple) else row.default for row in self.fields.values()
        }


@lru_cache(maxsize=64)
def form_of(html: str) -> Form:
    """Read a (cleaned) template; raises NotATemplate with the reason."""
    root, _gone = clean(parse(html))
    return _Reader(root).form()


class _Reader:
    def __init__(self, root: Node) -> None:
        self.root = root
        self.whole, self.codes = coding_of(root)
        self.labels = {
            node.attrs["for"]: node.words for node in root.walk() if node.tag == "label" and node.attrs.get("for")
        }
        self.fields: dict[str, Field] = {}

    def form(self) -> Form:
        metadata = tuple(
            (node.attrs["name"], node.attrs.get("content", ""))
            for node in self.root.walk()
            if node.tag == "meta" and node.attrs.get("name")
        )
        said = {name.lower(): value for name, value in metadata}
        heading = self.root.find("title")
        title = said.get("dcterms.title") or (heading.words if heading else "")
        if not title.strip():
            raise NotATemplate(
                _("The template has no title."),
                todo=_('Give it <meta name="dcterms.title"> or <title>.'),
                errors={"dcterms.title": _("Needed.")},
            )
        html = self.root.find("html")
        language = said.get("dcterms.language") or (html.attrs.get("lang", "") if html else "") or "en"
        sections = tuple(self._sections())
        if not sections:
            raise NotATemplate(
                _("The template has no section."),
                todo=_("Put its content into <section data-section-name=…>."),
                errors={"section": _("Needed.")},
            )
        return Form(
            title.strip()[:100],
            said.get("dcterms.description", "").strip()[:500],
            language.lower().split("-")[0][:8],
            metadata,
            self.whole,
            sections,
            self.fields,
        )

    def _sections(self) -> Iterator[Section]:
        body = self.root.find("body")
        assert body is not None
        yield from self._within(body, "", 1)

    def _within(self, node: Node, key: str, level: int) -> Iterator[Section]:
        for child in node.children:
            if not isinstance(child, Node):
                continue
            if child.tag == "section" and child.attrs.get("data-section-name"):
                name = SPACE.sub(" ", child.attrs["data-section-name"]).strip()
                own = self._key_of(child, name) or key or "findings"
                yield Section(child.attrs.get("id", ""), name, own, level, tuple(self._lines(child, name)))
                yield from self._within(child, own, level + 1)
            else:
                yield from self._within(child, key, level)

    def _key_of(self, node: Node, name: str) -> str:
        known = SECTION_OF.get(name.lower(), "")
        coded = [
            LOINC_OF[code.value] for code in self.codes.get(node.attrs.get("id", ""), ()) if code.value in LOINC_OF
        ]
        return known or (coded[0] if coded else "")

    def _lines(self, section: Node, name: str) -> Iterator[tuple[Item, ...]]:
        line: list[Item] = []
        for item in self._items(section):
            if item is None:
                if _has_something(line):
                    yield tuple(_joined(line))
                line = []
            else:
                line.append(item)
        if _has_something(line):
            yield tuple(_joined(line))

    def _items(self, node: Node) -> Iterator[Item | None]:
        """Words and fields in their order; None ends a line. Nested sections and the heading come on their own."""
        for child in node.children:
            if isinstance(child, str):
                yield child
            elif child.tag == "section" and child.attrs.get("data-section-name"):
                yield None
            elif child.tag == "header":
                continue
            elif child.tag == "br":
                yield None
            elif child.tag in ("input", "textarea", "select"):
                found = self._field(child)
                if found is not None:
                    yield found
            elif child.tag == "label" and self._is_of_box(child):
                continue
            elif child.tag in BLOCKS:
                yield None
                yield from self._items(child)
                yield None
            else:
                if child.tag in ("td", "th"):
                    yield " "
                yield from self._items(child)
                if child.tag in ("td", "th"):
                    yield " "

    def _is_of_box(self, label: Node) -> bool:
        """A box carries its own label into the text."""
        target = label.attrs.get("for", "")
        return any(
            node.attrs.get("id") == target and node.attrs.get("type", "").lower() in ("checkbox", "radio")
            for node in self.root.walk()
            if target and node.tag == "input"
        )

    def _field(self, node: Node) -> Field | None:
        kind = _kind_of(node)
        if kind == "hidden":
            return None
        if kind == "radio":
            return self._radio(node)
        name = node.attrs.get("id") or node.attrs.get("name") or ""
        if not name:
            raise NotATemplate(
                _("A field has no id."),
                found=f"<{node.tag} {' '.join(f'{key}={value}' for key, value in list(node.attrs.items())[:3])}>"[:200],
                errors={"id": _("Needed.")},
            )
        if name in self.fields:
            raise NotATemplate(_("Two fields have the same id."), found=name, errors={name: _("Not the only one.")})
        if len(self.fields) >= MOST_FIELDS:
            raise NotATemplate(_("The template has too many fields."))
        options = tuple(
            Option(row.attrs.get("value", row.words), row.words, self.codes.get(row.attrs.get("id", ""), ()))
            for row in node.walk()
            if row.tag == "option"
        )
        if kind in ("select", "several") and not options:
            raise NotATemplate(_("A list has nothing to choose from."), found=name, errors={name: _("No option.")})
        completion = node.attrs.get("data-field-completion-action", "NONE").strip().upper()
        attrs = node.attrs
        made = Field(
            id=name,
            kind=kind,
            label=self.labels.get(name) or attrs.get("title") or attrs.get("name") or name,
            default=_default_of(node, kind),
            options=options,
            units=attrs.get("data-field-units", ""),
            low=attrs.get("min", ""),
            high=attrs.get("max", ""),
            step=attrs.get("step", ""),
            completion=completion if completion in ("ALERT", "DELETE", "PROHIBIT") else "NONE",
            codes=self.codes.get(name, ()),
        )
        self.fields[name] = made
        return made

    def _radio(self, node: Node) -> Field | None:
        """All buttons of one name are one field, where the first of them stands."""
        name = node.attrs["name"]
        if name in self.fields:
            if self.fields[name].kind != "radio":
                raise NotATemplate(_("Two fields have the same id."), found=name, errors={name: _("Not the only one.")})
            return None
        buttons = [row for row in self.root.walk() if _is_radio(row) and row.attrs["name"] == name]
        options, completion = [], "NONE"
        for row in buttons:
            own = row.attrs.get("id", "")
            label = self.labels.get(own) or row.attrs.get("title") or row.attrs.get("value") or own
            options.append(Option(row.attrs.get("value") or label, label, self.codes.get(own, ())))
            wanted = row.attrs.get("data-field-completion-action", "NONE").strip().upper()
            completion = wanted if wanted in ("ALERT", "DELETE", "PROHIBIT") else completion
        chosen = [option.value for row, option in zip(buttons, options, strict=True) if "checked" in row.attrs]
        made = Field(name, "radio", name, chosen[-1] if chosen else "", tuple(options), completion=completion)
        self.fields[name] = made
        return made


def _is_radio(node: Node) -> bool:
    return node.tag == "input" and _kind_of(node) == "radio"


def _kind_of(node: Node) -> str:
    if node.tag == "textarea":
        return "area"
    if node.tag == "select":
        return "several" if "multiple" in node.attrs else "select"
    kind = node.attrs.get("type", "").lower() or node.attrs.get("data-field-type", "").lower() or "text"
    if kind == "radio" and not node.attrs.get("name"):
        return "checkbox"  # in no group it is a box of its own
    known = {"number", "checkbox", "radio", "date", "time", "hidden"}
    return kind if kind in known else "text"


def _default_of(node: Node, kind: str) -> str | tuple[str, ...]:
    if kind == "area":
        return node.text.strip("\n")
    if kind in ("select", "several"):
        chosen = [
            row.attrs.get("value", row.words) for row in node.walk() if row.tag == "option" and "selected" in row.attrs
        ]
        return tuple(chosen) if kind == "several" else (chosen[0] if chosen else "")
    if kind == "checkbox":
        return node.attrs.get("value", "on") if "checked" in node.attrs else ""
    return node.attrs.get("value", "")


def _has_something(line: list[Item]) -> bool:
    return any(not isinstance(item, str) or item.strip() for item in line)


def _joined(line: list[Item]) -> Iterator[Item]:
    """Words that stand beside each other as one, without the layout of the source."""
    words = ""
    for item in line:
        if isinstance(item, str):
            words += item
            continue
        if words:
            yield SPACE.sub(" ", words)
        words = ""
        yield item
    if words.strip():
        yield SPACE.sub(" ", words).rstrip()


NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
