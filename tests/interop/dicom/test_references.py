"""Objects that point to series of another study name the study in which these lie now, whoever was moved."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset

from interop.dicom.coercion import Current, coerced
from interop.dicom.importing import import_file
from interop.dicom.index_search import current_of
from interop.dicom.references import Whereabouts
from interop.dicom.sending import outgoing, shipped, untouched
from interop.dicomweb.leaving import leaving_bytes, leaving_size
from interop.dicomweb.objects import _object_in, opened
from ris.core.actor import SYSTEM, Actor
from ris.core.ids import new_uid
from tests.factories.orders import make_patient, make_procedure
from worklist.models import ImagingInstance, ImagingSeries, ImagingStudy
from worklist.services import link_study, merge_studies, split_study, undo_reconciliation

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
KEY_OBJECTS, CT_IMAGE = "1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.5.1.4.1.1.2"
EVIDENCE = (
    "CurrentRequestedProcedureEvidenceSequence",
    "PertinentOtherEvidenceSequence",
    "IdenticalDocumentsSequence",
    "PredecessorDocumentsSequence",
    "StudiesContainingOtherReferencedInstancesSequence",
)


def referenced(sop_instance_uid: str, sop_class_uid: str = CT_IMAGE) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def of_study(study: str, *series: str) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID, item.ReferencedSeriesSequence = study, []
    for uid in series:
        one = Dataset()
        one.SeriesInstanceUID, one.ReferencedSOPSequence = uid, [referenced(f"{uid}.1")]
        item.ReferencedSeriesSequence.append(one)
    return item


def told(items: list[Dataset]) -> list[tuple[str, list[str]]]:
    """Study, and the instances in it."""
    return [
        (
            item.StudyInstanceUID,
            [
                one.ReferencedSOPInstanceUID
                for series in item.ReferencedSeriesSequence
                for one in series.ReferencedSOPSequence
            ],
        )
        for item in items
    ]


def key_objects(study: str, *, series: str = "", syntax: str = SYNTAXES[1], **sequences: list[Dataset]) -> bytes:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.SOPClassUID, made.SOPInstanceUID = KEY_OBJECTS, new_uid()
    made.PatientName, made.PatientID, made.Modality = "Otieno^Jane", "P-1", "KO"
    made.PatientBirthDate = made.PatientSex = made.AccessionNumber = ""
    made.StudyInstanceUID, made.SeriesInstanceUID = study, series or new_uid()
    for keyword, items in sequences.items():
        setattr(made, keyword, items)
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def passed(raw: bytes, current: Current, syntax: str) -> Dataset | None:
    stored = _object_in(memoryview(raw))
    change = coerced(stored.data, stored.encoding, current)
    if change is None:
        return None
    whole = change.head + bytes(stored.data[change.rest :])
    return read_dataset(io.BytesIO(whole), not stored.encoding.explicit, stored.encoding.little)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_kind_of_evidence_is_led_on_in_every_encoding(syntax: str) -> None:
    """Of study 1.1 the series .1 stays, .2 went to 1.2; all of 1.3 went to 1.2, also a series that we do not hold."""
    now = Whereabouts((("1.1.2", "1.2"), ("1.3.1", "1.2")), (("1.3", "1.2"),))
    items = [of_study("1.1", "1.1.1", "1.1.2"), of_study("1.2", "1.2.1"), of_study("1.3", "1.3.1", "1.3.9")]
    raw = key_objects(
        "1.1",
        syntax=syntax,
        **dict.fromkeys(EVIDENCE, items),
        ReferencedStudySequence=[referenced("1.1"), referenced("1.3")],
    )
    found = passed(raw, Current("1.1", moved=now), syntax)
    assert found is not None
    wanted = [("1.1", ["1.1.1.1"]), ("1.2", ["1.1.2.1", "1.2.1.1", "1.3.1.1", "1.3.9.1"])]
    assert {name: told(found[name].value) for name in EVIDENCE} == dict.fromkeys(EVIDENCE, wanted)
    assert [item.ReferencedSOPInstanceUID for item in found.ReferencedStudySequence] == ["1.1", "1.2"]
    [modified] = found.OriginalAttributesSequence
    assert modified.ReasonForTheAttributeModification == "CORRECT"
    [was] = modified.ModifiedAttributesSequence
    assert {name: told(was[name].value) for name in EVIDENCE} == {name: told(items) for name in EVIDENCE}
    assert "StudyInstanceUID" not in was
    nothing = Whereabouts((("1.9.1", "1.2"),), (("1.9", "1.2"),))
    assert passed(raw, Current("1.1", moved=nothing), syntax) is None


def test_an_object_that_was_moved_alone_still_names_the_study_of_what_stayed() -> None:
    raw = key_objects(
        "1.1",
        CurrentRequestedProcedureEvidenceSequence=[of_study("1.1", "1.1.1")],
        ReferencedStudySequence=[referenced("1.1")],
    )
    found = passed(raw, Current("1.2", moved=Whereabouts((("1.1.7", "1.2"),))), SYNTAXES[1])
    assert found is not None
    assert found.StudyInstanceUID == "1.2"
    assert told(found.CurrentRequestedProcedureEvidenceSequence) == [("1.1", ["1.1.1.1"])]
    assert found.ReferencedStudySequence[0].ReferencedSOPInstanceUID == "1.2"


# --- in the house


def keep(content: bytes, folder: Path) -> ImagingInstance:
    path = folder / f"{new_uid()}.dcm"
    path.write_bytes(content)
    answer = import_file(path, actor=Actor("storage", ae_title="CT1"))
    return ImagingInstance.objects.select_related("series__study").get(sop_instance_uid=answer.sop_instance_uid)


def image(study: str, series: str) -> bytes:
    made = dcmread(get_testdata_file("CT_small.dcm", download=False))
    made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID = study, series, f"{series}.1"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    file = io.BytesIO()
    made.save_as(file)
    return file.getvalue()


def evidence_of(row: ImagingInstance) -> list[tuple[str, list[str]]]:
    """As it leaves through DICOMweb, as its metadata have it, and as C-GET, C-MOVE and forwarding send it."""
    row = ImagingInstance.objects.select_related("series").get(pk=row.pk)
    current = current_of([row.series.study_id])[row.series.study_id]
    content = b"".join(leaving_bytes(row, current))
    assert leaving_size(row, row.size, current) == len(content)
    found = told(dcmread(io.BytesIO(content)).CurrentRequestedProcedureEvidenceSequence)
    with opened(row) as stored:
        model = Dataset.from_json(stored.model(str, current))
    assert told(model.CurrentRequestedProcedureEvidenceSequence) == found
    for as_sent in (False, True):
        [one] = shipped(ImagingInstance.objects.filter(pk=row.pk), as_sent=as_sent)
        with outgoing(one, {row.transfer_syntax_uid}) as (path, _syntax):
            assert told(dcmread(path).CurrentRequestedProcedureEvidenceSequence) == found
    return found


def test_key_objects_follow_what_is_split_merged_and_undone(alpha, tmp_path):
    first, second, later = (f"{new_uid()}.{number}" for number in range(3))
    one, other = f"{first}.1", f"{first}.2"
    keep(image(first, one), tmp_path), keep(image(first, other), tmp_path), keep(image(second, f"{second}.1"), tmp_path)
    inside = keep(key_objects(first, CurrentRequestedProcedureEvidenceSequence=[of_study(first, one, other)]), tmp_path)
    outside = keep(
        key_objects(
            later,
            CurrentRequestedProcedureEvidenceSequence=[of_study(first, one, other), of_study(second, f"{second}.1")],
        ),
        tmp_path,
    )
    patient = make_patient(family_name="Wanjiru")
    procedures = [make_procedure(patient=patient) for _number in range(3)]
    for uid, procedure in zip((first, second, later), procedures, strict=True):
        study = ImagingStudy.objects.get(study_instance_uid=uid)
        link_study(study, procedure=procedure, actor=SYSTEM, reason="It is hers")
    as_acquired = [(first, [f"{one}.1", f"{other}.1"])]
    of_both = [*as_acquired, (second, [f"{second}.1.1"])]
    assert (evidence_of(inside), evidence_of(outside)) == (as_acquired, of_both)

    study = ImagingStudy.objects.get(study_instance_uid=first)
    split = split_study(study, series=[other], target=procedures[2], reason="Two exams in one study", actor=SYSTEM)
    fresh = ImagingSeries.objects.get(series_instance_uid=other).study.study_instance_uid
    parted = [(first, [f"{one}.1"]), (fresh, [f"{other}.1"])]
    assert evidence_of(inside) == parted
    assert evidence_of(outside) == [*parted, of_both[1]], "of another study of the same patient"

    into = ImagingStudy.objects.get(study_instance_uid=second)
    merged = merge_studies(study, into=into, reason="One exam after all", actor=SYSTEM)
    assert evidence_of(inside) == [(second, [f"{one}.1"]), (fresh, [f"{other}.1"])]
    assert evidence_of(outside) == [(second, [f"{one}.1", f"{second}.1.1"]), (fresh, [f"{other}.1"])]
    [note] = untouched(ImagingInstance.objects.filter(pk=inside.pk))
    with outgoing(note, {inside.transfer_syntax_uid}) as (path, _syntax):
        assert told(dcmread(path).CurrentRequestedProcedureEvidenceSequence) == as_acquired

    undo_reconciliation(merged, reason="No", actor=SYSTEM)
    undo_reconciliation(split, reason="No", actor=SYSTEM)
    assert (evidence_of(inside), evidence_of(outside)) == (as_acquired, of_both)
