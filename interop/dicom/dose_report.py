"""A CT radiation dose report (PS3.16 TID 10011), as scanners write them. Builds a data set; parsing is dose's. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom import Dataset

from interop.dicom.sr_content import (
    DCM,
    SCT,
    UCUM,
    coded,
    container,
    dcm,
    device,
    document,
    moment,
    number,
    observer,
    procedure_reported,
    scope,
    text,
    uid,
)
from ris.core.concepts import Code
from ris.core.ids import new_uid

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


def ct_dose_report(
    base: Dataset, irradiations: Sequence[Irradiation], *, started_at: datetime, device_uid: str
) -> Dataset:
    """The report of one CT examination. ``base``: patient, study and equipment attributes, taken over as they are."""
    ended_at = started_at + timedelta(seconds=sum(event.exposure_time for event in irradiations) + 60)
    report = document(base, template="10011", ended_at=ended_at)
    report.ContentSequence = [
        procedure_reported(Code("77477000", SCT, "Computed Tomography X-Ray")),
        *observer(report, device_uid),
        moment("HAS OBS CONTEXT", dcm("113809", "Start of X-Ray Irradiation"), started_at),
        moment("HAS OBS CONTEXT", dcm("113810", "End of X-Ray Irradiation"), ended_at),
        scope(report.StudyInstanceUID),
        _accumulated(irradiations),
        *(_acquisition(event, report, device_uid) for event in irradiations),
        coded("CONTAINS", dcm("113854", "Source of Dose Information"), dcm("113856", "Automated Data Collection")),
    ]
    return report


def _accumulated(irradiations: Sequence[Irradiation]) -> Dataset:
    events = Code("{events}", UCUM, "events")
    total = sum(event.dlp for event in irradiations)
    return container(
        "CONTAINS",
        dcm("113811", "CT Accumulated Dose Data"),
        [
            number(dcm("113812", "Total Number of Irradiation Events"), len(irradiations), events),
            number(dcm("113813", "CT Dose Length Product Total"), total, MGY_CM),
        ],
    )


def _acquisition(event: Irradiation, report: Dataset, device_uid: str) -> Dataset:
    parameters = [
        number(dcm("113824", "Exposure Time"), event.exposure_time, SECONDS),
        number(dcm("113825", "Scanning Length"), event.scanning_length, MILLIMETRES),
        number(dcm("113826", "Nominal Single Collimation Width"), 0.625, MILLIMETRES),
        number(dcm("113827", "Nominal Total Collimation Width"), 40, MILLIMETRES),
    ]
    if not event.is_localizer:
        parameters.append(number(dcm("113828", "Pitch Factor"), event.pitch, Code("{ratio}", UCUM, "ratio")))
    parameters.append(
        number(dcm("113823", "Number of X-Ray Sources"), 1, Code("{X-Ray sources}", UCUM, "X-Ray sources"))
    )
    parameters.append(_source(event))
    children = [
        text("CONTAINS", dcm("125203", "Acquisition Protocol"), event.protocol),
        coded("CONTAINS", dcm("123014", "Target Region"), CHEST),
        coded("CONTAINS", dcm("113820", "CT Acquisition Type"), LOCALIZER if event.is_localizer else SPIRAL),
        uid("CONTAINS", dcm("113769", "Irradiation Event UID"), new_uid()),
        container("CONTAINS", dcm("113822", "CT Acquisition Parameters"), parameters),
    ]
    if event.ctdi_vol is not None:
        children.append(
            container(
                "CONTAINS",
                dcm("113829", "CT Dose"),
                [
                    number(dcm("113830", "Mean CTDIvol"), event.ctdi_vol, MGY),
                    coded("CONTAINS", dcm("113835", "CTDIw Phantom Type"), BODY_PHANTOM),
                    number(dcm("113838", "DLP"), event.dlp, MGY_CM),
                ],
            )
        )
    children.append(device(report, device_uid))
    return container("CONTAINS", dcm("113819", "CT Acquisition"), children)


def _source(event: Irradiation) -> Dataset:
    rotation = Code("s", UCUM, "s")
    milliamperes = Code("mA", UCUM, "mA")
    return container(
        "CONTAINS",
        dcm("113831", "CT X-Ray Source Parameters"),
        [
            text("CONTAINS", dcm("113832", "Identification of the X-Ray Source"), "A"),
            number(dcm("113733", "KVP"), event.kvp, Code("kV", UCUM, "kV")),
            number(dcm("113833", "Maximum X-Ray Tube Current"), event.tube_current * 1.4, milliamperes),
            number(dcm("113734", "X-Ray Tube Current"), event.tube_current, milliamperes),
            *([] if event.is_localizer else [number(dcm("113834", "Exposure Time per Rotation"), 0.5, rotation)]),
        ],
    )
