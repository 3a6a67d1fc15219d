"""Who, where and when: what every DICOM object says of itself."""

from __future__ import annotations

import datetime as dt
import re

from dose.rdsr.content import DataSet, moment, number, text_of, value_of
from dose.rdsr.parsed import ParsedDose

#: Exposures of phantoms and tests, by how departments name them
NOT_A_NAME = re.compile(r"\bphantom\b|\^test\b|^test\b|^qa[ ^_-]|quality (control|assurance)|\bpattern\b", re.I)
NOT_AN_ID = re.compile(r"^phy|^qa[ _-]?|^test|phantom", re.I)
DAYS_PER = {"D": 1, "W": 7, "M": 30.4375, "Y": 365.25}
DATES = (
    ("ContentDate", "ContentTime"), ("AcquisitionDate", "AcquisitionTime"),
    ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"), ("StudyDate", "StudyTime"),
)  # fmt: skip


def read_header(dataset: DataSet, parsed: ParsedDose) -> None:
    parsed.sop_instance_uid = text_of(dataset, "SOPInstanceUID", 64)
    parsed.sop_class_uid = text_of(dataset, "SOPClassUID", 64)
    parsed.study_instance_uid = text_of(dataset, "StudyInstanceUID", 64)
    parsed.accession_number = text_of(dataset, "AccessionNumber", 16)
    parsed.patient_id = text_of(dataset, "PatientID", 64)
    parsed.issuer_of_patient_id = text_of(dataset, "IssuerOfPatientID", 64)
    parsed.station_name = text_of(dataset, "StationName", 64)
    parsed.manufacturer = text_of(dataset, "Manufacturer", 64)
    parsed.model_name = text_of(dataset, "ManufacturerModelName", 64)
    parsed.device_serial_number = text_of(dataset, "DeviceSerialNumber", 64)
    parsed.is_complete = text_of(dataset, "CompletionFlag", 16).upper() != "PARTIAL"
    sex = text_of(dataset, "PatientSex", 1).upper()
    parsed.patient_sex = sex if sex in ("M", "F", "O") else ""
    weight, height = number(value_of(dataset, "PatientWeight")), number(value_of(dataset, "PatientSize"))
    parsed.patient_weight_kg = weight if weight is not None and 0.2 <= weight <= 700 else None
    parsed.patient_height_m = _height(height)
    parsed.started_at = _started(dataset)
    parsed.patient_age_years = _age(dataset, parsed.started_at)
    parsed.patient_name = text_of(dataset, "PatientName", 200)
    parsed.study_description = text_of(dataset, "StudyDescription", 128)
    parsed.series_description = text_of(dataset, "SeriesDescription", 128)
    parsed.is_of_a_patient = is_a_patient(parsed.patient_id, parsed.patient_name)


def is_a_patient(patient_id: str, patient_name: str) -> bool:
    """False for what departments call their phantoms and tests."""
    return not (NOT_A_NAME.search(patient_name) or NOT_AN_ID.search(patient_id))


def _height(written: float | None) -> float | None:
    """Metres; devices also write centimetres."""
    if written is None:
        return None
    metres = written / 100 if written > 3 else written
    return metres if 0.2 <= metres <= 2.6 else None


def _started(dataset: DataSet) -> dt.datetime | None:
    for day, time in DATES:
        written = text_of(dataset, day, 8)
        clock = re.match(r"\d{2,6}(\.\d{1,6})?", text_of(dataset, time, 16))
        hours = clock[0] if clock and len(clock[0].split(".")[0]) % 2 == 0 else ""
        found = moment(written + hours) or moment(written)
        if found is not None:
            return found
    return None


def _age(dataset: DataSet, on: dt.datetime | None) -> float | None:
    born, text = moment(text_of(dataset, "PatientBirthDate", 8)), text_of(dataset, "PatientAge", 4)
    if born is not None and on is not None:
        years = (on.replace(tzinfo=None) - born).days / 365.25
        return round(years, 3) if 0 <= years <= 130 else None
    found = re.fullmatch(r"(\d{3})([DWMY])", text)
    return round(int(found[1]) * DAYS_PER[found[2]] / 365.25, 3) if found else None
