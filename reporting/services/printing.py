"""Results on paper: what waits, printed together, and taken off the list when the paper is there."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from reporting import permissions as perms
from reporting.models import AttemptOutcome, DeliveryChannel, DeliveryStatus, ReportDelivery
from reporting.pdf import render_stack
from reporting.services.deliveries import mark_delivery_sent
from reporting.services.delivery_tries import note_try
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import InvalidData

MOST_AT_ONCE = 100


def waiting_for_print(*, actor: Actor) -> QuerySet[ReportDelivery]:
    """The oldest first."""
    actor.require(perms.MANAGE_DELIVERY)
    return (
        ReportDelivery.objects.visible_to(actor)
        .filter(channel=DeliveryChannel.PRINT, status__in=(DeliveryStatus.PENDING, DeliveryStatus.FAILED))
        .select_related("report", "report_version__report", "recipient")
        .prefetch_related("report__procedures__order__patient__identifiers", "tries")
        .order_by("pk")
    )


def _chosen(lines: Sequence[ReportDelivery]) -> list[ReportDelivery]:
    chosen = [row for row in lines if row.channel == DeliveryChannel.PRINT]
    if not chosen or len(chosen) > MOST_AT_ONCE:
        raise InvalidData(
            _("Choose what is to be printed."),
            errors={"line": _("From 1 to %(most)d results.") % {"most": MOST_AT_ONCE}},
        )
    return chosen


@service(perms.MANAGE_DELIVERY, action=Action.EXECUTE)
def print_deliveries(lines: Sequence[ReportDelivery], *, actor: Actor) -> bytes:
    """One PDF of them all. They wait on until somebody says that the paper is there."""
    chosen = _chosen(lines)
    for line in chosen:
        note_try(line, AttemptOutcome.PRINTED, actor=actor)
        record(actor, perms.PRINT_REPORT, Action.EXECUTE, entity=line.report_version)
    by = actor.user.display_name if actor.user is not None else str(actor)
    return render_stack([line.report_version for line in chosen], printed_by=by)


@service(perms.MANAGE_DELIVERY, action=Action.EXECUTE)
def mark_printed(lines: Sequence[ReportDelivery], *, actor: Actor) -> int:
    """The paper is there and goes out. Answers how many."""
    chosen = _chosen(lines)
    for line in chosen:
        mark_delivery_sent(line, actor=actor)
    return len(chosen)
