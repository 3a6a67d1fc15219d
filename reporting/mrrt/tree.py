"""A small tree of HTML5: read, cleaned, written, compared. Pure.

Cleaning keeps an allow-list of elements and attributes and says what it took away: scripts (other than the coding block
of ``text/xml``), event handlers, styles, references to the outside, and what is unknown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser

from django.utils.translation import gettext as _

from ris.core.errors import DomainError


def names(words: str) -> frozenset[str]:
    return frozenset(words.split())


LARGEST = 1_000_000
DEEPEST = 60
VOID = names("area base br col embed hr img input link meta source track wbr")
#: An opening tag closes an open one of these before it
CLOSES = {
    "li": {"li"},
    "option": {"option"},
    "optgroup": {"option", "optgroup"},
    "tr": {"tr", "td", "th"},
    "td": {"td", "th"},
    "th": {"td", "th"},
    "dt": {"dt", "dd"},
    "dd": {"dt", "dd"},
    "tbody": {"thead", "tbody", "tr", "td", "th"},
    "body": {"head"},
}
ENDS_P = names(
    "address article aside blockquote div dl fieldset footer form h1 h2 h3 h4 h5 h6 header hr main nav ol p pre section"
    " table ul"
)
KEPT = names(
    "html head title meta body section header footer article main div span p br hr label input textarea select option"
    " optgroup fieldset legend ul ol li dl dt dd table caption colgroup col thead tbody tfoot tr td th h1 h2 h3 h4 h5"
    " h6 b i strong em u sub sup small pre blockquote q abbr time data"
)
#: Gone with all that is in them; of other unknown elements the content stays
DANGEROUS = names(
    "script style link iframe frame frameset object embed applet svg math audio video canvas base noscript template"
    " slot portal"
)
ATTRIBUTES = names(
    "id class name for value type title lang dir selected checked min max step placeholder readonly multiple size"
    " maxlength rows cols disabled required colspan rowspan charset content label datetime scheme"
)
OUTSIDE = names("src srcset href xlink:href action formaction poster background cite longdesc ping manifest")
BOOLEAN = names("selected checked readonly multiple disabled required")
#: Browsers read only text in them
TEXT_ONLY = names("title textarea")
ENDS_SCRIPT = re.compile(r"<(?=/?script)", re.IGNORECASE)
SPACE = re.compile(r"[ \t\n\r\f]+")


class NotATemplate(DomainError):
    """The document cannot be a report template; ``errors`` says what is wrong where."""

    code = "not_a_template"
    http_status = 422


@dataclass
class Node:
    tag: str
    attrs: dict[str, str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def find(self, tag: str) -> Node | None:
        return next((node for node in self.walk() if node.tag == tag), None)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def words(self) -> str:
        return SPACE.sub(" ", self.text).strip()


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("#document")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._close_before(tag)
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)
        if len(self.open) > DEEPEST:
            raise NotATemplate(_("The document is nested too deeply."))

    def _close_before(self, tag: str) -> None:
        closes = CLOSES.get(tag, set())
        while len(self.open) > 1 and self.open[-1].tag in closes:
            self.open.pop()
        if tag in ENDS_P and self.open[-1].tag == "p":
            self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self.open) - 1, 0, -1):
            if self.open[depth].tag == tag:
                del self.open[depth:]
                return

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(html: str) -> Node:
    """The document as a tree; NotATemplate when it is none that we read."""
    if len(html) > LARGEST:
        raise NotATemplate(_("The document is too large."), found=_("%(count)d characters.") % {"count": len(html)})
    builder = _Builder()
    builder.feed(html.replace("\0", ""))
    builder.close()
    if builder.root.find("html") is None or builder.root.find("body") is None:
        raise NotATemplate(_("This is no HTML document."), todo=_("Send a whole document with <html>, <head>, <body>."))
    return builder.root


def clean(root: Node) -> tuple[Node, list[str]]:
    """A copy with only what is harmless, and what was taken away: "2 × <script>"."""
    gone: Counter[str] = Counter()
    html = root.find("html")
    assert html is not None
    cleaned = Node("#document", {}, [_cleaned(html, gone)])
    return cleaned, [f"{count} × {what}" for what, count in sorted(gone.items())]


def is_coding(node: Node) -> bool:
    """The block of ``template_attributes``: data in a script element that no browser runs."""
    return node.tag == "script" and node.attrs.get("type", "").strip().lower() in ("text/xml", "application/xml")


def _cleaned(node: Node, gone: Counter[str]) -> Node:
    if is_coding(node):
        return Node("script", {"type": "text/xml"}, [node.text])
    kept = Node(node.tag, _clean_attributes(node, gone))
    if node.tag in TEXT_ONLY:
        kept.children = [node.text]
        gone.update(f"<{child.tag}>" for child in node.children if isinstance(child, Node))
        return kept
    for child in node.children:
        if isinstance(child, str):
            kept.children.append(child)
        elif child.tag in DANGEROUS and not is_coding(child):
            gone[f"<{child.tag}>"] += 1
        elif child.tag == "meta" and "http-equiv" in child.attrs:
            gone["<meta http-equiv>"] += 1
        elif child.tag in KEPT or is_coding(child):
            kept.children.append(_cleaned(child, gone))
        elif child.tag == "img":
            gone["<img>"] += 1
        else:
            gone[f"<{child.tag}>"] += 1
            kept.children += _cleaned(child, gone).children
    return kept


def _clean_attributes(node: Node, gone: Counter[str]) -> dict[str, str]:
    kept = {}
    for name, value in node.attrs.items():
        if name in ATTRIBUTES or re.fullmatch(r"data-[a-z0-9-]+", name):
            if re.match(r"\s*(javascript|vbscript|data):", value, re.IGNORECASE):
                gone[_("script in an attribute (%(name)s)") % {"name": name}] += 1
            else:
                kept[name] = value
        elif name.startswith("on"):
            gone[_("event handler (%(name)s)") % {"name": name}] += 1
        elif name == "style":
            gone[_("style attribute")] += 1
        elif name in OUTSIDE:
            gone[_("reference (%(name)s)") % {"name": name}] += 1
        else:
            gone[_("attribute (%(name)s)") % {"name": name}] += 1
    return kept


def written(root: Node) -> str:
    """The tree as HTML5."""
    html = root.find("html")
    return "<!DOCTYPE html>\n" + (_written(html) if html is not None else "") + "\n"


def _written(node: Node) -> str:
    attributes = "".join(
        f" {name}" if name in BOOLEAN else f' {name}="{escape(value, quote=True)}"'
        for name, value in node.attrs.items()
    )
    if node.tag in VOID:
        return f"<{node.tag}{attributes}>"
    if node.tag == "script":
        inner = ENDS_SCRIPT.sub("&lt;", node.text)
    else:
        inner = "".join(
            escape(child, quote=False) if isinstance(child, str) else _written(child) for child in node.children
        )
    lead = "\n" if node.tag in ("pre", "textarea") and inner.startswith("\n") else ""
    return f"<{node.tag}{attributes}>{lead}{inner}</{node.tag}>"


def meaning(node: Node) -> tuple:
    """What a document says, to compare two: elements, attributes in any order, words without their layout."""
    said: list = []
    words = ""
    for child in node.children:
        if isinstance(child, str):
            words += child
            continue
        if words.strip():
            said.append(SPACE.sub(" ", words).strip())
        words = ""
        said.append(meaning(child))
    if words.strip():
        said.append(SPACE.sub(" ", words).strip())
    attributes = {name: "" if name in BOOLEAN else value for name, value in node.attrs.items()}
    return (node.tag, tuple(sorted(attributes.items())), tuple(said))
