"""Dose where a device sends no report: the header of an image, the text elements of a CT's dose screen (nothing is
read from its pixels), the dose in a performed procedure step (MPPS)."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from dose import units
from dose.rdsr.content import DataSet, believed, items_of, moment, number, text_of, value_of
from dose.rdsr.parsed import IMAGE, MPPS, MPPS_SOP_CLASS, SCREEN, DoseEvent, ParsedDose
from dose.units import Quantity

#: (field, keyword, factor to the kept unit, quantity); DAP is written in dGy.cm2, organ and entrance dose in dGy
IMAGE_FIELDS: tuple[tuple[str, str, float, Quantity], ...] = (
    ("dap", "ImageAndFluoroscopyAreaDoseProduct", 1e-5, units.DAP),
    ("agd", "OrganDose", 0.1, units.DOSE),
    ("ctdi_vol", "CTDIvol", 1.0, units.CTDI),
    ("kvp", "KVP", 1.0, units.VOLTAGE),
    ("tube_current", "XRayTubeCurrentInuA", 1e-3, units.CURRENT),
    ("tube_current", "XRayTubeCurrentInmA", 1.0, units.CURRENT),
    ("tube_current", "XRayTubeCurrent", 1.0, units.CURRENT),
    ("exposure_time", "ExposureTimeInuS", 1e-3, units.MILLISECONDS),
    ("exposure_time", "ExposureTimeInms", 1.0, units.MILLISECONDS),
    ("exposure_time", "ExposureTime", 1.0, units.MILLISECONDS),
    ("exposure", "ExposureInuAs", 1.0, units.EXPOSURE),
    ("exposure", "ExposureInmAs", 1e3, units.EXPOSURE),
    ("exposure", "Exposure", 1e3, units.EXPOSURE),
    ("exposure_index", "ExposureIndex", 1.0, units.RATIO),
    ("target_exposure_index", "TargetExposureIndex", 1.0, units.RATIO),
    ("deviation_index", "DeviationIndex", 1.0, units.RATIO),
    ("source_to_detector", "DistanceSourceToDetector", 1.0, units.LENGTH),
    ("primary_angle", "PositionerPrimaryAngle", 1.0, units.ANGLE),
    ("secondary_angle", "PositionerSecondaryAngle", 1.0, units.ANGLE),
    ("compression_thickness", "BodyPartThickness", 1.0, units.LENGTH),
    ("compression_force", "CompressionForce", 1.0, units.FORCE),
    ("pitch", "SpiralPitchFactor", 1.0, units.COUNT),
)
IMAGE_MORE: tuple[tuple[str, str, float, Quantity], ...] = (
    ("entrance_dose", "EntranceDoseInmGy", 1e-3, units.DOSE),
    ("entrance_dose", "EntranceDose", 0.1, units.DOSE),
    ("source_to_patient", "DistanceSourceToPatient", 1.0, units.LENGTH),
    ("source_to_entrance", "DistanceSourceToEntrance", 1.0, units.LENGTH),
    ("half_value_layer", "HalfValueLayer", 1.0, units.LENGTH),
    ("relative_exposure", "RelativeXRayExposure", 1.0, units.RATIO),
    ("focal_spot", "FocalSpots", 1.0, units.LENGTH),
)
IMAGE_WORDS = (
    ("grid", "Grid"), ("anode", "AnodeTargetMaterial"), ("exposure_control", "ExposureControlMode"),
    ("detector", "DetectorType"), ("organ", "OrganExposed"),
)  # fmt: skip
NUCLEAR = frozenset({"NM", "PT"})
#: NM writes the activity in MBq and PT in Bq; devices mix the two, and no patient is given less than 10 kBq or more
#: than 100 GBq
LEAST_BQ, MOST_MBQ = 1e4, 1e5

_VALUE = r"\s*(?:\([^)]*\)|\[[^\]]*\])?\s*[:=]?\s*(\d+(?:[.,]\d+)?)\s*([mcµu]?Gy[\s.*·]?(?:cm)?)?"
TOTAL_DLP = re.compile(r"(?:total\s*(?:exam\s*|mas\s*)?DLP|DLP\s*total|total\s*dose\s*length\s*product)" + _VALUE, re.I)
ONE_CTDI, ONE_DLP = re.compile(r"CTDI\s*-?\s*vol" + _VALUE, re.I), re.compile(r"\bDLP" + _VALUE, re.I)
ROW = re.compile(r"[^\r\n;]*CTDI\s*-?\s*vol[^\r\n;]*", re.I)


def read_without_report(dataset: DataSet, parsed: ParsedDose) -> None:
    if parsed.sop_class_uid == MPPS_SOP_CLASS or text_of(dataset, "PerformedProcedureStepStatus"):
        parsed.kind = MPPS
        _read_step(dataset, parsed)
    elif items_of(dataset, "ExposureDoseSequence") or _dose_words(dataset):
        parsed.kind = SCREEN
        _read_screen(dataset, parsed)
    else:
        parsed.kind = IMAGE
        _read_image(dataset, parsed)
    if not parsed.events and parsed.dlp_total is None and parsed.dap_total is None and parsed.fluoro_time is None:
        parsed.warn("The object holds no dose.")


# --- images


def _fill(event: DoseEvent, item: DataSet, parsed: ParsedDose) -> None:
    for name, keyword, scale, quantity in IMAGE_FIELDS:
        value = number(value_of(item, keyword))
        if value is not None and getattr(event, name) is None:
            setattr(event, name, believed(value * scale, quantity, keyword, parsed))
    for name, keyword, scale, quantity in IMAGE_MORE:
        value = number(value_of(item, keyword))
        found = believed(value * scale, quantity, keyword, parsed) if value else None
        if found is not None:
            event.more.setdefault(name, [found, quantity.unit])
    for name, keyword in IMAGE_WORDS:
        if words := text_of(item, keyword, 64):
            event.more.setdefault(name, [words, ""])
    material = text_of(item, "FilterMaterial", 64)
    if material:
        least, most = number(value_of(item, "FilterThicknessMinimum")), number(value_of(item, "FilterThicknessMaximum"))
        row: dict[str, Any] = {"material": material}
        row |= {key: value for key, value in (("least_mm", least), ("most_mm", most)) if value is not None}
        event.filters.append(row)


def _read_image(dataset: DataSet, parsed: ParsedDose) -> None:
    """PS3.3 C.8.7.2, C.8.11, C.8.9.2, C.8.4.10. An image derived from another stands for the same exposure."""
    if text_of(dataset, "Modality", 4) in NUCLEAR:
        _read_radiopharmaceuticals(dataset, parsed)
        return
    event = DoseEvent(position=1, event_type="Image", started_at=parsed.started_at)
    event.uid = text_of(dataset, "IrradiationEventUID", 64) or _source_of(dataset)
    event.protocol = text_of(dataset, "ProtocolName") or text_of(dataset, "SeriesDescription")
    event.target_region = text_of(dataset, "BodyPartExamined", 64)
    event.view = text_of(dataset, "ViewPosition", 64)
    event.laterality = text_of(dataset, "ImageLaterality", 32) or text_of(dataset, "Laterality", 32)
    phantom = items_of(dataset, "CTDIPhantomTypeCodeSequence")
    event.ctdi_phantom = text_of(phantom[0], "CodeValue", 64) if phantom else ""
    _fill(event, dataset, parsed)
    if all(value is None for value in (event.dap, event.agd, event.ctdi_vol, event.exposure)):
        return
    parsed.events.append(event)


def _source_of(dataset: DataSet) -> str:
    """One picture made of one other (for presentation, of the one for processing): the other's exposure."""
    sources = items_of(dataset, "SourceImageSequence")
    return (
        text_of(sources[0], "ReferencedSOPInstanceUID", 64)
        if len(sources) == 1
        else text_of(dataset, "SOPInstanceUID", 64)
    )


def _read_radiopharmaceuticals(dataset: DataSet, parsed: ParsedDose) -> None:
    """Every slice repeats the administration: its key follows from the study, so that it counts once."""
    is_pet = text_of(dataset, "Modality", 4) == "PT"
    for item in items_of(dataset, "RadiopharmaceuticalInformationSequence"):
        activity = number(value_of(item, "RadionuclideTotalDose"))
        if activity is None:
            continue
        event = DoseEvent(position=len(parsed.events) + 1, event_type="Administration")
        if is_pet and activity < LEAST_BQ:
            parsed.warn(f"RadionuclideTotalDose: {activity:g} is taken as MBq.")
        elif not is_pet and activity > MOST_MBQ:
            parsed.warn(f"RadionuclideTotalDose: {activity:g} is taken as Bq.")
        in_becquerel = activity >= LEAST_BQ if is_pet else activity > MOST_MBQ
        event.activity = believed(
            activity * (1 if in_becquerel else 1e6), units.ACTIVITY, "RadionuclideTotalDose", parsed
        )
        event.protocol = text_of(item, "Radiopharmaceutical")
        event.half_life = number(value_of(item, "RadionuclideHalfLife"))
        nuclides = items_of(item, "RadionuclideCodeSequence")
        event.radionuclide = text_of(nuclides[0], "CodeMeaning", 64) if nuclides else ""
        if route := text_of(item, "RadiopharmaceuticalRoute", 64):
            event.more["route"] = [route, ""]
        event.started_at = _administered(dataset, item)
        event.uid = text_of(item, "RadiopharmaceuticalAdministrationEventUID", 64)
        event.more["key"] = [f"{parsed.study_instance_uid}:{event.started_at}:{event.activity}", ""]
        parsed.events.append(event)
        parsed.add("administered_activity", event.activity)


def _administered(dataset: DataSet, item: DataSet) -> dt.datetime | None:
    found = moment(text_of(item, "RadiopharmaceuticalStartDateTime", 32))
    if found is not None:
        return found
    time = text_of(item, "RadiopharmaceuticalStartTime", 6)
    return moment(text_of(dataset, "SeriesDate", 8) + time) or moment(text_of(dataset, "StudyDate", 8) + time)


# --- a CT's dose screen


def _dose_words(dataset: DataSet) -> str:
    """The texts of an object that may say a CT's dose in words."""
    if text_of(dataset, "Modality", 4) not in ("CT", "OT", "SR", "SC", ""):
        return ""
    words = "\n".join(text_of(dataset, keyword, 4000) for keyword in ("CommentsOnRadiationDose", "ImageComments"))
    return words if TOTAL_DLP.search(words) or ROW.search(words) else ""


def _read_screen(dataset: DataSet, parsed: ParsedDose) -> None:
    _read_exposures(dataset, parsed)
    _read_words(_dose_words(dataset), parsed)


def _read_words(words: str, parsed: ParsedDose) -> None:
    """ "Total DLP = 586.3 mGy*cm"; lines with CTDIvol and DLP are the events, where none are listed otherwise."""
    total = TOTAL_DLP.search(words)
    if total is not None:
        parsed.dlp_total = _said(total, units.DLP, "Total DLP", parsed)
    if parsed.events:
        return
    for line in ROW.findall(words):
        ctdi, dlp = ONE_CTDI.search(line), ONE_DLP.search(line)
        if ctdi is None or TOTAL_DLP.search(line):
            continue
        event = DoseEvent(position=len(parsed.events) + 1, event_type="CT", started_at=parsed.started_at)
        event.ctdi_vol = _said(ctdi, units.CTDI, "CTDIvol", parsed)
        event.dlp = _said(dlp, units.DLP, "DLP", parsed) if dlp is not None else None
        parsed.events.append(event)


def _said(found: re.Match[str], quantity: Quantity, name: str, parsed: ParsedDose) -> float | None:
    value, unit = number(found[1]), found[2] or ""
    if value is None:
        return None
    scale = units.factor(quantity, unit) if unit else 1.0
    return believed(value * (1.0 if scale is None else scale), quantity, name, parsed)


def _read_exposures(dataset: DataSet, parsed: ParsedDose) -> None:
    """Exposure Dose Sequence (0040,030E); the DLP of an item has no standard place, Philips writes (00E1,1021)."""
    for item in items_of(dataset, "ExposureDoseSequence"):
        event = DoseEvent(position=len(parsed.events) + 1, started_at=parsed.started_at)
        event.event_type = text_of(item, "AcquisitionType", 64) or text_of(item, "RadiationMode", 64) or "Exposure"
        event.type_code = "113805" if event.event_type.upper() == "CONSTANT_ANGLE" else ""
        event.protocol = text_of(item, "ProtocolName") or text_of(dataset, "ProtocolName")
        length = number(value_of(item, "ScanLength"))
        event.scanning_length = believed(length, units.LENGTH, "ScanLength", parsed) if length else None
        phantom = items_of(item, "CTDIPhantomTypeCodeSequence")
        event.ctdi_phantom = text_of(phantom[0], "CodeValue", 64) if phantom else ""
        event.uid = text_of(item, "IrradiationEventUID", 64)
        _fill(event, item, parsed)
        dlp = _private_number(item)
        event.dlp = believed(dlp, units.DLP, "DLP", parsed) if dlp is not None else None
        parsed.events.append(event)


def _private_number(item: DataSet) -> float | None:
    found = item.get((0x00E1, 0x1021))
    value = None if found is None else found.value
    return number(value.decode("latin-1") if isinstance(value, bytes) else value)


# --- MPPS


def _read_step(dataset: DataSet, parsed: ParsedDose) -> None:
    """PS3.4 F.7.2.1, Radiation Dose module: of the whole step."""
    scheduled = items_of(dataset, "ScheduledStepAttributesSequence")
    if scheduled:
        parsed.study_instance_uid = parsed.study_instance_uid or text_of(scheduled[0], "StudyInstanceUID", 64)
        parsed.accession_number = parsed.accession_number or text_of(scheduled[0], "AccessionNumber", 16)
    parsed.station_name = parsed.station_name or text_of(dataset, "PerformedStationName", 64)
    parsed.station_name = parsed.station_name or text_of(dataset, "PerformedStationAETitle", 64)
    _read_exposures(dataset, parsed)
    comments = text_of(dataset, "CommentsOnRadiationDose", 4000)
    _read_words(comments, parsed)
    product = number(value_of(dataset, "ImageAndFluoroscopyAreaDoseProduct"))
    if product is not None:
        keyword = "ImageAndFluoroscopyAreaDoseProduct"
        parsed.dap_total = believed(product * 1e-5, units.DAP, keyword, parsed)
    fluoroscopy = number(value_of(dataset, "TotalTimeOfFluoroscopy"))
    if fluoroscopy:
        parsed.fluoro_time = believed(fluoroscopy, units.SECONDS, "TotalTimeOfFluoroscopy", parsed)
    exposures = number(value_of(dataset, "TotalNumberOfExposures"))
    if exposures is not None and 0 <= exposures < 1e6:
        parsed.frame_count = int(exposures)
