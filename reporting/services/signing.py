"""Signatures. Each freezes a version that never changes again; later ones add or correct, earlier ones stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from reporting import permissions as perms
from reporting.events import ReportAmended, ReportFinalized, ReportPreliminary
from reporting.models import Report, ReportStatus, ReportVersion, VersionKind
from reporting.services.checks import BLOCK, checks_of
from reporting.services.deliveries import plan_deliveries
from reporting.services.locks import drop_locks, lock_report, person, refuse_if_held
from reporting.services.writing import already_signed, check_revision, clean_sections, write_sections
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import DomainError, InvalidData, InvalidTransition
from ris.events.bus import publish
from ris.tenants.context import require_facility

S = ProcedureStatus
VERIFIED = (S.FINAL, S.AMENDED, S.DISTRIBUTED)


class ChecksFailed(DomainError):
    """Something stands in the way of a signature; ``errors`` maps sections to what is wrong there."""

    code = "checks_failed"


def identity_snapshot(procedures: list[RequestedProcedure]) -> dict[str, Any]:
    """Patient, identifiers, exams, requester, alerts as they are now: what paper and messages will say."""
    order = procedures[0].order
    patient = order.patient
    requester = order.requester
    copies = {practitioner for procedure in procedures for practitioner in procedure.order.copies_to.all()}
    settings = facility_settings()
    return {
        "facility": {"name": require_facility().name, "letterhead": settings.letterhead},
        "patient": {
            "uuid": str(patient.uuid),
            **{
                part: getattr(patient, part)
                for part in (
                    "family_name",
                    "given_name",
                    "middle_name",
                    "prefix",
                    "suffix",
                    "ideographic_name",
                    "phonetic_name",
                )
            },
            "name": patient.display_name,
            "birth_date": patient.birth_date.isoformat() if patient.birth_date else "",
            "birth_date_is_estimated": patient.birth_date_is_estimated,
            "sex": patient.sex,
            "identifier": getattr(patient.primary_identifier, "value", ""),
            "issuer": getattr(patient.primary_identifier, "issuer", ""),
            "identifiers": [
                {"value": row.value, "issuer": row.issuer, "type": row.type, "use": row.use}
                for row in patient.identifiers.all()
            ],
        },
        "order": {
            "uuid": str(order.uuid),
            "priority": order.priority,
            "indication": order.indication,
            "placer_order_number": order.placer_order_number,
            "filler_order_number": order.filler_order_number,
            "site": order.site.name if order.site else "",
        },
        "requester": _practitioner(requester) if requester else None,
        "copies_to": [_practitioner(row) for row in sorted(copies, key=lambda row: row.pk)],
        "procedures": [_exam(procedure) for procedure in procedures],
        "critical_results": _told(procedures),
    }


def _practitioner(row: Any) -> dict[str, str]:
    names = {part: getattr(row, part) for part in ("family_name", "given_name", "prefix", "suffix")}
    return {
        "uuid": str(row.uuid),
        "name": row.display_name,
        "identifier": row.identifier,
        "issuer": row.issuer,
        "organisation": row.organisation,
        **names,
    }


def _exam(procedure: RequestedProcedure) -> dict[str, str]:
    moment = procedure.performed_at or procedure.started_at
    return {
        "uuid": str(procedure.uuid),
        "accession_number": procedure.accession_number,
        "study_instance_uid": procedure.study_instance_uid,
        "code": procedure.code,
        "code_scheme": procedure.code_scheme,
        "description": procedure.description,
        "laterality": procedure.laterality,
        "modality": procedure.modality,
        "performed_at": moment.isoformat() if moment else "",
    }


def _told(procedures: list[RequestedProcedure]) -> list[dict[str, Any]]:
    """Critical results that were communicated before this signature."""
    told = []
    for procedure in procedures:
        for critical in procedure.critical_results.exclude(status="withdrawn").prefetch_related("attempts__by"):
            reached = [row for row in critical.attempts.all() if row.outcome == "reached"]
            last = reached[-1] if reached else None
            told.append(
                {
                    "category": critical.category,
                    "finding": critical.finding,
                    "found_at": critical.found_at.isoformat(),
                    "told": last.person if last else "",
                    "channel": last.channel if last else "",
                    "told_at": last.at.isoformat() if last else "",
                    "told_by": last.by.display_name if last and last.by else "",
                    "read_back": bool(last and last.read_back),
                }
            )
    return told


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


def _refuse_failed_checks(report: Report, *, only: frozenset[str] | None = None) -> None:
    failed = [check for check in checks_of(report) if check.level == BLOCK and (only is None or check.code in only)]
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
    report: Report, *, sections: Mapping[str, str] | None = None, revision: int | None = None, actor: Actor
) -> Report:
    """A first reading that others may act on; a radiologist signs it final."""
    report, procedures = _about_to_sign(report, actor, sections, revision)
    _refuse_failed_checks(report, only=frozenset({"empty_impression", "template_residue", "patient_changed"}))
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
    report: Report, *, sections: Mapping[str, str] | None = None, revision: int | None = None, actor: Actor
) -> Report:
    """The final signature, over a draft or a preliminary one. Of racing signatures one wins; the others hear whose.

    The edge asks for recent authentication first (``ris.accounts.services.require_recent_authentication``).
    Raises ChecksFailed, RevisionConflict, HeldByAnother, Conflict when signed already.
    """
    report, procedures = _about_to_sign(report, actor, sections, revision)
    _refuse_failed_checks(report)
    report.move_to(ReportStatus.FINAL)
    report.signed_by, report.signed_at = person(actor), timezone.now()
    report.save_as(actor, "Signed")
    version = _freeze(report, procedures, VersionKind.FINAL, actor)
    drop_locks(procedures)
    for procedure in procedures:
        orders.mark_verified(procedure, actor=actor)
    publish(
        ReportFinalized(str(report.uuid), procedures[0].accession_number, version.number, str(version.uuid)),
        actor=actor,
    )
    plan_deliveries(version, actor=actor)
    return report


def _amend(
    report: Report,
    procedures: list[RequestedProcedure],
    kind: VersionKind,
    actor: Actor,
    *,
    addendum: str = "",
    reason: str = "",
) -> Report:
    version = _freeze(report, procedures, kind, actor, addendum=addendum, reason=reason)
    for procedure in procedures:
        if kind == VersionKind.RETRACTION:
            orders.mark_report_withdrawn(procedure, actor=actor)
        else:
            orders.mark_amended(procedure, actor=actor)
    event = ReportAmended(
        str(report.uuid), procedures[0].accession_number, version.number, str(version.uuid), kind=str(kind)
    )
    publish(event, actor=actor)
    plan_deliveries(version, actor=actor)
    return report


def _signed(report: Report) -> tuple[Report, list[RequestedProcedure]]:
    report, procedures = lock_report(report)
    if not report.is_signed:
        raise InvalidTransition(
            _("This report is not signed."),
            asked=_("To change a signed report."),
            found=_("It is: %(status)s.") % {"status": report.get_status_display()},
            todo=_("Write in the report itself, then sign it."),
        )
    return report, procedures


@service(perms.SIGN_REPORT, action=Action.UPDATE)
def add_addendum(report: Report, *, text: str, actor: Actor) -> Report:
    """Add to what was signed, which stays word for word; a new version, told to all who got an earlier one."""
    words = clean_sections({"findings": text})["findings"].strip()
    if not words:
        raise InvalidData(_("The addendum is empty."), errors={"text": _("Needed.")})
    report, procedures = _signed(report)
    report.move_to(ReportStatus.APPENDED)
    report.save_as(actor, "Addendum")
    return _amend(report, procedures, VersionKind.ADDENDUM, actor, addendum=words)


@service(perms.SIGN_REPORT, action=Action.UPDATE)
def correct_report(report: Report, *, sections: Mapping[str, str], reason: str, actor: Actor) -> Report:
    """Replace what was signed by a new version, with the reason; the earlier one stays readable beside it."""
    if not reason.strip():
        raise InvalidData(_("Say why it is corrected."), errors={"reason": _("Needed.")})
    report, procedures = _signed(report)
    if not write_sections(report, sections, actor):
        raise InvalidData(
            _("Nothing differs from what was signed."), errors={"sections": [_("Change what is to be corrected.")]}
        )
    _refuse_failed_checks(report, only=frozenset({"empty_impression", "template_residue", "laterality"}))
    report.move_to(ReportStatus.CORRECTED)
    report.signed_by, report.signed_at = person(actor), timezone.now()
    report.save_as(actor, f"Corrected: {reason}")
    return _amend(report, procedures, VersionKind.CORRECTION, actor, reason=reason)


@service(perms.SIGN_REPORT, action=Action.UPDATE)
def retract_report(report: Report, *, reason: str, actor: Actor) -> Report:
    """Entered in error: this report is none. The exam goes back to the reading list, the recipients are told."""
    if not reason.strip():
        raise InvalidData(_("Say why it is retracted."), errors={"reason": _("Needed.")})
    report, procedures = lock_report(report)
    report.move_to(ReportStatus.ENTERED_IN_ERROR)
    report.save_as(actor, f"Entered in error: {reason}")
    drop_locks(procedures)
    return _amend(report, procedures, VersionKind.RETRACTION, actor, reason=reason)
