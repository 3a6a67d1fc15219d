"""Units as vendors spell them, turned into those that we keep. Pure.

Kept: DLP mGy.cm, CTDIvol mGy, DAP Gy.m2, dose Gy, effective dose Sv, time s or ms, length mm, area m2, current mA,
exposure uA.s, voltage kV, activity Bq, angle deg, force N, pressure kPa, mass kg.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_NOISE = re.compile(r"[\s.·*^_{}()\-\x00]")


@dataclass(frozen=True)
class Quantity:
    """``factors``: spelling without punctuation -> factor. ``most``: above it a value is not believed."""

    unit: str
    factors: dict[str, float]
    most: float
    is_signed: bool = False


DLP = Quantity("mGy.cm", {"mgycm": 1, "gycm": 1e3, "mgym": 1e2, "mgymm": 0.1, "ugym": 0.1, "cgycm": 10}, 1e5)
CTDI = Quantity("mGy", {"mgy": 1, "gy": 1e3, "cgy": 10, "ugy": 1e-3}, 1e4)
DAP = Quantity(
    "Gy.m2",
    {
        "gym2": 1, "mgym2": 1e-3, "ugym2": 1e-6, "gycm2": 1e-4, "dgycm2": 1e-5, "cgycm2": 1e-6, "mgycm2": 1e-7,
        "ugycm2": 1e-10,
    },
    10,
)  # fmt: skip
DOSE = Quantity("Gy", {"gy": 1, "dgy": 0.1, "cgy": 1e-2, "mgy": 1e-3, "ugy": 1e-6}, 1e3)
EFFECTIVE = Quantity("Sv", {"sv": 1, "msv": 1e-3, "usv": 1e-6, "gy": 1, "mgy": 1e-3}, 1e2)
SECONDS = Quantity(
    "s", {"s": 1, "sec": 1, "ms": 1e-3, "msec": 1e-3, "min": 60, "us": 1e-6, "h": 3600, "d": 86400}, 1e12
)
MILLISECONDS = Quantity("ms", {"ms": 1, "msec": 1, "s": 1e3, "sec": 1e3, "us": 1e-3, "min": 6e4}, 1e9)
LENGTH = Quantity("mm", {"mm": 1, "cm": 10, "m": 1e3, "um": 1e-3}, 1e5)
POSITION = Quantity("mm", LENGTH.factors, 1e5, is_signed=True)
AREA = Quantity("m2", {"m2": 1, "cm2": 1e-4, "mm2": 1e-6}, 10)
CURRENT = Quantity("mA", {"ma": 1, "a": 1e3, "ua": 1e-3}, 1e5)
EXPOSURE = Quantity("uA.s", {"uas": 1, "mas": 1e3, "as": 1e6}, 1e9)
VOLTAGE = Quantity("kV", {"kv": 1, "kvp": 1, "v": 1e-3}, 1e3)
ACTIVITY = Quantity("Bq", {"bq": 1, "kbq": 1e3, "mbq": 1e6, "gbq": 1e9, "mci": 3.7e7, "ci": 3.7e10, "uci": 3.7e4}, 1e12)
ANGLE = Quantity("deg", {"deg": 1, "degrees": 1, "degree": 1, "°": 1, "rad": 180 / math.pi}, 360, is_signed=True)
FORCE = Quantity("N", {"n": 1, "dan": 10, "kgf": 9.80665, "kp": 9.80665, "lbf": 4.4482216}, 1e3)
PRESSURE = Quantity("kPa", {"kpa": 1, "pa": 1e-3, "hpa": 0.1}, 1e3)
MASS = Quantity("kg", {"kg": 1, "g": 1e-3, "lb": 0.45359237, "[lbav]": 0.45359237}, 700)
YEARS = Quantity(
    "a", {"a": 1, "y": 1, "mo": 1 / 12, "m": 1 / 12, "wk": 7 / 365.25, "w": 7 / 365.25, "d": 1 / 365.25}, 130
)
RATE = Quantity(
    "/s", {"/s": 1, "pulse/s": 1, "pulses/s": 1, "1/s": 1, "hz": 1, "/min": 1 / 60, "frame/s": 1, "s1": 1}, 1e4
)
RATIO = Quantity("", {"ratio": 1, "1": 1, "": 1, "%": 0.01}, 1e6, is_signed=True)
COUNT = Quantity("", RATIO.factors, 1e9)


def spelling(unit: str) -> str:
    return _NOISE.sub("", unit).lower().replace("μ", "u").replace("µ", "u").replace("²", "2")


def factor(quantity: Quantity, unit: str) -> float | None:
    """None when the unit is not one of this quantity. Numbers without a dimension need none."""
    return 1.0 if not quantity.unit else quantity.factors.get(spelling(unit))
