"""The facility's own decisions are changed."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ris.accounts.models import FacilitySettings
from ris.accounts.outbound import keeps_secret
from ris.accounts.selectors import facility_settings
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData


def check_gateway_token(before: str, row: FacilitySettings, *, given: bool) -> None:
    """The token that was entered for one gateway is not sent to another unasked."""
    is_elsewhere = bool(row.sms_gateway_url) and not keeps_secret(before, row.sms_gateway_url)
    if is_elsewhere and before and row.sms_gateway_token and not given:
        words = _("The gateway has changed: enter its token again.")
        raise InvalidData(_("These settings cannot be kept."), errors={"sms_gateway_token": [words]})


@service("accounts.change_settings")
def change_settings(*, actor: Actor, **changes: Any) -> FacilitySettings:
    """What is not named stays. Raises InvalidData."""
    row = FacilitySettings.locked(facility_settings().pk)
    before = row.sms_gateway_url
    for name, value in changes.items():
        setattr(row, name, value)
    check_gateway_token(before, row, given=bool(changes.get("sms_gateway_token")))
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as refusal:
        raise InvalidData(_("These settings cannot be kept."), errors=refusal.message_dict) from None
    row.save_as(actor, "Settings changed")
    return row
