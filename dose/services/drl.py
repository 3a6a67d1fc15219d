"""Reference levels over time: added, replaced by a new edition, withdrawn, loaded from a table. None is overwritten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose.bands import ADULT, BANDS
from dose.models import LevelScope, ReferenceLevel, StandardExam
from dose.quantities import QUANTITIES
from orders.models import Modality
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.core.sheets import read_table

#: Shown unit per quantity; entrance surface dose is known to publications, not to reports
UNITS = {row.key: row.unit for row in QUANTITIES.values()} | {"esd": "mGy"}
TEXTS = {"authority": 100, "exam": 64, "indication": 100, "band": 40, "source": 300, "certainty": 100}
NUMBERS = ("age_from", "age_below", "weight_from", "weight_below")
COLUMNS = (
    "authority", "year", "exam", "modality", "quantity", "value", "unit", "indication", "band", *NUMBERS, "source",
    "certainty", "standard_exam", "is_watched",
)  # fmt: skip
NEEDED = ("authority", "year", "exam", "modality", "quantity", "value", "unit", "source")
SAME = ("authority", "year", "exam", "quantity", "band", "indication")
MOST_ROWS = 2000
TRUE, FALSE = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})


def _number(value: Any) -> float | None:
    """None for nothing; raises ValueError. A decimal comma is one."""
    if value is None or value == "":
        return None
    found = float(str(value).strip().replace(",", "."))
    if found != found or abs(found) > 1e9:
        raise ValueError(value)
    return found


def clean_level(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Fields of a level, and what is wrong with them."""
    found: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, longest in TEXTS.items():
        found[name] = str(values.get(name) or "").strip()
        if len(found[name]) > longest:
            errors[name] = [_("At most %(count)d characters.") % {"count": longest}]
    for name in ("value", *NUMBERS):
        try:
            found[name] = _number(values.get(name))
        except ValueError:
            errors[name] = [_("This is no number.")]
    year = str(values.get("year") or "").strip().removesuffix(".0")
    found["year"] = int(year) if year.isdecimal() and len(year) == 4 else None
    if found["year"] is None or not 1980 <= found["year"] <= timezone.localdate().year + 1:
        errors["year"] = [_("A year from 1980 on.")]
    found["modality"] = str(values.get("modality") or "").strip().upper()
    if found["modality"] not in Modality.values:
        errors["modality"] = [_("Choose one of the list.")]
    found["quantity"] = str(values.get("quantity") or "").strip()
    if found["quantity"] not in UNITS:
        errors["quantity"] = [_("One of: %(list)s.") % {"list": ", ".join(UNITS)}]
    found["unit"] = str(values.get("unit") or "").strip().replace("·", ".").replace("²", "2")
    if found["quantity"] in UNITS and found["unit"] != UNITS[found["quantity"]]:
        errors["unit"] = [_("The unit of this quantity is %(unit)s.") % {"unit": UNITS[found["quantity"]]}]
    if "value" not in errors and (found["value"] is None or found["value"] <= 0):
        errors["value"] = [_("A number above zero.")]
    for name in ("authority", "exam", "source"):
        if not found[name]:
            errors[name] = [_("This is needed.")]
    _clean_population(found, errors)
    found["standard_exam"] = _exam(values.get("standard_exam"), errors)
    watched = values.get("is_watched")
    words = str(watched).strip().lower()
    if watched is None or watched == "":
        found["is_watched"] = True
    elif words in TRUE | FALSE:
        found["is_watched"] = words in TRUE
    else:
        errors["is_watched"] = [_("This is yes or no: 1 or 0.")]
    return found, errors


def _clean_population(found: dict[str, Any], errors: dict[str, list[str]]) -> None:
    """Adults, a band by its code, or limits of one's own with a name for them."""
    for start, end in (("age_from", "age_below"), ("weight_from", "weight_below")):
        low, high = found.get(start), found.get(end)
        if any(value is not None and not 0 <= value <= 700 for value in (low, high)):
            errors.setdefault(start, [_("From 0 on.")])
        elif low is not None and high is not None and low >= high:
            errors[end] = [_("This lies above the other end.")]
    limits = [found.get(name) for name in NUMBERS]
    found["band"] = found["band"] or ADULT
    if found["band"] not in BANDS and not any(value is not None for value in limits):
        names = ", ".join(BANDS)
        errors["band"] = [_("One of: %(list)s; or give the limits of age or weight.") % {"list": names}]


def _exam(value: Any, errors: dict[str, list[str]]) -> StandardExam | None:
    if value is None or value == "" or isinstance(value, StandardExam):
        return value or None
    found = StandardExam.objects.filter(code=str(value).strip()).first()
    if found is None:
        errors["standard_exam"] = [_("There is no standard exam with this code.")]
    return found


def _kept(row: ReferenceLevel, actor: Actor, reason: str) -> ReferenceLevel:
    try:
        with transaction.atomic():
            row.save_as(actor, reason)
    except IntegrityError:
        words = _("This level is in force already; make a new edition of it.")
        raise InvalidData(words, errors={"exam": [words]}) from None
    return row


@service(perms.MANAGE_LEVELS, action=Action.CREATE)
def add_level(*, actor: Actor, **values: Any) -> ReferenceLevel:
    """``value`` in the quantity's shown unit; ``source``: where it is published."""
    found, errors = clean_level(values)
    if errors:
        raise InvalidData(_("This is no reference level."), errors=errors)
    return _kept(ReferenceLevel(scope=LevelScope.NATIONAL, **found), actor, _("Added"))


@service(perms.MANAGE_LEVELS)
def revise_level(level: ReferenceLevel, *, reason: str, actor: Actor, **changes: Any) -> ReferenceLevel:
    """A new edition in force; the old one stays as it was, for what was compared with it."""
    if not reason.strip():
        raise InvalidData(_("Say why."), errors={"reason": [_("This is needed.")]})
    level = ReferenceLevel.locked(level.pk)
    if not level.is_active:
        words = _("A later edition is in force, or it was withdrawn.")
        raise InvalidData(words, errors={"level": [words]})
    values = {name: getattr(level, name) for name in COLUMNS} | changes
    found, errors = clean_level(values)
    if errors:
        raise InvalidData(_("This is no reference level."), errors=errors)
    if all(getattr(level, name) == value for name, value in found.items()):
        return level
    level.is_active = False
    level.save_as(actor, reason.strip())
    made = ReferenceLevel(scope=level.scope, edition=level.edition + 1, replaces=level, **found)
    return _kept(made, actor, reason.strip())


@service(perms.MANAGE_LEVELS)
def withdraw_level(level: ReferenceLevel, *, reason: str, actor: Actor) -> ReferenceLevel:
    """Nothing is compared with it any more; what was, stays."""
    if not reason.strip():
        raise InvalidData(_("Say why."), errors={"reason": [_("This is needed.")]})
    level = ReferenceLevel.locked(level.pk)
    if level.is_active:
        level.is_active = False
        level.save_as(actor, reason.strip())
    return level


# --- tables


@dataclass
class Line:
    """``kind``: new, edition, same, wrong."""

    number: int
    values: dict[str, Any]
    errors: dict[str, list[str]] = field(default_factory=dict)
    kind: str = "new"
    level: ReferenceLevel | None = None

    @property
    def reasons(self) -> list[str]:
        return [f"{name}: {words}" for name, texts in self.errors.items() for words in texts]


def read_lines(table: bytes) -> list[Line]:
    """Every row of a CSV or XLSX table beside what is in force; nothing is written."""
    heads, rows = read_table(table)
    known = [str(head).strip().lower() for head in heads]
    missing, unknown = set(NEEDED) - set(known), set(filter(None, known)) - set(COLUMNS)
    if missing or unknown:
        raise InvalidData(
            _("This is no table of reference levels."),
            found=_("Columns that are missing: %(missing)s; not known: %(unknown)s.")
            % {"missing": ", ".join(sorted(missing)) or "–", "unknown": ", ".join(sorted(unknown)) or "–"},
            errors={"file": [_("Columns: %(columns)s.") % {"columns": ", ".join(COLUMNS)}]},
        )
    if len(rows) > MOST_ROWS:
        words = _("At most %(count)d rows.") % {"count": MOST_ROWS}
        raise InvalidData(words, errors={"file": [words]})
    return list(_lines(known, rows))


def _key(values: Any) -> tuple[Any, ...]:
    return tuple(values[name] for name in SAME)


def _lines(heads: list[str], rows: Iterable[list[Any]]) -> Iterable[Line]:
    in_force = {_key(vars(row)): row for row in ReferenceLevel.objects.filter(is_active=True)}
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(rows, 2):
        if not any(str(cell or "").strip() for cell in row):
            continue
        raw = {head: row[place] if place < len(row) else "" for place, head in enumerate(heads) if head}
        values, errors = clean_level(raw)
        line = Line(number, values, errors)
        if not errors:
            key = _key(values)
            if key in seen:
                line.errors["exam"] = [_("This level stands in the table twice.")]
            seen.add(key)
            line.level = in_force.get(key)
            if line.level is not None:
                if "standard_exam" not in raw:
                    values["standard_exam"] = line.level.standard_exam
                if "is_watched" not in raw:
                    values["is_watched"] = line.level.is_watched
                same = all(getattr(line.level, name) == value for name, value in values.items())
                line.kind = "same" if same else "edition"
        if line.errors:
            line.kind = "wrong"
        yield line


def preview_levels(table: bytes, *, actor: Actor) -> list[Line]:
    """What a table would change, row by row, with what is wrong; writes nothing."""
    actor.require(perms.MANAGE_LEVELS)
    return read_lines(table)


@service(perms.MANAGE_LEVELS, action=Action.CREATE)
def import_levels(table: bytes, *, actor: Actor) -> list[Line]:
    """The rows that are right become levels, new editions where one is in force; wrong rows are left out and told."""
    lines = read_lines(table)
    for line in lines:
        if line.kind == "new":
            line.level = _kept(ReferenceLevel(scope=LevelScope.NATIONAL, **line.values), actor, _("Loaded"))
        elif line.kind == "edition" and line.level is not None:
            line.level = revise_level(line.level, reason=_("Loaded"), actor=actor, **line.values)
    counts = {kind: sum(line.kind == kind for line in lines) for kind in ("new", "edition", "same", "wrong")}
    record(actor, "dose.import_levels", Action.CREATE, detail=counts)
    return lines
