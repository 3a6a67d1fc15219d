"""The conformance statement says what the code does, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation

from interop.dicom.conformance import document, specimen
from interop.dicom.conformance_texts import RETURN_TYPES
from interop.dicom.dimse import served
from interop.dicom.sop_classes import STORAGE_CLASSES, STORAGE_SYNTAXES
from worklist.services.rendering import item_of

from .conftest import schedule

PAGE = Path(settings.BASE_DIR) / "docs" / "dicom-conformance.md"


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == document(), "make docs"


def test_it_is_the_same_in_every_language():
    with translation.override("sw"):
        assert document() == PAGE.read_text()


def test_every_class_and_right_that_is_served_is_in_it():
    text = document()
    for handler in served():
        assert all(f"`{uid}`" in text for uid in handler.sop_classes)
    assert all(f"`{uid}`" in text for uid in (*STORAGE_CLASSES, *STORAGE_SYNTAXES))


@pytest.mark.usefixtures("alpha")
def test_the_worklist_table_has_the_keys_of_a_rendered_step_and_all_that_the_standard_requires():
    real, shown = item_of(schedule("CT1").steps.get()), specimen()
    step, shown_step = (item.ScheduledProcedureStepSequence[0] for item in (real, shown))
    assert {element.keyword for element in real} == {element.keyword for element in shown}
    assert {element.keyword for element in step} == {element.keyword for element in shown_step}
    there = {element.keyword for element in shown.iterall()}
    required = {keyword for keyword, kind in RETURN_TYPES.items() if kind in ("1", "2")}
    assert required - there == {"ReferencedSOPClassUID", "ReferencedSOPInstanceUID"}  # of items that we never have
