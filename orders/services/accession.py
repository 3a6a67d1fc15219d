"""Accession numbers: minted by the facility's pattern, or taken from the sender when valid and free.

The table of numbers given out guards uniqueness; the counter only makes the next guess a good one. Its lock is held
until the caller commits, so whoever creates an order takes the number as late as can be.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from datetime import date
from typing import LiteralString

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import AccessionNumber, Order, RequestedProcedure
from orders.validation import fits_sh
from ris.accounts.models import AccessionScope, Sequence
from ris.accounts.selectors import facility_settings
from ris.accounts.sequences import next_value
from ris.core.errors import Conflict, InvalidData
from ris.core.ids import is_valid_uid, new_uid

LONGEST = 16
#: field -> digits it has at least
DATE_FIELDS = {"yyyy": 4, "yy": 2, "mm": 2, "dd": 2, "doy": 3}
TRIES = 10_000

TAKE: LiteralString = """
insert into orders_accessionnumber (value, order_id, reserved_for, created_at) values (%s, %s, '', now())
on conflict (value) do nothing returning value
"""
CLAIM: LiteralString = """
update orders_accessionnumber set order_id = %s
where value = %s and (order_id is null or order_id = %s) returning value
"""


def parse_pattern(pattern: str) -> list[tuple[str, str, int]]:
    """``[(literal, field, digits)]``. Raises InvalidData: unknown field, no {seq}, longer than 16 characters."""
    parts: list[tuple[str, str, int]] = []
    try:
        for literal, field, spec, conversion in string.Formatter().parse(pattern):
            is_known = field in {*DATE_FIELDS, "seq"} and not conversion and (spec or "0").isdecimal()
            if field is not None and not is_known:
                raise ValueError(field)
            digits = max(int(spec or 0), DATE_FIELDS.get(field or "", 1)) if field else 0
            parts.append((literal, field or "", digits))
    except ValueError as error:
        raise _bad_pattern(_("It has a part that is not known: %(part)s.") % {"part": error}) from None
    if not any(field == "seq" for __, field, __ in parts):
        raise _bad_pattern(_("It needs {seq}, the running number."))
    if sum(len(literal) + digits for literal, __, digits in parts) > LONGEST:
        raise _bad_pattern(_("It gives more than 16 characters."))
    if any(not fits_sh(f"x{literal}x"[:LONGEST]) for literal, __, __ in parts):
        raise _bad_pattern(_("It holds a character that DICOM does not allow."))
    return parts


def _bad_pattern(found: str) -> InvalidData:
    return InvalidData(
        _("This pattern cannot be used for accession numbers."),
        found=found,
        todo=_("Use {yyyy} {yy} {mm} {dd} {doy} and {seq:06}; at most 16 characters in all."),
        errors={"accession_pattern": found},
    )


def render_pattern(pattern: str, day: date, number: int) -> tuple[str, str]:
    """The number, and the name of the counter it belongs to (the pattern with the day filled in)."""
    values = {
        "yyyy": f"{day.year:04}",
        "yy": f"{day.year % 100:02}",
        "mm": f"{day.month:02}",
        "dd": f"{day.day:02}",
        "doy": f"{day.timetuple().tm_yday:03}",
    }
    text = counter = ""
    for literal, field, digits in parse_pattern(pattern):
        shown = values.get(field, "").zfill(digits) if field and field != "seq" else ""
        text += literal + (str(number).zfill(digits) if field == "seq" else shown)
        counter += literal + ("#" if field == "seq" else shown)
    return text, f"accession:{counter}"


def take(value: str, order: Order | None) -> bool:
    """Put the number into the table; False when it is another's. A reserved one is claimed."""
    order_id = order.pk if order is not None else None
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [value, order_id])
        if cursor.fetchone():
            return True
        if order_id is None:
            return False
        cursor.execute(CLAIM, [order_id, value, order_id])
        return cursor.fetchone() is not None


def next_accession_number() -> str:
    """What ``mint_accession_number`` would give now; nothing is taken, and who mints next gets it. Raises Conflict."""
    pattern, day = facility_settings().accession_pattern, timezone.localdate()
    __, counter = render_pattern(pattern, day, 0)
    used = Sequence.objects.filter(name=counter).values_list("value", flat=True).first() or 0
    for ahead in range(1, TRIES + 1):
        value, __ = render_pattern(pattern, day, used + ahead)
        if len(value) > LONGEST:
            break
        if not AccessionNumber.objects.filter(value=value).exists():
            return value
    raise _run_out()


def mint_accession_number(order: Order | None) -> str:
    """The next free number. Runs inside the caller's transaction."""
    pattern = facility_settings().accession_pattern
    day = timezone.localdate()
    __, counter = render_pattern(pattern, day, 0)
    for _attempt in range(TRIES):
        value, __ = render_pattern(pattern, day, next_value(counter))
        if len(value) > LONGEST:
            break
        if take(value, order):
            return value
    raise _run_out()


def _run_out() -> Conflict:
    return Conflict(
        _("There is no accession number left."),
        found=_("The pattern of accession numbers has run out of numbers."),
        todo=_("Ask your administrator to choose a longer pattern."),
    )


def accession_numbers_for(order: Order, wanted: Iterable[str]) -> list[str]:
    """One number per procedure, in order: the sender's where valid and free, else minted; shared if so decided."""
    shared = facility_settings().accession_scope == AccessionScope.ORDER
    numbers: list[str] = []
    for value in wanted:
        value = (value or "").strip()
        if value and fits_sh(value) and take(value, order):
            numbers.append(value)
        elif shared and numbers:
            numbers.append(numbers[0])
        else:
            numbers.append(mint_accession_number(order))
    return numbers


def study_instance_uid_for(wanted: str, used: set[str]) -> str:
    """The sender's UID when valid and free, else a new one."""
    wanted = (wanted or "").strip()
    free = is_valid_uid(wanted) and wanted not in used
    if free and not RequestedProcedure.objects.filter(study_instance_uid=wanted).exists():
        return wanted
    return new_uid()


def reserve_accession_numbers(count: int, *, reserved_for: str) -> list[str]:
    """Numbers for paper forms: given out now, claimed by the order that is entered later."""
    values = [mint_accession_number(None) for _number in range(count)]
    AccessionNumber.objects.filter(value__in=values).update(reserved_for=reserved_for[:40])
    return values
