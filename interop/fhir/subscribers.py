"""Planned deliveries by FHIR and what is pushed become messages in the queue; the queue is sent; the rules learn where
they can go. Subscribers of ours hear of what concerns them.
"""

from __future__ import annotations

import interop.fhir.identity  # noqa: F401 - listens
from interop.fhir import changes, sending, servers
from interop.fhir.cards import subscription_cards
from interop.fhir.subscriptions import ending, queue
from interop.hl7.outbound import reach
from reporting.carriers import Carrier, register_carrier
from reporting.events import DeliveryPlanned
from ris.core.cards import register_cards
from ris.events.bus import subscribe
from ris.events.dispatcher import register_work


@subscribe(DeliveryPlanned, name="interop.send_diagnostic_report")
def send_diagnostic_report(event: DeliveryPlanned) -> None:
    """Heard again (somebody wants it sent again) it goes out once more."""
    if event.channel == "fhir":
        sending.queue_delivery(event.delivery)


changes.listen()
register_work("interop.send_fhir", claim=sending.claim, run=sending.run)
register_work("interop.fhir_notifications", claim=queue.claim, run=queue.run)
register_work("interop.fhir_heartbeats", claim=queue.claim_heartbeats, run=queue.beat)
register_work("interop.fhir_subscriptions_over", claim=ending.claim_ended, run=ending.end)
register_cards("fhir.subscriptions", subscription_cards, order=30)
register_carrier("fhir", Carrier(servers.names, servers.probe))
register_carrier("hl7", Carrier(reach.names, reach.probe, reach.takes))
