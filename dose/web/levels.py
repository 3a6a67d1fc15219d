"""/dose/levels/: reference levels and their editions, tables of them; /dose/compliance/: medians beside them."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dose import alert_lists, compliance, names, services
from dose import permissions as perms
from dose.bands import BANDS
from dose.investigations import compute_local_level_of
from dose.models import ReferenceLevel
from dose.quantities import QUANTITIES, TAB_LABELS, TABS
from dose.services.drl import COLUMNS, UNITS
from orders.models import Modality
from ris.accounts.web import ActorRequest, page
from ris.audit.models import Action
from ris.audit.service import record, record_read
from ris.core.errors import InvalidData, NotKnown
from ris.core.sheets import MOST_BYTES
from ris.core.spreadsheet import CSV, as_csv

LINES_SHOWN = 300


def _level(request: ActorRequest, uuid: UUID) -> ReferenceLevel:
    found = alert_lists.all_levels(actor=request.actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such level in this facility."))
    return found


@require_GET
@page(perms.VIEW_DOSE)
def dose_levels(request: ActorRequest) -> HttpResponse:
    rows = alert_lists.all_levels(actor=request.actor)
    is_all = request.GET.get("editions") == "all"
    if not is_all:
        rows = rows.filter(is_active=True)
    modality, authority = request.GET.get("modality", ""), request.GET.get("authority", "")
    if modality in Modality.values:
        rows = rows.filter(modality=modality)
    if authority:
        rows = rows.filter(authority=authority[:100])
    found = list(rows.order_by("modality", "exam", "authority", "quantity", "-edition"))
    authorities = alert_lists.all_levels(actor=request.actor).order_by("authority").values_list("authority", flat=True)
    context = {
        "nav": "dose",
        "here": "levels",
        "rows": found,
        "is_all": is_all,
        "authorities": [(name, name) for name in authorities.distinct()],
        "modalities": [row for row in Modality.choices if row[0] in {"CT", "DX", "CR", "MG", "RF", "XA", "NM", "PT"}],
        "editions": [("all", _("with earlier editions"))],
        "may_manage": request.actor.may(perms.MANAGE_LEVELS),
    }
    return render(request, "dose/levels.html", context)


def _form(request: ActorRequest, level: ReferenceLevel | None) -> dict[str, Any]:
    chosen = {name: getattr(level, name) for name in COLUMNS} if level is not None else {"band": "adult"}
    exam = level.standard_exam.code if level is not None and level.standard_exam is not None else ""
    return {
        "nav": "dose",
        "here": "levels",
        "level": level,
        "value": chosen | {"standard_exam": exam},
        "exams": list(names.standard_exams(actor=request.actor)),
        "quantities": [(key, f"{key}, {unit}") for key, unit in UNITS.items()],
        "modalities": Modality.choices,
        "bands": list(BANDS),
        "earlier": _earlier(level),
        "may_manage": request.actor.may(perms.MANAGE_LEVELS),
    }


def _earlier(level: ReferenceLevel | None) -> list[ReferenceLevel]:
    """The editions before this one, newest first."""
    found = []
    while level is not None and level.replaces is not None:
        level = level.replaces
        found.append(level)
    return found


def _values(request: ActorRequest) -> dict[str, Any]:
    asked: dict[str, Any] = {name: request.POST.get(name, "") for name in COLUMNS}
    asked["unit"] = UNITS.get(asked["quantity"], "")
    asked["is_watched"] = "1" if request.POST.get("is_watched") else "0"
    return asked


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_LEVELS)
def dose_level_add(request: ActorRequest) -> HttpResponse:
    if request.method == "GET":
        return render(request, "dose/level_edit.html", _form(request, None))
    services.add_level(**_values(request), actor=request.actor)
    messages.success(request, _("The level is in force."))
    return HttpResponseRedirect(reverse("dose_levels"))


@require_http_methods(["GET", "POST"])
@page(perms.VIEW_DOSE)
def dose_level(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A level with its editions; a change makes a new one."""
    level = _level(request, uuid)
    if request.method == "GET":
        return render(request, "dose/level_edit.html", _form(request, level))
    made = services.revise_level(level, reason=request.POST.get("reason", ""), actor=request.actor, **_values(request))
    messages.success(request, _("Edition %(number)d is in force.") % {"number": made.edition})
    return HttpResponseRedirect(reverse("dose_level", args=[made.uuid]))


@require_POST
@page(perms.MANAGE_LEVELS)
def dose_level_withdraw(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.withdraw_level(_level(request, uuid), reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("The level is withdrawn."))
    return HttpResponseRedirect(reverse("dose_levels"))


@never_cache
@require_GET
@page(perms.VIEW_DOSE)
def dose_levels_export(request: ActorRequest) -> HttpResponse:
    """The levels in force as the table that is loaded again."""
    rows = []
    for level in alert_lists.all_levels(actor=request.actor).filter(is_active=True).order_by("modality", "exam", "pk"):
        cells = [getattr(level, name) for name in COLUMNS]
        cells[COLUMNS.index("standard_exam")] = level.standard_exam.code if level.standard_exam is not None else ""
        cells[COLUMNS.index("is_watched")] = int(level.is_watched)
        rows.append(["" if cell is None else cell for cell in cells])
    record(request.actor, "dose.export_levels", Action.READ)
    headers = {"Content-Disposition": 'attachment; filename="reference-levels.csv"'}
    return HttpResponse(as_csv(COLUMNS, rows), content_type=CSV, headers=headers)


@never_cache
@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_LEVELS)
def dose_levels_import(request: ActorRequest) -> HttpResponse:
    """Look at what a table would change, then load it. The table travels in the form; nothing is kept meanwhile."""
    context: dict[str, Any] = {"nav": "dose", "here": "levels", "columns": COLUMNS}
    if request.method == "POST":
        table = _table(request)
        if "load" in request.POST:
            lines = services.import_levels(table, actor=request.actor)
            counts = {kind: sum(line.kind == kind for line in lines) for kind in ("new", "edition", "wrong")}
            words = _("Loaded: %(new)d new, %(edition)d new editions; %(wrong)d rows left out.") % counts
            messages.success(request, words)
            return HttpResponseRedirect(reverse("dose_levels"))
        lines = services.preview_levels(table, actor=request.actor)
        rank = {"wrong": 0, "edition": 1, "new": 2, "same": 3}
        context |= {
            "table": base64.b64encode(table).decode(),
            "lines": sorted(lines, key=lambda line: (rank[line.kind], line.number))[:LINES_SHOWN],
            "counts": {kind: sum(line.kind == kind for line in lines) for kind in rank},
        }
    return render(request, "dose/levels_import.html", context)


def _table(request: ActorRequest) -> bytes:
    file = request.FILES.get("file")
    if file is not None:
        if file.size is not None and file.size > MOST_BYTES:
            words = _("The table is larger than 5 MB.")
            raise InvalidData(words, errors={"file": [words]})
        return file.read()
    try:
        found = base64.b64decode(request.POST.get("table", ""), validate=True)
    except binascii.Error:
        found = b""
    if not found:
        words = _("Choose a table.")
        raise InvalidData(words, errors={"file": [words]})
    return found


@require_GET
@page(perms.VIEW_DOSE)
def dose_compliance(request: ActorRequest) -> HttpResponse:
    """Every room and exam with the levels that speak of it."""
    tab = request.GET.get("tab", "CT")
    tab = tab if tab in TABS else "CT"
    rows = compliance.compare(actor=request.actor, modalities=TABS[tab][0])
    if request.GET.get("levels") != "all":
        rows = [row for row in rows if row.level.is_watched or row.is_local]
    context = {
        "nav": "dose",
        "here": "compliance",
        "tab": tab,
        "tabs": [(code, TAB_LABELS[code], code == tab) for code in TABS],
        "rows": rows,
        "above": sum(row.verdict == "above" for row in rows),
        "enough": sum(row.is_enough for row in rows),
        "needed": TABS[tab][2],
        "level_choices": [("all", _("all levels"))],
        "alerts": list(alert_lists.level_alerts(actor=request.actor)[:25]),
        "check": alert_lists.last_check(actor=request.actor),
        "exams": [row for row in names.standard_exams(actor=request.actor) if row.modality in TABS[tab][0]],
        "quantities": [(key, QUANTITIES[key].label) for key in TABS[tab][1]],
        "may_manage": request.actor.may(perms.MANAGE_LEVELS),
    }
    record_read(request.actor, perms.VIEW_DOSE, detail={"tab": tab, "rows": len(rows)})
    return render(request, "dose/compliance.html", context)


@require_POST
@page(perms.MANAGE_LEVELS)
def dose_check(request: ActorRequest) -> HttpResponse:
    check = services.check_medians(actor=request.actor)
    counts = {"compared": check.compared, "above": check.above}
    messages.success(request, _("%(compared)d comparisons, %(above)d above their level.") % counts)
    return HttpResponseRedirect(reverse("dose_compliance"))


@require_POST
@page(perms.MANAGE_LEVELS)
def dose_exam_level(request: ActorRequest) -> HttpResponse:
    """A standard exam's local level, from this facility's own rooms."""
    exam = names.standard_exams(actor=request.actor).filter(code=request.POST.get("exam", "")).first()
    if exam is None:
        raise NotKnown(_("There is no such standard exam in this facility."))
    level = compute_local_level_of(exam, quantity=request.POST.get("quantity", ""), actor=request.actor)
    messages.success(request, _("Local level: %(value)g %(unit)s.") % {"value": level.value, "unit": level.unit})
    return HttpResponseRedirect(reverse("dose_compliance"))
