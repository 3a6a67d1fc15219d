"""Planned deliveries by FHIR become messages in the queue; the queue is sent; the rules learn where they can go."""

from __future__ import annotations

from interop.fhir import sending, servers
from interop.hl7.outbound import reach
from reporting.carriers import Carrier, register_carrier
from reporting.events import DeliveryPlanned
from ris.events.bus import subscribe
from ris.events.dispatcher import register_work


@subscribe(DeliveryPlanned, name="interop.send_diagnostic_report")
def send_diagnostic_report(event: DeliveryPlanned) -> None:
    """Heard again (somebody wants it sent again) it goes out once more."""
    if event.channel == "fhir":
        sending.queue_delivery(event.delivery)


register_work("interop.send_fhir", claim=sending.claim, run=sending.run)
register_carrier("fhir", Carrier(servers.names, servers.probe))
register_carrier("hl7", Carrier(reach.names, reach.probe, reach.takes))
