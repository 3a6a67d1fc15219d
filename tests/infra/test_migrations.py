"""The real migrations, once, from an empty database: as an installation runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.conftest import APP_PASSWORD, APP_ROLE, COPY_PREFIX, _server, superuser

ROOT = Path(__file__).resolve().parents[2]
TABLES = "select tablename from pg_tables where schemaname = %s"
CONSTRAINTS = """
    select c.relname, k.conname from pg_constraint k join pg_class c on c.oid = k.conrelid
    where c.relnamespace = %s::regnamespace and k.contype in ('c', 'x', 'u', 'f', 'p')"""
COLUMNS = "select table_name, column_name, is_nullable from information_schema.columns where table_schema = %s"


@pytest.fixture
def empty_database(db: None) -> Iterator[str]:
    name = f"{COPY_PREFIX}migrations_{os.getpid()}"
    with superuser() as server:
        server.execute(f'create database "{name}"')
    yield name
    with superuser() as server:
        server.execute(f'drop database "{name}" with (force)')


#: What manage.py does, several times in one process: to start costs more than most of the commands.
COMMANDS = """
import json, sys
from django.core.management import execute_from_command_line
for arguments in json.loads(sys.argv[1]):
    execute_from_command_line(["manage.py", *arguments])
    print("that was it", flush=True)
"""


def manage(database: str, *commands: list[str]) -> list[dict[str, Any]]:
    """The last line of each command, one after the other."""
    keep = {key: value for key, value in os.environ.items() if not key.startswith("RIS_")}
    answer = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        cwd=ROOT,
        env={
            **keep,
            "RIS_DEMO": "1",
            "RIS_BOOTSTRAP": "0",
            "RIS_DATABASE_ROLE": "owner",
            "DJANGO_SETTINGS_MODULE": "ris.settings",
            "DATABASE_URL": _server.url(database, user=APP_ROLE, password=APP_PASSWORD),
            "RIS_OWNER_DATABASE_URL": _server.url(database),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    told = answer.stdout.split("that was it\n")[:-1]
    return [json.loads(text.strip().splitlines()[-1]) for text in told]


def rows(server: psycopg.Connection, query: str, schema: str) -> set[tuple[Any, ...]]:
    return {row for row in server.execute(query, [schema]).fetchall() if row[0] != "django_migrations"}


@pytest.mark.slow
def test_an_installation_is_migrated_from_nothing_and_stays_as_it_is(empty_database):
    create = ["create_facility", "--schema=one", "--name=One", "--domain=one.test", "--ae-title=ONE"]
    first, made, again = manage(empty_database, ["migrate_all"], create, ["migrate_all"])
    assert set(first["migrated"]) == {"public", "template_facility"}
    assert made["created"] is True
    assert (again["migrated"], again["schemas"]) == ([], ["template_facility", "one"])

    with superuser(empty_database) as migrated, superuser(connection.settings_dict["NAME"]) as modelled:
        for query in (TABLES, COLUMNS, CONSTRAINTS):
            wanted = rows(modelled, query, "template_facility")
            assert rows(migrated, query, "template_facility") == wanted
            assert rows(migrated, query, "one") == wanted
        public = {name for (name,) in migrated.execute(TABLES, ["public"]).fetchall()}
        assert {name for name in public if not name.startswith("tenants_")} == {
            "django_content_type",
            "django_migrations",
        }
        owned = migrated.execute(
            "select relname from pg_class where pg_get_userbyid(relowner) = %s", [APP_ROLE]
        ).fetchall()
        assert owned == []
        migrations = migrated.execute(
            "select has_table_privilege(%s, 'one.django_migrations', 'INSERT')", [APP_ROLE]
        ).fetchone()
        assert migrations == (False,)
