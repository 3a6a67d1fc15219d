"""Provenance of what was written by FHIR: who, when, what, read off the audit trail.

One's own writes for everybody; all of them for who may look at the audit trail. Of a row, not of one of its versions.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from interop.fhir.server.call import Resource, Version
from interop.fhir.server.params import Date, PartReference, Reference, To
from interop.fhir.server.registry import Source
from interop.fhir.server.resources.common import coded, kept, moment
from interop.fhir.server.resources.reports import AGENT_TYPES, OPERATIONS, PROVENANCE
from interop.fhir.server.versions import Immutable
from ris.audit.models import Action, AuditEvent, Outcome
from ris.audit.permissions import VIEW_EVENT
from ris.core.actor import Actor

#: What an audit row speaks of -> the resource type that it is told as
TARGETS = {
    "orders.patient": "Patient",
    "orders.requestedprocedure": "ServiceRequest",
    "worklist.reservation": "Appointment",
    "worklist.scheduledprocedurestep": "Task",
    "orders.document": "DocumentReference",
    "interop.fhirsubscription": "Subscription",
}
ACTIONS = {Action.CREATE: ("CREATE", "create"), Action.UPDATE: ("UPDATE", "revise")}
ENTERER = ("enterer", "Enterer")


def writes(actor: Actor) -> QuerySet:
    found = AuditEvent.objects.filter(
        source="fhir", action__in=list(ACTIONS), outcome=Outcome.SUCCESS, entity__isnull=False, entity_type__in=TARGETS
    )
    if actor.may(VIEW_EVENT):
        return found
    return found.filter(user=actor.user.uuid) if actor.user is not None else found.none()


def to_fhir(row: AuditEvent, version: Version) -> Resource:
    code = ACTIONS[Action(row.action)]
    reason = {"text": row.reason} if row.reason else None
    made: dict[str, Any] = kept(
        target=[{"reference": f"{TARGETS[row.entity_type]}/{row.entity}"}],
        occurredDateTime=moment(row.recorded_at),
        recorded=moment(row.recorded_at),
        activity=coded(OPERATIONS, *code),
        agent=[{"type": coded(AGENT_TYPES, *ENTERER), "who": {"display": row.user_name or row.ae_title or "system"}}],
    )
    if reason:
        made |= {"authorization": [{"concept": reason}]} if version.is_r5 else {"reason": [reason]}
    return made


def loaded(rows: QuerySet) -> QuerySet:
    return rows


PROVENANCE.sources = (
    *PROVENANCE.sources,
    Source(
        AuditEvent,
        writes,
        loaded,
        to_fhir,
        (
            PartReference("target", to=tuple(To(name, "entity", by_uuid=True) for name in TARGETS.values())),
            Reference("patient", to=(To("Patient", "patient", by_uuid=True),)),
            Date("recorded", at="recorded_at", sort="recorded_at"),
        ),
        Immutable("recorded_at"),
        updated="recorded_at",
    ),
)
