"""A projection X-ray or mammography dose report (PS3.16 TID 10001), as scanners write them. Builds a data set. Pure."""

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

PROJECTION = Code("113704", DCM, "Projection X-Ray")
MAMMOGRAPHY = Code("71651007", SCT, "Mammography")
GRAY_M2, MGY = Code("Gy.m2", UCUM, "Gy.m2"), Code("mGy", UCUM, "mGy")
STATIONARY = Code("113611", DCM, "Stationary Acquisition")
CHEST, BREAST = Code("816094009", SCT, "Chest"), Code("76752008", SCT, "Breast")
SIDES = {"R": Code("24028007", SCT, "Right"), "L": Code("7771000", SCT, "Left")}
BREASTS = {"R": Code("73056007", SCT, "Right breast"), "L": Code("80248007", SCT, "Left breast")}


@dataclass(frozen=True)
class Exposure:
    """One exposure. ``dap`` Gy.m2, ``kvp`` kV, ``charge`` uA.s; ``agd`` mGy, of the breast on ``side``."""

    protocol: str
    dap: float = 0.0
    kvp: float = 110.0
    charge: float = 2_000.0
    milliseconds: float = 8.0
    exposure_index: float | None = None
    agd: float | None = None
    side: str = ""


def projection_dose_report(
    base: Dataset, exposures: Sequence[Exposure], *, started_at: datetime, device_uid: str
) -> Dataset:
    """The report of one examination; one with average glandular doses is a mammography."""
    is_mammography = any(event.agd is not None for event in exposures)
    report = document(base, template="10001", ended_at=started_at + timedelta(seconds=60 * len(exposures)))
    report.ContentSequence = [
        procedure_reported(MAMMOGRAPHY if is_mammography else PROJECTION),
        *observer(report, device_uid),
        scope(report.StudyInstanceUID),
        _accumulated(exposures),
        *(
            _event(event, report, device_uid, started_at + timedelta(seconds=45 * number_))
            for number_, event in enumerate(exposures)
        ),
        coded("CONTAINS", dcm("113854", "Source of Dose Information"), dcm("113856", "Automated Data Collection")),
    ]
    return report


def _plane() -> Dataset:
    return coded("HAS CONCEPT MOD", dcm("113764", "Acquisition Plane"), dcm("113622", "Single Plane"))


def _accumulated(exposures: Sequence[Exposure]) -> Dataset:
    totals: list[Dataset] = [_plane()]
    dap = sum(event.dap for event in exposures)
    if dap:
        totals.append(number(dcm("113722", "Dose Area Product Total"), dap, GRAY_M2))
    totals.append(
        number(dcm("113731", "Total Number of Radiographic Frames"), len(exposures), Code("1", UCUM, "no units"))
    )
    for side, breast in BREASTS.items():
        doses = [event.agd for event in exposures if event.side == side and event.agd is not None]
        if doses:
            where = coded("HAS CONCEPT MOD", Code("272741003", SCT, "Laterality"), breast)
            totals.append(number(dcm("111637", "Accumulated Average Glandular Dose"), sum(doses), MGY, [where]))
    return container("CONTAINS", dcm("113702", "Accumulated X-Ray Dose Data"), totals)


def _event(event: Exposure, report: Dataset, device_uid: str, taken_at: datetime) -> Dataset:
    is_breast = event.agd is not None
    side = [coded("HAS CONCEPT MOD", Code("272741003", SCT, "Laterality"), SIDES[event.side])] if event.side else []
    children = [
        _plane(),
        uid("CONTAINS", dcm("113769", "Irradiation Event UID"), new_uid()),
        moment("CONTAINS", dcm("111526", "DateTime Started"), taken_at),
        coded("CONTAINS", dcm("113721", "Irradiation Event Type"), STATIONARY),
        text("CONTAINS", dcm("125203", "Acquisition Protocol"), event.protocol),
        coded("CONTAINS", dcm("123014", "Target Region"), BREAST if is_breast else CHEST, side),
    ]
    if event.dap:
        children.append(number(dcm("122130", "Dose Area Product"), event.dap, GRAY_M2))
    if event.agd is not None:
        children.append(number(dcm("111631", "Average Glandular Dose"), event.agd, MGY))
    if event.exposure_index is not None:
        children.append(number(dcm("113845", "Exposure Index"), event.exposure_index, Code("1", UCUM, "no units")))
    children += [
        number(dcm("113733", "KVP"), event.kvp, Code("kV", UCUM, "kV")),
        number(dcm("113736", "Exposure"), event.charge, Code("uA.s", UCUM, "uA.s")),
        number(dcm("113735", "Exposure Time"), event.milliseconds, Code("ms", UCUM, "ms")),
        device(report, device_uid),
    ]
    return container("CONTAINS", dcm("113706", "Irradiation Event X-Ray Data"), children)
