"""Every character set file that pydicom ships: C-STORE into the index, C-FIND out of it, and what is sent again."""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.data import get_charset_files
from pydicom.uid import SecondaryCaptureImageStorage

from interop.dicom import scu
from interop.dicom.sending import outgoing, shipped
from ris.core.ids import new_uid
from worklist.models import ImagingInstance, ImagingStudy

from .conftest import Scp, make_peer

FILES = sorted(Path(name) for name in get_charset_files("chr*.dcm"))
STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
EXPLICIT = "1.2.840.10008.1.2.1"


def shipped_object(path: Path) -> Dataset:
    """With UIDs of its own: some of the files share theirs. Two name a person in a sequence only.

    Without group lengths, which pydicom does not send.
    """
    made = dcmread(path)
    tags = tuple(made.keys())
    for tag in tags:
        if tag.element == 0:
            del made[tag]
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = new_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = new_uid(), new_uid()
    made.setdefault("SOPClassUID", SecondaryCaptureImageStorage)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    if "PatientName" not in made:
        made.decode()
        made.PatientName = made.RequestedProcedureCodeSequence[0].PatientName
    return made


def terms_of(made: Dataset) -> str:
    terms = made.get("SpecificCharacterSet") or ""
    return terms if isinstance(terms, str) else "\\".join(terms)


def plain(name: object) -> str:
    """Without components and groups that are empty at the end."""
    return str(name).rstrip("^=")


def ask(scp: Scp, title: str, **keys: str) -> list[Dataset]:
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID, asked.SpecificCharacterSet = "STUDY", "", "ISO_IR 192"
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    where = {"host": "127.0.0.1", "port": scp.port, "called_ae_title": "ALPHA", "calling_ae_title": title}
    with scu.association(**where, contexts=scu.contexts_for([STUDY_ROOT])) as line:
        return [found for _status, found in line.send_c_find(asked, STUDY_ROOT) if found is not None]


def test_every_character_set_of_pydicom_is_stored_found_and_sent_again(scp):
    """As it came for who has the same letters, byte by byte; in UTF-8 for the others."""
    make_peer("UTF8", may_query=True, character_set="ISO_IR 192")
    objects = {path.stem: shipped_object(path) for path in FILES}
    for stem, made in objects.items():
        make_peer(stem.upper()[:16], may_query=True, character_set=terms_of(made))
    assert len(objects) == 17
    classes = sorted({made.SOPClassUID for made in objects.values()})
    where = {"host": "127.0.0.1", "port": scp.port, "called_ae_title": "ALPHA", "calling_ae_title": "CT1"}
    with scu.association(**where, contexts=scu.contexts_for(classes, [EXPLICIT])) as line:
        statuses = {stem: scu.status_of(line.send_c_store(made)) for stem, made in objects.items()}
    assert statuses == dict.fromkeys(objects, 0)
    for stem, made in objects.items():
        wanted = plain(made.PatientName)
        study = ImagingStudy.objects.get(study_instance_uid=made.StudyInstanceUID)
        assert plain(study.patient_name) == wanted, stem
        [found] = ask(scp, "UTF8", StudyInstanceUID=made.StudyInstanceUID, PatientName=f"{wanted[:2]}*")
        assert (plain(found.PatientName), found.SpecificCharacterSet) == (wanted, "ISO_IR 192"), stem
        [found] = ask(scp, stem.upper()[:16], StudyInstanceUID=made.StudyInstanceUID, PatientName="")
        assert plain(found.PatientName) == wanted, stem
        assert set(terms_of(found).split("\\")) <= {*terms_of(made).split("\\"), "ISO 2022 IR 6"}, stem
        [row] = shipped(ImagingInstance.objects.filter(sop_instance_uid=made.SOPInstanceUID))
        with outgoing(row, {EXPLICIT}) as (path, _syntax):
            again = dcmread(path)
        assert again == made, stem
