"""The pages: who sees which, what they do, what they refuse; with a fixed number of queries where they list."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orders.models import RequestedProcedure
from reporting import services
from reporting.models import ReaderProfile, ReadingLock, Report, ReportDelivery, SavedList
from ris.audit.models import AuditEvent
from ris.tenants.context import forget_facilities, use_facility
from tests.factories.accounts import PASSWORD
from tests.factories.reporting import SECTIONS, drafted, make_patient, make_procedure, make_referrer, signed

pytestmark = pytest.mark.django_db
HTML = "text/html"


def browser(user: Any, *, fresh: bool = True) -> Client:
    client = Client(HTTP_HOST="alpha.test", HTTP_ACCEPT=HTML)
    client.force_login(user, backend="ris.accounts.backends.PasswordBackend")
    session = client.session
    session["authenticated_at"] = time.time() - (0 if fresh else 7200)
    session["seen_at"] = time.time()
    session.save()
    return client


@pytest.fixture
def reader(people: Any) -> Client:
    return browser(people.radiologist.user)


def typed(**sections: str) -> dict[str, str]:
    return {f"section-{key}": words for key, words in {**SECTIONS, **sections}.items()}


# --- reading list


def test_the_list_shows_what_waits_due_first(people: Any, reader: Client) -> None:
    late = make_procedure(patient=make_patient("KIPLAGAT"), priority="stat", minutes_ago=45, images=388)
    soon = make_procedure(patient=make_patient("HASSAN"), priority="routine", minutes_ago=5)
    make_procedure(status="scheduled")
    page = reader.get("/reading/").content.decode()
    assert page.index("KIPLAGAT") < page.index("HASSAN")
    assert "Over 15" in page and "388" in page and late.accession_number in page and soon.accession_number in page
    assert AuditEvent.objects.filter(event_type="reporting.view_reading_list", patients__len=2).exists()


def test_filters_live_in_the_url(people: Any, reader: Client) -> None:
    make_procedure(patient=make_patient("KIPLAGAT"), modality="MR")
    make_procedure(patient=make_patient("HASSAN"), priority="stat")
    for query, shown in (
        ("modality=MR", {"KIPLAGAT"}),
        ("priority=stat&priority=urgent", {"HASSAN"}),
        ("modality=XX&reader=nonsense", {"KIPLAGAT", "HASSAN"}),
    ):
        page = reader.get(f"/reading/?{query}").content.decode()
        assert {name for name in ("KIPLAGAT", "HASSAN") if name in page} == shown, query
    assert "KIPLAGAT" not in reader.get("/reading/?age=child").content.decode()


def test_six_rows_cost_as_many_queries_as_two(people: Any, reader: Client) -> None:
    from django.db import connection

    def cost(url: str) -> int:
        cache.clear()  # the numbers of the menu are asked anew,
        forget_facilities()  # and whose address it is
        with CaptureQueriesContext(connection) as queries:
            assert reader.get(url).status_code == 200
        return len(queries)

    patient = make_patient()
    for _ in range(2):
        make_procedure(patient=patient, images=3)
    reader.get("/reading/")
    few, few_rows = cost("/reading/"), cost("/reading/rows/")
    for number in range(4):
        make_procedure(patient=patient if number % 2 else make_patient(), images=3)
    assert (cost("/reading/"), cost("/reading/rows/")) == (few, few_rows)
    assert few <= 45 and few_rows <= 25


def test_a_reader_puts_the_columns_in_their_order(people: Any, reader: Client) -> None:
    make_procedure()
    every = ["priority", "images", "question", "priors", "status"]
    for _step in range(3):
        assert reader.post("/reading/columns/", {"column": every, "earlier": "question"}).status_code == 302
    page = reader.get("/reading/").content.decode()
    row = page[page.index('<tr id="r-') :]
    places = [row.index(f'"{css}"') for css in ("c-priority", "fluid c-question", "rp-name", "rp-exam", "c-images")]
    assert places == sorted(places) and "no-flags" in page
    polled = reader.get("/reading/rows/").content.decode()
    assert polled.index("c-question") < polled.index("rp-name")
    reader.post("/reading/columns/", {"column": every, "earlier": "nonsense"})
    assert ReaderProfile.objects.get().column_order[:2] == ["priority", "question"]


def test_the_poll_answers_304_until_something_changes(people: Any, reader: Client) -> None:
    procedure = make_procedure()
    first = reader.get("/reading/rows/")
    etag = first["ETag"]
    assert reader.get("/reading/rows/", HTTP_IF_NONE_MATCH=etag).status_code == 304
    services.open_report([procedure], actor=people.other)
    changed = reader.get("/reading/rows/", HTTP_IF_NONE_MATCH=etag)
    assert changed.status_code == 200 and "Reading: Asha Mutua" in changed.content.decode()


def test_reading_from_the_list_claims_and_opens_the_editor(people: Any, reader: Client) -> None:
    procedure = make_procedure()
    answer = reader.post("/reading/open/", {"procedure": procedure.uuid})
    report = Report.objects.get()
    assert answer.url == f"/reports/{report.uuid}/"
    page = reader.get(answer.url).content.decode()
    assert "data-report" in page and "OTIENO" in page and "Before signing" in page


def test_next_best_takes_what_is_due_first_and_free(people: Any, reader: Client) -> None:
    held, free = make_procedure(priority="stat"), make_procedure(minutes_ago=60)
    services.open_report([held], actor=people.other)
    reader.post("/reading/next/")
    assert ReadingLock.objects.get(user=people.radiologist.user).procedure == free
    RequestedProcedure.objects.filter(pk=free.pk).update(status="final")
    assert reader.post("/reading/next/").status_code == 404


@pytest.mark.parametrize(
    "status, words",
    [("in_progress", "The exam is running"), ("final", "the report is signed"), ("ready_to_read", "It is on the list")],
)
def test_why_is_it_not_here(people: Any, reader: Client, status: str, words: str) -> None:
    procedure = make_procedure(status=status)
    answer = reader.post(
        "/reading/why/", {"accession_number": procedure.accession_number.lower()}, HTTP_HX_REQUEST="true"
    )
    assert words in answer.content.decode()
    hidden = reader.post("/reading/why/", {"accession_number": procedure.accession_number, "query": "modality=US"})
    assert ("hides it" in hidden.content.decode()) is (status == "ready_to_read")


def test_an_unknown_number_is_told_so(people: Any, reader: Client, beta: Any) -> None:
    with use_facility(beta):
        other = make_procedure()
    answer = reader.post("/reading/why/", {"accession_number": f"{other.accession_number}"})
    assert "no exam with that number" in answer.content.decode()


def test_a_filter_is_kept_and_removed(people: Any, reader: Client) -> None:
    reader.post("/reading/lists/", {"name": "CT at night", "query": "modality=CT"})
    row = SavedList.objects.get()
    assert (row.query, row.owner) == ({"modality": ["CT"]}, people.radiologist.user)
    assert "CT at night" in reader.get("/reading/?modality=CT").content.decode()
    assert browser(people.other.user).post(f"/reading/lists/{row.uuid}/remove/").status_code == 404
    reader.post(f"/reading/lists/{row.uuid}/remove/")
    assert SavedList.objects.count() == 0


# --- editor


def test_autosave_answers_json_with_revision_and_checks(people: Any, reader: Client) -> None:
    report = services.open_report([make_procedure()], actor=people.radiologist)
    answer = reader.post(
        f"/reports/{report.uuid}/save/", {"revision": 0, **typed(impression="")}, HTTP_ACCEPT="application/json"
    )
    body = answer.json()
    assert (answer.status_code, body["revision"], body["status"]) == (200, 1, "partial")
    assert "The impression is empty" in body["checks"]


def test_a_stale_autosave_is_409_with_who_and_when(people: Any, reader: Client) -> None:
    report = drafted(actor=people.radiologist)
    answer = reader.post(
        f"/reports/{report.uuid}/save/", {"revision": 0, **typed(findings="Mine")}, HTTP_ACCEPT="application/json"
    )
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("revision_conflict")
    assert "Wekesa" in answer.json()["detail"]


def test_without_scripts_a_conflict_shows_both_texts(people: Any, reader: Client) -> None:
    report = drafted(actor=people.radiologist)
    answer = reader.post(f"/reports/{report.uuid}/save/", {"revision": 0, **typed(findings="Lungs: Opaque.")})
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "<del>Clear</del>" in page and "<ins>Opaque</ins>" in page
    compared = reader.post(f"/reports/{report.uuid}/compare/", typed(findings="Lungs: Opaque.")).content.decode()
    assert "<ins>Opaque</ins>" in compared and 'name="revision" value="1"' in compared
    saved = reader.post(f"/reports/{report.uuid}/save/", {"revision": 1, **typed(findings="Lungs: Opaque.")})
    assert saved.status_code == 302
    assert Report.objects.get().sections["findings"] == "Lungs: Opaque."


def test_another_reader_sees_the_lock_and_may_take_over(people: Any) -> None:
    report = drafted(actor=people.radiologist)
    other = browser(people.other.user)
    page = other.get(f"/reports/{report.uuid}/").content.decode()
    assert "Asha Wekesa reads this exam since" in page and "data-report " not in page
    other.post(f"/reports/{report.uuid}/take-over/", {"reason": "Shift"})
    assert "data-report " in other.get(f"/reports/{report.uuid}/").content.decode()


def test_signing_saves_signs_and_goes_on(people: Any, reader: Client) -> None:
    first, second = make_procedure(minutes_ago=90), make_procedure()
    report = services.open_report([first], actor=people.radiologist)
    answer = reader.post(
        f"/reports/{report.uuid}/sign/",
        {"revision": 0, "kind": "final", "then": "next", **typed()},
        HTTP_ACCEPT="application/json",
    )
    following = Report.objects.get(procedures=second)
    assert answer.json() == {"next": f"/reports/{following.uuid}/"}
    assert Report.objects.get(pk=report.pk).status == "final"


def test_an_old_sign_in_is_asked_for_the_password_and_nothing_is_lost(people: Any) -> None:
    client = browser(people.radiologist.user, fresh=False)
    report = services.open_report([make_procedure()], actor=people.radiologist)
    url, sent = f"/reports/{report.uuid}/sign/", {"revision": 0, "kind": "final", **typed()}
    assert 'name="password"' in client.get(f"/reports/{report.uuid}/").content.decode()
    answer = client.post(url, sent, HTTP_ACCEPT="application/json")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:picha:problem:reauthentication_required")
    report.refresh_from_db()
    assert (report.status, report.revision) == ("partial", 1)
    wrong = client.post(url, {**sent, "revision": 1, "password": "wrong"}, HTTP_ACCEPT="application/json")
    assert wrong.status_code == 403
    right = client.post(url, {**sent, "revision": 1, "password": PASSWORD}, HTTP_ACCEPT="application/json")
    assert right.status_code == 200
    assert Report.objects.get().status == "final"


def test_a_resident_signs_preliminary_and_has_no_final_button(people: Any) -> None:
    client = browser(people.resident.user)
    report = services.open_report([make_procedure()], actor=people.resident)
    assert "Sign final" not in client.get(f"/reports/{report.uuid}/").content.decode()
    client.post(f"/reports/{report.uuid}/sign/", {"revision": 0, "kind": "preliminary", **typed()})
    assert Report.objects.get().status == "preliminary"
    services.open_report(report.procedures.all(), actor=people.resident)
    refused = client.post(f"/reports/{report.uuid}/sign/", {"revision": 1, "kind": "final", **typed()})
    assert (refused.status_code, Report.objects.get().status) == (403, "preliminary")


def test_addendum_correction_versions_and_retraction(people: Any, reader: Client) -> None:
    report = signed(actor=people.radiologist)
    base = f"/reports/{report.uuid}/"
    assert "Add an addendum" in reader.get(base).content.decode()
    reader.post(base + "addendum/", {"text": "Compared with outside CT."})
    assert "Compared with outside CT." in reader.get(base).content.decode()
    assert 'name="section-impression"' in reader.get(base + "correct/").content.decode()
    reader.post(base + "correct/", {**typed(impression="Nodule of 21 mm."), "reason": "Size"})
    versions = reader.get(base + "versions/").content.decode()
    assert "<ins>Nodule</ins>" in versions or "<ins>Nodule of 21 mm" in versions
    reader.post(base + "retract/", {"reason": "Wrong patient"})
    assert "do not act on this report" in reader.get(base).content.decode()
    assert list(report.versions.values_list("kind", flat=True)) == ["final", "addendum", "correction", "retraction"]


def test_an_alert_is_raised_from_the_editor(people: Any, reader: Client) -> None:
    report = drafted(actor=people.radiologist)
    reader.post(f"/reports/{report.uuid}/critical/", {"category": 1, "finding": "Tension pneumothorax"})
    assert report.critical_results.get().category == 1
    assert "Tension pneumothorax" in reader.get(f"/reports/{report.uuid}/").content.decode()
    assert reader.post(f"/reports/{report.uuid}/critical/", {"category": 9, "finding": ""}).status_code == 400


def test_template_macro_release_discard_and_beat(people: Any, reader: Client) -> None:
    services.ensure_templates()
    from reporting.models import ReportTemplate

    report = drafted(actor=people.radiologist)
    base = f"/reports/{report.uuid}/"
    swahili = ReportTemplate.objects.get(name="CT ya kifua")
    reader.post(base + "template/", {"template": swahili.uuid})
    assert Report.objects.get().sections["findings"].startswith("Mapafu: Safi.")
    assert reader.post("/reading/macros/", {"code": "nonod", "text": "No nodule."}).json()["code"] == "nonod"
    assert "nonod" in reader.get(base).content.decode()
    assert reader.post(base + "beat/").json() == {"is_mine": True}
    reader.post(base + "release/")
    assert ReadingLock.objects.count() == 0
    services.open_report(report.procedures.all(), actor=people.radiologist)
    reader.post(base + "discard/", {"reason": "Mistake"})
    assert Report.objects.get().status == "cancelled"


def test_the_paper_is_shown_printed_and_recorded(people: Any, reader: Client) -> None:
    report = signed(actor=people.radiologist)
    draft = drafted(actor=people.radiologist)
    shown = reader.get(f"/reports/{report.uuid}/pdf/")
    assert shown["Content-Type"] == "application/pdf" and shown.content.startswith(b"%PDF")
    assert "inline" in shown["Content-Disposition"]
    assert reader.get(f"/reports/{report.uuid}/pdf/?version=7").status_code == 404
    assert reader.post(f"/reports/{report.uuid}/print/").status_code == 200
    assert reader.get(f"/reports/{draft.uuid}/preview/").content.startswith(b"%PDF")
    assert reader.get(f"/reports/{draft.uuid}/pdf/").status_code == 404
    assert (
        AuditEvent.objects.filter(event_type="reporting.print_report", entity=report.versions.get().uuid).count() == 1
    )


def test_several_exams_of_a_patient_are_read_together(people: Any, reader: Client) -> None:
    patient = make_patient()
    one, two = make_procedure(patient=patient), make_procedure(patient=patient, description="CT abdomen")
    page = reader.get(f"/reading/exams/{one.uuid}/").content.decode()
    assert "Read together" in page and "CT abdomen" in page
    reader.post("/reading/open/", {"procedure": [one.uuid, two.uuid]})
    assert Report.objects.get().procedures.count() == 2


# --- results, critical, analytics


def test_the_referrer_opens_and_acknowledges(people: Any) -> None:
    client = browser(people.referrer.actor.user)
    procedure = make_procedure(requester=people.referrer.practitioner)
    signed(procedure, actor=people.radiologist)
    line = ReportDelivery.objects.get()
    assert "OTIENO" in client.get("/results/").content.decode()
    page = client.get(f"/results/{line.uuid}/").content.decode()
    assert SECTIONS["impression"] in page and "I have read this" in page
    line.refresh_from_db()
    assert line.status == "opened"
    assert AuditEvent.objects.filter(event_type="reporting.view_result", entity=line.uuid).exists()
    client.post(f"/results/{line.uuid}/acknowledge/")
    assert RequestedProcedure.objects.get(pk=procedure.pk).status == "distributed"
    assert client.post(f"/results/{line.uuid}/print/").content.startswith(b"%PDF")
    assert client.get("/results/?box=read").content.decode().count("OTIENO") >= 1


def test_a_referrer_never_sees_a_draft_or_anothers_result(people: Any) -> None:
    client = browser(people.referrer.actor.user)
    draft = drafted(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    foreign = signed(make_procedure(requester=make_referrer().practitioner), actor=people.other)
    for report in (draft, foreign):
        assert client.get(f"/reports/{report.uuid}/").status_code == 404
        assert client.get(f"/reports/{report.uuid}/pdf/").status_code == 404
    assert client.get(f"/results/{ReportDelivery.objects.get().uuid}/").status_code == 404


def test_the_board_takes_calls_and_answers(people: Any, reader: Client) -> None:
    critical = services.raise_critical_result(
        make_procedure(requester=people.referrer.practitioner), category=1, finding="Bleed", actor=people.radiologist
    )
    base = f"/critical/{critical.uuid}/"
    assert "OTIENO" in reader.get("/critical/").content.decode()
    assert "OTIENO" not in reader.get("/critical/?wall=1").content.decode()
    reader.post(base + "contact/", {"person": "ED desk", "channel": "phone", "outcome": "no_answer"})
    reader.post(base + "escalate/")
    reader.post(base + "contact/", {"person": "Sr. Njoki", "channel": "phone", "read_back": "on", "outcome": "reached"})
    critical.refresh_from_db()
    assert (critical.status, critical.escalation_level) == ("communicated", 1)
    page = reader.get(base).content.decode()
    assert "Sr. Njoki" in page and "read back" in page
    browser(people.referrer.actor.user).post(base + "acknowledge/")
    critical.refresh_from_db()
    assert critical.status == "acknowledged"
    reader.post(base + "close/")
    assert "OTIENO" in reader.get("/critical/?box=closed").content.decode()
    assert reader.get("/critical/compliance.csv").content.decode("utf-8-sig").startswith("month,findings")


def test_the_board_polls_for_nothing_until_it_changes(people: Any, reader: Client) -> None:
    procedure = make_procedure()
    etag = reader.get("/critical/", HTTP_HX_REQUEST="true")["ETag"]
    assert reader.get("/critical/", HTTP_HX_REQUEST="true", HTTP_IF_NONE_MATCH=etag).status_code == 304
    services.raise_critical_result(procedure, category=1, finding="Bleed", actor=people.radiologist)
    assert reader.get("/critical/", HTTP_HX_REQUEST="true", HTTP_IF_NONE_MATCH=etag).status_code == 200


def test_a_draft_is_for_those_who_write(people: Any) -> None:
    procedure = make_procedure()
    report = drafted(procedure, actor=people.radiologist)
    clerk = browser(people.clerk.user)
    assert clerk.get(f"/reports/{report.uuid}/").status_code == 404
    services.sign_report(report, actor=people.radiologist)
    assert SECTIONS["impression"] in clerk.get(f"/reports/{report.uuid}/").content.decode()


def test_the_desk_sees_what_nobody_opened(people: Any) -> None:
    client = browser(people.clerk.user)
    assert client.get("/results/").url == "/results/unopened/"
    assert "Every result has been opened" in client.get("/results/unopened/").content.decode()


def test_analytics_counts_what_was_done(people: Any, reader: Client) -> None:
    signed(make_procedure(minutes_ago=40), actor=people.radiologist)
    make_procedure(modality="MR")
    page = reader.get("/analytics/?days=7").content.decode()
    assert "<svg" in page and "40\u00a0min" in page and "Ready to read" in page
    assert "OTIENO" not in page


PAGES = {
    "/reading/": {"radiologist", "resident"},
    "/critical/": {"radiologist", "resident", "technologist", "clerk", "qa_lead", "referring_physician"},
    "/results/": {"radiologist", "resident", "clerk", "referring_physician"},
    "/results/unopened/": {"radiologist", "clerk"},
    "/analytics/": {"radiologist", "qa_lead", "it_admin"},
}
ROLES = (
    "radiologist", "resident", "technologist", "clerk", "qa_lead", "referring_physician", "medical_physicist",
    "it_admin",
)  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_pages_by_role(alpha: Any, role: str) -> None:
    from tests.factories.accounts import user_with_roles

    client = browser(user_with_roles(role))
    for url, allowed in PAGES.items():
        assert (client.get(url).status_code in (200, 302)) is (role in allowed), url


def test_nobody_signed_in_is_sent_to_sign_in(alpha: Any) -> None:
    client = Client(HTTP_HOST="alpha.test")
    for url in PAGES:
        assert client.get(url).url.startswith("/sign-in/")


def test_another_facilitys_ids_are_unknown_here(people: Any, reader: Client, beta: Any) -> None:
    with use_facility(beta):
        from tests.factories.accounts import actor_with_roles

        actor = actor_with_roles("radiologist")
        referrer = make_referrer()
        procedure = make_procedure(requester=referrer.practitioner)
        report = signed(procedure, actor=actor)
        line = ReportDelivery.objects.get()
        critical = services.raise_critical_result(procedure, category=1, finding="x", actor=actor)
    uuids = {"report": report.uuid, "result": line.uuid, "critical": critical.uuid, "reading_exam": procedure.uuid}
    for name, key in (
        ("report_detail", "report"), ("report_pdf", "report"), ("report_versions", "report"),
        ("report_correct", "report"),
        ("result_detail", "result"), ("critical_detail", "critical"), ("reading_exam", "reading_exam"),
    ):  # fmt: skip
        assert reader.get(reverse(name, args=[uuids[key]])).status_code == 404, name
    assert reader.post("/reading/open/", {"procedure": procedure.uuid}).status_code == 404
    assert reader.post(f"/reports/{report.uuid}/sign/", {"kind": "final"}).status_code == 404
