"""What the database needs before the first table: the extensions, and the two roles.

The owner role runs migrations and makes facilities. The application role, as which web, DICOM, MLLP and workers
connect, owns nothing (ris.tenants.grants says what it may do). Extensions live in `public`, which is on every
facility's search path: in a facility's own schema the next facility would not see them. (A schema of their own would
need the setting PG_EXTRA_SEARCH_PATHS, with which django-tenants connects to the database whenever Django starts.)
"""

from __future__ import annotations

from django.db import connection, transaction
from psycopg import sql

EXTENSIONS = ("btree_gist", "pg_trgm", "unaccent")

#: unaccent() is only STABLE, because its dictionary could change; an index needs IMMUTABLE.
UNACCENT = """
    create or replace function public.f_unaccent(text) returns text
    language sql immutable parallel safe strict
    as $$ select public.unaccent('public.unaccent', $1) $$"""


@transaction.atomic
def prepare_database() -> None:
    """Make the extensions and ``f_unaccent``. May be repeated. Needs the owner role."""
    with connection.cursor() as cursor:
        for extension in EXTENSIONS:
            cursor.execute(f"create extension if not exists {extension} schema public")
        cursor.execute(UNACCENT)


def ensure_application_role(name: str, password: str) -> bool:
    """Make the application's role when it is missing; True when it was made. Needs CREATEROLE for that."""
    with connection.cursor() as cursor:
        cursor.execute("select 1 from pg_roles where rolname = %s", [name])
        if cursor.fetchone():
            return False
        cursor.execute(
            sql.SQL("create role {} login nosuperuser nocreatedb nocreaterole noinherit password {}").format(
                sql.Identifier(name), sql.Literal(password)
            )
        )
    return True
