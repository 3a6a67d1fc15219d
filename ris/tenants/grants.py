"""What the application's database role may do: read and write rows, delete almost nothing, own nothing.

A table of clinical content, a message or an event is never deleted from. A model whose rows may go says so with
``rows_may_be_deleted = True``; one whose rows, once written, never change says ``rows_are_append_only = True`` (the
audit trail, and every history table by itself).
"""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.db import connection, models
from django.db.models import Model
from psycopg import sql

READ, INSERT, UPDATE, DELETE = "select", "insert", "update", "delete"
#: Third-party models whose rows come and go: sessions, log-in attempts, second factors, per-object grants.
DELETABLE_APPS = frozenset({"sessions", "axes", "guardian", "otp_totp", "otp_static"})
DELETABLE_MODELS = frozenset({"auth.group", "tenants.domain", "tenants.calledaetitle", "tenants.mllpreceiver"})
#: What only a migration writes.
READ_ONLY_TABLES = frozenset({"django_migrations"})
APPEND_ONLY_TABLES = frozenset({"django_admin_log"})


def privileges_of(model: type[Model]) -> tuple[str, ...]:
    """The table privileges that the application's role gets on a model's table."""
    options = model._meta
    if options.db_table in APPEND_ONLY_TABLES or is_append_only(model):
        return (READ, INSERT)
    if may_be_deleted(model):
        return (READ, INSERT, UPDATE, DELETE)
    return (READ, INSERT, UPDATE)


def is_append_only(model: type[Model]) -> bool:
    is_history = hasattr(model, "history_id") and hasattr(model, "history_type")
    return is_history or getattr(model, "rows_are_append_only", False)


def may_be_deleted(model: type[Model]) -> bool:
    options = model._meta
    if options.auto_created or options.app_label in DELETABLE_APPS or options.label_lower in DELETABLE_MODELS:
        return True
    return getattr(model, "rows_may_be_deleted", False) or _is_object_grant(model)


def _is_object_grant(model: type[Model]) -> bool:
    """A django-guardian grant with a direct foreign key."""
    fields = {field.name for field in model._meta.get_fields()}
    return {"permission", "content_object"} <= fields and bool({"user", "group"} & fields)


def grant_to_application(role: str, schemas: Iterable[str]) -> None:
    """Give the application's role exactly its rights in these schemas, taking away what it had. Needs the owner."""
    by_table = {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("grant usage on schema public to {}").format(sql.Identifier(role)))
        for schema in schemas:
            cursor.execute("select tablename from pg_tables where schemaname = %s", [schema])
            tables = [row[0] for row in cursor.fetchall()]
            cursor.execute(sql.SQL(";\n").join(_statements(role, schema, tables, by_table)))


def _statements(
    role: str, schema: str, tables: Iterable[str], by_table: dict[str, type[models.Model]]
) -> list[sql.Composed]:
    names = {"role": sql.Identifier(role), "schema": sql.Identifier(schema)}
    statements = [
        sql.SQL("revoke all on all tables in schema {schema} from {role}").format(**names),
        sql.SQL("revoke create on schema {schema} from {role}").format(**names),
        sql.SQL("grant usage on schema {schema} to {role}").format(**names),
        sql.SQL("grant usage, select, update on all sequences in schema {schema} to {role}").format(**names),
    ]
    for table in tables:
        if table in READ_ONLY_TABLES:
            privileges: tuple[str, ...] = (READ,)
        elif table in by_table:
            privileges = privileges_of(by_table[table])
        else:
            privileges = (READ, INSERT, UPDATE)
        statements.append(
            sql.SQL("grant {what} on {schema}.{table} to {role}").format(
                what=sql.SQL(", ").join(sql.SQL(privilege) for privilege in privileges),
                table=sql.Identifier(table),
                **names,
            )
        )
    return statements
