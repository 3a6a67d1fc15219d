"""Between request and schedule: decided, asked about, held, protocolled; as services, pages and REST."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from orders import queues, services
from orders.models import Inquiry, RequestedProcedure
from orders.services import ProcedureRequest
from ris.audit.models import Action, AuditEvent, Outcome
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification
from tests.factories.orders import (
    SYSTEM,
    make_actor,
    make_catalogue,
    make_order,
    make_patient,
    make_practitioner,
    make_procedure,
    make_user,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def vetted(alpha):
    """A procedure that a radiologist decides about, requested by somebody who can sign in."""

    def make(**fields) -> RequestedProcedure:
        make_catalogue("VET", needs_vetting=True)
        fields.setdefault("requester", make_practitioner(make_user("referring_physician")))
        return make_procedure(codes=["VET"], **fields)

    return make


@pytest.fixture
def browser(tclient):
    def sign_in(*roles: str):
        tclient.user = make_user(*roles)
        tclient.force_login(tclient.user, backend="ris.accounts.backends.PasswordBackend")
        return tclient

    return sign_in


# --- questions and answers


def test_a_question_is_answered_by_who_requested_and_everybody_hears(vetted, dispatch):
    procedure, radiologist = vetted(), make_actor("radiologist")
    requester = procedure.order.requester.user
    asked = services.request_information(procedure, reason_text="Which kidney function?", actor=radiologist)
    assert (asked.status, asked.held_by, asked.inquiries.get().question) == (
        "info_requested",
        radiologist.user,
        "Which kidney function?",
    )
    dispatch()
    assert Notification.objects.get(recipient=requester).url == f"/orders/{procedure.order.uuid}/"
    from ris.core.actor import Actor

    answered = services.answer_information(procedure, answer="eGFR 88", actor=Actor("web", requester))
    inquiry = Inquiry.objects.get()
    assert (answered.status, answered.held_by, answered.held_until) == ("vetting", None, None)
    assert (inquiry.answer, inquiry.answered_by, inquiry.closed_at is not None) == ("eGFR 88", requester, True)
    dispatch()
    told = Notification.objects.get(recipient=radiologist.user)
    assert told.template == "orders.information_given" and "ACHIENG" not in str(told.context).upper()
    event = OutboxEvent.objects.filter(name="orders.procedure_status_changed").last()
    assert (event.payload["previous"], event.payload["status"]) == ("info_requested", "vetting")


def test_an_answer_without_a_question_or_without_words_is_refused(vetted):
    procedure = vetted()
    with pytest.raises(InvalidTransition):
        services.answer_information(procedure, answer="88", actor=SYSTEM)
    services.request_information(procedure, reason_text="?", actor=SYSTEM)
    with pytest.raises(InvalidData) as refusal:
        services.answer_information(procedure, answer=" ", actor=SYSTEM)
    assert list(refusal.value.errors) == ["answer"]
    assert Inquiry.objects.filter(closed_at__isnull=True).count() == 1


def test_a_request_that_goes_on_closes_its_question(vetted):
    procedure = vetted()
    services.request_information(procedure, reason_text="Side?", actor=SYSTEM)
    accepted = services.accept_procedure(procedure, actor=SYSTEM)
    inquiry = Inquiry.objects.get()
    assert (accepted.status, accepted.held_until, accepted.reason_text) == ("accepted", None, "")
    assert inquiry.closed_at is not None and inquiry.answer == ""


def test_a_rejection_is_told_to_the_requester(vetted, dispatch):
    procedure = vetted()
    services.reject_procedure(procedure, reason_code="110510", actor=SYSTEM)
    dispatch()
    assert Notification.objects.get().template == "orders.request_rejected"


# --- holds


def test_a_hold_names_its_owner_and_its_end(vetted):
    clerk, owner = make_actor("clerk"), make_user("radiologist")
    until = timezone.now() + timedelta(hours=4)
    held = services.hold_procedure(vetted(), reason_text="CD", until=until, owner=owner, actor=clerk)
    assert (held.held_by, held.held_until) == (owner, until)
    left, total = queues.time_left(held)
    assert 235 <= left <= total <= 241
    assert list(queues.held_by(owner, actor=SYSTEM)) == [held]


@pytest.mark.parametrize("wrong", ["owner", "until"])
def test_a_hold_by_nobody_fit_or_until_yesterday_is_refused(vetted, wrong):
    given = {"owner": make_user("technologist"), "until": timezone.now() - timedelta(days=1)}[wrong]
    with pytest.raises(InvalidData) as refusal:
        services.hold_procedure(vetted(), reason_text="CD", actor=SYSTEM, **{wrong: given})
    assert list(refusal.value.errors) == [wrong]


def test_a_hold_past_its_end_is_overdue(vetted):
    held = services.hold_procedure(vetted(), reason_text="CD", actor=SYSTEM)
    assert queues.vetting_counts(actor=SYSTEM)["overdue"] == 0
    RequestedProcedure.objects.filter(pk=held.pk).update(held_until=timezone.now() - timedelta(minutes=5))
    counts = queues.vetting_counts(actor=SYSTEM)
    assert (counts["held"], counts["overdue"], counts["all"]) == (1, 1, 1)
    assert list(queues.of_view(queues.vetting_queue(actor=SYSTEM), "overdue")) == [held]


# --- several at once


def test_several_are_accepted_at_once_and_the_rest_say_why(vetted):
    first, second, begun = vetted(), vetted(), vetted()
    services.mark_images_complete(begun, actor=SYSTEM)
    unmapped = make_order(codes=[ProcedureRequest("OWN", scheme="HIS")], allow_unmapped=True).procedures.get()
    result = services.accept_procedures([first, begun, unmapped, second], actor=make_actor("radiologist"))
    assert [row.status for row in result.accepted] == ["accepted", "accepted"]
    assert [(row.pk, type(refusal)) for row, refusal in result.refused] == [
        (begun.pk, InvalidTransition),
        (unmapped.pk, Conflict),
    ]
    assert AuditEvent.objects.filter(event_type="orders.vet_procedure", outcome=Outcome.REFUSED).count() == 2


def test_the_page_accepts_what_is_ticked(vetted, browser):
    first, second = vetted(), vetted()
    client = browser("radiologist")
    page = client.get(reverse("vetting")).content.decode()
    assert page.count("data-tick ") == 2
    body = {"procedure": [str(first.uuid), str(second.uuid), "no-uuid"], "next": "/orders/vetting/?modality=CT"}
    answer = client.post(reverse("vetting_accept"), body)
    assert answer["Location"] == "/orders/vetting/?modality=CT"
    assert set(RequestedProcedure.objects.values_list("status", flat=True)) == {"accepted"}
    assert client.post(reverse("vetting_accept"), {}).status_code == 400
    assert (
        client.post(reverse("vetting_accept"), {**body, "next": "https://elsewhere/"})["Location"] == "/orders/vetting/"
    )


# --- the vetting queue


def test_the_queue_shows_the_most_urgent_first_and_narrows_by_the_address(vetted, browser):
    routine, stat = vetted(priority="routine"), vetted(priority="stat")
    held = services.hold_procedure(vetted(), reason_text="CD is on its way", actor=make_actor("clerk"))
    client = browser("radiologist")
    page = client.get(reverse("vetting")).content.decode()
    assert page.index(str(stat.uuid)) < page.index(str(routine.uuid)) and str(held.uuid) not in page
    assert str(routine.uuid) not in client.get(reverse("vetting") + "?priority=stat").content.decode()
    shown = client.get(reverse("vetting") + f"?view=held&exam={held.uuid}").content.decode()
    assert "CD is on its way" in shown and "Looked after by" in shown and 'class="sla' in shown
    assert AuditEvent.objects.filter(event_type="orders.vet_procedure", action=Action.READ).count() == 3


def test_a_decision_goes_on_to_the_next_request(vetted, browser):
    first, second = vetted(), vetted()
    client = browser("radiologist")
    page = client.get(reverse("vetting") + f"?exam={first.uuid}").content.decode()
    target = f"/orders/vetting/?exam={second.uuid}"
    assert f'name="next" value="{target}"' in page
    answer = client.post(reverse("procedure_action", args=[first.uuid, "accept"]), {"next": target})
    assert answer["Location"] == target
    first.refresh_from_db()
    assert first.status == "accepted"


def test_the_desk_looks_holds_and_asks_and_does_not_decide(vetted, browser):
    procedure = vetted()
    client = browser("clerk")
    page = client.get(reverse("vetting") + f"?exam={procedure.uuid}").content.decode()
    assert "/hold/" in page and "/ask/" in page and "/accept/" not in page and "/reject/" not in page
    assert client.post(reverse("vetting_accept"), {"procedure": [str(procedure.uuid)]}).status_code == 403
    assert client.get(reverse("protocols")).status_code == 403
    assert browser("technologist").get(reverse("vetting")).status_code == 403


@pytest.mark.parametrize("page", ["vetting", "protocols"])
def test_a_queue_costs_the_same_however_long(vetted, browser, page):
    client = browser("radiologist")

    def one_more(state: str) -> RequestedProcedure:
        procedure = vetted(patient=make_patient())
        if page == "protocols":
            return services.accept_procedure(procedure, actor=SYSTEM)
        if state == "held":
            return services.hold_procedure(procedure, reason_text="x", actor=make_actor("clerk"))
        return procedure

    first = one_more("held")
    address = reverse(page) + f"?view=all&exam={first.uuid}"
    client.get(address)
    with CaptureQueriesContext(connection) as one:
        client.get(address)
    for number in range(6):
        one_more("held" if number % 2 else "")
    with CaptureQueriesContext(connection) as many:
        assert client.get(address).status_code == 200
    assert len(many) <= len(one)


def test_home_shows_each_person_what_waits_for_them(vetted, browser):
    asked = vetted()
    services.request_information(asked, reason_text="Which side hurts?", actor=make_actor("radiologist"))
    services.accept_procedure(vetted(), actor=SYSTEM)
    home = browser("radiologist").get("/").content.decode()
    assert "To protocol" in home and reverse("vetting") in home
    held = services.hold_procedure(vetted(), reason_text="Waits for the CD", actor=make_actor("radiologist"))
    RequestedProcedure.objects.filter(pk=held.pk).update(held_until=timezone.now() - timedelta(hours=1))
    desk = browser("clerk").get("/").content.decode()
    assert "Waits for the CD" in desk and "?view=overdue" in desk
    client = browser("clerk")
    client.force_login(asked.order.requester.user, backend="ris.accounts.backends.PasswordBackend")
    assert "Which side hurts?" in client.get("/").content.decode()


# --- protocols


def test_an_exam_that_is_accepted_waits_for_its_protocol(vetted):
    procedure = services.accept_procedure(vetted(), actor=SYSTEM)
    assert queues.protocol_count(actor=SYSTEM) == 1
    plain = make_procedure()
    assert plain not in queues.protocol_queue(actor=SYSTEM)
    radiologist = make_actor("radiologist")
    done = services.protocol_procedure(
        procedure, protocol="CTPA", contrast_decision="with", contrast="Iohexol 70 ml", actor=radiologist
    )
    assert (done.protocolled_by, done.contrast_decision, done.contrast) == (radiologist.user, "with", "Iohexol 70 ml")
    assert queues.protocol_count(actor=SYSTEM) == 0


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "protocol"),
        ({"protocol": "Plain", "contrast_decision": "with"}, "contrast"),
        ({"protocol": "Plain", "contrast_decision": "without", "contrast": "Iohexol"}, "contrast"),
        ({"protocol": "Plain", "contrast_decision": "perhaps"}, "contrast_decision"),
    ],
)
def test_a_protocol_that_contradicts_itself_is_refused(vetted, given, field):
    with pytest.raises(InvalidData) as refusal:
        services.protocol_procedure(vetted(), **given, actor=SYSTEM)
    assert field in refusal.value.errors


def test_as_last_time_and_usual_here(vetted, browser):
    patient = make_patient()
    before = services.accept_procedure(vetted(patient=patient), actor=SYSTEM)
    services.protocol_procedure(before, protocol="CTPA thin", contrast="Iohexol 60 ml", actor=make_actor("radiologist"))
    for _number in range(2):
        services.protocol_procedure(vetted(), protocol="CTPA usual", contrast="Iohexol 70 ml", actor=SYSTEM)
    now = services.accept_procedure(vetted(patient=patient), actor=SYSTEM)
    assert queues.last_protocol(now, actor=SYSTEM) == before
    assert [(pick["protocol"], pick["times"]) for pick in queues.protocol_picks(now)] == [
        ("CTPA usual", 2),
        ("CTPA thin", 1),
    ]
    client = browser("radiologist")
    page = client.get(reverse("protocols") + f"?exam={now.uuid}&pick=last").content.decode()
    assert "As last time" in page and 'value="Iohexol 60 ml"' in page
    body = {"protocol": "CTPA thin", "contrast_decision": "with", "contrast": "Iohexol 60 ml", "comments": "Supine"}
    client.post(reverse("procedure_action", args=[now.uuid, "protocol"]), body)
    now.refresh_from_db()
    assert (now.protocol, now.comments_to_technologist, now.protocolled_by) == ("CTPA thin", "Supine", client.user)


def test_another_exam_is_protocolled_anew(vetted):
    make_catalogue("OTHER", needs_protocol=True, default_protocol="Plain")
    procedure = services.protocol_procedure(vetted(), protocol="CTPA", contrast="Iohexol 70 ml", actor=SYSTEM)
    changed = services.change_procedure(procedure, code="OTHER", actor=SYSTEM)
    assert (changed.protocol, changed.contrast, changed.contrast_decision, changed.protocolled_at) == (
        "Plain",
        "",
        "",
        None,
    )


# --- REST


def test_intake_over_rest(api, vetted):
    radiologist, clerk = make_user("radiologist"), make_user("clerk")
    procedure = vetted()
    at = f"/api/v1/procedures/{procedure.uuid}/"
    api.force_authenticate(clerk)
    held = api.post(at + "hold/", {"reason_text": "CD", "owner": str(radiologist.uuid)}, format="json")
    assert (held.status_code, held.json()["status"], held.json()["held_by"]) == (200, "on_hold", str(radiologist.uuid))
    assert api.post(at + "release/", {}, format="json").json()["status"] == "vetting"
    asked = api.post(at + "request-information/", {"reason_text": "Side?"}, format="json").json()
    assert (asked["status"], asked["life_cycle"]) == ("info_requested", "requested")
    assert api.post(at + "answer-information/", {"answer": "Left"}, format="json").json()["status"] == "vetting"
    assert [row["answer"] for row in api.get(at + "inquiries/").json()["results"]] == ["Left"]
    api.force_authenticate(radiologist)
    batch = api.post("/api/v1/procedures/accept-many/", {"procedures": [str(procedure.uuid)]}, format="json").json()
    assert [row["status"] for row in batch["accepted"]] == ["accepted"] and batch["refused"] == []
    assert len(api.get("/api/v1/procedures/?needs_protocol=true").json()["results"]) == 1
    picks = api.get(at + "protocol-picks/").json()
    assert picks == {"last": None, "picks": []}
    body = {"protocol": "CTPA", "contrast_decision": "with", "contrast": "Iohexol 70 ml"}
    assert api.post(at + "protocol/", body, format="json").json()["protocolled_at"]
    assert api.post(at + "return-to-vetting/", {"reason_text": "New fact"}, format="json").json()["status"] == "vetting"
    rejected = api.post(at + "reject/", {"reason_code": "110510"}, format="json").json()
    assert (rejected["status"], rejected["life_cycle"], rejected["reason_code"]) == ("rejected", "cancelled", "110510")
    assert api.post(at + "reopen/", {"reason_text": "After all"}, format="json").json()["status"] == "vetting"


def test_the_requester_answers_and_a_stranger_does_not(vetted):
    procedure = vetted()
    services.request_information(procedure, reason_text="Side?", actor=SYSTEM)
    with pytest.raises(NotPermitted):
        services.answer_information(procedure, answer="Left", actor=make_actor("medical_physicist"))
