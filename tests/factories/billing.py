"""Payers, prices and charged exams, made as the product makes them."""

from __future__ import annotations

import itertools
from typing import Any

from orders import services
from orders.models import Invoice, PayerScheme, PriceItem, RequestedProcedure
from tests.factories.orders import SYSTEM, make_catalogue, make_procedure

_number = itertools.count(1)


def make_scheme(kind: str = "insurance", **fields: Any) -> PayerScheme:
    code = fields.pop("code", f"S{next(_number)}")
    return services.save_scheme(**{"code": code, "name": f"Scheme {code}", "kind": kind} | fields, actor=SYSTEM)


def make_price(code: str, amount: Any, **fields: Any) -> PriceItem:
    return services.set_price(**{"code": code, "label": f"Price {code}", "amount": amount} | fields, actor=SYSTEM)


def charged_exam(*amounts: Any, confirmed: bool = True, **order: Any) -> RequestedProcedure:
    """A performed exam with one confirmed charge per amount (one of 100 when none is given)."""
    number = next(_number)
    row = make_catalogue(f"EX{number}")
    for place, amount in enumerate(amounts or (100,)):
        make_price(f"P{number}.{place}", amount, catalogue=row)
    procedure = make_procedure(codes=[row.code], status="performed", **order)
    for charge in services.draft_charges(procedure, actor=SYSTEM):
        if confirmed:
            services.confirm_charge(charge, actor=SYSTEM)
    return procedure


def invoiced_exam(*amounts: Any, **order: Any) -> Invoice:
    """The patient's invoice for it."""
    return services.issue_invoices(charged_exam(*amounts, **order).order, coverages=[], actor=SYSTEM)[-1]
