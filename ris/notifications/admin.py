"""What was sent to whom, what failed, and who is on duty."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, service_action
from ris.notifications.models import Notification, RotaShift
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


@admin.register(RotaShift)
class RotaShiftAdmin(FacilityModelAdmin):
    view_code = "notifications.view_rota"
    add_code = change_code = "notifications.change_rota"
    list_display = ("duty", "user", "starts_at", "ends_at")
    list_filter = ("duty",)
    list_select_related = ("user",)
    autocomplete_fields = ("user",)
    date_hierarchy = "starts_at"
