"""Who, what and for whom, as they are at a signature: what paper and messages will say of it for ever."""

from __future__ import annotations

from typing import Any

from orders.models import RequestedProcedure
from ris.accounts.selectors import facility_settings
from ris.tenants.context import require_facility


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
