"""Every transition of a requested procedure: its happy path, its refusal, its history row, its event, its audit row."""

from __future__ import annotations

import pytest

from orders import services
from orders.models import LIFE_CYCLE, Charge, PriceItem, ProcedureStatus, RequestedProcedure
from orders.services import lifecycle
from ris.audit.models import AuditEvent, Outcome
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from tests.factories.orders import SYSTEM, make_actor, make_catalogue, make_order, make_procedure

pytestmark = pytest.mark.django_db
PERSON = Actor("system")

#: (service, from, to, arguments)
WALKS = [
    ("accept_procedure", "vetting", "accepted", {}),
    ("accept_procedure", "info_requested", "accepted", {}),
    ("hold_procedure", "accepted", "on_hold", {"reason_text": "No contrast in the house"}),
    ("hold_procedure", "scheduled", "on_hold", {"reason_text": "Patient has fever"}),
    ("request_information", "vetting", "info_requested", {"reason_text": "Which side?"}),
    ("release_procedure", "on_hold", "accepted", {}),
    ("reject_procedure", "vetting", "rejected", {"reason_code": "110510"}),
    ("return_to_vetting", "accepted", "vetting", {}),
    ("cancel_procedure", "arrived", "cancelled", {"reason_code": "110504", "reason_text": "In the night"}),
    ("mark_scheduled", "accepted", "scheduled", {}),
    ("mark_unscheduled", "scheduled", "accepted", {}),
    ("mark_arrived", "scheduled", "arrived", {}),
    ("undo_arrival", "arrived", "scheduled", {}),
    ("mark_started", "arrived", "in_progress", {}),
    ("mark_performed", "in_progress", "performed", {}),
    ("mark_images_complete", "performed", "ready_to_read", {}),
    ("mark_completed_by_technologist", "in_progress", "performed", {}),
    ("mark_reading", "ready_to_read", "reading", {}),
    ("mark_preliminary", "reading", "preliminary", {}),
    ("mark_verified", "reading", "final", {}),
    ("mark_verified", "preliminary", "final", {}),
    ("mark_amended", "distributed", "amended", {}),
    ("mark_distributed", "final", "distributed", {}),
    ("mark_discontinued", "in_progress", "discontinued", {"code": "110501"}),
    ("mark_no_show", "scheduled", "no_show", {}),
    ("mark_report_withdrawn", "final", "ready_to_read", {}),
]


@pytest.mark.parametrize(("name", "before", "after", "arguments"), WALKS)
def test_a_step_is_taken_written_down_and_told(alpha, name, before, after, arguments):
    procedure = make_procedure(status=before)
    versions = procedure.history.count()
    moved = getattr(services, name)(procedure, actor=SYSTEM, **arguments)
    stored = RequestedProcedure.objects.get(pk=procedure.pk)
    assert moved.status == stored.status == stored.order.status == after
    assert stored.life_cycle == LIFE_CYCLE[after]
    assert procedure.history.count() > versions
    assert procedure.history.first().history_change_reason.endswith("[system:system]")
    told = OutboxEvent.objects.filter(name="orders.procedure_status_changed").last()
    assert (told.payload["status"], told.payload["previous"]) == (after, before)
    assert told.ordering_key == stored.accession_number
    if not name.startswith(("mark", "undo")):
        assert AuditEvent.objects.filter(event_type__startswith="orders.", entity=procedure.uuid).exists()


@pytest.mark.parametrize(
    ("name", "before", "arguments"),
    [
        ("accept_procedure", "in_progress", {}),
        ("hold_procedure", "in_progress", {"reason_text": "x"}),
        ("request_information", "scheduled", {"reason_text": "x"}),
        ("release_procedure", "accepted", {}),
        ("reject_procedure", "in_progress", {"reason_code": "110510"}),
        ("cancel_procedure", "in_progress", {"reason_code": "110510"}),
        ("cancel_procedure", "final", {"reason_code": "110510"}),
        ("mark_scheduled", "in_progress_and_performed", {}),
        ("mark_arrived", "cancelled", {}),
        ("mark_started", "cancelled", {}),
        ("mark_performed", "accepted", {}),
        ("mark_reading", "accepted", {}),
        ("mark_preliminary", "scheduled", {}),
        ("mark_verified", "performed", {}),
        ("mark_distributed", "preliminary", {}),
        ("mark_amended", "reading", {}),
        ("mark_discontinued", "scheduled", {}),
        ("mark_no_show", "in_progress", {}),
        ("protocol_procedure", "in_progress", {"protocol": "CTPA"}),
    ],
)
def test_a_step_that_the_table_has_not_is_refused_and_changes_nothing(alpha, name, before, arguments):
    procedure = make_procedure(status="performed" if before.endswith("performed") else before)
    before_history, before_events = procedure.history.count(), OutboxEvent.objects.count()
    with pytest.raises(InvalidTransition) as refusal:
        getattr(services, name)(procedure, actor=SYSTEM, **arguments)
    assert refusal.value.found and refusal.value.todo
    assert RequestedProcedure.objects.get(pk=procedure.pk).status == procedure.status
    assert (procedure.history.count(), OutboxEvent.objects.count()) == (before_history, before_events)


def test_a_repeat_changes_nothing(alpha):
    procedure = make_procedure(status="scheduled")
    services.mark_arrived(procedure, actor=SYSTEM)
    events = OutboxEvent.objects.count()
    services.mark_arrived(procedure, actor=SYSTEM)
    assert OutboxEvent.objects.count() == events


def test_every_status_has_a_life_cycle_and_every_status_is_reached_by_somebody():
    assert set(LIFE_CYCLE) == set(ProcedureStatus.values)
    reachable = set().union(*RequestedProcedure.transitions.values())
    assert reachable | {"requested"} == set(ProcedureStatus.values)


def test_a_cancellation_says_why_from_the_coded_list(alpha):
    procedure = make_procedure(status="accepted")
    with pytest.raises(InvalidData) as refusal:
        services.cancel_procedure(procedure, reason_code="because", actor=SYSTEM)
    assert list(refusal.value.errors) == ["reason_code"]
    services.cancel_procedure(procedure, reason_code="110505", actor=SYSTEM)
    told = OutboxEvent.objects.get(name="orders.procedure_cancelled")
    assert told.payload["reason_code"] == "110505"


def test_an_order_is_cancelled_as_a_whole_or_not_at_all(alpha):
    make_catalogue("A")
    make_catalogue("B")
    order = make_order(codes=["A", "B"])
    first, second = order.procedures.order_by("pk")
    services.mark_started(second, actor=SYSTEM)
    with pytest.raises(InvalidTransition):
        services.cancel_order(order, reason_code="110500", actor=SYSTEM)
    assert RequestedProcedure.objects.get(pk=first.pk).status == "accepted"
    other = make_order(codes=["A", "B"])
    assert services.cancel_order(other, reason_code="110500", actor=SYSTEM).status == "cancelled"


def test_an_order_stands_where_its_slowest_living_exam_stands():
    derived = lifecycle.derived_status
    assert derived(["final", "scheduled"]) == "scheduled"
    assert derived(["final", "cancelled"]) == "final"
    assert derived(["cancelled", "cancelled"]) == "cancelled"
    assert derived(["no_show", "cancelled"]) == "cancelled"
    assert derived([]) == "requested"


def test_a_scanner_starts_what_was_never_accepted_and_a_person_does_not(alpha):
    make_catalogue("V", needs_vetting=True)
    procedure = make_procedure(codes=["V"])
    with pytest.raises(InvalidTransition):
        services.mark_started(procedure, actor=make_actor("technologist"))
    started = services.mark_started(procedure, actor=Actor("mpps", ae_title="CT1"))
    assert (started.status, started.started_at is not None) == ("in_progress", True)


def test_images_open_reading_unless_the_technologist_must_complete_first(alpha):
    make_catalogue("W", needs_completion_before_reading=True)
    waits = make_procedure(status="in_progress", codes=["W"])
    services.mark_performed(waits, actor=SYSTEM)
    assert services.mark_images_complete(waits, actor=SYSTEM).status == "performed"
    assert services.mark_completed_by_technologist(waits, actor=SYSTEM).status == "ready_to_read"
    early = make_procedure(status="arrived")
    assert services.mark_images_complete(early, actor=SYSTEM).status == "ready_to_read"
    released = services.mark_reading_released(services.mark_reading(early, actor=SYSTEM), actor=SYSTEM)
    assert released.status == "ready_to_read"


def test_a_hold_has_an_owner_and_an_end(alpha):
    actor = make_actor("clerk")
    procedure = services.hold_procedure(make_procedure(), reason_text="Creatinine is missing", actor=actor)
    assert procedure.held_by == actor.user and procedure.held_until is not None
    released = services.release_procedure(procedure, actor=actor)
    assert (released.held_by, released.held_until, released.reason_text) == (None, None, "")


def test_without_the_right_nothing_happens_and_that_is_recorded(alpha):
    procedure = make_procedure(status="vetting")
    clerk = make_actor("clerk")
    with pytest.raises(NotPermitted):
        services.accept_procedure(procedure, actor=clerk)
    row = AuditEvent.objects.get(event_type="orders.vet_procedure")
    assert (row.outcome, row.user) == (Outcome.REFUSED, clerk.user.uuid)
    assert RequestedProcedure.objects.get(pk=procedure.pk).status == "vetting"


def test_a_replaced_exam_links_to_the_new_one_with_numbers_of_its_own(alpha):
    make_catalogue("OLD")
    make_catalogue("NEW")
    old = make_procedure(codes=["OLD"], status="scheduled")
    new = services.replace_procedure(old, by=services.ProcedureRequest("NEW"), reason_code="110502", actor=SYSTEM)
    old.refresh_from_db()
    assert (old.status, old.replaced_by) == ("replaced", new)
    assert new.accession_number != old.accession_number and new.order == old.order
    assert new.order.status == "accepted"


def test_another_exam_before_it_begins_keeps_the_numbers_and_is_vetted_anew(alpha):
    make_catalogue("PLAIN")
    make_catalogue("HARD", needs_vetting=True)
    procedure = make_procedure(codes=["PLAIN"], status="scheduled")
    changed = services.change_procedure(procedure, code="HARD", actor=SYSTEM)
    assert (changed.status, changed.accession_number) == ("vetting", procedure.accession_number)
    assert OutboxEvent.objects.filter(name="orders.procedure_changed").count() == 1
    with pytest.raises(InvalidTransition):
        services.change_procedure(make_procedure(status="performed"), laterality="L", actor=SYSTEM)


def test_a_protocol_is_told(alpha):
    procedure = services.protocol_procedure(make_procedure(), protocol="CTPA", contrast="Iohexol 70 ml", actor=SYSTEM)
    assert procedure.protocol == "CTPA"
    assert OutboxEvent.objects.filter(name="orders.procedure_changed").exists()


def test_charges_are_drafted_once_confirmed_and_void(alpha):
    row = make_catalogue("PAID")
    PriceItem(code="PAID", label="CT", catalogue=row, amount=100).save_as(SYSTEM, "test")
    procedure = make_procedure(codes=["PAID"], status="performed")
    charge = services.draft_charges(procedure, actor=SYSTEM)[0]
    assert services.draft_charges(procedure, actor=SYSTEM) == []
    assert services.confirm_charge(charge, actor=SYSTEM).status == "billable"
    with pytest.raises(InvalidData):
        services.void_charge(charge, reason=" ", actor=SYSTEM)
    assert services.void_charge(charge, reason="Wrong patient", actor=SYSTEM).status == "aborted"
    assert services.draft_charges(procedure, actor=SYSTEM) and Charge.objects.count() == 2
    with pytest.raises(InvalidTransition):
        services.confirm_charge(charge, actor=SYSTEM)


def test_the_timeline_tells_who_through_which_door_and_what_changed_in_the_order(alpha):
    from orders import selectors

    clerk = make_actor("clerk", given_name="Mercy", family_name="Wafula")
    order = make_order(clerk)
    procedure = order.procedures.get()
    services.mark_started(procedure, actor=Actor("mpps", ae_title="CT1"))
    services.change_order(order, priority="stat", reason="x" * 150, actor=clerk)
    entries = selectors.procedure_timeline(procedure, actor=clerk)
    assert [(entry.who, entry.door, entry.status) for entry in entries] == [
        ("Mercy Wafula", "web", ""),
        ("CT1", "mpps", "in_progress"),
        ("Mercy Wafula", "web", "accepted"),
    ]
    assert entries[0].what.startswith("x" * 50)


def test_upper_apps_add_their_own_steps(alpha, monkeypatch):
    from django.utils import timezone

    from orders import selectors
    from orders.timeline import TimelineEntry
    from ris.core import panels

    own = TimelineEntry(timezone.now(), "Dr Read", "web", "Read", "report")
    panel = panels.Panel("timeline", lambda obj, *, request=None: {"entries": [own]}, "", key="test")
    monkeypatch.setitem(panels._panels, ("timeline", "test"), panel)
    assert own in selectors.procedure_timeline(make_procedure(), actor=SYSTEM)
