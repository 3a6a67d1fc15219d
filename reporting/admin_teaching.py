"""Teaching cases in the administration. The way back to the report is not shown here."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from reporting import permissions as perms
from reporting.models import TeachingCase, TeachingImage
from reporting.services import teaching as services
from ris.accounts.admin_base import ReadOnlyAdmin, ReasonForm, service_action


@admin.register(TeachingCase)
class TeachingCaseAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_TEACHING
    list_display = ("title", "diagnosis", "modality", "body_region", "status", "owner", "reviewed_at")
    list_filter = ("status", "modality")
    list_select_related = ("owner",)
    search_fields = ("title", "diagnosis")
    exclude = ("report", "words")
    actions = (
        service_action(_("Share"), services.share_case),
        service_action(_("Withdraw"), services.withdraw_case, form=ReasonForm),
    )


@admin.register(TeachingImage)
class TeachingImageAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_TEACHING
    list_display = ("case", "number", "state", "problem", "frames", "removed_at")
    list_filter = ("state",)
    list_select_related = ("case",)
    exclude = ("original", "path")
    actions = (
        service_action(_("Nobody stands in the picture"), services.confirm_image),
        service_action(_("Remove"), services.remove_image),
    )
