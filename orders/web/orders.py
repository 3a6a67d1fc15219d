"""/orders/: the list by status, order entry, one order with its steps and what may be done with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import permissions as perms
from orders import selectors, services
from orders.models import CatalogueProcedure, Modality, Order, Patient, Priority, ProcedureStatus, RequestedProcedure
from orders.services import ProcedureRequest
from orders.web import forms as shapes
from orders.web.patients import patient_page
from orders.web.support import cursor_page, once, steps_of
from ris.accounts.web import page
from ris.audit.selectors import search_events
from ris.audit.service import flush_refusals, record_read
from ris.core.errors import DomainError, InvalidData, NotKnown
from ris.core.ids import uuid7

S = ProcedureStatus
EXAMS_OFFERED = 12
MOST_PICKS = 10
AUDIT_ROWS = 100
SIDES = (("L", gettext_lazy("Left")), ("R", gettext_lazy("Right")), ("B", gettext_lazy("Both")))
#: The saved lists at the left: key, words, statuses.
VIEWS: tuple[tuple[str, Any, str, tuple[str, ...]], ...] = (
    ("open", gettext_lazy("To do"), "clipboard-list", tuple(selectors.BEFORE_EXAM)),
    ("unmapped", gettext_lazy("Not in the catalogue"), "help-circle", (S.REQUESTED,)),
    ("vetting", gettext_lazy("To be vetted"), "clipboard-search", (S.VETTING,)),
    ("held", gettext_lazy("On hold or asked"), "player-pause", (S.ON_HOLD, S.INFO_REQUESTED)),
    ("schedule", gettext_lazy("To be scheduled"), "calendar-plus", (S.ACCEPTED,)),
    ("all", gettext_lazy("All"), "list", ()),
)


@never_cache
@page(perms.VIEW_ORDER)
def order_list(request: HttpRequest) -> HttpResponse:
    """One row per exam, newest first; every filter stands in the address, none of them names a patient."""
    chosen = next((view for view in VIEWS if view[0] == request.GET.get("view")), VIEWS[0])
    rows = _filtered(selectors.procedures(actor=request.actor), request, chosen[3])
    shown = cursor_page(rows, request.GET.get("cursor", ""))
    record_read(
        request.actor,
        perms.VIEW_ORDER,
        patients=sorted({row.audit_patient for row in shown.rows}),
        detail={"rows": len(shown.rows)},
    )
    counts = selectors.counts_by_status(actor=request.actor)
    context = {
        "nav": "orders",
        "page": shown,
        "rows": shown.rows,
        "view": chosen[0],
        "views": [
            {"key": key, "words": words, "icon": icon, "count": sum(counts.get(s, 0) for s in of) if of else None}
            for key, words, icon, of in VIEWS
        ],
        "modalities": Modality.choices,
        "priorities": Priority.choices,
        "statuses": ProcedureStatus.choices,
        "may_order": request.actor.may(perms.CREATE_ORDER),
    }
    return render(request, "orders/order_list.html", context)


def _filtered(
    rows: QuerySet[RequestedProcedure], request: HttpRequest, statuses: tuple[str, ...]
) -> QuerySet[RequestedProcedure]:
    asked = [value for value in request.GET.getlist("status") if value in S.values]
    if asked or statuses:
        rows = rows.filter(status__in=asked or statuses)
    if modalities := [value for value in request.GET.getlist("modality") if value in Modality.values]:
        rows = rows.filter(modality__in=modalities)
    if priorities := [value for value in request.GET.getlist("priority") if value in Priority.values]:
        rows = rows.filter(order__priority__in=priorities)
    return rows


# --- order entry


class Entry:
    """An order being written: the form, the exams picked so far, the search for more.

    All of it comes back on each post, so that nothing typed is lost, with or without JavaScript.
    """

    def __init__(self, request: HttpRequest, patient: Patient) -> None:
        self.request, self.patient = request, patient
        self.is_post = request.method == "POST"
        self.form = shapes.OrderForm(request.POST if self.is_post else None, initial=self._initial())
        codes = request.POST.getlist("code") if self.is_post else []
        added = request.POST.get("add", "") if self.is_post else ""
        codes = [code for code in dict.fromkeys([*codes, added]) if code and code != request.POST.get("remove")]
        known = {row.code: row for row in selectors.catalogue().filter(code__in=codes[:MOST_PICKS])}
        self.picks = [
            {"exam": known[code], "side": request.POST.get(f"side-{code}", ""), "error": ""}
            for code in codes
            if code in known
        ]
        self.query = request.POST.get("exam", "").strip()[:60] if not added else ""

    def _initial(self) -> dict[str, Any]:
        user = self.request.user
        own = getattr(user, "practitioner", None)
        return {"requester": own.uuid} if own is not None else {}

    @property
    def wants_to_place(self) -> bool:
        return self.is_post and "place" in self.request.POST

    def options(self) -> list[CatalogueProcedure]:
        picked = [pick["exam"].code for pick in self.picks]
        return exam_options(self.query, leaving_out=picked) if self.query else []

    def requests(self) -> list[ProcedureRequest]:
        return [ProcedureRequest(pick["exam"].code, laterality=pick["side"]) for pick in self.picks]

    def place(self) -> str:
        """Place the order; answers its address."""
        data = {**self.form.cleaned_data, "copies_to": list(self.form.cleaned_data["copies_to"])}
        order = services.create_order(
            patient=self.patient, procedures=self.requests(), **data, actor=self.request.actor
        )
        return reverse("order_detail", args=[order.uuid])

    def note(self, refusal: DomainError) -> None:
        """What the service says of ``procedures.<n>.<field>`` goes to that line, the rest to the form."""
        rest: dict[str, Any] = {}
        for name, found in refusal.errors.items():
            head, __, tail = name.partition(".")
            number = tail.partition(".")[0]
            if head == "procedures" and number.isdigit() and int(number) < len(self.picks):
                self.picks[int(number)]["error"] = " ".join(map(str, found))
            else:
                rest[name] = found
        if rest or not refusal.errors:
            shapes.add_refusal(self.form, type(refusal)(refusal.detail, errors=rest))

    def checks(self) -> list[dict[str, Any]]:
        """What to know before the order is placed."""
        found: list[dict[str, Any]] = []
        contrast = any(pick["exam"].uses_contrast for pick in self.picks)
        for alert in self.patient.alert_rows.all():
            if alert.is_active and (alert.kind != "allergy" or contrast):
                found.append({"tone": "amber", "icon": "alert-triangle", "title": str(alert), "words": ""})
        for pick in self.picks:
            similar = selectors.similar_exams(self.patient, pick["exam"], actor=self.request.actor)[:3]
            for row in similar:
                found.append({"tone": "amber", "icon": "history", "similar": row, "exam": pick["exam"]})
        return found


def exam_options(words: str, *, leaving_out: list[str]) -> list[CatalogueProcedure]:
    rows = selectors.catalogue().exclude(code__in=leaving_out)
    for word in words.split():
        rows = rows.filter(
            Q(name__icontains=word) | Q(name_sw__icontains=word) | Q(code__istartswith=word) | Q(codes__value=word)
        )
    return list(rows.distinct()[:EXAMS_OFFERED])


@patient_page(perms.CREATE_ORDER)
def order_create(request: HttpRequest, patient: Patient) -> HttpResponse:
    entry = Entry(request, patient)
    status = 200
    if entry.wants_to_place:
        status = 422
        if entry.form.is_valid():
            try:
                answer = once(request, f"order:{patient.uuid}", entry.place)
            except DomainError as refusal:
                flush_refusals()
                status = refusal.http_status if refusal.http_status != 400 else 422
                entry.note(refusal)
            else:
                messages.success(request, _("The order is placed."))
                return answer
    elif not entry.is_post:
        record_read(request.actor, perms.CREATE_ORDER, entity=patient)
    if entry.is_post and not entry.wants_to_place:
        entry.form.errors.clear()
    context = {
        "nav": "orders",
        "patient": patient,
        "once": uuid7(),
        "entry": entry,
        "form": entry.form,
        "options": entry.options(),
        "sides": SIDES,
        "checks": entry.checks(),
        "missing": [pick["error"] for pick in entry.picks if pick["error"]],
    }
    return render(request, "orders/order_create.html", context, status=status)


@never_cache
@page(perms.CREATE_ORDER)
def exam_search(request: HttpRequest) -> HttpResponse:
    """The exams that fit, as buttons of the order form; for htmx."""
    words = request.POST.get("exam", "").strip()[:60]
    options = exam_options(words, leaving_out=request.POST.getlist("code")) if words else []
    return render(request, "orders/_exam_options.html", {"options": options, "query": words})


# --- one order


def order_or_404(request: HttpRequest, uuid: UUID) -> Order:
    order = selectors.orders(actor=request.actor).prefetch_related("copies_to").filter(uuid=uuid).first()
    if order is None:
        raise NotKnown(_("There is no such order."), todo=_("Search for the patient or the accession number."))
    return order


@never_cache
@page(perms.VIEW_ORDER)
def order_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    order = order_or_404(request, uuid)
    exams = list(selectors.procedures(actor=request.actor).filter(order=order).order_by("pk"))
    record_read(request.actor, perms.VIEW_ORDER, entity=order)
    return render(request, "orders/order_detail.html", order_context(request, order, exams))


def order_context(request: HttpRequest, order: Order, exams: list[RequestedProcedure]) -> dict[str, Any]:
    actor = request.actor
    audit = _audit_of(order, exams) if actor.may("audit.view_event") else []
    return {
        "nav": "orders",
        "order": order,
        "patient": order.patient,
        "exams": [
            {
                "row": row,
                "steps": steps_of(row),
                "timeline": selectors.procedure_timeline(row, actor=actor, request=request),
                "verbs": verbs_of(row, actor),
            }
            for row in exams
        ],
        "audit": audit,
        "may_cancel": actor.may(perms.CANCEL_ORDER) and any(row.can_move_to(S.CANCELLED) for row in exams),
        "cancel_form": shapes.CodedReasonForm(),
        "is_several": len(exams) > 1,
    }


def _audit_of(order: Order, exams: list[RequestedProcedure]) -> list[Any]:
    """Every recorded read, change and refusal of the order and its exams, newest first."""
    asked: list[dict[str, Any]] = [{"entity": order.uuid}]
    for row in exams:
        asked += [{"entity": row.uuid}, {"accession_number": row.accession_number}]
    found = {event.pk: event for filters in asked for event in search_events(filters)[:AUDIT_ROWS]}
    return sorted(found.values(), key=lambda event: -event.pk)[:AUDIT_ROWS]


#: verb -> (words, icon, right, form, service, status that it leads to; "" when it leads to none)
VERBS: dict[str, tuple[Any, str, str, type[forms.Form], Callable[..., Any], str]] = {
    "accept": (
        gettext_lazy("Accept"),
        "clipboard-check",
        perms.VET_PROCEDURE,
        shapes.AcceptForm,
        services.accept_procedure,
        S.ACCEPTED,
    ),
    "map": (
        gettext_lazy("Choose the exam"),
        "link",
        perms.CHANGE_ORDER,
        shapes.MapForm,
        services.change_procedure,
        "",
    ),
    "protocol": (
        gettext_lazy("Protocol"),
        "clipboard-list",
        perms.VET_PROCEDURE,
        shapes.ProtocolForm,
        services.protocol_procedure,
        "",
    ),
    "release": (
        gettext_lazy("Release"),
        "player-play",
        perms.HOLD_PROCEDURE,
        shapes.ReleaseForm,
        services.release_procedure,
        "",
    ),
    "ask": (
        gettext_lazy("Ask the requester"),
        "help-circle",
        perms.HOLD_PROCEDURE,
        shapes.HoldForm,
        services.request_information,
        S.INFO_REQUESTED,
    ),
    "hold": (
        gettext_lazy("Hold"),
        "player-pause",
        perms.HOLD_PROCEDURE,
        shapes.HoldForm,
        services.hold_procedure,
        S.ON_HOLD,
    ),
    "reject": (
        gettext_lazy("Reject"),
        "clipboard-x",
        perms.VET_PROCEDURE,
        shapes.CodedReasonForm,
        services.reject_procedure,
        S.REJECTED,
    ),
    "cancel": (
        gettext_lazy("Cancel"),
        "ban",
        perms.CANCEL_ORDER,
        shapes.CodedReasonForm,
        services.cancel_procedure,
        S.CANCELLED,
    ),
}


def is_open_to(verb: str, row: RequestedProcedure) -> bool:
    """Whether the lifecycle knows this step from here."""
    target = VERBS[verb][5]
    if verb == "map":
        return row.is_unmapped
    if verb == "protocol":
        return row.status in (*selectors.BEFORE_EXAM, S.SCHEDULED, S.ARRIVED) and not row.is_unmapped
    if verb == "release":
        return row.status in (S.ON_HOLD, S.INFO_REQUESTED)
    if verb == "accept":
        return row.can_move_to(target) and not row.is_unmapped and row.status in selectors.BEFORE_EXAM
    return row.can_move_to(target)


def verbs_of(row: RequestedProcedure, actor: Any) -> list[dict[str, Any]]:
    """What this person may do with this exam now, each with its form."""
    found = []
    for verb, (words, icon, right, form, __, ___) in VERBS.items():
        if not actor.may(right) or not is_open_to(verb, row):
            continue
        initial = {"protocol": row.protocol, "contrast": row.contrast, "comments": row.comments_to_technologist}
        bound = form(initial=initial, auto_id=f"id_{verb}_{row.pk}_%s")
        found.append({"verb": verb, "words": words, "icon": icon, "form": bound})
    return found


@require_POST
@never_cache
@page(perms.VIEW_ORDER)
def procedure_action(request: HttpRequest, uuid: UUID, verb: str) -> HttpResponse:
    row = selectors.procedures(actor=request.actor).filter(uuid=uuid).first()
    if row is None or verb not in VERBS:
        raise NotKnown(_("There is no such exam."))
    words, __, ___, form_class, service, ____ = VERBS[verb]
    form = form_class(request.POST)
    if not form.is_valid():
        raise InvalidData(
            _("Something is missing."),
            asked=str(words),
            found="; ".join(f"{form[name].label}: {errors[0]}" for name, errors in form.errors.items()),
            todo=_("Go back, fill it in and send it again."),
        )
    service(row, **form.cleaned_data, actor=request.actor)
    return HttpResponseRedirect(reverse("order_detail", args=[row.order.uuid]))


@require_POST
@never_cache
@page(perms.CANCEL_ORDER)
def order_cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    order = order_or_404(request, uuid)
    form = shapes.CodedReasonForm(request.POST)
    if not form.is_valid():
        raise InvalidData(_("Choose a reason."), errors={name: list(found) for name, found in form.errors.items()})
    services.cancel_order(order, **form.cleaned_data, actor=request.actor)
    return HttpResponseRedirect(reverse("order_detail", args=[order.uuid]))
