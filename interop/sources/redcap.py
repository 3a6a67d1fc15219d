"""REDCap, by its API: one POST per question, ``content=record`` and its kin, JSON in and out.

A run asks which records have changed (``dateRangeBegin``), reads those in batches, and looks whether the records of
entries that are still to be done exist at all: a deletion changes no date. Longitudinal projects (events), repeating
instruments and repeating events are rows of their own, completed from the record's other rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from interop.sources.plugin import Ask, Batch, Field, Row, There, in_batches
from interop.sources.windows import walls
from interop.sources.wire import SourceFailed

LABEL = ":label"
YES_NO = {"1": "Yes", "0": "No"}
TRUE_FALSE = {"1": "True", "0": "False"}
OWN_NAMES = ("redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance", "redcap_data_access_group")
DATE = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Dictionary:
    """What the project's data dictionary says: the field that names records, all fields, the words of choices."""

    record_id: str
    fields: frozenset[str]
    labels: Mapping[str, Mapping[str, str]]


class RedCap:
    code = "redcap"
    label = "REDCap"
    fields = (
        Field(
            "url", gettext_lazy("Address of the API"), "url", True,
            help=gettext_lazy("For example https://redcap.example.org/api/"),
        ),
        Field(
            "token", gettext_lazy("API token"), "secret", True,
            help=gettext_lazy("Of a user who may export this project; one source for each site's token."),
        ),
        Field("site", gettext_lazy("Site"), help=gettext_lazy("Mapping rules find it as the field “site”.")),
        Field(
            "instrument", gettext_lazy("Repeating instrument"),
            help=gettext_lazy("Each of its instances is an entry. Empty: each record, or each of its events."),
        ),
        Field("events", gettext_lazy("Events"), "list", help=gettext_lazy("Unique event names. Empty: all.")),
        Field(
            "required", gettext_lazy("Fields that make an entry"), "list",
            help=gettext_lazy("A row that lacks one of them is not planned yet, and no mistake."),
        ),
        Field("filter", gettext_lazy("Filter logic"), help=gettext_lazy("As in REDCap, for example [site]='2'.")),
        Field("group", gettext_lazy("Data access group"), help=gettext_lazy("Only records of this group.")),
        Field(
            "type", gettext_lazy("Shape of the export"), "choice", default="flat",
            choices=(("flat", gettext_lazy("One row per record")), ("eav", gettext_lazy("One row per value"))),
        ),
        Field("batch", gettext_lazy("Records at once"), "number", default=500, low=1, high=5000),
        Field(
            "overlap_minutes", gettext_lazy("Reads again (minutes)"), "number", default=10, low=0, high=1440,
            help=gettext_lazy("Changes of so long before the last run are asked for again: clocks differ."),
        ),
    )  # fmt: skip
    offers = ("site", *OWN_NAMES)
    suggestion = (
        {"target": "patient_id", "source": "record_id"},
        {"target": "family_name", "source": "last_name"},
        {"target": "given_name", "source": "first_name"},
        {"target": "birth_date", "source": "dob"},
        {"target": "sex", "source": "sex:label"},
        {"target": "start_date", "source": "mri_date"},
        {"target": "start_time", "source": "mri_time"},
        {"target": "modality", "default": "MR"},
        {"target": "code", "source": "protocol"},
    )

    def test(self, there: There) -> list[str]:
        """The fields of the project; asks for the project first, so that a wrong token is told as REDCap tells it."""
        _expect(_ask(there, "project"), dict)
        dictionary = _dictionary(there)
        labelled = [f"{name}{LABEL}" for name in dictionary.labels]
        return [*sorted(dictionary.fields), *sorted(labelled), *self.offers]

    def fetch(self, there: There, ask: Ask) -> Iterator[Batch]:
        dictionary = _dictionary(there)
        fields = _fields_to_export(there, dictionary)
        changed = _record_ids(there, dictionary, _range(there, ask))
        again = [_record_of(external_id) for external_id in ask.again]
        known: dict[str, set[str]] = {}
        for external_id in ask.known:
            known.setdefault(_record_of(external_id), set()).add(external_id)
        wanted = dict.fromkeys([*again, *changed])
        for records in in_batches(wanted, there.config["batch"]):
            rows = _read(there, dictionary, fields, records)
            found = {row.external_id for row in rows}
            gone = {one for record in records for one in known.get(record, ())} - found
            yield [*rows, *(Row(one, is_gone=True, reason=_("It is no longer planned in REDCap.")) for one in gone)]
        untouched = [record for record in known if record not in wanted]
        for records in in_batches(untouched, there.config["batch"]):
            still = set(_record_ids(there, dictionary, {"records": records}))
            lost = [one for record in records if record not in still for one in sorted(known[record])]
            yield [Row(one, is_gone=True, reason=_("The record was deleted in REDCap.")) for one in lost]


# --- questions


def _ask(there: There, content: str, **further: Any) -> Any:
    form: dict[str, str] = {
        "token": there.secrets.get("token", ""),
        "content": content,
        "format": "json",
        "returnFormat": "json",
    }
    for name, value in further.items():
        if isinstance(value, str):
            form[name] = value
        else:
            form.update({f"{name}[{number}]": item for number, item in enumerate(value)})
    answer = there.wire.json("POST", there.config["url"], data=form)
    if isinstance(answer, dict) and set(answer) == {"error"}:
        raise SourceFailed(_("REDCap refused the question."), reason="settings")
    return answer


def _expect(answer: Any, kind: type) -> Any:
    if not isinstance(answer, kind):
        raise SourceFailed(_("The source did not answer as REDCap does."), reason="malformed")
    return answer


def _rows(answer: Any) -> list[dict[str, Any]]:
    rows = _expect(answer, list)
    if not all(isinstance(row, dict) for row in rows):
        raise SourceFailed(_("The source did not answer as REDCap does."), reason="malformed")
    return rows


def _dictionary(there: There) -> Dictionary:
    rows = _rows(_ask(there, "metadata"))
    names = [str(row.get("field_name", "")) for row in rows]
    if not names or not names[0]:
        raise SourceFailed(_("The project has no fields that this token may see."), reason="settings")
    exported = _rows(_ask(there, "exportFieldNames"))
    fields = {str(row.get("export_field_name", "")) for row in exported} | {
        str(row["field_name"]) for row in rows if row.get("field_type") not in ("checkbox", "descriptive")
    }
    return Dictionary(names[0], frozenset(fields - {""}), dict(_choices(rows)))


def _choices(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    """``1, Male | 2, Female`` of radio buttons and drop-downs."""
    for row in rows:
        kind, name = row.get("field_type"), str(row.get("field_name", ""))
        if kind in ("yesno", "truefalse"):
            yield name, YES_NO if kind == "yesno" else TRUE_FALSE
        elif kind in ("radio", "dropdown"):
            pairs = (part.partition(",") for part in str(row.get("select_choices_or_calculations", "")).split("|"))
            yield name, {code.strip(): words.strip() for code, _comma, words in pairs}


def _range(there: There, ask: Ask) -> dict[str, Any]:
    """Between which times of REDCap's own clock changes are asked for."""
    if ask.since is None:
        return {}
    since = ask.since - timedelta(minutes=there.config["overlap_minutes"])
    begin, end = walls(since, ask.until + timedelta(minutes=5), there.zone)
    return {"dateRangeBegin": f"{begin:{DATE}}", "dateRangeEnd": f"{end:{DATE}}"}


def _scope(there: There) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if there.config["filter"]:
        found["filterLogic"] = there.config["filter"]
    if there.config["group"]:
        found["exportDataAccessGroups"] = "true"
    return found


def _record_ids(there: There, dictionary: Dictionary, restriction: Mapping[str, Any]) -> list[str]:
    rows = _rows(_ask(there, "record", action="export", type="flat", fields=[dictionary.record_id], **restriction))
    return list(dict.fromkeys(str(row.get(dictionary.record_id, "")) for row in rows if row.get(dictionary.record_id)))


def _fields_to_export(there: There, dictionary: Dictionary) -> list[str]:
    """What the mapping names and the project has. A checkbox is asked for by its field, and comes per choice."""
    wanted = {name.removesuffix(LABEL) for name in there.wanted} | set(there.config["required"] or ())
    found = sorted(name for name in wanted if name in dictionary.fields and name != dictionary.record_id)
    return [dictionary.record_id, *dict.fromkeys(name.split("___")[0] for name in found)]


# --- rows


def _read(there: There, dictionary: Dictionary, fields: list[str], records: list[str]) -> list[Row]:
    answer = _rows(
        _ask(
            there, "record", action="export", type=there.config["type"], fields=fields, records=records, **_scope(there)
        )
    )
    rows = _joined(answer, dictionary) if there.config["type"] == "eav" else answer
    by_record: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_record.setdefault(str(row.get(dictionary.record_id, "")), []).append(row)
    found: list[Row] = []
    for record, own in by_record.items():
        if record:
            found += _entries(there, dictionary, record, own)
    return found


def _joined(values: list[dict[str, Any]], dictionary: Dictionary) -> list[dict[str, Any]]:
    """One row per record, event and instance out of one row per value."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for value in values:
        place = tuple(str(value.get(name) or "") for name in ("record", *OWN_NAMES[:3]))
        row = rows.setdefault(place, {dictionary.record_id: place[0], **dict(zip(OWN_NAMES, place[1:], strict=False))})
        name, text = str(value.get("field_name", "")), value.get("value", "")
        if name in dictionary.labels or name in dictionary.fields:
            row[name] = text
        else:
            row[f"{name}___{text}"] = "1"
    return list(rows.values())


def _entries(there: There, dictionary: Dictionary, record: str, rows: list[dict[str, Any]]) -> Iterator[Row]:
    """The rows of a record that are entries, each with what the others tell of the same record."""
    config = there.config
    base = [row for row in rows if not row.get("redcap_repeat_instrument")]
    for row in rows:
        event = str(row.get("redcap_event_name") or "")
        if config["events"] and event not in config["events"]:
            continue
        if config["group"] and row.get("redcap_data_access_group", config["group"]) != config["group"]:
            continue
        instrument = str(row.get("redcap_repeat_instrument") or "")
        if instrument != (config["instrument"] or "") and (instrument or _repeats(rows, config["instrument"])):
            continue
        same_event = [other for other in base if str(other.get("redcap_event_name") or "") == event]
        values = _completed(row, [*same_event, *base])
        if any(_is_empty(values.get(name)) for name in config["required"] or ()):
            continue
        for name, words in dictionary.labels.items():
            if name in values:
                values[f"{name}{LABEL}"] = words.get(str(values[name]), values[name])
        instance = str(row.get("redcap_repeat_instance") or "")
        values |= {dictionary.record_id: record, "record": record, "site": config["site"] or "", **_own(row)}
        yield Row(_external_id(record, event, instrument, instance), values)


def _repeats(rows: list[dict[str, Any]], instrument: str | None) -> bool:
    """Whether the record has instances of this instrument; where it has none, the instrument may be a plain one."""
    return bool(instrument) and any(row.get("redcap_repeat_instrument") for row in rows)


def _own(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(row.get(name) or "") for name in OWN_NAMES}


def _is_empty(value: Any) -> bool:
    return value is None or str(value).strip() in ("", "NaN")


def _completed(row: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    values = dict(row)
    for other in others:
        for name, value in other.items():
            if _is_empty(values.get(name)) and not _is_empty(value):
                values[name] = value
    return values


def _external_id(*parts: str) -> str:
    return "|".join(quote(part, safe=" -_.") for part in parts).rstrip("|")[:200]


def _record_of(external_id: str) -> str:
    return unquote(external_id.split("|")[0])
