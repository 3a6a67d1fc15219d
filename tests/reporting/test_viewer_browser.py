"""The viewer in a real browser, without a graphics card: what its canvas shows is what pydicom reads from the object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.utils import timezone
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from interop.dicom.emulated_images import image
from interop.dicom.importing import import_file
from orders.models import RequestedProcedure
from ris.core.actor import Actor
from ris.core.ids import new_uid
from tests.e2e.browser import House, chromium, needs_chromium
from tests.factories.accounts import UserFactory
from tests.factories.reporting import make_patient, make_procedure
from worklist.models import ImagingInstance, ImagingStudy

pytestmark = needs_chromium

STORAGE = Actor("storage", ae_title="CT1")
#: Where the canvas shows the middle of a pixel, and what it shows there
AT = """([pane, x, y]) => {
  const shown = PichaViewer.viewer.panes[pane], fact = PichaViewer.facts.get(shown.shownId);
  const spacing = fact.spacing || {across: 1, down: 1}, origin = fact.position || [0, 0, 0];
  const row = fact.rowCosines || [1, 0, 0], column = fact.columnCosines || [0, 1, 0];
  const place = origin.map((o, i) => o + row[i] * (x + 0.5) * spacing.across + column[i] * (y + 0.5) * spacing.down);
  const [cx, cy] = shown.viewport.worldToCanvas(place);
  const canvas = shown.element.querySelector("canvas"), ratio = window.devicePixelRatio;
  const box = canvas.getBoundingClientRect();
  const data = canvas.getContext("2d").getImageData(Math.floor(cx * ratio), Math.floor(cy * ratio), 1, 1).data;
  return {rgb: [data[0], data[1], data[2]], x: box.left + cx, y: box.top + cy};
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any) -> Iterator[House]:
    UserFactory(username="reader", given_name="Asha", family_name="Wekesa", roles=("radiologist",))
    opened = House(browser, facility_server.alpha)
    yield opened
    opened.close()
    assert opened.complaints == []


@pytest.fixture
def store(house: House, tmp_path: Path) -> Any:
    """Keep data sets as the study of an exam: ``store(datasets, patient=...)``."""

    def keep(datasets: list[Dataset], **fields: Any) -> ImagingStudy:
        procedure: RequestedProcedure = make_procedure(**fields)
        for dataset in datasets:
            dataset.StudyInstanceUID = procedure.study_instance_uid
            dataset.PatientID, dataset.AccessionNumber = "T1", procedure.accession_number
            path = tmp_path / f"{dataset.SOPInstanceUID}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            assert import_file(path, actor=STORAGE).result == "stored"
        study = ImagingStudy.objects.get(study_instance_uid=procedure.study_instance_uid)
        study.procedures.add(procedure)
        return study

    return keep


def made(modality: str, number: int, count: int, *, size: int = 64) -> Dataset:
    item = Dataset()
    item.PatientName, item.PatientID, item.StudyInstanceUID = "OTIENO^Achieng", "T1", new_uid()
    return image(
        item, modality=modality, station="S1", started_at=timezone.localtime(), number=number, count=count, size=size
    )


def ct_series(count: int = 5) -> list[Dataset]:
    """Slices with a bright square of known units that is brighter in each slice."""
    series, frame, rows = new_uid(), new_uid(), []
    for number in range(count):
        row = made("CT", number, count)
        row.SeriesInstanceUID, row.FrameOfReferenceUID = series, frame
        pixels = np.full((64, 64), 1024 - 100, np.uint16)
        pixels[16:32, 32:48] = 1024 + 40 * number
        row.PixelData = pixels.tobytes()
        rows.append(row)
    return rows


def shown_by(window: tuple[float, float], value: float) -> int:
    """PS3.3 C.11.2.1.2.1, linear, to 0..255."""
    centre, width = window
    return int(np.clip(np.round(((value - (centre - 0.5)) / (width - 1) + 0.5) * 255), 0, 255))


class Screen:
    """The viewer's page, as the tests read it."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def ready(self, pane: int = 1, place: int | None = None) -> None:
        text = f"Im {place}/" if place else "Im "
        self.page.wait_for_function(
            "([pane, text]) => { const node = document.querySelector(`[data-pane='${pane}']`);"
            " return node && node.dataset.rendered && !node.classList.contains('busy')"
            " && node.querySelector('.vw-br').innerText.startsWith(text); }",
            arg=[pane, text],
        )

    def at(self, x: int, y: int, pane: int = 1) -> SimpleNamespace:
        return SimpleNamespace(**self.page.evaluate(AT, [pane - 1, x, y]))

    def drag(self, start: Any, end: Any) -> None:
        self.page.mouse.move(start.x, start.y)
        self.page.mouse.down()
        self.page.mouse.move((start.x + end.x) / 2, (start.y + end.y) / 2, steps=3)
        self.page.mouse.move(end.x, end.y, steps=3)
        self.page.mouse.up()

    def text(self, selector: str) -> str:
        return " ".join(self.page.inner_text(selector).split())


def test_ct_is_scrolled_windowed_measured_and_compared(house, store):
    patient = make_patient("OTIENO")
    prior = store(ct_series(), patient=patient, description="CT chest before", minutes_ago=9000)
    study = store(ct_series(), patient=patient)
    page = house.enter("reader", f"/viewer/studies/{study.uuid}/")
    screen = Screen(page)
    screen.ready()
    square, around = 1024, 1024 - 100
    assert screen.at(40, 24).rgb == [shown_by((40, 400), square - 1024)] * 3
    assert screen.at(8, 8).rgb == [shown_by((40, 400), around - 1024)] * 3
    assert "OTIENO" in screen.text(".vw-tr") and page.input_value("[name=viewer_study]") == study.study_instance_uid

    page.focus("[data-pane='1']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    screen.ready(place=3)
    assert screen.at(40, 24).rgb == [shown_by((40, 400), 80)] * 3
    page.keyboard.press("2")  # bone
    page.wait_for_function("document.querySelector('.vw-bl').innerText.includes('W 1800')")
    assert screen.at(40, 24).rgb == [shown_by((400, 1800), 80)] * 3
    page.keyboard.press("i")
    page.wait_for_timeout(100)
    assert screen.at(40, 24).rgb == [255 - shown_by((400, 1800), 80)] * 3
    page.keyboard.press("0")
    page.wait_for_timeout(100)
    assert screen.at(40, 24).rgb == [shown_by((40, 400), 80)] * 3

    page.keyboard.press("l")
    screen.drag(screen.at(10, 40), screen.at(50, 40))
    page.wait_for_selector("svg text")
    spacing = float(ct_series(1)[0].PixelSpacing[0])
    length = float(page.inner_text("svg text").split()[0])
    assert abs(length - 40 * spacing) < 0.6 * spacing and "mm" in page.inner_text("svg text")
    page.keyboard.press("Delete")
    page.focus("[data-pane='1']")
    page.keyboard.press("e")
    screen.drag(screen.at(36, 20), screen.at(44, 28))
    page.wait_for_function("[...document.querySelectorAll('svg text')].some(t => t.textContent.includes('HU'))")
    assert "Mean 80.0 HU" in " ".join(page.locator("svg text").all_text_contents())

    page.click(f"[data-compare='{prior.study_instance_uid}']")
    screen.ready(pane=2, place=3)
    assert "Prior" in screen.text("[data-pane='2'] .vw-tl")
    page.focus("[data-pane='1']")
    page.keyboard.press("End")
    screen.ready(pane=1, place=5)
    screen.ready(pane=2, place=5)
    assert screen.at(40, 24, pane=2).rgb == [shown_by((40, 400), 160)] * 3
