"""Papers in the scripts of the world: what is rendered looks as another engine (HarfBuzz, FriBidi) draws it."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont, features
from reportlab.platypus import SimpleDocTemplate

from reporting.pdf import render_report_pdf
from ris.core import paper, scripts
from tests.factories.reporting import make_patient, make_procedure, signed

pytestmark = pytest.mark.skipif(
    shutil.which("pdftoppm") is None, reason="pdftoppm is missing: apt-get install poppler-utils"
)
SAID = {
    "latin": ("DejaVuSans.ttf", "Łukasz Nyström, Gikũyũ"),
    "greek": ("DejaVuSans.ttf", "Ζωή Παπαδοπούλου"),
    "cyrillic": ("DejaVuSans.ttf", "Анна Щербакова"),
    "ethiopic": ("NotoSansEthiopic-Regular.ttf", "የደረት ራጅ ምርመራ"),
    "arabic": ("DejaVuSans.ttf", "الأشعة السينية للصدر"),
    "arabic with numbers": ("DejaVuSans.ttf", "عقدة 12 مم (CT) في الرئة"),
    "hebrew": ("DejaVuSans.ttf", "צילום חזה תקין"),
    "chinese": ("DroidSansFallback.ttf", "胸部正位片未见异常"),
    "japanese": ("DroidSansFallback.ttf", "胸部レントゲンは正常"),
    "korean": ("DroidSansFallback.ttf", "흉부 엑스선 정상"),
}


def rendered(pdf: bytes, tmp_path: Path, dots: int = 100) -> Image.Image:
    file = tmp_path / "page.pdf"
    file.write_bytes(pdf)
    command = ["pdftoppm", "-gray", "-r", str(dots), "-f", "1", "-l", "1", str(file), str(tmp_path / "page")]
    subprocess.run(command, check=True, timeout=30)
    return Image.open(next(tmp_path.glob("page-*.pgm"))).convert("L")


def ink(image: Image.Image) -> Image.Image:
    """What is drawn, cut out and brought to one size."""
    dark = ImageChops.invert(image)
    box = dark.getbbox()
    assert box is not None
    return dark.crop(box).resize((600, 60))


def likeness(one: Image.Image, other: Image.Image) -> float:
    """1 when both are the same; near 0 when nothing of one is in the other."""
    a, b = [value / 255 for value in one.tobytes()], [value / 255 for value in other.tobytes()]
    both = sum(x * y for x, y in zip(a, b, strict=True))
    return both / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


@pytest.mark.parametrize("script", SAID)
def test_a_line_looks_as_another_engine_draws_it(script: str, tmp_path: Path) -> None:
    assert features.check("raqm"), "Pillow without Raqm draws no Arabic to compare with"
    file, said = SAID[script]
    out = io.BytesIO()
    SimpleDocTemplate(out).build([paper.words(said, paper.style("big", fontSize=24, leading=36))])
    ours = ink(rendered(out.getvalue(), tmp_path))
    font = ImageFont.truetype(str(paper.FOLDER / file), 66, layout_engine=ImageFont.Layout.RAQM)
    page = Image.new("L", (2400, 200), 255)
    ImageDraw.Draw(page).text((20, 20), said, font=font, fill=0)
    wrong = Image.new("L", (2400, 200), 255)
    ImageDraw.Draw(wrong).text((20, 20), said[::-1], font=font, fill=0)
    alike = likeness(ours, ink(page))
    assert alike > 0.8, f"{script}: {alike:.2f}"
    assert alike > likeness(ours, ink(wrong)) + 0.15


def test_arabic_letters_join_and_lines_turn() -> None:
    assert scripts.joined("سلام") == "\ufeb3\ufefc\ufee1"
    assert scripts.lines("سلام", 1e9, len) == ["\ufee1\ufefc\ufeb3"]
    assert scripts.lines("CT سلام 12", 1e9, len) == ["CT 12 \ufee1\ufefc\ufeb3"]
    assert scripts.lines("אב (12-3) CT", 1e9, len) == ["CT (12-3) בא"]
    assert scripts.lines("abc", 1e9, len) == ["abc"]
    assert scripts.lines("אאא בבב גגג", 8, len) == ["בבב אאא", "גגג"]


@pytest.mark.django_db
def test_one_report_in_every_script_has_all_its_glyphs_embedded(people: Any, tmp_path: Path) -> None:
    patient = make_patient("Nyström", given_name="Ζωή Анна ሰላም", birth_date="1990-03-14")
    patient.refresh_from_db()
    procedure = make_procedure(patient=patient)
    findings = "\n".join(said for _file, said in SAID.values())
    report = signed(procedure, actor=people.radiologist, findings=findings, impression="胸部正常。لا يوجد كسر.")
    pdf = render_report_pdf(report.versions.get())
    file = tmp_path / "report.pdf"
    file.write_bytes(pdf)
    words = subprocess.run(["pdftotext", str(file), "-"], capture_output=True, check=True, timeout=30).stdout.decode()
    for said in (
        "Анна",
        "Ζωή",
        "የደረት",
        "胸部正位片未见异常",
        "흉부",
        patient.primary_identifier.value,
        procedure.accession_number,
    ):
        assert said in words, said
    assert "cannot show" not in words
    listed = subprocess.run(["pdffonts", str(file)], capture_output=True, check=True, timeout=30).stdout.decode()
    fonts = [line.split() for line in listed.splitlines()[2:] if "Helvetica" not in line]
    assert {row[0].split("+")[1][:9] for row in fonts} >= {"DejaVuSan", "NotoSansE", "DroidSans"}
    assert len(pdf) < 200_000
