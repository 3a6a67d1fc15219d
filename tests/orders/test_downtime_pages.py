"""The pages of a downtime: who sees what, a sheet typed step by step, the closing list, the bar above every page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from orders.models import DowntimeForm, DowntimePack, DowntimePeriod, FormStatus, Order, Patient
from orders.services import (
    change_downtime_plan,
    declare_downtime,
    downtime_plan,
    end_downtime,
    enter_downtime_form,
    make_downtime_pack,
    void_downtime_form,
)
from tests.factories.downtime import a_while_ago, blank_form, written
from tests.factories.orders import SYSTEM, make_catalogue, make_patient, make_user
from tests.factories.worklist import STORE, booked, stored
from worklist.services import index_instance

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.RIS_DOWNTIME_FOLDER = tmp_path / "downtime"


@pytest.fixture
def clerk(tclient):
    tclient.force_login(make_user("clerk"))
    return tclient


@pytest.fixture
def lead(tclient):
    tclient.force_login(make_user("qa_lead", "clerk"))
    return tclient


def page(client, name, *args, **data):
    address = reverse(name, args=args)
    return client.post(address, data) if data else client.get(address)


def times(**fields):
    today = timezone.localtime(a_while_ago(180))
    return {
        "day": f"{today:%d/%m/%Y}",
        "arrived": f"{today:%H:%M}",
        "started": f"{today + timedelta(minutes=10):%H%M}",
        "ended": f"{today + timedelta(minutes=30):%H.%M}",
        "priority": "routine",
    } | fields


def test_a_pack_is_made_and_printed(clerk):
    response = page(clerk, "downtime_pack_make", count=2, language="en", once="once-1")
    pack = DowntimePack.objects.get()
    assert response.url == reverse("downtime_pack", args=[pack.uuid])
    assert page(clerk, "downtime_pack_make", count=2, language="en", once="once-1").url == response.url
    assert DowntimePack.objects.count() == 1
    assert pack.forms.first().accession_number in page(clerk, "downtime_pack", pack.uuid).content.decode()
    paper = clerk.post(reverse("downtime_pack_print", args=[pack.uuid]))
    assert (paper["Content-Type"], paper.content[:5]) == ("application/pdf", b"%PDF-")
    refused = page(clerk, "downtime_pack_make", count=900, language="en")
    assert refused.status_code == 422


def test_a_sheet_is_typed_step_by_step_and_nothing_typed_is_lost(clerk):
    form, patient = blank_form(), make_patient(family_name="Otieno", given_name="Grace", birth_date="1961-06-02")
    make_catalogue("CTHEAD", name="CT head", modality="CT")
    found = page(clerk, "downtime_find", number=form.accession_number)
    assert found.url == reverse("downtime_form", args=[form.uuid])
    assert page(clerk, "downtime_form", form.uuid).status_code == 200
    typed = {"note": "Moved a little", **times()}
    step = page(clerk, "downtime_form", form.uuid, q="Otieno", find_patient="1", **typed).content.decode()
    assert f'name="choose" value="{patient.uuid}"' in step
    assert "Moved a little" in step
    step = page(clerk, "downtime_form", form.uuid, choose=str(patient.uuid), exam="head", **typed).content.decode()
    assert f'name="patient" value="{patient.uuid}"' in step
    assert 'name="add" value="CTHEAD"' in step
    chosen = {"mode": "known", "patient": str(patient.uuid), **typed}
    step = page(clerk, "downtime_form", form.uuid, add="CTHEAD", **chosen).content.decode()
    assert 'name="code" value="CTHEAD"' in step and 'class="error"' not in step
    used = {"used_label": "Iohexol", "used_quantity": "80", "used_unit": "mL", "used_lot": "L1"}
    response = page(clerk, "downtime_form", form.uuid, code="CTHEAD", save="1", **chosen, **used)
    assert response.url == reverse("downtime")
    form.refresh_from_db()
    assert (form.status, form.procedure.order.patient, form.note) == (FormStatus.ENTERED, patient, "Moved a little")
    assert form.started_at - form.arrived_at == timedelta(minutes=10)
    assert form.ended_at - form.arrived_at == timedelta(minutes=30)
    assert form.consumables == [{"label": "Iohexol", "quantity": "80.00", "unit": "mL", "lot": "L1"}]
    again = page(clerk, "downtime_form", form.uuid, code="CTHEAD", save="1", **chosen, **used)
    assert (again.status_code, Order.objects.count()) == (302, 1)
    over = page(clerk, "downtime_form", form.uuid).content.decode()
    assert "OTIENO" in over and "Iohexol 80.00 mL" in over


def test_what_is_missing_is_said_at_its_field(clerk):
    form = blank_form()
    response = page(clerk, "downtime_form", form.uuid, save="1", mode="new", priority="routine", sex="F")
    said = response.content.decode()
    assert response.status_code == 422
    for words in ("Choose the exam.", 'id="id_family_name_error"', 'id="id_arrived_error"', 'id="id_day_error"'):
        assert words in said, words
    response = page(clerk, "downtime_form", form.uuid, save="1", **times(started="", ended="23:59"))
    assert "Say who the patient is." in response.content.decode()
    assert not Order.objects.exists()


def test_what_the_service_refuses_stands_at_its_field(clerk):
    form, patient = blank_form(), make_patient()
    make_catalogue("CTHEAD", name="CT head", modality="CT")
    sheet = times(started="", day=f"{timezone.localdate() - timedelta(days=200):%d/%m/%Y}")
    response = page(clerk, "downtime_form", form.uuid, save="1", patient=str(patient.uuid), code="CTHEAD", **sheet)
    said = response.content.decode()
    assert response.status_code == 422
    assert 'id="id_arrived_error"' in said and 'id="id_started_error"' in said


def test_a_side_that_is_missing_is_asked_for(clerk):
    form, patient = blank_form(), make_patient()
    make_catalogue("XRKNEE", name="Knee", modality="DX", has_laterality=True)
    response = page(clerk, "downtime_form", form.uuid, save="1", patient=str(patient.uuid), code="XRKNEE", **times())
    assert response.status_code == 422
    assert "Choose the side" in response.content.decode()
    sided = times(laterality="L")
    page(clerk, "downtime_form", form.uuid, save="1", patient=str(patient.uuid), code="XRKNEE", **sided)
    form.refresh_from_db()
    assert form.procedure.laterality == "L"


def test_who_looks_like_somebody_we_have_is_shown_first(clerk):
    form = blank_form()
    known = make_patient(family_name="Otieno", given_name="Grace", birth_date="1961-06-02", phone="+254700111222")
    make_catalogue("CTHEAD", name="CT head", modality="CT")
    typed = {
        "mode": "new", "family_name": "Otieno", "given_name": "Grace", "birth_date": "02/06/1961", "sex": "F",
        "phone": "+254700111222", "code": "CTHEAD", "save": "1", **times(),
    }  # fmt: skip
    response = page(clerk, "downtime_form", form.uuid, **typed)
    assert response.status_code == 409
    assert f'name="choose" value="{known.uuid}"' in response.content.decode()
    assert Patient.objects.count() == 1
    assert page(clerk, "downtime_form", form.uuid, anyway="1", **typed).status_code == 302
    assert Patient.objects.count() == 2


def test_nobody_knows_who_it_was(clerk):
    form = blank_form()
    make_catalogue("CTHEAD", name="CT head", modality="CT")
    typed = {"mode": "unknown", "sex": "M", "estimated_age": "40", "code": "CTHEAD", "save": "1", **times()}
    assert page(clerk, "downtime_form", form.uuid, **typed).status_code == 302
    assert Patient.objects.get().identity_is_unverified


def test_a_sheet_for_a_booked_exam(clerk):
    form = blank_form()
    exam = booked().procedure
    patient = exam.order.patient
    step = page(clerk, "downtime_form", form.uuid, choose=str(patient.uuid)).content.decode()
    assert f'name="booked" value="{exam.uuid}"' in step
    typed = {"patient": str(patient.uuid), "booked": str(exam.uuid), "save": "1", **times()}
    assert page(clerk, "downtime_form", form.uuid, **typed).status_code == 302
    exam.refresh_from_db()
    assert (exam.status, Order.objects.count()) == ("performed", 1)


def test_times_after_midnight_are_of_the_next_day(alpha):
    from orders.web.downtime_forms import SheetForm

    data = times(day="20/11/2026", arrived="23:50", started="00:10", ended="00:30")
    sheet = SheetForm(data)
    assert sheet.is_valid(), sheet.errors
    entry = sheet.entry("CTHEAD")
    assert [f"{timezone.localtime(at):%d %H:%M}" for at in (entry.arrived_at, entry.started_at, entry.ended_at)] == [
        "20 23:50",
        "21 00:10",
        "21 00:30",
    ]


def test_a_number_that_no_form_has(clerk):
    response = clerk.post(reverse("downtime_find"), {"number": "nothing"}, follow=True)
    assert "No form has this number" in response.content.decode()


def test_a_form_is_made_void_blank_and_taken_back(clerk):
    pack = make_downtime_pack(count=3, actor=SYSTEM)
    period = declare_downtime(reason="Power", packs=[pack], actor=SYSTEM)
    first, second, third = pack.forms.order_by("number")
    assert page(clerk, "downtime_form_action", first.uuid, "void", reason="Wet").status_code == 302
    assert page(clerk, "downtime_form_action", second.uuid, "blank", x="1").status_code == 302
    assert "Wet" in page(clerk, "downtime_form", first.uuid).content.decode()
    assert page(clerk, "downtime_form_action", first.uuid, "restore", x="1").status_code == 302
    assert page(clerk, "downtime_form_action", third.uuid, "eat", x="1").status_code == 404
    statuses = list(pack.forms.order_by("number").values_list("status", flat=True))
    assert statuses == ["issued", "printed", "issued"]
    done = page(clerk, "downtime_pack_forms", pack.uuid, first="1", last="3", reason="Wet", void="1")
    assert done.status_code == 302
    wrong = page(clerk, "downtime_pack_forms", pack.uuid, first="1", last="9", blank="1")
    assert wrong.status_code == 422
    assert period.forms.filter(status="void").count() == 2


def test_a_downtime_from_its_declaration_to_its_end(lead):
    pack = make_downtime_pack(count=2, actor=SYSTEM)
    moment = timezone.localtime(a_while_ago(240))
    response = page(
        lead, "downtime_declare", reason="Power cut", started_at=f"{moment:%Y-%m-%dT%H:%M}", packs=str(pack.uuid)
    )
    period = DowntimePeriod.objects.get()
    assert response.url == reverse("downtime_period", args=[period.uuid])
    assert timedelta(hours=3) < timezone.now() - period.started_at < timedelta(hours=9)
    assert "Power cut" in page(lead, "patient_list").content.decode()
    refused = page(lead, "downtime_declare", reason="Again")
    assert (refused.status_code, DowntimePeriod.objects.count()) == (422, 1)
    assert page(lead, "downtime_period_action", period.uuid, "end", ended_at="").status_code == 302
    assert "Power cut" not in page(lead, "patient_list").content.decode()
    assert page(lead, "downtime_period_action", period.uuid, "close", x="1").status_code == 409
    page(lead, "downtime_pack_forms", pack.uuid, first="1", last="2", blank="1")
    assert page(lead, "downtime_period_action", period.uuid, "close", x="1").status_code == 302
    period.refresh_from_db()
    assert period.status == "closed"
    assert "Closed by" in page(lead, "downtime_period", period.uuid).content.decode()
    assert page(lead, "downtime_period_action", period.uuid, "resume", x="1").status_code == 409


def test_another_pack_is_given_out_afterwards(lead):
    period = declare_downtime(reason="Power", actor=SYSTEM)
    pack = make_downtime_pack(count=2, actor=SYSTEM)
    assert page(lead, "downtime_period_action", period.uuid, "issue", pack=str(pack.uuid)).status_code == 302
    assert period.forms.count() == 2
    assert page(lead, "downtime_period_action", period.uuid, "issue", pack="x").status_code in (404, 422)
    end_downtime(period, actor=SYSTEM)
    assert page(lead, "downtime_period_action", period.uuid, "resume", x="1").status_code == 302


def test_the_closing_list_shows_what_came_without_its_paper(lead):
    pack = make_downtime_pack(count=1, actor=SYSTEM)
    form = pack.forms.get()
    period = declare_downtime(reason="Power", packs=[pack], started_at=a_while_ago(60), actor=SYSTEM)
    typed = stored(accession_number=form.accession_number, patient_name="Otieno^Grace")
    index_instance(typed, actor=STORE)
    said = page(lead, "downtime_period", period.uuid).content.decode()
    assert "Otieno Grace" in said and form.label in said
    lead.force_login(make_user("it_admin"))
    said = page(lead, "downtime_period", period.uuid).content.decode()
    assert "Otieno" not in said and form.label in said
    lead.force_login(make_user("clerk"))
    assert "Otieno Grace" in page(lead, "downtime_form", form.uuid).content.decode()


def test_the_plan_is_changed_and_a_copy_made_and_fetched(lead):
    plan = {
        "forms_per_pack": 3, "language": "sw", "contacts": "IT: 1", "instructions": "", "is_nightly": "on",
        "night_hour": 2, "nights_kept": 3, "days_ahead": 2, "report_days": 5,
    }  # fmt: skip
    assert page(lead, "downtime_plan", **plan).status_code == 302
    assert (downtime_plan().language, downtime_plan().night_hour) == ("sw", 2)
    assert page(lead, "downtime_plan", **plan | {"night_hour": 77}).status_code == 422
    assert lead.post(reverse("downtime_fetch")).status_code == 404
    assert lead.post(reverse("downtime_copy")).status_code == 302
    fetched = lead.post(reverse("downtime_fetch"))
    assert (fetched["Content-Type"], fetched.content[:2]) == ("application/zip", b"PK")


@pytest.mark.parametrize(
    ("role", "name", "status"),
    [
        ("radiologist", "downtime", 200),
        ("referring_physician", "downtime", 403),
        ("it_admin", "downtime", 200),
        ("it_admin", "downtime_plan", 200),
        ("clerk", "downtime_plan", 403),
    ],
)
def test_who_sees_which_page(tclient, role, name, status):
    tclient.force_login(make_user(role))
    assert page(tclient, name).status_code == status


@pytest.mark.parametrize("name", ["downtime_pack", "downtime_form", "downtime_period"])
def test_what_is_not_there_is_404(clerk, name):
    assert page(clerk, name, "00000000-0000-7000-8000-000000000000").status_code == 404


def test_an_administrator_neither_prints_nor_enters(tclient):
    pack = make_downtime_pack(count=1, actor=SYSTEM)
    tclient.force_login(make_user("it_admin"))
    assert tclient.post(reverse("downtime_pack_print", args=[pack.uuid])).status_code == 403
    assert page(tclient, "downtime_form", pack.forms.get().uuid).status_code == 403


def test_the_lists_cost_a_fixed_number_of_queries(lead):
    change_downtime_plan(forms_per_pack=2, actor=SYSTEM)
    lead.get(reverse("downtime"))
    counts = {}
    for round_ in (1, 2):
        pack = make_downtime_pack(count=3 * round_, actor=SYSTEM)
        form = DowntimeForm.objects.filter(pack=pack).select_related("pack").first()
        period = DowntimePeriod.objects.first() or declare_downtime(
            reason="Power", started_at=a_while_ago(300), actor=SYSTEM
        )
        enter_downtime_form(form, entry=written(), patient=make_patient(), actor=SYSTEM)
        void_downtime_form(pack.forms.select_related("pack").get(number=2), reason="Wet", actor=SYSTEM)
        for name, args in (("downtime", []), ("downtime_pack", [pack.uuid]), ("downtime_period", [period.uuid])):
            with CaptureQueriesContext(connection) as queries:
                assert lead.get(reverse(name, args=args)).status_code == 200
            counts.setdefault(name, []).append(len(queries))
    assert all(first == second for first, second in counts.values()), counts


def test_the_order_says_that_its_times_come_from_paper(clerk):
    entered = enter_downtime_form(blank_form(), entry=written(), patient=make_patient(), actor=SYSTEM)
    said = page(clerk, "order_detail", entered.procedure.order.uuid).content.decode()
    assert f"Entered from paper form {entered.label}" in said
    assert "Arrived, as written" in said


def test_a_time_is_corrected_on_the_page(clerk):
    entry = written()
    entered = enter_downtime_form(blank_form(), entry=entry, patient=make_patient(), actor=SYSTEM)
    said = page(clerk, "downtime_form", entered.uuid).content.decode()
    assert "Correct the times" in said
    moments = {name: f"{getattr(entry, name):%Y-%m-%dT%H:%M}" for name in ("arrived_at", "started_at", "ended_at")}
    wrong = page(clerk, "downtime_form_correct", entered.uuid, **moments | {"ended_at": moments["arrived_at"]})
    assert wrong.status_code == 422
    assert page(clerk, "downtime_form_correct", entered.uuid, reason="Misread", **moments).status_code == 302
    entered.refresh_from_db()
    assert entered.corrected_through == "web"


def test_the_bar_is_above_every_page_for_everybody(tclient):
    declare_downtime(reason="Power cut", actor=SYSTEM)
    for role, has_link in (("referring_physician", False), ("radiologist", True), ("it_admin", True)):
        tclient.force_login(make_user(role))
        said = tclient.get("/", follow=True).content.decode()
        assert "Power cut" in said
        assert ("What to do" in said) == has_link
