"""What operators ask before any facility is known: is it alive, is it ready, how is it doing."""

from __future__ import annotations

import hmac
import os
import socket
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest, multiprocess

from ris.tenants.migrating import pending_schemas
from ris.tenants.models import RefusedConnection

REFUSED = Gauge(
    "picha_refused_connections",
    "Connections that no facility was found for.",
    ["kind", "reason"],
    multiprocess_mode="mostrecent",
)
MIGRATIONS_CHECKED_FOR = 30.0  # seconds
_migrations: dict[str, Any] = {"until": 0.0, "state": ""}


def live(_request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


def ready(_request: HttpRequest) -> HttpResponse:
    """200 when work can be done. Without the broker work goes on (degraded); without the database it does not."""
    checks = {"database": _database(), "migrations": "unknown", "broker": _broker()}
    if checks["database"] == "ok":
        checks["migrations"] = _migration_state()
    is_ready = checks["database"] == "ok" and checks["migrations"] == "ok"
    status = "unavailable" if not is_ready else "ok" if checks["broker"] in ("ok", "not configured") else "degraded"
    return JsonResponse({"status": status, "checks": checks}, status=200 if is_ready else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format, for whoever holds RIS_METRICS_TOKEN."""
    if not settings.RIS_METRICS_TOKEN:
        return HttpResponse(status=404)
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    if not hmac.compare_digest(given.encode(), settings.RIS_METRICS_TOKEN.encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    try:
        _count_refusals()
    except (DatabaseError, InterfaceError):
        connection.close()
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def _count_refusals() -> None:
    rows = RefusedConnection.objects.order_by().values("kind", "reason").annotate(total=Sum("count"))
    for row in rows:
        REFUSED.labels(row["kind"], row["reason"]).set(row["total"])


def _registry() -> CollectorRegistry:
    """This process's numbers, or with PROMETHEUS_MULTIPROC_DIR those of all the workers together."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return registry


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
    except (DatabaseError, InterfaceError) as exc:
        connection.close()
        return f"does not answer ({type(exc).__name__})"
    return "ok"


def _migration_state() -> str:
    """``ok`` when `public` and the template have every migration that this code brings. Remembered for a while."""
    now = time.monotonic()
    if now >= _migrations["until"]:
        behind = pending_schemas()
        _migrations.update(
            until=now + MIGRATIONS_CHECKED_FOR, state=f"pending: {', '.join(behind)}" if behind else "ok"
        )
    return _migrations["state"]


def _broker() -> str:
    if not settings.REDIS_URL:
        return "not configured"
    parts = urllib.parse.urlsplit(settings.REDIS_URL)
    try:
        if parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(1)
                line.connect(parts.path)
        else:
            socket.create_connection((parts.hostname or "localhost", parts.port or 6379), timeout=1).close()
    except OSError:
        return "does not answer; work goes on without it"
    return "ok"


VIEWS: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/health/live": live,
    "/health/ready": ready,
    "/metrics": metrics,
}
