"""Outside reports in the administration. Imported by reporting.admin."""

from __future__ import annotations

from django.contrib import admin

from reporting import permissions as perms
from reporting.models import OutsideReport
from ris.accounts.admin_base import ReadOnlyAdmin


@admin.register(OutsideReport)
class OutsideReportAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_REPORT
    list_display = ["title", "source", "modality", "performed_at", "reported_at", "status"]
    list_filter = ["status", "modality"]
    search_fields = ["number", "accession_number"]
    fields = [
        "title", "source", "number", "accession_number", "code", "modality", "performed_at", "reported_at", "author",
        "status", "text",
    ]  # fmt: skip
