"""ACR CT/MRI LI-RADS v2018, for patients at risk of hepatocellular carcinoma.

    Major features besides size and      No nonrim arterial       Nonrim arterial phase
    arterial hyperenhancement            hyperenhancement         hyperenhancement
    (capsule, washout, threshold growth) < 20 mm   >= 20 mm       < 10     10-19      >= 20 mm
    none                                 LR-3      LR-3           LR-3     LR-3       LR-4
    one                                  LR-3      LR-4           LR-4     LR-4/5     LR-5
    two or more                          LR-4      LR-4           LR-4     LR-5       LR-5

10-19 mm with one: LR-4 when it is the capsule, LR-5 when washout or threshold growth. Ancillary features move by one:
up to LR-4 at most, or down; when both are there, not at all. Tumour in vein is LR-TIV, targetoid features LR-M.
After treatment: LR-TR nonviable, equivocal, viable, nonevaluable.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from reporting.assessments.base import Answers, Choice, Field, NotApplicable, Result, Scheme

RESULTS = {
    "NC": (_("Not categorizable: images are missing or degraded"), _("Repeat or use another method within 3 months.")),
    "1": (_("Definitely benign"), _("Go on with surveillance in 6 months.")),
    "2": (
        _("Probably benign"),
        _("Go on with surveillance in 6 months; repeat diagnostic imaging in at most 6 months."),
    ),
    "3": (_("Intermediate probability of malignancy"), _("Repeat or alternative diagnostic imaging in 3 to 6 months.")),
    "4": (
        _("Probably hepatocellular carcinoma"),
        _("Discuss in the multidisciplinary meeting; it may need biopsy or another method."),
    ),
    "5": (_("Definitely hepatocellular carcinoma"), _("Discuss treatment in the multidisciplinary meeting.")),
    "M": (
        _("Probably or definitely malignant, not specific for hepatocellular carcinoma"),
        _("Discuss in the multidisciplinary meeting; it may need biopsy."),
    ),
    "TIV": (_("Malignancy with tumour in vein"), _("Discuss in the multidisciplinary meeting.")),
    "TR nonviable": (_("Treated, probably or definitely not viable"), _("Continue to monitor every 3 months.")),
    "TR equivocal": (_("Treated, equivocally viable"), _("Continue to monitor every 3 months.")),
    "TR viable": (
        _("Treated, probably or definitely viable"),
        _("Discuss further treatment in the multidisciplinary meeting."),
    ),
    "TR nonevaluable": (_("Treated, response cannot be judged"), _("Repeat or use another method within 3 months.")),
}
FIXED = {"not_categorizable": "NC", "benign": "1", "probably_benign": "2", "tumour_in_vein": "TIV", "targetoid": "M"}


def by_major_features(size: float, *, has_aphe: bool, features: list[str]) -> int:
    """The diagnostic table; ``size`` in mm."""
    count = len(features)
    if not has_aphe:
        return 4 if count >= 2 or (count == 1 and size >= 20) else 3
    if size < 10:
        return 4 if count else 3
    if size >= 20:
        return 5 if count else 4
    if count == 1:
        return 4 if features == ["capsule"] else 5
    return 5 if count else 3


def _moved(category: int, ancillary: list[str]) -> int:
    malignant, benign = "malignant" in ancillary, "benign" in ancillary
    if malignant == benign:
        return category
    if benign:
        return category - 1
    return max(category, min(category + 1, 4))


def calculate(answers: Answers) -> Result:
    if not answers["at_risk"]:
        raise NotApplicable("at_risk", _("LI-RADS is for patients with cirrhosis, chronic hepatitis B or known HCC."))
    kind = answers["observation"]
    if kind in FIXED:
        category = FIXED[kind]
    elif kind.startswith("treated_"):
        category = f"TR {kind.removeprefix('treated_')}"
    else:
        if "size" not in answers:
            raise NotApplicable("size", _("Measure it."))
        number = by_major_features(
            answers["size"], has_aphe=bool(answers.get("aphe")), features=answers.get("features", [])
        )
        category = str(_moved(number, answers.get("ancillary", [])))
    title, management = RESULTS[category]
    return Result(f"LR-{category}" if category != "NC" else "LR-NC", title, management)


LIRADS = Scheme(
    key="lirads",
    name="LI-RADS",
    version="CT/MRI 2018",
    subject=_("Liver at risk"),
    fields=(
        Field("at_risk", _("Cirrhosis, chronic hepatitis B, or current or earlier HCC"), "yes", is_required=True),
        Field(
            "observation",
            _("Observation"),
            choices=(
                Choice("untreated", _("Untreated, to be graded")),
                Choice("benign", _("Definitely benign")),
                Choice("probably_benign", _("Probably benign")),
                Choice("targetoid", _("Targetoid or otherwise malignant, not HCC")),
                Choice("tumour_in_vein", _("Tumour in vein")),
                Choice("not_categorizable", _("Cannot be categorized")),
                Choice("treated_nonviable", _("Treated: nonviable")),
                Choice("treated_equivocal", _("Treated: equivocal")),
                Choice("treated_viable", _("Treated: viable")),
                Choice("treated_nonevaluable", _("Treated: cannot be evaluated")),
            ),
            is_required=True,
        ),
        Field("size", _("Size"), "number", unit="mm", maximum=500),
        Field("aphe", _("Nonrim arterial phase hyperenhancement"), "yes"),
        Field(
            "features",
            _("Other major features"),
            "many",
            choices=(
                Choice("washout", _("Nonperipheral washout")),
                Choice("capsule", _("Enhancing capsule")),
                Choice("growth", _("Threshold growth: by at least 50 %, in 6 months or less")),
            ),
        ),
        Field(
            "ancillary",
            _("Ancillary features"),
            "many",
            choices=(Choice("malignant", _("In favour of malignancy")), Choice("benign", _("In favour of benignity"))),
        ),
    ),
    calculate=calculate,
    pattern=r"\b(LR[- ]?(?:TR[- ](?:nonviable|equivocal|viable|nonevaluable)|TIV|NC|[1-5M])\b)",
    modalities=("CT", "MR"),
    regions=("liver", "abdomen"),
)
