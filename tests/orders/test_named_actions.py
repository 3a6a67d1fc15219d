"""Change, replace, cancel, hold, reopen: what each does, tells, and refuses once the exam has gone too far."""

from __future__ import annotations

import pytest
from django.urls import reverse

from orders import services
from orders.models import RequestedProcedure
from orders.services import ProcedureRequest
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidTransition
from ris.events.models import OutboxEvent
from tests.factories.orders import SYSTEM, make_actor, make_catalogue, make_order, make_procedure, make_user

pytestmark = pytest.mark.django_db

BEGUN = ("in_progress", "performed", "ready_to_read", "final")


def _change(row, actor):
    return services.change_procedure(row, code="Y", actor=actor)


def _replace(row, actor):
    return services.replace_procedure(row, by=ProcedureRequest("Y"), reason_code="110502", actor=actor)


def _cancel(row, actor):
    return services.cancel_procedure(row, reason_code="110500", actor=actor)


def _hold(row, actor):
    return services.hold_procedure(row, reason_text="Fever", actor=actor)


def _reject(row, actor):
    return services.reject_procedure(row, reason_code="110510", actor=actor)


def _return(row, actor):
    return services.return_to_vetting(row, reason_text="New fact", actor=actor)


ACTIONS = {"change": _change, "replace": _replace, "cancel": _cancel, "hold": _hold, "reject": _reject, "vet": _return}


@pytest.mark.parametrize("before", BEGUN)
@pytest.mark.parametrize("name", ACTIONS)
def test_too_far_says_where_it_stands_who_moved_it_and_what_to_do(alpha, name, before):
    make_catalogue("Y")
    procedure = make_procedure()
    services.mark_started(procedure, actor=Actor("mpps", ae_title="CT1"))
    if before != "in_progress":
        RequestedProcedure.objects.filter(pk=procedure.pk).update(status=before)
    history, events = procedure.history.count(), OutboxEvent.objects.count()
    with pytest.raises(InvalidTransition) as refusal:
        ACTIONS[name](procedure, SYSTEM)
    said = refusal.value
    assert said.asked and said.todo and "CT1" in said.found and "since" in said.found
    assert (procedure.history.count(), OutboxEvent.objects.count()) == (history, events)


@pytest.mark.parametrize(
    ("name", "before", "event"),
    [
        ("change", "scheduled", "orders.procedure_changed"),
        ("replace", "scheduled", "orders.procedure_cancelled"),
        ("cancel", "arrived", "orders.procedure_cancelled"),
        ("hold", "scheduled", "orders.procedure_status_changed"),
        ("vet", "accepted", "orders.procedure_status_changed"),
    ],
)
def test_each_is_told_and_written_down(alpha, name, before, event):
    make_catalogue("Y")
    procedure = make_procedure(status=before)
    last = OutboxEvent.objects.order_by("pk").last().pk
    ACTIONS[name](procedure, SYSTEM)
    told = OutboxEvent.objects.filter(pk__gt=last, name=event, ordering_key=procedure.accession_number)
    assert told.count() == 1
    assert procedure.history.first().history_change_reason.endswith("[system:system]")


@pytest.mark.parametrize(
    ("before", "needs_vetting", "after"),
    [
        ("cancelled", False, "accepted"),
        ("cancelled", True, "vetting"),
        ("rejected", True, "vetting"),
        ("no_show", False, "accepted"),
        ("discontinued", False, "accepted"),
    ],
)
def test_what_was_closed_is_reopened_under_its_numbers(alpha, before, needs_vetting, after):
    make_catalogue("R", needs_vetting=needs_vetting)
    procedure = make_procedure(codes=["R"], status=before)
    opened = services.reopen_procedure(procedure, reason_text="The patient came after all", actor=make_actor("clerk"))
    assert (opened.status, opened.accession_number, opened.reason_code) == (after, procedure.accession_number, "")
    assert opened.order.status == after
    told = OutboxEvent.objects.filter(name="orders.procedure_status_changed").last()
    assert told.payload["status"] == after


@pytest.mark.parametrize("before", ["accepted", "in_progress", "final", "replaced"])
def test_what_is_not_closed_is_not_reopened(alpha, before):
    with pytest.raises(InvalidTransition):
        services.reopen_procedure(make_procedure(status=before), reason_text="x", actor=SYSTEM)


def test_what_a_sender_holds_for_cancelled_is_not_reopened(alpha):
    procedure = make_procedure(placer_order_number="P1", placer_issuer="HIS")
    services.cancel_procedure(procedure, reason_code="110500", actor=SYSTEM)
    with pytest.raises(Conflict) as refusal:
        services.reopen_procedure(procedure, reason_text="x", actor=SYSTEM)
    assert refusal.value.todo


def test_an_order_that_is_cancelled_too_late_names_the_exam_that_began(alpha):
    make_catalogue("A"), make_catalogue("B")
    order = make_order(codes=["A", "B"])
    second = order.procedures.order_by("pk").last()
    services.mark_started(second, actor=SYSTEM)
    with pytest.raises(InvalidTransition) as refusal:
        services.cancel_order(order, reason_code="110500", actor=SYSTEM)
    assert refusal.value.found.startswith(second.accession_number)
    assert order.procedures.filter(status="cancelled").count() == 0


def test_cancelling_an_order_twice_changes_nothing(alpha):
    order = make_order()
    services.cancel_order(order, reason_code="110500", actor=SYSTEM)
    events = OutboxEvent.objects.count()
    assert services.cancel_order(order, reason_code="110500", actor=SYSTEM).status == "cancelled"
    assert OutboxEvent.objects.count() == events


@pytest.fixture
def client(tclient):
    tclient.user = make_user("clerk")
    tclient.force_login(tclient.user, backend="ris.accounts.backends.PasswordBackend")
    return tclient


@pytest.mark.parametrize(
    ("verb", "before", "body", "after"),
    [
        ("change", "scheduled", {"code": "Y", "reason": "Wrong exam"}, "scheduled"),
        ("replace", "scheduled", {"code": "Y", "reason_code": "110502"}, "replaced"),
        ("hold", "scheduled", {"reason_text": "Fever"}, "on_hold"),
        ("reopen", "cancelled", {"reason_text": "After all"}, "accepted"),
        ("answer", "info_requested", {"answer": "Left"}, "accepted"),
    ],
)
def test_each_is_done_from_the_order_page(client, verb, before, body, after):
    make_catalogue("Y")
    procedure = make_procedure()
    if before == "info_requested":
        services.request_information(procedure, reason_text="Side?", actor=SYSTEM)
    else:
        procedure.status = before
        procedure.save_as(SYSTEM, "put there for a test")
    address = reverse("procedure_action", args=[procedure.uuid, verb])
    assert address in client.get(reverse("order_detail", args=[procedure.order.uuid])).content.decode()
    assert client.post(address, body).status_code == 302
    procedure.refresh_from_db()
    assert procedure.status == after


def test_the_order_as_a_whole_is_changed_on_its_page(client):
    procedure = make_procedure()
    address = reverse("order_change", args=[procedure.order.uuid])
    assert "Change order" in client.get(address).content.decode()
    body = {"priority": "stat", "patient_class": "E", "indication": "Worse now", "transport": "bed"}
    assert client.post(address, body).status_code == 422, "it needs a reason"
    assert client.post(address, {**body, "reason": "The ward called"}).status_code == 302
    order = RequestedProcedure.objects.get().order
    assert (order.priority, order.patient_class, order.transport) == ("stat", "E", "bed")
    assert OutboxEvent.objects.filter(name="orders.order_changed").count() == 1
    RequestedProcedure.objects.update(status="final")
    type(order).objects.update(status="final")
    late = client.post(address, {**body, "reason": "Too late"})
    assert late.status_code == 409 and "This order is over." in late.content.decode()


@pytest.mark.parametrize(
    ("verb", "body", "found"),
    [
        ("hold", {"reason_text": "Fever", "until": "2001-01-01T00:00"}, "Until: "),
        ("change", {"code": "NOPE", "reason": "Wrong exam"}, "Code of the exam that is meant: "),
    ],
)
def test_a_refused_action_names_the_fields_of_its_form(client, verb, body, found):
    answer = client.post(reverse("procedure_action", args=[make_procedure().uuid, verb]), body)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert found in page
    assert "fields that are marked" not in page


@pytest.mark.parametrize("address", ["/orders/?cursor=o²", "/orders/?cursor=n²"])
def test_a_cursor_of_odd_figures_is_no_cursor(client, address):
    assert client.get(address).status_code == 200


def test_the_page_says_the_coded_reason_in_words(client):
    procedure = make_procedure()
    services.cancel_procedure(procedure, reason_code="110505", reason_text="Afraid", actor=SYSTEM)
    page = client.get(reverse("order_detail", args=[procedure.order.uuid])).content.decode()
    assert "Patient refused to continue procedure · Afraid" in page


def test_an_arrival_is_undone_from_the_order_page(client):
    procedure = make_procedure()
    services.mark_arrived(services.mark_scheduled(procedure, actor=SYSTEM), actor=SYSTEM)
    detail = reverse("order_detail", args=[procedure.order.uuid])
    address = reverse("procedure_move", args=[procedure.uuid, "undo-arrival"])
    assert address in client.get(detail).content.decode()
    assert client.post(address, {"next": detail})["Location"] == detail
    procedure.refresh_from_db()
    assert (procedure.status, procedure.arrived_at) == ("scheduled", None)
    told = OutboxEvent.objects.filter(name="orders.procedure_status_changed").order_by("pk").last()
    assert (told.payload["previous"], told.payload["status"]) == ("arrived", "scheduled")
    assert client.post(address, {"next": detail}).status_code == 409
    assert address not in client.get(detail).content.decode()


@pytest.mark.parametrize("name", ["hold", "vet"])
def test_what_is_put_back_gives_its_place_in_the_schedule_back(alpha, name):
    from worklist.models import SPSStatus
    from worklist.services import ensure_step

    procedure = make_procedure()
    step = ensure_step(procedure, actor=SYSTEM)
    procedure.refresh_from_db()
    assert procedure.status == "scheduled"
    ACTIONS[name](procedure, SYSTEM)
    step.refresh_from_db()
    assert step.status == SPSStatus.CANCELED
