"""REST of packs, sheets and downtimes, and the same rows in the administration."""

from __future__ import annotations

import pytest
from django.urls import reverse

from orders.models import DowntimeForm, DowntimePack, DowntimePeriod, Order
from orders.services import declare_downtime, make_downtime_pack
from tests.factories.downtime import a_while_ago
from tests.factories.orders import SYSTEM, make_catalogue, make_patient, make_user
from tests.factories.worklist import STORE, booked, stored
from worklist.services import index_instance

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture
def clerk(api):
    api.force_authenticate(make_user("clerk"))
    return api


@pytest.fixture
def lead(api):
    api.force_authenticate(make_user("qa_lead", "clerk"))
    return api


def sheet(**fields):
    make_catalogue("CTHEAD", name="CT head", modality="CT")
    return {
        "code": "CTHEAD",
        "arrived_at": a_while_ago(180).isoformat(),
        "started_at": a_while_ago(170).isoformat(),
        "ended_at": a_while_ago(150).isoformat(),
        "consumables": [{"label": "Iohexol", "quantity": "80"}],
    } | fields


def test_a_pack_is_made_printed_and_listed(clerk):
    made = clerk.post(f"{API}/downtime-packs/", {"count": 2, "room": "CT 1"})
    assert made.status_code == 201, made.content
    pack = made.json()
    assert (pack["code"], pack["counts"]) == ("P0001", {"printed": 2, "issued": 0, "entered": 0, "void": 0})
    paper = clerk.post(f"{API}/downtime-packs/{pack['id']}/print/")
    assert (paper["Content-Type"], paper.content[:5]) == ("application/pdf", b"%PDF-")
    [listed] = clerk.get(f"{API}/downtime-packs/").json()["results"]
    assert listed["print_count"] == 1
    forms = clerk.get(f"{API}/downtime-forms/", {"pack": pack["id"], "status": "printed"}).json()["results"]
    assert sorted(row["label"] for row in forms) == ["P0001-01", "P0001-02"]
    assert clerk.post(f"{API}/downtime-packs/", {"count": 500}).status_code == 400
    assert clerk.post(f"{API}/downtime-packs/", {"site": "nowhere"}).status_code == 404


def test_a_sheet_is_found_entered_once_and_answered(clerk):
    form = make_downtime_pack(count=1, actor=SYSTEM).forms.get()
    found = clerk.post(f"{API}/downtime-forms/find/", {"number": form.accession_number}).json()
    assert found["id"] == str(form.uuid)
    assert clerk.post(f"{API}/downtime-forms/find/", {"number": "x"}).status_code == 404
    body = sheet(new_patient={"family_name": "Odhiambo", "given_name": "Peter", "sex": "M"})
    entered = clerk.post(f"{API}/downtime-forms/{form.uuid}/enter/", body)
    assert entered.status_code == 200, entered.content
    answer = entered.json()
    assert (answer["status"], answer["outcome"]) == ("entered", "performed")
    exam = clerk.get(f"{API}/procedures/{answer['procedure']}/").json()
    assert (exam["accession_number"], exam["study_instance_uid"]) == (form.accession_number, form.study_instance_uid)
    again = clerk.post(f"{API}/downtime-forms/{form.uuid}/enter/", body)
    assert (again.status_code, Order.objects.count()) == (200, 1)
    other = clerk.post(f"{API}/downtime-forms/{form.uuid}/enter/", body | {"indication": "Another"})
    assert other.status_code == 409
    assert DowntimeForm.objects.get(pk=form.pk).entered_through == "api"


def test_wrong_times_are_corrected(clerk):
    form = make_downtime_pack(count=1, actor=SYSTEM).forms.get()
    body = sheet(emergency={"sex": "F"})
    clerk.post(f"{API}/downtime-forms/{form.uuid}/enter/", body)
    arrived = a_while_ago(175)
    times = {name: body[name] for name in ("started_at", "ended_at")} | {"arrived_at": arrived.isoformat()}
    answer = clerk.post(f"{API}/downtime-forms/{form.uuid}/correct/", times | {"reason": "Misread"})
    assert answer.status_code == 200, answer.content
    assert DowntimeForm.objects.get(pk=form.pk).arrived_at == arrived
    refused = clerk.post(f"{API}/downtime-forms/{form.uuid}/correct/", {**times, "ended_at": None, "reason": "x"})
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["ended_at"])


@pytest.mark.parametrize("who", ["patient", "emergency", "procedure"])
def test_a_sheet_of_a_known_an_unknown_and_a_booked_patient(clerk, who):
    form = make_downtime_pack(count=1, actor=SYSTEM).forms.get()
    given = {
        "patient": lambda: str(make_patient().uuid),
        "emergency": lambda: {"sex": "F", "estimated_age": 30},
        "procedure": lambda: str(booked().procedure.uuid),
    }[who]()
    entered = clerk.post(f"{API}/downtime-forms/{form.uuid}/enter/", sheet(**{who: given}))
    assert entered.status_code == 200, entered.content


def test_what_is_wrong_is_said_at_its_field(clerk):
    form = make_downtime_pack(count=1, actor=SYSTEM).forms.get()
    patient = str(make_patient().uuid)
    for fields, name in (
        ({"started_at": None}, "started_at"),
        ({"arrived_at": "yesterday"}, "arrived_at"),
        ({"patient": None}, "patient"),
        ({"consumables": [{"label": "Iohexol", "quantity": "none"}]}, "consumables"),
    ):
        answer = clerk.post(f"{API}/downtime-forms/{form.uuid}/enter/", sheet(patient=patient) | fields)
        assert answer.status_code == 400, answer.content
        assert name in answer.json()["errors"]


def test_sheets_are_void_blank_and_taken_back(clerk):
    pack = make_downtime_pack(count=3, actor=SYSTEM)
    declare_downtime(reason="Power", packs=[pack], actor=SYSTEM)
    first = pack.forms.get(number=1)
    address = f"{API}/downtime-forms/{first.uuid}"
    assert clerk.post(f"{address}/void/", {"reason": "Wet"}).json()["status"] == "void"
    assert clerk.post(f"{address}/restore/").json()["status"] == "issued"
    assert clerk.post(f"{address}/blank/").json()["status"] == "printed"
    packs = f"{API}/downtime-packs/{pack.uuid}"
    assert clerk.post(f"{packs}/blank/", {"first": 2, "last": 2}).json()["counts"]["printed"] == 2
    assert clerk.post(f"{packs}/void/", {"first": 1, "last": 3, "reason": "Wet"}).json()["counts"]["void"] == 3


def test_a_downtime_is_declared_ended_and_closed(lead):
    pack = make_downtime_pack(count=1, actor=SYSTEM)
    body = {"reason": "Power", "started_at": a_while_ago(60).isoformat(), "packs": [str(pack.uuid)]}
    period = lead.post(f"{API}/downtime-periods/", body).json()
    assert (period["status"], period["counts"]["issued"]) == ("declared", 1)
    address = f"{API}/downtime-periods/{period['id']}"
    assert lead.post(f"{API}/downtime-periods/", body | {"packs": []}).status_code == 409
    assert lead.post(f"{address}/end/", {}).json()["status"] == "ended"
    assert lead.post(f"{address}/resume/").json()["status"] == "declared"
    lead.post(f"{address}/end/", {})
    index_instance(stored(accession_number=pack.forms.get().accession_number, patient_name="Otieno^Grace"), actor=STORE)
    listed = lead.get(f"{address}/closing-list/")
    found = listed.json()
    assert (found["is_empty"], len(found["open_forms"]), found["waiting"][0]["form"]) == (False, 1, "P0001-01")
    assert b"Otieno" not in listed.content
    refused = lead.post(f"{address}/close/")
    assert (refused.status_code, "1 form is out" in refused.json()["found"]) == (409, True)
    other = make_downtime_pack(count=1, actor=SYSTEM)
    assert lead.post(f"{address}/issue/", {"pack": str(other.uuid)}).json()["counts"]["issued"] == 2
    [listed] = lead.get(f"{API}/downtime-periods/", {"status": "ended"}).json()["results"]
    assert listed["id"] == period["id"]


@pytest.mark.parametrize(
    ("role", "path", "body", "status"),
    [
        ("radiologist", "downtime-packs/", {"count": 1}, 403),
        ("clerk", "downtime-periods/", {"reason": "Power"}, 403),
        ("it_admin", "downtime-periods/", {"reason": "Power"}, 201),
        ("it_admin", "downtime-packs/", {"count": 1}, 403),
        ("referring_physician", "downtime-periods/", {"reason": "Power"}, 403),
    ],
)
def test_who_may_do_what(api, role, path, body, status):
    api.force_authenticate(make_user(role))
    assert api.post(f"{API}/{path}", body).status_code == status


def test_writes_with_an_idempotency_key_run_once(clerk):
    for _again in range(2):
        answer = clerk.post(f"{API}/downtime-packs/", {"count": 1}, headers={"Idempotency-Key": "k-1"})
        assert answer.status_code == 201
    assert DowntimePack.objects.count() == 1


# --- the second door


def test_the_administration_shows_and_moves_them(tclient):
    tclient.force_login(make_user("qa_lead", "clerk"))
    pack = make_downtime_pack(count=2, actor=SYSTEM)
    added = tclient.post(reverse("admin:orders_downtimepack_add"), {"form_count": "3", "language": "en", "room": ""})
    assert added.status_code == 302, added.context["errors"]
    assert DowntimePack.objects.count() == 2
    declared = {"reason": "Power", "started_at_0": "2026-01-05", "started_at_1": "10:00", "packs": [pack.pk]}
    assert tclient.post(reverse("admin:orders_downtimeperiod_add"), declared).status_code == 302
    period = DowntimePeriod.objects.get()
    assert period.forms.count() == 2
    form = pack.forms.get(number=1)
    act = {"action": "do_void_downtime_form", "_selected_action": [form.pk], "_confirmed": "1", "reason": "Wet"}
    tclient.post(reverse("admin:orders_downtimeform_changelist"), act)
    form.refresh_from_db()
    assert (form.status, form.void_reason) == ("void", "Wet")
    for name in ("downtimepack", "downtimeform", "downtimeperiod", "downtimeplan"):
        assert tclient.get(reverse(f"admin:orders_{name}_changelist")).status_code == 200
    for row in (pack, form, period):
        kind = row._meta.model_name
        assert tclient.get(reverse(f"admin:orders_{kind}_change", args=[row.pk])).status_code == 200
        assert tclient.get(reverse(f"admin:orders_{kind}_history", args=[row.pk])).status_code == 200
