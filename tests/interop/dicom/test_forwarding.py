"""What goes out by itself, taken by a pynetdicom SCP: in order, once, until it is there; what is refused waits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE, evt

from interop.dicom import outgoing_queue
from interop.dicom.importing import import_file
from interop.dicom.rejection_notes import KEY_OBJECTS
from interop.dicom.store import instance_path
from interop.models import DicomPeer, OutgoingDicom
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM, Actor
from ris.core.ids import new_uid
from ris.events.dispatcher import drain
from tests.factories.worklist import SCANNER, at, booked, series_of, started
from worklist.data import PerformedStepData
from worklist.models import ImagingInstance, ImagingStudy
from worklist.services import reject_images, restore_images, update_performed_step
from worklist.services.completeness import note_images_complete

from .conftest import make_peer

MPPS, AVAILABILITY = "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.5.1.4.33"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
STORAGE = Actor("storage", ae_title="CT1")

pytestmark = pytest.mark.django_db(transaction=True)


class Archive:
    """Keeps what it is told; ``statuses`` are answered first, one for each request, then success."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, Dataset]] = []
        self.statuses: list[int] = []
        self.port = 0

    def _status(self) -> int:
        return self.statuses.pop(0) if self.statuses else 0

    def on_create(self, event: evt.Event) -> tuple[int, Dataset]:
        self.heard.append(("create", event.request.AffectedSOPInstanceUID, event.attribute_list))
        return self._status(), Dataset()

    def on_set(self, event: evt.Event) -> tuple[int, Dataset]:
        self.heard.append(("set", event.request.RequestedSOPInstanceUID, event.modification_list))
        return self._status(), Dataset()

    def on_store(self, event: evt.Event) -> int:
        self.heard.append(("store", event.request.AffectedSOPInstanceUID, event.dataset))
        return self._status()

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _uid, _data in self.heard]


@contextlib.contextmanager
def listening(archive: Archive, *classes: str, port: int = 0) -> Iterator[Archive]:
    ae = AE(ae_title="ARCHIVE")
    for sop_class in classes or (MPPS, AVAILABILITY, CT_IMAGE, KEY_OBJECTS):
        ae.add_supported_context(sop_class)
    handlers = [
        (evt.EVT_N_CREATE, archive.on_create),
        (evt.EVT_N_SET, archive.on_set),
        (evt.EVT_C_STORE, archive.on_store),
    ]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    archive.port = server.server_address[1]
    DicomPeer.objects.filter(ae_title="ARCHIVE").update(port=archive.port)
    try:
        yield archive
    finally:
        server.shutdown()


@pytest.fixture
def archive(alpha) -> Iterator[Archive]:
    flags = ("forward_mpps", "forward_images", "receives_availability", "receives_rejections")
    make_peer("ARCHIVE", host="127.0.0.1", port=1, **dict.fromkeys(flags, True))
    with listening(Archive()) as made:
        yield made


def due() -> None:
    """Whatever rests is due now."""
    OutgoingDicom.objects.filter(status="pending").update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def statuses() -> list[tuple[str, str]]:
    return list(OutgoingDicom.objects.order_by("pk").values_list("kind", "status"))


def keep_ct(tmp_path: Path, count: int = 1) -> ImagingStudy:
    made = dcmread(get_testdata_file("CT_small.dcm", download=False))
    made.StudyInstanceUID, made.SeriesInstanceUID = new_uid(), new_uid()
    for number in range(1, count + 1):
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = new_uid()
        made.InstanceNumber = number
        made.save_as(tmp_path / f"{number}.dcm")
        assert import_file(tmp_path / f"{number}.dcm", actor=STORAGE).result == "stored"
    return ImagingStudy.objects.get(study_instance_uid=made.StudyInstanceUID)


def complete(study: ImagingStudy) -> None:
    ImagingStudy.objects.filter(pk=study.pk).update(last_received_at=timezone.now() - timedelta(days=1))
    assert note_images_complete(study, actor=SYSTEM)


# --- MPPS


def test_a_step_is_forwarded_in_order_under_its_own_uid(archive):
    procedure = booked().procedure
    step = started(procedure)
    drain("alpha")
    ended = PerformedStepData(status="COMPLETED", series=series_of(new_uid()))
    update_performed_step(sop_instance_uid=step.sop_instance_uid, changes=ended, actor=SCANNER)
    drain("alpha")
    [(kind, uid, begun), (then, same, end)] = archive.heard
    assert (kind, then, uid, same) == ("create", "set", step.sop_instance_uid, step.sop_instance_uid)
    assert begun.PerformedProcedureStepStatus == "IN PROGRESS"
    assert begun.ScheduledStepAttributesSequence[0].StudyInstanceUID == procedure.study_instance_uid
    assert begun.PerformedProcedureStepStartDate
    assert begun.PerformedProcedureStepEndDate == ""
    assert end.PerformedProcedureStepStatus == "COMPLETED"
    assert end.PerformedProcedureStepEndDate
    assert "PatientName" not in end
    assert statuses() == [("mpps_create", "done"), ("mpps_set", "done")]


def test_a_peer_that_is_away_gets_all_of_it_later_and_nothing_twice(archive):
    port = archive.port
    DicomPeer.objects.update(port=1)
    step = started(booked().procedure)
    for status in ("IN PROGRESS", "COMPLETED"):
        changes = PerformedStepData(status=status)
        update_performed_step(sop_instance_uid=step.sop_instance_uid, changes=changes, actor=SCANNER)
    drain("alpha")
    waiting = OutgoingDicom.objects.get(kind="mpps_create")
    assert (waiting.status, waiting.attempts) == ("pending", 1)
    assert "No association" in waiting.last_error
    assert waiting.next_attempt_at > timezone.now()
    assert OutgoingDicom.objects.get(kind="mpps_set").attempts == 0
    DicomPeer.objects.update(port=port)
    due()
    drain("alpha")
    assert archive.kinds == ["create", "set"]
    assert archive.heard[1][2].PerformedProcedureStepStatus == "COMPLETED"
    due()
    drain("alpha")
    assert len(archive.heard) == 2


def test_a_repeated_create_that_is_known_there_is_delivered(archive):
    archive.statuses = [0x0111]
    started(booked().procedure)
    drain("alpha")
    assert statuses() == [("mpps_create", "done")]


@pytest.mark.parametrize(("status", "becomes"), [(0x0106, "parked"), (0x0110, "pending"), (0x0107, "done")])
def test_what_the_peer_refuses_is_parked_or_tried_again(archive, status, becomes):
    archive.statuses = [status]
    started(booked().procedure)
    drain("alpha")
    row = OutgoingDicom.objects.get()
    assert row.status == becomes
    assert (f"Status {status:04X}" in row.last_error) == (becomes != "done")


def test_a_peer_without_the_service_is_said_to_be_and_parks_it(alpha):
    make_peer("ARCHIVE", host="127.0.0.1", port=1, forward_mpps=True)
    with listening(Archive(), CT_IMAGE):
        started(booked().procedure)
        drain("alpha")
    row = OutgoingDicom.objects.get()
    assert (row.status, row.last_error) == ("parked", "The other side does not take this service.")


def test_nothing_is_queued_where_nobody_is_told(alpha):
    make_peer("ARCHIVE", host="127.0.0.1", port=1)
    make_peer("AWAY", host="", port=None, forward_mpps=True)
    make_peer("OFF", host="127.0.0.1", port=1, forward_mpps=True, is_active=False)
    started(booked().procedure)
    assert not OutgoingDicom.objects.exists()


# --- images


def test_a_complete_study_is_sent_then_announced_and_more_of_it_follows_alone(archive, tmp_path):
    study = keep_ct(tmp_path, 2)
    complete(study)
    drain("alpha")
    assert archive.kinds == ["store", "store", "create"]
    told = archive.heard[-1][2]
    [series] = told.ReferencedSeriesSequence
    assert told.StudyInstanceUID == study.study_instance_uid
    assert {item.InstanceAvailability for item in series.ReferencedSOPSequence} == {"ONLINE"}
    assert {item.RetrieveAETitle for item in series.ReferencedSOPSequence} == {"ALPHA"}
    assert len(series.ReferencedSOPSequence) == 2
    event = AuditEvent.objects.get(event_type="worklist.view_study", source="dicom")
    assert event.detail == {"page": "forward", "instances": 2, "destination": "ARCHIVE"}

    made = dcmread(tmp_path / "1.dcm")
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = new_uid()
    made.save_as(tmp_path / "more.dcm")
    import_file(tmp_path / "more.dcm", actor=STORAGE)
    complete(study)
    drain("alpha")
    assert archive.kinds[3:] == ["store", "create"]
    assert archive.heard[3][1] == made.SOPInstanceUID


def test_only_what_did_not_arrive_is_sent_again(archive, tmp_path):
    DicomPeer.objects.update(receives_availability=False)
    study = keep_ct(tmp_path, 3)
    archive.statuses = [0, 0xA700, 0]
    complete(study)
    drain("alpha")
    second = ImagingInstance.objects.get(number=2).sop_instance_uid
    row = OutgoingDicom.objects.get()
    assert (row.status, row.detail["left"]) == ("pending", [second])
    assert row.last_error == "1 of 3 images were not taken: A700."
    due()
    drain("alpha")
    assert archive.heard[-1][1] == second
    assert statuses() == [("images", "done")]
    assert len(archive.heard) == 4


def test_images_never_go_back_to_where_they_came_from(archive, tmp_path):
    study = keep_ct(tmp_path)
    ImagingInstance.objects.update(received_from="ARCHIVE")
    complete(study)
    drain("alpha")
    assert archive.kinds == ["create"]


# --- rejection


def test_rejecting_writes_a_note_stores_it_and_tells_the_archive(archive, tmp_path):
    study = keep_ct(tmp_path, 2)
    first, _second = ImagingInstance.objects.order_by("number")
    rejection = reject_images(
        study, instances=[first.sop_instance_uid], code="113038", reason="Other patient", actor=SYSTEM
    )
    drain("alpha")
    assert archive.kinds == ["store", "create"]
    _kind, uid, note = archive.heard[0]
    assert note.SOPClassUID == KEY_OBJECTS
    assert note.ConceptNameCodeSequence[0].CodeValue == "113038"
    assert note.ConceptNameCodeSequence[0].CodeMeaning == "Incorrect Modality Worklist Entry"
    assert note.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    words, pointer = note.ContentSequence
    assert words.TextValue == "Other patient"
    assert pointer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.sop_instance_uid
    [evidence] = note.CurrentRequestedProcedureEvidenceSequence
    assert evidence.StudyInstanceUID == study.study_instance_uid
    [item] = archive.heard[1][2].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert (item.ReferencedSOPInstanceUID, item.InstanceAvailability) == (first.sop_instance_uid, "UNAVAILABLE")

    kept = ImagingInstance.objects.get(sop_instance_uid=uid)
    assert kept.is_rejected
    assert dcmread(instance_path(kept.path)).SOPInstanceUID == uid
    study.refresh_from_db()
    assert (study.instance_count, study.series_count, study.modalities) == (1, 1, "CT")
    rejection.refresh_from_db()
    assert rejection.note_sop_instance_uid == uid


def test_restored_images_are_sent_again_and_announced(archive, tmp_path):
    study = keep_ct(tmp_path, 2)
    uids = list(ImagingInstance.objects.values_list("sop_instance_uid", flat=True))
    rejection = reject_images(study, instances=uids, code="113001", reason="Motion", actor=SYSTEM)
    drain("alpha")
    archive.heard.clear()
    restore_images(rejection, reason="Good enough", actor=SYSTEM)
    drain("alpha")
    assert archive.kinds == ["store", "store", "create"]
    [series] = archive.heard[-1][2].ReferencedSeriesSequence
    assert {item.InstanceAvailability for item in series.ReferencedSOPSequence} == {"ONLINE"}


# --- the queue


def test_work_is_done_once_however_many_dispatchers_claim_it(archive):
    started(booked().procedure)
    [pk] = outgoing_queue.claim()
    assert outgoing_queue.claim() == []
    import interop.dicom.forwarding  # noqa: F401

    assert outgoing_queue.run(pk) is True
    assert outgoing_queue.run(pk) is False
    assert archive.kinds == ["create"]


def test_what_waits_behind_a_parked_one_goes_on_and_a_resting_peer_rests_as_a_whole(archive):
    archive.statuses = [0x0106]
    step = started(booked().procedure)
    drain("alpha")
    update_performed_step(
        sop_instance_uid=step.sop_instance_uid, changes=PerformedStepData(status="COMPLETED"), actor=SCANNER
    )
    drain("alpha")
    assert statuses() == [("mpps_create", "parked"), ("mpps_set", "done")]
    DicomPeer.objects.update(port=1)
    for hour in (12, 14):
        started(booked(starts_at=at(hour)).procedure)
    drain("alpha")
    rows = OutgoingDicom.objects.filter(status="pending")
    assert [row.next_attempt_at > timezone.now() for row in rows] == [True, True]
    assert sum(row.attempts for row in rows) <= 2


def test_payloads_hold_no_names(archive, tmp_path):
    step: Any = started(booked().procedure)
    study = keep_ct(tmp_path)
    complete(study)
    kept = " ".join(str(value) for row in OutgoingDicom.objects.values() for value in row.values())
    assert step.patient_name.split("^")[0] not in kept
    assert study.patient_name not in kept
    assert study.patient_id not in kept
