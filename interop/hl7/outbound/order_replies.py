"""What became of a request, told to who placed it: ORR^O02, ORG^O20 with ORC-1 OK, CR, UC, DR, UD, XR, UX."""

from __future__ import annotations

from interop.hl7.messages import Message
from interop.hl7.outbound.envelope import Segments, msh, orc, pid
from interop.hl7.outbound.queue import destinations_for, enqueue
from interop.models import Hl7Destination
from orders.models import Order
from ris.core.actor import Actor

KINDS = {"ORM": ("ORR", "O02", "ORR_O02"), "OMG": ("ORG", "O20", "ORG_O20"), "OMI": ("ORI", "O24", "ORI_O24")}
#: ORC-1 of the answer -> ORC-5 (table 0038)
STATUSES = {"OK": "SC", "CR": "CA", "DR": "DC", "XR": "SC", "HR": "HD", "OR": "SC"}


def reply(message: Message, order: Order, control: str, *, actor: Actor) -> int:
    """Queue the answer for every destination that takes ORR; answers how many. Once per message."""
    kind = KINDS.get(message.type, KINDS["ORM"])
    found = destinations_for("ORR")
    for destination in found:
        procedure = order.procedures.order_by("pk").first()

        def write(control_id: str, destination: Hl7Destination = destination) -> Segments:
            msa = ("MSA", ["AA", message.header.control_id])
            status = STATUSES.get(control, "IP" if control in ("UC", "UD", "UX", "UH", "UR") else "")
            return [msh(destination, kind, control_id), msa, pid(order.patient), orc(order, control, status)]

        sender = message.header
        enqueue(
            destination,
            f"{kind[0]}^{kind[1]}",
            write,
            dedupe_key=f"reply:{sender.sending_application}:{sender.sending_facility}:{sender.control_id}:"[:90]
            + f"{order.filler_order_number}:{destination.pk}",
            patient=order.patient.uuid,
            accession_number=procedure.accession_number if procedure else "",
            subject=str(order.uuid),
        )
    return len(found)
