"""Links for patients: made with a code that is told apart, opened after the doctors had their time, ended, logged."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from reporting import permissions as perms
from reporting.models import Report, ReportStatus, ReportVersion, ShareAccess, ShareLink, ShareOutcome, VersionKind
from reporting.services.locks import person
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import record_read, refused, service
from ris.core import text
from ris.core.actor import Actor
from ris.core.errors import DomainError, InvalidData, InvalidTransition, NotKnown
from ris.notifications.models import Channel
from ris.notifications.services import notify
from ris.tenants import signing

SALT = "report.share"
CODE_DIGITS, TRIES = 8, 5
DAYS_AT_MOST = 366
LINK_DOOR = "share"
OPENED_LINK = "reporting.open_share"


class LinkEnded(DomainError):
    """The link was ended, has expired, or its report does not stand any more."""

    code = "link_ended"
    http_status = 410


class NotYet(DomainError):
    """The doctors have their time first."""

    code = "not_yet"
    http_status = 403


class WrongCode(DomainError):
    code = "wrong_code"
    http_status = 403


@dataclass(frozen=True)
class Shared:
    """A new link and its code, which is shown this once."""

    link: ShareLink
    code: str


def url_of(link: ShareLink) -> str:
    return reverse("share_open", args=[signing.dumps(link.uuid.hex, salt=SALT)])


def newest_version(report: Report) -> ReportVersion | None:
    """What a patient is shown: final words only, none that were recalled."""
    standing = report.versions.filter(recall__isnull=True).exclude(kind=VersionKind.PRELIMINARY)
    return standing.order_by("-number").first()


def _open_from(version: ReportVersion) -> datetime:
    """The doctors have their time with each version, an addendum as well as the report itself."""
    return version.signed_at + timedelta(hours=facility_settings().share_embargo_hours)


def version_for_patient(report: Report) -> ReportVersion | None:
    """The newest version whose embargo has passed; nothing while a correction waits, for what it corrects is wrong."""
    standing = report.versions.filter(recall__isnull=True).exclude(kind=VersionKind.PRELIMINARY)
    for version in standing.order_by("-number"):
        if _open_from(version) <= timezone.now():
            return version
        if version.kind == VersionKind.CORRECTION:
            return None
    return None


def _digest(link: ShareLink, code: str) -> str:
    return hashlib.sha256(f"{link.uuid}:{code}".encode()).hexdigest()


def _new_code() -> str:
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


@service(perms.SHARE_REPORT, action=Action.CREATE)
def share_report(
    report: Report,
    *,
    recipient: str,
    days: int | None = None,
    send_to: str = "",
    channel: str = "",
    actor: Actor,
) -> Shared:
    """A link for a final report. It opens when the facility's embargo has passed; ``send_to`` gets it without words."""
    user = person(actor)
    report = Report.locked(report.pk)
    version = newest_version(report)
    if not report.is_signed or version is None or report.held_until is not None:
        raise InvalidTransition(
            _("There is nothing to share yet."),
            found=_("The report is not final, or its recall window is open."),
            todo=_("Share it when it is signed and on its way."),
        )
    wanted = facility_settings()
    days = wanted.share_days if days is None else days
    recipient = " ".join(recipient.split())
    errors = {}
    if not recipient or len(recipient) > 120:
        errors["recipient"] = _("Say for whom, in at most 120 characters.")
    if not 1 <= days <= DAYS_AT_MOST:
        errors["days"] = _("From 1 to %(most)d days.") % {"most": DAYS_AT_MOST}
    if bool(send_to) != bool(channel) or channel not in ("", Channel.EMAIL, Channel.SMS):
        errors["send_to"] = _("An address and how to reach it, or neither.")
    if errors:
        raise InvalidData(_("The link cannot be made."), errors=errors)
    opens_at = max(timezone.now(), _open_from(version))
    link = ShareLink(
        report=report,
        recipient=recipient,
        send_to=send_to,
        channel=channel,
        opens_at=opens_at,
        expires_at=opens_at + timedelta(days=days),
        created_by=user,
    )
    code = _new_code()
    link.code_digest = _digest(link, code)
    link.save_as(actor, "Shared")
    if send_to:
        _send(link)
    return Shared(link, code)


def _send(link: ShareLink) -> None:
    notify(
        address=link.send_to,
        channel=link.channel,
        template="reporting.report_shared",
        context={},
        url=url_of(link),
        subject=str(link.uuid),
        language=link.report.patient.language,
    )


@service(perms.SHARE_REPORT)
def new_share_code(link: ShareLink, *, actor: Actor) -> Shared:
    """The code was forgotten, or tried too often: another one; the old one works no more."""
    link = ShareLink.locked(link.pk)
    _refuse_ended(link)
    code = _new_code()
    link.code_digest, link.tries = _digest(link, code), 0
    link.save_as(actor, "New code")
    return Shared(link, code)


@service(perms.SHARE_REPORT)
def end_share(link: ShareLink, *, reason: str, actor: Actor) -> ShareLink:
    """It opens nothing from now on."""
    link = ShareLink.locked(link.pk)
    if not reason.strip():
        raise InvalidData(_("Say why the link ends."), errors={"reason": _("Needed.")})
    if link.revoked_at is None:
        link.revoked_at, link.revoked_reason = timezone.now(), reason.strip()[:200]
        link.save_as(actor, reason)
    return link


# --- the other side, who has no account


def link_of(token: str) -> ShareLink:
    """The row behind a token. NotKnown for a forged one, and for another facility's."""
    try:
        found = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        raise NotKnown(_("There is no such link.")) from None
    link = ShareLink.objects.select_related("report").filter(uuid=found).first()
    if link is None:
        raise NotKnown(_("There is no such link."))
    return link


def _refuse_ended(link: ShareLink) -> None:
    report = link.report
    if link.is_live and report.status != ReportStatus.ENTERED_IN_ERROR and newest_version(report) is not None:
        return
    raise LinkEnded(
        _("This link works no more."),
        asked=_("To open a report by a link."),
        found=_("It was ended, has expired, or its report was taken back."),
        todo=_("Ask the radiology department for a new one."),
    )


def _refuse_early(link: ShareLink) -> None:
    opens_at: datetime = max(link.opens_at, link.report.held_until or link.opens_at)
    newest = newest_version(link.report)
    if newest is not None and version_for_patient(link.report) is None:
        opens_at = max(opens_at, _open_from(newest))
    if opens_at > timezone.now():
        raise NotYet(
            _("This report cannot be opened yet."),
            found=_("Your doctor sees it first. It opens %(when)s.") % {"when": text.stamp(opens_at)},
            todo=_("Come back then, with the same link and code."),
        )


def refuse_closed(link: ShareLink) -> None:
    """LinkEnded, or NotYet."""
    _refuse_ended(link)
    _refuse_early(link)


def check_share_code(link: ShareLink, code: str, *, address: str) -> None:
    """Raises WrongCode; TRIES wrong ones in a row close the link until a new code is made."""
    refuse_closed(link)
    with transaction.atomic():  # what was tried is kept, also when it is refused right after
        row = ShareLink.objects.select_for_update(of=("self",)).get(pk=link.pk)
        closed = row.tries >= TRIES
        fits = not closed and constant_time_compare(row.code_digest, _digest(row, "".join(code.split())))
        if not fits:
            note_visit(row, ShareOutcome.REFUSED if closed else ShareOutcome.WRONG_CODE, address=address)
        ShareLink.objects.filter(pk=row.pk).update(tries=0 if fits else row.tries + (not closed))
    if fits:
        return
    if closed:
        refusal = WrongCode(
            _("The code was tried too often."), todo=_("Ask the radiology department for a new code; the link stays.")
        )
    else:
        refusal = WrongCode(
            _("This code does not fit."), todo=_("Look at the sheet or the message it was given with, and try again.")
        )
    refused(Actor(LINK_DOOR, None, address=address[:64]), OPENED_LINK, Action.READ, refusal, entity=link.report)
    raise refusal


def note_visit(link: ShareLink, outcome: str, *, address: str, version: int | None = None) -> None:
    ShareAccess.objects.create(link=link, outcome=outcome, address=address[:64], version=version)


def shown_version(link: ShareLink, *, outcome: str, address: str) -> ReportVersion:
    """What the link shows now, noted as a visit and in the audit."""
    refuse_closed(link)
    version = version_for_patient(link.report)
    if version is None:
        raise NotKnown(_("There is no such report."))
    note_visit(link, outcome, address=address, version=version.number)
    actor = Actor(LINK_DOOR, None, address=address[:64])
    record_read(actor, perms.VIEW_REPORT, entity=version, detail={"page": "share", "link": str(link.uuid)})
    return version
