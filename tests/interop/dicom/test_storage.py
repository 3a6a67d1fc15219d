"""Storage from the wire: what is taken, and once; what a full disk or a cut line leaves; that counts are right."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import InMemoryStorage, storages
from django.db import DatabaseError, connection
from django.utils import timezone
from pydicom import Dataset, dcmread
from pydicom.data.data_manager import DATA_ROOT
from pydicom.uid import UID_dictionary, generate_uid

from interop.dicom import receiving, scu, store
from interop.dicom.commitment_reports import is_whole
from interop.dicom.elements import Malformed
from interop.dicom.emulator import worklist_keys
from interop.dicom.headers import read_core, read_file_start, read_header
from interop.dicom.importing import files_below
from interop.dicom.intake import Budget, Storing
from interop.dicom.sop_classes import NOT_STORED, NOT_SYNTAXES, SMPTE, STORAGE_SYNTAXES
from interop.dicom.store import INCOMING, instance_path, local_path, open_instance
from ris.core.actor import Actor
from ris.tenants.context import use_facility
from tests.factories.worklist import stored
from worklist.models import ExceptionItem, ImageRejection, ImagingInstance, ImagingSeries, ImagingStudy
from worklist.services import index_further_instance, index_instance

CT = "1.2.840.10008.5.1.4.1.1.2"
STORE = Actor("storage", ae_title="CT1")
SHIPPED = Path(DATA_ROOT) / "test_files"
FURTHER = (
    "study_instance_uid", "series_instance_uid", "sop_class_uid", "transfer_syntax_uid", "instance_number", "rows",
    "columns", "frames", "path", "size", "fingerprint", "received_from",
)  # fmt: skip


def stored_files() -> list[Path]:
    return sorted(path for path in instance_path("").rglob("*") if path.is_file())


def line_to(scp: Any, contexts: Any) -> Any:
    return scu.association(
        host="127.0.0.1", port=scp.port, called_ae_title="ALPHA", calling_ae_title="CT1", contexts=contexts
    )


def image(**fields: Any) -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CT, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.840.99.1", "1.2.840.99.1.1"
    made.PatientName, made.PatientID, made.Modality = "Doe^Jane", "9", "CT"
    made.InstanceNumber, made.Rows, made.Columns = 1, 2, 2
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    return made


def send(line: Any, made: Dataset, syntax: str = "1.2.840.10008.1.2.1") -> int:
    made.file_meta = Dataset()
    made.file_meta.TransferSyntaxUID = syntax
    return scu.status_of(line.send_c_store(made))


# --- what is taken


def test_every_storage_class_of_the_dictionary_is_accepted(scp):
    classes = [
        uid
        for uid, (name, kind, *_rest) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and not any(word in name for word in NOT_STORED)
    ]
    assert len(classes) > 150
    for at in range(0, len(classes), 100):
        with line_to(scp, scu.contexts_for(classes[at : at + 100])) as line:
            accepted = {str(context.abstract_syntax) for context in line.accepted_contexts}
        assert accepted == set(classes[at : at + 100])


def test_an_object_of_every_transfer_syntax_is_stored_as_it_came(scp):
    known = {
        uid
        for uid, (_name, kind, *_rest) in UID_dictionary.items()
        if kind == "Transfer Syntax" and uid not in NOT_SYNTAXES and not uid.startswith(SMPTE)
    }
    assert known <= set(STORAGE_SYNTAXES)
    plain = [syntax for syntax in STORAGE_SYNTAXES if not syntax.endswith((".1.99", ".4.95", ".4.205"))]
    with line_to(scp, [context for one in plain for context in scu.contexts_for([CT], [one])]) as line:
        assert {send(line, image(), syntax) for syntax in plain} == {0}
    rows = list(ImagingInstance.objects.all())
    assert {row.transfer_syntax_uid for row in rows} == set(plain)
    for row in rows:
        assert str(dcmread(instance_path(row.path)).file_meta.TransferSyntaxUID) == row.transfer_syntax_uid
    assert ImagingStudy.objects.get().instance_count == len(plain)


def test_the_quick_look_sees_what_the_long_one_sees():
    seen = 0
    for path in files_below([SHIPPED]):
        content = path.read_bytes()
        try:
            start = read_file_start(content)
            header = read_header(content[start.offset :], start.transfer_syntax_uid)
        except Malformed:
            continue
        core = read_core(content[start.offset :][:16384], start.transfer_syntax_uid)
        if core is not None:
            seen += 1
            assert core._asdict() == {name: getattr(header, name) for name in core._fields}
    assert seen > 40


@pytest.mark.parametrize("cut", [0, 1, 7, 9, 200, 300])
def test_the_quick_look_never_sees_more_than_is_there(cut):
    content = (SHIPPED / "CT_small.dcm").read_bytes()
    start = read_file_start(content)
    assert read_core(content[start.offset :][:cut], start.transfer_syntax_uid) is None


# --- once


def test_the_same_object_in_another_file_is_known(scp, dcmtk, tmp_path):
    made = image()
    with line_to(scp, scu.contexts_for([CT])) as line:
        assert send(line, made) == 0
    again = tmp_path / "again.dcm"
    row = ImagingInstance.objects.get()
    content = instance_path(row.path).read_bytes()
    offset = read_file_start(content).offset
    header = store.file_meta(CT, made.SOPInstanceUID, "1.2.840.10008.1.2.1", "ELSEWHERE")
    again.write_bytes(b"II*\0" + header[4:] + content[offset:])
    for _time in range(2):
        answer = dcmtk("storescu", "-xe", "-aet", "CT1", "-aec", "ALPHA", "127.0.0.1", str(scp.port), str(again))
        assert answer.returncode == 0, answer.stderr
    assert ImagingInstance.objects.count() == len(stored_files()) == 1
    assert instance_path(row.path).read_bytes() == content
    assert ImagingStudy.objects.get().instance_count == 1
    assert not ExceptionItem.objects.filter(kind="duplicate_instance").exists()


def test_other_content_is_refused_and_put_before_a_person(scp):
    made = image()
    with line_to(scp, scu.contexts_for([CT])) as line:
        assert send(line, made) == 0
        assert send(line, image()) == 0
        before = {path: path.read_bytes() for path in stored_files()}
        assert send(line, image(SOPInstanceUID=made.SOPInstanceUID, PatientID="10")) == 0xC111
        assert send(line, image()) == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    assert ImagingInstance.objects.count() == len(stored_files()) == 3
    [item] = ExceptionItem.objects.filter(kind="duplicate_instance")
    assert item.detail["sop_instance_uid"] == made.SOPInstanceUID


# --- what goes wrong


class Failing:
    """``os`` with one call that finds no room."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            return self._fail
        return getattr(os, name)

    def _fail(self, *arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["writev", "fsync", "rename", "makedirs"])
def test_a_full_disk_is_told_and_leaves_nothing(scp, monkeypatch, call):
    with line_to(scp, scu.contexts_for([CT])) as line:
        monkeypatch.setattr(store, "os", Failing(call))
        assert [send(line, image()) for _number in range(2)] == [0xA700, 0xA700]
        monkeypatch.undo()
        assert stored_files() == []
        assert not ImagingInstance.objects.exists()
        assert send(line, image()) == 0
    assert ImagingInstance.objects.count() == len(stored_files()) == 1


def cut_lines() -> None:
    from tests.conftest import superuser

    with superuser() as server:
        database = connection.settings_dict["NAME"]
        server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database])


@pytest.mark.parametrize("call", ["writev", "fsync", "rename"])
def test_a_disk_that_is_full_while_the_row_is_being_added_leaves_neither(scp, monkeypatch, call):
    made = image()
    with line_to(scp, scu.contexts_for([CT])) as line:
        assert send(line, image()) == 0
        monkeypatch.setattr(store, "os", Failing(call))
        assert [send(line, made), send(line, image())] == [0xA700, 0xA700]
        monkeypatch.undo()
        assert ImagingInstance.objects.count() == len(stored_files()) == 1
        assert [send(line, made), send(line, made)] == [0, 0]
    assert ImagingInstance.objects.count() == len(stored_files()) == 2
    assert ImagingStudy.objects.get().instance_count == 2


@pytest.mark.parametrize("moment", ["before the file", "behind the file"])
def test_a_line_to_the_database_that_is_cut_while_the_row_is_being_added(scp, monkeypatch, moment):
    """The row is lost with the line; on another it is added once more, and once."""
    real = store.IncomingFile.keep_as

    def keep_as(self: Any, named: Any) -> Any:
        if moment == "before the file":
            cut_lines()
        kept = real(self, named)
        if moment == "behind the file":
            cut_lines()
        return kept

    with line_to(scp, scu.contexts_for([CT])) as line:
        assert send(line, image()) == 0
        monkeypatch.setattr(store.IncomingFile, "keep_as", keep_as)
        assert [send(line, image()) for _number in range(2)] == [0, 0]
        monkeypatch.undo()
        connection.close()
        assert send(line, image()) == 0
    assert ImagingInstance.objects.count() == len(stored_files()) == 4
    assert ImagingStudy.objects.get().instance_count == 4


def test_known_objects_while_others_are_ahead(scp):
    """Sent again in the short way: identical ones are answered once more, others refused, and no file is left over."""
    made, other = image(), image()
    with line_to(scp, scu.contexts_for([CT])) as line:
        assert [send(line, image()), send(line, made), send(line, made)] == [0, 0, 0]
        assert send(line, image(SOPInstanceUID=made.SOPInstanceUID, InstanceNumber=7)) == 0xC111
        assert send(line, other) == 0
    assert ImagingInstance.objects.count() == len(stored_files()) == 3
    assert ExceptionItem.objects.filter(kind="duplicate_instance").count() == 1


def test_a_database_that_cuts_its_lines_costs_nothing_in_the_middle_of_a_series(scp):
    with line_to(scp, scu.contexts_for([CT])) as line:
        for _number in range(3):
            assert send(line, image()) == 0
            cut_lines()
            connection.close()
        assert send(line, image()) == 0
    assert ImagingInstance.objects.count() == len(stored_files()) == 4
    assert ImagingStudy.objects.get().instance_count == 4


# --- threads that read


@pytest.mark.parametrize("patience", [0.0, 5.0])
def test_other_requests_between_images_find_their_way(scp, monkeypatch, patience):
    """The association goes into a thread for its images and comes back to the loop for everything else."""
    monkeypatch.setattr(receiving, "PATIENCE", patience)
    with line_to(scp, scu.contexts_for([CT, "1.2.840.10008.1.1"])) as line:
        for _turn in range(3):
            assert [send(line, image()), send(line, image())] == [0, 0]
            assert line.send_c_echo().Status == 0
    assert ImagingInstance.objects.count() == len(stored_files()) == 6
    assert ImagingStudy.objects.get().instance_count == 6


def test_more_associations_than_threads_store_all_the_same(scp, monkeypatch):
    hub = scp.server._hub
    monkeypatch.setattr(hub, "receiving", hub.settings.receivers - 1)
    with line_to(scp, scu.contexts_for([CT])) as first, line_to(scp, scu.contexts_for([CT])) as second:
        statuses = [send(line, image()) for _turn in range(3) for line in (first, second)]
    assert statuses == [0] * 6
    assert ImagingInstance.objects.count() == len(stored_files()) == 6


class Watched(Budget):
    """Remembers the most that was held at once."""

    peak = 0

    def __setattr__(self, name: str, value: int) -> None:
        super().__setattr__(name, value)
        self.__dict__["peak"] = max(self.peak, self.__dict__.get("held", 0))


def test_what_all_associations_hold_together_is_bounded(scp, monkeypatch):
    """Eight send two megabytes each while nothing can be written: one is read, and what is in the buffers."""
    hub, lines, most, disk_works = scp.server._hub, 8, 1 << 20, threading.Event()
    budget = Watched(most)
    monkeypatch.setattr(hub, "budget", budget)
    monkeypatch.setattr(hub, "receiving", hub.settings.receivers)  # the loop reads them all
    take = Storing.take
    monkeypatch.setattr(Storing, "take", lambda self, pieces: (disk_works.wait(60), take(self, pieces))[1])

    def work(_number: int) -> int:
        with line_to(scp, scu.contexts_for([CT])) as line:
            large = image(PixelData=bytes(2 << 20))
            large["PixelData"].VR = "OW"
            return send(line, large)

    with ThreadPoolExecutor(lines) as pool:
        answers = [pool.submit(work, number) for number in range(lines)]
        try:
            last, same = -1, 0
            while not any(answer.done() for answer in answers) and not (budget.held > most and same > 10):
                same = same + 1 if budget.held == last else 0
                last = budget.held
                time.sleep(0.03)
        finally:
            disk_works.set()
        assert [answer.result(60) for answer in answers] == [0] * lines
    assert most < budget.peak < most + lines * (512 << 10)
    assert budget.held == 0
    budget.most = -1
    assert scp.scanner().find(worklist_keys("CT1", "CT", ""))[0] == 0xA700


# --- the index


def test_four_associations_into_one_study_count_right(scp):
    problems: list[Any] = []

    def work() -> None:
        try:
            with line_to(scp, scu.contexts_for([CT])) as line:
                problems.extend(status for _number in range(12) if (status := send(line, image())))
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    study = ImagingStudy.objects.get()
    assert (study.instance_count, study.series_count) == (48, 1)
    assert study.series.get().instance_count == ImagingInstance.objects.count() == 48


def further(data: Any) -> ImagingInstance | None:
    values = {name: getattr(data, name) for name in FURTHER}
    return index_further_instance(**values, sop_instance_uid=data.sop_instance_uid, actor=STORE)


def test_the_short_way_is_for_known_series_of_their_study_only(transactional_db, alpha):
    from worklist.services import recount_waiting

    first = stored()
    assert further(first) is None
    index_instance(first, actor=STORE)
    same = {"study_instance_uid": first.study_instance_uid, "series_instance_uid": first.series_instance_uid}
    second = stored(**same)
    row = further(second)
    assert row is not None
    assert ImagingInstance.objects.get(pk=row.pk).sop_instance_uid == second.sop_instance_uid
    assert further(second) is None
    ImageRejection.objects.create(
        study=ImagingStudy.objects.get(), code="113001", reason="Motion", instances=["1.2.3"], received_from="MR7"
    )
    assert further(stored(**same)) is None
    ImageRejection.objects.update(restored_at=timezone.now(), restored_reason="It can be read")
    other = ImagingStudy.objects.create(study_instance_uid="1.2.3.4")
    ImagingSeries.objects.update(study=other)
    assert further(stored(**same)) is None
    recount_waiting()
    assert ImagingInstance.objects.count() == 2


def test_what_has_begun_counts_when_it_is_committed_and_not_before(transactional_db, alpha):
    """As after a kill in between: nobody sees it, and nothing of it stays; others are not held up."""
    from worklist.services import begin_further_instance
    from worklist.services.further import queue_of

    first = stored()
    index_instance(first, actor=STORE)
    same = {"study_instance_uid": first.study_instance_uid, "series_instance_uid": first.series_instance_uid}

    def begun(data: Any) -> Any:
        values = {name: getattr(data, name) for name in FURTHER}
        return begin_further_instance(**values, sop_instance_uid=data.sop_instance_uid, actor=STORE)

    def seen_by_others() -> int:
        from tests.conftest import superuser

        with superuser(connection.settings_dict["NAME"]) as server:
            return server.execute("select count(*) from alpha.worklist_imaginginstance").fetchone()[0]

    queue_of.cache_clear()  # nobody has stored just now
    killed, kept, bad = stored(**same), stored(**same), stored(**same, path="x" * 300)
    beginning = begun(killed)
    assert beginning._is_ahead and seen_by_others() == 1
    with ThreadPoolExecutor(1) as other:  # which is not ahead, and does not wait for the one that is

        def work() -> Any:
            with use_facility(alpha):
                try:
                    return further(kept)
                finally:
                    connection.close()

        assert other.submit(work).result(20) is not None
    beginning._line.connection.pgconn.finish()  # as the system does for a process that is no more
    beginning.cancel()
    assert seen_by_others() == 2
    assert {killed.sop_instance_uid} & set(ImagingInstance.objects.values_list("sop_instance_uid", flat=True)) == set()
    with pytest.raises(DatabaseError):
        begun(bad).commit()
    assert begun(killed).commit() is not None
    assert begun(killed).commit() is None
    assert seen_by_others() == 3


def test_what_comes_while_a_statement_runs_goes_together_and_a_bad_one_alone(transactional_db, alpha, monkeypatch):
    from worklist.services import further as module

    first = stored()
    index_instance(first, actor=STORE)
    same = {"study_instance_uid": first.study_instance_uid, "series_instance_uid": first.series_instance_uid}
    real, may_go, sizes, found = module._round_trip, threading.Event(), [], {}

    def slow(line: Any, schema: str, template: str, together: Any) -> Any:
        sizes.append(len(together))
        assert may_go.wait(20)
        return real(line, schema, template, together)

    def work(name: str, **fields: Any) -> None:
        with use_facility(alpha):
            try:
                found[name] = further(stored(**same, **fields))
            except DatabaseError as error:
                found[name] = error
            finally:
                connection.close()

    def until(condition: Any) -> None:
        end = time.monotonic() + 20
        while not condition() and time.monotonic() < end:
            time.sleep(0.005)

    monkeypatch.setattr(module, "_round_trip", slow)
    queue = module.queue_of("alpha")
    threads = [threading.Thread(target=work, args=("first",))]
    threads[0].start()
    until(lambda: sizes)
    for name, fields in (("second", {}), ("bad", {"path": "x" * 300}), ("third", {})):
        threads.append(threading.Thread(target=work, args=(name,), kwargs=fields))
        threads[-1].start()
    until(lambda: len(queue._waiting) == 3)
    may_go.set()
    for thread in threads:
        thread.join(20)
    assert isinstance(found.pop("bad"), DatabaseError)
    rows = {row.sop_instance_uid for row in found.values()}
    assert len(rows) == ImagingInstance.objects.filter(sop_instance_uid__in=rows).count() == 3
    assert sizes[:2] == [1, 3] and set(sizes[2:]) == {1}
    assert not queue._waiting and not queue._is_running


def test_two_who_store_go_into_one_commit_and_nobody_waits_for_one_who_went(transactional_db, alpha, monkeypatch):
    """Where another line has added one just now, a statement waits for company; in vain once, and then not for long."""
    from worklist.services import begin_further_instance
    from worklist.services import further as module

    monkeypatch.setattr(module, "RECENTLY", 3600.0)
    monkeypatch.setattr(module, "COMPANY_SECONDS", 60.0)
    module.queue_of.cache_clear()
    queue = module.queue_of("alpha")
    first = stored()
    index_instance(first, actor=STORE)
    same = {"study_instance_uid": first.study_instance_uid, "series_instance_uid": first.series_instance_uid}
    real, sizes = module._round_trip, []

    def counted(line: Any, schema: str, template: str, together: Any) -> Any:
        sizes.append(len(together))
        return real(line, schema, template, together)

    def begun() -> Any:
        data = stored(**same)
        values = {name: getattr(data, name) for name in FURTHER}
        return begin_further_instance(**values, sop_instance_uid=data.sop_instance_uid, actor=STORE)

    monkeypatch.setattr(module, "_round_trip", counted)
    alone = begun()
    assert alone._is_ahead and alone.commit() is not None and sizes == []

    def work() -> list[Any]:
        with use_facility(alpha):
            try:
                return [begun().commit() for _number in range(3)]
            finally:
                connection.close()

    with ThreadPoolExecutor(1) as other:
        rows = other.submit(work)
        end = time.monotonic() + 20
        while queue._host is None and time.monotonic() < end:
            time.sleep(0.005)
        mine = [begun().commit() for _number in range(3)]  # each waits for the other's, or the other for it
        assert None not in [*rows.result(20), *mine]
    assert sizes == [2, 2, 2]
    monkeypatch.setattr(module, "COMPANY_SECONDS", 0.001)
    assert begun().commit() is not None and queue._skipped == module.FIRST_VAIN
    monkeypatch.setattr(module, "COMPANY_SECONDS", 60.0)
    assert begun().commit() is not None and queue._skipped == module.FIRST_VAIN - 1
    assert sizes == [2, 2, 2, 1, 1] and ImagingInstance.objects.count() == 10
    module.queue_of.cache_clear()


def test_a_late_image_opens_a_complete_study_again(transactional_db, alpha):
    from worklist.services import recount_waiting

    first = stored()
    index_instance(first, actor=STORE)
    ImagingStudy.objects.update(completed_at=timezone.now(), settle_after=None)
    same = {"study_instance_uid": first.study_instance_uid, "series_instance_uid": first.series_instance_uid}
    assert further(stored(**same)) is not None
    recount_waiting()
    study = ImagingStudy.objects.get()
    assert (study.completed_at, study.instance_count) == (None, 2)
    assert study.settle_after > timezone.now()


# --- safety as the setting says


@pytest.mark.parametrize(
    ("policy", "during", "at_the_end"), [("instance", 8, 0), ("association", 0, 4), ("none", 0, 0)]
)
def test_files_go_to_the_disk_when_the_setting_says(scp, settings, monkeypatch, policy, during, at_the_end):
    settings.RIS_DICOM_FSYNC = policy
    with line_to(scp, scu.contexts_for([CT])) as line:
        assert send(line, image()) == 0  # makes the folders
        calls: Counter[str] = Counter()
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda fd: (calls.update(["fsync"]), real(fd))[1])
        assert [send(line, image()) for _number in range(4)] == [0, 0, 0, 0]
        assert calls["fsync"] == during
    assert (calls["fsync"] - during >= at_the_end) and (at_the_end > 0 or calls["fsync"] == during)


def test_any_storage_class_of_django_keeps_instances(scp, settings):
    settings.STORAGES = {
        **settings.STORAGES,
        "instances": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    made = image()
    with line_to(scp, scu.contexts_for([CT])) as line:
        assert [send(line, made), send(line, made), send(line, image())] == [0, 0, 0]
        assert send(line, image(SOPInstanceUID=made.SOPInstanceUID, PatientID="10")) == 0xC111
    assert stored_files() == []
    row = ImagingInstance.objects.get(sop_instance_uid=made.SOPInstanceUID)
    assert row.path.startswith("alpha/")
    assert storages["instances"].size(row.path) == row.size
    with open_instance(row.path) as opened:
        content = opened.read()
    assert is_whole(row)
    with local_path(row.path) as path:
        assert path.read_bytes() == content
        assert dcmread(path).PatientID == "9"
        assert path.parent.name == INCOMING
    assert stored_files() == []
    folder = f"alpha/{row.path.split('/')[1]}/{made.StudyInstanceUID}"
    assert len(storages["instances"].listdir(folder)[1]) == 2
    with pytest.raises(FileNotFoundError), local_path("alpha/nothing.dcm"):
        pass


class Unreachable(InMemoryStorage):
    """As a remote storage is whose library has errors of its own."""

    def exists(self, name: str) -> bool:
        raise LookupError("no route")

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise LookupError("no route")


def test_a_storage_that_cannot_be_reached_is_a_disk_that_does_not_work(scp, settings):
    settings.STORAGES = {**settings.STORAGES, "instances": {"BACKEND": f"{__name__}.Unreachable"}}
    with line_to(scp, scu.contexts_for([CT])) as line:
        assert send(line, image()) == 0xA700
    assert stored_files() == [] and not ImagingInstance.objects.exists()
    with pytest.raises(OSError, match="LookupError"), local_path("alpha/any.dcm"):
        pass
