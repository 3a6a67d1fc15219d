"""The tables of docs/fhir.md, made from the registry."""

from __future__ import annotations

from interop.fhir.server.call import VERSIONS
from interop.fhir.server.capability import WRITES, interactions_of
from interop.fhir.server.params import Param
from interop.fhir.server.registry import ResourceType, includes_to, types, virtual_types

BEGIN, END = "<!-- begin: made by manage.py write_fhir_doc -->", "<!-- end -->"
READS = {"read": "read", "search-type": "search", "vread": "vread", "history-instance": "history"}


def inserted(text: str) -> str:
    """The page with its tables as the code has them. Raises ValueError when the marks are missing."""
    before, found, rest = text.partition(BEGIN)
    _old, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"docs/fhir.md has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    parts = ["| Resource | What it is | Right | Reads | Writes |", "|---|---|---|---|---|"]
    parts += [_line(kind) for kind in types().values()]
    parts += [
        f"| {one.name} ({', '.join(one.releases)}) | {one.doc} | | read, search | |" for one in virtual_types.values()
    ]
    for kind in types().values():
        if kind.is_searched:
            parts += ["", f"### {kind.name}", "", *_params(kind)]
    return "\n".join(parts) + "\n"


def _line(kind: ResourceType) -> str:
    codes = interactions_of(kind)
    reads = [name for code, name in READS.items() if code in codes]
    writes = [code for code in codes if code in WRITES]
    operations = [f"${name}" for name in sorted({*kind.operations, *kind.type_operations})]
    name = kind.name if set(kind.releases) == set(VERSIONS) else f"{kind.name} ({', '.join(kind.releases)})"
    rights = ", ".join(f"`{code}`" for code in kind.permission)
    return f"| {name} | {kind.doc} | {rights} | {', '.join([*reads, *operations])} | {', '.join(writes)} |"


def _params(kind: ResourceType) -> list[str]:
    rows = ["| Parameter | Type | Modifiers | Sorts | Finds |", "|---|---|---|---|---|"]
    rows += [_param(param, kind) for _name, param in sorted(kind.params.items())]
    includes = ", ".join(f"`{kind.name}:{name}`" for name in sorted(kind.references))
    reverse = ", ".join(sorted({f"`{other.name}:{param.name}`" for other, param, _way in includes_to(kind.name)}))
    if includes:
        rows += ["", f"`_include`: {includes}."]
    if reverse:
        rows += ["", f"`_revinclude`: {reverse}."]
    return rows


def _param(param: Param, kind: ResourceType) -> str:
    modifiers = " ".join(f"`:{name}`" for name in param.known_modifiers)
    sorts = "yes" if any((known := s.by_name.get(param.name)) and known.sort for s in kind.sources) else ""
    targets = ", ".join(dict.fromkeys(way.type for way in getattr(param, "to", ())))
    finds = param.doc or (f"→ {targets}" if targets else "")
    return f"| `{param.name}` | {param.kind} | {modifiers} | {sorts} | {finds} |"
