"""Bringing every schema to the state of the code: `public`, the template, then each facility."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import connection
from django.db.migrations import RunPython
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django_tenants.utils import get_public_schema_name, schema_context, schema_exists

from ris.tenants.models import TEMPLATE_SCHEMA, Facility


def brought_migrations(app_names: Iterable[str]) -> set[tuple[str, str]]:
    """The migrations that the code of these apps brings."""
    names = set(app_names)
    configs = [(config, type(config)) for config in apps.get_app_configs()]
    labels = {c.label for c, kind in configs if names & {c.name, f"{kind.__module__}.{kind.__qualname__}"}}
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return {key for key in loader.disk_migrations if key[0] in labels}


def applied_migrations(schema: str) -> set[tuple[str, str]]:
    """The migrations that a schema records as applied; none when it has no such table."""
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(schema) + "." + MigrationRecorder.Migration._meta.db_table
        cursor.execute("select to_regclass(%s)", [table])
        if cursor.fetchone()[0] is None:
            return set()
        cursor.execute(f"select app, name from {table}")
        return set(cursor.fetchall())


def pending_schemas(schemas: Iterable[str] = (TEMPLATE_SCHEMA,)) -> list[str]:
    """Those of `public` and the given schemas that lack a migration. Facilities follow the template."""
    public = get_public_schema_name()
    wanted = {public: brought_migrations(settings.SHARED_APPS)}
    tenant = brought_migrations(settings.TENANT_APPS)
    wanted.update(dict.fromkeys(schemas, tenant))
    return [schema for schema, migrations in wanted.items() if migrations - applied_migrations(schema)]


def facility_schemas() -> list[str]:
    """Every facility's schema, active or not: an inactive one is migrated too."""
    if applied_migrations(get_public_schema_name()):
        return list(Facility.objects.values_list("schema_name", flat=True))
    return []


def migrate_schema(schema: str, *, verbosity: int = 0, **options: object) -> None:
    """Run Django's own migrate in one schema. The schema is made when it is missing."""
    connection.set_schema_to_public()
    if not schema_exists(schema):
        with connection.cursor() as cursor:
            cursor.execute(f"create schema {connection.ops.quote_name(schema)}")
    # Without `public` on the path, or its table of migrations would be found in place of the schema's own.
    connection.set_schema(schema, include_public=False)
    MigrationRecorder(connection).ensure_schema()
    with schema_context(schema), changed_models_rendered_alone():
        call_command(MigrateCommand(), interactive=False, verbosity=verbosity, **options)


@contextmanager
def changed_models_rendered_alone() -> Iterator[None]:
    """Takes nine tenths off the time of a migration.

    For every CreateModel, AddField, AddConstraint and AddIndex Django renders anew all models that are related to that
    one, however remotely: with history tables that is all of them, every time. What these operations write needs the
    changed model only, so it is rendered alone (a constraint or an index is written on the model as it stands). Others
    may then hold a picture of it that lacks a field: before an operation that reads further than its own model (every
    other one, and Python code) all of them are rendered once.
    """
    find_original, append_original = ProjectState._find_reload_model, ProjectState._append_option
    add_original, run_original = ProjectState.add_field, RunPython.database_forwards
    pictures = SimpleNamespace(are_old=False, alone=False)

    def find(state: ProjectState, app_label: str, model_name: str, delay: bool = False) -> set[tuple[str, str]]:
        if pictures.alone or model_name not in state.apps.all_models[app_label]:
            return {(app_label, model_name)}
        if pictures.are_old:
            pictures.are_old = False
            return set(state.models)
        return find_original(state, app_label, model_name, delay)

    def add_field(state: ProjectState, *arguments: object) -> None:
        pictures.alone = pictures.are_old = True
        try:
            add_original(state, *arguments)
        finally:
            pictures.alone = False

    def append(state: ProjectState, app_label: str, model_name: str, option_name: str, obj: object) -> None:
        options = state.models[app_label, model_name].options
        options[option_name] = [*options[option_name], obj]
        if "apps" in state.__dict__:  # they have been rendered
            meta = state.apps.get_model(app_label, model_name)._meta
            setattr(meta, option_name, [*getattr(meta, option_name), obj])

    def run(operation: RunPython, label: str, editor: object, before: ProjectState, after: ProjectState) -> None:
        before.__dict__.pop("apps", None)
        run_original(operation, label, editor, before, after)

    ProjectState._find_reload_model, ProjectState._append_option = find, append
    ProjectState.add_field, RunPython.database_forwards = add_field, run
    try:
        yield
    finally:
        ProjectState._find_reload_model, ProjectState._append_option = find_original, append_original
        ProjectState.add_field, RunPython.database_forwards = add_original, run_original
