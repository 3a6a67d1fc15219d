"""What ends the clock of an alert: somebody was told, or somebody acknowledged it."""

from __future__ import annotations

from datetime import datetime

from reporting.events import CriticalResultAcknowledged, CriticalResultCommunicated
from reporting.models import CriticalResult, CriticalStatus
from ris.accounts.models import User
from ris.core.actor import Actor
from ris.core.clock import database_now
from ris.events.bus import publish
from ris.notifications.models import Channel, Notification
from ris.notifications.services import mark_read


def stop_clock(critical: CriticalResult) -> None:
    critical.next_escalation_at = critical.timer_set_at = critical.unreached_since = critical.claimed_until = None


def hush(critical: CriticalResult) -> None:
    """It needs nobody any more: no bell rings for it."""
    mark_read(Notification.objects.filter(subject=str(critical.uuid), channel=Channel.IN_APP))


def settle_told(critical: CriticalResult, *, at: datetime, actor: Actor) -> CriticalResult:
    """Told by voice, and read back where its category asks for it. The alert is locked by the caller."""
    critical.move_to(CriticalStatus.COMMUNICATED)
    critical.communicated_at = at
    stop_clock(critical)
    critical.save_as(actor, "Communicated")
    publish(CriticalResultCommunicated(str(critical.uuid), critical.accession_number, critical.version), actor=actor)
    return critical


def settle_acknowledged(
    critical: CriticalResult, *, user: User | None, name: str, via: str, actor: Actor
) -> CriticalResult:
    """Somebody knows and acts: with an account, or by name. The alert is locked by the caller."""
    critical.move_to(CriticalStatus.ACKNOWLEDGED)
    critical.acknowledged_by, critical.acknowledged_name = user, name.strip()[:120]
    critical.acknowledged_via, critical.acknowledged_at = via, database_now()
    critical.communicated_at = critical.communicated_at or critical.acknowledged_at
    stop_clock(critical)
    critical.save_as(actor, "Acknowledged")
    hush(critical)
    publish(CriticalResultAcknowledged(str(critical.uuid), critical.accession_number, critical.version), actor=actor)
    return critical
