"""A result is passed on to a colleague, who reads and acknowledges it; until then it stays on a list of its own."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext as _

from orders import services as orders
from reporting import permissions as perms
from reporting.models import DeliveryChannel, DeliveryStatus, ReportDelivery
from reporting.services.deliveries import Recipient, can_acknowledge, plan_line, refuse_other_peoples
from reporting.services.locks import lock_report
from ris.accounts.models import Practitioner
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition

OPEN = (DeliveryStatus.PENDING, DeliveryStatus.SENT, DeliveryStatus.OPENED)


@service(perms.ACKNOWLEDGE_RESULT, action=Action.EXECUTE)
def delegate_result(
    delivery: ReportDelivery, *, to: Practitioner, note: str = "", actor: Actor
) -> tuple[ReportDelivery, ReportDelivery]:
    """One's own unread result goes to a colleague who signs in: (the line passed on, the colleague's line).

    The colleague gets copies of this order from now on, and must acknowledge in the delegating person's place.
    """
    refuse_other_peoples(delivery, actor)
    _report, procedures = lock_report(delivery.report)
    delivery = ReportDelivery.locked(delivery.pk)
    if delivery.status not in OPEN or delivery.delegated_to_id is not None:
        raise InvalidTransition(
            _("This result is not waiting for you any more."),
            found=_("It was read, passed on, or replaced by a newer version."),
            todo=_("Look at your results again."),
        )
    if to.pk == delivery.recipient_id or not can_acknowledge(to):
        raise InvalidData(
            _("This colleague cannot take it."),
            errors={"to": _("Choose somebody else who signs in here.")},
            todo=_("Choose another colleague, or call the department."),
        )
    for order in {procedure.order_id: procedure.order for procedure in procedures}.values():
        orders.add_copy(order, to, reason=_("A result was passed on"), actor=actor)
    existing = ReportDelivery.objects.filter(
        report_version=delivery.report_version, channel=DeliveryChannel.INBOX, recipient=to
    ).first()
    line = existing or plan_line(
        delivery.report_version,
        Recipient(DeliveryChannel.INBOX, "", to),
        is_mandatory=delivery.is_mandatory,
        saw_earlier=False,
        procedures=procedures,
        actor=actor,
    )
    if existing is not None and delivery.is_mandatory and not existing.is_mandatory:
        existing.is_mandatory = True
        existing.save_as(actor, "Passed on")
    delivery.delegated_to, delivery.delegated_at = to, timezone.now()
    delivery.delegation_note, delivery.is_mandatory = " ".join(note.split())[:200], False
    delivery.save_as(actor, "Passed on")
    return delivery, line


@service(perms.ACKNOWLEDGE_RESULT, action=Action.EXECUTE)
def take_back_result(delivery: ReportDelivery, *, actor: Actor) -> ReportDelivery:
    """What was passed on and is not acknowledged yet is one's own again; the colleague keeps a copy."""
    refuse_other_peoples(delivery, actor)
    lock_report(delivery.report)
    delivery = ReportDelivery.locked(delivery.pk)
    if delivery.delegated_to_id is None or delivery.status not in OPEN:
        raise InvalidTransition(_("This result is not passed on."), todo=_("Look at your results again."))
    theirs = ReportDelivery.objects.select_for_update(of=("self",)).filter(
        report_version=delivery.report_version, channel=DeliveryChannel.INBOX, recipient=delivery.delegated_to_id
    )
    for line in theirs:
        if line.status == DeliveryStatus.ACKNOWLEDGED:
            raise InvalidTransition(
                _("Your colleague has read it."), todo=_("Say that you have read it too, if you have.")
            )
        line.is_mandatory = False
        line.save_as(actor, "Taken back")
    delivery.delegated_to, delivery.delegated_at, delivery.delegation_note = None, None, ""
    delivery.is_mandatory = True
    delivery.save_as(actor, "Taken back")
    return delivery
