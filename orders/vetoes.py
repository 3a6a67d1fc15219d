"""What the facility may not decide: patterns that give no numbers. Asked before its settings are saved."""

from __future__ import annotations

import re
from typing import Any

from django.db.models.signals import pre_save
from django.utils.translation import gettext as _

from orders.services.accession import parse_pattern
from orders.validation import Errors, name_part
from ris.accounts.models import FacilitySettings
from ris.core.errors import InvalidData


def check_settings(sender: Any, instance: FacilitySettings, **kwargs: Any) -> None:
    """Raises InvalidData with the field that is wrong."""
    parse_pattern(instance.accession_pattern)
    try:
        syntax = re.compile(instance.mrn_syntax)
        number = instance.mrn_pattern.format(prefix=instance.mrn_prefix, seq=1, yy="26")
    except (re.error, KeyError, IndexError, ValueError, AttributeError):
        raise _refusal(_("Either is not a pattern.")) from None
    if "{seq" not in instance.mrn_pattern or not syntax.fullmatch(number):
        raise _refusal(_("The pattern gives numbers that are not what they should look like."))
    for word in instance.emergency_words:
        errors = Errors()
        name_part(word, "given_name", errors)
        if errors.found:
            raise InvalidData(
                _("This cannot be a name for unidentified patients."),
                found="; ".join(errors.found["given_name"]),
                todo=_("Use words of letters, figures and hyphens, separated by commas."),
                errors={"emergency_words": errors.found["given_name"]},
            )


def _refusal(found: str) -> InvalidData:
    return InvalidData(
        _("These medical record numbers cannot be made."),
        found=found,
        todo=_("{prefix} and {seq:07} may stand in the pattern; what it looks like is a regular expression."),
        errors={"mrn_pattern": [found]},
    )


def connect() -> None:
    pre_save.connect(check_settings, sender=FacilitySettings, dispatch_uid="orders.check_settings")
