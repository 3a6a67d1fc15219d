"""The FHIR server as its neighbours meet it: what it says it can do, what it answers, what it refuses."""

from __future__ import annotations

import json
from datetime import datetime, time, timedelta
from time import process_time
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from interop.fhir.server import engine
from interop.fhir.server.call import R4, VERSIONS, Call
from interop.fhir.server.errors import Refused
from interop.fhir.server.registry import types, virtual_types
from interop.fhir.server.xml import parsed
from orders.services import update_patient
from orders.services.patients import set_restricted
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM, Actor
from ris.core.ids import new_uid, uuid7
from ris.tenants.context import use_facility
from tests.factories import reporting
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.exam import ct1, ordered_exam, whole_exam
from tests.interop.fhir.house import JSON, XML, Fhir, refusal
from tests.interop.fhir.validators import faults
from worklist.services import book_appointment

pytestmark = pytest.mark.django_db
NOBODY = "01a1ffd9-83ec-720a-be3d-0ebd929b2244"
#: those whose rights the clinical roles hold
SEARCHED = tuple(name for name, kind in types().items() if kind.is_searched and name != "Subscription")


@pytest.mark.parametrize("release", ["r4", "r5"])
def test_everything_passes_both_validators(fhir: Fhir, release: str) -> None:
    asked = fhir if release == "r4" else fhir.r5
    statement = asked("metadata")
    found = faults(statement, release)
    assert (statement["fhirVersion"], found) == ({"r4": "4.0.1", "r5": "5.0.0"}[release], [])
    for name in SEARCHED:
        bundle = asked(name, _count="20")
        assert bundle["entry"], name
        for entry in bundle["entry"]:
            found += faults(entry["resource"], release)
        found += faults(bundle | {"entry": []} if name == "AuditEvent" else bundle, release)
    found += faults(asked("DiagnosticReport/_history"), release)
    assert found == []


@pytest.mark.parametrize("release", ["r4", "r5"])
def test_the_capability_statement_is_what_answers(fhir: Fhir, release: str) -> None:
    """Each interaction and parameter that is claimed answers; each that is not claimed is refused."""
    asked = fhir if release == "r4" else fhir.r5
    told = asked("metadata")["rest"][0]["resource"]
    assert {one["type"] for one in told} - virtual_types.keys() == {
        name for name, kind in types().items() if release in kind.releases
    }
    claimed = {one["type"]: one for one in told if one["type"] in (*SEARCHED, "Binary")}
    for name, told in claimed.items():
        codes = {one["code"] for one in told["interaction"]}
        if "search-type" in codes:
            if release == "r4":  # both releases search alike
                check_params(fhir, name, told["searchParam"])
            for control, claim in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
                wanted = {control: ",".join(told.get(claim, ()))} if release == "r4" and claim in told else {}
                assert asked.get(name, wanted | {"_count": "3"}).status_code == 200, (name, wanted)
            assert refusal(asked.get(name, {"nonsense": "1"})).status == 400
            key = asked(name, _count="1")["entry"][0]["resource"]["id"]
            assert asked.get(f"{name}/{key}").status_code == 200
            history = asked.get(f"{name}/{key}/_history")
            assert history.status_code == (200 if "history-instance" in codes else 405), name
            if "vread" in codes:
                version_id = json.loads(history.content)["entry"][-1]["resource"]["meta"]["versionId"]
                assert asked.get(f"{name}/{key}/_history/{version_id}").status_code == 200, name
        else:
            assert refusal(asked.get(name)).status == 405
        wanted = 200 if "history-type" in codes else 404 if name == "Binary" else 405
        assert asked.get(f"{name}/_history").status_code == wanted, name
        for method, code in (("post", "create"), ("put", "update"), ("delete", "delete"), ("patch", "patch")):
            if code not in codes:
                path = name if method == "post" else f"{name}/{NOBODY}"
                body = json.dumps({"resourceType": name, "id": path.rpartition("/")[2]})
                answer = getattr(asked.client, method)(asked.url(path), body, content_type=JSON)
                assert (refusal(answer).status, "Allow" in answer.headers) == (405, True), (name, method)


SAMPLES = {
    "token": "x",
    "string": "x",
    "date": "2020",
    "number": "20",
    "uri": "x",
    "reference": "01a1ffd9-83ec-720a-be3d-0ebd929b2244",
}


def check_params(fhir: Fhir, name: str, told: list[Any]) -> None:
    """Each parameter answers a value, ``:missing`` where it knows that, and a token of any system; without HTTP."""

    def status(**params: str) -> int:
        actor = Actor("fhir", fhir.user)
        call = Call(R4, actor, "GET", (name,), "http://alpha.test/fhir/r4", list(params.items()))
        try:
            return engine.answer(call).status
        except Refused as refused:
            return refused.http_status

    for param in told:
        key, known = param["name"], types()[name].params[param["name"]].known_modifiers
        shape = {"status": "free"} if key == "duration" else {"_summary": "count"}
        value = "true" if key in ("active", "deceased") else SAMPLES[param["type"]]
        missing = status(**{f"{key}:missing": "true", "_summary": "count"})
        assert (status(**{key: value} | shape), missing) == (200, 200 if "missing" in known else 400), (name, param)
        assert status(**{key: "|"} | shape) in (200, 400), (name, param)


#: What is asked for, by which parameters, how many there are.
Search = tuple[str, dict[str, str], int]


def searches_of_patients(facility: Any) -> list[Search]:
    patient, today = facility.patient, timezone.localdate()
    one, none = 1, 0
    return [
        ("Patient", {"family": "wanjiru"}, one),  # accents and case do not count
        ("Patient", {"family:exact": "wanjiru"}, none),
        ("Patient", {"family:exact": "Wanjirũ"}, one),
        ("Patient", {"name:contains": "chien"}, one),
        ("Patient", {"name": "chien"}, none),
        ("Patient", {"name": "O'Neil,achi"}, one),
        ("Patient", {"identifier": "12345678"}, one),
        ("Patient", {"identifier": "urn:picha:issuer:KE|12345678"}, one),
        ("Patient", {"identifier": "urn:picha:issuer:UG|12345678"}, none),
        ("Patient", {"identifier": "urn:picha:issuer:KE|"}, one),
        ("Patient", {"identifier:not": "12345678"}, none),
        ("Patient", {"gender": "female,male"}, one),
        ("Patient", {"gender": "male"}, none),
        ("Patient", {"gender:not": "male"}, one),
        ("Patient", {"birthdate": patient.birth_date.isoformat()}, one),
        ("Patient", {"birthdate": f"lt{patient.birth_date}"}, none),
        ("Patient", {"birthdate": f"le{patient.birth_date}"}, one),
        ("Patient", {"birthdate": f"gt{patient.birth_date}"}, none),
        ("Patient", {"birthdate": f"ne{patient.birth_date}"}, none),
        ("Patient", {"birthdate": f"sa{patient.birth_date.year}"}, none),
        ("Patient", {"birthdate": f"eb{patient.birth_date.year + 1}"}, one),
        ("Patient", {"birthdate": f"ap{patient.birth_date.year}"}, one),
        ("Patient", {"birthdate": f"{patient.birth_date:%Y-%m}"}, one),
        ("Patient", {"birthdate:missing": "true"}, none),
        ("Patient", {"email:missing": "true"}, one),
        ("Patient", {"active": "true"}, one),
        ("Patient", {"deceased": "true"}, none),
        ("Patient", {"_id": str(patient.uuid)}, one),
        ("Patient", {"_id": "no-uuid"}, none),
        ("Patient", {"_lastUpdated": f"ge{today}"}, one),
    ]  # fmt: skip


def searches_of_requests(facility: Any) -> list[Search]:
    exam, patient = facility.exam, facility.patient
    today, tomorrow = timezone.localdate(), timezone.localdate() + timedelta(days=1)
    both, one, none = 2, 1, 0
    return [
        ("ServiceRequest", {"patient": str(patient.uuid)}, both),
        ("ServiceRequest", {"subject": f"Patient/{patient.uuid}"}, both),
        ("ServiceRequest", {"subject:Patient": str(patient.uuid)}, both),
        ("ServiceRequest", {"subject": f"http://alpha.test/fhir/r4/Patient/{patient.uuid}"}, both),
        ("ServiceRequest", {"patient.identifier": "12345678"}, both),
        ("ServiceRequest", {"patient.identifier": "1"}, none),
        ("ServiceRequest", {"subject:Patient.family": "wanj"}, both),
        ("ServiceRequest", {"patient:identifier": "12345678"}, both),
        ("ServiceRequest", {"accession": exam.accession_number}, one),
        ("ServiceRequest", {"identifier": f"urn:picha:accession-number|{exam.accession_number}"}, one),
        ("ServiceRequest", {"identifier": f"urn:dicom:uid|urn:oid:{exam.study_instance_uid}"}, one),
        ("ServiceRequest", {"identifier": "P-77"}, one),
        ("ServiceRequest", {"status": "active"}, one),
        ("ServiceRequest", {"status": "completed"}, one),
        ("ServiceRequest", {"status:not": "completed"}, one),
        ("ServiceRequest", {"priority": "urgent"}, one),
        ("ServiceRequest", {"category": "363679005"}, both),
        ("ServiceRequest", {"category": "MR"}, none),
        ("ServiceRequest", {"code": "urn:picha:catalogue|CTCHESTC"}, both),
        ("ServiceRequest", {"code": "CTCHESTC,X"}, both),
        ("ServiceRequest", {"authored": f"{today}"}, both),
        ("ServiceRequest", {"requester.family": "Atieno", "status": "completed"}, one),
        ("ServiceRequest", {"requisition": str(facility.order.uuid)}, one),
        ("Appointment", {"date": f"{tomorrow}", "status": "booked"}, one),
        ("Appointment", {"date": f"gt{tomorrow}"}, none),
        ("Appointment", {"based-on": str(facility.waiting.uuid)}, one),
        ("Appointment", {"actor": f"Patient/{patient.uuid}"}, both),
        ("Appointment", {"location.name": "ct"}, both),
        ("Slot", {"start": f"{tomorrow}", "status": "busy"}, one),
        ("Slot", {"schedule.actor:Location.name": "CT"}, both),
    ]  # fmt: skip


def searches_of_results(facility: Any) -> list[Search]:
    exam, patient, today = facility.exam, facility.patient, timezone.localdate()
    both, one, none = 2, 1, 0
    return [
        ("ImagingStudy", {"patient": str(patient.uuid), "modality": "CT"}, one),
        ("ImagingStudy", {"modality": "T"}, none),
        ("ImagingStudy", {"identifier": f"urn:oid:{exam.study_instance_uid}"}, one),
        ("ImagingStudy", {"basedon": f"ServiceRequest/{exam.uuid}"}, one),
        ("ImagingStudy", {"based-on.accession": exam.accession_number}, one),
        ("ImagingStudy", {"started": f"ge{today}"}, one),
        ("ImagingStudy", {"dicom-class": "1.2.840.10008.5.1.4.1.1.2"}, one),
        ("ImagingStudy", {"status": "registered"}, none),
        ("DiagnosticReport", {"based-on": str(exam.uuid)}, one),
        ("DiagnosticReport", {"accession": exam.accession_number, "status": "appended"}, one),
        ("DiagnosticReport", {"status": "final"}, none),
        ("DiagnosticReport", {"code": "http://loinc.org|18748-4", "category": "RAD"}, one),
        ("DiagnosticReport", {"results-interpreter.name": "Karanja"}, one),
        ("DiagnosticReport", {"study.modality": "CT", "issued": f"ge{today}"}, one),
        ("Observation", {"patient": str(patient.uuid)}, both),
        ("Observation", {"code": "73569-6"}, one),
        ("Observation", {"code": "birads", "value-concept": "4A"}, one),
        ("Observation", {"derived-from.patient.identifier": "12345678"}, one),
        ("Task", {"status": "completed", "patient.family": "Wanj"}, one),
        ("Task", {"business-status": "SCHEDULED"}, one),
        ("DocumentReference", {"type": "request_form"}, one),
        ("DocumentReference", {"related": str(exam.uuid)}, one),
        ("Provenance", {"target": str(facility.report.uuid)}, both),
        ("Organization", {"name": "Main"}, one),
        ("Location", {"organization.name": "main", "status": "active"}, one),
        ("Practitioner", {"identifier": "urn:picha:issuer:KMPDC|A1234"}, one),
        ("PractitionerRole", {"practitioner.name": "Karanja"}, one),
        (f"Patient/{patient.uuid}/ServiceRequest", {"status": "active"}, one),
    ]  # fmt: skip


def test_searches_find_what_they_name_and_nothing_else(fhir: Fhir, facility: Any) -> None:
    wrong = {}
    for searches in (searches_of_patients, searches_of_requests, searches_of_results):
        for path, params, count in searches(facility):
            bundle = fhir(path, **params)
            if (bundle["total"], len(bundle.get("entry", ()))) != (count, count):
                wrong[f"{path} {params}"] = bundle["total"]
    assert wrong == {}
    posted = json.loads(fhir.post("Patient/_search", {"identifier": "12345678"}).content)
    as_xml = fhir.post("Patient/_search", {"identifier": "12345678", "_format": "xml"})
    assert (posted["total"], as_xml.headers["Content-Type"].split(";")[0]) == (1, XML)


def test_free_times_are_worked_out(fhir: Fhir, facility: Any) -> None:
    day = timezone.localdate() + timedelta(days=1)
    asked = {"status": "free", "start": str(day), "duration": "30"}
    bundle = fhir("Slot", _count="500", **asked)
    starts = [entry["resource"]["start"][11:16] for entry in bundle["entry"]]
    taken = timezone.localtime(facility.waiting.appointments.get().starts_at)
    assert starts == sorted(starts) and "00:00" in starts
    assert not any(
        f"{taken - timedelta(minutes=29):%H:%M}" < one < f"{taken + timedelta(minutes=20):%H:%M}" for one in starts
    )
    slot = bundle["entry"][0]["resource"]
    assert (fhir(f"Slot/{slot['id']}"), faults(slot, "r4"), faults(slot, "r5")) == (slot, [], [])
    book_appointment(ordered_exam().procedure, station=ct1(), starts_at=at_midnight(day), actor=SYSTEM)
    assert fhir(f"Slot/{slot['id']}")["status"] == "busy"
    first = fhir("Slot", _count="3", **asked)
    rest = fhir(next(link["url"] for link in first["link"] if link["relation"] == "next"))
    ids = [entry["resource"]["id"] for entry in (*first["entry"], *rest["entry"])]
    assert (len(ids), len(set(ids)), slot["id"] in ids) == (6, 6, False)
    for wrong in ({"status": "free,busy"}, {"_sort": "start"}, {"duration": "0"}, {"start": "ne2026"}):
        assert refusal(fhir.get("Slot", asked | wrong)).status == 400, wrong
    assert refusal(fhir.get("Slot", {"duration": "20"})).status == 400
    assert refusal(fhir.get("Slot/01a1ffd9-83ec-720a-be3d-0ebd929b2244.20261340T9999.20")).status == 404


def at_midnight(day: Any) -> Any:
    return timezone.make_aware(datetime.combine(day, time.min))


def test_what_is_asked_wrongly_is_said(fhir: Fhir, facility: Any) -> None:
    key = facility.patient.uuid
    table: list[tuple[str, dict[str, str], int, str]] = [
        ("Nonsense", {}, 404, "not-supported"),
        ("Patient/x", {}, 404, "not-found"),
        (f"Patient/{key}/_history/99", {}, 404, "not-found"),
        (f"Patient/{key}/Nonsense", {}, 404, "not-supported"),
        (f"Patient/{key}/$nonsense", {}, 404, "not-supported"),
        ("Patient/$nonsense", {}, 404, "not-supported"),
        ("Patient", {"birthdate": "yesterday"}, 400, "value"),
        ("Patient", {"birthdate": "2026-02-30"}, 400, "value"),
        ("Patient", {"family:unknown": "x"}, 400, "not-supported"),
        ("Patient", {"family.name": "x"}, 400, "value"),
        ("Patient", {"email:missing": "perhaps"}, 400, "value"),
        ("Patient", {"family": "a\x00b"}, 400, "invalid"),
        ("Patient", {"_count": "many"}, 400, "value"),
        ("Patient", {"_sort": "gender"}, 400, "not-supported"),
        ("Patient", {"_summary": "short"}, 400, "value"),
        ("Patient", {"_total": "roughly"}, 400, "value"),
        ("Patient", {"_include": "Patient:nonsense"}, 400, "not-supported"),
        ("Patient", {"_include": "nonsense"}, 400, "value"),
        ("Patient", {"_include:iterate": "Patient:link"}, 400, "not-supported"),
        ("Patient", {"_revinclude:iterate": "Task:patient"}, 400, "not-supported"),
        ("Patient", {"_revinclude": "Slot:schedule"}, 400, "value"),
        ("Patient", {"_page": "forged"}, 410, "expired"),
        ("ServiceRequest", {"patient": "Practitioner/01a1ffd9-83ec-720a-be3d-0ebd929b2244"}, 400, "value"),
        ("ServiceRequest", {"patient.nonsense": "x"}, 400, "value"),
        ("ServiceRequest", {"replaces.replaces.replaces.replaces.status": "active"}, 400, "too-costly"),
        ("_history", {}, 404, "not-supported"),
        ("metadata", {"mode": "terminology"}, 400, "not-supported"),
    ]  # fmt: skip
    for path, params, status, code in table:
        told = refusal(fhir.get(path, params))
        assert (told.status, told.code) == (status, code), (path, params, told)
    body = '{"resourceType": "Slot"}'
    for method, path in (("DELETE", f"Patient/{key}"), ("PATCH", f"Slot/{key}"), ("PUT", "metadata"), ("DELETE", "")):
        assert refusal(fhir.client.generic(method, fhir.url(path), body, content_type=JSON)).status == 405, path
    lenient = fhir.get("Patient", {"nonsense": "1"}, Prefer="handling=lenient")
    assert [entry["search"]["mode"] for entry in json.loads(lenient.content)["entry"]] == ["match", "outcome"]


def test_pages_follow_one_another_and_their_links_name_nobody(fhir: Fhir, facility: Any) -> None:
    for number in range(6):
        ordered_exam(family_name="Wanjala" if number % 2 else "Wanja")
    seen: list[str] = []
    names: list[str] = []
    pages: list[Any] = []
    bundle = fhir("Patient", family="wanj", _sort="family,-birthdate", _count="3")
    assert bundle["total"] == 7
    while True:
        seen += [entry["resource"]["id"] for entry in bundle["entry"]]
        names += [entry["resource"]["name"][0]["family"] for entry in bundle["entry"]]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        assert not any("wanj" in url.lower() for url in links.values())
        if "next" not in links:
            break
        pages.append(bundle)
        bundle = fhir(links["next"])
    while pages:  # and all the way back
        bundle = fhir(links["previous"])
        assert bundle["entry"] == pages.pop()["entry"]
        links = {**links, "previous": ""} | {link["relation"]: link["url"] for link in bundle["link"]}
    assert links["previous"] == "", "the first page has none before it"
    assert (len(seen), len(set(seen)), names) == (7, 7, sorted(names))
    assert json.loads(fhir.get(links["first"]).content)["entry"][0]["resource"]["id"] == seen[0]
    assert refusal(Fhir(user_with_roles("clerk")).get(links["first"])).status == 410  # whose search it was not
    assert refusal(fhir.get(links["first"] + "&family=x")).status == 400
    merged = [row["id"] for row in fhir.found("Observation", _sort="-_lastUpdated")]
    assert merged == [row["id"] for row in fhir.found("Observation", _sort="_lastUpdated")][::-1]
    first = fhir("Organization", _count="1", _sort="name")
    rest = fhir(next(link["url"] for link in first["link"] if link["relation"] == "next"))
    assert [b["entry"][0]["resource"]["name"] for b in (first, rest)] == ["Alpha Hospital", "Main building"]


def test_what_belongs_together_comes_along(fhir: Fhir, facility: Any) -> None:
    def kinds(path: str, **params: str) -> dict[str, list[str]]:
        made: dict[str, list[str]] = {}
        for entry in fhir(path, **params).get("entry", ()):
            made.setdefault(entry["search"]["mode"], []).append(entry["resource"]["resourceType"])
        return {mode: sorted(found) for mode, found in made.items()}

    reported = {"accession": facility.exam.accession_number}
    assert kinds("DiagnosticReport", _include="DiagnosticReport:*", **reported) == {
        "match": ["DiagnosticReport"], "include": ["ImagingStudy", "Patient", "Practitioner", "ServiceRequest"],
    }  # fmt: skip
    assert kinds("ServiceRequest", _revinclude="DiagnosticReport:based-on,Task:focus", **reported) == {
        "match": ["ServiceRequest"], "include": ["DiagnosticReport", "Task"],
    }  # fmt: skip
    assert kinds("Appointment", _include="Appointment:actor:Location", status="booked") == {
        "match": ["Appointment"], "include": ["Location"],
    }  # fmt: skip
    assert kinds("Patient", _revinclude="Observation:patient") == {
        "match": ["Patient"], "include": ["Observation", "Observation"],
    }  # fmt: skip
    everything = fhir(f"Patient/{facility.patient.uuid}/$everything")
    told = {entry["resource"]["resourceType"] for entry in everything["entry"]}
    assert told == {
        "Patient", "ServiceRequest", "Appointment", "Task", "ImagingStudy", "DiagnosticReport", "Observation",
        "DocumentReference", "Provenance",
    }  # fmt: skip
    assert {
        row["resourceType"] for row in fhir.found(f"Patient/{facility.patient.uuid}/$everything", _type="Task,Patient")
    } == {"Patient", "Task"}


def test_a_part_is_marked_as_a_part(fhir: Fhir, facility: Any) -> None:
    path = f"ServiceRequest/{facility.exam.uuid}"
    whole = fhir(path)
    summary, text = fhir(path, _summary="true"), fhir(path, _summary="text")
    assert "note" not in summary and summary["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert text.keys() == {"resourceType", "id", "meta", "status", "intent", "subject"}
    assert fhir(path, _elements="priority,ServiceRequest.code").keys() == {*text.keys(), "priority", "code"}
    assert fhir(path, _summary="data") == whole | {"meta": whole["meta"] | {"tag": summary["meta"]["tag"]}}
    counted = fhir("ServiceRequest", _summary="count")
    assert (counted["total"], "entry" in counted) == (2, False)
    assert "total" not in fhir("ServiceRequest", _total="none")
    assert "text" not in fhir.found("DiagnosticReport", _summary="data")[0]


def test_the_form_is_the_one_that_is_asked_for(fhir: Fhir, facility: Any) -> None:
    path = f"DiagnosticReport/{facility.report.uuid}"
    table = [
        ({}, "", 200, JSON), ({}, "*/*", 200, JSON), ({}, XML, 200, XML), ({}, "text/xml", 200, XML),
        ({}, "application/json", 200, JSON), ({}, f"{XML};q=0.5, {JSON};q=0.9", 200, JSON),
        ({"_format": "xml"}, JSON, 200, XML), ({"_format": "application/fhir+xml"}, "", 200, XML),
        ({"_format": "json", "_pretty": "true"}, XML, 200, JSON), ({"_format": "ttl"}, "", 406, JSON),
        ({}, "text/turtle", 406, JSON), ({}, f"{JSON}; fhirVersion=4.0", 200, JSON),
        ({}, f"{JSON}; fhirVersion=5.0", 406, JSON), ({}, f"{JSON}; charset=latin-1", 406, JSON),
    ]  # fmt: skip
    for params, accept, status, mime in table:
        answer = fhir.get(path, params, **({"Accept": accept} if accept else {}))
        found = answer.headers["Content-Type"]
        assert (answer.status_code, found.split(";")[0]) == (status, mime), (params, accept)
        assert found.endswith("fhirVersion=4.0; charset=utf-8")
    for name in SEARCHED:
        for asked in (fhir, fhir.r5):
            said = asked.get(name, {"_count": "5"})
            as_xml = asked.get(name, {"_count": "5", "_format": "xml", "_pretty": "true"})
            ours, theirs = json.loads(said.content), parsed(as_xml.content, VERSIONS[asked.release])
            for bundle in (ours, theirs):
                del bundle["link"]
            if name != "AuditEvent":  # each look adds one
                assert json.loads(json.dumps(theirs, default=float)) == ours, name


def test_what_is_known_is_not_sent_again(fhir: Fhir, facility: Any) -> None:
    for path in (f"Patient/{facility.patient.uuid}", f"ImagingStudy/{facility.study.uuid}"):
        answer = fhir.get(path)
        etag = answer.headers["ETag"]
        known = fhir.get(path, {"_pretty": "true"}, **{"If-None-Match": etag})
        assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", etag)
        assert fhir.get(path, **{"If-None-Match": 'W/"0"'}).status_code == 200
        assert fhir.get(path, **{"If-Modified-Since": answer.headers["Last-Modified"]}).status_code == 304
        head = fhir.client.head(fhir.url(path))
        assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", etag)
    assert fhir.get(f"Patient/{facility.patient.uuid}").headers["ETag"] == 'W/"2.2"'
    update_patient(facility.patient, phone="+254 711 1", actor=SYSTEM)
    assert fhir.get(f"Patient/{facility.patient.uuid}", **{"If-None-Match": 'W/"2.2"'}).status_code == 200


def test_earlier_versions_say_what_was_true_then(fhir: Fhir, facility: Any) -> None:
    path = f"Patient/{facility.patient.uuid}"
    update_patient(facility.patient, phone="+254 711 999999", actor=SYSTEM)
    first, second, third = (fhir(f"{path}/_history/{n}") for n in ("1.1", "2.2", "3.2"))
    assert ("telecom" in first, len(first["identifier"])) == (False, 1)
    assert (second["telecom"][0]["value"], len(second["identifier"])) == ("+254 700 123456", 2)
    assert third == fhir(path)
    history = fhir(f"{path}/_history")
    told = [(e["response"]["etag"], e["request"]["method"]) for e in history["entry"]]
    assert (history["type"], told) == ("history", [('W/"3.2"', "PUT"), ('W/"2.2"', "PUT"), ('W/"1.1"', "POST")])
    page = fhir(f"{path}/_history", _count="2")
    rest = fhir(link_of(page, "next"))
    assert [e["resource"]["meta"]["versionId"] for e in (*page["entry"], *rest["entry"])] == ["3.2", "2.2", "1.1"]
    assert link_of(rest, "previous") == f"http://alpha.test/fhir/r4/{path}/_history?_count=2"
    assert fhir(link_of(rest, "previous"))["entry"] == page["entry"]
    assert fhir(f"{path}/_history", _since=third["meta"]["lastUpdated"])["total"] == 1

    signed, added = (fhir(f"DiagnosticReport/{facility.report.uuid}/_history/{n}") for n in (1, 2))
    assert (signed["status"], added["status"]) == ("final", "appended")
    assert "unchanged" in added["text"]["div"] and "unchanged" not in signed["text"]["div"]
    statuses = [e["resource"]["status"] for e in fhir(f"ServiceRequest/{facility.exam.uuid}/_history")["entry"]]
    assert (statuses[0], statuses[-1]) == ("completed", "active")
    walk_a_history(fhir, "ServiceRequest/_history")
    changes = fhir("Task/_history")["entry"]
    assert [e["response"]["lastModified"] for e in changes] == sorted(
        (e["response"]["lastModified"] for e in changes), reverse=True
    )


def link_of(bundle: Any, relation: str) -> str:
    """Empty where the bundle has no such link."""
    return str(next((link["url"] for link in bundle["link"] if link["relation"] == relation), ""))


def walk_a_history(fhir: Fhir, path: str) -> None:
    """Two at a time to its end and back: each version once, and each page as it was."""
    whole = fhir(path)["entry"]
    pages = [fhir(path, _count="2")]
    assert link_of(pages[0], "previous") == ""
    while link := link_of(pages[-1], "next"):
        pages.append(fhir(link))
    assert [entry for page in pages for entry in page["entry"]] == whole and len(pages) > 2
    here = pages.pop()
    while pages:
        here = fhir(link_of(here, "previous"))
        assert here["entry"] == pages.pop()["entry"]
    assert link_of(here, "previous") == ""


def test_papers_are_given_as_they_are_or_wrapped(fhir: Fhir, facility: Any) -> None:
    report = fhir(f"DiagnosticReport/{facility.report.uuid}")
    paper = fhir.get(report["presentedForm"][0]["url"], Accept="application/pdf")
    assert (paper.headers["Content-Type"], paper.content[:5]) == ("application/pdf", b"%PDF-")
    wrapped = json.loads(fhir.get(report["presentedForm"][0]["url"], Accept=JSON).content)
    assert (wrapped["contentType"], faults(wrapped, "r4")) == ("application/pdf", [])
    request = fhir.found("DocumentReference")[0]["content"][0]["attachment"]
    assert fhir.get(request["url"]).content.startswith(b"%PDF-1.4")


def test_rights_rule_here_as_they_do_everywhere(fhir: Fhir, facility: Any, beta: Any) -> None:
    nobody = Fhir(None)
    assert nobody.get("metadata").status_code == 200
    told = nobody.get("Patient")
    assert (refusal(told).status, refusal(told).code) == (401, "login")
    assert told.headers["WWW-Authenticate"].startswith("Bearer")
    clerk, admin = Fhir(user_with_roles("clerk")), Fhir(user_with_roles("it_admin"))
    assert clerk("Observation")["total"] == 1  # reports, but no doses
    english, swahili = (clerk.get("AuditEvent", **{"Accept-Language": asked}) for asked in ("en", "sw-KE, en;q=0.5"))
    assert (refusal(english).status, english.headers["Content-Language"]) == (403, "en")
    assert (refusal(swahili).status, swahili.headers["Content-Language"]) == (403, "sw")
    assert refusal(swahili).text != refusal(english).text
    assert refusal(admin.get("Patient")).status == 403
    assert refusal(admin.get("ServiceRequest", {"patient.identifier": "1"})).status == 403
    assert refusal(clerk.get("Patient", {"_revinclude": "AuditEvent:patient"})).status == 403
    assert AuditEvent.objects.filter(event_type="audit.view_event", outcome=4, source="fhir").count() == 3
    looked = AuditEvent.objects.filter(event_type="orders.view_patient", source="fhir")
    before = looked.count()
    fhir(f"Patient/{facility.patient.uuid}")
    row = looked.latest("pk")
    assert (looked.count() - before, row.patient, row.detail["resource"]) == (1, facility.patient.uuid, "Patient")
    set_restricted(facility.patient, is_restricted=True, reason="VIP", actor=SYSTEM)
    for path in ("Patient", "ServiceRequest", "Appointment", "Task", "ImagingStudy", "DiagnosticReport", "Observation",
                 "DocumentReference", "Provenance", "ServiceRequest?patient.identifier=12345678"):  # fmt: skip
        assert fhir(path)["total"] == 0, path
    assert refusal(fhir.get(f"Patient/{facility.patient.uuid}")).status == 404
    assert refusal(fhir.get(f"DiagnosticReport/{facility.report.uuid}/_history/1")).status == 404
    with use_facility(beta):
        foreign = whole_exam(family_name="Onlyinbeta")
    for name, key in (("Patient", foreign.patient.uuid), ("ServiceRequest", foreign.procedure.uuid)):
        assert refusal(fhir.get(f"{name}/{key}")).status == 404


def test_a_page_costs_the_same_queries_however_long_it_is(fhir: Fhir, facility: Any) -> None:
    def cost(name: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            fhir(name, _count="100")
        return len(queries)

    names = [name for name in SEARCHED if name != "AuditEvent"]
    cost("Patient")
    before = {name: cost(name) for name in names}
    tomorrow = timezone.localtime().replace(hour=14, minute=0, second=0, microsecond=0) + timedelta(days=1)
    for number in range(3):
        exam = ordered_exam(family_name="Muthoni")
        book_appointment(exam.procedure, station=ct1(), starts_at=tomorrow + timedelta(hours=number), actor=SYSTEM)
        reader = actor_with_roles("radiologist")
        reporting.signed(reporting.make_procedure(patient=exam.patient, images=2), actor=reader)
    assert {name: cost(name) for name in names} == before
    assert max(before.values()) <= 20


def test_a_hundred_results_cost_little(fhir: Fhir, facility: Any) -> None:
    exam = ordered_exam()
    for number in range(100):
        row = exam.procedure
        row.pk = row.uuid = None
        row.uuid, row.study_instance_uid = uuid7(), new_uid()
        row.requested_procedure_id = f"X{number}"
        row._state.adding = True
        row.save()
    spent = []
    for _turn in range(4):
        started = process_time()
        bundle = fhir("ServiceRequest", _count="100")
        spent.append(process_time() - started)
    assert (len(bundle["entry"]), min(spent) < 0.15) == (100, True), spent


def test_the_documentation_is_what_the_code_does() -> None:
    call_command("write_fhir_doc", check=True)


def test_instances_are_listed_when_they_are_asked_for(fhir: Fhir, facility: Any, monkeypatch: Any) -> None:
    plain = fhir.found("ImagingStudy")
    assert all("instance" not in series for row in plain for series in row.get("series", ()))
    for release in (fhir, fhir.r5):
        rows = release.found("ImagingStudy", _elements="identifier,numberOfInstances,series.instance")
        counted = [
            (row["numberOfInstances"], sum(len(one.get("instance", ())) for one in row["series"])) for row in rows
        ]
        assert counted and all(told == listed for told, listed in counted)
        first = rows[0]["series"][0]["instance"][0]
        assert first["uid"] and first["sopClass"]["code"].startswith("urn:oid:1.2.840.10008.")
        one = release(f"ImagingStudy/{rows[0]['id']}", _elements="ImagingStudy.series.instance")
        assert one["series"] == rows[0]["series"]
    monkeypatch.setattr("interop.fhir.server.resources.imaging.MOST_INSTANCES", 0)
    assert refusal(fhir.get("ImagingStudy", {"_elements": "series.instance"})).code == "too-costly"
