import json
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import call_command

from ris.audit.export import as_fhir
from ris.audit.models import Action, AuditEvent, Outcome
from ris.audit.service import record, record_read, refused, service
from ris.core.actor import Actor
from ris.core.errors import Conflict, NotPermitted
from tests.factories.accounts import SiteFactory, actor_with_roles, user_with_roles

PATIENT = uuid4()


@pytest.fixture
def clerk(alpha):
    return actor_with_roles("clerk", username="clerk")


@pytest.fixture
def watching(tclient, alpha):
    user = user_with_roles("qa_lead", username="qa")
    tclient.force_login(user)
    return tclient


def test_who_opened_this_chart(watching, clerk):
    record_read(clerk, "orders.view_patient", patients=[PATIENT])
    record_read(clerk, "orders.view_order", patients=[uuid4(), PATIENT])
    record_read(clerk, "orders.view_order", patients=[uuid4()])
    page = watching.get("/audit/", {"patient": str(PATIENT)}).content.decode()
    assert page.count("<tr data-href") == 2
    own = AuditEvent.objects.get(event_type="audit.view_event")
    assert (own.patient, own.user_name, own.detail) == (PATIENT, "qa", {"filters": ["patient"], "rows": 2})


def test_identifiers_are_posted_and_stay_out_of_the_address(watching, clerk):
    record(clerk, "orders.view_order", Action.READ, detail={})
    AuditEvent.objects.bulk_create([AuditEvent(event_type="x.y", action="R", source="web", accession_number="26-118")])
    answer = watching.post("/audit/", {"accession_number": "26-118", "user_name": ""})
    assert "26-118" not in answer["Location"]
    assert watching.get(answer["Location"]).content.decode().count("<tr data-href") == 1
    assert watching.get("/audit/", {"accession_number": "none"}).content.decode().count("<tr data-href") > 1


@pytest.mark.parametrize("query", ["patient=x", "outcome=99", "since=then", "before=abc", "s=forged"])
def test_bad_filters_are_told_and_break_nothing(watching, query):
    assert watching.get(f"/audit/?{query}").status_code == 200
    assert watching.get("/audit/?entity=%00").status_code == 400


def test_one_event_in_full(watching, clerk):
    event = record(clerk, "orders.view_order", Action.READ, reason="<script>alert(1)</script>", detail={"rows": 3})
    page = watching.get(f"/audit/{event.uuid}/").content.decode()
    assert "orders.view_order" in page
    assert "<script>alert" not in page


@pytest.mark.parametrize("role", ["clerk", "radiologist", "technologist", "referring_physician"])
def test_the_audit_is_not_everybodys(tclient, alpha, role):
    tclient.force_login(user_with_roles(role))
    assert tclient.get("/audit/").status_code == 403
    assert tclient.post("/audit/export/").status_code == 403
    assert AuditEvent.objects.filter(outcome=Outcome.REFUSED).count() == 2


def test_the_export_is_fhir_and_recorded(tclient, clerk):
    tclient.force_login(user_with_roles("it_admin"))
    record(clerk, "orders.view_order", Action.READ)
    answer = tclient.post("/audit/export/?event_type=orders.")
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert [json.loads(line)["subtype"][0]["code"] for line in lines] == ["orders.view_order"]
    assert AuditEvent.objects.filter(event_type="audit.export_events").count() == 1


def test_every_row_is_a_valid_auditevent(clerk):
    from fhir.resources.R4B.auditevent import AuditEvent as FhirAuditEvent

    site = SiteFactory()
    record(clerk, "accounts.sign_in", Action.EXECUTE, outcome=Outcome.FAILED, reason="wrong_password")
    detail = {"rows": 2, "x": ""}
    record(clerk, "orders.view_order", Action.READ, entity=site, patients=[PATIENT, uuid4()], detail=detail)
    record(Actor("mwl", ae_title="CT1", address="10.0.0.9"), "worklist.query", Action.EXECUTE)
    for event in AuditEvent.objects.all():
        parsed = FhirAuditEvent.model_validate(json.loads(json.dumps(as_fhir(event))))
        assert parsed.agent[0].requestor is True
    authentication = as_fhir(AuditEvent.objects.get(event_type="accounts.sign_in"))
    assert (authentication["type"]["code"], authentication["outcome"]) == ("110114", "8")


def test_the_command_writes_one_object_a_line(clerk, tmp_path):
    record(clerk, "orders.view_order", Action.READ)
    record(clerk, "orders.view_order", Action.READ)
    out = StringIO()
    path = tmp_path / "audit.ndjson"
    call_command("export_audit", facility="alpha", output=path, stdout=out)
    assert json.loads(out.getvalue()) == {"facility": "alpha", "rows": 2}
    assert len(path.read_text().splitlines()) == 2
    call_command("export_audit", facility="alpha", since="2999-01-01", output=path, stdout=StringIO())
    assert path.read_text() == ""


# --- @service


@service("accounts.change_site")
def rename(site, *, name, actor):
    site.name = name
    site.save_as(actor, "Renamed")
    if name == "forbidden":
        raise Conflict("No such name.")
    return site


def test_a_service_leaves_one_row_in_its_transaction(alpha):
    actor = actor_with_roles("it_admin")
    site = rename(SiteFactory(), name="New", actor=actor)
    event = AuditEvent.objects.get()
    assert (event.event_type, event.action, event.entity, event.user) == (
        "accounts.change_site",
        "U",
        site.uuid,
        actor.user.uuid,
    )


def test_a_refusal_undoes_the_work_and_is_recorded(alpha):
    site = SiteFactory(name="Old")
    with pytest.raises(Conflict):
        rename(site, name="forbidden", actor=actor_with_roles("it_admin"))
    site.refresh_from_db()
    assert site.name == "Old"
    event = AuditEvent.objects.get()
    assert (event.outcome, event.reason, event.entity) == (Outcome.REFUSED, "conflict", site.uuid)


def test_a_missing_right_is_a_refusal(clerk):
    site = SiteFactory(name="Old")
    with pytest.raises(NotPermitted):
        rename(site, name="New", actor=clerk)
    assert AuditEvent.objects.get().reason == "not_permitted"


def test_a_refusal_inside_an_open_transaction_survives_its_rollback(transactional_db, alpha):
    from django.db import transaction

    from ris.audit.service import flush_refusals

    actor = actor_with_roles("clerk")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        refused(actor, "orders.x", Action.READ, NotPermitted("no"))
        raise ZeroDivisionError
    assert flush_refusals() == 1
    assert AuditEvent.objects.get().event_type == "orders.x"
