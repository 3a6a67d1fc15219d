from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from peerreview import permissions as perms
from peerreview import services
from peerreview.models import Discrepancy, ReviewCase, ReviewRound, ScaleGrade
from peerreview.web.forms import ReassignForm, ResolveForm
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import FacilityModelAdmin, service_action


@admin.register(ScaleGrade)
class ScaleGradeAdmin(FacilityModelAdmin):
    """The site's own scale; what a grade counts as decides about comment, arbitration and numbers."""

    view_code = add_code = change_code = perms.MANAGE_ROUND
    list_display = ["code", "label", "radpeer", "position", "is_active"]
    search_fields = ["code", "label"]


@admin.register(ReviewRound)
class ReviewRoundAdmin(FacilityModelAdmin):
    """Rounds are planned on their own page; here they are read, launched and closed."""

    view_code = perms.MANAGE_ROUND
    list_display = ["name", "mode", "modality", "signed_from", "signed_until", "percent", "per_reader", "status"]
    list_filter = ["status", "mode", "modality"]
    search_fields = ["name"]
    actions = [
        service_action(_("Launch"), services.launch_round),
        service_action(_("Close"), services.close_round),
    ]


@admin.register(ReviewCase)
class ReviewCaseAdmin(FacilityModelAdmin):
    """For the lead. Who is reviewer or arbiter of a case reads it on its blinded page, not here."""

    view_code = perms.MANAGE_ROUND
    list_display = ["round", "reviewer", "status", "score", "category", "arbitrated_score", "scored_at"]
    list_filter = ["status", "category", "round"]
    list_select_related = ["round", "reviewer"]
    actions = [service_action(_("Pass on"), services.reassign_case, form=ReassignForm)]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return super().get_queryset(request).exclude(reviewer=actor_of(request).user)


@admin.register(Discrepancy)
class DiscrepancyAdmin(FacilityModelAdmin):
    view_code = perms.MANAGE_ROUND
    list_display = ["pk", "severity", "category", "impact", "status", "answered_at"]
    list_filter = ["status", "severity", "category", "impact"]
    actions = [service_action(_("Resolve"), services.resolve_discrepancy, form=ResolveForm)]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        user = actor_of(request).user
        return super().get_queryset(request).exclude(case__report_version__signed_by=user)
