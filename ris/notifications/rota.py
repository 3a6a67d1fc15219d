"""The rota: who is on duty for what, who stands in, and where nobody is. Kept by people, asked by whatever alarms.

A duty without a row in the table is still one: its code is its name, nothing says that it must be staffed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.clock import database_now
from ris.core.errors import InvalidData, InvalidTransition
from ris.notifications.models import Duty, RotaShift
from ris.notifications.permissions import CHANGE_ROTA

LONGEST_SHIFT = timedelta(days=31)
MOST_REPEATS = 26
DESK = "desk"
#: What a facility begins with; it renames, adds and switches off.
STARTERS = (
    ("ward", gettext_noop("Ward")),
    ("duty-doctor", gettext_noop("Duty doctor")),
    ("department-head", gettext_noop("Head of department")),
    ("radiologist-on-call", gettext_noop("Radiologist on call")),
    (DESK, gettext_noop("Radiology desk")),
    ("reading", gettext_noop("Reading")),
)


def ensure_duties() -> int:
    """The duties a facility begins with, where it has none yet."""
    if Duty.objects.exists():
        return 0
    for place, (code, name) in enumerate(STARTERS):
        Duty(code=code, name=_(name), position=place, must_be_staffed=code == "radiologist-on-call").save()
    return len(STARTERS)


# --- asked


@dataclass(frozen=True)
class OnDuty:
    """A duty with who holds it now."""

    duty: Duty
    shifts: list[RotaShift]

    @property
    def is_gap(self) -> bool:
        return not self.shifts and self.duty.must_be_staffed


@dataclass(frozen=True)
class Gap:
    """A stretch of time in which a duty that must be staffed is not."""

    duty: Duty
    starts_at: datetime
    ends_at: datetime


def holder(shift: RotaShift) -> User:
    """Who is really there: the substitute, where one is named."""
    return shift.substitute or shift.user


def live_shifts() -> QuerySet[RotaShift]:
    return RotaShift.objects.filter(cancelled_at__isnull=True).select_related("user", "substitute")


def shifts_of(duty: str, at: datetime | None = None) -> list[RotaShift]:
    """Shifts that run at a moment (now), the one that began last first; those of people who left are no shifts."""
    at = at or database_now()
    rows = live_shifts().filter(duty=duty, starts_at__lte=at, ends_at__gt=at).order_by("-starts_at", "pk")
    return [row for row in rows if holder(row).is_active and not holder(row).is_service]


def duty_of_ward(location: str, duties: Iterable[Duty] | None = None) -> Duty | None:
    """The duty that stands for the place an order names; None where it has none of its own."""
    wanted = slugify(location)
    if not wanted:
        return None
    rows = Duty.objects.filter(is_active=True).exclude(location="") if duties is None else duties
    return next((row for row in rows if row.location and slugify(row.location) == wanted), None)


def on_duty_now(at: datetime | None = None) -> list[OnDuty]:
    """Every duty in use with who holds it; two queries."""
    at = at or database_now()
    found: dict[str, list[RotaShift]] = {}
    for shift in live_shifts().filter(starts_at__lte=at, ends_at__gt=at).order_by("-starts_at", "pk"):
        if holder(shift).is_active and not holder(shift).is_service:
            found.setdefault(shift.duty, []).append(shift)
    return [OnDuty(duty, found.get(duty.code, [])) for duty in Duty.objects.filter(is_active=True)]


def shifts_between(starts: datetime, ends: datetime) -> list[RotaShift]:
    return list(live_shifts().filter(starts_at__lt=ends, ends_at__gt=starts).order_by("starts_at", "pk"))


def gaps_between(starts: datetime, ends: datetime, *, duties: Iterable[Duty], shifts: Iterable[RotaShift]) -> list[Gap]:
    """Where a duty that must be staffed is not, from now on; in the order of their beginning."""
    gaps = []
    for duty in duties:
        if not duty.must_be_staffed:
            continue
        taken = sorted((row.starts_at, row.ends_at) for row in shifts if row.duty == duty.code)
        for begin, end in _wanted(duty, starts, ends):
            gaps += [Gap(duty, *piece) for piece in _without(begin, end, taken)]
    return sorted(gaps, key=lambda gap: (gap.starts_at, gap.duty.position))


def _wanted(duty: Duty, starts: datetime, ends: datetime) -> list[tuple[datetime, datetime]]:
    """The stretches of time in which a duty has to be staffed; hours past midnight belong to the day they begin on."""
    if duty.staffed_from is None or duty.staffed_until is None:
        return [(starts, ends)]
    pieces = []
    day = timezone.localtime(starts).date() - timedelta(days=1)
    while day <= timezone.localtime(ends).date():
        begin = _at(day, duty.staffed_from)
        end = _at(day if duty.staffed_until > duty.staffed_from else day + timedelta(days=1), duty.staffed_until)
        if begin < ends and end > starts:
            pieces.append((max(begin, starts), min(end, ends)))
        day += timedelta(days=1)
    return pieces


def _at(day: date, hour: time) -> datetime:
    return timezone.make_aware(datetime.combine(day, hour))


def _without(begin: datetime, end: datetime, taken: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    pieces = []
    for first, last in taken:
        if last <= begin or first >= end:
            continue
        if first > begin:
            pieces.append((begin, first))
        begin = max(begin, last)
    if begin < end:
        pieces.append((begin, end))
    return pieces


# --- changed


@service(CHANGE_ROTA, action=Action.CREATE)
def add_shift(
    *,
    duty: str,
    user: User,
    starts_at: datetime,
    ends_at: datetime,
    substitute: User | None = None,
    note: str = "",
    repeat_weeks: int = 0,
    actor: Actor,
) -> RotaShift:
    """Put somebody on duty; ``repeat_weeks`` puts them there again in each of the following weeks.

    Answers the first shift. Raises InvalidData for impossible times, and when the person has that duty then already.
    """
    errors = {}
    if not Duty.objects.filter(code=duty, is_active=True).exists():
        errors["duty"] = _("There is no such duty.")
    if ends_at <= starts_at:
        errors["ends_at"] = _("Must lie after the beginning.")
    elif ends_at - starts_at > LONGEST_SHIFT:
        errors["ends_at"] = _("A shift lasts a month at most.")
    if not 0 <= repeat_weeks <= MOST_REPEATS:
        errors["repeat_weeks"] = _("0 to %(count)d.") % {"count": MOST_REPEATS}
    errors.update(_wrong_people(user, substitute))
    if errors:
        raise InvalidData(_("This shift cannot be kept."), errors=errors)
    first = None
    for week in range(repeat_weeks + 1):
        # the same hour by the clock on the wall, whatever summer time does
        begin, end = (_weeks_later(moment, week) for moment in (starts_at, ends_at))
        if live_shifts().filter(duty=duty, user=user, starts_at__lt=end, ends_at__gt=begin).exists():
            raise InvalidData(
                _("This person has that duty then already."),
                errors={"starts_at": _("Meets another shift on %(day)s.") % {"day": f"{begin:%Y-%m-%d}"}},
            )
        shift = RotaShift(duty=duty, user=user, substitute=substitute, starts_at=begin, ends_at=end, note=note.strip())
        _save(shift, actor)
        first = first or shift
    assert first is not None
    return first


@service(CHANGE_ROTA, action=Action.UPDATE)
def change_shift(
    shift: RotaShift,
    *,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    note: str | None = None,
    actor: Actor,
) -> RotaShift:
    """Other times for a shift, or another note."""
    shift = _live(shift)
    shift.starts_at, shift.ends_at = starts_at or shift.starts_at, ends_at or shift.ends_at
    if shift.ends_at <= shift.starts_at:
        raise InvalidData(_("This shift cannot be kept."), errors={"ends_at": _("Must lie after the beginning.")})
    if note is not None:
        shift.note = note.strip()[:120]
    return _save(shift, actor)


@service(CHANGE_ROTA, action=Action.UPDATE)
def substitute_shift(shift: RotaShift, *, substitute: User | None, actor: Actor) -> RotaShift:
    """Somebody stands in for who holds the shift; None: its holder is back."""
    shift = _live(shift)
    errors = _wrong_people(shift.user, substitute)
    if errors:
        raise InvalidData(_("This substitute cannot stand in."), errors=errors)
    shift.substitute = substitute
    return _save(shift, actor)


@service(CHANGE_ROTA, action=Action.UPDATE)
def cancel_shift(shift: RotaShift, *, actor: Actor) -> RotaShift:
    """Nobody is on duty by this shift any more; it stays to be read."""
    shift = _live(shift)
    shift.cancelled_at = database_now()
    return _save(shift, actor)


def _live(shift: RotaShift) -> RotaShift:
    shift = RotaShift.objects.select_for_update(of=("self",)).get(pk=shift.pk)
    if shift.cancelled_at is not None:
        raise InvalidTransition(_("This shift was taken off the rota."), todo=_("Add a new one."))
    return shift


def _save(shift: RotaShift, actor: Actor) -> RotaShift:
    shift._history_user = actor.user
    shift.save()
    return shift


def _wrong_people(user: User, substitute: User | None) -> dict[str, str]:
    errors = {}
    for field, somebody in (("user", user), ("substitute", substitute)):
        if somebody is not None and (not somebody.is_active or somebody.is_service):
            errors[field] = _("Has no account in use.")
    if substitute is not None and substitute.pk == user.pk:
        errors["substitute"] = _("Must be somebody else.")
    return errors


def _weeks_later(moment: datetime, weeks: int) -> datetime:
    local = timezone.localtime(moment)
    return timezone.make_aware(local.replace(tzinfo=None) + timedelta(weeks=weeks))


def people_to_choose(*, actor: Actor) -> QuerySet[User]:
    """Who may be put on duty."""
    actor.require(CHANGE_ROTA)
    return User.objects.filter(is_active=True, is_service=False).order_by("family_name", "given_name", "pk")


def duty_names() -> dict[str, str]:
    return dict(Duty.objects.filter(Q(is_active=True)).values_list("code", "name"))
