"""REST and administration of the technologist's papers: the same services behind both doors."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from ris.core.actor import SYSTEM
from tests.factories.orders import make_catalogue, make_patient, make_user
from tests.factories.worklist import booked, ct_procedure, step_of
from worklist import services
from worklist.models import AdverseEvent, ConsumableUse, Product, Questionnaire

URL = "/api/v1/"


@pytest.fixture
def technologist(api):
    api.force_authenticate(make_user("technologist"))
    return api


def test_consumables_over_rest(technologist):
    procedure = ct_procedure()
    product = technologist.post(
        f"{URL}products/", {"code": "IOX", "name": "Iohexol 350", "gtin": "4012345678901", "usual_quantity": "70"}
    )
    assert product.status_code == 201 and product.data["gtin"] == "04012345678901"
    assert technologist.post(f"{URL}products/", {"code": "IOX", "name": "Again"}).status_code == 409
    body = {"procedure": str(procedure.uuid), "product": product.data["id"], "lot": "L1", "route": "IV"}
    used = technologist.post(f"{URL}consumables/", body)
    assert used.status_code == 201, used.data
    assert (used.data["label"], used.data["route"], used.data["quantity"]) == ("Iohexol 350", "47625008", "70.00")
    url = f"{URL}consumables/{used.data['id']}/"
    corrected = technologist.patch(url, {"quantity": "90"})
    assert (corrected.status_code, corrected.data["corrects"]) == (200, used.data["id"])
    standing = technologist.get(f"{URL}consumables/", {"procedure": str(procedure.uuid), "is_withdrawn": False})
    assert [row["quantity"] for row in standing.data["results"]] == ["90.00"]
    assert technologist.post(f"{URL}consumables/{corrected.data['id']}/withdraw/").data["withdrawn_at"]
    assert technologist.post(f"{URL}consumables/", body | {"route": "by ear"}).status_code == 400
    assert technologist.post(f"{URL}consumables/", body | {"product": str(procedure.uuid)}).status_code == 400
    named = technologist.patch(f"{URL}products/{product.data['id']}/", {"name": "Iohexol 350, 100 mL"})
    assert named.data["name"] == "Iohexol 350, 100 mL"


def test_exposures_rejects_and_reactions_over_rest(technologist):
    procedure = booked().procedure
    body = {"procedure": str(procedure.uuid)}
    exposure = technologist.post(f"{URL}exposures/", body | {"view": "AP", "kvp": "70", "station": "CT1"})
    assert exposure.status_code == 201, exposure.data
    url = f"{URL}exposures/{exposure.data['id']}/"
    assert technologist.patch(url, {"kvp": "72.5"}).data["kvp"] == "72.5"
    assert technologist.post(f"{url}withdraw/").data["withdrawn_at"]
    event = technologist.post(
        f"{URL}adverse-events/", body | {"kind": "allergic", "severity": "mild", "description": "Rash"}
    )
    assert event.status_code == 201, event.data
    url = f"{URL}adverse-events/{event.data['id']}/"
    assert technologist.patch(url, {"severity": "severe"}).status_code == 400
    assert technologist.patch(url, {"severity": "severe", "treatment": "Adrenaline"}).data["severity"] == "severe"
    assert technologist.post(f"{url}withdraw/").status_code == 200
    step = f"{URL}steps/{step_of(procedure).uuid}/"
    reject = technologist.post(f"{step}rejects/", {"reason_code": "111209"})
    assert technologist.post(f"{URL}rejects/{reject.data['id']}/withdraw/").data["withdrawn_at"]
    assert technologist.post(f"{step}image-count/", {"count": 4}).status_code == 201
    counts = technologist.get(f"{URL}image-counts/", body)
    assert [row["count"] for row in counts.data["results"]] == [4]


def test_start_and_completion_over_rest_ask_as_the_console_does(technologist):
    procedure = booked(ct_procedure(patient=make_patient(sex="M"))).procedure
    step = f"{URL}steps/{step_of(procedure).uuid}/"
    assert technologist.post(f"{step}start/", {}).status_code == 409
    checks = {"identifiers": ["name"], "checks": ["exam", "allergy", "entry"]}
    wristband = procedure.order.patient.primary_identifier.value
    assert technologist.post(f"{step}time-out/", checks | {"wristband": "OTHER"}).status_code == 400
    assert technologist.post(f"{step}time-out/", checks | {"wristband": wristband}).status_code == 201
    [row] = technologist.get(f"{URL}time-outs/", {"procedure": str(procedure.uuid)}).data["results"]
    assert row["is_wristband_verified"] and row["still_holds"]
    assert technologist.post(f"{step}start/", {}).status_code == 200
    refused = technologist.post(f"{step}complete/", {"asks_for_all": True})
    assert refused.status_code == 409 and "Images" in refused.data["found"]
    done = technologist.post(f"{step}complete/", {"asks_for_all": True, "explanation": "Films"})
    assert done.status_code == 200
    [row] = technologist.get(f"{URL}completions/").data["results"]
    assert (row["missing"], row["explanation"]) == (["images"], "Films")


def test_questionnaires_and_blocks_over_rest(api):
    services.ensure_questionnaires()
    form = Questionnaire.objects.get(name="Pregnancy")
    api.force_authenticate(make_user("it_admin"))
    rows = api.get(f"{URL}questionnaires/").data["results"]
    assert {row["name"] for row in rows} == {"Pregnancy", "Contrast", "Kidney function", "MR safety"}
    edition = api.post(f"{URL}questionnaires/{form.uuid}/open-edition/")
    assert (edition.status_code, edition.data["edition"], edition.data["is_active"]) == (201, 2, False)
    assert api.post(f"{URL}questionnaires/{edition.data['id']}/publish/").data["is_active"]
    form = Questionnaire.objects.get(uuid=edition.data["id"])
    form.override_by = "technologist"
    form.save_as(SYSTEM, "Small hospital")
    procedure = booked().procedure
    row = services.record_screening(
        procedure, questionnaire=form, answers={"pregnant": "yes", "breast_feeding": "no"}, actor=SYSTEM
    )
    api.force_authenticate(make_user("technologist"))
    allowed = api.post(f"{URL}screenings/{row.uuid}/allow/", {"reason": "Vital"})
    assert allowed.status_code == 200 and allowed.data["is_overridden"]


def test_scanning_over_rest(technologist):
    procedure = booked().procedure
    found = technologist.post(f"{URL}scan/", {"code": f"]C0{procedure.accession_number}"})
    assert found.status_code == 200 and found.data["kind"] == "exam"
    assert [row["procedure"] for row in found.data["exams"]] == [str(procedure.uuid)]
    lost = technologist.post(f"{URL}scan/", {"code": "NOPE"})
    assert lost.status_code == 404 and lost.data["todo"]
    services.save_product(None, code="IOX", name="Iohexol", gtin="4012345678901", actor=SYSTEM)
    pack = technologist.post(f"{URL}scan/", {"code": "010401234567890117270831" + "10L9"})
    assert (pack.data["kind"], pack.data["lot"], pack.data["expires_on"]) == ("pack", "L9", "2027-08-31")


def test_lists_cost_a_fixed_number_of_queries(technologist):
    names = ("consumables", "exposures", "adverse-events", "rejects", "time-outs", "completions")
    counts = []
    for hour in (9, 10, 11):
        procedure = booked(starts_at=timezone.now() + timezone.timedelta(hours=hour)).procedure
        services.record_consumable(procedure, label="Iohexol", quantity=1, actor=SYSTEM)
        services.record_exposure(procedure, actor=SYSTEM)
        services.record_reject(procedure, reason_code="111209", actor=SYSTEM)
        services.record_adverse_event(procedure, kind="fall", severity="mild", description="x", actor=SYSTEM)
        services.start_exam(procedure, actor=SYSTEM)
        services.complete_exam(procedure, actor=SYSTEM)
        counts.append({})
        for name in names:
            with CaptureQueriesContext(connection) as queries:
                assert technologist.get(f"{URL}{name}/").status_code == 200
            counts[-1][name] = len(queries)
    assert counts[1] == counts[2], counts


def test_who_may_not(api):
    procedure = ct_procedure()
    use = services.record_consumable(procedure, label="Iohexol", quantity=1, actor=SYSTEM)
    api.force_authenticate(make_user("clerk"))
    assert api.post(f"{URL}consumables/{use.uuid}/withdraw/").status_code == 403
    assert api.post(f"{URL}products/", {"code": "X", "name": "X"}).status_code == 403
    api.force_authenticate(make_user("referring_physician"))
    assert api.get(f"{URL}adverse-events/").status_code == 403


# --- the second door


@pytest.fixture
def admin_client(tclient):
    user = make_user("technologist")
    tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
    return tclient


def test_papers_are_written_in_the_administration(admin_client):
    procedure = booked().procedure
    data = {"procedure": procedure.pk, "label": "Iohexol", "kind": "contrast", "quantity": "70", "unit": "mL"}
    moment = {"used_at_0": f"{timezone.localdate()}", "used_at_1": "10:00:00"}
    answer = admin_client.post(reverse("admin:worklist_consumableuse_add"), data | moment)
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    use = ConsumableUse.objects.get()
    assert (str(use.quantity), use.procedure) == ("70.00", procedure)
    url = reverse("admin:worklist_consumableuse_change", args=[use.pk])
    assert admin_client.post(url, data | moment | {"quantity": "80"}).status_code == 302
    assert [str(row.quantity) for row in ConsumableUse.objects.filter(withdrawn_at=None)] == ["80.00"]
    event = {"procedure": procedure.pk, "kind": "fall", "severity": "mild", "description": "Slipped"}
    event |= {"outcome": "observed", "happened_at_0": f"{timezone.localdate()}", "happened_at_1": "10:00:00"}
    assert admin_client.post(reverse("admin:worklist_adverseevent_add"), event).status_code == 302
    assert AdverseEvent.objects.get().description == "Slipped"
    product = {"code": "IOX", "name": "Iohexol", "kind": "contrast", "unit": "mL", "gtin": "4012345678901"}
    wrong = admin_client.post(reverse("admin:worklist_product_add"), product | {"gtin": "4012345678902"})
    assert b"check digit" in wrong.content
    assert admin_client.post(reverse("admin:worklist_product_add"), product | {"is_active": "on"}).status_code == 302
    assert Product.objects.get().gtin == "04012345678901"


def test_answered_questions_keep_their_words_in_the_administration(tclient):
    make_catalogue("CTHEAD", name="CT head", modality="CT")
    services.ensure_questionnaires()
    form = Questionnaire.objects.get(name="Pregnancy")
    user = make_user("it_admin")
    tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
    url = reverse("admin:worklist_questionnaire_change", args=[form.pk])
    assert b'name="questions-0-text"' in tclient.get(url).content
    services.record_screening(
        ct_procedure(), questionnaire=form, answers={"pregnant": "no", "breast_feeding": "no"}, actor=SYSTEM
    )
    page = tclient.get(url).content
    assert b'name="questions-0-text"' not in page and b"Could you be pregnant?" in page
