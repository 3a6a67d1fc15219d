"""What is asked about people, sites and the facility's own decisions."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import QuerySet

from ris.accounts.models import FacilitySettings, Practitioner, Role, Site, User
from ris.core.actor import Actor
from ris.core.permissions import IT_ADMIN, QA_LEAD
from ris.tenants.context import require_schema

_memory: contextvars.ContextVar[dict[tuple[str, str], Any] | None] = contextvars.ContextVar("memory", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """What is asked again and again is asked once until the block (a request, a task) ends."""
    token = _memory.set({})
    try:
        yield
    finally:
        _memory.reset(token)


def forget() -> None:
    memory = _memory.get()
    if memory is not None:
        memory.clear()


def facility_settings() -> FacilitySettings:
    """The facility's one row of decisions, made on the first ask."""
    key = (require_schema(), "settings")
    memory = _memory.get()
    if memory is not None and key in memory:
        return memory[key]
    row = FacilitySettings.objects.filter(pk=1).first()
    if row is None:
        row = FacilitySettings.objects.get_or_create(pk=1)[0]
    if memory is not None:
        memory[key] = row
    return row


def visible_sites(*, actor: Actor) -> QuerySet[Site]:
    """The sites an actor works at: those named on their user, else all."""
    sites = Site.objects.filter(is_active=True)
    site_ids = site_ids_of(actor)
    return sites if site_ids is None else sites.filter(pk__in=site_ids)


def site_ids_of(actor: Actor) -> list[int] | None:
    """Keys of the sites an actor is bound to; None when bound to none (all sites)."""
    if actor.user is None:
        return None
    return list(actor.user.sites.values_list("pk", flat=True)) or None


def users_with_role(*names: str) -> QuerySet[User]:
    """Active people (not programs) who hold one of the roles."""
    return User.objects.filter(is_active=True, is_service=False, roles__name__in=names).distinct()


def overseers() -> QuerySet[User]:
    """Those who watch over access: told of every break-glass."""
    return users_with_role(QA_LEAD, IT_ADMIN)


def practitioner_of(user: User) -> Practitioner | None:
    return Practitioner.objects.filter(user=user).first()


def all_users() -> QuerySet[User]:
    return User.objects.prefetch_related("roles", "sites").order_by("username")


def all_roles() -> QuerySet[Role]:
    return Role.objects.order_by("name")
