"""How a message leaves the house: Django's e-mail, and SMS through a gateway behind an interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import httpx
from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.translation import gettext as _

from ris.accounts.outbound import HostNotAllowed, client
from ris.accounts.selectors import facility_settings
from ris.core.errors import DomainError
from ris.notifications.models import Channel, Notification
from ris.notifications.words import absolute, short_words_of, words_of

SMS_LENGTH = 459  # three parts of a concatenated message


class PermanentFailure(DomainError):
    """Trying again would not help."""

    code = "cannot_be_sent"


class GatewayUnreachable(DomainError):
    """The gateway did not take it this time."""

    code = "gateway_unreachable"


class SmsGateway(Protocol):
    """What a gateway must be able to do. Raises PermanentFailure, or anything else to be asked again."""

    def send(self, number: str, text: str, *, reference: str) -> None: ...


class HttpSmsGateway:
    """POST ``{to, text, reference}`` as JSON with a bearer token; 2xx means taken, 4xx (not 408, 429) never will be.

    ``reference`` is also the Idempotency-Key, so that a gateway that knows it sends once what we ask twice.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def send(self, number: str, text: str, *, reference: str) -> None:
        headers = {"Idempotency-Key": reference}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        body = {"to": number, "text": text, "reference": reference}
        try:
            with client() as session:
                status = session.post(self.url, json=body, headers=headers).status_code
        except HostNotAllowed as refusal:
            raise PermanentFailure(refusal.detail) from refusal
        except httpx.HTTPError as exc:
            raise GatewayUnreachable(type(exc).__name__) from None
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status not in (408, 429):
            raise PermanentFailure(f"The gateway answered {status}.")
        raise GatewayUnreachable(f"The gateway answered {status}.")


def sms_gateway() -> SmsGateway:
    """The facility's gateway."""
    chosen = facility_settings()
    if not chosen.sms_gateway_url:
        raise PermanentFailure(_("The facility has no SMS gateway."))
    return HttpSmsGateway(chosen.sms_gateway_url, chosen.sms_gateway_token)


#: What an e-mail carries beside its words, by template: (name, bytes, type) of each file.
_attachments: dict[str, Callable[[Notification], list[tuple[str, bytes, str]]]] = {}


def register_attachment(template: str, make: Callable[[Notification], list[tuple[str, bytes, str]]]) -> None:
    """``make`` is called when the message leaves; PermanentFailure from it gives the message up."""
    _attachments[template] = make


def deliver(row: Notification) -> None:
    """Hand one message to its channel."""
    if row.channel == Channel.EMAIL:
        _send_mail(row)
    elif row.channel == Channel.SMS:
        sms_gateway().send(row.address, short_words_of(row)[:SMS_LENGTH], reference=str(row.uuid))


def _send_mail(row: Notification) -> None:
    words = words_of(row)
    lines = [words.body or words.title]
    if row.url:
        lines += ["", absolute(row.url)]
    sender = facility_settings().email_from or settings.DEFAULT_FROM_EMAIL
    headers = {"Message-ID": f"<{row.uuid}@picha>", "Auto-Submitted": "auto-generated"}
    message = EmailMessage(f"Picha: {words.title}", "\n".join(lines), sender, [row.address], headers=headers)
    if row.template in _attachments:
        for name, body, kind in _attachments[row.template](row):
            message.attach(name, body, kind)
    message.send()
