"""Context groups of PS3.16 and the short lists of the console."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from ris.core.concepts import DISCONTINUATION_REASONS, Code

__all__ = [
    "DISCONTINUATION_REASONS",
    "IDENTIFIED_BY",
    "MISSING",
    "NOTE_CHIPS",
    "REJECT_REASONS",
    "ROUTE_ALIASES",
    "TIME_OUT_CHECKS",
    "WORDS_OF_DISCONTINUATION",
    "Code",
]

#: CID 7011, Rejected for Quality Reasons
REJECT_REASONS = {
    "111207": _("Image artifact"),
    "111208": _("Grid artifact"),
    "111209": _("Positioning"),
    "111210": _("Motion blur"),
    "111211": _("Under exposed"),
    "111212": _("Over exposed"),
    "111213": _("No image"),
    "111214": _("Detector artifact"),
    "111215": _("Other artifact"),
    "111216": _("Mechanical failure"),
    "111217": _("Electrical failure"),
    "111218": _("Software failure"),
    "111219": _("Inappropriate image processing"),
    "111220": _("Other failure"),
    "111221": _("Unknown failure"),
    "113026": _("Double exposure"),
}

#: CID 9300 and 9301 in the reader's language
WORDS_OF_DISCONTINUATION = {
    "110500": _("The doctor called it off"),
    "110501": _("Equipment failure"),
    "110502": _("Wrong procedure ordered"),
    "110503": _("Allergic to the medium or contrast"),
    "110504": _("The patient died"),
    "110505": _("The patient refused to go on"),
    "110506": _("Taken away for treatment or surgery"),
    "110507": _("The patient did not come"),
    "110508": _("The patient is pregnant"),
    "110509": _("Changed for correct charging"),
    "110510": _("Ordered twice"),
    "110511": _("Called off by the ward"),
    "110512": _("Wrong side ordered"),
    "110513": _("Reason not stated"),
    "110514": _("Wrong worklist entry chosen"),
    "110515": _("The patient's condition did not allow it"),
    "110516": _("Moved to another machine"),
}

IDENTIFIED_BY = {
    "wristband": _("Wristband read"),
    "identifier": _("Identifier read on a document"),
    "name": _("Asked: name"),
    "birth_date": _("Asked: date of birth"),
    "photo": _("Photo on a document"),
    "carer": _("Confirmed by a carer"),
}
TIME_OUT_CHECKS = {
    "exam": _("Exam agrees with the request"),
    "side": _("Side agrees, or there is none"),
    "pregnancy": _("Pregnancy asked, or not applicable"),
    "allergy": _("Allergies seen"),
    "entry": _("Right worklist entry on the scanner"),
    "renal": _("Kidney function seen"),
    "consent": _("Consent is signed"),
}
#: What a completion asks for; the keys stay, analytics counts them.
MISSING = {
    "time_out": _("Time-out"),
    "questions": _("Safety questions"),
    "block": _("Allowance of the blocking answers"),
    "contrast": _("Contrast given"),
    "lot": _("Lot of the contrast"),
    "images": _("Images"),
    "count": _("Reason of the other image count"),
}
#: How other systems and people write the routes of CID 11.
ROUTE_ALIASES = {
    "IV": "47625008",
    "IA": "58100008",
    "PO": "26643006",
    "ORAL": "26643006",
    "PR": "37161004",
    "RECTAL": "37161004",
    "IM": "78421000",
    "SC": "34206005",
    "IT": "72607000",
}
NOTE_CHIPS = {
    "motion": _("Motion"),
    "breath": _("Short breath-hold"),
    "repeat": _("Repeated"),
    "cooperation": _("Limited cooperation"),
    "side": _("Different side asked"),
    "access": _("Difficult access"),
}
