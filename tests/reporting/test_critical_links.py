"""Answering from a message, and the board on a wall: links and tokens that are worth little to anybody else."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from reporting import services
from reporting.models import AnswerLink, CriticalResult, WallDisplay
from reporting.services.critical_links import CODE_TRIES, MOST_CODES, check_code, link_of, send_code, url_of
from reporting.services.critical_setup import display_of, pair_display, prepare_display, revoke_display
from ris.accounts.models import Practitioner
from ris.accounts.selectors import facility_settings
from ris.audit.models import AuditEvent, Outcome
from ris.core.actor import SYSTEM, Actor
from ris.core.clock import database_now
from ris.core.errors import NotKnown, NotPermitted
from ris.notifications.models import Notification
from ris.tenants.context import use_facility
from tests.factories.reporting import make_procedure

pytestmark = pytest.mark.django_db


@pytest.fixture
def critical(people: Any) -> CriticalResult:
    procedure = make_procedure(requester=people.referrer.practitioner)
    return services.raise_critical_result(
        procedure, category=1, finding="Tension pneumothorax", actor=people.radiologist
    )


@pytest.fixture
def address(critical: CriticalResult, people: Any) -> str:
    """The address in the requester's mail."""
    row = Notification.objects.get(recipient=people.referrer.actor.user, channel="email")
    assert re.fullmatch(r"/critical/answer/[\w:-]+/", row.url)
    return row.url


def answers(client: Client, address: str) -> Any:
    return client.post(address, {"do": "answer"})


def asks_code() -> None:
    row = facility_settings()
    row.critical_link_asks = "code"
    row.save()


def test_the_link_asks_for_the_sign_in_and_opening_it_answers_nothing(
    tclient: Client, people: Any, critical: CriticalResult, address: str
) -> None:
    response = tclient.get(address)
    assert response.status_code == 302 and response["Location"].startswith("/sign-in/?next=")
    tclient.force_login(people.referrer.actor.user)
    page = tclient.get(address).content.decode()
    assert critical.finding in page and critical.procedure.order.patient.family_name in page
    assert CriticalResult.objects.get().status == "open"
    assert AuditEvent.objects.filter(event_type="reporting.view_critical", entity=critical.uuid).exists()


def test_the_recipient_acknowledges_once(tclient: Client, people: Any, address: str) -> None:
    tclient.force_login(people.referrer.actor.user)
    response = answers(tclient, address)
    assert response.status_code == 302
    assert tclient.get(response["Location"]).status_code == 200
    row = CriticalResult.objects.get()
    assert (row.status, row.acknowledged_by, row.acknowledged_via) == (
        "acknowledged",
        people.referrer.actor.user,
        "link",
    )
    assert row.next_escalation_at is None
    assert answers(tclient, address).status_code == 410
    assert tclient.get(address).status_code == 410


def test_a_link_is_for_whom_it_was_made(tclient: Client, people: Any, address: str) -> None:
    for stranger in (people.other.user, people.radiologist.user, people.clerk.user):
        tclient.force_login(stranger)
        assert tclient.get(address).status_code == 403
        assert answers(tclient, address).status_code == 403
    assert CriticalResult.objects.get().status == "open"


@pytest.mark.parametrize("end", ["expired", "withdrawn", "told elsewhere", "opened again"])
def test_a_link_ends(tclient: Client, people: Any, critical: CriticalResult, address: str, end: str) -> None:
    if end == "expired":
        AnswerLink.objects.update(expires_at=database_now() - timedelta(seconds=1))
    elif end == "withdrawn":
        services.withdraw_critical(critical, reason="Artefact", actor=people.radiologist)
    else:
        services.acknowledge_critical(critical, actor=people.other)
        if end == "opened again":
            services.reopen_critical(critical, reason="Wrong ward", actor=people.radiologist)
    tclient.force_login(people.referrer.actor.user)
    assert tclient.get(address).status_code == 410


def test_forged_and_foreign_links_are_unknown(tclient: Client, people: Any, address: str, beta: Any) -> None:
    tclient.force_login(people.referrer.actor.user)
    token = address.split("/")[3]
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "x" * 40, token[::-1]):
        assert tclient.get(f"/critical/answer/{wrong}/").status_code == 404
    with use_facility(beta), pytest.raises(NotKnown):
        link_of(token)


def test_a_code_to_the_other_address_stands_for_the_sign_in(
    tclient: Client, people: Any, dispatch: Any, critical: CriticalResult, address: str
) -> None:
    asks_code()
    page = tclient.get(address).content.decode()
    assert critical.finding not in page and critical.procedure.order.patient.family_name not in page
    tclient.post(address, {"do": "send"})
    dispatch()
    code = re.search(r"\b\d{6}\b", mail.outbox[-1].subject)[0]  # type: ignore[index]
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    assert answers(tclient, address).status_code == 403, "no answer before the code"
    assert tclient.post(address, {"do": "code", "code": wrong}).status_code == 403
    assert tclient.post(address, {"do": "code", "code": code}).status_code == 302
    assert critical.finding in tclient.get(address).content.decode()
    assert answers(tclient, address).status_code == 302
    row = CriticalResult.objects.get()
    assert (row.status, row.acknowledged_by) == ("acknowledged", people.referrer.actor.user)


def test_codes_cannot_be_guessed_at_will(tclient: Client, people: Any, dispatch: Any, address: str) -> None:
    asks_code()
    tclient.post(address, {"do": "send"})
    dispatch()
    code = re.search(r"\b\d{6}\b", mail.outbox[-1].subject)[0]  # type: ignore[index]
    for number in range(CODE_TRIES):
        tclient.post(address, {"do": "code", "code": f"{(int(code) + 1 + number) % 1_000_000:06}"})
    assert tclient.post(address, {"do": "code", "code": code}).status_code == 403
    for _number in range(MOST_CODES - 1):
        assert tclient.post(address, {"do": "send"}).status_code == 200
    assert tclient.post(address, {"do": "send"}).status_code == 403


def test_a_practice_without_an_account_answers_by_code(tclient: Client, people: Any, dispatch: Any) -> None:
    asks_code()
    practice = Practitioner.objects.create(family_name="Desai", prefix="Dr", email="desk@example.org")
    critical = services.raise_critical_result(
        make_procedure(requester=practice), category=1, finding="Torsion", actor=people.radiologist
    )
    address = url_of(critical.links.get())
    tclient.post(address, {"do": "send"})
    dispatch()
    code = re.search(r"\b\d{6}\b", mail.outbox[-1].subject)[0]  # type: ignore[index]
    tclient.post(address, {"do": "code", "code": code})
    assert answers(tclient, address).status_code == 302
    row = CriticalResult.objects.get(pk=critical.pk)
    assert (row.status, row.acknowledged_by, row.acknowledged_name) == ("acknowledged", None, "Dr Desai")


# --- displays


def test_a_display_pairs_once_and_signs_itself_in(tclient: Client, people: Any, critical: CriticalResult) -> None:
    assert tclient.get("/critical/wall/").status_code == 302, "nobody signed in, no display"
    display, code = prepare_display(label="Emergency room", actor=people.radiologist)
    assert tclient.post("/sign-in/display/", {"code": "WRONGONE"}).status_code == 403
    assert tclient.post("/sign-in/display/", {"code": f" {code[:4]} {code[4:].lower()}"}).status_code == 302
    for path in ("/critical/wall/", "/critical/?wall=1"):
        page = tclient.get(path)
        text = page.content.decode()
        assert page.status_code == 200 and critical.reference in text
        for secret in (
            critical.procedure.order.patient.family_name,
            critical.procedure.order.patient.primary_identifier.value,
            critical.accession_number,
            critical.finding,
        ):
            assert secret not in text
    assert tclient.get("/critical/wall/", headers={"If-None-Match": page["ETag"]}).status_code == 304
    assert tclient.get("/critical/").status_code == 302, "the board with names stays closed"
    assert Client(headers={"host": "alpha.test"}).post("/sign-in/display/", {"code": code}).status_code == 403
    revoke_display(display, actor=people.radiologist)
    assert tclient.get("/critical/wall/").status_code == 302


def test_guesses_at_the_same_time_count_each(critical: CriticalResult, address: str) -> None:
    link = link_of(address.split("/")[-2])
    stale = link_of(address.split("/")[-2])
    AnswerLink.objects.filter(pk=link.pk).update(
        code_digest="0" * 64, code_expires_at=database_now() + timedelta(minutes=5)
    )
    for guess in (link, stale):
        with pytest.raises(NotPermitted):
            check_code(guess, "000000", actor=SYSTEM)
    assert AnswerLink.objects.get(pk=link.pk).code_tries == 2
    AnswerLink.objects.filter(pk=link.pk).update(codes_sent=MOST_CODES)
    stale.code_channel, stale.code_address = "email", "a@example.org"
    with pytest.raises(NotPermitted):
        send_code(stale, actor=Actor("link"))
    assert AnswerLink.objects.get(pk=link.pk).codes_sent == MOST_CODES


def test_a_pairing_code_ends_and_guesses_count(people: Any, beta: Any) -> None:
    display, code = prepare_display(label="Ward 3", actor=people.radiologist)
    with use_facility(beta), pytest.raises(NotPermitted):
        pair_display(code)
    for _guess in range(10):
        with pytest.raises(NotPermitted):
            pair_display("ABCDEFGH")
    with pytest.raises(NotPermitted):
        pair_display(code)
    WallDisplay.objects.filter(pk=display.pk).update(pairing_tries=0)
    screen = Client(headers={"host": "alpha.test"})
    assert screen.post("/sign-in/display/", {"code": "ABCDEFGH"}).status_code == 403
    assert WallDisplay.objects.get(pk=display.pk).pairing_tries == 1, "the page keeps the guess that it refuses"
    WallDisplay.objects.filter(pk=display.pk).update(pairing_tries=0, pairing_expires_at=database_now())
    with pytest.raises(NotPermitted):
        pair_display(code)
    rows = AuditEvent.objects.filter(event_type="reporting.pair_display")
    assert set(rows.values_list("outcome", flat=True)) == {Outcome.REFUSED} and rows.count() == 13


def test_an_old_display_shows_nothing(people: Any) -> None:
    _display, code = prepare_display(label="Ward 3", actor=people.radiologist)
    _display, token = pair_display(code)
    assert display_of(token) is not None
    assert AuditEvent.objects.get(event_type="reporting.pair_display").outcome == Outcome.SUCCESS
    WallDisplay.objects.update(expires_at=database_now())
    assert display_of(token) is None
    assert display_of("") is None


def test_displays_are_set_up_by_who_may(tclient: Client, people: Any) -> None:
    tclient.force_login(people.clerk.user)
    assert tclient.get("/critical/displays/").status_code == 403
    tclient.force_login(people.radiologist.user)
    page = tclient.post("/critical/displays/", {"label": "Theatre"}).content.decode()
    assert "Theatre" in page and re.search(r"[A-Z2-9]{4} [A-Z2-9]{4}", page)
    display = WallDisplay.objects.get()
    assert not re.search(r"[A-Z2-9]{4} [A-Z2-9]{4}", tclient.get("/critical/displays/").content.decode())
    assert tclient.post(f"/critical/displays/{display.uuid}/revoke/").status_code == 302
    assert WallDisplay.objects.get().revoked_at is not None
