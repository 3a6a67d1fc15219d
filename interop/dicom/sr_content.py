"""Content items of a structured report (PS3.3 C.17.3), and what all dose reports begin with. Builds data sets. Pure."""

from __future__ import annotations

from datetime import datetime

from pydicom import Dataset
from pydicom.uid import XRayRadiationDoseSRStorage

from ris.core.concepts import Code
from ris.core.ids import new_uid

DCM, SCT, UCUM = "DCM", "SCT", "UCUM"


def code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item


def content(relationship: str, value_type: str, name: Code, **values: object) -> Dataset:
    item = Dataset()
    if relationship:
        item.RelationshipType = relationship
    item.ValueType = value_type
    item.ConceptNameCodeSequence = [code_item(name)]
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def dcm(code: str, meaning: str) -> Code:
    return Code(code, DCM, meaning)


def container(relationship: str, name: Code, children: list[Dataset]) -> Dataset:
    return content(relationship, "CONTAINER", name, ContinuityOfContent="SEPARATE", ContentSequence=children)


def coded(relationship: str, name: Code, value: Code, children: list[Dataset] | None = None) -> Dataset:
    item = content(relationship, "CODE", name, ConceptCodeSequence=[code_item(value)])
    if children:
        item.ContentSequence = children
    return item


def text(relationship: str, name: Code, value: str) -> Dataset:
    return content(relationship, "TEXT", name, TextValue=value)


def uid(relationship: str, name: Code, value: str) -> Dataset:
    return content(relationship, "UIDREF", name, UID=value)


def moment(relationship: str, name: Code, value: datetime) -> Dataset:
    return content(relationship, "DATETIME", name, DateTime=f"{value:%Y%m%d%H%M%S}")


def number(name: Code, value: float, unit: Code, children: list[Dataset] | None = None) -> Dataset:
    measured = Dataset()
    measured.NumericValue = f"{value:.6g}"
    measured.MeasurementUnitsCodeSequence = [code_item(unit)]
    item = content("CONTAINS", "NUM", name, MeasuredValueSequence=[measured])
    if children:
        item.ContentSequence = children
    return item


def document(base: Dataset, *, template: str, ended_at: datetime) -> Dataset:
    """An empty X-Ray Radiation Dose SR. ``base``: patient, study and equipment attributes, taken over as they are."""
    report = Dataset()
    report.update(base)
    report.SOPClassUID, report.SOPInstanceUID = XRayRadiationDoseSRStorage, new_uid()
    report.Modality, report.SeriesInstanceUID, report.SeriesNumber = "SR", new_uid(), 999
    report.SeriesDescription = "Dose report"
    report.InstanceNumber = 1
    report.SeriesDate = report.ContentDate = f"{ended_at:%Y%m%d}"
    report.SeriesTime = report.ContentTime = f"{ended_at:%H%M%S}"
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.ReferencedPerformedProcedureStepSequence = base.get("ReferencedPerformedProcedureStepSequence") or []
    report.PerformedProcedureCodeSequence = []
    report.update(container("", dcm("113701", "X-Ray Radiation Dose Report"), []))
    chosen = Dataset()
    chosen.MappingResource, chosen.TemplateIdentifier = "DCMR", template
    report.ContentTemplateSequence = [chosen]
    return report


def procedure_reported(kind: Code) -> Dataset:
    intent = coded("HAS CONCEPT MOD", Code("363703001", SCT, "Has Intent"), Code("261004008", SCT, "Diagnostic Intent"))
    return coded("HAS CONCEPT MOD", dcm("121058", "Procedure reported"), kind, [intent])


def observer(report: Dataset, device_uid: str) -> list[Dataset]:
    return [
        coded("HAS OBS CONTEXT", dcm("121005", "Observer Type"), dcm("121007", "Device")),
        uid("HAS OBS CONTEXT", dcm("121012", "Device Observer UID"), device_uid),
        text("HAS OBS CONTEXT", dcm("121013", "Device Observer Name"), str(report.get("StationName", ""))),
        text("HAS OBS CONTEXT", dcm("121014", "Device Observer Manufacturer"), str(report.get("Manufacturer", ""))),
        text(
            "HAS OBS CONTEXT",
            dcm("121015", "Device Observer Model Name"),
            str(report.get("ManufacturerModelName", "")),
        ),
        text(
            "HAS OBS CONTEXT",
            dcm("121016", "Device Observer Serial Number"),
            str(report.get("DeviceSerialNumber", "")),
        ),
    ]


def scope(study_instance_uid: str) -> Dataset:
    study = uid("HAS PROPERTIES", dcm("110180", "Study Instance UID"), study_instance_uid)
    return coded("HAS OBS CONTEXT", dcm("113705", "Scope of Accumulation"), dcm("113014", "Study"), [study])


def device(report: Dataset, device_uid: str) -> Dataset:
    properties = [
        text("HAS PROPERTIES", dcm("113878", "Device Manufacturer"), str(report.get("Manufacturer", ""))),
        text("HAS PROPERTIES", dcm("113879", "Device Model Name"), str(report.get("ManufacturerModelName", ""))),
        text("HAS PROPERTIES", dcm("113880", "Device Serial Number"), str(report.get("DeviceSerialNumber", ""))),
        uid("HAS PROPERTIES", dcm("121012", "Device Observer UID"), device_uid),
    ]
    return coded("CONTAINS", dcm("113876", "Device Role in Procedure"), dcm("113859", "Irradiating Device"), properties)
