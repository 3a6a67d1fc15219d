"""The paper of a version: what stands on it, page by page, and that it is the same each time."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reporting import services
from reporting.models import Report
from reporting.pdf import check_digits, render_report_pdf, unprintable
from tests.factories.reporting import drafted, make_patient, make_procedure, signed

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is missing: apt-get install poppler-utils"),
]


def words_of(pdf: bytes, tmp_path: Path) -> str:
    file = tmp_path / "report.pdf"
    file.write_bytes(pdf)
    answer = subprocess.run(["pdftotext", "-layout", str(file), "-"], capture_output=True, check=True, timeout=30)
    return answer.stdout.decode()


def latest(report: Report) -> Any:
    return report.versions.order_by("-number").first()


def test_the_paper_says_who_what_when_and_by_whom(people: Any, tmp_path: Path) -> None:
    patient = make_patient("Nyström", given_name="Ζωή Łukasz Анна", birth_date="1990-03-14")
    patient.refresh_from_db()
    procedure = make_procedure(patient=patient, requester=people.referrer.practitioner)
    version = latest(signed(procedure, actor=people.radiologist))
    words = words_of(render_report_pdf(version), tmp_path)
    for said in (
        "Alpha Hospital", "Radiology report", "FINAL", "version 1", "NYSTRÖM, Ζωή Łukasz Анна", "14 Mar 1990",
        patient.primary_identifier.value, procedure.accession_number, people.referrer.practitioner.family_name,
        "CT chest", "Findings", "Lungs: Clear.", "Impression", "No acute abnormality.", "Wekesa", "Page 1 of 1",
        check_digits(version),
    ):  # fmt: skip
        assert said in words, said
    assert "cannot show" not in words


def test_the_same_version_gives_the_same_bytes(people: Any) -> None:
    version = latest(signed(actor=people.radiologist))
    assert render_report_pdf(version) == render_report_pdf(version)


def test_addenda_follow_and_a_correction_is_announced(people: Any, tmp_path: Path) -> None:
    report = signed(actor=people.radiologist)
    report = services.add_addendum(report, text="Compared with outside CT.", actor=people.other)
    first, second = report.versions.all()
    assert "Compared" not in words_of(render_report_pdf(first), tmp_path)
    words = words_of(render_report_pdf(second), tmp_path)
    assert "Compared with outside CT." in words and "Mutua" in words and "version 2" in words
    report = services.correct_report(report, sections={"impression": "21 mm."}, reason="Typo", actor=people.radiologist)
    words = words_of(render_report_pdf(latest(report)), tmp_path)
    assert "Corrected on" in words and "Reason: Typo" in words and "21 mm." in words and "Compared" in words


def test_preliminary_and_retracted_papers_warn(people: Any, tmp_path: Path) -> None:
    report = services.sign_preliminary(drafted(actor=people.resident), actor=people.resident)
    assert "A final one follows" in words_of(render_report_pdf(latest(report)), tmp_path)
    report = services.retract_report(signed(actor=people.radiologist), reason="Wrong patient", actor=people.radiologist)
    words = words_of(render_report_pdf(latest(report)), tmp_path)
    assert "do not act on this report" in words and "Wrong patient" in words


def test_a_long_report_has_the_identity_on_every_page(people: Any, tmp_path: Path) -> None:
    procedure = make_procedure()
    version = latest(signed(procedure, actor=people.radiologist, findings="A line of findings.\n" * 160))
    pages = words_of(render_report_pdf(version, printed_by="M. Wafula"), tmp_path).rstrip("\f").split("\f")
    assert len(pages) > 2
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        assert procedure.accession_number in page
        assert procedure.order.patient.primary_identifier.value in page
        assert "M. Wafula" in page


def test_what_the_font_lacks_is_named(people: Any, tmp_path: Path) -> None:
    assert unprintable("Łukasz Ζωή Анна §µ≥½") == ""
    version = latest(signed(actor=people.radiologist, findings="नमस्ते"))
    assert "U+0928" in words_of(render_report_pdf(version), tmp_path)


def test_headings_speak_the_reports_language_and_markup_is_text(people: Any, tmp_path: Path) -> None:
    version = latest(signed(actor=people.radiologist, findings="<b>x</b> & <font> 3 < 4"))
    assert "<b>x</b> & <font> 3 < 4" in words_of(render_report_pdf(version), tmp_path)


def test_an_alert_that_was_told_stands_on_the_paper(people: Any, tmp_path: Path) -> None:
    procedure = make_procedure()
    critical = services.raise_critical_result(
        procedure, category=1, finding="Pulmonary embolism", actor=people.radiologist
    )
    services.log_contact(
        critical, channel="phone", person="Dr Kilonzo", outcome="reached", read_back=True, actor=people.radiologist
    )
    words = words_of(render_report_pdf(latest(signed(procedure, actor=people.radiologist))), tmp_path)
    assert "category 1: Pulmonary embolism" in words and "Dr Kilonzo" in words and "Read back" in words
