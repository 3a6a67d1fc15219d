"""The ledger: planned with the signature, in its transaction; moved by those who carry and those who read."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from reporting import permissions as perms
from reporting.carriers import takes
from reporting.events import DeliveryAcknowledged, DeliveryPlanned
from reporting.models import (
    AttemptOutcome,
    DeliveryChannel,
    DeliveryRule,
    DeliveryStatus,
    Report,
    ReportDelivery,
    ReportVersion,
    VersionKind,
)
from reporting.services.delivery_tries import note_try
from reporting.services.notify import tell
from ris.accounts.models import Practitioner
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidTransition, NotPermitted
from ris.events.bus import publish
from ris.notifications.services import mark_seen

D = DeliveryStatus
#: Whoever has got this far has seen, or may have seen, the version.
REACHED = (D.SENT, D.OPENED, D.ACKNOWLEDGED)
UNSETTLED = (D.PENDING, D.SENT, D.OPENED, D.FAILED)


@dataclass(frozen=True)
class Recipient:
    channel: str
    destination: str = ""
    practitioner: Practitioner | None = None
    rule: DeliveryRule | None = field(default=None, compare=False)


#: Ways that a rule without a named destination goes to people.
TO_PEOPLE = (DeliveryChannel.EMAIL, DeliveryChannel.SMS)


def can_acknowledge(practitioner: Practitioner | None) -> bool:
    """Only who signs in can open and acknowledge a result in the inbox."""
    return practitioner is not None and practitioner.user is not None and practitioner.user.is_active


def _people(procedures: list[RequestedProcedure]) -> tuple[list[Practitioner], list[Practitioner]]:
    """Requesters, and those who get copies, each once."""
    requesters, copies = {}, {}
    for procedure in procedures:
        if procedure.order.requester is not None:
            requesters[procedure.order.requester_id] = procedure.order.requester
        for practitioner in procedure.order.copies_to.select_related("user"):
            copies[practitioner.pk] = practitioner
    return list(requesters.values()), [row for key, row in copies.items() if key not in requesters]


def recipients_of(version: ReportVersion, procedures: list[RequestedProcedure]) -> dict[Recipient, bool]:
    """Who gets this version, and whether they must acknowledge it."""
    requesters, copies = _people(procedures)
    preliminary = version.kind == VersionKind.PRELIMINARY
    rules = [
        rule
        for rule in DeliveryRule.objects.filter(is_active=True).order_by(F("requester").asc(nulls_last=True), "pk")
        if (rule.requester_id is None or rule.requester_id in {row.pk for row in requesters})
        and (rule.includes_preliminary or not preliminary)
        and takes(rule.channel, rule.destination, procedures)
    ]
    inbox = [rule for rule in rules if rule.channel == DeliveryChannel.INBOX]
    found: dict[Recipient, bool] = {}
    if inbox or not preliminary:
        for practitioner in requesters:
            own = [rule for rule in inbox if rule.requester_id in (None, practitioner.pk)]
            must = all(rule.is_mandatory for rule in own) if own else True
            if own or not preliminary:
                found[Recipient(DeliveryChannel.INBOX, "", practitioner)] = (
                    must and not preliminary and can_acknowledge(practitioner)
                )
        for practitioner in copies if not preliminary else []:
            found[Recipient(DeliveryChannel.INBOX, "", practitioner)] = False
    for rule in rules:
        for recipient, must in _by_rule(rule, requesters, copies).items():
            found.setdefault(recipient, must and not preliminary)
    return found


def _by_rule(rule: DeliveryRule, requesters: list[Practitioner], copies: list[Practitioner]) -> dict[Recipient, bool]:
    """To whom one rule sends. What goes to people's own addresses informs: they acknowledge in their inbox."""
    if rule.channel == DeliveryChannel.INBOX:
        return {}
    found: dict[Recipient, bool] = {}
    if rule.channel in TO_PEOPLE and not rule.destination:
        for person in requesters:
            if rule.requester_id in (None, person.pk):
                found[Recipient(rule.channel, "", person, rule)] = False
    else:
        must = rule.is_mandatory and rule.channel != DeliveryChannel.SMS
        found[Recipient(rule.channel, rule.destination, None, rule)] = must
    if rule.includes_copies and rule.channel in (*TO_PEOPLE, DeliveryChannel.PRINT):
        for person in copies:
            found.setdefault(Recipient(rule.channel, "", person, rule), False)
    return found


def plan_deliveries(version: ReportVersion, *, actor: Actor) -> list[ReportDelivery]:
    """Write a line for each recipient of a version, in the transaction of its signature.

    Lines of earlier versions that nobody has acknowledged are superseded; whoever saw an earlier version gets the new
    one, rules or not.
    """
    procedures = list(version.report.procedures.select_related("order__requester__user"))
    wanted = recipients_of(version, procedures)
    earlier = ReportDelivery.objects.filter(report=version.report).exclude(report_version=version)
    told_before: set[Recipient] = set()
    for line in earlier.select_for_update(of=("self",)).select_related("recipient__user", "rule").order_by("pk"):
        recipient = Recipient(line.channel, line.destination, line.recipient, line.rule)
        if line.status in REACHED:
            told_before.add(recipient)
            if version.kind != VersionKind.PRELIMINARY or line.channel != DeliveryChannel.PRINT:
                wanted.setdefault(recipient, line.is_mandatory)
        if line.status in UNSETTLED and version.kind != VersionKind.PRELIMINARY:
            line.move_to(D.SUPERSEDED)
            line.save_as(actor, f"Version {version.number} replaces it")
            if recipient in wanted and line.recipient is not None:  # the newer message rings instead
                mark_seen(line.recipient.user, [str(line.uuid)])
    return [
        plan_line(version, recipient, must, recipient in told_before, procedures, actor)
        for recipient, must in wanted.items()
    ]


def plan_line(
    version: ReportVersion,
    recipient: Recipient,
    is_mandatory: bool,
    saw_earlier: bool,
    procedures: list[RequestedProcedure],
    actor: Actor,
) -> ReportDelivery:
    line = ReportDelivery(
        report=version.report,
        report_version=version,
        channel=recipient.channel,
        destination=recipient.destination,
        recipient=recipient.practitioner,
        rule=recipient.rule,
        is_mandatory=is_mandatory,
    )
    if recipient.channel == DeliveryChannel.INBOX:  # it lies in the inbox from this commit on
        line.move_to(D.SENT)
        line.sent_at, line.attempts = timezone.now(), 1
    line.save_as(actor, "Planned")
    note_try(line, AttemptOutcome.SENT if line.status == D.SENT else AttemptOutcome.ASKED, actor=actor)
    accession = procedures[0].accession_number
    event = DeliveryPlanned(
        str(line.uuid),
        accession,
        version.number,
        delivery=str(line.uuid),
        channel=line.channel,
        destination=line.destination,
        report_version=str(version.uuid),
    )
    publish(event, actor=actor)
    if recipient.channel == DeliveryChannel.INBOX and can_acknowledge(recipient.practitioner):
        tell(
            [recipient.practitioner.user],
            "reporting.report_changed" if saw_earlier else "reporting.report_ready",
            url=f"/results/{line.uuid}/",
            subject=str(line.uuid),
            context={"accession_number": accession, "version": version.number},
            once=f"delivery:{line.uuid}",
        )
    return line


@service(perms.MANAGE_DELIVERY, action=Action.EXECUTE)
def mark_delivery_sent(delivery: ReportDelivery, *, actor: Actor) -> ReportDelivery:
    """It has left. May be told again."""
    delivery = ReportDelivery.locked(delivery.pk)
    if delivery.status in (D.PENDING, D.FAILED):
        delivery.move_to(D.SENT)
    elif delivery.status != D.SENT:
        return delivery
    delivery.sent_at, delivery.last_error = timezone.now(), ""
    delivery.attempts += 1
    delivery.save_as(actor, "Sent")
    note_try(delivery, AttemptOutcome.SENT, actor=actor)
    return delivery


@service(perms.MANAGE_DELIVERY, action=Action.EXECUTE)
def mark_delivery_failed(delivery: ReportDelivery, *, error: str, actor: Actor) -> ReportDelivery:
    """It was refused for good, or given up; ``error`` says why, without data of the patient."""
    delivery = ReportDelivery.locked(delivery.pk)
    if delivery.status not in (D.PENDING, D.SENT, D.FAILED):
        return delivery
    if delivery.status != D.FAILED:
        delivery.move_to(D.FAILED)
    delivery.last_error = error[:300]
    delivery.attempts += 1
    delivery.save_as(actor, "Failed")
    note_try(delivery, AttemptOutcome.FAILED, error=error, actor=actor)
    return delivery


@service(perms.MANAGE_DELIVERY, action=Action.EXECUTE)
def mark_delivery_acknowledged(delivery: ReportDelivery, *, actor: Actor) -> ReportDelivery:
    """The recipient has it: an AA came back, or somebody was told. Late and repeated ones change nothing."""
    return _acknowledge(delivery, actor)


@service(perms.ACKNOWLEDGE_RESULT, action=Action.EXECUTE)
def acknowledge_result(delivery: ReportDelivery, *, actor: Actor) -> ReportDelivery:
    """The referring physician has read it. Only one's own; a superseded version is refused, the newer one named."""
    refuse_other_peoples(delivery, actor)
    if delivery.status == D.SUPERSEDED:
        raise InvalidTransition(
            _("A newer version has replaced this one."),
            asked=_("To acknowledge an earlier version."),
            found=_("The report has changed since."),
            todo=_("Open the newest version in your inbox and acknowledge that."),
        )
    return _acknowledge(delivery, actor)


def refuse_other_peoples(delivery: ReportDelivery, actor: Actor) -> None:
    recipient = delivery.recipient
    if actor.user is None or recipient is None or recipient.user_id != actor.user.pk:
        raise NotPermitted(
            _("This result was sent to somebody else."),
            todo=_("The recipient acknowledges it, or the department notes that they were told."),
        )


@service(perms.VIEW_RESULT, action=Action.READ)
def open_result(delivery: ReportDelivery, *, actor: Actor) -> ReportDelivery:
    """Its recipient looks at it for the first time. Others who may see it leave no trace in the ledger."""
    delivery = ReportDelivery.locked(delivery.pk)
    is_recipient = (
        actor.user is not None and delivery.recipient is not None and delivery.recipient.user_id == actor.user.pk
    )
    if is_recipient and delivery.status in (D.PENDING, D.SENT):
        delivery.move_to(D.OPENED)
        delivery.opened_at = timezone.now()
        delivery.save_as(actor, "Opened")
        note_try(delivery, AttemptOutcome.OPENED, actor=actor)
    if is_recipient:
        _quiet_the_bell(delivery, actor)
    return delivery


def _quiet_the_bell(delivery: ReportDelivery, actor: Actor) -> None:
    """Its recipient has seen this version, so whatever was said of this and of earlier ones is old."""
    seen = ReportDelivery.objects.filter(
        report=delivery.report_id,
        recipient=delivery.recipient_id,
        report_version__number__lte=delivery.report_version.number,
    )
    mark_seen(actor.user, [str(uuid) for uuid in seen.values_list("uuid", flat=True)])


@service(perms.MANAGE_DELIVERY, action=Action.EXECUTE)
def send_delivery_again(delivery: ReportDelivery, *, actor: Actor) -> ReportDelivery:
    """Once more to the same recipient: back to waiting, and whoever carries this channel hears of it."""
    delivery = ReportDelivery.locked(delivery.pk)
    if delivery.channel == DeliveryChannel.INBOX:
        if delivery.status in UNSETTLED and delivery.recipient and can_acknowledge(delivery.recipient):
            tell(
                [delivery.recipient.user],
                "reporting.report_ready",
                url=f"/results/{delivery.uuid}/",
                subject=str(delivery.uuid),
                context={"accession_number": delivery.accession_number, "version": delivery.report_version.number},
            )
        return delivery
    if delivery.status == D.FAILED:
        delivery.move_to(D.PENDING)
    elif delivery.status not in (D.PENDING, D.SENT):
        raise InvalidTransition(
            _("This delivery is %(status)s.") % {"status": delivery.get_status_display()},
            todo=_("Only what waits, was sent or has failed is sent again."),
        )
    delivery.last_error, delivery.code_tries = "", 0
    delivery.save_as(actor, "Send again")
    note_try(delivery, AttemptOutcome.ASKED, actor=actor)
    publish(
        DeliveryPlanned(
            str(delivery.uuid),
            delivery.accession_number,
            delivery.report_version.number,
            delivery=str(delivery.uuid),
            channel=delivery.channel,
            destination=delivery.destination,
            report_version=str(delivery.report_version.uuid),
        ),
        actor=actor,
    )
    return delivery


def _acknowledge(delivery: ReportDelivery, actor: Actor) -> ReportDelivery:
    from reporting.services.locks import lock_report

    report, procedures = lock_report(delivery.report)
    delivery = ReportDelivery.locked(delivery.pk)
    if delivery.status in (D.ACKNOWLEDGED, D.SUPERSEDED):
        return delivery
    delivery.move_to(D.ACKNOWLEDGED)
    delivery.acknowledged_at, delivery.acknowledged_by = timezone.now(), actor.user
    delivery.opened_at = delivery.opened_at or (delivery.acknowledged_at if actor.user else None)
    delivery.save_as(actor, "Acknowledged")
    note_try(delivery, AttemptOutcome.ACKNOWLEDGED, actor=actor)
    if actor.user is not None and delivery.recipient is not None and delivery.recipient.user_id == actor.user.pk:
        _quiet_the_bell(delivery, actor)
    event = DeliveryAcknowledged(str(delivery.uuid), delivery.accession_number, None, channel=delivery.channel)
    publish(event, actor=actor)
    if is_distributed(report):
        for procedure in procedures:
            if procedure.status in (ProcedureStatus.FINAL, ProcedureStatus.AMENDED):
                orders.mark_distributed(procedure, actor=actor)
    return delivery


def is_distributed(report: Report) -> bool:
    """Whether every mandatory delivery of the current signed version is acknowledged, and at least one delivery is."""
    if not report.is_signed:
        return False
    current = report.versions.order_by("-number").first()
    lines = list(current.deliveries.values_list("status", "is_mandatory")) if current else []
    waiting = [status for status, must in lines if must and status != D.ACKNOWLEDGED]
    return not waiting and any(status == D.ACKNOWLEDGED for status, _must in lines)
