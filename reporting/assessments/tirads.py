"""ACR TI-RADS 2017 (J Am Coll Radiol 2017;14:587): points for a thyroid nodule, and what follows by size.

    Composition   cystic 0, spongiform 0 (no further points), mixed 1, solid 2, cannot be determined 2
    Echogenicity  anechoic 0, hyper- or isoechoic 1, hypoechoic 2, very hypoechoic 3, cannot be determined 1
    Shape         wider than tall 0, taller than wide 3
    Margin        smooth 0, ill-defined 0, lobulated or irregular 2, extra-thyroidal extension 3, not determined 0
    Foci (added)  none or large comet tails 0, macrocalcifications 1, rim 2, punctate 3

    Points   0 TR1   2 TR2   3 TR3 (FNA 25, follow 15 mm)   4-6 TR4 (15, 10)   7 and more TR5 (10, 5)

The paper gives a total of 1 no class; here it is TR2, the next higher, for which nothing else is advised either.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from reporting.assessments.base import Answers, Choice, Field, Result, Scheme

TITLES = {
    1: _("Benign"),
    2: _("Not suspicious"),
    3: _("Mildly suspicious"),
    4: _("Moderately suspicious"),
    5: _("Highly suspicious"),
}
#: class: (needle from, follow from), both in mm
SIZES = {3: (25, 15), 4: (15, 10), 5: (10, 5)}
FOLLOW = {
    3: _("Follow up with ultrasound after 1, 3 and 5 years."),
    4: _("Follow up with ultrasound after 1, 2, 3 and 5 years."),
    5: _("Follow up with ultrasound every year for 5 years."),
}

FIELDS = (
    Field(
        "composition",
        _("Composition"),
        choices=(
            Choice("cystic", _("Cystic or almost completely cystic"), 0),
            Choice("spongiform", _("Spongiform"), 0),
            Choice("mixed", _("Mixed cystic and solid"), 1),
            Choice("solid", _("Solid or almost completely solid"), 2),
            Choice("unknown", _("Cannot be determined"), 2),
        ),
        is_required=True,
    ),
    Field(
        "echogenicity",
        _("Echogenicity"),
        choices=(
            Choice("anechoic", _("Anechoic"), 0),
            Choice("iso", _("Hyperechoic or isoechoic"), 1),
            Choice("hypo", _("Hypoechoic"), 2),
            Choice("very_hypo", _("Very hypoechoic"), 3),
            Choice("unknown", _("Cannot be determined"), 1),
        ),
        is_required=True,
    ),
    Field(
        "shape",
        _("Shape"),
        choices=(Choice("wider", _("Wider than tall"), 0), Choice("taller", _("Taller than wide"), 3)),
        is_required=True,
    ),
    Field(
        "margin",
        _("Margin"),
        choices=(
            Choice("smooth", _("Smooth"), 0),
            Choice("ill_defined", _("Ill-defined"), 0),
            Choice("irregular", _("Lobulated or irregular"), 2),
            Choice("extension", _("Extra-thyroidal extension"), 3),
            Choice("unknown", _("Cannot be determined"), 0),
        ),
        is_required=True,
    ),
    Field(
        "foci",
        _("Echogenic foci"),
        "many",
        choices=(
            Choice("comet", _("None, or large comet-tail artefacts"), 0),
            Choice("macro", _("Macrocalcifications"), 1),
            Choice("rim", _("Peripheral (rim) calcifications"), 2),
            Choice("punctate", _("Punctate echogenic foci"), 3),
        ),
    ),
    Field("size", _("Largest dimension"), "number", unit="mm", is_required=True, maximum=200),
)


def points_of(answers: Answers) -> int:
    if answers["composition"] == "spongiform":
        return 0
    return sum(question.points(answers) for question in FIELDS)


def class_of(points: int) -> int:
    if points == 0:
        return 1
    return 2 if points <= 2 else 3 if points == 3 else 4 if points <= 6 else 5


def calculate(answers: Answers) -> Result:
    points = points_of(answers)
    level = class_of(points)
    needle, follow = SIZES.get(level, (None, None))
    if needle is not None and answers["size"] >= needle:
        advice = _("Fine-needle aspiration.")
    elif follow is not None and answers["size"] >= follow:
        advice = FOLLOW[level]
    else:
        advice = _("No aspiration and no follow-up.")
    return Result(f"TR{level}", TITLES[level], advice, points)


TIRADS = Scheme(
    key="tirads",
    name="ACR TI-RADS",
    version="2017",
    subject=_("Thyroid nodule"),
    fields=FIELDS,
    calculate=calculate,
    pattern=r"\b(TR ?[1-5]|(?<=TI-RADS )[1-5]|(?<=TIRADS )[1-5])\b",
    modalities=("US",),
    regions=("thyroid", "neck"),
)
