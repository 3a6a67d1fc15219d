"""What happens to an exam is followed here: nothing is owed for what did not come about, requesters and those who
asked hear what became of it. No name of a patient is told.
"""

from __future__ import annotations

from django.utils.translation import gettext as _

from orders.events import ProcedureStatusChanged
from orders.models import ProcedureStatus, RequestedProcedure
from orders.services.charges import void_open_charges
from orders.services.lifecycle import HELD, STOPPED
from ris.core.concepts import DISCONTINUATION_REASONS
from ris.events.bus import subscribe
from ris.notifications.services import notify

S = ProcedureStatus
TOLD = {S.REJECTED: "orders.request_rejected", S.INFO_REQUESTED: "orders.information_requested"}


@subscribe(ProcedureStatusChanged, name="orders.void_charges", in_transaction=True)
def void_charges(event: ProcedureStatusChanged) -> None:
    """Cancelled, rejected, not come, replaced, discontinued: with the reason that was given."""
    if event.status not in STOPPED:
        return
    procedure = RequestedProcedure.objects.get(uuid=event.subject)
    coded = DISCONTINUATION_REASONS.get(procedure.reason_code)
    why = procedure.reason_text or (coded.meaning if coded else "")
    status = procedure.get_status_display()
    void_open_charges(procedure, reason=": ".join(filter(None, (_("Exam: %s") % status, why))))


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
