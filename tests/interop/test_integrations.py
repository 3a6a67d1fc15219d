"""The integrations page, REST and the administration: who sees what, masked until opened, actions by the services."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from interop.hl7 import services
from interop.hl7.intake import Door, receive
from interop.hl7.receiver import Receiver
from interop.models import Hl7Destination, InboundMessage, OutboundMessage
from reporting.models import DeliveryRule
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.core.permissions import CLERK, IT_ADMIN, QA_LEAD, RADIOLOGIST
from ris.tenants.context import use_facility
from ris.tenants.models import MLLPReceiver
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.reporting import make_patient, make_procedure, signed
from tests.interop.hl7.conftest import Client, message, order, pid

NAME = "Mwendwa"
#: of a page of the monitor, with its cards, panels and menus
MOST_QUERIES = 40


@pytest.fixture
def rows(alpha, dispatch):
    """One message in, one parked and one waiting out."""
    receive(message("ADT^A04", pid("P-7788", family=NAME)), Door(2575, "127.0.0.1"))
    receive(order("A1", "ODD^Odd view^99X", patient=pid("P-7788", family=NAME)), Door(2575, "127.0.0.1"))
    receive(message("ADT^A99", pid("P-7788", family=NAME)), Door(2575, "127.0.0.1"))
    services.allow_host("127.0.0.1", actor=SYSTEM)
    reader = actor_with_roles(RADIOLOGIST)
    with Receiver(answers=["AR"], otherwise="AE") as receiver:
        services.add_destination(
            name="his", host="127.0.0.1", port=receiver.port, messages=["ORU"], ack_timeout_seconds=2, actor=SYSTEM
        )
        for _number in range(2):
            signed(make_procedure(patient=make_patient(NAME)), actor=reader)
        dispatch()
    return OutboundMessage.objects.order_by("pk")


def sign_in(client, *roles):
    client.force_login(user_with_roles(*roles), backend="ris.accounts.backends.PasswordBackend")
    return client


def test_the_page_shows_state_and_masks_patients(tclient, rows):
    page = sign_in(tclient, IT_ADMIN).get("/integrations/")
    words = page.content.decode()
    assert page.status_code == 200
    assert "Parked 1" in words and "his" in words and "RIS|ALPHA" in words and "AR" in words
    assert NAME not in words and NAME.upper() not in words and "P-7788" not in words
    came = tclient.get("/integrations/?direction=in").content.decode()
    assert "•••• 7788" in came and "Waits for a code" in came and NAME not in came
    only = tclient.get("/integrations/?direction=in&status=unmapped").content.decode()
    assert only.count("data-href") == 1


def queries_of(client, address):
    """Without those that look up whose house it is: they are remembered for a time, not for a number of pages."""
    with CaptureQueriesContext(connection) as asked:
        assert client.get(address).status_code == 200
    return [row["sql"] for row in asked if "search_path" not in row["sql"] and "tenants_domain" not in row["sql"]]


def test_a_list_costs_a_fixed_number_of_queries(tclient, rows):
    sign_in(tclient, IT_ADMIN)
    tclient.get("/integrations/")
    assert len(queries_of(tclient, "/integrations/")) <= MOST_QUERIES
    receive(message("ADT^A04", pid("Q99")), Door(2575, "127.0.0.1"))  # something waits to be handed out
    few = queries_of(tclient, "/integrations/?direction=in")
    assert len(few) <= MOST_QUERIES
    for number in range(15):
        receive(message("ADT^A04", pid(f"Q{number}")), Door(2575, "127.0.0.1"))
    assert len(queries_of(tclient, "/integrations/?direction=in")) == len(few)


def test_a_message_is_masked_until_it_is_opened_and_opening_is_recorded(tclient, rows):
    row = InboundMessage.objects.filter(message_type="ADT^A04").get()
    url = reverse("message_detail", args=[row.uuid])
    admin = sign_in(tclient, IT_ADMIN)
    shown = admin.get(url).content.decode()
    assert "ADT^A04" in shown and NAME not in shown and "P-7788" not in shown and "Process again" in shown
    assert admin.post(f"{url}open/").status_code == 403
    lead = sign_in(tclient, QA_LEAD)
    assert NAME not in lead.get(url).content.decode()
    opened = lead.post(f"{url}open/").content.decode()
    assert NAME in opened and "P-7788" in opened
    recorded = AuditEvent.objects.filter(event_type="interop.view_message", entity=row.uuid, patient=row.patient)
    assert recorded.exists()
    assert lead.get(f"{url}open/").status_code == 405


def test_people_without_the_right_see_nothing(tclient, rows):
    clerk = sign_in(tclient, CLERK)
    assert clerk.get("/integrations/").status_code == 403
    row = rows.first()
    assert clerk.get(reverse("message_detail", args=[row.uuid])).status_code == 403
    assert clerk.post(reverse("message_action", args=[row.uuid, "park"])).status_code == 403


def test_actions_on_the_page(tclient, rows):
    parked, waiting = rows
    admin = sign_in(tclient, IT_ADMIN)
    assert admin.post(reverse("message_action", args=[waiting.uuid, "park"])).status_code == 302
    waiting.refresh_from_db()
    assert waiting.status == "parked"
    assert admin.post(reverse("message_action", args=[parked.uuid, "send-again"])).status_code == 302
    parked.refresh_from_db()
    assert parked.status == "pending"
    assert admin.post(reverse("message_action", args=[waiting.uuid, "skip"]), {"reason": "by paper"}).status_code == 302
    waiting.refresh_from_db()
    assert (waiting.status, waiting.last_error) == ("cancelled", "by paper")
    came = InboundMessage.objects.get(message_type="ADT^A04")
    assert admin.post(reverse("message_action", args=[came.uuid, "process-again"])).status_code == 302
    assert admin.post(reverse("message_action", args=[came.uuid, "park"])).status_code == 404
    destination = Hl7Destination.objects.get()
    admin.post(reverse("destination_action", args=[destination.uuid, "pause"]))
    destination.refresh_from_db()
    assert destination.is_paused
    assert admin.post(reverse("destination_action", args=[destination.uuid, "explode"])).status_code == 404


def test_a_message_is_found_by_its_number_and_the_number_stays_out_of_the_address(tclient, rows):
    admin = sign_in(tclient, IT_ADMIN)
    row = rows.first()
    found = admin.post("/integrations/find/", {"q": row.accession_number})
    assert found.status_code == 302 and str(row.uuid) in found["Location"]
    assert row.accession_number not in found["Location"]
    assert admin.post("/integrations/find/", {"q": "nothing"}).status_code == 200


def test_rest_lists_and_opens_as_rights_allow(api, rows):
    api.force_authenticate(user_with_roles(IT_ADMIN))
    answer = api.get("/api/v1/messages/").json()
    assert set(answer) == {"results", "next", "previous"}
    assert [row["status"] for row in answer["results"]] == ["pending", "parked"]
    assert all(row["raw"] is None for row in answer["results"]) and NAME.upper() not in json.dumps(answer).upper()
    came = api.get("/api/v1/messages/?direction=in&status=unmapped").json()["results"]
    assert [row["message_type"] for row in came] == ["ORM^O01"]
    assert api.get("/api/v1/messages/?status=nonsense").status_code == 400
    one = api.get(f"/api/v1/messages/{came[0]['id']}/").json()
    assert one["raw"] is None and one["partner"] == "HIS|CLINIC"
    api.force_authenticate(user_with_roles(IT_ADMIN, QA_LEAD))
    assert api.get(f"/api/v1/messages/{came[0]['id']}/").json()["raw"] is None
    api.force_authenticate(user_with_roles(CLERK))
    assert api.get("/api/v1/messages/").status_code == 403


def test_rest_replays_and_parks(api, rows):
    parked, waiting = rows
    api.force_authenticate(user_with_roles(IT_ADMIN))
    assert api.post(f"/api/v1/messages/{parked.uuid}/replay/").json()["status"] == "pending"
    assert api.post(f"/api/v1/messages/{waiting.uuid}/park/", {"reason": "wait"}).json()["status"] == "parked"
    came = InboundMessage.objects.get(message_type="ADT^A04")
    assert api.post(f"/api/v1/messages/{came.uuid}/replay/").json()["status"] == "processed"
    assert api.post(f"/api/v1/messages/{came.uuid}/park/").status_code == 404
    (destination,) = api.get("/api/v1/hl7-destinations/").json()["results"]
    assert api.post(f"/api/v1/hl7-destinations/{destination['id']}/pause/").json()["is_paused"] is True
    receivers = api.get("/api/v1/hl7-receivers/").json()["results"]
    assert [row["receiving_facility"] for row in receivers] == ["ALPHA"]


def test_other_facilities_messages_do_not_exist_here(api, tclient, rows, beta):
    with use_facility(beta):
        receive(message("ADT^A04", pid("B1"), to="RIS|BETA"), Door(2575, "127.0.0.1"))
        foreign = InboundMessage.objects.get().uuid
    api.force_authenticate(user_with_roles(IT_ADMIN))
    assert api.get(f"/api/v1/messages/{foreign}/").status_code == 404
    assert api.post(f"/api/v1/messages/{foreign}/replay/").status_code == 404
    assert sign_in(tclient, IT_ADMIN).get(reverse("message_detail", args=[foreign])).status_code == 404


def test_the_administration_shows_no_content_and_only_own_receivers(tclient, rows):
    admin = sign_in(tclient, IT_ADMIN)
    row = InboundMessage.objects.get(message_type="ADT^A04")
    for url in (
        "/admin/interop/inboundmessage/", f"/admin/interop/inboundmessage/{row.pk}/change/",
        "/admin/interop/outboundmessage/", f"/admin/interop/outboundmessage/{rows.first().pk}/change/",
        "/admin/interop/hl7destination/", "/admin/interop/hl7destination/add/",
    ):  # fmt: skip
        page = admin.get(url)
        assert page.status_code == 200, url
        assert NAME not in page.content.decode() and NAME.upper() not in page.content.decode()
    words = admin.get("/admin/tenants/mllpreceiver/").content.decode()
    assert "RIS|ALPHA" in words and "RIS|BETA" not in words
    foreign = MLLPReceiver.objects.get(receiving_facility="BETA")
    assert admin.get(f"/admin/tenants/mllpreceiver/{foreign.pk}/change/").status_code in (302, 404)


def test_a_destination_made_in_the_administration_gets_its_delivery_rule(tclient, alpha):
    admin = sign_in(tclient, IT_ADMIN)
    values = {
        "name": "pacs", "host": "10.0.0.9", "port": "2575", "messages": "ORU", "hl7_version": "2.5.1",
        "character_set": "UNICODE UTF-8", "ack_timeout_seconds": "20", "is_active": "on",
        "acknowledgement_mode": "original", "alert_after_minutes": "15", "filters": '{"modality": ["CT"]}',
        "field_map": "[]", "order_states": "{}",
    }  # fmt: skip
    assert admin.post("/admin/interop/hl7destination/add/", values).status_code == 302
    assert DeliveryRule.objects.get(channel="hl7").destination == "pacs"
    refused = admin.post(
        "/admin/interop/hl7destination/add/", {**values, "name": "other", "ack_timeout_seconds": "9999"}
    )
    assert "Between 1 and 300" in refused.content.decode()
    assert not Hl7Destination.objects.filter(name="other").exists()


def test_commands_answer_json_and_may_be_repeated(alpha, beta, capsys):
    def run(*arguments):
        answer = call_command(*arguments)
        return json.loads(answer)

    arguments = ("add_hl7_destination", "--facility", "alpha", "--name", "his", "--host", "127.0.0.1", "--port", "2600")
    first = run(*arguments, "--messages", "ORU")
    assert first["created"] and first["messages"] == ["ORU"] and first["allowed_hosts"] == ["127.0.0.1"]
    assert run(*arguments, "--messages", "ORU", "ORR")["messages"] == ["ORR", "ORU"]
    assert DeliveryRule.objects.filter(channel="hl7", destination="his").count() == 1
    receiver = ("add_receiver", "--facility", "alpha", "--application", "RIS", "--facility-name", "WARD")
    assert run(*receiver, "--address", "10.1.2.3")["addresses"] == ["10.1.2.3/32"]
    assert run(*receiver, "--address", "10.2.0.0/16")["addresses"] == ["10.1.2.3/32", "10.2.0.0/16"]
    with pytest.raises(CommandError, match="another facility"):
        run("add_receiver", "--facility", "alpha", "--application", "RIS", "--facility-name", "BETA")
    with pytest.raises(CommandError):
        run("add_receiver", "--facility", "alpha", "--application", "RIS", "--facility-name", "X", "--address", "here")
    with pytest.raises(CommandError):
        run("add_receiver", "--facility", "alpha")


def test_the_stand_in_receiver_writes_what_comes(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output, answers = tmp_path / "came.jsonl", []

    def send() -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                client = Client(port)
                break
            except OSError:
                time.sleep(0.05)
        answers.extend(client.ask(message("ADT^A04", pid(), control_id=f"L{number}")).code for number in range(2))

    sender = threading.Thread(target=send)
    sender.start()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        call_command("listen_hl7", "--port", str(port), "--output", str(output), "--answer", "AE", "--count", "2")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    sender.join(10)
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert answers == ["AE", "AA"]
    assert [(line["control_id"], line["answer"], line["type"]) for line in lines] == [
        ("L0", "AE", "ADT^A04"),
        ("L1", "AA", "ADT^A04"),
    ]


def test_rest_opens_for_a_purpose_searches_edits_and_replays_a_range(api, rows, dispatch):
    parked, _waiting = rows
    api.force_authenticate(user_with_roles(QA_LEAD))
    masked = api.get(f"/api/v1/messages/{parked.uuid}/").json()
    assert masked["raw"] is None and NAME.upper() not in json.dumps(masked).upper()
    assert [row["code"] for row in masked["tries"]] == ["AR"]
    assert api.post(f"/api/v1/messages/{parked.uuid}/open/", {"purpose": "fun"}).status_code == 400
    opened = api.post(f"/api/v1/messages/{parked.uuid}/open/", {"purpose": "fault"}).json()
    assert NAME.upper() in opened["raw"].upper() and not any(row["is_masked"] for row in opened["fields"])
    audit = AuditEvent.objects.filter(event_type="interop.view_message", entity=parked.uuid, action="R")
    assert "fault" in [row.detail.get("purpose") for row in audit]
    found = api.post("/api/v1/messages/search/", {"q": "p-7788"}).json()["results"]
    assert {row["direction"] for row in found} == {"in"} and len(found) >= 2
    assert api.post("/api/v1/messages/search/", {"q": parked.control_id}).json()["results"][0]["id"] == str(parked.uuid)
    text = opened["raw"].replace("\r", "\n")
    assert api.post(f"/api/v1/messages/{parked.uuid}/edit/", {"text": "no", "reason": "x"}).status_code == 400
    edited = api.post(f"/api/v1/messages/{parked.uuid}/edit/", {"text": text, "reason": "as before"}).json()
    assert (edited["status"], edited["origin"], len(edited["originals"])) == ("pending", "edit", 1)
    assert api.post(f"/api/v1/messages/{parked.uuid}/replay/").status_code == 403

    api.force_authenticate(user_with_roles(IT_ADMIN))
    assert api.post("/api/v1/messages/search/", {"q": "P-7788"}).json()["results"] == [], "no look-up by number"
    assert api.post(f"/api/v1/messages/{parked.uuid}/open/", {"purpose": "fault"}).status_code == 403
    assert api.post(f"/api/v1/messages/{parked.uuid}/park/").json()["status"] == "parked"
    assert api.post(f"/api/v1/messages/{parked.uuid}/from-here/").json() == {"queued": 1}
    assert api.post(f"/api/v1/messages/{parked.uuid}/skip/", {"reason": "by paper"}).json()["status"] == "cancelled"
    (destination,) = api.get("/api/v1/hl7-destinations/").json()["results"]
    url = f"/api/v1/hl7-destinations/{destination['id']}/"
    span = {"since": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}
    assert api.post(f"{url}replay-range/", span, format="json").json() == {"count": 0, "queued": 0}
    wrong = api.post(f"{url}replay-range/", {**span, "expected": 3, "reason": "x"}, format="json")
    assert wrong.status_code == 409
    assert api.post(f"{url}test/").json()["is_reached"] is False


def test_rest_makes_and_changes_a_destination(api, alpha):
    api.force_authenticate(user_with_roles(IT_ADMIN))
    wanted = {
        "name": "pacs", "host": "10.0.0.9", "port": 2575, "messages": ["ORM", "ADT"], "filters": {"modality": ["CT"]},
        "field_map": [{"field": "PID-13", "drop": True}], "acknowledgement_mode": "both", "alert_after_minutes": 5,
    }  # fmt: skip
    made = api.post("/api/v1/hl7-destinations/", wanted, format="json")
    assert made.status_code == 201 and made.json()["filters"] == {"modality": ["CT"]}
    assert api.post("/api/v1/hl7-destinations/", wanted, format="json").status_code == 409
    url = f"/api/v1/hl7-destinations/{made.json()['id']}/"
    changed = api.patch(url, {"port": 2576, "order_states": {"arrived": ""}}, format="json").json()
    assert (changed["port"], changed["messages"], changed["order_states"]) == (2576, ["ADT", "ORM"], {"arrived": ""})
    refused = api.patch(url, {"field_map": [{"field": "MSH-10", "set": "1"}]}, format="json")
    assert refused.status_code == 400 and "field_map" in refused.json()["errors"]
    paused = api.post(f"{url}pause/", {"reason": "upgrade"}, format="json").json()
    assert (paused["is_paused"], paused["paused_reason"]) == (True, "upgrade")


def test_pages_make_change_test_and_replay(tclient, rows):
    admin = sign_in(tclient, IT_ADMIN)
    destination = Hl7Destination.objects.get()
    url = reverse("destination_edit", args=[destination.uuid])
    form = {
        "name": "his", "host": "127.0.0.1", "port": "2575", "messages": "ORU, ADT", "hl7_version": "2.4",
        "character_set": "8859/1", "acknowledgement_mode": "commit", "ack_timeout_seconds": "9", "is_active": "on",
        "alert_after_minutes": "30", "field_map": '[{"field": "PID-3.4", "from": "TEST", "to": "HIS"}]',
        "filters": "", "order_states": "{}",
    }  # fmt: skip
    assert "field_map" in admin.get(url).content.decode()
    assert admin.post(url, form).status_code == 302
    destination.refresh_from_db()
    assert (destination.hl7_version, destination.messages, destination.field_map[0]["to"]) == (
        "2.4",
        ["ADT", "ORU"],
        "HIS",
    )
    refused = admin.post(url, {**form, "field_map": '[{"field": "PID-3.4"}]'}).content.decode()
    assert "it needs one of" in refused
    new = reverse("destination_new")
    assert "There is a destination" in admin.post(new, form).content.decode()
    assert admin.post(new, {**form, "name": "pacs"}).status_code == 302
    tested = admin.post(reverse("destination_action", args=[destination.uuid, "test"]), follow=True)
    assert "refused" in tested.content.decode()
    span = {"destination": "his", "since": "2020-01-01T00:00", "until": "2100-01-01T00:00", "reason": "lost"}
    replay = reverse("integrations_replay")
    assert "Send 1 message again" in admin.post(replay, span).content.decode()
    assert admin.post(replay, {**span, "expected": "1"}).status_code == 302
    rows.first().refresh_from_db()
    assert OutboundMessage.objects.filter(status="parked").count() == 0
    assert admin.post(replay, {**span, "expected": "7"}).status_code == 409
    parked = OutboundMessage.objects.order_by("pk").first()
    pane = admin.get(f"/integrations/?message={parked.uuid}").content.decode()
    assert 'id="message-pane"' in pane and "Result status" in pane and "Final" in pane and NAME.upper() not in pane
    assert admin.get("/integrations/?message=nonsense").status_code == 404
    assert admin.get(reverse("message_edit", args=[parked.uuid])).status_code == 403
    first = admin.get("/integrations/?tab=House", headers={"HX-Request": "true"})
    again = admin.get("/integrations/?tab=House", headers={"HX-Request": "true", "If-None-Match": first["ETag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    lead = sign_in(tclient, QA_LEAD)
    edit = reverse("message_edit", args=[parked.uuid])
    assert NAME.upper() in lead.get(edit).content.decode().upper()
    assert "MSH" in lead.post(edit, {"text": "nothing", "reason": "x"}).content.decode()
