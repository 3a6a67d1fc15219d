"""Effective dose of a CT exam, estimated from its DLP by region. Of a population, never of a person: the coefficients
hold for a reference adult, and are shown with the estimate wherever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dose.bands import ADULT_FROM

COEFFICIENTS = "AAPM report 96 (2008), adult; k in mSv/(mGy.cm): head 0.0021, neck 0.0059, chest 0.014, abdomen 0.015"
#: Head, chest, abdomen and pelvis: as Shrimpton et al. give them, quoted in Med Phys 2012;39:2129, table XII. The
#: report itself was not read; for the neck no quotation was found, its k is from memory.
CERTAINTY = "Head, chest, abdomen: quoted in Med Phys 2012;39:2129, table XII. Neck: from memory, to be checked."
#: body region -> k, mSv/(mGy.cm)
PER_DLP = {
    "head": 0.0021, "brain": 0.0021, "neck": 0.0059, "chest": 0.014, "thorax": 0.014, "abdomen": 0.015,
    "pelvis": 0.015, "abdomen pelvis": 0.015, "abdomen and pelvis": 0.015,
}  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """``value``: mSv."""

    value: float
    k: float
    region: str
    coefficients: str = COEFFICIENTS


def estimate(region: str, dlp: float | None, age: float | None, modality: str) -> Estimate | None:
    """None where no coefficient holds: of another modality, of a child, of an unknown age or region."""
    name = " ".join(region.casefold().replace("_", " ").replace("-", " ").split())
    k = PER_DLP.get(name)
    if modality != "CT" or dlp is None or k is None or age is None or age < ADULT_FROM:
        return None
    return Estimate(dlp * k, k, name)


def estimate_of(report: Any) -> Estimate | None:
    """Of a report whose exam has one region."""
    exam = report.standard_exam or (report.procedure.catalogue if report.procedure is not None else None)
    region = exam.body_region if exam is not None else ""
    return estimate(region, report.dlp_total, report.patient_age_years, report.modality)
