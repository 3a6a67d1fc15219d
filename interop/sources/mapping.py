"""Mapping: rules as data that make an entry of the worklist from a row of a source. Pure.

A rule gives one target its text, then what the text means is read. In this order:

    {"target": "patient_id", "source": "study_id"}                      a field of the row
    {"target": "patient_name", "template": "id-{_study}^fam-{_family}"}  several fields
    ... "pattern": "([^-]+)$", "group": 1, "keeps_unmatched": true       a part of the text
    ... "values": {"1": "M", "2": "F", "*": "U"}                         other words for it
    ... "default": "MR"                                                  where there is nothing
    ... "format": "%d/%m/%Y"                                             how a date or time is written

A target that begins with ``_`` is a name for later rules. Messages never repeat what stood in the row.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from interop.sources import windows
from orders.models import Laterality, Modality, Priority
from orders.validation import CONTROL, Errors
from orders.validation import birth_date as checked_birth_date
from ris.core.errors import InvalidData

LONGEST_TEXT = 300
#: A pattern looks at so much of a text, and repeats without an end so often: then even a bad one ends soon.
LONGEST_INPUT, MOST_REPETITIONS = 150, 3
MOST_RULES = 120
#: Another one of us may read the same row in another way
EDITION = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
KG_IN_A_POUND = Decimal("0.45359237")
SCHEDULED, CANCELLED, ELSEWHERE = "scheduled", "cancelled", "elsewhere"
#: What a status is called over there -> what it means for us. Only the scanner says that an exam has begun.
STATUSES = {
    SCHEDULED: ("scheduled", "approved", "booked", "confirmed", "planned", "requested", "pending", "tentative"),
    CANCELLED: ("cancelled", "canceled", "discontinued", "deleted", "declined", "rejected", "refused", "denied"),
    ELSEWHERE: ("in progress", "in_progress", "completed", "complete", "done", "performed"),
}
SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O", "u": "U", "unknown": "U"}
DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d")
TIME_FORMATS = ("%H:%M:%S", "%H:%M", "%H%M%S", "%H%M", "%H:%M:%S.%f")


@dataclass(frozen=True)
class Entry:
    """A row as it concerns us. What is empty is not known, and changes nothing."""

    patient_id: str = ""
    issuer: str = ""
    family_name: str = ""
    given_name: str = ""
    middle_name: str = ""
    prefix: str = ""
    suffix: str = ""
    birth_date: date | None = None
    birth_date_is_estimated: bool = False
    sex: str = ""
    weight_kg: Decimal | None = None
    height_m: Decimal | None = None
    accession_number: str = ""
    study_instance_uid: str = ""
    requested_procedure_id: str = ""
    code: str = ""
    code_scheme: str = ""
    description: str = ""
    laterality: str = ""
    modality: str = ""
    station: str = ""
    starts_at: datetime | None = None
    duration_minutes: int | None = None
    priority: str = ""
    indication: str = ""
    protocol: str = ""
    requester: str = ""
    location: str = ""
    status: str = SCHEDULED
    status_reason: str = ""

    def as_json(self) -> dict[str, Any]:
        found = ((name, getattr(self, name)) for name in NAMES)
        return {name: _plain(value) for name, value in found if value not in ("", None, False)}

    @property
    def content_hash(self) -> str:
        return hash_of(self.as_json())


NAMES = tuple(field.name for field in fields(Entry))


def hash_of(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def entry_of_json(values: Mapping[str, Any]) -> Entry:
    """What ``as_json`` gave, again."""
    given = {name: value for name, value in values.items() if name in NAMES}
    for name, read in (("birth_date", date.fromisoformat), ("starts_at", datetime.fromisoformat)):
        if given.get(name):
            given[name] = read(given[name])
    for name in ("weight_kg", "height_m"):
        if given.get(name):
            given[name] = Decimal(given[name])
    return Entry(**given)


def _plain(value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


class Unreadable(ValueError):
    """The text does not mean anything for its target. Its words go to people; the text does not."""


# --- what a text means


def _line(length: int) -> Callable[..., str]:
    def read(text: str, **_others: Any) -> str:
        text = re.sub(r"\s+", " ", text).strip()
        if CONTROL.search(text) or "\\" in text:
            raise Unreadable(_("Control characters and backslashes are not allowed."))
        if len(text) > length:
            raise Unreadable(_("At most %(count)d characters.") % {"count": length})
        return text

    return read


def _cut(length: int) -> Callable[..., str]:
    """Text for people: made one line, cut to what DICOM holds."""

    def read(text: str, **_others: Any) -> str:
        return re.sub(r"\s+", " ", CONTROL.sub(" ", text)).replace("\\", "/").strip()[:length].strip()

    return read


def _date(text: str, *, pattern: str = "", **_others: Any) -> date:
    for form in (pattern,) if pattern else DATE_FORMATS:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise Unreadable(_("This is no date, or not written as expected.")) from None


def _born(text: str, *, pattern: str = "", **_others: Any) -> date:
    errors = Errors()
    day = checked_birth_date(_date(text, pattern=pattern), errors)
    if errors.found or day is None:
        raise Unreadable(" ".join(errors.found.get("birth_date", [])))
    return day


def _year(text: str, **_others: Any) -> date:
    if not re.fullmatch(r"\d{4}", text) or text == "0000":
        raise Unreadable(_("This is no year."))
    return _born(f"{text}-01-01")


def _time(text: str, *, pattern: str = "", **_others: Any) -> time:
    for form in (pattern,) if pattern else TIME_FORMATS:
        try:
            return datetime.strptime(text, form).time()
        except ValueError:
            continue
    raise Unreadable(_("This is no time, or not written as expected."))


def _moment(text: str, *, zone: ZoneInfo, pattern: str = "", **_others: Any) -> datetime:
    try:
        found = datetime.strptime(text, pattern) if pattern else datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable(_("This is no date with a time, or not written as expected.")) from None
    return windows.moment_of(found, zone)


def _number(low: str, high: str, factor: Decimal = Decimal(1)) -> Callable[..., Decimal]:
    def read(text: str, **_others: Any) -> Decimal:
        try:
            number = (Decimal(text.replace(",", ".")) * factor).quantize(Decimal("0.01"))
        except InvalidOperation:
            raise Unreadable(_("This is no number.")) from None
        if not Decimal(low) <= number <= Decimal(high):
            raise Unreadable(_("Between %(low)s and %(high)s.") % {"low": low, "high": high})
        return number

    return read


def _minutes(text: str, **_others: Any) -> int:
    if not re.fullmatch(r"\d{1,4}(\.0+)?", text) or not 0 < float(text) <= 1440:
        raise Unreadable(_("Minutes, from 1 to 1440."))
    return int(float(text))


def _sex(text: str, **_others: Any) -> str:
    try:
        return SEXES[text.casefold()]
    except KeyError:
        raise Unreadable(_("This is no sex that we know: say in the mapping what it means.")) from None


def _one_of(choices: Any) -> Callable[..., str]:
    def read(text: str, **_others: Any) -> str:
        for value in choices.values:
            if value and value.casefold() == text.casefold():
                return str(value)
        raise Unreadable(_("One of: %(names)s.") % {"names": ", ".join(value for value in choices.values if value)})

    return read


def _status(text: str, **_others: Any) -> str:
    for status, words in STATUSES.items():
        if text.casefold() in words:
            return status
    raise Unreadable(_("This status is not known: say in the mapping what it means."))


def _uid(text: str, **_others: Any) -> str:
    if not re.fullmatch(r"[0-2](\.(0|[1-9]\d*)){2,}", text) or len(text) > 64:
        raise Unreadable(_("This is no DICOM UID. Leave it out: one is made, and stays."))
    return text


@dataclass(frozen=True)
class Target:
    label: Any
    read: Callable[..., Any]
    is_private: bool = False


#: In the order of the editor. ``is_private``: what tells of the patient; masked for who may not open messages.
TARGETS: dict[str, Target] = {
    "patient_id": Target(gettext_lazy("Patient number"), _line(64), True),
    "issuer": Target(gettext_lazy("Issuer of the patient number"), _line(64)),
    "patient_name": Target(gettext_lazy("Whole name (family^given)"), _line(200), True),
    "family_name": Target(gettext_lazy("Family name"), _line(64), True),
    "given_name": Target(gettext_lazy("Given name"), _line(64), True),
    "middle_name": Target(gettext_lazy("Middle name"), _line(64), True),
    "birth_date": Target(gettext_lazy("Birth date"), _born, True),
    "birth_year": Target(gettext_lazy("Birth year"), _year, True),
    "sex": Target(gettext_lazy("Sex"), _sex, True),
    "weight_kg": Target(gettext_lazy("Weight (kg)"), _number("0.1", "700"), True),
    "weight_lb": Target(gettext_lazy("Weight (lb)"), _number("0.1", "700", KG_IN_A_POUND), True),
    "height_m": Target(gettext_lazy("Height (m)"), _number("0.1", "2.8"), True),
    "height_cm": Target(gettext_lazy("Height (cm)"), _number("0.1", "2.8", Decimal("0.01")), True),
    "code": Target(gettext_lazy("Exam code"), _line(16)),
    "code_scheme": Target(gettext_lazy("Coding scheme"), _line(16)),
    "description": Target(gettext_lazy("Description of the exam"), _cut(64)),
    "protocol": Target(gettext_lazy("Protocol"), _cut(200)),
    "laterality": Target(pgettext_lazy("of the body", "Side"), _one_of(Laterality)),
    "modality": Target(gettext_lazy("Modality"), _one_of(Modality)),
    "station": Target(gettext_lazy("Station (AE title or name)"), _line(16)),
    "starts_at": Target(gettext_lazy("Date and time"), _moment),
    "start_date": Target(gettext_lazy("Date of the exam"), _date),
    "start_time": Target(gettext_lazy("Time of the exam"), _time),
    "duration_minutes": Target(gettext_lazy("Duration (minutes)"), _minutes),
    "priority": Target(gettext_lazy("Priority"), _one_of(Priority)),
    "indication": Target(gettext_lazy("Clinical question"), _cut(2000), True),
    "requester": Target(gettext_lazy("Requested by (family^given)"), _line(130)),
    "location": Target(gettext_lazy("Location"), _cut(64)),
    "accession_number": Target(gettext_lazy("Accession number"), _line(16)),
    "study_instance_uid": Target(gettext_lazy("Study Instance UID"), _uid),
    "requested_procedure_id": Target(gettext_lazy("Requested Procedure ID"), _line(16)),
    "status": Target(gettext_lazy("Status there"), _status),
    "status_reason": Target(gettext_lazy("Reason of a cancellation"), _cut(120)),
}
PRIVATE = frozenset(name for name, target in TARGETS.items() if target.is_private) | {
    "prefix", "suffix", "birth_date_is_estimated",
}  # fmt: skip
#: Fields of an entry that are no target by themselves.
OTHER_LABELS = {"birth_date_is_estimated": gettext_lazy("Birth date is an estimate")}
RULE_KEYS = frozenset(
    {"target", "source", "template", "pattern", "group", "keeps_unmatched", "values", "default", "format", "note"}
)


def label_of(name: str) -> str:
    target = TARGETS.get(name)
    return str(target.label if target else OTHER_LABELS.get(name, name))


# --- a row, mapped


def entry_of(rules: list[dict[str, Any]], row: Mapping[str, Any], zone: ZoneInfo) -> tuple[Entry, dict[str, str]]:
    """The entry that the rules make of a row, and what is wrong: field -> words."""
    names: dict[str, Any] = dict(row)
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for rule in rules:
        target = rule["target"]
        if found.get(target) not in (None, "") or target in errors:
            continue
        try:
            text = _text_of(rule, names)
            if target.startswith("_"):
                names[target] = text
            elif text:
                found[target] = TARGETS[target].read(text, zone=zone, pattern=rule.get("format", ""))
        except Unreadable as problem:
            errors[target] = str(problem)
    _join(found, zone, errors)
    _demand(found, errors)
    return Entry(**{name: value for name, value in found.items() if name in NAMES}), errors


def _text_of(rule: Mapping[str, Any], names: Mapping[str, Any]) -> str:
    if rule.get("template"):
        text = _filled(rule["template"], names)
    else:
        text = _words(names.get(rule.get("source", "")))
    if text and rule.get("pattern"):
        match = re.search(rule["pattern"], text[:LONGEST_INPUT])
        if match is not None:
            text = (match.group(int(rule.get("group", 0))) or "").strip()
        elif not rule.get("keeps_unmatched"):
            text = ""
    values = rule.get("values")
    if text and values:
        if text not in values and "*" not in values:
            raise Unreadable(_("This value is not in the mapping's list."))
        text = values.get(text, values.get("*", ""))
    return text or str(rule.get("default", ""))


def _words(value: Any) -> str:
    if value is None or isinstance(value, (dict, list)):
        return ""
    text = str(value).strip()
    return "" if text.casefold() == "nan" else text


def _filled(template: str, names: Mapping[str, Any]) -> str:
    """The template with its names filled in; nothing when none of them has a value."""
    parts = {name: _words(names.get(name)) for name in re.findall(r"\{([^{}]+)\}", template)}
    if parts and not any(parts.values()):
        return ""
    return re.sub(r"\{([^{}]+)\}", lambda match: parts[match[1]], template).strip()


def _join(found: dict[str, Any], zone: ZoneInfo, errors: dict[str, str]) -> None:
    """What several targets say together."""
    whole = found.pop("patient_name", "")
    if whole and not found.get("family_name"):
        found.update(names_of(whole))
    year = found.pop("birth_year", None)
    if year is not None and "birth_date" not in found:
        found["birth_date"], found["birth_date_is_estimated"] = year, True
    for name, other in (("weight_lb", "weight_kg"), ("height_cm", "height_m")):
        value = found.pop(name, None)
        if value is not None:
            found.setdefault(other, value)
    day, clock = found.pop("start_date", None), found.pop("start_time", None)
    if "starts_at" not in found and day is not None and clock is not None and "start_time" not in errors:
        found["starts_at"] = windows.moment_of(datetime.combine(day, clock), zone)
    elif "starts_at" not in found and day is not None:
        errors.setdefault("start_time", _("There is a day and no time."))


def names_of(whole: str) -> dict[str, str]:
    """``family^given^middle^prefix^suffix``, ``family, given``, or one name."""
    parts = ("family_name", "given_name", "middle_name", "prefix", "suffix")
    given = whole.split("=")[0].split("^") if "^" in whole else [part.strip() for part in whole.split(",", 1)]
    return {name: value.strip()[:64] for name, value in zip(parts, given, strict=False) if value.strip()}


def _demand(found: Mapping[str, Any], errors: dict[str, str]) -> None:
    """What no entry can do without; a cancelled one needs nothing."""
    if found.get("status") in (CANCELLED, ELSEWHERE):
        return
    needed = _("This is needed, and the row has nothing for it.")
    for name in ("patient_id", "family_name"):
        if not found.get(name) and name not in errors and "patient_name" not in errors:
            errors[name] = needed
    if not (found.get("code") or found.get("description")) and not {"code", "description"} & errors.keys():
        errors["code"] = needed
    if not (found.get("modality") or found.get("station")) and not {"modality", "station"} & errors.keys():
        errors["modality"] = needed
    if not found.get("starts_at") and not {"starts_at", "start_date", "start_time"} & errors.keys():
        errors["starts_at"] = needed


# --- rules, checked


def checked_mapping(rules: Any) -> list[dict[str, Any]]:
    """The rules as they may be stored. Raises InvalidData with a message per rule."""
    if not isinstance(rules, list) or len(rules) > MOST_RULES:
        raise InvalidData(
            _("The mapping is a list of rules."), errors={"mapping": _("At most %(count)d.") % {"count": MOST_RULES}}
        )
    errors: dict[str, str] = {}
    cleaned = []
    for number, rule in enumerate(rules, start=1):
        try:
            cleaned.append(_checked_rule(rule))
        except ValueError as problem:
            errors[f"mapping.{number}"] = str(problem)
    if errors:
        raise InvalidData(_("The mapping cannot be kept so."), errors=errors)
    return cleaned


def _checked_rule(rule: Any) -> dict[str, Any]:
    if not isinstance(rule, Mapping) or not isinstance(rule.get("target"), str):
        raise ValueError(_("A rule names its target."))
    unknown = set(rule) - RULE_KEYS
    if unknown:
        raise ValueError(_("A rule has no %(names)s.") % {"names": ", ".join(sorted(map(str, unknown)))[:80]})
    target = rule["target"].strip()
    if target not in TARGETS and not re.fullmatch(r"_[a-z0-9_]{1,30}", target):
        raise ValueError(_("There is no target %(name)s.") % {"name": target[:40]})
    cleaned: dict[str, Any] = {"target": target}
    for name in ("source", "template", "pattern", "format", "note", "default"):
        value = rule.get(name)
        if value in (None, ""):
            continue
        if not isinstance(value, (str, int, float)) or isinstance(value, bool) or len(str(value)) > LONGEST_TEXT:
            raise ValueError(_("%(name)s: a text of at most 300 characters.") % {"name": name})
        cleaned[name] = str(value)
    if not {"source", "template", "default"} & cleaned.keys():
        raise ValueError(_("A rule needs a field, a template or a default."))
    if cleaned.get("pattern"):
        cleaned.update(_checked_pattern(cleaned["pattern"], rule.get("group", 0)))
        if rule.get("keeps_unmatched"):
            cleaned["keeps_unmatched"] = True
    if rule.get("values"):
        cleaned["values"] = _checked_values(rule["values"])
    if target in TARGETS and cleaned.get("default") and not cleaned.get("values"):
        _try_default(target, cleaned)
    return cleaned


def _try_default(target: str, rule: Mapping[str, Any]) -> None:
    try:
        TARGETS[target].read(rule["default"], zone=ZoneInfo("UTC"), pattern=rule.get("format", ""))
    except Unreadable as problem:
        raise ValueError(f"{label_of(target)}: {problem}") from None


def _checked_values(values: Any) -> dict[str, str]:
    if not isinstance(values, Mapping) or len(values) > 200:
        raise ValueError(_("Other words: at most 200 pairs."))
    return {str(name).strip()[:100]: str(value).strip()[:100] for name, value in values.items()}


def _checked_pattern(pattern: str, group: Any) -> dict[str, Any]:
    try:
        compiled = re.compile(pattern)
        number = int(group or 0)
    except (re.error, ValueError, TypeError, RecursionError):
        raise ValueError(_("This is no regular expression.")) from None
    if not 0 <= number <= compiled.groups:
        raise ValueError(_("The expression has no such group."))
    if re.search(r"[*+}]\)*[*+{]|\([^()]*[*+][^()]*\)[*+{]", pattern):
        raise ValueError(_("A repetition inside a repetition can take forever: write it more simply."))
    if len(re.findall(r"(?<!\\)[*+]|,\}", pattern)) > MOST_REPETITIONS:
        raise ValueError(_("At most %(count)d repetitions without an end.") % {"count": MOST_REPETITIONS})
    return {"group": number}
