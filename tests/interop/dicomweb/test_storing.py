"""STOW-RS: parts into the store, what is answered, and what nobody means well with."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import pytest
from django.test import RequestFactory, override_settings

from interop.dicom.store import instance_path
from interop.dicomweb import storing
from interop.dicomweb.multipart import MAX_HEADERS, BrokenMultipart, MultipartReader
from interop.dicomweb.storing import MAX_PARTS
from interop.dicomweb.views import _limited
from ris.accounts.services.keys import create_api_key
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from tests.factories.accounts import user_with_roles
from tests.interop.dicomweb.conftest import BOUNDARY, file_of, message, parts_of, shipped, slices
from worklist.models import ImagingInstance, ImagingStudy

STORED, FAILED, OTHERS = "00081199", "00081198", "0008119A"


def reasons(answer):
    return [item["00081197"]["Value"][0] for name in (FAILED, OTHERS) for item in answer.get(name, {}).get("Value", [])]


def uids(answer, name=STORED):
    return [item["00081155"]["Value"][0] for item in answer.get(name, {}).get("Value", [])]


def left_over(tmp_path):
    return list((tmp_path / "instances").rglob("*.part"))


def test_a_series_is_stored_and_told(post, tmp_path):
    datasets = slices(3)
    response = post(message(*(file_of(dataset) for dataset in datasets)))
    assert response.status_code == 200
    assert response["Content-Type"] == "application/dicom+json"
    answer = response.json()
    assert uids(answer) == [str(dataset.SOPInstanceUID) for dataset in datasets]
    study = f"http://alpha.test/dicomweb/studies/{datasets[0].StudyInstanceUID}"
    assert answer["00081190"]["Value"] == [study]
    assert answer[STORED]["Value"][0]["00081190"]["Value"][0].startswith(f"{study}/series/")
    assert FAILED not in answer
    assert ImagingStudy.objects.get().instance_count == 3
    row = ImagingInstance.objects.first()
    assert instance_path(row.path).read_bytes()[128:132] == b"DICM"
    assert left_over(tmp_path) == []


def test_the_same_again_is_accepted_once_and_other_content_is_refused(post):
    (dataset,) = slices(1)
    assert post(message(file_of(dataset))).status_code == 200
    assert post(message(file_of(dataset))).status_code == 200
    assert ImagingInstance.objects.count() == 1
    dataset.PatientName = "Somebody^Else"
    response = post(message(file_of(dataset)))
    assert response.status_code == 409
    assert reasons(response.json()) == [0x0111]
    assert uids(response.json(), FAILED) == [str(dataset.SOPInstanceUID)]
    assert "Another object is stored" in response["Warning"]


def test_a_study_address_takes_its_own_instances_only(post):
    mine, other = slices(1)[0], slices(1)[0]
    response = post(message(file_of(mine), file_of(other)), f"/dicomweb/studies/{mine.StudyInstanceUID}")
    assert response.status_code == 202
    assert uids(response.json()) == [str(mine.SOPInstanceUID)]
    assert reasons(response.json()) == [0xA900]
    assert ImagingInstance.objects.count() == 1


def test_what_fails_does_not_take_the_others_with_it(post, tmp_path):
    good = slices(2)
    broken = file_of(slices(1)[0])[:400]
    response = post(message(file_of(good[0]), b"no object at all", broken, file_of(good[1])))
    assert response.status_code == 202
    assert len(uids(response.json())) == 2
    assert reasons(response.json()) == [0xC000, 0xC000]
    assert left_over(tmp_path) == []


def test_compressed_objects_are_kept_as_they_are(post, web):
    content = shipped("MR_small_jp2klossless.dcm").read_bytes()
    assert (
        post(message(content, content_type="application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90")).status_code
        == 200
    )
    assert ImagingInstance.objects.get().transfer_syntax_uid == "1.2.840.10008.1.2.4.90"


def test_answers_in_xml(post):
    response = post(
        message(file_of(slices(1)[0])),
        HTTP_ACCEPT='multipart/related; type="application/dicom+xml", application/dicom+xml',
    )
    assert response.status_code == 200
    ((_headers, content),) = parts_of(response)
    keywords = {element.get("keyword") for element in ElementTree.fromstring(content)}
    assert keywords == {"RetrieveURL", "ReferencedSOPSequence"}


def test_audit_has_one_row_per_request_and_study(post):
    before = AuditEvent.objects.filter(event_type="worklist.store_study").count()
    post(message(*(file_of(dataset) for dataset in slices(3))))
    events = AuditEvent.objects.filter(event_type="worklist.store_study").order_by("pk")[before:]
    assert [(event.source, event.entity) for event in events] == [("dicomweb", ImagingStudy.objects.get().uuid)] * 2
    assert events[1].detail == {"instances": 3}


# --- what is refused


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 415),
        ("application/dicom", 415),
        ("multipart/form-data; boundary=x", 415),
        ('multipart/related; type="application/dicom+json"; boundary=x', 415),
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=' + "x" * 80, 400),
        ("multipart/related; type=", 415),
        ("", 415),
        ("multipart/related; " + "a" * 5000, 400),
    ],
)
def test_a_wrong_type_is_refused_in_words(post, content_type, status):
    response = post(message(b"x"), content_type=content_type)
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["detail"]
    assert ImagingInstance.objects.count() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary anywhere",
        f"--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\n".encode(),
        f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\nbegun and never ended".encode(),
        f"--{BOUNDARY} and more\r\n\r\n\r\n--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}\r\nX: ".encode() + b"y" * (MAX_HEADERS * 3) + b"\r\n\r\nz",
        b"x" * 200_000,
    ],
)
def test_a_broken_message_is_400_and_leaves_nothing(post, body, tmp_path):
    response = post(body)
    assert response.status_code == 400
    assert response.json()["detail"]
    assert ImagingInstance.objects.count() == 0
    assert left_over(tmp_path) == []


def test_a_message_cut_off_keeps_what_was_stored_and_says_so(post, tmp_path):
    datasets = slices(2)
    body = message(*(file_of(dataset) for dataset in datasets))
    response = post(body[: -len(file_of(datasets[1])) // 2])
    assert response.status_code == 202
    assert uids(response.json()) == [str(datasets[0].SOPInstanceUID)]
    assert reasons(response.json()) == [0xC000]
    assert left_over(tmp_path) == []


def test_ten_thousand_parts_of_nothing(post, monkeypatch):
    monkeypatch.setattr(storing, "MAX_PARTS", 500)
    response = post(message(*([b"x"] * MAX_PARTS)))
    assert response.status_code == 413
    assert len(reasons(response.json())) == 501
    assert "more than 500 parts" in response["Warning"]


def test_parts_of_another_type_are_415(post):
    response = post(message(b"{}", content_type="application/json"))
    assert response.status_code == 415
    assert reasons(response.json()) == [0xC122]


@override_settings(RIS_UPLOAD_LIMIT_MB=1)
def test_more_than_a_request_may_bring_is_413(post, tmp_path):
    first = file_of(slices(1)[0])
    response = post(message(first, bytes(2 * 1024 * 1024)))
    assert response.status_code == 413
    assert len(uids(response.json())) == 1
    assert left_over(tmp_path) == []


def test_uids_that_lead_out_of_the_store_are_refused(post, tmp_path):
    (dataset,) = slices(1)
    content = file_of(dataset)
    uid = str(dataset.StudyInstanceUID).encode()
    response = post(message(content.replace(uid, b"../../../../etc/x".ljust(len(uid), b"x"))))
    assert response.status_code == 409
    assert ImagingInstance.objects.count() == 0
    assert post(message(content), "/dicomweb/studies/..%2f..%2fetc").status_code == 404


def test_what_is_no_storage_class_is_refused(post):
    (dataset,) = slices(1)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.31"
    response = post(message(file_of(dataset)))
    assert response.status_code == 409
    assert reasons(response.json()) == [0x0122]


def test_only_who_may_store_stores(api, alpha):
    body, headers = message(file_of(slices(1)[0])), f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'

    def send(**more):
        return api.generic("POST", "/dicomweb/studies", body, content_type=headers, **more)

    assert send().status_code == 401
    api.force_authenticate(user_with_roles("referring_physician"))
    assert send().status_code == 403
    api.force_authenticate(None)
    person = user_with_roles("technologist")
    reads, stores = (
        create_api_key(person, label=code, scopes=[code], actor=SYSTEM).secret
        for code in ("worklist.view_study", "worklist.store_study")
    )
    assert send(HTTP_AUTHORIZATION=f"Api-Key {reads}").status_code == 403
    assert ImagingInstance.objects.count() == 0
    assert send(HTTP_AUTHORIZATION=f"Api-Key {stores}").status_code == 200
    assert api.get("/dicomweb/studies", HTTP_AUTHORIZATION=f"Api-Key {stores}").status_code == 403


class Chunked:
    """What gunicorn gives of a body that comes in chunks."""

    def __init__(self, body):
        self.read = io.BytesIO(body).read


def test_a_body_in_chunks_is_read_to_its_end(web):
    request = RequestFactory().post("/dicomweb/studies", HTTP_TRANSFER_ENCODING="chunked")
    request.META |= {"wsgi.input": Chunked(b"all of it"), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    assert _limited(request)(100) == b"all of it"


# --- the reader alone


class Dribble:
    """Gives a few bytes at a time, as a slow line does."""

    def __init__(self, body: bytes, step: int) -> None:
        self.source, self.step = io.BytesIO(body), step

    def __call__(self, size: int) -> bytes:
        return self.source.read(min(size, self.step))


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 4096])
def test_parts_are_the_same_however_they_come(step):
    contents = [b"", b"\r\n", b"--", f"\r\n--{BOUNDARY[:-1]}".encode(), b"x" * 1000, b"\r\n--"]
    body = b"a preamble\r\n" + message(*contents) + b"and an epilogue"
    reader = MultipartReader(Dribble(body, step), BOUNDARY)
    found = [(part.headers["content-type"], b"".join(part.pieces())) for part in reader.parts()]
    assert found == [("application/dicom", content) for content in contents]


def test_parts_that_nobody_reads_are_skipped():
    reader = MultipartReader(Dribble(message(b"one", b"two"), 5), BOUNDARY)
    assert len(list(reader.parts())) == 2


def test_a_message_may_end_anywhere():
    whole = message(b"some content", b"more")
    for length in range(len(whole) - 4):
        with pytest.raises(BrokenMultipart):
            for part in MultipartReader(Dribble(whole[:length], 9), BOUNDARY).parts():
                list(part.pieces())
