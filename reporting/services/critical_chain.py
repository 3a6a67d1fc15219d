"""Whom an alert goes to: the levels of its category's chain, and who stands there now.

The chain is resolved anew at every level, so a patient who moved or a shift that changed is followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from reporting.models import (
    REQUESTER,
    AlertCategory,
    CriticalCategory,
    CriticalResult,
    EscalationRule,
    FindingChoice,
)
from ris.accounts.models import User
from ris.accounts.selectors import facility_settings, users_with_role
from ris.core.permissions import CLERK, QA_LEAD, RADIOLOGIST
from ris.notifications.models import Channel, Duty
from ris.notifications.rota import DESK, duty_of_ward
from ris.notifications.services import on_duty

#: Minutes until it must be told, and between the steps of the chain, by category; the first a facility may change.
MINUTES = {1: 30, 2: 360, 3: 10080}
STEP_MINUTES = {1: 15, 2: 120, 3: 2880}
WARD = "ward"
#: The chain where a category has none of its own.
CHAIN = (REQUESTER, WARD, "duty-doctor", "department-head", "radiologist-on-call")
STARTERS = (
    ("cat1", gettext_noop("Cat 1 · minutes"), 1, "red", "alert-octagon", True),
    ("cat2", gettext_noop("Cat 2 · hours"), 2, "orange", "alert-triangle", False),
    ("cat3", gettext_noop("Cat 3 · days"), 3, "amber", "alert-circle", False),
)
FINDINGS = {
    "cat1": (
        gettext_noop("Tension pneumothorax"),
        gettext_noop("Intracranial haemorrhage"),
        gettext_noop("Acute aortic dissection"),
        gettext_noop("Central pulmonary embolism"),
        gettext_noop("Testicular or ovarian torsion"),
        gettext_noop("Free intraperitoneal air"),
        gettext_noop("Ectopic pregnancy"),
        gettext_noop("Spinal cord compression"),
        gettext_noop("Misplaced tube or line"),
    ),
    "cat2": (
        gettext_noop("Appendicitis"),
        gettext_noop("Abscess"),
        gettext_noop("Deep vein thrombosis"),
        gettext_noop("Obstructed, infected kidney"),
        gettext_noop("Unstable fracture"),
        gettext_noop("Pneumonia with complications"),
    ),
    "cat3": (
        gettext_noop("New mass, suspected cancer"),
        gettext_noop("Lung nodule that needs follow-up"),
        gettext_noop("Suspected tuberculosis"),
        gettext_noop("Aneurysm without signs of rupture"),
    ),
}


@dataclass(frozen=True)
class Level:
    """A level of the chain: ``number`` as it stands in it, who, how, and how long after the level before."""

    number: int
    contact: str
    wait_minutes: int | None
    channels: tuple[str, ...]


@dataclass
class Contacts:
    """Who stands at a level: people with an account, and shared addresses (channel, address) of a duty or practice."""

    label: str
    phone: str = ""
    people: list[User] = field(default_factory=list)
    mailboxes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.people and not self.mailboxes


def minutes_of(category: int) -> int:
    """How long a finding of this ACR category may wait, as the facility decides."""
    chosen = facility_settings().critical_minutes or {}
    try:
        return max(1, int(chosen.get(str(category), MINUTES[category])))
    except (TypeError, ValueError):
        return MINUTES[category]


def limit_of(category: int, alert_category: AlertCategory | None) -> timedelta:
    """How long it may wait until it is told."""
    own = alert_category.minutes if alert_category is not None else None
    return timedelta(minutes=own or minutes_of(category))


def category_for(severity: int) -> AlertCategory | None:
    """The site's first category that stands for an ACR category; None where it keeps none."""
    return AlertCategory.objects.filter(severity=severity, is_active=True).first()


def chain_of(critical: CriticalResult) -> list[Level]:
    rules = []
    if critical.alert_category is not None:
        rules = [rule for rule in critical.alert_category.chain.all() if rule.is_active]
    if not rules:
        return [Level(number, contact, None, tuple(Channel.values)) for number, contact in enumerate(CHAIN)]
    return [
        Level(number, rule.contact, rule.wait_minutes, tuple(rule.channels))
        for number, rule in enumerate(sorted(rules, key=lambda rule: rule.level))
    ]


def level_of(critical: CriticalResult, number: int) -> Level:
    """That level; behind the last one it is the last again, until somebody answers."""
    chain = chain_of(critical)
    return chain[min(number, len(chain) - 1)]


def next_at(critical: CriticalResult, after: int, now: datetime) -> datetime:
    """When the level behind ``after`` falls due, counted from now; the first one when the time to tell is up."""
    wait = level_of(critical, after + 1).wait_minutes
    if wait is not None:
        return now + timedelta(minutes=wait)
    if after == 0:
        return critical.due_at
    return now + timedelta(minutes=STEP_MINUTES[critical.category])


def contacts_at(critical: CriticalResult, number: int) -> Contacts:
    """Who is told at a level. One that is not staffed passes to the next; behind the last stand all radiologists,
    with the quality leads once the chain is through, so it is never silent. Who raised it hears of every later level.
    """
    chain = chain_of(critical)
    first = min(number, len(chain) - 1)
    found, passed_on = Contacts(""), False
    for level in chain[first:]:
        found = _standing_at(critical, level)
        if not found.is_empty:
            passed_on = level.number > first
            break
    if found.is_empty:
        roles = (RADIOLOGIST,) if number < len(chain) else (RADIOLOGIST, QA_LEAD)
        found = Contacts(_("All radiologists"), people=list(users_with_role(*roles).order_by("pk")))
        passed_on = True
    raiser = critical.raised_by
    if (number > 0 or passed_on) and raiser is not None and raiser.is_active and raiser not in found.people:
        found.people.append(raiser)
    return found


def _standing_at(critical: CriticalResult, level: Level) -> Contacts:
    if level.contact == REQUESTER:
        return _requester(critical, level.channels)
    duty = None
    if level.contact == WARD:
        duty = duty_of_ward(critical.procedure.order.location)
    duty = duty or Duty.objects.filter(code=level.contact, is_active=True).first()
    code = duty.code if duty is not None else level.contact
    people = on_duty(code)
    if not people and duty is not None and duty.location:  # nobody on this ward's own rota: the wards' common one
        people = on_duty(WARD)
    found = Contacts(duty.name if duty is not None else code, people=people)
    if duty is not None:
        found.phone = duty.phone
        for channel, address in ((Channel.EMAIL, duty.email), (Channel.SMS, duty.sms)):
            if address and channel in level.channels:
                found.mailboxes.append((channel, address))
    return found


def _requester(critical: CriticalResult, channels: tuple[str, ...]) -> Contacts:
    """The physician who asked: by their account, else where the practice is known to be."""
    requester = critical.procedure.order.requester
    if requester is None:
        return Contacts("")
    found = Contacts(requester.display_name, phone=requester.phone)
    if requester.user is not None and requester.user.is_active:
        found.people.append(requester.user)
        return found
    for channel, address in ((Channel.EMAIL, requester.email), (Channel.SMS, requester.phone)):
        if address and channel in channels:
            found.mailboxes.append((channel, address))
    return found


def desk() -> list[User]:
    """Who hears when an alert reaches nobody: the desk's shift, else every clerk."""
    return on_duty(DESK) or list(users_with_role(CLERK).order_by("pk"))


def ensure_categories() -> int:
    """The ACR's three with their findings and the common chain, where the facility keeps no category yet."""
    if AlertCategory.objects.exists():
        return 0
    for place, (code, name, severity, tone, icon, is_solid) in enumerate(STARTERS):
        row = AlertCategory(
            code=code,
            name=_(name),
            severity=severity,
            needs_read_back=severity != CriticalCategory.DAYS,
            tone=tone,
            icon=icon,
            is_solid=is_solid,
            position=place,
        )
        row.save()
        for level, contact in enumerate(CHAIN):
            wait = STEP_MINUTES[severity] if level > 1 else None
            EscalationRule(category=row, level=level, contact=contact, wait_minutes=wait).save()
        for number, text in enumerate(FINDINGS[code]):
            FindingChoice(category=row, text=_(text), position=number).save()
    return len(STARTERS)
