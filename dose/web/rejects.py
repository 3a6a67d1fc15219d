"""/dose/rejects/: rates of rejected and repeated exposures by room, view and reason, against the facility's band."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from dose import permissions as perms
from dose import rejects
from dose.dashboards.question import PERIODS, Question, ask
from dose.dashboards.reject_charts import rate_chart, reason_chart
from dose.quantities import TAB_LABELS, TABS
from dose.rdsr import number
from dose.web.dashboards import FILES, as_file
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown

MOST_ROOMS = 20
USUAL_TAB = "DX"


def _asked(request: ActorRequest, strict: bool = False) -> Question:
    return ask({"tab": USUAL_TAB, **request.GET.dict()}, actor=request.actor, strict=strict)


@require_GET
@page(perms.VIEW_DOSE)
def dose_rejects(request: ActorRequest) -> HttpResponse:
    question = _asked(request)
    found = rejects.analyse(question, actor=request.actor)
    target = found.target
    rooms = found.rooms[:MOST_ROOMS]
    context = {
        "nav": "dose",
        "question": question,
        "asked": question.query(),
        "tabs": [(code, TAB_LABELS[code], code == question.tab) for code in TABS],
        "period_words": _("%(count)d days") % {"count": question.days},
        "period_choices": [(str(count), _("%(count)d days") % {"count": count}) for count in PERIODS],
        "found": found,
        "enough": rejects.ENOUGH,
        "rate_chart": rate_chart(rooms, target and target.low, target and target.high) if rooms else None,
        "reason_chart": reason_chart(found.reasons) if found.reasons else None,
        "outside": sum(row.verdict in ("high", "low") for row in found.rooms),
        "may_manage_levels": request.actor.may(perms.MANAGE_LEVELS),
    }
    record_read(request.actor, perms.VIEW_DOSE, detail={**question.params(), "list": "rejects"})
    return render(request, "dose/rejects.html", context)


@require_GET
@page(perms.VIEW_DOSE)
def dose_rejects_file(request: ActorRequest, extension: str) -> HttpResponse:
    """Room by view by reason."""
    if extension not in FILES:
        raise NotKnown(_("There is no such file."), todo=_("Ask for csv or xlsx."))
    question = _asked(request, strict=True)
    rows = rejects.table(rejects.analyse(question, actor=request.actor))
    detail = {**question.params(), "chart": "rejects", "export": extension, "rows": len(rows)}
    record_read(request.actor, perms.VIEW_DOSE, detail=detail)
    return as_file(f"dose-rejects-{question.tab}", _("Rejects"), list(rejects.HEADS), rows, extension)


@require_POST
@page(perms.MANAGE_LEVELS)
def dose_reject_target(request: ActorRequest) -> HttpResponse:
    tab = request.POST.get("tab", "")
    low, high = number(request.POST.get("low", "")), number(request.POST.get("high", ""))
    if low is None or high is None:
        raise InvalidData(_("The target was not set."), errors={"low": [_("Give two numbers, in percent.")]})
    rejects.set_reject_target(tab, low=low, high=high, actor=request.actor)
    messages.success(request, _("The target is set."))
    return HttpResponseRedirect(f"{reverse('dose_rejects')}?tab={tab}")
