"""ACR BI-RADS Atlas, 5th edition (2013): final assessment per breast, and the overall one.

    0   incomplete                     additional imaging or earlier images
    1   negative                       routine screening
    2   benign                         routine screening
    3   probably benign (<= 2 %)       short-interval follow-up (6 months)
    4A  low suspicion (> 2-10 %)       tissue diagnosis
    4B  moderate (> 10-50 %)           tissue diagnosis
    4C  high (> 50-< 95 %)             tissue diagnosis
    5   highly suggestive (>= 95 %)    tissue diagnosis
    6   known, biopsy-proven           surgical excision when appropriate

The overall assessment is the most suspicious of both breasts, in the Atlas's order 1, 2, 3, 6, 0, 4, 5.
"""

from __future__ import annotations

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from reporting.assessments.base import Answers, Choice, Field, NotApplicable, Result, Scheme

RESULTS = {
    "0": Result("0", _("Incomplete"), _("Take additional images, or compare with earlier ones.")),
    "1": Result("1", _("Negative"), _("Go on with routine screening.")),
    "2": Result("2", _("Benign"), _("Go on with routine screening.")),
    "3": Result("3", _("Probably benign (at most 2 %)"), _("Follow up at a short interval: 6 months.")),
    "4": Result("4", _("Suspicious (2 to 95 %)"), _("Obtain a tissue diagnosis.")),
    "4A": Result("4A", _("Low suspicion of malignancy (2 to 10 %)"), _("Obtain a tissue diagnosis.")),
    "4B": Result("4B", _("Moderate suspicion of malignancy (10 to 50 %)"), _("Obtain a tissue diagnosis.")),
    "4C": Result("4C", _("High suspicion of malignancy (50 to 95 %)"), _("Obtain a tissue diagnosis.")),
    "5": Result("5", _("Highly suggestive of malignancy (at least 95 %)"), _("Obtain a tissue diagnosis.")),
    "6": Result("6", _("Known malignancy, proven by biopsy"), _("Excise surgically when clinically appropriate.")),
}
#: From the least to the most suspicious.
ORDER = ("1", "2", "3", "6", "0", "4", "4A", "4B", "4C", "5")
ASSESSED = tuple(Choice(code, format_lazy("{} {}", code, result.title)) for code, result in RESULTS.items())


def calculate(answers: Answers) -> Result:
    given = [answers[side] for side in ("right", "left") if answers.get(side)]
    if not given:
        raise NotApplicable("right", _("Assess at least one breast."))
    return RESULTS[max(given, key=ORDER.index)]


BIRADS = Scheme(
    key="birads",
    name="BI-RADS",
    version="5th ed. 2013",
    subject=_("Breast"),
    fields=(
        Field("right", _("Right breast"), choices=ASSESSED),
        Field("left", _("Left breast"), choices=ASSESSED),
        Field(
            "density",
            _("Composition (mammography)"),
            choices=(
                Choice("a", _("a: almost entirely fatty")),
                Choice("b", _("b: scattered fibroglandular density")),
                Choice("c", _("c: heterogeneously dense, may obscure small masses")),
                Choice("d", _("d: extremely dense, lowers sensitivity")),
            ),
        ),
    ),
    calculate=calculate,
    pattern=r"\bBI[- ]?RADS(?:\s*(?:category|cat\.?|score|:|=|is))*\s*([0-6][A-C]?)(?!\w)",
    modalities=("MG", "US", "MR"),
    regions=("breast",),
)
