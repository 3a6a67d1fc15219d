"""A signed version as a Basic Text SR (PS3.3 A.35.1; PS3.16 TID 2000), kept with its images and sent to archives.

Its UIDs come from the version's, so it is one object whenever it is made; its words from what was frozen with it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from django.utils import timezone
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_dataset

from interop.dicom.availability import uid_of
from interop.dicom.sr_content import coded, container, content, dcm, text
from interop.dicom.store import IncomingFile
from reporting.assessments import SCHEMES
from reporting.models import SECTIONS, ReportVersion, VersionKind
from reporting.selectors.reports import verified
from ris.core.concepts import Code
from ris.tenants.context import require_facility
from worklist.data import StoredInstance
from worklist.models import ImagingInstance, ImagingStudy
from worklist.services import keep_document

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
EXPLICIT = "1.2.840.10008.1.2.1"
SERIES_NUMBER = 9910
OWN_SCHEME = "99PICHA"
TITLE = Code("18748-4", "LN", "Diagnostic imaging report")
#: CID 7001 headings and CID 7002 elements of our sections.
HEADINGS = {
    "clinical_information": (dcm("121060", "History"), dcm("121060", "History")),
    "technique": (
        dcm("121064", "Current Procedure Descriptions"),
        dcm("121065", "Procedure Description"),
    ),
    "comparison": (dcm("121066", "Prior Procedure Descriptions"), dcm("121065", "Procedure Description")),
    "findings": (dcm("121070", "Findings"), dcm("121071", "Finding")),
    "impression": (dcm("121072", "Impressions"), dcm("121073", "Impression")),
    "recommendation": (dcm("121074", "Recommendations"), dcm("121075", "Recommendation")),
}
CONCLUSION = dcm("121077", "Conclusion")


def report_document(version: ReportVersion) -> Dataset:
    """The data set, without group 2. Raises ContentChanged when the words are not those that were signed."""
    verified(version)
    identity, moment = version.identity, timezone.localtime(version.signed_at)
    exams = identity["procedures"]
    report = Dataset()
    report.SpecificCharacterSet = "ISO_IR 192"
    report.SOPClassUID, report.SOPInstanceUID = BASIC_TEXT_SR, uid_of(version.uuid)
    report.InstanceCreationDate, report.InstanceCreationTime = f"{moment:%Y%m%d}", f"{moment:%H%M%S}"
    report.TimezoneOffsetFromUTC = f"{moment:%z}"
    _patient(report, identity["patient"])
    _study(report, identity, exams[0])
    report.Modality, report.SeriesNumber, report.InstanceNumber = "SR", SERIES_NUMBER, version.number
    report.SeriesInstanceUID = f"2.25.{uuid5(version.report.uuid, 'structured report').int}"
    report.SeriesDescription = "Report"
    report.ReferencedPerformedProcedureStepSequence = []
    report.Manufacturer, report.InstitutionName = "Picha", identity["facility"]["name"][:64]
    report.ContentDate, report.ContentTime = f"{moment:%Y%m%d}", f"{moment:%H%M%S}"
    _state(report, version, moment)
    report.ReferencedRequestSequence = [_request(exam, identity) for exam in exams]
    report.PerformedProcedureCodeSequence = []
    _content(report, version)
    return report


def _patient(report: Dataset, patient: dict[str, Any]) -> None:
    parts = [patient[part] for part in ("family_name", "given_name", "middle_name", "prefix", "suffix")]
    groups = ["^".join(parts).rstrip("^"), patient["ideographic_name"], patient["phonetic_name"]]
    report.PatientName = "=".join(groups).rstrip("=")
    report.PatientID, report.IssuerOfPatientID = patient["identifier"][:64], patient["issuer"][:64]
    report.PatientBirthDate = patient["birth_date"].replace("-", "")
    report.PatientSex = patient["sex"] if patient["sex"] in ("F", "M", "O") else ""


def _study(report: Dataset, identity: dict[str, Any], exam: dict[str, Any]) -> None:
    """As the images' study says it, where we hold them; else from the exam."""
    study = ImagingStudy.objects.filter(study_instance_uid=exam["study_instance_uid"]).first()
    performed = timezone.localtime(datetime.fromisoformat(exam["performed_at"])) if exam["performed_at"] else None
    report.StudyInstanceUID = exam["study_instance_uid"]
    report.AccessionNumber = exam["accession_number"]
    report.StudyID = (study.study_id if study else "") or exam["accession_number"][:16]
    report.StudyDescription = exam["description"][:64]
    day = study.study_date if study and study.study_date else performed
    clock = study.study_time if study and study.study_time else performed
    report.StudyDate, report.StudyTime = f"{day:%Y%m%d}" if day else "", f"{clock:%H%M%S}" if clock else ""
    requester = identity["requester"]
    report.ReferringPhysicianName = _person(requester) if requester else ""


def _person(row: dict[str, str]) -> str:
    return "^".join((row["family_name"], row["given_name"], "", row["prefix"], row["suffix"])).rstrip("^")


def _state(report: Dataset, version: ReportVersion, moment: datetime) -> None:
    is_preliminary = version.kind == VersionKind.PRELIMINARY
    report.CompletionFlag = "PARTIAL" if is_preliminary else "COMPLETE"
    report.PreliminaryFlag = "PRELIMINARY" if is_preliminary else "FINAL"
    report.VerificationFlag = "UNVERIFIED" if is_preliminary else "VERIFIED"
    if not is_preliminary:
        observer = Dataset()
        observer.VerifyingOrganization = version.identity["facility"]["name"][:64]
        observer.VerificationDateTime = f"{moment:%Y%m%d%H%M%S}"
        observer.VerifyingObserverName = _signer(version)
        observer.VerifyingObserverIdentificationCodeSequence = []
        report.VerifyingObserverSequence = [observer]
    earlier = version.report.versions.filter(number__lt=version.number, recall__isnull=True).order_by("-number").first()
    if earlier is not None:
        report.PredecessorDocumentsSequence = [_document_reference(earlier, report)]


def _document_reference(version: ReportVersion, report: Dataset) -> Dataset:
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = BASIC_TEXT_SR, uid_of(version.uuid)
    series.SeriesInstanceUID, series.ReferencedSOPSequence = report.SeriesInstanceUID, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = report.StudyInstanceUID, [series]
    return study


def _signer(version: ReportVersion) -> str:
    user = version.signed_by
    return "^".join((user.family_name, user.given_name)).rstrip("^") if user.family_name else version.signer_name


def _request(exam: dict[str, Any], identity: dict[str, Any]) -> Dataset:
    order, request, code = identity["order"], Dataset(), Dataset()
    request.StudyInstanceUID, request.ReferencedStudySequence = exam["study_instance_uid"], []
    request.AccessionNumber = exam["accession_number"]
    request.PlacerOrderNumberImagingServiceRequest = order["placer_order_number"][:64]
    request.FillerOrderNumberImagingServiceRequest = order["filler_order_number"][:64]
    request.RequestedProcedureID = exam["accession_number"][:16]
    request.RequestedProcedureDescription = exam["description"][:64]
    code.CodeValue, code.CodingSchemeDesignator = exam["code"][:16], (exam["code_scheme"] or "L")[:16]
    code.CodeMeaning = exam["description"][:64]
    request.RequestedProcedureCodeSequence = [code]
    return request


def _content(report: Dataset, version: ReportVersion) -> None:
    children = [
        coded(
            "HAS CONCEPT MOD",
            dcm("121049", "Language of Content Item and Descendants"),
            Code(version.report.language or "en", "RFC5646", version.report.language or "en"),
        ),
        coded("HAS OBS CONTEXT", dcm("121005", "Observer Type"), dcm("121006", "Person")),
        content("HAS OBS CONTEXT", "PNAME", dcm("121008", "Person Observer Name"), PersonName=_signer(version)),
    ]
    if version.kind == VersionKind.RETRACTION:
        said = text("CONTAINS", CONCLUSION, f"Entered in error: {version.reason}")
        children.append(container("CONTAINS", dcm("121076", "Conclusions"), [said]))
    for key in SECTIONS:
        words = version.sections.get(key, "").strip()
        items = [text("CONTAINS", HEADINGS[key][1], words)] if words else []
        items += _assessments(version) if key == "findings" else []
        if items:
            children.append(container("CONTAINS", HEADINGS[key][0], items))
    amended = version.report.versions.filter(number__lte=version.number).exclude(addendum="").order_by("number")
    said_later = [text("CONTAINS", CONCLUSION, row.addendum) for row in amended]
    if said_later:
        children.append(container("CONTAINS", dcm("121078", "Addendum"), said_later))
    if version.assessments:
        own = Dataset()
        own.CodingSchemeDesignator, own.CodingSchemeName = OWN_SCHEME, "Categories of published scales"
        own.CodingSchemeResponsibleOrganization = "Picha"
        report.CodingSchemeIdentificationSequence = [own]
    report.update(container("", TITLE, children))
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2000"
    report.ContentTemplateSequence = [template]


def _assessments(version: ReportVersion) -> list[Dataset]:
    """A category of a scale as a coded finding: the code names scale, version and category."""
    items = []
    for row in version.assessments:
        scheme = SCHEMES.get(row["scheme"])
        name = scheme.name if scheme else row["scheme"]
        meaning = " ".join(filter(None, (f"{row['label']}:" if row["label"] else "", name, row["category"])))
        value = f"{row['scheme']}.{row['category']}".replace(" ", "")[:16]
        items.append(coded("CONTAINS", dcm("121071", "Finding"), Code(value, OWN_SCHEME, meaning[:64])))
    return items


def encoded(report: Dataset) -> bytes:
    """Explicit VR Little Endian, without group 2."""
    target = DicomBytesIO()
    target.is_little_endian, target.is_implicit_VR = True, False
    write_dataset(target, report)
    return target.getvalue()


def document_file(version: ReportVersion) -> bytes:
    """The same as a DICOM file (PS3.10)."""
    report = report_document(version)
    file = FileDataset("", report, preamble=b"\0" * 128)
    file.file_meta = Dataset()
    file.file_meta.MediaStorageSOPClassUID = BASIC_TEXT_SR
    file.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
    file.file_meta.TransferSyntaxUID = EXPLICIT
    target = DicomBytesIO()
    dcmwrite(target, file, enforce_file_format=True)
    return target.getvalue()


def keep_report_document(version_uuid: UUID | str) -> tuple[ImagingStudy, ImagingInstance] | None:
    """Write the version's document into the store and index it with its images; once, whoever calls again.

    None when no images of the exam are here. Raises OSError.
    """
    version = ReportVersion.objects.select_related("report", "signed_by").get(uuid=version_uuid)
    uid = version.identity["procedures"][0]["study_instance_uid"]
    study = ImagingStudy.objects.select_related("merged_into").filter(study_instance_uid=uid).first()
    if study is None:
        return None
    study = study.merged_into or study
    known = ImagingInstance.objects.filter(sop_instance_uid=uid_of(version.uuid)).first()
    if known is not None:
        return study, known
    report = report_document(version)
    file = IncomingFile(BASIC_TEXT_SR, report.SOPInstanceUID, EXPLICIT, require_facility().ae_title)
    try:
        file.write(encoded(report))
        stored = file.keep(report.StudyInstanceUID)
    except BaseException:
        file.discard()
        raise
    file.close()
    told = StoredInstance(
        study_instance_uid=report.StudyInstanceUID,
        series_instance_uid=report.SeriesInstanceUID,
        sop_instance_uid=report.SOPInstanceUID,
        sop_class_uid=BASIC_TEXT_SR,
        transfer_syntax_uid=EXPLICIT,
        path=stored.path,
        size=stored.size,
        fingerprint=stored.fingerprint,
        modality="SR",
        series_number=SERIES_NUMBER,
        series_description=report.SeriesDescription,
        manufacturer=report.Manufacturer,
        instance_number=version.number,
    )
    row, _is_new = keep_document(study, document=told)
    return study, row
