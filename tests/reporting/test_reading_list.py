"""The reading list: when a report is due, whose exam it is, what is refused, and why something is not there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from orders import services as orders
from orders.models import CatalogueProcedure, RequestedProcedure
from reporting import selectors, services
from reporting.models import (
    ReaderProfile,
    ReadingGroup,
    ReadingItem,
    ReadingLock,
    ReadingReturn,
    SavedList,
    SlaTarget,
)
from reporting.querysets import LOCK_IDLE
from reporting.selectors.reading_filters import ReadingFilter
from reporting.services.locks import HeldByAnother, claim_stale_locks, expire_lock
from reporting.services.reading import claim_items, minutes_for, wake_item
from reporting.services.reading_groups import set_group
from reporting.services.reading_rules import candidates
from ris.accounts.models import User
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.core.errors import AlreadyExists, Conflict, InvalidData, InvalidTransition, NotKnown, NotPermitted
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification, RotaShift
from tests.factories.accounts import SiteFactory, actor_with_roles
from tests.factories.reporting import drafted, make_patient, make_procedure, signed
from worklist.models import ImagingStudy
from worklist.selectors.console import console_list

pytestmark = pytest.mark.django_db


def placed(**fields: Any) -> RequestedProcedure:
    """An exam whose images are complete, with its place on the list."""
    procedure = make_procedure(**fields)
    services.place_on_list(procedure, actor=SYSTEM)
    return procedure


def place_of(procedure: RequestedProcedure) -> ReadingItem:
    return ReadingItem.objects.get(procedure=procedure)


def on_shift(user: User, duty: str = "reading", hours: int = 4) -> RotaShift:
    now = timezone.now()
    return RotaShift.objects.create(
        duty=duty, user=user, starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=hours)
    )


def group(code: str = "neuro", *members: Any, **fields: Any) -> ReadingGroup:
    row = ReadingGroup(code=code, name=code.title(), **fields)
    row.save_as(SYSTEM, "Made")
    row.members.set([member.user for member in members])
    return row


def told(template: str, user: Any) -> int:
    return Notification.objects.filter(template=template, recipient=user.user).count()


def listed(actor: Any, **filters: Any) -> list[str]:
    rows = selectors.reading_list(actor=actor, filters=ReadingFilter(**filters))
    return [row.accession_number for row in rows]


# --- due


@pytest.mark.parametrize(
    "priority, patient_class, modality, minutes",
    [
        ("stat", "O", "CT", 30),
        ("stat", "E", "CT", 20),
        ("routine", "E", "CT", 240),
        ("routine", "I", "MG", 4320),
        ("routine", "O", "DX", 600),
    ],
)
def test_the_most_exact_report_time_counts(
    alpha: Any, priority: str, patient_class: str, modality: str, minutes: int
) -> None:
    rows = [
        SlaTarget(priority="stat", minutes=30),
        SlaTarget(priority="stat", patient_class="E", minutes=20),
        SlaTarget(patient_class="E", minutes=240),
        SlaTarget(modality="MG", minutes=4320),
        SlaTarget(minutes=600),
    ]
    assert minutes_for(priority, patient_class, modality, rows) == minutes


def test_the_clock_starts_when_the_images_are_complete(people: Any) -> None:
    procedure = make_procedure(status="performed", priority="urgent", images_complete_at=None)
    complete = timezone.now() - timedelta(minutes=7)
    orders.mark_images_complete(procedure, at=complete, actor=SYSTEM)
    place = place_of(procedure)
    assert (place.counted_from, place.minutes, place.due_at) == (complete, 120, complete + timedelta(minutes=120))
    orders.mark_images_complete(procedure, at=timezone.now(), actor=SYSTEM)
    assert place_of(procedure).due_at == place.due_at


def test_the_administrator_sets_report_times_and_the_list_follows(people: Any) -> None:
    manager = actor_with_roles("it_admin")
    slow, fast = placed(modality="MR", minutes_ago=30), placed(modality="CT", minutes_ago=10)
    assert listed(people.radiologist) == [slow.accession_number, fast.accession_number]
    row = services.set_sla_target(modality="CT", priority="routine", minutes=15, actor=manager)
    assert listed(people.radiologist) == [fast.accession_number, slow.accession_number]
    with pytest.raises(AlreadyExists):
        services.set_sla_target(modality="CT", priority="routine", minutes=20, actor=manager)
    services.set_sla_target(row, modality="CT", priority="routine", minutes=5000, actor=manager)
    assert place_of(fast).minutes == 5000
    for minutes in (0, None, 10**9):
        with pytest.raises(InvalidData):
            services.set_sla_target(minutes=minutes, actor=manager)
    with pytest.raises(NotPermitted):
        services.set_sla_target(minutes=5, modality="US", actor=people.radiologist)


def test_another_priority_moves_the_row(people: Any) -> None:
    procedure = placed(priority="routine")
    orders.change_order(procedure.order, priority="stat", actor=people.radiologist)
    assert place_of(procedure).minutes == 30
    assert place_of(procedure).history.first().history_change_reason.startswith("Follows its order")


def test_over_time_is_told_once(people: Any) -> None:
    procedure = placed(priority="stat", minutes_ago=45)
    services.assign_exam(procedure, to=people.other.user, actor=people.radiologist)
    for _twice in range(2):
        for item in claim_items():
            wake_item(item)
    place = place_of(procedure)
    assert place.breached_at is not None and place.wakes_at is None
    assert OutboxEvent.objects.filter(name="reporting.reading_overdue").count() == 1
    assert told("reporting.reading_overdue", people.other) == 1


# --- whose it is


def test_an_exam_falls_to_the_first_group_that_fits(people: Any) -> None:
    exam = CatalogueProcedure.objects.create(code="CTCARD", name="CT heart", modality="CT", body_region="chest")
    named = group("cardiac", position=50)
    named.catalogue.add(exam)
    group("children", position=1, children_only=True)
    group("chest", position=2, modalities=["CT", "DX"], body_regions=["chest"])
    group("by-hand", position=0)
    child = make_patient(birth_date=timezone.localdate() - timedelta(days=900))
    cases = {
        "cardiac": placed(catalogue=exam, patient=child),
        "children": placed(patient=child, modality="MR"),
        "chest": placed(modality="DX"),
    }
    assert {code: place_of(row).group.code for code, row in cases.items()} == {code: code for code in cases}
    assert place_of(placed(modality="US", body_region="abdomen")).group is None
    assert listed(people.radiologist, group=("chest",)) == [cases["chest"].accession_number]


def test_a_group_gives_to_whoever_is_on_shift_and_has_least(people: Any) -> None:
    third = actor_with_roles("radiologist")
    busy, free, off = people.radiologist, people.other, third
    group("chest", busy, free, off, body_regions=["chest"], assigns="least_load")
    on_shift(busy.user)
    shift = on_shift(free.user, "reading-chest")
    services.assign_exam(placed(modality="MR", body_region="head"), to=busy.user, actor=people.radiologist)
    given = placed()
    place = place_of(given)
    assert (place.assigned_to, place.assigned_until, place.assigned_by) == (free.user, shift.ends_at, None)
    ReaderProfile(user=free.user, most_at_once=1).save_as(SYSTEM, "Set")
    assert place_of(placed()).assigned_to == busy.user
    on_shift(off.user, "reading-neuro")
    assert {row.user.pk: row.against for row in candidates(given, group=place.group)}[off.user.pk] == ""


def test_the_end_of_a_shift_frees_what_a_rule_gave(people: Any) -> None:
    group("chest", people.radiologist, body_regions=["chest"], assigns="least_load")
    on_shift(people.radiologist.user)
    by_rule, by_hand = placed(), placed(modality="MR", body_region="head")
    services.assign_exam(by_hand, to=people.radiologist.user, actor=people.other)
    RotaShift.objects.update(ends_at=timezone.now() - timedelta(minutes=1))
    ReadingItem.objects.filter(procedure=by_rule).update(
        assigned_until=timezone.now() - timedelta(minutes=1), wakes_at=timezone.now() - timedelta(minutes=1)
    )
    for item in claim_items():
        wake_item(item)
    assert place_of(by_rule).assigned_to is None and place_of(by_rule).wakes_at is not None
    assert place_of(by_hand).assigned_to == people.radiologist.user


def test_changing_a_group_sorts_what_waits_anew(people: Any) -> None:
    manager = actor_with_roles("it_admin")
    procedure, by_hand = placed(), placed()
    row = group("night", people.other)
    services.assign_exam(by_hand, group=row, actor=people.radiologist)
    chest = set_group(None, {"code": "chest", "name": "Chest", "body_regions": ["chest"]}, actor=manager)
    assert (place_of(procedure).group, place_of(by_hand).group) == (chest, row)
    set_group(chest, {"is_active": False}, actor=manager)
    assert place_of(procedure).group is None


def test_claim_assign_and_release(people: Any) -> None:
    procedure = placed()
    services.claim_exam(procedure, actor=people.radiologist)
    assert listed(people.radiologist, assigned="me") == [procedure.accession_number]
    with pytest.raises(Conflict, match="Wekesa"):
        services.claim_exam(procedure, actor=people.resident)
    services.assign_exam(procedure, to=people.resident.user, actor=people.radiologist)
    assert told("reporting.exams_assigned", people.resident) == 1
    with pytest.raises(NotPermitted):
        services.assign_exam(procedure, to=people.other.user, actor=people.resident)
    services.release_exam(procedure, actor=people.resident)
    assert (place_of(procedure).assigned_to, place_of(procedure).is_by_hand) == (None, False)
    assert AuditEvent.objects.filter(event_type="reporting.assign_reading", outcome="0").count() == 1


def test_nobody_is_given_what_they_may_not_see_or_read(people: Any) -> None:
    here, there = SiteFactory(), SiteFactory()
    bound = actor_with_roles("radiologist", sites=(there,))
    procedure = placed()
    procedure.order.site = here
    procedure.order.save()
    for wrong in (bound, people.clerk, people.referrer.actor):
        with pytest.raises(InvalidData):
            services.assign_exam(procedure, to=wrong.user, actor=people.radiologist)
    against = {row.user.pk: row.against for row in candidates(procedure, group=None)}
    assert "does not work at this site" in against[bound.user.pk] and against[people.other.user.pk] == ""
    done = placed(status="final")
    with pytest.raises(InvalidTransition):
        services.assign_exam(done, to=people.other.user, actor=people.radiologist)


def test_next_is_the_most_urgent_that_suits(people: Any) -> None:
    neuro = group("neuro", people.other, modalities=["MR"])
    group("nobodys", body_regions=["spine"])
    theirs = placed(modality="MR", priority="stat", minutes_ago=100)
    assigned = placed(priority="stat", minutes_ago=90)
    services.assign_exam(assigned, to=people.other.user, actor=people.radiologist)
    held = placed(priority="stat", minutes_ago=80)
    services.open_report([held], actor=people.resident)
    spine = placed(modality="DX", body_region="spine", priority="urgent", minutes_ago=60)
    mine = placed(priority="routine", minutes_ago=30)
    first = services.open_next(actor=people.radiologist)
    second = services.open_next(after=spine, actor=people.radiologist)
    assert [first.first_procedure, second.first_procedure] == [spine, mine]
    with pytest.raises(NotKnown):
        services.open_next(actor=people.radiologist)
    assert services.open_next(actor=people.other).first_procedure in (theirs, assigned)
    assert neuro.code in place_of(theirs).group.code


def test_a_shift_for_one_group_narrows_next_to_it(people: Any) -> None:
    group("chest", people.radiologist, modalities=["CT"])
    group("neuro", people.radiologist, modalities=["MR"])
    placed(priority="stat")
    neuro = placed(modality="MR")
    on_shift(people.radiologist.user, "reading-neuro")
    assert services.open_next(actor=people.radiologist).first_procedure == neuro


def test_a_first_reading_is_checked_by_another_and_never_by_a_resident(people: Any) -> None:
    procedure = placed()
    services.sign_preliminary(drafted(procedure, actor=people.radiologist), actor=people.radiologist)
    for nobody in (people.radiologist, people.resident):
        with pytest.raises(NotKnown):
            services.open_next(actor=nobody)
    assert services.open_next(actor=people.other).first_procedure == procedure


def test_a_batch_says_of_each_what_became_of_it(people: Any) -> None:
    good, held, done = placed(), placed(), placed(status="final")
    services.open_report([held], actor=people.other)
    outcomes = services.batch([good, held, done], verb="claim", actor=people.radiologist)
    assert [row.is_done for row in outcomes] == [True, False, False]
    assert "Mutua" in outcomes[1].refusal and "not on the reading list" in outcomes[2].refusal
    services.batch([good, held], verb="priority", priority="stat", actor=people.radiologist)
    assert [place_of(row).minutes for row in (good, held)] == [30, 30]
    services.batch([good, held], verb="assign", to=people.resident.user, actor=people.radiologist)
    assert told("reporting.exams_assigned", people.resident) == 1
    assert not services.batch([good], verb="priority", priority="now", actor=people.radiologist)[0].is_done
    for rows, verb in (([good], "sign"), ([], "claim")):
        with pytest.raises(InvalidData):
            services.batch(rows, verb=verb, actor=people.radiologist)


# --- back to the technologist


def test_sent_back_it_stands_on_the_console_and_returns_when_fixed(people: Any) -> None:
    technologist = actor_with_roles("technologist")
    procedure = placed(priority="stat", minutes_ago=10)
    due = place_of(procedure).due_at
    report = drafted(procedure, actor=people.radiologist)
    services.send_back(procedure, reason="side", text="Which wrist is it?", actor=people.radiologist)
    procedure.refresh_from_db()
    assert (procedure.status, listed(people.radiologist)) == ("performed", [])
    assert told("reporting.exam_sent_back", technologist) == 1
    today = console_list(tab="undocumented", day=timezone.localdate(), actor=technologist)
    assert [row.pk for row in today] == [procedure.pk]
    assert "Which wrist is it?" in selectors.why_not_here(procedure.accession_number, actor=people.radiologist).words
    ReadingReturn.objects.update(sent_at=timezone.now() - timedelta(minutes=20))
    orders.mark_completed_by_technologist(procedure, actor=technologist)
    assert listed(people.radiologist) == [procedure.accession_number]
    assert ReadingReturn.objects.get().closed_at is not None
    assert due + timedelta(minutes=19) < place_of(procedure).due_at < due + timedelta(minutes=21)
    assert services.open_report([procedure], actor=people.radiologist) == report


def test_what_is_not_sent_back(people: Any) -> None:
    held, checked = placed(), placed()
    services.open_report([held], actor=people.other)
    with pytest.raises(HeldByAnother):
        services.send_back(held, reason="quality", text="Motion.", actor=people.radiologist)
    services.sign_preliminary(drafted(checked, actor=people.resident), actor=people.resident)
    with pytest.raises(InvalidTransition):
        services.send_back(checked, reason="quality", text="Motion.", actor=people.radiologist)
    for wrong in ({"reason": "bored", "text": "x"}, {"reason": "quality", "text": "  "}):
        with pytest.raises(InvalidData):
            services.send_back(held, actor=people.other, **wrong)
    with pytest.raises(NotPermitted):
        services.send_back(held, reason="quality", text="x", actor=people.clerk)
    assert ReadingReturn.objects.count() == 0


# --- locks


def test_an_idle_lock_expires_and_the_draft_stays(people: Any) -> None:
    procedure = placed()
    report = drafted(procedure, actor=people.radiologist)
    fresh = placed()
    services.open_report([fresh], actor=people.radiologist)
    ReadingLock.objects.filter(procedure=procedure).update(heartbeat_at=timezone.now() - LOCK_IDLE)
    for lock in claim_stale_locks():
        expire_lock(lock)
    procedure.refresh_from_db()
    assert (procedure.status, ReadingLock.objects.get().procedure) == ("ready_to_read", fresh)
    assert listed(people.radiologist, reader="draft") == [procedure.accession_number, fresh.accession_number]
    taken = services.open_report([procedure], actor=people.other)
    assert (taken, taken.sections["impression"]) == (report, report.sections["impression"])


def test_who_is_taken_over_is_told_and_why_is_written_down(people: Any) -> None:
    report = drafted(placed(), actor=people.other)
    with pytest.raises(InvalidData):
        services.take_over(report, reason=" ", actor=people.radiologist)
    with pytest.raises(NotPermitted):
        services.take_over(report, reason="Shift ends", actor=people.resident)
    services.ask_to_release(report.first_procedure, actor=people.resident)
    services.take_over(report, reason="Shift ends", actor=people.radiologist)
    assert (told("reporting.release_asked", people.other), told("reporting.taken_over", people.other)) == (1, 1)
    assert AuditEvent.objects.get(event_type="reporting.take_over", action="E").reason == "Shift ends"
    with pytest.raises(InvalidTransition):
        services.ask_to_release(report.first_procedure, actor=people.radiologist)


# --- why is it not here


def why(procedure: RequestedProcedure, actor: Any, **filters: Any) -> Any:
    return selectors.why_not_here(procedure.accession_number, actor=actor, filters=ReadingFilter(**filters))


def test_why_says_the_exact_reason(people: Any) -> None:
    reader = people.radiologist
    listed_one, held = placed(), placed()
    services.open_report([held], actor=people.other)
    services.assign_exam(listed_one, to=people.other.user, actor=reader)
    done = signed(placed(), actor=people.other).first_procedure
    replaced = make_procedure(status="replaced", replaced_by=listed_one)
    coming = make_procedure(status="performed", images=212)
    ImagingStudy.objects.filter(procedures=coming).update(expected_instance_count=260)
    cases = [
        (why(listed_one, reader), "listed", "assigned to Asha Mutua"),
        (why(listed_one, reader, modality=("MR",), due="over"), "filtered", "Modality: MR; Due: over time"),
        (why(held, reader), "locked", "Asha Mutua has it open since"),
        (why(done, reader), "read", "signed by Asha Mutua"),
        (why(replaced, reader), "replaced", listed_one.accession_number),
        (why(coming, reader), "images", "212 of 260 images"),
        (why(make_procedure(status="performed"), reader), "images", "no image has arrived"),
        (why(make_procedure(status="scheduled"), reader), "not_performed", "has not arrived"),
        (why(make_procedure(status="cancelled", reason_text="Ordered twice"), reader), "closed", "Ordered twice"),
    ]
    assert [(found.code, words in found.words) for found, _code, words in cases] == [
        (code, True) for _found, code, _words in cases
    ]
    unknown = selectors.why_not_here("NOPE-1", actor=reader)
    assert (unknown.code, unknown.procedure) == ("unknown", None)


def test_why_says_which_rule_hides_it_and_nothing_more(people: Any) -> None:
    here, there = SiteFactory(name="Main"), SiteFactory(name="Kilima")
    bound = actor_with_roles("radiologist", sites=(there,))
    other_site = placed()
    other_site.order.site = here
    other_site.order.save()
    restricted = placed(patient=make_patient("SECRET", is_restricted=True))
    found = why(other_site, bound)
    assert (found.code, found.procedure) == ("site", None)
    assert "Main" in found.words and "Kilima" in found.words
    found = why(restricted, people.radiologist)
    assert (found.code, found.procedure) == ("restricted", None) and "SECRET" not in found.words


# --- saved lists


def test_lists_are_kept_ordered_and_shared(people: Any) -> None:
    reader, other = people.radiologist, people.other
    placed(modality="MR")
    first = services.save_list(name=" MR  today ", filters=ReadingFilter(modality=("MR",)), actor=reader)
    second = services.save_list(name="Mine", filters=ReadingFilter(assigned="me"), actor=reader)
    names = [entry.label for entry in selectors.saved_lists(actor=reader) if entry.saved]
    services.move_list(second, up=True, actor=reader)
    moved = [entry.label for entry in selectors.saved_lists(actor=reader) if entry.saved]
    assert (names, moved) == (["MR today", "Mine"], ["Mine", "MR today"])
    assert [entry for entry in selectors.saved_lists(actor=other) if entry.saved] == []
    services.share_list(first, is_shared=True, role="radiologist", actor=reader)
    shared = [row for row in selectors.list_counts(selectors.saved_lists(actor=other), actor=other) if row[0].saved]
    assert [(entry.label, count) for entry, count in shared] == [("MR today", 1)]
    assert [entry for entry in selectors.saved_lists(actor=people.resident) if entry.saved] == []
    for act in (
        lambda: services.change_list(first, name="Stolen", actor=other),
        lambda: services.remove_list(first, actor=other),
        lambda: services.share_list(first, is_shared=False, actor=other),
        lambda: services.share_list(second, is_shared=True, actor=people.resident),
    ):
        with pytest.raises(NotPermitted):
            act()
    services.change_list(first, name="MR", filters=ReadingFilter(modality=("MR", "CT")), actor=reader)
    assert SavedList.objects.get(pk=first.pk).query == {"modality": ["MR", "CT"]}
    with pytest.raises(InvalidData):
        services.save_list(name=" ", filters=ReadingFilter(), actor=reader)
    services.remove_list(first, actor=reader)
    assert SavedList.objects.count() == 1


def test_what_waited_before_lists_had_places_is_sorted_too(people: Any) -> None:
    """Rows without a place (older than the table) count from their images all the same."""
    late, placed_one = make_procedure(minutes_ago=1000), placed(minutes_ago=900)
    early = make_procedure(priority="stat", minutes_ago=1)
    assert listed(people.radiologist) == [row.accession_number for row in (early, late, placed_one)]
    services.claim_exam(late, actor=people.radiologist)
    assert place_of(late).due_at == late.images_complete_at + timedelta(minutes=1440)
