"""/billing/revenue/: what was asked for and what came in, by month and by modality or payer, and the same as a file."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from orders import permissions as perms
from orders import revenue as figures
from orders import selectors_billing as selectors
from orders.models import Modality, PaymentMethod
from ris.accounts.web import page
from ris.audit.models import Action
from ris.audit.service import record
from ris.core import spreadsheet
from ris.core.errors import NotKnown


@require_GET
@never_cache
@page(perms.VIEW_REVENUE)
def revenue(request: HttpRequest) -> HttpResponse:
    wanted = figures.asked(request.GET)
    actor = request.actor
    found = figures.revenue(actor=actor, **wanted)
    record(actor, perms.VIEW_REVENUE, Action.READ, detail=wanted)
    methods = dict(PaymentMethod.choices)
    context = {
        "nav": "revenue",
        "found": found,
        "rows": list(reversed(found.rows())),
        "by_method": [(methods[key], sum(row)) for key, row in sorted(found.by_method.items())],
        "received": sum(found.received),
        "credited": sum(found.credited),
        "waived": sum(found.waived),
        "months": [(str(number), _("%(n)d months") % {"n": number}) for number in figures.MONTHS],
        "groups": figures.GROUPS,
        "modalities": Modality.choices,
        "payers": [
            ("self", _("Patients themselves")),
            *((row.code, row.name) for row in selectors.schemes(active_only=False)),
        ],
    }
    return render(request, "orders/billing_revenue.html", context)


@require_GET
@page(perms.VIEW_REVENUE)
def revenue_export(request: HttpRequest, kind: str) -> HttpResponse:
    """The table of the page as CSV or XLSX; recorded with what was asked for."""
    if kind not in ("csv", "xlsx"):
        raise NotKnown(_("There is no such file."), todo=_("Ask for csv or xlsx."))
    wanted = figures.asked(request.GET)
    actor = request.actor
    found = figures.revenue(actor=actor, **wanted)
    heads, rows = figures.heads(found), list(figures.table(found))
    record(actor, perms.VIEW_REVENUE, Action.READ, detail={**wanted, "export": kind, "rows": len(rows)})
    if kind == "csv":
        response = HttpResponse(spreadsheet.as_csv(heads, rows), content_type=spreadsheet.CSV)
    else:
        response = HttpResponse(spreadsheet.as_xlsx(_("Revenue"), heads, rows), content_type=spreadsheet.XLSX)
    name = f"revenue-{found.group}-{timezone.localdate():%Y-%m-%d}.{kind}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response
