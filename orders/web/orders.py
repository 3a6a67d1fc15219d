"""/orders/: the list by status, order entry, one order with its steps and what may be done with it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import permissions as perms
from orders import queues, selectors, services
from orders.models import (
    CatalogueProcedure,
    Document,
    DocumentKind,
    Modality,
    Order,
    Patient,
    Priority,
    ProcedureStatus,
    RequestedProcedure,
)
from orders.models.orders import OPEN_BEFORE_EXAM
from orders.services import ProcedureRequest
from orders.web import forms as shapes
from orders.web.actions import Doable, checked
from orders.web.patients import patient_page
from orders.web.support import cursor_page, once, steps_of
from ris.accounts.web import page
from ris.audit.selectors import search_events
from ris.audit.service import flush_refusals, record_read
from ris.core.actor import Actor
from ris.core.concepts import DISCONTINUATION_REASONS
from ris.core.errors import DomainError, NotKnown
from ris.core.ids import uuid7

S = ProcedureStatus
EXAMS_OFFERED = 12
MOST_PICKS = 10
AUDIT_ROWS = 100
CHANGEABLE = frozenset({*OPEN_BEFORE_EXAM, S.IN_PROGRESS, S.PERFORMED, S.READY_TO_READ, S.READING})
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
        self.paper_form = shapes.AttachmentForm()
        self.papers = self._papers() if self.is_post and request.actor.may(perms.ADD_DOCUMENT) else []

    def _initial(self) -> dict[str, Any]:
        user = self.request.user
        own = getattr(user, "practitioner", None)
        return {"requester": own.uuid} if own is not None else {}

    def _papers(self) -> list[Document]:
        """What came with this order so far. A file is kept with the patient at once: a browser sends it only once."""
        request, actor = self.request, self.request.actor
        wanted = request.POST.getlist("paper")[:MOST_PICKS]
        known = {str(row.uuid): row for row in selectors.documents(actor=actor).filter(patient=self.patient)}
        papers = [known[uuid] for uuid in dict.fromkeys(wanted) if uuid in known and known[uuid].order_id is None]
        dropped = known.get(request.POST.get("drop", ""))
        if dropped in papers:
            papers.remove(dropped)
            services.withdraw_document(dropped, reason=_("Taken off a new order"), actor=actor)
        if "paper_file" in request.FILES:
            self.paper_form = shapes.AttachmentForm(request.POST, request.FILES)
            paper = self._keep_paper()
            if paper is not None and paper not in papers:
                papers.append(paper)
        return papers

    def _keep_paper(self) -> Document | None:
        if not self.paper_form.is_valid():
            return None
        data = self.paper_form.cleaned_data
        kind = DocumentKind(data["paper_kind"] or DocumentKind.OTHER)
        try:
            paper = services.add_document(
                self.patient,
                kind=kind,
                title=data["paper_title"] or str(kind.label),
                file=data["paper_file"],
                actor=self.request.actor,
            )
        except DomainError as refusal:
            flush_refusals()
            for found in refusal.errors.get("file", [refusal.detail]):
                self.paper_form.add_error("paper_file", str(found))
            return None
        self.paper_form = shapes.AttachmentForm()
        return paper

    @property
    def wants_to_place(self) -> bool:
        return self.is_post and "place" in self.request.POST

    def options(self) -> list[CatalogueProcedure]:
        picked = [pick["exam"].code for pick in self.picks]
        return exam_options(self.query, leaving_out=picked) if self.query else []

    def requests(self) -> list[ProcedureRequest]:
        due_by = self.form.cleaned_data["due_by"]
        return [ProcedureRequest(pick["exam"].code, laterality=pick["side"], due_by=due_by) for pick in self.picks]

    @transaction.atomic
    def place(self) -> str:
        """Place the order with its papers; answers its address."""
        data = {**self.form.cleaned_data, "copies_to": list(self.form.cleaned_data["copies_to"])}
        data.pop("due_by")
        actor = self.request.actor
        order = services.create_order(patient=self.patient, procedures=self.requests(), **data, actor=actor)
        for paper in self.papers:
            services.attach_document(paper, order=order, actor=actor)
        return reverse("order_detail", args=[order.uuid])

    def note(self, refusal: DomainError) -> None:
        """What the service says of ``procedures.<n>.<field>`` goes to that line, the rest to the form."""
        rest: dict[str, Any] = {}
        for name, found in refusal.errors.items():
            head, __, tail = name.partition(".")
            number = tail.partition(".")[0]
            if head == "procedures" and number.isdecimal() and int(number) < len(self.picks):
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
            similar = list(selectors.similar_exams(self.patient, pick["exam"], actor=self.request.actor)[:3])
            for row in similar:
                found.append({"similar": row, "is_same": row.catalogue_id == pick["exam"].pk})
            if not similar:
                last = queues.last_similar_exam(self.patient, pick["exam"], actor=self.request.actor)
                found.append({"none_similar": pick["exam"], "last": last})
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
        if entry.form.is_valid() and not entry.paper_form.errors:
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
        "may_attach": request.actor.may(perms.ADD_DOCUMENT),
        "checks": entry.checks(),
        "missing": [pick["error"] for pick in entry.picks if pick["error"]]
        + [str(found) for messages in entry.paper_form.errors.values() for found in messages],
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
    audit = _audit_of(order, exams, actor) if actor.may("audit.view_event") else []
    doable = Doable(actor)
    papers = selectors.documents(actor=actor).filter(order=order) if actor.may(perms.VIEW_DOCUMENT) else []
    return {
        "nav": "orders",
        "order": order,
        "patient": order.patient,
        "exams": [
            {
                "row": row,
                "steps": steps_of(row),
                "timeline": selectors.procedure_timeline(row, actor=actor, request=request),
                "inquiries": list(row.inquiries.select_related("asked_by", "answered_by")),
                "verbs": doable.of(row),
                "reason": reason_of(row),
            }
            for row in exams
        ],
        "audit": audit,
        "papers": list(papers),
        "transport": dict(shapes.TRANSPORT).get(order.transport, order.transport) if order.transport else "",
        "isolation": dict(shapes.ISOLATION).get(order.isolation, order.isolation) if order.isolation else "",
        "paper_form": shapes.DocumentForm(auto_id="paper_%s"),
        "withdraw_form": shapes.WithdrawForm(auto_id=False),
        "may_attach": actor.may(perms.ADD_DOCUMENT),
        "may_change": actor.may(perms.CHANGE_ORDER) and any(row.status in CHANGEABLE for row in exams),
        "may_cancel": actor.may(perms.CANCEL_ORDER) and any(row.can_move_to(S.CANCELLED) for row in exams),
        "cancel_form": shapes.CodedReasonForm(),
        "is_several": len(exams) > 1,
    }


def reason_of(row: RequestedProcedure) -> str:
    """The coded reason of the status in words, with what was said about it."""
    coded = DISCONTINUATION_REASONS.get(row.reason_code)
    return " · ".join(part for part in (_(coded.meaning) if coded else row.reason_code, row.reason_text) if part)


def _audit_of(order: Order, exams: list[RequestedProcedure], actor: Actor) -> list[Any]:
    """Every recorded read, change and refusal of the order and its exams, newest first."""
    asked: list[dict[str, Any]] = [{"entity": order.uuid}]
    for row in exams:
        asked += [{"entity": row.uuid}, {"accession_number": row.accession_number}]
    found = {event.pk: event for filters in asked for event in search_events(filters, actor=actor)[:AUDIT_ROWS]}
    return sorted(found.values(), key=lambda event: -event.pk)[:AUDIT_ROWS]


CHANGED_HERE = (
    "priority",
    "patient_class",
    "indication",
    "clinical_information",
    "transport",
    "isolation",
    "location",
)


@never_cache
@page(perms.CHANGE_ORDER)
def order_change(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What belongs to the order as a whole: question, priority, who and where."""
    order = order_or_404(request, uuid)
    initial = {name: getattr(order, name) for name in CHANGED_HERE} | {
        "requester": order.requester.uuid if order.requester else None,
        "copies_to": [person.uuid for person in order.copies_to.all()],
        "site": order.site.code if order.site else None,
    }
    form = shapes.OrderChangeForm(request.POST or None, initial=initial)
    status, refusal = 200, None
    if request.method == "POST":
        status = 422
        if form.is_valid():
            data = {**form.cleaned_data, "copies_to": list(form.cleaned_data["copies_to"])}
            try:
                services.change_order(order, **data, actor=request.actor)
            except DomainError as caught:
                flush_refusals()
                status = caught.http_status if caught.http_status != 400 else 422
                refusal = caught if not caught.errors else None
                shapes.add_refusal(form, caught)
            else:
                messages.success(request, _("The order is changed."))
                return HttpResponseRedirect(reverse("order_detail", args=[order.uuid]))
    else:
        record_read(request.actor, perms.CHANGE_ORDER, entity=order)
    context = {"nav": "orders", "order": order, "patient": order.patient, "form": form, "refusal": refusal}
    return render(request, "orders/order_change.html", context, status=status)


@require_POST
@never_cache
@page(perms.CANCEL_ORDER)
def order_cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    order = order_or_404(request, uuid)
    data = checked(shapes.CodedReasonForm(request.POST), _("To cancel the order."))
    services.cancel_order(order, **data, actor=request.actor)
    messages.success(request, _("Cancelled."))
    return HttpResponseRedirect(reverse("order_detail", args=[order.uuid]))
