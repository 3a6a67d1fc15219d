"""A CT radiation dose report (PS3.16 TID 10011), as scanners write them. Builds a data set; parsing is dose's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom import Dataset
from pydicom.uid import XRayRadiationDoseSRStorage

from ris.core.concepts import Code
from ris.core.ids import new_uid

DCM, SCT, UCUM = "DCM", "SCT", "UCUM"
CHEST = Code("51185008", SCT, "Chest")
SPIRAL, LOCALIZER = Code("116152004", SCT, "Spiral Acquisition"), Code("113805", DCM, "Constant Angle Acquisition")
BODY_PHANTOM = Code("113691", DCM, "IEC Body Dosimetry Phantom")
MGY, MGY_CM = Code("mGy", UCUM, "mGy"), Code("mGy.cm", UCUM, "mGy.cm")
MILLIMETRES, SECONDS = Code("mm", UCUM, "mm"), Code("s", UCUM, "s")


@dataclass(frozen=True)
class Irradiation:
    """One irradiation event. ``ctdi_vol`` mGy (None for a localizer), ``dlp`` mGy.cm, lengths mm, times s."""

    protocol: str
    ctdi_vol: float | None
    dlp: float
    scanning_length: float = 320.0
    exposure_time: float = 6.4
    kvp: float = 120.0
    tube_current: float = 210.0
    pitch: float = 0.98
    is_localizer: bool = False


def code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item


def _content(relationship: str, value_type: str, name: Code, **values: object) -> Dataset:
    item = Dataset()
    if relationship:
        item.RelationshipType = relationship
    item.ValueType = value_type
    item.ConceptNameCodeSequence = [code_item(name)]
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _dcm(code: str, meaning: str) -> Code:
    return Code(code, DCM, meaning)


def _container(relationship: str, name: Code, children: list[Dataset]) -> Dataset:
    return _content(relationship, "CONTAINER", name, ContinuityOfContent="SEPARATE", ContentSequence=children)


def _coded(relationship: str, name: Code, value: Code, children: list[Dataset] | None = None) -> Dataset:
    item = _content(relationship, "CODE", name, ConceptCodeSequence=[code_item(value)])
    if children:
        item.ContentSequence = children
    return item


def _text(relationship: str, name: Code, value: str) -> Dataset:
    return _content(relationship, "TEXT", name, TextValue=value)


def _uid(relationship: str, name: Code, value: str) -> Dataset:
    return _content(relationship, "UIDREF", name, UID=value)


def _moment(relationship: str, name: Code, value: datetime) -> Dataset:
    return _content(relationship, "DATETIME", name, DateTime=f"{value:%Y%m%d%H%M%S}")


def _number(name: Code, value: float, unit: Code) -> Dataset:
    measured = Dataset()
    measured.NumericValue = f"{value:.6g}"
    measured.MeasurementUnitsCodeSequence = [code_item(unit)]
    return _content("CONTAINS", "NUM", name, MeasuredValueSequence=[measured])


def ct_dose_report(
    base: Dataset, irradiations: Sequence[Irradiation], *, started_at: datetime, device_uid: str
) -> Dataset:
    """The report of one CT examination. ``base``: patient, study and equipment attributes, taken over as they are."""
    report = Dataset()
    report.update(base)
    report.SOPClassUID, report.SOPInstanceUID = XRayRadiationDoseSRStorage, new_uid()
    report.Modality, report.SeriesInstanceUID, report.SeriesNumber = "SR", new_uid(), 999
    report.SeriesDescription = "Dose report"
    report.InstanceNumber = 1
    ended_at = started_at + timedelta(seconds=sum(event.exposure_time for event in irradiations) + 60)
    report.ContentDate, report.ContentTime = f"{ended_at:%Y%m%d}", f"{ended_at:%H%M%S}"
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.ReferencedPerformedProcedureStepSequence = base.get("ReferencedPerformedProcedureStepSequence") or []
    report.PerformedProcedureCodeSequence = []
    report.update(_container("", _dcm("113701", "X-Ray Radiation Dose Report"), []))
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "10011"
    report.ContentTemplateSequence = [template]
    report.ContentSequence = [
        _procedure(),
        *_observer(report, device_uid),
        _moment("HAS OBS CONTEXT", _dcm("113809", "Start of X-Ray Irradiation"), started_at),
        _moment("HAS OBS CONTEXT", _dcm("113810", "End of X-Ray Irradiation"), ended_at),
        _scope(report.StudyInstanceUID),
        _accumulated(irradiations),
        *(_acquisition(event, report, device_uid) for event in irradiations),
        _coded("CONTAINS", _dcm("113854", "Source of Dose Information"), _dcm("113856", "Automated Data Collection")),
    ]
    return report


def _procedure() -> Dataset:
    intent = _coded(
        "HAS CONCEPT MOD", Code("363703001", SCT, "Has Intent"), Code("261004008", SCT, "Diagnostic Intent")
    )
    computed = Code("77477000", SCT, "Computed Tomography X-Ray")
    return _coded("HAS CONCEPT MOD", _dcm("121058", "Procedure reported"), computed, [intent])


def _observer(report: Dataset, device_uid: str) -> list[Dataset]:
    return [
        _coded("HAS OBS CONTEXT", _dcm("121005", "Observer Type"), _dcm("121007", "Device")),
        _uid("HAS OBS CONTEXT", _dcm("121012", "Device Observer UID"), device_uid),
        _text("HAS OBS CONTEXT", _dcm("121013", "Device Observer Name"), str(report.get("StationName", ""))),
        _text("HAS OBS CONTEXT", _dcm("121014", "Device Observer Manufacturer"), str(report.get("Manufacturer", ""))),
        _text(
            "HAS OBS CONTEXT",
            _dcm("121015", "Device Observer Model Name"),
            str(report.get("ManufacturerModelName", "")),
        ),
        _text(
            "HAS OBS CONTEXT",
            _dcm("121016", "Device Observer Serial Number"),
            str(report.get("DeviceSerialNumber", "")),
        ),
    ]


def _scope(study_instance_uid: str) -> Dataset:
    study = _uid("HAS PROPERTIES", _dcm("110180", "Study Instance UID"), study_instance_uid)
    return _coded("HAS OBS CONTEXT", _dcm("113705", "Scope of Accumulation"), _dcm("113014", "Study"), [study])


def _accumulated(irradiations: Sequence[Irradiation]) -> Dataset:
    events = Code("{events}", UCUM, "events")
    total = sum(event.dlp for event in irradiations)
    return _container(
        "CONTAINS",
        _dcm("113811", "CT Accumulated Dose Data"),
        [
            _number(_dcm("113812", "Total Number of Irradiation Events"), len(irradiations), events),
            _number(_dcm("113813", "CT Dose Length Product Total"), total, MGY_CM),
        ],
    )


def _acquisition(event: Irradiation, report: Dataset, device_uid: str) -> Dataset:
    parameters = [
        _number(_dcm("113824", "Exposure Time"), event.exposure_time, SECONDS),
        _number(_dcm("113825", "Scanning Length"), event.scanning_length, MILLIMETRES),
        _number(_dcm("113826", "Nominal Single Collimation Width"), 0.625, MILLIMETRES),
        _number(_dcm("113827", "Nominal Total Collimation Width"), 40, MILLIMETRES),
    ]
    if not event.is_localizer:
        parameters.append(_number(_dcm("113828", "Pitch Factor"), event.pitch, Code("{ratio}", UCUM, "ratio")))
    parameters.append(
        _number(_dcm("113823", "Number of X-Ray Sources"), 1, Code("{X-Ray sources}", UCUM, "X-Ray sources"))
    )
    parameters.append(_source(event))
    children = [
        _text("CONTAINS", _dcm("125203", "Acquisition Protocol"), event.protocol),
        _coded("CONTAINS", _dcm("123014", "Target Region"), CHEST),
        _coded("CONTAINS", _dcm("113820", "CT Acquisition Type"), LOCALIZER if event.is_localizer else SPIRAL),
        _uid("CONTAINS", _dcm("113769", "Irradiation Event UID"), new_uid()),
        _container("CONTAINS", _dcm("113822", "CT Acquisition Parameters"), parameters),
    ]
    if event.ctdi_vol is not None:
        children.append(
            _container(
                "CONTAINS",
                _dcm("113829", "CT Dose"),
                [
                    _number(_dcm("113830", "Mean CTDIvol"), event.ctdi_vol, MGY),
                    _coded("CONTAINS", _dcm("113835", "CTDIw Phantom Type"), BODY_PHANTOM),
                    _number(_dcm("113838", "DLP"), event.dlp, MGY_CM),
                ],
            )
        )
    children.append(_device(report, device_uid))
    return _container("CONTAINS", _dcm("113819", "CT Acquisition"), children)


def _source(event: Irradiation) -> Dataset:
    rotation = Code("s", UCUM, "s")
    milliamperes = Code("mA", UCUM, "mA")
    return _container(
        "CONTAINS",
        _dcm("113831", "CT X-Ray Source Parameters"),
        [
            _text("CONTAINS", _dcm("113832", "Identification of the X-Ray Source"), "A"),
            _number(_dcm("113733", "KVP"), event.kvp, Code("kV", UCUM, "kV")),
            _number(_dcm("113833", "Maximum X-Ray Tube Current"), event.tube_current * 1.4, milliamperes),
            _number(_dcm("113734", "X-Ray Tube Current"), event.tube_current, milliamperes),
            *([] if event.is_localizer else [_number(_dcm("113834", "Exposure Time per Rotation"), 0.5, rotation)]),
        ],
    )


def _device(report: Dataset, device_uid: str) -> Dataset:
    properties = [
        _text("HAS PROPERTIES", _dcm("113878", "Device Manufacturer"), str(report.get("Manufacturer", ""))),
        _text("HAS PROPERTIES", _dcm("113879", "Device Model Name"), str(report.get("ManufacturerModelName", ""))),
        _text("HAS PROPERTIES", _dcm("113880", "Device Serial Number"), str(report.get("DeviceSerialNumber", ""))),
        _uid("HAS PROPERTIES", _dcm("121012", "Device Observer UID"), device_uid),
    ]
    return _coded(
        "CONTAINS", _dcm("113876", "Device Role in Procedure"), _dcm("113859", "Irradiating Device"), properties
    )
