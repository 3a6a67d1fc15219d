"""The pack on paper and the night's folder: what stands in them, who may read the files, how many nights stay."""

from __future__ import annotations

import io
import json
import shutil
import stat
import subprocess
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from orders import services
from orders.downtime_night import claim_nights, next_night, run_night
from orders.models import DowntimePack, DowntimePlan
from orders.services import change_downtime_plan, make_downtime_pack, void_downtime_form
from orders.services.downtime_files import make_downtime_night, nights, print_downtime_pack, zip_of
from ris.accounts.models import Site
from ris.audit.models import AuditEvent
from ris.core.errors import NotPermitted
from tests.factories.exam import booked_exam, ct1, whole_exam
from tests.factories.orders import SYSTEM, make_actor

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is missing: apt-get install poppler-utils"),
]


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.RIS_DOWNTIME_FOLDER = tmp_path / "downtime"
    return tmp_path / "downtime" / "alpha"


def words_of(pdf: bytes, tmp_path: Path) -> str:
    file = tmp_path / "pack.pdf"
    file.write_bytes(pdf)
    answer = subprocess.run(["pdftotext", "-layout", str(file), "-"], capture_output=True, check=True, timeout=30)
    return answer.stdout.decode()


def now_booked(**fields):
    """Booked for this hour, so that it is today whatever the time."""
    return booked_exam(hour=0, **fields)


# --- paper


def test_the_pack_says_what_to_do_whom_to_call_who_comes_and_has_every_number(alpha, tmp_path):
    clerk = make_actor("clerk", given_name="Asha", family_name="Mwangi")
    change_downtime_plan(
        contacts="IT on duty: 0722 123 456", instructions="The drawer is under the desk.", actor=SYSTEM
    )
    exam = now_booked(family_name="Nyambura", given_name="Hadija")
    pack = make_downtime_pack(count=3, actor=SYSTEM)
    words = words_of(print_downtime_pack(pack, actor=clerk), tmp_path)
    for said in (
        "When the system is down", "IT on duty", "0722 123 456", "The drawer is under the desk.", "Alpha Hospital",
        "CT 1", "NYAMBURA, Hadija", "CT chest with contrast", exam.procedure.accession_number, "Report by hand",
        "printed by Asha Mwangi", "P0001-01", "P0001-03",
    ):  # fmt: skip
        assert said in words, said
    for form in pack.forms.all():
        assert form.accession_number in words
        assert form.study_instance_uid in words
    pack.refresh_from_db()
    assert pack.print_count == 1
    row = AuditEvent.objects.filter(event_type="orders.print_downtime", action="R").get()
    assert row.patients == [exam.patient.uuid]


def test_the_pack_is_in_the_language_of_who_fills_it(alpha, tmp_path):
    pack = make_downtime_pack(count=1, language="sw", actor=SYSTEM)
    pdf = print_downtime_pack(pack, actor=SYSTEM)
    assert b"/Lang (sw)" in pdf


def test_a_second_print_says_so_and_leaves_out_what_is_over(alpha, tmp_path):
    pack = make_downtime_pack(count=2, actor=SYSTEM)
    first, second = pack.forms.order_by("number")
    assert "of this pack" not in words_of(print_downtime_pack(pack, actor=SYSTEM), tmp_path)
    void_downtime_form(first, reason="Wet", actor=SYSTEM)
    words = words_of(print_downtime_pack(pack, actor=SYSTEM), tmp_path)
    assert "Print 2 of this pack" in words
    assert first.accession_number not in words
    assert second.accession_number in words


def test_a_pack_of_a_room_has_the_list_of_that_room_alone(alpha, tmp_path):
    now_booked(family_name="Nyambura")
    other = make_downtime_pack(count=1, room="MR 1", actor=SYSTEM)
    assert "NYAMBURA" not in words_of(print_downtime_pack(other, actor=SYSTEM), tmp_path)
    own = make_downtime_pack(count=1, room="CT 1", actor=SYSTEM)
    assert "NYAMBURA" in words_of(print_downtime_pack(own, actor=SYSTEM), tmp_path)


def test_the_barcodes_can_be_read(alpha, tmp_path):
    """Whatever reader is at hand; the pictures themselves are there in any case."""
    pack = make_downtime_pack(count=2, actor=SYSTEM)
    pdf = print_downtime_pack(pack, actor=SYSTEM)
    (tmp_path / "pack.pdf").write_bytes(pdf)
    picture = tmp_path / "page"
    last = 3 + 1
    subprocess.run(
        ["pdftoppm", "-r", "200", "-f", str(last), "-png", str(tmp_path / "pack.pdf"), str(picture)], check=True
    )
    drawn = list(tmp_path.glob("page-*.png"))
    assert drawn
    if shutil.which("zbarimg") is None:
        pytest.skip("zbarimg is missing: apt-get install zbar-tools")
    read = subprocess.run(["zbarimg", "-q", "--raw", *map(str, drawn)], capture_output=True, check=True).stdout.decode()
    for form in pack.forms.all():
        assert form.accession_number in read
        assert form.study_instance_uid in read


# --- the night


def test_the_night_is_a_folder_of_plain_pages_that_only_its_owner_reads(alpha, folder):
    change_downtime_plan(forms_per_pack=2, actor=SYSTEM)
    exam = now_booked(family_name="Nyambura", given_name="Hadija")
    reported = whole_exam(family_name="Barasa", given_name="Tom", hour=-2)
    night = make_downtime_night(actor=SYSTEM)
    assert night.folder.parent == folder
    names = {path.name for path in night.folder.iterdir()}
    today = f"schedule-{timezone.localdate():%Y-%m-%d}.html"
    assert {"index.html", today, "worklist.html", "reports.html", "style.css", "pack-house.pdf"} <= names
    assert "list-house-ct1.pdf" in names
    for path in [*night.folder.rglob("*"), *folder.glob("*.*")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in (folder, night.folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    stamp = f"{timezone.localtime(night.made_at):%H:%M}"
    for path in night.folder.glob("*.html"):
        page = path.read_text()
        assert "As of" in page and stamp in page, path
        assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    schedule = (night.folder / today).read_text()
    assert "NYAMBURA, Hadija" in schedule and exam.procedure.accession_number in schedule
    assert exam.procedure.study_instance_uid in (night.folder / "worklist.html").read_text()
    report = (night.folder / f"report-{reported.report.uuid}.html").read_text()
    assert "No pulmonary embolism." in report
    assert f"report-{reported.report.uuid}.html" in (night.folder / "reports.html").read_text()
    assert night.folder.name in (folder / "index.html").read_text()
    links = (night.folder / "index.html").read_text()
    assert all(f'href="{name}"' in links for name in ("pack-house.pdf", "worklist.html", today))


def test_restricted_records_are_named_in_no_copy(alpha, folder):
    exam, reported = now_booked(family_name="Nyambura"), whole_exam(family_name="Barasa", hour=-2)
    for patient in (exam.patient, reported.patient):
        services.set_restricted(patient, is_restricted=True, reason="Staff", actor=SYSTEM)
    night = make_downtime_night(actor=SYSTEM)
    for path in night.folder.glob("*.html"):
        page = path.read_text()
        assert "NYAMBURA" not in page and "BARASA" not in page, path
    assert "Restricted record" in (night.folder / "worklist.html").read_text()
    assert not list(night.folder.glob("report-*.html"))


def test_as_many_nights_stay_as_the_plan_says(alpha, folder, monkeypatch):
    change_downtime_plan(forms_per_pack=1, nights_kept=2, actor=SYSTEM)
    begun = timezone.now()
    for number in range(4):
        monkeypatch.setattr(timezone, "now", lambda number=number: begun + timedelta(days=number))
        make_downtime_night(actor=SYSTEM)
    kept = nights()
    assert len(kept) == 2
    assert kept[0].name == DowntimePlan.objects.get().last_night_folder
    assert DowntimePack.objects.count() == 1


def test_every_site_has_its_pack_in_the_night(alpha, folder):
    change_downtime_plan(forms_per_pack=1, actor=SYSTEM)
    for code in ("north", "south"):
        Site.objects.create(code=code, name=code.title(), phone="0700 1")
    night = make_downtime_night(actor=SYSTEM)
    assert {"pack-north.pdf", "pack-south.pdf"} <= set(night.papers)
    assert len(set(night.packs)) == 2


def test_a_night_that_fails_leaves_no_half_folder_behind(alpha, folder, monkeypatch):
    from orders.services import downtime_files

    def broken(pages):
        raise OSError("disk full")

    make_downtime_night(actor=SYSTEM)
    monkeypatch.setattr(downtime_files._Files, "write_pages", lambda self, pages: broken(pages))
    with pytest.raises(OSError, match="disk full"):
        make_downtime_night(actor=SYSTEM)
    assert sorted(path.name for path in folder.iterdir()) == [nights()[0].name, "index.html", "style.css"]


def test_who_may_not_print_makes_no_night(alpha):
    with pytest.raises(NotPermitted):
        make_downtime_night(actor=make_actor("radiologist"))


def test_the_dispatcher_makes_it_when_it_is_due_and_once(alpha, folder, dispatch):
    assert claim_nights() == []
    plan = DowntimePlan.objects.get()
    assert plan.next_night_at > timezone.now()
    dispatch()
    assert nights() == []
    DowntimePlan.objects.update(next_night_at=timezone.now() - timedelta(minutes=1), forms_per_pack=1)
    assert claim_nights() == [1]
    assert claim_nights() == []
    DowntimePlan.objects.update(claimed_until=None)
    dispatch()
    dispatch()
    assert len(nights()) == 1
    plan.refresh_from_db()
    assert plan.next_night_at > timezone.now()
    assert plan.claimed_until is None
    run_night(1)
    assert len(nights()) == 1


def test_a_plan_without_nights_makes_none(alpha, folder, dispatch):
    change_downtime_plan(is_nightly=False, actor=SYSTEM)
    DowntimePlan.objects.update(next_night_at=timezone.now() - timedelta(minutes=1))
    dispatch()
    assert nights() == []


def test_the_next_night_is_the_next_full_hour_of_the_plan(alpha):
    noon = timezone.localtime().replace(hour=12, minute=30)
    assert next_night(noon, 1) == noon.replace(hour=1, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert next_night(noon, 13) == noon.replace(hour=13, minute=0, second=0, microsecond=0)


def test_the_command_answers_what_it_made_and_writes_a_zip(alpha, folder, tmp_path, capsys):
    change_downtime_plan(forms_per_pack=1, actor=SYSTEM)
    ct1()
    target = tmp_path / "night.zip"
    call_command("make_downtime_pack", facility="alpha", zip=str(target))
    answer = json.loads(capsys.readouterr().out)
    assert Path(answer["folder"]) == nights()[0]
    assert answer["packs"] == ["P0001"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with zipfile.ZipFile(target) as archive:
        assert f"{nights()[0].name}/index.html" in archive.namelist()
    assert zipfile.is_zipfile(io.BytesIO(zip_of(nights()[0])))
