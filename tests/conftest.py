"""The tests' database: an embedded PostgreSQL of our own, a template database per state of the models, and a copy of
it for every pytest process (dropped at the end). Two facilities, alpha and beta, are clones of the template schema.

Tests connect as the application's role, which owns nothing and deletes almost nothing, as the product does.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import hashlib
import os
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.test import override_settings

import ris.celery  # noqa: F401  tasks are sent through our application
from ris.embedded import Postgres, locked
from tests.pristine import Restorer, keep_pristine_rows

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".ris" / "test"
FACILITIES = {"alpha": "ALPHA", "beta": "BETA"}
#: What a transactional test may have written to
RESTORED = ["public", *FACILITIES]
#: The served house is reached by names that every client resolves.
LIVE_HOSTS = {"alpha": "localhost", "beta": "127.0.0.1"}
APP_ROLE, APP_PASSWORD = "ris_app", "application-role-of-the-tests"
#: PostgreSQL took longer to think of the order of joins than to join the few rows of a test.
PLANNING = ("join_collapse_limit = 1", "from_collapse_limit = 1")
TEMPLATE_PREFIX, COPY_PREFIX, TEMPLATES_KEPT = "picha_template_", "picha_test_", 3

_server = Postgres(STATE, durable=False)


def pytest_configure(config: pytest.Config) -> None:
    """The modules stay until the end: walking through all of them again and again is a tenth of the suite's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no process is left with them at the end while the others have gone home."""
    slow = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("browser")}
    items.sort(key=lambda item: item.path not in slow)


# --- the server, shared by all pytest processes that run at the same time


@contextlib.contextmanager
def shared_server() -> Iterator[Postgres]:
    """Start the server when it does not run; the last pytest process to go stops it."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "users").open("w") as users:
        with locked(STATE / "gate"):
            fcntl.flock(users, fcntl.LOCK_SH)
            _server.ensure()
        try:
            yield _server
        finally:
            with locked(STATE / "gate"):
                fcntl.flock(users, fcntl.LOCK_UN)
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                _server.stop()


def superuser(database: str = "postgres") -> psycopg.Connection:
    return psycopg.connect(_server.url(database), autocommit=True)


def _state_of_models() -> str:
    """A hash of everything that the tables and their first rows are made from."""
    digest = hashlib.sha256(repr((settings.SHARED_APPS, settings.TENANT_APPS)).encode())
    packages = ("ris", "orders", "worklist", "reporting", "dose", "peerreview", "interop")
    parts = ("models", "choices", "permissions", "provisioning", "catalogue")
    files = [Path(__file__), *(ROOT / "ris" / "tenants").glob("*.py")]
    for package in packages:
        files += [
            path
            for path in (ROOT / package).rglob("*.py")
            if path.stem in parts or any(part in parts for part in path.parts)
        ]
    for path in sorted(set(files)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _use_database(name: str, *, user: str, password: str) -> None:
    from django.db import connection

    connection.close()
    host = str(_server.socket_path.parent) if _server.socket_path.exists() else "127.0.0.1"
    connection.settings_dict.update(HOST=host, PORT=str(_server.port), NAME=name, USER=user, PASSWORD=password)


def _build_template(server: psycopg.Connection, name: str) -> None:
    from django.core.management import call_command

    from ris.tenants.database import prepare_database
    from ris.tenants.grants import grant_to_application
    from ris.tenants.migrating import migrate_schema
    from ris.tenants.models import TEMPLATE_SCHEMA, Domain
    from ris.tenants.services import FacilityRequest, create_facility

    building = f"{name}_building"
    server.execute(f'drop database if exists "{building}" with (force)')
    server.execute(f'create database "{building}"')
    server.execute(f"do $$ begin create role {APP_ROLE} login; exception when duplicate_object then end $$")
    server.execute(f"alter role {APP_ROLE} password '{APP_PASSWORD}'")
    _use_database(building, user=_server.superuser, password=_server.password)
    prepare_database()
    call_command("migrate", schema_name="public", run_syncdb=True, verbosity=0, interactive=False)
    migrate_schema(TEMPLATE_SCHEMA, run_syncdb=True)
    grant_to_application(APP_ROLE, ["public", TEMPLATE_SCHEMA])
    for schema, title in FACILITIES.items():
        facility, _created = create_facility(
            FacilityRequest(
                schema=schema,
                name=f"{schema.capitalize()} Hospital",
                ae_title=title,
                domains=(f"{schema}.test", f"{schema}.localhost", LIVE_HOSTS[schema]),
                receivers=(("RIS", title),),
            )
        )
        grant_to_application(APP_ROLE, [schema])
        assert Domain.objects.filter(tenant=facility).count() == 3
    from django.db import connection

    with superuser(connection.settings_dict["NAME"]) as owner:
        keep_pristine_rows(owner, RESTORED)

    connection.close()
    server.execute(f'alter database "{building}" rename to "{name}"')


def _drop_leftovers(server: psycopg.Connection) -> None:
    """Copies of processes that are gone, and templates of older states of the models."""
    names = [row[0] for row in server.execute("select datname from pg_database order by oid desc").fetchall()]
    old = [name for name in names if name.startswith(TEMPLATE_PREFIX)][TEMPLATES_KEPT:]
    for name in names:
        if name.startswith(COPY_PREFIX) and not Path(f"/proc/{name.rsplit('_', 1)[1]}").exists():
            old.append(name)
    for name in old:
        server.execute(f'drop database if exists "{name}" with (force)')


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest, django_test_environment: None, django_db_blocker: Any
) -> Iterator[None]:
    template, copy = TEMPLATE_PREFIX + _state_of_models(), f"{COPY_PREFIX}{os.getpid()}"
    with shared_server(), django_db_blocker.unblock():
        with superuser() as server:
            server.execute("select pg_advisory_lock(7741)")
            if not server.execute("select 1 from pg_database where datname = %s", [template]).fetchone():
                _build_template(server, template)
            _drop_leftovers(server)
            server.execute(f'create database "{copy}" template "{template}" strategy file_copy')
            if not any("bench" in item.path.parts for item in request.session.items):
                for setting in PLANNING:
                    server.execute(f'alter database "{copy}" set {setting}')
        _use_database(copy, user=APP_ROLE, password=APP_PASSWORD)
        os.environ["DATABASE_URL"] = _server.url(copy, user=APP_ROLE, password=APP_PASSWORD)
        os.environ["RIS_OWNER_DATABASE_URL"] = _server.url(copy)
        yield
        from django.db import connections

        connections.close_all()
        if _restorer is not None:
            _restorer.close()
        with superuser() as server:
            server.execute(f'drop database if exists "{copy}" with (force)')


# --- between tests


_restorer: Restorer | None = None


def restore_rows() -> None:
    """Put every table back to what a new facility begins with (what a transactional test committed is gone)."""
    global _restorer
    from django.db import connection

    if _restorer is None:
        name = connection.settings_dict["NAME"]
        _restorer = Restorer(lambda: superuser(name), RESTORED)
    _restorer.restore()


@pytest.fixture(scope="session", autouse=True)
def _flush_as_owner() -> Iterator[None]:
    """Django would flush a transactional test by TRUNCATE, in `public` only, which our role may not."""
    from django.test import TransactionTestCase

    def teardown(_self: Any) -> None:
        from django.db import connection

        connection.close()
        restore_rows()

    original = TransactionTestCase._fixture_teardown
    TransactionTestCase._fixture_teardown = teardown  # type: ignore[method-assign]
    yield
    TransactionTestCase._fixture_teardown = original  # type: ignore[method-assign]


@pytest.fixture(scope="session", autouse=True)
def _what_is_known_stays_known() -> None:
    """A slow machine must not make the menu count, or ask for the house, again in a test that counts queries."""
    from ris.core import panels
    from ris.tenants import context

    panels.COUNTS_SECONDS = context.REMEMBERED_FOR = 3600


@pytest.fixture(scope="session", autouse=True)
def _pages_are_not_copied(django_test_environment: None) -> None:
    """Django keeps a copy of all that every template was given, each part of a page too; here only the page's own."""
    from django.template import Template
    from django.test.signals import template_rendered

    def render(self: Any, context: Any) -> Any:
        if context.template is self:
            template_rendered.send(sender=self, template=self, context=context)
        return self.nodelist.render(context)

    Template._render = render


@pytest.fixture(autouse=True)
def _between_tests() -> Iterator[None]:
    """No test begins in a facility that it did not ask for, nor with what another one has cached."""
    yield
    from django.db import connection
    from django.utils import timezone

    from ris.accounts.memory import forget_lasting
    from ris.tenants.context import forget_facilities

    connection.set_schema_to_public()
    timezone.deactivate()
    forget_facilities()
    forget_lasting()
    clear_cache()


def clear_cache() -> None:
    from django.core.cache import cache

    cache.clear()


def files_in(folder: Path) -> dict[str, Any]:
    """The settings under which all files are stored in that folder."""
    storages = {name: dict(value) for name, value in settings.STORAGES.items()}
    storages["instances"]["OPTIONS"] = {"location": str(folder / "instances")}
    return {
        "MEDIA_ROOT": str(folder / "media"),
        "RIS_INSTANCE_FOLDER": folder / "instances",
        "RIS_AUDIT_HEADS": folder / "audit-heads",
        "STORAGES": storages,
    }


@pytest.fixture(autouse=True)
def _files_of_this_test(tmp_path: Path) -> Iterator[None]:
    """Stored files go to the test's own folder."""
    with override_settings(**files_in(tmp_path)):
        yield


# --- what tests ask for


#: Rows of facilities as every test finds them.
_facilities: dict[str, Any] = {}


def _facility(schema: str) -> Any:
    """The facility, whose host names need not be looked up."""
    from ris.tenants.context import remember_host
    from ris.tenants.models import Facility

    if schema not in _facilities:
        _facilities[schema] = Facility.objects.get(schema_name=schema)
    facility = copy(_facilities[schema])
    for host in (f"{schema}.test", LIVE_HOSTS[schema]):
        remember_host(host, facility)
    return facility


@contextlib.contextmanager
def shared_start(django_db_blocker: Any) -> Iterator[None]:
    """In a module's fixture, around its ``yield``: what is made here, in alpha, every test of the module begins with.

    Each test is still undone by itself, as a savepoint; this is undone after the last one.
    """
    from django.db import connection, transaction
    from django.utils import timezone

    with django_db_blocker.unblock(), transaction.atomic():
        facility = _facility("alpha")
        connection.set_tenant(facility)
        _facilities.clear()  # the row may be changed for the module
        try:
            with timezone.override(facility.zone):
                yield
        finally:
            _facilities.clear()
            transaction.set_rollback(True)
            connection.set_schema_to_public()


@pytest.fixture
def alpha(db: None) -> Any:
    """The facility of the test: the connection points at its schema, the clock is its own: its day is not UTC's."""
    from django.db import connection
    from django.utils import timezone

    facility = _facility("alpha")
    connection.set_tenant(facility)
    timezone.activate(facility.zone)
    return facility


@pytest.fixture
def beta(db: None) -> Any:
    """The other facility. ``with use_facility(beta): ...``"""
    return _facility("beta")


@pytest.fixture
def tclient(alpha: Any, client: Any) -> Any:
    """A browser at alpha.test."""
    client.defaults["HTTP_HOST"] = "alpha.test"
    return client


@pytest.fixture
def api(alpha: Any) -> Any:
    """A REST client at alpha.test; ``api.force_authenticate(user)`` signs it in."""
    from rest_framework.test import APIClient

    return APIClient(HTTP_HOST="alpha.test")


@pytest.fixture
def facility_server(transactional_db: None, live_server: Any) -> Any:
    """A served house for real browsers and sockets: ``facility_server.alpha`` and ``.beta`` are base URLs."""
    from django.db import connection

    connection.set_tenant(_facility("alpha"))
    port = live_server.url.rsplit(":", 1)[1]
    return SimpleNamespace(
        alpha=f"http://{LIVE_HOSTS['alpha']}:{port}", beta=f"http://{LIVE_HOSTS['beta']}:{port}", port=int(port)
    )


@pytest.fixture
def dispatch() -> Callable[..., int]:
    """Do all that is due in the current facility: deliveries, messages, escalations."""

    def drain(schema: str | None = None) -> int:
        from ris.events.dispatcher import drain as drain_outbox
        from ris.tenants.context import require_schema

        return drain_outbox(schema or require_schema())

    return drain
