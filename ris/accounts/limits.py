"""How often one credential may ask, or one address try, counted in windows of a minute.

The count is kept in Redis, for all processes together. While Redis does not answer, each process counts for itself:
the limit is then at most so many times what was meant as there are processes, and nobody is turned away because a
counter is missing. Browser sessions are not counted: a person's clicks are no load.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import redis
import structlog
from django.conf import settings
from django.core.cache import cache
from prometheus_client import Counter

from ris.accounts import tokens
from ris.accounts.models import AccessToken, ApiKey
from ris.accounts.selectors import facility_settings
from ris.tenants.context import require_schema

log = structlog.get_logger(__name__)

WINDOW = 60  # seconds
REDIS_WAITS = 0.2  # seconds
LIMIT_KNOWN_FOR = 10  # seconds; a new limit is obeyed by every process within
REDIS_RESTS = 5.0  # seconds between two tries of a Redis that did not answer

OVER_LIMIT = Counter("picha_rest_over_limit", "REST requests that were refused with 429.")
COUNTED_ALONE = Counter("picha_rest_counted_alone", "REST requests counted in this process, as Redis did not answer.")

_client: redis.Redis | None = None
_rests_until = 0.0


@dataclass(frozen=True)
class Allowance:
    """What is left to a credential in this window. ``resets_in``: seconds."""

    limit: int
    used: int
    resets_in: int

    @property
    def is_exceeded(self) -> bool:
        return self.used > self.limit

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-06 names them."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "RateLimit-Reset": str(self.resets_in),
            "RateLimit-Policy": f"{self.limit};w={WINDOW}",
        }


def count(credential: Any) -> Allowance | None:
    """Count one request of this key or token; None where there is no limit."""
    if not isinstance(credential, ApiKey | AccessToken):
        return None
    limit = getattr(credential, "requests_per_minute", None)
    if limit is None:
        limit = cache.get_or_set("rate:limit", _limit_of_the_facility, LIMIT_KNOWN_FOR)
    if limit == 0:
        return None
    used = in_this_window(f"rate:{_who(credential)}")
    allowance = Allowance(limit, used, resets_in())
    if allowance.is_exceeded:
        OVER_LIMIT.inc()
    return allowance


def in_this_window(name: str, by: int = 1) -> int:
    """How often that was in this minute, these ``by`` included; 0 only looks."""
    return _used(f"{name}:{int(time.time() // WINDOW)}", by)


def resets_in() -> int:
    """Seconds to the end of the window."""
    return max(1, int(WINDOW - time.time() % WINDOW))


def _who(credential: ApiKey | AccessToken) -> str:
    """A program by SMART asks for a new token every few minutes: all of them are counted together."""
    if isinstance(credential, AccessToken) and tokens.is_for_fhir(credential.scopes):
        return f"smart:{credential.user_id}"
    return f"{type(credential).__name__}:{credential.pk}"


def _limit_of_the_facility() -> int:
    return facility_settings().api_requests_per_minute


def _used(key: str, by: int) -> int:
    global _rests_until
    if settings.REDIS_URL and time.monotonic() >= _rests_until:
        try:
            return _used_by_all(f"{require_schema()}:{key}", by)
        except redis.RedisError as exc:
            _rests_until = time.monotonic() + REDIS_RESTS
            log.warning("rate_limit_counts_alone", error=type(exc).__name__)
    if settings.REDIS_URL:
        COUNTED_ALONE.inc()
    return _used_here(key, by)


def _used_by_all(key: str, by: int) -> int:
    global _client
    if _client is None:
        _client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_WAITS, socket_connect_timeout=REDIS_WAITS
        )
    with _client.pipeline(transaction=False) as pipeline:
        pipeline.incrby(key, by)
        pipeline.expire(key, WINDOW * 2)
        return int(pipeline.execute()[0])


def _used_here(key: str, by: int) -> int:
    if cache.add(key, by, WINDOW * 2):
        return by
    try:
        return cache.incr(key, by)
    except ValueError:  # it was forgotten between the two
        return by
