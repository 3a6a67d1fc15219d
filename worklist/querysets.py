"""Steps, appointments, studies and exceptions, as far as an actor may see them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from orders.querysets import order_condition
from ris.core.actor import Actor

#: Kinds of reservation that give their time back by themselves: a person's hold, an offer to who waits.
HELD = ("hold", "offer")


class ReservationQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Blocks and holds are everybody's; appointments follow their order."""
        seen = order_condition(actor, "procedure__order__")
        return self.filter(Q(procedure__isnull=True) | seen) if seen else self.all()

    def live(self) -> Self:
        """What occupies its room now: booked, and not a hold that ran out."""
        return self.filter(status__in=("booked", "arrived", "fulfilled")).exclude(
            kind__in=HELD, hold_expires_at__lt=timezone.now()
        )

    def expired_holds(self) -> Self:
        return self.filter(kind__in=HELD, status="booked", hold_expires_at__lt=timezone.now())

    def between(self, begin: datetime, end: datetime) -> Self:
        return self.filter(starts_at__lt=end, ends_at__gt=begin)


class ShiftQuerySet(models.QuerySet):
    def current(self) -> Self:
        return self.filter(withdrawn_at__isnull=True)

    def between(self, begin: datetime, end: datetime) -> Self:
        return self.filter(starts_at__lt=end, ends_at__gt=begin)


class ClosureQuerySet(models.QuerySet):
    def current(self) -> Self:
        return self.filter(withdrawn_at__isnull=True)

    def between(self, begin: datetime, end: datetime) -> Self:
        return self.filter(starts_at__lt=end, ends_at__gt=begin)

    def of_rooms(self, rooms: Iterable[Any]) -> Self:
        """Of these rooms, their sites, or the whole house."""
        rows = list(rooms)
        sites = {row.site_id for row in rows if row.site_id}
        return self.filter(Q(room__in=rows) | Q(room__isnull=True, site__isnull=True) | Q(site__in=sites))


class ReservedTimeQuerySet(models.QuerySet):
    def current(self) -> Self:
        return self.filter(withdrawn_at__isnull=True)


class WaitingQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        if not actor.may("worklist.view_schedule"):
            return self.none()
        return self.filter(order_condition(actor, "procedure__order__"))

    def open(self) -> Self:
        return self.filter(status__in=("waiting", "offered"))


class OfferQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        if not actor.may("worklist.view_schedule"):
            return self.none()
        return self.filter(order_condition(actor, "entry__procedure__order__"))


class StepQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(order_condition(actor, "procedure__order__"))

    def for_display(self) -> Self:
        return self.select_related(
            "procedure__order__patient", "procedure__order__requester", "procedure__catalogue", "station__room"
        ).prefetch_related("procedure__order__patient__identifiers", "procedure__order__patient__alert_rows")


class PerformedStepQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Unmatched ones are for those who reconcile; a match follows its order."""
        matched = Q(scheduled_steps__in=_visible_steps(actor))
        if actor.may("worklist.resolve_exception"):
            matched |= Q(scheduled_steps__isnull=True)
        return self.filter(matched).distinct()


class TicketQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(order_condition(actor, "procedure__order__"))

    def waiting(self, day: date) -> Self:
        """Of that day, whose exam has not begun."""
        return self.filter(day=day, procedure__status="arrived")


class ReminderQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(order_condition(actor, "appointment__procedure__order__"))


class PreferenceQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Of patients the actor may see; the row names its patient by UUID."""
        from orders.models import Patient

        return self.filter(patient__in=Patient.objects.visible_to(actor).values("uuid"))


class StudyQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        matched = Q(procedures__in=_visible_procedures(actor))
        if actor.may("worklist.resolve_exception"):
            matched |= Q(procedures__isnull=True, merged_into__isnull=True)
        return self.filter(matched).distinct()


class InstanceQuerySet(models.QuerySet):
    def visible(self) -> Self:
        """What may be shown and sent: not what a rejection note has taken back."""
        return self.filter(is_rejected=False)


class ExceptionQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        if not actor.may("worklist.resolve_exception"):
            return self.none()
        return self.filter(Q(procedure__isnull=True) | Q(procedure__in=_visible_procedures(actor)))

    def open(self) -> Self:
        return self.filter(resolved_at__isnull=True)


class ReconciliationQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Both exams must be visible: an act on a restricted patient's exam is not told by its other side."""
        if not actor.may("worklist.resolve_exception"):
            return self.none()
        seen = _visible_procedures(actor)
        return self.filter(Q(source__isnull=True) | Q(source__in=seen), Q(target__isnull=True) | Q(target__in=seen))


def _visible_procedures(actor: Actor) -> models.QuerySet:
    from orders.models import RequestedProcedure

    return RequestedProcedure.objects.visible_to(actor).values("pk")


def _visible_steps(actor: Actor) -> models.QuerySet:
    from worklist.models import ScheduledProcedureStep

    return ScheduledProcedureStep.objects.visible_to(actor).values("pk")
