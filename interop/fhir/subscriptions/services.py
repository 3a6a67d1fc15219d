"""Subscriptions asked for, changed, paused, begun again and ended."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.fhir.asking import exists, may_see
from interop.fhir.server.errors import Refused
from interop.fhir.subscriptions.ending import bind, over_because
from interop.fhir.subscriptions.topics import BY_RESOURCE, TOPICS
from interop.models import (
    FhirNotification,
    FhirRelease,
    FhirSubscription,
    NotificationKind,
    NotificationStatus,
    PayloadContent,
    SubscriptionStatus,
)
from interop.webhooks.signing import PREFIX
from orders.validation import Errors
from ris.accounts.outbound import check_host
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, NotPermitted

S = SubscriptionStatus
FIELDS = frozenset(
    {
        "reason", "topic", "criteria", "filters", "endpoint", "headers", "secret", "content", "content_type",
        "heartbeat_seconds", "timeout_seconds", "max_count", "contacts", "ends_at",
    }
)  # fmt: skip
CONTENT_TYPES = ("", "application/fhir+json", "application/fhir+xml")
#: Header lines that the connection itself needs, or that would smuggle something.
RESERVED = {"host", "content-length", "content-type", "transfer-encoding", "connection", "te", "upgrade", "expect"}
HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}):[ \t]*([\x20-\x7e]{0,2000})")
#: What a header is shown as; given back, it stays as it is.
HIDDEN = "***"
SHORTEST_HEARTBEAT = 10


def visible_to(actor: Actor) -> QuerySet[FhirSubscription]:
    """Those of the actor's own; all of them for who looks after the interfaces."""
    found = FhirSubscription.objects.select_related("owner").order_by("-pk")
    if actor.may(perms.VIEW_INTERFACES):
        return found
    return found.filter(owner=actor.user) if actor.user is not None and actor.may(perms.SUBSCRIBE) else found.none()


def subscriptions(*, actor: Actor) -> QuerySet[FhirSubscription]:
    """With what waits for each."""
    found = visible_to(actor)
    pending = Q(notifications__status=NotificationStatus.PENDING)
    return found.annotate(
        waiting=Count("notifications", filter=pending),
        parked=Count("notifications", filter=Q(notifications__status=NotificationStatus.PARKED)),
        oldest=Min("notifications__occurred_at", filter=pending),
    )


@service(perms.SUBSCRIBE, action=Action.CREATE)
def subscribe_to(*, release: str, scopes: Iterable[str] | None = None, actor: Actor, **fields: Any) -> FhirSubscription:
    """Ask to be told. What is told is what ``actor`` may see, and no more: ``scopes`` are those of the credential.

    R4 is active at once; R5 when its receiver has answered the handshake.
    """
    if actor.user is None:
        raise NotPermitted(_("A subscription belongs to somebody."))
    row = FhirSubscription(release=FhirRelease(release), owner=actor.user)
    row.owner_scopes = list(scopes) if scopes is not None else None
    bind(row, actor)
    _apply(row, fields)
    _check_right(row, actor)
    row.save_as(actor, _("Subscription asked for"))
    _begin(row, actor)
    return row


@service(perms.SUBSCRIBE)
def change_subscription(
    row: FhirSubscription, *, status: str = "", scopes: Iterable[str] | None = None, actor: Actor, **fields: Any
) -> FhirSubscription:
    """Another address, other criteria. ``status``: ``off`` ends it, ``requested`` or ``active`` begins it again."""
    row = FhirSubscription.locked(row.pk)
    _refuse_others(row, actor)
    before = row.endpoint
    if actor.user is not None and row.owner_id == actor.user.pk and scopes is not None:
        row.owner_scopes = list(scopes)
        bind(row, actor)
    _apply(row, fields)
    if row.owner_id == getattr(actor.user, "pk", None):
        _check_right(row, actor)
    row.save_as(actor, _("Subscription changed"))
    if status == S.OFF:
        return _end(row, actor)
    if status in (S.REQUESTED, S.ACTIVE) and (row.status in (S.OFF, S.ERROR) or row.endpoint != before):
        _begin(row, actor)
    return row


@service(perms.SUBSCRIBE)
def begin_again(row: FhirSubscription, *, actor: Actor) -> FhirSubscription:
    """After an error, or after it was switched off: what waits goes out."""
    row = FhirSubscription.locked(row.pk)
    _refuse_others(row, actor)
    _begin(row, actor)
    return row


@service(perms.SUBSCRIBE)
def pause_subscription(row: FhirSubscription, *, actor: Actor) -> FhirSubscription:
    """Nothing goes out; what happens meanwhile waits in its order."""
    return _set_paused(row, True, _("Paused"), actor)


@service(perms.SUBSCRIBE)
def resume_subscription(row: FhirSubscription, *, actor: Actor) -> FhirSubscription:
    return _set_paused(row, False, _("Resumed"), actor)


@service(perms.SUBSCRIBE)
def end_subscription(row: FhirSubscription, *, actor: Actor) -> FhirSubscription:
    """Switched off; what waits is not sent any more."""
    row = FhirSubscription.locked(row.pk)
    _refuse_others(row, actor)
    return _end(row, actor)


def _refuse_others(row: FhirSubscription, actor: Actor) -> None:
    """One's own, or everybody's for who manages the interfaces."""
    is_own = actor.user is not None and row.owner_id == actor.user.pk
    if not is_own and not actor.may(perms.MANAGE_INTERFACES):
        raise NotPermitted(_("This subscription is somebody else's."))


def _set_paused(row: FhirSubscription, paused: bool, reason: str, actor: Actor) -> FhirSubscription:
    row = FhirSubscription.locked(row.pk)
    _refuse_others(row, actor)
    if row.is_paused != paused:
        row.is_paused = paused
        row.save_as(actor, reason)
    return row


def _end(row: FhirSubscription, actor: Actor) -> FhirSubscription:
    row.status, row.next_heartbeat_at, row.error_since = S.OFF, None, None
    row.save_as(actor, _("Switched off"))
    pending = FhirNotification.objects.filter(subscription=row, status=NotificationStatus.PENDING)
    pending.update(status=NotificationStatus.CANCELLED, claimed_until=None)
    return row


def _begin(row: FhirSubscription, actor: Actor) -> None:
    """Active, or waiting for the handshake; what could not be sent is due now."""
    if reason := over_because(row, timezone.now()):
        raise Conflict(_("This subscription is over."), found=reason, todo=_("Ask for a new one."))
    is_r5 = row.release == FhirRelease.R5
    row.status = S.REQUESTED if is_r5 else S.ACTIVE
    row.failures, row.last_error, row.next_heartbeat_at, row.error_since = 0, "", None, None
    row.save_as(actor, _("Begins"))
    now = timezone.now()
    pending = FhirNotification.objects.filter(subscription=row, status=NotificationStatus.PENDING)
    pending.update(next_attempt_at=now, claimed_until=None, attempts=0)
    if is_r5 and not pending.filter(kind=NotificationKind.HANDSHAKE).exists():
        FhirNotification.objects.create(subscription=row, kind=NotificationKind.HANDSHAKE)


# --- what may be asked for


def _apply(row: FhirSubscription, values: Mapping[str, Any]) -> None:
    errors = Errors()
    for field in values.keys() - FIELDS:
        errors.add(field, _("This cannot be set."))
    given = {field: value for field, value in values.items() if field in FIELDS}
    if "headers" in given:
        given["headers"] = _headers(given["headers"], row.headers, errors)
    for field, value in given.items():
        setattr(row, field, value)
    _check(row, errors)
    errors.raise_if_any(_("The subscription cannot be kept."))


def _check_right(row: FhirSubscription, actor: Actor) -> None:
    """Nobody is told what they may not see; and the criteria are a search that can be made."""
    resource = TOPICS[row.topic].resource
    if not may_see(row.release, resource, actor=actor):
        raise NotPermitted(_("You may not see what you ask to be told of."), found=resource)
    field = "criteria" if row.release == FhirRelease.R4 else "filters"
    try:
        exists(row.release, resource, [(name, value) for _type, name, value in row.filters], actor=actor)
    except Refused as refusal:
        raise InvalidData(_("The subscription cannot be kept."), errors={field: [refusal.detail]}) from None


def _headers(lines: Iterable[str], known: str, errors: Errors) -> str:
    """One line each. What comes back as it was shown stays as it is."""
    before = dict(line.split(":", 1) for line in known.splitlines() if ":" in line)
    kept = []
    for line in lines:
        found = HEADER.fullmatch(str(line).strip())
        if found is None or found[1].lower() in RESERVED:
            errors.add("headers", _("A header looks like “Name: value”; some names are not allowed."))
            continue
        value = before.get(found[1], "").strip() if found[2] == HIDDEN else found[2]
        kept.append(f"{found[1]}: {value}")
    return "\n".join(kept)


def _check(row: FhirSubscription, errors: Errors) -> None:
    row.reason = (row.reason or "").strip()[:200] or str(TOPICS[row.topic].title if row.topic in TOPICS else _("FHIR"))
    if row.release == FhirRelease.R4:
        _check_criteria(row, errors)
    elif row.topic not in TOPICS:
        errors.add("topic", _("There is no such topic; those that are stand under SubscriptionTopic."))
    else:
        _check_filters(row, errors)
    _check_endpoint(row, errors)
    if row.content not in PayloadContent.values:
        errors.add("content", _("One of: %(values)s.") % {"values": ", ".join(PayloadContent.values)})
    if row.content_type not in CONTENT_TYPES:
        errors.add("content_type", _("One of: %(values)s.") % {"values": ", ".join(CONTENT_TYPES[1:])})
    if row.heartbeat_seconds and row.heartbeat_seconds < SHORTEST_HEARTBEAT:
        errors.add("heartbeat_seconds", _("At least %(count)d.") % {"count": SHORTEST_HEARTBEAT})
    if not 1 <= row.timeout_seconds <= 30:
        errors.add("timeout_seconds", _("Between 1 and 30."))
    if not 1 <= row.max_count <= 100:
        errors.add("max_count", _("Between 1 and 100."))
    if isinstance(row.ends_at, datetime) and row.ends_at <= timezone.now():
        errors.add("ends_at", _("Lies in the past."))
    if row.secret and not _is_secret(row.secret):
        errors.add("secret", _("A secret is whsec_ and at least 24 bytes in base64."))


def _check_criteria(row: FhirSubscription, errors: Errors) -> None:
    type_name, _mark, query = row.criteria.partition("?")
    topic = BY_RESOURCE.get(type_name)
    if topic is None:
        words = ", ".join(sorted(BY_RESOURCE))
        errors.add("criteria", _("Criteria begin with one of: %(types)s.") % {"types": words})
        return
    row.topic = topic.key
    if len(row.criteria) > 1000:
        errors.add("criteria", _("At most %(count)d characters.") % {"count": 1000})
    row.filters = [[type_name, name, value] for name, value in parse_qsl(query, keep_blank_values=True)]


def _check_filters(row: FhirSubscription, errors: Errors) -> None:
    topic = TOPICS[row.topic]
    for resource, name, _value in row.filters:
        if resource not in ("", topic.resource) or name.split(":")[0] not in topic.filters:
            words = ", ".join(topic.filters)
            errors.add("filters", _("This topic is filtered by: %(names)s.") % {"names": words})


def _check_endpoint(row: FhirSubscription, errors: Errors) -> None:
    try:
        url = httpx.URL(row.endpoint)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("https", "http") or not url.host or url.userinfo or url.fragment:
        errors.add("endpoint", _("An address like https://portal.example.org/hook."))
        return
    check_host(url.host)


def _is_secret(text: str) -> bool:
    try:
        return text.startswith(PREFIX) and len(base64.b64decode(text.removeprefix(PREFIX), validate=True)) >= 24
    except (binascii.Error, ValueError):
        return False
