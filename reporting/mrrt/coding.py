"""The coding block of a template: ``<script type="text/xml"><template_attributes>``. Kept as it is, read as data."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from django.utils.translation import gettext as _

from reporting.mrrt.tree import Node, NotATemplate, is_coding


@dataclass(frozen=True)
class Code:
    value: str
    scheme: str
    meaning: str

    def as_dict(self) -> dict[str, str]:
        return {"value": self.value, "scheme": self.scheme, "meaning": self.meaning}


def coding_of(root: Node) -> tuple[tuple[Code, ...], dict[str, tuple[Code, ...]]]:
    """Codes of the whole template, and of the elements by their id. NotATemplate when the XML is broken."""
    whole: list[Code] = []
    by_id: dict[str, tuple[Code, ...]] = {}
    for script in (node for node in root.walk() if is_coding(node)):
        if not script.text.strip():
            continue
        tree = _xml(script.text)
        for child in tree:
            if _name(child) == "term":
                whole += _codes(child)
        for entry in (node for node in tree.iter() if _name(node) == "entry"):
            reference = entry.get("ORIGTXT") or entry.get("origtxt") or ""
            if reference:
                by_id[reference] = (*by_id.get(reference, ()), *_codes(entry))
    return tuple(whole), by_id


def _xml(text: str) -> ElementTree.Element:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise NotATemplate(_("The coding block declares entities."), todo=_("Write the coding block without a DTD."))
    try:
        return ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as exc:
        line, column = exc.position
        raise NotATemplate(
            _("The coding block is no XML."),
            found=_("Line %(line)d, column %(column)d of it.") % {"line": line, "column": column},
            errors={"template_attributes": _("Not well-formed.")},
        ) from None


def _name(node: ElementTree.Element) -> str:
    return str(node.tag).rpartition("}")[2].lower()


def _codes(node: ElementTree.Element) -> tuple[Code, ...]:
    return tuple(
        Code(row.get("value", ""), row.get("scheme", ""), row.get("meaning", ""))
        for row in node.iter()
        if _name(row) == "code" and row.get("value")
    )
