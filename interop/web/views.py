"""/integrations/: partners as cards, their messages, one message in full. Content is masked until it is opened."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_POST

from interop import permissions as perms
from interop.hl7 import acknowledgements as ack
from interop.hl7 import dictionary, selectors, services
from interop.hl7.messages import Hl7Error, parse
from interop.models import InboundMessage, MessageStatus, OutboundMessage, OutboundStatus
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import NotKnown

LOOK = (perms.VIEW_INTERFACES, perms.VIEW_MESSAGE)
ROWS = 50
RAW_SHOWN = 200_000
OUT_FILTERS = (
    (OutboundStatus.PARKED, gettext_lazy("Parked")),
    (OutboundStatus.PENDING, gettext_lazy("Waiting")),
    (OutboundStatus.ACKNOWLEDGED, gettext_lazy("Delivered")),
    (OutboundStatus.CANCELLED, gettext_lazy("Skipped")),
)
IN_FILTERS = (
    (MessageStatus.REJECTED, gettext_lazy("Refused")),
    (MessageStatus.UNMAPPED, gettext_lazy("Waits for a code")),
    (MessageStatus.RECEIVED, gettext_lazy("Being processed")),
    (MessageStatus.PROCESSED, gettext_lazy("Processed")),
)
Row = InboundMessage | OutboundMessage


def _rows(request: ActorRequest, found: Any) -> dict[str, Any]:
    """A page of messages, with the masked number of each patient; recorded as one read."""
    shown = Paginator(found, ROWS).get_page(request.GET.get("page"))
    numbers = selectors.masked_numbers(row.patient for row in shown)
    for row in shown:
        row.masked_patient = numbers.get(row.patient, "")
    patients = sorted({row.patient for row in shown if row.patient is not None})
    record_read(request.actor, perms.VIEW_INTERFACES, patients=patients, detail={"rows": len(shown)})
    return {"page": shown}


def _frame(request: ActorRequest) -> dict[str, Any]:
    cards = selectors.destination_cards(actor=request.actor)
    parked = sum(card.parked for card in cards)
    held = ngettext("%(count)d message is parked", "%(count)d messages are parked", parked) % {"count": parked}
    return {
        "nav": "integrations",
        "cards": cards,
        "receiver_cards": selectors.receiver_cards(actor=request.actor),
        "inbound": selectors.inbound_state(actor=request.actor),
        "summary": held if parked else _("nothing is parked"),
        "may_manage": request.actor.may(perms.MANAGE_INTERFACES),
    }


@require_GET
@page(LOOK)
def integrations(request: ActorRequest) -> HttpResponse:
    direction = "in" if request.GET.get("direction") == "in" else "out"
    status, destination = request.GET.get("status", ""), request.GET.get("destination", "")
    if direction == "in":
        base = selectors.inbound(actor=request.actor)
        found, filters = selectors.inbound(actor=request.actor, status=status), IN_FILTERS
    else:
        base = selectors.outbound(actor=request.actor, destination=destination)
        found, filters = selectors.outbound(actor=request.actor, status=status, destination=destination), OUT_FILTERS
    counts = selectors.status_counts(base)
    context = {
        **_frame(request),
        **_rows(request, found),
        "direction": direction,
        "status": status,
        "chosen": destination if direction == "out" else "",
        "filters": [(code, words, counts.get(code, 0), code == status) for code, words in filters],
        "total": sum(counts.values()),
    }
    return render(request, "interop/integrations.html", context)


@require_POST
@page(LOOK)
def find_message(request: ActorRequest) -> HttpResponse:
    """By control id or accession number; what was looked for stays out of the address."""
    words = request.POST.get("q", "").strip()[:64]
    came, went = selectors.search(words, actor=request.actor) if words else ([], [])
    found: list[Row] = [*list(went[:ROWS]), *list(came[:ROWS])]
    if len(found) == 1:
        return HttpResponseRedirect(reverse("message_detail", args=[found[0].uuid]))
    context = {**_frame(request), **_rows(request, found), "direction": "found", "searched": words, "total": len(found)}
    return render(request, "interop/integrations.html", context)


# --- one message


def _detail(request: ActorRequest, row: Row, *, opened: bool) -> HttpResponse:
    is_out = isinstance(row, OutboundMessage)
    raw = bytes(row.body if is_out else row.raw)
    lines, problem = [], ""
    try:
        lines = list(dictionary.lines(parse(raw), opened=opened))
    except Hl7Error as error:
        problem = f"{error.location}: {error.text}"
    row.masked_patient = selectors.masked_numbers([row.patient]).get(row.patient, "")
    answer = None
    if row.acknowledgement:
        try:
            answer = ack.read(bytes(row.acknowledgement))
        except Hl7Error:
            answer = None
    context = {
        "nav": "integrations",
        "row": row,
        "is_out": is_out,
        "opened": opened,
        "lines": lines,
        "problem": problem,
        "answer": answer,
        "size": len(raw),
        "raw": _readable(raw) if opened else "",
        "answer_raw": _readable(bytes(row.acknowledgement)) if opened and row.acknowledgement else "",
        "may_replay": request.actor.may(perms.REPLAY_MESSAGE),
        "may_open": request.actor.may(perms.VIEW_MESSAGE),
        "may_park": is_out and row.status == OutboundStatus.PENDING,
        "may_skip": is_out and row.status in (OutboundStatus.PENDING, OutboundStatus.PARKED),
    }
    record_read(
        request.actor, perms.VIEW_MESSAGE if opened else perms.VIEW_INTERFACES, entity=row, detail={"opened": opened}
    )
    return render(request, "interop/message_detail.html", context)


def _readable(raw: bytes) -> str:
    try:
        text = parse(raw).text
    except Hl7Error:
        text = raw.decode("utf-8", errors="replace")
    return text.replace("\r", "\n").strip()[:RAW_SHOWN]


@require_GET
@page(LOOK)
def message_detail(request: ActorRequest, uuid: UUID) -> HttpResponse:
    return _detail(request, selectors.message(uuid, actor=request.actor), opened=False)


@require_POST
@page(perms.VIEW_MESSAGE)
def message_open(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The content, unmasked; who looked is recorded."""
    row = services.open_message(selectors.message(uuid, actor=request.actor), actor=request.actor)
    return _detail(request, row, opened=True)


@require_POST
@page(perms.REPLAY_MESSAGE)
def message_action(request: ActorRequest, uuid: UUID, verb: str) -> HttpResponse:
    row = selectors.message(uuid, actor=request.actor)
    reason = request.POST.get("reason", "")
    if isinstance(row, OutboundMessage) and verb == "send-again":
        row = services.send_again(row, actor=request.actor)
        messages.success(request, _("It is in the queue."))
    elif isinstance(row, OutboundMessage) and verb == "park":
        services.park(row, reason=reason, actor=request.actor)
        messages.success(request, _("Parked: what waited behind it goes on."))
    elif isinstance(row, OutboundMessage) and verb == "skip":
        services.skip(row, reason=reason, actor=request.actor)
        messages.success(request, _("Skipped."))
    elif isinstance(row, InboundMessage) and verb == "process-again":
        row = services.process_again(row, actor=request.actor)
        words = row.error or row.get_status_display()
        messages.success(request, _("Processed again: %(words)s") % {"words": words})
    else:
        raise NotKnown(_("There is no such action for this message."))
    return HttpResponseRedirect(reverse("message_detail", args=[row.uuid]))


@require_POST
@page(perms.MANAGE_INTERFACES)
def destination_action(request: ActorRequest, uuid: UUID, verb: str) -> HttpResponse:
    row = selectors.destinations(actor=request.actor).filter(uuid=uuid).first()
    if row is None or verb not in ("pause", "resume"):
        raise NotKnown(_("There is no such destination in this facility."))
    if verb == "pause":
        services.pause_destination(row, actor=request.actor)
        messages.success(request, _("%(name)s is paused; its queue keeps its order.") % {"name": row.name})
    else:
        services.resume_destination(row, actor=request.actor)
        messages.success(request, _("%(name)s sends again.") % {"name": row.name})
    return HttpResponseRedirect(reverse("integrations"))
