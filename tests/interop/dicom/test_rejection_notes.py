"""Rejection notes that others send (IHE IOCM): obeyed, told on the study's page, undone by a person."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from interop.dicom.importing import import_file
from interop.dicom.rejection_notes import KEY_OBJECTS, read_note, rejection_note
from interop.dicom.store import instance_path
from interop.models import DicomPeer
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM, Actor
from ris.core.ids import new_uid
from ris.events.dispatcher import drain
from tests.factories.accounts import user_with_roles
from tests.factories.orders import make_procedure
from tests.interop.dicomweb.conftest import file_of
from worklist.models import ImageRejection, ImagingInstance, ImagingStudy, RejectionReason
from worklist.services import link_study, restore_images

from .conftest import make_peer
from .test_forwarding import complete
from .test_query import ask
from .test_retrieve import keep_series

STORAGE = Actor("storage", ae_title="MR7")


@pytest.fixture(autouse=True)
def mr7(alpha):
    return make_peer("MR7", may_store=True, may_reject=True)


def note_of(study: ImagingStudy, uids: list[str], code: str, reason: str = "Motion") -> Dataset:
    """Written by the same hand as our own, under UIDs of its own."""
    told = ImageRejection(study=study, code=code, reason=reason, instances=uids)
    note = rejection_note(told)
    note.SOPInstanceUID, note.SeriesInstanceUID = new_uid(), new_uid()
    note.file_meta = FileMetaDataset()
    note.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return note


def send(note: Dataset, folder: Path) -> str:
    path = folder / "note.dcm"
    path.write_bytes(file_of(note))
    assert import_file(path, actor=STORAGE).result == "stored"
    drain("alpha")
    return str(note.SOPInstanceUID)


@pytest.mark.parametrize("code", RejectionReason.values)
def test_a_note_hides_what_it_names_everywhere_and_itself(alpha, tmp_path, code):
    study = keep_series(tmp_path, 3)
    first, second, third = ImagingInstance.objects.order_by("number")
    uids = [first.sop_instance_uid, second.sop_instance_uid]
    uid = send(note_of(study, uids, code), tmp_path)
    assert [str(row.SOPInstanceUID) for row in _instances(study)] == [third.sop_instance_uid]
    study.refresh_from_db()
    assert (study.instance_count, study.series_count, study.modalities) == (1, 1, "CT")
    rejection = ImageRejection.objects.get()
    assert (rejection.code, rejection.reason, rejection.received_from) == (code, "Motion", "MR7")
    assert (rejection.note_sop_instance_uid, sorted(rejection.instances)) == (uid, sorted(uids))
    assert ImagingInstance.objects.filter(is_rejected=True).count() == 3
    assert all(instance_path(row.path).exists() for row in ImagingInstance.objects.all())
    event = AuditEvent.objects.filter(event_type="worklist.store_study", ae_title="MR7").last()
    assert event is not None

    restore_images(rejection, reason="It can be read", actor=SYSTEM)
    assert len(_instances(study)) == 3
    study.refresh_from_db()
    assert study.instance_count == 3


def _instances(study: ImagingStudy) -> list[Dataset]:
    uid = study.series.filter(modality="CT").first().series_instance_uid
    keys = {"StudyInstanceUID": study.study_instance_uid, "SeriesInstanceUID": uid, "SOPInstanceUID": ""}
    return ask("IMAGE", **keys)


def test_images_that_come_after_the_note_are_hidden_unless_it_was_their_age(alpha, tmp_path):
    study = keep_series(tmp_path, 2)
    late = {code: new_uid() for code in ("113001", "113039")}
    for code, uid in late.items():
        note = note_of(study, list(study.series.values_list("instances__sop_instance_uid", flat=True))[:1], code)
        [evidence] = note.CurrentRequestedProcedureEvidenceSequence
        [series] = evidence.ReferencedSeriesSequence
        series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = uid
        send(note, tmp_path)
    study.refresh_from_db()
    assert study.instance_count == 2
    slice_ = dcmread(tmp_path / "slice1.dcm")
    for uid in late.values():
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = uid
        slice_.save_as(tmp_path / "late.dcm")
        assert import_file(tmp_path / "late.dcm", actor=STORAGE).result == "stored"
    assert ImagingInstance.objects.get(sop_instance_uid=late["113001"]).is_rejected
    study.refresh_from_db()
    assert study.instance_count == 3
    complete(study)
    hidden = ImagingInstance.objects.filter(sop_instance_uid__in=late.values(), is_rejected=True)
    assert [row.sop_instance_uid for row in hidden] == [late["113001"]]
    study.refresh_from_db()
    assert study.instance_count == 3


def test_other_key_objects_and_broken_ones_reject_nothing(alpha, tmp_path):
    study = keep_series(tmp_path, 1)
    uid = ImagingInstance.objects.get().sop_instance_uid
    note = note_of(study, [uid], "113001")
    note.ConceptNameCodeSequence[0].CodeValue = "113000"
    assert read_note(note) is None
    send(note, tmp_path)
    empty = Dataset()
    empty.ConceptNameCodeSequence = []
    assert read_note(empty) is None
    assert not ImageRejection.objects.exists()
    assert ImagingInstance.objects.filter(is_rejected=False).count() == 2
    assert ImagingInstance.objects.filter(sop_class_uid=KEY_OBJECTS).exists()


def test_it_stands_on_the_studys_page_and_a_person_undoes_it(alpha, tmp_path, client):
    study = keep_series(tmp_path, 1)
    link_study(study, procedure=make_procedure(), actor=SYSTEM, reason="Hers")
    uid = ImagingInstance.objects.get().sop_instance_uid
    send(note_of(study, [uid], "113037", "Wrong side marker"), tmp_path)
    rejection = ImageRejection.objects.get()
    page, back = f"/images/studies/{study.uuid}/", f"/images/rejections/{rejection.uuid}/restore/"
    client.force_login(user_with_roles("clerk"))
    assert client.post(back, {"reason": "x"}, headers={"host": "alpha.test"}).status_code == 403
    client.force_login(user_with_roles("radiologist"))
    words = client.get(page, headers={"host": "alpha.test"}).content.decode()
    assert "Wrong side marker" in words and "Rejection note from MR7" in words
    assert client.post(back, {"reason": " "}, headers={"host": "alpha.test"}).status_code in (400, 422)
    answer = client.post(back, {"reason": "Marker checked"}, headers={"host": "alpha.test"})
    assert (answer.status_code, answer["Location"]) == (302, page)
    assert not ImagingInstance.objects.get(sop_instance_uid=uid).is_rejected
    assert "In use again" in client.get(page, headers={"host": "alpha.test"}).content.decode()


def test_a_note_about_one_patient_hides_nothing_of_another(alpha, tmp_path):
    study = keep_series(tmp_path, 2)
    other = keep_series(tmp_path, 2)
    ImagingStudy.objects.filter(pk=other.pk).update(patient_id="SOMEBODY-ELSE")
    note = note_of(study, list(ImagingInstance.objects.values_list("sop_instance_uid", flat=True)), "113001")
    theirs = ImagingInstance.objects.filter(series__study=other).order_by("number")
    evidence = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    for row in theirs:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = row.sop_class_uid, row.sop_instance_uid
        evidence.append(reference)
    send(note, tmp_path)
    assert not theirs.filter(is_rejected=True).exists()
    assert ImagingInstance.objects.filter(series__study=study, is_rejected=True).count() == 3
    said = study.history.values_list("history_change_reason", flat=True)
    assert any("another patient" in reason for reason in said if reason)


@pytest.mark.parametrize("title", ["MR7", "MR*"])
def test_without_the_right_a_note_hides_what_its_sender_has_sent_and_no_more(alpha, mr7, tmp_path, title):
    DicomPeer.objects.filter(pk=mr7.pk).update(may_reject=False, ae_title=title)
    study = keep_series(tmp_path, 3)
    own, other, _third = ImagingInstance.objects.order_by("number")
    ImagingInstance.objects.filter(pk=own.pk).update(received_from="MR7")
    note = note_of(study, [own.sop_instance_uid, other.sop_instance_uid], "113001")
    [evidence] = note.CurrentRequestedProcedureEvidenceSequence
    late = {"MR7": new_uid(), "CT1": new_uid()}
    for uid in late.values():
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = own.sop_class_uid, uid
        evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence.append(reference)
    send(note, tmp_path)
    slice_ = dcmread(tmp_path / "slice1.dcm")
    for sender, uid in late.items():
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = uid
        slice_.save_as(tmp_path / "late.dcm")
        assert import_file(tmp_path / "late.dcm", actor=Actor("storage", ae_title=sender)).result == "stored"
    hidden = ImagingInstance.objects.filter(is_rejected=True).exclude(sop_class_uid=KEY_OBJECTS)
    assert set(hidden.values_list("sop_instance_uid", flat=True)) == {own.sop_instance_uid, late["MR7"]}
    said = study.history.values_list("history_change_reason", flat=True)
    assert any("may not reject" in reason for reason in said if reason)
