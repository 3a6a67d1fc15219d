"""Recommended exams, kept searches and links for patients in the administration."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from reporting import permissions as perms
from reporting.models import FollowUp, SavedSearch, ShareLink
from reporting.services import followups as services
from reporting.services.sharing import end_share
from ris.accounts.admin_base import ReadOnlyAdmin, ReasonForm, service_action


@admin.register(FollowUp)
class FollowUpAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_FOLLOW_UP
    list_display = ("due_on", "what", "accession_number", "reason", "status", "recommended_by", "reminded_at")
    list_filter = ("status", "modality", "due_on")
    list_select_related = ("catalogue", "procedure", "recommended_by")
    search_fields = ("procedure__accession_number",)
    date_hierarchy = "due_on"
    actions = (
        service_action(_("Done"), services.close_follow_up, form=ReasonForm),
        service_action(_("Will not be done"), services.close_follow_up, form=ReasonForm, is_done=False),
        service_action(_("Open again"), services.reopen_follow_up, form=ReasonForm),
    )


@admin.register(SavedSearch)
class SavedSearchAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_REPORT
    list_display = ("name", "owner", "is_shared", "opened_at")
    list_filter = ("is_shared",)
    list_select_related = ("owner",)
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SavedSearch]:
        return super().get_queryset(request).select_related("owner")


@admin.register(ShareLink)
class ShareLinkAdmin(ReadOnlyAdmin):
    view_code = perms.SHARE_REPORT
    list_display = ("accession_number", "recipient", "channel", "opens_at", "expires_at", "revoked_at", "created_by")
    list_filter = ("expires_at", "revoked_at")
    list_select_related = ("created_by", "report")
    exclude = ("code_digest", "send_to")
    search_fields = ("report__procedures__accession_number",)
    actions = (service_action(_("End"), end_share, form=ReasonForm),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ShareLink]:
        return super().get_queryset(request).prefetch_related("report__procedures")
