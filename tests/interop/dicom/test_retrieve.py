"""C-MOVE and C-GET with DCMTK and pynetdicom: what arrives, what is counted, what is refused, what is written down."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE, build_role, evt
from pynetdicom.presentation import build_context

from interop.dicom import scu
from interop.dicom.importing import import_file
from interop.dicom.query_keys import PATIENT_ROOT_GET, PATIENT_ROOT_MOVE, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from interop.dicom.sop_classes import STORAGE_SYNTAXES
from interop.dicom.store import instance_path
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM, Actor
from ris.core.ids import new_uid
from tests.factories.orders import make_patient, make_procedure
from worklist.models import ImagingInstance, ImagingSeries, ImagingStudy
from worklist.services import link_study, reject_images

from .conftest import make_peer

STORAGE = Actor("storage", ae_title="CT1")
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")


def keep(name: str) -> ImagingInstance:
    answer = import_file(Path(get_testdata_file(name, download=False)), actor=STORAGE)
    assert answer.result == "stored", answer
    return ImagingInstance.objects.get(sop_instance_uid=answer.sop_instance_uid)


def keep_series(tmp_path: Path, count: int) -> ImagingStudy:
    """A study of ``count`` slices of one CT."""
    made = dcmread(get_testdata_file("CT_small.dcm", download=False))
    made.StudyInstanceUID, made.SeriesInstanceUID = new_uid(), new_uid()
    for number in range(1, count + 1):
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = new_uid()
        made.InstanceNumber = number
        path = tmp_path / f"slice{number}.dcm"
        made.save_as(path)
        assert import_file(path, actor=STORAGE).result == "stored"
    return ImagingStudy.objects.get(study_instance_uid=made.StudyInstanceUID)


def keys_of(row: ImagingInstance, level: str) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    values = {
        "PatientID": row.series.study.patient_id,
        "StudyInstanceUID": row.series.study.study_instance_uid,
        "SeriesInstanceUID": row.series.series_instance_uid,
        "SOPInstanceUID": row.sop_instance_uid,
    }
    for keyword, value in list(values.items())[: LEVELS.index(level) + 1]:
        setattr(asked, keyword, value)
    return asked


@contextlib.contextmanager
def receiver(
    title: str = "ARCHIVE", *, status: int = 0, syntaxes: Any = STORAGE_SYNTAXES, seconds: float = 0, **peer: Any
) -> Iterator[list[Dataset]]:
    """A storage SCP that is registered as a peer; the list fills with what it was sent."""
    received: list[Dataset] = []

    def on_store(event: evt.Event) -> int:
        time.sleep(seconds)
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        dataset.originator = (event.request.MoveOriginatorApplicationEntityTitle, event.request.MoveOriginatorMessageID)
        received.append(dataset)
        return status

    ae = AE(ae_title=title)
    for sop_class in (CT_IMAGE, "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.88.11"):
        ae.add_supported_context(sop_class, list(syntaxes))
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)])
    make_peer(title, host="127.0.0.1", port=server.server_address[1], **peer)
    try:
        yield received
    finally:
        server.shutdown()


def move(scp: Any, asked: Dataset, model: str = STUDY_ROOT_MOVE, to: str = "ARCHIVE") -> list[tuple[Dataset, Any]]:
    where = {"host": "127.0.0.1", "port": scp.port, "called_ae_title": "ALPHA", "calling_ae_title": "WS1"}
    with scu.association(**where, contexts=scu.contexts_for([model])) as line:
        return list(line.send_c_move(asked, to, model))


def counted(answer: Dataset) -> tuple[int, int, int]:
    return (
        answer.NumberOfCompletedSuboperations,
        answer.NumberOfFailedSuboperations,
        answer.NumberOfWarningSuboperations,
    )


# --- C-MOVE


@pytest.mark.parametrize(
    ("model", "level"),
    [(PATIENT_ROOT_MOVE, level) for level in LEVELS] + [(STUDY_ROOT_MOVE, level) for level in LEVELS[1:]],
)
def test_c_move_sends_what_each_level_names(scp, model, level):
    make_peer("WS1", may_query=True)
    wanted = keep("CT_small.dcm")
    keep("MR_small.dcm")
    with receiver() as received:
        answers = move(scp, keys_of(wanted, level), model)
    assert [one.SOPInstanceUID for one in received] == [wanted.sop_instance_uid]
    assert received[0].originator == ("WS1", 1)
    final, _identifier = answers[-1]
    assert (final.Status, counted(final)) == (0, (1, 0, 0))


def test_c_move_tells_its_progress_and_writes_down_who_took_what_first(scp, tmp_path):
    make_peer("WS1", may_query=True)
    study = keep_series(tmp_path, 3)
    with receiver() as received:
        answers = move(scp, keys_of(ImagingInstance.objects.first(), "STUDY"))
    assert [row.InstanceNumber for row in received] == [1, 2, 3]
    progress = [(one.Status, one.get("NumberOfRemainingSuboperations"), counted(one)) for one, _data in answers]
    assert progress == [(0xFF00, 2, (1, 0, 0)), (0xFF00, 1, (2, 0, 0)), (0, None, (3, 0, 0))]
    event = AuditEvent.objects.get(event_type="worklist.view_study", entity=study.uuid)
    assert event.detail == {"page": "retrieve", "instances": 3, "destination": "ARCHIVE"}
    assert (event.source, event.ae_title) == ("retrieve", "WS1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"to": "NOBODY"}, "NOBODY is no peer that we can call."),
        ({"port": None}, "ARCHIVE is no peer that we can call."),
        ({"is_active": False}, "ARCHIVE is no peer that we can call."),
    ],
)
def test_an_unknown_destination_is_a801(scp, change, words):
    make_peer("WS1", may_query=True)
    wanted = keep("CT_small.dcm")
    to = change.pop("to", "ARCHIVE")
    make_peer("ARCHIVE", **{"host": "127.0.0.1", "port": 11112} | change)
    [(final, _identifier)] = move(scp, keys_of(wanted, "STUDY"), to=to)
    assert (final.Status, final.ErrorComment) == (0xA801, words)
    assert not AuditEvent.objects.filter(event_type="worklist.view_study").exists()


def test_a_destination_that_cannot_be_reached_is_a702_with_the_list(scp):
    make_peer("WS1", may_query=True)
    wanted = keep("CT_small.dcm")
    make_peer("ARCHIVE", host="127.0.0.1", port=1)
    [(final, failed)] = move(scp, keys_of(wanted, "STUDY"))
    assert (final.Status, counted(final)) == (0xA702, (0, 1, 0))
    assert failed.FailedSOPInstanceUIDList == wanted.sop_instance_uid


def test_refused_and_warned_sub_operations_are_counted(scp, tmp_path):
    make_peer("WS1", may_query=True)
    keep_series(tmp_path, 2)
    asked = keys_of(ImagingInstance.objects.first(), "STUDY")
    with receiver(status=0xA700):
        answers = move(scp, asked)
    final, failed = answers[-1]
    assert (final.Status, counted(final)) == (0xA702, (0, 2, 0))
    assert set(failed.FailedSOPInstanceUIDList) == set(
        ImagingInstance.objects.values_list("sop_instance_uid", flat=True)
    )
    with receiver("OTHER", status=0xB000):
        final, _failed = move(scp, asked, to="OTHER")[-1]
    assert (final.Status, counted(final)) == (0xB000, (0, 0, 2))


def test_a_file_that_is_gone_fails_alone(scp, tmp_path):
    make_peer("WS1", may_query=True)
    keep_series(tmp_path, 2)
    first, second = ImagingInstance.objects.order_by("number")
    instance_path(first.path).unlink()
    with receiver() as received:
        final, failed = move(scp, keys_of(first, "STUDY"))[-1]
    assert (final.Status, counted(final)) == (0xB000, (1, 1, 0))
    assert failed.FailedSOPInstanceUIDList == first.sop_instance_uid
    assert [one.SOPInstanceUID for one in received] == [second.sop_instance_uid]


def test_a_cancelled_move_stops_and_says_what_remains(scp, tmp_path):
    make_peer("WS1", may_query=True)
    keep_series(tmp_path, 12)
    asked = keys_of(ImagingInstance.objects.first(), "STUDY")
    where = {"host": "127.0.0.1", "port": scp.port, "called_ae_title": "ALPHA", "calling_ae_title": "WS1"}
    with (
        receiver(seconds=0.1) as received,
        scu.association(**where, contexts=scu.contexts_for([STUDY_ROOT_MOVE])) as line,
    ):
        statuses = []
        for answer, _identifier in line.send_c_move(asked, "ARCHIVE", STUDY_ROOT_MOVE, msg_id=7):
            statuses.append(answer.Status)
            if len(statuses) == 2:
                line.send_c_cancel(7, query_model=STUDY_ROOT_MOVE)
    assert statuses[-1] == 0xFE00
    assert answer.NumberOfRemainingSuboperations == 12 - len(received)
    assert len(received) < 12


def test_the_original_syntax_goes_first_and_is_converted_where_it_is_not_taken(scp):
    make_peer("WS1", may_query=True)
    wanted = keep("MR_small_jpeg_ls_lossless.dcm")
    with receiver() as received:
        move(scp, keys_of(wanted, "STUDY"))
    assert received[0].file_meta.TransferSyntaxUID == wanted.transfer_syntax_uid
    for title, syntax in (("PLAIN", EXPLICIT), ("OLD", IMPLICIT)):
        with receiver(title, syntaxes=[syntax]) as received:
            final, _failed = move(scp, keys_of(wanted, "STUDY"), to=title)[-1]
        assert final.Status == 0
        assert received[0].file_meta.TransferSyntaxUID == syntax
        original = dcmread(instance_path(wanted.path))
        assert (received[0].pixel_array == original.pixel_array).all()
        assert received[0].PatientName == original.PatientName


def test_what_a_person_moved_to_another_study_leaves_under_that_study(scp):
    make_peer("WS1", may_query=True)
    wanted = keep("CT_small.dcm")
    study = ImagingStudy.objects.get()
    acquired, study.study_instance_uid = study.study_instance_uid, new_uid()
    study.save()
    ImagingSeries.objects.update(acquired_study_instance_uid=acquired)
    wanted = ImagingInstance.objects.get(pk=wanted.pk)
    with receiver() as received:
        final, _failed = move(scp, keys_of(wanted, "STUDY"))[-1]
    assert final.Status == 0
    assert received[0].StudyInstanceUID == study.study_instance_uid
    assert received[0].PixelData == dcmread(instance_path(wanted.path)).PixelData


def test_what_is_linked_leaves_under_its_patient_unless_the_peer_wants_it_as_it_came(scp):
    make_peer("WS1", may_query=True)
    wanted = keep("CT_small.dcm")
    procedure = make_procedure(patient=make_patient(family_name="Wanjiru", given_name="Achieng"))
    link_study(wanted.series.study, procedure=procedure, actor=SYSTEM, reason="Hers")
    asked = keys_of(wanted, "STUDY")
    del asked.PatientID
    names = []
    for title, as_sent in (("ARCHIVE", False), ("RAW", True)):
        with receiver(title, receives_as_sent=as_sent) as received:
            final, _failed = move(scp, asked, to=title)[-1]
        assert final.Status == 0
        names.append(
            (str(received[0].PatientName), received[0].AccessionNumber, "OriginalAttributesSequence" in received[0])
        )
    original = dcmread(instance_path(wanted.path))
    assert names == [
        ("Wanjiru^Achieng", procedure.accession_number, True),
        (str(original.PatientName), original.AccessionNumber, False),
    ]


def test_rejected_images_are_not_sent(scp, tmp_path):
    make_peer("WS1", may_query=True)
    study = keep_series(tmp_path, 2)
    first, second = ImagingInstance.objects.order_by("number")
    reject_images(study, instances=[first.sop_instance_uid], code="113001", reason="Motion", actor=SYSTEM)
    with receiver() as received:
        move(scp, keys_of(first, "STUDY"))
        assert [one.SOPInstanceUID for one in received] == [second.sop_instance_uid]
        final, _failed = move(scp, keys_of(first, "IMAGE"))[-1]
    assert (final.Status, counted(final)) == (0, (0, 0, 0))
    assert len(received) == 1


@pytest.mark.parametrize("model", [STUDY_ROOT_MOVE, STUDY_ROOT_GET])
def test_a_retrieval_must_name_what_it_wants_and_be_allowed(scp, model):
    make_peer("WS1", may_query=True)
    make_peer("ARCHIVE", host="127.0.0.1", port=1)
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.PatientName = "STUDY", "*"
    where = {"host": "127.0.0.1", "port": scp.port, "called_ae_title": "ALPHA"}

    def status(title: str) -> int:
        with scu.association(**where, calling_ae_title=title, contexts=scu.contexts_for([model])) as line:
            answers = (
                line.send_c_move(asked, "ARCHIVE", model) if model == STUDY_ROOT_MOVE else line.send_c_get(asked, model)
            )
            return [one.Status for one, _data in answers][-1]

    assert status("WS1") == 0xA900
    assert status("CT1") == 0x0124


# --- C-GET


def get(scp: Any, asked: Dataset, model: str, syntaxes: list[str]) -> tuple[list[Any], list[Dataset]]:
    received: list[Dataset] = []

    def on_store(event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        received.append(dataset)
        return 0

    ae = AE(ae_title="WS1")
    contexts = [build_context(model), build_context(CT_IMAGE, syntaxes)]
    roles = [build_role(CT_IMAGE, scp_role=True)]
    line = ae.associate(
        "127.0.0.1",
        scp.port,
        ae_title="ALPHA",
        contexts=contexts,
        ext_neg=roles,
        evt_handlers=[(evt.EVT_C_STORE, on_store)],
    )
    assert line.is_established
    answers = list(line.send_c_get(asked, model))
    line.release()
    return answers, received


@pytest.mark.parametrize(
    ("model", "level"),
    [(PATIENT_ROOT_GET, level) for level in LEVELS] + [(STUDY_ROOT_GET, level) for level in LEVELS[1:]],
)
def test_c_get_brings_it_back_on_the_same_association(scp, model, level):
    make_peer("WS1", may_query=True)
    wanted = keep("CT_small.dcm")
    answers, received = get(scp, keys_of(wanted, level), model, [EXPLICIT])
    final, _identifier = answers[-1]
    assert (final.Status, counted(final)) == (0, (1, 0, 0))
    assert received[0].SOPInstanceUID == wanted.sop_instance_uid
    assert AuditEvent.objects.filter(event_type="worklist.view_study", ae_title="WS1").count() == 1


def test_c_get_converts_and_fails_what_was_not_negotiated(scp):
    make_peer("WS1", may_query=True)
    wanted = keep("CT_small.dcm")
    _answers, received = get(scp, keys_of(wanted, "STUDY"), STUDY_ROOT_GET, [IMPLICIT])
    assert received[0].file_meta.TransferSyntaxUID == IMPLICIT
    other = keep("MR_small.dcm")
    answers, received = get(scp, keys_of(other, "STUDY"), STUDY_ROOT_GET, [EXPLICIT])
    final, failed = answers[-1]
    assert (final.Status, received) == (0xA702, [])
    assert failed.FailedSOPInstanceUIDList == other.sop_instance_uid


# --- DCMTK


@pytest.mark.dcmtk
@pytest.mark.parametrize("model", ["-P", "-S"])
def test_getscu_takes_a_study(scp, dcmtk, tmp_path, model):
    make_peer("WS1", may_query=True)
    wanted = keep("CT_small.dcm")
    study = wanted.series.study
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study.study_instance_uid}"]
    keys += ["-k", f"PatientID={study.patient_id}"]
    where = ["-aet", "WS1", "-aec", "ALPHA", "127.0.0.1", str(scp.port)]
    answer = dcmtk("getscu", "-v", model, "-od", str(tmp_path), *keys, *where)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    [found] = [path for path in tmp_path.iterdir() if path.is_file()]
    assert dcmread(found).SOPInstanceUID == wanted.sop_instance_uid


@pytest.mark.dcmtk
def test_movescu_sends_to_storescp(scp, dcmtk, tmp_path):
    make_peer("WS1", may_query=True)
    wanted = keep("CT_small.dcm")
    port = _free_port()
    make_peer("STORESCP", host="127.0.0.1", port=port)
    study = wanted.series.study.study_instance_uid
    with _storescp(port, tmp_path):
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
        where = ["-aet", "WS1", "-aec", "ALPHA", "-aem", "STORESCP", "127.0.0.1", str(scp.port)]
        answer = dcmtk("movescu", "-v", "-S", *keys, *where)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    [found] = [path for path in tmp_path.iterdir() if path.is_file()]
    assert dcmread(found).SOPInstanceUID == wanted.sop_instance_uid


def _free_port() -> int:
    import socket

    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return line.getsockname()[1]


@contextlib.contextmanager
def _storescp(port: int, folder: Path) -> Iterator[None]:
    tool = Path("/usr/bin/storescp")
    if not tool.exists():
        pytest.skip("storescp is not installed: apt-get install dcmtk")
    process = subprocess.Popen([tool, "-aet", "STORESCP", "-od", str(folder), str(port)])
    ready = threading.Event()
    try:
        for _attempt in range(50):
            try:
                scu.echo(host="127.0.0.1", port=port, called_ae_title="STORESCP", calling_ae_title="ALPHA", seconds=1)
                break
            except scu.CallFailed:
                ready.wait(0.1)
        yield
    finally:
        process.terminate()
        process.wait(5)
