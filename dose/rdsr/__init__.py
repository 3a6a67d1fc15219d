"""Radiation dose objects read: X-Ray RDSR (PS3.16 TID 10001, 10011), enhanced X-Ray RDSR (TID 10040),
radiopharmaceutical RDSR (TID 10021), and what stands in where a device sends none: a CT's dose screen, MPPS, image
headers. Pure: a data set in, dataclasses out.

Nothing in an object makes this raise: what is missing, misspelt or impossible becomes a warning, and the rest is read.
"""

from __future__ import annotations

from dose.rdsr.checks import complete_totals, derived_uid, name_events
from dose.rdsr.content import Content, DataSet, moment, number, text_of
from dose.rdsr.fallbacks import read_without_report
from dose.rdsr.header import is_a_patient, read_header
from dose.rdsr.nuclear import is_pet, read_administrations
from dose.rdsr.parsed import (
    CT,
    DOSE_SOP_CLASSES,
    ENHANCED_XRAY_RDSR,
    FALLBACKS,
    IMAGE,
    MAMMOGRAPHY,
    MPPS,
    PROJECTION,
    RADIOPHARMACEUTICAL,
    RADIOPHARMACEUTICAL_RDSR,
    SCREEN,
    UNKNOWN,
    XRAY_RDSR,
    DoseEvent,
    ParsedDose,
)
from dose.rdsr.xray import is_fluoroscopy, read_xray

__all__ = [
    "CT", "DOSE_SOP_CLASSES", "ENHANCED_XRAY_RDSR", "FALLBACKS", "IMAGE", "MAMMOGRAPHY", "MPPS", "PROJECTION",
    "RADIOPHARMACEUTICAL", "RADIOPHARMACEUTICAL_RDSR", "SCREEN", "UNKNOWN", "XRAY_RDSR", "DoseEvent", "ParsedDose",
    "derived_uid", "is_a_patient", "moment", "number", "parse",
]  # fmt: skip


def parse(dataset: DataSet) -> ParsedDose:
    """Everything that the object says about dose. Never raises on its content."""
    parsed = ParsedDose()
    read_header(dataset, parsed)
    root = Content(dataset)
    if parsed.sop_class_uid == RADIOPHARMACEUTICAL_RDSR or root.concept == "113500":
        parsed.kind = RADIOPHARMACEUTICAL
        read_administrations(root, parsed)
    elif root.children:
        read_xray(root, parsed)
    else:
        read_without_report(dataset, parsed)
    if not parsed.is_complete:
        parsed.warn("The device calls this report partial; another may follow.")
    name_events(parsed)
    complete_totals(parsed)
    parsed.modality = _modality(dataset, parsed)
    return parsed


def _modality(dataset: DataSet, parsed: ParsedDose) -> str:
    """DICOM's two letters. A projection report does not say: fluoroscopy means RF, else DX."""
    if parsed.kind == PROJECTION:
        return "RF" if is_fluoroscopy(parsed) else "DX"
    if parsed.kind == RADIOPHARMACEUTICAL:
        return "PT" if is_pet(parsed) else "NM"
    if parsed.kind in FALLBACKS:
        found = text_of(dataset, "Modality", 4)
        if parsed.kind == SCREEN and found in ("", "OT", "SR", "SC"):
            return "CT"
        return "" if found == "SR" else found
    return parsed.kind if parsed.kind in (CT, MAMMOGRAPHY) else ""
