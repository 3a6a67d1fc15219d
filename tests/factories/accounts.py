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
            give([(user, name) for name in set(roles)])
        if sites:
            user.sites.set(sites)
        return user


@functools.cache
def hashed(password: str) -> str:
    return make_password(password)


def give(wanted: list[tuple[User, str]]) -> None:
    """Roles of the facility: the built-in ones and those that a test has composed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into accounts_user_roles (user_id, role_id) select wanted.person, role.id"
            " from unnest(%s::bigint[], %s::text[]) as wanted (person, name) join accounts_role role using (name)",
            [[user.pk for user, _name in wanted], [name for _user, name in wanted]],
        )
        found = cursor.rowcount
    if found < len(wanted):
        assert ensure_roles(), f"no such role among {wanted}"
        for user, name in wanted:
            user.roles.add(Role.objects.get(name=name))


class PractitionerFactory(DjangoModelFactory):
    class Meta:
        model = Practitioner

    family_name = factory.Sequence(lambda n: f"Otieno{n}")
    given_name = "Juma"


def user_with_roles(*roles: str, **fields: Any) -> User:
    """A fresh user who holds these built-in roles."""
    user = UserFactory(roles=roles, **fields)
    as_read = all(isinstance(value, str | bool) for value in fields.values())
    return user if as_read else User.objects.get(pk=user.pk)


def actor_with_roles(*roles: str, source: str = "web", **fields: Any) -> Actor:
    return Actor(source, user_with_roles(*roles, **fields), address="127.0.0.1")


def several_actors(**people: tuple[str, str]) -> dict[str, Actor]:
    """Family name and role of each; in two statements."""
    users = {
        key: UserFactory.build(family_name=name, password=hashed(PASSWORD), version=1)
        for key, (name, _role) in people.items()
    }
    User.objects.bulk_create(users.values())
    give([(users[key], role) for key, (_name, role) in people.items()])
    return {key: Actor("web", user, address="127.0.0.1") for key, user in users.items()}
