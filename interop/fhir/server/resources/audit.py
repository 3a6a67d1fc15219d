"""AuditEvent: who did what to whose data, through which door."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q, QuerySet

from interop.fhir.server.call import Resource, Version
from interop.fhir.server.params import Asked, Date, Reference, String, To, Token, as_uuid
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.versions import Immutable
from ris.audit.export import as_fhir
from ris.audit.models import Action, AuditEvent, Outcome
from ris.audit.permissions import VIEW_EVENT
from ris.audit.selectors import events_for
from ris.core.actor import Actor

OUTCOMES = "http://terminology.hl7.org/CodeSystem/audit-event-outcome"
#: R5 tells outcomes as severities of an issue
SEVERITIES = {Outcome.SUCCESS: "success", Outcome.REFUSED: "error", Outcome.FAILED: "fatal"}


def events(actor: Actor) -> QuerySet:
    return events_for(actor)


def to_fhir(row: AuditEvent, version: Version) -> Resource:
    made = as_fhir(row)
    del made["resourceType"], made["id"]
    return _r5(made, row) if version.is_r5 else made


def _r5(made: Resource, row: AuditEvent) -> Resource:
    """R5 renames most of it."""
    outcome: Resource = {
        "code": {"system": "http://hl7.org/fhir/issue-severity", "code": SEVERITIES[Outcome(row.outcome)]}
    }
    if made.get("outcomeDesc"):
        outcome["detail"] = [{"text": made["outcomeDesc"]}]
    found: Resource = {
        "category": [{"coding": [made["type"]]}],
        "code": {"coding": made["subtype"]},
        "action": made["action"],
        "recorded": made["recorded"],
        "outcome": outcome,
        "agent": [_agent(one) for one in made["agent"]],
        "source": {
            "observer": made["source"]["observer"],
            "type": [{"coding": [one]} for one in made["source"]["type"]],
        },
    }
    if row.patient:
        found["patient"] = {"reference": f"Patient/{row.patient}"}
    if entities := [_entity(one) for one in made.get("entity", ())]:
        found["entity"] = entities
    return found


def _agent(agent: Resource) -> Resource:
    """``who`` is mandatory; ``altId`` has gone into its display."""
    who = {**agent.get("who", {})}
    if agent.get("altId") or not who:
        who["display"] = agent.get("altId") or "Unknown"
    made = {"who": who, "requestor": agent["requestor"]}
    if "network" in agent:
        made["networkString"] = agent["network"]["address"]
    return made


def _entity(entity: Resource) -> Resource:
    made = {key: entity[key] for key in ("what",) if key in entity}
    if "role" in entity:
        made["role"] = {"coding": [entity["role"]]}
    if details := entity.get("detail"):
        made["detail"] = [{"type": {"text": one["type"]}, "valueString": one["valueString"]} for one in details]
    return made


class Shown(Reference):
    """A patient whose data the event showed, alone or in a list."""

    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q:
        found = Q(pk__in=[])
        for value in values:
            key = as_uuid(value.removeprefix(f"{asked.base}/").removeprefix("Patient/"))
            if key is not None:
                found |= Q(patient=key) | Q(patients__contains=[key])
        return found


AUDIT_EVENT = register(
    ResourceType(
        "AuditEvent",
        (VIEW_EVENT,),
        (
            Source(
                AuditEvent,
                events,
                lambda rows: rows,
                to_fhir,
                (
                    Shown("patient", to=(To("Patient", "patient", by_uuid=True),)),
                    Date("date", at="recorded_at", sort="recorded_at"),
                    Token("action", at="action", codes={value: [value] for value in Action.values}),
                    Token("outcome", at="outcome", codes={str(value): [value] for value in Outcome.values}),
                    Token("subtype", at="event_type", doc="The service, as orders.create_order (R5: code)."),
                    Token("source", at="source", doc="The door: web, api, fhir, mwl, hl7 …"),
                    String("agent-name", at=("user_name", "ae_title")),
                    Token("address", at="address"),
                ),
                Immutable("recorded_at"),
                updated="recorded_at",
            ),
        ),
        doc="The audit trail. Reading it is recorded as well.",
    )
)
