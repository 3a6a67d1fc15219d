"""Subscription: asked for, changed and ended (status off), in the words of R4 or of R5."""

from __future__ import annotations

from typing import Any

from interop.fhir.server.call import Call, Resource
from interop.fhir.subscriptions import services
from interop.fhir.subscriptions.topics import TOPICS, topic_of
from interop.fhir.writing.conditional import Made, Writer
from interop.fhir.writing.reading import Problems, moment, text
from interop.models import FhirSubscription, PayloadContent
from interop.permissions import SUBSCRIBE

NAME = "Subscription"
SECRET = "urn:picha:signature-secret"
#: comparators of R5 that are prefixes of search
PREFIXES = ("gt", "lt", "ge", "le", "sa", "eb", "ap", "ne")


def create(call: Call, resource: Resource) -> Made:
    fields = read(call, resource)
    row = services.subscribe_to(release=call.version.name, scopes=_scopes(call), actor=call.actor, **fields)
    return Made(row)


def change(call: Call, row: FhirSubscription, resource: Resource) -> FhirSubscription:
    fields, status = read(call, resource), str(resource.get("status", ""))
    return services.change_subscription(row, status=status, scopes=_scopes(call), actor=call.actor, **fields)


def _scopes(call: Call) -> list[str] | None:
    return sorted(call.actor.scopes) if call.actor.scopes is not None else None


def read(call: Call, resource: Resource) -> dict[str, Any]:
    problems = Problems(NAME)
    if resource.get("status") not in ("requested", "active", "off", "error"):
        problems.add("status", "A subscription is asked for as requested; off ends it.", "value")
    fields: dict[str, Any] = {"reason": text(resource.get("reason"), 200), "contacts": resource.get("contact", [])}
    if resource.get("end"):
        fields["ends_at"] = moment(resource["end"])
    secret = next((row.get("valueString") for row in resource.get("extension", []) if row.get("url") == SECRET), None)
    if secret:
        fields["secret"] = str(secret)
    fields |= _r5(resource, problems) if call.version.is_r5 else _r4(resource, problems)
    problems.raise_if_any()
    return fields


def _r4(resource: Resource, problems: Problems) -> dict[str, Any]:
    channel = resource.get("channel", {})
    if channel.get("type") != "rest-hook":
        problems.add("channel.type", "Only rest-hook is spoken.", "not-supported")
    payload = str(channel.get("payload") or "").partition(";")[0].strip()
    return {
        "criteria": str(resource.get("criteria", "")),
        "endpoint": str(channel.get("endpoint") or ""),
        "headers": channel.get("header", []),
        "content": PayloadContent.FULL_RESOURCE if payload else PayloadContent.EMPTY,
        "content_type": _mime(payload),
    }


def _mime(told: str) -> str:
    names = {"application/json": "application/fhir+json", "application/xml": "application/fhir+xml"}
    return names.get(told, told)


def _r5(resource: Resource, problems: Problems) -> dict[str, Any]:
    topic = topic_of(str(resource.get("topic", "")))
    if topic is None:
        words = f"The topics are {', '.join(one.url for one in TOPICS.values())}."
        problems.add("topic", words, "not-found")
    if resource.get("channelType", {}).get("code") != "rest-hook":
        problems.add("channelType", "Only rest-hook is spoken.", "not-supported")
    kind = str(resource.get("contentType") or "application/fhir+json").partition(";")[0].strip()
    return {
        "topic": topic.key if topic else "",
        "filters": [_filter(row) for row in resource.get("filterBy", [])],
        "endpoint": str(resource.get("endpoint") or ""),
        "headers": [f"{row.get('name', '')}: {row.get('value', '')}" for row in resource.get("parameter", [])],
        "content": resource.get("content", PayloadContent.ID_ONLY),
        "content_type": _mime(kind),
        "heartbeat_seconds": int(resource.get("heartbeatPeriod") or 0),
        "timeout_seconds": int(resource.get("timeout") or 10),
        "max_count": int(resource.get("maxCount") or 1),
    }


def _filter(row: Resource) -> list[str]:
    """``filterBy`` as a search parameter: ``date`` with ``ge`` is ``date=ge…``."""
    name, comparator = str(row.get("filterParameter", "")), str(row.get("comparator") or "")
    if row.get("modifier"):
        name = f"{name}:{row['modifier']}"
    prefix = comparator if comparator in PREFIXES else ""
    kind = str(row.get("resourceType") or row.get("resource") or "").rpartition("/")[2]
    return [kind, name, prefix + str(row.get("value", ""))]


WRITER = Writer(NAME, create, change, rights={"create": SUBSCRIBE, "update": SUBSCRIBE})
