"""ACR Lung-RADS v2022: low-dose CT screening. Sizes are mean diameters, (long + short) / 2, to one decimal, in mm.

    Nodule               2              3               4A               4B
    solid, baseline      < 6            6-< 8           8-< 15           >= 15
    solid, new           < 4            4-< 6           6-< 8            >= 8
    solid, growing                                      < 8              >= 8
    part-solid, baseline total < 6      total >= 6,     total >= 6,      solid part >= 8
                                        solid part < 6  solid part 6-< 8
    part-solid, new                     total < 6       solid part < 4   solid part >= 4
    part-solid, growing                                 solid part < 4   solid part >= 4
    ground glass         < 30, or >= 30 >= 30 baseline
                         stable or slow or new
    airway               subsegmental                   segmental or     the same, stable or growing
                                                        more proximal
    cyst, atypical                      growing cyst of thick wall or    growing wall or nodularity,
                                        a thick wall    multilocular     growing multilocular, more locules or opacity

0: parts of the lungs cannot be judged, earlier CT awaited, or likely inflammation. 1: no nodule, or one with benign
calcification or fat. Juxtapleural, smooth, lens-shaped or triangular and < 10 mm: 2. Stable since an earlier
screening: category 3 becomes 2, 4A becomes 3. Slow growth over several screenings: 4B. 4X: 3 or 4 with a feature that
adds suspicion. Growth is more than 1.5 mm within 12 months. S is added for another significant finding.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from reporting.assessments.base import Answers, Choice, Field, NotApplicable, Result, Scheme

TITLES = {
    "0": (_("Incomplete"), _("Compare with the earlier CT, or repeat low-dose CT in 1 to 3 months.")),
    "1": (_("Negative"), _("Low-dose CT in 12 months.")),
    "2": (_("Benign"), _("Low-dose CT in 12 months.")),
    "3": (_("Probably benign"), _("Low-dose CT in 6 months.")),
    "4A": (
        _("Suspicious"),
        _("Low-dose CT in 3 months; PET/CT may be considered when a solid part measures 8 mm or more."),
    ),
    "4B": (_("Very suspicious"), _("Refer for clinical evaluation: diagnostic CT, PET/CT or tissue sampling.")),
    "4X": (
        _("Very suspicious, with additional features"),
        _("Refer for clinical evaluation: diagnostic CT, PET/CT or tissue sampling."),
    ),
}


def mean_diameter(long: float, short: float | None) -> float:
    return round((long + (long if short is None else short)) / 2, 1)


def is_growing(size: float, before: float | None, months: float | None) -> bool:
    """More than 1.5 mm within 12 months."""
    return before is not None and size - before > 1.5 and (months is None or months <= 12)


def _solid(size: float, status: str) -> str:
    if status == "growing":
        return "4B" if size >= 8 else "4A"
    steps = ((4, "2"), (6, "3"), (8, "4A")) if status == "new" else ((6, "2"), (8, "3"), (15, "4A"))
    return next((category for limit, category in steps if size < limit), "4B")


def _part_solid(size: float, solid: float, status: str) -> str:
    if status == "baseline":
        if size < 6:
            return "2"
        return "3" if solid < 6 else "4A" if solid < 8 else "4B"
    if status == "new" and size < 6 and solid < 4:
        return "3"
    return "4A" if solid < 4 else "4B"


def _airway(answers: Answers, status: str) -> str:
    if answers.get("airway") == "subsegmental":
        return "2"
    if answers.get("airway") != "segmental":
        raise NotApplicable("airway", _("Say where in the airway it lies."))
    return "4B" if status in ("stable", "growing", "slow") else "4A"


CYSTS = {"thick": "4A", "multilocular": "4A", "growing_cyst": "3", "growing_wall": "4B", "growing_multilocular": "4B"}


def _stable(answers: Answers) -> str:
    if not answers.get("previous"):
        raise NotApplicable("previous", _("What was its category at the earlier screening?"))
    before: str = answers["previous"]
    return {"3": "2", "4A": "3"}.get(before, before)


def _category(answers: Answers) -> str:
    kind, status = answers["nodule"], answers.get("status", "baseline")
    if kind in ("incomplete", "inflammatory"):
        return "0"
    if kind in ("none", "benign"):
        return "1"
    if kind == "cyst":
        if answers.get("cyst") is None:
            raise NotApplicable("cyst", _("Say what the cyst looks like."))
        return CYSTS[answers["cyst"]]
    if kind == "airway":
        return _airway(answers, status)
    if "long" not in answers:
        raise NotApplicable("long", _("Measure it."))
    size = mean_diameter(answers["long"], answers.get("short"))
    if status == "stable" and is_growing(size, answers.get("before"), answers.get("months")):
        raise NotApplicable("status", _("It has grown by more than 1.5 mm: say so."))
    if kind == "ground_glass":
        return "3" if size >= 30 and status in ("baseline", "new") else "2"
    if kind == "juxtapleural" and size < 10 and status in ("baseline", "new"):
        return "2"
    if status == "slow":
        return "4B"
    if status == "stable":
        return _stable(answers)
    if kind == "part_solid":
        if "solid_long" not in answers:
            raise NotApplicable("solid_long", _("Measure its solid part."))
        return _part_solid(size, mean_diameter(answers["solid_long"], answers.get("solid_short")), status)
    return _solid(size, status)


def calculate(answers: Answers) -> Result:
    category = _category(answers)
    if answers.get("suspicious") and category in ("3", "4A", "4B"):
        category = "4X"
    title, management = TITLES[category]
    return Result(f"{category}S" if answers.get("other") else category, title, management)


LUNGRADS = Scheme(
    key="lungrads",
    name="Lung-RADS",
    version="2022",
    subject=_("Lung cancer screening"),
    fields=(
        Field(
            "nodule",
            _("What is there"),
            choices=(
                Choice("none", _("No nodule")),
                Choice("benign", _("Nodule with benign calcification or fat")),
                Choice("solid", _("Solid nodule")),
                Choice("part_solid", _("Part-solid nodule")),
                Choice("ground_glass", _("Ground-glass nodule")),
                Choice("juxtapleural", _("Juxtapleural, smooth, lens-shaped or triangular")),
                Choice("airway", _("Airway nodule")),
                Choice("cyst", _("Atypical cyst")),
                Choice("inflammatory", _("Likely inflammation or infection")),
                Choice("incomplete", _("Not all of the lungs can be judged, or earlier CT awaited")),
            ),
            is_required=True,
        ),
        Field(
            "status",
            _("Since when"),
            choices=(
                Choice("baseline", _("First screening")),
                Choice("new", _("New")),
                Choice("stable", _("Stable or smaller")),
                Choice("growing", _("Growing: more than 1.5 mm in 12 months")),
                Choice("slow", _("Slow growth over several screenings")),
            ),
        ),
        Field("long", _("Long axis"), "number", unit="mm", maximum=300),
        Field("short", _("Short axis"), "number", unit="mm", maximum=300),
        Field("solid_long", _("Solid part, long axis"), "number", unit="mm", maximum=300),
        Field("solid_short", _("Solid part, short axis"), "number", unit="mm", maximum=300),
        Field("before", _("Mean diameter before"), "number", unit="mm", maximum=300),
        Field("months", _("Months since"), "number", maximum=240),
        Field(
            "previous",
            _("Category at the earlier screening"),
            choices=tuple(Choice(code, code) for code in ("2", "3", "4A", "4B", "4X")),
        ),
        Field(
            "airway",
            _("Airway"),
            choices=(Choice("subsegmental", _("Subsegmental")), Choice("segmental", _("Segmental or more proximal"))),
        ),
        Field(
            "cyst",
            _("Cyst"),
            choices=(
                Choice("thick", _("Thick wall")),
                Choice("multilocular", _("Multilocular, or has become so")),
                Choice("growing_cyst", _("Thick wall, its cavity grows")),
                Choice("growing_wall", _("Its wall or a nodule in it grows")),
                Choice("growing_multilocular", _("Multilocular and growing, more locules or new opacity")),
            ),
        ),
        Field("suspicious", _("Features that add suspicion (4X)"), "yes"),
        Field("other", _("Another significant finding (S)"), "yes"),
    ),
    calculate=calculate,
    pattern=r"\bLung[- ]?RADS(?:\s*(?:category|cat\.?|score|v?2022|:|=|is))*\s*([0-4](?:[ABX])?S?\b)",
    modalities=("CT",),
    regions=("chest", "thorax", "lung"),
)
