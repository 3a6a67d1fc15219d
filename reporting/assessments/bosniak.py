"""Bosniak classification of cystic renal masses, version 2019 (Radiology 2019;292:475). Lengths in mm.

    IV   an enhancing nodule: convex, >= 4 mm with obtuse margins, or of any size with acute margins
    III  an enhancing wall or septum that is thick (>= 4 mm) or irregular (obtuse protrusions of <= 3 mm)
    IIF  a smooth enhancing wall or septum of 3 mm, or >= 4 smooth thin (<= 2 mm) enhancing septa;
         at MRI also: heterogeneously hyperintense at unenhanced fat-saturated T1
    II   1-3 thin septa, any calcification, or homogeneous and 70 HU or more unenhanced, more than 20 HU and not
         enhancing, or too small to characterize
    I    a thin smooth wall, simple fluid (-9 to 20 HU), no septa, no calcification

Not for infectious, inflammatory or vascular lesions, nor when a quarter or more of the mass enhances.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from reporting.assessments.base import Answers, Choice, Field, NotApplicable, Result, Scheme

RESULTS = {
    "I": Result("I", _("Benign simple cyst"), _("No follow-up.")),
    "II": Result("II", _("Benign"), _("No follow-up.")),
    "IIF": Result(
        "IIF", _("Most are benign"), _("Follow up with CT or MRI after 6 and 12 months, then every year for 5 years.")
    ),
    "III": Result("III", _("Intermediate probability of malignancy"), _("Refer to urology.")),
    "IV": Result("IV", _("Most are malignant"), _("Refer to urology.")),
}


def _has_nodule(answers: Answers) -> bool:
    kind = answers.get("protrusion", "none")
    if kind == "acute":
        return True
    if kind == "obtuse" and "protrusion_size" not in answers:
        raise NotApplicable("protrusion_size", _("Measure the protrusion."))
    return kind == "obtuse" and answers["protrusion_size"] >= 4


def _is_irregular(answers: Answers) -> bool:
    """An obtuse protrusion of up to 3 mm."""
    return answers.get("protrusion") == "obtuse"


def calculate(answers: Answers) -> Result:
    if not answers["applies"]:
        raise NotApplicable(
            "applies", _("The classification is for cystic masses of which less than a quarter enhances.")
        )
    if _has_nodule(answers):
        return RESULTS["IV"]
    enhances = bool(answers.get("enhances"))
    thickest = max(answers.get("wall", 0), answers.get("septum", 0))
    if enhances and (thickest >= 4 or _is_irregular(answers)):
        return RESULTS["III"]
    septa, content = answers["septa"], answers["content"]
    if (enhances and (thickest > 2 or septa == "many")) or content == "t1_heterogeneous":
        return RESULTS["IIF"]
    if septa != "none" or answers.get("calcification") or content != "simple":
        return RESULTS["II"]
    return RESULTS["I"]


BOSNIAK = Scheme(
    key="bosniak",
    name="Bosniak",
    version="2019",
    subject=_("Cystic renal mass"),
    fields=(
        Field("applies", _("Cystic, less than a quarter enhances, not infected"), "yes", is_required=True),
        Field(
            "content",
            _("Content"),
            choices=(
                Choice("simple", _("Simple fluid (-9 to 20 HU)")),
                Choice("dense", _("Homogeneous, 70 HU or more unenhanced")),
                Choice("above20", _("Homogeneous, more than 20 HU, does not enhance")),
                Choice("small", _("Homogeneous, too small to characterize")),
                Choice("t1_heterogeneous", _("MRI: heterogeneously bright at T1 with fat saturation")),
            ),
            is_required=True,
        ),
        Field(
            "septa",
            _("Septa"),
            choices=(Choice("none", _("None")), Choice("few", _("1 to 3")), Choice("many", _("4 or more"))),
            is_required=True,
        ),
        Field("wall", _("Thickness of the wall"), "number", unit="mm", maximum=50),
        Field("septum", _("Thickness of the thickest septum"), "number", unit="mm", maximum=50),
        Field("enhances", _("Wall or septa enhance"), "yes"),
        Field(
            "protrusion",
            _("Enhancing convex protrusion"),
            choices=(
                Choice("none", _("None")),
                Choice("obtuse", _("With obtuse margins")),
                Choice("acute", _("With acute margins")),
            ),
        ),
        Field("protrusion_size", _("Size of the protrusion"), "number", unit="mm", maximum=100),
        Field("calcification", _("Calcification"), "yes"),
    ),
    calculate=calculate,
    pattern=r"\bBosniak(?:\s*(?:class|category|cat\.?|v?2019|:|=|is))*\s*(IV|III|IIF|II|I|[1-4]F?)\b",
    modalities=("CT", "MR"),
    regions=("abdomen", "kidney", "urinary"),
)
