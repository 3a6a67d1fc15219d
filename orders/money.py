"""Money: decimals only, rounded half up to the currency's smallest unit, split so that the parts sum up. Pure.

A payer's part is rounded; what is left is the patient's. So no split ever makes or loses a cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from ris.core.text import MINUS, THIN_SPACE

#: ISO 4217 currencies without a smaller unit in use; all others are kept to two decimals.
WHOLE = frozenset({"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "XAF", "XOF"})
ZERO = Decimal("0.00")
HUNDRED = Decimal(100)
LARGEST = Decimal("9999999999.99")


def quantum(currency: str) -> Decimal:
    return Decimal(1) if currency in WHOLE else Decimal("0.01")


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Half up to the currency's smallest unit, with the two decimals that are stored."""
    return amount.quantize(quantum(currency), rounding=ROUND_HALF_UP).quantize(ZERO)


def is_exact(amount: Decimal, currency: str) -> bool:
    """Whether the currency has coins for it."""
    return rounded(amount, currency) == amount


def parsed(value: object) -> Decimal | None:
    """A decimal, or None when it is none. Never a float: what it means to say is not what it holds."""
    if isinstance(value, bool | float) or value is None:
        return None
    try:
        number = Decimal(str(value).strip().replace(THIN_SPACE, "").replace(" ", ""))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) <= LARGEST else None


def percentage(amount: Decimal, percent: Decimal, currency: str) -> Decimal:
    return rounded(amount * percent / HUNDRED, currency)


@dataclass(frozen=True)
class Share:
    """What one payer takes on: ``percent`` of the whole, never more than ``cap``."""

    percent: Decimal
    cap: Decimal | None = None


def split(amount: Decimal, shares: Sequence[Share], currency: str) -> list[Decimal]:
    """One part per share, in their order, and the patient's part last. The parts sum up to ``amount``."""
    left, parts = amount, []
    for share in shares:
        part = min(percentage(amount, share.percent, currency), left)
        if share.cap is not None:
            part = max(min(part, share.cap), ZERO)
        parts.append(part)
        left -= part
    return [*parts, left]


def spoken(amount: Decimal, currency: str) -> str:
    """ "KES 9 500.00", with a thin space and a true minus sign."""
    decimals = 0 if currency in WHOLE else 2
    sign = MINUS if amount < 0 else ""
    return f"{currency} {sign}{abs(amount):,.{decimals}f}".replace(",", THIN_SPACE)
