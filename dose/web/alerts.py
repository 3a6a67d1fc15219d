"""/dose/alerts/: skins to look at, pregnant patients, who is told; /dose/exams/.../enter/: a dose by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dose import alert_lists, selectors, services
from dose import permissions as perms
from dose.models import AlertKind, DoseReport, SkinFinding, SkinFollowUp
from dose.quantities import QUANTITIES, rounded
from dose.services.importing import MANUAL
from dose.services.manual import from_the_console, quantities_of
from orders.models import Modality, RequestedProcedure
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown
from ris.core.permissions import ROLES
from ris.notifications.models import Channel

SHOWN = 50


@require_GET
@page(perms.VIEW_DOSE)
def dose_alerts(request: ActorRequest) -> HttpResponse:
    actor = request.actor
    follow_ups = list(alert_lists.skin_follow_ups(actor=actor)[:SHOWN])
    for row in follow_ups:
        row.lines = [_why(reason) for reason in row.reasons]
    pregnancies = list(alert_lists.pregnancies(actor=actor)[:SHOWN])
    triggers = list(selectors.triggers(actor=actor).exclude(kind="pregnancy")[:SHOWN])
    context = {
        "nav": "dose",
        "here": "alerts",
        "follow_ups": follow_ups,
        "pregnancies": pregnancies,
        "triggers": triggers,
        "rules": list(alert_lists.alert_rules(actor=actor)),
        "alert_kinds": AlertKind.choices,
        "findings": SkinFinding.choices,
        "roles": ROLES,
        "channels": Channel.choices,
        "modalities": [row for row in Modality.choices if quantities_of(row[0])],
        "may_follow": actor.may(perms.FOLLOW_SKIN),
        "may_explain": actor.may(perms.EXPLAIN_TRIGGER),
        "may_manage": actor.may(perms.MANAGE_ALERTS),
    }
    shown: list[Any] = [*follow_ups, *pregnancies, *triggers]
    patients = sorted({row.audit_patient for row in shown if row.audit_patient is not None})
    record_read(actor, perms.VIEW_DOSE, patients=patients, detail={"rows": len(shown)})
    return render(request, "dose/alerts.html", context)


def _why(reason: dict[str, Any]) -> str:
    shown = QUANTITIES[reason["quantity"]]
    words = f"{shown.label} {rounded(reason['value'])} {shown.words} ({reason['limit']:g})"
    if not reason["weeks"]:
        return words
    return _("%(what)s in %(count)d weeks") % {"what": words, "count": reason["weeks"]}


def _follow_up(request: ActorRequest, uuid: UUID) -> SkinFollowUp:
    found = alert_lists.skin_follow_ups(actor=request.actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such follow-up in this facility."))
    return found


def _day(text: str) -> dt.date | None:
    if not text:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise InvalidData(_("This is no date."), errors={"look_on": [_("This is no date.")]}) from None


@require_POST
@page(perms.FOLLOW_SKIN)
def dose_skin_tell(request: ActorRequest, uuid: UUID) -> HttpResponse:
    asked = request.POST
    services.tell_patient(
        _follow_up(request, uuid),
        told_how=asked.get("told_how", ""),
        look_on=_day(asked.get("look_on", "")),
        actor=request.actor,
    )
    messages.success(request, _("Noted."))
    return HttpResponseRedirect(reverse("dose_alerts") + "#skin")


@require_POST
@page(perms.FOLLOW_SKIN)
def dose_skin_close(request: ActorRequest, uuid: UUID) -> HttpResponse:
    asked = request.POST
    services.close_skin_follow_up(
        _follow_up(request, uuid), finding=asked.get("finding", ""), note=asked.get("note", ""), actor=request.actor
    )
    messages.success(request, _("Noted."))
    return HttpResponseRedirect(reverse("dose_alerts") + "#skin")


@require_POST
@page(perms.MANAGE_ALERTS)
def dose_alert_rule_add(request: ActorRequest) -> HttpResponse:
    asked = {name: request.POST.get(name, "") for name in ("kind", "modality", "role", "channel")}
    services.save_alert_rule(**asked, actor=request.actor)
    messages.success(request, _("The rule is kept."))
    return HttpResponseRedirect(reverse("dose_alerts") + "#told")


@require_POST
@page(perms.MANAGE_ALERTS)
def dose_alert_rule_change(request: ActorRequest, uuid: UUID) -> HttpResponse:
    rule = alert_lists.alert_rules(actor=request.actor).filter(uuid=uuid).first()
    if rule is None:
        raise NotKnown(_("There is no such rule in this facility."))
    services.save_alert_rule(rule, is_active=request.POST.get("is_active") == "1", actor=request.actor)
    return HttpResponseRedirect(reverse("dose_alerts") + "#told")


# --- by hand


def _entered(procedure: RequestedProcedure) -> DoseReport | None:
    return DoseReport.objects.counted().filter(procedure=procedure, source=MANUAL).first()


@require_http_methods(["GET", "POST"])
@page(perms.ENTER_DOSE)
def dose_enter(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A dose that no device sends: entered once, corrected after."""
    procedure = (
        RequestedProcedure.objects.visible_to(request.actor)
        .select_related("order__patient", "catalogue")
        .filter(uuid=uuid)
        .first()
    )
    if procedure is None:
        raise NotKnown(_("There is no such exam in this facility."))
    known = _entered(procedure)
    offered = quantities_of(procedure.modality)
    if request.method == "POST":
        asked = request.POST
        values: dict[str, Any] = {shown.key: asked.get(shown.key, "") for shown in offered}
        values |= {
            "weight_kg": asked.get("weight_kg", ""),
            "reason": asked.get("reason", ""),
            "is_confirmed": bool(asked.get("is_confirmed")),
        }
        if known is None:
            made = services.enter_dose(procedure, **values, actor=request.actor)
        else:
            made = services.correct_dose(known, **values, actor=request.actor)
        messages.success(request, _("The dose is kept."))
        return HttpResponseRedirect(reverse("dose_report", args=[made.uuid]))
    noted = from_the_console(procedure) if known is None else {}
    rows = []
    for shown in offered:
        value = shown.of(known) if known is not None else noted.get(shown.key)
        rows.append((shown, "" if value is None else f"{value:.6g}", shown.key in noted))
    told = selectors.reports_of(procedure, actor=request.actor)
    context = {
        "nav": "dose",
        "procedure": procedure,
        "patient": procedure.order.patient,
        "known": known,
        "rows": rows,
        "told": [row for row in told if row.source != MANUAL and row.replaced_by_id is None],
        "weight": known.patient_weight_kg if known is not None and known.patient_weight_kg is not None else "",
        "versions": list(known.history.select_related("history_user").order_by("-history_id")) if known else [],
    }
    record_read(request.actor, perms.ENTER_DOSE, entity=procedure)
    return render(request, "dose/entry.html", context)
