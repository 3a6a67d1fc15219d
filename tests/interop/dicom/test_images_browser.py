"""The picture panel in a real browser: stacks turn by wheel and key, windows change the picture."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from django.urls import reverse
from pydicom import Dataset

from interop.dicom.emulated_images import image, with_file_meta
from interop.dicom.importing import import_file
from ris.core.actor import Actor
from ris.core.ids import new_uid
from tests.factories.accounts import PASSWORD, UserFactory
from worklist.models import ImagingStudy

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="install Chromium (apt-get install chromium)"),
]


@pytest.fixture
def study(facility_server: Any, tmp_path: Any) -> ImagingStudy:
    return a_study(tmp_path)


@pytest.fixture
def tab(facility_server: Any, study: ImagingStudy) -> Iterator[Any]:
    """A signed-in technologist; nothing may be refused by the policy or break."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    UserFactory(username="otieno", roles=("technologist",))
    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(base_url=facility_server.alpha, viewport={"width": 1280, "height": 900}).new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if "Security Policy" in line.text else None)
        page.goto("/sign-in/")
        page.fill("[name=username]", "otieno")
        page.fill("[name=password]", PASSWORD)
        page.click("form.stack button.btn-primary")
        yield page
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
    assert complaints == []


def a_study(tmp_path: Any, slices: int = 6) -> ImagingStudy:
    item = Dataset()
    item.PatientName, item.PatientID, item.StudyInstanceUID = "Doe^Jane", "9", new_uid()
    item.RequestedProcedureDescription = "CT chest"
    for series in (1, 2):
        uid = new_uid()
        for number in range(slices):
            made = image(
                item, modality="CT", station="CT1", started_at=datetime.now().astimezone(),
                number=number, count=slices, size=256,
            )  # fmt: skip
            made.SeriesInstanceUID, made.FrameOfReferenceUID, made.SeriesNumber = uid, uid, series
            path = tmp_path / f"{series}-{number}.dcm"
            with_file_meta(made).save_as(path, enforce_file_format=True)
            assert import_file(path, actor=Actor("storage", ae_title="CT1")).result == "stored"
    return ImagingStudy.objects.get()


def until(tab: Any, expression: str) -> None:
    deadline = time.monotonic() + 15
    while not tab.evaluate(expression):
        assert time.monotonic() < deadline, expression
        time.sleep(0.05)


def place(tab: Any) -> str:
    return tab.inner_text("[data-place]")


def test_the_stack_turns_and_windows_change_the_picture(tab, study):
    tab.goto(reverse("study_images", args=[study.uuid]))
    until(tab, "document.querySelector('[data-place]').textContent === '4 / 6'")
    source = "document.querySelector('[data-picture]').src"
    first = tab.evaluate(source)
    tab.focus("[data-stage]")
    tab.keyboard.press("ArrowDown")
    assert place(tab) == "5 / 6"
    until(tab, f"{source} !== {first!r}")
    tab.hover("[data-stage]")
    tab.mouse.wheel(0, 100)
    until(tab, "document.querySelector('[data-place]').textContent === '6 / 6'")
    tab.keyboard.press("ArrowDown")
    assert place(tab) == "6 / 6"
    tab.keyboard.press("Home")
    assert place(tab) == "1 / 6"
    tab.click("[data-window=lung]")
    until(tab, f"{source}.endsWith('window=lung')")
    tab.click("[data-series] >> nth=1")
    until(tab, "document.querySelectorAll('[data-series]')[1].getAttribute('aria-current') === 'true'")
    assert place(tab) == "4 / 6"
    until(tab, "document.querySelector('[data-picture]').naturalWidth === 256")
