"""What an actor may see: every query of clinical rows starts from ``visible_to(actor)``, over real keys.

Three rules meet: a right (``orders.view_patient``), the patients (restricted ones need a grant or a break-glass; a
referring physician sees only patients with an order of theirs), and the sites a person works at.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Self

from django.apps import apps
from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from ris.accounts.grants import sees_clinical_content
from ris.accounts.memory import remembered
from ris.accounts.models import BreakGlass
from ris.core import permissions
from ris.core.actor import Actor

if TYPE_CHECKING:
    from ris.accounts.models import User

VIEW_PATIENT = "orders.view_patient"
NOTHING = Q(pk__in=[])


def _patients() -> QuerySet:
    return apps.get_model("orders", "Patient")._base_manager.all()


def _grants(user: User) -> QuerySet:
    grants = apps.get_model("orders", "PatientUserObjectPermission")
    return grants.objects.filter(user=user, permission__codename="view_restricted_patient").values("content_object_id")


def is_bound_to_own_orders(user: User) -> bool:
    """A referring physician who is nothing else in the department."""
    return user.has_role(permissions.REFERRER) and not user.has_role(*permissions.DEPARTMENT)


def _sites_of(user: User) -> list[int]:
    """Where a person works; a page asks it for each of its queries."""
    return remembered(f"sites of user {user.pk}", lambda: list(user.sites.values_list("pk", flat=True)))


class _OneOf(models.Func):
    """Its first argument is in the array that the second one is: asked once, where ``IN`` may be asked row by row."""

    template, arg_joiner, output_field = "(%(expressions)s))", " = any(", models.BooleanField()


def _own_patients(user: User) -> QuerySet:
    """Of the orders that a referring physician made or gets copies of: two ways in by index, not one join with all."""
    orders = apps.get_model("orders", "Order")
    practitioners = apps.get_model("accounts", "Practitioner")._base_manager.filter(user=user)
    own = remembered(f"practitioners of user {user.pk}", lambda: list(practitioners.values_list("pk", flat=True)))
    copies = orders.copies_to.through._base_manager.filter(practitioner__in=own).values("order__patient")
    return orders._base_manager.order_by().filter(requester__in=own).values("patient").union(copies, all=True)


def few_patients(actor: Actor) -> list[int] | None:
    """Keys of the patients to whom an actor's eyes are bound, by role; None for who sees all that is not restricted."""
    user = actor.user
    if user is None:
        return None
    if not actor.may(VIEW_PATIENT):
        return []
    opened = _patients().filter(uuid__in=BreakGlass.objects.running().filter(user=user).values("patient"))
    if not sees_clinical_content(actor=actor):
        return list(opened.values_list("pk", flat=True))
    if not is_bound_to_own_orders(user):
        return None
    return remembered(
        f"patients of user {user.pk}", lambda: sorted({key for (key,) in _own_patients(user).values_list("patient")})
    )


def site_keys(actor: Actor) -> list[int]:
    """Of the sites that an actor works at; empty: of all."""
    return _sites_of(actor.user) if actor.user is not None else []


def patient_condition(actor: Actor, path: str = "") -> Q:
    """The patients an actor may see; ``path`` leads from the filtered model to its patient (``"order__patient__"``)."""
    if actor.user is None:
        return Q()
    if not actor.may(VIEW_PATIENT):
        return NOTHING
    user = actor.user
    opened = _patients().filter(uuid__in=BreakGlass.objects.running().filter(user=user).values("patient"))
    if not sees_clinical_content(actor=actor):
        return Q(**{f"{path}pk__in": opened.values("pk")})
    condition = (
        Q(**{f"{path}is_restricted": False})
        | Q(**{f"{path}pk__in": _grants(user)})
        | Q(**{f"{path}pk__in": opened.values("pk")})
    )
    if is_bound_to_own_orders(user):
        condition &= Q(_OneOf(F(f"{path}pk"), ArraySubquery(_own_patients(user))))
    return condition


def order_condition(actor: Actor, path: str = "") -> Q:
    """The orders an actor may see; ``path`` leads from the filtered model to its order (``"procedure__order__"``)."""
    condition = patient_condition(actor, f"{path}patient__")
    if actor.user is None or not actor.may(VIEW_PATIENT):
        return condition
    if sites := _sites_of(actor.user):
        condition &= Q(**{f"{path}site__in": sites}) | Q(**{f"{path}site__isnull": True})
    return condition


class PatientQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(patient_condition(actor))

    def current(self) -> Self:
        """Without the losing sides of merges."""
        return self.filter(merged_into__isnull=True)

    def for_display(self) -> Self:
        """With what a banner or a row needs."""
        return self.prefetch_related("identifiers", "alert_rows")


class OrderQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(order_condition(actor))

    def for_display(self) -> Self:
        return self.select_related("patient", "requester", "site").prefetch_related(
            "patient__identifiers", "procedures__catalogue"
        )


class ProcedureQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(order_condition(actor, "order__"))

    def for_display(self) -> Self:
        return self.select_related("order__patient", "order__requester", "order__site", "catalogue").prefetch_related(
            "order__patient__identifiers", "order__patient__alert_rows"
        )

    def overdue(self) -> Self:
        return self.filter(due_by__lt=timezone.localdate())


class ChargeQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(order_condition(actor, "procedure__order__"))


def _site_condition(actor: Actor, path: str = "site") -> Q:
    """Of the sites a person works at; what belongs to no site is everybody's."""
    sites = _sites_of(actor.user) if actor.user is not None else []
    return Q(**{f"{path}__in": sites}) | Q(**{f"{path}__isnull": True}) if sites else Q()


class DowntimePackQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(_site_condition(actor)) if actor.may("orders.view_downtime") else self.none()


class DowntimePeriodQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.concerning(actor) if actor.may("orders.view_downtime") else self.none()

    def concerning(self, actor: Actor) -> Self:
        """Of their sites, whatever they may: that it is down is no secret."""
        return self.filter(_site_condition(actor))


class DowntimeFormQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Sheets name nobody; whose exam was made of one is seen by who may see the exam."""
        return self.filter(_site_condition(actor, "pack__site")) if actor.may("orders.view_downtime") else self.none()


# --- money


def _on(day: date) -> Q:
    """What holds on that day, of rows with ``valid_from`` and ``valid_to``."""
    return (Q(valid_from__isnull=True) | Q(valid_from__lte=day)) & (Q(valid_to__isnull=True) | Q(valid_to__gte=day))


class PriceQuerySet(models.QuerySet):
    def on(self, day: date) -> Self:
        return self.filter(_on(day), is_active=True)


class CoverageQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(patient_condition(actor, "patient__"))

    def on(self, day: date) -> Self:
        return self.filter(_on(day), withdrawn_at__isnull=True)


class PreAuthorisationQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(order_condition(actor, "procedure__order__"))

    def live(self) -> Self:
        return self.exclude(status="withdrawn")


class BillingCodeQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(order_condition(actor, "procedure__order__"))

    def live(self) -> Self:
        return self.filter(withdrawn_at__isnull=True)


class InvoiceQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(order_condition(actor, "order__"))

    def for_display(self) -> Self:
        return self.select_related("order__patient", "scheme", "coverage", "corrects", "issued_by").prefetch_related(
            "order__patient__identifiers"
        )


class PaymentQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Whoever may see an invoice sees what was paid on it."""
        if actor.user is None:
            return self
        invoices = apps.get_model("orders", "Invoice").objects.visible_to(actor)
        paid = apps.get_model("orders", "PaymentAllocation").objects.filter(invoice__in=invoices.values("pk"))
        return self.filter(pk__in=paid.values("payment"))
