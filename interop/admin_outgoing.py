"""Outgoing DICOM work in the administration. Imported by interop.admin."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from interop.dicom.outgoing import cancel_outgoing, park_outgoing, retry_outgoing
from interop.models import OutgoingDicom
from interop.permissions import VIEW_INTERFACES
from ris.accounts.admin_base import ReadOnlyAdmin, ReasonForm, service_action


@admin.register(OutgoingDicom)
class OutgoingDicomAdmin(ReadOnlyAdmin):
    view_code = VIEW_INTERFACES
    list_display = [
        "created_at", "kind", "peer", "accession_number", "status", "attempts", "next_attempt_at", "done_at",
        "last_error",
    ]  # fmt: skip
    list_filter = ["status", "kind", "peer", "created_at"]
    list_select_related = ["peer"]
    search_fields = ["accession_number", "ordering_key"]
    actions = [
        service_action(_("Send again"), retry_outgoing),
        service_action(_("Park"), park_outgoing, form=ReasonForm),
        service_action(_("Cancel"), cancel_outgoing, form=ReasonForm),
    ]
