"""Nothing of one facility is seen in another: rows, caches, sessions, signed values, tasks, files."""

from __future__ import annotations

import pytest
from celery import current_app, shared_task
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.db import connection

from ris.accounts.models import Site, User
from ris.tenants import signing
from ris.tenants.context import NoFacility, current_schema, require_facility, use_facility
from ris.tenants.tasks import HEADER, for_each_facility, send_to_each_facility

seen: list[str] = []


@shared_task
def where_am_i() -> None:
    seen.append(current_schema())


@shared_task(facility_less=True)
def clock() -> None:
    seen.append(current_schema())


@pytest.fixture(autouse=True)
def _nothing_seen_yet() -> None:
    seen.clear()


def test_rows_of_one_facility_are_not_seen_in_another(alpha, beta):
    Site.objects.create(code="main", name="Alpha main")
    with use_facility(beta):
        assert not Site.objects.filter(code="main").exists()
    assert Site.objects.get(code="main").name == "Alpha main"


def test_facilities_know_nothing_of_each_others_uuids(alpha, beta):
    with use_facility(beta):
        theirs = Site.objects.create(code="theirs", name="Beta main")
    assert not Site.objects.filter(uuid=theirs.uuid).exists()


def test_no_foreign_key_leaves_a_schema(alpha):
    with connection.cursor() as cursor:
        cursor.execute(
            "select conrelid::regclass::text, confrelid::regclass::text from pg_constraint k"
            " join pg_class a on a.oid = k.conrelid join pg_class b on b.oid = k.confrelid"
            " where k.contype = 'f' and a.relnamespace <> b.relnamespace"
        )
        assert cursor.fetchall() == []


def test_public_holds_no_table_of_a_facility(alpha):
    with connection.cursor() as cursor:
        cursor.execute("select tablename from pg_tables where schemaname = 'public' order by 1")
        tables = [row[0] for row in cursor.fetchall()]
    shared = {"django_content_type", "django_migrations"}
    assert [name for name in tables if not name.startswith("tenants_") and name not in shared] == []


def test_a_cached_value_stays_in_its_facility(alpha, beta):
    cache.set("answer", 42)
    with use_facility(beta):
        assert cache.get("answer") is None
        cache.set("answer", 7)
    assert cache.get("answer") == 42


def test_a_cached_value_outside_of_any_facility_is_refused_unless_it_says_so(db):
    with pytest.raises(NoFacility):
        cache.get("answer")
    cache.set("public:answer", 1)
    assert cache.get("public:answer") == 1


def test_a_signed_value_is_worth_nothing_in_another_facility(alpha, beta):
    token = signing.dumps({"report": 1}, salt="share")
    assert signing.loads(token, salt="share") == {"report": 1}
    with use_facility(beta), pytest.raises(signing.BadSignature):
        signing.loads(token, salt="share")


def test_nothing_is_signed_outside_of_a_facility(db):
    with pytest.raises(NoFacility):
        signing.dumps(1, salt="share")


def test_a_session_of_one_facility_is_not_one_of_another(tclient, beta):
    user = User.objects.create_user(username="same", password="correct horse battery")
    with use_facility(beta):
        User.objects.create_user(username="same", password="correct horse battery")
    tclient.force_login(user)
    assert tclient.get("/admin/password_change/").wsgi_request.user == user
    for hostile in ("beta.test", "beta.localhost"):
        answer = tclient.get("/admin/password_change/", HTTP_HOST=hostile)
        assert not answer.wsgi_request.user.is_authenticated


def test_a_file_of_one_facility_is_not_found_in_another(alpha, beta):
    name = default_storage.save("letters/one.txt", ContentFile(b"alpha"))
    assert f"/alpha/{name}" in default_storage.path(name)
    with use_facility(beta):
        assert not default_storage.exists(name)


@pytest.mark.parametrize("name", ["../alpha/letters/one.txt", "/etc/passwd", "a/../../alpha/x"])
def test_a_file_name_does_not_lead_out_of_the_facilitys_folder(alpha, beta, name):
    from django.core.exceptions import SuspiciousFileOperation

    with use_facility(beta), pytest.raises(SuspiciousFileOperation):
        storages["instances"].open(name)


def test_there_is_no_folder_outside_of_a_facility(db):
    with pytest.raises(NoFacility):
        default_storage.path("one.txt")


def test_a_task_runs_in_the_facility_it_was_sent_from(alpha, beta):
    with use_facility(beta):
        where_am_i.apply_async()
    where_am_i.delay()
    assert seen == ["beta", "alpha"]
    assert current_schema() == "alpha"


def test_a_task_is_not_sent_without_a_facility(db):
    with pytest.raises(NoFacility):
        where_am_i.delay()


@pytest.mark.parametrize("schema", ["public", "nowhere", "template_facility"])
def test_a_task_that_names_no_facility_of_ours_does_not_wake(alpha, schema):
    with pytest.raises(NoFacility):
        where_am_i.apply_async(headers={HEADER: schema})
    assert seen == []


def test_a_clock_works_for_nobody_and_can_wake_everybody(alpha):
    clock.delay()
    assert seen == ["public"]
    connection.set_schema_to_public()
    assert send_to_each_facility(where_am_i) == 2
    assert sorted(seen[1:]) == ["alpha", "beta"]


def test_every_tick_of_the_clock_names_a_task_and_reaches_every_facility(alpha, settings):
    current_app.loader.import_default_modules()
    for entry in settings.CELERY_BEAT_SCHEDULE.values():
        assert entry["args"][0] in current_app.tasks
    for_each_facility.delay(where_am_i.name)
    assert sorted(seen) == ["alpha", "beta"]


def test_everything_is_refused_where_no_facility_is_chosen(db):
    with pytest.raises(NoFacility):
        require_facility()


def test_an_inactive_facility_is_as_unknown_as_none(alpha, beta, client):
    connection.set_schema_to_public()
    beta.is_active = False
    beta.save()
    assert client.get("/", HTTP_HOST="beta.test").status_code == 404
    with pytest.raises(NoFacility), use_facility("beta"):
        pass


def test_using_a_facility_ends_as_it_began(alpha, beta):
    with pytest.raises(ValueError), use_facility(beta):
        raise ValueError
    assert current_schema() == "alpha"
