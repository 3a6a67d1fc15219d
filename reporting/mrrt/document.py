"""Templates as documents: what is taken in, and what goes out again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reporting.models import SECTIONS
from reporting.mrrt.answers import section_texts
from reporting.mrrt.form import Form, form_of
from reporting.mrrt.tree import Node, clean, parse, written


@dataclass(frozen=True)
class Imported:
    """``html`` is what is kept; ``stripped`` says what was taken away."""

    html: str
    form: Form
    sections: dict[str, str]
    stripped: list[str]


def read(source: str) -> Imported:
    """A document from outside, cleaned and understood; raises NotATemplate with the reason."""
    root, stripped = clean(parse(source))
    html = written(root)
    form = form_of(html)
    return Imported(html, form, section_texts(form, form.defaults()), stripped)


def document_of(template: Any) -> str:
    """A template as MRRT: the form as it was taken in under its present name, or a field per section of text."""
    return _renamed(template) if template.mrrt else _made(template)


def _renamed(template: Any) -> str:
    root = parse(template.mrrt)
    form = form_of(template.mrrt)
    wanted = {}
    if form.title != template.name:
        wanted["dcterms.title"] = template.name
    if form.language != template.language:
        wanted["dcterms.language"] = template.language
    if form.description != template.description:
        wanted["dcterms.description"] = template.description
    if wanted:
        _put_metadata(root, wanted)
    return written(root)


def _put_metadata(root: Node, wanted: Mapping[str, str]) -> None:
    known = {node.attrs.get("name", "").lower(): node for node in root.walk() if node.tag == "meta"}
    head = root.find("head")
    if head is None:
        head = Node("head")
        html = root.find("html")
        assert html is not None
        html.children.insert(0, head)
    for name, value in wanted.items():
        if name in known:
            known[name].attrs["content"] = value
        else:
            head.children.append(Node("meta", {"name": name, "content": value}))
    title = root.find("title")
    if title is not None and "dcterms.title" in wanted:
        title.children = [wanted["dcterms.title"]]


def _made(template: Any) -> str:
    head = Node("head", {}, [Node("title", {}, [template.name]), Node("meta", {"charset": "UTF-8"})])
    metadata = {
        "dcterms.title": template.name,
        "dcterms.description": template.description,
        "dcterms.identifier": f"urn:uuid:{template.uuid}",
        "dcterms.language": template.language,
        "dcterms.type": "IMAGE_REPORT_TEMPLATE",
        "dcterms.date": f"{template.updated_at:%Y-%m-%d}",
    }
    head.children += [Node("meta", {"name": name, "content": value}) for name, value in metadata.items() if value]
    entries = "".join(
        f'<entry ORIGTXT="{key}"><term><code meaning="{label}" value="{loinc}" scheme="LOINC"/></term></entry>'
        for key, (loinc, label) in SECTIONS.items()
        if key in template.sections
    )
    coding = f"<template_attributes><coded_content>{entries}</coded_content></template_attributes>"
    head.children.append(Node("script", {"type": "text/xml"}, [coding]))
    body = Node("body")
    for key, (_loinc, label) in SECTIONS.items():
        if key in template.sections:
            body.children.append(_section(key, str(label), template.sections[key]))
    return written(Node("#document", {}, [Node("html", {"lang": template.language}, [head, body])]))


def _section(key: str, label: str, words: str) -> Node:
    header = Node("header", {"class": "level1"}, [label])
    attrs = {"id": f"{key}-text", "name": label, "data-field-type": "TEXTAREA"}
    area = Node("textarea", attrs, [words])
    return Node("section", {"id": key, "class": "level1", "data-section-name": label}, [header, Node("p", {}, [area])])
