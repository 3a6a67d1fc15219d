"""Hours across midnight, the wall clock of a source across changes of summer time, and what the mapping understands."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from interop.sources.mapping import Entry, checked_mapping, entry_of, entry_of_json
from interop.sources.windows import is_open, moment_of, next_opening, walls
from ris.core.errors import InvalidData

BERLIN, NAIROBI = ZoneInfo("Europe/Berlin"), ZoneInfo("Africa/Nairobi")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("opens", "closes", "moment", "answer"),
    [
        (time(8), time(18), utc(2026, 6, 1, 5, 0), True),
        (time(8), time(18), utc(2026, 6, 1, 15, 0), False),
        (time(22), time(6), utc(2026, 6, 1, 20, 0), True),
        (time(22), time(6), utc(2026, 6, 1, 2, 59), True),
        (time(22), time(6), utc(2026, 6, 1, 3, 0), False),
        (time(0), time(0), utc(2026, 6, 1, 3, 0), True),
    ],
)
def test_hours_go_over_midnight(opens, closes, moment, answer):
    assert is_open(moment, opens, closes, NAIROBI) is answer


def test_it_opens_next_when_the_clock_there_says_so():
    assert next_opening(utc(2026, 6, 1, 15), time(8), time(18), NAIROBI) == utc(2026, 6, 2, 5)
    assert next_opening(utc(2026, 6, 1, 3), time(22), time(6), NAIROBI) == utc(2026, 6, 1, 19)
    assert next_opening(utc(2026, 6, 1, 10), time(8), time(18), NAIROBI) == utc(2026, 6, 1, 10)
    # 02:30 does not exist on this night: it opens when the clock has leapt over it
    opening = next_opening(utc(2026, 3, 28, 22), time(2, 30), time(4), BERLIN)
    assert opening == utc(2026, 3, 29, 1, 30) and is_open(opening, time(2, 30), time(4), BERLIN)


def test_the_wall_clock_covers_the_hour_that_comes_twice():
    first, last = walls(utc(2026, 10, 24, 23, 50), utc(2026, 10, 25, 1, 10), BERLIN)
    assert (first.time(), last.time()) == (time(1, 50), time(2, 55)) or last.time() >= time(2, 50)
    first, last = walls(utc(2026, 10, 25, 0, 50), utc(2026, 10, 25, 1, 20), BERLIN)
    assert first.time() <= time(2, 5) and last.time() >= time(2, 50)
    first, last = walls(utc(2026, 6, 1, 10), utc(2026, 6, 1, 11), BERLIN)
    assert (first, last) == (datetime(2026, 6, 1, 12), datetime(2026, 6, 1, 13))
    assert moment_of(datetime(2026, 10, 25, 2, 30), BERLIN) == utc(2026, 10, 25, 0, 30)
    assert walls(utc(2020, 1, 1), utc(2026, 6, 1), BERLIN)[0].year == 2020


def mapped(rules: list[dict], row: dict) -> tuple[Entry, dict[str, str]]:
    return entry_of(checked_mapping(rules), row, NAIROBI)


WHOLE = {
    "patient_id": "P-1", "family_name": "Otieno", "code": "MRBRAIN", "modality": "MR",
    "starts_at": "2026-06-01T10:00:00",
}  # fmt: skip


def rules_for(**other: str) -> list[dict]:
    return [{"target": name, "source": name} for name in {**WHOLE, **other}]


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("weight_lb", "150", "weight_kg", "68.04"),
        ("weight_kg", "72,5", "weight_kg", "72.50"),
        ("height_cm", "181", "height_m", "1.81"),
        ("birth_date", "20010405", "birth_date", "2001-04-05"),
        ("birth_year", "2012", "birth_date", "2012-01-01"),
        ("sex", "Female", "sex", "F"),
        ("status", "Approved", "status", "scheduled"),
        ("starts_at", "2026-06-01T10:00:00-06:00", "starts_at", "2026-06-01T16:00:00+00:00"),
        ("duration_minutes", "45.0", "duration_minutes", 45),
    ],
)
def test_what_texts_mean(name, text, field, value):
    entry, errors = mapped(rules_for(**{name: text}), {**WHOLE, name: text})
    assert errors == {} and entry.as_json()[field] == value
    assert entry_of_json(entry.as_json()) == entry
    assert entry.birth_date_is_estimated is (name == "birth_year")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("birth_date", "2999-01-01"), ("birth_date", "31/02/2001"), ("birth_year", "0000"), ("sex", "2"),
        ("weight_kg", "9000"), ("weight_kg", "heavy"), ("modality", "EEG"), ("study_instance_uid", "12345"),
        ("status", "Maybe"), ("duration_minutes", "-5"), ("patient_id", "A\\B"), ("priority", "yesterday"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_told_without_repeating_it(name, text):
    _entry, errors = mapped(rules_for(**{name: text}), {**WHOLE, name: text})
    assert set(errors) == {name} and text not in errors[name]


def test_templates_parts_lists_and_fallbacks():
    rules = [
        {"target": "_study", "source": "study", "pattern": "([^-]*)$", "group": 1},
        {"target": "patient_id", "template": "sub_{_study}_ses_{ses}"},
        {"target": "patient_name", "template": "cpip-id-{_study}^fa-{fam}"},
        {"target": "sex", "source": "sex", "values": {"1": "M", "2": "F"}},
        {"target": "starts_at", "source": "starts_at"},
        {"target": "description", "source": "nothing"},
        {"target": "description", "default": "Brain"},
        {"target": "modality", "default": "MR"},
    ]
    entry, errors = mapped(rules, {"study": "AB-17", "ses": "2", "fam": "9", "sex": "2", **WHOLE})
    assert errors == {} and (entry.patient_id, entry.family_name, entry.given_name) == (
        "sub_17_ses_2",
        "cpip-id-17",
        "fa-9",
    )
    assert (entry.sex, entry.description, entry.modality) == ("F", "Brain", "MR")
    _entry, errors = mapped(rules, {"starts_at": WHOLE["starts_at"], "sex": "7"})
    assert set(errors) == {"patient_id", "family_name", "sex"} or "sex" in errors
    assert mapped([{"target": "status", "default": "cancelled"}], {})[1] == {}
    assert Entry(birth_date=date(2001, 1, 1)).content_hash != Entry().content_hash


@pytest.mark.parametrize(
    "rule",
    [
        {"target": "nowhere", "source": "x"}, {"target": "code"}, {"source": "x"}, "x", {"target": "code", "colour": 1},
        {"target": "code", "source": "x", "pattern": "(["}, {"target": "code", "source": "x", "pattern": "(a+)+"},
        {"target": "code", "source": "x", "pattern": "a", "group": 2}, {"target": "sex", "default": "7"},
        {"target": "code", "source": "x" * 400}, {"target": "code", "source": "x", "values": [1]},
    ],
)  # fmt: skip
def test_rules_that_cannot_be_kept(rule):
    with pytest.raises(InvalidData) as refusal:
        checked_mapping([rule])
    assert list(refusal.value.errors) == ["mapping.1"]


def test_a_long_text_does_not_hold_a_pattern_for_long():
    began = datetime.now(UTC)
    mapped([{"target": "code", "source": "x", "pattern": "a.*a.*a.*b$"}], {"x": "a" * 100_000})
    assert datetime.now(UTC) - began < timedelta(seconds=2)
