"""/integrations/: every partner as a card, the messages of one, and beside them the message that is looked at.

Lists show no content, and numbers of patients masked; a message is masked until somebody opens it and says what for.
The page renews itself: the same address, asked with its ETag, answers 304 while nothing is seen to change.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_POST

from interop import permissions as perms
from interop.alerts import recent_alerts
from interop.hl7 import selectors
from interop.hl7.outbound import listing
from interop.models import InboundMessage, MessageStatus, OutboundMessage, OutboundStatus
from interop.web.cards import Card, cards_of
from interop.web.pane import pane_of
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core import text
from ris.core.errors import NotKnown
from ris.events.models import Delivery, DeliveryStatus

LOOK = (perms.VIEW_INTERFACES, perms.VIEW_MESSAGE)
ROWS = 50
OUTBOX = "outbox"
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
OUT_KINDS = ("ORU", "ORM", "OMI", "OMG", "ORR", "SIU", "ADT", "DFT")
IN_KINDS = ("ADT", "ORM", "OMG", "OMI", "SIU", "ORU", "MDM")
Row = InboundMessage | OutboundMessage


# --- what stands above the lists


def _shown_cards(cards: list[Card], tab: str, request: ActorRequest, chosen: str) -> list[dict[str, Any]]:
    found = []
    for card in cards:
        if tab and card.group != tab:
            continue
        actions = [a for a in card.actions if not a.permission or request.actor.may(a.permission)]
        found.append(
            {
                "card": card,
                "actions": actions,
                "url": _way_to(card, request),
                "is_on": bool(chosen) and card.name == chosen,
                "oldest": _age(card.oldest),
                "last": _age(card.last_success),
            }
        )
    return found


def _way_to(card: Card, request: ActorRequest) -> str:
    """Pages beside this one are for those who keep the interfaces, the administration's for those who manage them."""
    if card.url.startswith(f"{reverse('integrations')}?"):
        return card.url
    needed = perms.MANAGE_INTERFACES if card.url.startswith("/admin/") else perms.VIEW_INTERFACES
    return card.url if request.actor.may(needed) else ""


def _age(moment: datetime | None) -> str:
    return text.relative(timezone.now() - moment) if moment is not None else "–"


def _summary(cards: list[Card]) -> str:
    partners = ngettext("%(count)d partner", "%(count)d partners", len(cards)) % {"count": len(cards)}
    parked = sum(card.parked for card in cards)
    late = sum(card.waits_too_long for card in cards)
    words = [partners]
    if parked:
        words.append(ngettext("%(count)d is parked", "%(count)d are parked", parked) % {"count": parked})
    if late:
        words.append(ngettext("%(count)d waits too long", "%(count)d wait too long", late) % {"count": late})
    if not parked and not late:
        words.append(_("nothing is parked"))
    return " · ".join(words)


def frame(request: ActorRequest, cards: list[Card], tab: str = "", chosen: str = "") -> dict[str, Any]:
    """Cards, tabs and what the panes below need, whatever is listed."""
    groups = list(dict.fromkeys(card.group for card in cards if card.group))
    return {
        "nav": "integrations",
        "cards": _shown_cards(cards, tab, request, chosen),
        "tabs": groups,
        "tab": tab,
        "summary": _summary(cards),
        "shows_hl7": tab in ("", "HL7 v2"),
        "shows_dicom": tab in ("", "DICOM"),
        "shows_outbox": tab == OUTBOX,
        "shows_alerts": not chosen,
        "receiver_cards": selectors.receiver_cards(actor=request.actor),
        "inbound": selectors.inbound_state(actor=request.actor),
        "alerts": recent_alerts(8),
        "may_manage": request.actor.may(perms.MANAGE_INTERFACES),
        "may_replay": request.actor.may(perms.REPLAY_MESSAGE),
        "may_map": request.actor.may(perms.VIEW_INTERFACES) or request.actor.may(perms.MAP_CODES),
    }


# --- the lists


class Counted(Paginator):
    """Told how many there are, where that has been counted already."""

    def __init__(self, rows: QuerySet[Any], per_page: int, known: int | None) -> None:
        super().__init__(rows, per_page)
        if known is not None:
            self.__dict__["count"] = known


def _listed(request: ActorRequest) -> dict[str, Any]:
    """What the address asks for, before any row is read."""
    direction = "in" if request.GET.get("direction") == "in" else "out"
    status, kind = request.GET.get("status", ""), request.GET.get("kind", "")[:7].upper()
    destination = request.GET.get("destination", "") if direction == "out" else ""
    found: QuerySet[Any]
    if direction == "in":
        counted = selectors.inbound(actor=request.actor)
        found = listing.incoming(actor=request.actor, status=status, kind=kind)
    else:
        counted = selectors.outbound(actor=request.actor, destination=destination)
        found = listing.outgoing(actor=request.actor, status=status, destination=destination, kind=kind)
    counts = selectors.status_counts(counted)
    is_all = not status and not kind
    filters, kinds = (IN_FILTERS, IN_KINDS) if direction == "in" else (OUT_FILTERS, OUT_KINDS)
    return {
        "page": Counted(found, ROWS, sum(counts.values()) if is_all else None).get_page(request.GET.get("page")),
        "direction": direction,
        "status": status,
        "kind": kind,
        "kinds": [(name, name) for name in kinds],
        "chosen": destination,
        "chosen_row": listing.destination_named(destination, actor=request.actor),
        "filters": [(code, words, counts.get(code, 0), code == status) for code, words in filters],
        "total": sum(counts.values()),
    }


def _mask(request: ActorRequest, rows: list[Any]) -> None:
    """The masked number of each patient; recorded as one read."""
    numbers = selectors.masked_numbers(row.patient for row in rows)
    for row in rows:
        row.masked_patient = numbers.get(row.patient, "")
    patients = sorted({row.patient for row in rows if row.patient is not None})
    record_read(request.actor, perms.VIEW_INTERFACES, patients=patients, detail={"rows": len(rows)})


def _etag(request: ActorRequest, cards: list[Card], rows: Any) -> str:
    """Ages are words; so that they do not stand still for ever the state counts as another every five minutes."""
    seen = [
        [{**asdict(card), "actions": None} for card in cards],
        listing.fingerprint_of(rows),
        request.get_full_path(),
        int(timezone.now().timestamp() // 300),
    ]
    return f'"{hashlib.sha256(repr(seen).encode()).hexdigest()[:32]}"'


@require_GET
@page(LOOK)
def integrations(request: ActorRequest) -> HttpResponse:
    tab = request.GET.get("tab", "")[:32]
    cards = cards_of(request.actor)
    listed = _listed(request)
    etag = _etag(request, cards, listed["page"])
    if request.headers.get("HX-Request") == "true" and request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    _mask(request, list(listed["page"]))
    context = {**frame(request, cards, tab, listed["chosen"]), **listed}
    if chosen := request.GET.get("message", ""):
        context["pane"] = pane_of(request, _message(chosen, request), opened=False)
    if tab == OUTBOX:
        context["deliveries"] = _deliveries()
    response = render(request, "interop/integrations.html", context)
    response["ETag"] = etag
    return response


def _message(uuid: str, request: ActorRequest) -> Row:
    try:
        return selectors.message(UUID(uuid), actor=request.actor)
    except ValueError:
        raise NotKnown(_("There is no such message in this facility.")) from None


def _deliveries() -> list[Delivery]:
    """What of the outbox is parked, or was tried in vain, the worst first."""
    rows = Delivery.objects.filter(status__in=(DeliveryStatus.PENDING, DeliveryStatus.PARKED))
    return list(rows.select_related("event").order_by("-status", "-attempts", "pk")[:ROWS])


@require_POST
@page(LOOK)
def find_message(request: ActorRequest) -> HttpResponse:
    """By control id, accession number, type or a patient's number, and time; nothing of it is in the address."""
    words = request.POST.get("q", "").strip()[: listing.LONGEST_WORDS]
    since, until = (parse_date(request.POST.get(name, "")[:10]) for name in ("since", "until"))
    found: list[Row] = []
    if words or since or until:
        came, went = listing.search(words, actor=request.actor, since=since, until=until)
        found = [*went[:ROWS], *came[:ROWS]]
    if len(found) == 1 and words:
        return HttpResponseRedirect(reverse("message_detail", args=[found[0].uuid]))
    _mask(request, found)
    context = {
        **frame(request, cards_of(request.actor)),
        "page": found,
        "direction": "found",
        "searched": words,
        "since": since,
        "until": until,
        "total": len(found),
    }
    return render(request, "interop/integrations.html", context)
