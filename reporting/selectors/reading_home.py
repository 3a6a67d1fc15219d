"""A reader's home: the same lists and counts as the reading list, what they signed, what waits for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import Count, Min, Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from orders.models import Priority
from reporting.models import ReadingReturn, Report, VersionKind
from reporting.models.reports import SIGNED, ReportVersion
from reporting.reading_times import ON_THE_LIST
from reporting.selectors.reading import ListEntry, built_in_lists
from reporting.selectors.reading_filters import unread
from ris.core import text
from ris.core.actor import Actor

DAYS = 5
#: The bars of a week: each so wide, the highest so high.
WIDE, HIGH = 72, 52


@dataclass(frozen=True)
class Tile:
    entry: ListEntry | None
    label: Any
    icon: str
    number: int
    words: str = ""
    hurts: bool = False


def _age(moment: datetime | None) -> str:
    return text.duration((timezone.now() - moment).total_seconds() / 60) if moment is not None else ""


def tiles(*, actor: Actor) -> list[Tile]:
    """On my list, over time, assigned, to check, drafts: each a list of the reading page. And signed today."""
    entries = {entry.key: entry for entry in built_in_lists(actor)}
    asked: dict[str, Any] = {}
    for key in ("suits", "over", "assigned", "preliminary", "drafts"):
        if key in entries:
            condition = entries[key].filters.condition(actor)
            asked[key] = Count("pk", filter=condition)
            asked[f"{key}_first"] = Min("due_at" if key == "over" else "status_changed_at", filter=condition)
    mine = entries["suits"].filters.condition(actor)
    asked["stat"] = Count("pk", filter=mine & Q(order__priority=Priority.STAT))
    asked["urgent"] = Count("pk", filter=mine & Q(order__priority__in=(Priority.URGENT, Priority.ASAP)))
    numbers = unread(actor).aggregate(**asked)
    words = {"suits": ", ".join(_kinds(numbers))}
    for key in ("over", "preliminary", "drafts"):
        if numbers.get(key):
            words[key] = _("oldest %(age)s") % {"age": _age(numbers[f"{key}_first"])}
    labels = {"suits": _("On my list"), "preliminary": _("Reports to check")}
    found = [
        Tile(entry, labels.get(key, entry.label), entry.icon, numbers[key], words.get(key, ""), key == "over")
        for key in ("suits", "over", "assigned", "preliminary", "drafts")
        if (entry := entries.get(key)) is not None
    ]
    return [*found, _signed_today(actor)]


def _kinds(numbers: dict[str, Any]) -> list[str]:
    found = []
    if numbers["stat"]:
        found.append(ngettext("%(n)d STAT", "%(n)d STAT", numbers["stat"]) % {"n": numbers["stat"]})
    if numbers["urgent"]:
        found.append(ngettext("%(n)d urgent", "%(n)d urgent", numbers["urgent"]) % {"n": numbers["urgent"]})
    return found


def _today() -> datetime:
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def _signed_today(actor: Actor) -> Tile:
    rows = Report.objects.filter(signed_by=actor.user, signed_at__gte=_today(), status__in=SIGNED)
    times = dict(rows.filter(procedures__images_complete_at__isnull=False).values_list("pk", "signed_at"))
    begun = dict(rows.values_list("pk").annotate(begun=Min("procedures__images_complete_at")))
    minutes = [(times[pk] - begun[pk]).total_seconds() / 60 for pk in times if begun.get(pk)]
    words = _("median %(time)s to report") % {"time": text.duration(median(minutes))} if minutes else ""
    return Tile(None, _("Signed today"), "circle-check", len(begun), words)


@dataclass(frozen=True)
class Bar:
    label: str
    count: int
    x: int
    y: float
    height: float
    is_today: bool


def week(*, actor: Actor) -> list[Bar]:
    """Final reports that one signed on each of the last days."""
    begin = _today() - timedelta(days=DAYS - 1)
    signed = ReportVersion.objects.filter(signed_by=actor.user, signed_at__gte=begin, kind=VersionKind.FINAL)
    days = [timezone.localtime(moment).date() for moment in signed.values_list("signed_at", flat=True)]
    wanted = [(begin + timedelta(days=number)).date() for number in range(DAYS)]
    most = max([days.count(day) for day in wanted] + [1])
    found = []
    for place, day in enumerate(wanted):
        height = round(HIGH * days.count(day) / most, 1)
        found.append(
            Bar(date_format(day, "D"), days.count(day), place * WIDE + 14, 72 - height, height, place == DAYS - 1)
        )
    return found


@dataclass(frozen=True)
class Waiting:
    """A line of "Waiting for you"."""

    icon: str
    title: str
    words: str
    query: str


def waiting_for(*, actor: Actor, shown: list[Tile]) -> list[Waiting]:
    """What only this person can do: drafts, first readings to check, exams that came back."""
    found = []
    titles = {
        "preliminary": (_("Check %(n)d report"), _("Check %(n)d reports")),
        "drafts": (_("Finish %(n)d draft"), _("Finish %(n)d drafts")),
        "assigned": (_("Read %(n)d exam assigned to you"), _("Read %(n)d exams assigned to you")),
    }
    for tile in shown:
        if tile.entry is not None and tile.entry.key in titles and tile.number:
            one, many = titles[tile.entry.key]
            title = (one if tile.number == 1 else many) % {"n": tile.number}
            found.append(Waiting(tile.icon, title, tile.words, tile.entry.query))
    back = ReadingReturn.objects.filter(
        sent_by=actor.user, closed_at__isnull=False, procedure__status__in=ON_THE_LIST
    ).aggregate(n=Count("pk"), first=Min("closed_at"))
    if back["n"]:
        title = ngettext(
            "%(n)d exam came back from the technologist", "%(n)d exams came back from the technologist", back["n"]
        )
        words = _("the first %(age)s ago") % {"age": _age(back["first"])}
        found.append(Waiting("rotate-clockwise", title % {"n": back["n"]}, words, ""))
    return found
