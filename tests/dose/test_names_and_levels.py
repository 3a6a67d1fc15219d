"""Exams under one name, patients apart from phantoms, levels in editions, medians beside the level of their band."""

from __future__ import annotations

import pytest
from django.utils import timezone

from dose import names, services
from dose.bands import age_band, weight_band
from dose.models import (
    DoseReport,
    ExamRule,
    ReferenceLevel,
    StandardExam,
)
from dose.naming import Facts, first_fit, fits
from dose.services import naming
from ris.core.errors import InvalidData, NotPermitted
from ris.core.permissions import PHYSICIST, TECHNOLOGIST
from ris.core.sheets import read_table
from ris.core.spreadsheet import as_csv, as_xlsx
from tests.dose.test_services import imported, of
from tests.factories.accounts import actor_with_roles
from tests.factories.dose import ct_event
from tests.factories.worklist import ct_procedure


@pytest.fixture
def physicist(alpha):
    return actor_with_roles(PHYSICIST)


def head(dlp=900, *, station="CT1", born="19900203", **fields):
    """A head of today, at a room, of a patient of its own."""
    today = f"{timezone.localdate():%Y%m%d}"
    values = {"ContentDate": today, "ContentTime": "000100", "StationName": station, "PatientBirthDate": born}
    return imported(of(ct_procedure(), ct_event(dlp), **values | fields))


def call_heads(physicist, **fields):
    """Everything made here is a head, whatever its name."""
    ExamRule.objects.update(is_active=False)
    exam = StandardExam.objects.get(code="ct-head")
    return services.save_rule(field="protocol", match="equals", pattern="Chest", exam=exam, actor=physicist, **fields)


# --- pure


@pytest.mark.parametrize(
    ("match", "pattern", "text", "does"),
    [
        ("equals", "CT Head", "ct  HEAD ", True), ("equals", "head", "ct head", False),
        ("contains", "head", "CT^HEAD^PLAIN", True), ("contains", "head", "", False),
        ("wildcard", "ct*head", "CT PLAIN HEAD", True), ("wildcard", "ct?head", "ct-head", True),
        ("wildcard", "[ab]*", "abc", False), ("wildcard", "[ab]*", "[ab]c", True), ("contains", ".*", "abc", False),
    ],
)  # fmt: skip
def test_texts_fit(match, pattern, text, does):
    assert fits(match, pattern, text) is does


def test_the_first_rule_that_fits_decides_and_a_second_part_must_fit_too():
    def rule(pattern, **fields):
        return ExamRule(field="protocol", match="contains", pattern=pattern, **fields)

    stroke = rule("head", also_field="indication", also_pattern="stroke", modality="CT")
    plain, mammo = rule("head"), rule("head", modality="MG")
    rules = [mammo, stroke, plain]
    assert first_fit(rules, Facts("CT", {"protocol": ["Head"], "indication": ["? Stroke"]})) is stroke
    assert first_fit(rules, Facts("CT", {"protocol": ["Head"], "indication": ["fall"]})) is plain
    assert first_fit(rules, Facts("CR", {"description": ["Head"]})) is None
    assert first_fit([rule("x", modality="DX")], Facts("CR", {"protocol": ["x"]})) is not None


def test_bands_meet_without_a_gap():
    assert [age_band(years) for years in (None, 0, 0.24, 0.25, 1, 5.99, 6, 15.99, 16, 90)] == [
        "", "0-3 mo", "0-3 mo", "3-12 mo", "1-6 a", "1-6 a", "6-16 a", "6-16 a", "adult", "adult",
    ]  # fmt: skip
    assert [weight_band(kg) for kg in (None, 4.9, 5, 29.9, 30, 79.9, 80)] == [
        "", "<5 kg", "5-15 kg", "15-30 kg", "30-50 kg", "50-80 kg", "",
    ]  # fmt: skip


def test_tables_are_read_from_csv_and_xlsx_and_nothing_else():
    heads, rows = ("exam", "value"), [("Head", 47), ("Thorax; ä", 8.5)]
    text = [["Head", "47"], ["Thorax; ä", "8.5"]]
    assert read_table(as_csv(heads, rows)) == (list(heads), text)
    assert read_table(as_xlsx("Levels", heads, rows)) == (list(heads), text)
    assert read_table(b"exam;value\r\nHead;47,5\r\n") == (list(heads), [["Head", "47,5"]])
    for broken in (b"", b"\x00\x01", b"\xff\xfe\xff", b"PK\x03\x04 broken", b"x" * (6 * 1024 * 1024)):
        with pytest.raises(InvalidData):
            read_table(broken)


# --- names


def test_a_report_is_named_on_import_and_again_when_the_rules_change(physicist, dispatch):
    named, other = head(), head(ProtocolName="x")
    assert (named.protocol, named.body_part, named.age_band) == ("CHEST", "Chest", "adult")
    assert named.standard_exam == StandardExam.objects.get(code="ct-chest")
    call_heads(physicist)
    assert names.mapping(actor=physicist).outdated == 2
    assert services.reapply_rules(actor=physicist) == 2 and names.reports_to_name(actor=physicist) == 2
    for pk in naming.claim_unclassified():
        assert naming.classify_again(pk)
        assert not naming.classify_again(pk)
    named.refresh_from_db()
    assert named.standard_exam.code == "ct-head" and not named.is_to_classify
    assert named.history.count() == 2 and services.reapply_rules(actor=physicist) == 0
    assert DoseReport.objects.get(pk=other.pk).standard_exam.code == "ct-head"
    with pytest.raises(NotPermitted):
        services.reapply_rules(actor=actor_with_roles(TECHNOLOGIST))


def test_phantoms_leave_the_statistics_and_come_back_when_the_rule_goes(physicist):
    phantom = head(PatientName="Ring^Water")
    assert phantom.is_of_a_patient
    rule = services.save_not_patient_rule(field="patient_name", match="wildcard", pattern="*water*", actor=physicist)
    assert services.reapply_rules(actor=physicist) == 1
    naming.classify_again(phantom.pk)
    phantom.refresh_from_db()
    assert not phantom.is_of_a_patient and not head(PatientName="Water").is_of_a_patient
    services.save_not_patient_rule(rule, is_active=False, actor=physicist)
    assert services.reapply_rules(actor=physicist) == 2
    for pk in naming.claim_unclassified():
        naming.classify_again(pk)
    assert DoseReport.objects.filter(is_of_a_patient=True).count() == 2


@pytest.mark.parametrize(
    "wrong",
    [{"pattern": "*"}, {"pattern": " "}, {"field": "x"}, {"match": "x"}, {"pattern": "x" * 129},
     {"also_field": "protocol"}, {"modality": "ZZ"}],
)  # fmt: skip
def test_what_is_no_rule_is_refused(physicist, wrong):
    values = {"field": "protocol", "match": "contains", "pattern": "x", "exam": StandardExam.objects.first()}
    with pytest.raises(InvalidData):
        services.save_rule(**values | wrong, actor=physicist)
    services.save_rule(**values, actor=physicist)
    with pytest.raises(InvalidData):
        services.save_rule(**values, actor=physicist)


def test_rules_keep_their_order(physicist):
    first, last = ExamRule.objects.order_by("position").first(), ExamRule.objects.order_by("-position").first()
    services.move_rule(last, before=first, actor=physicist)
    assert ExamRule.objects.order_by("position").first() == last
    services.move_rule(last, actor=physicist)
    assert ExamRule.objects.order_by("-position").first() == last
    positions = list(ExamRule.objects.order_by("position").values_list("position", flat=True))
    assert positions == sorted(set(positions))


# --- levels


def level_values(**fields):
    values = {"authority": "Here", "year": 2026, "exam": "Head", "modality": "CT", "quantity": "dlp", "value": 800,
              "unit": "mGy.cm", "source": "A letter", "standard_exam": "ct-head"}  # fmt: skip
    return values | fields


def test_a_level_is_never_overwritten(physicist):
    level = services.add_level(**level_values(), actor=physicist)
    assert (level.edition, level.band, level.is_watched) == (1, "adult", True)
    with pytest.raises(InvalidData):
        services.add_level(**level_values(value=900), actor=physicist)
    with pytest.raises(InvalidData):
        services.revise_level(level, reason=" ", value=700, actor=physicist)
    assert services.revise_level(level, reason="typo", value=800, actor=physicist) == level
    second = services.revise_level(level, reason="new survey", value="700,5", actor=physicist)
    level.refresh_from_db()
    assert (level.value, level.is_active, second.value, second.edition, second.replaces) == (
        800,
        False,
        700.5,
        2,
        level,
    )
    with pytest.raises(InvalidData):
        services.revise_level(level, reason="again", value=1, actor=physicist)
    assert not services.withdraw_level(second, reason="wrong", actor=physicist).is_active
    services.add_level(**level_values(), actor=physicist)
    with pytest.raises(NotPermitted):
        services.add_level(**level_values(year=2025), actor=actor_with_roles(TECHNOLOGIST))


@pytest.mark.parametrize(
    ("field", "value"),
    [("value", 0), ("value", "x"), ("value", "nan"), ("unit", "Gy"), ("quantity", "x"), ("year", 1066), ("source", ""),
     ("modality", "ZZ"), ("band", "some"), ("standard_exam", "none"), ("exam", "x" * 65), ("is_watched", "maybe")],
)  # fmt: skip
def test_what_is_no_level_says_why(physicist, field, value):
    with pytest.raises(InvalidData) as refused:
        services.add_level(**level_values(**{field: value}), actor=physicist)
    assert field in refused.value.errors


def test_a_table_is_looked_at_and_loaded_with_reasons_for_what_is_left_out(physicist):
    known = services.add_level(**level_values(), actor=physicist)
    heads = (
        "authority",
        "year",
        "exam",
        "modality",
        "quantity",
        "value",
        "unit",
        "source",
        "band",
        "age_from",
        "age_below",
    )
    rows = [
        ("Here", 2026, "Head", "CT", "dlp", 750, "mGy.cm", "A letter", "", "", ""),
        ("Here", 2026, "Head", "CT", "ctdi_vol", "47,5", "mGy", "A letter", "", "", ""),
        ("Here", 2026, "Head", "CT", "dlp", 300, "mGy·cm", "A letter", "1 to 5", 1, 5),
        ("Here", 2026, "Head", "CT", "dlp", 300, "mGy·cm", "A letter", "1 to 5", 1, 5),
        ("Here", 2026, "Chest", "CT", "dlp", -3, "mGy", "", "", "", ""),
    ]  # fmt: skip
    for table in (as_csv(heads, rows), as_xlsx("x", heads, rows)):
        lines = services.preview_levels(table, actor=physicist)
        assert [line.kind for line in lines] == ["edition", "new", "new", "wrong", "wrong"]
        assert set(lines[-1].errors) == {"value", "unit", "source"} and "twice" in lines[3].reasons[0]
    assert ReferenceLevel.objects.filter(authority="Here").count() == 1
    services.import_levels(table, actor=physicist)
    assert ReferenceLevel.objects.filter(authority="Here", is_active=True).count() == 3
    known.refresh_from_db()
    second = known.replaced_by.get()
    assert (second.value, second.standard_exam.code, known.value) == (750, "ct-head", 800)
    again = services.preview_levels(table, actor=physicist)
    assert [line.kind for line in again][:3] == ["same", "same", "same"]
    with pytest.raises(InvalidData):
        services.preview_levels(b"exam,colour\nHead,red\n", actor=physicist)
