"""Signatures. Each freezes a version that never changes again; later ones add or correct, earlier ones stay."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import Priority, RequestedProcedure
from reporting import permissions as perms
from reporting.events import ReportAmended, ReportFinalized, ReportPreliminary
from reporting.models import Report, ReportStatus, ReportVersion, VersionKind
from reporting.services.checks import BLOCK, checks_of
from reporting.services.deliveries import plan_deliveries
from reporting.services.locks import drop_locks, lock_report, person, refuse_if_held
from reporting.services.snapshot import identity_snapshot
from reporting.services.viewer_guard import viewer_study_of
from reporting.services.writing import already_signed, check_revision, clean_sections, write_sections
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import DomainError, InvalidData, InvalidTransition
from ris.events.bus import publish

#: These checks stop a preliminary signature too.
FOR_PRELIMINARY = frozenset(
    {"empty_impression", "template_residue", "patient_changed", "viewer_mismatch", "form_required"}
)
FOR_CORRECTION = frozenset(
    {"empty_impression", "template_residue", "laterality", "viewer_mismatch", "assessment_mismatch"}
)


class ChecksFailed(DomainError):
    """Something stands in the way of a signature; ``errors`` maps sections to what is wrong there."""

    code = "checks_failed"


def _freeze(
    report: Report,
    procedures: list[RequestedProcedure],
    kind: VersionKind,
    actor: Actor,
    *,
    addendum: str = "",
    reason: str = "",
) -> ReportVersion:
    user = person(actor)
    latest = report.versions.order_by("-number").values_list("number", flat=True).first() or 0
    version = ReportVersion(
        report=report,
        number=latest + 1,
        kind=kind,
        status=report.status,
        sections=dict(report.sections),
        assessments=[row.as_data() for row in report.assessments.standing()],
        recalls=report.versions.filter(recall__isnull=False).count(),
        addendum=addendum,
        reason=reason[:500],
        identity=identity_snapshot(procedures),
        signed_by=user,
        signer_name=user.display_name,
        signed_at=timezone.now(),
    )
    version.content_hash = version.compute_hash()
    version.save()
    return version


def _refuse_failed_checks(
    report: Report, actor: Actor, viewer_study: str = "", *, only: frozenset[str] | None = None
) -> None:
    """``viewer_study``: what the page says that the viewer in it shows; else what the viewer itself told last."""
    checks = checks_of(report, viewer_study=viewer_study or viewer_study_of(actor))
    failed = [check for check in checks if check.level == BLOCK and (only is None or check.code in only)]
    if not failed:
        return
    errors: dict[str, list[str]] = {}
    for check in failed:
        errors.setdefault(check.target or "report", []).append(f"{check.title} {check.detail}".strip())
    raise ChecksFailed(
        str(failed[0].title) if len(failed) == 1 else _("%(count)d checks stop signing.") % {"count": len(failed)},
        asked=_("To sign a report."),
        found=" ".join(str(check.title) for check in failed),
        todo=_("Fill in or change what is named, then sign again."),
        errors=errors,
    )


def _about_to_sign(
    report: Report, actor: Actor, sections: Mapping[str, str] | None, revision: int | None
) -> tuple[Report, list[RequestedProcedure]]:
    """The report and its exams, locked; refused when signed already, held by another, or changed meanwhile."""
    user = person(actor)
    report, procedures = lock_report(report)
    if report.is_signed:
        raise already_signed(report)
    if report.status in (ReportStatus.CANCELLED, ReportStatus.ENTERED_IN_ERROR):
        raise InvalidTransition(_("This report is closed."), todo=_("Open the exam again from the reading list."))
    refuse_if_held(procedures, user)
    check_revision(report, revision)
    if sections is not None:
        write_sections(report, sections, actor)
    return report, procedures


@service(perms.SIGN_PRELIMINARY, action=Action.UPDATE)
def sign_preliminary(
    report: Report,
    *,
    sections: Mapping[str, str] | None = None,
    revision: int | None = None,
    viewer_study: str = "",
    actor: Actor,
) -> Report:
    """A first reading that others may act on; a radiologist signs it final."""
    report, procedures = _about_to_sign(report, actor, sections, revision)
    _refuse_failed_checks(report, actor, viewer_study, only=FOR_PRELIMINARY)
    report.move_to(ReportStatus.PRELIMINARY)
    report.preliminary_by, report.preliminary_at = person(actor), timezone.now()
    report.save_as(actor, "Signed preliminary")
    version = _freeze(report, procedures, VersionKind.PRELIMINARY, actor)
    drop_locks(procedures)
    for procedure in procedures:
        orders.mark_preliminary(procedure, actor=actor)
    publish(
        ReportPreliminary(str(report.uuid), procedures[0].accession_number, version.number, str(version.uuid)),
        actor=actor,
    )
    plan_deliveries(version, actor=actor)
    return report


@service(perms.SIGN_REPORT, action=Action.UPDATE)
def sign_report(
    report: Report,
    *,
    sections: Mapping[str, str] | None = None,
    revision: int | None = None,
    viewer_study: str = "",
    at_once: bool = False,
    actor: Actor,
) -> Report:
    """The final signature, over a draft or a preliminary one. Of racing signatures one wins; the others hear whose.

    With a recall window in the facility nothing leaves before it ends, unless ``at_once`` or the exam is STAT.
    The edge asks for recent authentication first (``ris.accounts.services.require_recent_authentication``).
    Raises ChecksFailed, RevisionConflict, HeldByAnother, Conflict when signed already.
    """
    report, procedures = _about_to_sign(report, actor, sections, revision)
    _refuse_failed_checks(report, actor, viewer_study)
    report.move_to(ReportStatus.FINAL)
    report.signed_by, report.signed_at = person(actor), timezone.now()
    report.held_until = _held_until(report, procedures, at_once)
    report.save_as(actor, "Signed, held for recall" if report.is_held else "Signed")
    version = _freeze(report, procedures, VersionKind.FINAL, actor)
    drop_locks(procedures)
    for procedure in procedures:
        orders.mark_verified(procedure, actor=actor)
    if not report.is_held:
        send_out(version, procedures, actor=actor)
    return report


def _held_until(report: Report, procedures: list[RequestedProcedure], at_once: bool) -> datetime | None:
    """When the recall window ends; None when there is none, or the result may not wait."""
    minutes = facility_settings().recall_minutes
    waits_not = at_once or any(row.order.priority == Priority.STAT for row in procedures)
    has_alert = report.critical_results.exclude(status="withdrawn").exists()
    if not minutes or waits_not or has_alert or report.signed_at is None:
        return None
    return report.signed_at + timedelta(minutes=minutes)


def send_out(version: ReportVersion, procedures: list[RequestedProcedure], *, actor: Actor) -> None:
    """A final version leaves: others hear of it, and the ledger is written."""
    publish(
        ReportFinalized(str(version.report.uuid), procedures[0].accession_number, version.number, str(version.uuid)),
        actor=actor,
    )
    plan_deliveries(version, actor=actor)


def _amend(
    report: Report,
    procedures: list[RequestedProcedure],
    kind: VersionKind,
    actor: Actor,
    *,
    addendum: str = "",
    reason: str = "",
    has_left: bool = True,
    replaces_held: bool = False,
) -> Report:
    """``has_left`` is False when no earlier version was ever sent: then nobody needs to hear.

    ``replaces_held``: the version before waits for the end of its recall window; this one leaves in its place.
    """
    version = _freeze(report, procedures, kind, actor, addendum=addendum, reason=reason)
    for procedure in procedures:
        if kind == VersionKind.RETRACTION:
            orders.mark_report_withdrawn(procedure, actor=actor)
        else:
            orders.mark_amended(procedure, actor=actor)
    if replaces_held:
        send_out(version, procedures, actor=actor)
        return report
    if not has_left:
        return report
    event = ReportAmended(
        str(report.uuid), procedures[0].accession_number, version.number, str(version.uuid), kind=str(kind)
    )
    publish(event, actor=actor)
    plan_deliveries(version, actor=actor)
    return report


def _signed(report: Report) -> tuple[Report, list[RequestedProcedure], bool]:
    """Report and exams, locked, and whether it was held; that ends here: what is written now leaves in its place."""
    report, procedures = lock_report(report)
    was_held, report.held_until = report.is_held, None
    if not report.is_signed:
        raise InvalidTransition(
            _("This report is not signed."),
            asked=_("To change a signed report."),
            found=_("It is: %(status)s.") % {"status": report.get_status_display()},
            todo=_("Write in the report itself, then sign it."),
        )
    return report, procedures, was_held


@service(perms.SIGN_REPORT, action=Action.UPDATE)
def add_addendum(report: Report, *, text: str, actor: Actor) -> Report:
    """Add to what was signed, which stays word for word; a new version, told to all who got an earlier one.

    Within the recall window both leave as one, at once: the signed words with the addendum.
    """
    words = clean_sections({"findings": text})["findings"].strip()
    if not words:
        raise InvalidData(_("The addendum is empty."), errors={"text": _("Needed.")})
    report, procedures, was_held = _signed(report)
    report.move_to(ReportStatus.APPENDED)
    report.save_as(actor, "Addendum")
    return _amend(report, procedures, VersionKind.ADDENDUM, actor, addendum=words, replaces_held=was_held)


@service(perms.SIGN_REPORT, action=Action.UPDATE)
def correct_report(report: Report, *, sections: Mapping[str, str], reason: str, actor: Actor) -> Report:
    """Replace what was signed by a new version, with the reason; the earlier one stays readable beside it.

    Within the recall window the wrong version never leaves: the corrected one goes out instead, at once.
    """
    if not reason.strip():
        raise InvalidData(_("Say why it is corrected."), errors={"reason": _("Needed.")})
    report, procedures, was_held = _signed(report)
    if not write_sections(report, sections, actor):
        raise InvalidData(
            _("Nothing differs from what was signed."), errors={"sections": [_("Change what is to be corrected.")]}
        )
    _refuse_failed_checks(report, actor, only=FOR_CORRECTION)
    report.move_to(ReportStatus.CORRECTED)
    report.signed_by, report.signed_at = person(actor), timezone.now()
    report.save_as(actor, f"Corrected: {reason}")
    return _amend(report, procedures, VersionKind.CORRECTION, actor, reason=reason, replaces_held=was_held)


@service(perms.SIGN_REPORT, action=Action.UPDATE)
def retract_report(report: Report, *, reason: str, actor: Actor) -> Report:
    """Entered in error: this report is none. The exam goes back to the reading list; whoever got it is told."""
    if not reason.strip():
        raise InvalidData(_("Say why it is retracted."), errors={"reason": _("Needed.")})
    report, procedures = lock_report(report)
    was_preliminary = report.versions.filter(kind=VersionKind.PRELIMINARY).exists()  # that never waited
    has_left, report.held_until = was_preliminary or not report.is_held, None
    report.move_to(ReportStatus.ENTERED_IN_ERROR)
    report.save_as(actor, f"Entered in error: {reason}")
    drop_locks(procedures)
    return _amend(report, procedures, VersionKind.RETRACTION, actor, reason=reason, has_left=has_left)
