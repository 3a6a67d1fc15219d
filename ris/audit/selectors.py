"""What is asked of the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from ris.audit.models import AuditEvent
from ris.core.actor import Actor

#: What an app keeps from some who may read the trail: ``rule(actor)`` is the condition of rows not shown to them.
Rule = Callable[[Actor], Q | None]
_kept: list[Rule] = []


def keep_from_readers(rule: Rule) -> Rule:
    """Register a rule. The row itself stays, sealed, and whoever is not its reader by that rule sees it."""
    _kept.append(rule)
    return rule


def events_for(actor: Actor) -> QuerySet[AuditEvent]:
    """The trail as this actor may read it, newest first."""
    events = AuditEvent.objects.order_by("-pk")
    for rule in _kept:
        if (condition := rule(actor)) is not None:
            events = events.exclude(condition)
    return events


#: What a search may ask for; the identifiers among them never stand in an address.
FILTERS = (
    "user_name",
    "patient",
    "entity",
    "accession_number",
    "event_type",
    "source",
    "action",
    "outcome",
    "since",
    "until",
    "correlation_id",
)


def search_events(filters: Mapping[str, Any], *, actor: Actor) -> QuerySet[AuditEvent]:
    """Newest first. ``patient`` finds lists that showed them too; ``event_type`` is a beginning; days are inclusive."""
    events = events_for(actor)
    if patient := filters.get("patient"):
        events = events.filter(Q(patient=patient) | Q(patients__contains=[patient]))
    if name := filters.get("user_name"):
        events = events.filter(Q(user_name__iexact=name) | Q(ae_title=name))
    if beginning := filters.get("event_type"):
        events = events.filter(event_type__startswith=beginning)
    for exact in ("entity", "accession_number", "source", "action", "correlation_id"):
        if filters.get(exact):
            events = events.filter(**{exact: filters[exact]})
    if (outcome := filters.get("outcome")) not in (None, ""):
        events = events.filter(outcome=outcome)
    if since := filters.get("since"):
        events = events.filter(recorded_at__gte=_start(since))
    if until := filters.get("until"):
        events = events.filter(recorded_at__lt=_end(until))
    return events


def _start(moment: date | datetime) -> datetime:
    return moment if isinstance(moment, datetime) else timezone.make_aware(datetime.combine(moment, time.min))


def _end(moment: date | datetime) -> datetime:
    return moment if isinstance(moment, datetime) else _start(moment) + timedelta(days=1)
