"""The reading list through page, REST and administration: the same rights, the same facility, a fixed cost."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from orders.models import RequestedProcedure
from reporting import services
from reporting.models import ReaderProfile, ReadingGroup, ReadingItem, ReadingLock, ReadingReturn, SavedList, SlaTarget
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.core.errors import DomainError
from ris.tenants.context import use_facility
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import drafted, make_patient, make_procedure
from tests.reporting.test_reading_list import place_of, placed

pytestmark = pytest.mark.django_db
API = "/api/v1/reading-list/"


def browser(actor: Any) -> Client:
    client = Client(HTTP_HOST="alpha.test", HTTP_ACCEPT="text/html")
    client.force_login(actor.user, backend="ris.accounts.backends.PasswordBackend")
    session = client.session
    session["authenticated_at"] = session["seen_at"] = time.time()
    session.save()
    return client


def program(actor: Any) -> APIClient:
    client = APIClient(HTTP_HOST="alpha.test")
    client.force_authenticate(actor.user)
    return client


def address(procedure: Any, verb: str) -> str:
    return f"/reading/exams/{procedure.uuid}/{verb}/"


# --- page


def test_what_the_row_offers_is_done(people: Any) -> None:
    reader, procedure = browser(people.radiologist), placed()
    reader.post(address(procedure, "claim"), {"query": "modality=CT"})
    assert place_of(procedure).assigned_to == people.radiologist.user
    page = reader.get("/reading/").content.decode()
    assert "For you" in page and address(procedure, "release") in page
    reader.post(address(procedure, "release"))
    choice = reader.get(address(procedure, "assign")).content.decode()
    assert "Asha Chebet" in choice and "0 waiting" in choice and "OTIENO" in choice
    answer = reader.post(
        address(procedure, "assign"), {"to": f"user:{people.resident.user.uuid}", "query": "priority=stat"}
    )
    assert (answer.url, place_of(procedure).assigned_to) == ("/reading/?priority=stat", people.resident.user)
    assert reader.post(address(procedure, "assign"), {"to": "user:nobody"}).status_code == 400
    assert "console" in reader.get(address(procedure, "send-back")).content.decode()
    assert reader.post(address(procedure, "send-back"), {"reason": "quality"}).status_code == 400
    reader.post(address(procedure, "send-back"), {"reason": "quality", "text": "Motion, please repeat."})
    assert ReadingReturn.objects.get().procedure == procedure
    console = browser(actor_with_roles("technologist")).get(f"/console/{procedure.uuid}/")
    assert "Motion, please repeat." in console.content.decode()


def test_a_batch_on_the_page(people: Any) -> None:
    reader, good, held = browser(people.radiologist), placed(), placed()
    services.open_report([held], actor=people.other)
    answer = reader.post("/reading/batch/", {"do": "claim", "procedure": [good.uuid, held.uuid]})
    words = answer.content.decode()
    assert answer.status_code == 409 and "1 of 2 done" in words and "Asha Mutua reads this exam" in words
    assert reader.post("/reading/batch/", {"do": "priority", "priority": "stat", "procedure": good.uuid}).url
    assert place_of(good).minutes == 30
    assert reader.post("/reading/batch/", {"do": "claim", "procedure": uuid4()}).status_code == 404


def test_find_looks_through_all_pages_and_names_stay_out_of_addresses(people: Any) -> None:
    reader = browser(people.radiologist)
    make_procedure(patient=make_patient("KIPLAGAT"))
    make_procedure(patient=make_patient("HASSAN"), modality="MR")
    found = reader.post("/reading/find/", {"words": "kipl", "query": ""}).content.decode()
    assert "KIPLAGAT" in found and "HASSAN" not in found and "1 exam found" in found
    assert "KIPLAGAT" not in reader.post("/reading/find/", {"words": "kipl", "query": "modality=MR"}).content.decode()
    assert reader.post("/reading/find/", {"words": " ", "query": "modality=MR"}).url == "/reading/?modality=MR"
    assert reader.get("/reading/find/").status_code == 405


def test_lists_are_kept_changed_shared_moved_and_columns_hidden(people: Any) -> None:
    reader = browser(people.radiologist)
    reader.post("/reading/lists/", {"name": "Night", "query": "modality=CT"})
    row = SavedList.objects.get()
    base = f"/reading/lists/{row.uuid}/"
    reader.post(base, {"name": "Night CT"})
    reader.post(f"{base}share/", {"with": "resident"})
    reader.post(f"{base}move/", {"to": "up"})
    assert "Night CT" in browser(people.resident).get("/reading/").content.decode()
    assert browser(people.resident).post(base, {"name": "Mine"}).status_code == 404
    assert "Night CT" in reader.get(f"/reading/?modality=CT&list={row.uuid}").content.decode()
    reader.post("/reading/columns/", {"column": ["images", "status", "flags", "priority"]})
    assert ReaderProfile.objects.get().hidden_columns == ["question", "priors"]
    assert 'rd-table no-question no-priors"' in reader.get("/reading/").content.decode()


def test_signing_goes_on_with_the_next_of_the_same_list(people: Any) -> None:
    reader = browser(people.radiologist)
    first, other, second = (placed(modality=code, minutes_ago=age) for code, age in (("CT", 90), ("MR", 80), ("CT", 9)))
    opened = reader.post("/reading/open/", {"procedure": first.uuid, "query": "modality=CT"}).url
    signed = reader.post(f"{opened}sign/", {"section-impression": "Normal.", "section-findings": "x", "then": "next"})
    lock = ReadingLock.objects.get()
    assert (lock.procedure, signed.url) == (second, f"/reports/{second.reports.get().uuid}/")
    last = reader.post(f"{signed.url}sign/", {"section-impression": "Normal.", "section-findings": "x", "then": "next"})
    assert last.url == "/reading/?modality=CT"
    assert RequestedProcedure.objects.get(pk=other.pk).status == "ready_to_read"


def test_stat_outside_the_filter_is_never_hidden_by_it(people: Any) -> None:
    reader = browser(people.radiologist)
    first = reader.get("/reading/rows/?modality=MR")
    make_procedure(priority="stat")
    assert "1 STAT outside this list" in reader.get("/reading/?modality=MR").content.decode()
    answer = reader.get("/reading/rows/?modality=MR", headers={"If-None-Match": first["ETag"]})
    assert answer.status_code == 200 and "1 STAT outside this list" in answer.content.decode()
    assert "outside this list" not in reader.get("/reading/").content.decode()


def test_who_does_not_read_sees_and_does_nothing(people: Any) -> None:
    procedure = placed()
    for role in ("clerk", "technologist", "referring_physician", "it_admin", "qa_lead"):
        actor = actor_with_roles(role)
        client, rest = browser(actor), program(actor)
        assert client.get("/reading/").status_code == 403
        for verb in ("claim", "release", "assign", "send-back", "ask"):
            assert client.post(address(procedure, verb)).status_code == 403, (role, verb)
            assert rest.post(f"{API}{procedure.uuid}/{verb}/").status_code == 403, (role, verb)
        for url in ("/reading/batch/", "/reading/find/", "/reading/columns/", "/reading/lists/", "/reading/next/"):
            assert client.post(url).status_code == 403, (role, url)
        assert place_of(procedure).assigned_to is None


def test_another_facilitys_exams_and_lists_are_unknown(people: Any, beta: Any) -> None:
    with use_facility(beta):
        foreign = placed(patient=make_patient("ONLYINBETA"))
        shared = SavedList.objects.create(name="Betas list", query={}, is_shared=True)
    reader, rest = browser(people.radiologist), program(people.radiologist)
    for verb in ("claim", "release", "assign", "send-back", "ask"):
        assert reader.post(address(foreign, verb)).status_code == 404, verb
        body = {"reason": "quality", "text": "x"}
        assert rest.post(f"{API}{foreign.uuid}/{verb}/", body, format="json").status_code == 404, verb
    assert reader.post("/reading/batch/", {"do": "claim", "procedure": foreign.uuid}).status_code == 404
    assert rest.get(f"/api/v1/reading-lists/{shared.uuid}/").status_code == 404
    page = reader.get("/reading/").content.decode()
    assert "ONLYINBETA" not in page and "Betas list" not in page
    assert rest.post(f"{API}why/", {"accession_number": foreign.accession_number}).json()["code"] == "unknown"


# --- REST and administration


def test_the_list_over_rest(people: Any) -> None:
    rest, procedure = program(people.radiologist), placed(priority="stat", minutes_ago=5)
    answer = rest.get(API)
    row = answer.json()["results"][0]
    assert (row["assigned_to"], row["group"], row["minutes_left"]) == (None, None, 25)
    assert rest.get(API, headers={"If-None-Match": answer["ETag"]}).status_code == 304
    one = f"{API}{procedure.uuid}/"
    assert rest.post(f"{one}claim/").json()["assigned_to"] == str(people.radiologist.user.uuid)
    assert rest.get(API, headers={"If-None-Match": answer["ETag"]}).status_code == 200
    assert rest.get(API, {"assigned": "me"}).json()["results"][0]["id"] == str(procedure.uuid)
    assert rest.post(f"{one}release/").json()["assigned_to"] is None
    user = str(people.other.user.uuid)
    assert rest.post(f"{one}assign/", {"user": user}, format="json").json()["assigned_to"] == user
    assert rest.post(f"{one}assign/", {"user": str(uuid4())}, format="json").status_code == 400
    assert rest.post(f"{one}ask/").status_code == 409
    batch = {"procedures": [str(procedure.uuid)], "verb": "assign", "group": ""}
    assert rest.post(f"{API}batch/", batch, format="json").json()[0]["is_done"] is True
    why = rest.post(f"{API}why/", {"accession_number": procedure.accession_number, "filters": {"modality": ["MR"]}},
                    format="json").json()  # fmt: skip
    assert (why["code"], why["hidden_by"]) == ("filtered", ["Modality: MR"])
    report = rest.post(f"{API}next/", {"filters": {"priority": ["stat"]}}, format="json").json()
    assert report["procedures"] == [str(procedure.uuid)]
    assert rest.post(f"{API}next/", format="json").status_code == 404
    sent = rest.post(f"{one}send-back/", {"reason": "missing", "text": "Lateral view?"}, format="json").json()
    assert (sent["reason"], sent["closed_at"]) == ("missing", None)
    assert rest.get(API).json()["results"] == []


def test_lists_over_rest(people: Any) -> None:
    rest, other = program(people.radiologist), program(people.other)
    placed()
    made = rest.post("/api/v1/reading-lists/", {"name": "CT", "filters": {"modality": ["CT"]}}, format="json").json()
    one = f"/api/v1/reading-lists/{made['id']}/"
    assert other.get(one).status_code == 404
    assert rest.post(f"{one}share/", {"is_shared": True}, format="json").json()["is_shared"] is True
    shown = other.get("/api/v1/reading-lists/").json()["results"][0]
    assert (shown["count"], shown["is_own"], shown["filters"]) == (1, False, {"modality": ["CT"]})
    assert other.patch(one, {"name": "x"}, format="json").status_code == 403
    assert rest.patch(one, {"name": "CT all"}, format="json").json()["name"] == "CT all"
    assert rest.post(f"{one}move/", {"up": True}, format="json").status_code == 200
    assert rest.delete(one).status_code == 204 and SavedList.objects.count() == 0


def test_the_administrator_sets_times_and_groups(people: Any) -> None:
    manager = actor_with_roles("it_admin")
    rest, desk, procedure = program(manager), browser(manager), placed()
    made = rest.post("/api/v1/report-times/", {"modality": "CT", "minutes": 77}, format="json")
    assert made.status_code == 201 and place_of(procedure).minutes == 1440
    exact = {"priority": "routine", "patient_class": "", "modality": "CT", "minutes": 60, "is_active": "on"}
    assert desk.post("/admin/reporting/slatarget/add/", exact).status_code == 302
    assert place_of(procedure).minutes == 60
    row = SlaTarget.objects.get(minutes=77)
    changed = rest.patch(f"/api/v1/report-times/{row.uuid}/", {"minutes": 66}, format="json")
    assert (changed.json()["minutes"], changed.json()["modality"]) == (66, "CT")
    body = {"code": "chest", "name": "Chest", "body_regions": ["chest"], "members": [str(people.other.user.uuid)]}
    group = rest.post("/api/v1/reading-groups/", body, format="json").json()
    assert place_of(procedure).group.code == "chest"
    form = {"code": "chest", "name": "Thorax", "position": 1, "modalities": ["CT"], "assigns": "", "is_active": "on"}
    key = ReadingGroup.objects.get(uuid=group["id"]).pk
    assert desk.post(f"/admin/reporting/readinggroup/{key}/change/", form).status_code == 302
    assert (place_of(procedure).group.name, list(place_of(procedure).group.members.all())) == ("Thorax", [])
    assert desk.post("/admin/reporting/readerprofile/add/", {"user": people.other.user.pk, "most_at_once": 5}).url
    assert ReaderProfile.objects.get().most_at_once == 5
    for denied in ("report-times", "reading-groups"):
        assert program(people.radiologist).get(f"/api/v1/{denied}/").status_code == 403


def test_the_administration_is_a_second_door(people: Any) -> None:
    desk, procedure = browser(people.radiologist), placed()
    place = place_of(procedure)

    def act(name: str, **data: Any) -> None:
        body = {"action": f"do_{name}", "_selected_action": place.pk, "_confirmed": "1", **data}
        assert desk.post("/admin/reporting/readingitem/", body).status_code == 302

    act("claim_place")
    assert place_of(procedure).assigned_to == people.radiologist.user
    act("release_place")
    act("assign_place", to=people.other.user.pk)
    assert place_of(procedure).assigned_to == people.other.user
    act("open_place")
    assert ReadingLock.objects.get().user == people.radiologist.user
    act("send_place_back", reason="other", text="Please call me.")
    assert ReadingReturn.objects.get().text == "Please call me."
    for model in ("readingitem", "readingreturn", "savedlist"):
        assert desk.get(f"/admin/reporting/{model}/").status_code == 200, model
    made = desk.post("/admin/reporting/savedlist/add/", {"name": "CT", "query": '{"modality": ["CT", "??"]}'})
    assert made.status_code == 302 and SavedList.objects.get().query == {"modality": ["CT"]}


# --- cost


def test_the_page_costs_the_same_for_many(people: Any) -> None:
    reader = browser(people.radiologist)

    def cost(url: str) -> int:
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            assert reader.get(url).status_code == 200
        return len(queries)

    def fill(count: int) -> None:
        for number in range(count):
            row = placed(images=2, priority=("stat", "routine")[number % 2], patient=make_patient())
            if number % 3 == 0:
                services.assign_exam(row, to=people.other.user, quiet=True, actor=people.radiologist)

    urls = ("/reading/", "/reading/rows/", "/", "/reading/?modality=CT&assigned=suits")
    fill(2)
    drafted(placed(), actor=people.other)
    few = [cost(url) for url in urls]
    fill(7)
    drafted(placed(), actor=people.resident)
    assert [cost(url) for url in urls] == few
    assert few[0] <= 45 and few[1] <= 25


# --- races


def race(count: int, act: Any) -> list[Any]:
    """``act(number)`` in so many threads at once; what each answers, or the refusal it meets."""
    gate, answers = threading.Barrier(count), [None] * count

    def run(number: int) -> None:
        try:
            with use_facility("alpha"):
                gate.wait(20)
                answers[number] = act(number)
        except DomainError as refusal:
            answers[number] = refusal
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


@pytest.mark.django_db(transaction=True)
def test_who_press_next_at_once_get_different_exams(people: Any) -> None:
    readers = [actor_with_roles("radiologist") for _n in range(6)]
    exams = {placed(minutes_ago=age, patient=make_patient()).pk for age in (50, 40, 30, 20, 10)}
    answers = race(6, lambda number: services.open_next(actor=readers[number]).first_procedure.pk)
    opened = [answer for answer in answers if not isinstance(answer, DomainError)]
    assert sorted(opened) == sorted(exams)
    assert [answer.code for answer in answers if isinstance(answer, DomainError)] == ["not_known"]
    assert ReadingLock.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_of_racing_claims_and_takeovers_one_wins_and_the_others_are_told(people: Any) -> None:
    readers = [actor_with_roles("radiologist", family_name=f"Racer{n}") for n in range(6)]
    procedure = placed()
    answers = race(6, lambda number: services.open_report([procedure], actor=readers[number]).pk)
    winner = ReadingLock.objects.get().user
    refusals = [answer for answer in answers if isinstance(answer, DomainError)]
    assert len(refusals) == 5 and all(winner.display_name in refusal.detail for refusal in refusals)
    report = procedure.reports.get()
    race(6, lambda number: services.take_over(report, reason=f"race {number}", actor=readers[number]))
    assert ReadingLock.objects.count() == 1
    last = AuditEvent.objects.filter(event_type="reporting.take_over", action="E").order_by("-pk").first()
    assert last.detail["to"] == str(ReadingLock.objects.get().user.uuid)
    assert ReadingItem.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_images_that_complete_twice_at_once_make_one_place(people: Any) -> None:
    procedure = make_procedure()
    race(4, lambda _number: services.place_on_list(procedure, actor=SYSTEM).pk)
    assert ReadingItem.objects.filter(procedure=procedure).count() == 1
