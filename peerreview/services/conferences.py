"""Conferences: planned for a day, cases put in an order, ticked as they are shown, held or called off."""

from __future__ import annotations

from datetime import date

from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from peerreview import permissions as perms
from peerreview.models import Conference, ConferenceEntry, ConferenceStatus, LearningCase, LearningStatus
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition

C = ConferenceStatus


@service(perms.COORDINATE_LEARNING, action=Action.CREATE)
def plan_conference(*, title: str, held_on: date, place: str = "", actor: Actor) -> Conference:
    conference = Conference(title=" ".join(title.split()), held_on=held_on, place=" ".join(place.split()))
    _check(conference)
    conference.save_as(actor, "Planned")
    return conference


@service(perms.COORDINATE_LEARNING)
def change_conference(
    conference: Conference,
    *,
    title: str | None = None,
    held_on: date | None = None,
    place: str | None = None,
    actor: Actor,
) -> Conference:
    """Another title, day or place, as long as it was not held."""
    conference = _planned(conference)
    conference.title = conference.title if title is None else " ".join(title.split())
    conference.held_on = held_on or conference.held_on
    conference.place = conference.place if place is None else " ".join(place.split())
    _check(conference)
    conference.save_as(actor, "Changed")
    return conference


def _check(conference: Conference) -> None:
    errors = {}
    if not conference.title or len(conference.title) > 100:
        errors["title"] = _("Needed; at most 100 characters.")
    if len(conference.place) > 100:
        errors["place"] = _("At most 100 characters.")
    if errors:
        raise InvalidData(_("The conference cannot be planned like this."), errors=errors)


def _planned(conference: Conference) -> Conference:
    conference = Conference.locked(conference.pk)
    if conference.status != C.PLANNED:
        raise InvalidTransition(
            _("This conference is over."),
            found=_("It is: %(status)s.") % {"status": conference.get_status_display()},
            todo=_("Plan another one."),
        )
    return conference


@service(perms.COORDINATE_LEARNING)
def add_to_conference(conference: Conference, *, case: LearningCase, actor: Actor) -> ConferenceEntry:
    """At the end of the list. Only what a person has read and found without names."""
    conference = _planned(conference)
    case = LearningCase.locked(case.pk)
    if case.status not in (LearningStatus.READY, LearningStatus.SHOWN):
        raise InvalidTransition(
            _("This case is not ready to be shown."), todo=_("Read it, say that nobody is named in it, then add it.")
        )
    standing = conference.entries.standing()
    if standing.filter(case=case).exists():
        raise Conflict(_("The conference lists this case already."))
    last = standing.aggregate(last=Max("position"))["last"] or 0
    entry = ConferenceEntry(conference=conference, case=case, position=last + 1)
    entry.save_as(actor, "Added")
    return entry


def _standing(entry: ConferenceEntry) -> tuple[Conference, ConferenceEntry]:
    conference = _planned(entry.conference)
    entry = ConferenceEntry.locked(entry.pk)
    if entry.removed_at is not None:
        raise InvalidTransition(_("The conference does not list this case any more."))
    return conference, entry


@service(perms.COORDINATE_LEARNING)
def move_entry(entry: ConferenceEntry, *, up: bool, actor: Actor) -> ConferenceEntry:
    """Swaps places with the case before or after it; at either end nothing changes."""
    conference, entry = _standing(entry)
    others = conference.entries.standing().exclude(pk=entry.pk)
    if up:
        other = others.filter(position__lt=entry.position).order_by("-position").first()
    else:
        other = others.filter(position__gt=entry.position).order_by("position").first()
    if other is not None:
        entry.position, other.position = other.position, entry.position
        other.save_as(actor, "Moved")
        entry.save_as(actor, "Moved")
    return entry


@service(perms.COORDINATE_LEARNING)
def tick_entry(entry: ConferenceEntry, *, shown: bool, actor: Actor) -> ConferenceEntry:
    """The case was shown, or was not after all."""
    _conference, entry = _standing(entry)
    case = LearningCase.locked(entry.case_id)
    if shown != (entry.shown_at is not None):
        entry.shown_at = timezone.now() if shown else None
        entry.save_as(actor, "Shown" if shown else "Not shown")
    elsewhere = case.entries.exclude(pk=entry.pk).filter(shown_at__isnull=False).exists()
    wanted = LearningStatus.SHOWN if shown or elsewhere else LearningStatus.READY
    if case.status != wanted:
        case.move_to(wanted)
        case.save_as(actor, "Shown" if shown else "Not shown")
    entry.case = case
    return entry


@service(perms.COORDINATE_LEARNING)
def remove_entry(entry: ConferenceEntry, *, actor: Actor) -> ConferenceEntry:
    """Off this list; the case stays ready for another one."""
    _conference, entry = _standing(entry)
    if entry.shown_at is not None:
        raise InvalidTransition(_("This case was shown."), todo=_("Take the tick away first."))
    entry.removed_at = timezone.now()
    entry.save_as(actor, "Removed")
    return entry


@service(perms.COORDINATE_LEARNING, action=Action.EXECUTE)
def hold_conference(conference: Conference, *, actor: Actor) -> Conference:
    """It took place; what was not ticked waits for the next one."""
    conference = _planned(conference)
    if not conference.entries.standing().filter(shown_at__isnull=False).exists():
        raise Conflict(_("No case of this conference was shown."), todo=_("Tick what was shown, or cancel it."))
    conference.move_to(C.HELD)
    conference.save_as(actor, "Held")
    return conference


@service(perms.COORDINATE_LEARNING, action=Action.EXECUTE)
def cancel_conference(conference: Conference, *, actor: Actor) -> Conference:
    conference = _planned(conference)
    if conference.entries.standing().filter(shown_at__isnull=False).exists():
        raise Conflict(_("Cases of this conference were shown."), todo=_("Close it as held."))
    conference.move_to(C.CANCELLED)
    conference.save_as(actor, "Cancelled")
    return conference
