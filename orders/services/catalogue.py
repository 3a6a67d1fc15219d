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
from orders.models import CatalogueProcedure, Modality, Preparation, ProcedureCode
from orders.validation import Errors
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import InvalidData

STARTER = Path(__file__).resolve().parent.parent / "data" / "catalogue.csv"
LANGUAGES = ("en", "sw")
SCHEMES = {"loinc": "LN", "cpt": "C4"}
FLAGS = ("has_laterality", "uses_contrast", "needs_vetting", "needs_completion_before_reading")
OPTIONAL = ("needs_completion_before_reading", "is_active")
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


def _flag(text: str, name: str, errors: Errors) -> bool:
    lowered = text.strip().lower()
    if lowered not in TRUE | FALSE:
        errors.add(name, _("This is yes or no: 1 or 0."))
    return lowered in TRUE


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
    if not minutes.isdigit() or not 1 <= int(minutes) <= 600:
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
    reader = csv.DictReader(source)
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
        rows = list(reader)
    except csv.Error:
        raise InvalidData(
            _("This is not a table of comma-separated values."), errors={"file": [_("Not CSV.")]}
        ) from None
    if len(rows) > MOST_ROWS:
        raise InvalidData(_("At most 20 000 exams."), errors={"file": [_("At most 20 000 exams.")]})
    return rows


@service(perms.MANAGE_CATALOGUE, action=Action.UPDATE)
def import_catalogue(source: TextIO | Iterable[str], *, actor: Actor) -> ImportResult:
    """Add the rows of a CSV table and change those that are known by their code; all of them or none.

    Rows that the table does not name stay as they are. An empty code or text takes away none.
    """
    rows = _rows(source)
    wrong: dict[str, Any] = {}
    cleaned = []
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        own = Errors()
        code = validation.short_string(row.get("code"), "code", own, length=16, required=True)
        if code in seen:
            own.add("code", _("This code stands in the table twice."))
        seen.add(code)
        fields, codes, texts, errors = _clean(row)
        errors.found.update(own.found)
        if errors.found:
            wrong[_("line %(number)d") % {"number": number}] = errors.found
        cleaned.append((code, fields, codes, texts))
    if wrong:
        raise InvalidData(_("The catalogue was not loaded."), todo=_("Correct these lines."), errors=wrong)
    result = ImportResult(codes=[code for code, *__ in cleaned])
    known = {row.code: row for row in CatalogueProcedure.objects.prefetch_related("codes", "preparations")}
    for code, fields, codes, texts in cleaned:
        _load_row(known.get(code), code, fields, codes, texts, result, actor)
    detail = {"created": result.created, "changed": result.changed, "unchanged": result.unchanged}
    record(actor, "orders.import_catalogue", Action.UPDATE, detail=detail)
    return result


def _load_row(
    row: CatalogueProcedure | None,
    code: str,
    fields: dict[str, Any],
    codes: dict[str, str],
    texts: dict[str, str],
    result: ImportResult,
    actor: Actor,
) -> None:
    is_new = row is None
    row = row or CatalogueProcedure(code=code)
    changed = is_new or any(getattr(row, name) != value for name, value in fields.items())
    if changed:
        for name, value in fields.items():
            setattr(row, name, value)
        row.save_as(actor, _("Loaded from a table"))
    known_codes = {} if is_new else {entry.scheme: entry for entry in row.codes.all()}
    known_texts = {} if is_new else {entry.language: entry for entry in row.preparations.all()}
    changed |= _load_codes(row, codes, known_codes)
    changed |= _load_texts(row, texts, known_texts)
    if is_new:
        result.created += 1
    elif changed:
        result.changed += 1
    else:
        result.unchanged += 1


def _load_codes(row: CatalogueProcedure, codes: dict[str, str], known: dict[str, ProcedureCode]) -> bool:
    changed = False
    for scheme, value in codes.items():
        entry = known.get(scheme)
        if not value or (entry is not None and entry.value == value):
            continue
        other = ProcedureCode.objects.filter(scheme=scheme, value=value).exclude(procedure=row).first()
        if other is not None:
            raise InvalidData(
                _("Two exams have the same code."),
                found=f"{value} ({scheme})",
                errors={
                    row.code: [_("%(other)s has the code %(value)s.") % {"other": other.procedure.code, "value": value}]
                },
            )
        if entry is None:
            ProcedureCode.objects.create(procedure=row, scheme=scheme, value=value)
        else:
            entry.value = value
            entry.save()
        changed = True
    return changed


def _load_texts(row: CatalogueProcedure, texts: dict[str, str], known: dict[str, Preparation]) -> bool:
    changed = False
    for language, text in texts.items():
        entry = known.get(language)
        if not text or (entry is not None and entry.text == text):
            continue
        if entry is None:
            Preparation.objects.create(procedure=row, language=language, text=text)
        else:
            entry.text = text
            entry.save()
        changed = True
    return changed


def load_starter_catalogue(*, actor: Actor) -> ImportResult:
    """The exams that most departments do, as a beginning; may be repeated."""
    with STARTER.open(newline="", encoding="utf-8") as source:
        return import_catalogue(source, actor=actor)


def export_catalogue(*, actor: Actor) -> str:
    """The whole catalogue as the CSV table that ``import_catalogue`` takes."""
    actor.require(perms.VIEW_CATALOGUE)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *OPTIONAL], lineterminator="\n")
    writer.writeheader()
    for row in CatalogueProcedure.objects.prefetch_related("codes", "preparations").order_by("modality", "code"):
        codes = {entry.scheme: entry.value for entry in row.codes.all()}
        texts = {entry.language: entry.text for entry in row.preparations.all()}
        plain = {name: getattr(row, name) for name in (*COLUMNS[:11], *OPTIONAL) if hasattr(row, name)}
        line = {name: int(value) if isinstance(value, bool) else value for name, value in plain.items()}
        line.update({column: codes.get(scheme, "") for column, scheme in SCHEMES.items()})
        line.update({f"preparation_{language}": texts.get(language, "") for language in LANGUAGES})
        writer.writerow(line)
    return text.getvalue()
