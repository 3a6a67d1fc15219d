"""A scanned code, from anywhere on the console: to its exam, to the wristband check, or into what was used."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders.models import RequestedProcedure
from ris.accounts.web import page
from ris.audit.service import record_read
from ris.core.errors import Conflict, DomainError, NotKnown
from worklist import permissions as perms
from worklist.selectors.console import exams
from worklist.selectors.scanning import Scan, read_scan
from worklist.selectors.today import ward_round
from worklist.services.time_out import standing_time_out
from worklist.web.console import ROUND, board_page, exam_page

KEPT_WRISTBANDS = 20


@require_POST
@page(perms.VIEW_STEP)
def console_scan(request: HttpRequest) -> HttpResponse:
    """``code`` as the scanner sent it, ``on`` the exam that was open, if any."""
    code = request.POST.get("code", "")
    here = _open_exam(request)
    try:
        scan = read_scan(code, actor=request.actor)
        if scan.kind == "pack":
            return _take_pack(request, scan, here)
        if here is not None and here.pk in {row.pk for row in scan.exams}:
            return _same_exam(request, scan, here, code)
        if here is not None and scan.kind == "patient":
            _refuse_other_patient(here)
    except DomainError as refusal:
        return _refused(request, refusal, here)
    if len(scan.exams) > 1:
        return _choose(request, scan)
    return _go(request, scan.exams[0])


def _open_exam(request: HttpRequest) -> RequestedProcedure | None:
    try:
        uuid = UUID(request.POST.get("on", ""))
    except ValueError:
        return None
    return exams(actor=request.actor).filter(uuid=uuid).first()


def _go(request: HttpRequest, procedure: RequestedProcedure, anchor: str = "") -> HttpResponse:
    name = "console_round_exam" if request.POST.get("back") == ROUND else "console_exam"
    return HttpResponseRedirect(reverse(name, args=[procedure.uuid]) + anchor)


def _same_exam(request: HttpRequest, scan: Scan, here: RequestedProcedure, code: str) -> HttpResponse:
    """The wristband of who is on this page goes into the time-out."""
    if scan.kind == "patient" and standing_time_out(here) is None:
        kept = dict(list(request.session.get("console_wristband", {}).items())[-KEPT_WRISTBANDS:])
        request.session["console_wristband"] = kept | {str(here.uuid): code[:128]}
        messages.success(request, _("The wristband is this patient's."))
        return _go(request, here, "#time-out")
    messages.success(request, _("This exam is open."))
    return _go(request, here)


def _refuse_other_patient(here: RequestedProcedure) -> None:
    """Before the time-out, another patient's wristband at an open exam is a warning, not a way to go."""
    if standing_time_out(here) is None and here.status in ("scheduled", "arrived", "accepted", "in_progress"):
        raise Conflict(
            _("This wristband is another patient's."),
            asked=_("To confirm who is here for %(number)s.") % {"number": here.accession_number},
            found=_("The scanned identifier belongs to another patient."),
            todo=_("Stop. Ask name and date of birth. To open the other exam, go back to the list and scan there."),
        )


def _take_pack(request: HttpRequest, scan: Scan, here: RequestedProcedure | None) -> HttpResponse:
    """What the pack says stands ready in the form of what was used; a person gives the amount."""
    pack, product = scan.pack, scan.product
    if here is None or pack is None:
        raise Conflict(
            _("This is a pack."),
            asked=_("To find an exam by its code."),
            found=_("The code stands on a product, not on a patient."),
            todo=_("Open the exam first, then scan what is used for it."),
        )
    if product is None:
        raise NotKnown(
            _("This product is not in the list."),
            asked=_("To record what is used."),
            found=_("GTIN %(gtin)s.") % {"gtin": pack.gtin},
            todo=_("Type it under Used; an administrator can add the product, with its GTIN."),
        )
    amount = f"{product.usual_quantity.normalize():f}" if product.usual_quantity else ""
    request.session["console_pack"] = {
        "product": str(product.uuid),
        "label": product.name,
        "kind": product.kind,
        "quantity": amount,
        "unit": product.unit,
        "route": product.route,
        "lot": pack.lot,
        "expires_on": pack.expires_on.isoformat() if pack.expires_on else "",
    }
    return _go(request, here, "#used")


def _choose(request: HttpRequest, scan: Scan) -> HttpResponse:
    found = scan.exams
    for row in found:
        row.step = next(iter(row.steps.all()), None)
    if request.POST.get("back") == ROUND:
        return round_page(request, found=found)
    return board_page(request, found=found)


def _refused(request: HttpRequest, refusal: DomainError, here: RequestedProcedure | None) -> HttpResponse:
    if here is not None:
        return exam_page(request, here, refusal=refusal, status=refusal.http_status)
    if request.POST.get("back") == ROUND:
        return round_page(request, refusal=refusal, status=refusal.http_status)
    return board_page(request, refusal=refusal, status=refusal.http_status)


# --- the round of the wards, on a phone


def round_page(request: HttpRequest, *, status: int = 200, **more: object) -> HttpResponse:
    wards, done = ward_round(actor=request.actor)
    chosen = request.GET.get("ward", "")
    shown = [ward for ward in wards if ward.name == chosen] or wards
    rows = [row for ward in shown for row in ward.rows]
    patients = sorted({row.audit_patient for row in rows})
    record_read(request.actor, perms.VIEW_STEP, patients=patients, detail={"page": "round", "rows": len(rows)})
    context = {
        "nav": "console",
        "wards": wards,
        "shown": shown,
        "chosen": chosen if len(shown) == 1 and chosen else "",
        "count": sum(len(ward.rows) for ward in wards),
        "done": done,
        "back": ROUND,
        **more,
    }
    return render(request, "worklist/round.html", context, status=status)


@never_cache
@page(perms.VIEW_STEP)
def console_round(request: HttpRequest) -> HttpResponse:
    return round_page(request)
