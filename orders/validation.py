"""What a value of a patient or an order may be. Pure: values in, cleaned values or messages per field out.

PS3.5 6.2: SH and LO refuse backslash and control characters; the components of PN refuse ``^`` and ``=`` as well,
and one group of PN has at most 64 characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone
from django.utils.translation import gettext as _

from ris.core.errors import InvalidData

OLDEST_YEARS = 130
PN_GROUP_LENGTH = 64
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
PHONE = re.compile(r"[0-9+()/. \-#*extEXT,;]{3,40}")
NAME_LENGTHS = {
    "family_name": 64,
    "given_name": 64,
    "middle_name": 64,
    "prefix": 32,
    "suffix": 32,
    "ideographic_name": 64,
    "phonetic_name": 64,
}


class Errors:
    """Messages per field, raised together so that a person corrects them in one go."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def add(self, field: str, message: str) -> None:
        self.found.setdefault(field, []).append(message)

    def raise_if_any(self, detail: str = "") -> None:
        if self.found:
            raise InvalidData(
                detail or _("Some values cannot be accepted."),
                found=_("See the fields that are marked."),
                todo=_("Correct them and send again; nothing was stored."),
                errors=self.found,
            )


def short_string(value: Any, field: str, errors: Errors, *, length: int, required: bool = False) -> str:
    """SH, LO and the like: one line, no backslash."""
    text = "" if value is None else str(value).strip()
    if required and not text:
        errors.add(field, _("This is needed."))
    if len(text) > length:
        errors.add(field, _("At most %(count)d characters.") % {"count": length})
    if CONTROL.search(text):
        errors.add(field, _("Control characters are not allowed."))
    if "\\" in text:
        errors.add(field, _("A backslash is not allowed: DICOM uses it between values."))
    return text


def long_text(value: Any, field: str, errors: Errors, *, length: int = 10240) -> str:
    """LT, UT: lines and tabs may be."""
    text = "" if value is None else str(value).replace("\r\n", "\n").strip()
    if len(text) > length:
        errors.add(field, _("At most %(count)d characters.") % {"count": length})
    if CONTROL_BUT_LINES.search(text):
        errors.add(field, _("Control characters are not allowed."))
    return text


def name_part(value: Any, field: str, errors: Errors) -> str:
    text = short_string(value, field, errors, length=NAME_LENGTHS[field])
    if "^" in text and field not in ("ideographic_name", "phonetic_name"):
        errors.add(field, _("A caret (^) is not allowed: it stands between the parts of a name."))
    if "=" in text:
        errors.add(field, _("An equals sign is not allowed: it stands between the spellings of a name."))
    return text


def names(values: Mapping[str, Any], errors: Errors) -> dict[str, str]:
    """The name components among ``values``; the alphabetic group as a whole fits DICOM."""
    cleaned = {field: name_part(values[field], field, errors) for field in NAME_LENGTHS if field in values}
    if "family_name" in cleaned and not cleaned["family_name"]:
        errors.add("family_name", _("This is needed. Who has one name only: write it here."))
    return cleaned


def name_group_fits(values: Mapping[str, str], errors: Errors) -> None:
    parts = [values.get(field, "") for field in ("family_name", "given_name", "middle_name", "prefix", "suffix")]
    if len("^".join(parts).rstrip("^")) > PN_GROUP_LENGTH:
        errors.add("family_name", _("The parts of the name together have at most 64 characters."))


def birth_date(value: Any, errors: Errors, field: str = "birth_date") -> date | None:
    """A date, or an ISO 8601 string; never in the future, never more than 130 years ago."""
    if value in (None, ""):
        return None
    if isinstance(value, datetime):
        value = value.date()
    if not isinstance(value, date):
        try:
            value = date.fromisoformat(str(value))
        except ValueError:
            errors.add(field, _("This is not a date."))
            return None
    today = timezone.localdate()
    if value > today:
        errors.add(field, _("This date lies in the future."))
    elif value.year < today.year - OLDEST_YEARS:
        errors.add(field, _("Nobody is that old."))
    return value


def luhn_is_right(value: str) -> bool:
    """M10 of HL7 table 0061, over the figures in it."""
    figures = [int(sign) for sign in value if sign.isdecimal()]
    doubled = [figure if place % 2 == 0 else sum(divmod(figure * 2, 10)) for place, figure in enumerate(figures[::-1])]
    return len(figures) > 1 and sum(doubled) % 10 == 0


def mod_11_is_right(value: str) -> bool:
    """M11 of HL7 table 0061: weights 2 to 7 from the right; a remainder of 1 is never given out."""
    figures = [int(sign) for sign in value if sign.isdecimal()]
    if len(figures) < 2:
        return False
    rest = sum(figure * (2 + place % 6) for place, figure in enumerate(figures[-2::-1])) % 11
    return rest != 1 and figures[-1] == (11 - rest) % 11


CHECK_DIGITS = {"M10": luhn_is_right, "M11": mod_11_is_right}


def choice(value: Any, choices: Any, field: str, errors: Errors) -> str:
    text = "" if value is None else str(value)
    if text not in choices.values:
        errors.add(field, _("Choose one of: %(choices)s.") % {"choices": ", ".join(v for v in choices.values if v)})
    return text


def phone(value: Any, errors: Errors, field: str = "phone") -> str:
    text = short_string(value, field, errors, length=40)
    if text and field not in errors.found and not PHONE.fullmatch(text):
        errors.add(field, _("This does not look like a phone number."))
    return text


def email(value: Any, errors: Errors, field: str = "email") -> str:
    text = short_string(value, field, errors, length=254)
    if text:
        try:
            validate_email(text)
        except ValidationError:
            errors.add(field, _("This is not an e-mail address."))
    return text


def decimal(value: Any, field: str, errors: Errors, *, low: str, high: str) -> Decimal | None:
    if value in (None, ""):
        return None
    try:
        number = Decimal(str(value)).quantize(Decimal("0.01"))
    except InvalidOperation:
        errors.add(field, _("This is not a number."))
        return None
    if not Decimal(low) <= number <= Decimal(high):
        errors.add(field, _("Between %(low)s and %(high)s.") % {"low": low, "high": high})
    return number


def fits_sh(value: str) -> bool:
    """SH: 1 to 16 characters, no backslash, no control character, no space at the ends."""
    return 0 < len(value) <= 16 and value == value.strip() and "\\" not in value and not CONTROL.search(value)
