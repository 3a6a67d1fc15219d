"""What the house itself tells people."""

from __future__ import annotations

from ris.accounts.events import GlassBroken
from ris.accounts.models import BreakGlass
from ris.accounts.selectors import overseers
from ris.events.bus import subscribe
from ris.notifications.models import Channel
from ris.notifications.services import notify_all


@subscribe(GlassBroken, name="notifications.tell_overseers", in_transaction=True)
def tell_overseers(event: GlassBroken) -> None:
    """Quality leads and administrators hear of it in the commit that opens the access."""
    row = BreakGlass.objects.select_related("user").get(uuid=event.subject)
    notify_all(
        overseers().exclude(pk=row.user_id),
        channels=(Channel.IN_APP, Channel.EMAIL),
        template="accounts.glass_broken",
        context={"user": row.user.username, "until": row.expires_at.isoformat()},
        subject=str(row.uuid),
        url="/audit/?event_type=accounts.break_glass",
        dedupe_key=f"break-glass:{row.uuid}",
    )
