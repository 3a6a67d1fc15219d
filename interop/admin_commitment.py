"""Storage commitment in the administration. Imported by interop.admin."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from interop.dicom.commitment_reports import park_report, report_again
from interop.models import StorageCommitment
from interop.permissions import VIEW_INTERFACES
from ris.accounts.admin_base import ReadOnlyAdmin, service_action


@admin.register(StorageCommitment)
class StorageCommitmentAdmin(ReadOnlyAdmin):
    view_code = VIEW_INTERFACES
    list_display = [
        "requested_at", "calling_ae_title", "transaction_uid", "asked_count", "failed_count", "status", "attempts",
        "next_attempt_at", "delivered_at", "last_error",
    ]  # fmt: skip
    list_filter = ["status", "calling_ae_title", "requested_at"]
    search_fields = ["transaction_uid", "calling_ae_title"]
    actions = [
        service_action(_("Check and report again"), report_again),
        service_action(_("Park"), park_report),
    ]
