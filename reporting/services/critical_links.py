"""Answering an alert from a message: a signed link for one person and one purpose, which ends.

Its address holds nothing but the signed number of a row. Opening it acknowledges nothing: programs that look at mail
open links too. The facility decides whether it asks for the sign-in, or for a code sent to the person's other address.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db.models import F
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from reporting import permissions as perms
from reporting.models import AnswerLink, CriticalResult, CriticalStatus
from reporting.services.critical_settle import settle_acknowledged
from ris.accounts.models import User
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import refused, service
from ris.core.actor import Actor
from ris.core.clock import database_now
from ris.core.errors import DomainError, InvalidData, NotKnown, NotPermitted
from ris.notifications.models import Channel
from ris.notifications.services import address_of, notify
from ris.tenants import signing

SALT = "critical.answer"
CODE_MINUTES, CODE_TRIES, MOST_CODES = 10, 5, 5
ENDED = (CriticalStatus.ACKNOWLEDGED, CriticalStatus.CLOSED, CriticalStatus.WITHDRAWN)


class LinkEnded(DomainError):
    """The link was used, has expired, or its alert was answered otherwise."""

    code = "link_ended"
    http_status = 410


def asks_code() -> bool:
    return facility_settings().critical_link_asks == "code"


def link_for(
    critical: CriticalResult,
    *,
    level: int,
    name: str,
    now: datetime,
    user: User | None = None,
    address: tuple[str, str] | None = None,
) -> AnswerLink | None:
    """The link that a message carries; None for an address without an account where the sign-in is asked for."""
    if user is None and not asks_code():
        return None
    link = AnswerLink(
        critical_result=critical,
        recipient=user,
        recipient_name=name[:120],
        round=critical.round,
        level=level,
        created_at=now,
        expires_at=now + timedelta(hours=max(1, facility_settings().critical_link_hours)),
    )
    link.code_channel, link.code_address = address or _other_address(user)
    link.save()
    return link


def _other_address(user: User | None) -> tuple[str, str]:
    """Where the code goes: the phone in the pocket, else the mailbox."""
    if user is not None:
        for channel in (Channel.SMS, Channel.EMAIL):
            found = address_of(user, channel)
            if found:
                return channel.value, found
    return "", ""


def url_of(link: AnswerLink | None) -> str:
    if link is None:
        return ""
    return reverse("critical_answer", args=[signing.dumps(link.uuid.hex, salt=SALT)])


def link_of(token: str) -> AnswerLink:
    """The row behind a token. NotKnown for a forged one; LinkEnded for one that is over."""
    try:
        found = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        raise NotKnown(_("There is no such link.")) from None
    link = (
        AnswerLink.objects.select_related(
            "critical_result__procedure__order__patient", "critical_result__alert_category", "recipient"
        )
        .filter(uuid=found)
        .first()
    )
    if link is None:
        raise NotKnown(_("There is no such link."))
    return link


def refuse_ended(link: AnswerLink) -> None:
    critical = link.critical_result
    if link.used_at is not None or link.round != critical.round or critical.status in ENDED:
        found = _("It was used, or the alert has been answered meanwhile.")
    elif link.expires_at <= database_now():
        found = _("It has expired.")
    else:
        return
    raise LinkEnded(
        _("This link works no more."),
        asked=_("To answer an alert by a link."),
        found=found,
        todo=_("Sign in and look at the board of critical results, or call the radiology desk."),
    )


def note_opened(link: AnswerLink) -> None:
    if link.opened_at is None:
        AnswerLink.objects.filter(pk=link.pk, opened_at__isnull=True).update(opened_at=database_now())


def send_code(link: AnswerLink, *, actor: Actor) -> None:
    """Send six digits to the other address of whom the link was made for. They work for ten minutes."""
    refuse_ended(link)
    if not link.code_address:
        raise InvalidData(_("No address for a code is known."), todo=_("Sign in instead, or call the radiology desk."))
    code = f"{secrets.randbelow(1_000_000):06}"
    now = database_now()
    was_kept = AnswerLink.objects.filter(pk=link.pk, codes_sent__lt=MOST_CODES).update(
        code_digest=_digest(link, code),
        code_expires_at=now + timedelta(minutes=CODE_MINUTES),
        code_tries=0,
        codes_sent=F("codes_sent") + 1,
    )
    if not was_kept:
        raise NotPermitted(_("Too many codes were asked for."), todo=_("Sign in instead, or call the radiology desk."))
    notify(
        address=link.code_address,
        channel=link.code_channel,
        template="reporting.critical_code",
        context={"code": code, "minutes": CODE_MINUTES},
        subject=str(link.uuid),
        language=link.recipient.language if link.recipient is not None else "",
    )


def _digest(link: AnswerLink, code: str) -> str:
    return hashlib.sha256(f"{link.uuid}:{code.strip()}".encode()).hexdigest()


def check_code(link: AnswerLink, code: str, *, actor: Actor) -> None:
    """Raises NotPermitted for a wrong or old code, which the audit keeps; five wrong ones end it."""
    live = AnswerLink.objects.filter(pk=link.pk, code_expires_at__gt=database_now(), code_tries__lt=CODE_TRIES)
    # Counted before it is compared, in one statement: guesses at the same time count each.
    if live.exclude(code_digest="").update(code_tries=F("code_tries") + 1):
        link.refresh_from_db(fields=["code_digest"])
        if constant_time_compare(link.code_digest, _digest(link, code)):
            return
    refusal = NotPermitted(
        _("This code does not work."),
        asked=_("To answer an alert by a link."),
        found=_("It is wrong, older than %(count)d minutes, or was tried too often.") % {"count": CODE_MINUTES},
        todo=_("Let a new one be sent."),
    )
    refused(actor, perms.ANSWER_LINK, Action.EXECUTE, refusal, entity=link.critical_result)
    raise refusal


@service(perms.ANSWER_LINK, action=Action.UPDATE)
def answer_link(link: AnswerLink, *, actor: Actor) -> CriticalResult:
    """The person the link was made for acknowledges; once. The edge has asked for the sign-in or the code."""
    link = AnswerLink.objects.select_for_update(of=("self",)).select_related("recipient").get(pk=link.pk)
    critical = CriticalResult.locked(link.critical_result_id)
    link.critical_result = critical
    refuse_ended(link)
    if actor.user is not None and link.recipient_id != actor.user.pk:
        raise NotPermitted(
            _("This link was made for somebody else."), todo=_("Open the alert on the board of critical results.")
        )
    user = actor.user or link.recipient
    if user is not None and user.pk == critical.raised_by_id:
        raise NotPermitted(
            _("You raised this alert; somebody else acknowledges it."),
            todo=_("Call the requester and note who read it back."),
        )
    link.used_at = database_now()
    link.save(update_fields=["used_at"])
    return settle_acknowledged(
        critical, user=user, name="" if user is not None else link.recipient_name, via="link", actor=actor
    )
