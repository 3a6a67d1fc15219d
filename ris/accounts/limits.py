"""How often one credential may ask, counted in windows of a minute.

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
    now = time.time()
    window = int(now // WINDOW)
    used = _used(f"rate:{type(credential).__name__}:{credential.pk}:{window}")
    allowance = Allowance(limit, used, max(1, int((window + 1) * WINDOW - now)))
    if allowance.is_exceeded:
        OVER_LIMIT.inc()
    return allowance


def _limit_of_the_facility() -> int:
    return facility_settings().api_requests_per_minute


def _used(key: str) -> int:
    global _rests_until
    if settings.REDIS_URL and time.monotonic() >= _rests_until:
        try:
            return _used_by_all(f"{require_schema()}:{key}")
        except redis.RedisError as exc:
            _rests_until = time.monotonic() + REDIS_RESTS
            log.warning("rate_limit_counts_alone", error=type(exc).__name__)
    if settings.REDIS_URL:
        COUNTED_ALONE.inc()
    return _used_here(key)


def _used_by_all(key: str) -> int:
    global _client
    if _client is None:
        _client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_WAITS, socket_connect_timeout=REDIS_WAITS
        )
    with _client.pipeline(transaction=False) as pipeline:
        pipeline.incr(key)
        pipeline.expire(key, WINDOW * 2)
        return int(pipeline.execute()[0])


def _used_here(key: str) -> int:
    if cache.add(key, 1, WINDOW * 2):
        return 1
    try:
        return cache.incr(key)
    except ValueError:  # it was forgotten between the two
        return 1
