"""Clients that others wrote, or what they send: dicomweb-client over a real socket, and the requests of OHIF."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session
from django.test import override_settings
from pydicom import dcmread

from ris.accounts.services.keys import create_api_key
from ris.core.actor import SYSTEM
from tests.factories.accounts import user_with_roles
from tests.factories.orders import make_procedure
from tests.interop.dicomweb.conftest import body_of, keep, parts_of, path_of, shipped, slices
from worklist.models import ImagingInstance, ImagingStudy
from worklist.services import link_study

#: As @ohif/viewers 3 asks, through dicomweb-client-js and the cornerstone image loader.
OHIF_FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"


@pytest.fixture
def client_of(facility_server):
    """A client with an API key of somebody who may see and store."""
    person = user_with_roles("radiologist")
    key = create_api_key(person, label="viewer", scopes=["worklist.*"], actor=SYSTEM).secret
    session = create_session()
    session.headers["Authorization"] = f"Api-Key {key}"
    client = DICOMwebClient(f"{facility_server.alpha}/dicomweb", session=session)
    client.host = f"localhost:{facility_server.port}"  # it leaves the port out, which is not 80 here
    return client


def test_dicomweb_client_stores_searches_and_retrieves(client_of):
    client, datasets = client_of, slices(3)
    study, series = str(datasets[0].StudyInstanceUID), str(datasets[0].SeriesInstanceUID)
    answer = client.store_instances(datasets)
    assert len(answer.ReferencedSOPSequence) == 3
    assert "FailedSOPSequence" not in answer

    (found,) = client.search_for_studies(search_filters={"PatientName": "Achieng*"}, fields=["StudyDescription"])
    assert found["0020000D"]["Value"] == [study]
    assert client.search_for_studies(limit=1, get_remaining=True) == [found]
    assert [row["0020000E"]["Value"] for row in client.search_for_series(study)] == [[series]]
    assert len(client.search_for_instances(study, series)) == 3

    assert [dataset.PixelData for dataset in client.retrieve_series(study, series)] == [
        dataset.PixelData for dataset in datasets
    ]
    assert len(list(client.iter_study(study))) == 3
    instance = str(datasets[1].SOPInstanceUID)
    assert client.retrieve_instance(study, series, instance).PixelData == datasets[1].PixelData
    models = client.retrieve_series_metadata(study, series)
    assert [model["00080018"]["Value"][0] for model in models] == [str(dataset.SOPInstanceUID) for dataset in datasets]
    assert client.retrieve_instance_frames(study, series, instance, [1]) == [datasets[1].PixelData]
    (bulk,) = client.retrieve_bulkdata(models[1]["7FE00010"]["BulkDataURI"])
    assert bulk == datasets[1].PixelData
    picture = client.retrieve_instance_rendered(study, series, instance, media_types=("image/png",))
    assert picture[:4] == b"\x89PNG"


def test_dicomweb_client_gets_compressed_frames_and_decoded_objects(client_of):
    client, dataset = client_of, dcmread(shipped("MR_small_jp2klossless.dcm"))
    client.store_instances([dataset])
    uids = (str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID))
    (frame,) = client.retrieve_instance_frames(*uids, [1], media_types=(("image/jp2", "1.2.840.10008.1.2.4.90"),))
    assert frame in dataset.PixelData
    (plain,) = client.retrieve_instance_frames(*uids, [1], media_types=("application/octet-stream",))
    dataset.decompress()
    assert plain == dataset.PixelData
    explicit = client.retrieve_instance(*uids, media_types=(("application/dicom", "1.2.840.10008.1.2.1"),))
    assert np.array_equal(explicit.pixel_array, dataset.pixel_array)


def test_a_viewers_key_opens_a_study_that_is_linked(api, alpha, tmp_path):
    """With the scopes that docs/dicomweb.md names, and not with fewer."""
    (row,) = keep(slices(1), tmp_path / "files")
    link_study(row.series.study, procedure=make_procedure(), actor=SYSTEM, reason="It is hers")
    person = user_with_roles("radiologist")
    for scopes, status in ((["worklist.view_study", "orders.view_patient"], 200), (["worklist.view_study"], 404)):
        key = create_api_key(person, label="viewer", scopes=scopes, actor=SYSTEM).secret
        assert api.get(path_of(row, "study"), HTTP_AUTHORIZATION=f"Api-Key {key}").status_code == status


def test_the_way_ohif_opens_a_study(web, tmp_path):
    rows = keep(slices(3), tmp_path / "files")
    study = ImagingStudy.objects.get().study_instance_uid
    listing = web.get(
        "/dicomweb/studies?limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060"
        "&00100010=*achieng*&StudyDate=20200101-20991231",
        HTTP_ACCEPT="application/dicom+json",
    )
    assert [row["0020000D"]["Value"][0] for row in json.loads(body_of(listing))] == [study]
    fields = "0008103E%2C00080060%2C00080021"
    (series,) = json.loads(body_of(web.get(f"/dicomweb/studies/{study}/series?includefield={fields}")))
    series_uid = series["0020000E"]["Value"][0]
    models = json.loads(body_of(web.get(f"/dicomweb/studies/{study}/series/{series_uid}/metadata")))
    assert [model["00200013"]["Value"][0] for model in models] == [1, 2, 3]
    needed = {"00280010", "00280011", "00280100", "00280103", "00281050", "00200032", "00200037", "00280030"}
    assert all(needed <= set(model) for model in models)
    frame = web.get(f"{path_of(rows[0])}/frames/1", HTTP_ACCEPT=OHIF_FRAMES)
    ((headers, content),) = parts_of(frame)
    assert headers["content-type"] == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    assert len(content) == 16 * 16 * 2
    assert web.get(f"{path_of(rows[0])}/rendered", HTTP_ACCEPT="image/jpeg").status_code == 200


def test_a_viewer_of_another_origin_is_answered_when_it_is_named(web, tmp_path):
    (row,) = keep(slices(1), tmp_path / "files")
    asked = {"HTTP_ORIGIN": "https://viewer.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET"}
    assert "Access-Control-Allow-Origin" not in web.options(path_of(row), **asked)
    with override_settings(RIS_DICOMWEB_ORIGINS=["https://viewer.example"]):
        web.force_authenticate(None)
        preflight = web.options(path_of(row), **asked)
        assert preflight.status_code == 204
        assert "Authorization" in preflight["Access-Control-Allow-Headers"]
        refused = web.get(path_of(row), HTTP_ORIGIN="https://viewer.example")
        assert refused.status_code == 401
        assert refused["Access-Control-Allow-Origin"] == "https://viewer.example"
        other = web.get(path_of(row), HTTP_ORIGIN="https://elsewhere.example")
        assert "Access-Control-Allow-Origin" not in other
        assert "Origin" in other["Vary"]


def test_capabilities_are_told_as_json_and_as_wadl(web):
    answer = web.get("/dicomweb/capabilities").json()
    assert {"GET /studies", "POST /studies"} <= {f"{row['method']} {row['path']}" for row in answer["transactions"]}
    assert any(row["keyword"] == "PatientName" and row["is_matched"] for row in answer["search"]["study"])
    wadl = web.options("/dicomweb/studies", HTTP_ACCEPT="application/vnd.sun.wadl+xml")
    assert wadl["Content-Type"] == "application/vnd.sun.wadl+xml"
    assert b"RetrieveSeriesMetadata" in wadl.content


def test_every_transaction_that_is_told_has_an_address(web, tmp_path):
    (row,) = keep(slices(1), tmp_path / "files")
    values = {
        "{study}": row.series.study.study_instance_uid,
        "{series}": row.series.series_instance_uid,
        "{instance}": row.sop_instance_uid,
        "{frames}": "1",
        "{path}": "7FE00010",
    }
    for transaction in web.get("/dicomweb/capabilities").json()["transactions"]:
        path = transaction["path"]
        if path == "/wado":
            continue  # named by its query
        for name, value in values.items():
            path = path.replace(name, value)
        if transaction["method"] == "GET":
            for media_type in transaction["media_types"]:
                if "image/" in media_type and path.endswith(("frames/1", "7FE00010")):
                    continue
                response = web.get(f"/dicomweb{path}", HTTP_ACCEPT=media_type)
                assert response.status_code == 200, f"{path} {media_type}"
                body_of(response)
    assert ImagingInstance.objects.count() == 1


@pytest.mark.parametrize("policy", ["instance", "association", "none"])
def test_counts_are_right_and_files_safe_when_the_answer_comes(client_of, settings, policy):
    settings.RIS_DICOM_FSYNC = policy
    client_of.store_instances(slices(5))
    study = ImagingStudy.objects.get()
    assert (study.instance_count, study.series_count) == (5, 1)
    (found,) = client_of.search_for_studies()
    assert found["00201208"]["Value"] == [5]
