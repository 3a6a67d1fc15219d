"""Subscription, of R4 by criteria and of R5 by topic; SubscriptionTopic is ``interop.fhir.subscriptions.topics``'s."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from interop.fhir.server.call import Answer, Call, Resource, Version
from interop.fhir.server.errors import Refused
from interop.fhir.server.params import Token, Uri, whole_number
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.resources.common import kept, moment
from interop.fhir.subscriptions.notifications import status_of
from interop.fhir.subscriptions.services import HIDDEN, visible_to
from interop.fhir.subscriptions.topics import TOPICS
from interop.models import FhirSubscription, NotificationKind, PayloadContent, SubscriptionStatus
from interop.permissions import SUBSCRIBE, VIEW_INTERFACES

CHANNEL_TYPE = "http://terminology.hl7.org/CodeSystem/subscription-channel-type"
MOST_EVENTS = 100


def hidden_headers(row: FhirSubscription) -> list[str]:
    """Their names; what stands in them is told to the receiver only."""
    return [line.partition(":")[0] for line in row.headers.splitlines()]


def to_fhir(row: FhirSubscription, version: Version) -> Resource | None:
    """None in the other release: what was asked for in one is not told in the words of the other."""
    if row.release != version.name:
        return None
    common = {"status": str(row.status), "contact": row.contacts, "end": moment(row.ends_at), "reason": row.reason}
    return kept(**common, **(_r5(row) if version.is_r5 else _r4(row)))


def _r4(row: FhirSubscription) -> Resource:
    is_full = row.content == PayloadContent.FULL_RESOURCE
    channel = kept(
        type="rest-hook",
        endpoint=row.endpoint,
        payload=row.content_type if is_full else None,
        header=[f"{name}: {HIDDEN}" for name in hidden_headers(row)],
    )
    return {"criteria": row.criteria, "error": row.last_error, "channel": channel}


def _r5(row: FhirSubscription) -> Resource:
    return {
        "topic": TOPICS[row.topic].url,
        "filterBy": [
            kept(
                resourceType=kind, filterParameter=name.partition(":")[0], modifier=name.partition(":")[2], value=value
            )
            for kind, name, value in row.filters
        ],
        "channelType": {"system": CHANNEL_TYPE, "code": "rest-hook"},
        "endpoint": row.endpoint,
        "parameter": [{"name": name, "value": HIDDEN} for name in hidden_headers(row)],
        "heartbeatPeriod": row.heartbeat_seconds or None,
        "timeout": row.timeout_seconds,
        "contentType": row.content_type,
        "content": str(row.content),
        "maxCount": row.max_count,
    }


def _status(call: Call, row: Any) -> Answer:
    """``$status`` (R5): how it stands, as a bundle of one."""
    _of_r5(call)
    status = status_of(row, "query-status", call.base)
    entry = {"fullUrl": f"urn:uuid:{status['id']}", "resource": status, "search": {"mode": "match"}}
    return Answer({"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [entry]})


def _events(call: Call, row: Any) -> Answer:
    """``$events`` (R5): what was told, or is still to be, by number; identifiers only, as in a notification."""
    _of_r5(call)
    found = row.notifications.filter(kind=NotificationKind.EVENT).order_by("number")
    for name, lookup in (("eventsSinceNumber", "number__gte"), ("eventsUntilNumber", "number__lte")):
        text = call.param(name)
        if text:
            found = found.filter(**{lookup: whole_number(text, name)})
    status = status_of(row, "query-event", call.base, [(note, {}) for note in found[:MOST_EVENTS]])
    entry = {"fullUrl": f"urn:uuid:{status['id']}", "resource": status}
    return Answer(
        {
            "resourceType": "Bundle",
            "type": "subscription-notification",
            "timestamp": timezone.now().isoformat(),
            "entry": [entry],
        }
    )


def _of_r5(call: Call) -> None:
    if not call.version.is_r5:
        raise Refused(404, "R4 has no such operation on a Subscription.", issue="not-supported")


SUBSCRIPTION = register(
    ResourceType(
        "Subscription",
        (SUBSCRIBE, VIEW_INTERFACES),
        (
            Source(
                FhirSubscription,
                visible_to,
                lambda rows: rows.select_related("owner"),
                to_fhir,
                (
                    Token("status", at="status", codes={str(value): [value] for value in SubscriptionStatus.values}),
                    Uri("url", at="endpoint"),
                ),
            ),
        ),
        doc="One's own subscriptions over REST hooks, each in the release that it was asked for in.",
        operations={"status": _status, "events": _events},
    )
)
