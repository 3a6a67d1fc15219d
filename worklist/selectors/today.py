"""A room's day at one look, and the round of the wards."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db.models import Prefetch, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import Modality, ProcedureStatus, RequestedProcedure
from ris.core.actor import Actor
from worklist.models import QueueTicket
from worklist.selectors.console import DONE, WAITING, day_bounds, exams, in_list_order, place_condition, tab_condition
from worklist.services.screening import open_questions

S = ProcedureStatus
SECTIONS = ("scheduled", "arrived", "in_progress", "performed", "undocumented")
READ_AT_MOST = 400
SHOWN_AT_MOST = 60
#: "ICU B4", "Ward 3, bed 12": the bed is the last word, and has a letter and a number.
BED = re.compile(r"^(?P<ward>.*?)[\s,·/]+(?P<bed>[A-Za-z]{1,4}[\s.-]?\d{1,3}[A-Za-z]?)$")
#: What goes to the bed.
PORTABLE = (Modality.DX, Modality.CR, Modality.US)


@dataclass
class Section:
    key: str
    words: str
    rows: list[Any] = field(default_factory=list)
    hidden: int = 0

    @property
    def count(self) -> int:
        return len(self.rows) + self.hidden


def _words() -> dict[str, str]:
    return {
        "scheduled": _("Scheduled"),
        "arrived": _("Arrived"),
        "in_progress": _("In progress"),
        "performed": _("Performed"),
        "undocumented": _("Undocumented"),
    }


def section_of(row: RequestedProcedure) -> str:
    if row.status in DONE:
        is_open = row.completed_by_technologist_at is None and row.status != S.DISCONTINUED
        return "undocumented" if is_open else "performed"
    if row.status == S.IN_PROGRESS:
        return "in_progress"
    return "arrived" if row.status == S.ARRIVED else "scheduled"


def today_board(*, day: date, room: str = "", actor: Actor) -> list[Section]:
    """Everything of the day in its section, and what was never written up. A fixed number of queries."""
    condition = tab_condition("today", day) | tab_condition("done", day) | tab_condition("undocumented", day)
    rows = _read(condition & place_condition(room, ""), actor)
    words = _words()
    sections = {key: Section(key, words[key]) for key in SECTIONS}
    for row in in_list_order(rows):
        section = sections[section_of(row)]
        if len(section.rows) < SHOWN_AT_MOST:
            section.rows.append(row)
        else:
            section.hidden += 1
    return list(sections.values())


def _read(condition: Q, actor: Actor) -> list[Any]:
    tickets = Prefetch("tickets", QueueTicket.objects.filter(day=timezone.localdate()), to_attr="todays_tickets")
    keys = RequestedProcedure.objects.filter(condition).values("pk")
    rows: list[Any] = list(exams(actor=actor).filter(pk__in=keys).prefetch_related(tickets)[:READ_AT_MOST])
    to_ask = open_questions([row for row in rows if row.status in (*WAITING, S.ACCEPTED)])
    for row in rows:
        row.step = next(iter(row.steps.all()), None)
        row.ticket = next(iter(row.todays_tickets), None)
        row.to_ask = to_ask.get(row.pk, [])
    return rows


@dataclass
class Ward:
    name: str
    rows: list[Any]


def ward_and_bed(location: str) -> tuple[str, str]:
    """The ward, and the bed where the location names one."""
    found = BED.match(location.strip())
    return (found["ward"], found["bed"]) if found and found["ward"] else (location.strip(), "")


def ward_round(*, actor: Actor) -> tuple[list[Ward], int]:
    """Who lies on a ward and waits for the portable machine, by ward, urgent wards first; and how many are done."""
    day = timezone.localdate()
    begin, end = day_bounds(day)
    portable = Q(modality__in=PORTABLE) & ~Q(order__location="")
    today = Q(steps__starts_at__gte=begin, steps__starts_at__lt=end)
    waiting = Q(status=S.ACCEPTED) | Q(status=S.IN_PROGRESS) | Q(status__in=(S.SCHEDULED, S.ARRIVED)) & today
    rows = in_list_order(_read(portable & waiting, actor))
    wards: dict[str, list[Any]] = {}
    for row in rows:
        ward, row.bed = ward_and_bed(row.order.location)
        wards.setdefault(ward, []).append(row)
    done = RequestedProcedure.objects.visible_to(actor).filter(portable & tab_condition("done", day)).count()
    return [Ward(name, found) for name, found in wards.items()], done
