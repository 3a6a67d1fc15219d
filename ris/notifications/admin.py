"""What was sent to whom, what failed, and who is on duty."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, service_action
from ris.core.actor import Actor
from ris.notifications.models import Duty, Notification, RotaShift
from ris.notifications.permissions import CHANGE_ROTA, VIEW_ROTA
from ris.notifications.rota import add_shift, cancel_shift, change_shift, substitute_shift
from ris.notifications.services import send_again


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    view_code = "notifications.view_notification"
    list_display = ("created_at", "recipient", "channel", "template", "status", "attempts", "sent_at", "last_error")
    list_filter = ("status", "channel", "template")
    list_select_related = ("recipient",)
    search_fields = ("recipient__username", "=subject")
    date_hierarchy = "created_at"
    actions = (service_action(_("Send again"), send_again),)


@admin.register(Duty)
class DutyAdmin(FacilityModelAdmin):
    view_code = VIEW_ROTA
    add_code = change_code = CHANGE_ROTA
    list_display = ("name", "code", "location", "phone", "must_be_staffed", "is_active")
    list_filter = ("is_active", "must_be_staffed")
    search_fields = ("name", "code")


@admin.register(RotaShift)
class RotaShiftAdmin(FacilityModelAdmin):
    """New shifts and other times by the form, substitutes and cancelling as actions: all by the rota's services."""

    view_code = VIEW_ROTA
    add_code = change_code = CHANGE_ROTA
    list_display = ("duty", "user", "substitute", "starts_at", "ends_at", "cancelled_at")
    list_filter = ("duty",)
    list_select_related = ("user", "substitute")
    autocomplete_fields = ("user", "substitute")
    date_hierarchy = "starts_at"
    actions = (service_action(_("Take off the rota"), cancel_shift),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("cancelled_at",) if obj is None else ("duty", "user", "cancelled_at")

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> RotaShift:
        return add_shift(**cleaned, actor=actor)

    def service_change(self, shift: RotaShift, cleaned: dict[str, Any], actor: Actor) -> RotaShift:
        stored = RotaShift.objects.get(pk=shift.pk)
        if cleaned["substitute"] != stored.substitute:
            substitute_shift(stored, substitute=cleaned["substitute"], actor=actor)
        times = {name: cleaned[name] for name in ("starts_at", "ends_at", "note")}
        return change_shift(stored, **times, actor=actor)
