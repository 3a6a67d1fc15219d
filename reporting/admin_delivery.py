"""Every try of every delivery."""

from __future__ import annotations

from django.contrib import admin

from reporting import permissions as perms
from reporting.models import DeliveryAttempt
from ris.accounts.admin_base import ReadOnlyAdmin


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(ReadOnlyAdmin):
    view_code = perms.MANAGE_DELIVERY
    list_display = ("at", "delivery", "outcome", "error", "by", "door")
    list_filter = ("outcome",)
    list_select_related = ("delivery__report_version__report", "by")
    date_hierarchy = "at"
