"""What the codes in messages mean, for the third column of a message's fields. HL7 tables 0003, 0008, 0038, 0085, 0119,
0123, 0278 and 0065, as far as we send or take them.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from interop.hl7.messages import Message

ORDER_CONTROL = {
    "NW": _("New order"), "SN": _("New order, number to follow"), "XO": _("Changed"), "XX": _("Changed by us"),
    "CA": _("Cancel"), "OC": _("Cancelled by us"), "DC": _("Discontinue"), "OD": _("Discontinued by us"),
    "SC": _("Status changed"), "OK": _("Accepted"), "UA": _("Not accepted"), "CR": _("Cancelled as asked"),
    "UC": _("Could not be cancelled"), "DR": _("Discontinued as asked"), "UD": _("Could not be discontinued"),
    "XR": _("Changed as asked"), "UX": _("Could not be changed"), "RE": _("Results follow"), "OH": _("On hold"),
    "HD": _("Put on hold"), "HR": _("Put on hold as asked"), "UH": _("Could not be put on hold"),
    "RL": _("Release"), "OR": _("Released as asked"), "UR": _("Could not be released"),
    "RU": _("Replaced by us"), "RP": _("Replace"), "RO": _("Replacement"),
}  # fmt: skip
ORDER_STATUS = {
    "SC": _("Scheduled"), "IP": _("In progress"), "A": _("Some results"), "CM": _("Completed"), "CA": _("Cancelled"),
    "DC": _("Discontinued"), "HD": _("On hold"),
}  # fmt: skip
RESULT_STATUS = {
    "O": _("Order received"), "S": _("Scheduled"), "I": _("In progress"), "P": _("Preliminary"), "F": _("Final"),
    "C": _("Corrected"), "X": _("No result"), "A": _("Some results"), "W": _("Wrong patient"),
}  # fmt: skip
ACKNOWLEDGED = {
    "AA": _("Accepted"), "AE": _("Error: tried again"), "AR": _("Refused"), "CA": _("Received"),
    "CE": _("Receipt failed"), "CR": _("Receipt refused"),
}  # fmt: skip
MESSAGES = {
    "ADT^A04": _("Patient registered"), "ADT^A28": _("Patient registered"), "ADT^A08": _("Patient corrected"),
    "ADT^A31": _("Patient corrected"), "ADT^A40": _("Patients merged"), "ADT^A47": _("Patient identified"),
    "ORM^O01": _("Order"), "OMG^O19": _("Order"), "OMI^O23": _("Imaging order"), "ORR^O02": _("Answer to an order"),
    "ORG^O20": _("Answer to an order"), "ORI^O24": _("Answer to an order"), "ORU^R01": _("Report"),
    "SIU^S12": _("Appointment booked"), "SIU^S13": _("Appointment moved"), "SIU^S14": _("Appointment changed"),
    "SIU^S15": _("Appointment cancelled"), "SIU^S26": _("Patient did not come"), "DFT^P03": _("Charge"),
    "MDM^T02": _("Document"),
}  # fmt: skip
CODES: dict[str, dict[str, Any]] = {
    "ORC-1": ORDER_CONTROL,
    "ORC-5": ORDER_STATUS,
    "OBR-25": RESULT_STATUS,
    "OBX-11": RESULT_STATUS,
    "MSA-1": ACKNOWLEDGED,
    "FT1-6": {"CG": _("Charge"), "CR": _("Credit")},
    "PV1-2": {"I": _("Inpatient"), "O": _("Outpatient"), "E": _("Emergency")},
    "MSH-11": {"P": _("Production"), "T": _("Training"), "D": _("Debugging")},
    "MSH-15": {"AL": _("always"), "NE": _("never"), "ER": _("on errors"), "SU": _("on success")},
    "MSH-16": {"AL": _("always"), "NE": _("never"), "ER": _("on errors"), "SU": _("on success")},
}


def meaning_of(place: str, value: str, message: Message) -> Any:
    """Of one line as ``dictionary.lines`` gives it; empty where the value speaks for itself."""
    segment, _separator, number = place.partition("-")
    plain = f"{segment.split('[')[0]}-{number}"
    if plain == "MSH-9":
        return MESSAGES.get(message.header.message_type, "")
    if plain in ("OBR-4", "OBX-3", "AIS-3"):
        parts = value.split("^")
        return parts[1] if len(parts) > 1 else ""
    return CODES.get(plain, {}).get(value, "")
