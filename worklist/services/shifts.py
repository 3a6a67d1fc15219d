"""Who works where and when: planned, changed, withdrawn. What does not fit together is warned of, not refused."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import CatalogueProcedure, RequestedProcedure, Sex
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core import text
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData
from worklist import permissions as perms
from worklist.models import Reservation, Room, Shift, Skill, SkillRequirement, StaffProfile, Station
from worklist.services.openings import StaffWish, shifts_between
from worklist.services.support import now

LONGEST_SHIFT = timedelta(hours=24)


@service(perms.PLAN_STAFF, action=Action.UPDATE)
def set_staff_profile(
    user: User, *, sex: str = "", skills: Iterable[Skill] | None = None, actor: Actor
) -> StaffProfile:
    """Skills and sex of somebody who is planned; what is not given stays."""
    profile = StaffProfile.objects.filter(user=user).first() or StaffProfile(user=user)
    if sex and sex not in Sex.values:
        raise InvalidData(_("A sex is M, F, O or U."), errors={"sex": _("Not known.")})
    profile.sex = sex or profile.sex
    profile.save_as(actor, "Planned")
    if skills is not None:
        profile._history_user = actor.user
        profile.skills.set(skills)
    return profile


@service(perms.PLAN_STAFF, action=Action.CREATE)
def plan_shift(
    *,
    technologist: User,
    room: Room | None = None,
    station: Station | None = None,
    starts_at: datetime,
    ends_at: datetime,
    note: str = "",
    actor: Actor,
) -> Shift:
    """Somebody in a room for a time. ``shift.warnings`` says where else they are planned."""
    shift = Shift(technologist=technologist)
    _place(shift, room, station, starts_at, ends_at, note)
    if not technologist.is_active or technologist.is_service:
        raise InvalidData(_("That person does not work here any more."), errors={"technologist": _("Not active.")})
    shift.save_as(actor, "Planned")
    shift.warnings = shift_warnings(shift)
    return shift


@service(perms.PLAN_STAFF)
def change_shift(
    shift: Shift,
    *,
    room: Room | None = None,
    station: Station | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    note: str | None = None,
    actor: Actor,
) -> Shift:
    """Another place or time; what is not given stays."""
    shift = Shift.locked(shift.pk)
    _refuse_withdrawn(shift)
    stays = room is None and station is None
    _place(
        shift,
        shift.room if stays else room,
        shift.station if stays else station,
        starts_at or shift.starts_at,
        ends_at or shift.ends_at,
        shift.note if note is None else note,
    )
    shift.save_as(actor, "Changed")
    shift.warnings = shift_warnings(shift)
    return shift


@service(perms.PLAN_STAFF)
def withdraw_shift(shift: Shift, *, reason: str = "", actor: Actor) -> Shift:
    shift = Shift.locked(shift.pk)
    _refuse_withdrawn(shift)
    shift.withdrawn_at = now()
    shift.save_as(actor, f"Withdrawn: {reason}" if reason else "Withdrawn")
    return shift


def _place(
    shift: Shift, room: Room | None, station: Station | None, starts_at: datetime, ends_at: datetime, note: str
) -> None:
    if timezone.is_naive(starts_at) or timezone.is_naive(ends_at):
        raise InvalidData(_("A time needs its zone."), errors={"starts_at": _("Give the time with its zone.")})
    if not timedelta(0) < ends_at - starts_at <= LONGEST_SHIFT:
        words = _("A shift ends after it begins, within 24 hours.")
        raise InvalidData(words, errors={"ends_at": words})
    place = station.room if station is not None else room
    if place is None:
        raise InvalidData(_("Say where: a station or a room."), errors={"room": _("Choose a station or a room.")})
    if room is not None and room.pk != place.pk:
        raise InvalidData(_("That station stands in another room."), errors={"room": _("The station is not there.")})
    shift.room, shift.station = place, station
    shift.starts_at, shift.ends_at, shift.note = starts_at, ends_at, note.strip()[:200]


def _refuse_withdrawn(shift: Shift) -> None:
    if shift.withdrawn_at is not None:
        raise Conflict(
            _("This shift is withdrawn."),
            asked=_("To change it."),
            found=_("It was withdrawn %(when)s.") % {"when": text.stamp(shift.withdrawn_at)},
            todo=_("Plan a new one."),
        )


def shift_warnings(shift: Shift) -> list[str]:
    """The same person planned elsewhere at the same time."""
    others = (
        Shift.objects.current()
        .between(shift.starts_at, shift.ends_at)
        .filter(technologist=shift.technologist_id)
        .exclude(pk=shift.pk)
        .exclude(room=shift.room_id, station=shift.station_id, starts_at=shift.starts_at, ends_at=shift.ends_at)
        .select_related("room")
    )
    return [_elsewhere(shift.technologist, other) for other in others]


def _elsewhere(person: User, other: Shift | Reservation) -> str:
    return _("%(who)s is also planned in %(room)s, %(from)s–%(until)s.") % {
        "who": person.display_name,
        "room": other.room.name,
        "from": text.clock(other.starts_at),
        "until": text.clock(other.ends_at),
    }


# --- what booking asks


def skills_for(procedure: RequestedProcedure | None, catalogue: CatalogueProcedure | None = None) -> frozenset[int]:
    """The skills that an exam needs."""
    row = catalogue or (procedure.catalogue if procedure is not None else None)
    if row is None:
        return frozenset()
    return frozenset(SkillRequirement.objects.filter(catalogue=row).values_list("skill", flat=True))


def booking_warnings(reservation: Reservation) -> list[str]:
    """What does not forbid a booking: the technologist is elsewhere, off, or has not learned it; the patient is."""
    there = [
        row
        for row in shifts_between(reservation.starts_at, reservation.ends_at).filter(room=reservation.room_id)
        if row.starts_at <= reservation.starts_at and row.ends_at >= reservation.ends_at
    ]
    return [
        *_technologist_warnings(reservation, there),
        *_skill_warnings(reservation, there),
        *_patient_warnings(reservation),
    ]


def _technologist_warnings(reservation: Reservation, there: list[Shift]) -> list[str]:
    person = reservation.technologist
    if person is None:
        return []
    others = (
        Reservation.objects.live()
        .filter(technologist=person)
        .between(reservation.starts_at, reservation.ends_at)
        .exclude(pk=reservation.pk)
        .select_related("room")
    )
    found = [_elsewhere(person, other) for other in others]
    planned = Shift.objects.current().between(reservation.starts_at, reservation.ends_at)
    elsewhere = planned.filter(technologist=person).exclude(room=reservation.room_id).select_related("room")
    found += [_elsewhere(person, shift) for shift in elsewhere]
    if there and person.pk not in {row.technologist_id for row in there} and not elsewhere:
        found.append(_("%(who)s is not on shift there at that time.") % {"who": person.display_name})
    return found


def _skill_warnings(reservation: Reservation, there: list[Shift]) -> list[str]:
    needed = skills_for(reservation.procedure)
    if not needed or not there:
        return []
    wish = StaffWish(skills=needed)
    if reservation.technologist is not None:
        profile = StaffProfile.objects.filter(user=reservation.technologist).prefetch_related("skills").first()
        if wish.fits(profile):
            return []
        words = _("%(who)s has not the skill that this exam needs: %(skills)s.")
        return [words % {"who": reservation.technologist.display_name, "skills": _skill_names(needed)}]
    if any(wish.fits(getattr(row.technologist, "staff_profile", None)) for row in there):
        return []
    return [
        _("Nobody on shift there has the skill that this exam needs: %(skills)s.") % {"skills": _skill_names(needed)}
    ]


def _skill_names(pks: Iterable[int]) -> str:
    return ", ".join(Skill.objects.filter(pk__in=pks).values_list("name", flat=True))


def _patient_warnings(reservation: Reservation) -> list[str]:
    if reservation.procedure is None:
        return []
    others = (
        Reservation.objects.live()
        .filter(kind=reservation.kind, procedure__order__patient=reservation.procedure.order.patient_id)
        .between(reservation.starts_at, reservation.ends_at)
        .exclude(pk=reservation.pk)
        .select_related("room", "procedure")
    )
    return [
        _("The patient is also booked for %(exam)s in %(room)s, %(from)s–%(until)s.")
        % {
            "exam": other.procedure.description if other.procedure else "",
            "room": other.room.name,
            "from": text.clock(other.starts_at),
            "until": text.clock(other.ends_at),
        }
        for other in others
    ]
