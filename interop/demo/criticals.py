"""A rota for the coming weeks, and critical results in every state they can be in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.utils import timezone

from interop.demo import clock
from orders.models import RequestedProcedure
from reporting import services as reporting
from reporting.models import CriticalResult
from ris.accounts.models import User
from ris.core.actor import Actor
from ris.notifications.models import Duty, RotaShift
from ris.notifications.rota import add_shift, substitute_shift

PHONES = {
    "ward": "ext. 2201",
    "duty-doctor": "ext. 2210",
    "department-head": "ext. 2300",
    "radiologist-on-call": "ext. 2400",
    "desk": "ext. 2100",
}
#: Who holds a duty day and night; the radiologists on call take turns below.
HOLDERS = {"ward": "technologist", "duty-doctor": "resident", "department-head": "qa", "desk": "clerk"}
DAYS, GAP = 14, 5
#: What an exam's text gives reason for: category and finding
FINDINGS = {
    "MRLSPINE": (1, "Cauda equina compression at L4/5"),
    "CTKUB": (2, "Obstructing ureteric stone with fever"),
    "XRWRIST": (2, "Fracture not seen in the emergency room"),
    "CTCAPC": (3, "Liver lesion: oncology to be told"),
    "USLIVER": (3, "Gallstones found by chance"),
}
#: (minutes ago, what became of it), with the exams it is looked for on, the best first
ALERTS = (
    (8, "open", ("MRLSPINE", "CTKUB")),
    (64, "escalated", ("MRLSPINE", "CTKUB", "XRWRIST")),
    (240, "withdrawn", ("XRWRIST", "USLIVER", "CTCAPC", "CTKUB")),
    (95, "acknowledged", ("MRLSPINE", "CTKUB", "XRWRIST", "CTCAPC", "USLIVER")),
    (150, "communicated", ("CTKUB", "XRWRIST", "CTCAPC", "USLIVER")),
    (320, "closed", ("CTKUB", "XRWRIST", "MRLSPINE", "CTCAPC", "USLIVER")),
    (200, "tried", ("CTKUB", "XRWRIST", "CTCAPC", "USLIVER")),
    (2900, "open", ("CTCAPC", "USLIVER")),
)


def seed_rota(people: Mapping[str, User]) -> None:
    """Two weeks from yesterday; one night has nobody, so that a gap is to be seen."""
    if RotaShift.objects.exists():
        return
    actor = Actor("command", people["radiologist"])
    for duty in Duty.objects.filter(phone="", code__in=PHONES):
        duty.phone = PHONES[duty.code]
        duty.save_as(actor, "Seeded")
    start = timezone.localtime().replace(hour=8, minute=0, second=0, microsecond=0) - timedelta(days=1)
    for duty_code, holder in HOLDERS.items():
        add_shift(
            duty=duty_code, user=people[holder], starts_at=start, ends_at=start + timedelta(days=DAYS), actor=actor
        )
    turns = (people["radiologist"], people["mutua"])
    for day in range(DAYS):
        if day == GAP:
            continue
        begin = start + timedelta(days=day)
        shift = add_shift(
            duty="radiologist-on-call",
            user=turns[day % 2],
            starts_at=begin,
            ends_at=begin + timedelta(days=1),
            actor=actor,
        )
        if day == 2:
            substitute_shift(shift, substitute=turns[1], actor=actor)


def seed_criticals(people: Mapping[str, User]) -> None:
    """One alert for each line above, on the newest report of the best exam that is left."""
    radiologist, referrer = Actor("web", people["radiologist"]), Actor("web", people["referrer"])
    read = RequestedProcedure.objects.filter(status__in=("preliminary", "final", "amended", "distributed"))
    taken: set[int] = set()
    for minutes, became, codes in ALERTS:
        found = (read.filter(code=code).exclude(pk__in=taken).order_by("-performed_at").first() for code in codes)
        procedure = next(filter(None, found), None)
        if procedure is None:
            continue
        taken.add(procedure.pk)
        category, finding = FINDINGS[procedure.code]
        started = timezone.now() - timedelta(minutes=minutes)
        with clock.at(started):
            critical = reporting.raise_critical_result(
                procedure, category=category, finding=finding, report=procedure.reports.first(), actor=radiologist
            )
        _go_on(critical, became, started, radiologist, referrer)


def _go_on(critical: CriticalResult, became: str, started: datetime, radiologist: Actor, referrer: Actor) -> None:
    if became == "escalated":
        for minutes in (31, 47):
            with clock.at(started + timedelta(minutes=minutes)):
                critical = reporting.escalate(critical, at_once=critical.category != 1, actor=Actor("beat"))
        return
    if became == "withdrawn":
        with clock.at(started + timedelta(minutes=6)):
            reporting.withdraw_critical(critical, reason="Skin fold, seen on the lateral view", actor=radiologist)
        return
    if became == "acknowledged":
        with clock.at(started + timedelta(minutes=9)):
            reporting.acknowledge_critical(critical, actor=referrer)
        return
    if became in ("tried", "communicated", "closed"):
        with clock.at(started + timedelta(minutes=7)):
            reporting.log_contact(
                critical, channel="phone", person="Ward 2 desk", outcome="no_answer", duty="Ward", actor=radiologist
            )
    if became in ("communicated", "closed"):
        with clock.at(started + timedelta(minutes=14)):
            critical = reporting.log_contact(
                critical, channel="phone", person="Dr Kilonzo", outcome="reached", read_back=True, actor=radiologist
            )
    if became == "closed":
        with clock.at(started + timedelta(minutes=90)):
            reporting.close_critical(critical, actor=radiologist)
