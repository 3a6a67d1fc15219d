"""What waits in the queue and is overtaken does not leave any more: a newer version of the report, or another identity
of its patient, goes out instead. What is under way is followed by the new one.
"""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.models import OutboundMessage, OutboundStatus
from reporting.events import ReportAmended, ReportFinalized
from reporting.models import DeliveryChannel, DeliveryStatus, ReportDelivery
from ris.events.bus import subscribe


def otherwise_known() -> str:
    return _("The patient's identity has changed; a new message carries it.")


@subscribe(ReportFinalized, name="interop.withdraw_overtaken")
@subscribe(ReportAmended, name="interop.withdraw_overtaken_by_change")
def withdraw_overtaken(event: ReportFinalized | ReportAmended) -> None:
    """Messages of earlier versions, to HL7 destinations and FHIR servers. Heard again it does nothing."""
    lines = ReportDelivery.objects.filter(
        report__uuid=event.subject,
        channel__in=(DeliveryChannel.HL7, DeliveryChannel.FHIR),
        status=DeliveryStatus.SUPERSEDED,
    )
    subjects = [str(uuid) for uuid in lines.values_list("uuid", flat=True)]
    withdraw(OutboundMessage.objects.filter(subject__in=subjects), _("A newer version of the report goes out instead."))


def withdraw(messages: QuerySet[OutboundMessage], why: str) -> None:
    resting = Q(claimed_until__isnull=True) | Q(claimed_until__lt=timezone.now())
    waiting = messages.filter(resting, status__in=(OutboundStatus.PENDING, OutboundStatus.PARKED))
    for row in waiting.select_for_update(of=("self",)).order_by("pk"):
        row.status, row.last_error = OutboundStatus.CANCELLED, why
        row.save(update_fields=["status", "last_error"])
