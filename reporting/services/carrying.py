"""Results by e-mail and SMS: a message without words about the patient, and who comes by its link.

An e-mail carries a link or the PDF, locked with the password agreed with the practice. Who has an account signs in by
the link; who has none types that password.
"""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from reporting import permissions as perms
from reporting.models import (
    AttemptOutcome,
    DeliveryChannel,
    DeliveryRule,
    DeliveryStatus,
    MailForm,
    ReportDelivery,
    ReportVersion,
)
from reporting.pdf import render_report_pdf
from reporting.services.deliveries import (
    can_acknowledge,
    mark_delivery_acknowledged,
    mark_delivery_failed,
    mark_delivery_sent,
)
from reporting.services.delivery_tries import note_try
from reporting.services.sharing import LinkEnded, WrongCode
from ris.audit.models import Action
from ris.audit.service import record_read, refused
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition, NotKnown
from ris.notifications.channels import PermanentFailure, register_attachment
from ris.notifications.events import MessageTried
from ris.notifications.models import Notification
from ris.notifications.services import follow_template, notify
from ris.tenants import signing

D = DeliveryStatus
CARRIER = Actor("mail")
LINK = Actor("link")
SALT = "report.delivery"
LINK_LASTS, TRIES = timedelta(days=90), 5
READY, CHANGED = "reporting.delivered", "reporting.delivered_changed"
READY_PDF, CHANGED_PDF = "reporting.delivered_pdf", "reporting.delivered_pdf_changed"
TEMPLATES = (READY, CHANGED, READY_PDF, CHANGED_PDF)


# --- on the way


def carry(delivery: ReportDelivery) -> ReportDelivery:
    """Put the message of a planned delivery into the post; the ledger hears what becomes of it."""
    if delivery.status in (D.SUPERSEDED, D.ACKNOWLEDGED):
        return delivery
    address = address_of(delivery)
    wrong = wrong_address(delivery.channel, address)
    try:
        url = "" if wrong else url_of(delivery)
    except InvalidData as refusal:
        wrong = refusal.detail
    if wrong:
        return mark_delivery_failed(delivery, error=wrong, actor=CARRIER)
    asked = delivery.tries.filter(outcome=AttemptOutcome.ASKED).count()
    notify(
        address=address,
        channel=delivery.channel,
        template=template_of(delivery),
        subject=str(delivery.uuid),
        url=url,
        language=delivery.recipient.user.language if can_acknowledge(delivery.recipient) else "",
        dedupe_key=f"carry:{delivery.uuid}:{asked}",
    )
    return delivery


def address_of(delivery: ReportDelivery) -> str:
    """The practice's address of the rule, or the recipient's own."""
    rule, person = delivery.rule, delivery.recipient
    if person is None:
        return rule.address if rule is not None else ""
    if delivery.channel == DeliveryChannel.SMS:
        return person.phone
    return person.email or (person.user.email if person.user is not None else "")


def wrong_address(channel: str, address: str) -> str:
    """Why nothing can go there; empty when it can."""
    if not address:
        return _("No address is known for this recipient.")
    if channel == DeliveryChannel.SMS:
        digits = sum(sign.isdigit() for sign in address)
        return "" if 7 <= digits <= 15 else _("This is no phone number.")
    try:
        validate_email(address)
    except ValidationError:
        return _("This is no e-mail address.")
    return ""


def carries_pdf(delivery: ReportDelivery) -> bool:
    rule = delivery.rule
    is_mail = delivery.channel == DeliveryChannel.EMAIL
    return is_mail and rule is not None and rule.mail_form == MailForm.PDF


def template_of(delivery: ReportDelivery) -> str:
    earlier = ReportDelivery.objects.filter(
        report=delivery.report,
        channel=delivery.channel,
        destination=delivery.destination,
        recipient=delivery.recipient,
        sent_at__isnull=False,
        report_version__number__lt=delivery.report_version.number,
    ).exists()
    if carries_pdf(delivery):
        return CHANGED_PDF if earlier else READY_PDF
    return CHANGED if earlier else READY


def url_of(delivery: ReportDelivery) -> str:
    """Where the message leads: their inbox, or the page that asks the agreed password. Raises InvalidData."""
    if carries_pdf(delivery):
        if delivery.rule is None or not delivery.rule.password:
            raise InvalidData(_("No password is agreed with this recipient."))
        return ""
    if can_acknowledge(delivery.recipient):
        inbox = ReportDelivery.objects.filter(
            report_version=delivery.report_version, channel=DeliveryChannel.INBOX, recipient=delivery.recipient
        ).first()
        return reverse("result_detail", args=[(inbox or delivery).uuid])
    if delivery.channel == DeliveryChannel.SMS:
        return ""
    if delivery.rule is None or not delivery.rule.password:
        raise InvalidData(_("The recipient cannot sign in, and no password is agreed."))
    return reverse("delivered_open", args=[signing.dumps(delivery.uuid.hex, salt=SALT)])


def follow_message(event: MessageTried) -> None:
    """The ledger's side of each try of a message."""
    delivery = ReportDelivery.objects.filter(uuid=event.about).first() if event.template in TEMPLATES else None
    if delivery is None:
        return
    if event.outcome == "sent":
        mark_delivery_sent(delivery, actor=CARRIER)
    elif event.outcome == "given_up":
        mark_delivery_failed(delivery, error=event.error, actor=CARRIER)
    else:
        note_try(delivery, AttemptOutcome.RETRY, error=event.error, actor=CARRIER)


def locked_pdf(row: Notification) -> list[tuple[str, bytes, str]]:
    """The attachment: this version, locked. A version that was replaced meanwhile does not go out."""
    rows = ReportDelivery.objects.select_related("report_version__report", "rule")
    delivery = rows.filter(uuid=row.subject).first()
    if delivery is None or delivery.status == D.SUPERSEDED:
        raise PermanentFailure(_("A newer version has replaced this one."))
    if delivery.rule is None or not delivery.rule.password:
        raise PermanentFailure(_("No password is agreed with this recipient."))
    body = render_report_pdf(delivery.report_version, password=delivery.rule.password)
    return [("report.pdf", body, "application/pdf")]


def register() -> None:
    for template in TEMPLATES:
        follow_template(template)
    for template in (READY_PDF, CHANGED_PDF):
        register_attachment(template, locked_pdf)


# --- who comes by the link


def delivery_of(token: str) -> ReportDelivery:
    """What a link leads to now: the recipient's line of the newest version sent to them. NotKnown, LinkEnded."""
    try:
        found = signing.loads(token, salt=SALT, max_age=LINK_LASTS.total_seconds())
    except signing.SignatureExpired:
        raise _ended(_("It is older than %(days)d days.") % {"days": LINK_LASTS.days}) from None
    except signing.BadSignature:
        raise NotKnown(_("There is no such link.")) from None
    line = ReportDelivery.objects.filter(uuid=found).first()
    if line is None:
        raise NotKnown(_("There is no such link."))
    same = ReportDelivery.objects.select_related("rule", "report", "report_version__report").filter(
        report=line.report_id, channel=line.channel, destination=line.destination, recipient=line.recipient_id
    )
    newest = same.order_by("-report_version__number").first()
    if newest is None or newest.status == D.SUPERSEDED or newest.rule is None or not newest.rule.password:
        raise _ended(_("Its report was replaced, or the agreement with your practice has ended."))
    return newest


def _ended(found: str) -> LinkEnded:
    return LinkEnded(
        _("This link works no more."), found=found, todo=_("Ask the radiology department to send it again.")
    )


def check_agreed_password(delivery: ReportDelivery, given: str, *, address: str = "") -> None:
    """Raises WrongCode; TRIES wrong ones in a row close it until it is sent again."""
    with transaction.atomic():  # what was tried is kept, also when it is refused right after
        row = ReportDelivery.locked(delivery.pk)
        rule = DeliveryRule.objects.get(pk=row.rule_id)
        closed = row.code_tries >= TRIES
        fits = not closed and constant_time_compare(rule.password.encode(), given.strip().encode())
        if not fits:
            note_try(row, AttemptOutcome.WRONG_CODE, actor=LINK)
        ReportDelivery.objects.filter(pk=row.pk).update(code_tries=0 if fits else row.code_tries + (not closed))
    if fits:
        return
    if closed:
        refusal = WrongCode(
            _("A wrong password was typed too often."), todo=_("Ask the radiology department to send the result again.")
        )
    else:
        refusal = WrongCode(
            _("This password does not fit."), todo=_("It is the one agreed between your practice and the department.")
        )
    refused(Actor("link", None, address=address[:64]), perms.VIEW_RESULT, Action.READ, refusal, entity=delivery)
    raise refusal


@transaction.atomic
def shown_by_link(delivery: ReportDelivery, *, address: str) -> ReportVersion:
    """The version that the link shows; the first look counts as opened."""
    row = ReportDelivery.locked(delivery.pk)
    if row.can_move_to(D.OPENED):
        row.move_to(D.OPENED)
        row.opened_at = timezone.now()
        row.save_as(LINK, "Opened")
        note_try(row, AttemptOutcome.OPENED, actor=LINK)
    version = row.report_version
    actor = Actor("link", None, address=address[:64])
    record_read(actor, perms.VIEW_RESULT, entity=version, detail={"page": "delivered", "delivery": str(row.uuid)})
    return version


def acknowledge_by_link(delivery: ReportDelivery, *, seen: int) -> ReportDelivery:
    """Whoever has read it says so. Raises InvalidTransition when another version than the one seen stands there."""
    if delivery.report_version.number != seen:
        raise InvalidTransition(
            _("A newer version has replaced this one."), todo=_("Read it as it is now, then say so again.")
        )
    return mark_delivery_acknowledged(delivery, actor=LINK)
