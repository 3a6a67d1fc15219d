"""What happened to a delivery, line by line: asked for, tried, refused, opened. Written, never changed."""

from __future__ import annotations

from reporting.models import AttemptOutcome, DeliveryAttempt, ReportDelivery
from ris.core.actor import Actor


def note_try(delivery: ReportDelivery, outcome: AttemptOutcome, *, error: str = "", actor: Actor) -> DeliveryAttempt:
    """``error`` holds no data of the patient. A process has no name but its door."""
    return DeliveryAttempt.objects.create(
        delivery=delivery, outcome=outcome, error=error[:300], by=actor.user, door=str(actor)[:60]
    )
