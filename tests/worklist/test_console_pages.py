"""The console as a technologist uses it, without JavaScript: the day, scans, an exam's papers, the ward round."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from orders.models import PatientIdentifier, RequestedProcedure
from orders.services import merge_patients
from ris.core.actor import SYSTEM
from ris.tenants.context import use_facility
from tests.factories.downtime import blank_form
from tests.factories.orders import make_catalogue, make_patient, make_procedure, make_user
from tests.factories.worklist import booked, ct_procedure, make_station, started, step_of
from worklist import services
from worklist.data import PerformedStepData
from worklist.models import Questionnaire
from worklist.selectors.today import today_board, ward_and_bed
from worklist.services.tickets import ticket_of


@pytest.fixture
def client(tclient):
    tclient.force_login(make_user("technologist"), backend="ris.accounts.backends.PasswordBackend")
    return tclient


def soon(minutes: int = 5, **fields) -> RequestedProcedure:
    """A man's CT head: nothing is asked of him."""
    patient = fields.pop("patient", None) or make_patient(sex="M", birth_date="1980-01-01")
    when = timezone.now() + timezone.timedelta(minutes=minutes)
    return booked(ct_procedure(patient=patient, **fields), starts_at=when).procedure


def scan(client, code: str, on: RequestedProcedure | None = None, **more):
    data = {"code": code, "on": str(on.uuid) if on else "", **more}
    return client.post(reverse("console_scan"), data)


def at_exam(answer, procedure: RequestedProcedure) -> bool:
    return answer.status_code == 302 and answer["Location"].split("#")[0] == reverse(
        "console_exam", args=[procedure.uuid]
    )


# --- the day


def test_every_exam_stands_in_its_section(client):
    waiting, here, runs, done, unwritten = (soon(minutes) for minutes in (5, 30, 55, 80, 105))
    services.arrive_patient(here, actor=SYSTEM)
    started(runs)
    services.start_exam(done, actor=SYSTEM)
    services.complete_exam(done, actor=SYSTEM)
    step = started(unwritten)
    services.update_performed_step(
        sop_instance_uid=step.sop_instance_uid, changes=PerformedStepData(status="COMPLETED"), actor=SYSTEM
    )
    sections = {
        section.key: [row.pk for row in section.rows] for section in today_board(day=timezone.localdate(), actor=SYSTEM)
    }
    assert sections == {
        "scheduled": [waiting.pk],
        "arrived": [here.pk],
        "in_progress": [runs.pk],
        "performed": [done.pk],
        "undocumented": [unwritten.pk],
    }
    page = client.get(reverse("console")).content.decode()
    assert ticket_of(here).label in page and page.count("data-row id=") == 5


def test_the_room_is_remembered_and_its_day_alone_shown(client):
    make_station("CT2")
    first = soon()
    when = timezone.now() + timezone.timedelta(minutes=5)
    second = booked(ct_procedure(), station=make_station("CT2"), starts_at=when).procedure
    client.get(reverse("console"), {"room": "ct2"})
    page = client.get(reverse("console")).content.decode()
    assert str(second.uuid) in page and str(first.uuid) not in page


def test_the_day_is_polled(client):
    procedure = soon()
    rows = client.get(reverse("console_board"))
    again = {"If-None-Match": rows["ETag"]}
    assert client.get(reverse("console_board"), headers=again).status_code == 304
    services.arrive_patient(procedure, actor=SYSTEM)
    assert client.get(reverse("console_board"), headers=again).status_code == 200


def test_lists_cost_a_fixed_number_of_queries(client):
    services.ensure_questionnaires()
    catalogue, counts = make_catalogue("DXCH", modality="DX"), []
    for number in range(4):
        services.arrive_patient(soon(5 + 25 * number), actor=SYSTEM)
        make_procedure(codes=[catalogue.code], patient=make_patient(sex="F"), location=f"Ward {number}, B{number}")
        if number:
            counts.append({})
            for page in ("console", "console_board", "console_round"):
                with CaptureQueriesContext(connection) as queries:
                    client.get(reverse(page))
                counts[-1][page] = len(queries)
    assert counts[1] == counts[2], counts


# --- scans


def test_what_is_printed_leads_to_its_exam(client):
    procedure = soon()
    services.arrive_patient(procedure, actor=SYSTEM)
    identifier = procedure.order.patient.primary_identifier
    codes = (
        procedure.accession_number,
        procedure.accession_number.lower(),
        f"]C0{procedure.accession_number}\r",
        procedure.requested_procedure_id,
        step_of(procedure).scheduled_procedure_step_id,
        ticket_of(procedure).label,
        identifier.value,
        f"{identifier.value}^^^{identifier.issuer}",
    )
    for code in codes:
        assert at_exam(scan(client, code), procedure), code


def test_a_wristband_of_several_exams_asks_which(client):
    patient = make_patient(sex="M")
    first, second = soon(5, patient=patient), soon(40, patient=patient)
    answer = scan(client, patient.primary_identifier.value)
    assert answer.status_code == 200 and b"Which exam is it?" in answer.content
    assert all(str(row.uuid).encode() in answer.content for row in (first, second))
    services.start_exam(first, actor=SYSTEM)
    services.complete_exam(first, actor=SYSTEM)
    assert at_exam(scan(client, patient.primary_identifier.value), second)


def test_the_old_wristband_of_a_merged_patient_still_works(client):
    procedure = soon()
    other = make_patient(sex="M")
    number = other.primary_identifier.value
    merge_patients(survivor=procedure.order.patient, loser=other, reason="Same person", actor=SYSTEM)
    assert at_exam(scan(client, number), procedure)


@pytest.mark.parametrize("code", ["", "   ", "NOTHING-1", "CT-999", "x" * 300, "'; drop table", "]C0"])
def test_an_unknown_code_says_so_in_words(client, code):
    answer = scan(client, code)
    assert answer.status_code in (400, 404)
    assert (b'role="alert"' in answer.content and b"What to do" in answer.content) or code.strip() in ("", "]C0")


def test_a_patient_without_an_exam_and_a_form_of_a_downtime(client):
    patient = make_patient()
    answer = scan(client, patient.primary_identifier.value)
    assert answer.status_code == 404 and b"has no exam here" in answer.content
    form = blank_form()
    answer = scan(client, form.accession_number)
    assert answer.status_code == 404 and form.label.encode() in answer.content


def test_another_facilitys_code_is_unknown_here(client, beta):
    with use_facility(beta):
        number = soon().accession_number
        make_catalogue("PADDING")
    assert RequestedProcedure.objects.filter(accession_number=number).count() == 0
    assert scan(client, number).status_code == 404


def test_a_wristband_at_an_open_exam_goes_into_the_time_out_or_warns(client):
    here, other = soon(5), soon(40)
    mine, theirs = (row.order.patient.primary_identifier.value for row in (here, other))
    wrong = scan(client, theirs, here)
    assert wrong.status_code == 409 and b"another patient" in wrong.content
    assert theirs.encode() not in wrong.content.partition(b'id="time-out"')[0].partition(b'role="alert"')[2]
    assert at_exam(scan(client, mine, here), here)
    page = client.get(reverse("console_exam", args=[here.uuid])).content.decode()
    assert "Scanned: it is this patient" in page
    data = {"identifiers": ["name", "wristband"], "checks": ["exam", "allergy", "entry"], "wristband": mine}
    assert client.post(reverse("console_time_out", args=[here.uuid]), data).status_code == 302
    assert here.time_outs.get().is_wristband_verified
    assert at_exam(scan(client, theirs, here), other)
    assert at_exam(scan(client, other.accession_number, here), other)


def test_a_pack_stands_ready_in_the_form(client):
    here = soon()
    code = "0104012345678901172708311012X"
    assert scan(client, code).status_code == 409
    assert scan(client, code, here).status_code == 404
    product = services.save_product(
        None, code="IOX", name="Iohexol 350", gtin="4012345678901", usual_quantity=70, actor=SYSTEM
    )
    assert at_exam(scan(client, code, here), here)
    page = client.get(reverse("console_exam", args=[here.uuid])).content.decode()
    for value in ("Iohexol 350", "12X", "2027-08-31", 'value="70"'):
        assert value in page, value
    data = {"product": str(product.uuid), "lot": "12X", "expires_on": "2027-08-31", "given_by": ""}
    assert client.post(reverse("console_consumable", args=[here.uuid]), data).status_code == 302
    use = here.consumables.get()
    assert (use.product, str(use.quantity), use.lot, str(use.expires_on)) == (product, "70.00", "12X", "2027-08-31")


def test_scans_are_posted_and_need_the_right(client, tclient):
    assert client.get(reverse("console_scan")).status_code == 405
    tclient.force_login(make_user("referring_physician"), backend="ris.accounts.backends.PasswordBackend")
    assert tclient.post(reverse("console_scan"), {"code": "X"}).status_code == 403


# --- one exam's papers


@pytest.fixture
def running(client):
    procedure = soon()
    services.start_exam(procedure, actor=SYSTEM)

    def post(name, data=None, *args):
        return client.post(reverse(f"console_{name}", args=[procedure.uuid, *args]), data or {})

    return SimpleNamespace(procedure=procedure, post=post, url=reverse("console_exam", args=[procedure.uuid]))


def test_papers_are_written_corrected_and_crossed_out(client, running):
    post, procedure = running.post, running.procedure
    assert (
        post("consumable", {"label": "Iohexol", "quantity": "70", "route": "47625008", "rate": "4"}).status_code == 302
    )
    use = procedure.consumables.get()
    page = client.get(running.url, {"edit": str(use.uuid)}).content.decode()
    assert reverse("console_consumable_correct", args=[procedure.uuid, use.uuid]) in page
    corrected = {"label": "Iohexol", "quantity": "90", "unit": "mL", "kind": "contrast"}
    assert post("consumable_correct", corrected, use.uuid).status_code == 302
    assert [str(row.quantity) for row in procedure.consumables.filter(withdrawn_at=None)] == ["90.00"]
    assert post("exposure", {"view": "AP", "kvp": "70", "mas": "3,2", "count": "1"}).status_code == 302
    exposure = procedure.exposures.get()
    assert post("exposure_correct", {"view": "PA", "kvp": "72", "count": "1"}, exposure.uuid).status_code == 302
    assert post("exposure", {"kvp": "much", "count": "1"}).status_code == 400
    assert post("reject", {"reason_code": "111210", "count": "2", "is_repeated": "on"}).status_code == 302
    reaction = {"kind": "allergic", "severity": "severe", "description": "Hives", "outcome": "treated"}
    assert post("adverse", reaction).status_code == 400
    assert post("adverse", reaction | {"treatment": "Adrenaline", "keep_as_allergy": "on"}).status_code == 302
    event = procedure.adverse_events.get()
    changed = reaction | {"treatment": "Adrenaline", "outcome": "admitted"}
    assert post("adverse_correct", changed, event.uuid).status_code == 302
    assert post("count", {"count": "3"}).status_code == 302
    page = client.get(running.url).content.decode()
    for words in ("90 mL", "PA", "Motion blur", "Allergic-like reaction", "Admitted", "Allergy: contrast medium"):
        assert words in page, words
    for kind, row in (
        ("exposures", exposure),
        ("rejects", procedure.rejects.get()),
        ("reactions", event),
    ):
        assert post("withdraw", None, kind, row.uuid).status_code == 302
        row.refresh_from_db()
        assert row.withdrawn_at
    assert post("withdraw", None, "nothing", event.uuid).status_code == 404
    assert post("withdraw", None, "used", event.uuid).status_code == 404


def test_completing_names_what_is_missing_and_takes_a_reason(client, running):
    page = client.get(running.url).content.decode()
    assert "2 things are missing" in page and 'href="#time-out"' in page
    refused = running.post("complete")
    assert refused.status_code == 409 and b"Missing: Time-out, Images." in refused.content
    assert running.post("complete", {"explanation": "Emergency, films"}).status_code == 302
    assert running.procedure.completions.get().missing == ["time_out", "images"]
    assert b"Emergency, films" in client.get(running.url).content


def test_a_technologist_lifts_a_block_where_the_form_says_so(client):
    services.ensure_questionnaires()
    form = Questionnaire.objects.get(name="Pregnancy")
    procedure = soon(patient=make_patient(sex="F", birth_date="1990-01-01"))
    answers = {"pregnant": "yes", "breast_feeding": "no"}
    row = services.record_screening(procedure, questionnaire=form, answers=answers, actor=SYSTEM)
    url = reverse("console_override", args=[procedure.uuid, row.uuid])
    assert client.post(url, {"override-reason": "Vital"}).status_code == 403
    form.override_by = "technologist"
    form.save_as(SYSTEM, "Small hospital")
    assert b"Allow this exam" in client.get(reverse("console_exam", args=[procedure.uuid])).content
    assert client.post(url, {"override-reason": "Vital"}).status_code == 302


def test_questions_are_asked_in_the_readers_language(client):
    services.ensure_questionnaires()
    procedure = soon(patient=make_patient(sex="F", birth_date="1990-01-01"))
    client.post(reverse("set_language"), {"language": "sw", "next": "/"})
    page = client.get(reverse("console_exam", args=[procedure.uuid])).content.decode()
    assert "Je, unaweza kuwa mjamzito?" in page and "Ujauzito" in page and "Could you be pregnant?" not in page


# --- the ward round


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        ("ICU B4", ("ICU", "B4")),
        ("Surgical 2, R3", ("Surgical 2", "R3")),
        ("Ward 3", ("Ward 3", "")),
        ("Casualty", ("Casualty", "")),
        ("B4", ("B4", "")),
    ],
)
def test_ward_and_bed(location, wanted):
    assert ward_and_bed(location) == wanted


def test_one_patient_of_the_round_from_asking_to_done(client):
    services.ensure_questionnaires()
    catalogue = make_catalogue("DXCH", name="Chest AP", modality="DX")
    procedure, other = (
        make_procedure(
            codes=[catalogue.code], patient=make_patient(sex="F", birth_date="1990-01-01"), location=f"ICU B{number}"
        )
        for number in (4, 7)
    )
    form = Questionnaire.objects.get(name="Pregnancy")
    page = client.get(reverse("console_round")).content.decode()
    assert "2 to do" in page and "Ask: Pregnancy" in page and "B7" in page
    url, back = reverse("console_round_exam", args=[procedure.uuid]), {"back": "round"}

    def post(name, data, *args):
        return client.post(reverse(f"console_{name}", args=[procedure.uuid, *args]), data | back)

    assert "Could you be pregnant?" in client.get(url).content.decode()
    refused = post("screen", {"pregnant": "no"}, form.uuid)
    assert refused.status_code == 400 and b"ro-steps" in refused.content
    answered = post("screen", {"pregnant": "no", "breast_feeding": "no"}, form.uuid)
    assert answered["Location"].startswith(url)
    assert b"All confirmed" in client.get(url).content
    checks = ["exam", "pregnancy", "allergy", "entry"]
    assert post("time_out", {"identifiers": ["name", "birth_date"], "checks": checks}).status_code == 302
    assert post("start", {})["Location"] == url
    assert post("count", {"count": "1"}).status_code == 302
    assert post("complete", {})["Location"] == reverse("console_round")
    page = client.get(reverse("console_round")).content.decode()
    assert str(other.uuid) in page and str(procedure.uuid) not in page and "1 done" in page
    assert b"Next patient" in client.get(url).content
    found = client.post(reverse("console_scan"), {"code": other.accession_number} | back)
    assert found["Location"] == reverse("console_round_exam", args=[other.uuid])
    lost = client.post(reverse("console_scan"), {"code": "NOPE"} | back)
    assert lost.status_code == 404 and b"Ward round" in lost.content


def test_an_identifier_of_another_issuer_is_told_apart(client):
    procedure = soon()
    PatientIdentifier.objects.create(patient=procedure.order.patient, value="W77", issuer="WARDS")
    assert at_exam(scan(client, "W77^^^WARDS"), procedure)
    assert scan(client, "W77^^^ELSEWHERE").status_code == 404
