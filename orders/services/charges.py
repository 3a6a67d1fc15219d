"""Charges: drafted from what was performed, confirmed by a person, void with a reason."""

from __future__ import annotations

from django.utils.translation import gettext as _

from orders import permissions as perms
from orders import validation
from orders.models import Charge, ChargeStatus, PriceItem, RequestedProcedure
from orders.services.lifecycle import locked_procedure
from orders.validation import Errors
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor


@service(perms.MANAGE_CHARGE, action=Action.CREATE)
def draft_charges(procedure: RequestedProcedure, *, actor: Actor) -> list[Charge]:
    """One draft per active price of the exam; what is drafted already stays as it is. No price, no draft."""
    procedure = locked_procedure(procedure)
    if procedure.catalogue_id is None:
        return []
    known = set(procedure.charges.exclude(status=ChargeStatus.ABORTED).values_list("code", flat=True))
    drafted = []
    for price in PriceItem.objects.filter(catalogue=procedure.catalogue_id, is_active=True).exclude(code__in=known):
        charge = Charge(
            procedure=procedure,
            price_item=price,
            code=price.code,
            label=price.label,
            amount=price.amount,
            currency=price.currency or facility_settings().currency,
        )
        charge.save_as(actor, _("Drafted from the exam"))
        drafted.append(charge)
    return drafted


@service(perms.MANAGE_CHARGE)
def confirm_charge(charge: Charge, *, actor: Actor) -> Charge:
    """It is to be billed."""
    charge = Charge.locked(charge.pk)
    if charge.status != ChargeStatus.BILLABLE:
        charge.move_to(ChargeStatus.BILLABLE)
        charge.save_as(actor, _("Confirmed"))
    return charge


@service(perms.MANAGE_CHARGE)
def bill_charge(charge: Charge, *, actor: Actor) -> Charge:
    """It has been billed."""
    charge = Charge.locked(charge.pk)
    if charge.status != ChargeStatus.BILLED:
        charge.move_to(ChargeStatus.BILLED)
        charge.save_as(actor, _("Billed"))
    return charge


@service(perms.MANAGE_CHARGE)
def void_charge(charge: Charge, *, reason: str, actor: Actor) -> Charge:
    """It is not owed; the row stays with the reason in its history."""
    errors = Errors()
    reason = validation.short_string(reason, "reason", errors, length=150, required=True)
    errors.raise_if_any(_("This needs a reason."))
    charge = Charge.locked(charge.pk)
    if charge.status != ChargeStatus.ABORTED:
        charge.move_to(ChargeStatus.ABORTED)
        charge.save_as(actor, reason)
    return charge
