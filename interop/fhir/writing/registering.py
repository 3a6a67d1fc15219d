"""Gives the server what changes its resources. Called once, when the resource types are loaded."""

from __future__ import annotations

from functools import partial

from interop.fhir.server.call import Answer, Call
from interop.fhir.server.capability import security_parts
from interop.fhir.server.registry import ResourceType, Virtual, system_handlers, virtual_types
from interop.fhir.smart.guard import told
from interop.fhir.subscriptions.catalogue import DOC as TOPICS_DOC
from interop.fhir.subscriptions.catalogue import answered as topics_answered
from interop.fhir.writing import bundles, documents, orders, patients, reports, schedule, subscriptions
from interop.fhir.writing.conditional import Writer
from interop.fhir.writing.validating import validate

WRITERS: tuple[Writer, ...] = (
    patients.WRITER,
    orders.WRITER,
    *schedule.WRITERS,
    documents.WRITER,
    reports.WRITER,
    subscriptions.WRITER,
)


def give(types: dict[str, ResourceType]) -> None:
    """Handlers to the types that there are, ``$validate`` to each, and bundles to the base."""
    for writer in WRITERS:
        kind = types.get(writer.name)
        if kind is not None:
            kind.handlers.update(writer.handlers())
            kind.write_permissions.update(writer.rights or {})
    for kind in types.values():
        kind.operations.setdefault("validate", partial(_on_instance, kind))
        kind.type_operations.setdefault("validate", partial(_on_type, kind))
    system_handlers[("POST", "")] = bundles.answered
    security_parts[:] = [told]
    virtual_types["SubscriptionTopic"] = Virtual("SubscriptionTopic", topics_answered, ("r5",), TOPICS_DOC)


def _on_instance(kind: ResourceType, call: Call, row: object) -> Answer:
    return validate(kind, call, row)


def _on_type(kind: ResourceType, call: Call) -> Answer:
    return validate(kind, call)
