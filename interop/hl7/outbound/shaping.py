"""What a destination wants otherwise: its field map, and which exams it hears of. Both are data of the destination.

A rule of the field map names a place and one thing to do with it::

    {"field": "PID-3.4", "from": "KLM", "to": "KILIMA"}     every repetition that says KLM says KILIMA
    {"field": "OBR-24", "set": "CT"}                        whatever was there
    {"field": "OBR-18", "copy": "OBR-3.1"}                  from another place of the same segment, else of the first
    {"field": "PID-13", "drop": true}                       a field, a component, or a whole segment ("ZDS")

``"messages": ["ORU"]`` limits a rule to those types. MSH-1, MSH-2, MSH-9 and MSH-10 are not to be touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from django.utils.translation import gettext as _

from interop.hl7.charsets import codec_of
from interop.hl7.messages import DEFAULT, encode_segment, escape
from interop.hl7.outbound.envelope import Segments
from interop.models import Hl7Destination
from orders.models import Order, RequestedProcedure
from ris.core.errors import InvalidData

PLACE = re.compile(r"(?P<segment>[A-Z][A-Z0-9]{2})(-(?P<field>[1-9]\d?)(\.(?P<component>[1-9]\d?))?)?")
UNTOUCHED = {("MSH", number) for number in (1, 2, 9, 10)}
VERBS = ("to", "set", "copy", "drop")
MOST_RULES = 100

Place = tuple[str, int, int]


def place_of(text: Any) -> Place | None:
    """Segment, field and component; zero where the place is a whole segment or field."""
    found = PLACE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    return found["segment"], int(found["field"] or 0), int(found["component"] or 0)


def render(segments: Segments, destination: Hl7Destination, message_type: str) -> bytes:
    """The message's bytes as the destination wants them. Raises UnicodeEncodeError."""
    codec = codec_of(destination.character_set)
    lines = [encode_segment(name, values, DEFAULT, codec) for name, values in segments]
    lines = mapped(lines, destination.field_map, message_type, codec)
    return ("\r".join(lines) + "\r").encode(codec)


def mapped(lines: list[str], rules: Iterable[dict[str, Any]], message_type: str, codec: str = "utf-8") -> list[str]:
    kind = message_type.split("^")[0]
    for rule in rules:
        limited = rule.get("messages")
        place = place_of(rule.get("field"))
        if place is None or (limited and not {kind, message_type} & set(limited)):
            continue
        lines = _applied(lines, rule, place, codec)
    return lines


def _applied(lines: list[str], rule: dict[str, Any], place: Place, codec: str) -> list[str]:
    segment, number, component = place
    if number == 0:
        return [line for line in lines if not line.startswith(segment + DEFAULT.field)] if rule.get("drop") else lines
    done = []
    for line in lines:
        if line.startswith(segment + DEFAULT.field):
            line = _changed(line, number, component, _change(rule, component, line, lines, codec))
        done.append(line)
    return done


def _change(rule: dict[str, Any], component: int, line: str, lines: list[str], codec: str) -> Callable[[str], str]:
    """What is done with one encoded value."""
    if rule.get("drop"):
        return lambda value: ""
    if "copy" in rule:
        copied = _read(line, lines, place_of(rule["copy"]))
        return lambda value: copied
    if "set" in rule:
        fixed = escape(str(rule["set"]), DEFAULT, codec)
        return lambda value: fixed
    before, after = (escape(str(rule[key]), DEFAULT, codec) for key in ("from", "to"))
    if component:
        return lambda value: after if value == before else value
    return lambda value: DEFAULT.repetition.join(
        after if part == before else part for part in value.split(DEFAULT.repetition)
    )


def _index(line: str, number: int) -> int:
    """MSH-1 is the separator itself."""
    return number - 1 if line.startswith("MSH") else number


def _read(line: str, lines: list[str], place: Place | None) -> str:
    assert place is not None
    segment, number, component = place
    source = line if line.startswith(segment) else next((row for row in lines if row.startswith(segment)), "")
    fields = source.split(DEFAULT.field)
    value = fields[_index(source, number)] if 0 < _index(source, number) < len(fields) else ""
    if not component:
        return value
    parts = value.split(DEFAULT.repetition)[0].split(DEFAULT.component)
    return parts[component - 1] if component <= len(parts) else ""


def _changed(line: str, number: int, component: int, change: Callable[[str], str]) -> str:
    fields = line.split(DEFAULT.field)
    index = _index(line, number)
    fields += [""] * (index + 1 - len(fields))
    if component:
        repetitions = [_with_component(part, component, change) for part in fields[index].split(DEFAULT.repetition)]
        fields[index] = DEFAULT.repetition.join(repetitions)
    else:
        fields[index] = change(fields[index])
    while len(fields) > 1 and not fields[-1]:
        fields.pop()
    return DEFAULT.field.join(fields)


def _with_component(value: str, component: int, change: Callable[[str], str]) -> str:
    parts = value.split(DEFAULT.component)
    parts += [""] * (component - len(parts))
    parts[component - 1] = change(parts[component - 1])
    return DEFAULT.component.join(parts).rstrip(DEFAULT.component)


# --- what an administrator may write


def check_field_map(rules: Any) -> list[dict[str, Any]]:
    """Raises InvalidData that names the rule."""
    if not isinstance(rules, list) or len(rules) > MOST_RULES:
        raise _wrong("field_map", _("A list of rules, at most %(most)d.") % {"most": MOST_RULES})
    for number, rule in enumerate(rules, 1):
        if problem := _problem_of(rule):
            raise _wrong("field_map", _("Rule %(number)d: %(problem)s") % {"number": number, "problem": problem})
    return rules


def _problem_of(rule: Any) -> str:
    if not isinstance(rule, dict):
        return _("it is no object.")
    place = place_of(rule.get("field"))
    if place is None:
        return _("“field” names no place such as PID-3.4.")
    verbs = [verb for verb in VERBS if verb in rule]
    if len(verbs) != 1 or ("to" in rule) != ("from" in rule):
        return _("it needs one of: from and to, set, copy, drop.")
    if place[:2] in UNTOUCHED or place == ("MSH", 0, 0):
        return _("this place is not to be touched.")
    if place[1] == 0 and not rule.get("drop"):
        return _("a whole segment can only be dropped.")
    copied = place_of(rule.get("copy")) if "copy" in rule else ("", 1, 0)
    if copied is None or copied[1] == 0:
        return _("“copy” names no place such as OBR-3.1.")
    if unknown := sorted(rule.keys() - {"field", "from", "messages", *VERBS}):
        return _("unknown: %(names)s.") % {"names": ", ".join(unknown)}
    if not all(isinstance(rule[key], str) and len(rule[key]) <= 250 for key in ("from", "to", "set") if key in rule):
        return _("its values are texts of at most 250 characters.")
    limited = rule.get("messages", [])
    if not isinstance(limited, list) or not all(isinstance(entry, str) for entry in limited):
        return _("“messages” is a list of message types.")
    return ""


def _wrong(field: str, text: str) -> InvalidData:
    return InvalidData(_("The destination cannot be stored."), errors={field: [text]})


#: name -> what an exam says of it
FILTERS: dict[str, Callable[[RequestedProcedure], str]] = {
    "modality": lambda row: row.modality,
    "code": lambda row: row.code,
    "patient_class": lambda row: row.order.patient_class,
    "priority": lambda row: row.order.priority,
    "site": lambda row: row.order.site.code if row.order.site else "",
    "placer": lambda row: row.order.placer_issuer,
    "location": lambda row: row.order.location,
}


def check_filters(filters: Any) -> dict[str, list[str]]:
    """Raises InvalidData."""
    if not isinstance(filters, dict):
        raise _wrong("filters", _("An object of lists."))
    if unknown := sorted(set(filters) - set(FILTERS)):
        words = _("%(names)s cannot be asked for. Known are: %(known)s.")
        raise _wrong("filters", words % {"names": ", ".join(unknown), "known": ", ".join(FILTERS)})
    for name, values in filters.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise _wrong("filters", _("%(name)s: a list of texts.") % {"name": name})
    return {name: sorted(set(values)) for name, values in filters.items() if values}


def admits(destination: Hl7Destination, procedure: RequestedProcedure) -> bool:
    """Whether the destination hears of this exam."""
    wanted = ((FILTERS[name], values) for name, values in destination.filters.items() if name in FILTERS)
    return all(value_of(procedure).lower() in {value.lower() for value in values} for value_of, values in wanted)


def admits_order(destination: Hl7Destination, order: Order) -> bool:
    return not destination.filters or any(admits(destination, row) for row in order.procedures.all())
