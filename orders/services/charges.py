"""Charges: drafted from what was performed and used, confirmed by a person, void with a reason.

The price is that of the payer's own list on the day of the exam, else the general one. What nobody has priced is
drafted by nobody: the billing page lists such exams.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import money, validation
from orders import permissions as perms
from orders.events import ChargeConfirmed, ChargesVoided
from orders.models import (
    Charge,
    ChargeKind,
    ChargeStatus,
    Coverage,
    InvoiceKind,
    InvoiceLine,
    Order,
    PayerScheme,
    PriceItem,
    RequestedProcedure,
)
from orders.models.orders import OPEN_BEFORE_EXAM
from orders.services.lifecycle import locked_procedure
from orders.validation import Errors
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import AlreadyExists, Conflict, InvalidTransition, NotKnown
from ris.events.bus import publish

OPEN = (ChargeStatus.PLANNED, ChargeStatus.BILLABLE)
MOST = Decimal("9999999.99")


def day_of(procedure: RequestedProcedure) -> date:
    """The day whose prices and coverage count: of the exam, else today."""
    moment = procedure.performed_at or procedure.started_at
    return timezone.localtime(moment).date() if moment else timezone.localdate()


def first_payer(procedure: RequestedProcedure, day: date) -> PayerScheme | None:
    """The scheme that pays first on that day; None: the patient."""
    coverages = Coverage.objects.on(day).filter(patient=procedure.order.patient_id).select_related("scheme")
    first = coverages.order_by("rank", "pk").first()
    return first.scheme if first is not None else None


def prices_of(rows: Iterable[PriceItem]) -> list[PriceItem]:
    """One per code: the payer's own before the general one."""
    best: dict[str, PriceItem] = {}
    for row in rows:
        known = best.get(row.code)
        if known is None or (known.scheme_id is None and row.scheme_id is not None):
            best[row.code] = row
    return list(best.values())


def _prices_on(day: date, payer: PayerScheme | None):
    return PriceItem.objects.on(day).filter(Q(scheme=None) | Q(scheme=payer)).order_by("pk")


def _charge(procedure: RequestedProcedure, price: PriceItem, quantity: Decimal, day: date, source: str = "") -> Charge:
    currency = price.currency or facility_settings().currency
    return Charge(
        procedure=procedure,
        price_item=price,
        kind=price.kind,
        source=source,
        code=price.code,
        label=price.label,
        quantity=quantity,
        unit=price.unit,
        unit_price=price.amount,
        amount=money.rounded(price.amount * quantity, currency),
        currency=currency,
        performed_on=day,
    )


@service(perms.MANAGE_CHARGE, action=Action.CREATE)
def draft_charges(procedure: RequestedProcedure, *, actor: Actor) -> list[Charge]:
    """One draft per active price of the exam; what is drafted already stays as it is. No price, no draft."""
    procedure = locked_procedure(procedure)
    if procedure.catalogue_id is None:
        return []
    known = set(procedure.charges.exclude(status=ChargeStatus.ABORTED).values_list("code", flat=True))
    day = day_of(procedure)
    rows = _prices_on(day, first_payer(procedure, day)).filter(catalogue=procedure.catalogue_id).exclude(code__in=known)
    drafted = [_charge(procedure, price, Decimal(1), day) for price in prices_of(rows)]
    for charge in drafted:
        charge.save_as(actor, _("Drafted from the exam"))
    return drafted


@service(perms.MANAGE_CHARGE, action=Action.CREATE)
def draft_supply(
    procedure: RequestedProcedure,
    *,
    source: UUID,
    label: str,
    code: str = "",
    quantity: Decimal = Decimal(1),
    unit: str = "",
    actor: Actor,
) -> Charge | None:
    """A draft for what was used in the exam, once per use. A price per unit counts only in that unit."""
    procedure = locked_procedure(procedure)
    day = day_of(procedure)
    named = Q(consumable_code__iexact=code) if code else Q(label__iexact=label)
    rows = _prices_on(day, first_payer(procedure, day)).filter(named, kind=ChargeKind.CONSUMABLE)
    rows = rows.filter(Q(unit="") | Q(unit__iexact=unit))
    price = next(iter(prices_of(rows)), None)
    if price is None or procedure.charges.filter(source=str(source)).exists():
        return None
    charge = _charge(procedure, price, quantity if price.unit else Decimal(1), day, str(source))
    charge.save_as(actor, _("Drafted from what was used"))
    return charge


@service(perms.MANAGE_CHARGE)
def void_supply(procedure: RequestedProcedure, *, source: UUID, actor: Actor) -> list[Charge]:
    """What was written down by mistake is not owed."""
    procedure = locked_procedure(procedure)
    return _void(procedure, procedure.charges.filter(source=str(source)), _("Crossed out by the technologist"), actor)


@service(perms.MANAGE_CHARGE, action=Action.CREATE)
def add_charge(
    procedure: RequestedProcedure, *, code: str, quantity: Any = 1, reason: str = "", actor: Actor
) -> Charge:
    """A charge by hand: a film, a copy, what the technologist forgot. Never before the exam, and never twice."""
    errors = Errors()
    reason = validation.short_string(reason, "reason", errors, length=150)
    count = money.parsed(quantity)
    if count is None or not 0 < count <= MOST:
        errors.add("quantity", _("Give an amount above zero."))
    errors.raise_if_any()
    procedure = locked_procedure(procedure)
    if procedure.status in OPEN_BEFORE_EXAM:
        raise InvalidTransition(
            _("Nothing has been performed yet."),
            asked=_("To charge something."),
            found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Charges follow the exam: wait until it has begun."),
        )
    day = day_of(procedure)
    price = next(iter(prices_of(_prices_on(day, first_payer(procedure, day)).filter(code=code))), None)
    if price is None:
        words = _("No price list has this code on the day of the exam.")
        raise NotKnown(words, todo=_("Choose another one, or ask for a price."), errors={"code": [words]})
    if procedure.charges.exclude(status=ChargeStatus.ABORTED).filter(code=code, source="").exists():
        raise AlreadyExists(
            _("This is charged already."),
            todo=_("Void the charge with the wrong quantity, then add it anew."),
            errors={"code": [_("This is charged already.")]},
        )
    charge = _charge(procedure, price, (count or Decimal(1)).quantize(money.ZERO), day)
    charge.save_as(actor, reason or _("Added by hand"))
    return charge


@service(perms.MANAGE_CHARGE)
def reprice_charges(order: Order, *, actor: Actor) -> list[Charge]:
    """Take today's knowledge of who pays: open charges get the price of that payer on the day of the exam."""
    order = Order.locked(order.pk)
    rows = Charge.objects.select_for_update(of=("self",)).filter(procedure__order=order, status__in=OPEN)
    changed = []
    for charge in rows.select_related("procedure__order").order_by("pk"):
        day = charge.performed_on or day_of(charge.procedure)
        payer = first_payer(charge.procedure, day)
        price = next(iter(prices_of(_prices_on(day, payer).filter(code=charge.code))), None)
        if price is None or price.pk == charge.price_item_id or price.unit.lower() != charge.unit.lower():
            continue
        charge.price_item, charge.unit_price, charge.currency = price, price.amount, price.currency
        charge.amount = money.rounded(price.amount * charge.quantity, price.currency)
        charge.save_as(actor, _("Priced again"))
        changed.append(charge)
    return changed


@service(perms.MANAGE_CHARGE)
def confirm_charge(charge: Charge, *, actor: Actor) -> Charge:
    """It is to be billed."""
    charge = Charge.locked(charge.pk)
    if charge.status != ChargeStatus.BILLABLE:
        if charge.status == ChargeStatus.BILLED:
            raise _billed(_("To confirm a charge."))
        charge.move_to(ChargeStatus.BILLABLE)
        charge.save_as(actor, _("Confirmed"))
        publish(
            ChargeConfirmed(
                str(charge.uuid),
                accession_number=charge.procedure.accession_number,
                version=charge.version,
                procedure=str(charge.procedure.uuid),
            ),
            actor=actor,
        )
    return charge


@service(perms.MANAGE_CHARGE)
def bill_charge(charge: Charge, *, actor: Actor) -> Charge:
    """It has been billed by another system: no invoice of ours will ask for it."""
    charge = Charge.locked(charge.pk)
    if charge.status != ChargeStatus.BILLED:
        charge.move_to(ChargeStatus.BILLED)
        charge.save_as(actor, _("Billed"))
    return charge


@service(perms.MANAGE_CHARGE)
def void_charge(charge: Charge, *, reason: str, actor: Actor) -> Charge:
    """It is not owed; the row stays with the reason. What an invoice asks for is credited first."""
    errors = Errors()
    reason = validation.short_string(reason, "reason", errors, length=150, required=True)
    errors.raise_if_any(_("This needs a reason."))
    charge = Charge.locked(charge.pk)
    if charge.status != ChargeStatus.ABORTED:
        if invoiced(charge) > 0:
            raise _billed(_("To void a charge."))
        charge.move_to(ChargeStatus.ABORTED)
        charge.reason = reason
        charge.save_as(actor, reason)
        _tell_voided(charge.procedure, [charge], actor)
    return charge


def void_open_charges(procedure: RequestedProcedure, *, reason: str, actor: Actor = SYSTEM) -> list[Charge]:
    """The exam did not come about: nothing of it is owed that is not invoiced. Runs in the commit that stopped it."""
    return _void(procedure, procedure.charges.filter(status__in=OPEN), reason, actor)


def _void(procedure: RequestedProcedure, rows: Any, reason: str, actor: Actor) -> list[Charge]:
    voided = []
    for charge in rows.select_for_update(of=("self",)).order_by("pk"):
        if charge.status not in OPEN:
            continue
        charge.move_to(ChargeStatus.ABORTED)
        charge.reason = reason[:200]
        charge.save_as(actor, reason)
        voided.append(charge)
    if voided:
        _tell_voided(procedure, voided, actor)
    return voided


def _tell_voided(procedure: RequestedProcedure, voided: Iterable[Charge], actor: Actor) -> None:
    publish(
        ChargesVoided(
            str(procedure.uuid),
            accession_number=procedure.accession_number,
            charges=[str(charge.uuid) for charge in voided],
        ),
        actor=actor,
    )


def invoiced_by_charge(charges: Iterable[Charge]) -> dict[int, Decimal]:
    """What invoices ask for each, less what was credited, by key; one query."""
    sums = (
        InvoiceLine.objects.filter(charge__in=[charge.pk for charge in charges])
        .order_by()
        .values_list("charge")
        .annotate(
            asked=Sum("amount", filter=Q(invoice__kind=InvoiceKind.INVOICE)),
            given=Sum("amount", filter=Q(invoice__kind=InvoiceKind.CREDIT_NOTE)),
        )
    )
    return {key: (asked or money.ZERO) - (given or money.ZERO) for key, asked, given in sums}


def invoiced(charge: Charge) -> Decimal:
    return invoiced_by_charge([charge]).get(charge.pk, money.ZERO)


def _billed(asked: str) -> Conflict:
    return Conflict(
        _("This charge stands on an invoice."),
        asked=asked,
        found=_("An invoice has been issued for it."),
        todo=_("Credit the invoice first; the charge is open again then."),
    )
