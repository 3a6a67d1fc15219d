"""PI-RADS v2.1 (Eur Urol 2019;76:340): one prostate lesion from its sequences.

Peripheral zone   the DWI score; DWI 3 becomes 4 when dynamic contrast enhancement is positive
Transition zone   the T2W score; T2W 2 becomes 3 when DWI is 4 or 5; T2W 3 becomes 4 when DWI is 5
Without adequate DWI (both zones)   the T2W score; T2W 3 becomes 4 when enhancement is positive
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from reporting.assessments.base import Answers, Choice, Field, NotApplicable, Result, Scheme

TITLES = {
    1: (_("Clinically significant cancer is highly unlikely"), _("No biopsy because of this lesion.")),
    2: (_("Clinically significant cancer is unlikely"), _("No biopsy because of this lesion.")),
    3: (_("Equivocal"), _("Decide on biopsy with PSA density and the clinical picture.")),
    4: (_("Clinically significant cancer is likely"), _("Consider a targeted biopsy.")),
    5: (_("Clinically significant cancer is highly likely"), _("Consider a targeted biopsy.")),
}
SCORES = tuple(Choice(str(n), str(n)) for n in range(1, 6))


def calculate(answers: Answers) -> Result:
    dwi = int(answers["dwi"]) if answers["dwi"] != "x" else None
    t2 = int(answers["t2"]) if "t2" in answers else None
    enhances = bool(answers.get("dce"))
    if dwi is not None and answers["zone"] == "peripheral":
        score = 4 if dwi == 3 and enhances else dwi
    elif t2 is None:
        raise NotApplicable("t2", _("Here the T2-weighted score decides: give it."))
    elif dwi is None:
        score = 4 if t2 == 3 and enhances else t2
    elif t2 == 2:
        score = 3 if dwi >= 4 else 2
    else:
        score = 4 if t2 == 3 and dwi == 5 else t2
    title, management = TITLES[score]
    return Result(str(score), title, management)


PIRADS = Scheme(
    key="pirads",
    name="PI-RADS",
    version="2.1",
    subject=_("Prostate lesion"),
    fields=(
        Field(
            "zone",
            _("Zone"),
            choices=(Choice("peripheral", _("Peripheral zone")), Choice("transition", _("Transition zone"))),
            is_required=True,
        ),
        Field("dwi", _("DWI/ADC score"), choices=(*SCORES, Choice("x", _("Not adequate"))), is_required=True),
        Field("t2", _("T2-weighted score"), choices=SCORES),
        Field("dce", _("Dynamic contrast enhancement is positive"), "yes"),
        Field("size", _("Largest dimension"), "number", unit="mm", maximum=150),
    ),
    calculate=calculate,
    pattern=r"\bPI[- ]?RADS(?:\s*(?:category|cat\.?|score|v?2\.1|:|=|is))*\s*([1-5])\b",
    modalities=("MR",),
    regions=("prostate", "pelvis"),
)
