"""SubscriptionTopic (R5): what may be subscribed to. Made from the code; nothing is stored."""

from __future__ import annotations

from interop.fhir.server.call import Answer, Call
from interop.fhir.server.errors import Refused
from interop.fhir.subscriptions.topics import TOPICS, resource_of, topic_of

DOC = "What may be subscribed to. Read by everybody who is signed in."


def answered(call: Call) -> Answer:
    """``SubscriptionTopic``, by ``url``, and ``SubscriptionTopic/{id}``."""
    rest = call.path[1:]
    if len(rest) == 1 and rest[0] in TOPICS:
        return Answer(resource_of(TOPICS[rest[0]], call.base))
    if rest:
        raise Refused(404, "There is no such topic.")
    unknown = [name for name, _value in call.params if name not in ("url", "_id", "_format", "_pretty", "_count")]
    if unknown:
        raise Refused(400, f"Topics are searched by _id and url, not by {unknown[0][:40]}.", issue="not-supported")
    found = list(TOPICS.values())
    if call.param("url"):
        found = [one for one in (topic_of(call.param("url")),) if one is not None]
    if call.param("_id"):
        found = [one for one in found if one.key == call.param("_id")]
    entries = [
        {
            "fullUrl": call.url("SubscriptionTopic", one.key),
            "resource": resource_of(one, call.base),
            "search": {"mode": "match"},
        }
        for one in found
    ]
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return Answer({**bundle, **({"entry": entries} if entries else {})})
