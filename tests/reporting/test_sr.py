"""A signed version as a DICOM Basic Text SR and as FHIR: written, read back, validated, kept, forwarded, refused."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from pydicom import dcmread

from interop.dicom.report_document import BASIC_TEXT_SR, document_file, keep_report_document
from interop.dicom.store import open_instance
from interop.fhir.diagnostic_report import diagnostic_report
from interop.models import DicomPeer, OutgoingDicom, OutgoingKind
from reporting import services
from reporting.models import Report, ReportVersion
from reporting.selectors.reports import ContentChanged
from ris.events.dispatcher import drain
from ris.tenants.context import use_facility
from tests.factories.reporting import drafted, make_patient, make_procedure, make_referrer, signed
from tests.reporting.test_api import client_of, url
from worklist.models import ImagingInstance, ImagingStudy

pytestmark = pytest.mark.django_db
NODULE = {
    "composition": "solid", "echogenicity": "hypo", "shape": "wider", "margin": "smooth",
    "foci": ["punctate"], "size": 16,
}  # fmt: skip


def assessed(people: Any, **fields: Any) -> Report:
    patient = make_patient("Nyström", given_name="Ζωή", birth_date="1990-03-14")
    patient.refresh_from_db()
    procedure = make_procedure(patient=patient, requester=make_referrer(signs_in=False).practitioner, **fields)
    report = drafted(procedure, actor=people.radiologist)
    services.add_assessment(report, scheme="tirads", inputs=NODULE, label="Left lobe", actor=people.radiologist)
    return services.sign_report(Report.objects.get(pk=report.pk), actor=people.radiologist)


def spoken(item: Any) -> list[tuple[str, str, str]]:
    """(value type, concept, words) of the whole tree."""
    found = []
    for child in item.get("ContentSequence", []):
        words = child.get("TextValue") or str(child.get("PersonName", ""))
        if "ConceptCodeSequence" in child:
            words = child.ConceptCodeSequence[0].CodeMeaning
        found.append((child.ValueType, child.ConceptNameCodeSequence[0].CodeMeaning, words))
        found += spoken(child)
    return found


def test_the_document_says_what_was_signed(people: Any, tmp_path: Path) -> None:
    report = assessed(people)
    version = report.versions.get()
    body = document_file(version)
    read = dcmread(io.BytesIO(body))
    exam = version.identity["procedures"][0]
    assert (read.SOPClassUID, read.CompletionFlag, read.VerificationFlag) == (BASIC_TEXT_SR, "COMPLETE", "VERIFIED")
    assert (str(read.PatientName), read.StudyInstanceUID) == ("Nyström^Ζωή", exam["study_instance_uid"])
    assert read.PatientID == version.identity["patient"]["identifier"]
    assert read.ReferencedRequestSequence[0].AccessionNumber == exam["accession_number"]
    said = spoken(read)
    assert ("TEXT", "Finding", version.sections["findings"]) in said
    assert ("TEXT", "Impression", version.sections["impression"]) in said
    assert ("CODE", "Finding", "Left lobe: ACR TI-RADS TR5") in said
    assert document_file(version) == body
    if shutil.which("dsrdump"):
        file = tmp_path / "report.dcm"
        file.write_bytes(body)
        answer = subprocess.run(["dsrdump", str(file)], capture_output=True, timeout=30, check=False)
        said_of_it = [line for line in answer.stderr.decode().splitlines() if "VR checker does not support" not in line]
        assert (answer.returncode, said_of_it) == (0, [])
        assert "Ζωή" in answer.stdout.decode()


def test_later_versions_name_the_earlier_and_preliminary_ones_are_not_verified(people: Any) -> None:
    report = services.sign_preliminary(drafted(actor=people.resident), actor=people.resident)
    first = dcmread(io.BytesIO(document_file(report.versions.get())))
    assert (first.CompletionFlag, first.VerificationFlag, first.PreliminaryFlag) == (
        "PARTIAL", "UNVERIFIED", "PRELIMINARY",
    )  # fmt: skip
    report = services.sign_report(report, actor=people.radiologist)
    report = services.add_addendum(report, text="Compared with outside CT.", actor=people.radiologist)
    last = dcmread(io.BytesIO(document_file(report.versions.last())))
    before = last.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert before.SeriesInstanceUID == last.SeriesInstanceUID == first.SeriesInstanceUID
    assert ("TEXT", "Conclusion", "Compared with outside CT.") in spoken(last)
    report = services.retract_report(report, reason="Wrong patient", actor=people.radiologist)
    said = spoken(dcmread(io.BytesIO(document_file(report.versions.last()))))
    assert ("TEXT", "Conclusion", "Entered in error: Wrong patient") in said


def test_it_is_kept_with_the_images_once_and_planned_for_archives(people: Any) -> None:
    peer = DicomPeer.objects.create(ae_title="PACS", host="127.0.0.1", port=11112, forward_images=True)
    report = assessed(people, images=3)
    before = ImagingStudy.objects.get()
    drain("alpha")
    study, row = keep_report_document(report.versions.get().uuid)  # type: ignore[misc]
    assert (study.pk, row.sop_class_uid, row.series.modality) == (before.pk, BASIC_TEXT_SR, "SR")
    after = ImagingStudy.objects.get()
    assert (after.instance_count, after.last_received_at) == (before.instance_count + 1, before.last_received_at)
    with open_instance(row.path) as file:
        assert dcmread(file).SOPInstanceUID == row.sop_instance_uid
    planned = OutgoingDicom.objects.get(kind=OutgoingKind.REPORT)
    assert (planned.peer, planned.detail) == (peer, {"instance": row.sop_instance_uid})
    keep_report_document(report.versions.get().uuid)
    assert ImagingInstance.objects.filter(sop_class_uid=BASIC_TEXT_SR).count() == 1


def test_without_images_nothing_is_kept(people: Any) -> None:
    assert keep_report_document(signed(actor=people.radiologist).versions.get().uuid) is None


def test_fhir_has_status_identity_scales_and_the_paper(people: Any) -> None:
    version = assessed(people).versions.get()
    body = diagnostic_report(version)
    read = DiagnosticReport.model_validate(body)
    assert (read.status, read.subject.display, read.conclusion) == (
        "final", "NYSTRÖM, Ζωή", version.sections["impression"],
    )  # fmt: skip
    assert read.basedOn[0].identifier.value == version.identity["procedures"][0]["accession_number"]
    assert body["contained"][0]["valueCodeableConcept"]["coding"][0]["code"] == "TR5"
    assert body["presentedForm"][0]["contentType"] == "application/pdf"
    report = services.correct_report(
        version.report, sections={"impression": "Benign."}, reason="Typo", actor=people.radiologist
    )
    assert diagnostic_report(report.versions.last())["status"] == "corrected"


def test_rest_gives_every_form_of_a_version(people: Any) -> None:
    report = assessed(people)
    reader = client_of(people.radiologist)
    pdf = reader.get(url(report, "versions/1/pdf/"))
    assert (pdf.status_code, pdf.content[:5]) == (200, b"%PDF-")
    dicom = reader.get(url(report, "versions/1/dicom/"))
    assert (dicom.status_code, dicom["Content-Type"], dicom.content[128:132]) == (200, "application/dicom", b"DICM")
    fhir = reader.get(url(report, "versions/1/fhir/"))
    assert fhir.json()["resourceType"] == "DiagnosticReport"
    for form in ("pdf", "dicom", "fhir"):
        assert reader.get(url(report, f"versions/9/{form}/")).status_code == 404
        assert client_of(people.clerk).get(url(report, f"versions/1/{form}/")).status_code == 200


def test_another_facilitys_version_is_unknown(people: Any, beta: Any) -> None:
    from tests.factories.accounts import actor_with_roles

    with use_facility("beta"):
        foreign = signed(actor=actor_with_roles("radiologist"))
    reader = client_of(people.radiologist)
    for form in ("", "pdf/", "dicom/", "fhir/"):
        assert reader.get(url(foreign, f"versions/1/{form}")).status_code == 404


def test_words_that_are_not_what_was_signed_are_not_given_out(people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    report = signed(actor=people.radiologist)
    version = report.versions.get()
    version.sections = {**version.sections, "impression": "Something else."}
    for form in (document_file, diagnostic_report):
        with pytest.raises(ContentChanged):
            form(version)
    monkeypatch.setattr(ReportVersion, "compute_hash", lambda self: "0" * 64)
    reader = client_of(people.radiologist)
    for form in ("", "pdf/", "dicom/", "fhir/"):
        answer = reader.get(url(report, f"versions/1/{form}"))
        assert (answer.status_code, b"No acute" in answer.content) == (409, False)
    assert connection.schema_name == "alpha"
