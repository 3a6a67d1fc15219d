from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from peerreview import permissions as perms
from peerreview import services
from peerreview.models import Conference, Discrepancy, LearningCase, ReviewCase, ReviewRound, ScaleGrade
from peerreview.web.forms import ReassignForm, ResolveForm
from peerreview.web.tending import DueForm
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, ReasonForm, service_action
from ris.core.actor import Actor


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
        service_action(_("Close without what nobody scored"), services.close_round, without_waiting=True),
        service_action(_("Remind whose cases wait"), services.remind_reviewers),
        service_action(_("Change the due date"), services.change_due, form=DueForm),
    ]


@admin.register(ReviewCase)
class ReviewCaseAdmin(FacilityModelAdmin):
    """For the lead. Who is reviewer or arbiter of a case reads it on its blinded page, not here."""

    view_code = perms.MANAGE_ROUND
    list_display = ["round", "reviewer", "status", "score", "category", "arbitrated_score", "scored_at"]
    list_filter = ["status", "category", "round"]
    list_select_related = ["round", "reviewer"]
    actions = [
        service_action(_("Pass on"), services.reassign_case, form=ReassignForm),
        service_action(_("Swap for another report"), services.swap_case, form=ReasonForm),
    ]

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


@admin.register(LearningCase)
class LearningCaseAdmin(ReadOnlyAdmin):
    """For the coordinator, but of their own reports. Who submitted a case stands neither here nor in a history."""

    view_code = perms.COORDINATE_LEARNING
    list_display = ["title", "kind", "modality", "status", "created_at", "feedback_at", "acknowledged_at"]
    list_filter = ["status", "kind", "modality"]
    fields = ["title", "kind", "status", "question", "text", "discussion", "points", "declined_reason", "feedback"]
    actions = [service_action(_("Do not take it"), services.decline_learning, form=ReasonForm)]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return super().get_queryset(request).exclude(author=actor_of(request).user)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        raise PermissionDenied

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: Any = None
    ) -> HttpResponse:
        raise PermissionDenied


@admin.register(Conference)
class ConferenceAdmin(FacilityModelAdmin):
    """Planned and changed here as on their own page; what they list is ordered there."""

    view_code = add_code = change_code = perms.COORDINATE_LEARNING
    list_display = ["title", "held_on", "place", "status"]
    list_filter = ["status"]
    fields = ["title", "held_on", "place"]
    actions = [
        service_action(_("It was held"), services.hold_conference),
        service_action(_("Call it off"), services.cancel_conference),
    ]

    def service_create(self, data: dict[str, Any], actor: Actor) -> models.Model:
        return services.plan_conference(**data, actor=actor)

    def service_change(self, obj: Any, data: dict[str, Any], actor: Actor) -> models.Model:
        return services.change_conference(obj, **data, actor=actor)
