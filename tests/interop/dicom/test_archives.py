"""Earlier studies in another archive: beta is alpha's archive, over the network, with everything that goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse
from pydicom import dcmread
from pydicom.data import get_testdata_file

from interop.dicom.archives import fetch_study, look_in_archives
from interop.dicom.importing import import_file
from interop.models import DicomPeer, OutgoingDicom
from orders.models import Patient
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData, NotKnown, NotPermitted
from ris.core.ids import new_uid
from ris.core.permissions import CLERK, RADIOLOGIST
from ris.events.dispatcher import drain
from ris.tenants.context import use_facility
from ris.tenants.models import Facility
from tests.factories.accounts import user_with_roles
from tests.factories.orders import make_actor, make_patient
from worklist.models import ImagingInstance, ImagingStudy

from .conftest import make_peer

STORAGE = Actor("storage", ae_title="CT1")


@pytest.fixture
def patient(alpha, scp) -> Patient:
    make_peer("BETA", host="127.0.0.1", port=scp.port, is_archive=True, description="Beta's archive")
    return make_patient(family_name="Wanjiru", given_name="Achieng")


def keep_in_beta(tmp_path: Path, number: str, name: str = "Wanjiru^Achieng", count: int = 2) -> str:
    """The Study Instance UID of a CT in beta."""
    made = dcmread(get_testdata_file("CT_small.dcm", download=False))
    made.StudyInstanceUID, made.SeriesInstanceUID = new_uid(), new_uid()
    made.PatientID, made.PatientName, made.StudyDescription, made.StudyDate = number, name, "Old CT", "20200102"
    with use_facility(Facility.objects.get(schema_name="beta")):
        if not DicomPeer.objects.filter(ae_title="ALPHA").exists():
            make_peer("ALPHA", may_query=True)
        for instance in range(count):
            made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = new_uid()
            made.InstanceNumber = instance + 1
            path = tmp_path / f"{instance}.dcm"
            made.save_as(path)
            assert import_file(path, actor=STORAGE).result == "stored"
    return str(made.StudyInstanceUID)


def number_of(patient: Patient) -> str:
    assert patient.primary_identifier is not None
    return patient.primary_identifier.value


def test_an_archive_is_asked_by_the_patients_number_and_its_study_is_fetched(patient, tmp_path):
    uid = keep_in_beta(tmp_path, number_of(patient))
    keep_in_beta(tmp_path, "SOMEBODY")
    [answer] = look_in_archives(patient, actor=make_actor(RADIOLOGIST))
    assert answer.error == ""
    [study] = answer.studies
    assert (study.study_instance_uid, study.description, study.modalities) == (uid, "Old CT", "CT")
    assert (study.instances, study.stored, study.is_here, study.differs) == (2, 0, False, False)
    assert AuditEvent.objects.filter(event_type="interop.query_archive", patient=patient.uuid).count() == 1

    asked = {"ae_title": "BETA", "study_instance_uid": uid, "actor": make_actor(RADIOLOGIST)}
    row = fetch_study(patient, **asked)
    assert fetch_study(patient, **asked) == row
    drain("alpha")
    row.refresh_from_db()
    assert (row.status, row.detail) == ("done", {"completed": 2, "failed": 0})
    assert ImagingStudy.objects.get().study_instance_uid == uid
    assert set(ImagingInstance.objects.values_list("received_from", flat=True)) == {"BETA"}
    [again] = look_in_archives(patient, actor=make_actor(RADIOLOGIST))
    assert again.studies[0].is_here
    assert fetch_study(patient, **asked) != row


def test_another_person_under_the_same_number_is_marked(patient, tmp_path):
    keep_in_beta(tmp_path, number_of(patient), name="Kamau^Peter")
    [answer] = look_in_archives(patient, actor=SYSTEM)
    assert answer.studies[0].sent.name == "Kamau^Peter"
    assert answer.studies[0].differs


def test_an_archive_that_fails_hides_nothing_that_others_found(patient, tmp_path):
    uid = keep_in_beta(tmp_path, number_of(patient))
    make_peer("AWAY", host="127.0.0.1", port=1, is_archive=True)
    answers = {answer.peer.ae_title: answer for answer in look_in_archives(patient, actor=SYSTEM)}
    assert "No association" in answers["AWAY"].error
    assert [row.study_instance_uid for row in answers["BETA"].studies] == [uid]


def test_a_refusal_is_told(patient):
    with use_facility(Facility.objects.get(schema_name="beta")):
        make_peer("ALPHA", may_query=False)
    [answer] = look_in_archives(patient, actor=SYSTEM)
    assert answer.studies == []
    assert "0124" in answer.error


def test_a_number_with_a_wildcard_is_never_asked_for(patient, tmp_path):
    keep_in_beta(tmp_path, "SOMEBODY")
    patient.identifiers.update(value="S*")
    with pytest.raises(InvalidData):
        look_in_archives(Patient.objects.get(pk=patient.pk), actor=SYSTEM)


def test_only_registered_archives_are_called_and_only_by_whom_it_concerns(patient):
    with pytest.raises(NotKnown):
        fetch_study(patient, ae_title="ELSEWHERE", study_instance_uid="1.2.3", actor=SYSTEM)
    with pytest.raises(InvalidData):
        fetch_study(patient, ae_title="BETA", study_instance_uid="1.2.x", actor=SYSTEM)
    with pytest.raises(NotPermitted):
        look_in_archives(patient, actor=make_actor(CLERK))
    assert not OutgoingDicom.objects.exists()


def test_a_study_that_the_archive_does_not_know_is_fetched_as_nothing(patient, tmp_path):
    keep_in_beta(tmp_path, number_of(patient))
    row = fetch_study(patient, ae_title="BETA", study_instance_uid="1.2.3", actor=SYSTEM)
    drain("alpha")
    row.refresh_from_db()
    assert (row.status, row.detail["completed"]) == ("done", 0)


def test_the_page_looks_and_fetches(patient, tmp_path, tclient):
    uid = keep_in_beta(tmp_path, number_of(patient))
    tclient.force_login(user_with_roles(RADIOLOGIST), backend="ris.accounts.backends.PasswordBackend")
    assert "Other archives" in tclient.get(reverse("patient_detail", args=[patient.uuid])).content.decode()
    page = tclient.get(reverse("archive_page", args=[patient.uuid])).content.decode()
    assert "Beta&#x27;s archive" in page
    assert uid not in page
    found = tclient.post(reverse("archive_look", args=[patient.uuid])).content.decode()
    assert "Old CT" in found
    assert uid in found
    answer = tclient.post(reverse("archive_fetch", args=[patient.uuid]), {"archive": "BETA", "study": uid})
    assert answer.status_code == 302
    drain("alpha")
    assert ImagingInstance.objects.count() == 2
    assert "Here" in tclient.post(reverse("archive_look", args=[patient.uuid])).content.decode()


def test_rest_searches_and_fetches(patient, tmp_path, api):
    uid = keep_in_beta(tmp_path, number_of(patient))
    api.force_authenticate(user_with_roles(RADIOLOGIST))
    asked = {"patient": str(patient.uuid), "modalities": ["CT"]}
    [answer] = api.post("/api/v1/archive/search/", asked, format="json").json()
    assert (answer["archive"], answer["error"]) == ("BETA", "")
    assert [row["study_instance_uid"] for row in answer["studies"]] == [uid]
    assert answer["studies"][0]["patient_differs"] is False
    [none] = api.post("/api/v1/archive/search/", {**asked, "modalities": ["MR"]}, format="json").json()
    assert none["studies"] == []
    wanted = {"patient": str(patient.uuid), "archive": "BETA", "study_instance_uid": uid}
    answer = api.post("/api/v1/archive/fetch/", wanted, format="json")
    assert (answer.status_code, answer.json()["kind"]) == (202, "fetch")
    assert api.post("/api/v1/archive/fetch/", {**wanted, "archive": "X"}, format="json").status_code == 404
