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

#: Words of reports by their stems. No word is left out: "no" is what matters most in "no pneumothorax".
SEARCH_WORDS = """
    do $$ begin
        if not exists (select from pg_ts_dict
                       where dictname = 'report_stem' and dictnamespace = 'public'::regnamespace) then
            create text search dictionary public.report_stem (template = snowball, language = english);
        end if;
        if not exists (select from pg_ts_config
                       where cfgname = 'report_words' and cfgnamespace = 'public'::regnamespace) then
            create text search configuration public.report_words (copy = pg_catalog.english);
            alter text search configuration public.report_words
                alter mapping for asciiword, asciihword, hword_asciipart, word, hword, hword_part
                with public.unaccent, public.report_stem;
        end if;
    end $$"""


@transaction.atomic
def prepare_database() -> None:
    """Make the extensions, ``f_unaccent`` and the words of searches. May be repeated. Needs the owner role."""
    with connection.cursor() as cursor:
        for extension in EXTENSIONS:
            cursor.execute(f"create extension if not exists {extension} schema public")
        cursor.execute(UNACCENT)
        cursor.execute(SEARCH_WORDS)


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
