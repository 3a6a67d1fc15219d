"""People for tests. ``user_with_roles("clerk")`` is the shortest way to somebody who may."""

from __future__ import annotations

from typing import Any

import factory
from factory.django import DjangoModelFactory

from ris.accounts.bootstrap import ensure_roles
from ris.accounts.models import Practitioner, Role, Site, User
from ris.core.actor import Actor

PASSWORD = "correct-horse-battery"


class SiteFactory(DjangoModelFactory):
    class Meta:
        model = Site

    code = factory.Sequence(lambda n: f"site-{n}")
    name = factory.Sequence(lambda n: f"Site {n}")


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"person{n}")
    given_name = "Asha"
    family_name = factory.Sequence(lambda n: f"Mwangi{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.org")

    @factory.post_generation
    def password(self: Any, create: bool, extracted: str | None, **kwargs: Any) -> None:
        self.set_password(extracted or PASSWORD)
        if create:
            self.save()

    @factory.post_generation
    def roles(self: Any, create: bool, extracted: tuple[str, ...] | None, **kwargs: Any) -> None:
        if create and extracted:
            ensure_roles()
            self.roles.set(Role.objects.filter(name__in=extracted))

    @factory.post_generation
    def sites(self: Any, create: bool, extracted: tuple[Site, ...] | None, **kwargs: Any) -> None:
        if create and extracted:
            self.sites.set(extracted)


class PractitionerFactory(DjangoModelFactory):
    class Meta:
        model = Practitioner

    family_name = factory.Sequence(lambda n: f"Otieno{n}")
    given_name = "Juma"


def user_with_roles(*roles: str, **fields: Any) -> User:
    """A fresh user who holds these built-in roles."""
    return User.objects.get(pk=UserFactory(roles=roles, **fields).pk)


def actor_with_roles(*roles: str, source: str = "web", **fields: Any) -> Actor:
    return Actor(source, user_with_roles(*roles, **fields), address="127.0.0.1")
