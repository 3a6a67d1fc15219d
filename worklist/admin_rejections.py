"""Rejections of images in the administration. Imported by worklist.admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ris.accounts.actors import actor_of
from ris.accounts.admin_base import ReadOnlyAdmin, ReasonForm, service_action
from worklist import permissions as perms
from worklist import services
from worklist.models import ImageRejection
from worklist.selectors.rejections import rejections


@admin.register(ImageRejection)
class ImageRejectionAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_STUDY
    list_display = ("rejected_at", "study", "code", "reason", "rejected_by", "restored_at", "restored_reason")
    list_filter = ("code", "rejected_at", ("restored_at", admin.EmptyFieldListFilter))
    list_select_related = ("study", "rejected_by")
    search_fields = ("study__study_instance_uid", "study__accession_number")
    actions = (service_action(_("Restore"), services.restore_images, form=ReasonForm),)

    def get_queryset(self, request: HttpRequest) -> Any:
        return rejections(actor=actor_of(request))
