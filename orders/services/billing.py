"""Payer schemes and their prices, who covers a patient, what payers have authorised, and the codes they ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import money, validation
from orders import permissions as perms
from orders.models import (
    AuthorisationStatus,
    BillingCode,
    CatalogueProcedure,
    ChargeKind,
    CodeSystem,
    Coverage,
    Patient,
    PayerKind,
    PayerScheme,
    PreAuthorisation,
    PriceItem,
    RequestedProcedure,
)
from orders.validation import Errors
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, Conflict, InvalidData

#: ICD-10 of the WHO and its national forms: letter, two digits, then up to four signs after the point.
ICD10 = re.compile(r"[A-Z][0-9][0-9A-B](\.[0-9A-Z]{1,4})?")
#: CPT: category I, II (F), III (T) and PLA (U), with modifiers.
CPT = re.compile(r"[0-9]{4}[0-9AFTUM](-[0-9A-Z]{2}){0,4}")
MOST_CODES = 12


# --- payer schemes and prices


@service(perms.MANAGE_PRICES)
def save_scheme(scheme: PayerScheme | None = None, *, actor: Actor, **fields: Any) -> PayerScheme:
    """Make a payer scheme, or change one."""
    row = scheme or PayerScheme()
    errors = Errors()
    for name, length in (("code", 16), ("name", 100)):
        if name in fields or scheme is None:
            fields[name] = validation.short_string(fields.get(name), name, errors, length=length, required=True)
    if "kind" in fields or scheme is None:
        fields["kind"] = validation.choice(fields.get("kind"), PayerKind, "kind", errors)
    if "default_share" in fields:
        fields["default_share"] = _share(fields["default_share"], "default_share", errors)
    if "address" in fields:
        fields["address"] = validation.long_text(fields["address"], "address", errors, length=500)
    errors.raise_if_any()
    if "code" in fields and PayerScheme.objects.filter(code=fields["code"]).exclude(pk=row.pk).exists():
        words = _("Another scheme has this code.")
        raise AlreadyExists(words, errors={"code": [words]})
    for name, value in fields.items():
        setattr(row, name, value)
    row.save_as(actor, _("Payer scheme changed") if scheme else _("Payer scheme made"))
    return row


def _share(value: Any, name: str, errors: Errors) -> Decimal:
    share = money.parsed(value)
    if share is None or not 0 < share <= money.HUNDRED:
        errors.add(name, _("More than 0, at most 100 percent."))
        return money.HUNDRED
    return share.quantize(money.ZERO)


def _amount(value: Any, name: str, currency: str, errors: Errors, *, above_zero: bool) -> Decimal:
    amount = money.parsed(value)
    if amount is None or amount < 0 or (above_zero and amount == 0):
        errors.add(name, _("Give an amount above zero.") if above_zero else _("Give an amount, zero or more."))
        return money.ZERO
    if not money.is_exact(amount, currency):
        errors.add(name, _("%(currency)s has no coins for that.") % {"currency": currency})
    return amount.quantize(money.ZERO) if money.is_exact(amount, currency) else money.ZERO


@service(perms.MANAGE_PRICES)
def set_price(
    *,
    code: str,
    label: str,
    amount: Any,
    kind: str = ChargeKind.EXAM,
    catalogue: CatalogueProcedure | None = None,
    scheme: PayerScheme | None = None,
    consumable_code: str = "",
    unit: str = "",
    valid_from: date | None = None,
    valid_to: date | None = None,
    actor: Actor,
) -> PriceItem:
    """The price of a code in one list from a day on; what held until then ends the day before."""
    currency = facility_settings().currency
    errors = Errors()
    fields: dict[str, Any] = {
        "code": validation.short_string(code, "code", errors, length=16, required=True),
        "label": validation.short_string(label, "label", errors, length=100, required=True),
        "kind": validation.choice(kind, ChargeKind, "kind", errors),
        "consumable_code": validation.short_string(consumable_code, "consumable_code", errors, length=32),
        "unit": validation.short_string(unit, "unit", errors, length=16),
        "amount": _amount(amount, "amount", currency, errors, above_zero=False),
    }
    if kind == ChargeKind.EXAM and catalogue is None:
        errors.add("catalogue", _("Which exam is it the price of?"))
    _days(valid_from, valid_to, errors)
    errors.raise_if_any()
    same = PriceItem.objects.select_for_update().filter(code=fields["code"], scheme=scheme, is_active=True)
    _make_room(same, valid_from, valid_to, actor)
    row = PriceItem(
        **fields, catalogue=catalogue, scheme=scheme, currency=currency, valid_from=valid_from, valid_to=valid_to
    )
    row.save_as(actor, _("Priced"))
    return row


def _days(first: date | None, last: date | None, errors: Errors) -> None:
    if first and last and last < first:
        errors.add("valid_to", _("It ends before it begins."))


def _make_room(rows: Any, first: date | None, last: date | None, actor: Actor) -> None:
    """The price that held until ``first`` ends the day before; any other overlap is refused."""
    after_start = rows.filter(Q(valid_to__isnull=True) | Q(valid_to__gte=first)) if first else rows
    overlapping = after_start.filter(Q(valid_from__isnull=True) | Q(valid_from__lte=last)) if last else after_start
    for row in overlapping:
        if first is None or (row.valid_from is not None and row.valid_from >= first):
            words = _("Another price of this code and payer holds on some of these days.")
            raise Conflict(
                words, todo=_("Choose a later first day, or end that price."), errors={"valid_from": [words]}
            )
        row.valid_to = first - timedelta(days=1)
        row.save_as(actor, _("Ended by a new price"))


@service(perms.MANAGE_PRICES)
def end_price(price: PriceItem, *, on: date | None = None, actor: Actor) -> PriceItem:
    """It holds on that day for the last time; the row stays for the charges that it priced."""
    price = PriceItem.locked(price.pk)
    last = on or timezone.localdate()
    if price.valid_from and last < price.valid_from:
        words = _("It ends before it begins.")
        raise InvalidData(words, errors={"valid_to": [words]})
    price.valid_to = last
    price.save_as(actor, _("Ended"))
    return price


# --- coverage


@service(perms.MANAGE_COVERAGE, action=Action.CREATE)
def add_coverage(
    patient: Patient,
    *,
    scheme: PayerScheme,
    member_number: str = "",
    holder_name: str = "",
    share: Any = None,
    rank: int | None = None,
    valid_from: date | None = None,
    valid_to: date | None = None,
    actor: Actor,
) -> Coverage:
    """The patient is covered. Without ``share`` it is the scheme's own; without ``rank`` it comes after the others."""
    errors = Errors()
    is_insured = scheme.kind == PayerKind.INSURANCE
    fields = {
        "member_number": validation.short_string(
            member_number, "member_number", errors, length=64, required=is_insured
        ),
        "holder_name": validation.short_string(holder_name, "holder_name", errors, length=100),
        "share": _share(scheme.default_share if share in (None, "") else share, "share", errors),
    }
    if scheme.kind == PayerKind.CASH or not scheme.is_active:
        errors.add("scheme", _("Nobody is covered by this scheme: who pays cash needs no coverage."))
    _days(valid_from, valid_to, errors)
    errors.raise_if_any()
    patient = Patient.locked(patient.pk)
    if patient.merged_into_id is not None:
        raise Conflict(_("This record has been merged into another one."), todo=_("Choose the one that is still used."))
    own = list(patient.coverages.filter(withdrawn_at__isnull=True))
    twins = [row for row in own if row.scheme_id == scheme.pk and row.member_number == fields["member_number"]]
    if any(_overlap(row, valid_from, valid_to) for row in twins):
        words = _("The patient has this coverage already.")
        raise AlreadyExists(words, todo=_("End the other one first."), errors={"scheme": [words]})
    following = max((row.rank for row in own), default=0) + 1
    row = Coverage(
        patient=patient, scheme=scheme, rank=rank or following, valid_from=valid_from, valid_to=valid_to, **fields
    )
    row.save_as(actor, _("Coverage recorded"))
    return row


def _overlap(row: Coverage, first: date | None, last: date | None) -> bool:
    ends_before = row.valid_to is not None and first is not None and row.valid_to < first
    begins_after = row.valid_from is not None and last is not None and row.valid_from > last
    return not ends_before and not begins_after


@service(perms.MANAGE_COVERAGE)
def end_coverage(coverage: Coverage, *, on: date | None = None, reason: str, actor: Actor) -> Coverage:
    """It holds on that day for the last time."""
    coverage = Coverage.locked(coverage.pk)
    reason = _reason(reason)
    last = on or timezone.localdate()
    if coverage.valid_from and last < coverage.valid_from:
        words = _("It ends before it begins.")
        raise InvalidData(words, todo=_("Withdraw it instead."), errors={"on": [words]})
    coverage.valid_to = last
    coverage.save_as(actor, reason)
    return coverage


@service(perms.MANAGE_COVERAGE)
def withdraw_coverage(coverage: Coverage, *, reason: str, actor: Actor) -> Coverage:
    """It was recorded by mistake: it stays, and counts for nothing."""
    coverage = Coverage.locked(coverage.pk)
    reason = _reason(reason)
    if coverage.withdrawn_at is None:
        coverage.withdrawn_at = timezone.now()
        coverage.save_as(actor, reason)
    return coverage


def _reason(words: str) -> str:
    errors = Errors()
    words = validation.short_string(words, "reason", errors, length=150, required=True)
    errors.raise_if_any(_("This needs a reason."))
    return words


# --- authorisations


@service(perms.MANAGE_COVERAGE, action=Action.CREATE)
def record_authorisation(
    procedure: RequestedProcedure,
    *,
    coverage: Coverage,
    number: str = "",
    amount: Any = None,
    expires_on: date | None = None,
    actor: Actor,
) -> PreAuthorisation:
    """What the payer has said: with a number it is approved, without one it has been asked for."""
    errors = Errors()
    number = validation.short_string(number, "number", errors, length=40)
    limit = None
    if amount not in (None, ""):
        limit = _amount(amount, "amount", facility_settings().currency, errors, above_zero=True)
    if coverage.patient_id != procedure.order.patient_id or coverage.withdrawn_at is not None:
        errors.add("coverage", _("This is not a coverage of the patient."))
    errors.raise_if_any()
    row = PreAuthorisation.objects.live().filter(procedure=procedure, coverage=coverage).first()
    row = PreAuthorisation.locked(row.pk) if row else PreAuthorisation(procedure=procedure, coverage=coverage)
    row.number, row.amount, row.expires_on = number or row.number, limit, expires_on
    if row.number and row.status != AuthorisationStatus.APPROVED:
        row.move_to(AuthorisationStatus.APPROVED)
        row.reason = ""
    row.save_as(actor, _("Authorised") if row.number else _("Authorisation asked for"))
    return row


@service(perms.MANAGE_COVERAGE)
def refuse_authorisation(authorisation: PreAuthorisation, *, reason: str, actor: Actor) -> PreAuthorisation:
    """The payer said no."""
    return _close(authorisation, AuthorisationStatus.REFUSED, reason, actor)


@service(perms.MANAGE_COVERAGE)
def withdraw_authorisation(authorisation: PreAuthorisation, *, reason: str, actor: Actor) -> PreAuthorisation:
    """It was recorded by mistake, or is not needed any more."""
    return _close(authorisation, AuthorisationStatus.WITHDRAWN, reason, actor)


def _close(authorisation: PreAuthorisation, status: str, reason: str, actor: Actor) -> PreAuthorisation:
    row = PreAuthorisation.locked(authorisation.pk)
    row.reason = _reason(reason)
    if row.status != status:
        row.move_to(status)
        row.save_as(actor, row.reason)
    return row


# --- codes for payers


def normal_code(system: str, value: Any) -> str:
    """Upper case; ICD-10 with its point. Raises nothing: what is no code comes back as it is."""
    code = str(value or "").strip().upper()
    dotted = f"{code[:3]}.{code[3:]}"
    return dotted if system == CodeSystem.ICD10 and is_code(system, dotted) else code


def is_code(system: str, code: str) -> bool:
    return bool((ICD10 if system == CodeSystem.ICD10 else CPT).fullmatch(code))


@service(perms.CODE_PROCEDURE)
def set_codes(
    procedure: RequestedProcedure, *, system: str, codes: Iterable[Mapping[str, str]], actor: Actor
) -> RequestedProcedure:
    """All codes of one system on a procedure, ``[{code, text}]``, the main one first. What is left out is withdrawn."""
    errors = Errors()
    system = validation.choice(system, CodeSystem, "system", errors)
    wanted: dict[str, str] = {}
    for number, entry in enumerate(codes, 1):
        code = normal_code(system, entry.get("code"))
        text = validation.short_string(entry.get("text", ""), "codes", errors, length=200)
        if not is_code(system, code):
            errors.add("codes", _("Line %(n)d: %(code)s is not a code of %(system)s.") % _line(number, code, system))
        elif code in wanted:
            errors.add("codes", _("Line %(n)d: %(code)s stands there twice.") % _line(number, code, system))
        wanted[code] = text
    if len(wanted) > MOST_CODES:
        errors.add("codes", _("At most %(count)d codes.") % {"count": MOST_CODES})
    errors.raise_if_any(_("These codes cannot be accepted."))
    procedure = RequestedProcedure.locked(procedure.pk)
    rows = {row.code: row for row in BillingCode.objects.live().filter(procedure=procedure, system=system)}
    for code, row in rows.items():
        if code not in wanted:
            row.withdrawn_at = timezone.now()
            row.save_as(actor, _("Withdrawn"))
    for position, (code, text) in enumerate(wanted.items(), 1):
        kept = rows.get(code) or BillingCode(procedure=procedure, system=system, code=code, position=0)
        if (kept.position, kept.text) != (position, text):
            kept.position, kept.text = position, text
            kept.save_as(actor, _("Coded"))
    return procedure


def _line(number: int, code: str, system: str) -> dict[str, Any]:
    """What a refused line is called."""
    return {"n": number, "code": code[:16] or "–", "system": system}
