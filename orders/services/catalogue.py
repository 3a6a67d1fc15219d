"""The exam catalogue as a table of text: loaded as often as one likes, written out again, starter rows included."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TextIO

from django.utils.translation import gettext as _

from orders import permissions as perms
from orders import validation
from orders.models import CatalogueProcedure, Modality, Preparation, PriceItem, ProcedureCode
from orders.validation import Errors
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.core.spreadsheet import meant, safe

STARTER = Path(__file__).resolve().parent.parent / "data" / "catalogue.csv"
LANGUAGES = ("en", "sw")
SCHEMES = {"loinc": "LN", "radlex": "RADLEX", "cpt": "C4"}
FLAGS = (
    "has_laterality",
    "uses_contrast",
    "needs_vetting",
    "needs_protocol",
    "needs_completion_before_reading",
    "needs_consent",
)
OPTIONAL = ("needs_protocol", "needs_completion_before_reading", "needs_consent", "is_active", "radlex", "charge_codes")
COLUMNS = (
    "code",
    "name",
    "name_sw",
    "modality",
    "body_region",
    "has_laterality",
    "uses_contrast",
    "duration_minutes",
    "needs_vetting",
    "rvu",
    "default_protocol",
    "loinc",
    "cpt",
    "preparation_en",
    "preparation_sw",
)
MOST_ROWS = 20_000
#: kind of a line -> where it is counted
COUNTED = {"new": "created", "changed": "changed", "unchanged": "unchanged"}
TRUE = {"1", "true", "yes", "x", "y"}
FALSE = {"0", "false", "no", "n", ""}


@dataclass
class ImportResult:
    """How many rows were new, changed or as they are."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    codes: list[str] = field(default_factory=list, repr=False)

    @property
    def total(self) -> int:
        return self.created + self.changed + self.unchanged


@dataclass
class Line:
    """One line of a table: what it would do, or what is wrong with it. ``changes``: (column, before, after)."""

    number: int
    code: str
    name: str
    row: CatalogueProcedure | None
    fields: dict[str, Any]
    codes: dict[str, str]
    texts: dict[str, str]
    charge_codes: list[str]
    changes: list[tuple[str, str, str]] = field(default_factory=list)
    errors: dict[str, list[str]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """wrong, new, changed or unchanged."""
        if self.errors:
            return "wrong"
        if self.row is None:
            return "new"
        return "changed" if self.changes else "unchanged"


def _flag(text: str, name: str, errors: Errors) -> bool:
    lowered = text.strip().lower()
    if lowered not in TRUE | FALSE:
        errors.add(name, _("This is yes or no: 1 or 0."))
    return lowered in TRUE


#: Under this name stands what a line has beyond the columns; no column has it.
SURPLUS = ""


def _clean(row: dict[str, str]) -> tuple[dict[str, Any], dict[str, str], dict[str, str], Errors]:
    """A line of the table as fields, codes per scheme, preparations per language, and what is wrong with it."""
    errors = Errors()
    fields: dict[str, Any] = {
        "name": validation.short_string(row.get("name"), "name", errors, length=64, required=True),
        "name_sw": validation.short_string(row.get("name_sw"), "name_sw", errors, length=64),
        "modality": validation.choice((row.get("modality") or "").upper(), Modality, "modality", errors),
        "body_region": validation.short_string(row.get("body_region"), "body_region", errors, length=40),
        "default_protocol": validation.long_text(row.get("default_protocol"), "default_protocol", errors),
    }
    fields.update({name: _flag(row.get(name) or "", name, errors) for name in FLAGS if name in row})
    if row.get("is_active"):
        fields["is_active"] = _flag(row["is_active"], "is_active", errors)
    minutes = row.get("duration_minutes") or "20"
    if not minutes.isdecimal() or len(minutes) > 3 or not 1 <= int(minutes) <= 600:
        errors.add("duration_minutes", _("Whole minutes, 1 to 600."))
    else:
        fields["duration_minutes"] = int(minutes)
    try:
        fields["rvu"] = Decimal(row.get("rvu") or "1").quantize(Decimal("0.01"))
    except InvalidOperation:
        errors.add("rvu", _("This is not a number."))
    codes = {
        scheme: validation.short_string(row.get(column), column, errors, length=16)
        for column, scheme in SCHEMES.items()
        if column in row
    }
    texts = {
        language: validation.long_text(row.get(f"preparation_{language}"), f"preparation_{language}", errors)
        for language in LANGUAGES
        if f"preparation_{language}" in row
    }
    return fields, codes, texts, errors


def _rows(source: Iterable[str]) -> list[dict[str, str]]:
    reader = csv.DictReader(source, restkey=SURPLUS)
    missing = {"code", "name", "modality"} - set(reader.fieldnames or ())
    unknown = set(reader.fieldnames or ()) - {*COLUMNS, *OPTIONAL}
    if missing or unknown:
        raise InvalidData(
            _("This is not a catalogue."),
            found=_("Columns that are missing: %(missing)s; not known: %(unknown)s.")
            % {"missing": ", ".join(sorted(missing)) or "–", "unknown": ", ".join(sorted(map(str, unknown))) or "–"},
            todo=_("Export the catalogue and fill in that table."),
            errors={"file": [_("Columns: %(columns)s.") % {"columns": ", ".join(COLUMNS)}]},
        )
    try:
        rows = [{name: meant(cell) if isinstance(cell, str) else cell for name, cell in row.items()} for row in reader]
    except csv.Error:
        raise InvalidData(
            _("This is not a table of comma-separated values."), errors={"file": [_("Not CSV.")]}
        ) from None
    if len(rows) > MOST_ROWS:
        raise InvalidData(_("At most 20 000 exams."), errors={"file": [_("At most 20 000 exams.")]})
    return rows


def _lines(source: Iterable[str]) -> list[Line]:
    """Every line of the table beside what is stored; nothing is written."""
    known = {row.code: row for row in CatalogueProcedure.objects.prefetch_related("codes", "preparations", "prices")}
    lines: list[Line] = []
    seen: set[str] = set()
    for number, raw in enumerate(_rows(source), start=2):
        own = Errors()
        code = validation.short_string(raw.get("code"), "code", own, length=16, required=True)
        if code in seen:
            own.add("code", _("This code stands in the table twice."))
        seen.add(code)
        if raw.get(SURPLUS):
            own.add("code", _("This line has more columns than the table."))
        fields, codes, texts, errors = _clean(raw)
        own.found.update(errors.found)
        charge_codes = (raw.get("charge_codes") or "").split()
        line = Line(number, code, fields["name"], known.get(code), fields, codes, texts, charge_codes, errors=own.found)
        line.changes = _changes(line)
        lines.append(line)
    _check_codes(lines, known)
    _check_charges(lines)
    return lines


def _changes(line: Line) -> list[tuple[str, str, str]]:
    """What the line says otherwise than the row; an empty code or text takes away none."""
    row = line.row
    if row is None:
        return []
    pairs = [(name, getattr(row, name), value) for name, value in line.fields.items()]
    codes = {entry.scheme: entry.value for entry in row.codes.all()}
    texts = {entry.language: entry.text for entry in row.preparations.all()}
    columns = {scheme: column for column, scheme in SCHEMES.items()}
    pairs += [(columns[scheme], codes.get(scheme, ""), value) for scheme, value in line.codes.items() if value]
    pairs += [(f"preparation_{name}", texts.get(name, ""), value) for name, value in line.texts.items() if value]
    linked = {price.code for price in row.prices.all()}
    if not linked.issuperset(line.charge_codes):
        pairs.append(("charge_codes", " ".join(sorted(linked)), " ".join(sorted(linked | set(line.charge_codes)))))
    return [(name, str(before), str(after)) for name, before, after in pairs if before != after]


def _check_codes(lines: list[Line], known: dict[str, CatalogueProcedure]) -> None:
    """A code of another scheme means one exam only, among the lines and the rows that stay as they are."""
    owner = {(entry.scheme, entry.value): row.code for row in known.values() for entry in row.codes.all()}
    columns = {scheme: column for column, scheme in SCHEMES.items()}
    for line in lines:
        for scheme, value in line.codes.items():
            if not value:
                continue
            other = owner.setdefault((scheme, value), line.code)
            if other != line.code:
                words = _("%(other)s has the code %(value)s.") % {"other": other, "value": value}
                line.errors.setdefault(columns[scheme], []).append(words)


def _check_charges(lines: list[Line]) -> None:
    wanted = {code for line in lines for code in line.charge_codes}
    prices = dict(PriceItem.objects.filter(code__in=wanted).values_list("code", "catalogue__code")) if wanted else {}
    for line in lines:
        for code in line.charge_codes:
            if code not in prices:
                words = _("The price list does not know %(code)s.") % {"code": code}
            elif (prices[code] or line.code) != line.code:
                words = _("%(other)s has the code %(value)s.") % {"other": prices[code], "value": code}
            else:
                prices[code] = line.code
                continue
            line.errors.setdefault("charge_codes", []).append(words)


def preview_catalogue(source: TextIO | Iterable[str], *, actor: Actor) -> list[Line]:
    """What a table would change, line by line, with everything that is wrong; writes nothing."""
    actor.require(perms.MANAGE_CATALOGUE)
    return _lines(source)


@service(perms.MANAGE_CATALOGUE, action=Action.UPDATE)
def import_catalogue(source: TextIO | Iterable[str], *, actor: Actor) -> ImportResult:
    """Add the rows of a CSV table and change those that are known by their code; all of them or none.

    Rows that the table does not name stay as they are. An empty code or text takes away none.
    """
    lines = _lines(source)
    wrong = {_("line %(number)d") % {"number": line.number}: line.errors for line in lines if line.errors}
    if wrong:
        raise InvalidData(_("The catalogue was not loaded."), todo=_("Correct these lines."), errors=wrong)
    result = ImportResult(codes=[line.code for line in lines])
    for line in lines:
        setattr(result, COUNTED[line.kind], getattr(result, COUNTED[line.kind]) + 1)
        if line.kind != "unchanged":
            _load(line, actor)
    detail = {"created": result.created, "changed": result.changed, "unchanged": result.unchanged}
    record(actor, "orders.import_catalogue", Action.UPDATE, detail=detail)
    return result


def _load(line: Line, actor: Actor) -> None:
    row = line.row or CatalogueProcedure(code=line.code)
    if line.row is None or any(getattr(row, name) != value for name, value in line.fields.items()):
        for name, value in line.fields.items():
            setattr(row, name, value)
        row.save_as(actor, _("Loaded from a table"))
    for scheme, value in line.codes.items():
        if value:
            ProcedureCode.objects.update_or_create(procedure=row, scheme=scheme, defaults={"value": value})
    for language, text in line.texts.items():
        if text:
            Preparation.objects.update_or_create(procedure=row, language=language, defaults={"text": text})
    for price in PriceItem.objects.filter(code__in=line.charge_codes, catalogue__isnull=True):
        price.catalogue = row
        price.save_as(actor, _("Linked by the catalogue's table"))


def load_starter_catalogue(*, actor: Actor) -> ImportResult:
    """The exams that most departments do, as a beginning; may be repeated."""
    with STARTER.open(newline="", encoding="utf-8") as source:
        return import_catalogue(source, actor=actor)


def export_catalogue(*, actor: Actor) -> str:
    """The whole catalogue as the CSV table that ``import_catalogue`` takes."""
    if not actor.may(perms.MANAGE_CATALOGUE):
        actor.require(perms.VIEW_CATALOGUE)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *OPTIONAL], lineterminator="\n")
    writer.writeheader()
    rows = CatalogueProcedure.objects.prefetch_related("codes", "preparations", "prices")
    for row in rows.order_by("modality", "code"):
        codes = {entry.scheme: entry.value for entry in row.codes.all()}
        texts = {entry.language: entry.text for entry in row.preparations.all()}
        plain = {name: getattr(row, name) for name in (*COLUMNS[:11], *OPTIONAL) if hasattr(row, name)}
        line = {name: int(value) if isinstance(value, bool) else value for name, value in plain.items()}
        line.update({column: codes.get(scheme, "") for column, scheme in SCHEMES.items()})
        line.update({f"preparation_{language}": texts.get(language, "") for language in LANGUAGES})
        line["charge_codes"] = " ".join(sorted(price.code for price in row.prices.all()))
        writer.writerow({name: safe(value) for name, value in line.items()})
    return text.getvalue()
