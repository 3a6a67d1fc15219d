"""What leaves says of patient and exam what is known now, and what it said before; everything else is byte for byte."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.filereader import read_dataset

from interop.dicom.coercion import (
    ACCESSION_NUMBER,
    BIRTH_DATE,
    ISSUER,
    PATIENT_ID,
    PATIENT_NAME,
    SEX,
    Current,
    Request,
    coerced,
)
from interop.dicom.elements import IMPLICIT, Malformed
from interop.dicom.headers import read_file_start
from interop.dicom.importing import import_file
from interop.dicom.index_search import current_of
from interop.dicom.sending import outgoing, shipped
from interop.dicom.sop_classes import encoding_of
from interop.dicom.store import instance_path
from interop.dicomweb.leaving import leaving_bytes, leaving_size
from interop.dicomweb.objects import _object_in
from orders.services import merge_patients, update_patient
from ris.core.actor import SYSTEM, Actor
from tests.factories.orders import make_patient, make_procedure
from worklist.models import ImagingInstance
from worklist.services import link_study

from .test_query import ask

MOMENT = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
FILES = (
    "CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "JPEG2000.dcm", "image_dfl.dcm",
    "test-SR.dcm", "color3d_jpeg_baseline.dcm", "liver_expb_1frame.dcm",
)  # fmt: skip


def known(name: str = "Wanjiru^Achieng", **fields: Any) -> Current:
    told = {PATIENT_NAME: name, PATIENT_ID: "MRN-9", ISSUER: "", BIRTH_DATE: "19700131", SEX: "F"}
    return Current(
        fields.get("study", "2.25.77"),
        ((ACCESSION_NUMBER, "ACC9"), *told.items()),
        (Request("ACC9", "RP9", "CT chest", "2.25.77"),),
        MOMENT,
    )


def file_with(path: Path, current: Current) -> tuple[Dataset, Dataset, bytes, bytes]:
    """(as stored, as it leaves, and what follows the head in both), without the store."""
    with path.open("rb") as file:
        raw = file.read()
    stored = _object_in(memoryview(raw))
    change = coerced(stored.data, stored.encoding, current)
    assert change is not None
    start = read_file_start(raw)
    implicit, little = stored.encoding is IMPLICIT, stored.encoding.little
    whole = change.head + bytes(stored.data[change.rest :])
    new = read_dataset(io.BytesIO(whole), implicit, little)
    assert encoding_of(start.transfer_syntax_uid) == stored.encoding
    return dcmread(path), new, bytes(stored.data[change.rest :]), whole[len(change.head) :]


@pytest.mark.parametrize("name", FILES)
def test_every_encoding_says_what_is_known_and_what_it_said(name: str) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom does not ship {name}")
    before, after, rest, passed_on = file_with(Path(path), known())
    assert rest == passed_on
    assert (str(after.PatientName), after.PatientID, after.AccessionNumber) == ("Wanjiru^Achieng", "MRN-9", "ACC9")
    assert after.StudyInstanceUID == "2.25.77"
    [item] = after.OriginalAttributesSequence
    assert item.ReasonForTheAttributeModification == "CORRECT"
    assert item.AttributeModificationDateTime == "20260501123000+0000"
    [was] = item.ModifiedAttributesSequence
    assert (was.get("PatientName", ""), was.PatientID) == (before.get("PatientName", ""), before.get("PatientID", ""))
    assert was.StudyInstanceUID == before.StudyInstanceUID
    changed = {element.tag for element in was} | {0x04000561}
    assert {element.tag for element in before if before[element.tag] != after.get(element.tag)} <= changed
    assert {element.tag for element in after} - {element.tag for element in before} <= changed


def test_what_is_said_already_stays_and_a_missing_issuer_is_no_error() -> None:
    dataset = dcmread(get_testdata_file("CT_small.dcm", download=False))
    current = Current(
        str(dataset.StudyInstanceUID),
        ((PATIENT_NAME, f"{dataset.PatientName}^^"), (PATIENT_ID, dataset.PatientID), (ISSUER, "HOUSE")),
    )
    stored = _object_in(memoryview(Path(dataset.filename).read_bytes()))
    assert coerced(stored.data, stored.encoding, current) is None


@pytest.mark.parametrize("path", [path for path in get_charset_files("chr*.dcm") if "chrSQ" not in path])
def test_a_name_that_the_character_set_does_not_hold_makes_it_utf8(path: str) -> None:
    name = "Ødegård^Søren=王^小东"
    before, after, _rest, _passed_on = file_with(Path(path), known(name))
    before.decode(), after.decode()
    assert str(after.PatientName) == name
    [was] = after.OriginalAttributesSequence[0].ModifiedAttributesSequence
    was.decode()
    assert was.PatientName == before.PatientName
    others = [element for element in before if element.VR in ("LO", "SH", "PN") and element.tag not in was]
    assert [after[element.tag].value for element in others] == [element.value for element in others]


def test_texts_in_sequences_are_recoded_too() -> None:
    [path] = get_charset_files("chrSQEncoding.dcm")
    before, after, _rest, _passed_on = file_with(Path(path), known("王^小东"))
    before.decode(), after.decode()
    assert after.SpecificCharacterSet == "ISO_IR 192"
    was, now = before.RequestedProcedureCodeSequence[0], after.RequestedProcedureCodeSequence[0]
    assert now.PatientName == was.PatientName


def test_request_attributes_name_the_right_exam_and_earlier_changes_stay() -> None:
    dataset = dcmread(get_testdata_file("CT_small.dcm", download=False))
    wrong, earlier = Dataset(), Dataset()
    wrong.AccessionNumber, wrong.RequestedProcedureID = "ACC1", "RP1"
    dataset.RequestAttributesSequence = [wrong]
    earlier.ReasonForTheAttributeModification, earlier.ModifyingSystem = "COERCE", "IMPORTER"
    dataset.OriginalAttributesSequence = [earlier]
    target = io.BytesIO()
    dataset.save_as(target)
    stored = _object_in(memoryview(target.getvalue()))
    change = coerced(stored.data, stored.encoding, known())
    assert change is not None
    target = io.BytesIO(bytes(stored.before) + change.head + bytes(stored.data[change.rest :]))
    after = dcmread(target)
    [request] = after.RequestAttributesSequence
    assert (request.AccessionNumber, request.RequestedProcedureID) == ("ACC9", "RP9")
    first, second = after.OriginalAttributesSequence
    assert first.ModifyingSystem == "IMPORTER"
    assert second.ModifiedAttributesSequence[0].RequestAttributesSequence[0].AccessionNumber == "ACC1"
    assert after.PixelData == dataset.PixelData


# --- in the house


def kept(name: str = "CT_small.dcm") -> ImagingInstance:
    path = Path(get_testdata_file(name, download=False))
    answer = import_file(path, actor=Actor("storage", ae_title="CT1"))
    return ImagingInstance.objects.get(sop_instance_uid=answer.sop_instance_uid)


def linked(name: str = "CT_small.dcm", **patient: Any) -> tuple[ImagingInstance, Any]:
    row = kept(name)
    procedure = make_procedure(patient=make_patient(family_name="Wanjiru", given_name="Achieng", **patient))
    link_study(row.series.study, procedure=procedure, actor=SYSTEM, reason="It is hers")
    return ImagingInstance.objects.get(pk=row.pk), procedure


def left(row: ImagingInstance) -> Dataset:
    current = current_of([row.series.study_id])[row.series.study_id]
    content = b"".join(leaving_bytes(row, current))
    assert leaving_size(row, row.size, current) in (None, len(content))
    return dcmread(io.BytesIO(content))


def test_corrections_and_merges_are_told_and_the_file_stays(alpha):
    row, procedure = linked()
    raw = instance_path(row.path).read_bytes()
    patient = update_patient(procedure.order.patient, given_name="Amina", reason="Misheard", actor=SYSTEM)
    found = left(row)
    assert str(found.PatientName) == "Wanjiru^Amina"
    assert found.AccessionNumber == procedure.accession_number
    assert (
        found.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PatientID
        == dcmread(io.BytesIO(raw)).PatientID
    )
    survivor = make_patient(family_name="Wambui", given_name="Ann")
    merge_patients(survivor=survivor, loser=patient, reason="One person", actor=SYSTEM)
    found = left(row)
    assert (str(found.PatientName), found.PatientID) == ("Wambui^Ann", survivor.primary_identifier.value)
    assert found.PixelData == dcmread(io.BytesIO(raw)).PixelData
    assert instance_path(row.path).read_bytes() == raw


def test_what_belongs_to_nobody_leaves_byte_for_byte(alpha):
    row = kept()
    current = current_of([row.series.study_id])[row.series.study_id]
    assert b"".join(leaving_bytes(row, current)) == instance_path(row.path).read_bytes()
    [one] = shipped(ImagingInstance.objects.all())
    with outgoing(one, {row.transfer_syntax_uid}) as (path, _syntax):
        assert path == instance_path(row.path)


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "image_dfl.dcm", "MR_small_bigendian.dcm"])
def test_every_way_of_sending_it_says_the_same(alpha, name):
    row, procedure = linked(name)
    [one] = shipped(ImagingInstance.objects.all())
    syntaxes = (row.transfer_syntax_uid, "1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
    pictures = []
    for syntax in syntaxes:
        with outgoing(one, {syntax}) as (path, sent):
            found = dcmread(path)
            assert sent == found.file_meta.TransferSyntaxUID == syntax
        assert str(found.PatientName) == "Wanjiru^Achieng"
        assert found.PatientID == procedure.order.patient.primary_identifier.value
        pictures.append(found.pixel_array)
    assert all((picture == pictures[0]).all() for picture in pictures)
    [as_came] = shipped(ImagingInstance.objects.all(), as_sent=True)
    with outgoing(as_came, {row.transfer_syntax_uid}) as (path, _syntax):
        assert path == instance_path(row.path)


def test_queries_metadata_and_objects_agree(alpha):
    row, procedure = linked()
    found = left(row)
    keys = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "AccessionNumber")
    [told] = ask("STUDY", StudyInstanceUID="", **dict.fromkeys(keys, ""))
    assert {key: str(told.get(key, "")) for key in keys} == {key: str(found.get(key, "")) for key in keys}
    assert len(ask("STUDY", StudyInstanceUID="", AccessionNumber=procedure.accession_number)) == 1
    was = found.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    if was.AccessionNumber:
        assert ask("STUDY", StudyInstanceUID="", AccessionNumber=was.AccessionNumber) == []


def test_it_costs_four_queries_for_any_number(alpha, django_assert_num_queries):
    linked(), kept("MR_small_implicit.dcm")
    with django_assert_num_queries(4):
        assert len(shipped(ImagingInstance.objects.all())) == 2


def test_an_object_that_cannot_be_put_right_stays_here(alpha):
    row, _procedure = linked()
    path = instance_path(row.path)
    path.chmod(0o640)
    path.write_bytes(path.read_bytes().replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00??"))
    with pytest.raises(Malformed):
        left(row)
