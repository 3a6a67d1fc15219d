"""What an actor may see: every query of clinical rows starts from ``visible_to(actor)``, over real keys.

Three rules meet: a right (``orders.view_patient``), the patients (restricted ones need a grant or a break-glass; a
referring physician sees only patients with an order of theirs), and the sites a person works at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.apps import apps
from django.db import models
from django.db.models import Q, QuerySet
from django.utils import timezone

from ris.accounts.grants import sees_clinical_content
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
        own = _patients().filter(Q(orders__requester__user=user) | Q(orders__copies_to__user=user))
        condition &= Q(**{f"{path}pk__in": own.values("pk")})
    return condition


def order_condition(actor: Actor, path: str = "") -> Q:
    """The orders an actor may see; ``path`` leads from the filtered model to its order (``"procedure__order__"``)."""
    condition = patient_condition(actor, f"{path}patient__")
    if actor.user is None or condition == NOTHING:
        return condition
    sites = [site.pk for site in actor.user.sites.all()]
    if sites:
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
