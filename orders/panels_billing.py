"""What other pages show of money: who pays and owes, an order's bill, what payers should have said."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders import money
from orders import permissions as perms
from orders import selectors_billing as selectors
from orders.models import ChargeStatus, Order, Patient, RequestedProcedure
from ris.accounts.actors import actor_of
from ris.core.panels import NavItem, Panel, register_nav, register_panel


def waiting_money(request: HttpRequest) -> int | None:
    """Orders to invoice."""
    rows = selectors.orders_with_charges(actor=actor_of(request), status=ChargeStatus.BILLABLE)
    return rows.count() or None


def patient_money(patient: Patient, *, request: HttpRequest) -> dict[str, Any] | None:
    actor = actor_of(request)
    return {
        "patient": patient,
        "coverages": selectors.coverages_of(patient),
        "balance": selectors.balance_of(patient, actor=actor),
        "may_cover": actor.may(perms.MANAGE_COVERAGE) and patient.merged_into_id is None,
    }


def order_money(order: Order, *, request: HttpRequest) -> dict[str, Any] | None:
    bill = selectors.bill_of(order)
    sums: dict[str, Decimal] = {}
    for charge in bill.charges:
        if charge.status != ChargeStatus.ABORTED:
            sums[charge.currency] = sums.get(charge.currency, money.ZERO) + charge.amount
    may_see = actor_of(request).may(perms.VIEW_INVOICE)
    return {"order": order, "sums": sums, "invoices": bill.invoices if may_see else [], "warnings": bill.warnings}


def payer_warnings(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """At booking and at arrival: what to settle with the payer; of an exam, or of an upper app's appointment
    (``procedure``, ``starts_at``). It hinders nothing."""
    procedure = getattr(thing, "procedure", thing)
    if not isinstance(procedure, RequestedProcedure):
        return None
    starts_at = getattr(thing, "starts_at", None)
    planned = timezone.localtime(starts_at).date() if starts_at else None
    found = selectors.authorisation_warnings([procedure], on=planned)
    return {"warnings": found} if found else None


def desk_money(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    counts = selectors.counts(actor=actor_of(request))
    return {"to_invoice": counts["invoice"], "late": counts["late"]}


register_nav(
    NavItem(
        "billing",
        _("Billing"),
        "billing",
        "receipt",
        section="work",
        permission=perms.VIEW_INVOICE,
        count=waiting_money,
        order=80,
    ),
    NavItem(
        "revenue",
        _("Revenue"),
        "revenue",
        "cash",
        section="quality",
        permission=perms.VIEW_REVENUE,
        order=80,
    ),
)
register_panel(
    Panel("patient.side", patient_money, "orders/_patient_money.html", permission=perms.MANAGE_COVERAGE, order=30),
    Panel("order.detail.side", order_money, "orders/_order_money.html", permission=perms.VIEW_CHARGE, order=60),
    Panel(
        "procedure.notes",
        payer_warnings,
        "orders/_procedure_warnings.html",
        permission=perms.MANAGE_COVERAGE,
        order=50,
    ),
    Panel("home.stats", desk_money, "orders/_home_money.html", permission=perms.ISSUE_INVOICE, order=60),
)
