"""The viewer in a browser without a graphics card: its canvas shows what pydicom reads from the object."""

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
from pydicom.pixels import apply_color_lut, pixel_array

from interop.dicom.emulated_images import image
from interop.dicom.importing import import_file
from interop.dicom.store import instance_path
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
  const canvas = shown.element.querySelector("canvas");
  const box = canvas.getBoundingClientRect();
  const data = canvas.getContext("2d").getImageData(Math.floor(cx), Math.floor(cy), 1, 1).data;
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
    row = image(
        item, modality=modality, station="S1", started_at=timezone.localtime(), number=number, count=count, size=size
    )
    row.SeriesInstanceUID, row.FrameOfReferenceUID = new_uid(), new_uid()
    return row


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
    page.wait_for_function("() => document.querySelector('.vw-bl').innerText.includes('W 1800')")
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
    length = float(page.locator("svg text").first.text_content().split()[0])
    assert abs(length - 40 * spacing) < 0.6 * spacing and "mm" in page.locator("svg text").first.text_content()
    page.keyboard.press("Delete")
    page.focus("[data-pane='1']")
    page.keyboard.press("e")
    screen.drag(screen.at(40, 24), screen.at(44, 28))
    page.wait_for_function("() => [...document.querySelectorAll('svg text')].some(t => t.textContent.includes('HU'))")
    assert "Mean 80.0 HU" in " ".join(page.locator("svg text").all_text_contents())

    page.click(f"[data-compare='{prior.study_instance_uid}']")
    screen.ready(pane=2, place=3)
    assert "Prior" in screen.text("[data-pane='2'] .vw-tl")
    page.focus("[data-pane='1']")
    page.keyboard.press("End")
    screen.ready(pane=1, place=5)
    screen.ready(pane=2, place=5)
    assert screen.at(40, 24, pane=2).rgb == [shown_by((40, 400), 160)] * 3


def shipped(name: str) -> Dataset:
    return dcmread(get_testdata_file(name, download=False))


def calm_spot(pixels: np.ndarray) -> tuple[int, int]:
    """Where a colour picture is flat, and not black: (x, y)."""
    grey = pixels.astype(int).sum(axis=-1)
    spread = np.full(grey.shape, 10_000)
    for y in range(4, grey.shape[0] - 4, 3):
        for x in range(4, grey.shape[1] - 4, 3):
            patch = pixels[y - 3 : y + 4, x - 3 : x + 4].astype(int)
            if grey[y, x] > 150:
                spread[y, x] = int((patch.max(axis=(0, 1)) - patch.min(axis=(0, 1))).max())
    y, x = np.unravel_index(spread.argmin(), spread.shape)
    return int(x), int(y)


def test_cine_mammograms_colour_and_a_broken_object(house, store):
    run, palette = shipped("examples_ybr_color.dcm"), shipped("examples_palette.dcm")
    frames = pixel_array(run)  # as RGB
    study = store([run], modality="US", description="US abdomen")
    page = house.enter("reader", f"/viewer/studies/{study.uuid}/")
    screen = Screen(page)
    screen.ready()
    for number in (0, 7):
        page.focus("[data-pane='1']")
        page.keyboard.press("Home")
        for _step in range(number):
            page.keyboard.press("ArrowDown")
        screen.ready(place=number + 1)
        x, y = calm_spot(frames[number])
        assert np.abs(np.array(screen.at(x, y).rgb) - frames[number][y, x]).max() <= 6
    page.keyboard.press(" ")
    page.wait_for_function("() => !document.querySelector('.vw-br').innerText.startsWith('Im 8/')")
    page.keyboard.press(" ")
    page.wait_for_selector("[data-viewer-act=cine][aria-pressed=false]")

    table = store([palette], modality="US", description="Palette")
    painted = apply_color_lut(palette.pixel_array, palette)
    painted = (painted >> 8).astype(np.uint8) if painted.dtype == np.uint16 else painted
    page.goto(f"/viewer/studies/{table.uuid}/")
    screen.ready()
    x, y = calm_spot(painted)
    assert np.abs(np.array(screen.at(x, y).rgb) - painted[y, x]).max() <= 6

    # R CC comes with its chest wall on the wrong side and is turned; the four hang by side and view
    films = [made("MG", number, 4, size=128) for number in range(4)]
    mirrored = films[0].pixel_array[:, ::-1]
    films[0].PixelData, films[0].PatientOrientation = mirrored.tobytes(), ["A", films[0].PatientOrientation[1]]
    breasts = store(films[::-1], modality="MG", description="Mammography")
    page.goto(f"/viewer/studies/{breasts.uuid}/")
    for pane, title in enumerate(("R CC", "L CC", "R MLO", "L MLO"), start=1):
        screen.ready(pane=pane)
        assert screen.text(f"[data-pane='{pane}'] .vw-tl").startswith(title)
        wall, far = ("right", "left") if title[0] == "R" else ("left", "right")
        assert screen.text(f"[data-pane='{pane}'] .vw-{wall}") == "P"
        assert screen.text(f"[data-pane='{pane}'] .vw-{far}") == "A"
    box = page.locator("[data-pane='1']").bounding_box()
    edge = screen.at(1, 64)  # the first column of the mirrored film is the chest wall
    assert abs(edge.x - (box["x"] + box["width"])) < 8

    # one object of a series is cut short on the disk: it says so, and the others are shown
    slices = store(ct_series())
    broken = ImagingInstance.objects.get(series__study=slices, number=2)
    path = instance_path(broken.path)
    path.write_bytes(path.read_bytes()[:2000])
    house.broken.append(broken.sop_instance_uid)
    page.goto(f"/viewer/studies/{slices.uuid}/")
    screen.ready(place=1)
    page.focus("[data-pane='1']")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".vw-trouble:not([hidden])")
    words = screen.text(".vw-trouble")
    assert words.startswith("Image 2 of 5 cannot be shown") and "Ask for it to be sent again" in words
    page.keyboard.press("ArrowDown")
    screen.ready(place=3)
    assert page.locator(".vw-trouble:not([hidden])").count() == 0
    assert screen.at(40, 24).rgb == [shown_by((40, 400), 80)] * 3

    # another patient than the report's is said in red, and told to the page
    page.evaluate(
        "PichaViewer.data.patient = 'another'; PichaViewer.viewer.toldKey = undefined; PichaViewer.viewer.tell()"
    )
    assert page.locator(".vw-guard.wrong").count() == 1 and "Another patient" in screen.text("[data-guard-words]")
