"""Who ordered hears of what becomes of the request; who asked hears of the answer. No name of a patient is told."""

from __future__ import annotations

from orders.events import ProcedureStatusChanged
from orders.models import ProcedureStatus, RequestedProcedure
from orders.services.lifecycle import HELD
from ris.events.bus import subscribe
from ris.notifications.services import notify

S = ProcedureStatus
TOLD = {S.REJECTED: "orders.request_rejected", S.INFO_REQUESTED: "orders.information_requested"}


@subscribe(ProcedureStatusChanged, name="orders.tell_requester")
def tell_requester(event: ProcedureStatusChanged) -> None:
    """Rejected, or asked about: the requester hears of it, once."""
    template = TOLD.get(S(event.status))
    if template is None:
        return
    row = RequestedProcedure.objects.select_related("order__requester__user").filter(uuid=event.subject).first()
    user = row.order.requester.user if row is not None and row.order.requester is not None else None
    if row is None or user is None or row.status != event.status:
        return
    notify(
        user=user,
        template=template,
        subject=str(row.uuid),
        url=f"/orders/{row.order.uuid}/",
        context={"accession_number": row.accession_number},
        dedupe_key=f"{template}:{row.uuid}:{event.version}",
    )


@subscribe(ProcedureStatusChanged, name="orders.tell_who_asked")
def tell_who_asked(event: ProcedureStatusChanged) -> None:
    """A question that was answered goes back to whoever asked it."""
    if event.previous != S.INFO_REQUESTED or event.status in HELD:
        return
    row = RequestedProcedure.objects.select_related("order").filter(uuid=event.subject).first()
    inquiry = row.inquiries.select_related("asked_by").exclude(answer="").order_by("pk").last() if row else None
    if row is None or inquiry is None or inquiry.asked_by is None or inquiry.asked_by == inquiry.answered_by:
        return
    notify(
        user=inquiry.asked_by,
        template="orders.information_given",
        subject=str(row.uuid),
        url=f"/orders/vetting/?view=all&exam={row.uuid}",
        context={"accession_number": row.accession_number},
        dedupe_key=f"orders.information_given:{inquiry.uuid}",
    )
