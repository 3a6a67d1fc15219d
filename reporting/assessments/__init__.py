"""Published scales with their calculators. Pure: answers in, a category and what it advises out."""

from __future__ import annotations

from collections.abc import Iterable

from reporting.assessments.base import Choice, Field, NotApplicable, Result, Scheme, clean
from reporting.assessments.birads import BIRADS
from reporting.assessments.bosniak import BOSNIAK
from reporting.assessments.fleischner import FLEISCHNER
from reporting.assessments.lirads import LIRADS
from reporting.assessments.lungrads import LUNGRADS
from reporting.assessments.pirads import PIRADS
from reporting.assessments.tirads import TIRADS

SCHEMES: dict[str, Scheme] = {
    scheme.key: scheme for scheme in (BIRADS, LUNGRADS, LIRADS, TIRADS, PIRADS, FLEISCHNER, BOSNIAK)
}


def schemes_for(modalities: Iterable[str], regions: Iterable[str]) -> list[Scheme]:
    """All scales, those that fit the exam first."""
    kinds, places = set(modalities), " ".join(regions).lower()

    def fits(scheme: Scheme) -> bool:
        return bool(kinds & set(scheme.modalities)) and any(region in places for region in scheme.regions)

    return sorted(SCHEMES.values(), key=lambda scheme: (not fits(scheme), scheme.name))


def agrees(mentioned: str, category: str) -> bool:
    """Whether a text's category may stand for the one in the data: "4" for 4A, "LR4" for LR-4, "2" for II."""
    roman = {"1": "I", "2": "II", "3": "III", "4": "IV", "2F": "IIF"}
    said, stored = (word.upper().replace("-", "").replace(" ", "") for word in (mentioned, category))
    if said == stored or roman.get(said) == stored or f"TR{said}" == stored or f"LR{said}" == stored:
        return True
    return said.isdecimal() and stored.startswith(said)


__all__ = ["SCHEMES", "Choice", "Field", "NotApplicable", "Result", "Scheme", "agrees", "clean", "schemes_for"]
