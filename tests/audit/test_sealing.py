import json
import time
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.utils import ProgrammingError
from psycopg import sql

from ris.audit.models import Action, AuditEvent, AuditSeal
from ris.audit.sealing import COLUMNS, heads_file, seal_facility
from ris.audit.service import record
from ris.audit.verification import verify_facility
from ris.core.actor import Actor
from ris.events.dispatcher import start_companions
from ris.tenants.context import use_facility
from tests.conftest import superuser

pytestmark = pytest.mark.django_db(transaction=True)
ACTOR = Actor("command", address="10.0.0.1")


def write(count=3):
    for number in range(count):
        record(ACTOR, "orders.view_patient", Action.READ, detail={"rows": number}, reason="because")


@pytest.fixture
def owner():
    """The database's owner, at work behind our back."""
    with superuser(connection.settings_dict["NAME"]) as owner:
        yield owner


@pytest.fixture
def sealed(transactional_db, alpha):
    write(3)
    first = seal_facility()
    write(4)
    return first, seal_facility()


def test_finished_rows_are_sealed_in_a_chain(sealed):
    first, second = sealed
    assert (first.rows, second.rows) == (3, 4)
    assert second.previous_digest == first.digest
    assert seal_facility() is None, "nothing new, no seal"
    verdict = verify_facility()
    assert verdict.as_dict() == {
        "intact": True,
        "seals": 2,
        "sealed_rows": 7,
        "unsealed_rows": 0,
        "oldest_unsealed_seconds": None,
        "heads_compared": 2,
        "problems": [],
    }


def test_rows_of_a_running_transaction_wait_for_the_next_seal(sealed, owner):
    owner.execute("set search_path to alpha")
    other = psycopg.connect(owner.info.dsn, password=owner.info.password)
    other.execute("set search_path to alpha")
    other.execute(
        "insert into audit_auditevent (uuid, action, event_type, outcome, source, user_name, ae_title, address,"
        " patients, entity_type, accession_number, reason, detail, correlation_id)"
        " values (gen_random_uuid(), 'R', 'late', 0, 'web', '', '', '', '{}', '', '', '', '{}', '')"
    )
    write(2)
    assert seal_facility() is None, "a lower transaction still runs"
    assert verify_facility().unsealed_rows == 2
    other.commit()
    other.close()
    assert seal_facility().rows == 3
    assert verify_facility().intact


def test_work_in_another_database_of_the_cluster_holds_nothing_back(sealed):
    with superuser("postgres") as elsewhere:
        elsewhere.execute("begin")
        elsewhere.execute("select pg_current_xact_id()")
        write(2)
        assert sealed_within(10).rows == 2
        elsewhere.execute("rollback")


def sealed_within(seconds: float):
    """Another process of the cluster may be between its number and its lock just now; it is not for long."""
    end = time.monotonic() + seconds
    while (seal := seal_facility()) is None and time.monotonic() < end:
        time.sleep(0.05)
    return seal


OTHER_VALUES = {
    "id": "id + 1000000",
    "uuid": "gen_random_uuid()",
    "recorded_at": "recorded_at + interval '1 microsecond'",
    "transaction": "transaction + 1",
    "outcome": "outcome + 1",
    "action": "'D'",
    "user": "gen_random_uuid()",
    "patient": "gen_random_uuid()",
    "patients": "array[gen_random_uuid()]",
    "entity": "gen_random_uuid()",
    "detail": "detail || '{\"x\": 1}'",
    "source": "'hl7'",
}


@pytest.mark.parametrize("column", COLUMNS)
def test_any_altered_column_of_any_row_is_found(sealed, owner, column):
    value = OTHER_VALUES.get(column, f"'x' || left({column}, 3)")
    chosen = "(select min(id) + 1 from alpha.audit_auditevent)"
    statement = f'update alpha.audit_auditevent set "{column}" = {value} where id = {chosen}'
    assert owner.execute(statement).rowcount == 1
    verdict = verify_facility()
    assert not verdict.intact
    assert verdict.problems[0]["seal"] == sealed[0].pk


@pytest.mark.parametrize("which", ["min", "max"])
def test_a_removed_row_is_found(sealed, owner, which):
    owner.execute(f"delete from alpha.audit_auditevent where id = (select {which}(id) from alpha.audit_auditevent)")
    verdict = verify_facility()
    assert verdict.problems[0]["problem"].endswith("were sealed")


def test_a_row_inserted_into_a_sealed_range_is_found(sealed, owner):
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in COLUMNS if name not in ("id", "uuid"))
    owner.execute(
        sql.SQL(
            "insert into alpha.audit_auditevent (id, uuid, {c}) overriding system value"
            " select 999999, gen_random_uuid(), {c} from alpha.audit_auditevent order by id limit 1"
        ).format(c=columns)
    )
    assert not verify_facility().intact


@pytest.mark.parametrize(
    "change",
    [
        "sealed_at = sealed_at - interval '1 day'",
        "rows = rows + 1",
        "digest = repeat('0', 64)",
        "previous_digest = repeat('1', 64)",
        "before_transaction = before_transaction - 1",
        "key_id = 'other'",
        "epoch = 7",
        "last_event = last_event + 1",
        "after_event = 1",
    ],
)
def test_an_altered_seal_is_found(sealed, owner, change):
    owner.execute(f"update alpha.audit_auditseal set {change} where id = {sealed[0].pk}")
    assert not verify_facility().intact


def test_a_removed_seal_is_found(sealed, owner):
    owner.execute(f"delete from alpha.audit_auditseal where id = {sealed[0].pk}")
    assert not verify_facility().intact


def test_a_cut_off_end_contradicts_the_exported_heads(sealed, owner):
    _first, second = sealed
    owner.execute(f"delete from alpha.audit_auditseal where id = {second.pk}")
    owner.execute(f"delete from alpha.audit_auditevent where transaction >= {second.first_transaction}")
    assert len(heads_file().read_text().splitlines()) == 2
    verdict = verify_facility()
    assert verdict.problems == [
        {"seal": second.pk, "problem": "the head exported outside the database is not in the chain any more"}
    ]


def test_another_key_verifies_only_while_it_is_kept(sealed, settings):
    settings.RIS_AUDIT_KEYS = ["a-new-key", *settings.RIS_AUDIT_KEYS]
    write(1)
    third = seal_facility()
    assert third.key_id != sealed[1].key_id
    assert verify_facility().intact
    settings.RIS_AUDIT_KEYS = ["a-new-key"]
    assert not verify_facility().intact


def test_seals_of_one_facility_do_not_fit_another(sealed, owner, beta):
    owner.execute("insert into beta.audit_auditevent overriding system value select * from alpha.audit_auditevent")
    owner.execute("insert into beta.audit_auditseal overriding system value select * from alpha.audit_auditseal")
    with use_facility(beta):
        assert not verify_facility(heads=[]).intact


def test_after_a_restore_a_new_epoch_begins(sealed, owner):
    """Transaction ids of the copy stand far above those of the cluster it was restored into."""
    write(2)  # in the copy, not sealed yet
    owner.execute("delete from alpha.audit_auditseal")
    owner.execute("update alpha.audit_auditevent set transaction = transaction + 1000000000000")
    heads_file().unlink()
    first = seal_facility_as_of_the_old_cluster(owner)
    write(3)  # in the new cluster
    assert verify_facility().as_dict()["intact"] is True
    restored, fresh = seal_facility(), seal_facility()
    assert (restored.epoch, restored.rows) == (0, 2)
    assert (fresh.epoch, fresh.rows, fresh.first_transaction) == (1, 3, 0)
    write(1)
    assert seal_facility().epoch == 1
    verdict = verify_facility()
    assert (verdict.intact, verdict.sealed_rows, verdict.unsealed_rows) == (True, 13, 0)
    oldest = "(select min(id) from alpha.audit_auditevent)"
    owner.execute(f"update alpha.audit_auditevent set reason = 'x' where id = {oldest}")
    assert verify_facility().problems[0]["seal"] == first.pk


def seal_facility_as_of_the_old_cluster(owner):
    """The seal that the old cluster wrote over its first seven rows."""
    from unittest import mock

    from ris.audit import sealing

    with connection.cursor() as cursor:
        cursor.execute("select transaction from audit_auditevent order by id offset 7 limit 1")
        end = cursor.fetchone()[0]
    with mock.patch.object(sealing, "_finished_until", lambda: (end, end)):
        return seal_facility()


def test_the_applications_role_appends_and_reads_and_nothing_else(sealed):
    assert AuditEvent.objects.count() == 7
    for statement in (
        "update audit_auditevent set reason = 'x'",
        "delete from audit_auditevent",
        "truncate audit_auditevent",
        "update audit_auditseal set rows = 0",
        "delete from audit_auditseal",
        "drop table audit_auditevent",
        "alter table audit_auditevent disable trigger all",
    ):
        with pytest.raises(ProgrammingError), connection.cursor() as cursor:
            cursor.execute(statement)


def test_the_command_answers_json_and_exits_with_one_when_broken(sealed, owner):
    out = StringIO()
    call_command("verify_audit", facility="alpha", stdout=out)
    assert json.loads(out.getvalue())["intact"] is True
    owner.execute("update alpha.audit_auditevent set reason = 'x'")
    out = StringIO()
    with pytest.raises(SystemExit) as stopped:
        call_command("verify_audit", facility="alpha", stdout=out)
    assert stopped.value.code == 1
    assert json.loads(out.getvalue())["intact"] is False


def test_only_one_sealer_works_at_a_time(sealed, owner):
    write(1)
    owner.execute("begin")
    owner.execute("select pg_advisory_xact_lock(hashtextextended('alpha:audit-seal', 0))")
    assert seal_facility() is None
    owner.execute("commit")
    assert seal_facility().rows == 1


def sealed_rows() -> int:
    return sum(AuditSeal.objects.values_list("rows", flat=True))


def test_the_dispatchers_companion_seals_within_five_seconds(transactional_db, alpha):
    done = []
    threads = start_companions(lambda: bool(done))
    try:
        write(3)
        deadline = time.monotonic() + 5
        while sealed_rows() < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert sealed_rows() == 3  # in one seal, or in several where it looked between two of them
    finally:
        done.append(True)
        for thread in threads:
            thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)
