"""Size-specific dose estimates of CT acquisitions whose device names the patient's size but sends no estimate. Pure.

SSDE = CTDIvol times a factor that falls with the diameter d (cm): f = a exp(-b d), the fits of AAPM report 204 (2011)
for each of the two dosimetry phantoms; the water-equivalent diameter takes the place of the effective one (AAPM report
220, 2014). The factors hold for the trunk: report 204 was made for abdomen and pelvis and is held good for the chest; a
head has factors of its own (AAPM report 293, 2019), which are not in here, so of heads nothing is computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

METHOD = "CTDIvol x a exp(-b d), AAPM reports 204 (2011) and 220 (2014)"
#: Code of the phantom (CID 4052) -> diameter in cm, a, b per cm
PHANTOMS = {"113691": (32, 3.704369, 0.03671937), "113690": (16, 1.874799, 0.03871313)}
#: Diameters in cm that the fits were made of, of both phantoms
SMALLEST, LARGEST = 8.0, 45.0
WATER, EFFECTIVE, BOTH_SIDES = "water-equivalent", "effective", "lateral and AP"
TRUNK = ("chest", "thorax", "thorac", "lung", "abdom", "pelvi", "trunk", "torso", "liver", "kidney", "lumbar", "body")
NO_TRUNK = (
    "head", "brain", "skull", "cran", "face", "facial", "sinus", "orbit", "temporal", "neck", "cervical", "knee", "leg",
    "ankle", "foot", "arm", "elbow", "wrist", "hand", "shoulder", "extremit", "femur", "tibia",
)  # fmt: skip
#: How an acquisition that no slice is made of calls itself (CID 10013)
LOCALIZER = "constant angle"


@dataclass(frozen=True)
class Estimate:
    """``value``: mGy; ``diameter``: mm, and of which kind; ``phantom``: cm."""

    value: float
    factor: float
    diameter: float
    kind: str
    phantom: int
    method: str = METHOD


def factor(phantom: str, diameter: float) -> float | None:
    """``diameter``: mm. None outside of what the fits were made of."""
    known = PHANTOMS.get(phantom)
    if known is None or not SMALLEST <= diameter / 10 <= LARGEST:
        return None
    _size, a, b = known
    return a * math.exp(-b * diameter / 10)


def estimate_of(event: Any) -> Estimate | None:
    """Of an irradiation event; None where the device sends its own, where no size is known, and of no trunk."""
    if event.ssde is not None or not event.ctdi_vol or LOCALIZER in event.event_type.casefold():
        return None
    diameter, kind = _diameter(event)
    if diameter is None or not _is_of_the_trunk(event):
        return None
    found = factor(event.ctdi_phantom, diameter)
    if found is None:
        return None
    return Estimate(found * event.ctdi_vol, found, diameter, kind, PHANTOMS[event.ctdi_phantom][0])


def _diameter(event: Any) -> tuple[float | None, str]:
    if event.water_equivalent_diameter:
        return event.water_equivalent_diameter, WATER
    sent = {name: _number(event.more.get(name)) for name in ("effective_diameter", "lateral_dimension", "ap_dimension")}
    if sent["effective_diameter"]:
        return sent["effective_diameter"], EFFECTIVE
    if sent["lateral_dimension"] and sent["ap_dimension"]:
        return math.sqrt(sent["lateral_dimension"] * sent["ap_dimension"]), BOTH_SIDES
    return None, ""


def _number(kept: Any) -> float | None:
    """What ``more`` keeps is [value, unit]; lengths in mm."""
    value = kept[0] if isinstance(kept, list) and kept else None
    return float(value) if isinstance(value, (int, float)) else None


def _is_of_the_trunk(event: Any) -> bool:
    """By the region, else by the protocol. A body phantom speaks for itself where neither says anything; a head
    phantom is believed to be of a (small) trunk only where they say so."""
    for words in (event.target_region.casefold(), event.protocol.casefold()):
        if any(part in words for part in NO_TRUNK):
            return False
        if any(part in words for part in TRUNK):
            return True
    return PHANTOMS.get(event.ctdi_phantom, (0,))[0] == 32
