"""Searching what reports say: words, filters, rights; searches that are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orders import services as orders
from orders.models import Order, Patient
from reporting import services
from reporting.models import Report, ReportText, SavedSearch
from reporting.selectors.search import ReportSearch, count_since, excerpts, search_reports
from reporting.services.search import follow_place, index_missing, save_search
from ris.accounts.models import Site
from ris.core.actor import SYSTEM
from tests.factories.reporting import drafted, make_patient, make_procedure, make_referrer, signed


@pytest.fixture
def client_of(alpha: Any) -> Any:
    def browser(actor: Any) -> Client:
        client = Client(HTTP_HOST="alpha.test")
        client.force_login(actor.user)
        return client

    return browser


@pytest.fixture
def reports(people: Any) -> dict[str, Report]:
    """Three signed reports of three patients, and a draft."""
    texts = {
        "nodule": ("CT", "Lungs: A solid nodule of 8 mm in the left upper lobe.", "Solitary pulmonary nodule."),
        "clear": ("CT", "Lungs: No nodule. No pneumothorax.", "No acute abnormality."),
        "fracture": ("DX", "Distal radius: Displaced fracture.", "Colles' fracture, d\u00e9plac\u00e9e."),
    }
    made = {}
    for name, (modality, findings, impression) in texts.items():
        procedure = make_procedure(modality=modality, requester=people.referrer.practitioner)
        made[name] = signed(procedure, actor=people.radiologist, findings=findings, impression=impression)
    return made


def found(people: Any, words: str = "", who: str = "radiologist", **filters: Any) -> set[int]:
    actor = people.referrer.actor if who == "referrer" else getattr(people, who)
    return set(search_reports(ReportSearch(words=words, **filters), actor=actor))


def names(reports: dict[str, Report], keys: set[int]) -> set[str]:
    return {name for name, report in reports.items() if report.pk in keys}


WORDS = [
    ("nodule", {"nodule", "clear"}),
    ("nodules", {"nodule", "clear"}),
    ("nodule -no", {"nodule"}),
    ('"no nodule"', {"clear"}),
    ("nodule OR fracture", {"nodule", "clear", "fracture"}),
    ("nodule fracture", set()),
    ("deplacee", {"fracture"}),
    ("fractured", {"fracture"}),
    ("'; drop table --", set()),
    ('"', set()),
    ("-nodule", {"fracture"}),
]


def test_words_are_found_in_any_form_and_no_is_a_word(people, reports):
    assert [(words, names(reports, found(people, words))) for words, _expected in WORDS] == WORDS


def test_filters_ask_exam_patient_and_time(people, reports):
    today = timezone.localdate()
    assert names(reports, found(people, "", modality=("DX",))) == {"fracture"}
    assert names(reports, found(people, "nodule", modality=("DX",))) == set()
    assert names(reports, found(people, sex="F", age_from=30, age_to=60)) == set(reports)
    assert found(people, age_from=90) == set() == found(people, sex="M")
    assert names(reports, found(people, since=today, until=today)) == set(reports)
    assert found(people, until=today - timedelta(days=1)) == set()
    assert names(reports, found(people, exam="CTCHEST", body_region="CHEST")) == set(reports)
    assert names(reports, found(people, signer=str(people.radiologist.user.uuid))) == set(reports)
    assert found(people, signer=str(people.other.user.uuid)) == set()


def test_rights_are_those_of_the_reports(people, reports):
    drafted(actor=people.radiologist, impression="A nodule that nobody signed.")
    secret = reports["nodule"].patient
    Patient.objects.filter(pk=secret.pk).update(is_restricted=True)
    assert names(reports, found(people, "nodule")) == {"clear"}
    assert names(reports, found(people, "nodule", who="referrer")) == {"clear"}
    stranger = make_referrer().actor
    assert search_reports(ReportSearch(words="nodule"), actor=stranger) == []


def test_what_was_changed_is_found_by_its_new_words_and_an_error_not_at_all(people, reports):
    services.correct_report(
        reports["nodule"], sections={"impression": "Hamartoma."}, reason="Old films", actor=people.radiologist
    )
    services.add_addendum(reports["clear"], text="A haemangioma, seen later.", actor=people.radiologist)
    services.retract_report(reports["fracture"], reason="Another patient", actor=people.radiologist)
    assert names(reports, found(people, "solitary")) == set()
    assert names(reports, found(people, "hamartoma")) == {"nodule"}
    assert names(reports, found(people, "haemangiomas")) == {"clear"}
    assert names(reports, found(people, "colles OR fracture")) == set()


def test_what_an_older_installation_signed_is_written_down_once(people, reports):
    ReportText.objects.update(version=0, words="")
    assert found(people, "nodule") == set()
    assert index_missing() == 3
    assert index_missing() == 0
    assert names(reports, found(people, "nodule")) == {"nodule", "clear"}


def test_an_excerpt_shows_where_it_stands():
    cut = excerpts({7: "Lungs clear. " * 30 + "A solid nodule of 8 mm."}, "nodules")[7]
    assert ("nodule", True) in cut
    assert len("".join(text for text, _hit in cut)) < 350


def test_the_page_finds_keeps_counts_and_removes(people, reports, client_of):
    reader = client_of(people.radiologist)
    page = reader.post("/reports/search/", {"words": "nodule", "modality": ["CT"]})
    assert page.content.count(b"data-row") - page.content.count(b"data-rows") == 2
    assert b"<mark>nodule</mark>" in page.content
    kept = reader.post("/reports/search/", {"words": "nodule", "keep": "1", "name": " Lung  nodules "})
    address = kept.headers["Location"]
    assert "nodule" not in address
    procedure = make_procedure()
    signed(procedure, actor=people.radiologist, impression="Another nodule.")
    assert b'looked">1</span>' in reader.get("/reports/search/").content
    assert b"Another" in reader.get(address).content
    assert b'looked">1</span>' not in reader.get("/reports/search/").content
    other = client_of(people.other)
    assert other.get(address).status_code == 404
    reader.post(f"{address}share/", {"share": "1"})
    assert other.get(address).status_code == 200
    assert other.post(f"{address}remove/").status_code == 403
    assert reader.post(f"{address}remove/").status_code == 302
    assert other.get(address).status_code == 404


@pytest.mark.parametrize(
    "typed", [{"age_from": "-1"}, {"since": "2026-02-30"}, {"age_from": "9", "age_to": "3"}, {"signer": "x"}]
)
def test_what_cannot_be_asked_is_said(people, client_of, typed):
    page = client_of(people.radiologist).post("/reports/search/", {"words": "a", **typed})
    assert page.status_code == 200
    assert b"data-rows" not in page.content


def test_the_page_costs_a_fixed_number_of_queries(people, reports, client_of):
    reader = client_of(people.radiologist)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert reader.post("/reports/search/", {"words": "nodule"}).status_code == 200
        return len(queries)

    cost()
    few = cost()
    for _ in range(6):
        signed(make_procedure(), actor=people.radiologist, impression="A nodule.")
    assert cost() == few


def test_programs_search_by_post_and_keep_searches(people, reports, api):
    api.force_authenticate(people.radiologist.user)
    found = api.post("/api/v1/report-searches/find/", {"words": "nodule", "modality": ["CT"]}, format="json")
    assert (found.status_code, found.json()["count"]) == (200, 2)
    assert {row["uuid"] for row in found.json()["results"]} == {
        str(reports["nodule"].uuid),
        str(reports["clear"].uuid),
    }
    made = api.post("/api/v1/report-searches/", {"name": "Nodules", "query": {"words": "nodule"}}, format="json")
    assert made.status_code == 201
    address = f"/api/v1/report-searches/{made.json()['uuid']}/"
    assert api.get(f"{address}found/").json()["count"] == 2
    assert api.post(f"{address}share/", {"is_shared": True}, format="json").json()["is_shared"] is True
    refused = api.post("/api/v1/report-searches/", {"name": "Nothing", "query": {}}, format="json")
    assert refused.status_code == 400
    api.force_authenticate(people.other.user)
    assert [row["name"] for row in api.get("/api/v1/report-searches/").json()["results"]] == ["Nodules"]
    assert api.delete(address).status_code == 403
    api.force_authenticate(people.radiologist.user)
    assert api.delete(address).status_code == 204


def test_what_moves_to_another_patient_or_site_is_found_there(people, reports):
    report, known = reports["nodule"], make_patient("ACHIENG")
    alias, referrer = report.patient, make_referrer()
    merge = orders.merge_patients(survivor=known, loser=alias, reason="The same", actor=SYSTEM)
    assert ReportText.objects.get(pk=report.pk).patient == known
    assert found(people, "solitary", sex="F") == {report.pk}
    assert search_reports(ReportSearch(words="solitary"), actor=referrer.actor) == []
    Order.objects.filter(patient=alias).update(requester=referrer.practitioner)
    orders.unmerge_patients(merge, reason="Not the same", actor=SYSTEM)
    assert ReportText.objects.get(pk=report.pk).patient == alias
    order = report.first_procedure.order
    order.copies_to.add(referrer.practitioner)
    assert search_reports(ReportSearch(words="solitary"), actor=referrer.actor) == [report.pk]
    here, there = (Site.objects.create(code=code, name=code) for code in ("HERE", "THERE"))
    people.radiologist.user.sites.add(here)
    assert found(people, "solitary") == {report.pk}
    for site, expected in ((there, set()), (here, {report.pk})):
        Order.objects.filter(pk=order.pk).update(site=site)
        follow_place(Q(order=order))
        assert found(people, "solitary") == expected
        assert found(people, "solitary", who="other") == {report.pk}


def test_lots_of_what_may_not_be_seen_hide_nothing_and_are_not_counted(people, reports, monkeypatch):
    """The newest are all restricted: the search goes on beneath them, up to its bound; counts do not betray them."""
    for _ in range(5):
        secret = signed(make_procedure(patient=make_patient()), actor=people.other, impression="A nodule.")
        Patient.objects.filter(pk=secret.patient.pk).update(is_restricted=True)
    assert secret.pk not in found(people, "nodule")
    asked = ReportSearch(words="nodule")
    assert search_reports(asked, actor=people.radiologist, at_most=2) == [reports["clear"].pk, reports["nodule"].pk]
    row = save_search(name="Nodules", search=asked, actor=people.radiologist)
    SavedSearch.objects.filter(pk=row.pk).update(opened_at=timezone.now() - timedelta(days=1))
    row.refresh_from_db()
    assert count_since(row, actor=people.radiologist) == 2
    monkeypatch.setattr("reporting.selectors.search.LOOKED_AT_MOST", 2)
    assert search_reports(asked, actor=people.radiologist, at_most=2) == []
