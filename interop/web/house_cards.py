"""The cards of DICOM peers that we send to, of the outbox inside the house, and of mail and SMS."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Count, Max, Min, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.dicom.outgoing import peer_queues
from interop.dicom.peers import peer_lines
from interop.models import OutgoingDicom, OutgoingStatus
from interop.web.cards import Card, CardAction, register_cards
from ris.core.actor import Actor
from ris.core.panels import url_or_none
from ris.events.models import Delivery, DeliveryStatus
from ris.notifications.models import Channel, Notification, NotificationStatus

PATIENCE = timedelta(minutes=15)


def _look(waiting: int, parked: int, is_retrying: bool) -> tuple[str, str, str]:
    if parked:
        return "red", "hand-stop", _("Parked %(count)d") % {"count": parked}
    if is_retrying:
        return "amber", "refresh", _("Retrying")
    return "green", "circle-check", _("Running")


def dicom_cards(*, actor: Actor) -> Iterable[Card]:
    """Peers that are sent something; all others stand in the table of peers."""
    lines = {line.peer.pk: line for line in peer_lines()}
    queues = peer_queues()
    errors = _newest_errors() if any(queue.waiting or queue.parked for queue in queues) else {}
    for queue in queues:
        peer, line = queue.peer, lines.get(queue.peer.pk)
        look = _look(queue.waiting, queue.parked, queue.attempts > 0)
        if not peer.is_active:
            look = ("slate", "ban", _("Switched off"))
        actions: tuple[CardAction, ...] = ()
        if line is not None and line.can_be_called:
            actions = (CardAction(_("Echo"), reverse("dicom_echo", args=[peer.uuid]), perms.MANAGE_INTERFACES),)
        seen = line.last.started_at if line is not None and line.last is not None else None
        yield Card(
            key=f"dicom:{peer.uuid}",
            name=peer.description or peer.ae_title,
            group="DICOM",
            kind=f"{_('out')} · {', '.join(queue.served)}" if queue.served else _("out"),
            tone=look[0],
            icon=look[1],
            state=look[2],
            waiting=queue.waiting,
            parked=queue.parked,
            oldest=queue.oldest,
            last_success=queue.last or seen,
            error=errors.get(peer.pk, ""),
            address=f"{peer.ae_title}@{peer.host}:{peer.port}" if peer.host else peer.ae_title,
            url=f"{reverse('integrations')}?tab=DICOM#outgoing-dicom",
            actions=actions,
            alert_after=PATIENCE if peer.is_active else None,
        )


def _newest_errors() -> dict[int, str]:
    open_rows = (OutgoingStatus.PENDING, OutgoingStatus.PARKED)
    newest = OutgoingDicom.objects.filter(status__in=open_rows).exclude(last_error="").order_by("peer", "-pk")
    return dict(newest.distinct("peer").values_list("peer", "last_error"))


def outbox_cards(*, actor: Actor) -> Iterable[Card]:
    """Deliveries of events inside the house: what hangs here was told to nobody outside either."""
    pending, parked = Q(status=DeliveryStatus.PENDING), Q(status=DeliveryStatus.PARKED)
    rows = Delivery.objects.filter(pending | parked)
    figures = rows.aggregate(
        waiting=Count("pk", filter=pending),
        parked=Count("pk", filter=parked),
        retrying=Count("pk", filter=pending & Q(attempts__gt=0)),
        oldest=Min("event__occurred_at", filter=pending),
        parked_since=Min("event__occurred_at", filter=parked),
    )
    worst = None
    if figures["waiting"] or figures["parked"]:
        worst = rows.exclude(last_error="").order_by("-pk").values_list("subscriber", "last_error").first()
    look = _look(figures["waiting"], figures["parked"], figures["retrying"] > 0)
    yield Card(
        key="outbox",
        name=_("Events inside the house"),
        group=_("House"),
        kind=_("outbox"),
        tone=look[0],
        icon=look[1],
        state=look[2],
        waiting=figures["waiting"],
        parked=figures["parked"],
        oldest=figures["oldest"],
        error=f"{worst[0]}: {worst[1]}"[:300] if worst else "",
        url=f"{reverse('integrations')}?tab=outbox#outbox",
        alert_after=PATIENCE,
        waits_since=figures["parked_since"],
    )


def mail_cards(*, actor: Actor) -> Iterable[Card]:
    day = timezone.now() - timedelta(days=1)
    rows = Notification.objects.exclude(channel=Channel.IN_APP)
    pending = Q(status=NotificationStatus.PENDING)
    figures = rows.filter(pending | Q(created_at__gte=day)).aggregate(
        waiting=Count("pk", filter=pending),
        failed=Count("pk", filter=Q(status=NotificationStatus.FAILED)),
        retrying=Count("pk", filter=pending & Q(attempts__gt=0)),
        oldest=Min("created_at", filter=pending),
        last=Max("sent_at"),
    )
    error = ""
    if figures["waiting"] or figures["failed"]:
        found = rows.filter(pending | Q(status=NotificationStatus.FAILED, created_at__gte=day)).exclude(last_error="")
        error = found.order_by("-pk").values_list("last_error", flat=True).first() or ""
    look = _look(figures["waiting"], 0, figures["retrying"] > 0)
    if figures["failed"]:
        look = ("amber", "alert-triangle", _("%(count)d failed today") % {"count": figures["failed"]})
    yield Card(
        key="mail",
        name=_("Mail and SMS"),
        group=_("House"),
        kind=_("out"),
        tone=look[0],
        icon=look[1],
        state=look[2],
        waiting=figures["waiting"],
        oldest=figures["oldest"],
        last_success=figures["last"],
        error=error,
        url=url_or_none("admin:notifications_notification_changelist") or "",
    )


register_cards("dicom.peers", dicom_cards, order=30)
register_cards("house.outbox", outbox_cards, order=90)
register_cards("house.mail", mail_cards, order=95)
