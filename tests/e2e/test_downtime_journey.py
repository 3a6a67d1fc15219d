"""Downtime day: the pack is printed, the scanner works under a reserved number, the sheet is entered, the list closes.

People work at real browsers; the scanner is the emulator over real associations.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pydicom import Dataset

from interop.dicom.emulator import ModalityEmulator
from interop.dicom.server import Server, ServerSettings
from interop.models import DicomPeer
from orders.models import DowntimeForm, DowntimePack, DowntimePeriod, RequestedProcedure
from orders.services import change_downtime_plan
from ris.core.actor import SYSTEM
from ris.tenants.context import require_facility
from tests.e2e.browser import House, chromium, needs_chromium, text_of
from tests.factories.accounts import UserFactory
from tests.factories.exam import booked_exam, ct1, ct_chest
from worklist.models import ExceptionItem, ImagingStudy, PerformedProcedureStep

pytestmark = needs_chromium

IMAGES = 3


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def house(browser: Any, facility_server: Any, settings: Any, tmp_path: Any) -> Iterator[House]:
    """Nothing may break in it, nor be refused by the policy."""
    settings.RIS_DOWNTIME_FOLDER = tmp_path / "downtime"
    UserFactory(username="clerk", given_name="Asha", family_name="Clerk", roles=("clerk",))
    UserFactory(username="lead", given_name="Asha", family_name="Lead", roles=("qa_lead",))
    UserFactory(username="technologist", given_name="Grace", family_name="Akinyi", roles=("technologist",))
    opened = House(browser, facility_server.alpha)
    yield opened
    opened.close()
    assert opened.complaints == []


@pytest.fixture
def scanner(house: House) -> Iterator[ModalityEmulator]:
    """CT1 of alpha, connected to a server in this process."""
    DicomPeer.objects.create(ae_title="CT1", may_query_worklist=True, may_send_mpps=True, may_store=True)
    server = Server(ServerSettings())
    server.start()
    yield ModalityEmulator("CT1", "ALPHA", "127.0.0.1", server.port, size=64)
    server.stop(3)


def test_downtime_day(house: House, scanner: ModalityEmulator) -> None:
    ct1(), ct_chest()
    change_downtime_plan(forms_per_pack=4, contacts="IT on duty: 0722 123 456", actor=SYSTEM)
    booked_exam(family_name="Wanjiru", given_name="Achieng")
    pack = print_the_pack(house)
    period = declare(house, pack)
    form = pack.forms.order_by("number")[0]
    work_on_paper(scanner, form)
    see_what_waits(house, period, form)
    procedure = enter_the_sheet(house, form)
    everything_has_found_itself(house, procedure, form, period)
    close(house, period, pack)


def print_the_pack(house: House) -> DowntimePack:
    """The clerk makes a pack of four forms for CT 1; the paper has every number."""
    page = house.enter("clerk", "/downtime/")
    page.fill("#pack_count", "4")
    page.select_option("#pack_room", "CT 1")
    page.click("button:has-text('Make the pack')")
    page.wait_for_selector("h1:has-text('Pack P0001')")
    pack = DowntimePack.objects.get()
    said = text_of(page)
    assert all(form.accession_number in said for form in pack.forms.all())
    address = reverse("downtime_pack_print", args=[pack.uuid])
    printed = page.context.expect_event("response", lambda answer: answer.url.endswith(address))
    with printed, page.expect_popup() as paper:
        page.click("button:has-text('Print the pack')")
    paper.value.close()
    pack.refresh_from_db()
    assert pack.print_count == 1
    return pack


def declare(house: House, pack: DowntimePack) -> DowntimePeriod:
    """The lead says that it is down and which pack was taken out; everybody sees it above every page."""
    page = house.enter("lead", "/downtime/")
    page.fill("#declare_reason", "Power cut in the server room")
    page.check(f"input[name=packs][value='{pack.uuid}']")
    page.click("button:has-text('Declare')")
    page.wait_for_selector("h1:has-text('Power cut in the server room')")
    period = DowntimePeriod.objects.get()
    began = period.started_at - timedelta(hours=4)
    DowntimePeriod.objects.filter(pk=period.pk).update(started_at=began)
    house.enter("clerk", "/patients/")
    house.enter("clerk", "/patients/").wait_for_selector(".pi-bar:has-text('Power cut in the server room')")
    assert {row.status for row in pack.forms.all()} == {"issued"}
    return period


def work_on_paper(scanner: ModalityEmulator, form: DowntimeForm) -> None:
    """No worklist: the technologist typed the number and the name of the sheet at the console."""
    typed = Dataset()
    typed.PatientName, typed.PatientID = "Barasa^Tom", ""
    typed.PatientBirthDate, typed.PatientSex = "19751102", "M"
    typed.AccessionNumber, typed.StudyInstanceUID = form.accession_number, form.study_instance_uid
    assert scanner.start(typed) == 0
    assert set(scanner.store_images(IMAGES)) == {0}
    assert scanner.complete() == 0
    assert ImagingStudy.objects.get().procedures.count() == 0


def see_what_waits(house: House, period: DowntimePeriod, form: DowntimeForm) -> None:
    page = house.enter("technologist", reverse("downtime_period", args=[period.uuid]))
    said = text_of(page)
    assert "Barasa Tom" in said
    assert form.label in said
    assert f"{IMAGES} images, CT" in said


def enter_the_sheet(house: House, form: DowntimeForm) -> RequestedProcedure:
    """Scanned, searched for in vain, registered, exam and times typed as they stand on the paper."""
    arrived = written_at(90)
    page = house.enter("clerk", "/downtime/")
    page.fill("#number", form.accession_number)
    page.click("button:has-text('Open')")
    page.wait_for_selector(f"h1:has-text('Form {form.label}')")
    assert "Barasa Tom" in text_of(page)
    page.fill("main [name=q]", "Tom Barasa")
    page.click("button[name=find_patient]")
    page.wait_for_selector("text=Nobody fits.")
    page.click("button[name=as][value=new]")
    page.wait_for_selector("[name=family_name]")
    page.fill("[name=family_name]", "Barasa")
    page.fill("[name=given_name]", "Tom")
    page.fill("[name=birth_date]", "2 Nov 1975")
    page.check("[name=sex][value=M]", force=True)
    page.fill("main [name=exam]", "chest")
    page.click("#exam-options button:has-text('Add')")
    page.wait_for_selector("b:has-text('CT chest with contrast')")
    page.fill("[name=indication]", "Fell from a ladder")
    page.fill("[name=day]", f"{arrived:%d/%m/%Y}")
    page.fill("[name=arrived]", f"{arrived:%H:%M}")
    page.fill("[name=started]", f"{arrived + timedelta(minutes=10):%H:%M}")
    page.fill("[name=ended]", f"{arrived + timedelta(minutes=25):%H:%M}")
    page.select_option("[name=station]", "CT1")
    page.fill("[name=technologist]", "Grace Akinyi")
    page.fill("[name=used_label]", "Iohexol 350")
    page.fill("[name=used_quantity]", "80")
    page.click("button[name=save]")
    page.wait_for_selector("h1:has-text('Power cut in the server room')")
    form.refresh_from_db()
    assert form.status == "entered"
    procedure = form.procedure
    assert procedure is not None
    return procedure


def written_at(minutes_ago: int) -> datetime:
    """By the clock on the wall of the facility."""
    moment = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
    return moment.astimezone(require_facility().zone)


def everything_has_found_itself(
    house: House, procedure: RequestedProcedure, form: DowntimeForm, period: DowntimePeriod
) -> None:
    """The number, the times of the paper, the scanner's own step and images; nothing waits."""
    procedure.refresh_from_db()
    assert procedure.accession_number == form.accession_number
    assert procedure.study_instance_uid == form.study_instance_uid
    lasted = procedure.performed_at - procedure.started_at
    assert (procedure.started_at - procedure.arrived_at, lasted) == (timedelta(minutes=10), timedelta(minutes=15))
    assert procedure.status == "ready_to_read"
    assert [row.pk for row in ImagingStudy.objects.get().procedures.all()] == [procedure.pk]
    step = PerformedProcedureStep.objects.get()
    assert (step.is_manual, step.scheduled_steps.get().procedure_id) == (False, procedure.pk)
    assert not ExceptionItem.objects.filter(resolved_at__isnull=True).exists()
    page = house.enter("clerk", reverse("order_detail", args=[procedure.order.uuid]))
    said = text_of(page)
    assert f"Entered from paper form {form.label}" in said
    page = house.enter("technologist", reverse("downtime_period", args=[period.uuid]))
    assert "All images of that time have their exam" in text_of(page)


def close(house: House, period: DowntimePeriod, pack: DowntimePack) -> None:
    """It works again; a spoilt form is void, the rest goes back blank; only then can it be closed."""
    address = reverse("downtime_period", args=[period.uuid])
    page = house.enter("lead", address)
    page.click("button:has-text('It works again')")
    page.wait_for_selector(".chip:has-text('To be entered')")
    assert page.locator("button:has-text('Close the downtime')").is_disabled()
    page = house.enter("clerk", reverse("downtime_form", args=[pack.forms.get(number=2).uuid]))
    assert page.locator(".pi-bar.t-red").count() == 0
    page.fill("#void-reason", "Coffee on it")
    page.click("button:has-text('Make it void')")
    page.wait_for_selector("h2:has-text('Forms that are out')")
    for left in (1, 0):
        page.locator("button:has-text('Blank')").first.click()
        page.wait_for_selector(f"h2:has-text('Forms that are out') + .muted:has-text('{left}')")
    assert "No form is out" in text_of(page)
    page = house.enter("lead", address)
    page.click("button:has-text('Close the downtime')")
    page.wait_for_selector("text=Closed by Asha Lead")
    period.refresh_from_db()
    assert (period.status, period.blank_count) == ("closed", 2)
    statuses = list(pack.forms.order_by("number").values_list("status", flat=True))
    assert statuses == ["entered", "void", "printed", "printed"]
