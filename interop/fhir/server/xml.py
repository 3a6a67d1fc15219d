"""Resources to and from FHIR's XML (2.6.1), by the shapes of fhir.resources' models.

The reader is expat with every way out closed: no DOCTYPE, hence no entity, internal or external; a limit of depth.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from interop.fhir.server.call import Resource, Version
from interop.fhir.server.errors import Refused
from interop.fhir.server.shape import ATTRIBUTES, Element, elements_of, is_resource

FHIR, XHTML = "http://hl7.org/fhir", "http://www.w3.org/1999/xhtml"
SCHEMA_HINTS = "http://www.w3.org/2001/XMLSchema-instance"
DEPTH = 100
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
#: The control characters that XML 1.0 cannot say
SPOKEN = {code: None for code in range(0x20) if code not in (0x9, 0xA, 0xD)} | {0xFFFE: None, 0xFFFF: None}


# --- writing


def written(resource: Resource, version: Version, *, pretty: bool = False) -> bytes:
    """Raises Refused (400) for what is no element of its type."""
    parts: list[str] = [HEAD, "\n" if pretty else ""]
    _Writer(version, parts, pretty).resource(resource, 0, f' xmlns="{FHIR}"')
    return "".join(parts).encode()


class _Writer:
    def __init__(self, version: Version, parts: list[str], pretty: bool) -> None:
        self.version, self.parts, self.pretty = version, parts, pretty

    def put(self, text: str, depth: int) -> None:
        self.parts.append(f"{'  ' * depth}{text}\n" if self.pretty else text)

    def resource(self, resource: Resource, depth: int, namespace: str = "") -> None:
        name = resource.get("resourceType", "")
        if not is_resource(self.version, name):
            raise Refused(400, f"{name or '?'} is no resource of FHIR {self.version.number}.", issue="structure")
        self.put(f"<{name}{namespace}>", depth)
        self.children(resource, name, depth + 1, is_root=True)
        self.put(f"</{name}>", depth)

    def children(self, node: dict[str, Any], type_name: str, depth: int, *, is_root: bool = False) -> None:
        elements = elements_of(self.version, type_name)
        known = 1 if is_root else 0
        for name, element in elements.items():
            value, extra = node.get(name), node.get(f"_{name}")
            known += (name in node) + (f"_{name}" in node)
            if (name == "id" and not is_root) or (type_name, name) in ATTRIBUTES or (value is None and extra is None):
                continue
            values, extras = _lists(value, extra, element.is_list)
            for one, more in zip(values, extras, strict=True):
                self.element(element, one, more, depth)
        if known != len(node):
            strange = sorted(key for key in node if key.lstrip("_") not in elements and key != "resourceType")
            raise Refused(400, f"{type_name} has no element {', '.join(strange)}.", issue="structure")

    def element(self, element: Element, value: Any, more: Any, depth: int) -> None:
        name = element.name
        if element.kind == "xhtml":
            self.put(str(value).translate(SPOKEN), depth)
        elif element.kind == "resource":
            self.put(f"<{name}>", depth)
            self.resource(value, depth + 1)
            self.put(f"</{name}>", depth)
        elif element.kind == "complex":
            attributes = f" id={quoteattr(value['id'])}" if "id" in value else ""
            if (element.type_name, "url") in ATTRIBUTES and "url" in value:
                attributes += f" url={quoteattr(value['url'])}"
            self.put(f"<{name}{attributes}>", depth)
            self.children(value, element.type_name, depth + 1)
            self.put(f"</{name}>", depth)
        else:
            attributes = f" id={quoteattr(more['id'])}" if more and "id" in more else ""
            if value is not None:
                attributes += f" value={_attribute(value)}"
            inner = list((more or {}).get("extension", ()))
            if not inner:
                self.put(f"<{name}{attributes}/>", depth)
                return
            self.put(f"<{name}{attributes}>", depth)
            for extension in inner:
                self.element(Element("extension", "complex", True, "Extension"), extension, None, depth + 1)
            self.put(f"</{name}>", depth)


def _lists(value: Any, extra: Any, is_list: bool) -> tuple[list[Any], list[Any]]:
    values = value if is_list and value is not None else [value]
    extras = extra if is_list and extra is not None else [extra]
    length = max(len(values), len(extras))
    return [*values, *[None] * (length - len(values))], [*extras, *[None] * (length - len(extras))]


def _attribute(value: Any) -> str:
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    return quoteattr(str(value).translate(SPOKEN), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


# --- reading


class Node:
    __slots__ = ("attributes", "children", "name", "space")

    def __init__(self, space: str, name: str, attributes: dict[str, str]) -> None:
        self.space, self.name, self.attributes, self.children = space, name, attributes, []


def parsed(content: bytes, version: Version) -> Resource:
    """Raises Refused (400) for what is not well formed, holds a DOCTYPE, or is no element of its type."""
    root = _tree(content)
    if root.space != FHIR:
        raise Refused(400, f"The root element is not of the namespace {FHIR}.", issue="structure")
    return _resource(root, version)


def _tree(content: bytes) -> Node:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    top = Node("", "", {})
    stack = [top]

    def refuse(*_args: Any) -> None:
        raise Refused(400, "A DOCTYPE is not accepted: entities are never read.", issue="security")

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > DEPTH:
            raise Refused(400, "The elements are nested too deeply.", issue="too-long")
        space, _blank, local = name.rpartition(" ")
        node = Node(space, local, attributes)
        stack[-1].children.append(node)
        stack.append(node)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _name: stack.pop()
    parser.CharacterDataHandler = lambda text: stack[-1].children.append(text)
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        where = f"line {error.lineno}, column {error.offset}"
        raise Refused(400, f"The XML is not well formed ({where}).", issue="structure") from None
    return top.children[0]


def _resource(node: Node, version: Version) -> Resource:
    if not is_resource(version, node.name):
        raise Refused(400, f"{node.name} is no resource of FHIR {version.number}.", issue="structure")
    return {"resourceType": node.name, **_complex(node, node.name, version)}


def _complex(node: Node, type_name: str, version: Version) -> dict[str, Any]:
    elements = elements_of(version, type_name)
    made: dict[str, Any] = {key: value for key, value in node.attributes.items() if key in ("id", "url")}
    _check_attributes(node, ("id", "url") if (type_name, "url") in ATTRIBUTES else ("id",))
    extras: dict[str, list[Any]] = {}
    for child in node.children:
        if isinstance(child, str):
            if child.strip():
                raise Refused(400, f"{type_name} holds text between its elements.", issue="structure")
            continue
        element = elements.get(child.name)
        if element is None or (child.space != FHIR and element.kind != "xhtml"):
            raise Refused(400, f"{type_name} has no element {child.name}.", issue="structure", expression=type_name)
        value, more = _value(child, element, version)
        if not element.is_list:
            if child.name in made or f"_{child.name}" in made:
                raise Refused(400, f"{type_name}.{child.name} may stand once.", issue="structure")
            if value is not None:
                made[child.name] = value
            if more:
                made[f"_{child.name}"] = more
            continue
        made.setdefault(child.name, []).append(value)
        extras.setdefault(child.name, []).append(more)
    for name, found in extras.items():
        if any(found):
            made[f"_{name}"] = found
        if all(value is None for value in made[name]):
            del made[name]
    return made


def _value(node: Node, element: Element, version: Version) -> tuple[Any, dict[str, Any] | None]:
    if element.kind == "xhtml":
        return _xhtml(node), None
    if element.kind == "resource":
        inner = [child for child in node.children if isinstance(child, Node)]
        if len(inner) != 1:
            raise Refused(400, f"{element.name} holds one resource.", issue="structure")
        return _resource(inner[0], version), None
    if element.kind == "complex":
        return _complex(node, element.type_name, version), None
    more: dict[str, Any] = {}
    if "id" in node.attributes:
        more["id"] = node.attributes["id"]
    extension = Element("extension", "complex", True, "Extension")
    for child in node.children:
        if isinstance(child, Node):
            if child.name != "extension":
                raise Refused(400, f"{element.name} has no element {child.name}.", issue="structure")
            more.setdefault("extension", []).append(_value(child, extension, version)[0])
    _check_attributes(node, ("id", "value"))
    text = node.attributes.get("value")
    return None if text is None else _typed(text, element), more or None


def _check_attributes(node: Node, known: tuple[str, ...]) -> None:
    """Hints of XML Schema are passed over, all else has to be FHIR's."""
    strange = [name for name in node.attributes if name not in known and not name.startswith(f"{SCHEMA_HINTS} ")]
    if strange:
        raise Refused(400, f"{node.name} has no attribute {', '.join(sorted(strange))}.", issue="structure")


def _typed(text: str, element: Element) -> Any:
    if element.kind == "boolean":
        if text not in ("true", "false"):
            raise Refused(400, f"{element.name} is true or false.", issue="value")
        return text == "true"
    if element.kind in ("integer", "decimal"):
        try:
            return int(text) if element.kind == "integer" else Decimal(text)
        except (ValueError, ArithmeticError):
            raise Refused(400, f"{element.name} is a number.", issue="value") from None
    return text


def _xhtml(node: Node) -> str:
    """The narrative as text again. Raises Refused for what is not of XHTML's namespace."""
    return _markup(node, is_root=True)


def _markup(node: Node, *, is_root: bool = False) -> str:
    if node.space != XHTML:
        raise Refused(400, "A narrative is XHTML.", issue="structure")
    attributes = "".join(f" {name.rpartition(' ')[2]}={quoteattr(value)}" for name, value in node.attributes.items())
    inner = "".join(escape(child) if isinstance(child, str) else _markup(child) for child in node.children)
    space = f' xmlns="{XHTML}"' if is_root else ""
    return f"<{node.name}{space}{attributes}>{inner}</{node.name}>" if inner else f"<{node.name}{space}{attributes}/>"
