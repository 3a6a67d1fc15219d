"""The demo's week: opening hours, time kept for emergencies, shifts, and who waits for an earlier time. Made once."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from django.utils import timezone

from interop.demo import house
from interop.demo.cast import Member
from orders.models import ProcedureStatus, RequestedProcedure
from ris.accounts.models import User
from ris.core.actor import Actor
from worklist import services as worklist
from worklist.models import OpeningHours, Room, Shift, Skill, WaitingEntry

#: A second technologist, so that a patient can ask for a woman
SECOND_TECHNOLOGIST = Member("akoth", "technologist", "", "Beatrice", "Akoth")
PLANNED_DAYS = 14
#: Rooms with a usual week; the others never close: (first weekday, last weekday, opens, closes)
HOURS = {"mg1": (0, 4, time(8), time(16)), "mr1": (0, 6, time(6), time(22))}
#: Who works where, early and late
ROTA = (("technologist", "ct1", 7), ("akoth", "ct2", 7), ("akoth", "mg1", 11))
WAITING = 2


def seed_week() -> dict[str, int]:
    """Rooms, people and exams must be there; a facility that has shifts is left as it is."""
    if Shift.objects.exists():
        return {"shifts": 0, "waiting": 0}
    rooms = {room.code: room for room in Room.objects.filter(is_active=True)}
    people = {"akoth": house.ensure_member(SECOND_TECHNOLOGIST)}
    people["technologist"] = User.objects.get(username="technologist")
    _ensure_hours(rooms)
    _ensure_skills(people)
    return {"shifts": _plan_shifts(rooms, people), "waiting": _let_wait()}


def _ensure_hours(rooms: dict[str, Room]) -> None:
    for code, (first, last, opens, closes) in HOURS.items():
        room = rooms.get(code)
        if room is not None and not OpeningHours.objects.filter(room=room).exists():
            week = [(day, opens, closes) for day in range(first, last + 1)]
            worklist.set_opening_hours(room, hours=week, actor=house.SEEDER)
    for weekday in range(5):
        worklist.reserve_time(
            rooms["ct2"], weekday=weekday, begins=time(12), ends=time(13), purpose="Emergencies", actor=house.SEEDER
        )


def _ensure_skills(people: dict[str, User]) -> None:
    skills = {}
    for code, name in (("contrast", "Contrast injection"), ("mammography", "Mammography")):
        skills[code], _new = Skill.objects.get_or_create(code=code, defaults={"name": name})
    known = [skills["contrast"]]
    worklist.set_staff_profile(people["technologist"], sex="M", skills=known, actor=house.SEEDER)
    worklist.set_staff_profile(people["akoth"], sex="F", skills=skills.values(), actor=house.SEEDER)


def _plan_shifts(rooms: dict[str, Room], people: dict[str, User]) -> int:
    count = 0
    for number in range(PLANNED_DAYS):
        day = timezone.localdate() + timedelta(days=number)
        for username, code, hour in ROTA:
            begin = timezone.make_aware(datetime.combine(day, time(hour)))
            length = timedelta(hours=4 if hour == 7 and username == "akoth" else 8)
            worklist.plan_shift(
                technologist=people[username],
                room=rooms[code],
                starts_at=begin,
                ends_at=begin + length,
                actor=house.SEEDER,
            )
            count += 1
    return count


def _let_wait() -> int:
    clerk = Actor("web", User.objects.get(username="clerk"))
    rows = RequestedProcedure.objects.filter(status=ProcedureStatus.ACCEPTED, order__patient__is_restricted=False)
    for procedure in rows.exclude(waiting_entries__in=WaitingEntry.objects.open()).order_by("pk")[:WAITING]:
        worklist.add_to_waiting_list(procedure, note="Mornings suit best", time_until=time(13), actor=clerk)
    return WaitingEntry.objects.open().count()
