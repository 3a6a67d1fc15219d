"""The starter set: each template is filled as its reader would, signed by the services, and printed."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from reporting import services
from reporting.models import ReportTemplate
from reporting.pdf import render_report_pdf
from reporting.services.templates import check_words, fits, template_for
from reporting.starter import STARTERS
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_patient, make_procedure

PICK = re.compile(r"\[\[([^|\]\n]*)\|[^\]\n]*\]\]")
BLANK = re.compile(r"\[(?:\d+:)?[^\]\n]*\]")
EVERY = [(starter, language) for starter in STARTERS for language in starter.texts]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alpha")]


def filled(words: str) -> str:
    """The first of each list, and 7 in each blank."""
    return BLANK.sub("7", PICK.sub(r"\1", words))


def test_there_are_forty_and_the_common_ones_speak_swahili() -> None:
    english = [starter.texts["en"].name for starter in STARTERS]
    assert len(english) == len(set(english)) >= 40
    assert sum("sw" in starter.texts for starter in STARTERS) >= 20
    common = {starter.modality for starter in STARTERS if "sw" in starter.texts}
    assert common >= {"", "CT", "DX", "US", "MR", "MG"}


@pytest.fixture(scope="module")
def reader(django_db_setup: None, django_db_blocker: Any) -> Any:
    from tests.conftest import shared_start

    with shared_start(django_db_blocker):
        services.ensure_templates()
        yield actor_with_roles("radiologist")


@pytest.mark.parametrize(
    ("starter", "language"), EVERY, ids=[f"{starter.texts[language].name}" for starter, language in EVERY]
)
def test_each_is_filled_signed_and_printed(reader: Any, starter: Any, language: str) -> None:
    text = starter.texts[language]
    check_words(text.sections)
    born = date(2026 - starter.age_from, 1, 1) if starter.age_from else date(2026, 1, 1)
    patient = make_patient(sex=starter.sex or "F", birth_date=born if starter.age_to else date(1960, 1, 1))
    procedure = make_procedure(
        patient=patient,
        modality=starter.modality or "OT",
        body_region=starter.regions[0] if starter.regions else "",
        description=text.name,
    )
    template = ReportTemplate.objects.get(name=text.name, language=language)
    assert fits(template, procedure)
    report = services.open_report([procedure], actor=reader)
    report = services.apply_template(report, template=template, actor=reader)
    assert "{{" not in "".join(report.sections.values())
    sections = {key: filled(words) for key, words in report.sections.items()}
    sections["impression"] = sections.get("impression") or "7"
    report = services.sign_report(report, sections=sections, revision=report.revision, actor=reader)
    assert report.status == "final"
    assert render_report_pdf(report.versions.get()).startswith(b"%PDF-")


def test_the_closest_is_chosen(reader: Any) -> None:
    child = make_patient(birth_date=date(2022, 1, 1))
    film = {"modality": "DX", "body_region": "chest"}
    assert template_for([make_procedure(patient=child, **film)]).name == "Chest radiograph, child"
    assert template_for([make_procedure(**film)]).name == "Chest radiograph"
    assert template_for([make_procedure(**film)], language="sw").name == "Eksirei ya kifua"
    pelvis = {"modality": "US", "body_region": "pelvis"}
    man = make_patient("KAMAU", given_name="Peter", sex="M")
    assert template_for([make_procedure(patient=man, **pelvis)]).name == "Ultrasound prostate and bladder"
    assert template_for([make_procedure(**pelvis)]).name == "Ultrasound female pelvis"
    assert template_for([make_procedure(modality="XA", body_region="heart")]).name == "General report"
