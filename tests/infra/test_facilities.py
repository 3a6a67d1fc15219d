"""Making facilities: cloned exactly, repeatable, refused when somebody else has the name. As the owner's role."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ris.tenants.clone import CannotClone, clone_schema
from ris.tenants.models import TEMPLATE_SCHEMA, CalledAETitle, Domain, Facility
from tests.conftest import APP_PASSWORD, APP_ROLE, _server, _use_database, superuser

NAMES = """
    select c.relname, k.conname, k.contype::text, pg_get_constraintdef(k.oid, true)
    from pg_constraint k join pg_class c on c.oid = k.conrelid where c.relnamespace = %s::regnamespace"""
INDEXES = """
    select c.relname, i.relname, replace(pg_get_indexdef(x.indexrelid), %s || '.', '')
    from pg_index x join pg_class c on c.oid = x.indrelid join pg_class i on i.oid = x.indexrelid
    where c.relnamespace = %s::regnamespace"""
COLUMNS = """
    select table_name, column_name, data_type, is_nullable, is_identity, is_generated, column_default
    from information_schema.columns where table_schema = %s"""


@pytest.fixture
def owner(transactional_db: None) -> Iterator[None]:
    """The connection is the owner's; facilities made by the test are removed afterwards."""
    name = connection.settings_dict["NAME"]
    _use_database(name, user=_server.superuser, password=_server.password)
    yield
    connection.close()
    _use_database(name, user=APP_ROLE, password=APP_PASSWORD)
    with superuser(name) as server:
        for schema in ("gamma", "delta", "odd_template"):
            server.execute(f"drop schema if exists {schema} cascade")


def create(**options: Any) -> dict[str, Any]:
    out = StringIO()
    given: dict[str, Any] = {"schema": "gamma", "name": "Gamma Clinic", "ae_title": "GAMMA"}
    given |= {"domain": ["gamma.test"], "mllp": ["RIS|G"], **options}
    arguments = [
        f"--{name.replace('_', '-')}={one}"
        for name, value in given.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    call_command("create_facility", *arguments, stdout=out)
    return json.loads(out.getvalue())


def everything(query: str, *arguments: str) -> set[tuple[Any, ...]]:
    """The rows, without the casts that PostgreSQL writes out anew whenever it reads a definition."""
    with connection.cursor() as cursor:
        cursor.execute(f"set search_path to {arguments[0]}, public")
        cursor.execute(query, list(arguments))
        return {tuple(re.sub(r"::[a-z ]+(\[\])?|[()]", "", str(value)) for value in row) for row in cursor.fetchall()}


def test_a_facility_is_made_once_and_reported_ever_after(owner):
    first, second = create(), create()
    assert (first["created"], second["created"]) == (True, False)
    assert first["uuid"] == second["uuid"]
    assert first["domains"] == ["gamma.test"]
    assert CalledAETitle.objects.filter(ae_title="GAMMA").count() == 1


def test_a_repeated_call_adds_the_doors_that_are_missing(owner):
    create()
    assert create(domain=["gamma.test", "GAMMA.example"])["domains"] == ["gamma.example", "gamma.test"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": ["alpha.test"]},
        {"ae_title": "ALPHA"},
        {"mllp": ["RIS|ALPHA"]},
        {"schema": "public"},
        {"schema": TEMPLATE_SCHEMA},
        {"schema": "pg_gamma"},
        {"schema": 'gamma"; drop schema alpha; --'},
        {"schema": "Gamma"},
        {"ae_title": "SEVENTEEN_LETTERS"},
        {"ae_title": "A\\B"},
        {"time_zone": "Mars/Olympus"},
        {"mllp": ["RIS"]},
        {"allow": ["10.0.0.0/99"]},
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(owner, wrong):
    with pytest.raises(CommandError):
        create(**wrong)
    connection.set_schema_to_public()
    assert not Facility.objects.exclude(schema_name__in=["alpha", "beta"]).exists()
    assert not Domain.objects.filter(domain="gamma.test").exists()
    with connection.cursor() as cursor:
        cursor.execute("select 1 from pg_namespace where nspname = 'gamma'")
        assert cursor.fetchone() is None


def test_a_clone_is_the_template_by_every_name(owner):
    create()
    assert everything(NAMES, "gamma") == everything(NAMES, TEMPLATE_SCHEMA)
    assert everything(INDEXES, "gamma", "gamma") == everything(INDEXES, TEMPLATE_SCHEMA, TEMPLATE_SCHEMA)
    assert everything(COLUMNS, "gamma") == everything(COLUMNS, TEMPLATE_SCHEMA)


def test_a_clones_foreign_keys_and_identities_are_its_own(owner):
    create()
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*), count(*) filter (where confrelid::regclass::text like 'template%%')"
            " from pg_constraint where contype = 'f' and connamespace = 'gamma'::regnamespace"
        )
        total, astray = cursor.fetchone()
        cursor.execute("select nextval(pg_get_serial_sequence('gamma.accounts_site', 'id'))")
        mine = cursor.fetchone()[0]
        cursor.execute("select max(id) from gamma.django_content_type")
        highest = cursor.fetchone()[0]
        cursor.execute("select nextval(pg_get_serial_sequence('gamma.django_content_type', 'id'))")
        assert cursor.fetchone()[0] > highest
    assert total > 50
    assert astray == 0
    assert mine >= 1


@pytest.mark.parametrize(
    "oddity",
    [
        "create view odd_template.v as select 1 as one",
        "create function odd_template.f() returns int language sql as 'select 1'",
        "create table odd_template.t (id serial primary key)",
    ],
)
def test_a_template_that_a_copy_would_lose_something_of_is_refused(owner, oddity):
    with connection.cursor() as cursor:
        cursor.execute("create schema odd_template")
        cursor.execute(oddity)
    with pytest.raises(CannotClone):
        clone_schema("odd_template", "delta")


def test_the_application_may_work_in_a_new_facility_and_not_delete(owner):
    create()
    name = connection.settings_dict["NAME"]
    from ris.tenants.grants import grant_to_application

    grant_to_application(APP_ROLE, ["gamma"])
    connection.close()
    _use_database(name, user=APP_ROLE, password=APP_PASSWORD)
    with connection.cursor() as cursor:
        cursor.execute("select has_table_privilege('gamma.orders_patient', 'INSERT')")
        assert cursor.fetchone() == (True,)
        cursor.execute("select has_table_privilege('gamma.orders_patient', 'DELETE')")
        assert cursor.fetchone() == (False,)
