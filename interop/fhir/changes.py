"""A resource has changed: whoever has subscribed to it is told, and servers that take it are sent it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interop.fhir.pushing import PUSHED, push
from interop.fhir.subscriptions.hearing import hear
from interop.fhir.subscriptions.topics import TOPICS, Topic
from ris.events.bus import Event, subscribe


def _handler(topic: Topic, subjects: Callable[[Any], list[str]]) -> Callable[[Any], None]:
    def on_change(event: Any) -> None:
        for uuid in dict.fromkeys(subjects(event)):
            hear(topic, uuid)
            if topic.resource in PUSHED:
                push(topic.resource, uuid)

    on_change.__qualname__ = f"on_change.{topic.key}"
    return on_change


def _listen(topic: Topic, event_class: type[Event], subjects: Callable[[Any], list[str]]) -> None:
    subscribe(event_class, name=f"interop.fhir_{topic.key}")(_handler(topic, subjects))


def listen() -> None:
    """Every topic to the events that speak of it."""
    for topic in TOPICS.values():
        for event_class, subjects in topic.events.items():
            _listen(topic, event_class, subjects)
