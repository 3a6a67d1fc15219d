"""Copies of images for teaching: nothing of the patient is left in them; a person looks where words may stand."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from django.test import Client
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import pixel_array

from interop.dicom.store import instance_path
from interop.imaging.deidentify import NotCopied, copied, may_be_burned_in, renewed_uid
from interop.imaging.teaching import make_copies
from reporting.models import TeachingImage
from reporting.services.teaching import change_case, choose_image, confirm_image, keep_case, remove_image, share_case
from ris.audit.models import AuditEvent
from ris.core.errors import InvalidData
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_procedure, signed
from tests.interop.dicomweb.conftest import keep, slices
from worklist.models import ImagingInstance, ImagingStudy

SHIPPED = [f"{name}.dcm" for name in ("CT_small", "MR_small", "693_J2KI", "JPEG2000", "SC_rgb_rle", "examples_palette")]


def shipped(name: str) -> Path:
    return Path(get_testdata_file(name, download=False))


def secrets_of(dataset: Dataset) -> set[bytes]:
    """What a file tells of a person, a place or a day, as its bytes."""
    found: set[bytes] = set()
    for element in dataset.iterall():
        if element.VR in ("PN", "LO", "SH", "LT", "ST", "UT", "DA", "DT", "TM", "UI", "AE", "AS"):
            values = element.value if element.VM > 1 else [element.value]
            found |= {str(value).encode() for value in values if len(str(value)) > 5}
    kept = {str(dataset.SOPClassUID), *dataset.get("ImageType", ())}
    return {value for value in found if value.decode() not in kept}


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_of_the_patient_remains_in_the_file(name):
    before = dcmread(shipped(name))
    made = copied(shipped(name), "case", was_looked_at=True)
    assert made is not None
    data, _frames = made
    after = dcmread(BytesIO(data))
    assert [value for value in secrets_of(before) if value in data] == []
    assert [element.tag for element in after.iterall() if element.tag.is_private or element.tag.group & 1] == []
    assert (after.PatientName, after.PatientID, after.StudyDate, after.PatientIdentityRemoved) == ("", "", "", "YES")
    assert (after.Rows, after.Columns) == (before.Rows, before.Columns)
    assert str(after.SOPInstanceUID) != str(before.SOPInstanceUID)
    assert np.array_equal(pixel_array(after), pixel_array(before))


def test_new_uids_are_alike_within_a_case_only():
    assert renewed_uid("1.2.3", "a") == renewed_uid("1.2.3", "a")
    assert len({renewed_uid("1.2.3", "a"), renewed_uid("1.2.3", "b"), renewed_uid("1.2.4", "a")}) == 3


def test_bits_above_those_stored_are_cleared(tmp_path):
    (row,) = slices(1)
    pixels = bytearray(row.PixelData)
    row.BitsAllocated, row.BitsStored, row.HighBit, row.PixelRepresentation = 16, 12, 11, 0
    for at in range(1, len(pixels), 2):
        pixels[at] |= 0xF0
    row.PixelData = bytes(pixels)
    row.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    made = copied(tmp_path / "one.dcm", "case", was_looked_at=False)
    assert made is not None
    assert all(byte < 0x10 for byte in dcmread(BytesIO(made[0])).PixelData[1::2])


@pytest.mark.parametrize(
    ("fields", "must_look"),
    [
        ({}, False),
        ({"BurnedInAnnotation": "NO"}, False),
        ({"BurnedInAnnotation": "YES"}, True),
        ({"BurnedInAnnotation": "NO", "Modality": "US"}, True),
        ({"Modality": "OT"}, True),
        ({"RecognizableVisualFeatures": "YES"}, True),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, True),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, True),
    ],
)
def test_where_words_may_stand_a_person_looks(tmp_path, fields, must_look):
    (row,) = slices(1)
    for keyword, value in fields.items():
        setattr(row, keyword, value)
    assert may_be_burned_in(row) is must_look


def test_what_has_no_picture_is_not_copied():
    with pytest.raises(NotCopied):
        copied(shipped("rtplan.dcm"), "case", was_looked_at=True)


@pytest.fixture
def exam(alpha: Any, tmp_path: Path) -> Any:
    """A signed report of an exam with five stored slices."""
    procedure = make_procedure()
    reader = actor_with_roles("radiologist")
    rows = keep(slices(5, StudyInstanceUID=procedure.study_instance_uid), tmp_path / "in")
    study = ImagingStudy.objects.get(study_instance_uid=procedure.study_instance_uid)
    study.procedures.add(procedure)
    return signed(procedure, actor=reader), reader, rows


def browser(actor: Any) -> Client:
    client = Client(HTTP_HOST="alpha.test")
    client.force_login(actor.user)
    return client


def test_a_case_shows_pictures_of_its_copies(exam):
    report, reader, rows = exam
    studies, instances = ImagingStudy.objects.count(), ImagingInstance.objects.count()
    case = keep_case(report, actor=reader)
    image = TeachingImage.objects.get()
    assert (image.original, image.state) == (rows[2], "waiting")
    make_copies(str(case.uuid))
    make_copies(str(case.uuid))
    image.refresh_from_db()
    assert (image.state, image.frames) == ("copied", 1)
    data = instance_path(image.path).read_bytes()
    assert b"Achieng" not in data
    assert b"MRN-1" not in data
    assert rows[2].sop_instance_uid.encode() not in data
    assert (ImagingStudy.objects.count(), ImagingInstance.objects.count()) == (studies, instances)
    address = f"/teaching/images/{image.uuid}/1.jpg"
    picture = browser(reader).get(address)
    assert Image.open(BytesIO(picture.content)).size == (16, 16)
    assert browser(reader).get(address, HTTP_IF_NONE_MATCH=picture["ETag"]).status_code == 304
    assert browser(reader).get(f"/teaching/images/{image.uuid}/2.jpg").status_code == 404
    technologist = browser(actor_with_roles("technologist"))
    assert technologist.get(address).status_code == 404
    change_case(case, is_read=True, actor=reader)
    share_case(case, actor=reader)
    assert technologist.get(address).status_code == 200
    assert f"{address}?size=640".encode() in technologist.get(f"/teaching/{case.uuid}/").content
    assert f"{address}?size=320".encode() in technologist.get("/teaching/").content
    assert rows[2].sop_instance_uid.encode() not in technologist.get(f"/teaching/{case.uuid}/").content


def test_images_are_chosen_and_removed(exam):
    report, reader, rows = exam
    case = keep_case(report, actor=reader)
    client = browser(reader)
    client.post(f"/teaching/{case.uuid}/images/", {"image": rows[0].sop_instance_uid})
    assert TeachingImage.objects.count() == 2
    first = TeachingImage.objects.get(original=rows[0])
    client.post(f"/teaching/images/{first.uuid}/act/", {"do": "remove"})
    assert list(case.images.standing()) == [TeachingImage.objects.get(original=rows[2])]
    with pytest.raises(InvalidData):
        choose_image(case, sop_instance_uid="1.2.3", actor=reader)
    remove_image(TeachingImage.objects.get(original=rows[2]), actor=reader)
    make_copies(str(case.uuid))
    assert not TeachingImage.objects.exclude(path="").exists()


def test_a_picture_with_words_is_copied_when_somebody_has_looked(alpha, tmp_path):
    procedure, reader = make_procedure(modality="US"), actor_with_roles("radiologist")
    (row,) = slices(1, StudyInstanceUID=procedure.study_instance_uid)
    row.BurnedInAnnotation = "YES"
    keep([row], tmp_path / "in")
    ImagingStudy.objects.get(study_instance_uid=procedure.study_instance_uid).procedures.add(procedure)
    case = keep_case(signed(procedure, actor=reader), actor=reader)
    make_copies(str(case.uuid))
    image = TeachingImage.objects.get()
    assert (image.state, image.path) == ("look", "")
    assert browser(reader).get(f"/teaching/images/{image.uuid}/1.jpg").status_code == 404
    assert b'value="confirm"' in browser(reader).get(f"/teaching/{case.uuid}/").content
    confirm_image(image, actor=reader)
    make_copies(str(case.uuid))
    image.refresh_from_db()
    assert (image.state, image.looked_by) == ("copied", reader.user)


def test_a_shared_case_is_taken_along_with_a_selection_of_its_copies(exam, api):
    report, reader, rows = exam
    case = keep_case(report, diagnosis="Nodule", actor=reader)
    choose_image(case, sop_instance_uid=rows[0].sop_instance_uid, actor=reader)
    make_copies(str(case.uuid))
    page, rest = f"/teaching/{case.uuid}/images.zip", f"/api/v1/teaching-cases/{case.uuid}/export/"
    technologist = actor_with_roles("technologist")
    assert browser(reader).get(page).status_code == 409  # nobody has read it
    assert browser(technologist).get(page).status_code == 404
    change_case(case, is_read=True, actor=reader)
    share_case(case, actor=reader)
    assert page.encode() in browser(technologist).get(f"/teaching/{case.uuid}/").content
    answer = browser(technologist).get(page)
    data = b"".join(answer.streaming_content)
    assert AuditEvent.objects.filter(entity=case.uuid, user=technologist.user.uuid, detail__images=2).exists()
    with ZipFile(BytesIO(data)) as archive:
        files = {name: dcmread(BytesIO(archive.read(name))) for name in archive.namelist()}
        whole = b"".join(archive.read(name) for name in archive.namelist())
    assert sorted(files) == ["IM0001.dcm", "IM0002.dcm", "KO0001.dcm"]
    selection = files.pop("KO0001.dcm")
    assert selection.ConceptNameCodeSequence[0].CodeValue == "113004"
    assert selection.ContentSequence[0].TextValue.endswith("Nodule")
    named = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in selection.ContentSequence[1:]]
    (study,) = selection.CurrentRequestedProcedureEvidenceSequence
    told = [row.ReferencedSOPInstanceUID for series in study.ReferencedSeriesSequence
            for row in series.ReferencedSOPSequence]  # fmt: skip
    assert named == [files[name].SOPInstanceUID for name in sorted(files)]
    assert (sorted(told), study.StudyInstanceUID) == (sorted(named), files["IM0001.dcm"].StudyInstanceUID)
    secrets = [b"Achieng", b"MRN-1", *(row.sop_instance_uid.encode() for row in rows), report.accession_number.encode()]
    assert [words for words in secrets if words in whole] == []
    api.force_authenticate(technologist.user)
    assert b"".join(api.get(rest).streaming_content)[:2] == b"PK"
    for image in TeachingImage.objects.all():
        remove_image(image, actor=reader)
    assert api.get(rest).status_code == 404
    api.force_authenticate(actor_with_roles("clerk").user)
    assert api.get(rest).status_code == 403
