"""What is looked at before a signature: pure text in, findings out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reporting.diff import word_diff
from reporting.services.checks import BLOCK, checks_before_signing

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
FINE = {"findings": "Lungs: Clear.", "impression": "Normal chest."}


def codes(sections: dict[str, str], **facts: Any) -> list[str]:
    return [check.code for check in checks_before_signing({**FINE, **sections}, **facts)]


def test_a_clean_report_passes() -> None:
    assert codes({}) == []


@pytest.mark.parametrize(
    "sections, facts, found",
    [
        ({"impression": " \n"}, {}, ["empty_impression"]),
        ({"findings": ""}, {}, ["empty_findings"]),
        ({"findings": "RV/LV ratio [ratio]"}, {}, ["template_residue"]),
        ({"technique": "*** dictate"}, {}, ["template_residue"]),
        ({"impression": "Fracture of the right wrist."}, {"laterality": "L"}, ["laterality"]),
        ({"impression": "Right and left wrist compared."}, {"laterality": "L"}, []),
        ({"impression": "Mvunjiko mkono wa kulia."}, {"laterality": "L"}, ["laterality"]),
        ({"impression": "Bright right lung.", "findings": "Opacity in the left lung."}, {}, ["sides_disagree"]),
        ({"findings": "Prostate enlarged, 40 mm."}, {"sex": "F"}, ["sex"]),
        ({"findings": "Uterus normal."}, {"sex": "F"}, []),
        ({"impression": "Acute pulmonary embolism."}, {}, ["critical_words"]),
        ({"impression": "Acute pulmonary embolism."}, {"has_alert": True}, []),
        ({"impression": "No sign of pulmonary embolism."}, {}, []),
        ({"findings": "Nodule measures 12 mm."}, {}, []),
        ({"findings": "Nodule measures 12."}, {}, ["unit"]),
        ({"findings": "Mass measuring 12 x 14 mm."}, {}, []),
        ({}, {"identity_changed": True}, ["patient_changed"]),
        ({}, {"newest_image": NOW, "opened_at": NOW - timedelta(minutes=1)}, ["newer_images"]),
        ({}, {"newest_image": NOW, "opened_at": NOW + timedelta(minutes=1)}, []),
    ],
)
def test_what_is_found(sections: dict[str, str], facts: dict[str, Any], found: list[str]) -> None:
    assert codes(sections, **facts) == found


def test_what_blocks_comes_first_and_names_its_section() -> None:
    checks = checks_before_signing({"findings": "Prostate [size]", "impression": ""}, sex="F")
    assert [check.level for check in checks] == [BLOCK, BLOCK, "warn"]
    assert {check.target for check in checks} == {"impression", "findings"}


def test_words_are_compared_not_letters() -> None:
    pieces = word_diff("Nodule of 12 mm, left.", "Nodule of 21 mm, left.")
    assert [(piece.kind, piece.words) for piece in pieces] == [
        ("same", "Nodule of "),
        ("gone", "12"),
        ("new", "21"),
        ("same", " mm, left."),
    ]
