"""Loaded by every process: what falls due here is known to every dispatcher; what happens below is followed."""

from __future__ import annotations

from orders.models import RequestedProcedure
from reporting import escalation
from reporting.services.notify import tell_images_moved
from ris.events.bus import subscribe
from worklist.events import EvidenceMoved

__all__ = ["escalation"]


@subscribe(EvidenceMoved, name="reporting.tell_images_moved")
def images_moved(event: EvidenceMoved) -> None:
    """Who wrote a report on images that were another exam's hears of it."""
    for procedure in RequestedProcedure.objects.filter(uuid__in=event.was_read).order_by("pk"):
        tell_images_moved(procedure, once=event.subject)
