"""The application's role owns nothing and deletes no clinical row; what was once written in the trail stays."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import ProgrammingError, connection, transaction

from ris.tenants.grants import is_append_only, may_be_deleted


def has(table: str, privilege: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select has_table_privilege(current_user, %s, %s)", [table, privilege])
        return cursor.fetchone()[0]


def test_the_application_owns_nothing(alpha):
    with connection.cursor() as cursor:
        cursor.execute(
            "select relname from pg_class where pg_get_userbyid(relowner) = current_user"
            " union all select nspname from pg_namespace where pg_get_userbyid(nspowner) = current_user"
            " union all select datname from pg_database where pg_get_userbyid(datdba) = current_user"
        )
        assert cursor.fetchall() == []
        cursor.execute("select rolsuper or rolcreaterole or rolcreatedb from pg_roles where rolname = current_user")
        assert cursor.fetchone() == (False,)


@pytest.mark.parametrize("statement", ["create table x (y int)", "create schema x", "create table public.x (y int)"])
def test_the_application_makes_nothing(alpha, statement):
    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("model", ["orders.patient", "orders.order", "reporting.report", "audit.auditevent"])
def test_clinical_rows_are_not_deleted(alpha, model):
    table = apps.get_model(model)._meta.db_table
    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"delete from {table}")


def test_every_clinical_table_is_safe_from_deletion(alpha):
    clinical = ("orders", "worklist", "reporting", "dose", "peerreview", "audit")
    may_go = [
        model._meta.label_lower
        for model in apps.get_models()
        if model._meta.app_label in clinical and may_be_deleted(model) and "Permission" not in model.__name__
    ]
    for label in may_go:
        assert apps.get_model(label).rows_may_be_deleted is True, f"{label} may be deleted and does not say so"
    for model in apps.get_models():
        if model._meta.app_label in clinical and not may_be_deleted(model):
            assert not has(model._meta.db_table, "DELETE"), model._meta.label


def test_history_and_audit_are_append_only(alpha):
    models = [model for model in apps.get_models() if is_append_only(model)]
    assert "audit.auditevent" in {model._meta.label_lower for model in models}
    for model in models:
        assert has(model._meta.db_table, "INSERT"), model._meta.label
        assert not has(model._meta.db_table, "UPDATE"), model._meta.label
        assert not has(model._meta.db_table, "DELETE"), model._meta.label
