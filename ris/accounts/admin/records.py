"""The audit trail and its seals, the outbox and its deliveries: to be looked at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ris.accounts.actors import actor_of
from ris.accounts.admin_base import ReadOnlyAdmin, service_action
from ris.accounts.services.outbox import deliver_again_by_hand
from ris.audit.models import AuditEvent, AuditSeal
from ris.audit.selectors import events_for
from ris.events.models import Delivery, OutboxEvent


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    view_code = "audit.view_event"
    list_display = (
        "recorded_at",
        "who",
        "event_type",
        "action",
        "outcome",
        "source",
        "address",
        "patient",
        "accession_number",
        "reason",
    )
    list_filter = ("outcome", "action", "source")
    search_fields = ("=user_name", "=accession_number", "=patient", "=entity", "=correlation_id", "^event_type")
    date_hierarchy = "recorded_at"

    def get_queryset(self, request: Any) -> Any:
        return events_for(actor_of(request))

    @admin.display(description=_("who"))
    def who(self, event: AuditEvent) -> str:
        return event.user_name or event.ae_title or "–"


@admin.register(AuditSeal)
class AuditSealAdmin(ReadOnlyAdmin):
    view_code = "audit.view_event"
    list_display = ("id", "sealed_at", "rows", "epoch", "last_event", "key_id", "digest")


class DeliveryInline(admin.TabularInline):
    model = Delivery
    extra = 0
    can_delete = False
    fields = ("subscriber", "status", "attempts", "next_attempt_at", "delivered_at", "last_error")
    readonly_fields = fields

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyAdmin):
    view_code = "events.view_event"
    inlines = (DeliveryInline,)
    list_display = ("id", "name", "ordering_key", "subject", "subject_version", "actor", "occurred_at")
    list_filter = ("name",)
    search_fields = ("=ordering_key", "=subject", "^name")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    view_code = "events.view_event"
    list_display = (
        "id",
        "event",
        "subscriber",
        "status",
        "attempts",
        "next_attempt_at",
        "delivered_at",
        "last_error",
    )
    list_filter = ("status", "subscriber")
    list_select_related = ("event",)
    search_fields = ("=ordering_key", "^subscriber")
    actions = (service_action(_("Deliver again"), deliver_again_by_hand),)
