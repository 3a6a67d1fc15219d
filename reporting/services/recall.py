"""The minutes between a signature and its delivery: the signer may take it back; then it leaves by itself.

The time is in the database: a restart or a second dispatcher neither loses nor repeats a delivery.
"""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext as _

from orders import services as orders
from reporting import permissions as perms
from reporting.models import CoSignature, Report, ReportRecall, ReportStatus, VersionKind
from reporting.services.locks import claim, lock_report, person
from reporting.services.signing import send_out
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core import text
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted

DISPATCHER = Actor("dispatcher")


@service(perms.SIGN_REPORT, action=Action.UPDATE)
def recall_report(report: Report, *, reason: str, actor: Actor) -> Report:
    """Take one's own signature back before anything was delivered: the report is a draft again, with its text.

    The version stays for those who write reports, marked as recalled. Raises InvalidTransition when it has left.
    """
    user = person(actor)
    if not reason.strip():
        raise InvalidData(_("Say why it is recalled."), errors={"reason": _("Needed.")})
    report, procedures = lock_report(report)
    if not report.is_held or report.held_until is None or report.held_until <= timezone.now():
        raise InvalidTransition(
            _("There is nothing to recall."),
            asked=_("To take a signature back before delivery."),
            found=_("The report is on its way, or is not signed."),
            todo=_("Correct it with a reason: whoever has it will be told."),
        )
    if report.signed_by_id != user.pk:
        raise NotPermitted(
            _("Only who signed recalls."),
            found=_("Signed by %(who)s.") % {"who": report.signed_by.display_name if report.signed_by else ""},
            todo=_("Ask them, or correct it with a reason."),
        )
    version = report.versions.filter(kind=VersionKind.FINAL).order_by("-number").first()
    assert version is not None  # it is signed
    ReportRecall.objects.create(report_version=version, recalled_by=user, reason=reason.strip()[:200])
    report.move_to(ReportStatus.PRELIMINARY if report.preliminary_by_id else ReportStatus.PARTIAL)
    report.signed_by, report.signed_at, report.held_until = None, None, None
    report.opened_at = timezone.now()
    report.save_as(actor, f"Recalled: {reason}")
    for procedure in procedures:
        orders.mark_report_withdrawn(procedure, actor=actor)
        orders.mark_reading(procedure, actor=actor)
        if report.preliminary_by_id:
            orders.mark_preliminary(procedure, actor=actor)
    claim(procedures, user)
    return report


@service(perms.SIGN_REPORT, action=Action.EXECUTE)
def release_now(report: Report, *, actor: Actor) -> Report:
    """Do not wait for the end of the recall window."""
    return _release(report, actor)


def release_held(report: Report) -> Report:
    """The window has ended. Heard again it does nothing."""
    return _release(report, DISPATCHER)


def _release(report: Report, actor: Actor) -> Report:
    report, procedures = lock_report(report)
    if not report.is_held:
        return report
    report.held_until = None
    report.save_as(actor, "Sent out")
    version = report.versions.filter(kind=VersionKind.FINAL).order_by("-number").first()
    assert version is not None
    send_out(version, procedures, actor=actor)
    return report


@service(perms.SIGN_REPORT, action=Action.UPDATE)
def co_sign(report: Report, *, actor: Actor) -> Report:
    """A second radiologist stands by the newest signed words. The version itself does not change."""
    user = person(actor)
    report, _procedures = lock_report(report)
    standing = report.standing_versions
    if not report.is_signed or not standing:
        raise InvalidTransition(_("Only a signed report is co-signed."), todo=_("Sign it first."))
    version = standing[-1]
    if report.signed_by_id == user.pk or version.signed_by_id == user.pk:
        raise NotPermitted(_("You have signed it yourself."), todo=_("Another radiologist co-signs."))
    known = version.co_signatures.filter(signed_by=user).first()
    if known is not None:
        when = text.stamp(known.signed_at)
        raise InvalidTransition(_("You co-signed it already."), found=_("On %(when)s.") % {"when": when})
    CoSignature.objects.create(
        report_version=version, signed_by=user, signer_name=user.display_name, content_hash=version.content_hash
    )
    report.save_as(actor, "Co-signed")
    return report


@service(perms.SIGN_PRELIMINARY, action=Action.READ)
def mark_changes_seen(report: Report, *, actor: Actor) -> Report:
    """Who signed preliminary has looked at what became of their words."""
    user = person(actor)
    report = Report.locked(report.pk)
    if report.preliminary_by_id != user.pk:
        raise NotPermitted(_("This is not your preliminary report."))
    if report.is_signed and report.changes_seen_at is None:
        report.changes_seen_at = timezone.now()
        report.save_as(actor, "Changes seen")
        record(actor, perms.SIGN_PRELIMINARY, Action.READ, entity=report, detail={"page": "changes"})
    return report
