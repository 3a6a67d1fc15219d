"""An upheld discrepancy is told to the author, and to nobody else."""

from django.urls import reverse

from peerreview.events import DiscrepancyConfirmed
from peerreview.models import ReviewCase
from ris.events.bus import subscribe
from ris.notifications.models import Channel
from ris.notifications.services import notify


@subscribe(DiscrepancyConfirmed, name="peerreview.tell_author")
def tell_author(event: DiscrepancyConfirmed) -> None:
    case = ReviewCase.objects.select_related("report_version__signed_by", "report").get(uuid=event.subject)
    notify(
        user=case.report_version.signed_by,
        channel=Channel.IN_APP,
        template="peerreview.discrepancy",
        subject=str(case.report.uuid),
        url=reverse("report_detail", kwargs={"uuid": case.report.uuid}),
        dedupe_key=f"discrepancy:{case.uuid}",
    )
