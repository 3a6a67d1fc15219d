"""Results by FHIR, e-mail, SMS and on paper: each way to its end, and what the ledger says of every try."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

import httpx
import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from pypdf import PdfReader

from interop.fhir import sending, servers
from interop.models import FhirServer, OutboundMessage
from orders import services as orders
from reporting import services
from reporting.models import DeliveryAttempt, DeliveryRule, ReportDelivery
from reporting.services import carrying
from reporting.services.delivery_rules import save_delivery_rule, switch_delivery_rule, try_delivery_rule
from reporting.services.printing import mark_printed, print_deliveries, waiting_for_print
from reporting.services.sharing import LinkEnded, WrongCode
from ris.accounts.models import User
from ris.audit.models import AuditEvent, Outcome
from ris.core.actor import SYSTEM
from ris.core.errors import AlreadyExists, InvalidData, NotKnown, NotPermitted
from ris.notifications import channels
from ris.notifications.models import Notification
from ris.tenants.context import use_facility
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_patient, make_procedure, make_referrer, signed

pytestmark = pytest.mark.django_db
PASSWORD = "agreed-by-phone"
NAMES = ("OTIENO", "Otieno", "Achieng")


@pytest.fixture
def client() -> Client:
    return Client(HTTP_HOST="alpha.test", HTTP_ACCEPT="text/html")


def rule(channel: str, **fields: Any) -> DeliveryRule:
    return save_delivery_rule(channel=channel, actor=SYSTEM, **fields)


def practice(**fields: Any) -> DeliveryRule:
    values = {"destination": "Practice North", "address": "desk@north.example", "password": PASSWORD, **fields}
    return rule("email", **values)


def line_of(channel: str, number: int = 1) -> ReportDelivery:
    return ReportDelivery.objects.get(channel=channel, report_version__number=number)


def outcomes(channel: str, number: int = 1) -> list[str]:
    return list(line_of(channel, number).tries.values_list("outcome", flat=True))


def make_due() -> None:
    Notification.objects.filter(status="pending").update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    OutboundMessage.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1), claimed_until=None)


def path_of(message: Any) -> str:
    return "/" + message.body.split("://", 1)[1].split("/", 1)[1].split()[0]


# --- e-mail


def test_a_practice_without_accounts_opens_its_mail_by_the_password(people: Any, dispatch: Any, client: Any) -> None:
    practice()
    report = signed(make_procedure(), actor=people.radiologist)
    dispatch()
    (sent,) = mail.outbox
    assert sent.to == ["desk@north.example"] and not sent.attachments
    said = f"{sent.subject} {sent.body}"
    assert not any(word in said for word in (*NAMES, report.accession_number))
    assert (line_of("email").status, outcomes("email")) == ("sent", ["asked", "sent"])
    address = path_of(sent)
    assert b"No acute" not in client.get(address).content
    assert client.post(address, {"code": "not the one"}).status_code == 403
    assert client.post(address, {"code": PASSWORD}).status_code == 302
    assert b"No acute" in client.get(address).content
    assert client.get(f"{address}pdf/").content.startswith(b"%PDF")
    assert line_of("email").status == "opened"
    assert client.post(f"{address}read/", {"version": "1"}).status_code == 302
    assert line_of("email").status == "acknowledged"
    assert outcomes("email") == ["asked", "sent", "wrong_code", "opened", "acknowledged"]


def test_the_pdf_is_locked_with_the_password(people: Any, dispatch: Any) -> None:
    practice(mail_form="pdf", is_mandatory=True)
    signed(make_procedure(), actor=people.radiologist)
    dispatch()
    (sent,) = mail.outbox
    ((name, body, kind),) = [tuple(part) for part in sent.attachments]
    assert (name, kind) == ("report.pdf", "application/pdf")
    assert b"/Encrypt" in body and not any(word.encode() in body for word in NAMES)
    paper = PdfReader(io.BytesIO(body))
    assert paper.trailer["/Encrypt"]["/V"] == 5 and paper.trailer["/Encrypt"]["/R"] == 6  # AES-256
    assert not paper.decrypt("guess") and paper.decrypt(PASSWORD)
    assert "No acute abnormality" in paper.pages[0].extract_text()
    assert not line_of("email").is_mandatory
    assert PASSWORD not in f"{sent.subject} {sent.body}"


def test_who_signs_in_is_led_to_the_inbox_and_copies_where_the_rule_says_so(people: Any, dispatch: Any) -> None:
    rule("email", includes_copies=True)
    referrer, copied = people.referrer.practitioner, make_referrer(email="copy@example.org").practitioner
    referrer.email = "dr@example.org"
    referrer.save()
    procedure = make_procedure(requester=referrer)
    procedure.order.copies_to.add(copied)
    signed(procedure, actor=people.radiologist)
    dispatch()
    assert sorted(row.to[0] for row in mail.outbox) == ["copy@example.org", "dr@example.org"]
    inbox = ReportDelivery.objects.get(channel="inbox", recipient=referrer)
    assert f"/results/{inbox.uuid}/" in next(row.body for row in mail.outbox if row.to == ["dr@example.org"])
    assert not ReportDelivery.objects.filter(channel="email", is_mandatory=True).exists()


def test_a_wrong_address_fails_in_the_open_and_is_sent_again(people: Any, dispatch: Any) -> None:
    rule("email")
    referrer = people.referrer.practitioner
    User.objects.filter(pk=referrer.user_id).update(email="")
    signed(make_procedure(requester=referrer), actor=people.radiologist)
    dispatch()
    assert (line_of("email").status, outcomes("email")) == ("failed", ["asked", "failed"])
    assert line_of("email").last_error and not mail.outbox
    referrer.email = "dr@example.org"
    referrer.save()
    services.send_delivery_again(line_of("email"), actor=people.clerk)
    dispatch()
    assert outcomes("email") == ["asked", "failed", "asked", "sent"]
    assert (line_of("email").status, len(mail.outbox)) == ("sent", 1)
    assert line_of("email").tries.get(outcome="asked", by=people.clerk.user).door.startswith(people.clerk.source)


def test_a_mail_server_that_fails_is_tried_again_and_every_try_is_kept(
    people: Any, dispatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice()
    real, falls = channels._send_mail, iter([True, True, False])

    def send(row: Notification) -> None:
        if next(falls):
            raise SMTPRecipientsRefused({row.address: (450, b"later")})
        real(row)

    monkeypatch.setattr(channels, "_send_mail", send)
    signed(make_procedure(), actor=people.radiologist)
    for _try in range(3):
        make_due()
        dispatch()
    assert outcomes("email") == ["asked", "retry", "retry", "sent"]
    assert line_of("email").tries.filter(outcome="retry").first().error == "SMTPRecipientsRefused"
    assert not DeliveryAttempt.objects.filter(error__contains="north").exists()


def test_a_correction_goes_where_the_first_version_was_seen(people: Any, dispatch: Any, client: Any) -> None:
    kept = practice()
    report = signed(make_procedure(), actor=people.radiologist)
    dispatch()
    old = path_of(mail.outbox[0])
    switch_delivery_rule(kept, is_active=False, actor=SYSTEM)
    correct(report, people)
    dispatch()
    assert len(mail.outbox) == 2
    assert mail.outbox[1].to == ["desk@north.example"] and "changed" in mail.outbox[1].subject
    assert (line_of("email", 1).status, line_of("email", 2).status) == ("superseded", "sent")
    client.post(old, {"code": PASSWORD})
    assert b"Small nodule" in client.get(old).content  # the old link shows what stands now
    assert client.post(f"{old}read/", {"version": "1"}).status_code == 409
    assert line_of("email", 2).status == "opened"


def correct(report: Any, people: Any) -> None:
    services.correct_report(
        report,
        sections={**report.sections, "impression": "Small nodule."},
        reason="Seen later",
        actor=people.radiologist,
    )


def test_links_close_and_are_worth_nothing_elsewhere(people: Any, dispatch: Any, beta: Any) -> None:
    practice()
    signed(make_procedure(), actor=people.radiologist)
    dispatch()
    token = path_of(mail.outbox[0]).split("/")[2]
    line = carrying.delivery_of(token)
    for _try in range(carrying.TRIES):
        with pytest.raises(WrongCode):
            carrying.check_agreed_password(line, "guess")
    assert (
        AuditEvent.objects.filter(event_type="reporting.view_result", outcome=Outcome.REFUSED).count() == carrying.TRIES
    )
    with pytest.raises(WrongCode, match="too often"):
        carrying.check_agreed_password(line, PASSWORD)
    services.send_delivery_again(line_of("email"), actor=people.clerk)
    carrying.check_agreed_password(line, PASSWORD)
    with use_facility(beta), pytest.raises(NotKnown):
        carrying.delivery_of(token)
    with pytest.raises(NotKnown):
        carrying.delivery_of(f"{token}x")
    DeliveryRule.objects.update(password="")
    with pytest.raises(LinkEnded):
        carrying.delivery_of(token)


# --- SMS


def test_an_sms_says_only_that_a_result_is_ready(people: Any, dispatch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str]] = []

    class Gateway:
        def send(self, number: str, text: str, *, reference: str) -> None:
            said.append((number, text))

    monkeypatch.setattr(channels, "sms_gateway", Gateway)
    rule("sms", destination="Ward 3", address="+254 700 000 001", is_mandatory=True)
    report = signed(make_procedure(), actor=people.radiologist)
    dispatch()
    ((number, text),) = said
    assert number == "+254 700 000 001" and "ready" in text
    assert not any(word in text for word in (*NAMES, report.accession_number))
    line = line_of("sms")
    assert (line.status, line.is_mandatory, outcomes("sms")) == ("sent", False, ["asked", "sent"])


def test_without_a_gateway_an_sms_fails_for_good(people: Any, dispatch: Any) -> None:
    rule("sms", destination="Ward 3", address="+254700000001")
    signed(make_procedure(), actor=people.radiologist)
    dispatch()
    assert (line_of("sms").status, outcomes("sms")) == ("failed", ["asked", "failed"])
    assert "gateway" in line_of("sms").last_error


# --- FHIR


class Server:
    """Answers as told; keeps what came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: int) -> None:
        self.answers, self.came = list(answers), []
        handle = httpx.MockTransport(self.handle)
        for module in (sending, servers):
            monkeypatch.setattr(module, "client", lambda: httpx.Client(transport=handle))

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.came.append(request)
        status = self.answers.pop(0)
        if status == 0:
            raise httpx.ConnectError("nobody")
        return httpx.Response(status)


def fhir() -> DeliveryRule:
    servers.save_fhir_server(name="hie", base_url="https://fhir.example.org/r4/", token="s3cret", actor=SYSTEM)
    return rule("fhir", destination="hie")


def test_a_version_is_put_on_a_fhir_server(people: Any, dispatch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, 0, 503, 201, 200)
    fhir()
    report = signed(make_procedure(), actor=people.radiologist)
    for _try in range(3):
        make_due()
        dispatch()
    assert outcomes("fhir") == ["asked", "retry", "retry", "acknowledged"]
    put = server.came[2]
    assert (put.method, str(put.url)) == ("PUT", f"https://fhir.example.org/r4/DiagnosticReport/{report.uuid}")
    assert put.headers["Authorization"] == "Bearer s3cret"
    body = json.loads(put.content)
    assert (body["resourceType"], body["status"]) == ("DiagnosticReport", "final")
    assert body["presentedForm"][0]["contentType"] == "application/pdf"
    correct(report, people)
    dispatch()
    assert json.loads(server.came[3].content)["status"] == "corrected"
    assert line_of("fhir", 2).status == "acknowledged"


def test_a_fhir_server_that_refuses_parks_it_and_asking_again_sends_it(
    people: Any, dispatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Server(monkeypatch, 422, 200)
    fhir()
    signed(make_procedure(), actor=people.radiologist)
    dispatch()
    assert (line_of("fhir").status, OutboundMessage.objects.get().status) == ("failed", "parked")
    assert line_of("fhir").last_error == "The server answered 422."
    services.send_delivery_again(line_of("fhir"), actor=people.clerk)
    dispatch()
    assert line_of("fhir").status == "acknowledged"
    assert OutboundMessage.objects.get().status == "acknowledged"


def test_a_fhir_server_is_asked_and_kept_apart_from_hl7(alpha: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Server(monkeypatch, 200)
    kept = fhir()
    assert try_delivery_rule(kept, actor=SYSTEM) == "The server hie answers."
    with pytest.raises(InvalidData):
        rule("hl7", destination="hie")
    with pytest.raises(InvalidData):
        servers.save_fhir_server(name="odd", base_url="ftp://x", actor=SYSTEM)
    with pytest.raises(NotPermitted):
        servers.save_fhir_server(name="x", base_url="https://x.example", actor=actor_with_roles("clerk"))


def test_fhir_servers_are_kept_in_the_administration(alpha: Any, client: Client) -> None:
    client.force_login(actor_with_roles("it_admin").user)
    given = {"name": "hie", "base_url": "https://fhir.example.org/r4", "token": "s3cret", "is_active": "on"}
    assert client.post("/admin/interop/fhirserver/add/", given).status_code == 302
    server = FhirServer.objects.get()
    assert (server.queue.host, server.queue.port, server.token) == ("fhir.example.org", 443, "s3cret")
    page = client.get(f"/admin/interop/fhirserver/{server.pk}/change/").content.decode()
    assert "fhir.example.org" in page and "s3cret" not in page
    changed = {"base_url": "http://fhir.example.org:8080/r4", "token": "", "is_active": "on"}
    address = f"/admin/interop/fhirserver/{server.pk}/change/"
    assert client.post(address, changed).status_code == 400  # a secret does not go along to another address
    assert FhirServer.objects.get().queue.port == 443
    assert client.post(address, {**changed, "token": "n3w"}).status_code == 302
    server = FhirServer.objects.get()
    assert (server.queue.port, server.token) == (8080, "n3w")


# --- paper


def test_what_waits_is_printed_together_and_marked(people: Any, client: Any) -> None:
    rule("print", destination="Tray 2")
    for _exam in range(2):
        signed(make_procedure(), actor=people.radiologist)
    lines = list(waiting_for_print(actor=people.clerk))
    assert len(lines) == 2
    assert print_deliveries(lines, actor=people.clerk).startswith(b"%PDF")
    assert len(waiting_for_print(actor=people.clerk)) == 2
    assert mark_printed(lines[:1], actor=people.clerk) == 1
    first, second = (list(row.tries.values_list("outcome", flat=True)) for row in lines)
    assert (first, second) == (["asked", "printed", "sent"], ["asked", "printed"])
    client.force_login(people.clerk.user)
    chosen = {"line": [str(lines[1].uuid)]}
    assert str(lines[1].uuid) in client.get("/deliveries/print/").content.decode()
    assert client.post("/deliveries/print/pdf/", chosen)["Content-Type"] == "application/pdf"
    assert client.post("/deliveries/print/done/", chosen).status_code == 302
    assert not waiting_for_print(actor=people.clerk)
    with pytest.raises(InvalidData):
        print_deliveries([], actor=people.clerk)
    with pytest.raises(NotPermitted):
        waiting_for_print(actor=people.referrer.actor)


# --- rules


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"channel": "email", "destination": "North", "address": "nowhere", "password": PASSWORD}, "address"),
        ({"channel": "email", "destination": "North", "address": "a@b.example"}, "password"),
        ({"channel": "email", "mail_form": "pdf", "password": "short"}, "password"),
        ({"channel": "sms", "destination": "Ward", "address": "12"}, "address"),
        ({"channel": "fhir"}, "destination"),
        ({"channel": "hl7", "destination": "nobody"}, "destination"),
        ({"channel": "inbox", "destination": "x"}, "destination"),
        ({"channel": "pigeon"}, "channel"),
    ],
)
def test_a_rule_that_would_lead_nowhere_is_refused(alpha: Any, fields: dict[str, str], wrong: str) -> None:
    with pytest.raises(InvalidData) as refusal:
        save_delivery_rule(**fields, actor=SYSTEM)
    assert list(refusal.value.errors) == [wrong]


def test_rules_have_a_page(alpha: Any, client: Any, dispatch: Any) -> None:
    client.force_login(actor_with_roles("it_admin").user)
    given = {"channel": "email", "destination": "North", "address": "a@b.example", "mail_form": "link"}
    assert client.post("/delivery/rules/add/", given).status_code == 422
    assert client.post("/delivery/rules/add/", {**given, "password": PASSWORD}).status_code == 302
    row = DeliveryRule.objects.get()
    assert (row.address, row.password) == ("a@b.example", PASSWORD)
    page = client.get(f"/delivery/rules/{row.uuid}/").content.decode()
    assert PASSWORD not in page and "a@b.example" not in page
    assert client.post(f"/delivery/rules/{row.uuid}/", {**given, "address": ""}).status_code == 302
    assert DeliveryRule.objects.get().password == PASSWORD
    assert client.post(f"/delivery/rules/{row.uuid}/try/").status_code == 302
    dispatch()
    assert mail.outbox[0].to == ["a@b.example"]
    client.post(f"/delivery/rules/{row.uuid}/switch/", {"is_active": "0"})
    assert not DeliveryRule.objects.get().is_active
    assert "North" in client.get("/delivery/rules/").content.decode()
    client.force_login(actor_with_roles("clerk").user)
    assert client.get("/delivery/rules/").status_code == 403


def test_rules_and_tries_in_rest(people: Any, api: Any, dispatch: Any) -> None:
    api.force_authenticate(actor_with_roles("it_admin").user)
    given = {"channel": "email", "destination": "North", "address": "a@b.example", "password": PASSWORD}
    made = api.post("/api/v1/delivery-rules/", given, format="json")
    assert made.status_code == 201 and made.json()["has_password"]
    assert PASSWORD not in made.content.decode() and "a@b.example" not in made.content.decode()
    address = f"/api/v1/delivery-rules/{made.json()['id']}/"
    assert api.post("/api/v1/delivery-rules/", given, format="json").status_code == 409
    assert api.patch(address, {"is_mandatory": False}, format="json").json()["is_mandatory"] is False
    assert api.post(f"{address}test/", {}, format="json").json() == {"detail": "A test message is on its way."}
    signed(make_procedure(), actor=people.radiologist)
    dispatch()
    api.force_authenticate(people.clerk.user)
    (line,) = api.get("/api/v1/deliveries/", {"channel": "email"}).json()["results"]
    assert [row["outcome"] for row in line["tries"]] == ["asked", "sent"]
    assert line["tries"][1]["door"] == "mail:system"
    assert api.get("/api/v1/delivery-rules/").status_code == 403


def test_a_second_rule_for_the_same_way_is_refused_and_another_facility_has_its_own(alpha: Any, beta: Any) -> None:
    practice()
    with pytest.raises(AlreadyExists):
        practice()
    with use_facility(beta):
        assert not DeliveryRule.objects.exists()
        assert practice().pk


def test_what_is_on_a_fhir_server_follows_the_patient(
    people: Any, dispatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(monkeypatch, 201, 200, 200, 200)
    fhir()
    alias, known = orders.register_emergency(actor=SYSTEM), make_patient("ACHIENG")
    report = signed(make_procedure(patient=alias), actor=people.radiologist)
    dispatch()
    merge = orders.merge_patients(survivor=known, loser=alias, reason="Recognised", actor=SYSTEM)
    dispatch()
    orders.unmerge_patients(merge, reason="Not she", actor=SYSTEM)
    dispatch()
    orders.add_alert(alias, kind="allergy", text="Contrast", actor=people.clerk)
    dispatch()
    orders.update_patient(alias, family_name="NJERI", actor=people.clerk)
    dispatch()
    bodies = [json.loads(put.content) for put in server.came]
    assert {body["id"] for body in bodies} == {str(report.uuid)}
    subjects = [body["subject"]["reference"].removeprefix("Patient/") for body in bodies]
    assert subjects == [str(row.uuid) for row in (alias, known, alias, alias)]
    assert "Njeri" in bodies[3]["subject"]["display"].title()
    assert line_of("fhir").status == "acknowledged"
