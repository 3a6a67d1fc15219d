"""Storage commitment: asked on one association, reported on another, until the requester has taken it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt

from interop.dicom import commitment_reports, scu
from interop.dicom.store import instance_path
from interop.models import CommitmentStatus, DicomPeer, StorageCommitment
from ris.core.actor import Actor
from ris.embedded import free_port
from ris.events.dispatcher import Dispatcher
from tests.factories.worklist import stored
from worklist.models import ImagingInstance, ImagingStudy
from worklist.services import index_instance

PUSH_MODEL, PUSH_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


def asked_for(pairs: list[tuple[str, str]], transaction: str = "") -> Dataset:
    told = Dataset()
    told.TransactionUID = transaction or generate_uid()
    told.ReferencedSOPSequence = []
    for sop_class, uid in pairs:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        told.ReferencedSOPSequence.append(item)
    return told


def ask(scp: Any, told: Dataset, *, ae_title: str = "CT1", action: int = 1, instance: str = PUSH_INSTANCE) -> int:
    with scu.association(
        host="127.0.0.1",
        port=scp.port,
        called_ae_title="ALPHA",
        calling_ae_title=ae_title,
        contexts=scu.contexts_for([PUSH_MODEL]),
    ) as line:
        answer, _reply = line.send_n_action(told, action, PUSH_MODEL, instance)
        return scu.status_of(answer)


class Requester:
    """The peer's own server, which takes reports; ``answers``: the statuses it gives, then success."""

    def __init__(self, port: int, answers: list[int] | None = None) -> None:
        self.port, self.answers = port, answers or []
        self.reports: list[tuple[int, Dataset]] = []

    @contextmanager
    def open(self, *, negotiates: bool = True) -> Iterator[Requester]:
        ae = AE(ae_title="CT1")
        roles = {"scu_role": True, "scp_role": True} if negotiates else {}
        ae.add_supported_context(PUSH_MODEL, **roles)
        ae.require_called_aet = True
        server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._take)]
        )
        try:
            yield self
        finally:
            server.shutdown()

    def _take(self, event: Any) -> tuple[int, None]:
        if self.answers:
            return self.answers.pop(0), None
        self.reports.append((event.event_type, event.event_information))
        return 0x0000, None


@pytest.fixture
def requester(scp: Any) -> Requester:
    port = free_port()
    DicomPeer.objects.filter(ae_title="CT1").update(may_commit=True, host="127.0.0.1", port=port)
    return Requester(port)


def tick() -> None:
    Dispatcher(use_broker=False).tick(["alpha"])


def soon() -> None:
    StorageCommitment.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def store(scp: Any, count: int) -> list[tuple[str, str]]:
    scanner = scp.scanner(size=16)
    scanner.start_unscheduled(patient_name="Doe^Jane", patient_id="9")
    assert scanner.store_images(count) == [0] * count
    return list(ImagingInstance.objects.values_list("sop_class_uid", "sop_instance_uid"))


def uids(items: Any) -> set[str]:
    return {str(item.ReferencedSOPInstanceUID) for item in items or ()}


def test_all_that_is_stored_is_committed(scp, requester):
    pairs, transaction = store(scp, 3), generate_uid()
    assert ask(scp, asked_for(pairs, transaction)) == 0
    assert requester.reports == []
    with requester.open():
        tick()
        tick()
    [(event_type, told)] = requester.reports
    assert (event_type, told.TransactionUID, told.RetrieveAETitle) == (1, transaction, "ALPHA")
    assert uids(told.ReferencedSOPSequence) == {uid for _class, uid in pairs}
    assert "FailedSOPSequence" not in told
    row = StorageCommitment.objects.get()
    assert (row.status, row.attempts, row.last_error) == ("delivered", 1, "")
    assert row.delivered_at is not None


def test_of_500_with_5_absent_the_report_names_exactly_the_5(scp, requester):
    """R8, in process: rows and files as a store would leave them."""
    [(sop_class, first)] = store(scp, 1)
    known = ImagingInstance.objects.get()
    rows = [
        ImagingInstance(
            series=known.series, sop_instance_uid=generate_uid(), sop_class_uid=CT,
            transfer_syntax_uid="1.2.840.10008.1.2",
            path=known.path, size=known.size, fingerprint=known.fingerprint,
        )
        for _number in range(494)
    ]  # fmt: skip
    ImagingInstance.objects.bulk_create(rows)
    absent = {generate_uid() for _number in range(5)}
    pairs = [(sop_class, first), *((CT, row.sop_instance_uid) for row in rows), *((CT, uid) for uid in absent)]
    assert len(pairs) == 500
    assert ask(scp, asked_for(pairs)) == 0
    with requester.open():
        tick()
    [(event_type, told)] = requester.reports
    assert event_type == 2
    assert {(str(item.ReferencedSOPInstanceUID), item.FailureReason) for item in told.FailedSOPSequence} == {
        (uid, 0x0112) for uid in absent
    }
    assert uids(told.ReferencedSOPSequence) == {uid for _class, uid in pairs} - absent


def test_each_failure_has_its_reason(scp, requester):
    pairs = store(scp, 4)
    lost, changed, other = pairs[0][1], pairs[1][1], pairs[2][1]
    paths = dict(ImagingInstance.objects.values_list("sop_instance_uid", "path"))
    instance_path(paths[lost]).unlink()
    content = bytearray(instance_path(paths[changed]).read_bytes())
    content[-1] ^= 1
    instance_path(paths[changed]).write_bytes(content)
    asked = [pairs[0], pairs[1], (MR, other), pairs[3]]
    assert ask(scp, asked_for(asked)) == 0
    with requester.open():
        tick()
    [(_type, told)] = requester.reports
    reasons = {str(item.ReferencedSOPInstanceUID): item.FailureReason for item in told.FailedSOPSequence}
    assert reasons == {lost: 0x0110, changed: 0x0110, other: 0x0119}
    assert uids(told.ReferencedSOPSequence) == {pairs[3][1]}


def test_a_requester_that_is_away_gets_its_report_once_when_it_is_back(scp, requester):
    pairs = store(scp, 2)
    assert ask(scp, asked_for(pairs)) == 0
    for attempt in (1, 2):
        tick()
        row = StorageCommitment.objects.get()
        assert (row.status, row.attempts) == ("pending", attempt)
        assert row.last_error != ""
        assert row.next_attempt_at > timezone.now()
        soon()
    with requester.open():
        for _number in range(3):
            tick()
    assert len(requester.reports) == 1
    assert StorageCommitment.objects.get().status == CommitmentStatus.DELIVERED


def test_a_process_that_dies_between_check_and_report_is_followed_by_another(scp, requester, monkeypatch):
    """The claim of the dead one runs out; what it had found is not looked for again."""
    assert ask(scp, asked_for(store(scp, 2))) == 0

    def die(row: StorageCommitment) -> None:
        raise SystemExit

    with requester.open():
        monkeypatch.setattr(commitment_reports, "_report", die)
        [pk] = commitment_reports.claim()
        with pytest.raises(SystemExit):
            commitment_reports.run(pk)
        monkeypatch.undo()
        assert commitment_reports.claim() == []
        StorageCommitment.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
        tick()
    assert len(requester.reports) == 1
    assert StorageCommitment.objects.get().attempts == 2


def test_two_processes_report_once(scp, requester):
    assert ask(scp, asked_for(store(scp, 2))) == 0
    [pk] = commitment_reports.claim()
    facility, barrier, outcomes = connection.tenant, threading.Barrier(2), []

    def report() -> None:
        connection.set_tenant(facility)
        barrier.wait()
        outcomes.append(commitment_reports.run(pk))
        connection.close()

    with requester.open():
        threads = [threading.Thread(target=report) for _number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(outcomes) == [False, True]
    assert len(requester.reports) == 1


def test_a_refused_report_is_tried_again(scp, requester):
    requester.answers = [0x0110]
    assert ask(scp, asked_for(store(scp, 1))) == 0
    with requester.open(negotiates=False):
        tick()
        assert "0110" in StorageCommitment.objects.get().last_error
        soon()
        tick()
    assert len(requester.reports) == 1


def test_after_a_week_a_person_is_asked_and_may_send_it_again(scp, requester):
    actor = Actor("admin")
    assert ask(scp, asked_for(store(scp, 1))) == 0
    StorageCommitment.objects.update(requested_at=timezone.now() - timedelta(days=8))
    tick()
    row = StorageCommitment.objects.get()
    assert row.status == CommitmentStatus.PARKED
    commitment_reports.report_again(row, actor=actor)
    with requester.open():
        tick()
    assert len(requester.reports) == 1


def test_a_repeated_request_is_one_transaction(scp, requester):
    pairs, transaction = store(scp, 2), generate_uid()
    assert [ask(scp, asked_for(pairs, transaction)) for _number in range(2)] == [0, 0]
    assert ask(scp, asked_for(pairs[:1], transaction)) == 0x0115
    assert StorageCommitment.objects.count() == 1


def without(keyword: str) -> Callable[[], Dataset]:
    def make() -> Dataset:
        told = asked_for([(CT, "1.2.3")])
        del told[keyword]
        return told

    return make


@pytest.mark.parametrize(
    ("told", "more", "status"),
    [
        (lambda: asked_for([(CT, "1.2.3")]), {"action": 2}, 0x0123),
        (lambda: asked_for([(CT, "1.2.3")]), {"instance": "1.2.3"}, 0x0112),
        (lambda: asked_for([(CT, "1.2.3")]), {"ae_title": "CT2"}, 0x0124),
        (lambda: asked_for([]), {}, 0x0115),
        (without("TransactionUID"), {}, 0x0115),
        (without("ReferencedSOPSequence"), {}, 0x0115),
    ],
)
def test_what_is_refused_leaves_no_row(scp, requester, told, more, status):
    assert ask(scp, told(), **more) == status
    assert not StorageCommitment.objects.exists()


def test_images_of_which_all_are_committed_are_complete(scp, requester):
    pairs = store(scp, 2)
    scanner = scp.scanner(size=16)
    scanner.start_unscheduled(patient_name="Roe^Richard", patient_id="10")
    study = ImagingStudy.objects.get()
    assert study.completed_at is None
    assert ask(scp, asked_for(pairs[:1])) == 0
    tick()
    study.refresh_from_db()
    assert study.completed_at is None
    assert ask(scp, asked_for(pairs)) == 0
    tick()
    study.refresh_from_db()
    assert study.completed_at is not None


def test_an_image_that_comes_later_opens_the_study_again(scp, requester):
    first = stored()
    index_instance(first, actor=Actor("storage", ae_title="CT1"))
    ImagingStudy.objects.update(completed_at=timezone.now(), settle_after=None)
    again = stored(study_instance_uid=first.study_instance_uid, series_instance_uid=first.series_instance_uid)
    index_instance(again, actor=Actor("storage", ae_title="CT1"))
    study = ImagingStudy.objects.get()
    assert (study.completed_at, study.instance_count) == (None, 2)
    assert study.settle_after is not None
