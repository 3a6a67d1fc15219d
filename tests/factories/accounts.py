"""People for tests. ``user_with_roles("clerk")`` is the shortest way to somebody who may."""

from __future__ import annotations

import functools
from typing import Any

import factory
from django.contrib.auth.hashers import make_password
from django.db import connection
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

    username = factory.Sequence(lambda n: f"person{n}")
    given_name = "Asha"
    family_name = factory.Sequence(lambda n: f"Mwangi{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.org")

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        """In three statements and without a history: most tests begin with several people."""
        roles, sites = kwargs.pop("roles", ()), kwargs.pop("sites", ())
        user = model_class(**{**kwargs, "password": hashed(kwargs.get("password") or PASSWORD), "version": 1})
        model_class.objects.bulk_create([user])
        if roles:
            give(user, set(roles))
        if sites:
            user.sites.set(sites)
        return user


@functools.cache
def hashed(password: str) -> str:
    return make_password(password)


def give(user: User, roles: set[str]) -> None:
    """Roles of the facility: the built-in ones and those that a test has composed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into accounts_user_roles (user_id, role_id) select %s, id from accounts_role where name = any(%s)",
            [user.pk, list(roles)],
        )
        found = cursor.rowcount
    if found < len(roles):
        assert ensure_roles(), f"no such role among {roles}"
        user.roles.set(Role.objects.filter(name__in=roles))


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
