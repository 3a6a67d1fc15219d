"""What is asked about people, sites and the facility's own decisions."""

from __future__ import annotations

from django.db.models import QuerySet

from ris.accounts.memory import remembered
from ris.accounts.models import FacilitySettings, Practitioner, Role, Site, User
from ris.core.actor import Actor
from ris.core.permissions import IT_ADMIN, QA_LEAD


def facility_settings() -> FacilitySettings:
    """The facility's one row of decisions, made on the first ask; one query per request."""
    return remembered("settings", _settings_row)


def _settings_row() -> FacilitySettings:
    row = FacilitySettings.objects.filter(pk=1).first()
    return row if row is not None else FacilitySettings.objects.get_or_create(pk=1)[0]


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
