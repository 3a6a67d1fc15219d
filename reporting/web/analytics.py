"""How the department does: volumes, turnaround, backlog."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from reporting import permissions as perms
from reporting.analytics import charts, selectors
from ris.accounts.web import ActorRequest, page
from ris.audit.models import Action
from ris.audit.service import record


@require_GET
@page(perms.VIEW_ANALYTICS)
def analytics(request: ActorRequest) -> HttpResponse:
    asked = request.GET.get("days", "")
    days = int(asked) if asked.isdecimal() and len(asked) < 5 and int(asked) in selectors.DAYS else 14
    shown, volumes = selectors.volumes(actor=request.actor, days=days)
    record(request.actor, perms.VIEW_ANALYTICS, Action.READ, detail={"days": days})
    rows = [(day, [volume.by_day[place] for volume in volumes]) for place, day in enumerate(shown)]
    context = {
        "nav": "analytics",
        "days": days,
        "choices": [(str(number), number) for number in selectors.DAYS],
        "volumes": volumes,
        "rows": list(reversed([(day, numbers, sum(numbers)) for day, numbers in rows])),
        "chart": charts.stacked_bars(shown, volumes),
        "turnaround": selectors.turnaround(actor=request.actor, days=days),
        "backlog": selectors.backlog(actor=request.actor),
        "figures": selectors.figures(actor=request.actor),
    }
    return render(request, "reporting/analytics.html", context)
