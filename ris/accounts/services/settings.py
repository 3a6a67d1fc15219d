"""The facility's own decisions are changed."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ris.accounts.models import FacilitySettings
from ris.accounts.selectors import facility_settings
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData


@service("accounts.change_settings")
def change_settings(*, actor: Actor, **changes: Any) -> FacilitySettings:
    """What is not named stays. Raises InvalidData."""
    row = FacilitySettings.locked(facility_settings().pk)
    for name, value in changes.items():
        setattr(row, name, value)
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as refusal:
        raise InvalidData(_("These settings cannot be kept."), errors=refusal.message_dict) from None
    row.save_as(actor, "Settings changed")
    return row
