"""The menu's entries for administration and audit, and what an administrator and a quality lead see first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ris.accounts.lockout import locked_names
from ris.accounts.models import BreakGlass, User
from ris.audit.models import AuditEvent, AuditSeal, Outcome
from ris.core.panels import NavItem, Panel, register_nav, register_panel
from ris.core.text import stamp
from ris.events.models import Delivery, DeliveryStatus

SEAL_IS_LATE = timedelta(minutes=1)


def uuid7_at(*, hours: int) -> UUID:
    """The smallest UUIDv7 of that many hours ago: rows are found by the index that their UUID has anyway."""
    moment = timezone.now() - timedelta(hours=hours)
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def parked_deliveries(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    parked = Delivery.objects.filter(status=DeliveryStatus.PARKED).count()
    waiting = Delivery.objects.filter(status=DeliveryStatus.PENDING).count()
    return {
        "label": _("Parked deliveries"),
        "value": parked,
        "detail": _("%(count)d waiting") % {"count": waiting},
        "icon": "inbox",
        "url": reverse("admin:events_delivery_changelist") + "?status__exact=parked",
        "hurts": bool(parked),
    }


def refusals(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    found = AuditEvent.objects.filter(uuid__gte=uuid7_at(hours=24), outcome__gt=Outcome.SUCCESS)
    failed = found.filter(event_type="accounts.sign_in").count()
    return {
        "label": _("Refused in 24 hours"),
        "value": found.count(),
        "detail": _("%(count)d failed sign-ins") % {"count": failed},
        "icon": "shield-x",
        "url": reverse("audit") + f"?outcome={Outcome.REFUSED.value}",
    }


def sealing(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    """Late only when rows have been waiting: a quiet house seals nothing."""
    last = AuditSeal.objects.first()
    begin, floor = (last.before_transaction, last.after_event) if last is not None else (0, 0)
    waiting = AuditEvent.objects.filter(transaction__gte=begin, pk__gt=floor)
    late = waiting.filter(recorded_at__lt=timezone.now() - SEAL_IS_LATE).count()
    return {
        "label": _("Audit rows that wait for their seal"),
        "value": late,
        "detail": _("A dispatcher seals them.") if late else _("Sealed."),
        "icon": "shield-check",
        "url": reverse("audit"),
        "hurts": bool(late),
    }


def emergency_access(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    week = BreakGlass.objects.filter(started_at__gte=timezone.now() - timedelta(days=7))
    running = BreakGlass.objects.running().count()
    return {
        "label": _("Emergency access in 7 days"),
        "value": week.count(),
        "detail": _("%(count)d running now") % {"count": running},
        "icon": "lock-open",
        "url": reverse("admin:accounts_breakglass_changelist"),
        "hurts": bool(running),
    }


def audit_check(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    """When ``verify_audit`` last looked, and what it said. Never is an answer too."""
    last = AuditEvent.objects.filter(event_type="audit.verify_seals").order_by("-pk").first()
    broken = last is not None and not last.detail.get("intact", True)
    return {
        "label": _("Audit trail verified"),
        "value": _("Never") if last is None else _("Broken") if broken else _("Whole"),
        "detail": _("Run manage.py verify_audit.") if last is None else stamp(last.recorded_at),
        "icon": "shield-check",
        "url": reverse("audit") + "?event_type=audit.verify_seals",
        "hurts": broken,
    }


def locked_out(thing: Any, *, request: HttpRequest) -> dict[str, Any]:
    locked = locked_names()
    inactive = User.objects.filter(is_active=False, is_service=False).count()
    return {
        "label": _("Locked out now"),
        "value": locked,
        "detail": _("%(count)d accounts switched off") % {"count": inactive},
        "icon": "user-x",
        "url": reverse("admin:accounts_user_changelist"),
        "hurts": bool(locked),
    }


register_nav(
    NavItem(
        "audit",
        gettext_lazy("Audit"),
        "audit",
        "shield-check",
        section="system",
        permission="audit.view_event",
        order=80,
    ),
    NavItem(
        "administration",
        gettext_lazy("Administration"),
        "admin:index",
        "settings",
        section="system",
        permission=("accounts.view_user", "accounts.view_settings"),
        order=90,
    ),
)
STAT = "components/stat.html"
register_panel(
    Panel("home.stats", parked_deliveries, STAT, permission="events.view_event", order=80, key="deliveries"),
    Panel("home.stats", refusals, STAT, permission="audit.view_event", order=81, key="refusals"),
    Panel("home.stats", sealing, STAT, permission="audit.view_event", order=82, key="sealing"),
    Panel("home.stats", emergency_access, STAT, permission="accounts.view_break_glass", order=83, key="break-glass"),
    Panel("home.stats", locked_out, STAT, permission="accounts.lift_lockout", order=85, key="locked-out"),
    Panel("home.stats", audit_check, STAT, permission="audit.export_events", order=86, key="audit-check"),
)
