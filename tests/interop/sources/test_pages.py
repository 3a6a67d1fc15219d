"""Sources on their pages, over REST, in the administration and on the command line."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from interop.models import Source, SourceRow
from interop.sources.running import run_now
from interop.sources.secrets import secrets_of
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.core.cards import cards_of
from ris.core.permissions import IT_ADMIN, QA_LEAD, TECHNOLOGIST
from tests.factories.accounts import user_with_roles
from tests.interop.sources.redcap_server import TOKEN
from tests.interop.sources.test_redcap import row_of, visit

NAME = "Onlyhere"


def sign_in(client, *roles):
    client.force_login(user_with_roles(*roles), backend="ris.accounts.backends.PasswordBackend")
    return client


@pytest.fixture
def rows(source, redcap):
    redcap.put("SUBJ-0001", visit(last=NAME))
    redcap.put("SUBJ-0002", visit(last=NAME, dob="31.12.2001"))
    run_now(source)
    source.refresh_from_db()
    return source


def words_of(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def test_an_administrator_sees_states_runs_and_reasons_and_no_patient(tclient, rows, redcap):
    sign_in(tclient, IT_ADMIN)
    listed = words_of(tclient.get("/integrations/sources/"))
    assert "study" in listed and "Running" in listed and "1 rejected" in listed
    address = reverse("source", args=[rows.uuid])
    detail = words_of(tclient.get(address))
    assert "Birth date: This is no date" in detail and TOKEN not in detail
    bad = row_of("SUBJ-0002")
    masked = words_of(tclient.get(reverse("source_row", args=[bad.uuid])))
    for page in (listed, detail, masked, words_of(tclient.get(f"{address}?state=applied"))):
        assert NAME not in page and "SUBJ-0001" not in page and "SUBJ-0002" not in page
    assert tclient.post(reverse("source_row_open", args=[bad.uuid])).status_code == 403
    assert f"source:{rows.uuid}" in {card.key for card in cards_of(SYSTEM)}
    redcap.put("SUBJ-0001", visit(last="Changed", mri_time="16:00"))
    preview = words_of(tclient.post(reverse("source_preview", args=[rows.uuid])))
    assert "Date and time" in preview and "16:00" in preview and "Changed</" not in preview.replace(">Changed<", "")
    assert row_of("SUBJ-0001").procedure.order.patient.family_name == NAME
    redcap.trouble = "500"
    assert "answered 500" in words_of(tclient.post(reverse("source_preview", args=[rows.uuid])))


def test_who_may_open_messages_sees_a_row_and_is_recorded(tclient, rows):
    sign_in(tclient, QA_LEAD)
    page = words_of(tclient.post(reverse("source_row_open", args=[row_of("SUBJ-0002").uuid])))
    assert NAME in page and "SUBJ-0002" in page
    assert AuditEvent.objects.filter(event_type="interop.view_message", entity=row_of("SUBJ-0002").uuid).exists()
    assert tclient.post(reverse("source_action", args=[rows.uuid, "sync"])).status_code == 403
    sign_in(tclient, TECHNOLOGIST)
    assert tclient.get("/integrations/sources/").status_code == 403


def test_what_a_person_does_with_a_source(tclient, rows, redcap):
    sign_in(tclient, IT_ADMIN)
    verbs = {"sync": "being read", "test": "It answers", "off": "not read any more", "on": "read again"}
    for verb, words in verbs.items():
        answer = tclient.post(reverse("source_action", args=[rows.uuid, verb]), follow=True)
        assert words in answer.content.decode(), verb
    rows.refresh_from_db()
    assert rows.is_active and rows.next_run_at <= timezone.now() and rows.asked_by
    tclient.post(reverse("source_action", args=[rows.uuid, "read-again"]), {"since": ""})
    rows.refresh_from_db()
    assert rows.synced_until is None and run_now(rows).trigger == "person"
    tclient.post(reverse("source_row_again", args=[row_of("SUBJ-0002").uuid]))
    assert row_of("SUBJ-0002").retry_at <= timezone.now()
    assert tclient.post(reverse("source_action", args=[rows.uuid, "explode"])).status_code == 404
    exported = json.loads(tclient.get(reverse("source_export", args=[rows.uuid])).content)
    assert exported["format"] == "picha-source/1" and "secrets" not in exported and TOKEN not in str(exported)
    document = json.dumps({**exported, "name": "copy"})
    told = words_of(tclient.post("/integrations/sources/import/", {"text": document}))
    assert "Switched off until its credentials are entered" in told
    copy = Source.objects.get(name="copy")
    assert not copy.is_active and copy.mapping == rows.mapping and copy.config == rows.config
    again = words_of(tclient.post("/integrations/sources/import/", {"text": document}))
    assert "exists" in again and Source.objects.count() == 2


class Inputs(HTMLParser):
    """What the forms of a page hold, as a browser would send it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.data: dict[str, str] = {}
        self.area = self.chosen = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "input" and name and (given.get("type") not in ("checkbox", "radio") or "checked" in given):
            self.data[name] = given.get("value") or ("on" if "checked" in given else "")
        self.area = name if tag == "textarea" else ""
        self.chosen = name if tag == "select" else self.chosen
        if tag == "option" and "selected" in given:
            self.data[self.chosen] = given.get("value") or ""
        if tag == "textarea":
            self.data[name] = ""

    def handle_data(self, data: str) -> None:
        if self.area:
            self.data[self.area] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        self.area = ""


def form_of(tclient, address: str) -> dict[str, str]:
    return Inputs(words_of(tclient.get(address))).data


def test_a_source_is_made_and_changed_on_its_form(tclient, alpha, redcap_house):
    sign_in(tclient, IT_ADMIN)
    assert "Calpendo" in words_of(tclient.get("/integrations/sources/add/"))
    address = "/integrations/sources/add/?kind=redcap"
    data = form_of(tclient, address) | {
        "kind": "redcap", "name": "trial", "config_url": "not an address", "config_required": "mri_date\nmri_time",
        "secret_token": TOKEN, "opens_at": "22:00", "closes_at": "06:00", "is_active": "on",
    }  # fmt: skip
    refused = words_of(tclient.post(address, data))
    assert "An address like" in refused and "mri_date" in refused and TOKEN not in refused
    data["config_url"] = f"{redcap_house[1]}/api/"
    data["rule-0-pattern"], data["rule-0-group"] = "(a+)+", 1
    assert "Rule 1" in words_of(tclient.post(address, data))
    data["rule-0-pattern"], data["rule-0-group"], data["rule-0-values"] = "", "", "1=P1; 2=P2"
    assert tclient.post(address, data).status_code == 302
    made = Source.objects.get(name="trial")
    assert made.config["required"] == ["mri_date", "mri_time"] and secrets_of(made) == {"token": TOKEN}
    assert made.mapping[0]["values"] == {"1": "P1", "2": "P2"} and made.opens_at.hour == 22
    address = reverse("source_change", args=[made.uuid])
    data = form_of(tclient, address)
    assert TOKEN not in str(data)
    last = len(made.mapping)
    data |= {f"rule-{last}-target": "height_cm", f"rule-{last}-origin": "tall", f"rule-{last}-ORDER": "1"}
    assert tclient.post(address, data).status_code == 302
    made.refresh_from_db()
    assert {"target": "height_cm", "source": "tall"} in made.mapping and secrets_of(made) == {"token": TOKEN}
    with connection.cursor() as cursor:
        cursor.execute("select secrets from interop_source where id = %s", [made.pk])
        (stored,) = cursor.fetchone()
    assert stored and TOKEN not in stored and TOKEN not in str(made.history.first().__dict__)


def test_a_list_costs_a_fixed_number_of_queries(tclient, rows, redcap, django_assert_max_num_queries):
    sign_in(tclient, IT_ADMIN)
    address = reverse("source", args=[rows.uuid]) + "?state=applied"
    tclient.get(address)
    with django_assert_max_num_queries(40) as few:
        tclient.get(address)
    for number in range(12):
        redcap.put(f"M{number}", visit(last=f"More{number}"))
    run_now(rows)
    with django_assert_max_num_queries(len(few.captured_queries)):
        tclient.get(address)


def test_the_same_over_rest(api, rows, redcap, redcap_house):
    user = user_with_roles(IT_ADMIN)
    api.force_authenticate(user)
    base = f"/api/v1/sources/{rows.uuid}/"
    found = api.get("/api/v1/sources/").json()["results"]
    assert [one["name"] for one in found] == ["study"] and found[0]["credentials"] == ["token"]
    assert TOKEN not in str(found)
    assert api.get(f"{base}runs/").json()["results"][0]["created"] == 1
    (bad,) = api.get(f"{base}rows/?state=rejected").json()["results"]
    assert set(bad["reasons"]) == {"birth_date"} and NAME not in str(bad) and "SUBJ" not in str(bad)
    assert api.post(f"/api/v1/source-rows/{bad['id']}/again/").status_code == 202
    redcap.put("SUBJ-0001", visit(last="Other", mri_time="16:00"))
    seen = api.post(f"{base}preview/", {}, format="json").json()
    assert {one["what"] for one in seen["rows"]} == {"updated", "rejected"} and "Other" not in str(seen)
    assert api.post(f"{base}sync/", {}, format="json").status_code == 202
    assert "dob" in api.post(f"{base}test/").json()["fields_there"]
    changed = api.patch(base, {"interval_seconds": 900, "mapping": [{"target": "nowhere"}]}, format="json")
    assert changed.status_code == 400 and "mapping.1" in changed.json()["errors"]
    assert api.patch(base, {"interval_seconds": 900}, format="json").json()["interval_seconds"] == 900
    exported = api.get(f"{base}export/").json()
    done = api.post("/api/v1/sources/import/", {"document": {**exported, "name": "second"}}, format="json")
    assert done.status_code == 201 and done.json()[0]["source"]["is_active"] is False
    made = api.post(
        "/api/v1/sources/",
        {"name": "third", "kind": "redcap", "config": {"url": redcap_house[1]}, "secrets": {"token": "x" * 32}},
        format="json",
    )
    assert made.status_code == 201 and made.json()["is_active"] is True and "x" * 32 not in made.content.decode()
    redcap.trouble = "drop"
    assert api.post(f"{base}test/").status_code == 502
    api.force_authenticate(user_with_roles(TECHNOLOGIST))
    assert api.get("/api/v1/sources/").status_code == 403


def test_the_administration_is_a_door_to_the_same_service(tclient, rows):
    sign_in(tclient, IT_ADMIN)
    for name in ("source", "sourcerun", "sourcerow"):
        page = words_of(tclient.get(f"/admin/interop/{name}/"))
        assert NAME not in page and TOKEN not in page
    address = f"/admin/interop/source/{rows.pk}/change/"
    data = form_of(tclient, address)
    assert json.loads(data["mapping"]) == rows.mapping
    data["config"] = json.dumps({**rows.config, "batch": 7})
    data["credentials"] = json.dumps({"token": "y" * 32})
    assert tclient.post(address, data).status_code == 302
    rows.refresh_from_db()
    assert rows.config["batch"] == 7 and secrets_of(rows) == {"token": "y" * 32}
    data["mapping"] = json.dumps([{"target": "nowhere"}])
    answer = tclient.post(address, data)
    assert answer.status_code == 400 and "nowhere" in answer.content.decode()
    row = SourceRow.objects.filter(state="rejected").get()
    assert "Look at the row" in words_of(tclient.get(f"/admin/interop/sourcerow/{row.pk}/change/"))


def command(name: str, *arguments: str) -> dict:
    out = StringIO()
    call_command(name, *arguments, facility="alpha", stdout=out)
    return json.loads(out.getvalue())


def test_on_the_command_line(rows, redcap, tmp_path):
    redcap.put("SUBJ-0003", visit(last="Third"))
    seen = command("sync_sources", "study", "--dry-run")
    assert seen["sources"][0]["created"] == 1 and SourceRow.objects.count() == 2
    assert command("sync_sources")["sources"][0]["created"] == 1
    file = tmp_path / "copy.json"
    file.write_text(json.dumps({"format": "picha-source/1", "name": "copy", "kind": "redcap", "config": rows.config}))
    (done,) = command("import_sources", str(file))["sources"]
    assert done["created"] and not done["is_active"] and done["notes"]
