"""QIDO-RS: what is found, what is told of it, and what is refused."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from datetime import date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.core.ids import new_uid
from tests.factories.accounts import user_with_roles
from tests.factories.orders import make_patient, make_procedure
from tests.interop.dicomweb.conftest import body_of, keep, parts_of, path_of, slices, stored
from worklist.models import ImagingInstance, ImagingStudy


@pytest.fixture
def house(web, tmp_path):
    """Three studies: Achieng 2026-01-05, Mwangi 2026-02-10, and one without a date."""
    made = []
    people = (("Achieng^Wanjiru", "MRN-1", "20260105"), ("Mwangi^John=王^小東", "MRN-2", "20260210"), ("X^Y", "N", ""))
    for number, (name, mrn, day) in enumerate(people):
        rows = slices(number + 1, patient=name, PatientID=mrn, AccessionNumber=f"ACC{number}")
        for row in rows:
            row.StudyDate, row.StudyTime, row.StudyDescription = day, "093000", f"CT chest {number}"
        made.append(keep(rows, tmp_path / str(number)))
    return made


def found(web, path="/dicomweb/studies", **parameters):
    response = web.get(path, parameters)
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "application/dicom+json"
    return json.loads(body_of(response))


def numbers(rows):
    return sorted(row["00080050"]["Value"][0] for row in rows)


def test_a_study_is_told_with_all_that_the_index_knows(web, house):
    (row,) = found(web, PatientID="MRN-2")
    study = house[1][0].series.study
    assert row == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080020": {"vr": "DA", "Value": ["20260210"]},
        "00080030": {"vr": "TM", "Value": ["093000"]},
        "00080050": {"vr": "SH", "Value": ["ACC1"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", "Value": ["CT"]},
        "00080090": {"vr": "PN"},
        "00081030": {"vr": "LO", "Value": ["CT chest 1"]},
        "00081190": {"vr": "UR", "Value": [f"http://alpha.test/dicomweb/studies/{study.study_instance_uid}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Mwangi^John", "Ideographic": "王^小東"}]},
        "00100020": {"vr": "LO", "Value": ["MRN-2"]},
        "00100021": {"vr": "LO"},
        "00100030": {"vr": "DA", "Value": ["19700131"]},
        "00100040": {"vr": "CS", "Value": ["F"]},
        "0020000D": {"vr": "UI", "Value": [study.study_instance_uid]},
        "00200010": {"vr": "SH"},
        "00201206": {"vr": "IS", "Value": [1]},
        "00201208": {"vr": "IS", "Value": [2]},
    }


MATCHES = [
    ({}, "012"),
    ({"PatientName": "achieng*"}, "0"),
    ({"00100010": "*JOHN*"}, "1"),
    ({"PatientName": "王*"}, "1"),
    ({"PatientName": "Achieng"}, ""),
    ({"PatientName": "Achieng^Wanjiru"}, "0"),
    ({"PatientName": "Mw?ngi^J*"}, "1"),
    ({"PatientID": "MRN-*"}, "01"),
    ({"00100020": "mrn-1"}, ""),
    ({"PatientID": "MRN-1", "PatientSex": "F"}, "0"),
    ({"StudyDate": "20260105"}, "0"),
    ({"StudyDate": "20260101-20260131"}, "0"),
    ({"StudyDate": "20260106-"}, "1"),
    ({"StudyDate": "-20260210"}, "01"),
    ({"StudyDate": "20260101-", "StudyTime": "0900-10"}, "01"),
    ({"PatientBirthDate": "19700131"}, "012"),
    ({"PatientBirthDate": "-19600101"}, ""),
    ({"ModalitiesInStudy": "CT"}, "012"),
    ({"ModalitiesInStudy": "MR,CT"}, "012"),
    ({"ModalitiesInStudy": "MR"}, ""),
    ({"AccessionNumber": "ACC?"}, "012"),
    ({"StudyDescription": "CT chest 2"}, "2"),
    ({"StudyInstanceUID": "1.2.3"}, ""),
    ({"PatientName": ""}, "012"),
    ({"PatientName": "*"}, "012"),
    ({"PatientName": "%"}, ""),
    ({"PatientID": "'; drop table --"}, ""),
]


def test_studies_are_matched_as_the_standard_says(web, house):
    for asked, expected in MATCHES:
        assert numbers(found(web, **asked)) == [f"ACC{digit}" for digit in expected], asked


def test_a_list_of_uids_is_any_of_them(web, house):
    uids = [rows[0].series.study.study_instance_uid for rows in house[:2]]
    assert numbers(found(web, StudyInstanceUID=",".join(uids))) == ["ACC0", "ACC1"]
    assert numbers(found(web, **{"0020000D": "\\".join(uids)})) == ["ACC0", "ACC1"]


def test_limit_and_offset_and_the_warning_that_there_is_more(web, house):
    first = web.get("/dicomweb/studies", {"limit": 2})
    rows = json.loads(body_of(first))
    assert len(rows) == 2
    assert first["Warning"].startswith("299 alpha.test")
    assert "Additional results can be requested" in first["Warning"]
    second = web.get("/dicomweb/studies", {"limit": 2, "offset": 2})
    rest = json.loads(body_of(second))
    assert numbers(rows + rest) == ["ACC0", "ACC1", "ACC2"]
    assert "Warning" not in second
    assert found(web, limit=0) == []


def test_what_is_not_matched_and_fuzzy_matching_are_warned_of(web, house):
    response = web.get("/dicomweb/studies", {"fuzzymatching": "true", "PatientSpeciesDescription": "cat"})
    assert len(json.loads(body_of(response))) == 3
    assert "Only literal matching has been performed" in response["Warning"]
    assert "PatientSpeciesDescription" in response["Warning"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NoSuchThing", "1"),
        ("limit", "-1"),
        ("limit", "many"),
        ("offset", "1e3"),
        ("fuzzymatching", "perhaps"),
        ("StudyDate", "yesterday"),
        ("StudyDate", "20261301"),
        ("StudyTime", "99"),
        ("StudyInstanceUID", "1.2.x"),
        ("PatientName", "*a" * 20),
        ("PatientName", "a" * 2000),
        ("PatientName", "a\x01b"),
        ("includefield", "Nothing"),
    ],
)
def test_a_wrong_parameter_is_named_in_words(web, name, value):
    response = web.get("/dicomweb/studies", {name: value})
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    answer = response.json()
    assert answer["errors"]
    assert answer["detail"]


def test_warnings_cannot_break_out_of_their_header(web):
    response = web.get('/dicomweb/studies?PatientName.%0d%0aX-Evil:%20"1"=a')
    assert response.status_code == 200
    assert "X-Evil" not in response.headers
    assert response["Warning"].count('"') == 2


def test_a_parameter_given_twice_is_refused(web):
    assert web.get("/dicomweb/studies?PatientID=1&PatientID=2").status_code == 400
    assert web.get("/dicomweb/studies?PatientID=1&00100020=2").status_code == 400


def test_series_and_instances_at_every_address(web, house):
    row = house[1][0]
    study, series = path_of(row, "study"), path_of(row, "series")
    (one,) = found(web, f"{study}/series")
    assert one["00201209"]["Value"] == [2]
    assert one["0020000D"]["Value"] == [row.series.study.study_instance_uid]
    assert "00100010" not in one
    (one,) = found(web, f"{study}/series", includefield="PatientName,00081030")
    assert one["00100010"]["Value"][0]["Alphabetic"] == "Mwangi^John"
    assert one["00081030"]["Value"] == ["CT chest 1"]
    assert "00100020" in found(web, f"{study}/series", includefield="all")[0]
    assert len(found(web, "/dicomweb/series")) == 3
    assert "00100010" in found(web, "/dicomweb/series")[0]
    for path in (f"{study}/instances", f"{series}/instances"):
        rows = found(web, path)
        assert [row["00200013"]["Value"] for row in rows] == [[1], [2]]
        assert rows[0]["00280010"] == {"vr": "US", "Value": [16]}
        assert "00280008" not in rows[0]
    assert "0008103E" in found(web, f"{study}/instances")[0]
    assert "0008103E" not in found(web, f"{series}/instances")[0]
    assert len(found(web, "/dicomweb/instances")) == 6
    assert len(found(web, "/dicomweb/instances", PatientID="MRN-2", InstanceNumber="2")) == 1
    (address,) = found(web, "/dicomweb/instances", SOPInstanceUID=row.sop_instance_uid)[0]["00081190"]["Value"]
    assert address == f"http://alpha.test{path_of(row)}"
    assert found(web, f"{study}/series", Modality="MR") == []
    assert web.get(f"/dicomweb/studies/{new_uid()}/series").status_code == 404


def test_results_in_xml_are_parts_of_the_native_model(web, house):
    response = web.get("/dicomweb/studies", HTTP_ACCEPT='multipart/related; type="application/dicom+xml"')
    parts = parts_of(response)
    assert len(parts) == 3
    root = ElementTree.fromstring(parts[0][1])
    assert {element.get("keyword") for element in root} >= {"PatientID", "StudyInstanceUID", "RetrieveURL"}
    empty = web.get("/dicomweb/studies?PatientID=nobody", HTTP_ACCEPT='multipart/related; type="application/dicom+xml"')
    assert parts_of(empty) == []
    assert found(web, PatientID="nobody") == []
    assert web.get("/dicomweb/studies", HTTP_ACCEPT="text/html").status_code == 406


def test_a_linked_study_is_told_and_found_under_the_patient_as_known_now(web, tmp_path):
    procedure = make_procedure(
        patient=make_patient(family_name="Otieno", given_name="Grace", birth_date=date(1970, 1, 31))
    )
    keep(slices(1, patient="Otieno^G", StudyInstanceUID=procedure.study_instance_uid), tmp_path / "files")
    study = ImagingStudy.objects.get()
    study.procedures.add(procedure)
    (row,) = found(web, PatientName="otieno^grace")
    assert row["00100010"]["Value"] == [{"Alphabetic": "Otieno^Grace"}]
    assert found(web, PatientName="otieno^g") == []


def test_the_number_of_queries_does_not_grow(web, house, tmp_path):
    def count(path):
        with CaptureQueriesContext(connection) as queries:
            found(web, path)
        return len(queries)

    paths = ("/dicomweb/studies", "/dicomweb/series", "/dicomweb/instances", f"{path_of(house[0][0], 'study')}/series")
    count(paths[0])
    before = [count(path) for path in paths]
    for number in range(4):
        keep(slices(2), tmp_path / f"more{number}")
    assert [count(path) for path in paths] == before
    assert max(before) <= 12


def test_a_search_is_one_audit_row_without_what_was_asked(web, house):
    before = AuditEvent.objects.count()
    found(web, PatientName="achieng*")
    (event,) = AuditEvent.objects.order_by("pk")[before:]
    assert (event.event_type, event.source) == ("worklist.view_study", "dicomweb")
    assert event.detail == {"searched": "STUDY", "rows": 1}


def test_who_may_see_less_finds_less(api, alpha, tmp_path):
    procedure = make_procedure(patient=make_patient(family_name="Otieno", given_name="Grace"))
    keep(slices(1, patient="Otieno^Grace", StudyInstanceUID=procedure.study_instance_uid), tmp_path / "a")
    ImagingStudy.objects.get().procedures.add(procedure)
    keep(slices(1), tmp_path / "b")
    api.force_authenticate(user_with_roles("referring_physician"))
    assert found(api) == []
    api.force_authenticate(user_with_roles("radiologist"))
    assert len(found(api)) == 2
    patient = procedure.order.patient
    patient.is_restricted = True
    patient.save_as(SYSTEM, "Restricted")
    assert len(found(api)) == 1
    linked = ImagingInstance.objects.get(series__study__procedures=procedure)
    for path in (path_of(linked), f"{path_of(linked)}/metadata", f"{path_of(linked, 'study')}/series"):
        assert api.get(path).status_code == 404
    assert found(api, "/dicomweb/instances", SOPInstanceUID=linked.sop_instance_uid) == []


def test_reports_are_found_beside_images(web):
    stored("reportsi.dcm")
    (row,) = found(web, "/dicomweb/instances")
    assert "Value" not in row["00280010"]
    assert "00280008" not in row
