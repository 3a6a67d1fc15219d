"""/downtime/: packs printed, downtimes declared, sheets found, the closing list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import downtime_lists as lists
from orders import permissions as perms
from orders import services
from orders.models import DowntimeForm, DowntimePack, DowntimePeriod, FormStatus, PeriodStatus
from orders.services import downtime_files as files
from orders.web.downtime_forms import DeclareForm, EndForm, PackForm, PlanForm, RangeForm, pack_words
from orders.web.forms import add_refusal
from orders.web.support import once
from ris.accounts.selectors import visible_sites
from ris.accounts.web import page
from ris.audit.models import Action
from ris.audit.service import flush_refusals, record, record_read
from ris.core.errors import DomainError, NotKnown
from ris.core.ids import uuid7

PACKS_SHOWN = 30
CLOSED_SHOWN = 8
ANY = (perms.VIEW_DOWNTIME, perms.PRINT_DOWNTIME, perms.ENTER_DOWNTIME, perms.DECLARE_DOWNTIME)
LATE_AFTER_HOURS = 26


def _rights(request: HttpRequest) -> dict[str, bool]:
    actor = request.actor
    return {
        "may_print": actor.may(perms.PRINT_DOWNTIME),
        "may_enter": actor.may(perms.ENTER_DOWNTIME),
        "may_declare": actor.may(perms.DECLARE_DOWNTIME),
        "may_see_orders": actor.may(perms.VIEW_ORDER),
    }


def uuid_of(words: str) -> UUID | None:
    """A UUID that was posted; None for what is none."""
    try:
        return UUID(words)
    except ValueError:
        return None


def pack_or_404(request: HttpRequest, uuid: UUID) -> DowntimePack:
    pack = lists.packs(actor=request.actor).filter(uuid=uuid).first()
    if pack is None:
        raise NotKnown(_("There is no such pack."))
    return pack


def form_or_404(request: HttpRequest, uuid: UUID) -> DowntimeForm:
    form = lists.forms(actor=request.actor).filter(uuid=uuid).first()
    if form is None:
        raise NotKnown(_("There is no such form."), todo=_("Scan or type the number of the form again."))
    return form


def period_or_404(request: HttpRequest, uuid: UUID) -> DowntimePeriod:
    period = lists.periods(actor=request.actor).filter(uuid=uuid).first()
    if period is None:
        raise NotKnown(_("There is no such downtime."))
    return period


@never_cache
@page(ANY)
def downtime(request: HttpRequest) -> HttpResponse:
    return render(request, "orders/downtime.html", _dashboard(request))


def _dashboard(
    request: HttpRequest, *, pack_form: forms.Form | None = None, declare_form: forms.Form | None = None
) -> dict[str, Any]:
    actor = request.actor
    plan, sites = services.downtime_plan(), visible_sites(actor=actor)
    packs = list(lists.packs(actor=actor)[:PACKS_SHOWN])
    periods = lists.periods(actor=actor)
    found = list(periods.exclude(status=PeriodStatus.CLOSED))
    age = timezone.now() - plan.last_night_at if plan.last_night_at else None
    in_drawer = lists.packs(actor=actor).filter(printed_count__gt=0)
    return {
        "nav": "downtime",
        **_rights(request),
        "once": uuid7(),
        "plan": plan,
        "packs": packs,
        "open_periods": [(period, lists.closing_list(period)) for period in found],
        "closed_periods": list(periods.filter(status=PeriodStatus.CLOSED)[:CLOSED_SHOWN]),
        "pack_form": pack_form or PackForm(plan=plan, sites=sites, auto_id="pack_%s"),
        "declare_form": declare_form or DeclareForm(packs=in_drawer, sites=sites, auto_id="declare_%s"),
        "night_is_late": plan.is_nightly and (age is None or age.total_seconds() > LATE_AFTER_HOURS * 3600),
        "night_folder": files.folder_of_facility() / plan.last_night_folder if plan.last_night_folder else None,
    }


# --- packs


@require_POST
@never_cache
@page(perms.PRINT_DOWNTIME)
def pack_make(request: HttpRequest) -> HttpResponse:
    sites = visible_sites(actor=request.actor)
    form = PackForm(request.POST, plan=services.downtime_plan(), sites=sites, auto_id="pack_%s")
    if not form.is_valid():
        return render(request, "orders/downtime.html", _dashboard(request, pack_form=form), status=422)

    def make() -> str:
        pack = services.make_downtime_pack(**form.cleaned_data, actor=request.actor)
        return reverse("downtime_pack", args=[pack.uuid])

    answer = once(request, "downtime-pack", make)
    messages.success(request, _("The numbers are reserved. Print the pack now."))
    return answer


@never_cache
@page(ANY)
def pack_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    pack = pack_or_404(request, uuid)
    return render(request, "orders/downtime_pack.html", _pack_page(request, pack, None))


def _pack_page(request: HttpRequest, pack: DowntimePack, form: forms.Form | None) -> dict[str, Any]:
    actor = request.actor
    rows = list(lists.forms(actor=actor).filter(pack=pack))
    first = next((row.number for row in rows if row.is_open), 1)
    return {
        "nav": "downtime",
        **_rights(request),
        "pack": pack,
        "rows": rows,
        "open_count": sum(row.is_open for row in rows),
        "range_form": form or RangeForm(initial={"first": first, "last": pack.form_count}),
    }


@require_POST
@never_cache
@page(perms.PRINT_DOWNTIME)
def pack_print(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The paper. A post, because each print is counted and named on the sheets."""
    pack = pack_or_404(request, uuid)
    pdf = files.print_downtime_pack(pack, actor=request.actor)
    response = HttpResponse(pdf, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{pack.code}.pdf"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


@require_POST
@never_cache
@page(perms.ENTER_DOWNTIME)
def pack_forms(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Several sheets at once: void, or back into the drawer."""
    pack = pack_or_404(request, uuid)
    form = RangeForm(request.POST)
    if form.is_valid():
        data = form.cleaned_data
        try:
            if "void" in request.POST:
                done = services.void_downtime_forms(pack, **data, actor=request.actor)
            else:
                data.pop("reason")
                done = services.return_blank_forms(pack, **data, actor=request.actor)
        except DomainError as refusal:
            flush_refusals()
            add_refusal(form, refusal)
        else:
            count = len(done)
            messages.success(request, ngettext("%(n)d form is noted.", "%(n)d forms are noted.", count) % {"n": count})
            return HttpResponseRedirect(reverse("downtime_pack", args=[pack.uuid]))
    return render(request, "orders/downtime_pack.html", _pack_page(request, pack, form), status=422)


# --- sheets


@require_POST
@never_cache
@page(perms.ENTER_DOWNTIME)
def form_find(request: HttpRequest) -> HttpResponse:
    """To the sheet of a scanned or typed number."""
    form = lists.form_of_number(request.POST.get("number", "")[:80], actor=request.actor)
    if form is None:
        messages.error(request, _("No form has this number. Scan the bars again, or type what stands in its corner."))
        return HttpResponseRedirect(reverse("downtime"))
    return HttpResponseRedirect(reverse("downtime_form", args=[form.uuid]))


@require_POST
@never_cache
@page(perms.ENTER_DOWNTIME)
def form_action(request: HttpRequest, uuid: UUID, verb: str) -> HttpResponse:
    form = form_or_404(request, uuid)
    actor = request.actor
    if verb == "void":
        services.void_downtime_form(form, reason=request.POST.get("reason", ""), actor=actor)
        messages.success(request, _("Form %(label)s is void.") % {"label": form.label})
    elif verb == "blank":
        services.return_blank_form(form, actor=actor)
        messages.success(request, _("Form %(label)s is back in the drawer.") % {"label": form.label})
    elif verb == "restore":
        services.restore_downtime_form(form, actor=actor)
        messages.success(request, _("Form %(label)s is no longer void.") % {"label": form.label})
    else:
        raise NotKnown(_("That cannot be done with a form."))
    if form.period is not None:
        return HttpResponseRedirect(reverse("downtime_period", args=[form.period.uuid]))
    return HttpResponseRedirect(reverse("downtime_pack", args=[form.pack.uuid]))


# --- the time it was down


@require_POST
@never_cache
@page(perms.DECLARE_DOWNTIME)
def declare(request: HttpRequest) -> HttpResponse:
    actor = request.actor
    in_drawer = lists.packs(actor=actor).filter(printed_count__gt=0)
    form = DeclareForm(request.POST, packs=in_drawer, sites=visible_sites(actor=actor), auto_id="declare_%s")
    if form.is_valid():
        try:
            period = services.declare_downtime(**form.cleaned_data, actor=actor)
        except DomainError as refusal:
            flush_refusals()
            add_refusal(form, refusal)
        else:
            messages.success(request, _("The downtime is declared. Everybody sees it above every page."))
            return HttpResponseRedirect(reverse("downtime_period", args=[period.uuid]))
    return render(request, "orders/downtime.html", _dashboard(request, declare_form=form), status=422)


@never_cache
@page(ANY)
def period_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    period = period_or_404(request, uuid)
    return render(request, "orders/downtime_period.html", _period_page(request, period, None))


def _period_page(request: HttpRequest, period: DowntimePeriod, end_form: forms.Form | None) -> dict[str, Any]:
    """Who may not see patients sees numbers, and not what a scanner called them."""
    actor = request.actor
    found = lists.closing_list(period)
    packs = lists.packs(actor=actor).filter(printed_count__gt=0)
    entered = lists.forms(actor=actor).filter(period=period, status=FormStatus.ENTERED).order_by("-entered_at")
    shows_names = actor.may(perms.VIEW_PATIENT)
    if shows_names and found.waiting:
        record_read(actor, perms.VIEW_DOWNTIME, entity=period, detail={"waiting": len(found.waiting)})
    return {
        "nav": "downtime",
        **_rights(request),
        "period": period,
        "closing": found,
        "entered": list(entered[:PACKS_SHOWN]),
        "packs": [(pack, pack_words(pack)) for pack in packs[:PACKS_SHOWN]],
        "end_form": end_form or EndForm(),
        "shows_names": shows_names,
        "may_settle": actor.may("worklist.resolve_exception"),
    }


def _end(request: HttpRequest, period: DowntimePeriod) -> str:
    form = EndForm(request.POST)
    moment = form.cleaned_data["ended_at"] if form.is_valid() else None
    services.end_downtime(period, ended_at=moment, actor=request.actor)
    return _("It works again. Now enter what was written.")


def _resume(request: HttpRequest, period: DowntimePeriod) -> str:
    services.resume_downtime(period, actor=request.actor)
    return _("The downtime goes on.")


def _close(request: HttpRequest, period: DowntimePeriod) -> str:
    services.close_downtime(period, actor=request.actor)
    return _("The downtime is closed: every form is accounted for.")


def _issue(request: HttpRequest, period: DowntimePeriod) -> str:
    wanted = uuid_of(request.POST.get("pack", ""))
    if wanted is None:
        raise NotKnown(_("There is no such pack."), todo=_("Choose a pack from the list."))
    pack = pack_or_404(request, wanted)
    services.issue_downtime_pack(period, pack=pack, actor=request.actor)
    return _("The forms of this pack are now to come back.")


VERBS: dict[str, tuple[str, Callable[[HttpRequest, DowntimePeriod], str]]] = {
    "end": (perms.DECLARE_DOWNTIME, _end),
    "resume": (perms.DECLARE_DOWNTIME, _resume),
    "close": (perms.DECLARE_DOWNTIME, _close),
    "issue": (perms.ENTER_DOWNTIME, _issue),
}


@require_POST
@never_cache
@page((perms.DECLARE_DOWNTIME, perms.ENTER_DOWNTIME))
def period_action(request: HttpRequest, uuid: UUID, verb: str) -> HttpResponse:
    period = period_or_404(request, uuid)
    if verb not in VERBS:
        raise NotKnown(_("That cannot be done with a downtime."))
    messages.success(request, VERBS[verb][1](request, period))
    return HttpResponseRedirect(reverse("downtime_period", args=[period.uuid]))


# --- plan and copy


@never_cache
@page(perms.DECLARE_DOWNTIME)
def plan_edit(request: HttpRequest) -> HttpResponse:
    plan = services.downtime_plan()
    form = PlanForm(request.POST or None, instance=plan)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_downtime_plan(**form.cleaned_data, actor=request.actor)
        except DomainError as refusal:
            flush_refusals()
            add_refusal(form, refusal)
        else:
            messages.success(request, _("The plan is saved."))
            return HttpResponseRedirect(reverse("downtime"))
    context = {"nav": "downtime", "form": form, "folder": files.folder_of_facility()}
    return render(request, "orders/downtime_plan.html", context, status=422 if form.errors else 200)


@require_POST
@never_cache
@page(perms.PRINT_DOWNTIME)
def night_make(request: HttpRequest) -> HttpResponse:
    """The night's folder, now."""
    night = files.make_downtime_night(actor=request.actor)
    count = len(night.pages) + len(night.papers)
    messages.success(request, _("The copy is made: %(count)d pages and papers.") % {"count": count})
    return HttpResponseRedirect(reverse("downtime"))


@require_POST
@never_cache
@page(perms.PRINT_DOWNTIME)
def night_fetch(request: HttpRequest) -> HttpResponse:
    """The newest night as one file, to be carried to another machine."""
    found = files.nights()
    if not found:
        raise NotKnown(_("There is no copy yet."), todo=_("Make one now."))
    record(request.actor, perms.PRINT_DOWNTIME, Action.READ, detail={"folder": found[0].name})
    response = HttpResponse(files.zip_of(found[0]), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="downtime-{found[0].name}.zip"'
    return response
